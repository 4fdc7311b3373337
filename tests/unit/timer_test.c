/* timer: whatever waits, what comes out is the histogram that adding at once makes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/ingest/timer.h"

static void add_both(struct timer *timer, struct histogram *naive, size_t *bytes, double value,
                     double weight)
{
    *bytes += timer_add(timer, value, weight);
    histogram_add(naive, value, weight);
}

static void assert_same(struct timer *timer, const struct histogram *naive, size_t *bytes)
{
    *bytes += timer_settle(timer);
    assert_int_equal(*bytes, timer_bytes(timer));
    assert_true(histogram_equal(&timer->histogram, naive));
    assert_true(timer->histogram.min == naive->min && timer->histogram.max == naive->max);
}

static struct slabs slabs;

static void equals_adding_at_once(void **state)
{
    static const double weights[] = {1, 1, 1, 10, 1.0 / 3};
    (void)state;
    srand(7);
    for (int round = 0; round < 200; round++) {
        struct timer *timer = timer_new(&slabs);
        struct histogram naive;
        size_t bytes = timer_bytes(timer);
        histogram_init(&naive);
        for (int i = rand() % 300; i > 0; i--) {
            double value = (rand() % 2000 - 200) * 0.25; /* some of them negative, some zero */
            add_both(timer, &naive, &bytes, value, weights[rand() % (round % 5 + 1)]);
        }
        assert_same(timer, &naive, &bytes);
        histogram_release(&naive);
        timer_free(&slabs, timer);
    }
}

/* The schema becomes coarser while indexes of the finer one wait. */
static void waits_across_schemas(void **state)
{
    struct timer *timer = timer_new(&slabs);
    struct histogram naive;
    size_t bytes = timer_bytes(timer);
    (void)state;
    histogram_init(&naive);
    for (int i = -300; i < 300; i++) {
        for (int j = 0; j < 5; j++)
            add_both(timer, &naive, &bytes, ldexp(1 + 0.15 * j, i), 1);
        add_both(timer, &naive, &bytes, -ldexp(1 + i % 7 * 0.1, i), 1);
    }
    assert_same(timer, &naive, &bytes);
    assert_true(timer->histogram.schema < HISTOGRAM_SCHEMA);
    histogram_release(&naive);
    timer_free(&slabs, timer);
}

/* Values that do not wait, among others that do. */
static void takes_what_doubles_can_be(void **state)
{
    static const double values[] = {
        0,       -0.0,  5e-324,  0x1p-128, 0x1.8p-128, -0x1p-128,
        -1e-300, 1e-38, 0x1p499, 0x1p500,  1e300,      1.7976931348623157e308,
        -1e300,  1,     1000,    0.001,    1};
    const size_t count = sizeof values / sizeof values[0];
    (void)state;
    srand(11);
    for (int round = 0; round < 200; round++) {
        struct timer *timer = timer_new(&slabs);
        struct histogram naive;
        size_t bytes = timer_bytes(timer);
        histogram_init(&naive);
        for (int i = rand() % 100; i > 0; i--)
            add_both(timer, &naive, &bytes, values[(size_t)rand() % count] / 256, 1);
        if (naive.count > 0)
            assert_same(timer, &naive, &bytes);
        histogram_release(&naive);
        timer_free(&slabs, timer);
    }
}

/* At each bound of a bucket and beside it: the quick index is that of histogram_add. */
static void knows_its_buckets(void **state)
{
    (void)state;
    for (int32_t index = -8000; index < 31900; index++) {
        double bound = histogram_bound(HISTOGRAM_SCHEMA, index);
        const double values[] = {nextafter(bound, 0), bound, nextafter(bound, INFINITY)};
        for (size_t i = 0; i < 3; i++) {
            struct histogram histogram;
            histogram_init(&histogram);
            assert_true(histogram_waits(values[i]));
            assert_int_equal(histogram_note(&histogram, values[i], 1),
                             histogram_index(HISTOGRAM_SCHEMA, values[i]));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_adding_at_once),
        cmocka_unit_test(waits_across_schemas),
        cmocka_unit_test(takes_what_doubles_can_be),
        cmocka_unit_test(knows_its_buckets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
