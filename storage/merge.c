/* merge: see the header.
 *
 *   chunks of the day  -+
 *   late samples        +-> one column -> new chunks, in place of the old ones
 *   newer samples      -+   (at equal times the lower line stays)
 *
 *   one write:   KV_CHUNK     the day's old chunks go, the new ones come
 *                KV_POSTINGS  the days' lists
 *                KV_HEADLOG   a record MERGED: which late samples are in chunks now
 *   then, under the lock, they leave late memory.
 *
 * Killed before the write, the late samples come back from the head log; after it, replay takes them
 * away again when it reaches the record. Nothing lies between.
 *
 * Only samples before the first open one of their series can go: readers do not look for chunks
 * behind it. The others wait until the series is sealed. When all before it are gone, those left
 * came after the head's first record, so that the head log need not be kept any longer for them.
 *
 * When: once a series has COUNT_DUE of them or the oldest waits for AGE_DUE_S, at most TICK_NS_MAX a
 * tick; and at once, as part of a commit, when one series has thousands or all together take more than
 * BYTES_MAX.
 */
#include "storage/merge.h"

#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/key.h"

#define ARENA_BYTES  ((size_t)1 << 30) /* a day of one series */
#define DAYS_A_WRITE 64
#define COUNT_DUE    512
#define AGE_DUE_S    600
#define TICK_NS_MAX  ((int64_t)100000000)
#define BYTES_MAX    ((uint64_t)32 << 20)
#define BYTES_AIM    (BYTES_MAX / 2)

void merge_init(struct merge *merge, struct store *store, struct kv_batch *batch)
{
    *merge = (struct merge){.store = store, .batch = batch};
    arena_init(&merge->arena, ARENA_BYTES);
}

void merge_release(struct merge *merge)
{
    arena_release(&merge->arena);
    free(merge->ranges);
    free(merge->series.at);
}

static void push_range(struct merge *merge, const struct store_span *span)
{
    if (merge->count == merge->capacity) {
        merge->capacity = merge->capacity ? merge->capacity * 2 : 16;
        merge->ranges = alloc_resize(merge->ranges, merge->capacity, sizeof *merge->ranges);
    }
    merge->ranges[merge->count++] =
        (struct headlog_range){span->series, span->start_ms, span->end_ms};
}

/* The time of the first open sample: chunks of the series end before it. */
static int64_t open_from(const struct store *store, uint32_t series)
{
    const struct head_series *head = head_get(&store->head, series);
    return head && head->count ? head->first_ms : INT64_MAX;
}

/* --- one day --- */

static int too_large(struct error *err)
{
    return error_set(err, ERROR_LIMIT, "one day of one series does not fit into memory");
}

static struct store_column column_of(const struct day_samples *samples)
{
    return (struct store_column){.count = samples->count,
                                 .times = samples->times,
                                 .values = samples->values,
                                 .histograms = samples->hists,
                                 .sketches = samples->sketches};
}

/* Puts the column's samples in place of those that were there. */
static bool take_column(struct arena *arena, const struct store_column *column,
                        struct day_samples *samples)
{
    size_t count = column->count;
    samples->histograms = column->histograms != NULL;
    samples->count = count;
    samples->values = NULL;
    samples->hists = NULL;
    samples->sketches = NULL;
    samples->times = arena_alloc(arena, count * sizeof *samples->times);
    if (samples->histograms)
        samples->hists = arena_alloc(arena, count * sizeof *samples->hists);
    else
        samples->values = arena_alloc(arena, count * sizeof *samples->values);
    if (!samples->times || (!samples->hists && !samples->values))
        return false;
    memcpy(samples->times, column->times, count * sizeof *samples->times);
    if (samples->histograms)
        memcpy(samples->hists, column->histograms, count * sizeof *samples->hists);
    else
        memcpy(samples->values, column->values, count * sizeof *samples->values);
    if (!column->sketches)
        return true;
    samples->sketches = arena_alloc(arena, count * sizeof *samples->sketches);
    if (samples->sketches)
        memcpy(samples->sketches, column->sketches, count * sizeof *samples->sketches);
    return samples->sketches;
}

static bool has_chunks(const struct store *store, struct rewrite_day at)
{
    const struct partition *partition = partitions_get(&store->partitions, at.day);
    return partition && roaring_bitmap_contains(partition->active, at.series);
}

/* What the day has, in chunks and late, and what is newer, as one column in the arena. */
static int join_day(struct merge *merge, const struct store_span *span,
                    const struct store_column *newer, struct day_samples *out, struct error *err)
{
    struct store *store = merge->store;
    struct rewrite_day at = {span->series, partition_of(span->start_ms)};
    const struct late_run *run = late_find(&store->late, span->series);
    struct store_column late = {.count = 0};
    if (has_chunks(store, at) && rewrite_load(store, at, &merge->arena, out, err))
        return -1;
    if (run && !late_copy(run, span, &merge->arena, &late))
        return too_large(err);
    struct store_column all = column_of(out);
    if (late.count && !column_overlay(&all, &late, &merge->arena, &all))
        return too_large(err);
    if (newer && !column_overlay(&all, newer, &merge->arena, &all))
        return too_large(err);
    if (late.count)
        push_range(merge, span);
    return take_column(&merge->arena, &all, out) ? 0 : too_large(err);
}

int merge_day(struct merge *merge, struct rewrite_day at, const struct store_column *newer,
              bool beside, struct error *err)
{
    struct store *store = merge->store;
    struct day_samples samples = {0};
    struct store_span span = {at.series, partition_start(at.day), partition_start(at.day + 1) - 1};
    int64_t open = open_from(store, at.series);
    int status = 0;
    if (span.end_ms >= open)
        span.end_ms = open - 1;
    arena_reset(&merge->arena);
    /* What was deleted lies in chunks: those put now must not meet it. */
    if (store_apply_tombstones(store, &at.series, 1, err))
        return -1;
    if (!beside)
        status = join_day(merge, &span, newer, &samples, err);
    else if (!take_column(&merge->arena, newer, &samples))
        status = too_large(err);
    if (status)
        return -1;
    rewrite_stage(store, merge->batch, at, &samples);
    id_list_push(&merge->series, at.series);
    return 0;
}

uint64_t merge_stage(struct merge *merge, uint64_t sequence)
{
    struct store *store = merge->store;
    struct buffer record;
    if (merge->series.count)
        partitions_stage(&store->partitions, store->kv, merge->batch);
    if (merge->count == 0)
        return 0;
    struct key_bytes key = key_of_u64(sequence);
    buffer_init(&record, SIZE_MAX);
    headlog_append_merged(&record, merge->ranges, merge->count);
    kv_batch_put(store->kv, merge->batch, KV_HEADLOG, key_slice(&key), buffer_slice(&record));
    buffer_release(&record);
    return 1;
}

void store_drop_late(struct store *store, const struct headlog_range *range)
{
    struct head_series *head = head_get(&store->head, range->series);
    int64_t newest = late_remove(&store->late, range->series, range->from_ms, range->until_ms);
    if (head && head->sealed_ms != TIME_UNKNOWN && head->sealed_ms < newest)
        head->sealed_ms = newest;
}

void merge_publish(struct merge *merge)
{
    struct store *store = merge->store;
    uint64_t before = store->late.samples;
    for (size_t i = 0; i < merge->count; i++)
        store_drop_late(store, &merge->ranges[i]);
    metric_add(&store_metrics[STORE_LATE_MERGED], (int64_t)(before - store->late.samples));
    if (merge->series.count == 0)
        return;
    rewrite_publish(store, merge->series.at, merge->series.count);
    partitions_saved(&store->partitions);
}

/* --- late samples of one series --- */

static int write_merge(struct merge *merge, struct error *err)
{
    struct store *store = merge->store;
    uint64_t records = merge_stage(merge, store->headlog_next);
    if (kv_write(store->kv, merge->batch, false, err)) {
        partitions_unstage(&store->partitions);
        return -1;
    }
    store->headlog_next += records;
    pthread_rwlock_wrlock(&store->lock);
    merge_publish(merge);
    pthread_rwlock_unlock(&store->lock);
    return 0;
}

/* All late samples before the open ones are merged: what is left came after the head's first record. */
static void shorten(struct store *store, uint32_t series)
{
    struct late_run *run = late_find(&store->late, series);
    const struct head_series *head = head_get(&store->head, series);
    if (!run || !head || !head->count)
        return;
    if (run->first_sequence < head->first_sequence)
        run->first_sequence = head->first_sequence;
    if (run->since_s < head->touched_s)
        run->since_s = head->touched_s;
}

/* At most DAYS_A_WRITE days. *more is set when others are left. */
static int merge_some(struct store *store, uint32_t series, bool *more, struct error *err)
{
    struct merge merge;
    struct kv_batch *batch = kv_batch_new();
    const struct late_run *run = late_find(&store->late, series);
    int64_t open = open_from(store, series);
    size_t i = 0, days = 0;
    int status = 0;
    merge_init(&merge, store, batch);
    while (!status && i < run->count && run->times[i] < open && days < DAYS_A_WRITE) {
        struct rewrite_day at = {series, partition_of(run->times[i])};
        status = merge_day(&merge, at, NULL, false, err);
        i = late_lower_bound(run, partition_start(at.day + 1));
        days++;
    }
    *more = i < run->count && run->times[i] < open;
    if (!status && days)
        status = write_merge(&merge, err);
    if (!status && !*more)
        shorten(store, series);
    merge_release(&merge);
    kv_batch_free(batch);
    return status;
}

int store_merge_series(struct store *store, uint32_t series, struct error *err)
{
    int status = 0;
    for (bool more = late_find(&store->late, series); more && !status;)
        status = merge_some(store, series, &more, err);
    return status ? error_wrap(err, "cannot merge late samples") : 0;
}

/* --- which series --- */

static bool is_due(const struct store *store, const struct late_run *run, uint32_t now_s)
{
    return run->times[0] < open_from(store, run->series) &&
           (run->count >= COUNT_DUE || now_s >= run->since_s + AGE_DUE_S);
}

static bool always(const struct store *store, const struct late_run *run, uint32_t now_s)
{
    (void)store, (void)run, (void)now_s;
    return true;
}

static bool is_free(const struct store *store, const struct late_run *run, uint32_t now_s)
{
    (void)now_s;
    return run->times[0] < open_from(store, run->series);
}

static struct id_list list_runs(const struct store *store, uint32_t now_s,
                                bool (*wanted)(const struct store *, const struct late_run *,
                                               uint32_t))
{
    struct id_list list = {0};
    size_t cursor = 0;
    for (const struct late_run *run; (run = late_next(&store->late, &cursor));)
        if (wanted(store, run, now_s))
            id_list_push(&list, run->series);
    return list;
}

/* 1: not all of them, for the time is over. */
static int merge_list(struct store *store, struct id_list *owned, int64_t deadline_ns,
                      struct error *err)
{
    int status = 0;
    size_t i = 0;
    for (; i < owned->count && !status && clock_monotonic_ns() < deadline_ns; i++)
        status = store_merge_series(store, owned->at[i], err);
    bool more = i < owned->count;
    free(owned->at);
    return status ? -1 : more;
}

int store_merge_due(struct store *store, int64_t now_ms, struct error *err)
{
    struct id_list list = list_runs(store, (uint32_t)(now_ms / 1000), is_due);
    return merge_list(store, &list, clock_monotonic_ns() + TICK_NS_MAX, err) < 0 ? -1 : 0;
}

int store_merge_some(struct store *store, struct error *err)
{
    struct id_list list = list_runs(store, 0, is_free);
    return merge_list(store, &list, clock_monotonic_ns() + TICK_NS_MAX, err);
}

/* All late samples of the series, whatever is open. */
static int merge_whole(struct store *store, uint32_t series, struct error *err)
{
    const struct late_run *run = late_find(&store->late, series);
    if (run && run->times[run->count - 1] >= open_from(store, series) &&
        store_seal_one(store, series, err))
        return -1;
    return store_merge_series(store, series, err);
}

int store_merge_excess(struct store *store, struct error *err)
{
    int status = 0;
    if (store->late.is_long) {
        store->late.is_long = false;
        status = merge_whole(store, store->late.longest, err);
    }
    if (status || store->late.bytes <= BYTES_MAX)
        return status;
    struct id_list list = list_runs(store, 0, always);
    for (size_t i = 0; i < list.count && !status && store->late.bytes > BYTES_AIM; i++)
        status = merge_whole(store, list.at[i], err);
    free(list.at);
    return status;
}

int store_merge_all(struct store *store, struct error *err)
{
    struct id_list list = list_runs(store, 0, is_free);
    return merge_list(store, &list, INT64_MAX, err);
}
