/* carry: what has been deleted is taken away, a part each tick; see delete.c.
 *
 *   all of a day, or of 32 days of buckets    keys, and bits in the bitmap; many series a write
 *   a part of it                              chunk by chunk: what is left is put back; and in the same
 *                                             write the series leaves all its tombstones
 *
 * Oldest tombstone first. A kill leaves parts whose bits are gone (there is nothing left to do on them) and
 * series that have left the row; what is done twice finds nothing the second time. Damaged chunks
 * and buckets stay, unless all of their day goes.
 *
 * Buckets that a deletion meets are taken away or put back without what it meets only where the samples
 * have left; elsewhere they are stale since the deletion, and close.c makes them again.
 */
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/code/chunk.h"
#include "storage/code/rollup_code.h"
#include "storage/key.h"
#include "storage/read.h"
#include "storage/store_state.h"

#define SERIES_EDGES ((size_t)200) /* series whose edges are rewritten in one write */
#define STEP_NS      ((int64_t)50000000)
#define ARENA_BYTES  ((size_t)1 << 28)

static struct time_range day_range(uint32_t day)
{
    return (struct time_range){partition_start(day), partition_start(day + 1) - 1};
}

/* What buckets of these days cover. */
static struct time_range buckets_range(uint32_t day, uint32_t days)
{
    return (struct time_range){partition_start(day) + (day > 0), partition_start(day + days)};
}

static bool covers(struct time_range outer, struct time_range inner)
{
    return outer.start_ms <= inner.start_ms && outer.end_ms >= inner.end_ms;
}

struct carrying {
    struct store *store;
    struct kv_batch *batch;
    struct buffer bytes;
    struct arena arena;
    struct rollup rollup;
    struct time_ranges ranges; /* of the series at hand */
    struct id_list emptied;    /* what, part and series, again and again: nothing is left there */
};

/* What `emptied` says: nothing of that tier; or, instead of STORE_5M ... of a day: no buckets of a day
 * whose samples have left. */
#define NOTHING_THINNED ((uint32_t)STORE_TIER_COUNT)

static void push_emptied(struct carrying *carrying, uint32_t what, uint32_t part, uint32_t id)
{
    id_list_push(&carrying->emptied, what);
    id_list_push(&carrying->emptied, part);
    id_list_push(&carrying->emptied, id);
}

/* --- chunks --- */

static void put_chunk(struct carrying *carrying, struct chunk_key key, const int64_t *times)
{
    key.offset_ms = (uint32_t)(times[0] - partition_start(key.partition));
    struct key_bytes bytes = key_of_chunk(key);
    kv_batch_put(carrying->store->kv, carrying->batch, KV_CHUNK, key_slice(&bytes),
                 buffer_slice(&carrying->bytes));
}

/* What is in a chunk. False when it is damaged. */
static bool open_samples(const struct chunk *chunk, struct arena *arena, struct sample_arrays *out)
{
    *out = (struct sample_arrays){.times = arena_alloc(arena, chunk->count * sizeof *out->times)};
    if (!out->times || !chunk_times(chunk, out->times))
        return false;
    if (chunk->histograms) {
        out->histograms = arena_alloc(arena, chunk->count * sizeof *out->histograms);
        return out->histograms && chunk_histograms(chunk, arena, out->histograms);
    }
    out->values = arena_alloc(arena, chunk->count * sizeof *out->values);
    out->sketches = arena_alloc(arena, chunk->count * sizeof *out->sketches);
    return out->values && out->sketches && chunk_values(chunk, out->values) &&
           chunk_sketches(chunk, out->sketches);
}

/* Replaces a chunk by what is left of it. False when it is damaged. */
static bool thin_chunk(struct carrying *carrying, struct chunk_key key, const struct chunk *chunk)
{
    struct sample_arrays samples;
    arena_reset(&carrying->arena);
    if (!open_samples(chunk, &carrying->arena, &samples))
        return false;
    size_t left = time_ranges_strike(&carrying->ranges, &samples, chunk->count);
    if (left == chunk->count)
        return true;
    struct key_bytes bytes = key_of_chunk(key);
    kv_batch_delete(carrying->store->kv, carrying->batch, KV_CHUNK, key_slice(&bytes));
    for (size_t from = 0, count; from < left; from += count) {
        count = left - from;
        buffer_reset(&carrying->bytes);
        while (samples.histograms && !chunk_histograms_fit(samples.histograms + from, count))
            count = (count + 1) / 2;
        if (samples.histograms)
            chunk_append_histograms(&carrying->bytes, samples.times + from,
                                    samples.histograms + from, count);
        else
            chunk_append_set(&carrying->bytes, samples.times + from, samples.values + from,
                             samples.sketches + from, count);
        put_chunk(carrying, key, samples.times + from);
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

static void thin_samples(struct carrying *carrying, struct kv_iterator *it, uint32_t id)
{
    const struct partitions *partitions = &carrying->store->partitions;
    for (size_t i = 0; i < partitions->count; i++) {
        uint32_t day = partitions->at[i].day;
        if (roaring_bitmap_contains(partitions->at[i].thinned, id) &&
            time_ranges_cover(&carrying->ranges, buckets_range(day, 1)))
            push_emptied(carrying, NOTHING_THINNED, day, id);
        if (roaring_bitmap_contains(partitions->at[i].active, id) &&
            time_ranges_meet(&carrying->ranges, day_range(day)) && !thin_day(carrying, it, day, id))
            push_emptied(carrying, STORE_RAW, day, id);
    }
}

/* --- buckets --- */

/* Puts back what is left of buckets whose samples have left. True when some are, or cannot be read. */
static bool thin_rollup(struct carrying *carrying, struct slice bytes, struct rollup_key key,
                        enum store_tier tier)
{
    struct store *store = carrying->store;
    const struct series_row *row = series_row(&store->series, key.series);
    struct rollup *rollup = &carrying->rollup;
    struct key_bytes at = key_of_rollup(key);
    arena_reset(&carrying->arena);
    rollup_reset(rollup, row && row->kind == SERIES_HISTOGRAM, rollup_tier_ms[tier]);
    if (!rollup_code_read(bytes, partition_start(key.day), rollup, &carrying->arena))
        return true;
    size_t before = rollup->count;
    rollup_strike(rollup, 0, &carrying->ranges);
    if (rollup->count == before)
        return true;
    kv_batch_delete(store->kv, carrying->batch, KV_CHUNK, key_slice(&at));
    if (rollup->count == 0)
        return false;
    buffer_reset(&carrying->bytes);
    rollup_code_append(&carrying->bytes, rollup, partition_start(key.day),
                       row && row->kind == SERIES_COUNTER);
    kv_batch_put(store->kv, carrying->batch, KV_CHUNK, key_slice(&at),
                 buffer_slice(&carrying->bytes));
    return true;
}

/* The buckets of one series in one part. True when some are left. Where there are samples, close.c makes
 * them again. */
static bool thin_part(struct carrying *carrying, struct kv_iterator *it, enum store_tier tier,
                      uint32_t part, uint32_t id)
{
    struct store *store = carrying->store;
    struct rollup_key key = {store->rollups[tier].resolution, part * ROLLUP_DAYS, id};
    struct key_bytes at = key_of_rollup(key);
    bool left = false;
    bool more = kv_seek(it, key_slice(&at));
    for (; more && key_parse_rollup(kv_key(it), &key) && key.series == id &&
           key.day / ROLLUP_DAYS == part && key.resolution == store->rollups[tier].resolution;
         more = kv_next(it)) {
        struct time_range day = buckets_range(key.day, 1);
        if (time_ranges_cover(&carrying->ranges, day))
            kv_batch_delete(store->kv, carrying->batch, KV_CHUNK, kv_key(it));
        else if (time_ranges_meet(&carrying->ranges, day) && left_samples(store, id, key.day))
            left |= thin_rollup(carrying, kv_value(it), key, tier);
        else
            left = true;
    }
    return left;
}

static void thin_buckets(struct carrying *carrying, struct kv_iterator *it, uint32_t id)
{
    for (int tier = STORE_RAW + 1; tier < STORE_TIER_COUNT; tier++) {
        const struct partitions *parts = &carrying->store->rollups[tier];
        for (size_t i = 0; i < parts->count; i++) {
            uint32_t part = parts->at[i].day;
            if (roaring_bitmap_contains(parts->at[i].active, id) &&
                time_ranges_meet(&carrying->ranges,
                                 buckets_range(part * ROLLUP_DAYS, ROLLUP_DAYS)) &&
                !thin_part(carrying, it, (enum store_tier)tier, part, id))
                push_emptied(carrying, (uint32_t)tier, part, id);
        }
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

/* Where the series are active; before the write, and back when it fails. */
static void note_emptied(const struct carrying *carrying, bool emptied)
{
    struct store *store = carrying->store;
    pthread_rwlock_wrlock(&store->lock);
    for (size_t i = 0; i < carrying->emptied.count; i += 3) {
        const uint32_t *at = &carrying->emptied.at[i];
        bool buckets = at[0] != STORE_RAW && at[0] != NOTHING_THINNED;
        struct partition *part =
            partitions_get(buckets ? &store->rollups[at[0]] : &store->partitions, at[1]);
        roaring_bitmap_t *ids = at[0] == NOTHING_THINNED ? part->thinned : part->active;
        part->dirty = true;
        if (emptied)
            roaring_bitmap_remove(ids, at[2]);
        else
            roaring_bitmap_add(ids, at[2]);
    }
    pthread_rwlock_unlock(&store->lock);
}

static void stage_parts(struct store *store, struct kv_batch *batch)
{
    partitions_stage(&store->partitions, store->kv, batch);
    for (int tier = STORE_RAW + 1; tier < STORE_TIER_COUNT; tier++)
        partitions_stage(&store->rollups[tier], store->kv, batch);
}

/* Under the lock. */
static void parts_saved(struct store *store)
{
    partitions_saved(&store->partitions);
    for (int tier = STORE_RAW + 1; tier < STORE_TIER_COUNT; tier++)
        partitions_saved(&store->rollups[tier]);
}

/* The series leave all tombstones; readers with an older snapshot take a new one. */
static void publish(struct carrying *carrying, const roaring_bitmap_t *done)
{
    struct store *store = carrying->store;
    int64_t low_ms = INT64_MAX;
    roaring_uint32_iterator_t it;
    pthread_rwlock_wrlock(&store->lock);
    store->seal_count++;
    for (roaring_init_iterator(done, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        struct head_series *series = head_get(&store->head, it.current_value);
        if (series)
            head_note_seal(series, store->seal_count);
    }
    for (size_t i = store->tombstones.count; i--;) {
        struct tombstone row = store->tombstones.at[i];
        if (!roaring_bitmap_intersect(row.series, done))
            continue;
        row.series = roaring_bitmap_andnot(row.series, done);
        tombstones_put(&store->tombstones, row);
        low_ms = row.range.start_ms < low_ms ? row.range.start_ms : low_ms;
    }
    parts_saved(store);
    if (low_ms != INT64_MAX)
        changes_add(&store->changes, low_ms);
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
    rollup_init(&carrying->rollup);
    carrying->rollup.sketched = true;
    roaring_init_iterator(ids, &ids_it);
    for (; ids_it.has_value; roaring_advance_uint32_iterator(&ids_it)) {
        uint32_t id = ids_it.current_value;
        tombstones_of(&store->tombstones, id, (struct time_range){0, TIME_MS_MAX},
                      &carrying->ranges);
        thin_samples(carrying, it, id);
        thin_buckets(carrying, it, id);
    }
    kv_iterator_free(it);
    stage_rows(carrying, ids);
    note_emptied(carrying, true);
    stage_parts(store, carrying->batch);
    int status = kv_write(store->kv, carrying->batch, false, err);
    if (status)
        note_emptied(carrying, false);
    else
        publish(carrying, ids);
    kv_batch_free(carrying->batch);
    buffer_release(&carrying->bytes);
    arena_release(&carrying->arena);
    rollup_release(&carrying->rollup);
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

/* Days whose samples and buckets are all deleted: no buckets remain of those whose samples left. */
static void forget_thinned(struct store *store, const struct tombstone *row,
                           const roaring_bitmap_t *leaving)
{
    pthread_rwlock_wrlock(&store->lock);
    for (size_t i = 0; i < store->partitions.count; i++) {
        struct partition *at = &store->partitions.at[i];
        if (!covers(row->range, buckets_range(at->day, 1)) ||
            !roaring_bitmap_intersect(at->thinned, leaving))
            continue;
        roaring_bitmap_andnot_inplace(at->thinned, leaving);
        at->dirty = true;
    }
    pthread_rwlock_unlock(&store->lock);
}

/* Leaves only these series in the row: what is deleted of the others is gone. */
static int keep_in_row(struct store *store, struct tombstone row, roaring_bitmap_t *owned,
                       struct error *err)
{
    struct kv_batch *batch = kv_batch_new();
    roaring_bitmap_t *leaving = roaring_bitmap_andnot(row.series, owned);
    forget_thinned(store, &row, leaving);
    roaring_bitmap_free(leaving);
    row.series = owned;
    tombstones_stage(store->kv, batch, &row);
    stage_parts(store, batch);
    int status = kv_write(store->kv, batch, false, err);
    kv_batch_free(batch);
    if (status) {
        roaring_bitmap_free(owned);
        return -1;
    }
    pthread_rwlock_wrlock(&store->lock);
    tombstones_put(&store->tombstones, row);
    parts_saved(store);
    changes_add(&store->changes, row.range.start_ms);
    pthread_rwlock_unlock(&store->lock);
    return 0;
}

static struct time_range part_range(enum store_tier tier, uint32_t part)
{
    return tier == STORE_RAW ? day_range(part) : buckets_range(part * ROLLUP_DAYS, ROLLUP_DAYS);
}

/* Drops one of the parts that the row covers whole; *done is false when there was something to do. */
static int drop_covered(struct store *store, const struct tombstone *row, bool *done,
                        struct error *err)
{
    *done = true;
    for (int tier = 0; tier < STORE_TIER_COUNT; tier++) {
        const struct partitions *parts =
            tier == STORE_RAW ? &store->partitions : &store->rollups[tier];
        for (size_t i = 0; i < parts->count; i++) {
            const struct partition *at = &parts->at[i];
            if (!covers(row->range, part_range((enum store_tier)tier, at->day)) ||
                !roaring_bitmap_intersect(at->active, row->series))
                continue;
            *done = false;
            return store_drop_part(store, (enum store_tier)tier, at->day, row->series, err);
        }
    }
    return 0;
}

/* The series of the row with anything in the parts of which it covers some. */
static roaring_bitmap_t *find_edges(const struct store *store, const struct tombstone *row)
{
    roaring_bitmap_t *edges = roaring_bitmap_create();
    for (int tier = 0; tier < STORE_TIER_COUNT; tier++) {
        const struct partitions *parts =
            tier == STORE_RAW ? &store->partitions : &store->rollups[tier];
        for (size_t i = 0; i < parts->count; i++) {
            struct time_range part = part_range((enum store_tier)tier, parts->at[i].day);
            if (part.start_ms <= row->range.end_ms && part.end_ms >= row->range.start_ms)
                roaring_bitmap_or_inplace(edges, parts->at[i].active);
        }
    }
    roaring_bitmap_and_inplace(edges, row->series);
    return edges;
}

/* A part of the oldest tombstone. */
static int work_on(struct store *store, struct error *err)
{
    const struct tombstone *row = &store->tombstones.at[0];
    bool done;
    if (drop_covered(store, row, &done, err))
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
