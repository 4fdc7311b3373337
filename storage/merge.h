/* merge: late samples into the chunks of their days.
 *
 * A merge is one RocksDB batch's worth: days of series, each read whole, laid over with what is late
 * and written anew. Thread: writer.
 *
 *   merge_init
 *   merge_day ...          what is to be written is in the batch
 *   merge_stage            and the record that says so
 *   kv_write
 *   merge_publish          under the lock
 *   merge_release
 */
#ifndef STORAGE_MERGE_H
#define STORAGE_MERGE_H

#include "storage/headlog.h"
#include "storage/rewrite.h"
#include "storage/store_state.h"

struct merge {
    struct store *store;
    struct kv_batch *batch; /* the caller's */
    struct arena arena;
    struct headlog_range *ranges; /* of late samples that are merged */
    size_t count;
    size_t capacity;
    struct id_list series; /* rewritten */
};

void merge_init(struct merge *merge, struct store *store, struct kv_batch *batch);
void merge_release(struct merge *merge);
/* Rewrites a day of a series with its late samples, and with those of `newer` over them (NULL:
 * none). Only what lies before the open samples of the series; `newer` must. A day at most once in
 * a merge. With `beside` only puts `newer`, because nothing else is known in its range. */
MUST_USE int merge_day(struct merge *merge, struct rewrite_day at, const struct store_column *newer,
                       bool beside, struct error *err);
/* Puts the days' lists and, as that sequence, the record of the late samples that are merged into
 * the batch; returns how many records that makes, 0 or 1. */
uint64_t merge_stage(struct merge *merge, uint64_t sequence);
/* After the write, under the lock. */
void merge_publish(struct merge *merge);

/* These late samples are in chunks: they leave late memory, and the head knows how far chunks reach.
 * Also for replay. Under the lock. */
void store_drop_late(struct store *store, const struct headlog_range *range);

/* Merges what has been late for long or is much, for a bounded time. Once a tick. */
MUST_USE int store_merge_due(struct store *store, int64_t now_ms, struct error *err);
/* Merges until late samples take less than their share of memory; sealing what is in the way. */
MUST_USE int store_merge_excess(struct store *store, struct error *err);
/* Merges late samples that lie before the open ones of their series: for a bounded time (1: there are
 * more), or all. */
MUST_USE int store_merge_some(struct store *store, struct error *err);
MUST_USE int store_merge_all(struct store *store, struct error *err);
/* The same for one series. */
MUST_USE int store_merge_series(struct store *store, uint32_t series, struct error *err);

#endif
