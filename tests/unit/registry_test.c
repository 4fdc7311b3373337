/* registry: totals, bases and cumulative histograms over ticks, restarts, silence and limits,
 * against a real store in a directory of its own. */
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include "storage/base/clock.h"
#include "tests/unit/registry_fixture.h"

static void counters_begin_at_zero_and_repeat(void **state)
{
    struct fixture *fixture = *state;
    count(fixture, "a", 3);
    flush(fixture, T0 + TICK);
    flush(fixture, T0 + 2 * TICK);
    count(fixture, "a", 2.5);
    flush(fixture, T0 + 3 * TICK);
    assert_string_equal(samples(fixture, "a", "x", ""), "0:0 1:3 2:3 3:5.5");
}

/* The first increment counts, also when the batch that held it was refused. */
static void a_lost_flush_is_made_up_for(void **state)
{
    struct fixture *fixture = *state;
    struct named g;
    count(fixture, "old", 1);
    registry_gauge(fixture->registry, named(&g, "g", NULL, NULL), 10);
    flush(fixture, T0 + TICK);
    close_all(fixture);
    open_all(fixture);
    count(fixture, "old", 1);
    count(fixture, "new", 3);
    move_gauge(fixture, named(&g, "g", NULL, NULL), -4);
    observe(fixture, 5);
    lose_flush(fixture, T0 + 7 * TICK);
    count(fixture, "new", 2);
    count(fixture, "later", 1);
    lose_flush(fixture, T0 + 8 * TICK);
    flush(fixture, T0 + 9 * TICK);
    assert_string_equal(samples(fixture, "old", "x", ""), "0:0 1:1 8:1 9:2");
    assert_string_equal(samples(fixture, "new", "x", ""), "8:0 9:5");
    assert_string_equal(samples(fixture, "later", "x", ""), "8:0 9:1");
    assert_string_equal(samples(fixture, "g", "x", ""), "1:10 9:6");
    assert_string_equal(samples(fixture, "h", "x", ""), "8:0/0 9:1/5");
}

static void idle_series_end_and_come_back(void **state)
{
    struct fixture *fixture = *state;
    count(fixture, "a", 3);
    for (int tick = 1; tick <= 6; tick++)
        flush(fixture, T0 + tick * TICK);
    assert_string_equal(samples(fixture, "a", "x", ""), "0:0 1:3 2:3 3:3 4:end");
    assert_int_equal(fixture->registry->live, 0);
    count(fixture, "a", 4);
    flush(fixture, T0 + 9 * TICK);
    assert_string_equal(samples(fixture, "a", "x", ""), "0:0 1:3 2:3 3:3 4:end 8:3 9:7");
}

static void series_may_have_an_idle_timeout_of_their_own(void **state)
{
    struct fixture *fixture = *state;
    struct registry *registry = fixture->registry;
    static const int64_t ttls_ms[] = {2 * TICK, 5 * TICK, 2 * TICK};
    char name[] = "a";
    for (int i = 0; i < 3; i++, name[0]++) {
        struct named at;
        struct registry_ref ref =
            registry_lookup(registry, named(&at, name, NULL, NULL), SERIES_GAUGE);
        registry_gauge_at(registry, ref, i);
        registry_set_ttl(registry, ref, ttls_ms[i]);
    }
    registry_set_ttl(registry, (struct registry_ref){0}, TICK);
    assert_int_equal(registry->ttl_count, 3); /* the idle timeout is the first */
    move_gauge(fixture, named(&(struct named){0}, "d", NULL, NULL), 3);
    for (int tick = 1; tick <= 7; tick++)
        flush(fixture, T0 + tick * TICK);
    assert_string_equal(samples(fixture, "a", "x", ""), "1:0 2:0 3:end");
    assert_string_equal(samples(fixture, "b", "x", ""), "1:1 2:1 3:1 4:1 5:1 6:end");
    assert_string_equal(samples(fixture, "c", "x", ""), "1:2 2:2 3:end");
    assert_string_equal(samples(fixture, "d", "x", ""), "1:3 2:3 3:3 4:end");
    for (int64_t ttl_ms = 1; ttl_ms <= 2 * TTLS_MAX; ttl_ms++)
        registry_set_ttl(
            registry,
            registry_lookup(registry, named(&(struct named){0}, "e", NULL, NULL), SERIES_GAUGE),
            ttl_ms);
    assert_int_equal(registry->ttl_count, TTLS_MAX);
}

static void totals_survive_a_restart(void **state)
{
    struct fixture *fixture = *state;
    struct named g, moved;
    count(fixture, "a", 3);
    registry_gauge(fixture->registry, named(&g, "g", NULL, NULL), 10);
    flush(fixture, T0 + TICK);
    close_all(fixture);
    open_all(fixture);
    count(fixture, "a", 1);
    move_gauge(fixture, named(&g, "g", NULL, NULL), -4);
    move_gauge(fixture, named(&moved, "moved", NULL, NULL), -4);
    flush(fixture, T0 + 2 * TICK);
    assert_string_equal(samples(fixture, "a", "x", ""), "0:0 1:3 2:4");
    assert_string_equal(samples(fixture, "g", "x", ""), "1:10 2:6");
    assert_string_equal(samples(fixture, "moved", "x", ""), "2:-4");
    close_all(fixture);
    open_all(fixture);
    count(fixture, "a", 1);
    flush(fixture, T0 + 8 * TICK);
    assert_string_equal(samples(fixture, "a", "x", ""), "0:0 1:3 2:4 7:4 8:5");
}

static void histograms_are_cumulative(void **state)
{
    struct fixture *fixture = *state;
    observe(fixture, 5);
    observe(fixture, 7);
    flush(fixture, T0 + TICK);
    flush(fixture, T0 + 2 * TICK);
    observe(fixture, 1);
    flush(fixture, T0 + 3 * TICK);
    close_all(fixture);
    open_all(fixture);
    observe(fixture, 2);
    flush(fixture, T0 + 4 * TICK);
    assert_string_equal(samples(fixture, "h", "x", ""), "0:0/0 1:2/12 2:2/12 3:3/13 4:4/15");
}

static void gauges_set_and_move(void **state)
{
    struct fixture *fixture = *state;
    struct named at;
    struct labels g = named(&at, "g", NULL, NULL);
    move_gauge(fixture, g, 2);
    flush(fixture, T0 + TICK);
    registry_gauge(fixture->registry, g, 0);
    move_gauge(fixture, g, -5);
    flush(fixture, T0 + 2 * TICK);
    registry_gauge(fixture->registry, g, INFINITY);
    flush(fixture, T0 + 3 * TICK);
    assert_string_equal(samples(fixture, "g", "x", ""), "1:2 2:-5 3:-5");
}

static void sets_speak_only_when_they_have_members(void **state)
{
    struct fixture *fixture = *state;
    struct named at;
    struct labels s = named(&at, "s", NULL, NULL);
    struct sketch first, second;
    sketch_init(&first);
    sketch_init(&second);
    sketch_add(&first, SLICE("ann"));
    sketch_add(&first, SLICE("bob"));
    sketch_add(&second, SLICE("bob"));
    add_members(fixture, s, &first);
    add_members(fixture, s, &second);
    flush(fixture, T0 + TICK);
    flush(fixture, T0 + 2 * TICK);
    add_members(fixture, s, &second);
    flush(fixture, T0 + 3 * TICK);
    assert_string_equal(samples(fixture, "s", "x", ""), "1:2 3:1");
    sketch_release(&first);
    sketch_release(&second);
}

static void a_second_type_gets_a_label(void **state)
{
    struct fixture *fixture = *state;
    struct named at;
    count(fixture, "a", 3);
    registry_gauge(fixture->registry, named(&at, "a", NULL, NULL), 7);
    flush(fixture, T0 + TICK);
    registry_gauge(fixture->registry, named(&at, "a", NULL, NULL), 8);
    flush(fixture, T0 + 2 * TICK);
    assert_string_equal(samples(fixture, "a", "statsd_type", ""), "0:0 1:3 2:3");
    assert_string_equal(samples(fixture, "a", "statsd_type", "gauge"), "1:7 2:8");
}

static void the_first_type_of_a_name_is_remembered(void **state)
{
    struct fixture *fixture = *state;
    struct named at;
    count(fixture, "a", 3);
    flush(fixture, T0 + TICK);
    close_all(fixture);
    open_all(fixture);
    registry_gauge(fixture->registry, named(&at, "a", NULL, NULL), 7);
    flush(fixture, T0 + 2 * TICK);
    count(fixture, "a", 1);
    flush(fixture, T0 + 3 * TICK);
    assert_string_equal(samples(fixture, "a", "statsd_type", "gauge"), "2:7 3:7");
    assert_string_equal(samples(fixture, "a", "statsd_type", ""), "0:0 1:3 2:3 3:4");
}

static void beyond_the_metric_limit_totals_stay_right(void **state)
{
    struct fixture *fixture = *state;
    for (int i = 0; i < 12; i++) {
        struct named at;
        char user[16];
        snprintf(user, sizeof user, "u%d", i);
        registry_count(fixture->registry, named(&at, "a", "user", user), 1);
    }
    count(fixture, "b", 1);
    flush(fixture, T0 + TICK);
    assert_string_equal(samples(fixture, "a", "user", "u4"), "0:0 1:1");
    assert_string_equal(samples(fixture, "a", "user", "u5"), "none");
    assert_string_equal(samples(fixture, "a", "__overflow__", "true"), "0:0 1:7");
    assert_string_equal(samples(fixture, "b", "x", ""), "0:0 1:1");
}

/* Names explode as well as labels do: what has no room is counted in one series of the prefix. */
static void beyond_a_prefix_limit_totals_stay_right(void **state)
{
    struct fixture *fixture = *state;
    const struct store_prefix_limit limit = {"api.", 3};
    close_all(fixture);
    fixture->store_options.prefix_limits = &limit;
    fixture->store_options.prefix_limit_count = 1;
    open_all(fixture);
    for (int i = 0; i < 10; i++) {
        char name[24];
        snprintf(name, sizeof name, "api.u%d", i);
        count(fixture, name, 2);
    }
    count(fixture, "b", 1);
    flush(fixture, T0 + TICK);
    assert_string_equal(samples(fixture, "api.u2", "x", ""), "0:0 1:2");
    assert_string_equal(samples(fixture, "api.u3", "x", ""), "none");
    assert_string_equal(samples(fixture, "api.", "__overflow__", "true"), "0:0 1:14");
    assert_string_equal(samples(fixture, "b", "x", ""), "0:0 1:1");
}

static void what_the_store_refuses_goes_to_overflow(void **state)
{
    struct fixture *fixture = *state;
    close_all(fixture);
    fixture->store_options.series_max = 3;
    open_all(fixture);
    registry_count(fixture->registry, named(&(struct named){0}, "b", "x", ""), 1);
    for (int round = 0; round < 2; round++) {
        struct named at;
        registry_count(fixture->registry, named(&at, "a", "user", "u0"), 1);
        registry_count(fixture->registry, named(&at, "a", "user", "u1"), 1);
        registry_count(fixture->registry, named(&at, "a", "user", "u2"), 5);
        flush(fixture, T0 + (round + 1) * TICK);
    }
    assert_string_equal(samples(fixture, "a", "user", "u0"), "0:0 1:1 2:2");
    assert_string_equal(samples(fixture, "a", "user", "u2"), "none");
    assert_string_equal(samples(fixture, "a", "__overflow__", "true"), "0:0 1:5 2:10");
}

static void infinite_sums_are_refused(void **state)
{
    struct fixture *fixture = *state;
    count(fixture, "a", 1e308);
    count(fixture, "a", 1.5e308);
    count(fixture, "a", 0);
    flush(fixture, T0 + TICK);
    assert_string_equal(samples(fixture, "a", "x", ""), "0:0 1:1e+308");
}

static void refs_end_with_their_series(void **state)
{
    struct fixture *fixture = *state;
    struct named at;
    struct labels a = named(&at, "a", NULL, NULL);
    assert_false(registry_holds(fixture->registry, (struct registry_ref){0}));
    struct registry_ref ref = registry_lookup(fixture->registry, a, SERIES_COUNTER);
    registry_count_at(fixture->registry, ref, 1);
    for (int tick = 1; tick <= 5; tick++) {
        assert_int_equal(registry_holds(fixture->registry, ref), tick <= 4);
        flush(fixture, T0 + tick * TICK);
    }
    struct registry_ref again = registry_lookup(fixture->registry, a, SERIES_COUNTER);
    assert_true(registry_holds(fixture->registry, again));
    assert_false(registry_holds(fixture->registry, ref));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

/* What is deleted while it is still sent goes on: its series is not forgotten, however long the next
 * tick takes; once it is idle, it may be, and the same labels are another series then. */
static void deleted_series_that_are_still_sent_go_on_with_their_total(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    struct store_query all = {.start_ms = INT64_MIN, .end_ms = INT64_MAX};
    double value = 0;
    const struct histogram *none = NULL;
    count(fixture, "hits", 5);
    flush(fixture, T0);
    uint32_t id = fixture->registry->slots[1].id;
    assert_int_equal(store_delete_series(fixture->store, &all, 1, &err), 0);
    assert_false(store_last(fixture->store, id, &fixture->arena, &value, &none));
    for (int64_t at = T0; at < T0 + 60 * TICK; at += TICK) {
        clock_set_ms(at);
        assert_int_equal(store_maintain(fixture->store, at, &err), 0);
    }
    count(fixture, "hits", 2);
    flush(fixture, T0 + 60 * TICK);
    assert_true(store_last(fixture->store, id, &fixture->arena, &value, &none));
    assert_true(value == 7);
    flush(fixture, T0 + 64 * TICK); /* idle: ended and let go */
    assert_int_equal(store_delete_series(fixture->store, &all, 1, &err), 0);
    clock_set_ms(T0 + 90 * TICK);
    assert_int_equal(store_maintain(fixture->store, T0 + 90 * TICK, &err), 0);
    assert_int_equal(store_labels(fixture->store, id).len, 0);
    count(fixture, "hits", 1);
    flush(fixture, T0 + 91 * TICK);
    assert_true(fixture->registry->slots[1].id > id);
    assert_true(
        store_last(fixture->store, fixture->registry->slots[1].id, &fixture->arena, &value, &none));
    assert_true(value == 1);
}

/* A store that cannot say what a counter was before: the counter waits instead of starting at 0. */
static void what_the_store_cannot_remember_now_is_put_off(void **state)
{
    struct fixture *fixture = *state;
    const struct histogram *none = NULL;
    double value = 0, put_off = metric_value(&registry_metrics[REGISTRY_PUT_OFF]);
    char away[SCRATCH_DIR_BYTES + 8];
    struct rlimit limit;
    struct error err = {0};
    count(fixture, "hits", 5);
    flush(fixture, T0);
    assert_int_equal(store_seal(fixture->store, &err), 0);
    uint32_t id = fixture->registry->slots[1].id;
    registry_free(fixture->registry);
    fixture->registry = registry_new(fixture->store, &fixture->options);

    /* A write fails, and then the whole disk is gone. */
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = 1;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    struct store_batch *batch = store_batch_new(fixture->store);
    store_batch_put(batch, SLICE("key"), SLICE("value"));
    assert_int_equal(store_commit(fixture->store, batch, true, &err), -1);
    limit.rlim_cur = before;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    snprintf(away, sizeof away, "%s.away", fixture->path);
    assert_int_equal(rename(fixture->path, away), 0);
    assert_int_equal(store_maintain(fixture->store, T0, &err), -1);

    count(fixture, "hits", 2);
    registry_flush(fixture->registry, batch, T0 + TICK);
    assert_int_equal(store_commit(fixture->store, batch, true, &err), -1);
    registry_flush_failed(fixture->registry);
    store_batch_free(batch);
    assert_true(metric_value(&registry_metrics[REGISTRY_PUT_OFF]) == put_off + 1);

    assert_int_equal(rename(away, fixture->path), 0);
    while (store_maintain(fixture->store, T0 + TICK, &err)) /* it tries every few seconds */
        sched_yield();
    flush(fixture, T0 + 2 * TICK);
    assert_true(store_last(fixture->store, id, &fixture->arena, &value, &none) == 1);
    assert_true(value == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(counters_begin_at_zero_and_repeat),
        CASE(a_lost_flush_is_made_up_for),
        CASE(idle_series_end_and_come_back),
        CASE(series_may_have_an_idle_timeout_of_their_own),
        CASE(totals_survive_a_restart),
        CASE(histograms_are_cumulative),
        CASE(gauges_set_and_move),
        CASE(sets_speak_only_when_they_have_members),
        CASE(a_second_type_gets_a_label),
        CASE(the_first_type_of_a_name_is_remembered),
        CASE(beyond_the_metric_limit_totals_stay_right),
        CASE(beyond_a_prefix_limit_totals_stay_right),
        CASE(what_the_store_refuses_goes_to_overflow),
        CASE(what_the_store_cannot_remember_now_is_put_off),
        CASE(infinite_sums_are_refused),
        CASE(refs_end_with_their_series),
        cmocka_unit_test_setup_teardown(deleted_series_that_are_still_sent_go_on_with_their_total,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
