/* changes: against the plain list of all changes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/changes.h"

#define ROUNDS  40
#define CHANGED 6000

/* The earliest of those after the number. */
static int64_t naive_since(const int64_t *lows, uint64_t count, uint64_t number)
{
    int64_t low = INT64_MAX;
    for (uint64_t i = number; i < count; i++)
        low = lows[i] < low ? lows[i] : low;
    return low;
}

static void check_order(const struct changes *changes)
{
    assert_true(changes->count <= CHANGES_MAX);
    for (size_t i = 1; i < changes->count; i++) {
        assert_true(changes->at[i - 1].number < changes->at[i].number);
        assert_true(changes->at[i - 1].low_ms < changes->at[i].low_ms);
    }
}

static void test_none(void **state)
{
    (void)state;
    struct changes changes = {0};
    assert_true(changes_since(&changes, 0) == INT64_MAX);
    changes_add(&changes, INT64_MIN);
    assert_true(changes_since(&changes, 0) == INT64_MIN);
    assert_true(changes_since(&changes, 1) == INT64_MAX);
}

/* While nothing had to be thinned out, the answer is exact. */
static void test_exact(void **state)
{
    (void)state;
    static int64_t lows[CHANGED];
    srand(7);
    for (int round = 0; round < ROUNDS; round++) {
        struct changes changes = {0};
        for (uint64_t n = 0; n < CHANGED; n++) {
            lows[n] = rand() % 500; /* so few times that the list stays short */
            changes_add(&changes, lows[n]);
            uint64_t number = (uint64_t)rand() % (n + 2);
            assert_true(changes.last == n + 1);
            assert_true(changes_since(&changes, number) == naive_since(lows, n + 1, number));
        }
        check_order(&changes);
    }
}

/* Live data for long, now and then something late: never too late a time, exact for the newest
 * half of the list. */
static void test_thinned(void **state)
{
    (void)state;
    static int64_t lows[CHANGED];
    srand(11);
    for (int round = 0; round < ROUNDS; round++) {
        struct changes changes = {0};
        int late_every = 1 << (round % 16);
        for (uint64_t n = 0; n < CHANGED; n++) {
            bool late = rand() % late_every == 0;
            lows[n] = (int64_t)n * 10 - (late ? rand() % 20000 : 0);
            changes_add(&changes, lows[n]);
            uint64_t number = (uint64_t)rand() % (n + 2);
            int64_t exact = naive_since(lows, n + 1, number);
            assert_true(changes_since(&changes, number) <= exact);
            if (number + CHANGES_MAX / 4 > n)
                assert_true(changes_since(&changes, number) == exact);
        }
        check_order(&changes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none),
        cmocka_unit_test(test_exact),
        cmocka_unit_test(test_thinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
