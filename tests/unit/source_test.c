/* source: which tier a selector is read from, and what windows become where only buckets are left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "query/source.h"

/* --- which source is chosen --- */

#define MIN  INT64_C(60000)
#define HOUR (60 * MIN)

static void test_choice(void **state)
{
    (void)state;
    static const struct {
        struct source_windows windows; /* start, end, step, steps, instant */
        enum source wanted;
    } cases[] = {
        {{0, HOUR, HOUR, 10, false}, SOURCE_1H},
        {{0, HOUR, 0, 10, false}, SOURCE_1H}, /* @: all steps have the same window */
        {{0, 5 * MIN, HOUR, 10, false}, SOURCE_5M},
        {{0, HOUR, 5 * MIN, 10, false}, SOURCE_5M},
        {{5 * MIN, HOUR + 5 * MIN, HOUR, 10, false}, SOURCE_5M},
        {{0, HOUR, MIN, 10, false}, SOURCE_SAMPLES},
        {{0, 90 * MIN, HOUR, 10, false}, SOURCE_5M},
        {{0, 92 * MIN, HOUR, 10, false}, SOURCE_SAMPLES},
        {{1, HOUR + 1, HOUR, 10, false}, SOURCE_SAMPLES},
        {{-HOUR, 0, HOUR, 10, false}, SOURCE_1H},
        {{-2 * HOUR, -HOUR, HOUR, 10, false}, SOURCE_1H},
        {{-HOUR - 1, -1, HOUR, 10, false}, SOURCE_SAMPLES},
        /* one window: the step does not matter */
        {{0, HOUR, MIN, 1, false}, SOURCE_1H},
        {{1, 10 * HOUR, 0, 1, false}, SOURCE_PIECES},
        {{1, 10 * HOUR + 1, MIN, 1, false}, SOURCE_PIECES},
        {{1, 10 * HOUR + 1, 0, 5, false}, SOURCE_PIECES},
        {{1, HOUR + 1, 0, 1, false}, SOURCE_SAMPLES},
        /* instant selectors: only where they end matters */
        {{HOUR - 1, HOUR, HOUR, 10, true}, SOURCE_1H},
        {{55 * MIN, HOUR, 15 * MIN, 10, true}, SOURCE_5M},
        {{55 * MIN, HOUR, MIN, 10, true}, SOURCE_SAMPLES},
        {{0, 10 * HOUR + 1, 0, 1, true}, SOURCE_SAMPLES},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (source_choose(&cases[i].windows) != cases[i].wanted)
            fail_msg("row %zu: %d", i, (int)source_choose(&cases[i].windows));
}

/* --- windows where only buckets are left --- */

static void test_snap(void **state)
{
    (void)state;
    static const struct {
        struct bounds asked, answered;
        double share;
    } cases[] = {
        {{8 * HOUR, 9 * HOUR}, {8 * HOUR, 9 * HOUR}, 1},
        {{8 * HOUR + MIN, 9 * HOUR + MIN}, {8 * HOUR, 9 * HOUR}, 1},
        {{8 * HOUR + MIN, 10 * HOUR}, {8 * HOUR, 10 * HOUR}, 119. / 120},
        /* inside one bucket */
        {{8 * HOUR + MIN, 8 * HOUR + 6 * MIN}, {8 * HOUR, 9 * HOUR}, 5. / 60},
        /* the end is among samples, then the start too */
        {{9 * HOUR + 30 * MIN, 10 * HOUR + 30 * MIN}, {9 * HOUR, 10 * HOUR + 30 * MIN}, 60. / 90},
        {{10 * HOUR, 11 * HOUR + MIN}, {10 * HOUR, 11 * HOUR + MIN}, 1},
        {{-MIN, MIN}, {-HOUR, 0}, 2. / 60},
    };
    struct coarse coarse = {HOUR, 10 * HOUR}, none = {0, 0};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bounds bounds = cases[i].asked, same = cases[i].asked;
        double share = coarse_snap(&coarse, &bounds);
        if (share != cases[i].share || bounds.start_ms != cases[i].answered.start_ms ||
            bounds.end_ms != cases[i].answered.end_ms)
            fail_msg("row %zu: %g of (%lld, %lld]", i, share, (long long)bounds.start_ms,
                     (long long)bounds.end_ms);
        assert_true(coarse_snap(&none, &same) == 1);
        assert_int_equal(same.end_ms, cases[i].asked.end_ms);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_snap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
