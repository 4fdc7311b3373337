/* rank: the aggregations that need all rows of a group at once: topk, bottomk, quantile,
 * count_values.
 *
 * All rows are collected and put into groups; then each step is settled for each group. topk and
 * bottomk keep rows as they are, and blank the points that were not chosen: a heap of k entries
 * holds the best so far, with the worst of them on top; of equals the first in the order of labels. For a single step the rows come out in the
 * order of their values.
 */
#include "query/eval.h"

#include <math.h>
#include <stdlib.h>

#include "query/groups.h"
#include "query/histogram_math.h"
#include "query/ranking.h"
#include "storage/base/number.h"

#define VALUE_TEXT_MAX ((size_t)1 << 16) /* of a histogram; longer ones are cut off */
#define SELECT_REST    16
#define SELECT_ROUNDS  64 /* a third is left after each, as a rule */

struct group {
    struct labels labels;
    uint32_t *members; /* indexes of rows */
    size_t count;
};

struct rank {
    struct eval *eval;
    const struct plan *plan;
    const struct grid *grid;
    struct rows rows;
    struct group *groups;
    size_t group_count;
    const double *param;
    bool *chosen; /* one a row, false between steps */
    struct sink *out;
};

/* --- groups --- */

static int assign_groups(struct rank *self, uint32_t *of_row)
{
    const struct plan *plan = self->plan;
    struct groups groups;
    groups_init(&groups, &plan->aggregate.grouping, !plan->aggregate.without);
    for (size_t i = 0; i < self->rows.count; i++)
        of_row[i] = (uint32_t)groups_number(&groups, self->rows.at[i].labels);
    groups_release(&groups);
    self->group_count = groups.count;
    self->groups = arena_zeroed(self->eval->arena, groups.count, sizeof *self->groups);
    return self->groups ? 0 : -1;
}

static int fill_groups(struct rank *self, const uint32_t *of_row)
{
    struct arena *arena = self->eval->arena;
    const struct plan *plan = self->plan;
    for (size_t i = 0; i < self->rows.count; i++)
        self->groups[of_row[i]].count++;
    for (size_t i = 0; i < self->group_count; i++) {
        struct group *group = &self->groups[i];
        group->members = arena_alloc(arena, group->count * sizeof *group->members);
        if (!group->members)
            return -1;
        group->count = 0;
    }
    for (size_t i = 0; i < self->rows.count; i++) {
        struct group *group = &self->groups[of_row[i]];
        if (group->count == 0)
            group->labels = labels_project(arena, self->rows.at[i].labels,
                                           &plan->aggregate.grouping, !plan->aggregate.without);
        group->members[group->count++] = (uint32_t)i;
    }
    return 0;
}

static int make_groups(struct rank *self)
{
    uint32_t *of_row = arena_alloc(self->eval->arena, self->rows.count * sizeof *of_row);
    if (!of_row || assign_groups(self, of_row) != 0 || fill_groups(self, of_row) != 0)
        return eval_fail_memory(self->eval);
    return 0;
}

/* --- topk, bottomk --- */

struct candidate {
    double value;
    uint32_t row; /* rows are in the order of labels */
};

/* a should leave before b: NaN is the worst either way, and of equals the later one. */
static bool worse(bool top, const struct candidate *a, const struct candidate *b)
{
    if (isnan(a->value) != isnan(b->value))
        return isnan(a->value);
    if (a->value < b->value || a->value > b->value)
        return top == (a->value < b->value);
    return a->row > b->row;
}

static void heap_sift(struct candidate *heap, size_t count, size_t at, bool top)
{
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            return;
        if (child + 1 < count && worse(top, &heap[child + 1], &heap[child]))
            child++;
        if (!worse(top, &heap[child], &heap[at]))
            return;
        struct candidate moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
        at = child;
    }
}

/* What has an order are numbers: a histogram at the step is passed over, and said to be. */
static void pass_histogram(const struct rank *self, const struct row *row, size_t step)
{
    if (row->histograms && row->histograms[step])
        eval_info_at(self->eval, self->plan->aggregate.child,
                     "PromQL info: ignored histogram in %s aggregation",
                     aggregate_operator_name(self->plan->aggregate.op));
}

static size_t heap_fill(const struct rank *self, const struct group *group, size_t step,
                        struct candidate *heap, size_t k)
{
    bool top = self->plan->aggregate.op == AGGREGATE_TOPK;
    size_t count = 0;
    for (size_t i = 0; i < group->count; i++) {
        uint32_t row = group->members[i];
        double value = self->rows.at[row].values[step];
        pass_histogram(self, &self->rows.at[row], step);
        if (point_is_absent(value))
            continue;
        struct candidate candidate = {value, row};
        if (count < k) {
            heap[count++] = candidate;
            for (size_t at = count / 2; count == k && at-- > 0;)
                heap_sift(heap, count, at, top);
        } else if (worse(top, &heap[0], &candidate)) {
            heap[0] = candidate;
            heap_sift(heap, count, 0, top);
        }
    }
    return count;
}

static int compare_best_first_top(const void *a, const void *b)
{
    return worse(true, a, b) - worse(true, b, a);
}

static int compare_best_first_bottom(const void *a, const void *b)
{
    return worse(false, a, b) - worse(false, b, a);
}

/* Blanks what was not chosen. */
static void keep_chosen(struct rank *self, const struct group *group, size_t step,
                        const struct candidate *heap, size_t count)
{
    for (size_t i = 0; i < count; i++)
        self->chosen[heap[i].row] = true;
    for (size_t i = 0; i < group->count; i++) {
        struct row *row = &self->rows.at[group->members[i]];
        if (!self->chosen[group->members[i]])
            row->values[step] = point_absent();
        if (row->histograms)
            row->histograms[step] = NULL;
        self->chosen[group->members[i]] = false;
    }
}

static int push_in_order(struct rank *self, struct candidate *heap, size_t count)
{
    bool top = self->plan->aggregate.op == AGGREGATE_TOPK;
    if (count)
        qsort(heap, count, sizeof *heap, top ? compare_best_first_top : compare_best_first_bottom);
    for (size_t i = 0; i < count; i++)
        if (self->out->take(self->out, &self->rows.at[heap[i].row]) != 0)
            return -1;
    return 0;
}

static int fail_count(struct eval *eval, double k)
{
    char text[NUMBER_TEXT_MAX];
    size_t len = (size_t)(number_put(text, k, NUMBER_TEXT) - text);
    return error_set(eval->err, ERROR_EXECUTION, "Scalar value %.*s %s int64", (int)len, text,
                     k < 0 ? "underflows" : "overflows");
}

int rank_check_count(struct eval *eval, const double *param, const struct grid *grid)
{
    for (size_t i = 0; i < grid->steps; i++) {
        if (isnan(param[i]))
            return error_set(eval->err, ERROR_EXECUTION, "Parameter value is NaN");
        if (fabs(param[i]) >= 0x1p63)
            return fail_count(eval, param[i]);
    }
    return 0;
}

static size_t k_at(const struct rank *self, size_t step, const struct group *group)
{
    double k = self->param[step];
    if (k < 1)
        return 0;
    return k >= (double)group->count ? group->count : (size_t)k;
}

static int rank_top(struct rank *self)
{
    struct arena *arena = self->eval->arena;
    struct candidate *heap = arena_alloc(arena, self->rows.count * sizeof *heap);
    self->chosen = arena_zeroed(arena, self->rows.count, sizeof *self->chosen);
    if (!heap || !self->chosen)
        return eval_fail_memory(self->eval);
    if (rank_check_count(self->eval, self->param, self->grid) != 0)
        return -1;
    for (size_t i = 0; i < self->group_count; i++) {
        struct group *group = &self->groups[i];
        for (size_t step = 0; step < self->grid->steps; step++) {
            size_t k = k_at(self, step, group), count = 0;
            if (k > 0)
                count = heap_fill(self, group, step, heap, k);
            keep_chosen(self, group, step, heap, count);
            if (self->grid->steps == 1 && push_in_order(self, heap, count) != 0)
                return -1;
        }
        if (eval_check(self->eval) != 0)
            return -1;
    }
    return self->grid->steps == 1 ? 0 : rows_push(&self->rows, self->out);
}

/* --- quantile --- */

static int compare_numbers(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* What selection leaves over: a few, or what was laid out to make it slow. */
static void sort_rest(double *values, size_t low, size_t high)
{
    if (high - low > SELECT_REST) {
        qsort(values + low, high - low + 1, sizeof *values, compare_numbers);
        return;
    }
    for (size_t i = low + 1; i <= high; i++) {
        double value = values[i];
        size_t at = i;
        for (; at > low && value < values[at - 1]; at--)
            values[at] = values[at - 1];
        values[at] = value;
    }
}

/* Moves the number of rank k to its place, smaller ones before it. */
static void select_rank(double *values, size_t count, size_t k)
{
    size_t low = 0, high = count - 1;
    for (int round = 0; round < SELECT_ROUNDS && high - low > SELECT_REST; round++) {
        double pivot = values[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (values[i] < pivot)
                i++;
            while (values[j] > pivot)
                j--;
            if (i >= j)
                break;
            double moved = values[i];
            values[i++] = values[j];
            values[j--] = moved;
        }
        if (k <= j)
            high = j;
        else
            low = j + 1;
    }
    sort_rest(values, low, high);
}

/* Moves NaN to the front. Answers how many there are. */
static size_t part_nan(double *values, size_t count)
{
    size_t nans = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isnan(values[i]))
            continue;
        double moved = values[nans];
        values[nans++] = values[i];
        values[i] = moved;
    }
    return nans;
}

double quantile_of(double q, double *values, size_t count)
{
    if (count == 0)
        return NAN;
    if (!(q >= 0 && q <= 1))
        return quantile_out_of_range(q);
    double rank = q * (double)(count - 1);
    size_t lower = (size_t)rank, upper = lower + 1 < count ? lower + 1 : lower;
    size_t nans = part_nan(values, count);
    if (lower >= nans)
        select_rank(values + nans, count - nans, lower - nans);
    double next = values[upper];
    for (size_t i = upper; i < count; i++) /* the smallest of what is left */
        if (values[i] < next)
            next = values[i];
    return quantile_between(values[lower], next, rank - (double)lower);
}

static int rank_quantile(struct rank *self)
{
    struct eval *eval = self->eval;
    double *values = arena_alloc(eval->arena, self->rows.count * sizeof *values);
    if (!values)
        return eval_fail_memory(eval);
    for (size_t i = 0; i < self->group_count; i++) {
        struct group *group = &self->groups[i];
        struct row row = {.labels = group->labels};
        if (!row_make(eval->arena, self->grid, &row))
            return eval_fail_memory(eval);
        for (size_t step = 0; step < self->grid->steps; step++) {
            size_t count = 0;
            for (size_t member = 0; member < group->count; member++) {
                const struct row *of = &self->rows.at[group->members[member]];
                double value = of->values[step];
                pass_histogram(self, of, step);
                if (!point_is_absent(value))
                    values[count++] = value;
            }
            if (count)
                row.values[step] = quantile_of(self->param[step], values, count);
        }
        if (eval_check(eval) != 0 || self->out->take(self->out, &row) != 0)
            return -1;
    }
    return 0;
}

static void warn_quantile(struct rank *self)
{
    eval_warn_outside(self->eval, self->plan->aggregate.param, 1, self->param, self->grid->steps);
}

/* --- count_values --- */

static void print_part(const char *before, double number, struct buffer *out)
{
    buffer_append_string(out, before);
    number_print(number, NUMBER_TEXT, out);
}

/* ", (1,2]:5"; brackets "[]" where both bounds belong to it. */
static void print_bucket(const char brackets[2], double lower, double upper, double count,
                         struct buffer *out)
{
    if (count == 0)
        return;
    buffer_append_format(out, ", %c", brackets[0]);
    print_part("", lower, out);
    print_part(",", upper, out);
    buffer_append_char(out, brackets[1]);
    print_part(":", count, out);
}

/* Prometheus' text of a histogram: {count:4, sum:5, (0.5,1]:1, (1,2]:3} */
static void print_histogram(const struct histogram *histogram, struct buffer *out)
{
    int schema = histogram->schema;
    print_part("{count:", histogram->count, out);
    print_part(", sum:", histogram->sum, out);
    for (size_t i = histogram->negative.count; i-- > 0;) {
        const struct histogram_bucket *bucket = &histogram->negative.at[i];
        print_bucket("[)", -histogram_bound(schema, bucket->index),
                     -histogram_bound(schema, bucket->index - 1), bucket->count, out);
    }
    print_bucket("[]", -histogram->zero_threshold, histogram->zero_threshold, histogram->zero_count,
                 out);
    for (size_t i = 0; i < histogram->positive.count; i++) {
        const struct histogram_bucket *bucket = &histogram->positive.at[i];
        print_bucket("(]", histogram_bound(schema, bucket->index - 1),
                     histogram_bound(schema, bucket->index), bucket->count, out);
    }
    buffer_append_char(out, '}');
}

/* `without` takes labels away after the value has become one of them. */
static bool loses_value(const struct plan *plan)
{
    struct slice label = eval_string(plan->aggregate.param);
    return plan->aggregate.without && (slice_equal(label, SLICE(LABEL_NAME)) ||
                                       names_contain(&plan->aggregate.grouping, label));
}

static int count_value(struct rank *self, struct rowset *out, const struct group *group,
                       const struct row *row, size_t step)
{
    struct arena *arena = self->eval->arena;
    struct labels labels = group->labels;
    struct buffer text;
    buffer_init(&text, VALUE_TEXT_MAX);
    if (row_histogram(row, step))
        print_histogram(row->histograms[step], &text);
    else
        number_print(row->values[step], NUMBER_PLAIN, &text);
    struct slice value = arena_copy(arena, buffer_slice(&text));
    buffer_release(&text);
    if (!loses_value(self->plan) &&
        !labels_set(arena, &labels, eval_string(self->plan->aggregate.param), value))
        return eval_fail_memory(self->eval);
    struct row *into = rowset_row(out, labels);
    if (!into)
        return -1;
    into->values[step] = point_is_absent(into->values[step]) ? 1 : into->values[step] + 1;
    return 0;
}

static int count_group(struct rank *self, struct rowset *out, const struct group *group)
{
    for (size_t member = 0; member < group->count; member++) {
        const struct row *row = &self->rows.at[group->members[member]];
        for (size_t step = 0; step < self->grid->steps; step++)
            if (row_has(row, step) && count_value(self, out, group, row, step) != 0)
                return -1;
        if (eval_check(self->eval) != 0)
            return -1;
    }
    return 0;
}

static int rank_count_values(struct rank *self)
{
    struct rowset out;
    struct slice label = eval_string(self->plan->aggregate.param);
    int result = 0;
    if (!labels_name_is_valid(label))
        return error_set(self->eval->err, ERROR_EXECUTION, "invalid label name \"" SLICE_FMT "\"",
                         SLICE_ARG(label));
    rowset_init(&out, self->eval, self->grid);
    for (size_t i = 0; i < self->group_count && result == 0; i++)
        result = count_group(self, &out, &self->groups[i]);
    if (result == 0)
        result = rows_push(&out.rows, self->out);
    rowset_release(&out);
    return result;
}

int rank_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
              struct sink *sink)
{
    struct rank self = {.eval = eval, .plan = plan, .grid = grid, .out = sink};
    enum aggregate_operator op = plan->aggregate.op;
    if (op != AGGREGATE_COUNT_VALUES &&
        !(self.param = eval_scalar_new(eval, plan->aggregate.param, grid)))
        return -1;
    if (rows_collect(eval, plan->aggregate.child, grid, &self.rows) != 0)
        return -1;
    rows_sort(&self.rows);
    if (make_groups(&self) != 0)
        return -1;
    if (op == AGGREGATE_COUNT_VALUES)
        return rank_count_values(&self);
    if (op == AGGREGATE_QUANTILE) {
        warn_quantile(&self);
        return rank_quantile(&self);
    }
    return rank_top(&self);
}
