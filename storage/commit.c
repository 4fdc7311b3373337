/* commit: the write path, from a batch of samples to durable and visible.
 *
 *   1. admit    each sample against its series: known? right kind? newer than what it holds, or late?
 *               Long runs become chunks at once (bulk.h)
 *   2. stage    the admitted ones become head log records in the RocksDB batch: one of those that go
 *               to the head, one of the late ones
 *   3. write    atomically, with new series, documents and log records
 *   4. publish  under the lock: append to the head, put late ones beside it (late.h); or, when the
 *               write failed, forget
 *
 * Between 1 and 4 only what is staged in the head changes, which readers never look at.
 *
 * A large batch is published in slices, so that readers wait for a millisecond and not for a million
 * series: on disk it is there whole or not at all, in memory it becomes visible sample by sample in
 * the order of the batch.
 */
#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/bulk.h"
#include "storage/code/column.h"
#include "storage/key.h"
#include "storage/store_state.h"

#define BATCH_ARENA_BYTES   ((size_t)1 << 30)
#define RECORD_ROWS_MAX     ((size_t)1 << 20) /* samples in one head log record */
#define SERIES_IN_BATCH_MAX 50000
#define PUBLISH_ROWS        ((size_t)8192) /* samples appended under one hold of the lock */

struct store_batch {
    struct store *store;
    struct kv_batch *kv;
    struct sample *samples;
    size_t count;
    size_t capacity;
    struct arena histograms;
    struct headlog_row *rows; /* admitted samples: for the head from the front, ... */
    size_t row_count;
    struct headlog_row *late; /* ... late ones from the back, the last one first */
    size_t late_count;
    struct buffer codes; /* of sketches, as they come; of histograms, when they are staged */
    struct bulk bulk;    /* while it is committed */
    bool records;        /* logstore has staged some */
    bool interned;
};

struct store_batch *store_batch_new(struct store *store)
{
    struct store_batch *batch = alloc_zeroed(1, sizeof *batch);
    batch->store = store;
    batch->kv = kv_batch_new();
    arena_init(&batch->histograms, BATCH_ARENA_BYTES);
    buffer_init(&batch->codes, SIZE_MAX);
    return batch;
}

static void batch_empty(struct store_batch *batch)
{
    kv_batch_clear(batch->kv);
    batch->count = batch->row_count = batch->late_count = 0;
    batch->records = batch->interned = false;
    arena_reset(&batch->histograms);
    buffer_reset(&batch->codes);
}

void store_batch_free(struct store_batch *batch)
{
    if (!batch)
        return;
    if (batch->records)
        logstore_discard(batch->store->logs);
    kv_batch_free(batch->kv);
    arena_release(&batch->histograms);
    buffer_release(&batch->codes);
    free(batch->samples);
    free(batch->rows);
    free(batch);
}

bool store_batch_is_empty(const struct store_batch *batch)
{
    return batch->count == 0 && !batch->records && !batch->interned && kv_batch_is_empty(batch->kv);
}

/* --- filling a batch --- */

static struct sample *push(struct store_batch *batch)
{
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity ? batch->capacity * 2 : 64;
        batch->samples = alloc_resize(batch->samples, batch->capacity, sizeof *batch->samples);
    }
    return &batch->samples[batch->count++];
}

void store_batch_value(struct store_batch *batch, uint32_t series, int64_t time_ms, double value)
{
    *push(batch) = (struct sample){.time_ms = time_ms, .value = value, .series = series};
}

void store_batch_histogram(struct store_batch *batch, uint32_t series, int64_t time_ms,
                           const struct histogram *histogram)
{
    assert(histogram->positive.count <= HISTOGRAM_BUCKETS_MAX &&
           histogram->negative.count <= HISTOGRAM_BUCKETS_MAX);
    const struct histogram *copy = histogram_copy(&batch->histograms, histogram);
    assert(copy); /* a gigabyte of histograms in one batch is a bug of the caller */
    *push(batch) = (struct sample){.time_ms = time_ms, .series = series, .histogram = copy};
}

void store_batch_set(struct store_batch *batch, uint32_t series, int64_t time_ms, double value,
                     struct slice code)
{
    assert(batch->codes.len < UINT32_MAX); /* four gigabytes in one batch are a bug of the caller */
    *push(batch) = (struct sample){.time_ms = time_ms,
                                   .value = value,
                                   .series = series,
                                   .sketch_at = (uint32_t)batch->codes.len + 1};
    buffer_append_prefixed(&batch->codes, code);
}

void store_batch_sketch(struct store_batch *batch, uint32_t series, int64_t time_ms,
                        const struct sketch *sketch)
{
    struct buffer code;
    buffer_init(&code, SIZE_MAX);
    sketch_encode(sketch, &code);
    store_batch_set(batch, series, time_ms, sketch_estimate(sketch), buffer_slice(&code));
    buffer_release(&code);
}

void store_batch_records(struct store_batch *batch, const struct record *records, size_t count)
{
    if (count == 0)
        return;
    logstore_stage(batch->store->logs, batch->kv, records, count);
    batch->records = true;
}

void store_batch_put(struct store_batch *batch, struct slice key, struct slice value)
{
    kv_batch_put(batch->store->kv, batch->kv, KV_DOCS, key, value);
}

void store_batch_delete(struct store_batch *batch, struct slice key)
{
    kv_batch_delete(batch->store->kv, batch->kv, KV_DOCS, key);
}

/* --- series --- */

static bool intern_new(struct store *store, struct labels labels, enum series_kind kind,
                       uint32_t *id)
{
    pthread_rwlock_wrlock(&store->lock);
    bool added = series_add(&store->series, buffer_slice(&store->labels), kind, id);
    if (added) {
        postings_add(&store->postings, *id, labels);
        struct head_series *series = head_make(&store->head, *id);
        series->sealed_ms = TIME_NONE;
        head_note_seal(series, store->seal_count);
        series->touched_s = (uint32_t)(clock_now_ms() / 1000);
    }
    pthread_rwlock_unlock(&store->lock);
    return added;
}

int store_intern(struct store *store, struct labels labels, enum series_kind kind, uint32_t *id,
                 struct error *err)
{
    assert(labels.count <= LABELS_MAX);
    buffer_reset(&store->labels);
    labels_encode(labels, &store->labels);
    if (!series_find(&store->series, buffer_slice(&store->labels), id)) {
        if (limit_admit(store, labels, err))
            return -1;
        if (intern_new(store, labels, kind, id))
            return 0;
        return limit_refuse_all(store, err); /* overflow series, too, have an end */
    }
    enum series_kind stored = (enum series_kind)store->series.rows[*id].kind;
    if ((stored == SERIES_HISTOGRAM) != (kind == SERIES_HISTOGRAM))
        return error_set(err, ERROR_BAD_DATA,
                         "the series exists as a %s and cannot take samples of a %s; give one of "
                         "them another label",
                         series_kind_name(stored), series_kind_name(kind));
    store_head_entry(store, *id);
    return 0;
}

int store_batch_intern(struct store_batch *batch, struct labels labels, enum series_kind kind,
                       uint32_t *id, struct error *err)
{
    int status = store_intern(batch->store, labels, kind, id, err);
    batch->interned |= batch->store->series.count > batch->store->series.saved;
    return status;
}

bool store_find(const struct store *store, struct slice labels, uint32_t *id,
                enum series_kind *kind)
{
    bool found = series_find(&store->series, labels, id);
    if (found)
        *kind = (enum series_kind)store->series.rows[*id].kind;
    return found;
}

struct slice store_labels(const struct store *store, uint32_t id)
{
    const struct series_row *row = series_row(&store->series, id);
    return row ? series_labels(row) : SLICE("");
}

/* --- admitting --- */

struct head_series *store_head_entry(struct store *store, uint32_t id)
{
    struct head_series *series = head_get(&store->head, id);
    if (!series) {
        pthread_rwlock_wrlock(&store->lock);
        series = head_make(&store->head, id);
        series->touched_s = (uint32_t)(clock_now_ms() / 1000);
        pthread_rwlock_unlock(&store->lock);
    }
    if (series->count == 0 && series->sealed_ms == TIME_UNKNOWN) {
        int64_t sealed = store_sealed_until(store, id);
        pthread_rwlock_wrlock(&store->lock);
        series->sealed_ms = sealed;
        head_note_seal(series, store->seal_count); /* at the latest */
        pthread_rwlock_unlock(&store->lock);
    }
    return series;
}

int64_t store_newest_ms(struct store *store, uint32_t id)
{
    const struct head_series *series = store_head_entry(store, id);
    const struct head_staged *staged = head_staged(&store->head, id);
    if (staged)
        return staged->after_ms - 1;
    if (series->count)
        return series->last_ms;
    /* What came after the sealed ones may be deleted; late samples still go before what is open. */
    const struct late_run *late = late_find(&store->late, id);
    int64_t late_ms = late ? late->times[late->count - 1] : TIME_NONE;
    return late_ms > series->sealed_ms ? late_ms : series->sealed_ms;
}

int64_t store_oldest_taken(struct store *store, uint32_t series)
{
    int64_t oldest_ms = store_oldest_ms(store, series, clock_now_ms());
    return oldest_ms < 0 ? 0 : oldest_ms;
}

enum store_metric sample_judge(struct store *store, const struct sample *sample, int64_t oldest_ms)
{
    const struct series_row *row = series_row(&store->series, sample->series);
    if (!row)
        return STORE_DROPPED_SERIES;
    bool histogram = row->kind == SERIES_HISTOGRAM;
    if (sample->histogram ? !histogram : histogram && !is_stale_nan(sample->value))
        return STORE_DROPPED_KIND;
    if (sample->time_ms < 0 || sample->time_ms > TIME_MS_MAX)
        return STORE_DROPPED_TIME;
    if (sample->time_ms < oldest_ms &&
        sample->time_ms < store_oldest_ms(store, sample->series, clock_now_ms()))
        return STORE_DROPPED_RETENTION;
    if (sample->time_ms <= store_newest_ms(store, sample->series))
        return STORE_LATE_SAMPLES;
    return STORE_SAMPLES;
}

/* Codes a histogram (or its stale marker) against the one staged before. */
static void stage_histogram(struct store_batch *batch, const struct sample *sample,
                            struct head_series *series, struct headlog_row *row)
{
    bool stale;
    if (!series->has_histograms) {
        pthread_rwlock_wrlock(&batch->store->lock);
        (void)head_make_histograms(series);
        pthread_rwlock_unlock(&batch->store->lock);
    }
    struct head_histograms *histograms = head_histograms(series);
    row->code_at = (uint32_t)batch->codes.len;
    if (sample->histogram)
        histogram_code_append(&batch->codes, sample->histogram,
                              histograms->code_full ? NULL : &histograms->staged);
    else
        histogram_code_append_stale(&batch->codes);
    row->code_len = (uint32_t)(batch->codes.len - row->code_at);
    struct slice code = slice_make(batch->codes.at + row->code_at, row->code_len);
    bool sound = histogram_code_cut(&code, &histograms->staged, &stale);
    assert(sound);
    if (sample->histogram)
        histograms->code_full = false;
}

/* Its code lies in the batch already. A series of another kind takes the number alone. */
static void stage_sketch(struct store_batch *batch, const struct sample *sample,
                         struct headlog_row *row)
{
    struct slice codes = buffer_slice(&batch->codes), code = sample_sketch(sample, codes);
    row->sketch = batch->store->series.rows[sample->series].kind == SERIES_SET && code.len > 0;
    if (!row->sketch)
        return;
    row->code_at = (uint32_t)(code.at - codes.at);
    row->code_len = (uint32_t)code.len;
}

/* The value before, which the head log refers to; 0 before the first open one. */
static uint64_t known_bits(const struct head *head, uint32_t id, const struct head_series *series)
{
    const struct head_staged *staged = head_staged(head, id);
    if (staged)
        return staged->bits;
    return series->count ? double_bits(head_last_value(series)) : 0;
}

static void stage_sample(struct store_batch *batch, const struct sample *sample)
{
    struct head *head = &batch->store->head;
    struct head_series *series = head_get(head, sample->series);
    struct headlog_row *row = &batch->rows[batch->row_count++];
    *row = (struct headlog_row){.time_ms = sample->time_ms,
                                .series = sample->series,
                                .bits = double_bits(sample->value),
                                .known = known_bits(head, sample->series, series)};
    if (head->staged)
        head_stage(head, sample->series, sample->time_ms, row->bits);
    if (batch->store->series.rows[sample->series].kind == SERIES_HISTOGRAM)
        stage_histogram(batch, sample, series, row);
    else if (sample->sketch_at)
        stage_sketch(batch, sample, row);
}

/* A late sample refers to no other one. */
static void stage_late(struct store_batch *batch, const struct sample *sample)
{
    struct headlog_row *row = --batch->late;
    batch->late_count++;
    *row = (struct headlog_row){
        .time_ms = sample->time_ms, .series = sample->series, .bits = double_bits(sample->value)};
    if (sample->sketch_at)
        stage_sketch(batch, sample, row);
    if (batch->store->series.rows[sample->series].kind != SERIES_HISTOGRAM)
        return;
    row->code_at = (uint32_t)batch->codes.len;
    if (sample->histogram)
        histogram_code_append(&batch->codes, sample->histogram, NULL);
    else
        histogram_code_append_stale(&batch->codes);
    row->code_len = (uint32_t)(batch->codes.len - row->code_at);
}

static void prefetch(const struct store_batch *batch, size_t i)
{
    const struct head_series *ahead =
        i < batch->count ? head_get(&batch->store->head, batch->samples[i].series) : NULL;
    if (ahead)
        __builtin_prefetch(ahead);
}

/* While ids ascend, as in a tick, no series comes twice, and nobody asks what is staged of it. */
static void expect(struct store_batch *batch, uint32_t series)
{
    struct head *head = &batch->store->head;
    if (head->staged || batch->row_count == 0 || batch->rows[batch->row_count - 1].series < series)
        return;
    for (size_t i = 0; i < batch->row_count; i++)
        head_stage(head, batch->rows[i].series, batch->rows[i].time_ms, batch->rows[i].bits);
}

static int admit(struct store_batch *batch, struct error *err)
{
    struct store *store = batch->store;
    int64_t limit = keep_shortest(&store->keep, STORE_RAW);
    int64_t oldest = limit ? clock_now_ms() - limit : INT64_MIN;
    batch->bulk.codes = buffer_slice(&batch->codes);
    if (bulk_admit(&batch->bulk, batch->samples, &batch->count, oldest, err))
        return -1;
    batch->rows = alloc_resize(batch->rows, batch->count, sizeof *batch->rows);
    batch->late = batch->rows + batch->count;
    for (size_t i = 0; i < batch->count; i++) {
        prefetch(batch, i + 8);
        expect(batch, batch->samples[i].series);
        enum store_metric verdict = sample_judge(store, &batch->samples[i], oldest);
        if (verdict == STORE_SAMPLES)
            stage_sample(batch, &batch->samples[i]);
        else if (verdict == STORE_LATE_SAMPLES)
            stage_late(batch, &batch->samples[i]);
        else
            metric_add(&store_metrics[verdict], 1);
    }
    return 0;
}

/* --- writing and publishing --- */

/* The late rows in the order they came: of two at one time the last one counts. */
static void turn_late(struct store_batch *batch)
{
    for (size_t i = 0, k = batch->late_count; i + 1 < k; i++) {
        struct headlog_row row = batch->late[i];
        batch->late[i] = batch->late[--k];
        batch->late[k] = row;
    }
}

/* Puts records of these rows into the batch, under sequences from `sequence` on; returns how many. */
static uint64_t stage_headlog(struct store_batch *batch, enum headlog_kind kind,
                              struct headlog_rows rows, uint64_t sequence)
{
    struct store *store = batch->store;
    struct buffer record;
    uint64_t records = 0;
    buffer_init(&record, SIZE_MAX);
    for (; rows.count; records++) {
        struct headlog_rows part = rows;
        struct key_bytes key = key_of_u64(sequence + records);
        part.count = rows.count < RECORD_ROWS_MAX ? rows.count : RECORD_ROWS_MAX;
        rows.at += part.count;
        rows.count -= part.count;
        buffer_reset(&record);
        headlog_append_samples(&record, kind, clock_now_ms(), &part);
        kv_batch_put(store->kv, batch->kv, KV_HEADLOG, key_slice(&key), buffer_slice(&record));
        metric_add(&store_metrics[STORE_HEADLOG_BYTES], (int64_t)record.len);
    }
    buffer_release(&record);
    return records;
}

static void publish_row(struct store_batch *batch, const struct headlog_row *row, uint32_t now_s)
{
    struct store *store = batch->store;
    struct head_series *series = head_get(&store->head, row->series);
    if (series->count == 0)
        head_begin(series, store->headlog_next, now_s);
    struct slice code =
        row->code_len ? slice_make(batch->codes.at + row->code_at, row->code_len) : SLICE("");
    if (code.len && !row->sketch)
        head_append_histogram(&store->head, series, row->time_ms, code);
    else
        head_append_value(&store->head, series, row->time_ms, double_of_bits(row->bits));
    if (row->sketch)
        head_append_sketch(&store->head, row->series, code);
    store_note_due(store, row->series, series);
}

static void publish_late(struct store_batch *batch, uint32_t now_s)
{
    for (size_t i = 0; i < batch->late_count; i++) {
        const struct headlog_row *row = &batch->late[i];
        struct late_sample sample = {.series = row->series,
                                     .time_ms = row->time_ms,
                                     .value = double_of_bits(row->bits),
                                     .sketch = row->sketch,
                                     .sequence = batch->store->headlog_next,
                                     .now_s = now_s};
        if (row->code_len)
            sample.code = slice_make(batch->codes.at + row->code_at, row->code_len);
        late_put(&batch->store->late, &sample);
    }
}

/* The earliest sample of the batch, INT64_MAX when it has none. */
static int64_t earliest(const struct store_batch *batch)
{
    int64_t low_ms = batch->bulk.low_ms;
    for (size_t i = 0; i < batch->row_count; i++)
        low_ms = batch->rows[i].time_ms < low_ms ? batch->rows[i].time_ms : low_ms;
    for (size_t i = 0; i < batch->late_count; i++)
        low_ms = batch->late[i].time_ms < low_ms ? batch->late[i].time_ms : low_ms;
    return low_ms;
}

static void publish(struct store_batch *batch)
{
    struct store *store = batch->store;
    int64_t low_ms = earliest(batch);
    uint32_t now_s = (uint32_t)(clock_now_ms() / 1000);
    pthread_rwlock_wrlock(&store->lock);
    bulk_publish(&batch->bulk);
    pthread_rwlock_unlock(&store->lock);
    for (size_t from = 0; from < batch->row_count; from += PUBLISH_ROWS) {
        size_t left = batch->row_count - from;
        size_t to = from + (left < PUBLISH_ROWS ? left : PUBLISH_ROWS);
        pthread_rwlock_wrlock(&store->lock);
        for (size_t i = from; i < to; i++) {
            if (i + 8 < to)
                __builtin_prefetch(head_get(&store->head, batch->rows[i + 8].series));
            publish_row(batch, &batch->rows[i], now_s);
        }
        pthread_rwlock_unlock(&store->lock);
    }
    pthread_rwlock_wrlock(&store->lock);
    publish_late(batch, now_s);
    if (low_ms != INT64_MAX)
        changes_add(&store->changes, low_ms);
    pthread_rwlock_unlock(&store->lock);
    metric_add(&store_metrics[STORE_SAMPLES], (int64_t)(batch->row_count + batch->late_count));
    metric_add(&store_metrics[STORE_LATE_SAMPLES], (int64_t)batch->late_count);
}

/* Forgets what was staged. */
static void take_back(struct store_batch *batch)
{
    struct store *store = batch->store;
    for (size_t i = 0; i < batch->row_count; i++)
        head_unstage(head_get(&store->head, batch->rows[i].series));
    bulk_take_back(&batch->bulk);
    if (batch->records)
        logstore_discard(store->logs);
    size_t admitted = batch->row_count + batch->late_count + batch->bulk.samples;
    metric_add(&store_metrics[STORE_DROPPED_UNWRITTEN],
               (int64_t)(admitted ? admitted : batch->count));
}

/* Writes new series beforehand where they are so many that the batch would become large: one
 * without samples does no harm. */
static int save_series(struct store *store, struct error *err)
{
    struct kv_batch *batch = kv_batch_new();
    int status = 0;
    while (!status && store->series.count - store->series.saved > SERIES_IN_BATCH_MAX) {
        uint32_t end = store->series.saved + SERIES_IN_BATCH_MAX;
        series_stage(&store->series, end, store->kv, batch);
        status = kv_write(store->kv, batch, false, err);
        if (!status)
            store->series.saved = end;
    }
    kv_batch_free(batch);
    return status;
}

static int write_batch(struct store_batch *batch, bool sync, struct error *err)
{
    struct store *store = batch->store;
    if (store_check_disk(store, err) || save_series(store, err))
        return -1;
    if (admit(batch, err))
        return -1;
    turn_late(batch);
    struct slice codes = buffer_slice(&batch->codes);
    struct headlog_rows open = {batch->rows, batch->row_count, codes};
    struct headlog_rows late = {batch->late, batch->late_count, codes};
    uint64_t records = bulk_stage(&batch->bulk, store->headlog_next);
    records += stage_headlog(batch, HEADLOG_SAMPLES, open, store->headlog_next + records);
    records += stage_headlog(batch, HEADLOG_LATE, late, store->headlog_next + records);
    series_stage(&store->series, store->series.count, store->kv, batch->kv);
    if (!kv_batch_is_empty(batch->kv) && kv_write(store->kv, batch->kv, sync, err))
        return -1;
    publish(batch);
    store->headlog_next += records;
    store->series.saved = store->series.count;
    if (batch->records)
        logstore_publish(store->logs);
    return 0;
}

int store_commit(struct store *store, struct store_batch *batch, bool sync, struct error *err)
{
    assert(batch->store == store);
    bulk_init(&batch->bulk, store, batch->kv);
    int status = write_batch(batch, sync, err);
    if (status)
        take_back(batch);
    head_end_staging(&store->head);
    bulk_release(&batch->bulk);
    batch_empty(batch);
    /* What was asked for is durable whatever becomes of this. */
    struct error merging = {0};
    if (!status && store_merge_excess(store, &merging))
        log_error("merge", "error=\"%s\"", merging.text);
    return status;
}
