/* operator: arithmetic and comparison, of numbers, points, and of a vector with a scalar.
 *
 * A comparison is a filter: it answers with the value of the vector where it holds and with
 * nothing where it does not; with `bool` it answers 1 or 0. Between histograms + and - work, and
 * == and != compare; * and / take a histogram and a number, as do the trims </ and >/. All else
 * between them has no meaning and is left out, with a note.
 */
#include "query/eval.h"

#include <math.h>

#include "query/histogram_math.h"

bool operator_is_comparison(enum binary_operator op)
{
    return op >= BINARY_EQ && op <= BINARY_GE;
}

static bool compare(enum binary_operator op, double left, double right)
{
    if (op == BINARY_EQ)
        return left == right;
    if (op == BINARY_NE)
        return left != right;
    if (op == BINARY_LT)
        return left < right;
    if (op == BINARY_LE)
        return left <= right;
    return op == BINARY_GT ? left > right : left >= right;
}

bool operator_apply(enum binary_operator op, double left, double right, double *out)
{
    switch (op) {
    case BINARY_ADD:
        *out = left + right;
        return true;
    case BINARY_SUB:
        *out = left - right;
        return true;
    case BINARY_MUL:
        *out = left * right;
        return true;
    case BINARY_DIV:
        *out = left / right;
        return true;
    case BINARY_MOD:
        *out = fmod(left, right);
        return true;
    case BINARY_POW:
        *out = pow(left, right);
        return true;
    case BINARY_ATAN2:
        *out = atan2(left, right);
        return true;
    case BINARY_EQ:
    case BINARY_NE:
    case BINARY_LT:
    case BINARY_LE:
    case BINARY_GT:
    case BINARY_GE:
        *out = left;
        return compare(op, left, right);
    case BINARY_TRIM_UPPER:
    case BINARY_TRIM_LOWER:
    case BINARY_AND:
    case BINARY_OR:
    case BINARY_UNLESS:
        break;
    }
    return false;
}

static bool undefined(struct eval *eval, const struct plan *plan, const struct point *left,
                      const struct point *right)
{
    const char *name = binary_operator_name(plan->binary.op);
    eval_info_at(eval, plan,
                 "PromQL info: incompatible sample types encountered for binary operator \"%s\": "
                 "%s %s %s",
                 name, left->histogram ? "histogram" : "float", name,
                 right->histogram ? "histogram" : "float");
    return false;
}

static bool two_histograms(struct eval *eval, const struct plan *plan, const struct point *left,
                           const struct point *right, struct point *out)
{
    enum binary_operator op = plan->binary.op;
    const struct histogram *a = left->histogram, *b = right->histogram;
    *out = *left;
    if (op == BINARY_EQ || op == BINARY_NE)
        return histogram_equal(a, b) == (op == BINARY_EQ);
    if (op != BINARY_ADD && op != BINARY_SUB)
        return undefined(eval, plan, left, right);
    out->histogram = histogram_combine(eval->arena, a, b, op == BINARY_ADD ? 1 : -1);
    return out->histogram != NULL;
}

bool operator_apply_points(struct eval *eval, const struct plan *plan, struct point left,
                           struct point right, struct point *out)
{
    enum binary_operator op = plan->binary.op;
    *out = (struct point){0};
    bool trim = op == BINARY_TRIM_UPPER || op == BINARY_TRIM_LOWER;
    if (!left.histogram && !right.histogram && !trim)
        return operator_apply(op, left.value, right.value, &out->value);
    if (left.histogram && right.histogram)
        return two_histograms(eval, plan, &left, &right, out);
    if (op == BINARY_MUL)
        out->histogram = left.histogram ? histogram_scale(eval->arena, left.histogram, right.value)
                                        : histogram_scale(eval->arena, right.histogram, left.value);
    else if (op == BINARY_DIV && left.histogram)
        out->histogram = histogram_quotient(eval->arena, left.histogram, right.value);
    else if (trim && left.histogram)
        out->histogram =
            histogram_trim(eval->arena, left.histogram, right.value, op == BINARY_TRIM_UPPER);
    else
        return undefined(eval, plan, &left, &right);
    return out->histogram != NULL;
}

/* --- a vector and a scalar --- */

struct scalar_sink {
    struct sink sink;
    struct eval *eval;
    const struct plan *plan;
    const struct grid *grid;
    const double *scalar;
    bool scalar_left;
    struct sink *out;
};

static void scalar_step(struct scalar_sink *self, struct row *row, size_t step)
{
    enum binary_operator op = self->plan->binary.op;
    struct point vector = {row->values[step], row_histogram(row, step)}, result;
    struct point scalar = {self->scalar[step], NULL};
    bool holds = self->scalar_left
                     ? operator_apply_points(self->eval, self->plan, scalar, vector, &result)
                     : operator_apply_points(self->eval, self->plan, vector, scalar, &result);
    if (operator_is_comparison(op)) {
        result = vector; /* also when the scalar stood on the left */
        if (self->plan->binary.return_bool && !vector.histogram)
            result = (struct point){holds, NULL}, holds = true;
    }
    row->values[step] = holds && !result.histogram ? result.value : point_absent();
    if (row->histograms)
        row->histograms[step] = holds ? result.histogram : NULL;
}

static int scalar_take(struct sink *sink, struct row *row)
{
    struct scalar_sink *self = (struct scalar_sink *)sink;
    enum binary_operator op = self->plan->binary.op;
    for (size_t i = 0; i < self->grid->steps; i++)
        if (row_has(row, i))
            scalar_step(self, row, i);
    if (!operator_is_comparison(op) || self->plan->binary.return_bool)
        row->labels = labels_without_name(self->eval->arena, row->labels);
    return self->out->take(self->out, row);
}

int binary_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                struct sink *sink)
{
    const struct plan *left = plan->binary.left, *right = plan->binary.right;
    if (left->type == VALUE_VECTOR && right->type == VALUE_VECTOR)
        return join_rows(eval, plan, grid, sink);
    struct scalar_sink self = {
        .sink = {scalar_take},
        .eval = eval,
        .plan = plan,
        .grid = grid,
        .scalar_left = left->type == VALUE_SCALAR,
        .out = sink,
    };
    self.scalar = eval_scalar_new(eval, self.scalar_left ? left : right, grid);
    if (!self.scalar)
        return -1;
    return eval_rows(eval, self.scalar_left ? right : left, grid, &self.sink);
}

/* --- minus --- */

struct negate_sink {
    struct sink sink;
    struct eval *eval;
    const struct grid *grid;
    struct sink *out;
};

static int negate_take(struct sink *sink, struct row *row)
{
    struct negate_sink *self = (struct negate_sink *)sink;
    for (size_t i = 0; i < self->grid->steps; i++) {
        if (row_histogram(row, i)) {
            row->histograms[i] = histogram_scale(self->eval->arena, row->histograms[i], -1);
            if (!row->histograms[i])
                return eval_fail_memory(self->eval);
        } else if (!point_is_absent(row->values[i])) {
            row->values[i] = -row->values[i];
        }
    }
    row->labels = labels_without_name(self->eval->arena, row->labels);
    return self->out->take(self->out, row);
}

int negate_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                struct sink *sink)
{
    struct negate_sink self = {{negate_take}, eval, grid, sink};
    return eval_rows(eval, plan->child, grid, &self.sink);
}
