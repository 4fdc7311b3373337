/* ruletest: what a file of unit tests may say, and lists compared and worded. What the runs print is
 * compared with promtool in tests/e2e/test_rule_tests.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/ruletest/file.h"
#include "server/ruletest/report.h"

static struct arena arena;

static struct test_file accepts(const char *text)
{
    struct test_file file;
    struct error err = {0};
    if (test_file_read(slice_of_string(text), "t.yaml", &arena, &file, &err) < 0)
        fail_msg("%s", err.text);
    return file;
}

static void refuses(const char *text, const char *why)
{
    struct test_file file;
    struct error err = {0};
    assert_int_equal(test_file_read(slice_of_string(text), "t.yaml", &arena, &file, &err), -1);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" lacks \"%s\"", err.text, why);
}

static void a_full_file_is_read(void **state)
{
    (void)state;
    struct test_file file = accepts(
        "rule_files: [a.yaml, b.yaml]\nevaluation_interval: 2m\ngroup_eval_order: [x, y]\n"
        "fuzzy_compare: true\ntests:\n"
        "- name: n\n  interval: 10s\n  external_labels: {dc: east}\n  external_url: http://x\n"
        "  input_series: [{series: up, values: '1x5'}, {series: down, values: ''}]\n"
        "  alert_rule_test:\n"
        "  - {eval_time: 1h30m, alertname: A, groupname: g, exp_alerts: [\n"
        "     {exp_labels: {a: b}, exp_annotations: {c: ''}}, {}]}\n"
        "  promql_expr_test:\n"
        "  - {expr: up, eval_time: 0, exp_samples: [{labels: up, value: -.inf},\n"
        "     {labels: '{}', histogram: '{{}}'}]}\n"
        "- {interval: 0}\n");
    const struct test_group *groups = file.tests.at;
    assert_int_equal(file.tests.count, 2);
    assert_int_equal(file.rule_files.count + file.group_order.count, 4);
    assert_true(file.fuzzy);
    assert_int_equal(file.evaluation_interval_ms, 120000);
    assert_int_equal(groups[0].interval_ms, 10000);
    assert_int_equal(groups[0].series.count, 2);
    const struct alert_case *alert = groups[0].alerts.at;
    assert_int_equal(alert->eval_ms, 5400000);
    assert_int_equal(alert->alerts.count, 2);
    assert_true(slice_equal_string(alert->group_name, "g"));
    const struct expr_case *expr = groups[0].exprs.at;
    const struct expected_sample *samples = expr->samples.at;
    assert_true(samples[0].value == -INFINITY);
    assert_true(slice_equal_string(samples[1].histogram, "{{}}"));
}

static void defaults(void **state)
{
    (void)state;
    struct test_file file = accepts("tests:\n- promql_expr_test: []\n");
    assert_int_equal(file.evaluation_interval_ms, 60000);
    assert_int_equal(((const struct test_group *)file.tests.at)->interval_ms, 60000);
    assert_int_equal(accepts("").tests.count, 0);
    assert_int_equal(accepts("tests:\n").tests.count, 0);
}

static void mistakes_have_a_place(void **state)
{
    (void)state;
    refuses("testz: []", "t.yaml:1:1: unknown key \"testz\"; did you mean \"tests\"?");
    refuses("tests:\n- alert_rule_test:\n  - eval_tim: 1m\n", "t.yaml:3:5: unknown key");
    refuses("tests:\n- alert_rule_test:\n  - eval_time: 1m\n", "names no `alertname`");
    refuses("tests: {}", "expected a list");
    refuses("tests: [1]", "expected a mapping");
    refuses("rule_files: x", "expected a list of texts");
    refuses("rule_files: [[]]", "expected a text");
    refuses("evaluation_interval: 0", "must not be 0");
    refuses("evaluation_interval: 5", "expected a duration");
    refuses("group_eval_order: [a, b, a]", "t.yaml:1:26: group name repeated");
    refuses("fuzzy_compare: maybe", "true or false");
    refuses("tests: [{promql_expr_test: [{expr: x, exp_samples: [{value: one}]}]}]", "a number");
}

static void sample_lists(void **state)
{
    (void)state;
    struct label pair = {SLICE("a"), SLICE("b")};
    struct described_sample one[] = {{{&pair, 1}, 0.3, NULL}, {{NULL, 0}, NAN, NULL}};
    struct described_sample two[] = {{{NULL, 0}, NAN, NULL}, {{&pair, 1}, 0.3, NULL}};
    struct sample_list x = {one, 2}, y = {two, 2};
    struct buffer out;
    sample_list_sort(&x);
    sample_list_sort(&y);
    assert_true(sample_list_equal(&x, &y, false));
    two[1].value = 0.1 + 0.2;
    assert_false(sample_list_equal(&x, &y, false));
    assert_true(sample_list_equal(&x, &y, true));
    two[1].value = 0.30001;
    assert_false(sample_list_equal(&x, &y, true));
    y.count = 1;
    assert_false(sample_list_equal(&x, &y, true));
    buffer_init(&out, 1000);
    report_samples(&x, &out);
    assert_true(slice_equal_string(buffer_slice(&out), "{} NaN, {a=\"b\"} 3E-01"));
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_file_is_read),
        cmocka_unit_test(defaults),
        cmocka_unit_test(mistakes_have_a_place),
        cmocka_unit_test(sample_lists),
    };
    arena_init(&arena, 16 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return failed;
}
