/* walk: the windows of a whole grid over one series, each handed to a function.
 *
 * Two indexes move forward over the samples of a series as the window does, so finding the windows
 * of a grid is linear. What comes in are samples, or buckets where the store has summaries that
 * give the same answer (source.c decides); a function then has a second version, in window.c. A
 * window that holds both floats and histograms yields nothing, and a warning; but for functions that count samples of any kind.
 */
#include <assert.h>
#include <stdlib.h>

#include "query/call.h"
#include "query/histogram_math.h"
#include "query/slide.h"
#include "storage/base/alloc.h"

#define STEPS_BETWEEN_CHECKS 256

struct window_sink {
    struct samples_sink sink;
    struct eval *eval;
    const struct query_function *function;
    const struct plan *arg; /* the windows */
    struct labels labels;   /* of the series under way */
    const struct grid *grid;
    struct range range;
    int64_t base_ms;             /* lookback, where the function takes a base */
    const double *params[2];     /* one a step, or NULL */
    const struct plan *quantile; /* where params[0] stands, until it is checked; else NULL */
    struct scratch scratch;
};

/* First and end of the samples inside (from, to], moving on from the last window's. */
struct span {
    struct edge first, end;
};

static void span_move(struct span *span, const int64_t *times, size_t count, struct bounds bounds)
{
    edge_move(&span->first, times, count, bounds.start_ms);
    edge_move(&span->end, times, count, bounds.end_ms);
}

static struct bounds bounds_at(const struct window_sink *self, size_t step)
{
    int64_t end = self->range.end_ms + (int64_t)step * self->range.step_ms;
    return (struct bounds){end - self->range.range_ms, end};
}

static int put_point(struct window_sink *self, const struct point *point, size_t step,
                     struct row *row)
{
    if (!point->histogram) {
        row->values[step] = point->value;
        return 0;
    }
    if (!row_make_histograms(&self->scratch.arena, self->grid, row))
        return eval_fail_memory(self->eval);
    row->histograms[step] = point->histogram;
    return 0;
}

/* Whether the windows hold samples of the store, all of which are counters where they are histograms. */
static bool is_of_store(const struct plan *windows)
{
    while (windows->kind == PLAN_PAREN || windows->kind == PLAN_SUBQUERY)
        windows = windows->kind == PLAN_PAREN ? windows->child : windows->subquery.child;
    return windows->kind == PLAN_SELECTOR;
}

static void warn_counter(const struct window_sink *self, struct slice metric)
{
    eval_warn_at(self->eval, self->arg,
                 "PromQL warning: this native histogram metric is not a gauge: \"" SLICE_FMT "\"",
                 SLICE_ARG(metric));
}

/* Of nothing any quantile may be asked. */
static void check_quantile(struct window_sink *self)
{
    if (self->quantile)
        eval_warn_outside(self->eval, self->quantile, 1, self->params[0], self->grid->steps);
    self->quantile = NULL;
}

static int push_row(struct window_sink *self, struct labels labels, struct row *row)
{
    check_quantile(self);
    if (row->histograms && self->function->of_gauges && is_of_store(self->arg))
        warn_counter(self, labels_get(labels, SLICE(LABEL_NAME)));
    if (self->scratch.arena.exhausted)
        return eval_fail_memory(self->eval);
    row->labels =
        self->function->keeps_name ? labels : labels_without_name(self->eval->arena, labels);
    return self->sink.rows->take(self->sink.rows, row);
}

/* --- samples --- */

static void window_place(struct window *window, const struct samples *samples,
                         const struct span *floats, const struct span *histograms)
{
    if (samples->count) {
        window->times = samples->times + floats->first.at;
        window->values = samples->values + floats->first.at;
        window->first = floats->first.at;
    }
    if (samples->histogram_count) {
        window->histogram_times = samples->histogram_times + histograms->first.at;
        window->histograms = samples->histograms + histograms->first.at;
        window->histogram_first = histograms->first.at;
    }
    window->count = floats->end.at - floats->first.at;
    window->histogram_count = histograms->end.at - histograms->first.at;
}

static bool apply_mixed(const struct window_sink *self, const struct window *window,
                        struct point *out)
{
    const struct query_function *function = self->function;
    struct slice metric = labels_get(self->labels, SLICE(LABEL_NAME));
    if (function->window_mixed)
        return function->window_mixed(window, out);
    if (function->window_histogram && !function->prefers_floats) {
        eval_warn_at(self->eval, self->arg,
                     "PromQL warning: encountered a mix of histograms and floats for metric name "
                     "\"" SLICE_FMT "\"",
                     SLICE_ARG(metric));
        return false;
    }
    eval_info_at(self->eval, self->arg,
                 "PromQL info: ignored histograms in a range containing both floats and "
                 "histograms for metric name \"" SLICE_FMT "\"",
                 SLICE_ARG(metric));
    return function->window(window, out);
}

static bool window_apply(const struct window_sink *self, struct window *window, struct point *out)
{
    const struct query_function *function = self->function;
    if (window->count && window->histogram_count && function->of_last_two)
        window_mixed_narrow(window);
    if (window->histogram_count == 0)
        return window->count && function->window(window, out);
    if (window->count)
        return apply_mixed(self, window, out);
    if (function->window_histogram)
        return function->window_histogram(window, out);
    eval_info_at(self->eval, self->arg, "PromQL info: ignored histograms in %s()", function->name);
    return false;
}

/* In how many windows a sample is, where there are enough of them. */
static double overlap(const struct window_sink *self)
{
    if (self->grid->steps == 1 || self->range.step_ms <= 0)
        return 1;
    return (double)self->range.range_ms / (double)self->range.step_ms;
}

static int take_one_by_one(struct window_sink *self, const struct samples *samples, struct row *row)
{
    struct arena *arena = &self->scratch.arena;
    struct slide slide = {.series = samples, .arena = arena, .overlap = overlap(self)};
    struct window window = {.arena = arena, .slide = &slide, .base_ms = self->base_ms};
    struct span floats = {0}, histograms = {0};
    for (size_t i = 0; i < self->grid->steps; i++) {
        struct bounds bounds = bounds_at(self, i);
        struct point point = {0};
        if (i && i % STEPS_BETWEEN_CHECKS == 0 && eval_check(self->eval) != 0)
            return -1;
        window.now_ms = grid_time(self->grid, i);
        window.start_ms = bounds.start_ms;
        window.end_ms = bounds.end_ms;
        for (int k = 0; k < 2; k++)
            window.params[k] = self->params[k] ? self->params[k][i] : 0;
        span_move(&floats, samples->times, samples->count, bounds);
        span_move(&histograms, samples->histogram_times, samples->histogram_count, bounds);
        window_place(&window, samples, &floats, &histograms);
        if (window_apply(self, &window, &point) && put_point(self, &point, i, row) != 0)
            return -1;
    }
    return 0;
}

static struct sweep sweep_of(struct window_sink *self, const struct row *row)
{
    return (struct sweep){.range = self->range,
                          .steps = self->grid->steps,
                          .out = row->values,
                          .arena = &self->scratch.arena};
}

static int take_at_once(struct window_sink *self, const struct samples *samples, struct row *row)
{
    struct sweep sweep = sweep_of(self, row);
    sweep.series = samples;
    return self->function->sweep(&sweep) ? 0 : eval_fail_memory(self->eval);
}

static int window_take(struct samples_sink *sink, struct labels labels,
                       const struct samples *samples)
{
    struct window_sink *self = (struct window_sink *)sink;
    bool at_once = self->function->sweep && samples->histogram_count == 0;
    struct row row;
    self->labels = labels;
    scratch_clear(self->eval, &self->scratch);
    if (!row_make(&self->scratch.arena, self->grid, &row))
        return eval_fail_memory(self->eval);
    int result = at_once ? take_at_once(self, samples, &row) : take_one_by_one(self, samples, &row);
    return result == 0 ? push_row(self, labels, &row) : -1;
}

/* --- buckets --- */

static bool scale_point(struct arena *arena, double factor, struct point *point)
{
    point->value *= factor;
    if (point->histogram)
        point->histogram = histogram_scale(arena, point->histogram, factor);
    return !arena->exhausted;
}

static int buckets_one_by_one(struct window_sink *self, struct bucket_window *window,
                              const struct coarse *coarse, struct row *row)
{
    const struct bucket_function *function = self->sink.buckets;
    bool (*apply)(const struct bucket_window *, struct point *) =
        window->buckets.first_histogram ? function->histogram : function->number;
    struct span span = {0};
    for (size_t i = 0; i < self->grid->steps; i++) {
        struct bounds bounds = bounds_at(self, i);
        struct point point = {0};
        if (i && i % STEPS_BETWEEN_CHECKS == 0 && eval_check(self->eval) != 0)
            return -1;
        double share = coarse_snap(coarse, &bounds);
        span_move(&span, window->buckets.end_ms, window->buckets.count, bounds);
        window->first = span.first.at;
        window->end = span.end.at;
        window->start_ms = bounds.start_ms;
        window->end_ms = bounds.end_ms;
        window->param = self->params[0] ? self->params[0][i] : 0;
        if (window->first == window->end || !apply(window, &point))
            continue;
        if (share != 1 && function->grows && !scale_point(window->arena, share, &point))
            return eval_fail_memory(self->eval);
        if (put_point(self, &point, i, row) != 0)
            return -1;
    }
    return 0;
}

static int window_take_buckets(struct samples_sink *sink, struct labels labels,
                               const struct store_buckets *buckets, const struct coarse *coarse)
{
    struct window_sink *self = (struct window_sink *)sink;
    struct arena *arena = &self->scratch.arena;
    struct bucket_window window;
    struct row row;
    scratch_clear(self->eval, &self->scratch);
    if (!bucket_window_make(arena, buckets, &window) || !row_make(arena, self->grid, &row))
        return eval_fail_memory(self->eval);
    window.base_ms = self->base_ms;
    if (sink->buckets->sweep && !buckets->first_histogram && !coarse->width_ms) {
        struct sweep sweep = sweep_of(self, &row);
        sink->buckets->sweep(&window, &sweep);
    } else if (buckets_one_by_one(self, &window, coarse, &row) != 0) {
        return -1;
    }
    return push_row(self, labels, &row);
}

/* --- copies for other threads --- */

static struct samples_sink *window_fork(const struct samples_sink *sink, struct eval *eval,
                                        struct sink *rows)
{
    struct window_sink *copy = alloc_zeroed(1, sizeof *copy);
    *copy = *(const struct window_sink *)sink;
    copy->eval = eval;
    copy->sink.rows = rows;
    scratch_open(eval, &copy->scratch);
    return &copy->sink;
}

static void window_join(struct samples_sink *owned)
{
    struct window_sink *copy = (struct window_sink *)owned;
    scratch_close(copy->eval, &copy->scratch);
    free(copy);
}

/* --- the call --- */

static int check_smoothing(const struct window_sink *self)
{
    static const char *const factors[] = {"smoothing", "trend"};
    assert(self->params[0]);
    assert(self->params[1]);
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < self->grid->steps; i++)
            if (self->params[k][i] <= 0 || self->params[k][i] >= 1)
                return error_set(self->eval->err, ERROR_EXECUTION,
                                 "invalid %s factor. Expected: 0 < %cf < 1, got: %f", factors[k],
                                 factors[k][0], self->params[k][i]);
    return 0;
}

int window_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                struct sink *sink)
{
    struct window_sink self = {
        .sink = {.take = window_take,
                 .take_buckets = window_take_buckets,
                 .buckets = plan->call.function->buckets,
                 .rows = sink,
                 .fork = window_fork,
                 .join = window_join},
        .eval = eval,
        .function = plan->call.function,
        .grid = grid,
    };
    const struct plan *samples = NULL;
    int params = 0;
    for (size_t i = 0; i < plan->call.arg_count; i++) {
        const struct plan *arg = eval_unwrap(plan->call.args[i]);
        if (arg->type == VALUE_MATRIX)
            samples = arg;
        else if (!(self.params[params++] = eval_scalar_new(eval, arg, grid)))
            return -1;
    }
    if (self.function->window == window_quantile)
        self.quantile = plan->call.args[0];
    if (self.function->window == window_smoothing && check_smoothing(&self) != 0)
        return -1;
    self.base_ms = plan->call.function->takes_base ? eval->lookback_ms : 0;
    self.sink.before_ms = self.base_ms;
    self.sink.of_counters = plan->call.function->of_counters;
    self.arg = samples;
    self.range = range_of(eval, samples, grid);
    scratch_open(eval, &self.scratch);
    int result = range_each(eval, samples, grid, &self.sink);
    scratch_close(eval, &self.scratch);
    return result;
}
