/* delete: samples go at the word of a client: hidden at once, taken away by and by.
 *
 *   store_delete_series      1. seal the open samples of the series that reach into the range
 *                            2. in one synced write: the tombstone, the days whose buckets are
 *                               stale now, and a head log record that takes late samples away
 *                            3. the same in memory: gone for readers
 *   store_carry_out          oldest first, a part each tick:
 *                              days all deleted   chunks and bits in the bitmap, many series a write
 *                              the one or two     chunk by chunk: what is left is put back; and in
 *                              days at the ends   the same write the series leaves the tombstone
 *
 * A tombstone hides what lies in chunks, nothing else: what is written after the deletion is open
 * first, and so is seen. It must not be hidden once it becomes a chunk, so before chunks of a series
 * are put, all that is pending for it is carried out (store_apply_tombstones).
 *
 * A kill leaves: after 1, more chunks; after 2, what opening reads; amid the job, days
 * whose bits are gone (there is nothing left to do on them) and series that have left the row. A
 * part that is done twice finds nothing the second time. Damaged chunks stay, unless all of their
 * day goes.
 *
 * Clients say "until now" as often as "until ever". Where a series has nothing after the end of a
 * range on its last day, the rest of that day is deleted with it: no chunk there needs rewriting, and
 * the index can tell without reading that the series has no samples left. Series for which
 * that holds and the others then are two rows.
 */
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/chunk.h"
#include "storage/key.h"
#include "storage/store_state.h"

#define PENDING_MAX  ((size_t)200)   /* tombstones; beyond it deleting waits for the job */
#define SERIES_EDGES ((size_t)200)   /* series whose edges are rewritten in one write */
#define LOOKUPS_MAX  ((size_t)20000) /* series asked for their newest chunk in one deletion */
#define STEP_NS      ((int64_t)50000000)
#define ARENA_BYTES  ((size_t)1 << 28)

static struct time_range day_range(uint32_t day)
{
    return (struct time_range){partition_start(day), partition_start(day + 1) - 1};
}

/* --- deleting --- */

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

/* Those of the series that have nothing behind the end of the range, as far as that is cheap to say. */
static roaring_bitmap_t *find_ended(struct store *store, const roaring_bitmap_t *ids,
                                    int64_t end_ms)
{
    uint32_t day = partition_of(end_ms);
    roaring_bitmap_t *today = partitions_union(&store->partitions, day, day);
    roaring_bitmap_t *ended = roaring_bitmap_andnot(ids, today);
    roaring_uint32_iterator_t it;
    size_t lookups = 0;
    roaring_bitmap_and_inplace(today, ids);
    for (roaring_init_iterator(today, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        const struct head_series *series = head_get(&store->head, it.current_value);
        int64_t newest = series ? series->sealed_ms : TIME_UNKNOWN;
        if (newest == TIME_UNKNOWN && lookups++ < LOOKUPS_MAX)
            newest = store_sealed_until(store, it.current_value);
        if (newest != TIME_UNKNOWN && newest <= end_ms)
            roaring_bitmap_add(ended, it.current_value);
    }
    roaring_bitmap_free(today);
    return ended;
}

/* One deletion, as it is written. */
struct burial {
    struct store *store;
    struct kv_batch *batch;
    struct tombstone rows[2];
    size_t count;
    struct headlog_range *late; /* late samples that go with it */
    size_t late_count;
};

/* Adds the series to the tombstone of that range. Takes them over. */
static void add_row(struct burial *burial, struct time_range range, roaring_bitmap_t *owned)
{
    struct tombstones *tombstones = &burial->store->tombstones;
    struct tombstone row = {tombstones_sequence(tombstones, range), range, owned};
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
    struct burial burial = {.store = store};
    if (store_seal_some(store, ids, range, err))
        return -1;
    roaring_bitmap_t *stored = partitions_union(&store->partitions, partition_of(range.start_ms),
                                                partition_of(range.end_ms));
    roaring_bitmap_and_inplace(stored, ids);
    roaring_bitmap_t *ended = find_ended(store, stored, range.end_ms);
    roaring_bitmap_andnot_inplace(stored, ended);
    roaring_bitmap_or_inplace(store->doubtful, ids);
    find_late(&burial, ids, range);
    log_info("delete", "series=%llu with_late=%zu start_ms=%lld end_ms=%lld",
             (unsigned long long)(roaring_bitmap_get_cardinality(stored) +
                                  roaring_bitmap_get_cardinality(ended)),
             burial.late_count, (long long)range.start_ms, (long long)range.end_ms);
    add_row(&burial, range, stored);
    range.end_ms = day_range(partition_of(range.end_ms)).end_ms;
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

/* --- carrying out: the chunks of a day of which a part goes --- */

struct carrying {
    struct store *store;
    struct kv_batch *batch;
    struct buffer bytes;
    struct arena arena;
    struct time_ranges ranges; /* of the series at hand */
    struct id_list emptied;    /* series, day, series, day: nothing is left there */
};

static void put_chunk(struct carrying *carrying, struct chunk_key key, const int64_t *times)
{
    key.offset_ms = (uint32_t)(times[0] - partition_start(key.partition));
    struct key_bytes bytes = key_of_chunk(key);
    kv_batch_put(carrying->store->kv, carrying->batch, KV_CHUNK, key_slice(&bytes),
                 buffer_slice(&carrying->bytes));
}

/* Replaces a chunk by what is left of it. False when it is damaged. */
static bool thin_chunk(struct carrying *carrying, struct chunk_key key, const struct chunk *chunk)
{
    struct arena *arena = &carrying->arena;
    double *values = NULL;
    const struct histogram **histograms = NULL;
    arena_reset(arena);
    int64_t *times = arena_alloc(arena, chunk->count * sizeof *times);
    if (chunk->histograms)
        histograms = arena_alloc(arena, chunk->count * sizeof(struct histogram *));
    else
        values = arena_alloc(arena, chunk->count * sizeof *values);
    if (!times || (!values && !histograms) || !chunk_times(chunk, times) ||
        !(values ? chunk_values(chunk, values) : chunk_histograms(chunk, arena, histograms)))
        return false;
    size_t left = time_ranges_strike(&carrying->ranges, times, values, histograms, chunk->count);
    if (left == chunk->count)
        return true;
    struct key_bytes bytes = key_of_chunk(key);
    kv_batch_delete(carrying->store->kv, carrying->batch, KV_CHUNK, key_slice(&bytes));
    for (size_t from = 0, count; from < left; from += count) {
        count = left - from;
        buffer_reset(&carrying->bytes);
        while (histograms && !chunk_histograms_fit(histograms + from, count))
            count = (count + 1) / 2;
        if (histograms)
            chunk_append_histograms(&carrying->bytes, times + from, histograms + from, count);
        else
            chunk_append_values(&carrying->bytes, times + from, values + from, count);
        put_chunk(carrying, key, times + from);
    }
    return true;
}

/* One series on one day. True when chunks are left. */
static bool thin_day(struct carrying *carrying, struct kv_iterator *it, uint32_t day, uint32_t id)
{
    struct chunk_key key = {.partition = day, .series = id};
    struct key_bytes at = key_of_chunk(key);
    struct chunk chunk;
    bool whole = time_ranges_cover(&carrying->ranges, day_range(day)), left = false;
    bool more = kv_seek(it, key_slice(&at));
    for (; more && key_parse_chunk(kv_key(it), &key) && key.series == id && key.partition == day;
         more = kv_next(it)) {
        bool sound = !whole && chunk_open(kv_value(it), chunk_key_time(key), &chunk);
        struct time_range range = {chunk_key_time(key), sound ? chunk.end_ms : chunk_key_time(key)};
        if (whole || (sound && time_ranges_cover(&carrying->ranges, range))) {
            kv_batch_delete(carrying->store->kv, carrying->batch, KV_CHUNK, kv_key(it));
            continue;
        }
        left = true;
        if (sound && time_ranges_meet(&carrying->ranges, range))
            sound = thin_chunk(carrying, key, &chunk);
        if (!sound)
            store_note_damaged(carrying->store, key);
    }
    struct error unused;
    return left || (!more && kv_iterator_damage(it, &unused));
}

static void thin_series(struct carrying *carrying, struct kv_iterator *it, uint32_t id)
{
    const struct partitions *partitions = &carrying->store->partitions;
    tombstones_of(&carrying->store->tombstones, id, (struct time_range){0, TIME_MS_MAX},
                  &carrying->ranges);
    for (size_t i = 0; i < partitions->count; i++) {
        uint32_t day = partitions->at[i].day;
        if (!roaring_bitmap_contains(partitions->at[i].active, id) ||
            !time_ranges_meet(&carrying->ranges, day_range(day)) || thin_day(carrying, it, day, id))
            continue;
        id_list_push(&carrying->emptied, id);
        id_list_push(&carrying->emptied, day);
    }
}

/* --- writing it --- */

static void stage_rows(struct carrying *carrying, const roaring_bitmap_t *done)
{
    const struct tombstones *tombstones = &carrying->store->tombstones;
    for (size_t i = 0; i < tombstones->count; i++) {
        struct tombstone row = tombstones->at[i];
        if (!roaring_bitmap_intersect(row.series, done))
            continue;
        row.series = roaring_bitmap_andnot(row.series, done);
        tombstones_stage(carrying->store->kv, carrying->batch, &row);
        roaring_bitmap_free(row.series);
    }
}

/* Which days the series are active on; before the write, and back when it fails. */
static void note_emptied(const struct carrying *carrying, bool emptied)
{
    struct partitions *partitions = &carrying->store->partitions;
    pthread_rwlock_wrlock(&carrying->store->lock);
    for (size_t i = 0; i < carrying->emptied.count; i += 2) {
        uint32_t id = carrying->emptied.at[i];
        struct partition *at =
            &partitions->at[partitions_find(partitions, carrying->emptied.at[i + 1])];
        at->dirty = true;
        if (emptied)
            roaring_bitmap_remove(at->active, id);
        else
            roaring_bitmap_add(at->active, id);
    }
    pthread_rwlock_unlock(&carrying->store->lock);
}

/* The series leave all tombstones; readers with an older snapshot take a new one. */
static void publish(struct carrying *carrying, const roaring_bitmap_t *done)
{
    struct store *store = carrying->store;
    roaring_uint32_iterator_t it;
    pthread_rwlock_wrlock(&store->lock);
    store->seal_count++;
    for (roaring_init_iterator(done, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        struct head_series *series = head_get(&store->head, it.current_value);
        if (series)
            series->sealed_at = store->seal_count;
    }
    for (size_t i = store->tombstones.count; i--;) {
        struct tombstone row = store->tombstones.at[i];
        if (!roaring_bitmap_intersect(row.series, done))
            continue;
        row.series = roaring_bitmap_andnot(row.series, done);
        tombstones_put(&store->tombstones, row);
    }
    partitions_saved(&store->partitions);
    pthread_rwlock_unlock(&store->lock);
}

/* Carries out all that is pending for these series; they leave every tombstone. */
static int carry_out(struct store *store, const roaring_bitmap_t *ids, struct error *err)
{
    struct carrying *carrying = alloc_zeroed(1, sizeof *carrying);
    struct kv_iterator *it = kv_iterate(store->kv, KV_CHUNK, SLICE(""), SLICE(""));
    roaring_uint32_iterator_t ids_it;
    carrying->store = store;
    carrying->batch = kv_batch_new();
    buffer_init(&carrying->bytes, SIZE_MAX);
    arena_init(&carrying->arena, ARENA_BYTES);
    roaring_init_iterator(ids, &ids_it);
    for (; ids_it.has_value; roaring_advance_uint32_iterator(&ids_it))
        thin_series(carrying, it, ids_it.current_value);
    kv_iterator_free(it);
    stage_rows(carrying, ids);
    note_emptied(carrying, true);
    partitions_stage(&store->partitions, store->kv, carrying->batch);
    int status = kv_write(store->kv, carrying->batch, false, err);
    if (status)
        note_emptied(carrying, false);
    else
        publish(carrying, ids);
    kv_batch_free(carrying->batch);
    buffer_release(&carrying->bytes);
    arena_release(&carrying->arena);
    time_ranges_release(&carrying->ranges);
    free(carrying->emptied.at);
    free(carrying);
    return status;
}

int store_apply_tombstones(struct store *store, const uint32_t *ids, size_t count,
                           struct error *err)
{
    roaring_bitmap_t *pending = roaring_bitmap_create();
    for (size_t i = 0; i < count && store->tombstones.count; i++)
        if (tombstones_pending(&store->tombstones, ids[i]))
            roaring_bitmap_add(pending, ids[i]);
    int status = roaring_bitmap_is_empty(pending) ? 0 : carry_out(store, pending, err);
    roaring_bitmap_free(pending);
    return status;
}

/* --- the job --- */

/* Leaves only these series in the row. */
static int keep_in_row(struct store *store, struct tombstone row, roaring_bitmap_t *owned,
                       struct error *err)
{
    struct kv_batch *batch = kv_batch_new();
    row.series = owned;
    tombstones_stage(store->kv, batch, &row);
    int status = kv_write(store->kv, batch, false, err);
    kv_batch_free(batch);
    if (status) {
        roaring_bitmap_free(owned);
        return -1;
    }
    pthread_rwlock_wrlock(&store->lock);
    tombstones_put(&store->tombstones, row);
    pthread_rwlock_unlock(&store->lock);
    return 0;
}

/* Drops one of the days that the row covers whole; *done is false when there was something to do. */
static int drop_covered_day(struct store *store, const struct tombstone *row, bool *done,
                            struct error *err)
{
    const struct partitions *partitions = &store->partitions;
    *done = true;
    for (size_t i = 0; i < partitions->count; i++) {
        const struct partition *at = &partitions->at[i];
        struct time_range day = day_range(at->day);
        if (row->range.start_ms > day.start_ms || row->range.end_ms < day.end_ms ||
            !roaring_bitmap_intersect(at->active, row->series))
            continue;
        *done = false;
        return store_drop_part(store, STORE_RAW, at->day, row->series, err);
    }
    return 0;
}

/* The series of the row with chunks on the days of which it covers a part. */
static roaring_bitmap_t *find_edges(const struct store *store, const struct tombstone *row)
{
    uint32_t first = partition_of(row->range.start_ms), last = partition_of(row->range.end_ms);
    roaring_bitmap_t *edges = partitions_union(&store->partitions, first, first);
    roaring_bitmap_t *other = partitions_union(&store->partitions, last, last);
    roaring_bitmap_or_inplace(edges, other);
    roaring_bitmap_and_inplace(edges, row->series);
    roaring_bitmap_free(other);
    return edges;
}

/* A part of the oldest tombstone. */
static int work_on(struct store *store, struct error *err)
{
    const struct tombstone *row = &store->tombstones.at[0];
    bool done;
    if (drop_covered_day(store, row, &done, err))
        return -1;
    if (!done)
        return 0;
    roaring_bitmap_t *edges = find_edges(store, row);
    uint32_t last;
    if (!roaring_bitmap_equals(edges, row->series))
        return keep_in_row(store, *row, edges, err);
    if (roaring_bitmap_select(edges, SERIES_EDGES, &last))
        roaring_bitmap_remove_range(edges, last, (uint64_t)UINT32_MAX + 1);
    int status = carry_out(store, edges, err);
    roaring_bitmap_free(edges);
    return status;
}

int store_carry_out(struct store *store, int64_t deadline_ns, struct error *err)
{
    int status = 0;
    if (store->tombstones.count == 0)
        return 0;
    do {
        status = work_on(store, err);
    } while (!status && store->tombstones.count && clock_monotonic_ns() < deadline_ns);
    return status;
}

int store_clean_tombstones(struct store *store, struct error *err)
{
    if (store_carry_out(store, clock_monotonic_ns() + STEP_NS, err) ||
        store_forget(store, clock_now_ms(), err))
        return error_wrap(err, "cannot clean up after deletions");
    return store->tombstones.count > 0;
}
