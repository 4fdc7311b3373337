/* logql_range: a range aggregation: one scan, and per series what its windows need.
 *
 *   record at x falls into the windows (t - range, t] of the steps t with x <= t < x + range:
 *
 *   steps    0   1   2   3   4   5
 *   counts       +1          -1         a difference at the first step and behind the last,
 *                                       summed up at the end: O(1) a record, however wide the range
 *   unwrap   the samples themselves, and two cursors that move along with the steps
 *
 * A sum around a count keeps only the labels of its grouping, so they are dropped per record: with
 * `| json` each line would otherwise be a series of its own. Counts that need neither lines nor
 * stages read only the times and streams of the blocks.
 */
#include <math.h>
#include <stdlib.h>

#include "query/logql_pipeline.h"
#include "query/logql_vector.h"
#include "storage/base/alloc.h"

#define SERIES_MAX    20000
#define SAMPLES_MAX   ((size_t)4 << 20) /* of unwrapped values, 16 bytes each */
#define KEY_BYTES_MAX ((size_t)1 << 20)
#define NEEDLES_MAX   16

struct sample {
    int64_t time_ns;
    double value;
};

struct range_series {
    struct logql_series out;
    double *differences; /* counts: one a step, and one behind */
    struct sample *samples;
    size_t count, capacity;
};

struct range {
    struct logql_eval *eval;
    const struct logql_expr *expr;
    const struct logql_grouping *grouping;
    bool unwrapped;
    struct logql_row *row;
    struct table numbers; /* canonical labels -> index of the series */
    struct range_series *series;
    size_t count, capacity;
    size_t sample_count;
    size_t last; /* the series of the record before */
    struct buffer key;
    int status;
};

/* --- series --- */

static struct range_series *new_series(struct range *range, struct labels labels)
{
    struct logql_eval *eval = range->eval;
    if (range->count == range->capacity) {
        range->capacity = range->capacity ? range->capacity * 2 : 16;
        range->series = alloc_resize(range->series, range->capacity, sizeof *range->series);
    }
    struct range_series *series = &range->series[range->count++];
    *series = (struct range_series){.out.labels = labels_copy(eval->arena, labels)};
    if (logql_series_init(eval, &series->out))
        return NULL;
    series->differences = arena_zeroed(eval->arena, eval->steps + 1, sizeof(double));
    if (!series->differences)
        logql_out_of_memory(eval);
    return series->differences ? series : NULL;
}

static struct range_series *find_series(struct range *range, struct labels labels)
{
    bool fresh;
    if (range->count && labels_equal(range->series[range->last].out.labels, labels))
        return &range->series[range->last];
    buffer_reset(&range->key);
    labels_encode(labels, &range->key);
    struct table_entry *entry = table_insert(&range->numbers, buffer_slice(&range->key), &fresh);
    if (!entry || range->key.overflow) {
        error_set(range->eval->err, ERROR_LIMIT,
                  "the query makes more than %d series; group it, as in sum by (level) (...), or "
                  "keep fewer labels (| keep level)",
                  SERIES_MAX);
        return NULL;
    }
    if (fresh)
        entry->value.number = range->count;
    range->last = (size_t)entry->value.number;
    return fresh ? new_series(range, labels) : &range->series[range->last];
}

/* --- records --- */

/* The first step at or after t; 0 for all before the first. */
static int64_t step_at(const struct logql_eval *eval, int64_t time_ns)
{
    if (time_ns <= eval->start_ns)
        return 0;
    if (eval->step_ns == 0)
        return 1;
    return (time_ns - eval->start_ns - 1) / eval->step_ns + 1;
}

static void add_count(const struct range *range, struct range_series *series, double weight)
{
    const struct logql_eval *eval = range->eval;
    int64_t time_ns = range->row->time_ns + range->expr->offset_ns;
    int64_t from = step_at(eval, time_ns);
    int64_t behind = step_at(eval, time_ns + range->expr->range_ns);
    if (behind > (int64_t)eval->steps)
        behind = (int64_t)eval->steps;
    if (from >= behind)
        return;
    series->differences[from] += weight;
    series->differences[behind] -= weight;
}

static int add_sample(struct range *range, struct range_series *series)
{
    if (++range->sample_count > SAMPLES_MAX)
        return error_set(range->eval->err, ERROR_LIMIT,
                         "the query unwraps more than %zu values; narrow the time range or the "
                         "selector",
                         SAMPLES_MAX);
    if (series->count == series->capacity) {
        size_t capacity = series->capacity ? series->capacity * 2 : 16;
        range->eval->owned_bytes += (capacity - series->capacity) * sizeof *series->samples;
        if (logql_check_memory(range->eval))
            return -1;
        series->samples = alloc_resize(series->samples, capacity, sizeof *series->samples);
        series->capacity = capacity;
    }
    series->samples[series->count++] =
        (struct sample){range->row->time_ns + range->expr->offset_ns, range->row->value};
    return 0;
}

static int check_row(struct range *range)
{
    struct slice failed = logql_row_get(range->row, LOGQL_ERROR_LABEL);
    if (failed.len == 0)
        return 0;
    return error_set(range->eval->err, ERROR_BAD_DATA,
                     "pipeline error: '" SLICE_FMT "' for the line `" SLICE_FMT
                     "`; leave such lines out with | __error__=\"\"",
                     SLICE_ARG(failed), SLICE_ARG(slice_head(range->row->line, 200)));
}

static bool visit(void *arg, const struct record *record)
{
    struct range *range = arg;
    struct label labels[LOGQL_LABELS_MAX];
    if (!logql_pipeline_run(range->expr->pipeline, record, range->row))
        return true;
    range->status = check_row(range);
    if (range->status)
        return false;
    struct labels all = {range->row->labels, range->row->count};
    struct labels grouped = {labels, logql_group_labels(range->grouping, all, labels)};
    struct range_series *series = find_series(range, grouped);
    if (!series)
        range->status = -1;
    else if (range->unwrapped)
        range->status = add_sample(range, series);
    else
        add_count(range, series,
                  range->expr->range == RANGE_BYTES || range->expr->range == RANGE_BYTES_RATE
                      ? (double)range->row->line.len
                      : 1);
    return range->status == 0;
}

/* --- windows --- */

static int compare_values(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear between ranks, as in Prometheus. */
static double quantile(const struct sample *samples, size_t count, double q)
{
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    double *sorted = alloc_resize(NULL, count, sizeof *sorted);
    for (size_t i = 0; i < count; i++)
        sorted[i] = samples[i].value;
    qsort(sorted, count, sizeof *sorted, compare_values);
    double rank = q * (double)(count - 1);
    size_t low = (size_t)floor(rank), high = low + 1 < count ? low + 1 : low;
    double weight = rank - floor(rank);
    double value = sorted[low] * (1 - weight) + sorted[high] * weight;
    free(sorted);
    return value;
}

static double variance(const struct sample *samples, size_t count)
{
    double mean = 0, sum = 0; /* Welford */
    for (size_t i = 0; i < count; i++) {
        double delta = samples[i].value - mean;
        mean += delta / (double)(i + 1);
        sum += delta * (samples[i].value - mean);
    }
    return sum / (double)count;
}

static double window_sum(const struct sample *samples, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += samples[i].value;
    return sum;
}

static double window_extreme(const struct sample *samples, size_t count, bool max)
{
    double value = samples[0].value;
    for (size_t i = 1; i < count; i++)
        if (max ? samples[i].value > value : samples[i].value < value)
            value = samples[i].value;
    return value;
}

static double window_value(const struct logql_expr *expr, const struct sample *samples,
                           size_t count)
{
    switch (expr->range) {
    case RANGE_RATE:
        return window_sum(samples, count) / ((double)expr->range_ns / 1e9);
    case RANGE_SUM:
        return window_sum(samples, count);
    case RANGE_AVG:
        return window_sum(samples, count) / (double)count;
    case RANGE_MIN:
    case RANGE_MAX:
        return window_extreme(samples, count, expr->range == RANGE_MAX);
    case RANGE_FIRST:
        return samples[0].value;
    case RANGE_LAST:
        return samples[count - 1].value;
    case RANGE_QUANTILE:
        return quantile(samples, count, expr->param);
    case RANGE_STDDEV:
        return sqrt(variance(samples, count));
    case RANGE_STDVAR:
        return variance(samples, count);
    case RANGE_COUNT:
    case RANGE_BYTES:
    case RANGE_BYTES_RATE:
    case RANGE_OPERATOR_COUNT:
        break;
    }
    return NAN;
}

static void finish_samples(const struct range *range, struct range_series *series)
{
    const struct logql_eval *eval = range->eval;
    size_t low = 0, high = 0;
    for (size_t i = 0; i < eval->steps; i++) {
        int64_t time_ns = eval->start_ns + (int64_t)i * eval->step_ns;
        while (high < series->count && series->samples[high].time_ns <= time_ns)
            high++;
        while (low < high && series->samples[low].time_ns <= time_ns - range->expr->range_ns)
            low++;
        series->out.present[i] = high > low;
        if (high > low)
            series->out.values[i] = window_value(range->expr, series->samples + low, high - low);
    }
}

static void finish_counts(const struct range *range, struct range_series *series)
{
    enum logql_range_operator op = range->expr->range;
    bool per_second = op == RANGE_RATE || op == RANGE_BYTES_RATE;
    double seconds = per_second ? (double)range->expr->range_ns / 1e9 : 1, sum = 0;
    for (size_t i = 0; i < range->eval->steps; i++) {
        sum += series->differences[i]; /* whole numbers: exact */
        series->out.present[i] = sum > 0;
        series->out.values[i] = sum / seconds;
    }
}

static int finish(struct range *range, struct logql_vector *out)
{
    struct logql_eval *eval = range->eval;
    *out = (struct logql_vector){.count = range->count};
    out->at = arena_alloc(eval->arena, range->count * sizeof *out->at);
    if (!out->at)
        return logql_out_of_memory(eval);
    for (size_t i = 0; i < range->count; i++) {
        if (range->unwrapped)
            finish_samples(range, &range->series[i]);
        else
            finish_counts(range, &range->series[i]);
        out->at[i] = range->series[i].out;
    }
    return 0;
}

/* --- the scan --- */

static bool keeps_lines(const struct logql_stage *stage)
{
    return stage->kind != STAGE_LINE_FORMAT && stage->kind != STAGE_DECOLORIZE;
}

size_t logql_needles(const struct logql_pipeline *pipeline, struct slice *out, size_t max)
{
    size_t count = 0;
    for (const struct logql_stage *stage = pipeline->stages; stage && keeps_lines(stage);
         stage = stage->next)
        if (stage->kind == STAGE_LINE_FILTER && !stage->negative && stage->needle_count == 1 &&
            !stage->needles[0].regex && count < max)
            out[count++] = stage->needles[0].text;
    return count;
}

static void release(struct range *range)
{
    for (size_t i = 0; i < range->count; i++) {
        range->eval->owned_bytes -= range->series[i].capacity * sizeof(struct sample);
        free(range->series[i].samples);
    }
    free(range->series);
    table_release(&range->numbers);
    buffer_release(&range->key);
    logql_row_free(range->row);
}

int logql_eval_range(struct logql_eval *eval, const struct logql_expr *expr,
                     const struct logql_grouping *grouping, struct logql_vector *out)
{
    struct slice needles[NEEDLES_MAX];
    const struct logql_pipeline *pipeline = expr->pipeline;
    struct range range = {
        .eval = eval,
        .expr = expr,
        .grouping = expr->grouping.present ? &expr->grouping : grouping,
        .unwrapped = pipeline->unwrap != NULL,
        .row = logql_row_new(),
    };
    int64_t last_ns = eval->start_ns + (int64_t)(eval->steps - 1) * eval->step_ns;
    struct logstore_query query = {
        .matchers = pipeline->matchers,
        .matcher_count = pipeline->matcher_count,
        .start_ns = eval->start_ns - expr->range_ns - expr->offset_ns + 1,
        .end_ns = last_ns - expr->offset_ns + 1,
        .without_lines = !pipeline->stages && expr->range <= RANGE_RATE,
        .needles = needles,
        .needle_count = logql_needles(pipeline, needles, NEEDLES_MAX),
        .deadline_ns = eval->request->deadline_ns,
        .cancelled = eval->request->cancelled,
        .bytes_max = eval->request->bytes_max,
        .stats = eval->stats,
    };
    table_init(&range.numbers, SERIES_MAX);
    buffer_init(&range.key, KEY_BYTES_MAX);
    int status = logstore_scan(eval->logs, &query, visit, &range, eval->err);
    if (status == 0)
        status = range.status;
    if (status == 0)
        status = finish(&range, out);
    release(&range);
    return status;
}
