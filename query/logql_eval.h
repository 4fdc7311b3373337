/* logql_eval: run a LogQL query against the log store.
 *
 * Log queries give streams, everything else series over the steps. Windows are left-open, as in
 * PromQL: (t - range, t]. Any thread; a query uses one thread, and of memory what its arena allows
 * plus what a scan holds at once.
 */
#ifndef QUERY_LOGQL_EVAL_H
#define QUERY_LOGQL_EVAL_H

#include "query/logql.h"
#include "storage/log/logstore.h"

#define LOGQL_STEPS_MAX 11000

struct promql_share;

struct logql_request {
    const struct logql_query *query;
    /* Lines in [start, end); or the steps start, start + step ... up to and with end. */
    int64_t start_ns, end_ns;
    int64_t step_ns;               /* 0: the one instant end_ns */
    size_t limit;                  /* lines at most */
    bool backward;                 /* newest lines first */
    uint64_t bytes_max;            /* of lines read; 0 = no limit */
    int64_t deadline_ns;           /* clock_monotonic_ns; 0 = none */
    const _Atomic bool *cancelled; /* set by another thread to end the query; NULL = never */
    struct promql_share *share;    /* of the memory for all queries; NULL = none */
};

struct logql_entry {
    int64_t time_ns;
    struct slice line;
    struct logql_entry *next;
};

struct logql_stream {
    struct labels labels; /* after the pipeline, sorted */
    struct logql_entry *first, *last;
    size_t count;
};

/* Dense over the steps. */
struct logql_series {
    struct labels labels;
    double *values;
    bool *present;
};

enum logql_result_type { LOGQL_RESULT_STREAMS, LOGQL_RESULT_SERIES, LOGQL_RESULT_SCALAR };

struct logql_result {
    enum logql_result_type type;
    struct logql_stream **streams; /* in the order of their first lines */
    size_t stream_count;
    size_t entry_count;
    struct logql_series *series; /* a scalar is one series without labels */
    size_t series_count;
    int64_t start_ns, step_ns; /* of the steps */
    size_t steps;
    struct logstore_stats stats;
};

/* The result lives in the arena. Errors: ERROR_BAD_DATA, ERROR_EXECUTION, ERROR_LIMIT,
 * ERROR_TIMEOUT; each says what to change. */
MUST_USE int logql_run(struct logstore *logs, const struct logql_request *request,
                       struct arena *arena, struct logql_result *out, struct error *err);

#endif
