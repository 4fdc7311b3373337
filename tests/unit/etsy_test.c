/* statsd's statistics from a histogram, beside those of the values themselves, made as statsd makes
 * them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "query/etsy.h"

#define VALUES_MAX   1000
#define BUCKET_ERROR 0.0056 /* half a bucket: 2^(1/128) */

static double values[VALUES_MAX];
static size_t count;

static int ascending(const void *left, const void *right)
{
    const double *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static double uniform(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005u + 1442695040888963407u;
    return (double)(*seed >> 11) / 9007199254740992.0;
}

/* Draws the values, sorted, and their histogram. */
static void draw(uint64_t seed, size_t wanted, double shift, struct histogram *out)
{
    histogram_init(out);
    out->min = INFINITY;
    out->max = -INFINITY;
    for (count = 0; count < wanted; count++) {
        values[count] = exp(6 * uniform(&seed)) - shift;
        histogram_add(out, values[count], 1);
        out->min = fmin(out->min, values[count]);
        out->max = fmax(out->max, values[count]);
    }
    qsort(values, count, sizeof values[0], ascending);
}

/* What is exact is compared so; the rest may be off by `error` of the largest value it is made of. */
static void expect(const struct histogram *histogram, const char *name, double expected,
                   double error)
{
    struct etsy_statistic statistic;
    assert_true(etsy_find(slice_of_string(name), &statistic));
    double found = etsy_compute(histogram, statistic, 10);
    double allowed = error + 1e-9 * fabs(expected);
    if (!(fabs(found - expected) <= allowed))
        fail_msg("%s of %zu values: %.12g instead of %.12g", name, count, found, expected);
}

static void expect_percent(const struct histogram *histogram, double percent, const char *suffix)
{
    char name[40];
    size_t share = count > 1 ? (size_t)floor(fabs(percent) / 100 * (double)count + 0.5) : count;
    double sum = 0, squares = 0, magnitude = 0;
    if (share == 0)
        return;
    for (size_t i = 0; i < share; i++) {
        double value = values[percent > 0 ? i : count - 1 - i];
        sum += value;
        squares += value * value;
        magnitude += fabs(value);
    }
    double edge = values[percent > 0 ? share - 1 : count - share];
    snprintf(name, sizeof name, "count_%s", suffix);
    expect(histogram, name, (double)share, 0);
    snprintf(name, sizeof name, "sum_%s", suffix);
    expect(histogram, name, sum, BUCKET_ERROR * magnitude);
    snprintf(name, sizeof name, "mean_%s", suffix);
    expect(histogram, name, sum / (double)share, BUCKET_ERROR * magnitude / (double)share);
    snprintf(name, sizeof name, "sum_squares_%s", suffix);
    expect(histogram, name, squares, 2.02 * BUCKET_ERROR * squares);
    snprintf(name, sizeof name, "%s_%s", percent > 0 ? "upper" : "lower", suffix);
    expect(histogram, name, edge, BUCKET_ERROR * fabs(edge));
}

static void expect_all(const struct histogram *histogram)
{
    double sum = 0, squares = 0, differences = 0, spread = 0;
    for (size_t i = 0; i < count; i++) {
        sum += values[i];
        squares += values[i] * values[i];
        spread = fmax(spread, fabs(values[i]));
    }
    double mean = sum / (double)count;
    for (size_t i = 0; i < count; i++)
        differences += (values[i] - mean) * (values[i] - mean);
    size_t mid = count / 2;
    double median = count % 2 ? values[mid] : (values[mid - 1] + values[mid]) / 2;
    double about = count % 2 ? fabs(median) : fmax(fabs(values[mid - 1]), fabs(values[mid]));
    expect(histogram, "count", (double)count, 0);
    expect(histogram, "count_ps", (double)count / 10, 0);
    expect(histogram, "lower", values[0], 0);
    expect(histogram, "upper", values[count - 1], 0);
    expect(histogram, "sum", sum, 1e-9 * spread * (double)count);
    expect(histogram, "mean", mean, 1e-9 * spread);
    expect(histogram, "median", median, BUCKET_ERROR * about);
    expect(histogram, "sum_squares", squares, 2.02 * BUCKET_ERROR * squares);
    expect(histogram, "std", sqrt(differences / (double)count),
           BUCKET_ERROR * sqrt(squares / (double)count));
}

static void test_statistics(void **state)
{
    static const size_t counts[] = {1, 2, 3, 4, 5, 9, 10, 11, 100, 999, VALUES_MAX};
    static const double shifts[] = {0, 20, 500};
    (void)state;
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (size_t k = 0; k < sizeof shifts / sizeof shifts[0]; k++) {
            struct histogram histogram;
            draw(i * 7 + k, counts[i], shifts[k], &histogram);
            expect_all(&histogram);
            expect_percent(&histogram, 90, "90");
            expect_percent(&histogram, 50, "50");
            expect_percent(&histogram, 99.9, "99_9");
            expect_percent(&histogram, 1, "1");
            expect_percent(&histogram, 100, "100");
            expect_percent(&histogram, -10, "top10");
            expect_percent(&histogram, -99.5, "top99_5");
            histogram_release(&histogram);
        }
}

/* A value of weight 10 is ten values. */
static void test_sampled(void **state)
{
    struct histogram histogram;
    (void)state;
    histogram_init(&histogram);
    histogram_add(&histogram, 8, 10);
    histogram_add(&histogram, 64, 10);
    expect(&histogram, "count", 20, 0);
    expect(&histogram, "upper_50", 8, 8 * BUCKET_ERROR);
    expect(&histogram, "upper_55", 64, 64 * BUCKET_ERROR);
    expect(&histogram, "mean_75", (10 * 8 + 5 * 64) / 15.0, 64 * BUCKET_ERROR);
    histogram_release(&histogram);
}

/* statsd says nothing but how many there were. */
static void test_empty(void **state)
{
    struct etsy_statistic statistic;
    struct histogram histogram;
    (void)state;
    histogram_init(&histogram);
    count = 0;
    expect(&histogram, "count", 0, 0);
    expect(&histogram, "count_ps", 0, 0);
    assert_true(etsy_find(SLICE("mean"), &statistic));
    assert_true(isnan(etsy_compute(&histogram, statistic, 10)));
    histogram_add(&histogram, 1, 1);
    histogram_add(&histogram, 2, 1);
    assert_true(etsy_find(SLICE("upper_1"), &statistic)); /* of 0.02 values */
    assert_true(isnan(etsy_compute(&histogram, statistic, 10)));
    histogram_release(&histogram);
}

static void test_names(void **state)
{
    static const char *const none[] = {"",          "rate",        "upper_",      "upper_0",
                                       "upper_101", "upper_top90", "lower_90",    "std_90",
                                       "median_90", "count_ps_90", "upper_9x",    "upper_90_",
                                       "mean90",    "upper_-5",    "upper_90_1_2"};
    const struct slice *names;
    struct etsy_statistic statistic;
    (void)state;
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        if (etsy_find(slice_of_string(none[i]), &statistic))
            fail_msg("%s", none[i]);
    for (size_t i = etsy_names(&names); i-- > 0;)
        assert_true(etsy_find(names[i], &statistic));
    assert_true(etsy_find(SLICE("sum_squares_99_95"), &statistic));
    assert_int_equal(statistic.measure, ETSY_SUM_SQUARES);
    assert_true(fabs(statistic.percent - 99.95) < 1e-9);
    assert_true(etsy_find(SLICE("lower_top5"), &statistic));
    assert_true(statistic.percent == -5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statistics),
        cmocka_unit_test(test_sampled),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
