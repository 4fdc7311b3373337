/* values: a table of eight bytes a slot.
 *
 *   slot    [ hash 32 | reference 32 ]     open addressing, linear probing, at most 3/4 full
 *
 *   reference   id << 1 | 1        the only series that has the value
 *               (place + 1) << 1   its set is sets[place]
 *
 * A text is compared only where 32 bits of hash agree, and then is that of the series or of any member
 * of the set: a walk over a series' labels instead of a copy of every value, which for labels
 * of high cardinality would be as large as the labels themselves.
 */
#include "storage/index/values.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/table.h"

#define SLOTS_MIN 16

void values_init(struct values *values, const struct series *series, struct slice name)
{
    *values = (struct values){.series = series, .name = name};
}

static bool is_single(uint64_t slot)
{
    return slot & 1;
}

static struct idset *set_of_slot(const struct values *values, uint64_t slot)
{
    return &values->sets[((uint32_t)slot >> 1) - 1];
}

static struct idset set_at(const struct values *values, uint64_t slot)
{
    return is_single(slot) ? (struct idset){(uint32_t)slot} : *set_of_slot(values, slot);
}

void values_release(struct values *values)
{
    for (size_t i = 0; i < values->capacity; i++)
        if (values->slots[i])
            idset_release(set_at(values, values->slots[i]));
    free(values->slots);
    free(values->sets);
    *values = (struct values){0};
}

/* --- slots --- */

static uint32_t hash_of(struct slice value)
{
    return (uint32_t)(slice_hash(value) >> 32);
}

static size_t home_of(const struct values *values, uint64_t slot)
{
    return (size_t)(slot >> 32) & (values->capacity - 1);
}

struct slice values_text(const struct values *values, struct idset set)
{
    const struct series_row *row = series_row(values->series, idset_any(set));
    assert(row);
    return labels_find(series_labels(row), values->name);
}

/* The slot of this value, or the empty one where it would go. Needs slots. */
static uint64_t *probe(const struct values *values, struct slice value, uint32_t hash)
{
    size_t mask = values->capacity - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        uint64_t *slot = &values->slots[i];
        if (!*slot ||
            (*slot >> 32 == hash && slice_equal(values_text(values, set_at(values, *slot)), value)))
            return slot;
    }
}

static void grow(struct values *values)
{
    uint64_t *old = values->slots;
    size_t old_capacity = values->capacity;
    values->capacity = old_capacity ? old_capacity * 2 : SLOTS_MIN;
    values->slots = alloc_zeroed(values->capacity, sizeof *values->slots);
    for (size_t i = 0; i < old_capacity; i++) {
        if (!old[i])
            continue;
        size_t at = home_of(values, old[i]);
        while (values->slots[at])
            at = (at + 1) & (values->capacity - 1);
        values->slots[at] = old[i];
    }
    free(old);
}

static void empty_slot(struct values *values, size_t hole)
{
    size_t mask = values->capacity - 1;
    values->slots[hole] = 0;
    for (size_t i = (hole + 1) & mask; values->slots[i]; i = (i + 1) & mask) {
        size_t home = home_of(values, values->slots[i]);
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* already between its home and the hole */
        values->slots[hole] = values->slots[i];
        values->slots[i] = 0;
        hole = i;
    }
}

/* --- sets --- */

/* A reference to a place for this set. */
static uint32_t keep_set(struct values *values, struct idset set)
{
    uint32_t place = values->set_unused - 1;
    if (values->set_unused) {
        values->set_unused = (uint32_t)values->sets[place].word;
    } else {
        if (values->set_count == values->set_capacity) {
            values->set_capacity = values->set_capacity ? values->set_capacity * 2 : 4;
            values->sets = alloc_resize(values->sets, values->set_capacity, sizeof *values->sets);
        }
        place = values->set_count++;
    }
    values->sets[place] = set;
    return (place + 1) << 1;
}

static void give_back(struct values *values, struct idset *at)
{
    at->word = values->set_unused;
    values->set_unused = (uint32_t)(at - values->sets) + 1;
}

/* --- adding, removing, finding --- */

void values_add(struct values *values, struct slice value, uint32_t id)
{
    uint32_t hash = hash_of(value);
    if ((values->count + 1) * 4 > values->capacity * 3)
        grow(values);
    uint64_t *slot = probe(values, value, hash);
    if (!*slot) {
        *slot = (uint64_t)hash << 32 | idset_of(id).word;
        values->count++;
        return;
    }
    if (!is_single(*slot)) {
        idset_add(set_of_slot(values, *slot), id);
        return;
    }
    struct idset set = set_at(values, *slot);
    idset_add(&set, id);
    *slot = (uint64_t)hash << 32 | keep_set(values, set);
}

bool values_remove(struct values *values, struct slice value, uint32_t id)
{
    uint64_t *slot = values->count ? probe(values, value, hash_of(value)) : NULL;
    if (!slot || !*slot)
        return false;
    if (is_single(*slot)) {
        if (set_at(values, *slot).word != idset_of(id).word)
            return false;
    } else {
        if (!idset_remove(set_of_slot(values, *slot), id))
            return false;
        give_back(values, set_of_slot(values, *slot));
    }
    empty_slot(values, (size_t)(slot - values->slots));
    values->count--;
    return true;
}

bool values_find(const struct values *values, struct slice value, struct idset *out)
{
    uint64_t slot = values->count ? *probe(values, value, hash_of(value)) : 0;
    if (slot)
        *out = set_at(values, slot);
    return slot;
}

/* --- all of them --- */

bool values_next(const struct values *values, size_t *cursor, struct idset *out)
{
    while (*cursor < values->capacity) {
        uint64_t slot = values->slots[(*cursor)++];
        if (!slot)
            continue;
        *out = set_at(values, slot);
        return true;
    }
    return false;
}

size_t values_bytes(const struct values *values)
{
    struct idset set;
    size_t cursor = 0, bytes = values->capacity * sizeof *values->slots +
                               values->set_capacity * sizeof *values->sets;
    while (values_next(values, &cursor, &set))
        bytes += idset_bytes(set);
    return bytes;
}
