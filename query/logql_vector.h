/* logql_vector: series over steps, and what aggregations and operators make of them. Private to
 * the evaluator. Everything lives in the query's arena.
 */
#ifndef QUERY_LOGQL_VECTOR_H
#define QUERY_LOGQL_VECTOR_H

#include "query/logql_eval.h"
#include "storage/base/table.h"

struct logql_vector {
    bool scalar;
    struct logql_series *at;
    size_t count;
};

struct logql_eval {
    struct logstore *logs;
    const struct logql_request *request;
    struct arena *arena;
    size_t owned_bytes; /* of samples, outside the arena */
    int64_t start_ns, step_ns;
    size_t steps;
    struct logstore_stats *stats;
    struct error *err;
};

/* Always -1. */
int logql_out_of_memory(struct logql_eval *eval);
/* -1 and ERROR_LIMIT once all running queries together hold more than they may. */
MUST_USE int logql_check_memory(struct logql_eval *eval);
/* Values and presence for all steps, absent at first. */
MUST_USE int logql_series_init(struct logql_eval *eval, struct logql_series *series);
/* The labels that the grouping leaves (all without one), sorted, in `out`, which has room for
 * LOGQL_LABELS_MAX. detected_level and service_name stand for level and service. Returns the
 * number. */
size_t logql_group_labels(const struct logql_grouping *grouping, struct labels labels,
                          struct label *out);
/* Evaluates a LOGQL_RANGE. `grouping` are the labels a sum around it will keep, or NULL. */
MUST_USE int logql_eval_range(struct logql_eval *eval, const struct logql_expr *expr,
                              const struct logql_grouping *grouping, struct logql_vector *out);
MUST_USE int logql_eval_aggregate(struct logql_eval *eval, const struct logql_expr *expr,
                                  const struct logql_vector *child, struct logql_vector *out);
MUST_USE int logql_eval_binary(struct logql_eval *eval, const struct logql_expr *expr,
                               const struct logql_vector *left, const struct logql_vector *right,
                               struct logql_vector *out);
/* Texts that every line the pipeline keeps must contain; at most `max`. Returns the number. */
size_t logql_needles(const struct logql_pipeline *pipeline, struct slice *out, size_t max);

#endif
