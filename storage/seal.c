/* seal: moves samples from the head into chunks, a bounded number a tick.
 *
 *   one write:   KV_CHUNK     the chunks
 *                KV_POSTINGS  bitmaps of days that gained a series
 *                KV_HEADLOG   a record that these series are sealed up to these times
 *   then, under the lock, the samples leave the head.
 *
 * A series is due when it has a chunk full of samples, at its stale marker, or when its oldest open
 * sample has been there for two hours. The first chunk of a series is cut short by its id, so that
 * series which began together are not sealed together. Chunks never cross midnight: what the head
 * holds of two days becomes two chunks.
 *
 * The head log is cut below the oldest record that an open or late sample needs: first the mark in KV_META,
 * synced, so that the chunks are safe, then the records.
 */
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/code/chunk.h"
#include "storage/key.h"
#include "storage/merge.h"
#include "storage/store_state.h"

#define SERIES_PER_WRITE    1000
#define TICK_NS_MAX         ((int64_t)100000000)
#define BEHIND_SERIES       3000 /* about what a tick's time suffices for */
#define BEHIND_NS_MAX       ((int64_t)300000000)
#define SWEEP_MS            60000
#define STRAGGLER_S         7200
#define IDLE_S              3600
#define HEADLOG_RECORDS_MIN 16 /* not worth cutting for less */
#define ARENA_BYTES         ((size_t)1 << 30)

void store_note_due(struct store *store, uint32_t id, struct head_series *series)
{
    size_t half = store->chunk_samples / 2;
    size_t full = series->sealed_once ? store->chunk_samples : half + id % half + 1;
    if (series->due || series->count == 0)
        return;
    if (series->count < full && (series->has_histograms || !is_stale_nan(head_last_value(series))))
        return;
    series->due = true;
    id_list_push(&store->due, id);
}

/* One write's worth of sealing. */
struct seal {
    struct store *store;
    struct kv_batch *batch;
    struct buffer chunk;
    struct arena arena;
    uint32_t ids[SERIES_PER_WRITE];
    int64_t until_ms[SERIES_PER_WRITE];
    size_t count;
    uint64_t chunks, samples, bytes;
};

/* How many of the samples from `from` on go into one chunk: same day, not too many. */
static size_t piece(const struct seal *seal, const int64_t *times, size_t count)
{
    size_t most = count < seal->store->chunk_samples ? count : seal->store->chunk_samples, n = 1;
    while (n < most && partition_of(times[n]) == partition_of(times[0]))
        n++;
    return n;
}

static void put_chunk(struct seal *seal, uint32_t id, const int64_t *times, size_t samples)
{
    struct chunk_key chunk = {.partition = partition_of(times[0]),
                              .series = id,
                              .offset_ms = (uint32_t)(times[0] % PARTITION_MS)};
    struct key_bytes key = key_of_chunk(chunk);
    kv_batch_put(seal->store->kv, seal->batch, KV_CHUNK, key_slice(&key),
                 buffer_slice(&seal->chunk));
    pthread_rwlock_wrlock(&seal->store->lock);
    partitions_mark(&seal->store->partitions, id, times[0], times[samples - 1]);
    pthread_rwlock_unlock(&seal->store->lock);
    seal->chunks++;
    seal->samples += samples;
    seal->bytes += seal->chunk.len;
}

/* Those of the samples that the next chunks may have, or NULL. */
static struct slice *open_sketches(struct seal *seal, uint32_t id, size_t from, size_t count)
{
    if (!head_has_sketches(&seal->store->head, id))
        return NULL;
    arena_reset(&seal->arena);
    struct slice *at = head_read_sketches(&seal->store->head, id, from, count, &seal->arena);
    if (!at)
        abort(); /* the arena holds what the head can */
    return at;
}

static void seal_values(struct seal *seal, uint32_t id, const struct head_series *series)
{
    int64_t times[CHUNK_SAMPLES_MAX];
    double values[CHUNK_SAMPLES_MAX];
    for (size_t from = 0, count; from < series->count; from += count) {
        size_t left = series->count - from;
        count = left < seal->store->chunk_samples ? left : seal->store->chunk_samples;
        head_times(series, from, count, times);
        count = piece(seal, times, count);
        head_values(series, from, count, values);
        buffer_reset(&seal->chunk);
        chunk_append_set(&seal->chunk, times, values, open_sketches(seal, id, from, count), count);
        put_chunk(seal, id, times, count);
    }
}

static void seal_histograms(struct seal *seal, uint32_t id, const struct head_series *series)
{
    size_t total = series->count;
    arena_reset(&seal->arena);
    int64_t *times = arena_alloc(&seal->arena, total * sizeof *times);
    const struct histogram **at = arena_alloc(&seal->arena, total * sizeof *at);
    if (!times || !at || !head_read_histograms(series, 0, total, &seal->arena, at))
        abort(); /* the arena holds what the head can */
    head_times(series, 0, total, times);
    for (size_t from = 0, count; from < total; from += count) {
        count = piece(seal, times + from, total - from);
        while (!chunk_histograms_fit(at + from, count))
            count = (count + 1) / 2;
        buffer_reset(&seal->chunk);
        chunk_append_histograms(&seal->chunk, times + from, at + from, count);
        put_chunk(seal, id, times + from, count);
    }
}

static void seal_series(struct seal *seal, uint32_t id)
{
    const struct head_series *series = head_get(&seal->store->head, id);
    if (!series || series->count == 0)
        return;
    if (series->has_histograms)
        seal_histograms(seal, id, series);
    else
        seal_values(seal, id, series);
    seal->ids[seal->count] = id;
    seal->until_ms[seal->count++] = series->last_ms;
}

static void clear_sealed(struct seal *seal)
{
    struct store *store = seal->store;
    uint32_t now_s = (uint32_t)(clock_now_ms() / 1000);
    pthread_rwlock_wrlock(&store->lock);
    store->seal_count++;
    for (size_t i = 0; i < seal->count; i++) {
        struct head_series *series = head_get(&store->head, seal->ids[i]);
        head_clear(&store->head, seal->ids[i]);
        head_note_seal(series, store->seal_count);
        series->touched_s = now_s;
    }
    partitions_saved(&store->partitions);
    pthread_rwlock_unlock(&store->lock);
    metric_add(&store_metrics[STORE_CHUNKS], (int64_t)seal->chunks);
    metric_add(&store_metrics[STORE_CHUNK_SAMPLES], (int64_t)seal->samples);
    metric_add(&store_metrics[STORE_CHUNK_BYTES], (int64_t)seal->bytes);
}

static int write_sealed(struct seal *seal, struct error *err)
{
    struct store *store = seal->store;
    struct key_bytes key = key_of_u64(store->headlog_next);
    if (seal->count == 0)
        return 0;
    partitions_stage(&store->partitions, store->kv, seal->batch);
    buffer_reset(&seal->chunk);
    headlog_append_sealed(&seal->chunk, seal->ids, seal->until_ms, seal->count);
    kv_batch_put(store->kv, seal->batch, KV_HEADLOG, key_slice(&key), buffer_slice(&seal->chunk));
    if (kv_write(store->kv, seal->batch, false, err))
        return -1;
    store->headlog_next++;
    clear_sealed(seal);
    return 0;
}

/* The first n are no longer due. */
static void take_first(struct store *store, size_t n)
{
    struct id_list *due = &store->due;
    for (size_t i = 0; i < n; i++) {
        struct head_series *series = head_get(&store->head, due->at[i]);
        if (series)
            series->due = false;
    }
    due->count -= n;
    memmove(due->at, due->at + n, due->count * sizeof *due->at);
}

/* Seals the first n of the due list. */
static int seal_first(struct store *store, size_t n, struct error *err)
{
    /* What was deleted lies in chunks: those put now must not meet it. */
    if (store_apply_tombstones(store, store->due.at, n, err))
        return -1;
    struct seal *seal = alloc_zeroed(1, sizeof *seal);
    seal->store = store;
    seal->batch = kv_batch_new();
    buffer_init(&seal->chunk, SIZE_MAX);
    arena_init(&seal->arena, ARENA_BYTES);
    for (size_t i = 0; i < n; i++)
        seal_series(seal, store->due.at[i]);
    int status = write_sealed(seal, err);
    if (!status)
        take_first(store, n);
    kv_batch_free(seal->batch);
    buffer_release(&seal->chunk);
    arena_release(&seal->arena);
    free(seal);
    return status;
}

static int seal_until(struct store *store, int64_t deadline_ns, struct error *err)
{
    int64_t start = clock_monotonic_ns();
    int status = 0;
    while (!status && store->due.count && clock_monotonic_ns() < deadline_ns) {
        size_t n = store->due.count < SERIES_PER_WRITE ? store->due.count : SERIES_PER_WRITE;
        status = seal_first(store, n, err);
    }
    metric_add(&store_metrics[STORE_SEAL_SECONDS], clock_monotonic_ns() - start);
    return status;
}

int store_seal_due(struct store *store, struct error *err)
{
    bool behind = store->due.count > BEHIND_SERIES;
    return seal_until(store, clock_monotonic_ns() + (behind ? BEHIND_NS_MAX : TICK_NS_MAX), err);
}

/* --- stragglers, idle entries and the end of the head log --- */

/* Drops the records below `low`. */
static int cut_headlog(struct store *store, uint64_t low, struct error *err)
{
    struct kv_batch *batch = kv_batch_new();
    struct buffer value;
    buffer_init(&value, 64);
    buffer_append_u64le(&value, low);
    kv_batch_put(store->kv, batch, KV_META, SLICE("headlog"), buffer_slice(&value));
    /* The limit must lie between keys: the last record to go, and a zero byte. */
    struct key_bytes from = key_of_u64(store->headlog_low), to = key_of_u64(low - 1);
    to.at[to.len++] = 0;
    struct kv_range records = {
        .family = KV_HEADLOG, .from = key_slice(&from), .to = key_slice(&to)};
    int status = kv_drop_range(store->kv, &records, batch, err);
    kv_batch_free(batch);
    buffer_release(&value);
    if (!status)
        store->headlog_low = low;
    return status;
}

static bool is_straggler(const struct head_series *series, uint32_t now_s)
{
    return series->count && !series->due && now_s > series->touched_s + STRAGGLER_S;
}

/* Looks at every entry: remembers stragglers, frees idle ones, returns the oldest record needed. */
static uint64_t sweep_head(struct store *store, uint32_t now_s)
{
    uint64_t low = store->headlog_next;
    for (uint32_t id = 0; id < store->head.capacity; id++) {
        struct head_series *series = head_get(&store->head, id);
        if (!series)
            continue;
        if (series->count && series->first_sequence < low)
            low = series->first_sequence;
        if (is_straggler(series, now_s)) {
            series->due = true;
            id_list_push(&store->due, id);
        } else if (series->count == 0 && !series->due && now_s > series->touched_s + IDLE_S) {
            pthread_rwlock_wrlock(&store->lock);
            head_remove(&store->head, id);
            pthread_rwlock_unlock(&store->lock);
        }
    }
    return low;
}

/* The oldest record that a late sample needs, or `low`. */
static uint64_t sweep_late(const struct store *store, uint64_t low)
{
    size_t cursor = 0;
    for (const struct late_run *run; (run = late_next(&store->late, &cursor));)
        if (run->first_sequence < low)
            low = run->first_sequence;
    return low;
}

/* Cuts the head log where that many records may go. */
static int sweep(struct store *store, int64_t now_ms, uint64_t records_min, struct error *err)
{
    uint64_t low = sweep_late(store, sweep_head(store, (uint32_t)(now_ms / 1000)));
    store->swept_ms = now_ms;
    bool all = low == store->headlog_next && low > store->headlog_low;
    return all || low >= store->headlog_low + records_min ? cut_headlog(store, low, err) : 0;
}

int store_sweep(struct store *store, int64_t now_ms, struct error *err)
{
    bool soon = now_ms >= store->swept_ms && now_ms < store->swept_ms + SWEEP_MS;
    return soon ? 0 : sweep(store, now_ms, HEADLOG_RECORDS_MIN, err);
}

int store_sweep_now(struct store *store, int64_t now_ms, struct error *err)
{
    return sweep(store, now_ms, 1, err);
}

void store_make_due(struct store *store, uint32_t id)
{
    struct head_series *series = head_get(&store->head, id);
    if (!series || series->count == 0 || series->due)
        return;
    series->due = true;
    id_list_push(&store->due, id);
}

int store_seal_one(struct store *store, uint32_t id, struct error *err)
{
    store_make_due(store, id);
    return seal_until(store, INT64_MAX, err);
}

int store_seal_some(struct store *store, const roaring_bitmap_t *ids, struct time_range range,
                    struct error *err)
{
    roaring_uint32_iterator_t it;
    for (roaring_init_iterator(ids, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        const struct head_series *series = head_get(&store->head, it.current_value);
        if (series && series->count && series->first_ms <= range.end_ms &&
            series->last_ms >= range.start_ms)
            store_make_due(store, it.current_value);
    }
    return seal_until(store, INT64_MAX, err);
}

void store_mark_due(struct store *store)
{
    for (uint32_t id = 0; id < store->head.capacity; id++)
        store_make_due(store, id);
}

int store_seal(struct store *store, struct error *err)
{
    store_mark_due(store);
    if (seal_until(store, INT64_MAX, err) || store_merge_all(store, err) ||
        sweep(store, clock_now_ms(), 1, err))
        return error_wrap(err, "cannot seal chunks");
    return logstore_seal(store->logs, clock_now_ms(), true, err);
}
