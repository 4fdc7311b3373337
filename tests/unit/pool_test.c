/* percentile and increase_exact: windows that add up, against sums and sorted arrays made by hand. */
#include "tests/unit/promql_fixture.h"

static void test_increase_exact(void **state)
{
    (void)state;
    static const char *const series[] = {
        "c{} 100+10x20",        "reset{} 0+10x4 5+10x5", /* 40 at 240 s, 5 at 300 s */
        "young{} _ _ _ 7+10x6", "gap{} 10 _ _ _ _ _ _ _ 50", "one{} 5", NULL,
    };
    static const struct fixture_case cases[] = {
        {"increase_exact(c[5m])", 300, "{} 50"},
        {"increase_exact(c[5m])", 330, "{} 50"},
        {"increase_exact(c[1m])", 300, "{} 10"},
        {"increase_exact(c[30s])", 300, "{} 10"},
        {"increase_exact(c[30s])", 330, ""},
        {"increase_exact(c[1h])", 1200, "{} 200"},
        /* a reset inside, on the border, and before the window */
        {"increase_exact(reset[5m])", 300, "{} 45"},
        {"increase_exact(reset[1m])", 300, "{} 5"},
        {"increase_exact(reset[1m])", 360, "{} 10"},
        {"increase_exact(reset[10m])", 540, "{} 85"},
        /* it began at 7, of which nothing is known */
        {"increase_exact(young[10m])", 600, "{} 60"},
        {"increase_exact(young[1m])", 180, "{} 0"},
        /* what came before is older than the look-back */
        {"increase_exact(gap[1m])", 480, "{} 0"},
        {"increase_exact(gap[4m])", 480, "{} 40"},
        {"increase_exact(gap[3m])", 480, "{} 0"},
        {"increase_exact(one[1m])", 0, "{} 0"},
        {"increase_exact(c[5m:1m])", 300, "{} 50"},
        {"increase_exact(c[5m:1m] offset 2m)", 420, "{} 50"},
        {"increase_exact(c[5m] @ 300)", 900, "{} 50"},
        {"sum(increase_exact({__name__=~\"c|reset\"}[5m]))", 300,
         "error: vector cannot contain metrics with the same labelset"},
    };
    RUN(cases, series, 60);
}

/* Whatever the borders are, the parts are the whole. */
static void test_windows_side_by_side_add_up(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    uint32_t id = fixture_series(f, SLICE("c{}"), SERIES_COUNTER);
    unsigned seed = 3;
    double value = 0, total = 0;
    for (int64_t at = 0; at < 7200000; at += 10000) {
        seed = seed * 1103515245u + 12345u;
        double more = (seed >> 16) % 5;
        bool reset = (seed >> 8) % 50 == 0;
        value = reset ? more : value + more;
        total += at ? more : 0;
        store_batch_value(f->batch, id, at, value);
    }
    fixture_commit(f);
    static const char *const queries[] = {
        "increase_exact(c[7201s])",
        "sum_over_time(increase_exact(c[1m])[2h:1m])",
        "sum_over_time(increase_exact(c[40s])[2h:40s])",
        "sum_over_time(increase_exact(c[10m])[2h:10m])",
    };
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++) {
        double found = fixture_number(f, queries[i], 7200);
        if (found != total)
            fail_msg("%s: %g, not %g", queries[i], found, total);
    }
    fixture_free(f);
}

static void test_increase_exact_of_histograms(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    uint32_t id = fixture_series(f, SLICE("h{}"), SERIES_HISTOGRAM);
    struct histogram histogram;
    histogram_init(&histogram);
    for (int64_t second = 0; second <= 60; second += 10) {
        store_batch_histogram(f->batch, id, second * 1000, &histogram);
        if (second == 30)
            histogram_reset(&histogram);
        histogram_add(&histogram, 8, 2);
    }
    fixture_commit(f);
    static const struct fixture_case cases[] = {
        {"increase_exact(h[1m])", 60, "{} h(12,96)"}, /* a reset is no loss */
        {"increase_exact(h[10s])", 30, "{} h(2,16)"},
        {"increase_exact(h[10s])", 40, "{} h(2,16)"},
        {"increase_exact(h[30s])", 65, "{} h(6,48)"},
        {"increase_exact(h[1m])", 0, "{} h(0,0)"},
        {"percentile(50, h[1m])", 0, ""},
    };
    fixture_cases(f, cases, sizeof cases / sizeof *cases);
    histogram_release(&histogram);
    fixture_free(f);
}

static void test_percentile_of_numbers(void **state)
{
    (void)state;
    static const char *const series[] = {
        "n{g=\"a\",i=\"0\"} 1+1x9",
        "n{g=\"a\",i=\"1\"} 11+1x9",
        "n{g=\"b\",i=\"0\"} 5 NaN 7",
        "other{g=\"a\"} 1000",
        NULL,
    };
    static const struct fixture_case cases[] = {
        {"percentile(50, n[10m]) by (g)", 540, "{g=\"a\"} 10.5; {g=\"b\"} 5"},
        {"percentile(0, n[10m]) without (i)", 540, "{g=\"a\"} 1; {g=\"b\"} nan"},
        {"percentile by (g) (100, n[10m])", 540, "{g=\"a\"} 20; {g=\"b\"} 7"},
        {"percentile(100, n[2m])", 540, "{} 20"},
        {"percentile(0, n[2m])", 540, "{} 9"},
        {"percentile(25, n{g=\"a\"}[2m])", 540, "{} 9.75"},
        {"percentile(50, n{g=\"a\"}[2m] offset 1m)", 540, "{} 13.5"},
        {"percentile(50, n{g=\"a\"}[2m] @ 540)", 0, "{} 14.5"},
        {"percentile(50, n{g=\"a\"}[2m:1m])", 540, "{} 14.5"},
        {"percentile(50, n{i=\"9\"}[2m])", 540, ""},
        {"percentile(50, n{g=\"a\"}[1m]) by (__name__)", 540, "n{} 15"},
        {"percentile(101, n{g=\"a\"}[1m])", 540, "{} inf"},
        {"percentile(-1, n{g=\"a\"}[1m])", 540, "{} -inf"},
        {"percentile(scalar(n{g=\"a\",i=\"0\"}) * 10, n{g=\"a\"}[10m])", 540, "{} 20"},
    };
    struct fixture *f = fixture_new();
    for (const char *const *line = series; *line; line++)
        fixture_load(f, 60, *line);
    fixture_cases(f, cases, sizeof cases / sizeof *cases);
    fixture_expect(f, "percentile(100, n[2m]) by (g)", 0, 180, 60,
                   "{g=\"a\"} 11@0 12@60 13@120 14@180; {g=\"b\"} 5@0 5@60 7@120 7@180");
    fixture_free(f);
}

#define HOSTS 5
#define TICKS 30

/* One definition, two ways to write it. */
static void test_percentile_of_histograms(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    unsigned seed = 11;
    for (int host = 0; host < HOSTS; host++) {
        char name[64];
        struct histogram histogram;
        snprintf(name, sizeof name, "h{route=\"%d\",host=\"%d\"}", host % 2, host);
        uint32_t id = fixture_series(f, slice_of_string(name), SERIES_HISTOGRAM);
        histogram_init(&histogram);
        for (int tick = 0; tick < TICKS; tick++) {
            store_batch_histogram(f->batch, id, tick * 10000, &histogram);
            for (int i = 0; i < 20; i++) {
                seed = seed * 1103515245u + 12345u;
                histogram_add(&histogram, 1 + (seed >> 16) % 1000, 1);
            }
        }
        histogram_release(&histogram);
    }
    fixture_commit(f);
    fixture_load(f, 10, "mixed{route=\"1\",host=\"9\"} 1+1x29");
    static const char *const pairs[][2] = {
        {"percentile(99, h[1m]) by (route)",
         "histogram_quantile(0.99, sum by (route) (increase_exact(h[1m])))"},
        {"percentile(50, h[2m])", "histogram_quantile(0.5, sum(increase_exact(h[2m])))"},
        {"percentile(90, h[70s] offset 20s) without (host)",
         "histogram_quantile(0.9, sum without (host) (increase_exact(h[70s] offset 20s)))"},
        {"percentile(90, h[70s] @ 200)",
         "histogram_quantile(0.9, sum(increase_exact(h[70s] @ 200)))"},
        /* groups of one kind each stand beside each other */
        {"percentile(100, {__name__=~\"h|mixed\",host=~\"0|9\"}[1m]) by (host)",
         "histogram_quantile(1, sum by (host) (increase_exact(h{host=\"0\"}[1m]))) or "
         "max by (host) (max_over_time(mixed[1m]))"},
        {"percentile(50, {__name__=~\"h|mixed\",route=\"1\"}[1m])", "vector(1) < 0"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        struct buffer wanted;
        buffer_init(&wanted, 1 << 20);
        fixture_run(f, pairs[i][1], 10, 290, 20, &wanted);
        buffer_append_char(&wanted, 0);
        fixture_expect(f, pairs[i][0], 10, 290, 20, wanted.at);
        buffer_release(&wanted);
    }
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_increase_exact),
        cmocka_unit_test(test_windows_side_by_side_add_up),
        cmocka_unit_test(test_increase_exact_of_histograms),
        cmocka_unit_test(test_percentile_of_numbers),
        cmocka_unit_test(test_percentile_of_histograms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
