/* postings: which series carry which label; answers selectors.
 *
 * In memory only, rebuilt from the series at open. The owner guards it: many readers or one writer.
 * Home of the bitmap library's header.
 */
#ifndef STORAGE_POSTINGS_H
#define STORAGE_POSTINGS_H

#include <roaring/roaring.h>

#include "storage/base/table.h"
#include "storage/matcher.h"

struct postings {
    struct table names; /* label name -> struct postings_label */
    roaring_bitmap_t *all;
};

void postings_init(struct postings *postings);
void postings_release(struct postings *postings);
void postings_add(struct postings *postings, uint32_t id, struct labels labels);
void postings_remove(struct postings *postings, uint32_t id, struct labels labels);
/* Bytes held. Walks all values. */
size_t postings_bytes(const struct postings *postings);
/* The ids that all matchers accept; the caller frees it. */
roaring_bitmap_t *postings_select(const struct postings *postings, const struct matcher *matchers,
                                  size_t count);
/* How many ids have this value. */
uint64_t postings_count(const struct postings *postings, struct slice name, struct slice value);
/* The names, or the values of one label, that occur among `ids` (NULL = all), unsorted. */
void postings_names(const struct postings *postings, const roaring_bitmap_t *ids,
                    void (*visit)(void *arg, struct slice text), void *arg);
void postings_values(const struct postings *postings, struct slice name,
                     const roaring_bitmap_t *ids, void (*visit)(void *arg, struct slice text),
                     void *arg);

#endif
