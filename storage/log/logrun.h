/* logrun: the rows of one sealed block, or of the rows in memory, that match a query.
 *
 * Owns all it points to. One thread a run.
 */
#ifndef STORAGE_LOG_LOGRUN_H
#define STORAGE_LOG_LOGRUN_H

#include "storage/log/logkey.h"
#include "storage/log/logrows.h"
#include "storage/log/logstore.h"

struct logrun {
    struct arena arena;
    struct logblock_row *rows; /* by time */
    size_t count;
    size_t next;            /* rows already visited */
    struct labels *streams; /* by the rows' stream number; those that match only */
    uint64_t order;         /* among rows of one instant: the lower came first */
};

/* NULL when no visible row matches. */
struct logrun *logrun_of_rows(const struct logrows *rows, const struct logstore_query *query,
                              uint64_t order);

#define LOGRUN_SCRATCH_MAX ((size_t)64 << 20) /* what one block decodes to */

struct logrun_source {
    struct kv *kv;
    const struct logstore_query *query;
    struct arena scratch; /* for decoding one block, of LOGRUN_SCRATCH_MAX */
};

/* 1 with *out, 0 when nothing matches or the block is gone (retention), -1 error. query->stats must
 * not be NULL. */
MUST_USE int logrun_of_block(struct logrun_source *source, const struct logentry *entry,
                             struct logrun **out, struct error *err);
/* NULL is fine. */
void logrun_free(struct logrun *run);

/* Adds the matching streams to a set of canonical bytes; ERROR_LIMIT when the set is full. */
MUST_USE int logrun_block_streams(struct logrun_source *source, const struct logentry *entry,
                                  struct table *out, struct error *err);
MUST_USE int logrun_row_streams(const struct logrows *rows, const struct logstore_query *query,
                                struct table *out, struct error *err);

#endif
