/* registry_dated: counts and readings of the past, among those of the present. */
#include "tests/unit/registry_fixture.h"

/* What was sent of the past, then the batch it is written by. */
static void write_dated(struct fixture *fixture, bool stored)
{
    struct error err = {0};
    struct store_batch *batch = store_batch_new(fixture->store);
    registry_dated_write(fixture->registry, batch, false);
    if (stored && !store_batch_is_empty(batch) && store_commit(fixture->store, batch, false, &err))
        fail_msg("%s", err.text);
    store_batch_free(batch);
    registry_dated_done(fixture->registry, stored);
}

static void date(struct fixture *fixture, enum series_kind kind, int64_t tick, double value)
{
    struct named d;
    registry_dated(fixture->registry, named(&d, "d", NULL, NULL), kind, T0 + tick * TICK, value);
}

static void tick(struct fixture *fixture, int64_t number)
{
    flush(fixture, T0 + number * TICK);
    write_dated(fixture, true);
}

static void counts_of_the_past_raise_what_came_after(void **state)
{
    struct fixture *fixture = *state;
    count(fixture, "d", 1);
    tick(fixture, 1);
    tick(fixture, 2);
    count(fixture, "d", 2);
    flush(fixture, T0 + 3 * TICK);
    date(fixture, SERIES_COUNTER, 2, 10);
    date(fixture, SERIES_COUNTER, 2, 5);
    date(fixture, SERIES_COUNTER, 1, 100);
    write_dated(fixture, true);
    assert_string_equal(samples(fixture, "d", "host", ""), "0:0 1:101 2:116 3:118");
    flush(fixture, T0 + 4 * TICK);
    date(fixture, SERIES_COUNTER, 6, 1000); /* waits for its tick */
    tick(fixture, 5);
    tick(fixture, 6);
    assert_string_equal(samples(fixture, "d", "host", ""),
                        "0:0 1:101 2:116 3:118 4:118 5:118 6:1118");
}

static void a_count_of_the_past_begins_a_series(void **state)
{
    struct fixture *fixture = *state;
    date(fixture, SERIES_COUNTER, -5, 7);
    date(fixture, SERIES_COUNTER, -7, 1);
    tick(fixture, 1);
    assert_string_equal(samples(fixture, "d", "host", ""), "-8:0 -7:1 -5:8 0:8 1:8");
    flush(fixture, T0 + 2 * TICK);
    close_all(fixture);
    open_all(fixture);
    date(fixture, SERIES_COUNTER, -6, 2);
    tick(fixture, 3);
    assert_string_equal(samples(fixture, "d", "host", ""),
                        "-8:0 -7:1 -6:3 -5:10 0:10 1:10 2:10 3:10");
}

static void counts_of_the_past_outlive_a_lost_batch(void **state)
{
    struct fixture *fixture = *state;
    date(fixture, SERIES_COUNTER, 0, 7);
    flush(fixture, T0 + TICK);
    write_dated(fixture, false);
    flush(fixture, T0 + 2 * TICK);
    assert_string_equal(samples(fixture, "d", "host", ""), "0:0 1:0 2:0");
    write_dated(fixture, true);
    flush(fixture, T0 + 3 * TICK);
    assert_string_equal(samples(fixture, "d", "host", ""), "-1:0 0:7 1:7 2:7 3:7");
}

static void readings_of_the_past_are_not_repeated(void **state)
{
    struct fixture *fixture = *state;
    struct named d;
    date(fixture, SERIES_GAUGE, -3, 5);
    date(fixture, SERIES_GAUGE, -3, 6);
    date(fixture, SERIES_GAUGE, -9, -1);
    tick(fixture, 1);
    flush(fixture, T0 + 2 * TICK);
    assert_string_equal(samples(fixture, "d", "host", ""), "-9:-1 -3:6");
    registry_gauge(fixture->registry, named(&d, "d", NULL, NULL), 8);
    flush(fixture, T0 + 3 * TICK);
    date(fixture, SERIES_GAUGE, 1, 7);
    tick(fixture, 4);
    assert_string_equal(samples(fixture, "d", "host", ""), "-9:-1 -3:6 1:7 3:8 4:8");
    for (int i = 5; i < 8; i++)
        tick(fixture, i);
    assert_string_equal(samples(fixture, "d", "host", ""), "-9:-1 -3:6 1:7 3:8 4:8 5:8 6:8 7:end");
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(counts_of_the_past_raise_what_came_after),
        CASE(a_count_of_the_past_begins_a_series),
        CASE(counts_of_the_past_outlive_a_lost_batch),
        CASE(readings_of_the_past_are_not_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
