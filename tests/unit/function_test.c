/* functions: values from the documentation and source of Prometheus, or worked out by hand. */
#include "tests/unit/promql_fixture.h"

static void test_rates(void **state)
{
    (void)state;
    static const char *const series[] = {
        "c{} 100+10x20",
        "reset{} 0+10x4 0+10x5",
        "young{} _ _ _ 0+10x6",
        "near{} 1+10x20",
        "gauge{} 100-10x10",
        "one{} 5",
        "gap{} 1000+10x2 _ _ _ _ _ _ 1110",
        NULL,
    };
    static const struct fixture_case cases[] = {
        /* (0,300] holds 5 samples, 1m each; the start edge is extrapolated a full minute back */
        {"increase(c[5m])", 300, "{} 50"},
        {"rate(c[5m])", 300, "{} 0.166666666667"},
        {"increase(c[5m])", 330, "{} 50"},
        /* a sample that lies just on the open end does not count */
        {"increase(c[1m])", 300, ""},
        {"increase(c[61s])", 300, "{} 10.1666666667"},
        {"increase(one[5m])", 0, ""},
        {"increase(reset[10m])", 540, "{} 80"},
        {"resets(reset[10m])", 540, "{} 1"},
        {"delta(reset[10m])", 540, "{} 44.4444444444"},
        /* the first value limits how far back a counter is continued */
        {"increase(young[10m])", 540, "{} 60"},
        {"increase(near[5m])", 240, "{} 41"},
        {"delta(near[5m])", 240, "{} 50"},
        {"delta(gauge[5m])", 300, "{} -50"},
        {"irate(c[5m])", 300, "{} 0.166666666667"},
        {"irate(reset[2m])", 300, "{} 0"},
        {"idelta(reset[2m])", 300, "{} -40"},
        {"irate(reset[150s])", 330, "{} 0"},
        {"changes(c[5m])", 300, "{} 4"},
        {"deriv(c[5m])", 300, "{} 0.166666666667"},
        {"predict_linear(c[5m], 60)", 300, "{} 160"},
        {"predict_linear(c[5m] offset 1m, 60)", 300, "{} 160"},
        {"rate(c[5m:30s])", 300, "{} 0.185185185185"},
        {"rate(nothing[5m])", 300, ""},
        {"rate(gap[10m])", 540, "{} 0.203703703704"},
    };
    RUN(cases, series, 60);
}

/* The sample just outside the threshold is cut to half an interval, before the zero point is
 * looked at: the order differs from Prometheus 2. */
static void test_threshold_before_zero_point(void **state)
{
    (void)state;
    static const char *const series[] = {"m{} _ _ _ _ 20+10x5", NULL};
    static const struct fixture_case cases[] = {
        /* 240..540, rise 50 over 300 s, 240 s before it: half an interval (30) wins over the way
         * to zero (120) */
        {"increase(m[9m])", 540, "{} 55"},
        {"increase(m[320s])", 540, "{} 53.3333333333"},
    };
    RUN(cases, series, 60);
}

static void test_over_time(void **state)
{
    (void)state;
    static const char *const series[] = {
        "m{} 4 2 8 6",
        "n{} NaN 1 NaN",
        "big{} 1 1e100 1 -1e100",
        "huge{} 1.7e308 1.7e308 1.7e308",
        "infinite{} 1 Inf",
        NULL,
    };
    static const struct fixture_case cases[] = {
        {"sum_over_time(m[5m])", 180, "{} 20"},
        {"avg_over_time(m[5m])", 180, "{} 5"},
        {"min_over_time(m[5m])", 180, "{} 2"},
        {"max_over_time(m[5m])", 180, "{} 8"},
        {"count_over_time(m[5m])", 180, "{} 4"},
        {"mad_over_time(m[5m])", 180, "{} 2"},
        {"mad_over_time(m[1m])", 180, "{} 0"},
        {"double_exponential_smoothing(m[5m], 0.5, 0.5)", 180, "{} 5"},
        {"double_exponential_smoothing(m[1m], 0.5, 0.5)", 180, ""},
        {"double_exponential_smoothing(m[5m], 1, 0.5)", 180,
         "error: invalid smoothing factor. Expected: 0 < sf < 1, got: 1.000000"},
        {"double_exponential_smoothing(m[5m], 0.5, 0)", 180,
         "error: invalid trend factor. Expected: 0 < tf < 1, got: 0.000000"},
        {"last_over_time(m[5m])", 180, "m{} 6"},
        {"present_over_time(m[5m])", 180, "{} 1"},
        {"stddev_over_time(m[5m])", 180, "{} 2.2360679775"},
        {"stdvar_over_time(m[5m])", 180, "{} 5"},
        {"quantile_over_time(0.5, m[5m])", 180, "{} 5"},
        {"quantile_over_time(0, m[5m])", 180, "{} 2"},
        {"quantile_over_time(1, m[5m])", 180, "{} 8"},
        {"quantile_over_time(0.25, m[5m])", 180, "{} 3.5"},
        {"quantile_over_time(2, m[5m])", 180, "{} inf"},
        {"quantile_over_time(-1, m[5m])", 180, "{} -inf"},
        {"quantile_over_time(NaN, m[5m])", 180, "{} nan"},
        {"min_over_time(n[5m])", 180, "{} 1"},
        {"max_over_time(n[5m])", 180, "{} 1"},
        {"changes(n[5m])", 180, "{} 2"},
        {"quantile_over_time(1, n[5m])", 180, "{} 1"},
        {"quantile_over_time(0, n[5m])", 180, "{} nan"},
        {"sum_over_time(big[5m])", 180, "{} 2"},
        {"avg_over_time(big[5m])", 180, "{} 0.5"},
        {"avg_over_time(huge[5m])", 180, "{} 1.7e+308"},
        {"avg_over_time(infinite[5m])", 180, "{} inf"},
        {"avg(infinite) by (x)", 60, "{} inf"},
        {"max_over_time(m[5m:90s])", 180, "{} 6"},
        {"max_over_time(rate(m[2m])[2m:1m])", 180, "{} 0.1"},
        {"absent_over_time(m[5m])", 180, ""},
        {"absent_over_time(x{a=\"1\",b=~\"c\",d=\"2\",d!=\"3\"}[5m])", 180, "{a=\"1\"} 1"},
        {"absent_over_time(m[5m])", 900, "{} 1"},
    };
    RUN(cases, series, 60);
}

/* The extremes of windows that overlap come from one pass over the samples. */
static void test_sliding_extremes(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    fixture_load(f, 60, "m{} 5 1 4 NaN NaN NaN 2 _ _ _ 8 7 7 Inf 3");
    fixture_expect(f, "min_over_time(m[3m])", 60, 840, 60,
                   "{} 1@60 1@120 1@180 4@240 nan@300 2@360 2@420 2@480 8@600 7@660 7@720 7@780 "
                   "3@840");
    fixture_expect(f, "max_over_time(m[3m])", 60, 840, 60,
                   "{} 5@60 5@120 4@180 4@240 nan@300 2@360 2@420 2@480 8@600 8@660 8@720 inf@780 "
                   "inf@840");
    fixture_expect(f, "max_over_time(m[1m])", 0, 840, 120,
                   "{} 5@0 4@120 nan@240 2@360 8@600 7@720 3@840");
    fixture_free(f);
}

static void test_maps(void **state)
{
    (void)state;
    static const char *const series[] = {"v{x=\"a\"} -3.5", "v{x=\"b\"} 2.5",
                                         "t{} 1709210096 951827696", NULL};
    static const struct fixture_case cases[] = {
        {"abs(v)", 0, "{x=\"a\"} 3.5; {x=\"b\"} 2.5"},
        {"ceil(v)", 0, "{x=\"a\"} -3; {x=\"b\"} 3"},
        {"floor(v)", 0, "{x=\"a\"} -4; {x=\"b\"} 2"},
        {"round(v)", 0, "{x=\"a\"} -3; {x=\"b\"} 3"},
        {"round(v, 2)", 0, "{x=\"a\"} -4; {x=\"b\"} 2"},
        {"round(v * 0.1, 0.1)", 0, "{x=\"a\"} -0.4; {x=\"b\"} 0.3"},
        {"sgn(v)", 0, "{x=\"a\"} -1; {x=\"b\"} 1"},
        {"sqrt(v{x=\"b\"} * 10)", 0, "{x=\"b\"} 5"},
        {"clamp(v, -1, 1)", 0, "{x=\"a\"} -1; {x=\"b\"} 1"},
        {"clamp(v, 1, -1)", 0, ""},
        {"clamp_min(v, 0)", 0, "{x=\"a\"} 0; {x=\"b\"} 2.5"},
        {"clamp_max(v, 0)", 0, "{x=\"a\"} -3.5; {x=\"b\"} 0"},
        {"clamp_max(v, NaN)", 0, "{x=\"a\"} nan; {x=\"b\"} nan"},
        {"exp(vector(0))", 0, "{} 1"},
        {"ln(vector(1))", 0, "{} 0"},
        {"log2(vector(8))", 0, "{} 3"},
        {"log10(vector(1000))", 0, "{} 3"},
        {"deg(vector(pi()))", 0, "{} 180"},
        {"rad(vector(180)) - pi()", 0, "{} 0"},
        {"sin(vector(0)) + cos(vector(0))", 0, "{} 1"},
        {"vector(1) atan2 vector(1)", 0, "{} 0.785398163397"},
        /* 2024-02-29 12:34:56, a Thursday; 2000-02-29 12:34:56 */
        {"year(t)", 0, "{} 2024"},
        {"month(t)", 0, "{} 2"},
        {"day_of_month(t)", 0, "{} 29"},
        {"day_of_week(t)", 0, "{} 4"},
        {"day_of_year(t)", 0, "{} 60"},
        {"days_in_month(t)", 0, "{} 29"},
        {"hour(t)", 0, "{} 12"},
        {"minute(t)", 0, "{} 34"},
        {"year(t) + day_of_year(t)", 60, "{} 2060"},
        {"hour()", 7300, "{} 2"},
        {"minute()", 7300, "{} 1"},
        {"year(vector(-1))", 0, "{} 1969"},
        {"day_of_month(vector(-1))", 0, "{} 31"},
        {"day_of_week(vector(-1))", 0, "{} 3"},
        {"hour(vector(NaN))", 0, "{} nan"},
        {"time()", 5.5, "{} 5.5"},
        {"timestamp(v)", 60, "{x=\"a\"} 0; {x=\"b\"} 0"},
        {"timestamp(v + 0)", 60, "{x=\"a\"} 60; {x=\"b\"} 60"},
        {"timestamp(v offset 1m)", 120, "{x=\"a\"} 0; {x=\"b\"} 0"},
        {"timestamp(v @ 10)", 120, "{x=\"a\"} 0; {x=\"b\"} 0"},
    };
    RUN(cases, series, 60);
}

static void test_special(void **state)
{
    (void)state;
    static const char *const series[] = {"v{x=\"b\",src=\"host-7\"} 2", "v{x=\"a\",src=\"db-1\"} 3",
                                         "v{x=\"c\"} NaN", "w{} 5", NULL};
    static const struct fixture_case cases[] = {
        {"sort(v)", 0, "v{src=\"host-7\", x=\"b\"} 2; v{src=\"db-1\", x=\"a\"} 3; v{x=\"c\"} nan"},
        {"sort_desc(v)", 0,
         "v{src=\"db-1\", x=\"a\"} 3; v{src=\"host-7\", x=\"b\"} 2; v{x=\"c\"} nan"},
        {"absent(v)", 0, ""},
        {"absent(v > 10)", 0, "{} 1"},
        {"absent(z{a=\"1\",a=\"2\",b=\"3\",c!=\"4\"})", 0, "{b=\"3\"} 1"},
        {"absent(rate(z{a=\"1\"}[5m]))", 0, "{} 1"},
        {"scalar(w)", 0, "{} 5"},
        {"scalar(v)", 0, "{} nan"},
        {"scalar(z)", 0, "{} nan"},
        {"vector(scalar(w)) + 1", 0, "{} 6"},
        {"label_replace(w, \"h\", \"$1-$2\", \"__name__\", \"(.)(.*)\")", 0, "w{h=\"w-\"} 5"},
        {"label_replace(v{x=\"b\"}, \"host\", \"${n}\", \"src\", \"host-(?P<n>.*)\")", 0,
         "v{host=\"7\", src=\"host-7\", x=\"b\"} 2"},
        /* the regex is anchored: no match, no change */
        {"label_replace(v{x=\"b\"}, \"host\", \"$1\", \"src\", \"ost-(.*)\")", 0,
         "v{src=\"host-7\", x=\"b\"} 2"},
        {"label_replace(v{x=\"b\"}, \"src\", \"\", \"src\", \".*\")", 0, "v{x=\"b\"} 2"},
        {"label_replace(w, \"n\", \"v\", \"none\", \"\")", 0, "w{n=\"v\"} 5"},
        {"label_replace(v, \"x\", \"same\", \"src\", \".*\")", 0,
         "v{src=\"db-1\", x=\"same\"} 3; v{src=\"host-7\", x=\"same\"} 2; v{x=\"same\"} nan"},
        {"label_replace(label_replace(v, \"x\", \"\", \"\", \"\"), \"src\", \"\", \"\", \"\")", 0,
         "error: vector cannot contain metrics with the same labelset"},
        {"label_join(v{x=\"b\"}, \"j\", \"/\", \"src\", \"x\", \"none\")", 0,
         "v{j=\"host-7/b/\", src=\"host-7\", x=\"b\"} 2"},
        {"label_join(w, \"j\", \"/\")", 0, "w{} 5"},
    };
    RUN(cases, series, 60);
}

static void test_sort_by_label(void **state)
{
    (void)state;
    static const char *const series[] = {
        "m{h=\"web-10\", z=\"b\"} 1",
        "m{h=\"web-9\", z=\"b\"} 2",
        "m{h=\"web-09\", z=\"a\"} 3",
        "m{h=\"db\"} 4",
        "m{z=\"c\"} 5",
        NULL,
    };
    static const struct fixture_case cases[] = {
        {"sort_by_label(m, \"h\", \"z\")", 0,
         "m{z=\"c\"} 5; m{h=\"db\"} 4; m{h=\"web-09\", z=\"a\"} 3; m{h=\"web-9\", z=\"b\"} 2; "
         "m{h=\"web-10\", z=\"b\"} 1"},
        {"sort_by_label_desc(m{z=\"b\"}, \"h\")", 0,
         "m{h=\"web-10\", z=\"b\"} 1; m{h=\"web-9\", z=\"b\"} 2"},
    };
    RUN(cases, series, 60);
}

static void test_label_replace_refuses_a_broken_regex(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct buffer out;
    buffer_init(&out, 4096);
    fixture_run(f, "label_replace(w, \"h\", \"$1\", \"x\", \"(\")", 0, 0, 0, &out);
    assert_true(slice_starts_with(buffer_slice(&out),
                                  SLICE("error: invalid regular expression in label_replace(): ")));
    buffer_release(&out);
    fixture_free(f);
}

static void test_classic_histograms(void **state)
{
    (void)state;
    static const char *const series[] = {
        "h{job=\"a\",le=\"0.1\"} 0+5x10",
        "h{job=\"a\",le=\"0.5\"} 0+9x10",
        "h{job=\"a\",le=\"+Inf\"} 0+10x10",
        "open{le=\"1\"} 5",
        "neg{le=\"-1\"} 2",
        "neg{le=\"1\"} 4",
        "neg{le=\"+Inf\"} 4",
        "fall{le=\"1\"} 6",
        "fall{le=\"2\"} 5",
        "fall{le=\"+Inf\"} 8",
        "zero{le=\"1\"} 0",
        "zero{le=\"+Inf\"} 0",
        "bad{le=\"x\"} 1",
        "twice{le=\"1\"} 1",
        "twice{le=\"1.0\"} 1",
        "twice{le=\"+Inf\"} 2",
        "alone{le=\"+Inf\"} 9",
        NULL,
    };
    static const struct fixture_case cases[] = {
        {"histogram_quantile(0.5, h)", 60, "{job=\"a\"} 0.1"},
        {"histogram_quantile(0.25, h)", 60, "{job=\"a\"} 0.05"},
        {"histogram_quantile(0.7, h)", 60, "{job=\"a\"} 0.3"},
        {"histogram_quantile(0.99, h)", 60, "{job=\"a\"} 0.5"},
        {"histogram_quantile(0.7, rate(h[5m]))", 300, "{job=\"a\"} 0.3"},
        {"histogram_quantile(0.7, sum by (le) (rate(h[5m])))", 300, "{} 0.3"},
        {"histogram_quantile(-1, h)", 60, "{job=\"a\"} -inf"},
        {"histogram_quantile(1.5, h)", 60, "{job=\"a\"} inf"},
        {"histogram_quantile(NaN, h)", 60, "{job=\"a\"} nan"},
        {"histogram_quantile(0.5, open)", 0, "{} nan"},
        {"histogram_quantile(0.5, alone)", 0, "{} nan"},
        {"histogram_quantile(0.5, zero)", 0, "{} nan"},
        {"histogram_quantile(0.25, neg)", 0, "{} -1"},
        {"histogram_quantile(0.75, neg)", 0, "{} 0"},
        {"histogram_quantile(0.7, fall)", 0, "{} 0.933333333333"},
        {"histogram_quantile(0.5, bad)", 0, ""},
        {"histogram_quantile(0.5, twice)", 0, "{} 0.5"},
        {"histogram_fraction(0, 0.3, h)", 60, "{job=\"a\"} 0.7"},
    };
    RUN(cases, series, 60);
}

/* The sliding answer against a naive one over random samples. */
static void test_windows_match_a_naive_model(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    uint32_t id = fixture_series(f, SLICE("m{}"), SERIES_GAUGE);
    enum { COUNT = 400 };
    int64_t times[COUNT];
    double values[COUNT];
    unsigned seed = 7;
    int64_t at = 0;
    for (size_t i = 0; i < COUNT; i++) {
        seed = seed * 1103515245u + 12345u;
        at += 1000 + (int64_t)(seed >> 16) % 20000;
        times[i] = at;
        values[i] = (double)((seed >> 8) % 1000);
        store_batch_value(f->batch, id, at, values[i]);
    }
    fixture_commit(f);
    for (int64_t now = 0; now < at + 400000; now += 37777) {
        double sum = 0, min = INFINITY, max = -INFINITY;
        size_t count = 0;
        for (size_t i = 0; i < COUNT; i++) {
            if (times[i] <= now - 120000 || times[i] > now)
                continue;
            sum += values[i];
            min = fmin(min, values[i]);
            max = fmax(max, values[i]);
            count++;
        }
        static const char *const query =
            "label_replace(sum_over_time(m[2m]), \"f\", \"sum\", \"\", \"\") or "
            "label_replace(min_over_time(m[2m]), \"f\", \"min\", \"\", \"\") or "
            "label_replace(max_over_time(m[2m]), \"f\", \"max\", \"\", \"\") or "
            "label_replace(count_over_time(m[2m]), \"f\", \"n\", \"\", \"\")";
        char expected[256] = "";
        if (count)
            snprintf(expected, sizeof expected,
                     "{f=\"max\"} %.12g; {f=\"min\"} %.12g; {f=\"n\"} %zu; {f=\"sum\"} %.12g", max,
                     min, count, sum);
        fixture_check(f, query, (double)now / 1000, expected);
    }
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rates),
        cmocka_unit_test(test_threshold_before_zero_point),
        cmocka_unit_test(test_over_time),
        cmocka_unit_test(test_sliding_extremes),
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_special),
        cmocka_unit_test(test_sort_by_label),
        cmocka_unit_test(test_label_replace_refuses_a_broken_regex),
        cmocka_unit_test(test_classic_histograms),
        cmocka_unit_test(test_windows_match_a_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
