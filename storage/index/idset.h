/* idset: a set of series ids in one word, since most sets of an index are of one id.
 *
 * The owner guards it: many readers or one writer.
 */
#ifndef STORAGE_INDEX_IDSET_H
#define STORAGE_INDEX_IDSET_H

#include <roaring/roaring.h>

#include "storage/base/slice.h"

/* An odd word is an id << 1 | 1, and so fits into 32 bits; an even one owns memory. Never empty. */
struct idset {
    uint64_t word;
};

static inline struct idset idset_of(uint32_t id)
{
    return (struct idset){(uint64_t)id << 1 | 1};
}

static inline bool idset_is_single(struct idset set)
{
    return set.word & 1;
}

static inline uint32_t idset_single(struct idset set)
{
    return (uint32_t)(set.word >> 1);
}

void idset_release(struct idset set);
/* The id must not be in the set. */
void idset_add(struct idset *set, uint32_t id);
/* True when that was the last one: the set is released. */
MUST_USE bool idset_remove(struct idset *set, uint32_t id);
/* Some member. */
uint32_t idset_any(struct idset set);
uint64_t idset_count(struct idset set);
/* Adds all members. */
void idset_collect(struct idset set, roaring_bitmap_t *into);
/* Is some member among these? */
bool idset_meets(struct idset set, const roaring_bitmap_t *ids);
/* Bytes held beside the word. */
size_t idset_bytes(struct idset set);

#endif
