/* close: what becomes of a day whose buckets are made, one thing at a time. The property test is
 * rollup_store_test.c.
 */
#include "tests/unit/store_fixture.h"

#include "storage/key.h"
#include "storage/merge.h"
#include "storage/store_state.h"

#define DAY_MS    ((int64_t)86400000)
#define FIRST_DAY ((START_MS / DAY_MS) * DAY_MS)

static struct store_buckets read_hours(struct store_reader *reader, uint32_t id,
                                       struct arena *arena)
{
    struct store_buckets got;
    struct error err = {0};
    struct store_span span = {id, FIRST_DAY, FIRST_DAY + 5 * DAY_MS};
    if (store_read_buckets(reader, (struct store_tier_span){span, .tier = STORE_1H}, arena, &got,
                           &err))
        fail_msg("%s", err.text);
    return got;
}

static void close_days(struct store *store)
{
    struct error err = {0};
    assert_int_equal(store_seal(store, &err), 0);
    store_close_again(store);
    assert_int_equal(store_close_some(store, clock_now_ms(), &err), 0);
}

static void put(struct store *store, uint32_t id, int64_t time_ms, double value)
{
    struct store_batch *batch = store_batch_new(store);
    store_batch_value(batch, id, time_ms, value);
    commit(store, batch);
    store_batch_free(batch);
}

static uint32_t make_series(struct store *store)
{
    struct store_batch *batch = store_batch_new(store);
    uint32_t id = intern(batch, "m", 1, SERIES_GAUGE);
    for (int i = 1; i <= 100; i++)
        store_batch_value(batch, id, FIRST_DAY + i * 60000, i);
    commit(store, batch);
    store_batch_free(batch);
    return id;
}

static void a_reader_of_before_sees_new_buckets(void **state)
{
    (void)state;
    struct arena arena;
    struct store *store = open_store();
    struct store_reader *reader = store_reader_new(store);
    arena_init(&arena, 1 << 20);
    uint32_t id = make_series(store);
    put(store, id, FIRST_DAY + DAY_MS + 60000, 1); /* a day that stays as it is */
    clock_set_ms(FIRST_DAY + 2 * DAY_MS + 3600000);
    close_days(store);
    struct store_buckets got = read_hours(reader, id, &arena);
    assert_int_equal(got.tiers, 1 << STORE_1H);
    assert_true(got.count == 3 && got.counts[0] == 60 && got.sum[0] == 1830);
    put(store, id, FIRST_DAY + 30, 5000); /* late */
    got = read_hours(reader, id, &arena);
    assert_int_equal(got.tiers, 1 << STORE_RAW | 1 << STORE_1H);
    assert_true(got.counts[0] == 61 && got.max[0] == 5000);
    assert_int_equal(store_merge_all(store, &(struct error){0}), 0);
    got =
        read_hours(reader, id, &arena); /* its snapshot now has the late sample, and old buckets */
    assert_true(got.tiers == (1 << STORE_RAW | 1 << STORE_1H) && got.max[0] == 5000);
    store_close_again(store);
    assert_int_equal(store_close_some(store, clock_now_ms(), &(struct error){0}), 0);
    got = read_hours(reader, id, &arena);
    assert_true(got.tiers == 1 << STORE_1H && got.max[0] == 5000);
    arena_release(&arena);
    store_reader_free(reader);
    store_close(store);
}

static void samples_for_a_day_that_left_do_not_replace_its_buckets(void **state)
{
    (void)state;
    struct arena arena;
    struct error err = {0};
    struct store *store = open_store();
    arena_init(&arena, 1 << 20);
    uint32_t id = make_series(store), first = partition_of(FIRST_DAY);
    put(store, id, FIRST_DAY + 3 * DAY_MS, 1);
    clock_set_ms(FIRST_DAY + 3 * DAY_MS + 7200000);
    close_days(store);
    assert_false(store_day_may_leave(store, first)); /* it has no 5m buckets yet */
    close_days(store);
    assert_true(store_day_may_leave(store, first));
    store->keep.ms[STORE_RAW] = 2 * DAY_MS;
    assert_int_equal(store_retain_some(store, FIRST_DAY + 3 * DAY_MS + 7200000, &err), 0);
    assert_null(partitions_get(&store->partitions, first));
    store->keep.ms[STORE_RAW] = 0;
    for (int round = 0; round < 4; round++) {
        if (round == 1) /* the midnight after it; amid it; and long before */
            put(store, id, FIRST_DAY + DAY_MS, 7);
        else if (round == 2)
            put(store, id, FIRST_DAY + 90000, 7);
        else if (round == 3)
            put(store, id, FIRST_DAY - 3 * DAY_MS, 7);
        close_days(store);
        struct store_reader *reader = store_reader_new(store);
        struct store_buckets got = read_hours(reader, id, &arena);
        assert_int_equal(got.count, 3);
        assert_true(got.counts[0] == 60 && got.sum[0] == 1830 && got.counts[1] == 40);
        store_reader_free(reader);
        store_close(store);
        store = open_store();
    }
    store_close(store);
    arena_release(&arena);
}

/* A series of no more than the midnight sample is in no list of the day that its bucket lies on. */
static void midnight_alone_gets_fine_buckets_too(void **state)
{
    (void)state;
    struct arena arena;
    struct error err = {0};
    struct store_buckets got;
    struct store *store =
        open_with((struct store_options){.chunk_samples = 20, .rollup_5m_after_ms = 3 * DAY_MS});
    arena_init(&arena, 1 << 20);
    put(store, make_series(store), FIRST_DAY + DAY_MS + 60000, 1);
    struct store_batch *batch = store_batch_new(store);
    uint32_t id = intern(batch, "m", 2, SERIES_GAUGE);
    store_batch_value(batch, id, FIRST_DAY + DAY_MS, 7);
    commit(store, batch);
    store_batch_free(batch);
    for (int days = 2; days <= 9; days += 7) { /* closed, then fine */
        clock_set_ms(FIRST_DAY + days * DAY_MS + 3600000);
        close_days(store);
        assert_true(store_has_rollup(store, STORE_1H, FIRST_DAY, FIRST_DAY + 2 * DAY_MS));
        assert_int_equal(store_has_rollup(store, STORE_5M, FIRST_DAY, FIRST_DAY + 2 * DAY_MS),
                         days > 3);
    }
    /* By a rule the samples of the series leave before the days of others do. */
    struct matcher matcher;
    assert_int_equal(matcher_init(&matcher, MATCH_EQUAL, SLICE("i"), SLICE("2"), &err), 0);
    struct store_retention_rule rule = {&matcher, 1, {5 * DAY_MS, 0, 0}};
    struct store_retention retention = {.rules = &rule, .rule_count = 1};
    assert_int_equal(store_set_retention(store, &retention, &err), 0);
    matcher_release(&matcher);
    assert_int_equal(store_retain_some(store, clock_now_ms(), &err), 0);
    assert_true(store->partitions.count > 0);
    struct store_reader *reader = store_reader_new(store);
    for (int tier = STORE_5M; tier < STORE_TIER_COUNT; tier++) {
        struct store_tier_span span = {{id, FIRST_DAY, FIRST_DAY + 5 * DAY_MS},
                                       .tier = (enum store_tier)tier};
        assert_int_equal(store_read_buckets(reader, span, &arena, &got, &err), 0);
        assert_int_equal(got.count, 1);
        assert_int_equal(got.end_ms[0], FIRST_DAY + DAY_MS);
        assert_true(got.counts[0] == 1 && got.first[0] == 7);
    }
    store_reader_free(reader);
    arena_release(&arena);
    store_close(store);
}

static void damage(struct store *store, struct key_bytes key)
{
    struct error err;
    struct kv_batch *batch = kv_batch_new();
    kv_batch_put(store->kv, batch, KV_CHUNK, key_slice(&key), SLICE("rubbish"));
    assert_int_equal(kv_write(store->kv, batch, false, &err), 0);
    kv_batch_free(batch);
}

static void damaged_buckets_are_computed_and_damaged_chunks_told(void **state)
{
    (void)state;
    struct arena arena;
    struct store *store = open_store();
    uint32_t day = partition_of(FIRST_DAY);
    arena_init(&arena, 1 << 20);
    uint32_t id = make_series(store);
    clock_set_ms(FIRST_DAY + DAY_MS + 3600000);
    close_days(store);
    damage(store, key_of_rollup((struct rollup_key){RESOLUTION_1H, day, id}));
    struct store_reader *reader = store_reader_new(store);
    struct store_buckets got = read_hours(reader, id, &arena);
    assert_int_equal(got.tiers, 1 << STORE_RAW);
    assert_true(got.count == 2 && got.counts[0] == 60 && got.sum[0] == 1830 && got.damaged == 0);
    store_reader_free(reader);
    /* the chunk too: it stays as it is, and the buckets made without it say so */
    damage(store, key_of_chunk((struct chunk_key){day, id, 60000}));
    put(store, id, FIRST_DAY + 7200000, 1);
    close_days(store);
    reader = store_reader_new(store);
    got = read_hours(reader, id, &arena);
    assert_int_equal(got.tiers, 1 << STORE_1H);
    assert_int_equal(got.damaged, 1);
    assert_int_equal(got.count, 1);
    store_reader_free(reader);
    store_close(store);
    arena_release(&arena);
}

static void long_windows_read_footers(void **state)
{
    (void)state;
    struct arena arena;
    struct store_buckets got;
    struct error err = {0};
    struct store *store = open_store();
    arena_init(&arena, 1 << 20);
    uint32_t id = make_series(store);
    assert_int_equal(store_seal(store, &err), 0);
    struct store_reader *reader = store_reader_new(store);
    /* all but the first 30 samples: chunks of 20, the second one cut in two */
    struct store_span span = {id, FIRST_DAY + 30 * 60000, FIRST_DAY + DAY_MS};
    assert_int_equal(store_read_pieces(reader, span, &arena, &got, &err), 0);
    uint64_t samples = 0, full = 0;
    double sum = 0;
    for (size_t i = 0; i < got.count; i++) {
        samples += got.counts[i];
        sum += got.sum[i];
        full += got.counts[i] == 20;
    }
    assert_int_equal(samples, 70);
    assert_true(sum == (31 + 100) * 35);
    assert_true(full >= 2);
    assert_int_equal(got.tiers, 1 << STORE_RAW);
    /* hidden by late samples, a footer no longer says what is there */
    put(store, id, FIRST_DAY + 70 * 60000, 0);
    assert_int_equal(store_read_pieces(reader, span, &arena, &got, &err), 0);
    sum = 0;
    for (size_t i = 0; i < got.count; i++)
        sum += got.sum[i];
    assert_true(sum == (31 + 100) * 35 - 70);
    store_reader_free(reader);
    store_close(store);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(long_windows_read_footers, setup, teardown),
        cmocka_unit_test_setup_teardown(midnight_alone_gets_fine_buckets_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reader_of_before_sees_new_buckets, setup, teardown),
        cmocka_unit_test_setup_teardown(samples_for_a_day_that_left_do_not_replace_its_buckets,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_buckets_are_computed_and_damaged_chunks_told, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
