/* intake: random traffic through several tables with swaps and folds at random moments gives
 * the same series as a naive model that applies one line after the other. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "query/histogram_math.h"
#include "server/ingest/intake.h"
#include "storage/base/metric.h"
#include "tests/unit/scratch_dir.h"

#define NAMES  7
#define HOSTS  40
#define LINES  20000
#define TABLES 3
#define TICK   1000

static const struct intake_options roomy = {
    .entries_max = 100000,
    .key_bytes_max = 1 << 24,
    .sketch_bytes_max = 1 << 26,
};

struct fixture {
    char path[SCRATCH_DIR_BYTES];
    struct store *store;
    struct registry *registry;
    struct arena arena;
    int64_t tick_ms;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    struct error err = {0};
    assert_int_equal(scratch_dir_make(fixture->path, "intake_test"), 0);
    const struct store_options store_options = {
        .path = fixture->path, .series_max = 100000, .retention_raw_ms = 1ll << 50};
    const struct registry_options options = {
        .idle_timeout_ms = 1ll << 40, .series_max = 100000, .flush_interval_ms = TICK};
    if (store_open(&store_options, &fixture->store, &err))
        fail_msg("%s", err.text);
    fixture->registry = registry_new(fixture->store, &options);
    arena_init(&fixture->arena, 1 << 26);
    fixture->tick_ms = 1000000 * (int64_t)TICK;
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    registry_free(fixture->registry);
    store_close(fixture->store);
    arena_release(&fixture->arena);
    assert_int_equal(scratch_dir_remove(fixture->path), 0);
    free(fixture);
    return 0;
}

static void flush(struct fixture *fixture)
{
    struct error err = {0};
    struct store_batch *batch = store_batch_new(fixture->store);
    registry_flush(fixture->registry, batch, fixture->tick_ms += TICK);
    if (!store_batch_is_empty(batch) && store_commit(fixture->store, batch, false, &err))
        fail_msg("%s", err.text);
    store_batch_free(batch);
}

static void add_line_of(enum statsd_dialect dialect, struct intake *intake, const char *line)
{
    struct statsd_metric metric;
    assert_int_equal(statsd_parse(&statsd_profiles[dialect], slice_of_string(line), &metric),
                     STATSD_ACCEPTED);
    intake_add(intake, &metric, 1);
}

static void add_line(struct intake *intake, const char *line)
{
    add_line_of(STATSD_UNION, intake, line);
}

static void tick(struct fixture *fixture, struct intake *table)
{
    assert_true(intake_swap(table));
    intake_fold(table, fixture->registry);
    flush(fixture);
}

/* The last sample of name{label="value"}; histograms fill *histogram. */
static double last_of(struct fixture *fixture, const char *name, struct label label,
                      const struct histogram **histogram)
{
    struct matcher matchers[2];
    struct store_selection selection;
    struct error err;
    double value = NAN;
    const struct histogram *ignored;
    assert_int_equal(
        matcher_init(&matchers[0], MATCH_EQUAL, SLICE(LABEL_NAME), slice_of_string(name), &err), 0);
    assert_int_equal(matcher_init(&matchers[1], MATCH_EQUAL, label.name, label.value, &err), 0);
    assert_int_equal(store_select(fixture->store,
                                  &(struct store_query){.matchers = matchers,
                                                        .matcher_count = 2,
                                                        .start_ms = 0,
                                                        .end_ms = INT64_MAX},
                                  &fixture->arena, &selection, &err),
                     0);
    if (selection.count != 1)
        return NAN;
    store_last(fixture->store, selection.at[0].id, &fixture->arena, &value,
               histogram ? histogram : &ignored);
    return value;
}

static double last(struct fixture *fixture, const char *name, const char *host,
                   const struct histogram **histogram)
{
    return last_of(fixture, name, (struct label){SLICE("host"), slice_of_string(host)}, histogram);
}

static void equals_the_naive_model(void **state)
{
    struct fixture *fixture = *state;
    static double counts[NAMES][HOSTS], gauges[NAMES][HOSTS], sums[NAMES][HOSTS];
    static double observations[NAMES][HOSTS];
    struct intake *tables[TABLES];
    for (int i = 0; i < TABLES; i++)
        tables[i] = intake_new(&roomy);
    srandom(42);
    for (int i = 0; i < LINES; i++) {
        int name = (int)random() % NAMES, host = (int)random() % HOSTS;
        int value = (int)random() % 1000;
        char line[128];
        /* A sender keeps its socket, so one gauge always comes to the same worker. */
        struct intake *table = tables[host % TABLES];
        switch (random() % 4) {
        case 0:
            snprintf(line, sizeof line, "count%d:%d:1|c|@0.5|#host:h%d", name, value, host);
            counts[name][host] += 2 * (value + 1);
            break;
        case 1:
            snprintf(line, sizeof line, "gauge%d:%d|g|#host:h%d", name, value, host);
            gauges[name][host] = value;
            break;
        case 2:
            snprintf(line, sizeof line, "gauge%d:-%d|g|#host:h%d", name, value, host);
            gauges[name][host] -= value;
            break;
        default:
            snprintf(line, sizeof line, "timer%d:%d|ms|@0.25|#host:h%d", name, value, host);
            sums[name][host] += 4 * value;
            observations[name][host] += 4;
            table = tables[random() % TABLES];
            break;
        }
        add_line(table, line);
        if (random() % 100 == 0)
            (void)!intake_swap(tables[random() % TABLES]);
        if (random() % 100 == 0)
            intake_fold(tables[random() % TABLES], fixture->registry);
        if (random() % 1000 == 0)
            flush(fixture);
    }
    for (int i = 0; i < TABLES; i++) {
        intake_fold(tables[i], fixture->registry);
        assert_true(intake_swap(tables[i]));
        assert_false(intake_swap(tables[i]));
        intake_fold(tables[i], fixture->registry);
    }
    flush(fixture);
    for (int name = 0; name < NAMES; name++) {
        for (int host = 0; host < HOSTS; host++) {
            char text[32], tag[16];
            const struct histogram *histogram = NULL;
            snprintf(tag, sizeof tag, "h%d", host);
            snprintf(text, sizeof text, "count%d", name);
            assert_true(last(fixture, text, tag, NULL) == counts[name][host]);
            snprintf(text, sizeof text, "gauge%d", name);
            assert_true(last(fixture, text, tag, NULL) == gauges[name][host]);
            snprintf(text, sizeof text, "timer%d", name);
            last(fixture, text, tag, &histogram);
            assert_non_null(histogram);
            assert_true(histogram->count == observations[name][host]);
            assert_true(histogram->sum == sums[name][host]);
        }
    }
    for (int i = 0; i < TABLES; i++)
        intake_free(tables[i]);
}

static void sets_merge_over_tables(void **state)
{
    struct fixture *fixture = *state;
    struct intake *tables[2] = {intake_new(&roomy), intake_new(&roomy)};
    for (int tick = 0; tick < 3; tick++) {
        add_line(tables[0], "users:ann|s|#host:a");
        add_line(tables[0], "users:bob|s|#host:a");
        add_line(tables[1], "users:bob|s|#host:a");
        for (int i = 0; i < 2; i++) {
            assert_true(intake_swap(tables[i]));
            intake_fold(tables[i], fixture->registry);
        }
        flush(fixture);
        assert_true(last(fixture, "users", "a", NULL) == 2);
    }
    intake_free(tables[0]);
    intake_free(tables[1]);
}

struct figure {
    const char *name;
    double value;
};

static void find_figure(const struct metric *metric, void *arg)
{
    struct figure *figure = arg;
    if (strcmp(metric->name, figure->name) == 0)
        figure->value = metric_value(metric);
}

static int figure(const char *name)
{
    struct figure figure = {.name = name};
    metric_each(find_figure, &figure);
    return (int)figure.value;
}

static void raw_keys_of_one_series_meet(void **state)
{
    struct fixture *fixture = *state;
    struct intake *table = intake_new(&roomy);
    add_line(table, "a:1|c|#host:x,k:v");
    add_line(table, "a:2|c|#k:v,host:x");
    add_line(table, "a:4|c|#host:y,k:v,host:x");
    assert_int_equal(figure("lapwing_statsd_entries"), 3);
    assert_true(intake_swap(table));
    intake_fold(table, fixture->registry);
    flush(fixture);
    assert_int_equal(figure("lapwing_registry_series"), 1);
    assert_true(last(fixture, "a", "x", NULL) == 7);
    intake_free(table);
}

static void dialects_of_one_table_stay_apart(void **state)
{
    struct fixture *fixture = *state;
    struct intake *table = intake_new(&roomy);
    add_line_of(STATSD_DOGSTATSD, table, "g:5|g|#host:x");
    add_line_of(STATSD_DOGSTATSD, table, "g:-3|g|#host:x");
    add_line_of(STATSD_ETSY, table, "h:5|g|#host:x");
    add_line_of(STATSD_ETSY, table, "h:-3|g|#host:x");
    add_line_of(STATSD_ETSY, table, "c;host=x:1|c");
    add_line_of(STATSD_UNION, table, "c,host=x:2|c");
    add_line_of(STATSD_DOGSTATSD, table, "c,host=x:4|c|#host:x");
    tick(fixture, table);
    assert_true(last(fixture, "g", "x", NULL) == -3);
    assert_true(last(fixture, "h", "x", NULL) == 2);
    assert_true(last(fixture, "c", "x", NULL) == 3);
    assert_true(last(fixture, "c,host=x", "x", NULL) == 4);
    intake_free(table);
}

static void counts_below_zero_have_a_series_of_their_own(void **state)
{
    struct fixture *fixture = *state;
    struct intake *table = intake_new(&roomy);
    add_line(table, "a:5:-2|c|#host:x");
    add_line(table, "a:-1|c|@0.5|#host:x");
    add_line(table, "b[host=x].c:-1|c");
    tick(fixture, table);
    assert_true(last(fixture, "a", "x", NULL) == 5);
    assert_true(last(fixture, "a_decrements", "x", NULL) == 4);
    assert_true(last(fixture, "b.c", "x", NULL) == 0);
    assert_true(last(fixture, "b.c_decrements", "x", NULL) == 1);
    intake_free(table);
}

static void of_running_totals_the_rises_count(void **state)
{
    static const struct {
        const char *line;
        double total;
    } table[] = {
        {"t:100|C|#host:x", 0}, /* what was before nobody knows */
        {"t:130|C|#host:x", 30}, {"t:130|C|#host:x", 30},
        {"t:7|C|#host:x", 37}, /* its sender began anew */
        {"t:8:9|C|#host:x", 39},
    };
    struct fixture *fixture = *state;
    struct intake *intake = intake_new(&roomy);
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        add_line(intake, table[i].line);
        tick(fixture, intake);
        assert_true(last(fixture, "t", "x", NULL) == table[i].total);
    }
    intake_free(intake);
}

static void gather(struct fixture *fixture, const char *name, const char *rate, int times,
                   bool (*choose)(void))
{
    struct intake *table = intake_new(&roomy);
    srandom(7);
    for (int i = 0; i < 20000; i++) {
        char line[96];
        double value = exp(5 + 1.5 * ((double)(random() % 2000 + random() % 2000) / 2000 - 1));
        bool chosen = choose();
        snprintf(line, sizeof line, "%s:%.3f|ms|@%s|#host:x", name, value, rate);
        for (int k = 0; chosen && k < times; k++)
            add_line(table, line);
    }
    tick(fixture, table);
    intake_free(table);
}

static bool all(void)
{
    return random() >= 0; /* so that all draw the same values */
}

static bool one_in_ten(void)
{
    return random() % 10 == 0;
}

static void same_within(double got, double want, double share)
{
    if (!(fabs(got - want) <= share * fabs(want)))
        fail_msg("got %.17g, want %.17g", got, want);
}

/* Each value at a rate of 1/r is 1/r of it in every statistic; and a sample of the values, weighed, is
 * the whole within what chance leaves. */
static void sampled_timers_are_the_whole(void **state)
{
    static const double quantiles[] = {0.01, 0.1, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999};
    struct fixture *fixture = *state;
    const struct histogram *whole, *repeated, *weighed, *sampled;
    gather(fixture, "whole", "1", 1, all);
    gather(fixture, "repeated", "1", 10, all);
    gather(fixture, "weighed", "0.1", 1, all);
    gather(fixture, "sampled", "0.1", 1, one_in_ten);
    last(fixture, "whole", "x", &whole);
    last(fixture, "repeated", "x", &repeated);
    last(fixture, "weighed", "x", &weighed);
    last(fixture, "sampled", "x", &sampled);
    assert_true(weighed->count == repeated->count && weighed->count == 200000);
    same_within(weighed->sum, repeated->sum, 1e-12);
    same_within(sampled->count, whole->count, 0.05);
    same_within(sampled->sum, whole->sum, 0.05);
    for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++) {
        double quantile = histogram_quantile(quantiles[i], whole);
        assert_true(histogram_quantile(quantiles[i], weighed) ==
                    histogram_quantile(quantiles[i], repeated));
        same_within(histogram_quantile(quantiles[i], weighed), quantile, 0.011);
        same_within(histogram_quantile(quantiles[i], sampled), quantile, 0.08);
    }
}

/* One that repeats values as often as they weigh would be at it for a day. */
static void a_tiny_rate_costs_what_any_costs(void **state)
{
    struct fixture *fixture = *state;
    struct intake *table = intake_new(&roomy);
    const struct histogram *histogram;
    for (int i = 0; i < 100000; i++)
        add_line(table, "t:5|ms|@0.0000001|#host:x");
    add_line(table, "t:5:6|d|@1e-15|#host:x");
    tick(fixture, table);
    last(fixture, "t", "x", &histogram);
    same_within(histogram->count, 1e12 + 2e15, 1e-12);
    same_within(histogram->sum, 5e12 + 11e15, 1e-12);
    intake_free(table);
}

static void a_full_table_keeps_totals(void **state)
{
    const struct label overflow = {SLICE_LIT("__overflow__"), SLICE_LIT("true")};
    struct fixture *fixture = *state;
    struct intake_options options = roomy;
    options.entries_max = 2;
    struct intake *table = intake_new(&options);
    for (int i = 0; i < 3; i++) {
        add_line(table, "a:1|c|#host:x");
        add_line(table, "b:1|c|#host:x");
        add_line(table, "c:1|c|#host:x");
    }
    assert_true(intake_swap(table));
    intake_fold(table, fixture->registry);
    flush(fixture);
    assert_true(last(fixture, "b", "x", NULL) == 3);
    assert_true(isnan(last(fixture, "c", "x", NULL)));
    assert_true(last_of(fixture, "c", overflow, NULL) == 3);
    add_line(table, "a,host=y:1|c");
    add_line(table, "[host=y]c:1|c");
    tick(fixture, table);
    assert_true(last_of(fixture, "a", overflow, NULL) == 1);
    assert_true(last_of(fixture, "c", overflow, NULL) == 4);
    intake_free(table);
}

static void idle_entries_leave(void **state)
{
    struct fixture *fixture = *state;
    struct intake *table = intake_new(&roomy);
    for (int i = 0; i < 5000; i++) {
        char line[64];
        snprintf(line, sizeof line, "once%d:1|ms", i);
        add_line(table, line);
    }
    static const char *const steady[] = {"a:1|c|#host:x", "b:1|c|#host:x", "c:1|c|#host:x",
                                         "d:1|c|#host:x", "e:1|c|#host:x"};
    for (int tick = 0; tick < 60; tick++) { /* the table becomes smaller under them */
        for (size_t i = 0; i < 5; i++)
            add_line(table, steady[i]);
        assert_true(intake_swap(table));
        intake_fold(table, fixture->registry);
        assert_true(figure("lapwing_statsd_entries") >= 5);
    }
    assert_int_equal(figure("lapwing_statsd_entries"), 5);
    flush(fixture);
    for (size_t i = 0; i < 5; i++)
        assert_true(last(fixture, (char[]){(char)('a' + i), 0}, "x", NULL) == 60);
    intake_free(table);
}

/* Whatever the order in which the tables are folded. */
static void of_values_in_two_tables_the_later_wins(void **state)
{
    struct fixture *fixture = *state;
    struct intake *tables[] = {intake_new(&roomy), intake_new(&roomy)};
    for (uint32_t round = 0; round < 4; round++) {
        bool first_is_later = round % 2;
        uint32_t time = round < 2 ? 100 : UINT32_MAX; /* which wraps */
        intake_set_time(tables[0], first_is_later ? time + 10 : time);
        intake_set_time(tables[1], first_is_later ? time : time + 10);
        add_line(tables[0], "a:1|g|#host:x");
        add_line(tables[1], "a:2|g|#host:x");
        add_line(tables[1], "a:+5|g|#host:x");
        for (int i = 0; i < 2; i++) {
            assert_true(intake_swap(tables[i]));
            intake_fold(tables[i], fixture->registry);
        }
        flush(fixture);
        assert_true(last(fixture, "a", "x", NULL) == (first_is_later ? 1 : 7));
    }
    intake_free(tables[0]);
    intake_free(tables[1]);
}

static struct mapping *mapping_of(const char *text)
{
    struct mapping *mapping;
    struct error err = {0};
    if (mapping_parse(slice_of_string(text), "rules.yaml", &mapping, &err))
        fail_msg("%s", err.text);
    return mapping;
}

/* As a tick of the server. */
static void settle_and_tick(struct fixture *fixture, struct intake *table)
{
    assert_true(intake_swap(table));
    intake_settle(table, fixture->registry, fixture->tick_ms + TICK, true);
    intake_fold(table, fixture->registry);
    flush(fixture);
}

struct search {
    struct slice name;
    bool found;
};

static void look(void *arg, const struct registry_view *view)
{
    struct search *search = arg;
    struct slice rest = view->labels, name, value;
    while (rest.len && bytes_cut_prefixed(&rest, &name) && bytes_cut_prefixed(&rest, &value))
        search->found |= slice_equal_string(name, LABEL_NAME) && slice_equal(value, search->name);
}

static bool is_live(const struct fixture *fixture, const char *name)
{
    struct search search = {slice_of_string(name), false};
    registry_each(fixture->registry, look, &search);
    return search.found;
}

static void other_rules_take_over_between_two_lines(void **state)
{
    struct fixture *fixture = *state;
    struct intake_options options = roomy;
    options.mapping = mapping_of("defaults: {ttl: 1h}\nmappings:\n"
                                 "- {match: 'hits.*', name: hits, labels: {host: $1}}\n"
                                 "- {match: 'rests.*', name: rests, labels: {host: $1}}\n"
                                 "- {match: 'level.*', name: level, labels: {host: $1}}\n"
                                 "- {match: 'noise.*', name: noise, labels: {host: $1}}\n");
    struct mapping *others = mapping_of("mappings:\n"
                                        "- {match: '*.x', name: '${1}_now', labels: {host: x},\n"
                                        "   scale: 10, match_metric_type: counter}\n"
                                        "- {match: 'noise.*', action: drop}\n"
                                        "- {match: 'level[.](.*)', match_type: regex,\n"
                                        "   name: level, labels: {host: $1}}\n");
    struct intake *table = intake_new(&options);
    mapping_free(options.mapping);
    add_line(table, "hits.x:5|c");
    add_line(table, "rests.x:3|c");
    add_line(table, "level.x:7|g");
    add_line(table, "noise.x:1|g");
    add_line(table, "total,host=x:100|C");
    add_line(table, "scaled.x:100|C");
    settle_and_tick(fixture, table);
    add_line(table, "hits.x:6|c");
    struct intake *now = intake_renew(table, others);
    assert_non_null(now);
    assert_null(intake_renew(now, others));
    mapping_free(others);
    add_line(now, "hits.x:1|c");
    add_line(now, "level.x:-2|g");
    add_line(now, "noise.x:2|g");
    add_line(now, "total,host=x:104|C");
    add_line(now, "scaled.x:104|C");
    add_line(now, "scaled.x:105|C");
    settle_and_tick(fixture, now);
    assert_null(intake_renew(now, NULL)); /* one after the other */
    assert_true(is_live(fixture, "rests"));
    assert_true(last(fixture, "hits", "x", NULL) == 11);
    assert_true(last(fixture, "hits_now", "x", NULL) == 10);
    assert_true(last(fixture, "level", "x", NULL) == 5);
    assert_true(last(fixture, "total", "x", NULL) == 4);
    assert_true(last(fixture, "scaled_now", "x", NULL) == 10);
    settle_and_tick(fixture, now);
    assert_false(is_live(fixture, "hits") || is_live(fixture, "rests") ||
                 is_live(fixture, "noise"));
    assert_true(is_live(fixture, "level") && is_live(fixture, "total"));
    struct intake *last_one = intake_renew(now, NULL);
    assert_non_null(last_one);
    intake_free(last_one);
}

/* One worker follows other rules a tick before the other, which still brings counts by the old ones. */
static void workers_out_of_step_lose_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct intake_options options = roomy;
    options.mapping = mapping_of("defaults: {ttl: 1h}\nmappings:\n"
                                 "- {match: 'hits.*', name: hits, labels: {host: $1}}\n");
    struct intake *early = intake_new(&options), *late = intake_new(&options);
    mapping_free(options.mapping);
    add_line(early, "hits.x:1|c");
    add_line(late, "hits.x:10|c");
    early = intake_renew(early, NULL);
    settle_and_tick(fixture, early);
    late = intake_renew(late, NULL);
    assert_true(intake_swap(early) && intake_swap(late));
    intake_settle(late, fixture->registry, fixture->tick_ms + TICK, true);
    intake_settle(early, fixture->registry, fixture->tick_ms + TICK, true);
    intake_fold(early, fixture->registry);
    intake_fold(late, fixture->registry);
    flush(fixture);
    assert_true(last(fixture, "hits", "x", NULL) == 11);
    assert_true(is_live(fixture, "hits"));
    settle_and_tick(fixture, late);
    assert_false(is_live(fixture, "hits"));
    intake_free(early);
    intake_free(late);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(equals_the_naive_model),
        CASE(sets_merge_over_tables),
        CASE(raw_keys_of_one_series_meet),
        CASE(dialects_of_one_table_stay_apart),
        CASE(counts_below_zero_have_a_series_of_their_own),
        CASE(of_running_totals_the_rises_count),
        CASE(sampled_timers_are_the_whole),
        CASE(a_tiny_rate_costs_what_any_costs),
        CASE(a_full_table_keeps_totals),
        CASE(idle_entries_leave),
        CASE(of_values_in_two_tables_the_later_wins),
        CASE(other_rules_take_over_between_two_lines),
        CASE(workers_out_of_step_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
