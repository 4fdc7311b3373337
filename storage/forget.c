/* forget: series that have no data left leave the index and KV_SERIES.
 *
 * Whoever takes data away (retention, deletions) calls its series doubtful; at opening all are. Here
 * the doubtful ones are looked at. One with chunks, buckets or open samples is no longer doubtful. One
 * that is held (the registry of pushed series keeps ids), one with late samples, or whose head entry
 * is empty but young, stays doubtful: late samples will become chunks, and whoever wrote to the
 * entry may be about to go on.
 *
 * The rows go in one write, then memory follows; a crash in between forgets them at the next opening.
 * That write also notes the next id, as ids must never come back: bitmaps, head log records and the
 * memory of those who write may still know them.
 */
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/key.h"
#include "storage/store_state.h"

#define LABELS_BYTES_MAX ((size_t)1 << 16)
#define QUIET_S          60
#define AT_ONCE          5000 /* series in one write, and under one lock */
#define BUDGET_NS        ((int64_t)50000000)

/* True when the head holds nothing of it and nobody is about to write it. */
static bool head_is_quiet(struct store *store, uint32_t id, uint32_t now_s)
{
    const struct head_series *series = head_get(&store->head, id);
    if (late_find(&store->late, id))
        return false;
    if (series && series->count)
        roaring_bitmap_remove(store->doubtful, id);
    return !series || (series->count == 0 && now_s > series->touched_s + QUIET_S);
}

/* Up to AT_ONCE doubtful series without data. */
static roaring_bitmap_t *find_dead(struct store *store, uint32_t now_s)
{
    roaring_bitmap_t *dead = roaring_bitmap_create();
    roaring_bitmap_and_inplace(store->doubtful, store->postings.all);
    for (size_t i = 0; i < store->partitions.count; i++)
        roaring_bitmap_andnot_inplace(store->doubtful, store->partitions.at[i].active);
    for (int tier = 0; tier < STORE_TIER_COUNT; tier++)
        for (size_t i = 0; i < store->rollups[tier].count; i++)
            roaring_bitmap_andnot_inplace(store->doubtful, store->rollups[tier].at[i].active);
    roaring_bitmap_t *candidates = roaring_bitmap_andnot(store->doubtful, store->held);
    roaring_uint32_iterator_t it;
    size_t count = 0;
    roaring_init_iterator(candidates, &it);
    for (; it.has_value && count < AT_ONCE; roaring_advance_uint32_iterator(&it)) {
        if (!head_is_quiet(store, it.current_value, now_s))
            continue;
        roaring_bitmap_add(dead, it.current_value);
        count++;
    }
    roaring_bitmap_free(candidates);
    return dead;
}

static void forget_series(struct store *store, uint32_t id)
{
    struct arena arena;
    struct labels labels;
    arena_init(&arena, LABELS_BYTES_MAX);
    if (labels_decode(series_labels(series_row(&store->series, id)), &arena, &labels))
        postings_remove(&store->postings, id, labels);
    arena_release(&arena);
    series_remove(&store->series, id);
    if (head_get(&store->head, id))
        head_remove(&store->head, id);
}

static int forget(struct store *store, const roaring_bitmap_t *dead, struct error *err)
{
    struct kv_batch *batch = kv_batch_new();
    roaring_uint32_iterator_t it;
    for (roaring_init_iterator(dead, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        struct key_bytes key = key_of_u32(it.current_value);
        kv_batch_delete(store->kv, batch, KV_SERIES, key_slice(&key));
    }
    series_stage_next(&store->series, store->kv, batch);
    int status = kv_write(store->kv, batch, false, err);
    kv_batch_free(batch);
    if (status)
        return -1;
    log_info("forget", "series=%llu first=%u",
             (unsigned long long)roaring_bitmap_get_cardinality(dead),
             roaring_bitmap_minimum(dead));
    pthread_rwlock_wrlock(&store->lock);
    for (roaring_init_iterator(dead, &it); it.has_value; roaring_advance_uint32_iterator(&it))
        forget_series(store, it.current_value);
    pthread_rwlock_unlock(&store->lock);
    roaring_bitmap_andnot_inplace(store->doubtful, dead);
    metric_add(&store_metrics[STORE_SERIES_REMOVED], (int64_t)roaring_bitmap_get_cardinality(dead));
    return 0;
}

int store_forget(struct store *store, int64_t now_ms, struct error *err)
{
    int64_t deadline = clock_monotonic_ns() + BUDGET_NS;
    int status = 0;
    for (bool more = true; more && !status && clock_monotonic_ns() < deadline;) {
        if (roaring_bitmap_is_empty(store->doubtful))
            return 0;
        roaring_bitmap_t *dead = find_dead(store, (uint32_t)(now_ms / 1000));
        more = !roaring_bitmap_is_empty(dead);
        if (more)
            status = forget(store, dead, err);
        roaring_bitmap_free(dead);
    }
    return status;
}

void store_hold(struct store *store, uint32_t series, bool held)
{
    if (held)
        roaring_bitmap_add(store->held, series);
    else
        roaring_bitmap_remove(store->held, series);
}
