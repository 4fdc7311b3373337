/* evaluate: run the queries of a group and turn what they found into changes.
 *
 * Rules of a group run in order with the same timestamp; a later one sees what an earlier one
 * recorded. A rule that fails (bad query result, a limit, two alerts with the same labels) leaves
 * its alerts exactly as they were and says why in /api/v1/rules.
 * Thread: alert.
 */
#ifndef SERVER_ALERT_EVALUATE_H
#define SERVER_ALERT_EVALUATE_H

#include "server/alert/commit.h"

struct evaluator {
    struct committer committer;
    struct labels external_labels; /* for templates; borrowed */
    int64_t subquery_step_ms;      /* of subqueries without one; 0 = the usual */
    int64_t query_samples_max;
    int64_t query_memory_bytes;
    int64_t query_timeout_ms;
    _Atomic bool cancelled; /* by the thread that closes: ends the query that runs */
    /* Until then an alert restored from an earlier run is not resolved by missing: after a long
     * pause the first data may not be here yet. */
    int64_t grace_until_ms;
};

/* Registers the metrics. */
void evaluate_open(void);
void evaluate_group(struct evaluator *evaluator, struct group_run *group, int64_t now_ms);
/* Resolves the alerts of rules that are gone, and ends the series they recorded. */
void evaluate_orphans(struct evaluator *evaluator, int64_t now_ms);
/* Iterations of a group that came too late to be run. */
void evaluate_count_missed(int64_t iterations);

#endif
