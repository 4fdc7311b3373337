/* postings: which series carry which label; answers selectors.
 *
 * In memory only, rebuilt from the series at open. The owner guards it: many readers or one writer.
 */
#ifndef STORAGE_INDEX_POSTINGS_H
#define STORAGE_INDEX_POSTINGS_H

#include "storage/base/table.h"
#include "storage/index/values.h"
#include "storage/matcher.h"

struct postings {
    const struct series *series; /* has the texts of the values */
    struct table names;          /* label name -> struct postings_label */
    roaring_bitmap_t *all;
    uint64_t moved; /* rises when values change their places */
};

void postings_init(struct postings *postings, const struct series *series);
void postings_release(struct postings *postings);
/* The labels are those of the series: it is added before, and removed after. */
void postings_add(struct postings *postings, uint32_t id, struct labels labels);
void postings_remove(struct postings *postings, uint32_t id, struct labels labels);
/* Bytes held. Walks all values. */
size_t postings_bytes(const struct postings *postings);
/* The ids that all matchers accept; the caller frees it. */
roaring_bitmap_t *postings_select(const struct postings *postings, const struct matcher *matchers,
                                  size_t count);
/* The same for a reader that lets the writer in: now and then `pause` is called, in which the postings
 * may change. False ends it, and what is returned then means nothing. */
struct postings_pause {
    bool (*pause)(void *arg);
    void *arg;
};
roaring_bitmap_t *postings_select_pausing(const struct postings *postings,
                                          const struct matcher *matchers, size_t count,
                                          const struct postings_pause *pause);
/* Visits every value, then its label; for the latter `series` counts its values. */
struct postings_count {
    struct slice name, value;
    uint64_t series;
    uint64_t bytes; /* of a label: the length of all its values */
};
struct postings_visitor {
    void (*label)(void *arg, const struct postings_count *count);
    void (*value)(void *arg, const struct postings_count *count);
    void *arg;
};
void postings_census(const struct postings *postings, const struct postings_visitor *visitor);
/* How many ids have this value. */
uint64_t postings_count(const struct postings *postings, struct slice name, struct slice value);
/* The names, or the values of one label, that occur among `ids` (NULL = all), unsorted. */
struct postings_listing {
    void (*text)(void *arg, struct slice text);
    void (*again)(
        void *arg); /* what was visited is void: all is visited anew; not without a pause */
    void *arg;
    const struct postings_pause *pause; /* NULL: none */
};
void postings_names(const struct postings *postings, const roaring_bitmap_t *ids,
                    const struct postings_listing *listing);
void postings_values(const struct postings *postings, struct slice name,
                     const roaring_bitmap_t *ids, const struct postings_listing *listing);

#endif
