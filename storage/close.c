/* close: days that are over get their buckets, and their chunks are laid out anew.
 *
 *   samples of one series on one day --+--> 1h buckets, one value
 *                                      +--> 5m buckets, one value (once the day is some days old)
 *                                      '--> fewer, larger chunks where that saves enough
 *
 * A day is closed once it is over for an hour: all its series become stale, and each leaves `stale`
 * in the very write that puts its buckets. What changes a closed day later makes series stale again.
 * So the job knows one thing to do, stale series of closed days, and there is no other state: killed
 * at any time, what was written is done and what was not is still stale.
 *
 *   one write:   KV_CHUNK     buckets; where it saves space new chunks in place of the old ones
 *                KV_POSTINGS  the day's lists without these series in `stale`; the rollups' lists
 *   then, under the lock, the same in memory, and readers renew their snapshots
 *
 * Readers take buckets for current only when the series is not stale: between the write and the lock
 * they compute from samples what is written already.
 *
 * 5m buckets cost a good deal of what the samples do and say nothing that those do not, so they are
 * made when the day is old enough or its samples are about to leave: the day becomes `fine`, and all
 * its series stale once more.
 *
 * A series waits while its open or late samples reach into the day (it would be stale again at once):
 * they are sealed or merged within hours. A day does not leave before that. The sample of midnight
 * lies in a chunk of the next day and in the last bucket of this one.
 * Where chunks are damaged, the buckets say how many, and the chunks are left as they are. Series whose
 * samples left before the day did keep the buckets they have.
 */
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/code/chunk.h"
#include "storage/code/rollup_code.h"
#include "storage/key.h"
#include "storage/rewrite.h"
#include "storage/store_state.h"

#define CLOSE_AFTER_MS ((int64_t)3600000)
#define PASS_EVERY_MS  ((int64_t)60000)
#define TICK_NS_MAX    ((int64_t)100000000)
#define SERIES_A_WRITE 1000
#define BYTES_A_WRITE  ((size_t)4 << 20)
#define ARENA_BYTES    ((size_t)1 << 30) /* a day of one series */

/* --- which days --- */

/* All series of the day are to be rolled, and those of the next day, which may have no more of this
 * one than the midnight that ends it. A list made anew knows its own; the samples of others left. */
static void make_stale(struct store *store, struct partition *partition)
{
    const struct partition *next = partitions_get(&store->partitions, partition->day + 1);
    roaring_bitmap_or_inplace(partition->stale, partition->active);
    if (next && !partition->remade)
        roaring_bitmap_or_inplace(partition->stale, next->active);
    roaring_bitmap_andnot_inplace(partition->stale, partition->thinned);
    partition->dirty = true;
}

static void note_days(struct store *store, int64_t now_ms)
{
    pthread_rwlock_wrlock(&store->lock);
    for (size_t i = 0; i < store->partitions.count; i++) {
        struct partition *partition = &store->partitions.at[i];
        int64_t age = now_ms - partition_start(partition->day + 1);
        bool leaving = partition->day < store->closing.leaving;
        bool close = !partition->closed && (leaving || age >= CLOSE_AFTER_MS);
        bool refine = !partition->fine && (leaving || age >= store->fine_after_ms) &&
                      (partition->closed || close);
        partition->closed |= close;
        partition->fine |= refine;
        if (close || refine)
            make_stale(store, partition);
    }
    pthread_rwlock_unlock(&store->lock);
}

/* True when samples of the day are not in chunks yet: late ones, or open ones of a series that had
 * rested. Once the day had left they would not come into its buckets any more. */
static bool is_awaited(const struct store *store, uint32_t day)
{
    int64_t start_ms = partition_start(day), end_ms = partition_start(day + 1);
    bool found = late_any_overlaps(&store->late, start_ms, end_ms);
    for (uint32_t id = 0; id < store->head.capacity && !found; id++) {
        const struct head_series *head = head_get(&store->head, id);
        found = head && head->count && head->first_ms <= end_ms && head->last_ms >= start_ms;
    }
    return found;
}

bool store_day_may_leave(struct store *store, uint32_t day)
{
    const struct partition *partition = partitions_get(&store->partitions, day);
    if (!partition ||
        (partition->fine && roaring_bitmap_is_empty(partition->stale) && !is_awaited(store, day)))
        return true;
    if (store->closing.leaving <= day) {
        store->closing.leaving = day + 1;
        store->closing.passed_ms = 0;
    }
    return false;
}

/* --- one series --- */

/* One write's worth of rolling. */
struct roll {
    struct store *store;
    struct partition *partition; /* the day's; its place does not move meanwhile */
    struct kv_batch *batch;
    struct rewrite_source source;
    struct arena arena;
    struct rollup rollup;
    struct buffer bytes;
    size_t written; /* bytes in the batch, about */
    uint32_t ids[SERIES_A_WRITE];
    size_t count;
};

/* True when samples of the series that are not in chunks yet fall into buckets of the day. */
static bool has_to_wait(const struct store *store, uint32_t id, uint32_t day)
{
    const struct head_series *head = head_get(&store->head, id);
    int64_t end_ms = partition_start(day + 1);
    return (head && head->count && head->first_ms <= end_ms) ||
           late_overlaps(late_find(&store->late, id), partition_start(day) + 1, end_ms);
}

/* The sample of the midnight that ends the day, as a column of at most one. */
static int load_midnight(struct roll *roll, struct rewrite_day at, struct store_column *out,
                         struct error *err)
{
    struct chunk_key key = {.partition = at.day + 1, .series = at.series};
    struct key_bytes bytes = key_of_chunk(key);
    struct rewrite_source source = roll->source;
    struct day_samples next;
    source.first_only = true;
    *out = (struct store_column){0};
    if (!kv_seek(source.chunks, key_slice(&bytes)))
        return kv_iterator_check(source.chunks, err);
    if (slice_compare(kv_key(source.chunks), key_slice(&bytes)) != 0)
        return 0;
    at.day++;
    if (rewrite_read(&source, at, &roll->arena, &next, err))
        return -1;
    *out = (struct store_column){.count = next.count && next.times[0] == partition_start(at.day),
                                 .times = next.times,
                                 .values = next.values,
                                 .histograms = next.hists,
                                 .sketches = next.sketches,
                                 .damaged = next.damaged};
    return 0;
}

/* The samples that fall into buckets of the day: not that of the midnight it begins with. */
static struct store_column bucketed(const struct day_samples *samples, uint32_t day)
{
    size_t skip = day && samples->count && samples->times[0] == partition_start(day);
    return (struct store_column){.count = samples->count - skip,
                                 .times = samples->times + skip,
                                 .values = samples->histograms ? NULL : samples->values + skip,
                                 .histograms = samples->histograms ? samples->hists + skip : NULL,
                                 .sketches = samples->sketches ? samples->sketches + skip : NULL,
                                 .damaged = samples->damaged};
}

struct day_columns {
    struct store_column day, midnight;
    enum series_kind kind;
};

/* Puts the buckets of one tier, or takes them away where there are none. */
static int roll_tier(struct roll *roll, struct rewrite_day at, enum store_tier tier,
                     const struct day_columns *columns, struct error *err)
{
    struct store *store = roll->store;
    struct rollup *rollup = &roll->rollup;
    struct partitions *rollups = &store->rollups[tier];
    struct key_bytes key =
        key_of_rollup((struct rollup_key){rollups->resolution, at.day, at.series});
    rollup_reset(rollup, columns->kind == SERIES_HISTOGRAM, rollup_tier_ms[tier]);
    if (!rollup_add_column(rollup, &columns->day, &roll->arena) ||
        !rollup_add_column(rollup, &columns->midnight, &roll->arena))
        return error_set(err, ERROR_LIMIT, "one day of one series does not fit into memory");
    if (rollup->count == 0) {
        kv_batch_delete(store->kv, roll->batch, KV_CHUNK, key_slice(&key));
        return 0;
    }
    buffer_reset(&roll->bytes);
    rollup_code_append(&roll->bytes, rollup, partition_start(at.day),
                       columns->kind == SERIES_COUNTER);
    kv_batch_put(store->kv, roll->batch, KV_CHUNK, key_slice(&key), buffer_slice(&roll->bytes));
    roll->written += roll->bytes.len;
    metric_add(&store_metrics[STORE_ROLLUP_BYTES], (int64_t)roll->bytes.len);
    pthread_rwlock_wrlock(&store->lock);
    partitions_mark_rollup(rollups, at.day / ROLLUP_DAYS, at.series);
    /* With no more than the sample of midnight: later ones must not take it for one that has left. */
    if (roll->partition->remade)
        roaring_bitmap_add(roll->partition->active, at.series);
    pthread_rwlock_unlock(&store->lock);
    return 0;
}

static int roll_series(struct roll *roll, struct rewrite_day at, struct error *err)
{
    struct store *store = roll->store;
    const struct series_row *row = series_row(&store->series, at.series);
    struct day_samples samples;
    struct day_columns columns;
    if (row && !roaring_bitmap_contains(roll->partition->thinned, at.series)) {
        arena_reset(&roll->arena);
        if (rewrite_read(&roll->source, at, &roll->arena, &samples, err) ||
            load_midnight(roll, at, &columns.midnight, err))
            return -1;
        columns.kind = (enum series_kind)row->kind;
        columns.day = bucketed(&samples, at.day);
        if (roll_tier(roll, at, STORE_1H, &columns, err) ||
            (roll->partition->fine && roll_tier(roll, at, STORE_5M, &columns, err)))
            return -1;
        if (rewrite_stage_smaller(store, roll->batch, at, &samples))
            roll->written += samples.bytes;
    }
    partition_roll(roll->partition, at.series);
    roll->ids[roll->count++] = at.series;
    return 0;
}

/* --- one write --- */

static struct roll *roll_new(struct store *store, struct partition *partition)
{
    struct roll *roll = alloc_zeroed(1, sizeof *roll);
    roll->store = store;
    roll->partition = partition;
    roll->batch = kv_batch_new();
    roll->source = (struct rewrite_source){
        store, kv_iterate(store->kv, KV_CHUNK, SLICE(""), SLICE("")), false};
    arena_init(&roll->arena, ARENA_BYTES);
    rollup_init(&roll->rollup);
    roll->rollup.sketched = true;
    buffer_init(&roll->bytes, SIZE_MAX);
    return roll;
}

static void roll_free(struct roll *roll)
{
    kv_batch_free(roll->batch);
    kv_iterator_free(roll->source.chunks);
    arena_release(&roll->arena);
    rollup_release(&roll->rollup);
    buffer_release(&roll->bytes);
    free(roll);
}

static int write_roll(struct roll *roll, struct error *err)
{
    struct store *store = roll->store;
    if (roll->count == 0)
        return 0;
    partitions_stage(&store->partitions, store->kv, roll->batch);
    for (int tier = STORE_5M; tier < STORE_TIER_COUNT; tier++)
        partitions_stage(&store->rollups[tier], store->kv, roll->batch);
    if (kv_write(store->kv, roll->batch, false, err))
        return -1;
    pthread_rwlock_wrlock(&store->lock);
    partitions_saved(&store->partitions);
    for (int tier = STORE_5M; tier < STORE_TIER_COUNT; tier++)
        partitions_saved(&store->rollups[tier]);
    rewrite_publish(store, roll->ids, roll->count);
    /* Sums over buckets may differ in the last digit from those over samples. */
    changes_add(&store->changes, partition_start(roll->partition->day));
    pthread_rwlock_unlock(&store->lock);
    metric_add(&store_metrics[STORE_SERIES_ROLLED], (int64_t)roll->count);
    return 0;
}

/* Rolls stale series of the day, from store->closing.series on, in one write. *more: not all. */
static int roll_some(struct store *store, struct partition *partition, int64_t deadline_ns,
                     bool *more, struct error *err)
{
    struct roll *roll = roll_new(store, partition);
    roaring_uint32_iterator_t it;
    int status = 0;
    roaring_init_iterator(partition->stale, &it);
    roaring_move_uint32_iterator_equalorlarger(&it, store->closing.series);
    for (; it.has_value && !status && roll->count < SERIES_A_WRITE && roll->written < BYTES_A_WRITE;
         roaring_advance_uint32_iterator(&it)) {
        store->closing.series = it.current_value;
        if (roll->count && clock_monotonic_ns() >= deadline_ns)
            break;
        if (!has_to_wait(store, it.current_value, partition->day))
            status = roll_series(roll, (struct rewrite_day){it.current_value, partition->day}, err);
    }
    *more = it.has_value;
    if (!status)
        status = write_roll(roll, err);
    if (status)
        partitions_unstage(&store->partitions);
    roll_free(roll);
    return status;
}

/* --- passes over all days --- */

/* Goes on with the pass until it is over or the time is. 1: it is not over. */
static int run_pass(struct store *store, int64_t deadline_ns, struct error *err)
{
    struct closing *closing = &store->closing;
    size_t i;
    while ((i = partitions_find(&store->partitions, closing->day)) < store->partitions.count) {
        struct partition *partition = &store->partitions.at[i];
        bool worked = partition->closed && !roaring_bitmap_is_empty(partition->stale);
        bool more = worked;
        if (partition->day != closing->day)
            closing->series = 0;
        closing->day = partition->day;
        if (more && clock_monotonic_ns() >= deadline_ns)
            return 1;
        if (more && roll_some(store, partition, deadline_ns, &more, err))
            return -1;
        if (more)
            continue;
        if (worked && roaring_bitmap_is_empty(partition->stale))
            metric_add(&store_metrics[STORE_DAYS_CLOSED], 1);
        closing->day++;
        closing->series = 0;
    }
    return 0;
}

void store_close_again(struct store *store)
{
    store->closing.under_way = false;
}

int store_close_some(struct store *store, int64_t now_ms, struct error *err)
{
    struct closing *closing = &store->closing;
    int64_t start = clock_monotonic_ns();
    if (!closing->under_way) {
        note_days(store, now_ms);
        closing->under_way = true;
        closing->day = closing->series = 0;
    }
    int status = run_pass(store, start + TICK_NS_MAX, err);
    if (status == 0) {
        closing->under_way = false;
        closing->passed_ms = now_ms;
    }
    metric_add(&store_metrics[STORE_CLOSE_SECONDS], clock_monotonic_ns() - start);
    return status;
}

int store_close_due(struct store *store, int64_t now_ms, struct error *err)
{
    const struct closing *closing = &store->closing;
    bool soon = now_ms >= closing->passed_ms && now_ms < closing->passed_ms + PASS_EVERY_MS;
    return (soon && !closing->under_way) || store_close_some(store, now_ms, err) >= 0 ? 0 : -1;
}
