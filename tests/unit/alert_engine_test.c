/* alert_engine: rules over a real store, minute by minute on a clock of the test's own. What a
 * daemon would do after a kill is done here by throwing the board away and restoring it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/alert/evaluate.h"
#include "storage/base/alloc.h"
#include "storage/store_state.h"
#include "tests/unit/scratch_dir.h"

#define MINUTE 60000
#define START  ((int64_t)1700000000000 / MINUTE * MINUTE)

struct world {
    char dir[SCRATCH_DIR_BYTES];
    struct store *store;
    struct writer *writer;
    struct sender *sender;
    struct evaluator evaluator;
    struct alert_board *board;
    int64_t now_ms;
};

/* Port 9 (discard) refuses: messages stay in the outbox, where the tests count them. */
static const struct sender_options unreachable = {"http://127.0.0.1:9/", 1000};

static struct rule_set *rules(const char *text)
{
    struct rule_set *set = rule_set_new(MINUTE);
    struct error err = {0};
    if (rule_set_add(set, slice_of_string(text), "r.yaml", &err) < 0)
        fail_msg("%s", err.text);
    return set;
}

static void open_board(struct world *w, const char *text)
{
    struct error err = {0};
    w->board = board_new(rules(text));
    if (board_restore(w->board, w->store, &err) < 0 ||
        sender_open(w->store, w->writer, &unreachable, &w->sender, &err) < 0)
        fail_msg("%s", err.text);
    w->evaluator = (struct evaluator){
        .committer = {w->store, w->writer, w->sender, w->board, "http://x", NULL},
        .query_samples_max = 1000000,
        .query_memory_bytes = 64 << 20,
        .query_timeout_ms = 10000,
    };
}

static void close_board(struct world *w)
{
    sender_close(w->sender);
    board_free(w->board);
}

static void restart(struct world *w, const char *text)
{
    close_board(w);
    open_board(w, text);
}

static int set_up(void **state)
{
    struct world *w = alloc_zeroed(1, sizeof *w);
    struct error err = {0};
    assert_int_equal(scratch_dir_make(w->dir, "alert_engine_test"), 0);
    struct store_options options = {.path = w->dir, .series_max = 1000};
    if (store_open(&options, &w->store, &err) < 0)
        fail_msg("%s", err.text);
    w->writer = writer_start(w->store, 64);
    w->now_ms = START;
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;
    close_board(w);
    writer_stop(w->writer);
    store_close(w->store);
    int status = scratch_dir_remove(w->dir);
    free(w);
    return status;
}

struct point {
    struct world *world;
    const char *shop;
    double value;
};

static int write_point(void *arg, struct store_batch *batch, struct error *err)
{
    const struct point *point = arg;
    struct label pair[] = {{SLICE(LABEL_NAME), SLICE("depth")},
                           {SLICE("shop"), slice_of_string(point->shop)}};
    uint32_t series;
    if (store_batch_intern(batch, (struct labels){pair, 2}, SERIES_GAUGE, &series, err) < 0)
        return -1;
    store_batch_value(batch, series, point->world->now_ms, point->value);
    return 0;
}

static void gauge(struct world *w, const char *shop, double value)
{
    struct point point = {w, shop, value};
    struct error err = {0};
    if (writer_call(w->writer, false, write_point, &point, &err) < 0)
        fail_msg("%s", err.text);
}

static void evaluate_minute(struct world *w)
{
    for (size_t i = 0; i < w->board->count; i++)
        evaluate_group(&w->evaluator, &w->board->groups[i], w->now_ms);
    evaluate_orphans(&w->evaluator, w->now_ms);
    w->now_ms += MINUTE;
}

/* One value a minute for shop "a"; the phases of the first rule after each, as i p f. */
static void plays(struct world *w, const char *values, const char *want)
{
    char got[64] = "";
    for (size_t i = 0; values[i]; i++) {
        if (values[i] != ' ')
            gauge(w, "a", values[i] - '0');
        evaluate_minute(w);
        got[i] = "ipfi"[rule_run_phase(&w->board->groups[0].rules[0])];
    }
    if (strcmp(got, want) != 0)
        fail_msg("%s -> %s, expected %s", values, got, want);
}

static bool count_document(void *arg, struct slice key, struct slice value)
{
    (void)key, (void)value;
    ++*(size_t *)arg;
    return true;
}

static size_t documents(const struct world *w, const char *prefix)
{
    size_t count = 0;
    struct error err = {0};
    struct store_scan scan = {.prefix = slice_of_string(prefix)};
    assert_int_equal(store_scan(w->store, &scan, count_document, &count, &err), 0);
    return count;
}

/* Samples of ALERTS in this state, stale markers not counted. */
static size_t alerts_samples(const struct world *w, const char *phase)
{
    struct arena arena;
    struct error err = {0};
    struct matcher matchers[2];
    struct store_selection found;
    size_t count = 0;
    arena_init(&arena, 1 << 20);
    assert_int_equal(
        matcher_init(&matchers[0], MATCH_EQUAL, SLICE(LABEL_NAME), SLICE("ALERTS"), &err), 0);
    assert_int_equal(
        matcher_init(&matchers[1], MATCH_EQUAL, SLICE("alertstate"), slice_of_string(phase), &err),
        0);
    assert_int_equal(store_select(w->store,
                                  &(struct store_query){.matchers = matchers,
                                                        .matcher_count = 2,
                                                        .start_ms = 0,
                                                        .end_ms = INT64_MAX / 2},
                                  &arena, &found, &err),
                     0);
    struct store_reader *reader = store_reader_new(w->store);
    for (size_t i = 0; i < found.count; i++) {
        struct store_column column;
        assert_int_equal(store_read(reader, (struct store_span){found.at[i].id, 0, INT64_MAX / 2},
                                    &arena, &column, &err),
                         0);
        for (size_t s = 0; s < column.count; s++)
            count += !is_stale_nan(column.values[s]);
    }
    store_reader_free(reader);
    arena_release(&arena);
    return count;
}

#define RULES_FOR(for_)                                                                            \
    "groups:\n- name: g\n  rules:\n  - alert: Deep\n    expr: depth > 5\n    for: " for_ "\n"

static void an_alert_lives(void **state)
{
    struct world *w = *state;
    open_board(w, RULES_FOR("2m"));
    plays(w, "1999911", "ippffii");
    assert_int_equal(documents(w, OUTBOX_PREFIX), 2);
    assert_int_equal(documents(w, ALERT_STATE_PREFIX), 1);
    assert_int_equal(alerts_samples(w, "pending"), 2);
    assert_int_equal(alerts_samples(w, "firing"), 2);
    plays(w, "1111111111111111", "iiiiiiiiiiiiiiii");
    assert_int_equal(documents(w, ALERT_STATE_PREFIX), 0);
}

static void a_restart_changes_nothing(void **state)
{
    struct world *w = *state;
    open_board(w, RULES_FOR("3m"));
    plays(w, "99", "pp");
    restart(w, RULES_FOR("3m"));
    assert_int_equal(rule_run_phase(&w->board->groups[0].rules[0]), ALERT_PENDING);
    plays(w, "99", "pf");
    restart(w, RULES_FOR("3m"));
    assert_int_equal(rule_run_phase(&w->board->groups[0].rules[0]), ALERT_FIRING);
    plays(w, "991", "ffi");
    assert_int_equal(documents(w, OUTBOX_PREFIX), 2);
}

static void downtime_counts_towards_for(void **state)
{
    struct world *w = *state;
    open_board(w, RULES_FOR("9m"));
    plays(w, "9", "p");
    w->now_ms += 20 * MINUTE;
    restart(w, RULES_FOR("9m"));
    plays(w, "9", "f");
}

static void missing_data_after_a_restart_waits_for_the_grace(void **state)
{
    struct world *w = *state;
    open_board(w, RULES_FOR("0"));
    plays(w, "9", "f");
    w->now_ms += 20 * MINUTE;
    restart(w, RULES_FOR("0"));
    w->evaluator.grace_until_ms = w->now_ms + 2 * MINUTE;
    plays(w, "  ", "ff");
    plays(w, "9", "f");
    plays(w, "1", "i");
    assert_int_equal(documents(w, OUTBOX_PREFIX), 2);
}

static void a_removed_rule_is_resolved(void **state)
{
    struct world *w = *state;
    open_board(w, RULES_FOR("0"));
    plays(w, "9", "f");
    board_replace(w->board, rules("groups: []"));
    evaluate_minute(w);
    assert_int_equal(documents(w, OUTBOX_PREFIX), 2);
    assert_int_equal(documents(w, ALERT_STATE_PREFIX), 0);
    evaluate_minute(w);
    assert_int_equal(documents(w, OUTBOX_PREFIX), 2);
}

static void a_reload_keeps_states(void **state)
{
    struct world *w = *state;
    open_board(w, RULES_FOR("2m"));
    plays(w, "99", "pp");
    board_replace(w->board, rules("groups:\n- name: other\n" /* a group before it */
                                  "- name: g\n  rules:\n  - alert: Deep\n    expr: depth > 6\n"
                                  "    for: 2m\n"));
    gauge(w, "a", 9);
    evaluate_minute(w);
    assert_int_equal(rule_run_phase(&w->board->groups[1].rules[0]), ALERT_FIRING);
}

static void a_failing_rule_keeps_its_alerts(void **state)
{
    struct world *w = *state;
    /* Dropping `shop` makes two results the same alert. */
    open_board(w, "groups:\n- name: g\n  rules:\n  - alert: Deep\n    expr: depth > 5\n"
                  "    labels: {shop: all}\n");
    const struct rule_run *run = &w->board->groups[0].rules[0];
    plays(w, "9", "f");
    assert_int_equal(run->health, RULE_OK);
    gauge(w, "b", 9);
    plays(w, "9", "f");
    assert_int_equal(run->health, RULE_ERROR);
    assert_non_null(strstr(run->problem, "same labelset"));
    gauge(w, "b", 1);
    plays(w, "1", "i");
    assert_int_equal(run->health, RULE_OK);
    assert_int_equal(documents(w, OUTBOX_PREFIX), 2);
}

static void the_limit_of_a_group_keeps_alerts_too(void **state)
{
    struct world *w = *state;
    open_board(w,
               "groups:\n- name: g\n  limit: 1\n  rules:\n  - alert: Deep\n    expr: depth > 5\n");
    plays(w, "9", "f");
    gauge(w, "b", 9);
    plays(w, "9", "f");
    assert_non_null(strstr(w->board->groups[0].rules[0].problem, "exceeded limit of 1 with 2"));
    assert_int_equal(w->board->groups[0].rules[0].instances.count, 1);
}

static void many_alerts_share_messages(void **state)
{
    struct world *w = *state;
    char shop[32];
    open_board(w, RULES_FOR("0"));
    for (int i = 0; i < 150; i++) {
        snprintf(shop, sizeof shop, "shop-%d", i);
        gauge(w, shop, 9);
    }
    evaluate_minute(w);
    assert_int_equal(documents(w, ALERT_STATE_PREFIX), 150);
    assert_int_equal(documents(w, OUTBOX_PREFIX), 3); /* 64 + 64 + 22 */
}

static void recorded_series_end_with_their_source(void **state)
{
    struct world *w = *state;
    open_board(w, "groups:\n- name: g\n  rules:\n"
                  "  - alert: Recorded\n    expr: depth:big > 0\n" /* sees the round before */
                  "  - {record: 'depth:big', expr: depth > 5, labels: {kind: r}}\n");
    plays(w, "991", "iff");
    plays(w, "1", "i");
    assert_int_equal(w->board->groups[0].rules[1].recorded_count, 0);
}

static void recorded_series_end_with_their_rule(void **state)
{
    struct world *w = *state;
    open_board(w, "groups:\n- name: g\n  rules:\n"
                  "  - {record: 'depth:big', expr: depth > 5}\n"
                  "  - {record: 'depth:all', expr: depth}\n");
    gauge(w, "a", 9);
    evaluate_minute(w);
    board_replace(w->board, rules("groups:\n- name: h\n  rules:\n"
                                  "  - alert: Still\n    expr: '{__name__=~\"depth:.+\"} > 0'\n"
                                  "    labels: {metric: '{{ .Labels.__name__ }}'}\n"));
    assert_int_equal(w->board->orphans.recorded_count, 2);
    plays(w, " ", "f"); /* the marker comes behind the groups */
    plays(w, "  ", "ii");
    assert_int_equal(w->board->orphans.recorded_count, 0);
}

static void alerts_say_since_when(void **state)
{
    struct world *w = *state;
    int64_t start_s = w->now_ms / 1000;
    char since[512];
    snprintf(since, sizeof since,
             "groups:\n- name: g\n  rules:\n"
             "  - {alert: Since, expr: 'ALERTS_FOR_STATE{alertname=\"Deep\"} == %lld'}\n"
             "  - {alert: Deep, expr: depth > 5, for: 2m}\n",
             (long long)start_s);
    open_board(w, since);
    plays(w, "99999", "iffff");
    plays(w, "1", "f");
    plays(w, "1", "i"); /* it ended with the alert */
}

/* A series that ends while the store refuses gets its stale marker once it takes it. */
static void recorded_series_end_after_a_full_disk(void **state)
{
    struct world *w = *state;
    open_board(w, "groups:\n- name: g\n  rules:\n  - {record: 'depth:big', expr: depth > 5}\n");
    const struct rule_run *run = &w->board->groups[0].rules[0];
    gauge(w, "a", 9);
    evaluate_minute(w);
    assert_int_equal(run->recorded_count, 1);
    gauge(w, "a", 1);
    w->store->disk_reserve = UINT64_MAX - 1;
    evaluate_minute(w);
    assert_non_null(strstr(run->problem, "nearly full"));
    assert_int_equal(run->recorded_count, 1);
    w->store->disk_reserve = 1;
    evaluate_minute(w);
    assert_null(run->problem);
    assert_int_equal(run->recorded_count, 0);
}

static void documents_round_trip(void **state)
{
    struct world *w = *state;
    open_board(w, "groups: []");
    struct alert_document document = {
        .rule_id = 7,
        .state = {ALERT_FIRING, ALERT_SAY_FIRING, 1, 2, 3, 4, 5, -0.5},
        .labels = SLICE("labels"),
        .annotations = SLICE("annotations"),
    };
    struct alert_document back;
    struct buffer value;
    buffer_init(&value, 1024);
    alert_document_encode(&document, &value);
    assert_true(alert_document_decode(buffer_slice(&value), &back));
    assert_int_equal(back.rule_id, 7);
    assert_memory_equal(&back.state, &document.state, sizeof back.state);
    assert_true(slice_equal(back.labels, document.labels));
    assert_true(slice_equal(back.annotations, document.annotations));
    for (size_t len = 0; len < value.len; len++)
        assert_false(alert_document_decode(slice_make(value.at, len), &back));
    buffer_release(&value);
}

#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(an_alert_lives),
        WORLD_TEST(a_restart_changes_nothing),
        WORLD_TEST(downtime_counts_towards_for),
        WORLD_TEST(missing_data_after_a_restart_waits_for_the_grace),
        WORLD_TEST(a_removed_rule_is_resolved),
        WORLD_TEST(a_reload_keeps_states),
        WORLD_TEST(a_failing_rule_keeps_its_alerts),
        WORLD_TEST(the_limit_of_a_group_keeps_alerts_too),
        WORLD_TEST(many_alerts_share_messages),
        WORLD_TEST(recorded_series_end_with_their_source),
        WORLD_TEST(recorded_series_end_with_their_rule),
        WORLD_TEST(alerts_say_since_when),
        WORLD_TEST(recorded_series_end_after_a_full_disk),
        WORLD_TEST(documents_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
