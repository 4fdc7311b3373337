/* aggregate: sum, avg, min, max, count, group, stddev, stdvar.
 *
 * A sink: each pushed row is added to its group and forgotten. A group has one cell a step; which
 * numbers a cell holds is a row of the table below.
 *
 *   key of a row = canonical bytes of the labels that `by` keeps or `without` leaves
 *
 * Histograms add up in sum and avg, in memory outside the arena (they grow), which counts against
 * the budget all the same. A cell that got both floats and histograms is dropped with a warning.
 */
#include "query/eval.h"

#include <math.h>
#include <stdlib.h>

#include "query/groups.h"
#include "query/histogram_math.h"
#include "storage/base/alloc.h"

struct cell {
    double count;
    double value; /* sum, extreme, or sum of squared differences */
    double rest;  /* of a compensated sum; the mean in stddev */
    bool is_mean; /* avg: value is the mean, because the sum overflowed */
};

struct group {
    struct labels labels;
    struct cell *cells;
    struct histogram *histograms; /* one a step, owned; NULL without any */
    double *histogram_count;
};

struct aggregate {
    struct sink sink;
    struct eval *eval;
    const struct plan *plan;
    const struct grid *grid;
    const struct operation *operation;
    struct groups index;
    struct group *groups;
    size_t count, capacity;
};

/* --- the operations --- */

struct operation {
    void (*add)(struct cell *cell, double value); /* count is already raised */
    double (*finish)(const struct cell *cell);
    bool sums_histograms;
    bool counts_histograms; /* treats them as any other point */
};

static void add_sum(struct cell *cell, double value)
{
    sum_add(&cell->value, &cell->rest, value);
}

static double finish_sum(const struct cell *cell)
{
    return isinf(cell->value) ? cell->value : cell->value + cell->rest;
}

/* As a sum while that is finite, then as a running mean. */
static void add_avg(struct cell *cell, double value)
{
    double sum = cell->value, rest = cell->rest, n = cell->count;
    if (!cell->is_mean) {
        sum_add(&sum, &rest, value);
        cell->is_mean = isinf(sum) && n > 1;
        if (!cell->is_mean) {
            cell->value = sum;
            cell->rest = rest;
            return;
        }
        cell->value /= n - 1;
        cell->rest /= n - 1;
    }
    cell->value *= (n - 1) / n;
    cell->rest *= (n - 1) / n;
    sum_add(&cell->value, &cell->rest, value / n);
}

static double finish_avg(const struct cell *cell)
{
    if (cell->is_mean)
        return cell->value + cell->rest;
    return cell->value / cell->count + cell->rest / cell->count;
}

static void add_min(struct cell *cell, double value)
{
    if (cell->count == 1 || value < cell->value || isnan(cell->value))
        cell->value = value;
}

static void add_max(struct cell *cell, double value)
{
    if (cell->count == 1 || value > cell->value || isnan(cell->value))
        cell->value = value;
}

static double finish_value(const struct cell *cell)
{
    return cell->value;
}

static void add_nothing(struct cell *cell, double value)
{
    (void)cell;
    (void)value;
}

static double finish_count(const struct cell *cell)
{
    return cell->count;
}

static double finish_one(const struct cell *cell)
{
    (void)cell;
    return 1;
}

/* Welford's update. */
static void add_squares(struct cell *cell, double value)
{
    double delta = value - cell->rest;
    cell->rest += delta / cell->count;
    cell->value += delta * (value - cell->rest);
}

static double finish_stdvar(const struct cell *cell)
{
    return cell->value / cell->count;
}

static double finish_stddev(const struct cell *cell)
{
    return sqrt(cell->value / cell->count);
}

static const struct operation operations[] = {
    [AGGREGATE_SUM] = {add_sum, finish_sum, .sums_histograms = true},
    [AGGREGATE_AVG] = {add_avg, finish_avg, .sums_histograms = true},
    [AGGREGATE_MIN] = {add_min, finish_value},
    [AGGREGATE_MAX] = {add_max, finish_value},
    [AGGREGATE_COUNT] = {add_nothing, finish_count, .counts_histograms = true},
    [AGGREGATE_GROUP] = {add_nothing, finish_one, .counts_histograms = true},
    [AGGREGATE_STDDEV] = {add_squares, finish_stddev},
    [AGGREGATE_STDVAR] = {add_squares, finish_stdvar},
};

/* --- groups --- */

static struct group *group_new(struct aggregate *self, struct labels labels)
{
    struct eval *eval = self->eval;
    const struct plan *plan = self->plan;
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? self->capacity * 2 : 16;
        struct group *at = arena_alloc(eval->arena, capacity * sizeof *at);
        if (!at)
            return NULL;
        if (self->count)
            memcpy(at, self->groups, self->count * sizeof *at);
        self->groups = at;
        self->capacity = capacity;
    }
    struct group *group = &self->groups[self->count];
    *group = (struct group){
        .labels = labels_project(eval->arena, labels, &plan->aggregate.grouping,
                                 !plan->aggregate.without),
        .cells = arena_zeroed(eval->arena, self->grid->steps, sizeof *group->cells),
    };
    if (!group->cells)
        return NULL;
    self->count++;
    return group;
}

static struct group *group_of(struct aggregate *self, struct labels labels)
{
    size_t number = groups_number(&self->index, labels);
    if (number < self->count)
        return &self->groups[number];
    struct group *group = group_new(self, labels);
    if (!group)
        eval_fail_memory(self->eval);
    return group;
}

/* --- adding --- */

static int add_histogram(struct aggregate *self, struct group *group, size_t step,
                         const struct histogram *histogram)
{
    struct eval *eval = self->eval;
    if (!group->histograms) {
        group->histogram_count =
            arena_zeroed(eval->arena, self->grid->steps, sizeof *group->histogram_count);
        group->histograms = arena_zeroed(eval->arena, self->grid->steps, sizeof *group->histograms);
        if (!group->histograms || !group->histogram_count)
            return eval_fail_memory(eval);
    }
    struct histogram *sum = &group->histograms[step];
    eval->owned_bytes -= histogram_bytes(sum);
    if (group->histogram_count[step]++ == 0) {
        *sum = (struct histogram){.schema = histogram->schema,
                                  .zero_threshold = histogram->zero_threshold,
                                  .min = NAN,
                                  .max = NAN};
    }
    histogram_merge(sum, histogram);
    eval->owned_bytes += histogram_bytes(sum);
    return eval_memory_left(eval) ? 0 : eval_fail_memory(eval);
}

static int add_histograms(struct aggregate *self, struct group *group, const struct row *row)
{
    const struct operation *operation = self->operation;
    for (size_t i = 0; i < self->grid->steps; i++) {
        if (!row->histograms[i])
            continue;
        if (operation->counts_histograms)
            group->cells[i].count++;
        else if (!operation->sums_histograms)
            eval_info_at(self->eval, self->plan->aggregate.child,
                         "PromQL info: ignored histogram in %s aggregation",
                         aggregate_operator_name(self->plan->aggregate.op));
        else if (add_histogram(self, group, i, row->histograms[i]) != 0)
            return -1;
    }
    return 0;
}

/* Sums are what most queries are; the loop is written out for them. */
static void add_floats_sum(struct cell *cells, const double *values, size_t steps)
{
    for (size_t i = 0; i < steps; i++) {
        if (point_is_absent(values[i]))
            continue;
        cells[i].count++;
        sum_add(&cells[i].value, &cells[i].rest, values[i]);
    }
}

static int aggregate_take(struct sink *sink, struct row *row)
{
    struct aggregate *self = (struct aggregate *)sink;
    struct group *group = group_of(self, row->labels);
    if (!group)
        return -1;
    if (self->operation->add == add_sum) {
        add_floats_sum(group->cells, row->values, self->grid->steps);
    } else {
        for (size_t i = 0; i < self->grid->steps; i++) {
            if (point_is_absent(row->values[i]))
                continue;
            group->cells[i].count++;
            self->operation->add(&group->cells[i], row->values[i]);
        }
    }
    return row->histograms ? add_histograms(self, group, row) : 0;
}

/* --- the answer --- */

static const struct histogram *finish_histogram(struct aggregate *self, struct group *group,
                                                size_t step)
{
    struct arena *arena = self->eval->arena;
    if (self->plan->aggregate.op == AGGREGATE_AVG)
        return histogram_scale(arena, &group->histograms[step], 1 / group->histogram_count[step]);
    return histogram_copy(arena, &group->histograms[step]);
}

static int finish_step(struct aggregate *self, struct group *group, struct row *row, size_t step)
{
    bool histograms = group->histograms && group->histogram_count[step] > 0;
    const struct cell *cell = &group->cells[step];
    if (histograms && cell->count > 0) {
        eval_warn_at(self->eval, self->plan->aggregate.child,
                     "PromQL warning: encountered a mix of histograms and floats for aggregation");
    } else if (histograms) {
        if (!row_make_histograms(self->eval->arena, self->grid, row) ||
            !(row->histograms[step] = finish_histogram(self, group, step)))
            return eval_fail_memory(self->eval);
    } else if (cell->count > 0) {
        row->values[step] = self->operation->finish(cell);
    }
    return 0;
}

static int compare_groups(const void *a, const void *b)
{
    return labels_compare(((const struct group *)a)->labels, ((const struct group *)b)->labels);
}

/* In the order of labels: which series came first is another matter at each step, and what is made of
 * the groups should be the same in a range query as in an instant one. */
static int aggregate_push(struct aggregate *self, struct sink *sink)
{
    if (self->count)
        qsort(self->groups, self->count, sizeof *self->groups, compare_groups);
    for (size_t i = 0; i < self->count; i++) {
        struct group *group = &self->groups[i];
        struct row row = {.labels = group->labels};
        if (!row_make(self->eval->arena, self->grid, &row))
            return eval_fail_memory(self->eval);
        for (size_t step = 0; step < self->grid->steps; step++)
            if (finish_step(self, group, &row, step) != 0)
                return -1;
        if (sink->take(sink, &row) != 0)
            return -1;
    }
    return 0;
}

static void aggregate_release(struct aggregate *self)
{
    for (size_t i = 0; i < self->count; i++) {
        struct histogram *histograms = self->groups[i].histograms;
        for (size_t step = 0; histograms && step < self->grid->steps; step++) {
            self->eval->owned_bytes -= histogram_bytes(&histograms[step]);
            histogram_release(&histograms[step]);
        }
    }
    groups_release(&self->index);
}

int aggregate_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                   struct sink *sink)
{
    if (plan->aggregate.op == AGGREGATE_LIMITK || plan->aggregate.op == AGGREGATE_LIMIT_RATIO)
        return limit_rows(eval, plan, grid, sink);
    if (plan->aggregate.op >= sizeof operations / sizeof *operations)
        return rank_rows(eval, plan, grid, sink);
    struct aggregate self = {
        .sink = {aggregate_take},
        .eval = eval,
        .plan = plan,
        .grid = grid,
        .operation = &operations[plan->aggregate.op],
    };
    groups_init(&self.index, &plan->aggregate.grouping, !plan->aggregate.without);
    int result = eval_rows(eval, plan->aggregate.child, grid, &self.sink);
    if (result == 0)
        result = aggregate_push(&self, sink);
    aggregate_release(&self);
    return result;
}
