/* store_state: what the files of the store share; nobody outside storage/ includes it.
 *
 *   store.c         open, close, documents, facts           select.c     index -> selection
 *   commit.c        batch -> head log -> head               read.c       head + chunks -> columns
 *   recover.c       head log -> head, by replay.c           seal.c       head -> chunks
 *   memory.c        what is held in memory, and sealing early under pressure
 *   close.c         samples of days that are over -> buckets; larger chunks
 *   left.c          days whose samples have left         buckets.c    buckets, chunks -> buckets
 *   rewrite.c       one day of a series out of its chunks and back
 *   reopen.c        after a failed write
 *   compact.c       all maintenance at once
 *   retention.c     what is past its time leaves            keep.c       how long that is
 *   delete.c        what clients delete is hidden           carry.c      and taken away
 *   forget.c        series without data leave               limit.c      too many do not come
 *   warm.c          the newest days -> block cache
 *
 * Thread: the writer changes what `lock` guards while holding it, and may read it without; readers
 * hold it shared. What is below "writer only" is nobody else's business.
 */
#ifndef STORAGE_STORE_STATE_H
#define STORAGE_STORE_STATE_H

#include <pthread.h>

#include "storage/base/metric.h"
#include "storage/changes.h"
#include "storage/head.h"
#include "storage/headlog.h"
#include "storage/index/partition.h"
#include "storage/index/series.h"
#include "storage/keep.h"
#include "storage/key.h"
#include "storage/kv/kv.h"
#include "storage/late.h"
#include "storage/log/logstore.h"
#include "storage/store.h"
#include "storage/tombstone.h"

enum store_metric {
    STORE_SAMPLES,
    STORE_LATE_SAMPLES,
    STORE_BULK_SAMPLES,
    STORE_LATE_MERGED,
    STORE_DROPPED_TIME,
    STORE_DROPPED_SERIES,
    STORE_DROPPED_KIND,
    STORE_DROPPED_RETENTION,
    STORE_DROPPED_UNWRITTEN,
    STORE_CHUNKS,
    STORE_CHUNK_SAMPLES,
    STORE_CHUNK_BYTES,
    STORE_CHUNKS_DAMAGED,
    STORE_SEAL_SECONDS,
    STORE_HEADLOG_BYTES,
    STORE_DAYS_CLOSED,
    STORE_SERIES_ROLLED,
    STORE_ROLLUP_BYTES,
    STORE_CLOSE_SECONDS,
    STORE_PARTITIONS_DROPPED,
    STORE_SERIES_REMOVED,
    STORE_REFUSED_TOTAL,
    STORE_REFUSED_METRIC,
    STORE_REFUSED_PREFIX,
    STORE_SERIES,
    STORE_HEAD_SERIES,
    STORE_HEAD_SAMPLES,
    STORE_LATE_OPEN,
    STORE_DISK_FREE,
    STORE_METRIC_COUNT,
};
extern struct metric store_metrics[STORE_METRIC_COUNT];

struct id_list {
    uint32_t *at;
    size_t count;
    size_t capacity;
};
void id_list_push(struct id_list *list, uint32_t id);

/* Series of one metric; see limit.c. */
struct limit {
    uint64_t all_max;              /* series in the store */
    uint64_t max;                  /* live ones of a metric */
    struct table metrics;          /* those that have so many -> struct full, owned */
    struct prefix_limit *prefixes; /* see limit.c */
    size_t prefix_count;
};

/* How far the closing of days is; see close.c. */
struct closing {
    uint32_t day, series; /* where the pass under way goes on */
    uint32_t leaving;     /* days below this are about to lose their samples */
    bool under_way;
    int64_t passed_ms; /* when the last pass was over */
};

struct store {
    struct kv *kv;
    struct logstore *logs;
    size_t chunk_samples;
    int64_t fine_after_ms; /* age of a day at which its 5m buckets are made */
    char *path;
    uint64_t disk_reserve;

    pthread_rwlock_t lock;
    struct series series;
    struct postings postings;
    struct partitions partitions;
    struct partitions rollups[STORE_TIER_COUNT]; /* [STORE_RAW] is not used */
    struct head head;
    struct late late;
    struct tombstones tombstones;
    struct changes changes;
    uint64_t seal_count; /* rises whenever samples move from the head to chunks */

    /* writer only */
    uint64_t headlog_next; /* sequence of the next record */
    uint64_t headlog_low;  /* records below are gone */
    struct buffer labels;  /* scratch: canonical labels of a series looked for */
    struct id_list due;    /* series whose open samples fill a chunk */
    struct closing closing;
    int64_t swept_ms;      /* when stragglers were last looked for */
    int64_t walked_ms;     /* when the postings were last measured */
    int64_t trimmed_ms;    /* when the heap last gave back what is free */
    size_t head_bytes_max; /* of open samples */
    uint32_t relieved;     /* the id where the next walk to relieve the head begins */
    int64_t reopen_ns;     /* monotonic: not before; see reopen.c */
    int64_t reopen_wait_ns;
    struct keep keep;
    struct limit limit;
    int64_t retained_ms;        /* when what is past its time was last looked for */
    bool retention_waits;       /* for the buckets of days that are past their time */
    roaring_bitmap_t *doubtful; /* series that may have no data left */
    roaring_bitmap_t *held;     /* not to be forgotten: see store_hold */

    /* any thread */
    _Atomic int64_t disk_checked_ns; /* monotonic */
    _Atomic uint64_t disk_free;
};

/* commit.c, recover.c: brings the entry in line for appending; may look among the chunks. */
struct head_series *store_head_entry(struct store *store, uint32_t id);
/* commit.c: the newest sample that the series has or a batch has been given, or TIME_NONE: later ones are
 * in order. */
int64_t store_newest_ms(struct store *store, uint32_t id);
/* seal.c: puts the series on the due list when its open samples suffice for a chunk. */
void store_note_due(struct store *store, uint32_t id, struct head_series *series);

/* reopen.c: opens the database again after a failed write, when it is time. -1: refused as before. */
MUST_USE int store_reopen(struct store *store, struct error *err);
void store_reopen_init(void);

/* store.c: readers may be given something else from now on, from that time on. After the change is
 * visible, so that whoever knows its number has seen it. */
void store_note_change(struct store *store, int64_t low_ms);

/* store.c: the chunk is damaged: counted, and told once. */
void store_note_damaged(struct store *store, struct chunk_key key);

/* recover.c */
/* *damaged: not all of the log could be replayed; seal everything before anything is written. */
MUST_USE int store_recover_head(struct store *store, bool *damaged, struct error *err);
/* warm.c: reads what is asked for first into the block cache; for so long, and at least one row. */
void store_warm(struct store *store, int64_t ns_max);
/* read.c: the newest sealed sample time of a series, or TIME_NONE. */
int64_t store_sealed_until(struct store *store, uint32_t id);
/* seal.c: puts the series on the due list if it has open samples and is not there. */
void store_make_due(struct store *store, uint32_t id);
void store_mark_due(struct store *store); /* every series that has open samples */
MUST_USE int store_seal_due(struct store *store, struct error *err);
/* Seals the open samples of this series (and what else is due). */
MUST_USE int store_seal_one(struct store *store, uint32_t id, struct error *err);
/* Once a minute: remembers stragglers, frees idle entries, and cuts the head log if many records of
 * it may go. */
MUST_USE int store_sweep(struct store *store, int64_t now_ms, struct error *err);
/* Now, and whatever may go. */
MUST_USE int store_sweep_now(struct store *store, int64_t now_ms, struct error *err);
/* Seals those of these series whose open samples reach into the range. */
MUST_USE int store_seal_some(struct store *store, const roaring_bitmap_t *ids,
                             struct time_range range, struct error *err);
/* close.c: makes buckets for a bounded time, once a tick; the other (1: there is more to do) not only
 * when it is time for another pass. */
MUST_USE int store_close_due(struct store *store, int64_t now_ms, struct error *err);
MUST_USE int store_close_some(struct store *store, int64_t now_ms, struct error *err);
/* The next store_close_some begins a pass. */
void store_close_again(struct store *store);
/* True when all buckets of the day are made, so that its samples may go while those stay. Else they
 * will be made with priority: ask again. */
bool store_day_may_leave(struct store *store, uint32_t day);
/* retention.c */
MUST_USE int store_retain(struct store *store, int64_t now_ms, struct error *err);
/* Drops the chunks that these series have in that part (a day, or 32 days of buckets), or those of some
 * of them: what is left is active still. */
MUST_USE int store_drop_part(struct store *store, enum store_tier tier, uint32_t part,
                             const roaring_bitmap_t *ids, struct error *err);
/* Drops the buckets that these series have on that day; the tier is not STORE_RAW. */
MUST_USE int store_drop_buckets(struct store *store, enum store_tier tier, uint32_t day,
                                const roaring_bitmap_t *ids, struct error *err);
/* A bounded part of a pass; 1: there is more to do. */
MUST_USE int store_retain_some(struct store *store, int64_t now_ms, struct error *err);
/* Samples of the series before this are past retention. */
int64_t store_oldest_ms(const struct store *store, uint32_t series, int64_t now_ms);
/* carry.c: carries out what is pending for these series; before any chunk of them is put. */
MUST_USE int store_apply_tombstones(struct store *store, const uint32_t *ids, size_t count,
                                    struct error *err);
/* A part of the job behind deletions. */
MUST_USE int store_carry_out(struct store *store, int64_t deadline_ns, struct error *err);
/* limit.c */
/* Series labelled __overflow__ come on top of the limit in all, so that totals have a place. */
#define LIMIT_OVERFLOW_SERIES 10000
void limit_init(struct limit *limit, const struct store_options *options);
void limit_release(struct limit *limit);
/* ERROR_LIMIT when there may be no new series of these labels' metric, of its prefix, or at all. */
MUST_USE int limit_admit(struct store *store, struct labels labels, struct error *err);
/* The last of these, counted. */
int limit_refuse_all(struct store *store, struct error *err);
/* forget.c: forgets the doubtful series that have no data. */
MUST_USE int store_forget(struct store *store, int64_t now_ms, struct error *err);

#endif
