/* promql: the frame around an evaluation: request in, result out.
 *
 * A range query is one pass over its step grid; an instant query is a grid of one step. Rows become
 * series by leaving out the steps without a point; the times of rows that have all steps are one
 * shared array. A row that holds floats at some steps and histograms at others becomes two series.
 */
#include "query/promql.h"

#include <stdio.h>
#include <stdlib.h>

#include "query/eval.h"

#define TIME_MAX_MS ((int64_t)1 << 53)

struct answer {
    struct eval *eval;
    const struct grid *grid;
    const int64_t *grid_times;
    struct promql_result *out;
    size_t capacity;
};

static int answer_append(struct answer *answer, const struct promql_series *series)
{
    struct promql_result *out = answer->out;
    if (out->count == answer->capacity) {
        size_t capacity = answer->capacity ? answer->capacity * 2 : 16;
        struct promql_series *at = arena_alloc(answer->eval->arena, capacity * sizeof *at);
        if (!at)
            return eval_fail_memory(answer->eval);
        if (out->count)
            memcpy(at, out->series, out->count * sizeof *at);
        out->series = at;
        answer->capacity = capacity;
    }
    out->series[out->count++] = *series;
    return 0;
}

/* --- rows to series --- */

static int append_floats(struct answer *answer, struct row *row, size_t count)
{
    struct promql_series series = {.labels = row->labels, .count = count, .values = row->values};
    if (count == 0)
        return 0;
    series.times = answer->grid_times;
    if (count < answer->grid->steps) {
        int64_t *times = arena_alloc(answer->eval->arena, count * sizeof *times);
        size_t kept = 0;
        if (!times)
            return eval_fail_memory(answer->eval);
        for (size_t i = 0; i < answer->grid->steps; i++) {
            if (point_is_absent(row->values[i]))
                continue;
            times[kept] = grid_time(answer->grid, i);
            row->values[kept++] = row->values[i];
        }
        series.times = times;
    }
    return answer_append(answer, &series);
}

static int append_histograms(struct answer *answer, struct row *row)
{
    int64_t *times = arena_alloc(answer->eval->arena, answer->grid->steps * sizeof *times);
    size_t count = 0;
    if (!times)
        return eval_fail_memory(answer->eval);
    for (size_t i = 0; i < answer->grid->steps; i++) {
        if (!row->histograms[i])
            continue;
        times[count] = grid_time(answer->grid, i);
        row->histograms[count++] = row->histograms[i];
    }
    struct promql_series series = {
        .labels = row->labels, .count = count, .times = times, .histograms = row->histograms};
    return count ? answer_append(answer, &series) : 0;
}

static int append_row(struct answer *answer, struct row *row)
{
    size_t floats = 0;
    for (size_t i = 0; i < answer->grid->steps; i++)
        floats += !point_is_absent(row->values[i]);
    if (append_floats(answer, row, floats) != 0)
        return -1;
    return row->histograms ? append_histograms(answer, row) : 0;
}

static int run_vector(struct answer *answer, const struct plan *plan)
{
    struct rows rows;
    if (rows_collect(answer->eval, plan, answer->grid, &rows) != 0)
        return -1;
    if (answer->out->type == VALUE_MATRIX || !plan_orders_series(plan))
        rows_sort(&rows);
    for (size_t i = 0; i < rows.count; i++)
        if (append_row(answer, &rows.at[i]) != 0)
            return -1;
    return 0;
}

static int run_scalar(struct answer *answer, const struct plan *plan)
{
    struct row row = {.values = eval_scalar_new(answer->eval, plan, answer->grid)};
    return row.values ? append_floats(answer, &row, answer->grid->steps) : -1;
}

/* --- an instant query of a range: the samples themselves --- */

struct samples_answer {
    struct samples_sink sink;
    struct answer *answer;
};

static int copy_floats(struct answer *answer, struct labels labels, const struct samples *samples)
{
    struct arena *arena = answer->eval->arena;
    int64_t *times = arena_alloc(arena, samples->count * sizeof *times);
    double *values = arena_alloc(arena, samples->count * sizeof *values);
    if (!times || !values)
        return eval_fail_memory(answer->eval);
    memcpy(times, samples->times, samples->count * sizeof *times);
    memcpy(values, samples->values, samples->count * sizeof *values);
    return answer_append(
        answer, &(struct promql_series){
                    .labels = labels, .count = samples->count, .times = times, .values = values});
}

static int copy_histograms(struct answer *answer, struct labels labels,
                           const struct samples *samples)
{
    struct arena *arena = answer->eval->arena;
    size_t count = samples->histogram_count;
    int64_t *times = arena_alloc(arena, count * sizeof *times);
    const struct histogram **histograms = arena_alloc(arena, count * sizeof *histograms);
    if (!times || !histograms)
        return eval_fail_memory(answer->eval);
    memcpy(times, samples->histogram_times, count * sizeof *times);
    for (size_t i = 0; i < count; i++)
        if (!(histograms[i] = histogram_copy(arena, samples->histograms[i])))
            return eval_fail_memory(answer->eval);
    return answer_append(
        answer, &(struct promql_series){
                    .labels = labels, .count = count, .times = times, .histograms = histograms});
}

static int samples_take(struct samples_sink *sink, struct labels labels,
                        const struct samples *samples)
{
    struct answer *answer = ((struct samples_answer *)sink)->answer;
    if (samples->count && copy_floats(answer, labels, samples) != 0)
        return -1;
    return samples->histogram_count ? copy_histograms(answer, labels, samples) : 0;
}

static int compare_series(const void *a, const void *b)
{
    return labels_compare(((const struct promql_series *)a)->labels,
                          ((const struct promql_series *)b)->labels);
}

static int run_matrix(struct answer *answer, const struct plan *plan)
{
    struct samples_answer samples = {{.take = samples_take}, answer};
    struct promql_result *out = answer->out;
    if (range_each(answer->eval, plan, answer->grid, &samples.sink) != 0)
        return -1;
    if (out->count)
        qsort(out->series, out->count, sizeof *out->series, compare_series);
    return 0;
}

/* --- the request --- */

static int check_request(const struct promql_request *request, struct grid *grid, struct error *err)
{
    enum value_type type = request->plan->type;
    int64_t start = request->start_ms, end = request->end_ms, step = request->step_ms;
    if (start < -TIME_MAX_MS || start > TIME_MAX_MS || end < -TIME_MAX_MS || end > TIME_MAX_MS)
        return error_set(err, ERROR_BAD_DATA, "the time of the query is out of range");
    *grid = (struct grid){start, 0, 1};
    if (step == 0)
        return 0;
    if (step < 0)
        return error_set(err, ERROR_BAD_DATA,
                         "zero or negative query resolution step widths are not accepted. Try a "
                         "positive integer");
    if (end < start)
        return error_set(err, ERROR_BAD_DATA, "end timestamp must not be before start time");
    if (type == VALUE_MATRIX || type == VALUE_STRING)
        return error_set(err, ERROR_BAD_DATA,
                         "invalid expression type \"%s\" for range query, must be Scalar or "
                         "instant Vector",
                         type == VALUE_MATRIX ? "range vector" : "string");
    if ((end - start) / step > PROMQL_POINTS_MAX)
        return error_set(err, ERROR_BAD_DATA,
                         "exceeded maximum resolution of 11,000 points per timeseries. Try "
                         "decreasing the query resolution (?step=XX)");
    *grid = (struct grid){start, step, (size_t)((end - start) / step) + 1};
    return 0;
}

static int run_type(struct answer *answer, const struct plan *plan)
{
    switch (plan->type) {
    case VALUE_SCALAR:
        return run_scalar(answer, plan);
    case VALUE_STRING:
        answer->out->string = eval_string(plan);
        return 0;
    case VALUE_VECTOR:
        return run_vector(answer, plan);
    case VALUE_MATRIX:
        return run_matrix(answer, plan);
    }
    return -1;
}

static void take_notes(struct arena *arena, const struct notes *notes, const char *kind,
                       struct slice **at, size_t *count)
{
    *at = arena_alloc(arena, (notes->count + 1) * sizeof **at);
    if (!*at)
        return;
    if (notes->count)
        memcpy(*at, notes->at, notes->count * sizeof **at);
    *count = notes->count;
    if (notes->seen_count > notes->count)
        (*at)[(*count)++] = arena_format(arena, "%zu more %s annotations omitted",
                                         notes->seen_count - notes->count, kind);
}

static int run(struct eval *eval, const struct grid *grid, struct promql_result *out)
{
    struct answer answer = {.eval = eval, .grid = grid, .out = out};
    int64_t *times = arena_alloc(eval->arena, grid->steps * sizeof *times);
    if (!times)
        return eval_fail_memory(eval);
    for (size_t i = 0; i < grid->steps; i++)
        times[i] = grid_time(grid, i);
    answer.grid_times = times;
    if (run_type(&answer, eval->request->plan) != 0)
        return -1;
    take_notes(eval->arena, &eval->warnings, "warning", &out->warnings, &out->warning_count);
    take_notes(eval->arena, &eval->infos, "info", &out->infos, &out->info_count);
    out->samples_read = eval->samples_read;
    out->tiers = eval->tiers;
    /* Small things on the way check nothing: this is their check. */
    return eval->arena->exhausted ? eval_fail_memory(eval) : 0;
}

int promql_evaluate(struct store *store, const struct promql_request *request, struct arena *arena,
                    struct promql_result *out, struct error *err)
{
    struct error ignored;
    struct grid grid;
    struct eval eval = {
        .store = store,
        .request = request,
        .arena = arena,
        .err = err ? err : &ignored,
        .share = request->share,
        .lookback_ms = request->lookback_ms ? request->lookback_ms : PROMQL_LOOKBACK_MS,
    };
    if (check_request(request, &grid, eval.err) != 0)
        return -1;
    *out = (struct promql_result){
        .type = request->step_ms ? VALUE_MATRIX : request->plan->type,
    };
    eval.reader = store_reader_new(store);
    int result = run(&eval, &grid, out);
    store_reader_free(eval.reader);
    return result;
}

void promql_note_tiers(struct promql_result *result, struct arena *arena)
{
    static const char *const names[STORE_TIER_COUNT] = {"raw", "5m", "1h"};
    char text[32] = "";
    size_t len = 0, count = result->info_count;
    struct slice *infos = arena_alloc(arena, (count + 1) * sizeof *infos);
    if ((result->tiers & ~(1u << STORE_RAW)) == 0 || !infos)
        return;
    for (size_t i = STORE_TIER_COUNT; i--;)
        if (result->tiers & 1u << i)
            len +=
                (size_t)snprintf(text + len, sizeof text - len, "%s%s", len ? ", " : "", names[i]);
    if (count)
        memcpy(infos, result->infos, count * sizeof *infos);
    infos[count] = arena_format(arena, "read from rollups: %s", text);
    result->infos = infos;
    result->info_count += infos[count].at != NULL;
}

int promql_run(struct store *store, const struct promql_request *request, struct arena *arena,
               struct promql_result *out, struct error *err)
{
    if (promql_evaluate(store, request, arena, out, err) != 0)
        return -1;
    promql_note_tiers(out, arena);
    return 0;
}
