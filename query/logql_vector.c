/* logql_vector: aggregations and operators, step by step over dense series.
 *
 * A group of an aggregation is found once a series, not once a step. Operators between vectors
 * match series with equal labels, by a hash table.
 */
#include "query/logql_vector.h"

#include <math.h>
#include <stdlib.h>

#include "query/logql_row.h"
#include "query/promql.h"
#include "storage/base/alloc.h"

#define KEY_BYTES_MAX ((size_t)1 << 20)

int logql_out_of_memory(struct logql_eval *eval)
{
    return error_set(eval->err, ERROR_LIMIT,
                     "the answer needs more memory than limits.query_memory; ask for fewer steps "
                     "or series");
}

int logql_check_memory(struct logql_eval *eval)
{
    struct promql_share *share = eval->request->share;
    return share ? promql_share_check(share, eval->arena->used + eval->owned_bytes, eval->err) : 0;
}

int logql_series_init(struct logql_eval *eval, struct logql_series *series)
{
    series->values = arena_zeroed(eval->arena, eval->steps, sizeof *series->values);
    series->present = arena_zeroed(eval->arena, eval->steps, sizeof *series->present);
    return series->values && series->present ? logql_check_memory(eval) : logql_out_of_memory(eval);
}

/* --- grouping --- */

static bool is_named(const struct logql_grouping *grouping, struct slice name)
{
    for (size_t i = 0; i < grouping->count; i++)
        if (slice_equal(grouping->names[i], name))
            return true;
    return false;
}

static size_t group_by(const struct logql_grouping *grouping, struct labels labels,
                       struct label *out)
{
    size_t count = 0;
    for (size_t i = 0; i < grouping->count; i++) {
        struct slice name = grouping->names[i], value = logql_label(labels, name);
        bool repeated = labels_get((struct labels){out, count}, name).len > 0;
        if (value.len && !repeated)
            out[count++] = (struct label){name, value};
    }
    return count;
}

size_t logql_group_labels(const struct logql_grouping *grouping, struct labels labels,
                          struct label *out)
{
    size_t count = 0;
    if (grouping && !grouping->without) {
        count = group_by(grouping, labels, out);
    } else {
        for (size_t i = 0; i < labels.count; i++)
            if (!grouping || !is_named(grouping, labels.at[i].name))
                out[count++] = labels.at[i];
    }
    labels_sort(out, count);
    return count;
}

/* The groups of an aggregation's series. */
struct groups {
    size_t *of;            /* group of each series */
    struct labels *labels; /* of each group */
    size_t count;
};

static int add_to_group(struct logql_eval *eval, struct table *numbers, struct labels grouped,
                        size_t *number, struct groups *out)
{
    struct buffer key;
    bool fresh;
    buffer_init(&key, KEY_BYTES_MAX);
    labels_encode(grouped, &key);
    struct table_entry *entry =
        key.overflow ? NULL : table_insert(numbers, buffer_slice(&key), &fresh);
    buffer_release(&key);
    if (!entry)
        return logql_out_of_memory(eval);
    if (fresh) {
        entry->value.number = out->count;
        out->labels[out->count++] = labels_copy(eval->arena, grouped);
    }
    *number = (size_t)entry->value.number;
    return eval->arena->exhausted ? logql_out_of_memory(eval) : 0;
}

static int find_groups(struct logql_eval *eval, const struct logql_grouping *grouping,
                       const struct logql_vector *child, struct groups *out)
{
    struct table numbers;
    int status = 0;
    *out = (struct groups){0};
    out->of = arena_alloc(eval->arena, child->count * sizeof *out->of);
    out->labels = arena_alloc(eval->arena, child->count * sizeof *out->labels);
    if (!out->of || !out->labels)
        return logql_out_of_memory(eval);
    table_init(&numbers, SIZE_MAX);
    for (size_t i = 0; i < child->count && status == 0; i++) {
        struct label labels[LOGQL_LABELS_MAX];
        size_t count = logql_group_labels(grouping, child->at[i].labels, labels);
        status = add_to_group(eval, &numbers, (struct labels){labels, count}, &out->of[i], out);
    }
    table_release(&numbers);
    return status;
}

/* --- aggregations --- */

static double combine(enum logql_aggregate_operator op, double so_far, double value)
{
    switch (op) {
    case LOGQL_SUM:
    case LOGQL_AVG:
        return so_far + value;
    case LOGQL_MIN:
        return value < so_far ? value : so_far;
    case LOGQL_MAX:
        return value > so_far ? value : so_far;
    case LOGQL_COUNT:
        return so_far + 1;
    case LOGQL_TOPK:
    case LOGQL_BOTTOMK:
    case LOGQL_AGGREGATE_COUNT:
        break;
    }
    return value;
}

/* sum, avg, min, max, count. `members` counts the values behind each point of the group. */
static void fold_series(const struct logql_eval *eval, const struct logql_expr *expr,
                        const struct logql_series *series, struct logql_series *group,
                        double *members)
{
    for (size_t step = 0; step < eval->steps; step++) {
        if (!series->present[step])
            continue;
        double value = series->values[step];
        if (group->present[step])
            group->values[step] = combine(expr->aggregate, group->values[step], value);
        else
            group->values[step] = expr->aggregate == LOGQL_COUNT ? 1 : value;
        group->present[step] = true;
        members[step]++;
    }
}

static int eval_fold(struct logql_eval *eval, const struct logql_expr *expr,
                     const struct logql_vector *child, const struct groups *groups,
                     struct logql_vector *out)
{
    out->count = groups->count;
    out->at = arena_zeroed(eval->arena, out->count, sizeof *out->at);
    double *members = arena_zeroed(eval->arena, out->count * eval->steps, sizeof *members);
    if (!out->at || !members)
        return logql_out_of_memory(eval);
    for (size_t i = 0; i < out->count; i++) {
        out->at[i].labels = groups->labels[i];
        if (logql_series_init(eval, &out->at[i]))
            return -1;
    }
    for (size_t i = 0; i < child->count; i++)
        fold_series(eval, expr, &child->at[i], &out->at[groups->of[i]],
                    members + groups->of[i] * eval->steps);
    for (size_t i = 0; i < out->count && expr->aggregate == LOGQL_AVG; i++)
        for (size_t step = 0; step < eval->steps; step++)
            if (out->at[i].present[step])
                out->at[i].values[step] /= members[i * eval->steps + step];
    return 0;
}

struct candidate {
    double value;
    size_t group, index;
};

/* By group, best first; a NaN is never best. */
static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (isnan(x->value) || isnan(y->value))
        return isnan(x->value) - isnan(y->value);
    if (x->value != y->value)
        return x->value > y->value ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

/* The points of one step, by group and best first. Returns their number. */
static size_t rank_step(const struct logql_expr *expr, const struct logql_vector *child,
                        const struct groups *groups, size_t step, struct candidate *out)
{
    size_t count = 0;
    for (size_t i = 0; i < child->count; i++)
        if (child->at[i].present[step]) {
            double value = child->at[i].values[step];
            out[count++] = (struct candidate){expr->aggregate == LOGQL_TOPK ? value : -value,
                                              groups->of[i], i};
        }
    if (count)
        qsort(out, count, sizeof *out, compare_candidates);
    return count;
}

static int eval_best(struct logql_eval *eval, const struct logql_expr *expr,
                     const struct logql_vector *child, const struct groups *groups,
                     struct logql_vector *out)
{
    struct candidate *ranked = arena_alloc(eval->arena, child->count * sizeof *ranked);
    out->count = child->count;
    out->at = arena_zeroed(eval->arena, child->count, sizeof *out->at);
    if (!ranked || !out->at)
        return logql_out_of_memory(eval);
    for (size_t i = 0; i < child->count; i++) {
        out->at[i].labels = child->at[i].labels;
        if (logql_series_init(eval, &out->at[i]))
            return -1;
    }
    for (size_t step = 0; step < eval->steps; step++) {
        size_t count = rank_step(expr, child, groups, step, ranked), rank = 0;
        for (size_t i = 0; i < count; i++) {
            rank = i > 0 && ranked[i].group == ranked[i - 1].group ? rank + 1 : 0;
            if ((double)rank >= expr->param)
                continue;
            size_t index = ranked[i].index;
            out->at[index].present[step] = true;
            out->at[index].values[step] = child->at[index].values[step];
        }
    }
    return 0;
}

int logql_eval_aggregate(struct logql_eval *eval, const struct logql_expr *expr,
                         const struct logql_vector *child, struct logql_vector *out)
{
    static const struct logql_grouping all_together = {.present = true};
    const struct logql_grouping *grouping =
        expr->grouping.present ? &expr->grouping : &all_together;
    struct groups groups;
    *out = (struct logql_vector){0};
    if (find_groups(eval, grouping, child, &groups))
        return -1;
    if (expr->aggregate == LOGQL_TOPK || expr->aggregate == LOGQL_BOTTOMK)
        return eval_best(eval, expr, child, &groups, out);
    return eval_fold(eval, expr, child, &groups, out);
}

/* --- operators --- */

static bool is_comparison(enum logql_binary_operator op)
{
    return op >= LOGQL_EQ && op <= LOGQL_LE;
}

static double compute(enum logql_binary_operator op, double a, double b)
{
    switch (op) {
    case LOGQL_ADD:
        return a + b;
    case LOGQL_SUB:
        return a - b;
    case LOGQL_MUL:
        return a * b;
    case LOGQL_DIV:
        return a / b;
    case LOGQL_MOD:
        return fmod(a, b);
    case LOGQL_POW:
        return pow(a, b);
    case LOGQL_EQ:
        return a == b;
    case LOGQL_NE:
        return a != b;
    case LOGQL_GT:
        return a > b;
    case LOGQL_GE:
        return a >= b;
    case LOGQL_LT:
        return a < b;
    case LOGQL_LE:
        return a <= b;
    case LOGQL_AND:
    case LOGQL_OR:
    case LOGQL_UNLESS:
    case LOGQL_BINARY_COUNT:
        break;
    }
    return NAN;
}

struct operation {
    enum logql_binary_operator op;
    bool filter;     /* a comparison without bool: points for which it holds stay */
    bool keep_right; /* with the value of the right side, the left being a number */
};

static void compute_series(const struct logql_eval *eval, const struct operation *operation,
                           const struct logql_series *left, const struct logql_series *right,
                           struct logql_series *out)
{
    for (size_t step = 0; step < eval->steps; step++) {
        if (!left->present[step] || !right->present[step])
            continue;
        double a = left->values[step], b = right->values[step];
        double value = compute(operation->op, a, b);
        if (operation->filter && value == 0)
            continue;
        out->present[step] = true;
        out->values[step] = operation->filter ? (operation->keep_right ? b : a) : value;
    }
}

/* The series of one side by their labels. */
struct partners {
    const struct logql_vector *vector;
    struct table index; /* canonical labels -> place in the vector */
    struct buffer key;
};

static struct slice partners_key(struct partners *partners, struct labels labels)
{
    buffer_reset(&partners->key);
    labels_encode(labels, &partners->key);
    return buffer_slice(&partners->key);
}

static void partners_init(struct partners *partners, const struct logql_vector *vector)
{
    partners->vector = vector;
    table_init(&partners->index, SIZE_MAX);
    buffer_init(&partners->key, SIZE_MAX);
    for (size_t i = 0; i < vector->count && !vector->scalar; i++) {
        bool fresh;
        struct slice key = partners_key(partners, vector->at[i].labels);
        struct table_entry *entry = table_insert(&partners->index, key, &fresh);
        if (entry && fresh)
            entry->value.number = i;
    }
}

static void partners_release(struct partners *partners)
{
    table_release(&partners->index);
    buffer_release(&partners->key);
}

/* The series with these labels, or NULL; a scalar has one for all. */
static const struct logql_series *partner(struct partners *partners, struct labels labels)
{
    if (partners->vector->scalar)
        return partners->vector->at;
    const struct table_entry *entry = table_find(&partners->index, partners_key(partners, labels));
    return entry ? &partners->vector->at[entry->value.number] : NULL;
}

static int eval_arithmetic(struct logql_eval *eval, const struct logql_expr *expr,
                           const struct logql_vector *left, const struct logql_vector *right,
                           struct logql_vector *out)
{
    bool by_right = left->scalar && !right->scalar;
    const struct logql_vector *base = by_right ? right : left;
    struct partners others;
    int status = 0;
    out->scalar = left->scalar && right->scalar;
    struct operation operation = {
        .op = expr->binary,
        /* A comparison of two numbers is a number. */
        .filter = is_comparison(expr->binary) && !expr->return_bool && !out->scalar,
        .keep_right = by_right,
    };
    out->at = arena_zeroed(eval->arena, base->count, sizeof *out->at);
    if (!out->at)
        return logql_out_of_memory(eval);
    partners_init(&others, by_right ? left : right);
    for (size_t i = 0; i < base->count && status == 0; i++) {
        const struct logql_series *other = partner(&others, base->at[i].labels);
        if (!other)
            continue;
        struct logql_series *series = &out->at[out->count++];
        series->labels = base->at[i].labels;
        status = logql_series_init(eval, series);
        if (status == 0)
            compute_series(eval, &operation, by_right ? other : &base->at[i],
                           by_right ? &base->at[i] : other, series);
    }
    partners_release(&others);
    return status;
}

static void filter_series(const struct logql_eval *eval, bool with, const struct logql_series *left,
                          const struct logql_series *other, struct logql_series *out)
{
    for (size_t step = 0; step < eval->steps; step++) {
        bool has = other && other->present[step];
        out->present[step] = left->present[step] && has == with;
        out->values[step] = left->values[step];
    }
}

/* and, unless: points of the left side with, or without, a partner. */
static int eval_filter(struct logql_eval *eval, bool with, const struct logql_vector *left,
                       const struct logql_vector *right, struct logql_vector *out)
{
    struct partners others;
    int status = 0;
    out->at = arena_zeroed(eval->arena, left->count, sizeof *out->at);
    if (!out->at)
        return logql_out_of_memory(eval);
    partners_init(&others, right);
    for (size_t i = 0; i < left->count && status == 0; i++) {
        struct logql_series *series = &out->at[out->count++];
        series->labels = left->at[i].labels;
        status = logql_series_init(eval, series);
        if (status == 0)
            filter_series(eval, with, &left->at[i], partner(&others, series->labels), series);
    }
    partners_release(&others);
    return status;
}

/* or: the left side, and of the right what has no partner there. */
static int eval_or(struct logql_eval *eval, const struct logql_vector *left,
                   const struct logql_vector *right, struct logql_vector *out)
{
    struct logql_vector rest = {0};
    if (eval_filter(eval, false, right, left, &rest))
        return -1;
    out->count = left->count + rest.count;
    out->at = arena_alloc(eval->arena, out->count * sizeof *out->at);
    if (!out->at)
        return logql_out_of_memory(eval);
    if (left->count)
        memcpy(out->at, left->at, left->count * sizeof *out->at);
    if (rest.count)
        memcpy(out->at + left->count, rest.at, rest.count * sizeof *out->at);
    return 0;
}

int logql_eval_binary(struct logql_eval *eval, const struct logql_expr *expr,
                      const struct logql_vector *left, const struct logql_vector *right,
                      struct logql_vector *out)
{
    bool is_set =
        expr->binary == LOGQL_AND || expr->binary == LOGQL_OR || expr->binary == LOGQL_UNLESS;
    *out = (struct logql_vector){0};
    if (is_set && (left->scalar || right->scalar))
        return error_set(eval->err, ERROR_BAD_DATA,
                         "and, or and unless need vectors on both sides, not numbers");
    if (expr->binary == LOGQL_OR)
        return eval_or(eval, left, right, out);
    if (is_set)
        return eval_filter(eval, expr->binary == LOGQL_AND, left, right, out);
    return eval_arithmetic(eval, expr, left, right, out);
}
