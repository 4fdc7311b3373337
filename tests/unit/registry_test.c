/* registry: totals, bases and cumulative histograms over ticks, restarts, silence and limits,
 * against a real store in a directory of its own. */
#include <math.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/ingest/registry_state.h"
#include "storage/base/clock.h"
#include "tests/unit/scratch_dir.h"

#define TICK 10000
#define T0   (1000000 * (int64_t)TICK)

struct fixture {
    char path[SCRATCH_DIR_BYTES];
    struct store_options store_options;
    struct registry_options options;
    struct store *store;
    struct registry *registry;
    struct arena arena;
};

static void open_all(struct fixture *fixture)
{
    struct error err = {0};
    if (store_open(&fixture->store_options, &fixture->store, &err))
        fail_msg("%s", err.text);
    fixture->registry = registry_new(fixture->store, &fixture->options);
}

static void close_all(struct fixture *fixture)
{
    registry_free(fixture->registry);
    store_close(fixture->store);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    assert_int_equal(scratch_dir_make(fixture->path, "registry_test"), 0);
    fixture->store_options = (struct store_options){.path = fixture->path,
                                                    .series_max = 100,
                                                    .series_per_metric_max = 5,
                                                    .retention_raw_ms = 1ll << 50};
    fixture->options = (struct registry_options){
        .idle_timeout_ms = 3 * TICK, .series_max = 100, .flush_interval_ms = TICK};
    arena_init(&fixture->arena, 1 << 24);
    open_all(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    close_all(fixture);
    arena_release(&fixture->arena);
    assert_int_equal(scratch_dir_remove(fixture->path), 0);
    free(fixture);
    return 0;
}

static void flush(struct fixture *fixture, int64_t tick_ms)
{
    struct error err = {0};
    struct store_batch *batch = store_batch_new(fixture->store);
    registry_flush(fixture->registry, batch, tick_ms);
    if (!store_batch_is_empty(batch) && store_commit(fixture->store, batch, false, &err))
        fail_msg("%s", err.text);
    store_batch_free(batch);
}

/* As flush, but the store refuses. */
static void lose_flush(struct fixture *fixture, int64_t tick_ms)
{
    struct store_batch *batch = store_batch_new(fixture->store);
    registry_flush(fixture->registry, batch, tick_ms);
    store_batch_free(batch);
    registry_flush_failed(fixture->registry);
}

/* Labels of "name" or "name,key,value". */
struct named {
    struct label pairs[2];
    struct labels labels;
};

static struct labels named(struct named *out, const char *name, const char *key, const char *value)
{
    out->pairs[0] = (struct label){SLICE(LABEL_NAME), slice_of_string(name)};
    out->pairs[1] = (struct label){slice_of_string(key), slice_of_string(value)};
    out->labels = (struct labels){out->pairs, key ? 2 : 1};
    return out->labels;
}

static void count(struct fixture *fixture, const char *name, double n)
{
    struct named at;
    registry_count(fixture->registry, named(&at, name, NULL, NULL), n);
}

static void move_gauge(struct fixture *fixture, struct labels labels, double delta)
{
    struct registry_ref ref = registry_lookup(fixture->registry, labels, SERIES_GAUGE);
    registry_gauge_add_at(fixture->registry, ref, delta);
}

static void observe(struct fixture *fixture, double value)
{
    struct named h;
    struct histogram delta;
    histogram_init(&delta);
    histogram_add(&delta, value, 1);
    struct registry_ref ref =
        registry_lookup(fixture->registry, named(&h, "h", NULL, NULL), SERIES_HISTOGRAM);
    registry_histogram_at(fixture->registry, ref, &delta);
    histogram_release(&delta);
}

static void add_members(struct fixture *fixture, struct labels labels, const struct sketch *members)
{
    struct registry_ref ref = registry_lookup(fixture->registry, labels, SERIES_SET);
    registry_set_at(fixture->registry, ref, members);
}

/* All samples of the series whose label `key` is `value` ("" = absent), as "tick:value ..." with
 * ticks relative to T0; histograms show count/sum. */
static const char *samples(struct fixture *fixture, const char *name, const char *key,
                           const char *value)
{
    struct matcher matchers[2];
    struct store_selection selection;
    struct store_column column;
    struct error err = {0};
    struct buffer text;
    assert_int_equal(
        matcher_init(&matchers[0], MATCH_EQUAL, SLICE(LABEL_NAME), slice_of_string(name), &err), 0);
    assert_int_equal(
        matcher_init(&matchers[1], MATCH_EQUAL, slice_of_string(key), slice_of_string(value), &err),
        0);
    arena_reset(&fixture->arena);
    assert_int_equal(store_select(fixture->store,
                                  &(struct store_query){.matchers = matchers,
                                                        .matcher_count = 2,
                                                        .start_ms = 0,
                                                        .end_ms = INT64_MAX},
                                  &fixture->arena, &selection, &err),
                     0);
    if (selection.count != 1)
        return selection.count ? "several" : "none";
    struct store_reader *reader = store_reader_new(fixture->store);
    assert_int_equal(store_read(reader, (struct store_span){selection.at[0].id, 0, INT64_MAX},
                                &fixture->arena, &column, &err),
                     0);
    buffer_init(&text, 4096);
    for (size_t i = 0; i < column.count; i++) {
        const char *space = i ? " " : "";
        long long tick = (column.times[i] - T0) / TICK;
        if (selection.at[0].kind == SERIES_HISTOGRAM && !column.histograms[i])
            buffer_append_format(&text, "%s%lld:end", space, tick);
        else if (selection.at[0].kind == SERIES_HISTOGRAM)
            buffer_append_format(&text, "%s%lld:%g/%g", space, tick, column.histograms[i]->count,
                                 column.histograms[i]->sum);
        else if (is_stale_nan(column.values[i]))
            buffer_append_format(&text, "%s%lld:end", space, tick);
        else
            buffer_append_format(&text, "%s%lld:%.12g", space, tick, column.values[i]);
    }
    const char *out = arena_copy_string(&fixture->arena, buffer_slice(&text)).at;
    buffer_release(&text);
    store_reader_free(reader);
    return out;
}

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

static void counts_of_the_past_raise_what_came_after(void **state)
{
    struct fixture *fixture = *state;
    count(fixture, "d", 1);
    flush(fixture, T0 + TICK);
    write_dated(fixture, true);
    flush(fixture, T0 + 2 * TICK);
    count(fixture, "d", 2);
    flush(fixture, T0 + 3 * TICK);
    assert_string_equal(samples(fixture, "d", "host", ""), "0:0 1:1 2:1 3:3");
    date(fixture, SERIES_COUNTER, 2, 10);
    date(fixture, SERIES_COUNTER, 2, 5);
    date(fixture, SERIES_COUNTER, 1, 100);
    write_dated(fixture, true);
    assert_string_equal(samples(fixture, "d", "host", ""), "0:0 1:101 2:116 3:118");
    flush(fixture, T0 + 4 * TICK);
    assert_string_equal(samples(fixture, "d", "host", ""), "0:0 1:101 2:116 3:118 4:118");
    date(fixture, SERIES_COUNTER, 6, 1000); /* waits for its tick */
    flush(fixture, T0 + 5 * TICK);
    write_dated(fixture, true);
    flush(fixture, T0 + 6 * TICK);
    write_dated(fixture, true);
    assert_string_equal(samples(fixture, "d", "host", ""),
                        "0:0 1:101 2:116 3:118 4:118 5:118 6:1118");
}

static void a_count_of_the_past_begins_a_series(void **state)
{
    struct fixture *fixture = *state;
    date(fixture, SERIES_COUNTER, -5, 7);
    date(fixture, SERIES_COUNTER, -7, 1);
    flush(fixture, T0 + TICK);
    write_dated(fixture, true);
    assert_string_equal(samples(fixture, "d", "host", ""), "-8:0 -7:1 -5:8 0:8 1:8");
    flush(fixture, T0 + 2 * TICK);
    close_all(fixture);
    open_all(fixture);
    date(fixture, SERIES_COUNTER, -6, 2);
    flush(fixture, T0 + 3 * TICK);
    write_dated(fixture, true);
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
    flush(fixture, T0 + TICK);
    write_dated(fixture, true);
    flush(fixture, T0 + 2 * TICK);
    assert_string_equal(samples(fixture, "d", "host", ""), "-9:-1 -3:6");
    registry_gauge(fixture->registry, named(&d, "d", NULL, NULL), 8);
    flush(fixture, T0 + 3 * TICK);
    date(fixture, SERIES_GAUGE, 1, 7);
    flush(fixture, T0 + 4 * TICK);
    write_dated(fixture, true);
    assert_string_equal(samples(fixture, "d", "host", ""), "-9:-1 -3:6 1:7 3:8 4:8");
    for (int tick = 5; tick < 8; tick++)
        flush(fixture, T0 + tick * TICK);
    assert_string_equal(samples(fixture, "d", "host", ""), "-9:-1 -3:6 1:7 3:8 4:8 5:8 6:8 7:end");
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

static void what_the_store_refuses_goes_to_overflow(void **state)
{
    struct fixture *fixture = *state;
    close_all(fixture);
    fixture->store_options.series_max = 3;
    open_all(fixture);
    /* The overflow series is known to the store before the limit is reached. */
    for (int round = 0; round < 2; round++) {
        struct named at;
        registry_count(fixture->registry, named(&at, "a", "__overflow__", "true"), 1);
        registry_count(fixture->registry, named(&at, "a", "user", "u0"), 1);
        registry_count(fixture->registry, named(&at, "a", "user", "u1"), 1);
        registry_count(fixture->registry, named(&at, "a", "user", "u2"), 5);
        flush(fixture, T0 + (round + 1) * TICK);
    }
    assert_string_equal(samples(fixture, "a", "user", "u0"), "0:0 1:1 2:2");
    assert_string_equal(samples(fixture, "a", "user", "u2"), "none");
    assert_string_equal(samples(fixture, "a", "__overflow__", "true"), "0:0 1:6 2:12");
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
        CASE(totals_survive_a_restart),
        CASE(histograms_are_cumulative),
        CASE(gauges_set_and_move),
        CASE(counts_of_the_past_raise_what_came_after),
        CASE(a_count_of_the_past_begins_a_series),
        CASE(counts_of_the_past_outlive_a_lost_batch),
        CASE(readings_of_the_past_are_not_repeated),
        CASE(sets_speak_only_when_they_have_members),
        CASE(a_second_type_gets_a_label),
        CASE(the_first_type_of_a_name_is_remembered),
        CASE(beyond_the_metric_limit_totals_stay_right),
        CASE(what_the_store_refuses_goes_to_overflow),
        CASE(what_the_store_cannot_remember_now_is_put_off),
        CASE(infinite_sums_are_refused),
        CASE(refs_end_with_their_series),
        cmocka_unit_test_setup_teardown(deleted_series_that_are_still_sent_go_on_with_their_total,
                                        set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
