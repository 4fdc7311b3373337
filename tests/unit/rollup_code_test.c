/* rollup_code: buckets come back to the bit, in few bytes; damaged bytes are refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/code/column.h"
#include "storage/code/rollup_code.h"
#include "storage/key.h"

#define DAY_FROM ((int64_t)19676 * PARTITION_MS)

static struct arena arena;

/* --- making --- */

enum shape {
    CONSTANT,
    COUNTER,
    COUNTER_WITH_RESETS,
    DECIMALS,
    DOUBLES,
    ODD, /* NaN, infinities, -0 */
    HISTOGRAMS,
    SHAPES,
};

static double shaped(enum shape shape, double last, long i)
{
    switch (shape) {
    case COUNTER_WITH_RESETS:
        return lrand48() % 200 ? last + 3 : 0;
    case DECIMALS:
        return (double)(lrand48() % 2000) / 100;
    case DOUBLES:
        return drand48();
    case ODD:
        return i % 900 == 0 ? NAN : i % 400 == 1 ? INFINITY : i % 7 == 0 ? -0.0 : 1e300;
    case COUNTER:
        return (double)(3 * i);
    case CONSTANT:
    case HISTOGRAMS:
    case SHAPES:
        break;
    }
    return 42.5;
}

static void add_histogram(struct rollup *rollup, struct histogram *running, int64_t time_ms,
                          bool stale)
{
    if (lrand48() % 300 == 0)
        histogram_reset(running);
    running->min = running->max = NAN;
    if (lrand48() % 3)
        histogram_add(running, 1 + (double)(lrand48() % 50) - 10, 1);
    const struct histogram *at = stale ? NULL : histogram_copy(&arena, running);
    assert_true(rollup_add_histograms(rollup, &time_ms, &at, 1, &arena));
}

/* A day of samples a minute apart; irregular: with jitter, gaps and stale markers. */
static void make(struct rollup *rollup, enum shape shape, int64_t width_ms, bool irregular)
{
    struct histogram running;
    int64_t times[1440];
    double values[1440], last = 0;
    size_t count = 0;
    histogram_init(&running);
    rollup_reset(rollup, shape == HISTOGRAMS, width_ms);
    for (long i = 1; i <= 1440; i++) {
        int64_t time_ms = DAY_FROM + i * 60000 - (irregular && i < 1440 ? lrand48() % 60000 : 0);
        bool stale = irregular && lrand48() % 20 == 0;
        if (irregular && i / 100 % 4 == 1)
            continue;
        last = stale ? stale_nan() : shaped(shape, isnan(last) ? 0 : last, i);
        times[count] = time_ms;
        values[count++] = last;
        if (shape == HISTOGRAMS)
            add_histogram(rollup, &running, time_ms, stale);
    }
    if (shape != HISTOGRAMS)
        rollup_add_values(rollup, times, values, count);
    histogram_release(&running);
}

/* --- checking --- */

static bool same_bits(double a, double b)
{
    return double_bits(a) == double_bits(b);
}

static bool same_histogram(const struct histogram *a, const struct histogram *b)
{
    return !a || !b ? a == b : histogram_equal(a, b);
}

static void assert_bucket(const struct rollup *a, size_t i, const struct rollup *b, size_t j)
{
    assert_int_equal(a->end_ms[i], b->end_ms[j]);
    assert_int_equal(a->counts[i], b->counts[j]);
    assert_int_equal(a->first_ms[i], b->first_ms[j]);
    assert_int_equal(a->last_ms[i], b->last_ms[j]);
    assert_int_equal(a->ended[i], b->ended[j]);
    if (a->counts[i] == 0)
        return;
    assert_true(same_bits(a->min[i], b->min[j]) && same_bits(a->max[i], b->max[j]));
    if (a->histograms) {
        assert_true(same_histogram(a->first_histogram[i], b->first_histogram[j]));
        assert_true(same_histogram(a->last_histogram[i], b->last_histogram[j]));
        assert_true(same_histogram(a->drop_histogram[i], b->drop_histogram[j]));
        return;
    }
    assert_true(same_bits(a->first[i], b->first[j]) && same_bits(a->last[i], b->last[j]));
    assert_true(same_bits(a->sum[i], b->sum[j]));
    assert_true(!b->has_drop || same_bits(a->drop[i], b->drop[j]));
}

/* Of a reader that does without some columns the others are the same. */
static void comes_back_in_part(const struct rollup *rollup, struct slice bytes, unsigned without)
{
    struct rollup back;
    rollup_init(&back);
    rollup_reset(&back, rollup->histograms, rollup->width_ms);
    back.without = without;
    assert_true(rollup_code_read(bytes, DAY_FROM, &back, &arena));
    struct store_buckets all, some;
    rollup_view(rollup, &all);
    rollup_view(&back, &some);
    assert_int_equal(some.count, all.count);
    unsigned lacks = rollup->histograms ? 0 : without;
    assert_int_equal(!some.first_ms, (lacks & BUCKETS_FIRST) > 0);
    assert_int_equal(!some.last_ms, (lacks & BUCKETS_LAST) > 0);
    assert_int_equal(!some.min, (lacks & BUCKETS_EXTREMES) > 0);
    assert_int_equal(!some.sum, rollup->histograms || without & BUCKETS_SUM);
    for (size_t i = 0; i < all.count; i++) {
        assert_int_equal(all.end_ms[i], some.end_ms[i]);
        assert_int_equal(all.counts[i], some.counts[i]);
        assert_int_equal(all.ended[i], some.ended[i]);
        assert_true(!some.first_ms || all.first_ms[i] == some.first_ms[i]);
        assert_true(!some.last_ms || all.last_ms[i] == some.last_ms[i]);
        if (all.counts[i] == 0)
            continue;
        assert_true(!some.first || same_bits(all.first[i], some.first[i]));
        assert_true(!some.last || same_bits(all.last[i], some.last[i]));
        assert_true(!some.min || same_bits(all.min[i], some.min[i]));
        assert_true(!some.max || same_bits(all.max[i], some.max[i]));
        assert_true(!some.sum || same_bits(all.sum[i], some.sum[i]));
        assert_true(!some.drop || same_bits(all.drop[i], some.drop[i]));
    }
    rollup_release(&back);
}

static void comes_back(const struct rollup *rollup, bool counter, struct rollup *back)
{
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    rollup_code_append(&bytes, rollup, DAY_FROM, counter);
    for (int twice = 0; twice < 2; twice++) { /* the second time behind the first */
        size_t at = back->count;
        assert_true(rollup_code_read(buffer_slice(&bytes), DAY_FROM, back, &arena));
        assert_int_equal(back->count, at + rollup->count);
        for (size_t i = 0; i < rollup->count; i++)
            assert_bucket(rollup, i, back, at + i);
    }
    assert_int_equal(back->damaged, 2 * rollup->damaged);
    for (unsigned without = 0; without <= BUCKETS_ALL; without++)
        comes_back_in_part(rollup, buffer_slice(&bytes), without);
    buffer_release(&bytes);
}

static void every_shape_comes_back(void **state)
{
    (void)state;
    struct rollup rollup, back;
    rollup_init(&rollup);
    rollup_init(&back);
    for (int round = 0; round < 20; round++)
        for (enum shape shape = 0; shape < SHAPES; shape++) {
            int64_t width = round % 2 ? STORE_5M_MS : STORE_1H_MS;
            arena_reset(&arena);
            make(&rollup, shape, width, round / 2 % 2);
            rollup.damaged = (size_t)(round % 3);
            rollup_reset(&back, shape == HISTOGRAMS, width);
            comes_back(&rollup, round % 5 == 0, &back);
            bool falls = shape == COUNTER_WITH_RESETS || shape == ODD;
            assert_true(back.has_drop || (round % 5 && (falls || shape >= DECIMALS)));
            if (round % 5 == 0 || shape == CONSTANT)
                assert_true(back.has_drop);
        }
    rollup_release(&rollup);
    rollup_release(&back);
}

static size_t day_bytes(enum shape shape, int64_t width_ms)
{
    struct rollup rollup;
    struct buffer bytes;
    rollup_init(&rollup);
    buffer_init(&bytes, SIZE_MAX);
    arena_reset(&arena);
    make(&rollup, shape, width_ms, false);
    rollup_code_append(&bytes, &rollup, DAY_FROM, shape == COUNTER);
    size_t size = bytes.len;
    buffer_release(&bytes);
    rollup_release(&rollup);
    return size;
}

static void even_series_cost_almost_nothing(void **state)
{
    (void)state;
    assert_in_range(day_bytes(CONSTANT, STORE_5M_MS), 1, 48);
    assert_in_range(day_bytes(COUNTER, STORE_5M_MS), 1, 48);
    assert_in_range(day_bytes(COUNTER, STORE_1H_MS), 1, 48);
    assert_in_range(day_bytes(DECIMALS, STORE_1H_MS), 1, 24 * 10);
}

static void damaged_bytes_are_refused(void **state)
{
    (void)state;
    struct rollup rollup, back;
    struct buffer bytes;
    rollup_init(&rollup);
    rollup_init(&back);
    buffer_init(&bytes, SIZE_MAX);
    for (enum shape shape = 0; shape < SHAPES; shape++) {
        arena_reset(&arena);
        make(&rollup, shape, STORE_1H_MS, true);
        buffer_reset(&bytes);
        rollup_code_append(&bytes, &rollup, DAY_FROM, true);
        rollup_reset(&back, shape == HISTOGRAMS, STORE_1H_MS);
        for (size_t i = 0; i < bytes.len; i++) {
            bytes.at[i] ^= (char)(1 << (i % 8));
            assert_false(rollup_code_read(buffer_slice(&bytes), DAY_FROM, &back, &arena));
            bytes.at[i] ^= (char)(1 << (i % 8));
            assert_false(rollup_code_read(slice_make(bytes.at, i), DAY_FROM, &back, &arena));
        }
        assert_int_equal(back.count, 0);
        assert_true(rollup_code_read(buffer_slice(&bytes), DAY_FROM, &back, &arena));
        back.histograms = !back.histograms;
        assert_false(rollup_code_read(buffer_slice(&bytes), DAY_FROM, &back, &arena));
    }
    buffer_release(&bytes);
    rollup_release(&rollup);
    rollup_release(&back);
}

int main(void)
{
    srand48(5);
    arena_init(&arena, (size_t)1 << 28);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_shape_comes_back),
        cmocka_unit_test(even_series_cost_almost_nothing),
        cmocka_unit_test(damaged_bytes_are_refused),
    };
    int status = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return status;
}
