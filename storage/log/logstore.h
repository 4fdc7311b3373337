/* logstore: log records in time order, durable at once, columnar later.
 *
 * A committed batch is first a "hot" key (the raw records, so that kill -9 loses none) and rows of
 * an open block in memory, which queries see. A full or old block is sealed: transposed into
 * columns (time, stream, line ...), each compressed and stored under a key of its own with a header
 * that lets a query skip it (time range, streams, token filter); the hot keys go in the same write.
 * Formats: storage/log/logblock.c (columns), storage/log/logkey.c (keys), storage/log/logstore.c (hot batches).
 *
 * Threads: stage, publish, discard, seal, retain: the writer. logstore_scan and the label calls: any.
 */
#ifndef STORAGE_LOG_LOGSTORE_H
#define STORAGE_LOG_LOGSTORE_H

#include "storage/kv/kv.h"
#include "storage/matcher.h"
#include "storage/record.h"

struct logstore;

#define LOGSTORE_LINE_MAX ((size_t)4 << 20) /* bytes of one line; callers check */

struct logstore_options {
    int64_t retention_ms; /* 0 = keep for ever */
};

/* Recovers open blocks from the hot keys. The kv must outlive it. */
MUST_USE int logstore_open(struct kv *kv, const struct logstore_options *options,
                           struct logstore **out, struct error *err);
void logstore_close(struct logstore *logs);

/* Adds the records' hot key to the batch. After the batch is written call publish, after a failed
 * write discard; both apply to all that was staged since. */
void logstore_stage(struct logstore *logs, struct kv_batch *batch, const struct record *records,
                    size_t count);
void logstore_publish(struct logstore *logs);
void logstore_discard(struct logstore *logs);
/* Seals the open block when it is full or old, or `always`; leaves that for another time while
 * records are staged. */
MUST_USE int logstore_seal(struct logstore *logs, int64_t now_ms, bool always, struct error *err);
/* Drops the days past retention. */
MUST_USE int logstore_retain(struct logstore *logs, int64_t now_ms, struct error *err);

/* What a scan cost. */
struct logstore_stats {
    uint64_t blocks;      /* in the time range */
    uint64_t blocks_read; /* of them, those that could not be skipped */
    uint64_t bytes;       /* of lines, decompressed */
    uint64_t rows;        /* visited */
    uint64_t damaged;     /* blocks left out because they could not be read */
};

struct logstore_query {
    const struct matcher *matchers; /* on stream labels */
    size_t matcher_count;
    int64_t start_ns, end_ns; /* [start, end) */
    bool backward;            /* newest first */
    bool without_lines;       /* the visitor needs times and streams only; no needles then */
    const struct slice
        *needles; /* every line must contain each; used to skip blocks, and applied */
    size_t needle_count;
    int64_t deadline_ns;           /* clock_monotonic_ns, checked at each block; 0 = none */
    const _Atomic bool *cancelled; /* as often; NULL = never */
    uint64_t bytes_max;            /* of lines read; 0 = no limit */
    struct logstore_stats *stats;  /* added to; may be NULL */
};

/* Visits matching records in time order, those of one instant in the order they came (backward:
 * all reversed). The record and its slices are valid during the call. Stops when visit returns
 * false. Errors: ERROR_TIMEOUT, ERROR_LIMIT (says which), ERROR_INTERNAL. */
MUST_USE int logstore_scan(struct logstore *logs, const struct logstore_query *query,
                           bool (*visit)(void *arg, const struct record *record), void *arg,
                           struct error *err);

/* The distinct streams that match and have records about [start_ns, end_ns), sorted; in the arena.
 * "About": a stream with records before and after the range counts as being in it. */
struct logstore_streams {
    struct labels *at;
    size_t count;
};
MUST_USE int logstore_streams(struct logstore *logs, const struct logstore_query *query,
                              struct arena *arena, struct logstore_streams *out, struct error *err);

#endif
