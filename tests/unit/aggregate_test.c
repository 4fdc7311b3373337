/* aggregations: grouping, NaN, ranking. */
#include "tests/unit/promql_fixture.h"

static const char *const series[] = {
    "http{job=\"api\",code=\"200\",i=\"0\"} 10 10",
    "http{job=\"api\",code=\"500\",i=\"0\"} 30 10",
    "http{job=\"web\",code=\"200\",i=\"1\"} 20 40",
    "http{job=\"web\",code=\"500\",i=\"1\"} 40 30",
    "odds{x=\"a\"} NaN",
    "odds{x=\"b\"} 1",
    "odds{x=\"c\"} 2",
    "huge{x=\"a\"} 1.7e308",
    "huge{x=\"b\"} 1.7e308",
    "tiny{x=\"a\"} 1",
    "tiny{x=\"b\"} 1e100",
    "tiny{x=\"c\"} 1",
    "tiny{x=\"d\"} -1e100",
    "odd{x=\"a\"} 0.1",
    "odd{x=\"b\"} 1e21",
    "odd{x=\"c\"} 1e-7",
    "odd{x=\"d\"} 0.1",
    NULL,
};

static void test_grouping(void **state)
{
    (void)state;
    static const struct fixture_case cases[] = {
        {"sum(http)", 0, "{} 100"},
        {"sum by (job) (http)", 0, "{job=\"api\"} 40; {job=\"web\"} 60"},
        {"sum(http) by (job)", 0, "{job=\"api\"} 40; {job=\"web\"} 60"},
        {"sum without (i, code) (http)", 0, "{job=\"api\"} 40; {job=\"web\"} 60"},
        {"sum by (none) (http)", 0, "{} 100"},
        {"sum by () (http)", 0, "{} 100"},
        {"sum without () (http{job=\"api\"})", 0,
         "{code=\"200\", i=\"0\", job=\"api\"} 10; {code=\"500\", i=\"0\", job=\"api\"} 30"},
        {"sum by (__name__, job) (http)", 0, "http{job=\"api\"} 40; http{job=\"web\"} 60"},
        {"avg by (job) (http)", 0, "{job=\"api\"} 20; {job=\"web\"} 30"},
        {"min(http)", 0, "{} 10"},
        {"max(http)", 0, "{} 40"},
        {"count by (code) (http)", 0, "{code=\"200\"} 2; {code=\"500\"} 2"},
        {"group by (job) (http)", 0, "{job=\"api\"} 1; {job=\"web\"} 1"},
        {"stddev(http)", 0, "{} 11.1803398875"},
        {"stdvar(http)", 0, "{} 125"},
        {"sum(nothing)", 0, ""},
        {"count(nothing)", 0, ""},
        {"sum(sum by (job) (http))", 0, "{} 100"},
    };
    RUN(cases, series, 60);
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct fixture_case cases[] = {
        {"sum(odds)", 0, "{} nan"},
        {"avg(odds)", 0, "{} nan"},
        {"min(odds)", 0, "{} 1"},
        {"max(odds)", 0, "{} 2"},
        {"count(odds)", 0, "{} 3"},
        {"stddev(odds)", 0, "{} nan"},
        {"sum(huge)", 0, "{} inf"},
        {"avg(huge)", 0, "{} 1.7e+308"},
        {"sum(tiny)", 0, "{} 2"},
        {"avg(tiny)", 0, "{} 0.5"},
        {"quantile(0.5, http)", 0, "{} 25"},
        {"quantile by (job) (0, http)", 0, "{job=\"api\"} 10; {job=\"web\"} 20"},
        {"quantile(0.9, http)", 0, "{} 37"},
        {"quantile(2, http)", 0, "{} inf"},
        {"quantile(-2, http)", 0, "{} -inf"},
        {"quantile(0, odds)", 0, "{} nan"},
        {"quantile(1, odds)", 0, "{} 2"},
        {"quantile(scalar(odds{x=\"b\"}), http)", 0, "{} 40"},
    };
    RUN(cases, series, 60);
}

static void test_ranking(void **state)
{
    (void)state;
    static const struct fixture_case cases[] = {
        {"topk(2, http)", 0,
         "http{code=\"500\", i=\"1\", job=\"web\"} 40; http{code=\"500\", i=\"0\", job=\"api\"} "
         "30"},
        {"bottomk(2, http)", 0,
         "http{code=\"200\", i=\"0\", job=\"api\"} 10; http{code=\"200\", i=\"1\", job=\"web\"} "
         "20"},
        {"topk by (job) (1, http)", 0,
         "http{code=\"500\", i=\"0\", job=\"api\"} 30; http{code=\"500\", i=\"1\", job=\"web\"} "
         "40"},
        {"topk(0, http)", 0, ""},
        {"topk(-1, http)", 0, ""},
        {"count(topk(100, http))", 0, "{} 4"},
        {"topk(NaN, http)", 0, "error: Parameter value is NaN"},
        {"topk(1e19, http)", 0, "error: Scalar value 1e+19 overflows int64"},
        {"topk(3, odds)", 0, "odds{x=\"c\"} 2; odds{x=\"b\"} 1; odds{x=\"a\"} nan"},
        /* of equals the first by labels, however the rows come */
        {"bottomk(3, tiny)", 0, "tiny{x=\"d\"} -1e+100; tiny{x=\"a\"} 1; tiny{x=\"c\"} 1"},
        {"topk(2, tiny)", 0, "tiny{x=\"b\"} 1e+100; tiny{x=\"a\"} 1"},
        {"topk(1, 0 * tiny{x=\"c\"} or 0 * tiny)", 0, "{x=\"a\"} 0"},
        {"bottomk(1, 0 * tiny{x=\"c\"} or 0 * tiny)", 0, "{x=\"a\"} 0"},
        {"limitk(2, 0 * tiny{x=\"c\"} or 0 * tiny)", 0, "{x=\"a\"} 0; {x=\"b\"} 0"},
        {"topk(2, odds)", 0, "odds{x=\"c\"} 2; odds{x=\"b\"} 1"},
        {"bottomk(2, odds)", 0, "odds{x=\"b\"} 1; odds{x=\"c\"} 2"},
        {"bottomk(3, odds)", 0, "odds{x=\"b\"} 1; odds{x=\"c\"} 2; odds{x=\"a\"} nan"},
        {"limitk(2, http)", 0,
         "http{code=\"200\", i=\"0\", job=\"api\"} 10; http{code=\"200\", i=\"1\", job=\"web\"} "
         "20"},
        {"limitk by (job) (1, http)", 0,
         "http{code=\"200\", i=\"0\", job=\"api\"} 10; http{code=\"200\", i=\"1\", job=\"web\"} "
         "20"},
        {"count(limitk(100, http))", 0, "{} 4"},
        {"limitk(0, http)", 0, ""},
        {"limitk(NaN, http)", 0, "error: Parameter value is NaN"},
        {"count(limit_ratio(1, http))", 0, "{} 4"},
        {"limit_ratio(0, http)", 0, ""},
        {"count(limit_ratio(0.3, http) or limit_ratio(-0.7, http))", 0, "{} 4"},
        {"limit_ratio(0.3, http) and limit_ratio(-0.7, http)", 0, ""},
        {"limit_ratio(NaN, http)", 0, "error: Ratio value is NaN"},
        {"count_values(\"v\", odd)", 0,
         "{v=\"0.0000001\"} 1; {v=\"0.1\"} 2; {v=\"1000000000000000000000\"} 1"},
        {"count_values by (job) (\"job\", http{job=\"api\"})", 60, "{job=\"10\"} 2"},
        {"count_values without (i, code) (\"v\", http)", 60,
         "{job=\"api\", v=\"10\"} 2; {job=\"web\", v=\"30\"} 1; {job=\"web\", v=\"40\"} 1"},
    };
    RUN(cases, series, 60);
}

/* topk of a range query chooses at each step anew. */
static void test_ranking_over_a_range(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    fixture_load(f, 60, "m{x=\"a\"} 1 2 3");
    fixture_load(f, 60, "m{x=\"b\"} 3 2 1");
    fixture_load(f, 60, "m{x=\"c\"} 2 _ 9");
    fixture_expect(f, "topk(1, m)", 0, 120, 60,
                   "m{x=\"a\"} 2@60; m{x=\"b\"} 3@0; m{x=\"c\"} 9@120");
    fixture_expect(f, "bottomk(1, m)", 0, 120, 120, "m{x=\"a\"} 1@0; m{x=\"b\"} 1@120");
    fixture_expect(f, "topk(scalar(m{x=\"a\"}), m)", 0, 120, 120,
                   "m{x=\"a\"} 3@120; m{x=\"b\"} 3@0 1@120; m{x=\"c\"} 9@120");
    fixture_expect(f, "limitk(1, m)", 0, 120, 60, "m{x=\"a\"} 1@0 2@60 3@120");
    fixture_expect(f, "limitk(1, m > 1)", 0, 120, 60, "m{x=\"a\"} 2@60 3@120; m{x=\"b\"} 3@0");
    fixture_expect(f, "sum(m)", 0, 120, 60, "{} 6@0 6@60 13@120");
    fixture_expect(f, "count_values(\"v\", m)", 0, 60, 60,
                   "{v=\"1\"} 1@0; {v=\"2\"} 1@0 3@60; {v=\"3\"} 1@0");
    fixture_free(f);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* topk, bottomk and quantile against sorting. */
static void test_ranking_matches_sorting(void **state)
{
    (void)state;
    enum { COUNT = 257 };
    struct fixture *f = fixture_new();
    double values[COUNT];
    unsigned seed = 3;
    for (int i = 0; i < COUNT; i++) {
        char line[64];
        seed = seed * 1103515245u + 12345u;
        values[i] = (seed >> 16) % 100;
        snprintf(line, sizeof line, "m{i=\"%d\"} %g", i, values[i]);
        fixture_load(f, 60, line);
    }
    qsort(values, COUNT, sizeof *values, compare);
    for (int k = 1; k <= COUNT; k += 13) {
        char query[64];
        double top = 0, bottom = 0;
        for (int i = 0; i < k; i++) {
            top += values[COUNT - 1 - i];
            bottom += values[i];
        }
        snprintf(query, sizeof query, "sum(topk(%d, m))", k);
        assert_true(fabs(fixture_number(f, query, 0) - top) < 1e-9);
        snprintf(query, sizeof query, "sum(bottomk(%d, m))", k);
        assert_true(fabs(fixture_number(f, query, 0) - bottom) < 1e-9);
        double q = (double)k / COUNT, rank = q * (COUNT - 1);
        int low = (int)rank;
        double next = values[low + 1 < COUNT ? low + 1 : low];
        double exact = values[low] * (1 - (rank - low)) + next * (rank - low);
        snprintf(query, sizeof query, "quantile(%.17g, m)", q);
        assert_true(fabs(fixture_number(f, query, 0) - exact) < 1e-9);
    }
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grouping),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_ranking),
        cmocka_unit_test(test_ranking_over_a_range),
        cmocka_unit_test(test_ranking_matches_sorting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
