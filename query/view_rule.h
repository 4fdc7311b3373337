/* view_rule: which paths stand for which series; what view.c and view_find.c share. */
#ifndef QUERY_VIEW_RULE_H
#define QUERY_VIEW_RULE_H

#include "query/etsy.h"
#include "query/view.h"

#define VIEW_PREFIX_MAX     2
#define VIEW_STATISTICS_MAX 64                   /* that a wildcard may stand for */
#define VIEW_DECREMENT      SLICE("_decrements") /* behind the name of what gathers counts below zero */

enum view_suffix { VIEW_NONE, VIEW_COUNTER, VIEW_TIMER, VIEW_SET };

struct view_rule {
    struct slice prefix[VIEW_PREFIX_MAX];
    size_t prefix_count;
    enum series_kind kind;
    enum view_suffix suffix;
    enum etsy_measure measure; /* of counters without a suffix: ETSY_COUNT_PS is the rate */
};
extern const struct view_rule view_rules[];
extern const size_t view_rule_count;

/* What stands behind a name. */
struct view_statistic {
    struct slice name; /* empty: nothing */
    struct etsy_statistic value;
};

/* Whether the target may mean something by this rule; *nodes are then those of the name. */
bool view_rule_takes(const struct view_rule *rule, const struct target *target,
                     const struct slice **nodes, size_t *count);
/* The statistics that the node behind a name matches. */
size_t view_statistics(const struct view_rule *rule, struct slice node,
                       struct view_statistic out[VIEW_STATISTICS_MAX]);
/* The names that a selection is of. */
struct view_names {
    enum series_kind kind;
    const struct slice *nodes;
    size_t count;
    enum {
        VIEW_EXACT,      /* they match the nodes one by one */
        VIEW_DEEPER,     /* or go on behind them */
        VIEW_DECREMENTS, /* match them but for VIEW_DECREMENT at the end */
    } which;
};

/* True, with the error, once the request was canceled or is out of time. */
bool view_is_over(const struct view_request *request, struct error *err);
/* The series of that kind with such names. Wildcards do not mean counts below zero. */
MUST_USE int view_select(const struct view_request *request, const struct view_names *names,
                         struct arena *arena, struct store_selection *out, struct error *err);

#endif
