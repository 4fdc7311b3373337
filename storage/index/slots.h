/* slots: a table of references that are found by the hash of a text kept elsewhere; eight bytes a slot.
 *
 *   slot    [ hash 32 | reference 32 ]     open addressing, linear probing, 1/2 to 3/4 full
 *
 * Which of the references with that hash is meant the owner finds out, who knows their texts. The
 * owner guards it: many readers or one writer.
 */
#ifndef STORAGE_INDEX_SLOTS_H
#define STORAGE_INDEX_SLOTS_H

#include "storage/base/slice.h"

/* All zero is an empty one. */
struct slots {
    uint64_t *at; /* 0 = empty */
    size_t capacity;
    size_t count;
};

void slots_release(struct slots *slots);
uint32_t slots_hash(struct slice text);
static inline uint32_t slots_reference(uint64_t slot)
{
    return (uint32_t)slot;
}
/* The reference is not 0. */
static inline uint64_t slots_make(uint32_t hash, uint32_t reference)
{
    return (uint64_t)hash << 32 | reference;
}

/* The first slot with this hash, or the empty one where it would go; behind `last` unless that is
 * NULL. Needs capacity. */
uint64_t *slots_seek(const struct slots *slots, uint32_t hash, const uint64_t *last);
/* Makes room for one more: slots may move. */
void slots_reserve(struct slots *slots);
/* Into the empty slot that was found for this hash, after slots_reserve. */
void slots_put(struct slots *slots, uint64_t *slot, uint32_t hash, uint32_t reference);
/* Others may change their places. */
void slots_remove(struct slots *slots, uint64_t *slot);

#endif
