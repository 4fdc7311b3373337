/* builder: a label set under construction. Plain data; the slices are borrowed. */
#ifndef SERVER_ALERT_BUILDER_H
#define SERVER_ALERT_BUILDER_H

#include "storage/labels.h"

struct label_builder {
    struct label at[LABELS_MAX];
    size_t count;
    bool overflow; /* more than LABELS_MAX */
};

/* Starts from these, without the metric name. */
void builder_init(struct label_builder *builder, struct labels labels);
/* Adds or replaces; an empty value removes. */
void builder_set(struct label_builder *builder, struct slice name, struct slice value);
/* Sorted; valid while the builder is. */
struct labels builder_labels(struct label_builder *builder);

#endif
