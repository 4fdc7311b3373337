/* logscan: matching rows of many blocks and of the rows in memory, merged by time.
 *
 * Works on a snapshot the store takes under its lock: the list of sealed blocks (immutable once
 * written) and the matching rows in memory. One thread a scan.
 */
#ifndef STORAGE_LOG_LOGSCAN_H
#define STORAGE_LOG_LOGSCAN_H

#include "storage/log/logrun.h"

struct logscan {
    struct kv *kv;
    const struct logstore_query *query; /* stats must not be NULL */
    struct logentry *entries;           /* blocks that overlap the time range; gets reordered */
    size_t entry_count;
    struct logrun **runs; /* rows in memory; taken over, NULLs are skipped */
    size_t run_count;
};

MUST_USE int logscan_run(struct logscan *scan,
                         bool (*visit)(void *arg, const struct record *record), void *arg,
                         struct error *err);

#endif
