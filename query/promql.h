/* promql: run a query against the store.
 *
 * Semantics are those of Prometheus 3: left-open windows, lookback 5 m, staleness markers.
 * Any thread; a query uses the memory of its own arena, which is its budget, and but for helpers one
 * thread.
 */
#ifndef QUERY_PROMQL_H
#define QUERY_PROMQL_H

#include "query/plan.h"
#include "storage/store.h"

struct fan;

#define PROMQL_LOOKBACK_MS     300000
#define PROMQL_POINTS_MAX      11000 /* steps of one range query after its first */
#define PROMQL_DEFAULT_STEP_MS 60000 /* subqueries without a step */

struct result_cache;

/* Memory that all running queries share. */
struct promql_pool {
    int64_t bytes_max;
    _Atomic int64_t bytes;
};

/* What one query has taken of it, at its highest, room reserved for helping threads included; until it is
 * given back. */
struct promql_share {
    struct promql_pool *pool;
    _Atomic int64_t bytes;
};
/* False when all queries together would then hold more than the pool. */
MUST_USE bool promql_share_raise(struct promql_share *share, int64_t bytes);
/* The same as an error, which names the option. */
MUST_USE int promql_share_check(struct promql_share *share, size_t bytes, struct error *err);
void promql_share_return(struct promql_share *share);

struct promql_request {
    const struct plan *plan;
    struct slice text;          /* what the plan was parsed from; or empty: then nothing is kept */
    int64_t start_ms, end_ms;   /* equal for an instant query */
    int64_t step_ms;            /* 0 = instant query */
    int64_t lookback_ms;        /* 0 = PROMQL_LOOKBACK_MS */
    int64_t subquery_step_ms;   /* of subqueries without one; 0 = PROMQL_DEFAULT_STEP_MS */
    int64_t samples_max;        /* samples read from the store; 0 = no limit */
    int64_t deadline_ns;        /* clock_monotonic_ns; 0 = none */
    struct result_cache *cache; /* for cached_run; NULL = none */
    struct promql_share *share; /* of the memory for all queries; NULL = none */
    const _Atomic bool *cancelled; /* set by another thread to end the query; NULL = never */
    struct fan *fan;               /* threads that help with many series; NULL = none */
};

/* One result series. For an instant query each has at most one point. */
struct promql_series {
    struct labels labels; /* __name__ included where the result keeps it */
    size_t count;
    const int64_t *times; /* ms */
    const double *values; /* NULL when the points are histograms */
    const struct histogram *const *histograms;
};

struct promql_result {
    enum value_type type; /* of the answer: SCALAR, STRING, VECTOR; MATRIX for range queries and
                             for an instant query of a range selector */
    struct promql_series *series; /* a scalar is one series without labels */
    size_t count;
    struct slice string; /* VALUE_STRING */
    struct slice *warnings;
    size_t warning_count;
    struct slice *infos;
    size_t info_count;
    int64_t samples_read;
    unsigned tiers;  /* 1 << store_tier of all that was read */
    uint64_t cached; /* by cached_run: the entry that this is a copy of, as a whole; 0: of none */
};

/* The result lives in the arena, whose limit bounds memory. Errors: ERROR_BAD_DATA (the request),
 * ERROR_EXECUTION, ERROR_LIMIT (says which limit and how to raise it), ERROR_TIMEOUT,
 * ERROR_INTERNAL (the store cannot be read). */
MUST_USE int promql_run(struct store *store, const struct promql_request *request,
                        struct arena *arena, struct promql_result *out, struct error *err);

/* The same in two steps, for whoever joins results: infos do not say yet which tiers were read, ... */
MUST_USE int promql_evaluate(struct store *store, const struct promql_request *request,
                             struct arena *arena, struct promql_result *out, struct error *err);
/* ... and now they do, when one was a rollup. */
void promql_note_tiers(struct promql_result *result, struct arena *arena);

#endif
