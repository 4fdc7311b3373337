/* delete: samples go at the word of a client: hidden at once, taken away by and by.
 *
 *   store_delete_series      1. seal the open samples of the series that reach into the range
 *                            2. in one synced write: the tombstone, the days whose buckets are
 *                               stale now, and a head log record that takes late samples away
 *                            3. the same in memory: gone for readers
 *   carry.c                  takes away by and by what is hidden
 *
 * A tombstone hides what lies in chunks, nothing else: what is written after the deletion is open
 * first, and so is seen. It must not be hidden once it becomes a chunk, so before chunks of a series
 * are put, all that is pending for it is carried out (store_apply_tombstones).
 *
 * A kill after 1 leaves more chunks; after 2, what opening reads.
 *
 * Buckets: where there are samples, those that a deletion meets are stale, that is computed from the
 * samples until they are made again. Where the samples have left, readers leave out what meets it.
 *
 * Clients say "until now" as often as "until ever". Where a series has nothing after the end of a
 * range, that end is moved to the end of time: no chunk of its last day needs rewriting then, and the
 * index can tell without reading that the series has no samples left. Series for which that holds
 * and the others are two rows.
 */
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/key.h"
#include "storage/store_state.h"

#define PENDING_MAX ((size_t)200)   /* tombstones; beyond it deleting waits for the job */
#define LOOKUPS_MAX ((size_t)20000) /* series asked for their newest chunk in one deletion */

static roaring_bitmap_t *find_series(const struct store *store, const struct store_query *queries,
                                     size_t count)
{
    roaring_bitmap_t *ids = roaring_bitmap_create();
    for (size_t i = 0; i < count; i++) {
        roaring_bitmap_t *some =
            postings_select(&store->postings, queries[i].matchers, queries[i].matcher_count);
        roaring_bitmap_or_inplace(ids, some);
        roaring_bitmap_free(some);
    }
    return ids;
}

/* Those of the series that have nothing after that time, as far as it is cheap to say. */
static roaring_bitmap_t *find_ended(struct store *store, const roaring_bitmap_t *ids,
                                    int64_t end_ms)
{
    roaring_bitmap_t *ended = roaring_bitmap_create();
    roaring_uint32_iterator_t it;
    size_t lookups = 0;
    for (roaring_init_iterator(ids, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        const struct head_series *series = head_get(&store->head, it.current_value);
        int64_t newest = series ? series->sealed_ms : TIME_UNKNOWN;
        if (newest == TIME_UNKNOWN && lookups++ < LOOKUPS_MAX)
            newest = store_sealed_until(store, it.current_value);
        if (newest != TIME_UNKNOWN && newest != TIME_NONE && newest <= end_ms)
            roaring_bitmap_add(ended, it.current_value);
    }
    return ended;
}

/* The series that have chunks or buckets on days of the range. */
static roaring_bitmap_t *find_stored(const struct store *store, struct time_range range)
{
    uint32_t from = partition_of(range.start_ms), to = partition_of(range.end_ms);
    roaring_bitmap_t *stored = partitions_union(&store->partitions, from, to);
    for (int tier = STORE_RAW + 1; tier < STORE_TIER_COUNT; tier++) {
        roaring_bitmap_t *more =
            partitions_union(&store->rollups[tier], bucket_day_of(range.start_ms) / ROLLUP_DAYS,
                             bucket_day_of(range.end_ms) / ROLLUP_DAYS);
        roaring_bitmap_or_inplace(stored, more);
        roaring_bitmap_free(more);
    }
    return stored;
}

/* One deletion, as it is written. */
struct burial {
    struct store *store;
    struct kv_batch *batch;
    struct tombstone rows[2];
    size_t count;
    int64_t start_ms;           /* of what is deleted */
    struct headlog_range *late; /* late samples that go with it */
    size_t late_count;
};

/* Adds the series to the tombstone of that range. Takes them over. None: no row, because that of an
 * open end is of the same range as the row before, and would take its place. */
static void add_row(struct burial *burial, struct time_range range, roaring_bitmap_t *owned)
{
    struct tombstones *tombstones = &burial->store->tombstones;
    struct tombstone row = {tombstones_sequence(tombstones, range), range, owned};
    if (roaring_bitmap_is_empty(owned)) {
        roaring_bitmap_free(owned);
        return;
    }
    if (burial->count && row.sequence == tombstones->next)
        row.sequence++; /* the row before may be new as well */
    for (size_t i = 0; i < tombstones->count; i++)
        if (tombstones->at[i].sequence == row.sequence)
            roaring_bitmap_or_inplace(owned, tombstones->at[i].series);
    roaring_bitmap_run_optimize(owned);
    burial->rows[burial->count++] = row;
}

/* Notes the late samples of the series that lie in the range. */
static void find_late(struct burial *burial, const roaring_bitmap_t *ids, struct time_range range)
{
    const struct late *late = &burial->store->late;
    size_t cursor = 0;
    burial->late = alloc_zeroed(late->runs.count + 1, sizeof *burial->late);
    for (const struct late_run *run; (run = late_next(late, &cursor));)
        if (roaring_bitmap_contains(ids, run->series) &&
            late_overlaps(run, range.start_ms, range.end_ms))
            burial->late[burial->late_count++] =
                (struct headlog_range){run->series, range.start_ms, range.end_ms};
}

static void stage_burial(struct burial *burial)
{
    struct store *store = burial->store;
    for (size_t i = 0; i < burial->count; i++) {
        const struct tombstone *row = &burial->rows[i];
        pthread_rwlock_wrlock(&store->lock);
        partitions_touch_all(&store->partitions, row->series, row->range.start_ms,
                             row->range.end_ms);
        pthread_rwlock_unlock(&store->lock);
        tombstones_stage(store->kv, burial->batch, row);
    }
    partitions_stage(&store->partitions, store->kv, burial->batch);
    if (burial->late_count == 0)
        return;
    struct key_bytes key = key_of_u64(store->headlog_next);
    struct buffer record;
    buffer_init(&record, SIZE_MAX);
    headlog_append_merged(&record, burial->late, burial->late_count);
    kv_batch_put(store->kv, burial->batch, KV_HEADLOG, key_slice(&key), buffer_slice(&record));
    buffer_release(&record);
}

static void publish_burial(struct burial *burial)
{
    struct store *store = burial->store;
    pthread_rwlock_wrlock(&store->lock);
    for (size_t i = 0; i < burial->count; i++)
        tombstones_put(&store->tombstones, burial->rows[i]);
    for (size_t i = 0; i < burial->late_count; i++)
        late_remove(&store->late, burial->late[i].series, burial->late[i].from_ms,
                    burial->late[i].until_ms);
    partitions_saved(&store->partitions);
    changes_add(&store->changes, burial->start_ms);
    pthread_rwlock_unlock(&store->lock);
    store->headlog_next += burial->late_count > 0;
}

/* Durable, then visible. */
static int bury(struct burial *burial, struct error *err)
{
    burial->batch = kv_batch_new();
    stage_burial(burial);
    int status = kv_write(burial->store->kv, burial->batch, true, err);
    if (!status)
        publish_burial(burial);
    for (size_t i = 0; status && i < burial->count; i++)
        roaring_bitmap_free(burial->rows[i].series);
    kv_batch_free(burial->batch);
    free(burial->late);
    return status;
}

static int delete_of(struct store *store, const roaring_bitmap_t *ids, struct time_range range,
                     struct error *err)
{
    struct burial burial = {.store = store, .start_ms = range.start_ms};
    if (store_seal_some(store, ids, range, err))
        return -1;
    roaring_bitmap_t *stored = find_stored(store, range);
    roaring_bitmap_and_inplace(stored, ids);
    roaring_bitmap_t *ended = range.end_ms < TIME_MS_MAX ? find_ended(store, stored, range.end_ms)
                                                         : roaring_bitmap_create();
    roaring_bitmap_andnot_inplace(stored, ended);
    roaring_bitmap_or_inplace(store->doubtful, ids);
    find_late(&burial, ids, range);
    log_info("delete", "series=%llu with_late=%zu start_ms=%lld end_ms=%lld",
             (unsigned long long)(roaring_bitmap_get_cardinality(stored) +
                                  roaring_bitmap_get_cardinality(ended)),
             burial.late_count, (long long)range.start_ms, (long long)range.end_ms);
    add_row(&burial, range, stored);
    range.end_ms = TIME_MS_MAX;
    add_row(&burial, range, ended);
    return bury(&burial, err);
}

int store_delete_series(struct store *store, const struct store_query *queries, size_t count,
                        struct error *err)
{
    int64_t start = queries[0].start_ms, end = queries[0].end_ms;
    struct time_range range = {start < 0 ? 0 : start, end > TIME_MS_MAX ? TIME_MS_MAX : end};
    if (range.start_ms > range.end_ms)
        return 0;
    while (store->tombstones.count >= PENDING_MAX)
        if (store_carry_out(store, clock_monotonic_ns() + 1, err))
            return -1;
    roaring_bitmap_t *ids = find_series(store, queries, count);
    int status = delete_of(store, ids, range, err);
    roaring_bitmap_free(ids);
    return status ? error_wrap(err, "cannot delete") : 0;
}
