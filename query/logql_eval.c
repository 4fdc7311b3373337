/* logql_eval: log queries, and the walk over an expression's tree. Range aggregations are in
 * query/logql_range.c, what combines their series in query/logql_vector.c.
 *
 *   sum by (level) (count_over_time({..}[5m])) / 2
 *   BINARY( AGGREGATE( RANGE ), NUMBER )      each node gives a vector of dense series
 */
#include "query/logql_eval.h"

#include <stdlib.h>

#include "query/logql_pipeline.h"
#include "query/logql_vector.h"

#define STREAMS_MAX   100000
#define KEY_BYTES_MAX ((size_t)1 << 20)
#define NEEDLES_MAX   16

/* --- log lines --- */

struct lines {
    struct logql_eval *eval;
    const struct logql_pipeline *pipeline;
    struct logql_result *result;
    struct logql_row *row;
    struct table streams; /* canonical labels -> struct logql_stream */
    struct buffer key;
    int status;
};

static struct logql_stream *find_stream(struct lines *lines)
{
    bool fresh;
    struct logql_row *row = lines->row;
    labels_sort(row->labels, row->count);
    struct labels labels = {row->labels, row->count};
    buffer_reset(&lines->key);
    labels_encode(labels, &lines->key);
    struct table_entry *entry = table_insert(&lines->streams, buffer_slice(&lines->key), &fresh);
    if (!entry || lines->key.overflow)
        return NULL;
    if (fresh) {
        struct logql_stream *stream = arena_zeroed(lines->eval->arena, 1, sizeof *stream);
        if (!stream)
            return NULL;
        stream->labels = labels_copy(lines->eval->arena, labels);
        entry->value.pointer = stream;
        lines->result->streams[lines->result->stream_count++] = stream;
    }
    return entry->value.pointer;
}

static bool visit_line(void *arg, const struct record *record)
{
    struct lines *lines = arg;
    struct arena *arena = lines->eval->arena;
    if (!logql_pipeline_run(lines->pipeline, record, lines->row))
        return true;
    struct logql_stream *stream = find_stream(lines);
    struct logql_entry *entry = arena_alloc(arena, sizeof *entry);
    if (!stream || !entry) {
        arena->exhausted = true;
        return false;
    }
    *entry = (struct logql_entry){record->time_ns, arena_copy(arena, lines->row->line), NULL};
    if (stream->last)
        stream->last->next = entry;
    else
        stream->first = entry;
    stream->last = entry;
    stream->count++;
    lines->status = logql_check_memory(lines->eval);
    if (lines->status)
        return false;
    return ++lines->result->entry_count < lines->eval->request->limit && !arena->exhausted;
}

static int run_lines(struct logql_eval *eval, const struct logql_pipeline *pipeline,
                     struct logql_result *out)
{
    struct slice needles[NEEDLES_MAX];
    const struct logql_request *request = eval->request;
    struct lines lines = {.eval = eval, .pipeline = pipeline, .result = out};
    struct logstore_query query = {
        .matchers = pipeline->matchers,
        .matcher_count = pipeline->matcher_count,
        .start_ns = request->start_ns,
        .end_ns = request->end_ns,
        .backward = request->backward,
        .needles = needles,
        .needle_count = logql_needles(pipeline, needles, NEEDLES_MAX),
        .deadline_ns = request->deadline_ns,
        .cancelled = request->cancelled,
        .bytes_max = request->bytes_max,
        .stats = eval->stats,
    };
    out->type = LOGQL_RESULT_STREAMS;
    size_t streams_max = request->limit < STREAMS_MAX ? request->limit : STREAMS_MAX;
    out->streams = arena_alloc(eval->arena, streams_max * sizeof(struct logql_stream *));
    if (!out->streams)
        return logql_out_of_memory(eval);
    lines.row = logql_row_new();
    table_init(&lines.streams, streams_max);
    buffer_init(&lines.key, KEY_BYTES_MAX);
    int status =
        request->limit ? logstore_scan(eval->logs, &query, visit_line, &lines, eval->err) : 0;
    if (status == 0)
        status = lines.status;
    if (status == 0 && eval->arena->exhausted)
        status = logql_out_of_memory(eval);
    buffer_release(&lines.key);
    table_release(&lines.streams);
    logql_row_free(lines.row);
    return status;
}

/* --- expressions --- */

static int eval_constant(struct logql_eval *eval, const struct logql_expr *expr,
                         struct logql_vector *out)
{
    *out = (struct logql_vector){.scalar = expr->kind == LOGQL_NUMBER, .count = 1};
    out->at = arena_zeroed(eval->arena, 1, sizeof *out->at);
    if (!out->at)
        return logql_out_of_memory(eval);
    if (logql_series_init(eval, out->at))
        return -1;
    for (size_t i = 0; i < eval->steps; i++) {
        out->at->present[i] = true;
        out->at->values[i] = expr->number;
    }
    return 0;
}

static int eval_expr(struct logql_eval *eval, const struct logql_expr *expr,
                     struct logql_vector *out);

static int eval_aggregate(struct logql_eval *eval, const struct logql_expr *expr,
                          struct logql_vector *out)
{
    static const struct logql_grouping all_together = {.present = true};
    const struct logql_expr *child = expr->left;
    struct logql_vector vector;
    /* A sum of counts is the count of the sum's group: see query/logql_range.c. */
    bool early =
        expr->aggregate == LOGQL_SUM && child->kind == LOGQL_RANGE && !child->pipeline->unwrap;
    const struct logql_grouping *grouping =
        expr->grouping.present ? &expr->grouping : &all_together;
    int status =
        early ? logql_eval_range(eval, child, grouping, &vector) : eval_expr(eval, child, &vector);
    return status ? -1 : logql_eval_aggregate(eval, expr, &vector, out);
}

static int eval_expr(struct logql_eval *eval, const struct logql_expr *expr,
                     struct logql_vector *out)
{
    struct logql_vector left, right;
    switch (expr->kind) {
    case LOGQL_NUMBER:
    case LOGQL_VECTOR:
        return eval_constant(eval, expr, out);
    case LOGQL_RANGE:
        return logql_eval_range(eval, expr, NULL, out);
    case LOGQL_AGGREGATE:
        return eval_aggregate(eval, expr, out);
    case LOGQL_BINARY:
        if (eval_expr(eval, expr->left, &left) || eval_expr(eval, expr->right, &right))
            return -1;
        return logql_eval_binary(eval, expr, &left, &right, out);
    case LOGQL_LOG:
        break;
    }
    return error_set(eval->err, ERROR_BAD_DATA, "log lines cannot be computed with");
}

static int compare_series(const void *a, const void *b)
{
    return labels_compare(((const struct logql_series *)a)->labels,
                          ((const struct logql_series *)b)->labels);
}

/* Series without a single point are not shown. */
static size_t drop_empty(const struct logql_eval *eval, struct logql_series *series, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool any = false;
        for (size_t step = 0; step < eval->steps && !any; step++)
            any = series[i].present[step];
        if (any)
            series[kept++] = series[i];
    }
    return kept;
}

static int set_steps(struct logql_eval *eval)
{
    const struct logql_request *request = eval->request;
    eval->steps = 1;
    eval->start_ns = request->end_ns;
    if (request->step_ns == 0)
        return 0;
    if (request->end_ns < request->start_ns)
        return error_set(eval->err, ERROR_BAD_DATA, "end lies before start; swap them");
    int64_t steps = (request->end_ns - request->start_ns) / request->step_ns + 1;
    if (steps > LOGQL_STEPS_MAX)
        return error_set(eval->err, ERROR_BAD_DATA,
                         "%lld steps are more than %d; choose a larger step or a shorter range",
                         (long long)steps, LOGQL_STEPS_MAX);
    eval->start_ns = request->start_ns;
    eval->step_ns = request->step_ns;
    eval->steps = (size_t)steps;
    return 0;
}

int logql_run(struct logstore *logs, const struct logql_request *request, struct arena *arena,
              struct logql_result *out, struct error *err)
{
    const struct logql_expr *root = request->query->root;
    struct logql_vector vector;
    *out = (struct logql_result){0};
    struct logql_eval eval = {
        .logs = logs, .request = request, .arena = arena, .stats = &out->stats, .err = err};
    if (root->kind == LOGQL_LOG)
        return run_lines(&eval, root->pipeline, out);
    if (set_steps(&eval) || eval_expr(&eval, root, &vector))
        return -1;
    out->type = vector.scalar ? LOGQL_RESULT_SCALAR : LOGQL_RESULT_SERIES;
    out->series = vector.at;
    out->series_count = drop_empty(&eval, vector.at, vector.count);
    out->start_ns = eval.start_ns;
    out->step_ns = eval.step_ns;
    out->steps = eval.steps;
    bool ranked = root->kind == LOGQL_AGGREGATE &&
                  (root->aggregate == LOGQL_TOPK || root->aggregate == LOGQL_BOTTOMK);
    if (out->series_count && !ranked)
        qsort(out->series, out->series_count, sizeof *out->series, compare_series);
    return 0;
}
