/* join: binary operators between two vectors.
 *
 * Rows of both sides are put into groups by the labels that must match:
 *
 *   group         "one" side                 "many" side
 *   {job="a"}     up{job="a"}                errors{job="a",code="1"}, errors{job="a",code="2"}
 *
 * At a step a group has at most one point on the "one" side. Usually one row provides it all along
 * and is used as it is; where several rows take turns they are laid into one, with a note of the
 * row each point came from. Then each row of the other side meets its partner in one pass.
 * Matching is judged step by step, as in Prometheus: labels that clash only at different times
 * do not clash.
 */
#include "query/eval.h"

#include <assert.h>

#include "query/groups.h"

struct group {
    const struct row *single; /* the one side, while a single row provides it */
    struct row merged;        /* otherwise; values NULL until needed */
    uint32_t *owner;          /* of merged: index of the row at each step */
    bool *present;            /* set operators: steps at which the other side has something */
    bool *matched;            /* one-to-one: steps already answered */
};

struct join {
    struct eval *eval;
    const struct plan *plan;
    const struct grid *grid;
    struct rows left, right;
    uint32_t *left_group, *right_group;
    struct groups index;
    struct group *groups;
    struct rowset out;
};

/* --- grouping --- */

static int assign_groups(struct join *join, const struct rows *rows, uint32_t **out)
{
    struct eval *eval = join->eval;
    *out = arena_alloc(eval->arena, rows->count * sizeof **out);
    if (!*out)
        return eval_fail_memory(eval);
    for (size_t i = 0; i < rows->count; i++)
        (*out)[i] = (uint32_t)groups_number(&join->index, rows->at[i].labels);
    return 0;
}

static int make_groups(struct join *join)
{
    struct eval *eval = join->eval;
    if (assign_groups(join, &join->left, &join->left_group) != 0 ||
        assign_groups(join, &join->right, &join->right_group) != 0)
        return -1;
    join->groups = arena_zeroed(eval->arena, join->index.count, sizeof *join->groups);
    return join->groups ? 0 : eval_fail_memory(eval);
}

static bool make_marks(struct join *join, bool **marks)
{
    if (!*marks)
        *marks = arena_zeroed(join->eval->arena, join->grid->steps, sizeof **marks);
    return *marks != NULL;
}

/* --- and, or, unless --- */

static int mark_presence(struct join *join, const struct rows *rows, const uint32_t *groups)
{
    for (size_t i = 0; i < rows->count; i++) {
        struct group *group = &join->groups[groups[i]];
        if (!make_marks(join, &group->present))
            return eval_fail_memory(join->eval);
        for (size_t step = 0; step < join->grid->steps; step++)
            group->present[step] = group->present[step] || row_has(&rows->at[i], step);
    }
    return 0;
}

/* Adds the points of the rows at the steps where the other side's presence is `wanted`. */
static int keep_where(struct join *join, const struct rows *rows, const uint32_t *groups,
                      bool wanted)
{
    for (size_t i = 0; i < rows->count; i++) {
        struct row *row = &rows->at[i];
        const bool *present = join->groups[groups[i]].present;
        for (size_t step = 0; step < join->grid->steps; step++) {
            if ((present && present[step]) == wanted)
                continue;
            row->values[step] = point_absent();
            if (row->histograms)
                row->histograms[step] = NULL;
        }
        if (rowset_add(&join->out, row, ROWSET_CONFLICT) != 0)
            return -1;
    }
    return 0;
}

static int join_sets(struct join *join)
{
    if (join->plan->binary.op != BINARY_OR)
        return mark_presence(join, &join->right, join->right_group) != 0
                   ? -1
                   : keep_where(join, &join->left, join->left_group,
                                join->plan->binary.op == BINARY_AND);
    if (mark_presence(join, &join->left, join->left_group) != 0)
        return -1;
    for (size_t i = 0; i < join->left.count; i++)
        if (rowset_add(&join->out, &join->left.at[i], ROWSET_CONFLICT) != 0)
            return -1;
    return keep_where(join, &join->right, join->right_group, false);
}

/* --- the one side --- */

static bool any_at(const struct rows *rows, size_t step)
{
    for (size_t i = 0; i < rows->count; i++)
        if (row_has(&rows->at[i], step))
            return true;
    return false;
}

static int fail_duplicate(struct join *join, const struct row *a, const struct row *b)
{
    const struct plan *plan = join->plan;
    struct arena *arena = join->eval->arena;
    struct buffer text;
    if (labels_compare(a->labels, b->labels) <
        0) { /* they come in no order; the sentence has one */
        const struct row *first = a;
        a = b;
        b = first;
    }
    buffer_init(&text, sizeof join->eval->err->text);
    labels_print_pairs(labels_project(arena, a->labels, &plan->binary.matching, plan->binary.on),
                       &text);
    buffer_append_format(&text, " on the %s hand-side of the operation: [",
                         plan->binary.cardinality == MATCH_ONE_TO_MANY ? "left" : "right");
    labels_print_pairs(a->labels, &text);
    buffer_append_string(&text, ", ");
    labels_print_pairs(b->labels, &text);
    error_set(join->eval->err, ERROR_EXECUTION,
              "found duplicate series for the match group " SLICE_FMT
              "];many-to-many matching not allowed: matching labels must be unique on one side",
              SLICE_ARG(buffer_slice(&text)));
    buffer_release(&text);
    return -1;
}

/* Lays a row over the merged one of its group. */
static int lay_over(struct join *join, struct group *group, const struct rows *one, uint32_t index,
                    const struct rows *many)
{
    struct row *merged = &group->merged;
    const struct row *row = &one->at[index];
    if (row->histograms && !row_make_histograms(join->eval->arena, join->grid, merged))
        return eval_fail_memory(join->eval);
    for (size_t step = 0; step < join->grid->steps; step++) {
        if (!row_has(row, step))
            continue;
        if (row_has(merged, step)) {
            if (any_at(many, step))
                return fail_duplicate(join, row, &one->at[group->owner[step]]);
            continue;
        }
        merged->values[step] = row->values[step];
        const struct histogram *histogram = row_histogram(row, step);
        if (histogram) {
            assert(merged->histograms);
            merged->histograms[step] = histogram;
        }
        group->owner[step] = index;
    }
    return 0;
}

static int merge_begin(struct join *join, struct group *group, const struct rows *one,
                       const struct rows *many)
{
    struct arena *arena = join->eval->arena;
    group->owner = arena_zeroed(arena, join->grid->steps, sizeof *group->owner);
    if (!group->owner || !row_make(arena, join->grid, &group->merged))
        return eval_fail_memory(join->eval);
    return lay_over(join, group, one, (uint32_t)(group->single - one->at), many);
}

static int place_ones(struct join *join, const struct rows *one, const uint32_t *groups,
                      const struct rows *many)
{
    for (size_t i = 0; i < one->count; i++) {
        struct group *group = &join->groups[groups[i]];
        if (!group->single) {
            group->single = &one->at[i];
            continue;
        }
        if (!group->merged.values && merge_begin(join, group, one, many) != 0)
            return -1;
        if (lay_over(join, group, one, (uint32_t)i, many) != 0)
            return -1;
    }
    return 0;
}

/* --- the pass --- */

static bool result_labels(struct join *join, const struct row *many, const struct row *one,
                          struct labels *out)
{
    const struct plan *plan = join->plan;
    struct arena *arena = join->eval->arena;
    struct labels labels = many->labels;
    static struct slice name_label = SLICE_LIT(LABEL_NAME);
    static const struct plan_names only_name = {&name_label, 1};
    if (!operator_is_comparison(plan->binary.op) || plan->binary.return_bool)
        labels = labels_without_name(arena, labels);
    if (plan->binary.cardinality == MATCH_ONE_TO_ONE && plan->binary.on)
        labels = labels_project(arena, labels, &plan->binary.matching, true);
    else if (plan->binary.cardinality == MATCH_ONE_TO_ONE) {
        struct labels name = labels_project(arena, labels, &only_name, true);
        labels = labels_project(arena, labels, &plan->binary.matching, false);
        if (name.count && !labels_set(arena, &labels, name.at[0].name, name.at[0].value))
            return false;
    }
    for (size_t i = 0; i < plan->binary.include.count; i++) {
        struct slice name = plan->binary.include.at[i];
        if (!labels_set(arena, &labels, name, labels_get(one->labels, name)))
            return false;
    }
    *out = labels;
    return true;
}

/* The row of the answer for this pair. NULL on failure. */
static struct row *result_row(struct join *join, const struct row *many, const struct row *one)
{
    struct labels labels;
    if (result_labels(join, many, one, &labels))
        return rowset_row(&join->out, labels);
    if (join->eval->arena->exhausted)
        eval_fail_memory(join->eval);
    else
        error_set(join->eval->err, ERROR_EXECUTION, "a join would give more than %d labels",
                  LABELS_MAX);
    return NULL;
}

static int put_point(struct join *join, struct group *group, struct row *out, size_t step,
                     const struct point *point)
{
    struct eval *eval = join->eval;
    if (join->plan->binary.cardinality == MATCH_ONE_TO_ONE) {
        if (!make_marks(join, &group->matched))
            return eval_fail_memory(eval);
        if (group->matched[step])
            return error_set(eval->err, ERROR_EXECUTION,
                             "multiple matches for labels: many-to-one matching must be explicit "
                             "(group_left/group_right)");
        group->matched[step] = true;
    }
    if (row_has(out, step))
        return error_set(eval->err, ERROR_EXECUTION,
                         "multiple matches for labels: grouping labels must ensure unique matches");
    if (!point->histogram) {
        out->values[step] = point->value;
        return 0;
    }
    if (!row_make_histograms(eval->arena, join->grid, out))
        return eval_fail_memory(eval);
    out->histograms[step] = point->histogram;
    return 0;
}

static struct point point_at(const struct row *row, size_t step)
{
    return (struct point){row->values[step], row_histogram(row, step)};
}

static bool combine(struct join *join, struct point many, struct point one, struct point *out)
{
    const struct plan *plan = join->plan;
    enum binary_operator op = plan->binary.op;
    bool equality = op == BINARY_EQ || op == BINARY_NE;
    bool numbers = !many.histogram && !one.histogram;
    bool defined = numbers || (many.histogram && one.histogram && equality);
    bool holds = plan->binary.cardinality == MATCH_ONE_TO_MANY
                     ? operator_apply_points(join->eval, plan, one, many, out)
                     : operator_apply_points(join->eval, plan, many, one, out);
    if (operator_is_comparison(op) && !plan->binary.return_bool)
        *out = many; /* with its name, also where it stands on the right */
    if (!operator_is_comparison(op) || !plan->binary.return_bool)
        return holds;
    *out = (struct point){holds, NULL};
    return defined;
}

static int join_row(struct join *join, const struct row *many, struct group *group,
                    const struct rows *ones)
{
    const struct row *one = group->merged.values ? &group->merged : group->single;
    const struct row *owner = NULL; /* whose labels `out` was made from */
    struct row *out = NULL;
    for (size_t step = 0; step < join->grid->steps; step++) {
        struct point point;
        if (!row_has(many, step) || !row_has(one, step) ||
            !combine(join, point_at(many, step), point_at(one, step), &point))
            continue;
        const struct row *from =
            group->merged.values ? &ones->at[group->owner[step]] : group->single;
        if (from != owner && !(out = result_row(join, many, from)))
            return -1;
        owner = from;
        if (put_point(join, group, out, step, &point) != 0)
            return -1;
    }
    return eval_check(join->eval);
}

static int join_values(struct join *join)
{
    bool swapped = join->plan->binary.cardinality == MATCH_ONE_TO_MANY;
    const struct rows *many = swapped ? &join->right : &join->left;
    const struct rows *one = swapped ? &join->left : &join->right;
    const uint32_t *many_group = swapped ? join->right_group : join->left_group;
    if (place_ones(join, one, swapped ? join->left_group : join->right_group, many) != 0)
        return -1;
    for (size_t i = 0; i < many->count; i++) {
        struct group *group = &join->groups[many_group[i]];
        if (group->single && join_row(join, &many->at[i], group, one) != 0)
            return -1;
    }
    return 0;
}

int join_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
              struct sink *sink)
{
    struct join join = {.eval = eval, .plan = plan, .grid = grid};
    bool sets = plan->binary.op >= BINARY_AND;
    if (rows_collect(eval, plan->binary.left, grid, &join.left) != 0 ||
        rows_collect(eval, plan->binary.right, grid, &join.right) != 0)
        return -1;
    groups_init(&join.index, &plan->binary.matching, plan->binary.on);
    rowset_init(&join.out, eval, grid);
    int result = make_groups(&join);
    if (result == 0)
        result = sets ? join_sets(&join) : join_values(&join);
    if (result == 0)
        result = rows_push(&join.out.rows, sink);
    rowset_release(&join.out);
    groups_release(&join.index);
    return result;
}
