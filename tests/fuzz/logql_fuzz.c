/* logql: any text as a query; what parses runs its pipelines over a line.
 *
 *   input   [query][NUL][line]      without a line: a JSON object with a bit of everything
 */
#include <assert.h>

#include "query/logql_pipeline.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct label stream[] = {
    {SLICE_LIT("level"), SLICE_LIT("warn")},
    {SLICE_LIT("service"), SLICE_LIT("api")},
};

static void run_pipeline(const struct logql_pipeline *pipeline, struct slice line)
{
    struct record record = {1700000000000000000, {stream, 2}, line};
    struct logql_row *row = logql_row_new();
    if (logql_pipeline_run(pipeline, &record, row)) {
        assert(row->count <= LOGQL_LABELS_MAX && row->stream_count <= row->count);
        for (size_t i = 0; i < row->count; i++) {
            assert(row->labels[i].name.len && row->labels[i].value.len);
            for (size_t j = 0; j < i; j++)
                assert(!slice_equal(row->labels[i].name, row->labels[j].name));
        }
    }
    logql_row_free(row);
}

static void walk(const struct logql_expr *expr, struct slice line)
{
    if (!expr)
        return;
    if (expr->pipeline)
        run_pipeline(expr->pipeline, line);
    if (expr->kind == LOGQL_RANGE)
        assert(expr->range_ns > 0);
    walk(expr->left, line);
    walk(expr->right, line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice line = slice_make(data, size), text;
    struct arena arena;
    struct logql_query query;
    struct error err = {0};
    if (!slice_cut(&line, '\0', &text))
        line = SLICE("{\"a\":1,\"b\":\"x y\",\"c\":{\"d\":[1,2],\"e\":null},\"took\":\"10ms\"} k=v "
                     "GET /x 1.2.3.4");
    arena_init(&arena, 4 << 20);
    if (logql_parse(text, &arena, &query, &err) == 0) {
        walk(query.root, line);
        logql_release(&query);
    } else {
        assert(err.kind == ERROR_LIMIT || text.len > LOGQL_TEXT_MAX ||
               slice_starts_with(slice_of_string(err.text), SLICE("parse error at line ")));
    }
    arena_release(&arena);
    return 0;
}
