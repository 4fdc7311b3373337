/* logql: positioned errors, pipelines line by line, and queries over a small store against
 * answers worked out by hand.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "query/logql_eval.h"
#include "query/logql_pipeline.h"
#include "query/logql_render.h"
#include "query/promql.h"
#include "tests/unit/scratch_dir.h"

#define SECOND ((int64_t)1000000000)
#define T0     (1700000000 * SECOND)

/* --- parsing --- */

static void rejects(const char *text, const char *says)
{
    struct arena arena;
    struct logql_query query;
    struct error err = {0};
    arena_init(&arena, 1 << 20);
    if (logql_parse(slice_of_string(text), &arena, &query, &err) == 0)
        fail_msg("accepted %s", text);
    assert_int_equal(err.kind, ERROR_BAD_DATA);
    if (!strstr(err.text, says))
        fail_msg("%s: says \"%s\", not \"%s\"", text, err.text, says);
    arena_release(&arena);
}

static void test_parse_errors(void **state)
{
    (void)state;
    rejects("", "parse error at line 1, col 1: the query ends here; expected a selector");
    rejects("{service=\"api\"", "line 1, col 15: the query ends here; expected `,` or `}`");
    rejects("{service}", "col 9: unexpected `}`; expected one of = != =~ !~");
    rejects("{service=api}", "col 10: unexpected `api`; expected a quoted string");
    rejects("{service=~\"(\"}", "col 11: ");
    rejects("{a=\"b\"}\n  |= x", "line 2, col 6: unexpected `x`; expected a quoted string");
    rejects("{a=\"b\"} |= \"x", "col 12: this string has no closing quote");
    rejects("{a=\"b\"} | jsno", "col 11: there is no stage `jsno`");
    rejects("{a=\"b\"} | jsno x", "col 11: there is no stage `jsno`");
    rejects("{a=\"b\"} | status >= x", "col 21: unexpected `x`");
    rejects("{a=\"b\"} | status >= \"x\"", "strings can only be compared with");
    rejects("{a=\"b\"} | status >= 5lightyears", "no number, duration (10ms) or size (5KB)");
    rejects("{a=\"b\"} | (status >= 5", "the query ends here; expected `)`");
    rejects("{a=\"b\"} | line_format \"{{if .x}}\"", "col 23: a template can use .LABEL");
    rejects("{a=\"b\"} | line_format \"{{.x\"", "{{ without }}");
    rejects("{a=\"b\"} | pattern \"<a><b>\"", "need some text between");
    rejects("{a=\"b\"} | pattern \"abc\"", "captures nothing");
    rejects("{a=\"b\"} | regexp \"abc\"", "captures nothing");
    rejects("rate({a=\"b\"})", "col 13: unexpected `)`; expected a range such as [5m]");
    rejects("rate({a=\"b\"}[5x])", "col 14: unexpected `5x`; expected a duration");
    rejects("rate({a=\"b\"}[0s])", "must be positive");
    rejects("sum_over_time({a=\"b\"}[5m])", "col 1: sum_over_time needs numbers");
    rejects("count_over_time({a=\"b\"} | unwrap x [5m])", "counts lines");
    rejects("sum({a=\"b\"})", "col 5: an aggregation needs numbers over time");
    rejects("topk(0, rate({a=\"b\"}[5m]))", "whole number");
    rejects("{a=\"b\"} + 1", "operators need numbers");
    rejects("rate({a=\"b\"}[5m]) / on(x) rate({a=\"b\"}[5m])", "not supported");
    rejects("summ(rate({a=\"b\"}[5m]))", "col 1: there is no function `summ`");
    rejects("{a=\"b\"} }", "expected the end of the query");
    rejects("{a=\"b\"} ;", "unexpected character");
    char deep[400];
    memset(deep, '(', sizeof deep - 1);
    deep[sizeof deep - 1] = 0;
    rejects(deep, "levels of nesting");
}

/* --- pipelines --- */

static const struct label stream_labels[] = {
    {SLICE_LIT("level"), SLICE_LIT("warn")},
    {SLICE_LIT("service"), SLICE_LIT("api")},
};

/* What the stages make of a line: "labels => line", "" when it is filtered out. */
static void gives(const char *stages, const char *line, const char *expected)
{
    char text[1000];
    struct arena arena;
    struct buffer got;
    struct logql_query query;
    struct error err = {0};
    struct record record = {T0, {stream_labels, 2}, slice_of_string(line)};
    struct logql_row *row = logql_row_new();
    arena_init(&arena, 1 << 20);
    buffer_init(&got, 1 << 16);
    snprintf(text, sizeof text, "{a=\"b\"} %s", stages);
    if (logql_parse(slice_of_string(text), &arena, &query, &err))
        fail_msg("%s: %s", stages, err.text);
    if (logql_pipeline_run(query.root->pipeline, &record, row)) {
        labels_sort(row->labels, row->count);
        labels_print((struct labels){row->labels, row->count}, &got);
        buffer_append_string(&got, " => ");
        buffer_append_slice(&got, row->line);
    }
    if (!slice_equal_string(buffer_slice(&got), expected))
        fail_msg("%s\n of %s\n got " SLICE_FMT, stages, line, SLICE_ARG(buffer_slice(&got)));
    logql_release(&query);
    logql_row_free(row);
    buffer_release(&got);
    arena_release(&arena);
}

#define STREAM "level=\"warn\", service=\"api\""

static void test_line_filters(void **state)
{
    (void)state;
    gives("|= \"b c\"", "a b c", "{" STREAM "} => a b c");
    gives("|= `x`", "a b c", "");
    gives("!= \"b\"", "a b c", "");
    gives("!= \"x\" |= \"a\"", "a b c", "{" STREAM "} => a b c");
    gives("|~ \"b.c$\"", "a b c", "{" STREAM "} => a b c");
    gives("!~ \"b.c$\"", "a b c", "");
    gives("|= \"x\" or \"c\"", "a b c", "{" STREAM "} => a b c");
    gives("!= \"x\" or \"c\"", "a b c", "");
    gives("|~ \"(?i)B C\"", "a b c", "{" STREAM "} => a b c");
    gives("|= \"\"", "", "{" STREAM "} => ");
    gives("# comment |= \"x\"\n |= \"a\"", "a", "{" STREAM "} => a");
}

static void test_json(void **state)
{
    (void)state;
    const char *line =
        "{\"status\":502,\"took\":1.5,\"ok\":true,\"none\":null,\"list\":[1,{\"a\":2}],"
        "\"user\":{\"id\":7,\"name\":\"\\u00e9\"},\"level\":\"WARN\","
        "\"service\":\"api\",\"9-x.y\":\"v\",\"empty\":\"\"}";
    char expected[1000];
    snprintf(expected, sizeof expected,
             "{_9_x_y=\"v\", level=\"warn\", level_extracted=\"WARN\", ok=\"true\", "
             "service=\"api\", status=\"502\", took=\"1.5\", user_id=\"7\", "
             "user_name=\"\xc3\xa9\"} => %s",
             line);
    gives("| json", line, expected);
    snprintf(expected, sizeof expected, "{level=\"warn\"} => %s", line);
    gives("| json | status >= 500 | keep level", line, expected);
    gives("| json | status >= 503", line, "");
}

static void test_stages(void **state)
{
    (void)state;
    static const struct {
        const char *stages, *line, *expected;
    } rows[] = {
        {"| json a=\"x.y\", b=\"z[1]\", c=\"z\", d=\"[\\\"k k\\\"]\", e=\"none\"",
         "{\"x\":{\"y\":1},\"z\":[1,\"two\"],\"k k\":false}",
         "{a=\"1\", b=\"two\", c=\"[1,\\\"two\\\"]\", d=\"false\", " STREAM "}"},
        {"| json", "no", "{__error__=\"JSONParserErr\", " STREAM "}"},
        {"| json | __error__=\"\"", "no", ""},
        {"| json | status > 5", "no", "{__error__=\"JSONParserErr\", " STREAM "}"},
        {"| logfmt", "a=1 b=\"x \\\"y\\\"\" c d.e=f",
         "{a=\"1\", b=\"x \\\"y\\\"\", d_e=\"f\", " STREAM "}"},
        {"| logfmt --strict x=\"a\"", "a=1 b=2", "{" STREAM ", x=\"1\"}"},
        {"| regexp \"(?P<method>\\\\w+) (?P<path>\\\\S+)\"", "GET /buy 200",
         "{level=\"warn\", method=\"GET\", path=\"/buy\", service=\"api\"}"},
        {"| regexp \"(?P<n>x+)\"", "abc", "{" STREAM "}"},
        {"| pattern `<ip> - <_> \"<method> <path>\"`", "1.2.3.4 - bob \"GET /x\"",
         "{ip=\"1.2.3.4\", level=\"warn\", method=\"GET\", path=\"/x\", service=\"api\"}"},
        {"| pattern `id=<id>`", "id=5 rest", "{id=\"5 rest\", " STREAM "}"},
        {"| pattern `id=<id> `", "x id=5 rest", "{" STREAM "}"},
        {"| logfmt | a=\"1\" | b=~\"x.*\"", "a=1 b=xyz", "{a=\"1\", b=\"xyz\", " STREAM "}"},
        {"| logfmt | a!=\"1\"", "a=1", ""},
        {"| logfmt | a>1 or b<=2KB and c==10ms", "a=1 b=2KB c=10ms",
         "{a=\"1\", b=\"2KB\", c=\"10ms\", " STREAM "}"},
        {"| logfmt | (a>1 or b<=2KB) and c>10ms", "a=1 b=2KB c=10ms", ""},
        {"| logfmt | a>0, b>0", "a=1 b=1MiB",
         "{__error__=\"LabelFilterErr\", a=\"1\", "
         "b=\"1MiB\", " STREAM "}"},
        {"| logfmt | took > 1m30s", "took=1h", "{" STREAM ", took=\"1h\"}"},
        {"| logfmt | a > -5 | a < -3", "a=-4", "{a=\"-4\", " STREAM "}"},
        {"| missing > 5", "x", ""},
        {"| missing=\"\"", "x", "{" STREAM "}"},
        {"| detected_level=\"warn\" | service_name=\"api\"", "x", "{" STREAM "}"},
        {"| json=\"\"", "x", "{" STREAM "}"},
        {"| drop level", "x", "{service=\"api\"}"},
        {"| drop level=\"info\", service=~\"a.*\"", "x", "{level=\"warn\"}"},
        {"| keep level", "x", "{level=\"warn\"}"},
        {"| label_format sev=level, where=`in {{.service}}`", "x",
         "{service=\"api\", sev=\"warn\", where=\"in api\"}"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char expected[600];
        snprintf(expected, sizeof expected, "%s => %s", rows[i].expected, rows[i].line);
        gives(rows[i].stages, rows[i].line, rows[i].expected[0] ? expected : "");
    }
}

static void test_templates(void **state)
{
    (void)state;
    gives("| line_format \"{{.level}}: {{__line__}}\"", "x", "{" STREAM "} => warn: x");
    gives("| line_format `{{ .level | upper | replace \"W\" \"w\" | trunc 3 }}!`", "x",
          "{" STREAM "} => wAR!");
    gives("| line_format `[{{ default \"-\" .nothing }}] {{ lower .service }}`", "x",
          "{" STREAM "} => [-] api");
    gives("| line_format `a{{ __line__ | trim }}b`", "  x ", "{" STREAM "} => axb");
    gives("| line_format \"{{.nothing}}\"", "x", "{" STREAM "} => ");
    gives("| decolorize", "\x1b[31mred\x1b[0m \x1b[1;2mx", "{" STREAM "} => red x");
    /* A filter behind line_format sees the new line. */
    gives("| line_format \"new\" |= \"new\"", "old", "{" STREAM "} => new");
}

/* The second parser must not overwrite what the first gave to a label of the stream. */
static void test_labels_outlive_the_json_they_came_from(void **state)
{
    (void)state;
    gives(
        "| json | label_format service=msg | line_format `{\"other\":\"yyyyyyyyyyyyyyyy\"}` | json",
        "{\"msg\":\"0123456789abcdef\"}",
        "{level=\"warn\", other=\"yyyyyyyyyyyyyyyy\", service=\"0123456789abcdef\"} => "
        "{\"other\":\"yyyyyyyyyyyyyyyy\"}");
}

static void assert_too_many_operators(const char *start, const char *more)
{
    struct arena arena;
    struct buffer text;
    struct logql_query query;
    struct error err = {0};
    arena_init(&arena, 1 << 24);
    buffer_init(&text, LOGQL_TEXT_MAX);
    buffer_append_string(&text, start);
    for (int i = 0; i < LOGQL_OPERATORS_MAX; i++)
        buffer_append_string(&text, more);
    assert_int_equal(logql_parse(buffer_slice(&text), &arena, &query, &err), 0);
    logql_release(&query);
    buffer_append_string(&text, more);
    assert_int_equal(logql_parse(buffer_slice(&text), &arena, &query, &err), -1);
    assert_non_null(strstr(err.text, "more than 512 operators"));
    buffer_release(&text);
    arena_release(&arena);
}

/* Each is a level of the tree that is evaluated recursively. */
static void test_operators_are_bounded(void **state)
{
    (void)state;
    assert_too_many_operators("1", "+1");
    assert_too_many_operators("{a=\"b\"} | c>1", ",c>1");
    assert_too_many_operators("{a=\"b\"} | c>1", " or c>1");
}

/* --- queries over a store --- */

static char path[SCRATCH_DIR_BYTES];
static struct kv *kv;
static struct logstore *logs;

static void check(int status, const struct error *err)
{
    if (status)
        fail_msg("%s", err->text);
}

/* One line every 10 s for 10 minutes: level error every third, n = 0, 1, 2 ... 59. */
static void fill(void)
{
    static const struct label info[] = {{SLICE_LIT("level"), SLICE_LIT("info")},
                                        {SLICE_LIT("service"), SLICE_LIT("api")}};
    static const struct label error[] = {{SLICE_LIT("level"), SLICE_LIT("error")},
                                         {SLICE_LIT("service"), SLICE_LIT("api")}};
    struct kv_batch *batch = kv_batch_new();
    struct error err = {0};
    for (int i = 0; i < 60; i++) {
        char line[100];
        int len = snprintf(line, sizeof line, "{\"n\":%d,\"took\":\"%dms\",\"path\":\"/%c\"}", i,
                           i * 10, 'a' + i % 2);
        struct record record = {
            T0 + i * 10 * SECOND, {i % 3 ? info : error, 2}, slice_make(line, (size_t)len)};
        logstore_stage(logs, batch, &record, 1);
        check(kv_write(kv, batch, false, &err), &err);
        logstore_publish(logs);
        if (i == 30) /* half in a block, half in memory */
            check(logstore_seal(logs, T0 / 1000000, true, &err), &err);
    }
    kv_batch_free(batch);
}

static int setup(void **state)
{
    (void)state;
    struct error err = {0};
    struct logstore_options options = {0};
    if (scratch_dir_make(path, "logql_test"))
        return -1;
    check(kv_open(path, &kv, &err), &err);
    check(logstore_open(kv, &options, &logs, &err), &err);
    fill();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    logstore_close(logs);
    kv_close(kv);
    return scratch_dir_remove(path);
}

/* Runs and renders without statistics. step_s 0: at T0 + end_s. */
static void answers_with(const char *text, int64_t start_s, int64_t end_s, int64_t step_s,
                         size_t limit, const char *expected)
{
    struct arena arena;
    struct buffer got;
    struct logql_query query;
    struct logql_result result;
    struct error err = {0};
    arena_init(&arena, 1 << 24);
    buffer_init(&got, 1 << 20);
    if (logql_parse(slice_of_string(text), &arena, &query, &err))
        fail_msg("%s: %s", text, err.text);
    struct logql_request request = {.query = &query,
                                    .start_ns = T0 + start_s * SECOND,
                                    .end_ns = T0 + end_s * SECOND,
                                    .step_ns = step_s * SECOND,
                                    .limit = limit,
                                    .backward = true};
    if (logql_run(logs, &request, &arena, &result, &err))
        buffer_append_string(&got, err.text);
    else
        logql_render_data(&result, step_s == 0, 1, &got);
    struct slice answer = buffer_slice(&got);
    answer.len = slice_find(answer, SLICE(",\"stats\""));
    answer = slice_skip(answer, slice_find(answer, SLICE("\"result\":")) < answer.len
                                    ? slice_find(answer, SLICE("\"result\":")) + 9
                                    : 0);
    if (!slice_equal_string(answer, expected))
        fail_msg("%s\n got      " SLICE_FMT "\n expected %s", text, SLICE_ARG(answer), expected);
    logql_release(&query);
    buffer_release(&got);
    arena_release(&arena);
}

static void answers(const char *text, const char *expected)
{
    answers_with(text, 0, 600, 0, 10, expected);
}

#define AT "[1700000600,"

static void test_instant(void **state)
{
    (void)state;
    answers("vector(1)+vector(1)", "[{\"metric\":{},\"value\":" AT "\"2\"]}]");
    answers("2 ^ 3 ^ 2 - 10 / 4", AT "\"509.5\"]");
    answers("1 > 2", AT "\"0\"]");
    /* Left-open: the line at T0 is just outside, that at T0+590 inside. */
    answers("count_over_time({service=\"api\"}[10m])",
            "[{\"metric\":{\"level\":\"error\",\"service\":\"api\"},\"value\":" AT "\"19\"]},"
            "{\"metric\":{\"level\":\"info\",\"service\":\"api\"},\"value\":" AT "\"40\"]}]");
    answers("sum(count_over_time({service=\"api\"}[601s]))",
            "[{\"metric\":{},\"value\":" AT "\"60\"]}]");
    answers("sum by (level) (rate({service=\"api\"}[100s]))",
            "[{\"metric\":{\"level\":\"error\"},\"value\":" AT "\"0.03\"]},"
            "{\"metric\":{\"level\":\"info\"},\"value\":" AT "\"0.06\"]}]");
    answers("sum without (service) (count_over_time({service=\"api\"} | json | n > 50 [10m]))"
            " > 5 and sum by (level) (count_over_time({}[10m]))",
            "[]");
    answers("sum by (path) (count_over_time({} | json | n >= 57 [10m]))",
            "[{\"metric\":{\"path\":\"/a\"},\"value\":" AT "\"1\"]},"
            "{\"metric\":{\"path\":\"/b\"},\"value\":" AT "\"2\"]}]");
    answers("sum(count_over_time({} |= \"/a\" [10m] offset 5m))",
            "[{\"metric\":{},\"value\":" AT "\"16\"]}]");
    answers("sum(bytes_over_time({} |= `\"n\":7,` [10m]))",
            "[{\"metric\":{},\"value\":" AT "\"33\"]}]");
    answers("count(count_over_time({} | json [10m])) / 2",
            "[{\"metric\":{},\"value\":" AT "\"29.5\"]}]");
    answers("topk(1, sum by (level) (count_over_time({}[10m])))",
            "[{\"metric\":{\"level\":\"info\"},\"value\":" AT "\"40\"]}]");
    answers(
        "sum(count_over_time({level=\"error\"}[10m])) / sum(count_over_time({}[10m])) * 100 < 33",
        "[{\"metric\":{},\"value\":" AT "\"32.20338983050847\"]}]");
    answers("count_over_time({level=\"nothing\"}[10m])", "[]");
    answers("sum by (level, detected_level) (count_over_time({service_name=\"api\"} |= \"n\" "
            "| level=\"error\" [10m]))",
            "[{\"metric\":{\"detected_level\":\"error\",\"level\":\"error\"},\"value\":" AT
            "\"19\"]}]");
}

#define BY_LEVEL "sum by (level) (count_over_time({}[10m]))"
#define ERRORS   "sum by (level) (count_over_time({level=\"error\"}[10m]))"

/* Series meet by their labels: error 19 and info 40 on one side, error alone on the other. */
static void test_operators_between_vectors(void **state)
{
    (void)state;
    static const char error[] = "{\"metric\":{\"level\":\"error\"},\"value\":" AT;
    static const char info[] = "{\"metric\":{\"level\":\"info\"},\"value\":" AT;
    static const struct {
        const char *query, *error, *info;
    } rows[] = {
        {BY_LEVEL " and " ERRORS, "19", NULL},
        {BY_LEVEL " unless " ERRORS, NULL, "40"},
        {BY_LEVEL " or " ERRORS, "19", "40"},
        {ERRORS " or " BY_LEVEL, "19", "40"},
        {BY_LEVEL " + " ERRORS, "38", NULL},
        {BY_LEVEL " / 2", "9.5", "20"},
        {"1 + " BY_LEVEL, "20", "41"},
        {ERRORS " == " BY_LEVEL, "19", NULL},
        {BY_LEVEL " > bool 20", "0", "1"},
        {BY_LEVEL " > 20", NULL, "40"},
        {ERRORS " * 2 or " BY_LEVEL, "38", "40"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char expected[300];
        size_t used = (size_t)snprintf(expected, sizeof expected, "[");
        if (rows[i].error)
            used += (size_t)snprintf(expected + used, sizeof expected - used, "%s\"%s\"]}", error,
                                     rows[i].error);
        if (rows[i].info)
            used += (size_t)snprintf(expected + used, sizeof expected - used, "%s%s\"%s\"]}",
                                     rows[i].error ? "," : "", info, rows[i].info);
        snprintf(expected + used, sizeof expected - used, "]");
        answers(rows[i].query, expected);
    }
}

static void test_unwrap(void **state)
{
    (void)state;
    static const struct {
        const char *op, *value;
    } rows[] = {
        {"sum_over_time({} | json | unwrap n [50s])", "230"},
        {"avg_over_time({} | json | unwrap n [50s])", "57.5"},
        {"min_over_time({} | json | unwrap n [50s])", "56"},
        {"max_over_time({} | json | unwrap n [50s])", "59"},
        {"first_over_time({} | json | unwrap n [50s])", "56"},
        {"last_over_time({} | json | unwrap n [50s])", "59"},
        {"quantile_over_time(0.5, {} | json | unwrap n [50s])", "57.5"},
        {"quantile_over_time(0.9, {} | json | unwrap n [50s])", "58.7"},
        {"stddev_over_time({} | json | unwrap n [50s])", "1.118033988749895"},
        {"max_over_time({} | json | unwrap duration(took) [50s])", "0.59"},
        {"rate({} | json | unwrap n [50s])", "4.6"},
        {"sum_over_time({} | json | unwrap n | path=\"/a\" [50s])", "114"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[300], expected[100];
        bool rate = strncmp(rows[i].op, "rate", 4) == 0; /* has no grouping of its own */
        snprintf(text, sizeof text, "%s%s%s", rate ? "sum(" : "", rows[i].op,
                 rate ? ")" : " by ()");
        snprintf(expected, sizeof expected, "[{\"metric\":{},\"value\":" AT "\"%s\"]}]",
                 rows[i].value);
        answers(text, expected);
    }
    answers("sum by (path) (sum_over_time({} | json | keep n, path | unwrap n [30s]))",
            "[{\"metric\":{\"path\":\"/a\"},\"value\":" AT "\"58\"]},"
            "{\"metric\":{\"path\":\"/b\"},\"value\":" AT "\"59\"]}]");
    answers("sum_over_time({} | json | unwrap path [30s])",
            "pipeline error: 'SampleExtractionErr' for the line `{\"n\":58,\"took\":\"580ms\","
            "\"path\":\"/a\"}`; leave such lines out with | __error__=\"\"");
    answers("sum_over_time({} | json | unwrap path | __error__=\"\" [30s])", "[]");
}

static void test_ranges(void **state)
{
    (void)state;
    answers_with("sum by (level) (count_over_time({service=\"api\"}[1m]))", -60, 120, 60, 0,
                 "[{\"metric\":{\"level\":\"error\"},\"values\":[[1700000000,\"1\"],"
                 "[1700000060,\"2\"],[1700000120,\"2\"]]},"
                 "{\"metric\":{\"level\":\"info\"},\"values\":[[1700000060,\"4\"],"
                 "[1700000120,\"4\"]]}]");
    answers_with("max_over_time({} | json | unwrap n [1m]) by (service)", 0, 600, 300, 0,
                 "[{\"metric\":{\"service\":\"api\"},\"values\":[[1700000000,\"0\"],"
                 "[1700000300,\"30\"],[1700000600,\"59\"]]}]");
    answers_with("1 + 1", 0, 60, 60, 0,
                 "[{\"metric\":{},\"values\":[[1700000000,\"2\"],[1700000060,\"2\"]]}]");
    answers_with("vector(1)", 60, 0, 60, 0, "end lies before start; swap them");
    answers_with("vector(1)", 0, 100000, 1, 0,
                 "100001 steps are more than 11000; choose a larger step or a shorter range");
}

/* Whether the query can do with so much of what all queries share. */
static bool fits(const char *text, int64_t bytes_max)
{
    struct arena arena;
    struct logql_query query;
    struct logql_result result;
    struct error err = {0};
    struct promql_pool pool = {.bytes_max = bytes_max};
    struct promql_share share = {.pool = &pool};
    arena_init(&arena, 1 << 24);
    assert_int_equal(logql_parse(slice_of_string(text), &arena, &query, &err), 0);
    struct logql_request request = {.query = &query,
                                    .start_ns = T0,
                                    .end_ns = T0 + 600 * SECOND,
                                    .step_ns = 60 * SECOND,
                                    .limit = 100,
                                    .share = &share};
    int status = logql_run(logs, &request, &arena, &result, &err);
    if (status)
        assert_non_null(strstr(err.text, "limits.query_memory_total"));
    assert_true(pool.bytes > 0);
    promql_share_return(&share);
    assert_int_equal(pool.bytes, 0);
    logql_release(&query);
    arena_release(&arena);
    return status == 0;
}

static void test_memory_of_all_queries(void **state)
{
    static const char *const texts[] = {"{}", "count_over_time({}[1m])", "vector(1)",
                                        "sum_over_time({} | json | unwrap n [1m])"};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        assert_true(fits(texts[i], 1 << 24));
        assert_false(fits(texts[i], 64));
    }
}

static void test_lines(void **state)
{
    (void)state;
    answers_with("{service=\"api\"} |= \"/b\" | json | n >= 57 | keep level | "
                 "line_format \"{{.level}}\"",
                 0, 600, 0, 10,
                 "[{\"stream\":{\"level\":\"info\"},\"values\":[[\"1700000590000000000\","
                 "\"info\"]]},{\"stream\":{\"level\":\"error\"},\"values\":[["
                 "\"1700000570000000000\",\"error\"]]}]");
    answers_with("{level=\"error\"} | keep level | line_format \"x\"", 0, 600, 0, 2,
                 "[{\"stream\":{\"level\":\"error\"},\"values\":[[\"1700000570000000000\",\"x\"],"
                 "[\"1700000540000000000\",\"x\"]]}]");
    /* Lines: start included, end not. */
    answers_with("{} | drop service, level | line_format \"{{.n}}x\"", 0, 10, 0, 10,
                 "[{\"stream\":{},\"values\":[[\"1700000000000000000\",\"x\"]]}]");
    answers_with("{} |= \"absent\"", 0, 600, 0, 10, "[]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_errors),
        cmocka_unit_test(test_line_filters),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_labels_outlive_the_json_they_came_from),
        cmocka_unit_test(test_operators_are_bounded),
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_operators_between_vectors),
        cmocka_unit_test(test_instant),
        cmocka_unit_test(test_unwrap),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_memory_of_all_queries),
        cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
