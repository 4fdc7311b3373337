/* store: limits, order, retention, documents, and what happens when something is damaged. */
#include "tests/unit/store_fixture.h"

#include "storage/base/metric.h"
#include "storage/key.h"
#include "storage/kv/kv.h"
#include "storage/log/logstore.h"

#define DAY_MS ((int64_t)86400000)

struct found_metric {
    const char *name, *labels;
    double value;
};

static void find_metric(const struct metric *metric, void *arg)
{
    struct found_metric *found = arg;
    if (strcmp(metric->name, found->name) == 0 && metric->labels &&
        strstr(metric->labels, found->labels))
        found->value = metric_value(metric);
}

static double dropped(const char *reason)
{
    struct found_metric found = {"lapwing_samples_dropped_total", reason, -1};
    metric_each(find_metric, &found);
    return found.value;
}

/* --- order, kinds and limits --- */

/* Reads the whole series and compares it with times (from START_MS) and values. */
static void assert_series(struct store *store, uint32_t id, const int64_t *times,
                          const double *values, size_t count)
{
    struct arena arena;
    struct store_column column;
    struct error err = {0};
    struct store_reader *reader = store_reader_new(store);
    arena_init(&arena, 1 << 22);
    assert_int_equal(
        store_read(reader, (struct store_span){id, 0, INT64_MAX}, &arena, &column, &err), 0);
    assert_int_equal(column.count, count);
    for (size_t i = 0; i < count; i++)
        assert_true(column.times[i] == START_MS + times[i] && column.values[i] == values[i]);
    store_reader_free(reader);
    arena_release(&arena);
}

static void late_samples_find_their_place_and_the_last_write_wins(void **state)
{
    (void)state;
    struct error err = {0};
    struct arena arena;
    double value = 0;
    const struct histogram *histogram;
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    uint32_t id = intern(batch, "m", 1, SERIES_GAUGE);
    arena_init(&arena, 1 << 20);
    store_batch_value(batch, id, START_MS, 1);
    store_batch_value(batch, id, START_MS, 2);
    store_batch_value(batch, id, START_MS - 1, 3);
    store_batch_value(batch, id, START_MS + 1, 4);
    commit(store, batch);
    assert_series(store, id, (int64_t[]){-1, 0, 1}, (double[]){3, 2, 4}, 3);
    assert_int_equal(store_seal(store, &err), 0);
    store_batch_free(batch);
    store_close(store);
    for (int round = 0; round < 2; round++) { /* after reopening too */
        store = open_store();
        batch = store_batch_new(store);
        store_batch_value(batch, id, START_MS + 1, 5 + round);
        store_batch_value(batch, id, START_MS + 2 + round, 6);
        store_batch_value(batch, id, -1, 6);
        store_batch_value(batch, 999, START_MS + 9, 6);
        commit(store, batch);
        assert_series(store, id, (int64_t[]){-1, 0, 1, 2, 3}, (double[]){3, 2, 5 + round, 6, 6},
                      (size_t)round + 4);
        store_batch_free(batch);
        store_close(store);
    }
    store = open_store();
    batch = store_batch_new(store);
    store_batch_value(batch, id, START_MS + 3, stale_nan());
    store_batch_value(batch, id, START_MS + 2, 8);
    commit(store, batch);
    assert_true(store_last(store, id, &arena, &value, &histogram) && value == 8);
    assert_true(dropped("bad_time") == 2);
    assert_true(dropped("unknown_series") == 2);
    arena_release(&arena);
    store_batch_free(batch);
    store_close(store);
}

/* Ids ascend for a while, as in a tick, and then some come again: later, too late, and once more. */
static void a_series_may_come_again_in_a_batch(void **state)
{
    (void)state;
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    uint32_t ids[4];
    for (int i = 0; i < 4; i++) {
        ids[i] = intern(batch, "m", i, SERIES_GAUGE);
        store_batch_value(batch, ids[i], START_MS, i);
    }
    store_batch_value(batch, ids[1], START_MS + 2, 10);
    store_batch_value(batch, ids[2], START_MS - 1, 20);
    store_batch_value(batch, ids[1], START_MS + 1, 11);
    store_batch_value(batch, ids[1], START_MS + 3, 12);
    store_batch_value(batch, ids[3], START_MS, 30);
    commit(store, batch);
    store_batch_value(batch, ids[3], START_MS + 5, 31);
    store_batch_value(batch, ids[0], START_MS + 5, 1);
    store_batch_value(batch, ids[0], START_MS + 6, 2);
    commit(store, batch);
    for (int opened = 0; opened < 2; opened++) { /* as published, and as replayed */
        assert_series(store, ids[0], (int64_t[]){0, 5, 6}, (double[]){0, 1, 2}, 3);
        assert_series(store, ids[1], (int64_t[]){0, 1, 2, 3}, (double[]){1, 11, 10, 12}, 4);
        assert_series(store, ids[2], (int64_t[]){-1, 0}, (double[]){20, 2}, 2);
        assert_series(store, ids[3], (int64_t[]){0, 5}, (double[]){30, 31}, 2);
        if (opened)
            break;
        store_batch_free(batch);
        store_close(store);
        store = open_store();
    }
    store_close(store);
}

/* Two series in turn, backwards: no runs, and each sample before all others. */
static void many_late_samples_do_not_stay_in_memory(void **state)
{
    (void)state;
    struct store_stats stats;
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    uint32_t ids[] = {intern(batch, "m", 1, SERIES_GAUGE), intern(batch, "m", 2, SERIES_GAUGE)};
    int64_t times[20001];
    double values[20001];
    for (int64_t i = 0; i <= 20000; i++) {
        for (int k = 0; k < 2; k++)
            store_batch_value(batch, ids[k], START_MS - i * 7000, (double)(i + k));
        if (i % 5000 == 0)
            commit(store, batch);
        times[20000 - i] = -i * 7000;
        values[20000 - i] = (double)i;
    }
    store_stats(store, &stats);
    assert_true(stats.head_samples < 20000);
    assert_series(store, ids[0], times, values, 20001);
    for (int i = 0; i <= 20000; i++)
        values[i]++;
    assert_series(store, ids[1], times, values, 20001);
    store_batch_free(batch);
    store_close(store);
}

/* Samples of a day that nothing else is known of are found by their time. */
static void late_samples_make_their_series_active(void **state)
{
    (void)state;
    struct error err = {0};
    struct arena arena;
    struct store_selection selection;
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    int64_t old = START_MS - 10 * (int64_t)86400000;
    uint32_t id = intern(batch, "m", 1, SERIES_GAUGE);
    store_batch_value(batch, id, START_MS, 1);
    store_batch_value(batch, id, old, 2);
    commit(store, batch);
    store_batch_free(batch);
    arena_init(&arena, 1 << 20);
    for (int round = 0; round < 3; round++) {
        struct store_query query = {.start_ms = old - 9, .end_ms = old};
        assert_int_equal(store_select(store, &query, &arena, &selection, &err), 0);
        assert_int_equal(selection.count, 1);
        query = (struct store_query){.start_ms = old + 90000000, .end_ms = START_MS - 90000000};
        assert_int_equal(store_select(store, &query, &arena, &selection, &err), 0);
        assert_int_equal(selection.count, 0);
        if (round == 0)
            assert_int_equal(store_seal(store, &err), 0);
        store_close(store);
        store = open_store();
    }
    arena_release(&arena);
    store_close(store);
}

static void kinds_do_not_mix(void **state)
{
    (void)state;
    struct error err = {0};
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    struct histogram histogram;
    uint32_t id = intern(batch, "m", 1, SERIES_GAUGE), other;
    struct label labels[] = {
        {SLICE(LABEL_NAME), SLICE("m")}, {SLICE("i"), SLICE("1")}, {SLICE("job"), SLICE("odd")}};
    assert_int_equal(
        store_batch_intern(batch, (struct labels){labels, 3}, SERIES_HISTOGRAM, &other, &err), -1);
    assert_int_equal(err.kind, ERROR_BAD_DATA);
    histogram_init(&histogram);
    store_batch_histogram(batch, id, START_MS, &histogram);
    commit(store, batch);
    assert_true(dropped("wrong_kind") == 1);
    store_batch_free(batch);
    store_close(store);
}

static void series_are_limited(void **state)
{
    (void)state;
    struct error err = {0};
    struct store *store = open_with((struct store_options){.series_max = 3});
    struct store_batch *batch = store_batch_new(store);
    struct label label = {SLICE(LABEL_NAME), SLICE("one too many")};
    uint32_t id;
    for (int i = 0; i < 3; i++)
        assert_int_equal(intern(batch, "m", i, SERIES_GAUGE), i);
    assert_int_equal(intern(batch, "m", 1, SERIES_GAUGE), 1);
    assert_int_equal(store_batch_intern(batch, (struct labels){&label, 1}, SERIES_GAUGE, &id, &err),
                     -1);
    assert_int_equal(err.kind, ERROR_LIMIT);
    store_batch_free(batch);
    store_close(store);
}

static void a_small_arena_is_an_error(void **state)
{
    (void)state;
    struct error err = {0};
    struct arena arena;
    struct store_column column;
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    uint32_t id = intern(batch, "m", 1, SERIES_GAUGE);
    for (int i = 0; i < 100; i++)
        store_batch_value(batch, id, START_MS + i, i * i % 7);
    commit(store, batch);
    store_batch_free(batch);
    struct store_reader *reader = store_reader_new(store);
    for (int sealed = 0; sealed < 2; sealed++) {
        arena_init(&arena, 1000);
        assert_int_equal(
            store_read(reader, (struct store_span){id, 0, INT64_MAX}, &arena, &column, &err), -1);
        assert_int_equal(err.kind, ERROR_LIMIT);
        arena_release(&arena);
        assert_int_equal(store_seal(store, &err), 0);
    }
    store_reader_free(reader);
    store_close(store);
}

/* --- retention --- */

static size_t selected(struct store *store, int64_t start_ms, int64_t end_ms)
{
    struct arena arena;
    struct store_selection selection = {0};
    struct error err = {0};
    arena_init(&arena, 1 << 20);
    assert_int_equal(store_select(store,
                                  &(struct store_query){.start_ms = start_ms, .end_ms = end_ms},
                                  &arena, &selection, &err),
                     0);
    arena_release(&arena);
    return selection.count;
}

static void old_days_leave_and_their_buckets_stay(void **state)
{
    (void)state;
    struct error err = {0};
    struct store_options options = {.chunk_samples = 20, .retention_raw_ms = 3 * DAY_MS};
    struct store *store = open_with(options);
    struct store_batch *batch = store_batch_new(store);
    uint32_t id = intern(batch, "stays", 0, SERIES_GAUGE);
    for (int day = 0; day < 8; day++) {
        clock_set_ms(START_MS + day * DAY_MS);
        for (int i = 0; i < 50; i++)
            store_batch_value(batch, id, START_MS + day * DAY_MS + i * 1000, i);
        uint32_t churned = intern(batch, "churns", day, SERIES_GAUGE);
        store_batch_value(batch, churned, START_MS + day * DAY_MS, 1);
        commit(store, batch);
        assert_int_equal(store_seal(store, &err), 0);
        clock_set_ms(START_MS + day * DAY_MS + 2 * 3600000);
        assert_int_equal(store_maintain(store, clock_now_ms(), &err), 0);
    }
    assert_in_range(selected(store, START_MS, START_MS), 2, 9); /* known by 32 days */
    assert_int_equal(selected(store, START_MS + 7 * DAY_MS, INT64_MAX), 2);
    struct store_stats stats;
    store_stats(store, &stats);
    assert_int_equal(stats.series, 9);
    store_batch_free(batch);
    store_close(store);
    store = open_with(options);
    store_stats(store, &stats);
    assert_int_equal(stats.series, 9);
    assert_in_range(selected(store, START_MS, START_MS + DAY_MS), 2, 9);
    assert_int_equal(selected(store, 0, START_MS - 60 * DAY_MS), 0);
    assert_int_equal(selected(store, START_MS + 7 * DAY_MS, INT64_MAX), 2);
    store_close(store);
}

static void churned_series_are_passed_over(void **state)
{
    (void)state;
    struct error err = {0};
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    for (int day = 0; day < 3; day++) {
        for (int i = 0; i < 10; i++)
            store_batch_value(batch, intern(batch, "m", day * 10 + i, SERIES_GAUGE),
                              START_MS + day * DAY_MS, 1);
        commit(store, batch);
        if (day < 2)
            assert_int_equal(store_seal(store, &err), 0);
    }
    assert_int_equal(selected(store, 0, INT64_MAX), 30);
    assert_int_equal(selected(store, START_MS, START_MS), 10);
    assert_int_equal(selected(store, START_MS + DAY_MS, START_MS + 2 * DAY_MS), 20);
    assert_int_equal(selected(store, START_MS + 2 * DAY_MS, INT64_MAX), 10);
    assert_int_equal(selected(store, START_MS + 3 * DAY_MS, INT64_MAX), 0);
    store_batch_free(batch);
    store_close(store);
}

static void commits_are_refused_while_the_disk_is_nearly_full(void **state)
{
    (void)state;
    struct error err = {0};
    struct arena arena;
    struct store_column column;
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    uint32_t id = intern(batch, "m", 1, SERIES_GAUGE);
    store_batch_value(batch, id, START_MS, 1);
    commit(store, batch);
    store_batch_free(batch);
    store_close(store);
    store = open_with((struct store_options){.disk_reserve_bytes = INT64_MAX});
    batch = store_batch_new(store);
    store_batch_value(batch, id, START_MS + 1, 1);
    assert_int_equal(store_commit(store, batch, false, &err), -1);
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
    assert_true(store_batch_is_empty(batch) && dropped("not_written") == 1);
    struct store_reader *reader = store_reader_new(store);
    arena_init(&arena, 1 << 20);
    assert_int_equal(
        store_read(reader, (struct store_span){id, 0, INT64_MAX}, &arena, &column, &err), 0);
    assert_int_equal(column.count, 1);
    arena_release(&arena);
    store_reader_free(reader);
    store_batch_free(batch);
    store_close(store);
}

static bool count_record(void *arg, const struct record *record)
{
    (void)record;
    ++*(size_t *)arg;
    return true;
}

static size_t count_records(struct store *store)
{
    size_t count = 0;
    struct error err = {0};
    struct logstore_query query = {.start_ns = 0, .end_ns = INT64_MAX};
    assert_int_equal(logstore_scan(store_logs(store), &query, count_record, &count, &err), 0);
    return count;
}

static void a_full_disk_drops_what_is_past_retention(void **state)
{
    (void)state;
    struct error err = {0};
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    struct record record = {.time_ns = START_MS * 1000000, .line = SLICE("old")};
    store_batch_records(batch, &record, 1);
    commit(store, batch);
    assert_int_equal(store_seal(store, &err), 0);
    assert_int_equal(count_records(store), 1);
    store_batch_free(batch);
    store_close(store);
    store = open_with(
        (struct store_options){.disk_reserve_bytes = INT64_MAX, .retention_logs_ms = DAY_MS});
    assert_int_equal(store_maintain(store, START_MS + 3 * DAY_MS, &err), -1);
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
    assert_int_equal(count_records(store), 0);
    store_close(store);
}

/* --- damage --- */

static void write_raw(enum kv_family family, struct slice key, struct slice value)
{
    struct kv *kv;
    struct error err = {0};
    struct kv_batch *batch = kv_batch_new();
    assert_int_equal(kv_open(path, &kv, &err), 0);
    kv_batch_put(kv, batch, family, key, value);
    assert_int_equal(kv_write(kv, batch, true, &err), 0);
    kv_batch_free(batch);
    kv_close(kv);
}

static void refuses_to_open(const char *because)
{
    struct store_options options = {.path = path, .series_max = 10};
    struct store *store = NULL;
    struct error err = {0};
    assert_int_equal(store_open(&options, &store, &err), -1);
    if (!strstr(err.text, because))
        fail_msg("%s", err.text);
}

static void another_format_is_refused(void **state)
{
    (void)state;
    store_close(open_store());
    write_raw(KV_META, SLICE("format"), SLICE("\2\0\0\0"));
    refuses_to_open("has format 2");
    write_raw(KV_META, SLICE("format"), SLICE("\1\0\0\0"));
    store_close(open_store());
}

static void a_damaged_chunk_is_passed_over_and_counted(void **state)
{
    (void)state;
    struct error err = {0};
    struct arena arena;
    struct store_column column;
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    uint32_t id = intern(batch, "m", 1, SERIES_GAUGE);
    for (int i = 0; i < 60; i++)
        store_batch_value(batch, id, START_MS + i * 1000, i);
    commit(store, batch);
    assert_int_equal(store_seal(store, &err), 0);
    store_batch_free(batch);
    store_close(store);
    struct key_bytes key = key_of_chunk((struct chunk_key){
        partition_of(START_MS), id, (uint32_t)((START_MS + 20000) % PARTITION_MS)});
    write_raw(KV_CHUNK, key_slice(&key), SLICE("what is this"));
    store = open_store();
    arena_init(&arena, 1 << 20);
    struct store_reader *reader = store_reader_new(store);
    assert_int_equal(
        store_read(reader, (struct store_span){id, 0, INT64_MAX}, &arena, &column, &err), 0);
    assert_int_equal(column.count, 40);
    assert_int_equal(column.damaged, 1);
    assert_true(column.values[19] == 19 && column.values[20] == 40);
    arena_release(&arena);
    store_reader_free(reader);
    store_close(store);
}

/* --- rest and return --- */

static size_t count_read(struct store *store, uint32_t id)
{
    struct arena arena;
    struct store_column column = {0};
    struct error err = {0};
    struct store_reader *reader = store_reader_new(store);
    arena_init(&arena, 1 << 20);
    assert_int_equal(
        store_read(reader, (struct store_span){id, START_MS, INT64_MAX}, &arena, &column, &err), 0);
    arena_release(&arena);
    store_reader_free(reader);
    return column.count;
}

/* Its entry in the head is given up meanwhile; what is sealed must not be forgotten with it. */
static void a_series_that_rests_keeps_its_past(void **state)
{
    (void)state;
    struct error err = {0};
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    uint32_t id = intern(batch, "m", 1, SERIES_GAUGE);
    for (int i = 0; i < 5; i++)
        store_batch_value(batch, id, START_MS + i * 1000, i);
    store_batch_value(batch, id, START_MS + 5000, stale_nan());
    commit(store, batch);
    assert_int_equal(store_maintain(store, START_MS, &err), 0);
    clock_set_ms(START_MS + 2 * 3600000);
    assert_int_equal(store_maintain(store, clock_now_ms(), &err), 0);
    assert_int_equal(count_read(store, id), 6);
    store_batch_value(batch, id, START_MS + 3000, 9);
    store_batch_value(batch, id, clock_now_ms(), 9);
    commit(store, batch);
    assert_int_equal(count_read(store, id), 7); /* one of them in the place of another */
    store_batch_free(batch);
    store_close(store);
}

/* --- documents --- */

static bool collect_key(void *arg, struct slice key, struct slice value)
{
    buffer_append_slice(arg, key);
    buffer_append_slice(arg, value);
    buffer_append_char(arg, ' ');
    return ((struct buffer *)arg)->len < 14;
}

static void assert_scan(struct store *store, struct store_scan scan, const char *want)
{
    struct buffer out;
    struct error err = {0};
    buffer_init(&out, 1000);
    assert_int_equal(store_scan(store, &scan, collect_key, &out, &err), 0);
    buffer_append_char(&out, 0);
    assert_string_equal(out.at, want);
    buffer_release(&out);
}

static void documents_are_put_read_and_scanned(void **state)
{
    (void)state;
    struct error err = {0};
    struct buffer out;
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    static const char *const keys[] = {"a1", "a2", "a3", "b1", "b2", "c"};
    assert_true(store_batch_is_empty(batch));
    for (size_t i = 0; i < 6; i++)
        store_batch_put(batch, slice_of_string(keys[i]), SLICE("x"));
    assert_false(store_batch_is_empty(batch));
    commit(store, batch);
    assert_true(store_batch_is_empty(batch));
    store_batch_delete(batch, SLICE("a2"));
    commit(store, batch);
    store_batch_free(batch);
    buffer_init(&out, 100);
    assert_int_equal(store_get(store, SLICE("a2"), &out, &err), 0);
    assert_int_equal(store_get(store, SLICE("a3"), &out, &err), 1);
    buffer_release(&out);
    assert_scan(store, (struct store_scan){.prefix = SLICE("a")}, "a1x a3x ");
    assert_scan(store, (struct store_scan){.prefix = SLICE("b"), .backward = true}, "b2x b1x ");
    assert_scan(store, (struct store_scan){.prefix = SLICE("a"), .from = SLICE("a2")}, "a3x ");
    assert_scan(store,
                (struct store_scan){.prefix = SLICE("a"), .from = SLICE("a2"), .backward = true},
                "a1x ");
    assert_scan(store, (struct store_scan){.prefix = SLICE("")}, "a1x a3x b1x b2x ");
    store_close(store);
}

int main(void)
{
    srand48(3);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(late_samples_find_their_place_and_the_last_write_wins,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_series_may_come_again_in_a_batch, setup, teardown),
        cmocka_unit_test_setup_teardown(many_late_samples_do_not_stay_in_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(late_samples_make_their_series_active, setup, teardown),
        cmocka_unit_test_setup_teardown(kinds_do_not_mix, setup, teardown),
        cmocka_unit_test_setup_teardown(series_are_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(a_small_arena_is_an_error, setup, teardown),
        cmocka_unit_test_setup_teardown(old_days_leave_and_their_buckets_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(churned_series_are_passed_over, setup, teardown),
        cmocka_unit_test_setup_teardown(commits_are_refused_while_the_disk_is_nearly_full, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_drops_what_is_past_retention, setup, teardown),
        cmocka_unit_test_setup_teardown(another_format_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_chunk_is_passed_over_and_counted, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_series_that_rests_keeps_its_past, setup, teardown),
        cmocka_unit_test_setup_teardown(documents_are_put_read_and_scanned, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
