/* Results as JSON, compared with the bytes that Prometheus sends. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "query/render.h"

static void renders(const struct promql_result *result, int64_t time_ms, const char *expected)
{
    struct buffer out;
    buffer_init(&out, 65536);
    render_data(result, time_ms, 0, &out);
    if (!slice_equal_string(buffer_slice(&out), expected))
        fail_msg("%.*s\nnot\n%s", SLICE_ARG(buffer_slice(&out)), expected);
    buffer_release(&out);
}

static void test_scalar_and_string(void **state)
{
    (void)state;
    int64_t times[] = {1700050000500};
    double values[] = {1e21};
    struct promql_series series = {.count = 1, .times = times, .values = values};
    struct promql_result scalar = {.type = VALUE_SCALAR, .series = &series, .count = 1};
    renders(&scalar, 1700050000500,
            "{\"resultType\":\"scalar\",\"result\":[1700050000.5,\"1000000000000000000000\"]}");
    struct promql_result string = {.type = VALUE_STRING, .string = SLICE("a\"b")};
    renders(&string, 1700050000250,
            "{\"resultType\":\"string\",\"result\":[1700050000.25,\"a\\\"b\"]}");
}

static void test_vector(void **state)
{
    (void)state;
    struct label labels[] = {{SLICE_LIT("__name__"), SLICE_LIT("up")},
                             {SLICE_LIT("job"), SLICE_LIT("x\n")}};
    int64_t time = 1700050000500;
    double one = 1e21, nan = NAN;
    struct promql_series series[] = {
        {.labels = {labels, 2}, .count = 1, .times = &time, .values = &one},
        {.count = 1, .times = &time, .values = &nan},
    };
    struct promql_result result = {.type = VALUE_VECTOR, .series = series, .count = 2};
    renders(
        &result, time,
        "{\"resultType\":\"vector\",\"result\":["
        "{\"metric\":{\"__name__\":\"up\",\"job\":\"x\\n\"},\"value\":[1700050000.500,\"1e+21\"]"
        "},{\"metric\":{},\"value\":[1700050000.500,\"NaN\"]}]}");
    result.count = 0;
    renders(&result, time, "{\"resultType\":\"vector\",\"result\":[]}");
}

static void test_matrix(void **state)
{
    (void)state;
    int64_t times[] = {-5000, -1, 0, 1005, 1700050000000};
    double values[] = {-INFINITY, 0.000001, 1e-7, 0.1, INFINITY};
    struct promql_series series = {.count = 5, .times = times, .values = values};
    struct promql_result result = {.type = VALUE_MATRIX, .series = &series, .count = 1};
    renders(&result, 0,
            "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[-5,\"-Inf\"],"
            "[-0.001,\"0.000001\"],[0,\"1e-07\"],[1.005,\"0.1\"],[1700050000,\"+Inf\"]]}]}");
}

static void test_histogram(void **state)
{
    (void)state;
    struct histogram_bucket positive[] = {{0, 2}, {1, 0}, {2, 3}};
    struct histogram_bucket negative[] = {{0, 1}, {3, 4}};
    struct histogram histogram = {
        .schema = 0,
        .zero_threshold = 0.001,
        .zero_count = 5,
        .count = 15,
        .sum = 6.5,
        .positive = {.at = positive, .count = 3},
        .negative = {.at = negative, .count = 2},
    };
    const struct histogram *histograms[] = {&histogram};
    int64_t times[] = {1000};
    struct promql_series series = {.count = 1, .times = times, .histograms = histograms};
    struct promql_result result = {.type = VALUE_VECTOR, .series = &series, .count = 1};
#define SHOWN                                                                                      \
    "[1,{\"count\":\"15\",\"sum\":\"6.5\",\"buckets\":[[1,\"-8\",\"-4\",\"4\"],"                   \
    "[1,\"-1\",\"-0.5\",\"1\"],[3,\"-0.001\",\"0.001\",\"5\"],[0,\"0.5\",\"1\",\"2\"],"            \
    "[0,\"2\",\"4\",\"3\"]]}]"
    renders(&result, 1000,
            "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"histogram\":" SHOWN "}]}");
    result.type = VALUE_MATRIX;
    renders(&result, 1000,
            "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"histograms\":[" SHOWN "]}]}");
    struct histogram empty = {.schema = 6};
    struct buffer out;
    buffer_init(&out, 1000);
    render_histogram(&empty, &out);
    assert_true(slice_equal_string(buffer_slice(&out), "{\"count\":\"0\",\"sum\":\"0\"}"));
    buffer_release(&out);
}

static void test_limit(void **state)
{
    (void)state;
    int64_t time = 1000;
    double one = 1;
    struct promql_series series[] = {{.count = 1, .times = &time, .values = &one},
                                     {.count = 1, .times = &time, .values = &one}};
    struct promql_result result = {.type = VALUE_VECTOR, .series = series, .count = 2};
    struct buffer out;
    buffer_init(&out, 1000);
    render_data(&result, 1000, 1, &out);
    assert_true(slice_equal_string(
        buffer_slice(&out),
        "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1,\"1\"]}]}"));
    buffer_release(&out);
}

/* Cut anywhere, the pieces make the same text; rows with gaps among those that share their times. */
static void test_pieces(void **state)
{
    (void)state;
    enum { STEPS = 200, SERIES = 6 };
    int64_t grid[STEPS], gaps[STEPS];
    double values[STEPS];
    const struct histogram *histograms[STEPS];
    struct histogram histogram = {.count = 1, .sum = 0.25, .zero_count = 1, .zero_threshold = 0.5};
    for (int i = 0; i < STEPS; i++) {
        grid[i] = -50000 + 1005 * i;
        gaps[i] = 3000 * i;
        values[i] = i * 0.37 - 5;
        histograms[i] = &histogram;
    }
    struct promql_series series[SERIES] = {
        {.count = STEPS, .times = grid, .values = values},
        {.count = STEPS, .times = grid, .values = values},
        {.count = 0},
        {.count = 77, .times = gaps, .values = values},
        {.count = STEPS / 2, .times = gaps, .histograms = histograms},
        {.count = STEPS, .times = grid, .values = values},
    };
    struct promql_result result = {.type = VALUE_MATRIX, .series = series, .count = SERIES};
    struct buffer whole, pieces, one;
    buffer_init(&whole, 1 << 20);
    buffer_init(&pieces, 1 << 20);
    buffer_init(&one, 1 << 20);
    for (size_t i = 0; i < SERIES; i++) { /* each series alone has no stamps to share */
        struct promql_result alone = {.type = VALUE_MATRIX, .series = series + i, .count = 1};
        buffer_reset(&one);
        render_data(&alone, 0, 0, &one);
        struct slice text =
            slice_skip(buffer_slice(&one), strlen("{\"resultType\":\"matrix\",\"result\":["));
        buffer_append_string(&whole, i == 0            ? "{\"resultType\":\"matrix\",\"result\":["
                                     : series[i].count ? ","
                                                       : "");
        buffer_append_slice(&whole, slice_head(text, text.len - 2));
    }
    buffer_append_string(&whole, "]}");
    for (size_t bytes = 1; bytes < 30000; bytes = bytes * 3 + 1) {
        struct render render = {.result = &result};
        buffer_reset(&pieces);
        while (render_some(&render, bytes, &pieces))
            assert_false(pieces.overflow);
        render_release(&render);
        assert_true(slice_equal(buffer_slice(&pieces), buffer_slice(&whole)));
    }
    buffer_release(&whole);
    buffer_release(&pieces);
    buffer_release(&one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scalar_and_string),
        cmocka_unit_test(test_vector),
        cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_histogram),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
