/* Percentiles from histogram series: p50, p90 and p99 within 1.1 % of the exact value, for three
 * shapes of data, from one series, from a hundred merged ones, and after the store was reopened.
 * Also the arithmetic of histogram series: rate, sums, joins, fractions, what is dropped. */
#include "tests/unit/promql_fixture.h"

#include "query/histogram_math.h"

#define SERIES  100
#define TICKS   7
#define A_TICK  40 /* values a series and tick */
#define VALUES  (SERIES * (TICKS - 1) * A_TICK)
#define TICK_MS 10000

static uint64_t random_state = 88172645463325252u;

static double uniform(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return ((double)(random_state >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(void)
{
    return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

static double draw_uniform(void)
{
    return 1 + 999 * uniform();
}

static double draw_log_normal(void)
{
    return exp(3 + 1.5 * normal());
}

static double draw_bimodal(void)
{
    return uniform() < 0.8 ? 10 + normal() : 900 + 50 * normal();
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Cumulative histograms of SERIES series; `all` and `first` get the values after the first tick. */
static void fill(struct fixture *f, double (*draw)(void), double *all, double *first)
{
    size_t count = 0, first_count = 0;
    for (int s = 0; s < SERIES; s++) {
        char name[64];
        struct histogram histogram;
        snprintf(name, sizeof name, "lat{host=\"%02d\"}", s);
        uint32_t id = fixture_series(f, slice_of_string(name), SERIES_HISTOGRAM);
        histogram_init(&histogram);
        for (int tick = 0; tick < TICKS; tick++) {
            for (int i = 0; i < A_TICK && tick > 0; i++) {
                double value = draw();
                histogram_add(&histogram, value, 1);
                all[count++] = value;
                if (s == 0)
                    first[first_count++] = value;
            }
            store_batch_histogram(f->batch, id, TICK_MS * tick, &histogram);
        }
        histogram_release(&histogram);
    }
    fixture_commit(f);
    qsort(all, count, sizeof *all, compare);
    qsort(first, first_count, sizeof *first, compare);
}

static void check_one(struct fixture *f, const char *inner, double q, const double *sorted,
                      size_t count)
{
    char query[256];
    snprintf(query, sizeof query, "histogram_quantile(%g, %s)", q, inner);
    /* Where q falls just between two values, all between them is a right answer. */
    double rank = q * (double)count;
    double lower = sorted[(size_t)ceil(rank - 1e-9) - 1], upper = sorted[(size_t)(rank + 1e-9)];
    double found = fixture_number(f, query, (double)TICK_MS * (TICKS - 1) / 1000);
    if (!(found >= lower * (1 - 0.011) && found <= upper * (1 + 0.011)))
        fail_msg("%s = %g, exact %g to %g", query, found, lower, upper);
}

static void check_all(struct fixture *f, const double *all, const double *first)
{
    static const double quantiles[] = {0.5, 0.9, 0.99};
    for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++) {
        double q = quantiles[i];
        check_one(f, "rate(lat{host=\"00\"}[2m])", q, first, VALUES / SERIES);
        check_one(f, "increase(lat{host=\"00\"}[2m])", q, first, VALUES / SERIES);
        check_one(f, "lat{host=\"00\"}", q, first, VALUES / SERIES);
        check_one(f, "sum(rate(lat[2m]))", q, all, VALUES);
        check_one(f, "sum(lat)", q, all, VALUES);
        check_one(f, "avg(increase(lat[70s]))", q, all, VALUES);
        check_one(f, "last_over_time(lat{host=\"00\"}[2m])", q, first, VALUES / SERIES);
    }
}

static void run(double (*draw)(void))
{
    struct fixture *f = fixture_new();
    struct error err;
    double *all = calloc(VALUES, sizeof *all), *first = calloc(VALUES, sizeof *first);
    fill(f, draw, all, first);
    check_all(f, all, first);
    assert_int_equal(store_seal(f->store, &err), 0);
    check_all(f, all, first);
    fixture_close(f);
    fixture_open(f);
    check_all(f, all, first);
    free(all);
    free(first);
    fixture_free(f);
}

static void test_uniform(void **state)
{
    (void)state;
    run(draw_uniform);
}

static void test_log_normal(void **state)
{
    (void)state;
    run(draw_log_normal);
}

static void test_bimodal(void **state)
{
    (void)state;
    run(draw_bimodal);
}

/* --- arithmetic on small histograms --- */

static void put(struct fixture *f, uint32_t id, int64_t second, const struct histogram *histogram)
{
    store_batch_histogram(f->batch, id, second * 1000, histogram);
}

/* h{x="a"}: 2 more values (1 and 3) every 10 s from nothing; h{x="b"}: a reset at 40 s. */
static struct fixture *small(void)
{
    struct fixture *f = fixture_new();
    uint32_t a = fixture_series(f, SLICE("h{x=\"a\"}"), SERIES_HISTOGRAM);
    uint32_t b = fixture_series(f, SLICE("h{x=\"b\"}"), SERIES_HISTOGRAM);
    uint32_t c = fixture_series(f, SLICE("gone{}"), SERIES_HISTOGRAM);
    struct histogram rising, falling;
    histogram_init(&rising);
    histogram_init(&falling);
    put(f, c, 0, &rising);
    for (int64_t second = 0; second <= 60; second += 10) {
        put(f, a, second, &rising);
        put(f, b, second, &falling);
        rising.min = rising.max = NAN;
        histogram_add(&rising, 1 + (double)second / 100, 1);
        histogram_add(&rising, 3, 1);
        histogram_add(&falling, 8, 1);
        if (second == 30)
            histogram_reset(&falling);
    }
    put(f, c, 10, &rising);
    store_batch_value(f->batch, c, 20000, stale_nan());
    fixture_commit(f);
    fixture_load(f, 10, "floats{x=\"a\"} 2 2 2 2 2 2 2");
    histogram_release(&rising);
    histogram_release(&falling);
    return f;
}

static void test_arithmetic(void **state)
{
    (void)state;
    struct fixture *f = small();
    static const struct fixture_case cases[] = {
        {"h{x=\"a\"}", 60, "h{x=\"a\"} h(12,25.5)"},
        {"increase(h{x=\"a\"}[1m])", 60, "{x=\"a\"} h(12,25.8)"},
        {"rate(h{x=\"a\"}[1m])", 60, "{x=\"a\"} h(0.2,0.43)"},
        {"irate(h{x=\"a\"}[1m])", 60, "{x=\"a\"} h(0.2,0.45)"},
        {"idelta(h{x=\"a\"}[1m])", 60, "{x=\"a\"} h(2,4.5)"},
        {"resets(h[2m])", 60, "{x=\"a\"} 0; {x=\"b\"} 1"},
        {"changes(h[2m])", 60, "{x=\"a\"} 6; {x=\"b\"} 6"},
        {"count_over_time(h[1m])", 60, "{x=\"a\"} 6; {x=\"b\"} 6"},
        {"present_over_time(h{x=\"a\"}[1m])", 60, "{x=\"a\"} 1"},
        {"last_over_time(h{x=\"a\"}[1m])", 60, "h{x=\"a\"} h(12,25.5)"},
        {"sum_over_time(h{x=\"b\"}[20s])", 60, "{x=\"b\"} h(3,24)"},
        {"avg_over_time(h{x=\"b\"}[20s])", 60, "{x=\"b\"} h(1.5,12)"},
        {"min_over_time(h{x=\"a\"}[1m])", 60, "{x=\"a\"} 1"},
        {"max_over_time(h{x=\"a\"}[1m])", 60, "{x=\"a\"} 3"},
        {"min_over_time(h{x=\"a\"}[15s])", 60, "{x=\"a\"} 1.4"},
        {"round(quantile_over_time(0.25, h{x=\"b\"}[2m]), 0.1)", 60, "{x=\"b\"} 7.9"},
        {"stddev_over_time(h[1m])", 60, ""},
        {"deriv(h[1m])", 60, ""},
        {"sum(h)", 60, "{} h(14,41.5)"},
        {"avg(h)", 60, "{} h(7,20.75)"},
        {"count(h)", 60, "{} 2"},
        {"group(h)", 60, "{} 1"},
        {"max(h)", 60, ""},
        {"topk(1, h)", 60, ""},
        {"sum({__name__=~\"h|floats\"})", 60, ""},
        {"count({__name__=~\"h|floats\"})", 60, "{} 3"},
        {"sum by (x) ({__name__=~\"h|floats\"})", 60, "{x=\"b\"} h(2,16)"},
        {"h{x=\"a\"} + ignoring(x) h{x=\"b\"}", 60, "{} h(14,41.5)"},
        {"h{x=\"a\"} - h{x=\"a\"}", 60, "{x=\"a\"} h(0,0)"},
        {"h{x=\"a\"} * 2", 60, "{x=\"a\"} h(24,51)"},
        {"2 * h{x=\"a\"}", 60, "{x=\"a\"} h(24,51)"},
        {"h * floats", 60, "{x=\"a\"} h(24,51)"},
        {"h{x=\"a\"} / 2", 60, "{x=\"a\"} h(6,12.75)"},
        {"h{x=\"a\"} / 0", 60, "{x=\"a\"} h(inf,inf)"},
        {"h == bool h", 60, "{x=\"a\"} 1; {x=\"b\"} 1"},
        {"h < bool h", 60, ""},
        {"h == bool floats", 60, ""},
        {"h == bool 1", 60, ""},
        /* 6 values around 1 to 1.5 and 6 at 3 */
        {"histogram_count(h{x=\"a\"} </ 2)", 60, "{x=\"a\"} 6"},
        {"histogram_count(h{x=\"a\"} >/ 2)", 60, "{x=\"a\"} 6"},
        {"round(histogram_sum(h{x=\"a\"} >/ 2), 0.1)", 60, "{x=\"a\"} 18"},
        {"h{x=\"a\"} </ 100", 60, "{x=\"a\"} h(12,25.5)"},
        {"h{x=\"a\"} </ Inf", 60, "{x=\"a\"} h(12,25.5)"},
        {"h{x=\"a\"} >/ -Inf", 60, "{x=\"a\"} h(12,25.5)"},
        {"h{x=\"a\"} >/ 100", 60, "{x=\"a\"} h(0,0)"},
        {"h{x=\"a\"} </ -1", 60, "{x=\"a\"} h(0,0)"},
        {"histogram_count(h{x=\"a\"} </ on (x) floats)", 60, "{x=\"a\"} 6"},
        {"histogram_count(-h{x=\"a\"} >/ 2)", 60, "{x=\"a\"} -6"},
        {"floats </ 2", 60, ""},
        {"h </ h", 60, ""},
        {"2 </ h", 60, ""},
        {"2 / h", 60, ""},
        {"h + 1", 60, ""},
        {"h + floats", 60, ""},
        {"h > 1", 60, ""},
        {"h == h", 60, "h{x=\"a\"} h(12,25.5); h{x=\"b\"} h(2,16)"},
        {"h{x=\"a\"} != ignoring(x) h{x=\"b\"}", 60, "h{} h(12,25.5)"},
        {"-h{x=\"b\"}", 60, "{x=\"b\"} h(-2,-16)"},
        {"abs(h)", 60, ""},
        {"h and floats", 60, "h{x=\"a\"} h(12,25.5)"},
        {"h or floats", 60, "h{x=\"a\"} h(12,25.5); h{x=\"b\"} h(2,16)"},
        {"histogram_count(h)", 60, "{x=\"a\"} 12; {x=\"b\"} 2"},
        {"histogram_sum(h)", 60, "{x=\"a\"} 25.5; {x=\"b\"} 16"},
        {"histogram_avg(h)", 60, "{x=\"a\"} 2.125; {x=\"b\"} 8"},
        /* all at 8: 8 * (1 - 2^(-1/128)) from the middle of its bucket */
        {"round(histogram_stddev(h{x=\"b\"}), 1e-5)", 60, "{x=\"b\"} 0.0432"},
        {"round(histogram_stdvar(h{x=\"b\"}), 1e-7)", 60, "{x=\"b\"} 0.0018666"},
        {"limitk(1, h)", 60, "h{x=\"a\"} h(12,25.5)"},
        {"histogram_count(floats)", 60, ""},
        {"histogram_fraction(0, 2, h)", 60, "{x=\"a\"} 0.5; {x=\"b\"} 0"},
        {"histogram_fraction(-Inf, +Inf, h)", 60, "{x=\"a\"} 1; {x=\"b\"} 1"},
        {"histogram_quantile(-1, h)", 60, "{x=\"a\"} -inf; {x=\"b\"} -inf"},
        {"histogram_quantile(2, h)", 60, "{x=\"a\"} inf; {x=\"b\"} inf"},
        {"histogram_quantile(0.5, h{x=\"a\"} - h{x=\"a\"})", 60, "{x=\"a\"} nan"},
        {"gone", 15, "gone{} h(14,30.1)"},
        {"gone", 20, ""},
        {"scalar(h{x=\"a\"})", 60, "{} nan"},
        {"timestamp(h{x=\"a\"})", 55, "{x=\"a\"} 50"},
        {"sort(h)", 60, ""},
        {"histogram_count(sum(h @ 60))", 0, "{} 14"},
        {"histogram_count(last_over_time(sum(h)[1m:20s]))", 60, "{} 14"},
    };
    fixture_cases(f, cases, sizeof cases / sizeof *cases);
    fixture_expect(f, "histogram_count(h{x=\"b\"})", 20, 60, 20, "{x=\"b\"} 2@20 0@40 2@60");
    fixture_expect(f, "h{x=\"b\"} or floats", 50, 60, 10,
                   "floats{x=\"a\"} 2@50 2@60; h{x=\"b\"} h(1,8)@50 h(2,16)@60");
    fixture_free(f);
}

/* Bucket walks against plain expectations: negative values, zero, coarser schemas. */
static void test_quantiles_of_one_histogram(void **state)
{
    (void)state;
    struct histogram histogram;
    histogram_init(&histogram);
    for (int i = 1; i <= 100; i++) {
        histogram_add(&histogram, i, 1);
        histogram_add(&histogram, -i, 1);
    }
    for (int i = 0; i < 50; i++)
        histogram_add(&histogram, 0, 1);
    assert_true(fabs(histogram_quantile(0.5, &histogram)) < 1e-30);
    assert_true(fabs(histogram_quantile(0.04, &histogram) / -91 - 1) < 0.011);
    assert_true(fabs(histogram_quantile(0.96, &histogram) / 90 - 1) < 0.011);
    assert_true(fabs(histogram_quantile(0.2, &histogram) / -51 - 1) < 0.011);
    assert_true(fabs(histogram_quantile(0, &histogram) / -100 - 1) < 0.011);
    assert_true(fabs(histogram_quantile(1, &histogram) / 100 - 1) < 0.011);
    assert_true(fabs(histogram_fraction(-50.5, 0, &histogram) - 0.3) < 0.01);
    assert_true(fabs(histogram_fraction(-INFINITY, -50.5, &histogram) - 0.2) < 0.01);
    for (double q = 0; q < 1; q += 0.01)
        assert_true(histogram_quantile(q, &histogram) <= histogram_quantile(q + 0.01, &histogram));
    histogram_release(&histogram);
}

/* What is below and what is above are the whole; shares follow the fraction that quantiles use. */
static void test_trims_add_up(void **state)
{
    (void)state;
    struct arena arena;
    struct histogram histogram;
    arena_init(&arena, 1 << 24);
    histogram_init(&histogram);
    histogram.zero_threshold = 0.5;
    for (int i = -300; i <= 300; i++)
        histogram_add(&histogram, i * 0.11, 1 + i % 3 * (i > 0));
    for (double limit = -40; limit < 40; limit += 0.37) {
        struct histogram *below = histogram_trim(&arena, &histogram, limit, true);
        struct histogram *above = histogram_trim(&arena, &histogram, limit, false);
        double share = histogram_fraction(-INFINITY, limit, &histogram);
        assert_true(fabs(below->count + above->count - histogram.count) < 1e-9);
        assert_true(fabs(below->count / histogram.count - share) < 1e-9);
        assert_true(fabs(below->sum + above->sum - histogram.sum) < 0.02 * histogram.count);
        assert_true(histogram_fraction(-INFINITY, limit, below) > 1 - 1e-9 || below->count == 0 ||
                    fabs(limit) < 33);
    }
    histogram_release(&histogram);
    arena_release(&arena);
}

static void test_differences_meet_at_the_coarser_schema(void **state)
{
    (void)state;
    struct arena arena;
    struct histogram fine, coarse;
    arena_init(&arena, 1 << 20);
    histogram_init(&fine);
    histogram_init(&coarse);
    coarse.schema = 2;
    coarse.zero_threshold = 0.001;
    for (int i = 1; i < 200; i++) {
        histogram_add(&fine, i * 0.37, 1);
        histogram_add(&coarse, i * 0.37, 3);
    }
    histogram_add(&fine, 1e-5, 1);
    struct histogram *sum = histogram_combine(&arena, &coarse, &fine, 1);
    struct histogram *rest = histogram_combine(&arena, &coarse, &fine, -1);
    assert_int_equal(sum->schema, 2);
    assert_true(sum->zero_count == 1);
    assert_true(sum->count == 4 * 199 + 1);
    assert_true(rest->count == 2 * 199 - 1);
    for (size_t i = 0; i < rest->positive.count; i++)
        assert_true(rest->positive.at[i].count * 2 == sum->positive.at[i].count);
    assert_true(histogram_fell(&coarse, &fine));
    assert_false(histogram_fell(&fine, &fine));
    histogram_release(&fine);
    histogram_release(&coarse);
    arena_release(&arena);
}

static void test_notes(void **state)
{
    (void)state;
    static const struct {
        const char *query, *note;
    } cases[] = {
        {"sum({__name__=~\"h|floats\",x=\"a\"})",
         "PromQL warning: encountered a mix of histograms and floats for aggregation (1:5)"},
        {"1 +\n max(h)", "PromQL info: ignored histogram in max aggregation (2:6)"},
        {"topk(1, h)", "PromQL info: ignored histogram in topk aggregation (1:9)"},
        {"sum(h + 1)", "PromQL info: incompatible sample types encountered for binary operator "
                       "\"+\": histogram + float (1:5)"},
        {"h </ h", "PromQL info: incompatible sample types encountered for binary operator "
                   "\"</\": histogram </ histogram (1:1)"},
        {"deriv(h[1m])", "PromQL info: ignored histograms in deriv() (1:7)"},
        {"deriv(((sum by (x) (h{x=\"a\"}) and on () (vector(time()) > 30)) or sum by (x) "
         "(floats))[1m:10s])",
         "PromQL info: ignored histograms in a range containing both floats and histograms for "
         "metric name \"\" (1:7)"},
        {"rate(((sum by (x) (h{x=\"a\"}) and on () (vector(time()) > 30)) or sum by (x) "
         "(floats))[1m:10s])",
         "PromQL warning: encountered a mix of histograms and floats for metric name \"\" (1:6)"},
        {"histogram_quantile(7, h)",
         "PromQL warning: quantile value should be between 0 and 1, got 7 (1:20)"},
        {"quantile_over_time(7, floats[1m])",
         "PromQL warning: quantile value should be between 0 and 1, got 7 (1:20)"},
        {"quantile(-1, floats)",
         "PromQL warning: quantile value should be between 0 and 1, got -1 (1:10)"},
        {"percentile(101, floats[1m])",
         "PromQL warning: percentile value should be between 0 and 100, got 101 (1:12)"},
        {"limit_ratio(2, floats)", "PromQL warning: ratio value should be between -1 and 1, got 2, "
                                   "capping to 1 (1:13)"},
        {"histogram_quantile(0.5, floats)",
         "PromQL warning: bucket label \"le\" is missing or has a "
         "malformed value of \"\" for metric name \"floats\" (1:25)"},
        {"sum(rate(floats[1m]))",
         "PromQL info: metric might not be a counter, name does not end in "
         "_total/_sum/_count/_bucket: \"floats\" (1:10)"},
        {"increase_exact(floats[1m])", "PromQL info: metric might not be a counter, name does not "
                                       "end in _total/_sum/_count/_bucket: \"floats\" (1:16)"},
    };
    struct fixture *f = small();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct arena arena;
        struct plan *plan;
        struct error err;
        struct promql_result result;
        arena_init(&arena, 1 << 20);
        assert_int_equal(parse_promql(slice_of_string(cases[i].query), &arena, &plan, &err), 0);
        struct promql_request request = {.plan = plan, .start_ms = 60000, .end_ms = 60000};
        request.text = slice_of_string(cases[i].query);
        assert_int_equal(promql_run(f->store, &request, &arena, &result, &err), 0);
        assert_int_equal(result.warning_count + result.info_count, 1);
        struct slice note = result.warning_count ? result.warnings[0] : result.infos[0];
        if (!slice_equal_string(note, cases[i].note))
            fail_msg("%s: " SLICE_FMT, cases[i].query, SLICE_ARG(note));
        plan_release(plan);
        arena_release(&arena);
    }
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_log_normal),
        cmocka_unit_test(test_bimodal),
        cmocka_unit_test(test_arithmetic),
        cmocka_unit_test(test_quantiles_of_one_histogram),
        cmocka_unit_test(test_trims_add_up),
        cmocka_unit_test(test_differences_meet_at_the_coarser_schema),
        cmocka_unit_test(test_notes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
