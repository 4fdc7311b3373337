/* limit: limitk and limit_ratio, a sample of the series instead of all of them.
 *
 * A sink that passes rows on, blanking the points that are not chosen:
 *
 *   limitk(k, v)        the first k points of each group and step, in the order of labels
 *   limit_ratio(r, v)   the series whose place on [0, 1), a hash of the labels, is below r; for
 *                       r < 0 those at or above 1 + r, so that r and r - 1 together give all
 *
 * So the same series are chosen at every step and by every query. Prometheus promises as much, but
 * not which they are.
 */
#include <math.h>

#include "query/eval.h"
#include "query/groups.h"

struct limit {
    struct sink sink;
    struct eval *eval;
    const struct plan *plan;
    const struct grid *grid;
    const double *param; /* one a step */
    struct groups index; /* -> uint32_t passed[steps] */
    struct buffer key;   /* of a series */
    struct sink *out;
};

static void blank(struct row *row, size_t step)
{
    row->values[step] = point_absent();
    if (row->histograms)
        row->histograms[step] = NULL;
}

/* --- limitk --- */

/* How many points of the row's group have passed at each step; NULL when memory is out. */
static uint32_t *group_of(struct limit *self, const struct row *row)
{
    bool fresh;
    struct table_entry *entry = groups_entry(&self->index, row->labels, &fresh);
    if (fresh)
        entry->value.pointer = arena_zeroed(self->eval->arena, self->grid->steps, sizeof(uint32_t));
    return entry->value.pointer;
}

static int limitk_take(struct sink *sink, struct row *row)
{
    struct limit *self = (struct limit *)sink;
    uint32_t *passed = group_of(self, row);
    bool any = false;
    if (!passed)
        return eval_fail_memory(self->eval);
    for (size_t step = 0; step < self->grid->steps; step++) {
        if (!row_has(row, step))
            continue;
        bool chosen = passed[step] + 1 <= self->param[step];
        passed[step] += chosen;
        any = any || chosen;
        if (!chosen)
            blank(row, step);
    }
    return any ? self->out->take(self->out, row) : 0;
}

/* Series of a selector come in the order of labels on demand; others have to be collected for that. */
static int limitk_run(struct limit *self)
{
    struct eval *eval = self->eval;
    const struct plan *child = eval_unwrap(self->plan->aggregate.child);
    struct rows rows;
    if (child->kind == PLAN_SELECTOR) {
        eval->ordered = child;
        return eval_rows(eval, child, self->grid, &self->sink);
    }
    if (rows_collect(eval, child, self->grid, &rows) != 0)
        return -1;
    rows_sort(&rows);
    return rows_push(&rows, &self->sink);
}

/* --- limit_ratio --- */

/* Where the series stands on [0, 1). */
static double place_of(struct limit *self, const struct row *row)
{
    buffer_reset(&self->key);
    labels_encode(row->labels, &self->key);
    return (double)(slice_hash(buffer_slice(&self->key)) >> 11) / 0x1p53;
}

static int ratio_take(struct sink *sink, struct row *row)
{
    struct limit *self = (struct limit *)sink;
    double place = place_of(self, row);
    bool any = false;
    for (size_t step = 0; step < self->grid->steps; step++) {
        double ratio = self->param[step];
        bool chosen = ratio >= 0 ? place < ratio : place >= 1 + ratio;
        any = any || (chosen && row_has(row, step));
        if (!chosen)
            blank(row, step);
    }
    return any ? self->out->take(self->out, row) : 0;
}

static int check_ratio(struct limit *self)
{
    for (size_t step = 0; step < self->grid->steps; step++) {
        double ratio = self->param[step];
        if (isnan(ratio))
            return error_set(self->eval->err, ERROR_EXECUTION, "Ratio value is NaN");
        if (fabs(ratio) > 1)
            eval_warn_at(
                self->eval, self->plan->aggregate.param,
                "PromQL warning: ratio value should be between -1 and 1, got %g, capping to "
                "%g",
                ratio, ratio > 0 ? 1.0 : -1.0);
    }
    return 0;
}

int limit_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
               struct sink *sink)
{
    bool ratio = plan->aggregate.op == AGGREGATE_LIMIT_RATIO;
    struct limit self = {.sink = {ratio ? ratio_take : limitk_take},
                         .eval = eval,
                         .plan = plan,
                         .grid = grid,
                         .out = sink};
    if (!(self.param = eval_scalar_new(eval, plan->aggregate.param, grid)) ||
        (ratio ? check_ratio(&self) : rank_check_count(eval, self.param, grid)) != 0)
        return -1;
    groups_init(&self.index, &plan->aggregate.grouping, !plan->aggregate.without);
    buffer_init(&self.key, SIZE_MAX);
    int result =
        ratio ? eval_rows(eval, plan->aggregate.child, grid, &self.sink) : limitk_run(&self);
    buffer_release(&self.key);
    groups_release(&self.index);
    return result;
}
