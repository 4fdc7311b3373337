/* joins: matching, grouping, set operators, and what is refused. */
#include "tests/unit/promql_fixture.h"

static const char *const series[] = {
    "err{job=\"a\",code=\"500\"} 1",
    "err{job=\"a\",code=\"404\"} 2",
    "err{job=\"b\",code=\"500\"} 3",
    "req{job=\"a\"} 10",
    "req{job=\"b\"} 30",
    "req{job=\"c\"} 50",
    "info{job=\"a\",version=\"1.2\",zone=\"x\"} 1",
    "info{job=\"b\",zone=\"y\"} 1",
    "dup{job=\"a\",n=\"1\"} 1",
    "dup{job=\"a\",n=\"2\"} 1",
    "two{job=\"a\"} 4",
    "two{job=\"b\"} NaN",
    "turn{v=\"1\"} 1 stale",
    "turn{v=\"2\"} _ 2",
    "base{} 10 10",
    NULL,
};

static void test_one_to_one(void **state)
{
    (void)state;
    static const struct fixture_case cases[] = {
        {"req + two", 0, "{job=\"a\"} 14; {job=\"b\"} nan"},
        {"req / on(job) two", 0, "{job=\"a\"} 2.5; {job=\"b\"} nan"},
        {"err{code=\"500\"} / ignoring(code) req", 0, "{job=\"a\"} 0.1; {job=\"b\"} 0.1"},
        {"err / ignoring(code) req", 0,
         "error: multiple matches for labels: many-to-one matching must be explicit "
         "(group_left/group_right)"},
        {"req / ignoring(code) err", 0,
         "error: found duplicate series for the match group {job=\"a\"} on the right hand-side of "
         "the operation: [{__name__=\"err\", code=\"500\", job=\"a\"}, {__name__=\"err\", "
         "code=\"404\", job=\"a\"}];many-to-many "
         "matching not allowed: matching labels must be unique on one side"},
        /* an empty side asks nothing of the other */
        {"nothing / ignoring(code) err", 0, ""},
        {"err / nothing", 0, ""},
        /* comparisons keep the name, unless on() leaves it out */
        {"req > two", 0, "req{job=\"a\"} 10"},
        {"req > on(job) two", 0, "{job=\"a\"} 10"},
        {"req > bool two", 0, "{job=\"a\"} 1; {job=\"b\"} 0"},
        {"req != two", 0, "req{job=\"a\"} 10; req{job=\"b\"} 30"},
        {"two == two", 0, "two{job=\"a\"} 4"},
        {"req == on() base", 0, "{} 10"},
        {"req{job=\"a\"} + on(__name__) req{job=\"a\"}", 0, "{} 20"},
        {"req{job=\"a\"} + on() base", 0, "{} 20"},
        /* filtered points do not count as matches */
        {"err > ignoring(code) req", 0, ""},
        {"1 + req{job=\"a\"} * 2", 0, "{job=\"a\"} 21"},
        {"req{job=\"a\"} ^ 2 - 1", 0, "{job=\"a\"} 99"},
    };
    RUN(cases, series, 60);
}

static void test_grouping(void **state)
{
    (void)state;
    static const struct fixture_case cases[] = {
        {"err / ignoring(code) group_left req", 0,
         "{code=\"404\", job=\"a\"} 0.2; {code=\"500\", job=\"a\"} 0.1; {code=\"500\", job=\"b\"} "
         "0.1"},
        {"req * ignoring(code) group_right err", 0,
         "{code=\"404\", job=\"a\"} 20; {code=\"500\", job=\"a\"} 10; {code=\"500\", job=\"b\"} "
         "90"},
        {"req > on(job) group_right err{code=\"404\"}", 0, "err{code=\"404\", job=\"a\"} 2"},
        {"req - on(job) group_right err{code=\"404\"}", 0, "{code=\"404\", job=\"a\"} 8"},
        {"req * on(job) group_left(version) info", 0,
         "{job=\"a\", version=\"1.2\"} 10; {job=\"b\"} 30"},
        /* an included label that the one side lacks is removed */
        {"err * on(job) group_left(code) req", 0,
         "error: multiple matches for labels: grouping labels must ensure unique matches"},
        {"err{code=\"500\"} * on(job) group_left(code) req", 0, "{job=\"a\"} 10; {job=\"b\"} 90"},
        {"err * on(job) group_left req", 0,
         "{code=\"404\", job=\"a\"} 20; {code=\"500\", job=\"a\"} 10; {code=\"500\", job=\"b\"} "
         "90"},
        {"err > on(job) group_left(zone) info", 0,
         "err{code=\"404\", job=\"a\", zone=\"x\"} 2; err{code=\"500\", job=\"b\", zone=\"y\"} 3"},
        {"err * on(job) group_left dup", 0,
         "error: found duplicate series for the match group {job=\"a\"} on the right hand-side of "
         "the operation: [{__name__=\"dup\", job=\"a\", n=\"2\"}, {__name__=\"dup\", job=\"a\", "
         "n=\"1\"}];many-to-many matching "
         "not allowed: matching labels must be unique on one side"},
        {"dup * on(job) group_right err", 0,
         "error: found duplicate series for the match group {job=\"a\"} on the left hand-side of "
         "the operation: [{__name__=\"dup\", job=\"a\", n=\"2\"}, {__name__=\"dup\", job=\"a\", "
         "n=\"1\"}];many-to-many matching "
         "not allowed: matching labels must be unique on one side"},
    };
    RUN(cases, series, 60);
}

static void test_sets(void **state)
{
    (void)state;
    static const struct fixture_case cases[] = {
        {"req and two", 0, "req{job=\"a\"} 10; req{job=\"b\"} 30"},
        {"req unless two", 0, "req{job=\"c\"} 50"},
        {"two or req", 0, "req{job=\"c\"} 50; two{job=\"a\"} 4; two{job=\"b\"} nan"},
        {"err and on(job) req{job=\"a\"}", 0,
         "err{code=\"404\", job=\"a\"} 2; err{code=\"500\", job=\"a\"} 1"},
        {"err and ignoring(code) req{job=\"b\"}", 0, "err{code=\"500\", job=\"b\"} 3"},
        {"req and on() vector(1)", 0, "req{job=\"a\"} 10; req{job=\"b\"} 30; req{job=\"c\"} 50"},
        {"req and on() nothing", 0, ""},
        {"req unless on() vector(1)", 0, ""},
        {"nothing or vector(0)", 0, "{} 0"},
        {"req{job=\"a\"} or req", 0, "req{job=\"a\"} 10; req{job=\"b\"} 30; req{job=\"c\"} 50"},
        {"req > 20 or req", 0, "req{job=\"a\"} 10; req{job=\"b\"} 30; req{job=\"c\"} 50"},
        {"req < 20 or req > 40", 0, "req{job=\"a\"} 10; req{job=\"c\"} 50"},
    };
    RUN(cases, series, 60);
}

/* Labels that clash only at different times do not clash. */
static void test_matching_is_judged_step_by_step(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    for (size_t i = 0; series[i]; i++)
        fixture_load(f, 60, series[i]);
    fixture_expect(f, "base * on() turn", 0, 60, 60, "{} 10@0 20@60");
    fixture_expect(f, "turn * on() base", 0, 60, 60, "{} 10@0 20@60");
    fixture_expect(f, "base * on() group_left(v) turn", 0, 60, 60,
                   "{v=\"1\"} 10@0; {v=\"2\"} 20@60");
    fixture_expect(f, "sum(turn) by (v) > 1 or turn", 0, 60, 60,
                   "turn{v=\"1\"} 1@0; {v=\"2\"} 2@60");
    fixture_expect(f, "label_replace(turn, \"v\", \"\", \"\", \"\")", 0, 60, 60, "turn{} 1@0 2@60");
    fixture_expect(f, "base unless on() (turn > 1)", 0, 60, 60, "base{} 10@0");
    fixture_expect(f, "absent(turn{v=\"1\"})", 0, 60, 60, "{v=\"1\"} 1@60");
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_to_one),
        cmocka_unit_test(test_grouping),
        cmocka_unit_test(test_sets),
        cmocka_unit_test(test_matching_is_judged_step_by_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
