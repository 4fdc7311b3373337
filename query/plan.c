/* plan: the names of what a plan consists of, and its release.
 */
#include "query/plan.h"

#include "query/function.h"

const char *value_type_name(enum value_type type)
{
    static const char *const names[] = {
        [VALUE_SCALAR] = "scalar",
        [VALUE_STRING] = "string",
        [VALUE_VECTOR] = "instant vector",
        [VALUE_MATRIX] = "range vector",
    };
    return names[type];
}

const char *aggregate_operator_name(enum aggregate_operator op)
{
    static const char *const names[] = {
        [AGGREGATE_SUM] = "sum",           [AGGREGATE_AVG] = "avg",
        [AGGREGATE_MIN] = "min",           [AGGREGATE_MAX] = "max",
        [AGGREGATE_COUNT] = "count",       [AGGREGATE_GROUP] = "group",
        [AGGREGATE_STDDEV] = "stddev",     [AGGREGATE_STDVAR] = "stdvar",
        [AGGREGATE_TOPK] = "topk",         [AGGREGATE_BOTTOMK] = "bottomk",
        [AGGREGATE_QUANTILE] = "quantile", [AGGREGATE_COUNT_VALUES] = "count_values",
        [AGGREGATE_LIMITK] = "limitk",     [AGGREGATE_LIMIT_RATIO] = "limit_ratio",
    };
    return names[op];
}

bool aggregate_keeps_series(enum aggregate_operator op)
{
    return op == AGGREGATE_TOPK || op == AGGREGATE_BOTTOMK || op == AGGREGATE_LIMITK ||
           op == AGGREGATE_LIMIT_RATIO;
}

static bool call_orders_series(const struct plan *plan)
{
    bool orders = plan->call.function->sorts;
    for (size_t i = 0; i < plan->call.arg_count && !orders; i++)
        orders = plan_orders_series(plan->call.args[i]);
    return orders;
}

bool plan_orders_series(const struct plan *plan)
{
    switch (plan->kind) {
    case PLAN_UNARY:
    case PLAN_PAREN:
        return plan_orders_series(plan->child);
    case PLAN_CALL:
        return call_orders_series(plan);
    case PLAN_AGGREGATE:
        return plan->aggregate.op == AGGREGATE_TOPK || plan->aggregate.op == AGGREGATE_BOTTOMK ||
               (aggregate_keeps_series(plan->aggregate.op) &&
                plan_orders_series(plan->aggregate.child));
    case PLAN_BINARY:
        return plan_orders_series(plan->binary.left) || plan_orders_series(plan->binary.right);
    case PLAN_NUMBER:
    case PLAN_STRING:
    case PLAN_SELECTOR:
    case PLAN_SUBQUERY:
        return false;
    }
    return false;
}

const char *binary_operator_name(enum binary_operator op)
{
    static const char *const names[] = {
        [BINARY_ADD] = "+",       [BINARY_SUB] = "-",         [BINARY_MUL] = "*",
        [BINARY_DIV] = "/",       [BINARY_MOD] = "%",         [BINARY_POW] = "^",
        [BINARY_EQ] = "==",       [BINARY_NE] = "!=",         [BINARY_LT] = "<",
        [BINARY_LE] = "<=",       [BINARY_GT] = ">",          [BINARY_GE] = ">=",
        [BINARY_AND] = "and",     [BINARY_OR] = "or",         [BINARY_UNLESS] = "unless",
        [BINARY_ATAN2] = "atan2", [BINARY_TRIM_UPPER] = "</", [BINARY_TRIM_LOWER] = ">/",
    };
    return names[op];
}

void plan_release(struct plan *plan)
{
    if (!plan)
        return;
    switch (plan->kind) {
    case PLAN_NUMBER:
    case PLAN_STRING:
        return;
    case PLAN_SELECTOR:
        for (size_t i = 0; i < plan->selector.matcher_count; i++)
            matcher_release(&plan->selector.matchers[i]);
        return;
    case PLAN_SUBQUERY:
        plan_release(plan->subquery.child);
        return;
    case PLAN_CALL:
        for (size_t i = 0; i < plan->call.arg_count; i++)
            plan_release(plan->call.args[i]);
        return;
    case PLAN_AGGREGATE:
        plan_release(plan->aggregate.param);
        plan_release(plan->aggregate.child);
        return;
    case PLAN_BINARY:
        plan_release(plan->binary.left);
        plan_release(plan->binary.right);
        return;
    case PLAN_UNARY:
    case PLAN_PAREN:
        plan_release(plan->child);
        return;
    }
}
