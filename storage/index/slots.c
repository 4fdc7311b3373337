/* slots: what is removed leaves no mark, those behind it move up.
 *
 * The place of a hash is its share of 2^32, of the capacity, so the capacity may be any number. It grows by a
 * half: doubled, it would take up to 21 bytes a reference, and so it takes up to 16.
 */
#include "storage/index/slots.h"

#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/table.h"

#define SLOTS_MIN 16

void slots_release(struct slots *slots)
{
    free(slots->at);
    *slots = (struct slots){0};
}

uint32_t slots_hash(struct slice text)
{
    return (uint32_t)(slice_hash(text) >> 32);
}

/* Where a slot with this hash would be if there were no others. */
static size_t home_of(const struct slots *slots, uint64_t hash)
{
    return (size_t)(hash * slots->capacity >> 32);
}

/* The place behind this one. */
static size_t next_of(const struct slots *slots, size_t i)
{
    return i + 1 == slots->capacity ? 0 : i + 1;
}

/* Steps from one place on to another. */
static size_t steps(const struct slots *slots, size_t from, size_t to)
{
    return to >= from ? to - from : to + slots->capacity - from;
}

uint64_t *slots_seek(const struct slots *slots, uint32_t hash, const uint64_t *last)
{
    size_t i = last ? next_of(slots, (size_t)(last - slots->at)) : home_of(slots, hash);
    while (slots->at[i] && slots->at[i] >> 32 != hash)
        i = next_of(slots, i);
    return &slots->at[i];
}

static void grow(struct slots *slots)
{
    struct slots old = *slots;
    slots->capacity = old.capacity ? old.capacity + old.capacity / 2 : SLOTS_MIN;
    slots->at = alloc_zeroed(slots->capacity, sizeof *slots->at);
    for (size_t i = 0; i < old.capacity; i++) {
        if (!old.at[i])
            continue;
        size_t at = home_of(slots, old.at[i] >> 32);
        while (slots->at[at])
            at = next_of(slots, at);
        slots->at[at] = old.at[i];
    }
    free(old.at);
}

void slots_reserve(struct slots *slots)
{
    if ((slots->count + 1) * 4 > slots->capacity * 3)
        grow(slots);
}

void slots_put(struct slots *slots, uint64_t *slot, uint32_t hash, uint32_t reference)
{
    *slot = slots_make(hash, reference);
    slots->count++;
}

void slots_remove(struct slots *slots, uint64_t *slot)
{
    size_t hole = (size_t)(slot - slots->at);
    slots->at[hole] = 0;
    slots->count--;
    for (size_t i = next_of(slots, hole); slots->at[i]; i = next_of(slots, i)) {
        size_t home = home_of(slots, slots->at[i] >> 32);
        if (steps(slots, home, i) < steps(slots, hole, i))
            continue; /* already between its home and the hole */
        slots->at[hole] = slots->at[i];
        slots->at[i] = 0;
        hole = i;
    }
}
