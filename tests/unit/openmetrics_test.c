/* Exposition text: what a line becomes, and why a line is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/wire/openmetrics.h"

static struct arena arena;

static enum openmetrics_reject read_one(const char *text, struct openmetrics_sample *out)
{
    struct openmetrics reader;
    enum openmetrics_reject reject;
    arena_reset(&arena);
    openmetrics_init(&reader, slice_of_string(text));
    assert_true(openmetrics_next(&reader, &arena, out, &reject));
    return reject;
}

static void accepts(const char *text, const char *labels, double value, int64_t time_ms)
{
    struct openmetrics_sample sample;
    struct buffer shown;
    enum openmetrics_reject reject = read_one(text, &sample);
    if (reject != OPENMETRICS_OK)
        fail_msg("%s: %s", text, openmetrics_reject_name(reject));
    buffer_init(&shown, 4096);
    labels_print(sample.labels, &shown);
    if (!slice_equal_string(buffer_slice(&shown), labels))
        fail_msg("%s: %.*s", text, SLICE_ARG(buffer_slice(&shown)));
    buffer_release(&shown);
    assert_true(sample.value == value || (isnan(value) && isnan(sample.value)));
    assert_int_equal(sample.has_time, time_ms != 0);
    if (time_ms)
        assert_int_equal(sample.time_ms, time_ms);
}

static void test_accepts(void **state)
{
    (void)state;
    accepts("foo 1", "foo{}", 1, 0);
    accepts("foo{} 1", "foo{}", 1, 0);
    accepts("foo 1 1395066363000", "foo{}", 1, 1395066363000);
    accepts("foo 1 -5", "foo{}", 1, -5);
    accepts("foo 1 1395066363.25\n# EOF\n", "foo{}", 1, 1395066363250);
}

static void test_accepts_labels(void **state)
{
    (void)state;
    accepts("foo{b=\"2\", a=\"1\",} 2.5e-3\r\n", "foo{a=\"1\", b=\"2\"}", 2.5e-3, 0);
    accepts("foo{ a = \"x\\\\\\\"\\ny\\d\" } -Inf", "foo{a=\"x\\\\\\\"\\ny\\\\d\"}", -INFINITY, 0);
    accepts("foo{a=\"\",b=\"c\"} +Inf", "foo{b=\"c\"}", INFINITY, 0);
    accepts("{\"http.requests\",\"x.y\"=\"z\"} NaN", "http.requests{x.y=\"z\"}", NAN, 0);
    accepts("api.latency{a=\"b\"} 3", "api.latency{a=\"b\"}", 3, 0);
    accepts("foo_total 5 1.5 # {trace=\"x\"} 1 2\n# EOF", "foo_total{}", 5, 1500);
}

static void test_rejects(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum openmetrics_reject reject;
    } rows[] = {
        {"1foo 1", OPENMETRICS_BAD_NAME},
        {"{a=\"b\"} 1", OPENMETRICS_BAD_NAME},
        {"foo{\"bar\"} 1", OPENMETRICS_BAD_NAME},
        {"foo{a=\"b\",a=\"c\"} 1", OPENMETRICS_BAD_LABELS},
        {"foo{__name__=\"c\"} 1", OPENMETRICS_BAD_LABELS},
        {"foo{a=b} 1", OPENMETRICS_BAD_LABELS},
        {"foo{a=\"b} 1", OPENMETRICS_BAD_LABELS},
        {"foo{a=\"b\" c=\"d\"} 1", OPENMETRICS_BAD_LABELS},
        {"foo{a=\"b\"", OPENMETRICS_BAD_LABELS},
        {"foo{a=\"b\\", OPENMETRICS_BAD_LABELS},
        {"foo", OPENMETRICS_BAD_VALUE},
        {"foo x", OPENMETRICS_BAD_VALUE},
        {"foo +", OPENMETRICS_BAD_VALUE},
        {"foo 1 x", OPENMETRICS_BAD_TIME},
        {"foo 1 1.5", OPENMETRICS_BAD_TIME},
        {"foo 1 9300000000000000000", OPENMETRICS_BAD_TIME},
        {"foo 1 -9223372036854775808", OPENMETRICS_BAD_TIME},
        {"foo 1 253402300800000", OPENMETRICS_BAD_TIME},
        {"foo 1 2 3", OPENMETRICS_TRAILING},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct openmetrics_sample sample;
        enum openmetrics_reject reject = read_one(rows[i].text, &sample);
        if (reject != rows[i].reject)
            fail_msg("%s: %s", rows[i].text, openmetrics_reject_name(reject));
    }
}

static void test_bad_line_costs_only_itself(void **state)
{
    (void)state;
    struct openmetrics reader;
    struct openmetrics_sample sample;
    enum openmetrics_reject reject;
    openmetrics_init(&reader, SLICE("# HELP a x\n\na 1\nb b\n\nc 3"));
    assert_true(openmetrics_next(&reader, &arena, &sample, &reject));
    assert_int_equal(reject, OPENMETRICS_OK);
    assert_true(openmetrics_next(&reader, &arena, &sample, &reject));
    assert_int_equal(reject, OPENMETRICS_BAD_VALUE);
    assert_int_equal(reader.line, 4);
    assert_true(openmetrics_next(&reader, &arena, &sample, &reject));
    assert_int_equal(reject, OPENMETRICS_OK);
    assert_true(sample.value == 3);
    assert_false(openmetrics_next(&reader, &arena, &sample, &reject));
}

static void test_types(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum openmetrics_type type;
    } rows[] = {
        {"# TYPE a counter\na_total 1", OPENMETRICS_COUNTER},
        {"# TYPE a counter\na 1", OPENMETRICS_COUNTER},
        {"# TYPE a counter\nab 1", OPENMETRICS_GAUGE},
        {"# TYPE a gauge\na 1", OPENMETRICS_GAUGE},
        {"# TYPE a histogram\na_bucket{le=\"1\"} 1", OPENMETRICS_COUNTER},
        {"# TYPE a summary\na{quantile=\"1\"} 1", OPENMETRICS_GAUGE},
        {"# TYPE a summary\na_count 1", OPENMETRICS_COUNTER},
        {"# TYPE \"a.b\" counter\n{\"a.b\"} 1", OPENMETRICS_COUNTER},
        {"a_total 1", OPENMETRICS_GAUGE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct openmetrics_sample sample;
        assert_int_equal(read_one(rows[i].text, &sample), OPENMETRICS_OK);
        assert_int_equal(sample.type, rows[i].type);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    static char text[OPENMETRICS_LINE_MAX + 100];
    struct openmetrics_sample sample;
    memset(text, 'a', sizeof text - 1);
    assert_int_equal(read_one(text, &sample), OPENMETRICS_LONG_LINE);
    size_t used = (size_t)snprintf(text, sizeof text, "foo{");
    for (int i = 0; i < LABELS_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "l%d=\"x\",", i);
    snprintf(text + used, sizeof text - used, "} 1");
    assert_int_equal(read_one(text, &sample), OPENMETRICS_MANY_LABELS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts), cmocka_unit_test(test_accepts_labels),
        cmocka_unit_test(test_rejects), cmocka_unit_test(test_bad_line_costs_only_itself),
        cmocka_unit_test(test_types),   cmocka_unit_test(test_bounds),
    };
    arena_init(&arena, 1 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return failed;
}
