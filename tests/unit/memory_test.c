/* memory: open samples keep to their budget, and none is lost on the way. */
#include "tests/unit/store_fixture.h"

#include <math.h>

#include "storage/memory.h"

#define SERIES 1000
#define TICKS  120

static uint32_t ids[SERIES];

/* Noise, so that a sample takes nine bytes; every third series never changes. */
static double value_of(size_t series, size_t tick)
{
    return series % 3 ? sin((double)(series * TICKS + tick)) : 5;
}

static void write_ticks(struct store *store, size_t from, size_t to)
{
    struct error err = {0};
    struct store_batch *batch = store_batch_new(store);
    for (size_t tick = from; tick < to; tick++) {
        int64_t now = START_MS + (int64_t)tick * 10000;
        clock_set_ms(now);
        for (size_t i = 0; i < SERIES; i++)
            store_batch_value(batch, ids[i], now, value_of(i, tick));
        commit(store, batch);
        if (store_maintain(store, now, &err))
            fail_msg("%s", err.text);
        assert_true(head_sample_bytes(&store->head) <= store->head_bytes_max);
    }
    store_batch_free(batch);
}

static void assert_all_there(struct store *store)
{
    struct arena arena;
    struct error err = {0};
    struct store_reader *reader = store_reader_new(store);
    arena_init(&arena, (size_t)64 << 20);
    for (size_t i = 0; i < SERIES; i++) {
        struct store_column column;
        arena_reset(&arena);
        assert_int_equal(
            store_read(reader, (struct store_span){ids[i], 0, INT64_MAX}, &arena, &column, &err),
            0);
        assert_int_equal(column.count, TICKS);
        for (size_t tick = 0; tick < TICKS; tick++)
            assert_true(column.values[tick] == value_of(i, tick));
    }
    arena_release(&arena);
    store_reader_free(reader);
}

static void open_samples_keep_to_their_budget(void **state)
{
    (void)state;
    struct store_options options = {.head_bytes = 200000};
    struct store *store = open_with(options);
    struct store_batch *batch = store_batch_new(store);
    for (int i = 0; i < SERIES; i++)
        ids[i] = intern(batch, "m", i, SERIES_GAUGE);
    commit(store, batch);
    store_batch_free(batch);
    write_ticks(store, 0, TICKS / 2);
    /* Nothing is gained by sealing what takes no room. */
    assert_int_equal(head_get(&store->head, ids[0])->count, TICKS / 2);
    store_close(store);
    store = open_with(options);
    write_ticks(store, TICKS / 2, TICKS);
    assert_all_there(store);
    /* Every series had its turn: none has been open for long. */
    for (size_t i = 0; i < SERIES; i++)
        if (i % 3)
            assert_in_range(head_get(&store->head, ids[i])->count, 0, TICKS / 2);
    store_close(store);
}

static void many_new_series_are_saved_in_slices(void **state)
{
    (void)state;
    enum { MANY = 120000 };
    struct store *store = open_with((struct store_options){.series_max = MANY});
    struct store_batch *batch = store_batch_new(store);
    for (int i = 0; i < MANY; i++)
        store_batch_value(batch, intern(batch, "m", i, SERIES_GAUGE), START_MS, i);
    commit(store, batch);
    store_batch_free(batch);
    assert_int_equal(store->series.saved, MANY);
    store_close(store);
    store = open_with((struct store_options){.series_max = MANY});
    assert_int_equal(series_live(&store->series), MANY);
    assert_int_equal(store->head.samples, MANY);
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(open_samples_keep_to_their_budget, setup, teardown),
        cmocka_unit_test_setup_teardown(many_new_series_are_saved_in_slices, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
