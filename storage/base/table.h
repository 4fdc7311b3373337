/* table: the hash table, slice -> pointer-sized value.
 *
 * Keys are copied in. Open addressing, XXH3, linear probing; grows by doubling up to a maximum
 * number of entries given at init. One thread at a time. The statsd aggregation has its own, tuned
 * table (server/ingest/intake.c); everything else uses this one.
 */
#ifndef STORAGE_BASE_TABLE_H
#define STORAGE_BASE_TABLE_H

#include "storage/base/slice.h"

struct table_entry {
    char *key;     /* owned; NULL = empty slot */
    uint32_t hash; /* its low half */
    uint32_t key_len;
    union {
        void *pointer;
        uint64_t number;
    } value;
};

struct table {
    struct table_entry *entries;
    size_t capacity; /* power of two, or 0 */
    size_t count;
    size_t count_max;
};

void table_init(struct table *table, size_t count_max);
/* Values are not freed: iterate first if they are owned. */
void table_release(struct table *table);

/* NULL when absent. The entry is valid until the next insert or remove. */
struct table_entry *table_find(const struct table *table, struct slice key);
/* Finds or inserts (value zeroed, *fresh true); NULL when the table is full. */
MUST_USE struct table_entry *table_insert(struct table *table, struct slice key, bool *fresh);
/* Removes the key if present; its value is returned through *removed when not NULL. */
bool table_remove(struct table *table, struct slice key, struct table_entry *removed);
/* Visits every entry: start with *cursor = 0; NULL at the end. No inserts or removes meanwhile. */
struct table_entry *table_next(const struct table *table, size_t *cursor);

static inline struct slice table_key(const struct table_entry *entry)
{
    return slice_make(entry->key, entry->key_len);
}

uint64_t slice_hash(struct slice s);

#endif
