/* eval: which code runs which node.
 *
 *   eval_rows(plan, grid, sink)
 *     does not depend on the step? -> evaluate one step, spread it over the grid
 *     may drop names that differ?  -> a row set in between, which refuses duplicates
 *     then by kind: selector, call, aggregate, binary, unary
 *
 * The two wrappers stand in front of every node, so no function needs to think of them.
 */
#include "query/eval.h"

#include <assert.h>

const struct plan *eval_unwrap(const struct plan *plan)
{
    while (plan->kind == PLAN_PAREN)
        plan = plan->child;
    return plan;
}

struct slice eval_string(const struct plan *plan)
{
    plan = eval_unwrap(plan);
    assert(plan->kind == PLAN_STRING);
    return plan->string;
}

/* --- what can be said without evaluating --- */

/* The answer is the same at every step. */
static bool is_constant(const struct plan *plan)
{
    switch (plan->kind) {
    case PLAN_NUMBER:
    case PLAN_STRING:
        return true;
    case PLAN_SELECTOR:
    case PLAN_SUBQUERY:
        return plan->at != AT_NONE;
    case PLAN_UNARY:
    case PLAN_PAREN:
        return is_constant(plan->child);
    case PLAN_BINARY:
        return is_constant(plan->binary.left) && is_constant(plan->binary.right);
    case PLAN_AGGREGATE:
        return is_constant(plan->aggregate.child) &&
               (!plan->aggregate.param || is_constant(plan->aggregate.param));
    case PLAN_CALL:
        if (plan->call.function->uses_time)
            return false;
        for (size_t i = 0; i < plan->call.arg_count; i++)
            if (!is_constant(plan->call.args[i]))
                return false;
        return true;
    }
    return false;
}

static bool name_is_fixed(const struct plan *plan);

static bool call_name_is_fixed(const struct plan *plan)
{
    const struct query_function *function = plan->call.function;
    if (function->groups)
        return !names_contain(&plan->call.grouping, SLICE(LABEL_NAME));
    if (function->keeps_name && function->stream) /* sort, or labels set at will */
        return false;
    for (size_t i = 0; i < plan->call.arg_count; i++) {
        enum value_type type = plan->call.args[i]->type;
        if ((type == VALUE_VECTOR || type == VALUE_MATRIX) && !name_is_fixed(plan->call.args[i]))
            return false;
    }
    return true;
}

/* No two series of the answer differ in nothing but the name. False when in doubt. */
static bool name_is_fixed(const struct plan *plan)
{
    switch (plan->kind) {
    case PLAN_SELECTOR:
        for (size_t i = 0; i < plan->selector.matcher_count; i++)
            if (plan->selector.matchers[i].type == MATCH_EQUAL &&
                plan->selector.matchers[i].value.len > 0 &&
                slice_equal(plan->selector.matchers[i].name, SLICE(LABEL_NAME)))
                return true;
        return false;
    case PLAN_SUBQUERY:
        return name_is_fixed(plan->subquery.child);
    case PLAN_UNARY:
    case PLAN_PAREN:
        return name_is_fixed(plan->child);
    case PLAN_AGGREGATE:
        return !aggregate_keeps_series(plan->aggregate.op) &&
               plan->aggregate.op != AGGREGATE_COUNT_VALUES && /* may call its label __name__ */
               !names_contain(&plan->aggregate.grouping, SLICE(LABEL_NAME));
    case PLAN_CALL:
        return call_name_is_fixed(plan);
    case PLAN_NUMBER:
    case PLAN_STRING:
        return true;
    case PLAN_BINARY:
        return false;
    }
    return false;
}

static bool may_collide(const struct plan *plan)
{
    if (plan->kind == PLAN_UNARY)
        return !name_is_fixed(plan->child);
    if (plan->kind == PLAN_CALL)
        return !plan->call.function->keeps_name && !plan->call.function->groups &&
               !call_name_is_fixed(plan);
    if (plan->kind != PLAN_BINARY)
        return false;
    const struct plan *left = plan->binary.left, *right = plan->binary.right;
    return (left->type == VALUE_SCALAR) != (right->type == VALUE_SCALAR) &&
           !name_is_fixed(left->type == VALUE_SCALAR ? right : left);
}

/* --- the wrappers --- */

static int rows_of_kind(struct eval *eval, const struct plan *plan, const struct grid *grid,
                        struct sink *sink)
{
    switch (plan->kind) {
    case PLAN_SELECTOR:
        return selector_rows(eval, plan, grid, false, sink);
    case PLAN_CALL:
        if (plan->call.function->stream)
            return plan->call.function->stream(eval, plan, grid, sink);
        return plan->call.function->window ? window_rows(eval, plan, grid, sink)
                                           : map_rows(eval, plan, grid, sink);
    case PLAN_AGGREGATE:
        return aggregate_rows(eval, plan, grid, sink);
    case PLAN_BINARY:
        return binary_rows(eval, plan, grid, sink);
    case PLAN_UNARY:
        return negate_rows(eval, plan, grid, sink);
    case PLAN_PAREN:
        return eval_rows(eval, plan->child, grid, sink);
    case PLAN_NUMBER:
    case PLAN_STRING:
    case PLAN_SUBQUERY:
        break;
    }
    assert(!"the parser checks types");
    return -1;
}

struct unique_sink {
    struct sink sink;
    struct rowset rows;
};

static int unique_take(struct sink *self, struct row *row)
{
    return rowset_add(&((struct unique_sink *)self)->rows, row, ROWSET_CONFLICT);
}

static int rows_unique(struct eval *eval, const struct plan *plan, const struct grid *grid,
                       struct sink *sink)
{
    if (!may_collide(plan))
        return rows_of_kind(eval, plan, grid, sink);
    struct unique_sink unique = {.sink = {unique_take}};
    rowset_init(&unique.rows, eval, grid);
    int result = rows_of_kind(eval, plan, grid, &unique.sink);
    if (result == 0)
        result = rows_push(&unique.rows.rows, sink);
    rowset_release(&unique.rows);
    return result;
}

struct spread_sink {
    struct sink sink;
    struct eval *eval;
    const struct grid *grid;
    struct scratch scratch;
    struct sink *out;
};

static int spread_take(struct sink *self, struct row *row)
{
    struct spread_sink *spread = (struct spread_sink *)self;
    struct arena *arena = &spread->scratch.arena;
    const struct histogram *histogram = row_histogram(row, 0);
    struct row wide = {.labels = row->labels};
    scratch_clear(spread->eval, &spread->scratch);
    if (!row_make(arena, spread->grid, &wide) ||
        (histogram && !row_make_histograms(arena, spread->grid, &wide)))
        return eval_fail_memory(spread->eval);
    for (size_t i = 0; i < spread->grid->steps; i++) {
        wide.values[i] = row->values[0];
        if (histogram)
            wide.histograms[i] = histogram;
    }
    return spread->out->take(spread->out, &wide);
}

int eval_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
              struct sink *sink)
{
    if (eval_check(eval) != 0)
        return -1;
    if (grid->steps <= 1 || !is_constant(plan))
        return rows_unique(eval, plan, grid, sink);
    struct grid once = {grid->start_ms, grid->step_ms, 1};
    struct spread_sink spread = {.sink = {spread_take}, .eval = eval, .grid = grid, .out = sink};
    scratch_open(eval, &spread.scratch);
    int result = rows_unique(eval, plan, &once, &spread.sink);
    scratch_close(eval, &spread.scratch);
    return result;
}

/* --- scalars --- */

double *eval_scalar_new(struct eval *eval, const struct plan *plan, const struct grid *grid)
{
    double *out = arena_alloc(eval->arena, grid->steps * sizeof *out);
    if (!out) {
        eval_fail_memory(eval);
        return NULL;
    }
    return eval_scalar(eval, plan, grid, out) == 0 ? out : NULL;
}

static int scalar_binary(struct eval *eval, const struct plan *plan, const struct grid *grid,
                         double *out)
{
    enum binary_operator op = plan->binary.op;
    const double *right = eval_scalar_new(eval, plan->binary.right, grid);
    if (!right || eval_scalar(eval, plan->binary.left, grid, out) != 0)
        return -1;
    for (size_t i = 0; i < grid->steps; i++) {
        bool holds = operator_apply(op, out[i], right[i], &out[i]);
        if (operator_is_comparison(op))
            out[i] = holds;
    }
    return 0;
}

int eval_scalar(struct eval *eval, const struct plan *plan, const struct grid *grid, double *out)
{
    plan = eval_unwrap(plan);
    if (plan->kind == PLAN_CALL)
        return plan->call.function->scalar(eval, plan, grid, out);
    if (plan->kind == PLAN_BINARY)
        return scalar_binary(eval, plan, grid, out);
    if (plan->kind == PLAN_UNARY) {
        if (eval_scalar(eval, plan->child, grid, out) != 0)
            return -1;
        for (size_t i = 0; i < grid->steps; i++)
            out[i] = -out[i];
        return 0;
    }
    assert(plan->kind == PLAN_NUMBER);
    for (size_t i = 0; i < grid->steps; i++)
        out[i] = plan->number;
    return 0;
}
