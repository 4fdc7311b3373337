/* intake_timer: timers that fill up, one after the other or many times in a batch, hold what histograms
 * hold to which each value is added at once. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/ingest/intake.h"
#include "tests/unit/scratch_dir.h"

#define TIMERS      20
#define LINE_MAX    1024
#define LINE_VALUES 40 /* in one line, at most */

static struct fixture {
    char path[SCRATCH_DIR_BYTES];
    struct store *store;
    struct registry *registry;
    struct intake *intake;
    struct arena arena;
    int64_t tick_ms;
    struct histogram naive[TIMERS];
    double least, most; /* of all values since the test said NAN */
} f;

static int set_up(void **state)
{
    (void)state;
    struct error err = {0};
    f = (struct fixture){.tick_ms = 1000000};
    assert_int_equal(scratch_dir_make(f.path, "intake_timer_test"), 0);
    const struct store_options options = {
        .path = f.path, .series_max = 1000, .retention_raw_ms = 1ll << 50};
    if (store_open(&options, &f.store, &err))
        fail_msg("%s", err.text);
    f.registry = registry_new(f.store, &(struct registry_options){.idle_timeout_ms = 1ll << 40,
                                                                  .series_max = 1000,
                                                                  .flush_interval_ms = 1000});
    f.intake = intake_new(&(struct intake_options){
        .entries_max = 1000, .key_bytes_max = 1 << 20, .sketch_bytes_max = 1 << 24});
    arena_init(&f.arena, 1 << 26);
    for (int i = 0; i < TIMERS; i++)
        histogram_init(&f.naive[i]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < TIMERS; i++)
        histogram_release(&f.naive[i]);
    intake_free(f.intake);
    registry_free(f.registry);
    store_close(f.store);
    arena_release(&f.arena);
    assert_int_equal(scratch_dir_remove(f.path), 0);
    return 0;
}

static void tick(void)
{
    struct error err = {0};
    struct store_batch *batch = store_batch_new(f.store);
    assert_true(intake_swap(f.intake));
    intake_fold(f.intake, f.registry);
    registry_flush(f.registry, batch, f.tick_ms += 1000);
    if (!store_batch_is_empty(batch) && store_commit(f.store, batch, false, &err))
        fail_msg("%s", err.text);
    store_batch_free(batch);
}

/* Most are of some hundred buckets, some small, zero or negative. Sums are exact: all are multiples of
 * 1/4, and so are weights of whole numbers. */
static double any_value(void)
{
    switch (rand() % 8) {
    case 0:
        return 0;
    case 1:
        return -(rand() % 100) * 0.25;
    case 2:
        return (1 + rand() % 1000000) * 0.25;
    default:
        return 1 + rand() % 2000;
    }
}

/* A line of one of the first `timers`, with up to `values_max` values; the naive ones get them, too. */
static void make_line(char *line, int timers, int values_max)
{
    static const char *const rates[] = {"1", "1", "1", "0.5", "0.125"};
    static const double weights[] = {1, 1, 1, 2, 8};
    int timer = rand() % timers, rate = rand() % 5;
    size_t len = (size_t)snprintf(line, LINE_MAX, "timer%d", timer);
    for (int i = 1 + rand() % values_max; i > 0; i--) {
        double value = any_value();
        len += (size_t)snprintf(line + len, LINE_MAX - len, ":%.2f", value);
        histogram_add(&f.naive[timer], value, weights[rate]);
        f.least = fmin(f.least, value);
        f.most = fmax(f.most, value);
    }
    snprintf(line + len, LINE_MAX - len, "|ms|@%s", rates[rate]);
}

static void add_batch(int timers, int values_max)
{
    static char lines[INTAKE_BATCH_MAX][LINE_MAX];
    struct statsd_metric metrics[INTAKE_BATCH_MAX];
    size_t count = 1 + (size_t)rand() % INTAKE_BATCH_MAX;
    for (size_t i = 0; i < count; i++) {
        make_line(lines[i], timers, values_max);
        assert_int_equal(
            statsd_parse(&statsd_profiles[STATSD_UNION], slice_of_string(lines[i]), &metrics[i]),
            STATSD_ACCEPTED);
    }
    intake_add(f.intake, metrics, count);
}

static const struct histogram *stored(int timer)
{
    char name[32];
    struct matcher matcher;
    struct store_selection selection;
    struct error err;
    const struct histogram *histogram = NULL;
    double value;
    snprintf(name, sizeof name, "timer%d", timer);
    assert_int_equal(
        matcher_init(&matcher, MATCH_EQUAL, SLICE(LABEL_NAME), slice_of_string(name), &err), 0);
    const struct store_query query = {
        .matchers = &matcher, .matcher_count = 1, .end_ms = INT64_MAX};
    assert_int_equal(store_select(f.store, &query, &f.arena, &selection, &err), 0);
    assert_int_equal(selection.count, 1);
    store_last(f.store, selection.at[0].id, &f.arena, &value, &histogram);
    assert_non_null(histogram);
    return histogram;
}

/* Of the last tick are the extremes, and of the stored one only buckets that are not at zero. */
static void assert_same(int timer)
{
    struct histogram got = *stored(timer);
    got.min = f.naive[timer].min;
    got.max = f.naive[timer].max;
    assert_true(histogram_equal(&got, &f.naive[timer]));
}

static void equals_adding_at_once(int timers, int values_max, int batches)
{
    srand(5);
    for (int i = 0; i < batches; i++) {
        add_batch(timers, values_max);
        if (rand() % 30 == 0)
            tick();
    }
    tick();
    for (int timer = 0; timer < timers; timer++)
        assert_same(timer);
}

static void one_observation_a_line(void **state)
{
    (void)state;
    equals_adding_at_once(TIMERS, 1, 3000);
}

/* More often in a batch than INTAKE_BATCH_MAX. */
static void full_many_times_in_a_batch(void **state)
{
    (void)state;
    equals_adding_at_once(3, LINE_VALUES, 300);
}

/* The tick's extremes are those of all its values, settled or not. */
static void extremes_are_of_the_tick(void **state)
{
    (void)state;
    for (int round = 0; round < 50; round++) {
        f.least = f.most = NAN;
        add_batch(1, 1 + round % LINE_VALUES);
        tick();
        assert_true(stored(0)->min == f.least && stored(0)->max == f.most);
    }
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(one_observation_a_line),
        CASE(full_many_times_in_a_batch),
        CASE(extremes_are_of_the_tick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
