/* retention: days leave, whole when all of a day is past the limit, else for some of its series.
 *
 *   whole    chunks first (files, then a range delete), then the day's bitmap. A crash in between
 *            leaves the bitmap of a day without chunks, which the next pass drops again.
 *   some     one write: their chunks and the bitmap without them. Readers stop looking at those
 *            chunks before they go, as what is dropped is past its time or deleted anyway.
 *
 * Chunks of series that are neighbours among those active on the day go with one range delete;
 * scattered ones are deleted key by key, because RocksDB 7.8 reads slowly past many ranges.
 * Series that lived only in what left are forgotten by forget.c.
 */
#include "storage/base/log.h"
#include "storage/key.h"
#include "storage/store_state.h"

#define NEIGHBOURS_MIN 8    /* series worth a range delete */
#define SCATTERED_MAX  2000 /* series whose chunks one write deletes key by key */

/* --- some series of a day --- */

/* What is to go, from `it` on, up to the next series that stays. */
struct stretch {
    uint32_t from, to; /* ids, [from, to) */
    size_t count;
};

static struct stretch next_stretch(roaring_uint32_iterator_t *going,
                                   roaring_uint32_iterator_t *staying)
{
    struct stretch stretch = {.from = going->current_value};
    roaring_move_uint32_iterator_equalorlarger(staying, stretch.from);
    stretch.to = staying->has_value ? staying->current_value : UINT32_MAX;
    for (; going->has_value && going->current_value < stretch.to; stretch.count++)
        roaring_advance_uint32_iterator(going);
    return stretch;
}

static void delete_keys(struct store *store, struct kv_batch *batch, uint32_t day,
                        struct stretch stretch)
{
    struct key_bytes from = key_of_chunk((struct chunk_key){day, stretch.from, 0});
    struct key_bytes to = key_of_chunk((struct chunk_key){day, stretch.to, 0});
    if (stretch.count >= NEIGHBOURS_MIN) {
        kv_batch_delete_range(store->kv, batch, KV_CHUNK, key_slice(&from), key_slice(&to));
        return;
    }
    struct kv_iterator *it = kv_iterate(store->kv, KV_CHUNK, key_slice(&from), key_slice(&to));
    for (bool more = kv_seek_first(it); more; more = kv_next(it))
        kv_batch_delete(store->kv, batch, KV_CHUNK, kv_key(it));
    kv_iterator_free(it);
}

/* Puts deletes into the batch; returns the series they are for. */
static roaring_bitmap_t *stage_drop(struct store *store, struct kv_batch *batch, uint32_t day,
                                    const roaring_bitmap_t *ids, const roaring_bitmap_t *active)
{
    roaring_bitmap_t *gone = roaring_bitmap_and(ids, active);
    roaring_bitmap_t *rest = roaring_bitmap_andnot(active, ids);
    roaring_uint32_iterator_t going, staying;
    size_t scattered = 0;
    roaring_init_iterator(rest, &staying);
    for (roaring_init_iterator(gone, &going); going.has_value && scattered < SCATTERED_MAX;) {
        struct stretch stretch = next_stretch(&going, &staying);
        delete_keys(store, batch, day, stretch);
        scattered += stretch.count < NEIGHBOURS_MIN ? stretch.count : 0;
    }
    if (going.has_value)
        roaring_bitmap_remove_range(gone, going.current_value, (uint64_t)UINT32_MAX + 1);
    roaring_bitmap_free(rest);
    return gone;
}

int store_drop_day(struct store *store, uint32_t day, const roaring_bitmap_t *ids,
                   struct error *err)
{
    struct partitions *partitions = &store->partitions;
    size_t place = partitions_find(partitions, day);
    if (place == partitions->count || partitions->at[place].day != day ||
        !roaring_bitmap_intersect(partitions->at[place].active, ids))
        return 0;
    struct kv_batch *batch = kv_batch_new();
    roaring_bitmap_t *gone = stage_drop(store, batch, day, ids, partitions->at[place].active);
    pthread_rwlock_wrlock(&store->lock);
    partitions_clear(partitions, day, gone);
    pthread_rwlock_unlock(&store->lock);
    partitions_stage(partitions, store->kv, batch);
    int status = kv_write(store->kv, batch, false, err);
    pthread_rwlock_wrlock(&store->lock);
    if (status)
        roaring_bitmap_or_inplace(partitions->at[place].active, gone);
    else
        partitions_saved(partitions);
    pthread_rwlock_unlock(&store->lock);
    roaring_bitmap_or_inplace(store->doubtful, gone);
    roaring_bitmap_free(gone);
    kv_batch_free(batch);
    return status;
}

/* --- whole days --- */

static int forget_days(struct store *store, size_t count, struct error *err)
{
    struct kv_batch *batch = kv_batch_new();
    for (size_t i = 0; i < count; i++) {
        struct key_bytes key = key_of_u32(store->partitions.at[i].day);
        kv_batch_delete(store->kv, batch, KV_POSTINGS, key_slice(&key));
        roaring_bitmap_or_inplace(store->doubtful, store->partitions.at[i].active);
    }
    int status = kv_write(store->kv, batch, false, err);
    if (!status) {
        pthread_rwlock_wrlock(&store->lock);
        partitions_forget(&store->partitions, count);
        pthread_rwlock_unlock(&store->lock);
        metric_add(&store_metrics[STORE_PARTITIONS_DROPPED], (int64_t)count);
    }
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
    return forget_days(store, count, err);
}
