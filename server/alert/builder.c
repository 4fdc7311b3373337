/* builder: see the header. Sets are small, so everything is linear. */
#include "server/alert/builder.h"

void builder_init(struct label_builder *builder, struct labels labels)
{
    builder->count = 0;
    builder->overflow = false;
    for (size_t i = 0; i < labels.count; i++)
        if (!slice_equal(labels.at[i].name, SLICE(LABEL_NAME)))
            builder_set(builder, labels.at[i].name, labels.at[i].value);
}

void builder_set(struct label_builder *builder, struct slice name, struct slice value)
{
    size_t i = 0;
    while (i < builder->count && !slice_equal(builder->at[i].name, name))
        i++;
    if (!value.len) {
        if (i < builder->count)
            builder->at[i] = builder->at[--builder->count];
        return;
    }
    if (i == LABELS_MAX) {
        builder->overflow = true;
        return;
    }
    builder->at[i] = (struct label){name, value};
    builder->count += i == builder->count;
}

struct labels builder_labels(struct label_builder *builder)
{
    labels_sort(builder->at, builder->count);
    return (struct labels){builder->at, builder->count};
}
