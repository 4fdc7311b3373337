/* view: the store as a user of Graphite and statsd knows it: every series under the paths that statsd
 * would have written.
 *
 *   stats.counters.X.{rate,count}      of the counter X, less what X_decrements says
 *   stats.X, stats_counts.X            the same in the legacy namespace
 *   stats.timers.X.upper_90 ...        of the timer X, from its histogram (query/etsy.h)
 *   stats.gauges.X                     of the gauge X
 *   stats.sets.X.count                 of the set X
 *   X                                  of the gauge X: what Graphite's own lines have sent
 *
 * Nothing of this is stored: a path is a rule applied to series when it is asked for, and a point says
 * what its whole step gives. Tags do not count in paths: a path means all series of its name.
 * Any thread.
 */
#ifndef QUERY_VIEW_H
#define QUERY_VIEW_H

#include "query/target.h"
#include "storage/store.h"

struct promql_share;

struct view_request {
    struct store *store;
    int64_t start_ms, end_ms;
    int64_t step_ms;            /* points lie on its multiples, each for (t - step, t] */
    int64_t samples_max;        /* read from the store */
    size_t scratch_max;         /* bytes for the samples of one series */
    int64_t deadline_ns;        /* on the monotonic clock */
    struct promql_share *share; /* of the memory for all queries; NULL = none */
    const _Atomic bool *cancelled;
};

struct view_series {
    struct slice path;
    struct labels labels; /* the stored series' */
    double *values;       /* NaN: none */
};

struct view_result {
    struct view_series *at;
    size_t count, capacity;
    int64_t first_ms; /* of the points */
    size_t points;
    int64_t samples_read;
};

/* Appends what the target means, sorted by rule, labels and statistic. Everything lies in the arena. */
MUST_USE int view_render(const struct view_request *request, const struct target *target,
                         struct arena *arena, struct view_result *out, struct error *err);

struct view_node {
    struct slice path;
    bool leaf, expandable;
};

struct view_nodes {
    struct view_node *at; /* sorted by path, each once */
    size_t count, capacity;
};

/* Appends the nodes at the depth of the target that match it. */
MUST_USE int view_find(const struct view_request *request, const struct target *target,
                       struct arena *arena, struct view_nodes *out, struct error *err);

#endif
