/* retention: days past the limit leave whole, and series that lived only in them are forgotten.
 *
 * Order: chunks first, then in one write the days' bitmaps and the series. A crash in between leaves
 * bitmaps of days without chunks, which the next pass drops again.
 */
#include "storage/base/log.h"
#include "storage/key.h"
#include "storage/store_state.h"

#define LABELS_BYTES_MAX ((size_t)1 << 16)

/* Series that had data in the first `count` days or before this process, and now have none. */
static roaring_bitmap_t *find_dead(const struct store *store, size_t count)
{
    roaring_bitmap_t *dead = roaring_bitmap_create();
    roaring_bitmap_add_range(dead, 0, store->series_known_from);
    roaring_bitmap_and_inplace(dead, store->postings.all);
    for (size_t i = 0; i < count; i++)
        roaring_bitmap_or_inplace(dead, store->partitions.at[i].active);
    for (size_t i = count; i < store->partitions.count; i++)
        roaring_bitmap_andnot_inplace(dead, store->partitions.at[i].active);
    for (uint32_t id = 0; id < store->head.capacity; id++)
        if (head_get(&store->head, id))
            roaring_bitmap_remove(dead, id);
    size_t cursor = 0;
    for (const struct late_run *run; (run = late_next(&store->late, &cursor));)
        roaring_bitmap_remove(dead, run->series);
    return dead;
}

static bool stage_series(uint32_t id, void *arg)
{
    void **both = arg;
    struct key_bytes key = key_of_u32(id);
    kv_batch_delete(both[0], both[1], KV_SERIES, key_slice(&key));
    return true;
}

static bool forget_series(uint32_t id, void *arg)
{
    struct store *store = arg;
    struct arena arena;
    struct labels labels;
    const struct series_row *row = series_row(&store->series, id);
    if (!row)
        return true;
    arena_init(&arena, LABELS_BYTES_MAX);
    if (labels_decode(series_labels(row), &arena, &labels))
        postings_remove(&store->postings, id, labels);
    arena_release(&arena);
    series_remove(&store->series, id);
    metric_add(&store_metrics[STORE_SERIES_REMOVED], 1);
    return true;
}

static int forget(struct store *store, size_t count, struct error *err)
{
    struct kv_batch *batch = kv_batch_new();
    roaring_bitmap_t *dead = find_dead(store, count);
    for (size_t i = 0; i < count; i++) {
        struct key_bytes key = key_of_u32(store->partitions.at[i].day);
        kv_batch_delete(store->kv, batch, KV_POSTINGS, key_slice(&key));
    }
    void *both[] = {store->kv, batch};
    roaring_iterate(dead, stage_series, both);
    int status = kv_write(store->kv, batch, false, err);
    if (!status) {
        pthread_rwlock_wrlock(&store->lock);
        partitions_forget(&store->partitions, count);
        roaring_iterate(dead, forget_series, store);
        pthread_rwlock_unlock(&store->lock);
        metric_add(&store_metrics[STORE_PARTITIONS_DROPPED], (int64_t)count);
    }
    roaring_bitmap_free(dead);
    kv_batch_free(batch);
    return status;
}

int store_retain(struct store *store, int64_t now_ms, struct error *err)
{
    if (store->retention_ms == 0 || now_ms < store->retention_ms)
        return 0;
    uint32_t keep = partition_of(now_ms - store->retention_ms);
    size_t count = partitions_find(&store->partitions, keep);
    if (count == 0)
        return 0;
    struct key_bytes from = key_of_chunks(0), to = key_of_chunks(keep);
    log_info("retention", "days=%zu first=%u kept_from=%u", count, store->partitions.at[0].day,
             keep);
    if (kv_drop_range(store->kv, KV_CHUNK, key_slice(&from), key_slice(&to), err))
        return -1;
    return forget(store, count, err);
}
