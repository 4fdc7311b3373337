/* partition: which series have sealed samples on which day.
 *
 * Lets queries skip churned series and days without data, and tells retention what there is. In
 * memory whole (runs of ids compress well), durable in KV_POSTINGS. The owner guards it.
 */
#ifndef STORAGE_PARTITION_H
#define STORAGE_PARTITION_H

#include "storage/kv.h"
#include "storage/postings.h"

struct partition {
    uint32_t day;        /* see key.h */
    bool dirty;          /* differs from KV_POSTINGS */
    uint32_t longest_ms; /* span of its longest chunk: how far back a reader has to look */
    roaring_bitmap_t *active;
};

struct partitions {
    struct partition *at; /* sorted by day */
    size_t count;
    size_t capacity;
};

void partitions_release(struct partitions *partitions);
MUST_USE int partitions_load(struct partitions *partitions, struct kv *kv, struct error *err);
/* Notes a chunk of this span. Makes the partition if need be. */
void partitions_mark(struct partitions *partitions, uint32_t day, uint32_t series,
                     uint32_t span_ms);
/* Puts the dirty ones into the batch; they stay dirty until partitions_saved. */
void partitions_stage(const struct partitions *partitions, struct kv *kv, struct kv_batch *batch);
void partitions_saved(struct partitions *partitions);
/* The place of the first partition with day >= this. */
size_t partitions_find(const struct partitions *partitions, uint32_t day);
/* The ids active on any day in [from, to]; the caller frees it. */
roaring_bitmap_t *partitions_union(const struct partitions *partitions, uint32_t from, uint32_t to);
/* Forgets the first `count` partitions. */
void partitions_forget(struct partitions *partitions, size_t count);

#endif
