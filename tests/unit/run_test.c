/* run, pool: appended numbers against plain arrays, and what they cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "storage/code/column.h"
#include "storage/code/run.h"

#define NUMBERS 1000

static double values[NUMBERS], values_back[NUMBERS];
static int64_t times[NUMBERS], times_back[NUMBERS];

static double random_value(double last)
{
    static const double odd[] = {0.0,
                                 -0.0,
                                 INFINITY,
                                 -INFINITY,
                                 0.1,
                                 1e15,
                                 9007199254740993.0,
                                 5e-324,
                                 1.7976931348623157e308};
    switch (lrand48() % 10) {
    case 0:
        return odd[lrand48() % 9];
    case 1:
        return double_of_bits((uint64_t)mrand48() << 32 ^ (uint64_t)mrand48()); /* NaNs too */
    case 2:
        return double_of_bits(0x7ff0000000000002ull); /* the stale marker */
    case 3:
        return (double)(lrand48() % 100000) / pow(10, (double)(lrand48() % 8));
    case 4:
        return (double)mrand48() * 4e6;
    case 5:
    case 6:
        return last + (double)(lrand48() % 200 - 100);
    }
    return last;
}

/* kind 0: anything; 1: a counter; 2: a gauge of two decimals; 3: constant. */
static void fill_values(size_t count, int kind)
{
    for (size_t i = 0; i < count; i++) {
        double last = i ? values[i - 1] : (double)(lrand48() % 3);
        values[i] = kind == 0   ? random_value(last)
                    : kind == 1 ? last + (double)(lrand48() % 20)
                    : kind == 2 ? (double)(lrand48() % 3000) / 100
                                : last;
    }
}

static void doubles_come_back_to_the_bit(void **state)
{
    (void)state;
    struct run_pool pool;
    run_pool_init(&pool);
    for (int round = 0; round < 2000; round++) {
        struct run_block *run = NULL;
        size_t count = 1 + (size_t)lrand48() % NUMBERS;
        size_t repeated = (size_t)lrand48() % count;
        fill_values(count, round % 4);
        for (size_t i = 1; i < repeated; i++)
            values[i] = values[0];
        run_append_value(&pool, &run, 0, values[0]);
        run_repeat(&pool, &run, repeated ? repeated - 1 : 0);
        for (size_t i = repeated ? repeated : 1; i < count; i++)
            run_append_value(&pool, &run, values[i - 1], values[i]);
        size_t from = (size_t)lrand48() % count, length = (size_t)lrand48() % (count - from + 1);
        run_values(run, from, length, values_back);
        assert_memory_equal(values_back, values + from, length * sizeof *values);
        run_free(&pool, &run);
        assert_null(run);
        assert_int_equal(run_pool_used_bytes(&pool), 0);
    }
    run_pool_release(&pool);
}

static void times_come_back(void **state)
{
    (void)state;
    struct run_pool pool;
    run_pool_init(&pool);
    for (int round = 0; round < 2000; round++) {
        struct run_block *run = NULL;
        struct run_grid grid = {1700000000000, lrand48() % 2 * 10000};
        size_t count = 2 + (size_t)lrand48() % (NUMBERS - 2);
        times[0] = grid.first;
        for (size_t i = 1; i < count; i++) {
            int64_t gap = lrand48() % 3 ? grid.step + (round % 2 ? lrand48() % 200 : 0)
                                        : (int64_t)(lrand48() >> lrand48() % 31);
            if (lrand48() % 100 == 0)
                gap <<= 20;
            times[i] = times[i - 1] + gap;
            run_append_gap(&pool, &run, gap - grid.step);
        }
        size_t from = (size_t)lrand48() % count, length = (size_t)lrand48() % (count - from + 1);
        run_times(run, grid, from, length, times_back);
        assert_memory_equal(times_back, times + from, length * sizeof *times);
        size_t first = from;
        while (first && times[first - 1] == times[from])
            first--;
        assert_int_equal(run_find_time(run, grid, count, times[from]), first);
        assert_int_equal(run_find_time(run, grid, count, times[count - 1] + 1), count);
        run_free(&pool, &run);
    }
    run_pool_release(&pool);
}

/* What 360 numbers of a kind take. */
static size_t bytes_of(int kind)
{
    struct run_pool pool;
    struct run_block *run = NULL;
    run_pool_init(&pool);
    fill_values(360, kind);
    for (size_t i = 0; i < 360; i++)
        run_append_value(&pool, &run, i ? values[i - 1] : 0, values[i]);
    size_t bytes = run_pool_used_bytes(&pool);
    run_free(&pool, &run);
    assert_int_equal(run_pool_used_bytes(&pool), 0);
    run_pool_release(&pool);
    return bytes;
}

static void usual_numbers_take_a_byte_or_two(void **state)
{
    (void)state;
    assert_int_equal(bytes_of(3), 24 + 64);
    assert_in_range(bytes_of(1), 24 + 7 * 64, 24 + 7 * 64);
    assert_in_range(bytes_of(2), 24 + 13 * 64, 24 + 15 * 64);
}

/* What idle counters have after a tick that was left out. */
static void a_gap_of_another_length_takes_little(void **state)
{
    (void)state;
    struct run_pool pool;
    struct run_block *run = NULL;
    run_pool_init(&pool);
    run_repeat(&pool, &run, 3);
    run_append_gap(&pool, &run, 10000);
    run_repeat(&pool, &run, 200);
    assert_int_equal(run_pool_used_bytes(&pool), 24);
    run_free(&pool, &run);
    run_pool_release(&pool);
}

static void things_of_a_cache_line_lie_on_one(void **state)
{
    (void)state;
    struct pool pool;
    pool_init(&pool, 64);
    for (size_t i = 0; i < 20000; i++) {
        char *thing = pool_take(&pool);
        assert_int_equal((uintptr_t)thing % 64, 0);
        memset(thing, 1, 64);
    }
    pool_release(&pool);
}

static void a_pool_gives_zeroed_things_again(void **state)
{
    (void)state;
    struct pool pool;
    char *things[10000];
    pool_init(&pool, 104);
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < 10000; i++) {
            things[i] = pool_take(&pool);
            for (size_t j = 0; j < 104; j++)
                assert_int_equal(things[i][j], 0);
            memset(things[i], (int)i, 104);
        }
        for (size_t i = 0; i < 10000; i++)
            assert_int_equal((unsigned char)things[i][103], i & 255);
        assert_int_equal(pool.used, 10000);
        assert_in_range(pool_bytes(&pool), 1040000, 1400000);
        for (size_t i = 0; i < 10000; i++)
            pool_give(&pool, things[i]);
    }
    pool_release(&pool);
    assert_int_equal(pool_bytes(&pool), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_come_back_to_the_bit),
        cmocka_unit_test(times_come_back),
        cmocka_unit_test(usual_numbers_take_a_byte_or_two),
        cmocka_unit_test(a_gap_of_another_length_takes_little),
        cmocka_unit_test(things_of_a_cache_line_lie_on_one),
        cmocka_unit_test(a_pool_gives_zeroed_things_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
