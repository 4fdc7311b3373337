/* quantile: histogram_quantile and histogram_fraction over vectors.
 *
 * Classic histograms are families of cumulative counters, one a bound:
 *
 *   h_bucket{le="0.1"} 3   h_bucket{le="0.5"} 7   h_bucket{le="+Inf"} 8
 *
 * Their rows are set aside, grouped by all labels but `le`, the name among them, sorted by bound, and
 * settled at the end. Native histograms are answered as they come by, and their answers wait in
 * the same groups: where a family is both, at one step, nobody knows which is meant, and there is no
 * answer. Counts that fall from one bound to the next (rates of counters read at slightly different
 * times) are lifted; a relative 1e-12 silently, more with a note.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "query/call.h"
#include "query/histogram_math.h"

#define MONOTONY_TOLERANCE 1e-12

/* ` for metric name "x"`, where the metric has one. */
#define METRIC_FMT "%s" SLICE_FMT "%s"
#define METRIC_ARG(name)                                                                           \
    (name).len ? " for metric name \"" : "", SLICE_ARG(name), (name).len ? "\"" : ""

/* A bound of a classic histogram, or the answers of a native one. */
struct bound_row {
    double bound;
    bool native;
    uint32_t group;
    struct labels labels; /* of the answer */
    struct slice metric;  /* its name */
    double *values;       /* counts, or answers */
};

struct quantile {
    struct sink sink;
    struct eval *eval;
    const struct plan *vector; /* the argument */
    const struct grid *grid;
    const double *q;             /* histogram_quantile */
    const double *lower, *upper; /* histogram_fraction */
    struct table index;
    struct buffer key;
    struct bound_row *bounds;
    size_t count, capacity, group_count;
    struct sink *out;
};

struct bucket {
    double bound, count;
};

/* --- one classic histogram at one step --- */

static size_t merge_equal_bounds(struct bucket *buckets, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept && buckets[kept - 1].bound == buckets[i].bound)
            buckets[kept - 1].count += buckets[i].count;
        else
            buckets[kept++] = buckets[i];
    }
    return kept;
}

/* Answers whether more than rounding had to be lifted. Rounding is levelled in both directions. */
static bool lift(struct bucket *buckets, size_t count)
{
    bool noticed = false;
    for (size_t i = 1; i < count; i++) {
        double before = buckets[i - 1].count, now = buckets[i].count;
        double slack = MONOTONY_TOLERANCE * (fabs(now) + fabs(before));
        if (now >= before && now - before >= slack)
            continue;
        noticed = noticed || before - now > slack;
        buckets[i].count = before;
    }
    return noticed;
}

static double classic_quantile(double q, const struct bucket *buckets, size_t count)
{
    double total = buckets[count - 1].count;
    if (count < 2 || total == 0)
        return NAN;
    double rank = q * total;
    size_t i = 0;
    while (i < count - 1 && !(buckets[i].count >= rank))
        i++;
    if (i == count - 1)
        return buckets[count - 2].bound;
    if (i == 0 && buckets[0].bound <= 0)
        return buckets[0].bound;
    double lower = i ? buckets[i - 1].bound : 0, below = i ? buckets[i - 1].count : 0;
    double width = buckets[i].bound - lower;
    return lower + width * ((rank - below) / (buckets[i].count - below));
}

/* Observations up to `value`, linear within a bucket. */
static double classic_rank(double value, const struct bucket *buckets, size_t count)
{
    double below = 0, lower = buckets[0].bound <= 0 ? -INFINITY : 0;
    for (size_t i = 0; i < count; i++) {
        double upper = buckets[i].bound;
        if (value >= upper) {
            below = buckets[i].count;
            lower = upper;
            continue;
        }
        if (value <= lower || isinf(lower) || isinf(upper))
            return below;
        return below + (buckets[i].count - below) * ((value - lower) / (upper - lower));
    }
    return below;
}

static double classic_fraction(double lower, double upper, const struct bucket *buckets,
                               size_t count)
{
    double total = buckets[count - 1].count;
    if (count < 2 || !(total > 0) || isnan(lower) || isnan(upper))
        return NAN;
    if (lower >= upper)
        return 0;
    return (classic_rank(upper, buckets, count) - classic_rank(lower, buckets, count)) / total;
}

static void note_monotony(struct quantile *self, struct slice metric)
{
    eval_info_at(self->eval, self->vector,
                 "PromQL info: input to histogram_quantile needed to be fixed for monotonicity "
                 "(see https://prometheus.io/docs/prometheus/latest/querying/functions/"
                 "#histogram_quantile)" METRIC_FMT,
                 METRIC_ARG(metric));
}

static double classic_answer(struct quantile *self, size_t step, struct bucket *buckets,
                             size_t count, struct slice metric)
{
    if (self->q && !(self->q[step] >= 0 && self->q[step] <= 1))
        return quantile_out_of_range(self->q[step]);
    if (!isinf(buckets[count - 1].bound))
        return NAN;
    count = merge_equal_bounds(buckets, count);
    if (lift(buckets, count))
        note_monotony(self, metric);
    if (self->q)
        return classic_quantile(self->q[step], buckets, count);
    return classic_fraction(self->lower[step], self->upper[step], buckets, count);
}

/* --- setting rows aside --- */

/* As Go reads numbers: inf, +Inf, -INFINITY. */
static bool parse_bound(struct slice text, double *out)
{
    bool sign = text.len && (text.at[0] == '+' || text.at[0] == '-');
    struct slice word = slice_skip(text, sign);
    if (!slice_equal_nocase(word, SLICE("inf")) && !slice_equal_nocase(word, SLICE("infinity")))
        return slice_to_double(text, out);
    *out = text.at[0] == '-' ? -INFINITY : INFINITY;
    return true;
}

static int bounds_append(struct quantile *self, const struct bound_row *bound)
{
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? self->capacity * 2 : 64;
        struct bound_row *at = arena_alloc(self->eval->arena, capacity * sizeof *at);
        if (!at)
            return eval_fail_memory(self->eval);
        if (self->count)
            memcpy(at, self->bounds, self->count * sizeof *at);
        self->bounds = at;
        self->capacity = capacity;
    }
    self->bounds[self->count++] = *bound;
    return 0;
}

/* Puts the values of the row into the group of these labels, the name included. */
static int set_aside(struct quantile *self, const struct row *row, struct labels family,
                     struct bound_row *bound)
{
    struct arena *arena = self->eval->arena;
    bool fresh;
    buffer_reset(&self->key);
    labels_encode(family, &self->key);
    struct table_entry *entry = table_insert(&self->index, buffer_slice(&self->key), &fresh);
    assert(entry);
    if (fresh)
        entry->value.number = self->group_count++;
    bound->group = (uint32_t)entry->value.number;
    bound->labels = labels_without_name(arena, family);
    bound->metric = labels_get(family, SLICE(LABEL_NAME));
    bound->values = arena_alloc(arena, self->grid->steps * sizeof *bound->values);
    if (!bound->values)
        return eval_fail_memory(self->eval);
    memcpy(bound->values, row->values, self->grid->steps * sizeof *bound->values);
    return bounds_append(self, bound);
}

static int take_classic(struct quantile *self, const struct row *row)
{
    struct bound_row bound = {0};
    struct labels family = row->labels;
    struct slice le = labels_get(family, SLICE("le")),
                 metric = labels_get(family, SLICE(LABEL_NAME));
    if (!parse_bound(le, &bound.bound)) {
        eval_warn_at(self->eval, self->vector,
                     "PromQL warning: bucket label \"le\" is missing or has a malformed value of "
                     "\"" SLICE_FMT "\"" METRIC_FMT,
                     SLICE_ARG(le), METRIC_ARG(metric));
        return 0;
    }
    if (!labels_set(self->eval->arena, &family, SLICE("le"), SLICE("")))
        return eval_fail_memory(self->eval);
    return set_aside(self, row, family, &bound);
}

/* NaN was observed where the sum is NaN and the buckets do not hold all. */
static void note_nan(struct quantile *self, size_t step, const struct histogram *histogram,
                     struct slice metric)
{
    double held = histogram->zero_count;
    if (!isnan(histogram->sum))
        return;
    for (size_t i = 0; i < histogram->positive.count; i++)
        held += histogram->positive.at[i].count;
    for (size_t i = 0; i < histogram->negative.count; i++)
        held += histogram->negative.at[i].count;
    if (!(held < histogram->count))
        return;
    if (!self->q)
        eval_info_at(self->eval, self->vector,
                     "PromQL info: input to histogram_fraction has NaN observations, which are "
                     "excluded from all fractions" METRIC_FMT,
                     METRIC_ARG(metric));
    else if (self->q[step] >= 0 && self->q[step] <= 1)
        eval_info_at(self->eval, self->vector,
                     "PromQL info: input to histogram_quantile has NaN observations, result is "
                     "%s" METRIC_FMT,
                     self->q[step] * histogram->count > held ? "NaN" : "skewed higher",
                     METRIC_ARG(metric));
}

static double native_answer(struct quantile *self, size_t step, const struct histogram *histogram,
                            struct slice metric)
{
    note_nan(self, step, histogram, metric);
    return self->q ? histogram_quantile(self->q[step], histogram)
                   : histogram_fraction(self->lower[step], self->upper[step], histogram);
}

static int take_native(struct quantile *self, struct row *row)
{
    struct bound_row bound = {.native = true};
    struct slice metric = labels_get(row->labels, SLICE(LABEL_NAME));
    for (size_t i = 0; i < self->grid->steps; i++)
        row->values[i] = row->histograms[i] ? native_answer(self, i, row->histograms[i], metric)
                                            : point_absent();
    return set_aside(self, row, row->labels, &bound);
}

static int quantile_take(struct sink *sink, struct row *row)
{
    struct quantile *self = (struct quantile *)sink;
    bool floats = false;
    for (size_t i = 0; i < self->grid->steps && !floats; i++)
        floats = !point_is_absent(row->values[i]);
    if (floats && take_classic(self, row) != 0)
        return -1;
    return row->histograms ? take_native(self, row) : 0;
}

/* --- settling --- */

static int compare_bounds(const void *a, const void *b)
{
    const struct bound_row *x = a, *y = b;
    if (x->group != y->group)
        return x->group < y->group ? -1 : 1;
    if (x->native != y->native)
        return x->native ? -1 : 1;
    return (x->bound > y->bound) - (x->bound < y->bound);
}

static void warn_mix(struct quantile *self, struct slice metric)
{
    eval_warn_at(
        self->eval, self->vector,
        "PromQL warning: vector contains a mix of classic and native histograms" METRIC_FMT,
        METRIC_ARG(metric));
}

/* `rows` are a group, what is native first; `buckets` has room for all of it. */
static double settle_step(struct quantile *self, const struct bound_row *rows, size_t count,
                          size_t step, struct bucket *buckets)
{
    double answer = point_absent();
    size_t present = 0;
    for (size_t i = 0; i < count; i++) {
        if (point_is_absent(rows[i].values[step]))
            continue;
        if (rows[i].native)
            answer = rows[i].values[step];
        else
            buckets[present++] = (struct bucket){rows[i].bound, rows[i].values[step]};
    }
    if (present == 0)
        return answer;
    if (point_is_absent(answer))
        return classic_answer(self, step, buckets, present, rows[0].metric);
    warn_mix(self, rows[0].metric);
    return point_absent();
}

static int settle(struct quantile *self, const struct bound_row *rows, size_t count,
                  struct bucket *buckets)
{
    struct row row = {.labels = rows[0].labels, .values = rows[0].values};
    for (size_t step = 0; step < self->grid->steps; step++)
        row.values[step] = settle_step(self, rows, count, step, buckets);
    return eval_check(self->eval) != 0 ? -1 : self->out->take(self->out, &row);
}

static int settle_all(struct quantile *self)
{
    struct bucket *buckets = arena_alloc(self->eval->arena, self->count * sizeof *buckets);
    if (!buckets)
        return eval_fail_memory(self->eval);
    if (self->count)
        qsort(self->bounds, self->count, sizeof *self->bounds, compare_bounds);
    for (size_t i = 0; i < self->count;) {
        size_t end = i;
        while (end < self->count && self->bounds[end].group == self->bounds[i].group)
            end++;
        if (settle(self, &self->bounds[i], end - i, buckets) != 0)
            return -1;
        i = end;
    }
    return 0;
}

static int quantile_run(struct quantile *self, const struct plan *vector)
{
    self->vector = vector;
    table_init(&self->index, SIZE_MAX);
    buffer_init(&self->key, SIZE_MAX);
    int result = eval_rows(self->eval, vector, self->grid, &self->sink);
    if (result == 0)
        result = settle_all(self);
    buffer_release(&self->key);
    table_release(&self->index);
    return result;
}

int call_histogram_quantile(struct eval *eval, const struct plan *plan, const struct grid *grid,
                            struct sink *sink)
{
    struct quantile self = {.sink = {quantile_take}, .eval = eval, .grid = grid, .out = sink};
    self.q = eval_scalar_new(eval, plan->call.args[0], grid);
    if (!self.q)
        return -1;
    eval_warn_outside(eval, plan->call.args[0], 1, self.q, grid->steps);
    return quantile_run(&self, plan->call.args[1]);
}

int call_histogram_fraction(struct eval *eval, const struct plan *plan, const struct grid *grid,
                            struct sink *sink)
{
    struct quantile self = {.sink = {quantile_take}, .eval = eval, .grid = grid, .out = sink};
    self.lower = eval_scalar_new(eval, plan->call.args[0], grid);
    self.upper = eval_scalar_new(eval, plan->call.args[1], grid);
    if (!self.lower || !self.upper)
        return -1;
    return quantile_run(&self, plan->call.args[2]);
}
