/* retention: which days of which series are kept, rule by rule; by bytes; and what a reload changes. */
#include "tests/unit/store_fixture.h"

#include "storage/key.h"
#include "storage/store_state.h"

#define DAY_MS  PARTITION_MS
#define DAYS    12
#define TODAY   (START_MS / DAY_MS + DAYS - 1)
#define NOW     (TODAY * DAY_MS + DAY_MS / 2)
#define SERIES  6
#define FOREVER 0

/* A sample at every noon of DAYS days, the last of which is today. Series i: job odd or even. */
static void write_days(struct store *store, uint32_t ids[SERIES], int per_day)
{
    struct error err = {0};
    struct store_batch *batch = store_batch_new(store);
    clock_set_ms(NOW);
    for (int i = 0; i < SERIES; i++) {
        ids[i] = intern(batch, "m", i, SERIES_GAUGE);
        for (int64_t day = TODAY - DAYS + 1; day <= TODAY; day++)
            for (int k = 0; k < per_day; k++)
                store_batch_value(batch, ids[i],
                                  day * DAY_MS + DAY_MS / 2 - (per_day - 1 - k) * 20000, drand48());
    }
    commit(store, batch);
    store_batch_free(batch);
    assert_int_equal(store_seal(store, &err), 0);
}

static void maintain(struct store *store)
{
    struct error err = {0};
    for (int i = 0; i < 40; i++) /* of its bounded steps */
        if (store_maintain(store, clock_now_ms() + i * 60000, &err))
            fail_msg("%s", err.text);
}

static size_t count_days(struct store *store, uint32_t id)
{
    struct arena arena;
    struct error err = {0};
    struct store_column column = {.count = 0};
    struct store_reader *reader = store_reader_new(store);
    size_t days = 0;
    arena_init(&arena, (size_t)1 << 24);
    if (store_read(reader, (struct store_span){id, 0, INT64_MAX}, &arena, &column, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < column.count; i++) {
        days += i == 0 || partition_of(column.times[i]) != partition_of(column.times[i - 1]);
        assert_true(column.times[i] / DAY_MS > TODAY - DAYS);
    }
    arena_release(&arena);
    store_reader_free(reader);
    return days;
}

struct rule {
    const char *label, *pattern;
    int days; /* raw */
};

struct row {
    int days; /* without a rule; 0 = for ever */
    struct rule rules[3];
    size_t kept[SERIES]; /* days, today included */
};

static int set(struct store *store, const struct row *row, int64_t bytes)
{
    struct error err = {0};
    struct matcher matchers[3];
    struct store_retention_rule rules[3];
    struct store_retention retention = {.rules = rules, .bytes = bytes};
    for (int tier = 0; tier < STORE_TIER_COUNT; tier++)
        retention.ms[tier] = row->days * DAY_MS;
    for (; retention.rule_count < 3 && row->rules[retention.rule_count].label;
         retention.rule_count++) {
        size_t i = retention.rule_count;
        const struct rule *rule = &row->rules[i];
        if (matcher_init(&matchers[i], MATCH_REGEX, slice_of_string(rule->label),
                         slice_of_string(rule->pattern), &err))
            fail_msg("%s", err.text);
        rules[i] = (struct store_retention_rule){.matchers = &matchers[i], .matcher_count = 1};
        for (int tier = 0; tier < STORE_TIER_COUNT; tier++)
            rules[i].ms[tier] = rule->days * DAY_MS;
    }
    int status = store_set_retention(store, &retention, &err);
    for (size_t i = 0; i < retention.rule_count; i++)
        matcher_release(&matchers[i]);
    return status;
}

static const struct row table[] = {
    {FOREVER, {{0}}, {12, 12, 12, 12, 12, 12}},
    {5, {{0}}, {6, 6, 6, 6, 6, 6}},
    /* shorter than the rest, and longer */
    {5, {{"job", "odd", 2}}, {6, 3, 6, 3, 6, 3}},
    {5, {{"job", "odd", 8}}, {6, 9, 6, 9, 6, 9}},
    {FOREVER, {{"i", "0", 1}}, {2, 12, 12, 12, 12, 12}},
    {2, {{"i", "[12]", FOREVER}}, {3, 12, 12, 3, 3, 3}},
    /* the first that matches decides */
    {5, {{"i", "1", 9}, {"job", "odd", 1}, {"i", "[13]", 3}}, {6, 10, 6, 2, 6, 2}},
    {5, {{"job", "nobody", 1}}, {6, 6, 6, 6, 6, 6}},
};

static void rules_decide_what_is_kept(void **state)
{
    (void)state;
    for (size_t r = 0; r < sizeof table / sizeof *table; r++) {
        uint32_t ids[SERIES];
        struct store *store = open_store();
        write_days(store, ids, 1);
        assert_int_equal(set(store, &table[r], 0), 0);
        maintain(store);
        for (int again = 0; again < 2; again++) {
            for (int i = 0; i < SERIES; i++)
                if (count_days(store, ids[i]) != table[r].kept[i])
                    fail_msg("row %zu, series %d: %zu days are kept, not %zu", r, i,
                             count_days(store, ids[i]), table[r].kept[i]);
            store_close(store);
            store = open_store();
        }
        store_close(store);
        assert_int_equal(scratch_dir_remove(path), 0);
        assert_int_equal(scratch_dir_make(path, "store_test"), 0);
    }
}

static void what_is_past_its_rule_is_not_taken(void **state)
{
    (void)state;
    uint32_t ids[SERIES];
    struct store *store = open_store();
    struct row row = {5, {{"job", "odd", 2}, {"i", "4", 9}}, {0}};
    assert_int_equal(set(store, &row, 0), 0);
    write_days(store, ids, 1); /* noon of today is now: the limit is noon, too */
    assert_int_equal(count_days(store, ids[0]), 6);
    assert_int_equal(count_days(store, ids[1]), 3);
    assert_int_equal(count_days(store, ids[4]), 10);
    store_close(store);
}

static void series_without_data_are_forgotten(void **state)
{
    (void)state;
    uint32_t ids[SERIES];
    struct store *store = open_store();
    write_days(store, ids, 1);
    clock_set_ms(NOW + 3 * DAY_MS);
    assert_int_equal(set(store, &(struct row){FOREVER, {{"job", "odd", 1}}, {0}}, 0), 0);
    maintain(store);
    for (int i = 0; i < SERIES; i++)
        assert_int_equal(store_labels(store, ids[i]).len > 0, i % 2 == 0);
    store_close(store);
}

static void the_oldest_days_make_room(void **state)
{
    (void)state;
    struct error err = {0};
    uint32_t ids[SERIES];
    struct store *store = open_store();
    struct row row = {FOREVER, {{0}}, {0}};
    write_days(store, ids, 2000);
    assert_int_equal(store_compact(store, &err), 0);
    assert_int_equal(store->partitions.count, DAYS);
    struct key_bytes from = key_of_chunks(0), to = key_of_chunks(UINT32_MAX);
    uint64_t all = kv_range_bytes(store->kv, KV_CHUNK, key_slice(&from), key_slice(&to));
    assert_true(all > 100000);
    assert_int_equal(set(store, &row, (int64_t)all / 2), 0);
    maintain(store);
    size_t days = store->partitions.count;
    assert_true(days > 1 && days <= DAYS / 2 + 1);
    maintain(store); /* no more than needed, though the space may not be back yet */
    assert_int_equal(store->partitions.count, days);
    assert_int_equal(set(store, &row, 1), 0);
    maintain(store);
    assert_int_equal(store->partitions.count, 1);                         /* today stays, */
    assert_int_equal(count_days(store, ids[0]), TODAY % ROLLUP_DAYS + 1); /* and 32 days' buckets */
    store_close(store);
}

/* The midnight that a day begins with is in the last bucket of the day before: while that waits for
 * a late sample, neither leaves. */
static void a_day_that_waits_keeps_the_next_one(void **state)
{
    (void)state;
    struct error err = {0};
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    int64_t midnight = (TODAY - 6) * DAY_MS;
    uint32_t id = intern(batch, "m", 0, SERIES_COUNTER);
    clock_set_ms(NOW);
    for (int64_t at = midnight - 2 * DAY_MS, n = 0; at < NOW; at += DAY_MS / 24)
        store_batch_value(batch, id, at, (double)n++);
    commit(store, batch);
    assert_int_equal(store_compact(store, &err), 0);
    store_batch_value(batch, id, midnight - DAY_MS / 2 + 1, 7); /* late */
    commit(store, batch);
    store_batch_free(batch);
    struct store_retention retention = {.ms = {[STORE_RAW] = 3 * DAY_MS}};
    assert_int_equal(store_set_retention(store, &retention, &err), 0);
    assert_int_equal(store_retain_some(store, NOW, &err), 0);
    assert_int_equal(partition_of(midnight), store->partitions.at[1].day);
    maintain(store);
    assert_true(store->partitions.at[0].day > partition_of(midnight));
    struct arena arena;
    struct store_buckets buckets;
    struct store_reader *reader = store_reader_new(store);
    struct store_span span = {id, midnight - DAY_MS, midnight};
    arena_init(&arena, (size_t)1 << 24);
    assert_int_equal(store_read_buckets(reader, (struct store_tier_span){span, .tier = STORE_1H},
                                        &arena, &buckets, &err),
                     0);
    assert_int_equal(buckets.count, 24);
    assert_int_equal(buckets.last_ms[23], midnight);
    arena_release(&arena);
    store_reader_free(reader);
    store_close(store);
}

int main(void)
{
    srand48(7);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(rules_decide_what_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_past_its_rule_is_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(series_without_data_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(the_oldest_days_make_room, setup, teardown),
        cmocka_unit_test_setup_teardown(a_day_that_waits_keeps_the_next_one, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
