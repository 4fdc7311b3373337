/* special: functions that look at more than one point at a time, or at none.
 *
 * absent() is true of a step, not of a series, so its sink only marks the steps at which anything
 * was there. sort() orders rows, which means something only for a single step. timestamp() of a
 * bare selector reads the samples' own times; of anything else, the time of the step.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#include "query/call.h"

/* --- absent --- */

struct presence {
    struct sink sink;
    const struct grid *grid;
    bool *seen;
};

static int presence_take(struct sink *self, struct row *row)
{
    struct presence *presence = (struct presence *)self;
    for (size_t i = 0; i < presence->grid->steps; i++)
        presence->seen[i] = presence->seen[i] || row_has(row, i);
    return 0;
}

static bool matched_once(const struct plan *selector, size_t index)
{
    const struct matcher *matchers = selector->selector.matchers;
    for (size_t i = 0; i < selector->selector.matcher_count; i++)
        if (i != index && slice_equal(matchers[i].name, matchers[index].name))
            return false;
    return true;
}

/* What the missing series would have been called, as far as the selector says. */
static struct labels absent_labels(struct eval *eval, const struct plan *arg)
{
    struct labels none = {NULL, 0};
    arg = eval_unwrap(arg);
    if (arg->kind != PLAN_SELECTOR)
        return none;
    const struct matcher *matchers = arg->selector.matchers;
    struct label *at = arena_alloc(eval->arena, arg->selector.matcher_count * sizeof *at);
    size_t count = 0;
    if (!at)
        return none;
    for (size_t i = 0; i < arg->selector.matcher_count; i++) {
        if (matchers[i].type != MATCH_EQUAL || matchers[i].value.len == 0 ||
            slice_equal(matchers[i].name, SLICE(LABEL_NAME)) || !matched_once(arg, i))
            continue;
        at[count++] = (struct label){matchers[i].name, matchers[i].value};
    }
    labels_sort(at, count);
    return (struct labels){at, count};
}

static int absent_push(struct eval *eval, const struct plan *plan, const struct presence *presence,
                       struct sink *sink)
{
    struct row row;
    if (!row_make(eval->arena, presence->grid, &row))
        return eval_fail_memory(eval);
    row.labels = absent_labels(eval, plan->call.args[0]);
    for (size_t i = 0; i < presence->grid->steps; i++)
        if (!presence->seen[i])
            row.values[i] = 1;
    return sink->take(sink, &row);
}

int call_absent(struct eval *eval, const struct plan *plan, const struct grid *grid,
                struct sink *sink)
{
    bool *seen = arena_zeroed(eval->arena, grid->steps, sizeof *seen);
    struct presence presence = {{presence_take}, grid, seen};
    if (!seen)
        return eval_fail_memory(eval);
    if (eval_rows(eval, plan->call.args[0], grid, &presence.sink) != 0)
        return -1;
    return absent_push(eval, plan, &presence, sink);
}

int call_absent_over_time(struct eval *eval, const struct plan *plan, const struct grid *grid,
                          struct sink *sink)
{
    struct plan present = *plan;
    bool *seen = arena_zeroed(eval->arena, grid->steps, sizeof *seen);
    struct presence presence = {{presence_take}, grid, seen};
    if (!seen)
        return eval_fail_memory(eval);
    present.call.function = function_find(SLICE("present_over_time"));
    if (window_rows(eval, &present, grid, &presence.sink) != 0)
        return -1;
    return absent_push(eval, plan, &presence, sink);
}

/* --- sort --- */

/* NaN goes to the end either way. */
static int compare_values(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) - isnan(b);
    return (a > b) - (a < b);
}

static int compare_up(const void *a, const void *b)
{
    const struct row *left = a, *right = b;
    int order = compare_values(left->values[0], right->values[0]);
    return order ? order : labels_compare(left->labels, right->labels);
}

static int compare_down(const void *a, const void *b)
{
    const struct row *left = a, *right = b;
    double x = left->values[0], y = right->values[0];
    int order = isnan(x) || isnan(y) ? compare_values(x, y) : compare_values(y, x);
    return order ? order : labels_compare(left->labels, right->labels);
}

/* There is no order among histograms: they are left out, also where nothing is sorted. */
struct numbers {
    struct sink sink;
    struct sink *out;
};

static int numbers_take(struct sink *sink, struct row *row)
{
    struct numbers *self = (struct numbers *)sink;
    row->histograms = NULL;
    return self->out->take(self->out, row);
}

static int sort_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                     struct sink *sink)
{
    struct rows rows;
    bool down = plan->call.function->stream == call_sort_desc;
    struct numbers numbers = {{numbers_take}, sink};
    if (grid->steps > 1)
        return eval_rows(eval, plan->call.args[0], grid, &numbers.sink);
    if (rows_collect(eval, plan->call.args[0], grid, &rows) != 0)
        return -1;
    size_t kept = 0;
    for (size_t i = 0; i < rows.count; i++)
        if (!row_histogram(&rows.at[i], 0))
            rows.at[kept++] = rows.at[i];
    rows.count = kept;
    if (rows.count)
        qsort(rows.at, rows.count, sizeof *rows.at, down ? compare_down : compare_up);
    return rows_push(&rows, sink);
}

int call_sort(struct eval *eval, const struct plan *plan, const struct grid *grid,
              struct sink *sink)
{
    return sort_rows(eval, plan, grid, sink);
}

int call_sort_desc(struct eval *eval, const struct plan *plan, const struct grid *grid,
                   struct sink *sink)
{
    return sort_rows(eval, plan, grid, sink);
}

/* --- sort_by_label --- */

struct labelled {
    struct row row;
    const struct slice *names; /* to sort by */
    size_t name_count;
};

static struct slice cut_digits(struct slice *rest)
{
    size_t len = 0;
    while (len < rest->len && rest->at[len] == '0' && len + 1 < rest->len &&
           isdigit((unsigned char)rest->at[len + 1]))
        len++;
    *rest = slice_skip(*rest, len); /* leading zeros count for nothing */
    for (len = 0; len < rest->len && isdigit((unsigned char)rest->at[len]);)
        len++;
    struct slice digits = slice_head(*rest, len);
    *rest = slice_skip(*rest, len);
    return digits;
}

/* As people order names: runs of digits by their number, so that web-9 stands before web-10. */
static int compare_naturally(struct slice a, struct slice b)
{
    while (a.len && b.len) {
        if (isdigit((unsigned char)*a.at) && isdigit((unsigned char)*b.at)) {
            struct slice x = cut_digits(&a), y = cut_digits(&b);
            if (x.len != y.len)
                return x.len < y.len ? -1 : 1;
            int order = slice_compare(x, y);
            if (order)
                return order;
        } else if (*a.at != *b.at) {
            return (unsigned char)*a.at < (unsigned char)*b.at ? -1 : 1;
        } else {
            a = slice_skip(a, 1);
            b = slice_skip(b, 1);
        }
    }
    return (a.len > 0) - (b.len > 0);
}

static int compare_labels_up(const void *a, const void *b)
{
    const struct labelled *left = a, *right = b;
    for (size_t i = 0; i < left->name_count; i++) {
        int order = compare_naturally(labels_get(left->row.labels, left->names[i]),
                                      labels_get(right->row.labels, left->names[i]));
        if (order)
            return order;
    }
    return labels_compare(left->row.labels, right->row.labels);
}

static int compare_labels_down(const void *a, const void *b)
{
    return compare_labels_up(b, a);
}

static int sort_by_label(struct eval *eval, const struct plan *plan, const struct grid *grid,
                         struct sink *sink)
{
    struct rows rows;
    bool down = plan->call.function->stream == call_sort_by_label_desc;
    size_t names = plan->call.arg_count - 1;
    if (grid->steps > 1)
        return eval_rows(eval, plan->call.args[0], grid, sink);
    struct slice *name = arena_alloc(eval->arena, (names + 1) * sizeof *name);
    if (!name)
        return eval_fail_memory(eval);
    for (size_t i = 0; i < names; i++)
        name[i] = eval_string(plan->call.args[1 + i]);
    if (rows_collect(eval, plan->call.args[0], grid, &rows) != 0)
        return -1;
    struct labelled *at = arena_alloc(eval->arena, rows.count * sizeof *at);
    if (!at)
        return eval_fail_memory(eval);
    for (size_t i = 0; i < rows.count; i++)
        at[i] = (struct labelled){rows.at[i], name, names};
    if (rows.count)
        qsort(at, rows.count, sizeof *at, down ? compare_labels_down : compare_labels_up);
    for (size_t i = 0; i < rows.count; i++)
        rows.at[i] = at[i].row;
    return rows_push(&rows, sink);
}

int call_sort_by_label(struct eval *eval, const struct plan *plan, const struct grid *grid,
                       struct sink *sink)
{
    return sort_by_label(eval, plan, grid, sink);
}

int call_sort_by_label_desc(struct eval *eval, const struct plan *plan, const struct grid *grid,
                            struct sink *sink)
{
    return sort_by_label(eval, plan, grid, sink);
}

/* --- timestamp, vector --- */

struct stamp {
    struct sink sink;
    struct eval *eval;
    const struct grid *grid;
    bool of_step;
    struct sink *out;
};

static int stamp_take(struct sink *self, struct row *row)
{
    struct stamp *stamp = (struct stamp *)self;
    for (size_t i = 0; i < stamp->grid->steps && stamp->of_step; i++)
        if (row_has(row, i))
            row->values[i] = (double)grid_time(stamp->grid, i) / 1000;
    row->histograms = NULL;
    row->labels = labels_without_name(stamp->eval->arena, row->labels);
    return stamp->out->take(stamp->out, row);
}

int call_timestamp(struct eval *eval, const struct plan *plan, const struct grid *grid,
                   struct sink *sink)
{
    const struct plan *arg = eval_unwrap(plan->call.args[0]);
    struct stamp stamp = {{stamp_take}, eval, grid, arg->kind != PLAN_SELECTOR, sink};
    if (stamp.of_step)
        return eval_rows(eval, arg, grid, &stamp.sink);
    return selector_rows(eval, arg, grid, true, &stamp.sink);
}

int call_vector(struct eval *eval, const struct plan *plan, const struct grid *grid,
                struct sink *sink)
{
    struct row row = {.values = eval_scalar_new(eval, plan->call.args[0], grid)};
    if (!row.values)
        return -1;
    return sink->take(sink, &row);
}

/* --- scalars --- */

int call_pi(struct eval *eval, const struct plan *plan, const struct grid *grid, double *out)
{
    (void)eval;
    (void)plan;
    for (size_t i = 0; i < grid->steps; i++)
        out[i] = M_PI;
    return 0;
}

int call_time(struct eval *eval, const struct plan *plan, const struct grid *grid, double *out)
{
    (void)eval;
    (void)plan;
    for (size_t i = 0; i < grid->steps; i++)
        out[i] = (double)grid_time(grid, i) / 1000;
    return 0;
}

struct only {
    struct sink sink;
    const struct grid *grid;
    uint32_t *seen;
    double *out;
};

static int only_take(struct sink *self, struct row *row)
{
    struct only *only = (struct only *)self;
    for (size_t i = 0; i < only->grid->steps; i++) {
        if (!row_has(row, i))
            continue;
        bool number = only->seen[i]++ == 0 && !row_histogram(row, i);
        only->out[i] = number ? row->values[i] : NAN;
    }
    return 0;
}

int call_scalar(struct eval *eval, const struct plan *plan, const struct grid *grid, double *out)
{
    struct only only = {{only_take}, grid, NULL, out};
    only.seen = arena_zeroed(eval->arena, grid->steps, sizeof *only.seen);
    if (!only.seen)
        return eval_fail_memory(eval);
    for (size_t i = 0; i < grid->steps; i++)
        out[i] = NAN;
    return eval_rows(eval, plan->call.args[0], grid, &only.sink);
}
