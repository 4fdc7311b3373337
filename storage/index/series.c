/* series: label sets in pages of text, an array of rows that point there, and an index by hash.
 *
 *   KV_SERIES   series u32be -> kind u8 | canonical labels
 *   KV_META     "series" -> u32le, the next id; written when series are forgotten
 *
 *   index   [ hash 32 | id + 1 ] ...   slots.c
 *   rows    [ text * | length | kind ] by id
 *
 * Ids are given in order of arrival, so the series of one deploy are neighbours: bitmaps of them
 * are runs, and their chunks lie side by side. An id is never used again.
 * The label set is here once: others keep the id.
 */
#include "storage/index/series.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/key.h"

void series_init(struct series *series, size_t series_max)
{
    *series = (struct series){.live_max = series_max};
}

void series_release(struct series *series)
{
    text_release(&series->text);
    slots_release(&series->index);
    free(series->rows);
    *series = (struct series){0};
}

size_t series_bytes(const struct series *series)
{
    return series->index.capacity * sizeof *series->index.at +
           series->capacity * sizeof *series->rows + series->text.bytes;
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

/* --- the index --- */

static uint32_t id_of_slot(uint64_t slot)
{
    return slots_reference(slot) - 1;
}

/* The slot of these labels, or the empty one where they would go. Needs slots. */
static uint64_t *probe(const struct series *series, struct slice labels, uint32_t hash)
{
    uint64_t *slot = slots_seek(&series->index, hash, NULL);
    while (*slot && !slice_equal(series_labels(&series->rows[id_of_slot(*slot)]), labels))
        slot = slots_seek(&series->index, hash, slot);
    return slot;
}

/* --- adding and removing --- */

bool series_find(const struct series *series, struct slice labels, uint32_t *id)
{
    uint64_t slot = series_live(series) ? *probe(series, labels, slots_hash(labels)) : 0;
    if (slot)
        *id = id_of_slot(slot);
    return slot;
}

static bool series_put(struct series *series, uint32_t id, struct slice labels,
                       enum series_kind kind)
{
    uint32_t hash = slots_hash(labels);
    slots_reserve(&series->index);
    uint64_t *slot = probe(series, labels, hash);
    if (*slot || series_live(series) >= series->live_max)
        return false;
    make_room(series, id);
    slots_put(&series->index, slot, hash, id + 1);
    series->rows[id] = (struct series_row){.labels = text_add(&series->text, labels),
                                           .labels_len = (uint32_t)labels.len,
                                           .kind = (uint8_t)kind};
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

/* Copies the labels that are left. */
static void pack_text(struct series *series)
{
    struct text text = {0};
    for (uint32_t id = 0; id < series->count; id++)
        if (series->rows[id].labels)
            series->rows[id].labels = text_add(&text, series_labels(&series->rows[id]));
    text_release(&series->text);
    series->text = text;
}

void series_remove(struct series *series, uint32_t id)
{
    const struct series_row *row = series_row(series, id);
    assert(row);
    struct slice labels = series_labels(row);
    uint64_t *slot = probe(series, labels, slots_hash(labels));
    assert(*slot);
    slots_remove(&series->index, slot);
    text_forget(&series->text, labels);
    series->rows[id] = (struct series_row){0};
    if (text_is_sparse(&series->text))
        pack_text(series);
}

void series_stage(const struct series *series, uint32_t end, struct kv *kv, struct kv_batch *batch)
{
    struct buffer value;
    buffer_init(&value, SIZE_MAX);
    for (uint32_t id = series->saved; id < end; id++) {
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

void series_stage_next(const struct series *series, struct kv *kv, struct kv_batch *batch)
{
    struct buffer value;
    buffer_init(&value, 64);
    buffer_append_u32le(&value, series->count);
    kv_batch_put(kv, batch, KV_META, SLICE("series"), buffer_slice(&value));
    buffer_release(&value);
}

static int load_next(struct series *series, struct kv *kv, struct error *err)
{
    struct buffer value;
    uint32_t next = 0;
    buffer_init(&value, 64);
    int status = kv_get(kv, KV_META, SLICE("series"), &value, err);
    struct slice rest = buffer_slice(&value);
    if (status == 1)
        status = bytes_cut_u32le(&rest, &next) && next <= UINT32_MAX / 2
                     ? 0
                     : error_set(err, ERROR_INTERNAL,
                                 "the number of the next series is damaged; restore a backup");
    if (next > series->count) {
        make_room(series, next - 1);
        series->count = next;
    }
    buffer_release(&value);
    return status;
}

/* Leaves the labels in *value. */
static bool cut_row(struct slice key, struct slice *value, uint32_t *id, uint8_t *kind)
{
    return bytes_cut_u32be(&key, id) && key.len == 0 && *id < UINT32_MAX / 2 &&
           bytes_cut_u8(value, kind) && *kind >= SERIES_COUNTER && *kind <= SERIES_SET &&
           value->len < UINT32_MAX;
}

bool series_check_row(struct slice key, struct slice value, struct arena *arena, uint32_t *id)
{
    uint8_t kind;
    struct labels labels;
    return cut_row(key, &value, id, &kind) && labels_decode(value, arena, &labels);
}

/* A walk over KV_SERIES. */
struct series_loading {
    struct series *series;
    struct kv *kv;
    bool full;
};

/* A damaged row is noted and left out: its samples cannot be found any more. */
static bool load_row(void *arg, struct slice key, struct slice value)
{
    struct series_loading *loading = arg;
    struct series *series = loading->series;
    uint32_t id = 0;
    uint8_t kind;
    if (cut_row(key, &value, &id, &kind) && series_put(series, id, value, (enum series_kind)kind))
        return true;
    loading->full = series_live(series) >= series->live_max;
    if (!loading->full)
        damage_note(kv_damages(loading->kv), DAMAGE_INDEX, "the labels of series %u are malformed",
                    id);
    return !loading->full;
}

int series_load(struct series *series, struct kv *kv, struct error *err)
{
    struct series_loading loading = {.series = series, .kv = kv};
    struct kv_range all = {.family = KV_SERIES};
    int status = kv_each(kv, &all, load_row, &loading, err) < 0 ? -1 : 0;
    if (!status && loading.full)
        status = error_set(err, ERROR_INTERNAL,
                           "the store holds more series than limits.series allows; raise it");
    if (!status)
        status = load_next(series, kv, err);
    series->saved = series->count;
    return status;
}
