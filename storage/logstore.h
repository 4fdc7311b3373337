/* logstore: log records in time order, durable at once, columnar later.
 *
 * A committed batch is first a "hot" key (the raw records, so that kill -9 loses none) and rows of
 * an open block in memory; queries see both. A full or old block is sealed: transposed into
 * columns (time, stream, line ...), each compressed and stored under a key of its own with a header
 * that lets a query skip it (time range, streams, token filter); the hot keys go in the same write.
 * Formats: storage/logblock.c (columns), storage/logstore.c (keys).
 *
 * Threads: stage, publish, discard, maintain: the writer. logstore_scan and the label calls: any.
 */
#ifndef STORAGE_LOGSTORE_H
#define STORAGE_LOGSTORE_H

#include "storage/kv.h"
#include "storage/matcher.h"
#include "storage/record.h"

struct logstore;

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
/* Seals full or old blocks (all of them when `all`), drops what is past retention. */
MUST_USE int logstore_maintain(struct logstore *logs, int64_t now_ms, bool all, struct error *err);

struct logstore_query {
    const struct matcher *matchers; /* on stream labels */
    size_t matcher_count;
    int64_t start_ns, end_ns; /* [start, end) */
    bool backward;            /* newest first */
    const struct slice
        *needles; /* every line must contain each; used to skip blocks, and applied */
    size_t needle_count;
};

/* Visits matching records in time order (backward: newest first). The record and its slices are
 * valid during the call. Stops when visit returns false. */
MUST_USE int logstore_scan(struct logstore *logs, const struct logstore_query *query,
                           bool (*visit)(void *arg, const struct record *record), void *arg,
                           struct error *err);

/* The distinct streams that have records in [start_ns, end_ns) and match; in the arena. */
MUST_USE int logstore_streams(struct logstore *logs, const struct logstore_query *query,
                              struct arena *arena, struct labels **out, size_t *count,
                              struct error *err);

#endif
