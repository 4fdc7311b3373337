/* rollup: buckets against what their definition says, sample by sample. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/base/alloc.h"
#include "storage/code/column.h"
#include "storage/rollup.h"

#define SAMPLES_MAX 400
#define FINE        STORE_5M_MS
#define WIDE        STORE_1H_MS

static struct arena arena;

/* --- random samples --- */

struct made {
    bool histograms;
    size_t count;
    int64_t times[SAMPLES_MAX];
    double values[SAMPLES_MAX];
    const struct histogram *at[SAMPLES_MAX]; /* NULL: stale marker */
};

/* Irregular, with gaps of hours, and often exactly on a border. */
static int64_t next_time(int64_t time_ms)
{
    switch (lrand48() % 8) {
    case 0:
        return bucket_end(time_ms + 1, FINE);
    case 1:
        return bucket_end(time_ms + 1, WIDE) + lrand48() % 2;
    case 2:
        return time_ms + 1 + lrand48() % (3 * WIDE);
    }
    return time_ms + 1 + lrand48() % 30000;
}

static double next_value(double last, int shape)
{
    if (shape == 0) /* counter that begins anew at times */
        return lrand48() % 15 ? last + (double)(lrand48() % 9) : (double)(lrand48() % 3);
    if (shape == 1)
        return (double)(lrand48() % 2000 - 1000) / 8;
    return lrand48() % 30 ? drand48() : lrand48() % 2 ? NAN : -INFINITY;
}

static void make(struct made *made, int shape)
{
    struct histogram running;
    double last = 0;
    int64_t time_ms = 1700000000000 + lrand48() % WIDE;
    histogram_init(&running);
    *made = (struct made){.histograms = shape == 3, .count = 1 + (size_t)lrand48() % SAMPLES_MAX};
    for (size_t i = 0; i < made->count; i++) {
        bool stale = lrand48() % 12 == 0;
        made->times[i] = time_ms = next_time(time_ms);
        if (!made->histograms) {
            last = next_value(isfinite(last) ? last : 0, shape);
            made->values[i] = stale ? stale_nan() : last;
            continue;
        }
        if (lrand48() % 10 == 0)
            histogram_reset(&running);
        running.min = running.max = NAN;
        for (long n = lrand48() % 4; n; n--)
            histogram_add(&running, exp(drand48() * 4) - 5, 1);
        made->at[i] = stale ? NULL : histogram_copy(&arena, &running);
    }
    histogram_release(&running);
}

/* --- the definition --- */

struct wanted {
    uint32_t count;
    bool any, ended;
    int64_t first_ms, last_ms;
    double first, last, min, max, drop;
    long double sum;
    const struct histogram *first_at, *last_at;
    struct histogram drop_at;
    bool fell;
};

static void want_value(struct wanted *wanted, double value)
{
    if (wanted->count == 0)
        wanted->first = value;
    else if (value < wanted->last)
        wanted->drop += wanted->last;
    wanted->last = value;
    wanted->sum += value;
    wanted->min = fmin(wanted->min, value);
    wanted->max = fmax(wanted->max, value);
}

static void want_histogram(struct wanted *wanted, const struct histogram *at)
{
    if (wanted->count == 0)
        wanted->first_at = at;
    else if (histogram_fell(wanted->last_at, at)) {
        histogram_merge(&wanted->drop_at, wanted->last_at);
        wanted->fell = true;
    }
    wanted->last_at = at;
    wanted->min = fmin(wanted->min, at->min);
    wanted->max = fmax(wanted->max, at->max);
}

/* What lies in (end - width, end]; the caller releases drop_at. */
static struct wanted want(const struct made *made, int64_t end_ms, int64_t width_ms)
{
    struct wanted wanted = {.min = NAN, .max = NAN};
    histogram_init(&wanted.drop_at);
    for (size_t i = 0; i < made->count; i++) {
        if (made->times[i] <= end_ms - width_ms || made->times[i] > end_ms)
            continue;
        bool stale = made->histograms ? !made->at[i] : is_stale_nan(made->values[i]);
        wanted.ended = stale;
        wanted.any = true;
        if (stale)
            continue;
        if (made->histograms)
            want_histogram(&wanted, made->at[i]);
        else
            want_value(&wanted, made->values[i]);
        if (wanted.count++ == 0)
            wanted.first_ms = made->times[i];
        wanted.last_ms = made->times[i];
    }
    return wanted;
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static bool close_to(double a, long double b)
{
    return same(a, (double)b) || fabsl((long double)a - b) <= 1e-12L * fabsl(b) + 1e-9L;
}

static void assert_values(const struct rollup *rollup, size_t i, const struct wanted *wanted)
{
    assert_true(same(rollup->first[i], wanted->first));
    assert_true(same(rollup->last[i], wanted->last));
    assert_true(close_to(rollup->sum[i], wanted->sum));
    assert_true(close_to(rollup->drop[i], wanted->drop));
}

static void assert_histograms(const struct rollup *rollup, size_t i, const struct wanted *wanted)
{
    assert_true(histogram_equal(rollup->first_histogram[i], wanted->first_at));
    assert_true(histogram_equal(rollup->last_histogram[i], wanted->last_at));
    assert_int_equal(rollup->drop_histogram[i] != NULL, wanted->fell);
    if (!wanted->fell || !rollup->drop_histogram[i])
        return;
    struct histogram drop = *rollup->drop_histogram[i];
    drop.min = wanted->drop_at.min; /* extremes of ticks mean nothing in a sum of totals */
    drop.max = wanted->drop_at.max;
    assert_true(close_to(drop.sum, wanted->drop_at.sum));
    drop.sum = wanted->drop_at.sum;
    assert_true(histogram_equal(&drop, &wanted->drop_at));
}

static void assert_buckets(const struct rollup *rollup, const struct made *made)
{
    size_t found = 0;
    int64_t from = bucket_end(made->times[0], rollup->width_ms);
    int64_t to = made->times[made->count - 1] + rollup->width_ms;
    for (int64_t end = from; end < to; end += rollup->width_ms) {
        struct wanted wanted = want(made, end, rollup->width_ms);
        if (wanted.any) {
            assert_true(found < rollup->count && rollup->end_ms[found] == end);
            assert_int_equal(rollup->counts[found], wanted.count);
            assert_int_equal(rollup->ended[found], wanted.ended);
            if (wanted.count) {
                assert_int_equal(rollup->first_ms[found], wanted.first_ms);
                assert_int_equal(rollup->last_ms[found], wanted.last_ms);
                assert_true(same(rollup->min[found], wanted.min));
                assert_true(same(rollup->max[found], wanted.max));
                if (made->histograms)
                    assert_histograms(rollup, found, &wanted);
                else
                    assert_values(rollup, found, &wanted);
            }
            found++;
        }
        histogram_release(&wanted.drop_at);
    }
    assert_int_equal(rollup->count, found);
}

/* Folds the samples in random runs. */
static void fold(struct rollup *rollup, const struct made *made, int64_t width_ms)
{
    rollup_reset(rollup, made->histograms, width_ms);
    for (size_t at = 0, n; at < made->count; at += n) {
        n = 1 + (size_t)lrand48() % (made->count - at);
        struct store_column column = {.count = n,
                                      .times = made->times + at,
                                      .values = made->histograms ? NULL : made->values + at,
                                      .histograms = made->histograms ? made->at + at : NULL};
        assert_true(rollup_add_column(rollup, &column, &arena));
    }
}

static void buckets_are_what_they_say(void **state)
{
    (void)state;
    struct rollup fine, wide, merged;
    struct made *made = alloc_zeroed(1, sizeof *made);
    rollup_init(&fine);
    rollup_init(&wide);
    rollup_init(&merged);
    for (int round = 0; round < 400; round++) {
        arena_reset(&arena);
        make(made, round % 4);
        fold(&fine, made, FINE);
        assert_buckets(&fine, made);
        fold(&wide, made, WIDE);
        assert_buckets(&wide, made);
        rollup_reset(&merged, made->histograms, WIDE);
        for (size_t i = 0; i < fine.count; i++)
            assert_true(rollup_add_bucket(&merged, &fine, i, &arena));
        assert_buckets(&merged, made);
    }
    rollup_release(&fine);
    rollup_release(&wide);
    rollup_release(&merged);
    free(made);
}

static void a_copy_has_the_columns_of_its_kind(void **state)
{
    (void)state;
    struct rollup rollup;
    struct store_buckets out;
    rollup_init(&rollup);
    rollup_reset(&rollup, false, FINE);
    rollup_add_values(&rollup, (int64_t[]){1, FINE, FINE + 1}, (double[]){5, 3, stale_nan()}, 3);
    rollup_view(&rollup, &out);
    assert_int_equal(out.count, 2);
    assert_int_equal(out.end_ms[1], 2 * FINE);
    assert_int_equal(out.counts[0], 2);
    assert_int_equal(out.counts[1], 0);
    assert_true(out.ended[1] && !out.ended[0]);
    assert_true(out.drop[0] == 5 && out.sum[0] == 8 && out.min[0] == 3 && out.max[0] == 5);
    assert_null(out.first_histogram);
    rollup.has_drop = false;
    rollup_view(&rollup, &out);
    assert_null(out.drop);
    rollup.histograms = true;
    rollup_view(&rollup, &out);
    assert_null(out.first);
    assert_non_null(out.drop_histogram);
    rollup_release(&rollup);
}

int main(void)
{
    srand48(11);
    arena_init(&arena, (size_t)1 << 28);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buckets_are_what_they_say),
        cmocka_unit_test(a_copy_has_the_columns_of_its_kind),
    };
    int status = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return status;
}
