/* series: which label sets exist, under which dense ids.
 *
 * Kept whole in memory; KV_SERIES (id -> kind, labels) is its durable form. The owner guards it:
 * many readers or one writer.
 */
#ifndef STORAGE_INDEX_SERIES_H
#define STORAGE_INDEX_SERIES_H

#include "storage/base/text.h"
#include "storage/index/slots.h"
#include "storage/kv/kv.h"
#include "storage/store.h"

struct series_row {
    const char *labels; /* canonical bytes; owned by `text`; NULL = no such series */
    uint32_t labels_len;
    uint8_t kind; /* enum series_kind */
};

struct series {
    struct slots index; /* of the labels; references are id + 1 */
    size_t live_max;
    struct text text;
    struct series_row *rows;
    uint32_t count; /* the next id */
    uint32_t capacity;
    uint32_t saved; /* ids below are in KV_SERIES */
};

void series_init(struct series *series, size_t series_max);
void series_release(struct series *series);
/* Is this a sound row of KV_SERIES? *id is its series as far as the key says. */
MUST_USE bool series_check_row(struct slice key, struct slice value, struct arena *arena,
                               uint32_t *id);
/* Reads all of KV_SERIES, and the next id. */
MUST_USE int series_load(struct series *series, struct kv *kv, struct error *err);

/* True and *id when the label set exists. */
bool series_find(const struct series *series, struct slice labels, uint32_t *id);
/* A new id; the label set must not exist. False when series_max is reached. */
MUST_USE bool series_add(struct series *series, struct slice labels, enum series_kind kind,
                         uint32_t *id);
void series_remove(struct series *series, uint32_t id);
/* Bytes held. */
size_t series_bytes(const struct series *series);
/* Puts the next id into the batch: with it, ids of rows that go stay unused. */
void series_stage_next(const struct series *series, struct kv *kv, struct kv_batch *batch);
/* Puts the rows of ids >= saved and below `end` into the batch. */
void series_stage(const struct series *series, uint32_t end, struct kv *kv, struct kv_batch *batch);

static inline const struct series_row *series_row(const struct series *series, uint32_t id)
{
    return id < series->count && series->rows[id].labels ? &series->rows[id] : NULL;
}

/* Label sets known. */
static inline size_t series_live(const struct series *series)
{
    return series->index.count;
}

static inline struct slice series_labels(const struct series_row *row)
{
    return slice_make(row->labels, row->labels_len);
}

#endif
