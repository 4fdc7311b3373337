/* slots: what is removed leaves no mark, those behind it move up. */
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

/* Where the slot would be if there were no others. */
static size_t home_of(const struct slots *slots, uint64_t slot)
{
    return (size_t)(slot >> 32) & (slots->capacity - 1);
}

uint64_t *slots_seek(const struct slots *slots, uint32_t hash, const uint64_t *last)
{
    size_t mask = slots->capacity - 1;
    size_t i = last ? (size_t)(last - slots->at) + 1 : hash;
    for (i &= mask; slots->at[i] && slots->at[i] >> 32 != hash;)
        i = (i + 1) & mask;
    return &slots->at[i];
}

static void grow(struct slots *slots)
{
    struct slots old = *slots;
    slots->capacity = old.capacity ? old.capacity * 2 : SLOTS_MIN;
    slots->at = alloc_zeroed(slots->capacity, sizeof *slots->at);
    for (size_t i = 0; i < old.capacity; i++) {
        if (!old.at[i])
            continue;
        size_t at = home_of(slots, old.at[i]);
        while (slots->at[at])
            at = (at + 1) & (slots->capacity - 1);
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
    size_t mask = slots->capacity - 1, hole = (size_t)(slot - slots->at);
    slots->at[hole] = 0;
    slots->count--;
    for (size_t i = (hole + 1) & mask; slots->at[i]; i = (i + 1) & mask) {
        size_t home = home_of(slots, slots->at[i]);
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* already between its home and the hole */
        slots->at[hole] = slots->at[i];
        slots->at[i] = 0;
        hole = i;
    }
}
