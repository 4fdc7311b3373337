/* store: everything lapwing keeps, behind one narrow, batch-shaped line.
 *
 * Three coins: samples (series, time, number or histogram), records (log lines), documents (small
 * values under a key). All changes go through a batch, which is committed atomically: after
 * store_commit returns 0 they survive kill -9, with `sync` a power loss too.
 *
 * Threads: the functions under "writing" belong to the writer thread; those under "reading" may be
 * called by any thread at any time. Inside, one read-write lock guards the index and the head.
 * No RocksDB type and no encoding is visible here.
 */
#ifndef STORAGE_STORE_H
#define STORAGE_STORE_H

#include "storage/base/arena.h"
#include "storage/base/error.h"
#include "storage/histogram.h"
#include "storage/kv/damage.h"
#include "storage/labels.h"
#include "storage/matcher.h"
#include "storage/record.h"
#include "storage/sketch.h"

struct store;
struct store_batch;
struct store_query;

/* How many live series all metrics may have whose names begin so. */
struct store_prefix_limit {
    const char *prefix; /* not empty */
    int64_t series_max;
};

struct store_options {
    const char *path;
    int64_t series_max;
    int64_t series_per_metric_max;                  /* live ones of one metric name; 0 = any */
    const struct store_prefix_limit *prefix_limits; /* copied; the first that fits a name decides */
    size_t prefix_limit_count;
    int64_t retention_raw_ms;  /* samples older than this are dropped */
    int64_t retention_logs_ms; /* and records */
    int64_t chunk_samples;     /* samples that make a chunk full; 0 = 360 */
    int64_t head_bytes;        /* of open samples; beyond it series are sealed early; 0 = 384 MiB */
    int64_t block_cache_bytes; /* 0 = 64 MiB */
    int64_t memtable_bytes;    /* in all; 0 = 64 MiB */
    int64_t rollup_5m_after_ms; /* age of a day at which its 5m buckets are stored; 0 = 3 d */
    /* With less disk space left commits are refused, while reads go on; 0 = 128 MiB. */
    int64_t disk_reserve_bytes;
};

/* How time is kept: samples, and buckets of two widths. */
enum store_tier {
    STORE_RAW,
    STORE_5M,
    STORE_1H,
    STORE_TIER_COUNT,
};
#define STORE_5M_MS ((int64_t)300000)
#define STORE_1H_MS ((int64_t)3600000)

enum series_kind {
    SERIES_COUNTER = 1, /* cumulative, never falls */
    SERIES_GAUGE = 2,
    SERIES_HISTOGRAM = 3, /* cumulative struct histogram */
    SERIES_SET = 4, /* distinct members a tick: a number, and most often the sketch it counts */
};
/* "counter" and so on, as /api/v1/metadata says it (a set is a gauge there). */
const char *series_kind_name(enum series_kind kind);

/* The value that marks the end of a series (Prometheus' stale NaN); compare bits. */
#define STALE_NAN_BITS 0x7ff0000000000002ull
double stale_nan(void);
bool is_stale_nan(double value);

/* Recovers the head from the head log; the error says which file or key is unreadable. */
MUST_USE int store_open(const struct store_options *options, struct store **out, struct error *err);
void store_close(struct store *store);

/* --- writing (thread: writer) --- */

/* The id of this label set, made if new (kept in memory and in the next commit). Labels include
 * __name__. Fails with ERROR_LIMIT when series_max is reached, or the
 * metric has series_per_metric_max live ones (see store_metric_is_full), or those with its prefix are
 * full (store_prefix_is_full). A series without samples is not
 * forgotten within the hour. */
MUST_USE int store_intern(struct store *store, struct labels labels, enum series_kind kind,
                          uint32_t *id, struct error *err);
/* True when new series of this metric are refused; one labelled __overflow__ never is. */
bool store_metric_is_full(struct store *store, struct slice name);
/* The same for the limit that the name's prefix has; *prefix is that, if there is one. */
bool store_prefix_is_full(struct store *store, struct slice name, struct slice *prefix);
/* How many live series there are where a new one of this metric would count, and how many there may be. */
struct store_room {
    uint64_t metric, metric_max;
    struct slice prefix; /* {NULL, 0}: no limit is for it */
    uint64_t prefix_live, prefix_max;
    uint64_t all, all_max; /* in the store, live or not */
};
void store_look_at_room(const struct store *store, struct slice name, struct store_room *out);
/* The same as store_intern; what is new makes the batch worth committing. */
MUST_USE int store_batch_intern(struct store_batch *batch, struct labels labels,
                                enum series_kind kind, uint32_t *id, struct error *err);
/* The id and kind that these labels (canonical bytes) were interned with; false when never. */
bool store_find(const struct store *store, struct slice labels, uint32_t *id,
                enum series_kind *kind);
/* Canonical labels, until the next call of a writing function; empty when there is no such series
 * (any more). */
struct slice store_labels(const struct store *store, uint32_t id);
struct store_batch *store_batch_new(struct store *store);
void store_batch_free(struct store_batch *batch);
bool store_batch_is_empty(const struct store_batch *batch);
/* Samples may come in any order; of two of a series at one time the last one stays. What is past
 * retention is dropped and counted. stale_nan() ends a series of any kind. */
void store_batch_value(struct store_batch *batch, uint32_t series, int64_t time_ms, double value);
/* The histogram is copied. */
void store_batch_histogram(struct store_batch *batch, uint32_t series, int64_t time_ms,
                           const struct histogram *histogram);
/* Of a set: the number, and the code of the sketch (storage/sketch.h) that it counts. */
void store_batch_set(struct store_batch *batch, uint32_t series, int64_t time_ms, double value,
                     struct slice code);
/* The same with the sketch, and as the number its estimate. */
void store_batch_sketch(struct store_batch *batch, uint32_t series, int64_t time_ms,
                        const struct sketch *sketch);
void store_batch_records(struct store_batch *batch, const struct record *records, size_t count);
void store_batch_put(struct store_batch *batch, struct slice key, struct slice value);
void store_batch_delete(struct store_batch *batch, struct slice key);
/* All or nothing. Empties the batch either way: what failed is gone and has to be made again.
 * ERROR_UNAVAILABLE while the disk is nearly full; taken again once there is room. */
MUST_USE int store_commit(struct store *store, struct store_batch *batch, bool sync,
                          struct error *err);
/* Samples of the series before this time (ms) are past retention, or before 1970, and would be dropped. */
int64_t store_oldest_taken(struct store *store, uint32_t series);
/* The newest sample of a series, wherever it lies (stale markers skipped). 1: found, 0: it has none,
 * -1: the store cannot say now (logged). Damaged chunks count as not there. For histograms *histogram
 * is a copy in the arena. */
int store_last(struct store *store, uint32_t series, struct arena *arena, double *value,
               const struct histogram **histogram);
/* Seals full chunks and log blocks, drops what is past retention. Called once a tick; bounded. */
MUST_USE int store_maintain(struct store *store, int64_t now_ms, struct error *err);
/* For how long samples and buckets are kept, in ms by tier (0 = for ever); the first rule that matches
 * a series decides. Whole days of samples leave, and 32 days of buckets. */
struct store_retention_rule {
    const struct matcher *matchers;
    size_t matcher_count;
    int64_t ms[STORE_TIER_COUNT];
};
struct store_retention {
    int64_t ms[STORE_TIER_COUNT];
    int64_t bytes; /* of samples and buckets on disk, about; beyond it the oldest go; 0 = any */
    const struct store_retention_rule *rules;
    size_t rule_count;
};
/* Copies it. In force from the next store_maintain on. */
MUST_USE int store_set_retention(struct store *store, const struct store_retention *retention,
                                 struct error *err);
/* Seals everything that is open. */
MUST_USE int store_seal(struct store *store, struct error *err);
/* Does now what maintenance would do in time: seals, drops, rewrites the tables. At once it may
 * take minutes; in steps, each as short as store_maintain: begin with *phase = 0 and call again
 * while it returns 1 (0: done, -1: failed), then, on any thread, have the tables rewritten. */
MUST_USE int store_compact(struct store *store, struct error *err);
MUST_USE int store_compact_step(struct store *store, size_t *phase, struct error *err);
MUST_USE int store_compact_tables(struct store *store, struct error *err);
/* Before closing: what takes long on other threads ends soon, with an error. Any thread. */
void store_hurry(struct store *store);
/* Deletes the samples in [start_ms, end_ms] of the series that match any of the queries (all of one
 * range). Gone for readers and durable, also after a power loss, when it returns; what is
 * written afterwards into the same range is there. The space comes back from store_maintain. */
MUST_USE int store_delete_series(struct store *store, const struct store_query *queries,
                                 size_t count, struct error *err);
/* A step of what store_maintain does for deletions: 1 = there is more to do, 0 = done, -1 = failed. */
MUST_USE int store_clean_tombstones(struct store *store, struct error *err);
/* Series without data are forgotten (in store_maintain, a minute after the last write), and their ids
 * never used again. Whoever keeps an id for longer holds it: the series then stays known. */
void store_hold(struct store *store, uint32_t series, bool held);

/* --- any thread --- */

/* -1 while commits are refused: the disk is nearly full, which is looked at once a second, or a
 * write has failed. */
MUST_USE int store_check_disk(struct store *store, struct error *err);

/* How many places are known to be damaged; the sentence of one of them, or "". */
size_t store_damage(struct store *store, size_t skip, char text[DAMAGE_TEXT_BYTES]);

/* --- reading samples --- */

struct store_series {
    uint32_t id;
    enum series_kind kind;
    struct labels labels;
};

struct store_selection {
    struct store_series *at;
    size_t count;
};

/* Which series: those that match all matchers (none = all). */
struct store_query {
    const struct matcher *matchers;
    size_t matcher_count;
    int64_t start_ms, end_ms; /* store_select: with samples there */
    /* Asked now and then: true ends it with -1, the error being its matter. */
    bool (*stop)(void *arg);
    void *stop_arg;
    /* store_select: in the order of ids, in which their chunks lie, instead of labels. */
    bool by_id;
    struct slice label; /* store_label_values: of this label */
};

/* Series that match and may have samples in [start_ms, end_ms]. In the arena. */
MUST_USE int store_select(struct store *store, const struct store_query *query, struct arena *arena,
                          struct store_selection *out, struct error *err);

struct store_column {
    size_t count;
    const int64_t *times; /* ms, ascending */
    const double *values; /* stale markers included; NULL for histograms */
    /* Histogram series: NULL entries are stale markers. Cumulative. */
    const struct histogram *const *histograms;
    /* Where they are wanted: codes (storage/sketch.h), empty where a sample is only a number. NULL: none
     * has one. */
    const struct slice *sketches;
    size_t damaged; /* chunks that could not be read; their samples are missing */
    /* Not 0: older samples have left, and their place is taken by the first and the last one of each
     * bucket. The width of the widest such bucket, and the end of the newest. */
    int64_t coarse_ms, coarse_until_ms;
};

/* A reader sees a consistent state and is used by one thread; many may be open. */
struct store_reader;
struct store_reader *store_reader_new(struct store *store);
void store_reader_free(struct store_reader *reader);
/* Whether what it reads of sets comes with the sketches, which take a hundred times the memory of the
 * numbers. At first it does not. */
void store_reader_want_sketches(struct store_reader *reader, bool wanted);
struct store_span {
    uint32_t series;
    int64_t start_ms, end_ms; /* both included */
};

/* The samples of a span, there until the next read of this reader or the arena's end. ERROR_LIMIT when
 * they are more than the arena could hold. */
MUST_USE int store_read(struct store_reader *reader, struct store_span span, struct arena *arena,
                        struct store_column *out, struct error *err);

/* Summaries of buckets, (end - width, end] each; see storage/rollup.h. Empty ones are left out. */
struct store_buckets {
    size_t count;
    const int64_t *end_ms;             /* ascending */
    const uint32_t *counts;            /* samples that are no stale markers; 0: only a marker */
    const int64_t *first_ms, *last_ms; /* of those */
    const double *first, *last, *sum;  /* NULL for histograms */
    const double *min, *max;           /* of histograms: of what their ticks recorded */
    const double *drop; /* what a counter lost to resets inside; NULL: histograms, or not known,
                         * then read raw for what needs it */
    const bool *ended;  /* the newest sample is a stale marker */
    /* NULL for values; entries of drop_histogram are NULL where it never began anew */
    const struct histogram *const *first_histogram, *const *last_histogram, *const *drop_histogram;
    /* Where they are wanted: codes of the union of what its samples have, empty where they have none.
     * NULL: not wanted. */
    const struct slice *sketches;
    size_t damaged;    /* chunks that could not be read; their samples are missing */
    unsigned tiers;    /* 1 << tier of what was read */
    int64_t coarse_ms; /* as of a column */
};

/* Columns of buckets of values that a reader may do without: they are NULL then. */
enum {
    BUCKETS_FIRST = 1, /* first_ms, first, drop */
    BUCKETS_LAST = 2,  /* last_ms, last */
    BUCKETS_EXTREMES = 4,
    BUCKETS_SUM = 8,
    BUCKETS_ALL = 15,
};

struct store_tier_span {
    struct store_span span; /* (start, end]; both multiples of the tier's width */
    enum store_tier tier;   /* not STORE_RAW */
    unsigned without;       /* BUCKETS_... */
};

/* The buckets of the tier's width with start < end <= end of the span: from the rollup where it is
 * there and current, else computed from raw. They are there until the reader's next read of buckets,
 * histograms as long as the arena. */
MUST_USE int store_read_buckets(struct store_reader *reader, struct store_tier_span of,
                                struct arena *arena, struct store_buckets *out, struct error *err);
/* The samples of (start, end] in as few summaries as the store has, for one long window: `end_ms` of
 * a piece is the time of its newest sample. */
MUST_USE int store_read_pieces(struct store_reader *reader, struct store_span span,
                               struct arena *arena, struct store_buckets *out, struct error *err);
/* True when the tier's buckets are made for half of the range's days or more: then they are cheaper
 * than raw, from which they would be computed for the others. */
bool store_has_rollup(struct store *store, enum store_tier tier, int64_t start_ms, int64_t end_ms);

/* Of the changes that came after that number: the earliest sample time that any of them touched, INT64_MAX
 * when there was none. *number becomes that of the newest change. Whoever takes the number before reading
 * has read at least what it stands for; see storage/changes.h. */
int64_t store_changed_since(struct store *store, uint64_t *number);
/* The same, by a thread that must not wait: false while the store is being changed. */
MUST_USE bool store_try_changed_since(struct store *store, uint64_t number, int64_t *low_ms);

/* All samples lie in these days, from the first ms of one to the last of another; oldest > newest when
 * there are none. */
void store_extent(struct store *store, int64_t *oldest_ms, int64_t *newest_ms);

struct slice_list {
    struct slice *at; /* sorted, distinct */
    size_t count;
};
/* Label names, or the values of query->label, of the series that match at any time. */
MUST_USE int store_label_names(struct store *store, const struct store_query *query,
                               struct arena *arena, struct slice_list *out, struct error *err);
MUST_USE int store_label_values(struct store *store, const struct store_query *query,
                                struct arena *arena, struct slice_list *out, struct error *err);

/* What there is most of: series of a metric, values of a label, bytes of its values, series of a pair. */
struct store_count {
    struct slice name, value; /* the value of a pair only */
    uint64_t count;
};
struct store_counts {
    struct store_count *at; /* the most first */
    size_t count;
};
struct store_cardinality {
    struct store_counts metrics, values, bytes, pairs;
    uint64_t series, label_pairs, open_chunks;
};
/* At most `limit` > 0 of each, in the arena. Any thread. */
MUST_USE int store_cardinality(struct store *store, size_t limit, struct arena *arena,
                               struct store_cardinality *out, struct error *err);

/* The `limit` > 0 series that were made last and match, the newest first, of the last 20,000. In the
 * arena; false when that is too small. Any thread. */
MUST_USE bool store_newest_series(struct store *store, const struct store_query *query,
                                  size_t limit, struct arena *arena, struct store_selection *out);

/* --- reading records --- see storage/log/logstore.h for the scan's shape */
struct logstore;
struct logstore *store_logs(struct store *store);

/* --- reading documents --- */

/* Appends the value to *out. 1 found, 0 absent, -1 error. */
MUST_USE int store_get(struct store *store, struct slice key, struct buffer *out,
                       struct error *err);
/* Visits the keys that start with `prefix`, from `from` on (or backwards below it; an empty
 * `from` means the end of the range). Stops when visit returns false. */
struct store_scan {
    struct slice prefix;
    struct slice from;
    bool backward;
};
MUST_USE int store_scan(struct store *store, const struct store_scan *scan,
                        bool (*visit)(void *arg, struct slice key, struct slice value), void *arg,
                        struct error *err);

struct store_stats {
    uint64_t series;
    uint64_t head_samples;
    uint64_t disk_bytes;
    uint64_t memory_bytes;
};
void store_stats(struct store *store, struct store_stats *out);

#endif
