/* partition: which series have sealed samples on which day, and how far their buckets are.
 *
 * Lets queries skip churned series and days without data, tells retention what there is and the
 * closing job what is to be done. In memory whole (runs of ids compress well), durable in
 * KV_POSTINGS. The owner guards it: the writer changes it under the store's lock.
 *
 * The same shape keeps the rollups' own lists, where a partition is 32 days and only `active` and
 * `dirty` mean something.
 */
#ifndef STORAGE_INDEX_PARTITION_H
#define STORAGE_INDEX_PARTITION_H

#include "storage/index/postings.h"
#include "storage/kv/kv.h"

struct partition {
    uint32_t day;        /* see key.h */
    bool dirty;          /* differs from KV_POSTINGS */
    bool closed;         /* the day's 1h buckets are made, but for those of the stale series */
    bool fine;           /* its 5m buckets too */
    bool remade;         /* may have left before: it was made when there were newer days, or none */
    uint32_t longest_ms; /* span of its longest chunk: how far back a reader has to look */
    roaring_bitmap_t *active;
    roaring_bitmap_t *stale;   /* series whose buckets are still to be made, or made again */
    roaring_bitmap_t *thinned; /* series whose samples left before the day did; buckets remain */
    roaring_bitmap_t *rolled;  /* leave `stale` with the write that is being prepared */
};

struct partitions {
    uint8_t resolution;   /* RESOLUTION_RAW, or that of a rollup; see key.h */
    struct partition *at; /* sorted by day */
    size_t count;
    size_t capacity;
    /* True when there are buckets, of any series; NULL: nothing is known of buckets. */
    bool (*any_buckets)(void *arg);
    /* True when the series has buckets of that day. */
    bool (*has_buckets)(void *arg, uint32_t series, uint32_t day);
    void *arg;
};

void partitions_release(struct partitions *partitions);
/* Those of partitions->resolution. 1: some are damaged, noted and missing; rebuild them. */
MUST_USE int partitions_load(struct partitions *partitions, struct kv *kv, struct error *err);
/* Adds what the keys of the chunks tell: every series of every partition. Days that come back this way
 * are not closed. */
MUST_USE int partitions_rebuild(struct partitions *partitions, struct kv *kv, struct error *err);
/* Is this a sound value of KV_POSTINGS? */
MUST_USE bool partitions_check_row(struct slice value);
/* Notes a chunk of the samples [start, end] ms, which lie on one day: call it before the chunk is
 * written. Makes the partition if need be; buckets the samples fall into become stale. */
void partitions_mark(struct partitions *partitions, uint32_t series, int64_t start_ms,
                     int64_t end_ms);
/* Samples of the series in [start, end] ms change or go: the buckets they fall into become stale.
 * Makes no partitions. */
void partitions_touch(struct partitions *partitions, uint32_t series, int64_t start_ms,
                      int64_t end_ms);
/* The longest chunk of the day is at least this long; nothing else changes. */
void partition_stretch(struct partition *partition, uint32_t span_ms);
/* The write being prepared brings the buckets of the series up to date. */
void partition_roll(struct partition *partition, uint32_t series);
/* Notes that the series has a rollup in that partition. */
void partitions_mark_rollup(struct partitions *rollups, uint32_t partition, uint32_t series);
/* The partition of that day, NULL without one. */
struct partition *partitions_get(const struct partitions *partitions, uint32_t day);
/* True when buckets of the series on that day, as far as there are any, are up to date. */
static inline bool partition_is_current(const struct partition *partition, uint32_t series)
{
    return partition->closed && !roaring_bitmap_contains(partition->stale, series);
}
/* The same as partitions_touch for many series. */
void partitions_touch_all(struct partitions *partitions, const roaring_bitmap_t *series,
                          int64_t start_ms, int64_t end_ms);
/* Puts the dirty ones into the batch; they stay dirty until partitions_saved. */
void partitions_stage(const struct partitions *partitions, struct kv *kv, struct kv_batch *batch);
/* The write is done: what was `rolled` is no longer stale. */
void partitions_saved(struct partitions *partitions);
/* The write failed: what was `rolled` stays stale. */
void partitions_unstage(struct partitions *partitions);
/* The place of the first partition with day >= this. */
size_t partitions_find(const struct partitions *partitions, uint32_t day);
/* The ids active on any day in [from, to]; the caller frees it. */
roaring_bitmap_t *partitions_union(const struct partitions *partitions, uint32_t from, uint32_t to);
/* Forgets the one at that place. */
void partitions_forget(struct partitions *partitions, size_t place);

#endif
