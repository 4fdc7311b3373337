/* values: slots (slots.h) and sets.
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
    return &values->sets[(slots_reference(slot) >> 1) - 1];
}

static struct idset set_at(const struct values *values, uint64_t slot)
{
    return is_single(slot) ? (struct idset){slots_reference(slot)} : *set_of_slot(values, slot);
}

void values_release(struct values *values)
{
    struct idset set;
    for (size_t cursor = 0; values_next(values, &cursor, &set);)
        idset_release(set);
    slots_release(&values->slots);
    free(values->sets);
    *values = (struct values){0};
}

/* --- slots --- */

struct slice values_text(const struct values *values, struct idset set)
{
    const struct series_row *row = series_row(values->series, idset_any(set));
    assert(row);
    return labels_find(series_labels(row), values->name);
}

/* The slot of this value, or the empty one where it would go. Needs slots. */
static uint64_t *probe(const struct values *values, struct slice value, uint32_t hash)
{
    uint64_t *slot = slots_seek(&values->slots, hash, NULL);
    while (*slot && !slice_equal(values_text(values, set_at(values, *slot)), value))
        slot = slots_seek(&values->slots, hash, slot);
    return slot;
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
    uint32_t hash = slots_hash(value);
    slots_reserve(&values->slots);
    uint64_t *slot = probe(values, value, hash);
    if (!*slot) {
        slots_put(&values->slots, slot, hash, (uint32_t)idset_of(id).word);
        return;
    }
    if (!is_single(*slot)) {
        idset_add(set_of_slot(values, *slot), id);
        return;
    }
    struct idset set = set_at(values, *slot);
    idset_add(&set, id);
    *slot = slots_make(hash, keep_set(values, set));
}

bool values_remove(struct values *values, struct slice value, uint32_t id)
{
    uint64_t *slot = values->slots.count ? probe(values, value, slots_hash(value)) : NULL;
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
    slots_remove(&values->slots, slot);
    return true;
}

bool values_find(const struct values *values, struct slice value, struct idset *out)
{
    uint64_t slot = values->slots.count ? *probe(values, value, slots_hash(value)) : 0;
    if (slot)
        *out = set_at(values, slot);
    return slot;
}

/* --- all of them --- */

bool values_next(const struct values *values, size_t *cursor, struct idset *out)
{
    while (*cursor < values->slots.capacity) {
        uint64_t slot = values->slots.at[(*cursor)++];
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
    size_t cursor = 0, bytes = values->slots.capacity * sizeof *values->slots.at +
                               values->set_capacity * sizeof *values->sets;
    while (values_next(values, &cursor, &set))
        bytes += idset_bytes(set);
    return bytes;
}
