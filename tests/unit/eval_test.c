/* eval: selectors, windows in time, modifiers, subqueries, limits. */
#include "tests/unit/promql_fixture.h"

#include "storage/key.h"
#include "storage/kv/kv.h"

static void test_selectors(void **state)
{
    (void)state;
    static const char *const series[] = {
        "up{job=\"a\"} 0+1x20",
        "up{job=\"b\",zone=\"x\"} 100+1x20",
        "gone{} 1 2 3 stale",
        "old{} 5",
        "odd{} 1 NaN",
        "back{} 1 stale 3",
        NULL,
    };
    static const struct fixture_case cases[] = {
        {"up", 120, "up{job=\"a\"} 2; up{job=\"b\", zone=\"x\"} 102"},
        {"up{zone=\"\"}", 120, "up{job=\"a\"} 2"},
        {"up{job=~\"b|c\"}", 120, "up{job=\"b\", zone=\"x\"} 102"},
        {"up{job!~\"b.*\"}", 120, "up{job=\"a\"} 2"},
        {"{__name__=\"up\",job!=\"a\"}", 120, "up{job=\"b\", zone=\"x\"} 102"},
        {"nothing", 120, ""},
        /* lookback is open on the left, closed on the right */
        {"old", 0, "old{} 5"},
        {"old", 299.999, "old{} 5"},
        {"old", 300, ""},
        /* a marker ends the series at once */
        {"gone", 179, "gone{} 3"},
        {"gone", 180, ""},
        {"back", 61, ""},
        {"back", 120, "back{} 3"},
        {"odd", 60, "odd{} nan"},
        {"up{job=\"a\"} offset 1m", 120, "up{job=\"a\"} 1"},
        {"up{job=\"a\"} offset -1m", 120, "up{job=\"a\"} 3"},
        {"up{job=\"a\"} @ 60", 600, "up{job=\"a\"} 1"},
        {"up{job=\"a\"} @ 120 offset 1m", 600, "up{job=\"a\"} 1"},
        {"up{job=\"a\"} offset 1m @ 120", 600, "up{job=\"a\"} 1"},
        {"up{job=\"a\"} @ start()", 240, "up{job=\"a\"} 4"},
        {"42", 0, "{} 42"},
        {"-1 ^ 2", 0, "{} -1"},
        {"\"text\"", 0, "text"},
        {"1 + 2 * 3 % 2", 0, "{} 1"},
        {"-7 % 3", 0, "{} -1"},
        {"1 > bool 2", 0, "{} 0"},
        {"NaN == bool NaN", 0, "{} 0"},
        {"NaN != bool NaN", 0, "{} 1"},
    };
    RUN(cases, series, 60);
}

static void test_windows_are_open_on_the_left(void **state)
{
    (void)state;
    static const char *const series[] = {"m{} 0+1x10", "s{} 1 2 stale 4 NaN", NULL};
    static const struct fixture_case cases[] = {
        {"m[1m]", 120, "m{} 2@120"},
        {"m[2m]", 120, "m{} 1@60 2@120"},
        {"m[2m]", 119.999, "m{} 0@0 1@60"},
        {"m[1m:1m]", 120, "m{} 2@120"},
        {"m[2m:30s]", 120, "m{} 0@30 1@60 1@90 2@120"},
        {"m[2m:1m]", 130, "m{} 1@60 2@120"},
        {"m[1m] offset 1m", 120, "m{} 1@60"},
        {"m[1m] @ 60", 600, "m{} 1@60"},
        {"m[2m:1m] @ 120 offset 1m", 0, "m{} 0@0 1@60"},
        /* markers are skipped, ordinary NaN stays */
        {"s[5m]", 240, "s{} 1@0 2@60 4@180 nan@240"},
        {"count_over_time(s[5m])", 240, "{} 4"},
        {"s[5m:2m]", 240, "s{} 1@0 nan@240"},
        /* steps lie on multiples of the step, before 1970 too */
        {"count_over_time(vector(1)[1m:7s])", 60, "{} 8"},
        {"vector(1)[10s:7s]", 0, "{} 1@-7 1@0"},
    };
    RUN(cases, series, 60);
}

/* Series are read in the order in which they came into being; nobody sees that. */
static void test_order(void **state)
{
    (void)state;
    static const char *const series[] = {"m{i=\"c\",g=\"2\"} 5 5", "m{i=\"a\",g=\"2\"} 3 3",
                                         "m{i=\"d\",g=\"1\"} 9 9", "m{i=\"b\",g=\"1\"} 5 5", NULL};
    static const struct fixture_case cases[] = {
        {"-m", 0,
         "{g=\"1\", i=\"b\"} -5; {g=\"1\", i=\"d\"} -9; {g=\"2\", i=\"a\"} -3; {g=\"2\", i=\"c\"} "
         "-5"},
        {"m{g=\"2\"}[2m]", 60, "m{g=\"2\", i=\"a\"} 3@0 3@60; m{g=\"2\", i=\"c\"} 5@0 5@60"},
        {"sum by (g) (m)", 0, "{g=\"1\"} 14; {g=\"2\"} 8"},
        {"limitk(2, m)", 0, "m{g=\"1\", i=\"b\"} 5; m{g=\"1\", i=\"d\"} 9"},
        {"limitk(1, sum by (i) (m))", 0, "{i=\"a\"} 3"},
        {"m{g=\"2\"} or m", 0,
         "m{g=\"1\", i=\"b\"} 5; m{g=\"1\", i=\"d\"} 9; m{g=\"2\", i=\"a\"} 3; m{g=\"2\", i=\"c\"} "
         "5"},
        /* but for what is asked in an order of its own, also where more is done to it */
        {"2 * topk(2, m)", 0, "{g=\"1\", i=\"d\"} 18; {g=\"1\", i=\"b\"} 10"},
        {"ceil(sort(m)) > 3", 0,
         "{g=\"1\", i=\"b\"} 5; {g=\"2\", i=\"c\"} 5; {g=\"1\", i=\"d\"} 9"},
        {"-(sort_desc(m{i!=\"a\"}))", 0,
         "{g=\"1\", i=\"d\"} -9; {g=\"1\", i=\"b\"} -5; {g=\"2\", i=\"c\"} -5"},
        {"sort_by_label_desc(m, \"i\")", 0,
         "m{g=\"1\", i=\"d\"} 9; m{g=\"2\", i=\"c\"} 5; m{g=\"1\", i=\"b\"} 5; m{g=\"2\", i=\"a\"} "
         "3"},
        {"sum by (g) (topk(1, m))", 0, "{g=\"1\"} 9"},
    };
    RUN(cases, series, 60);
}

static void test_range_queries(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    fixture_load(f, 60, "z{} 0+1x3 stale");
    fixture_load(f, 60, "a{} 9 _ _ _ _ _ _ 1");
    fixture_expect(f, "{__name__=~\"a|z\"}", 0, 480, 120,
                   "a{} 9@0 9@120 9@240 1@480; z{} 0@0 2@120");
    fixture_expect(f, "time()", 0, 120, 60, "{} 0@0 60@60 120@120");
    fixture_expect(f, "vector(time())", 0, 120, 60, "{} 0@0 60@60 120@120");
    fixture_expect(f, "7", 0, 120, 60, "{} 7@0 7@60 7@120");
    fixture_expect(f, "z @ end() + 1", 0, 120, 60, "{} 3@0 3@60 3@120");
    fixture_expect(f, "sum(z @ 60)", 0, 120, 60, "{} 1@0 1@60 1@120");
    fixture_expect(f, "z @ start()", 60, 120, 60, "z{} 1@60 1@120");
    /* start() inside a subquery is that of the query */
    fixture_expect(f, "max_over_time((z @ end())[1m:30s])", 0, 120, 120, "{} 2@0 2@120");
    fixture_expect(f, "timestamp(z)", 0, 200, 50, "{} 0@0 0@50 60@100 120@150 180@200");
    fixture_expect(f, "z > 1", 0, 240, 60, "z{} 2@120 3@180");
    fixture_expect(f, "m[5m]", 0, 60, 60,
                   "error: invalid expression type \"range vector\" for range query, must be "
                   "Scalar or instant Vector");
    fixture_expect(f, "z", 60, 0, 60, "error: end timestamp must not be before start time");
    fixture_expect(f, "z", 0, 11001, 1,
                   "error: exceeded maximum resolution of 11,000 points per timeseries. Try "
                   "decreasing the query resolution (?step=XX)");
    fixture_free(f);
}

static void test_names_are_dropped(void **state)
{
    (void)state;
    static const char *const series[] = {"a{x=\"1\"} 1+1x9", "b{x=\"1\"} 2+2x9", "Z{B=\"1\"} 3",
                                         NULL};
    static const struct fixture_case cases[] = {
        {"-a", 60, "{x=\"1\"} -2"},
        {"a + 1", 60, "{x=\"1\"} 3"},
        {"a > 1", 60, "a{x=\"1\"} 2"},
        {"1 < a", 60, "a{x=\"1\"} 2"},
        {"a > bool 1", 60, "{x=\"1\"} 1"},
        {"abs(Z)", 0, "{B=\"1\"} 3"},
        {"last_over_time(a[2m])", 60, "a{x=\"1\"} 2"},
        {"sum_over_time(a[2m])", 60, "{x=\"1\"} 3"},
        {"rate({__name__=~\"a|b\"}[5m])", 240,
         "error: vector cannot contain metrics with the same labelset"},
        {"-{__name__=~\"a|b\"}", 240,
         "error: vector cannot contain metrics with the same labelset"},
        {"{__name__=~\"a|b\"} + 1", 240,
         "error: vector cannot contain metrics with the same labelset"},
        {"{__name__=~\"a|b\"} > 1", 240, "a{x=\"1\"} 5; b{x=\"1\"} 10"},
        {"sum by (__name__) ({__name__=~\"a|b\"})", 240, "a{} 5; b{} 10"},
        {"last_over_time({__name__=~\"a|b\"}[1m])", 240, "a{x=\"1\"} 5; b{x=\"1\"} 10"},
    };
    RUN(cases, series, 60);
}

static void run_limited(struct fixture *f, const char *query, const struct promql_request *limits,
                        size_t memory, struct error *err)
{
    struct arena arena;
    struct plan *plan;
    struct promql_result result;
    struct promql_request request = *limits;
    arena_init(&arena, memory);
    assert_int_equal(parse_promql(slice_of_string(query), &arena, &plan, err), 0);
    request.plan = plan;
    assert_int_equal(promql_run(f->store, &request, &arena, &result, err), -1);
    plan_release(plan);
    arena_release(&arena);
}

static void test_limits(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct error err;
    fixture_load(f, 1, "m{a=\"1\"} 0+1x5000");
    fixture_load(f, 1, "m{a=\"2\"} 0+1x5000");
    struct promql_request samples = {.start_ms = 5000000, .end_ms = 5000000, .samples_max = 1000};
    run_limited(f, "rate(m[1h])", &samples, (size_t)64 << 20, &err);
    assert_int_equal(err.kind, ERROR_LIMIT);
    assert_non_null(strstr(err.text, "limits.query_samples"));
    struct promql_request late = {
        .start_ms = 0, .end_ms = 5000000, .step_ms = 1000, .deadline_ns = 1};
    run_limited(f, "rate(m[1h])", &late, (size_t)64 << 20, &err);
    assert_int_equal(err.kind, ERROR_TIMEOUT);
    assert_non_null(strstr(err.text, "limits.query_timeout"));
    struct promql_request plain = {.start_ms = 0, .end_ms = 5000000, .step_ms = 1000};
    static const char *const hungry[] = {
        "m",
        "rate(m[1h])",
        "sum by (a) (m)",
        "topk(1, m)",
        "m + m",
        "m or m",
        "-m",
        "label_replace(m, \"x\", \"$1\", \"a\", \"(.*)\")",
        "m[1h:1ms]",
        "time()",
        "max_over_time(m[1d:1ms])",
        "count_values(\"v\", m)",
        "histogram_quantile(0.9, m)",
        "quantile(0.5, m)",
        "absent(m)",
        "scalar(m)",
        "m and m",
        "sort(m)",
    };
    for (size_t i = 0; i < sizeof hungry / sizeof *hungry; i++) {
        struct promql_request request = plain;
        if (strcmp(hungry[i], "m[1h:1ms]") == 0)
            request = (struct promql_request){.start_ms = 5000000, .end_ms = 5000000};
        run_limited(f, hungry[i], &request, 30000, &err);
        assert_int_equal(err.kind, ERROR_LIMIT);
        assert_non_null(strstr(err.text, "limits.query_memory"));
    }
    fixture_free(f);
}

/* No budget, however odd, may do more than refuse. */
static void test_every_budget(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    fixture_load(f, 60, "m{a=\"1\",le=\"1\"} 0+1x50 stale 3 4");
    fixture_load(f, 60, "m{a=\"2\",le=\"+Inf\"} 0+1x50");
    static const char *const queries[] = {
        "m",
        "rate(m[5m])",
        "sum by (a) (m)",
        "topk(1, m)",
        "m + on(a) m",
        "m or -m",
        "label_replace(m, \"x\", \"$1\", \"a\", \"(.*)\")",
        "max_over_time(m[1h:10s])",
        "count_values(\"v\", m)",
        "histogram_quantile(0.9, m)",
        "quantile(0.5, m)",
        "sort(m)",
        "sum by (a) (m @ 60)",
        "absent(m) or vector(scalar(m))",
        "m[1h]",
    };
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        for (size_t memory = 2000; memory < 60000; memory += 1234) {
            struct arena arena;
            struct plan *plan = NULL;
            struct promql_result result;
            struct error err;
            bool range = strcmp(queries[i], "m[1h]") != 0;
            struct promql_request request = {
                .start_ms = range ? 0 : 3000000, .end_ms = 3000000, .step_ms = range ? 60000 : 0};
            arena_init(&arena, memory);
            if (parse_promql(slice_of_string(queries[i]), &arena, &plan, &err) == 0) {
                request.plan = plan;
                if (promql_run(f->store, &request, &arena, &result, &err) != 0)
                    assert_int_equal(err.kind, ERROR_LIMIT);
            }
            plan_release(plan);
            arena_release(&arena);
        }
    }
    fixture_free(f);
}

/* Two megabytes of labels, and only the last one tells the two series apart. */
static void test_long_label_sets_stay_apart(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct buffer query;
    fixture_load(f, 60, "m{z=\"1\"} 1");
    fixture_load(f, 60, "m{z=\"2\"} 1");
    buffer_init(&query, QUERY_TEXT_MAX);
    buffer_append_string(&query, "count(label_join(label_join(label_replace(m, \"x\", \"");
    for (int i = 0; i < 60000; i++)
        buffer_append_char(&query, 'q');
    buffer_append_string(&query, "\", \"\", \"\")");
    for (int target = 'a'; target <= 'b'; target++) {
        buffer_append_format(&query, ", \"%c\", \"\"", target);
        for (int i = 0; i < 16; i++)
            buffer_append_string(&query, ", \"x\"");
        buffer_append_char(&query, ')');
    }
    buffer_append_string(&query, ")");
    buffer_append_char(&query, 0);
    fixture_check(f, query.at, 0, "{} 2");
    buffer_release(&query);
    fixture_free(f);
}

/* Overwrites the first chunk of series 0. */
static void damage_chunk(struct fixture *f)
{
    struct kv *kv;
    struct error err = {0};
    struct kv_batch *batch = kv_batch_new();
    struct key_bytes key = key_of_chunk((struct chunk_key){.series = 0});
    assert_int_equal(store_seal(f->store, &err), 0);
    fixture_close(f);
    assert_int_equal(kv_open(f->path, &kv, &err), 0);
    kv_batch_put(kv, batch, KV_CHUNK, key_slice(&key), SLICE("what is this"));
    assert_int_equal(kv_write(kv, batch, true, &err), 0);
    kv_batch_free(batch);
    kv_close(kv);
    fixture_open(f);
}

static void test_damage_is_a_warning(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct arena arena;
    struct error err;
    struct plan *plan = NULL;
    struct promql_result result;
    fixture_load(f, 60, "m{a=\"1\"} 0+1x5");
    fixture_load(f, 60, "m{a=\"2\"} 0+1x5");
    damage_chunk(f);
    arena_init(&arena, 1 << 24);
    assert_int_equal(parse_promql(SLICE("m"), &arena, &plan, &err), 0);
    struct promql_request request = {.plan = plan, .start_ms = 120000, .end_ms = 120000};
    assert_int_equal(promql_run(f->store, &request, &arena, &result, &err), 0);
    assert_int_equal(result.count, 1);
    assert_int_equal(result.warning_count, 1);
    struct slice name = SLICE("m{a=\"1\"}");
    assert_true(slice_find(result.warnings[0], name) < result.warnings[0].len);
    plan_release(plan);
    arena_release(&arena);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selectors),
        cmocka_unit_test(test_windows_are_open_on_the_left),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_range_queries),
        cmocka_unit_test(test_names_are_dropped),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_every_budget),
        cmocka_unit_test(test_long_label_sets_stay_apart),
        cmocka_unit_test(test_damage_is_a_warning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
