/* series: a hash table of canonical labels and an array of rows that point into its keys.
 *
 *   KV_SERIES   series u32be -> kind u8 | canonical labels
 *
 * Ids are given in order of arrival, so the series of one deploy are neighbours: bitmaps of them
 * are runs, and their chunks lie side by side. An id is not used again while the process lives.
 */
#include "storage/series.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/key.h"

void series_init(struct series *series, size_t series_max)
{
    *series = (struct series){0};
    table_init(&series->ids, series_max);
}

void series_release(struct series *series)
{
    table_release(&series->ids);
    free(series->rows);
    *series = (struct series){0};
}

static void make_room(struct series *series, uint32_t id)
{
    if (id < series->capacity)
        return;
    uint32_t capacity = series->capacity ? series->capacity : 64;
    while (capacity <= id)
        capacity *= 2;
    series->rows = alloc_resize(series->rows, capacity, sizeof *series->rows);
    memset(series->rows + series->capacity, 0,
           (capacity - series->capacity) * sizeof *series->rows);
    series->capacity = capacity;
}

bool series_find(const struct series *series, struct slice labels, uint32_t *id)
{
    const struct table_entry *entry = table_find(&series->ids, labels);
    if (entry)
        *id = (uint32_t)entry->value.number;
    return entry;
}

static bool series_put(struct series *series, uint32_t id, struct slice labels,
                       enum series_kind kind)
{
    bool fresh;
    struct table_entry *entry = table_insert(&series->ids, labels, &fresh);
    if (!entry || !fresh)
        return false;
    make_room(series, id);
    entry->value.number = id;
    series->rows[id] = (struct series_row){
        .labels = entry->key, .labels_len = (uint32_t)entry->key_len, .kind = (uint8_t)kind};
    if (id >= series->count)
        series->count = id + 1;
    return true;
}

bool series_add(struct series *series, struct slice labels, enum series_kind kind, uint32_t *id)
{
    if (series->count == UINT32_MAX / 2 || !series_put(series, series->count, labels, kind))
        return false;
    *id = series->count - 1;
    return true;
}

void series_remove(struct series *series, uint32_t id)
{
    const struct series_row *row = series_row(series, id);
    assert(row);
    table_remove(&series->ids, series_labels(row), NULL);
    series->rows[id] = (struct series_row){0};
}

void series_stage(const struct series *series, struct kv *kv, struct kv_batch *batch)
{
    struct buffer value;
    buffer_init(&value, SIZE_MAX);
    for (uint32_t id = series->saved; id < series->count; id++) {
        const struct series_row *row = series_row(series, id);
        if (!row)
            continue;
        struct key_bytes key = key_of_u32(id);
        buffer_reset(&value);
        buffer_append_u8(&value, row->kind);
        buffer_append_slice(&value, series_labels(row));
        kv_batch_put(kv, batch, KV_SERIES, key_slice(&key), buffer_slice(&value));
    }
    buffer_release(&value);
}

/* One row of KV_SERIES. */
static bool load_row(struct series *series, struct slice key, struct slice value)
{
    uint32_t id;
    uint8_t kind;
    return bytes_cut_u32be(&key, &id) && key.len == 0 && id < UINT32_MAX / 2 &&
           bytes_cut_u8(&value, &kind) && kind >= SERIES_COUNTER && kind <= SERIES_SET &&
           value.len < UINT32_MAX && series_put(series, id, value, (enum series_kind)kind);
}

int series_load(struct series *series, struct kv *kv, struct error *err)
{
    struct kv_iterator *it = kv_iterate(kv, KV_SERIES, SLICE(""), SLICE(""));
    int status = 0;
    for (bool more = kv_seek_first(it); more && !status; more = kv_next(it)) {
        if (load_row(series, kv_key(it), kv_value(it)))
            continue;
        status = error_set(err, ERROR_INTERNAL,
                           series->ids.count >= series->ids.count_max
                               ? "the store holds more series than limits.series allows; raise it"
                               : "a row of the series table is malformed; restore a backup");
    }
    if (!status)
        status = kv_iterator_check(it, err);
    kv_iterator_free(it);
    series->saved = series->count;
    return status;
}
