/* range: samples from the store, as instant rows and as windows.
 *
 *   samples     x   x   x   x   x   x   x
 *   window i  (-----------]                    left-open, as in Prometheus 3
 *   window i+1      (-----------]
 *
 * Each series is read once, for the whole grid, into a scratch arena that the next series reuses;
 * two indexes then walk over it as the windows advance. A subquery is the same thing with the rows
 * of its child in place of the store.
 */
#include "query/histogram_math.h"
#include "query/source.h"

#define TIME_FAR ((int64_t)1 << 60) /* beyond every sample; sums of two still fit */

int64_t time_minus(int64_t a, int64_t b)
{
    int64_t out;
    if (__builtin_sub_overflow(a, b, &out))
        return b > 0 ? -TIME_FAR : TIME_FAR;
    return out < -TIME_FAR ? -TIME_FAR : out > TIME_FAR ? TIME_FAR : out;
}

struct range range_of(const struct eval *eval, const struct plan *plan, const struct grid *grid)
{
    int64_t base = grid->start_ms;
    switch (plan->at) {
    case AT_NONE:
        break;
    case AT_TIME:
        base = plan->at_ms;
        break;
    case AT_START:
        base = eval->request->start_ms;
        break;
    case AT_END:
        base = eval->request->end_ms;
        break;
    }
    return (struct range){
        .end_ms = time_minus(base, plan->offset_ms),
        .step_ms = plan->at == AT_NONE ? grid->step_ms : 0,
        .range_ms = plan->kind == PLAN_SUBQUERY ? plan->subquery.range_ms : plan->selector.range_ms,
    };
}

/* --- instant selectors --- */

static void pick_value(struct row *row, size_t step, const struct store_column *column,
                       size_t sample)
{
    if (column->histograms)
        row->histograms[step] = column->histograms[sample];
    else
        row->values[step] = column->values[sample]; /* a stale marker is the absent mark */
}

static bool make_instant_row(struct reading *reading, struct labels labels, bool histograms,
                             struct row *row)
{
    struct arena *arena = &reading->scratch.arena;
    if (!row_make(arena, reading->grid, row) ||
        (histograms && !reading->sample_time && !row_make_histograms(arena, reading->grid, row)))
        return false;
    row->labels = labels;
    return true;
}

static int take_instant(struct reading *reading, struct labels labels,
                        const struct store_column *column)
{
    struct row row;
    struct sink *sink = reading->out;
    if (!make_instant_row(reading, labels, column->histograms, &row))
        return eval_fail_memory(reading->eval);
    struct edge edge = {0};
    for (size_t i = 0; i < reading->grid->steps; i++) {
        int64_t now = reading->range.end_ms + (int64_t)i * reading->range.step_ms;
        edge_move(&edge, column->times, column->count, now);
        size_t next = edge.at;
        int64_t lookback = reading->range.range_ms;
        if (reading->coarse.width_ms)
            lookback = coarse_lookback(&reading->coarse, now, lookback);
        if (next == 0 || column->times[next - 1] <= now - lookback)
            continue;
        if (!reading->sample_time)
            pick_value(&row, i, column, next - 1);
        else if (!column_is_marker(column, next - 1))
            row.values[i] = (double)column->times[next - 1] / 1000;
    }
    return sink->take(sink, &row);
}

/* The newest sample of each bucket is enough where every step is the end of one. */
static int take_instant_buckets(struct reading *reading, struct labels labels,
                                const struct store_buckets *buckets)
{
    struct row row;
    struct sink *sink = reading->out;
    if (!make_instant_row(reading, labels, buckets->first_histogram, &row))
        return eval_fail_memory(reading->eval);
    struct edge edge = {0};
    for (size_t i = 0; i < reading->grid->steps; i++) {
        int64_t now = reading->range.end_ms + (int64_t)i * reading->range.step_ms;
        edge_move(&edge, buckets->end_ms, buckets->count, now);
        size_t next = edge.at;
        if (next == 0 || buckets->ended[next - 1] ||
            buckets->last_ms[next - 1] <= now - reading->range.range_ms)
            continue;
        if (reading->sample_time)
            row.values[i] = (double)buckets->last_ms[next - 1] / 1000;
        else if (buckets->first_histogram)
            row.histograms[i] = buckets->last_histogram[next - 1];
        else
            row.values[i] = buckets->last[next - 1];
    }
    return sink->take(sink, &row);
}

int selector_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                  bool sample_time, struct sink *sink)
{
    struct reading reading = {
        .eval = eval,
        .grid = grid,
        .range = range_of(eval, plan, grid),
        .out = sink,
        .instant = true,
        .sample_time = sample_time,
        .take = take_instant,
        .take_buckets = take_instant_buckets,
    };
    reading.range.range_ms = eval->lookback_ms;
    return reading_run(&reading, plan);
}

/* --- range selectors --- */

/* Whether a number among the values is none: a marker or NaN. */
static bool has_oddities(const double *values, size_t count)
{
    two_marks odd = {0};
    size_t i = 0;
    for (; i + 2 <= count; i += 2)
        odd |= two_values(&values[i]) != two_values(&values[i]);
    return odd[0] || odd[1] || (i < count && isnan(values[i]));
}

static size_t count_markers(const struct store_column *column)
{
    size_t markers = 0;
    if (!column->histograms && !has_oddities(column->values, column->count))
        return 0;
    for (size_t i = 0; i < column->count; i++)
        markers += column_is_marker(column, i);
    return markers;
}

/* The column without its stale markers, which are what is rare. */
static bool drop_markers(struct arena *arena, struct store_column *column)
{
    size_t markers = count_markers(column), kept = 0;
    if (markers == 0)
        return true;
    size_t left = column->count - markers;
    int64_t *times = arena_alloc(arena, left * sizeof *times);
    double *values = arena_alloc(arena, left * sizeof *values);
    const struct histogram **histograms = arena_alloc(arena, left * sizeof *histograms);
    struct slice *sketches = column->sketches ? arena_alloc(arena, left * sizeof *sketches) : NULL;
    if (arena->exhausted)
        return false;
    for (size_t i = 0; i < column->count; i++) {
        if (column_is_marker(column, i))
            continue;
        times[kept] = column->times[i];
        if (sketches)
            sketches[kept] = column->sketches[i];
        if (column->histograms)
            histograms[kept++] = column->histograms[i];
        else
            values[kept++] = column->values[i];
    }
    *column = (struct store_column){.count = left,
                                    .times = times,
                                    .values = column->histograms ? NULL : values,
                                    .histograms = column->histograms ? histograms : NULL,
                                    .sketches = sketches};
    return true;
}

static int take_range(struct reading *reading, struct labels labels,
                      const struct store_column *column)
{
    struct samples_sink *sink = reading->out;
    struct arena *arena = &reading->scratch.arena;
    struct store_column live = *column;
    struct samples samples = {0};
    if (!drop_markers(arena, &live))
        return eval_fail_memory(reading->eval);
    if (live.histograms) {
        samples.histogram_times = live.times;
        samples.histograms = live.histograms;
        samples.histogram_count = live.count;
    } else {
        samples.times = live.times;
        samples.values = live.values;
        samples.sketches = live.sketches;
        samples.count = live.count;
    }
    return sink->take(sink, labels, &samples);
}

static int take_range_buckets(struct reading *reading, struct labels labels,
                              const struct store_buckets *buckets)
{
    struct samples_sink *sink = reading->out;
    return sink->take_buckets(sink, labels, buckets, &reading->coarse);
}

/* --- subqueries --- */

struct subquery_sink {
    struct sink sink;
    struct eval *eval;
    const struct grid *inner;
    struct scratch scratch;
    struct samples_sink *out;
};

static int subquery_take(struct sink *self, struct row *row)
{
    struct subquery_sink *subquery = (struct subquery_sink *)self;
    const struct grid *inner = subquery->inner;
    struct samples samples = {0};
    scratch_clear(subquery->eval, &subquery->scratch);
    struct arena *arena = &subquery->scratch.arena;
    size_t places = inner->steps;
    int64_t *times = arena_alloc(arena, places * sizeof *times);
    double *values = arena_alloc(arena, places * sizeof *values);
    int64_t *histogram_times = arena_alloc(arena, places * sizeof *times);
    const struct histogram **histograms = arena_alloc(arena, places * sizeof *histograms);
    if (!times || !values || !histogram_times || !histograms)
        return eval_fail_memory(subquery->eval);
    for (size_t i = 0; i < places; i++) {
        if (row_histogram(row, i)) {
            histogram_times[samples.histogram_count] = grid_time(inner, i);
            histograms[samples.histogram_count++] = row->histograms[i];
        } else if (!point_is_absent(row->values[i])) {
            times[samples.count] = grid_time(inner, i);
            values[samples.count++] = row->values[i];
        }
    }
    samples.times = times;
    samples.values = values;
    samples.histogram_times = histogram_times;
    samples.histograms = histograms;
    return subquery->out->take(subquery->out, row->labels, &samples);
}

static int64_t subquery_step(const struct eval *eval, const struct plan *plan)
{
    int64_t otherwise = eval->request->subquery_step_ms;
    if (plan->subquery.step_ms)
        return plan->subquery.step_ms;
    return otherwise ? otherwise : PROMQL_DEFAULT_STEP_MS;
}

static int subquery_each(struct eval *eval, const struct plan *plan, const struct grid *grid,
                         struct samples_sink *sink)
{
    struct range range = range_of(eval, plan, grid);
    int64_t step = subquery_step(eval, plan);
    int64_t before = time_minus(range.end_ms, range.range_ms + sink->before_ms),
            last = range_last(&range, grid);
    /* On absolute multiples of the step, the first one strictly after the open end. */
    int64_t first = before / step * step;
    if (first <= before)
        first += step;
    if (first > last)
        return 0;
    struct grid inner = {first, step, (size_t)((last - first) / step) + 1};
    if (inner.steps > eval_memory_left(eval) / sizeof(double))
        return eval_fail_memory(eval);
    struct subquery_sink subquery = {
        .sink = {subquery_take}, .eval = eval, .inner = &inner, .out = sink};
    eval->counted = sink->of_counters ? eval_unwrap(plan->subquery.child) : NULL;
    scratch_open(eval, &subquery.scratch);
    int result = eval_rows(eval, plan->subquery.child, &inner, &subquery.sink);
    eval->counted = NULL;
    scratch_close(eval, &subquery.scratch);
    return result;
}

int range_each(struct eval *eval, const struct plan *plan, const struct grid *grid,
               struct samples_sink *sink)
{
    plan = eval_unwrap(plan);
    if (plan->kind == PLAN_SUBQUERY)
        return subquery_each(eval, plan, grid, sink);
    struct reading reading = {
        .eval = eval,
        .grid = grid,
        .range = range_of(eval, plan, grid),
        .out = sink,
        .function = sink->buckets,
        .before_ms = sink->before_ms,
        .sketches = sink->sketches,
        .of_counters = sink->of_counters,
        .take = take_range,
        .take_buckets = sink->buckets ? take_range_buckets : NULL,
    };
    return reading_run(&reading, plan);
}
