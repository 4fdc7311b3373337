/* table: linear probing at a load of at most 3/4, deletion by shifting back (no tombstones), so a
 * probe always ends at the first empty slot and iteration order is the hash order.
 */
#include "storage/base/table.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

#include "storage/base/alloc.h"

#define CAPACITY_MIN 16

uint64_t slice_hash(struct slice s)
{
    return XXH3_64bits(s.at, s.len);
}

void table_init(struct table *table, size_t count_max)
{
    *table = (struct table){.count_max = count_max};
}

void table_release(struct table *table)
{
    for (size_t i = 0; i < table->capacity; i++)
        free(table->entries[i].key);
    free(table->entries);
    *table = (struct table){.count_max = table->count_max};
}

static uint32_t hash_of(struct slice key)
{
    return (uint32_t)slice_hash(key);
}

/* The slot of the key, or the empty slot where it would go. Needs capacity > 0. */
static struct table_entry *probe(const struct table *table, struct slice key, uint32_t hash)
{
    size_t mask = table->capacity - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct table_entry *entry = &table->entries[i];
        if (!entry->key || (entry->hash == hash && slice_equal(table_key(entry), key)))
            return entry;
    }
}

static void grow(struct table *table)
{
    struct table old = *table;
    table->capacity = old.capacity ? old.capacity * 2 : CAPACITY_MIN;
    table->entries = alloc_zeroed(table->capacity, sizeof *table->entries);
    size_t mask = table->capacity - 1;
    for (size_t i = 0; i < old.capacity; i++) {
        if (!old.entries[i].key)
            continue;
        size_t slot = old.entries[i].hash & mask;
        while (table->entries[slot].key)
            slot = (slot + 1) & mask;
        table->entries[slot] = old.entries[i];
    }
    free(old.entries);
}

struct table_entry *table_find(const struct table *table, struct slice key)
{
    if (table->count == 0)
        return NULL;
    struct table_entry *entry = probe(table, key, hash_of(key));
    return entry->key ? entry : NULL;
}

struct table_entry *table_insert(struct table *table, struct slice key, bool *fresh)
{
    uint32_t hash = hash_of(key);
    if ((table->count + 1) * 4 > table->capacity * 3)
        grow(table);
    struct table_entry *entry = probe(table, key, hash);
    *fresh = !entry->key;
    if (entry->key)
        return entry;
    if (table->count >= table->count_max)
        return NULL;
    assert(key.len <= UINT32_MAX);
    char *copy = alloc_resize(NULL, key.len + 1, 1);
    if (key.len)
        memcpy(copy, key.at, key.len);
    copy[key.len] = 0;
    *entry = (struct table_entry){.hash = hash, .key = copy, .key_len = (uint32_t)key.len};
    table->count++;
    return entry;
}

bool table_remove(struct table *table, struct slice key, struct table_entry *removed)
{
    struct table_entry *entry = table_find(table, key);
    if (!entry)
        return false;
    free(entry->key);
    entry->key = NULL;
    if (removed)
        *removed = *entry;
    size_t mask = table->capacity - 1, hole = (size_t)(entry - table->entries);
    for (size_t i = (hole + 1) & mask; table->entries[i].key; i = (i + 1) & mask) {
        size_t home = table->entries[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* already between its home and the hole */
        table->entries[hole] = table->entries[i];
        table->entries[i].key = NULL;
        hole = i;
    }
    table->count--;
    return true;
}

struct table_entry *table_next(const struct table *table, size_t *cursor)
{
    while (*cursor < table->capacity) {
        struct table_entry *entry = &table->entries[(*cursor)++];
        if (entry->key)
            return entry;
    }
    return NULL;
}
