/* rewrite: a day taken out and put back is the same day, whatever lies in it. */
#include "tests/unit/store_fixture.h"

#include "storage/code/chunk.h"
#include "storage/key.h"
#include "storage/rewrite.h"
#include "storage/store_state.h"

#define DAY      19676 /* the day after that of START_MS */
#define DAY_MS   ((int64_t)86400000)
#define DAY_FROM ((int64_t)DAY * DAY_MS)

static struct arena arena;

static void write_series(struct store *store, uint32_t *ids, int64_t count, int64_t step_ms)
{
    struct store_batch *batch = store_batch_new(store);
    struct histogram histogram;
    struct error err;
    histogram_init(&histogram);
    ids[0] = intern(batch, "m", 0, SERIES_GAUGE);
    ids[1] = intern(batch, "h", 1, SERIES_HISTOGRAM);
    for (int64_t i = 0; i < count; i++) {
        store_batch_value(batch, ids[0], DAY_FROM + i * step_ms, (double)(i % 17) / 10);
        histogram_add(&histogram, (double)(i % 7) + 1, 1);
        if (i % 50 == 49)
            store_batch_value(batch, ids[1], DAY_FROM + i * step_ms, stale_nan());
        else
            store_batch_histogram(batch, ids[1], DAY_FROM + i * step_ms, &histogram);
    }
    commit(store, batch);
    assert_int_equal(store_seal(store, &err), 0);
    histogram_release(&histogram);
    store_batch_free(batch);
}

static const void *copy(const void *from, size_t bytes)
{
    return from ? memcpy(arena_alloc(&arena, bytes), from, bytes) : NULL;
}

/* Copied, for the reader's own arrays hold only what it has read last. */
static struct store_column read_all(struct store_reader *reader, uint32_t id)
{
    struct store_column column;
    struct error err = {0};
    if (store_read(reader, (struct store_span){id, 0, INT64_MAX}, &arena, &column, &err))
        fail_msg("%s", err.text);
    column.times = copy(column.times, column.count * sizeof *column.times);
    column.values = copy(column.values, column.count * sizeof *column.values);
    column.histograms = copy(column.histograms, column.count * sizeof *column.histograms);
    return column;
}

static void assert_same(const struct store_column *a, const struct store_column *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->times[i], b->times[i]);
        if (a->values)
            assert_true(double_bits(a->values[i]) == double_bits(b->values[i]));
        else if (!a->histograms[i] || !b->histograms[i])
            assert_ptr_equal(a->histograms[i], b->histograms[i]);
        else
            assert_true(histogram_equal(a->histograms[i], b->histograms[i]));
    }
}

static void write_batch(struct store *store, struct kv_batch *batch, const uint32_t *ids,
                        size_t count)
{
    struct error err;
    partitions_stage(&store->partitions, store->kv, batch);
    assert_int_equal(kv_write(store->kv, batch, false, &err), 0);
    pthread_rwlock_wrlock(&store->lock);
    partitions_saved(&store->partitions);
    rewrite_publish(store, ids, count);
    pthread_rwlock_unlock(&store->lock);
}

static struct day_samples load(struct store *store, uint32_t id)
{
    struct day_samples samples;
    struct error err = {0};
    if (rewrite_load(store, (struct rewrite_day){id, DAY}, &arena, &samples, &err))
        fail_msg("%s", err.text);
    return samples;
}

static void a_day_becomes_fewer_chunks(void **state)
{
    (void)state;
    struct store *store = open_store();
    struct store_reader *reader = store_reader_new(store);
    struct kv_batch *batch = kv_batch_new();
    uint32_t ids[2];
    write_series(store, ids, 1000, 80000);
    struct store_column before[2] = {read_all(reader, ids[0]), read_all(reader, ids[1])};
    for (int i = 0; i < 2; i++) {
        struct rewrite_day at = {ids[i], DAY};
        struct day_samples samples = load(store, ids[i]);
        assert_int_equal(samples.count, 1000);
        assert_int_equal(samples.chunks, 50);
        assert_true(rewrite_stage_smaller(store, batch, at, &samples));
        write_batch(store, batch, &ids[i], 1);
        /* the reader of before sees the day whole, though its chunks are others now */
        struct store_column after = read_all(reader, ids[i]);
        assert_same(&after, &before[i]);
        struct day_samples again = load(store, ids[i]);
        assert_int_equal(again.count, 1000);
        assert_int_equal(again.chunks, 1);
        assert_true(again.bytes < samples.bytes * 97 / 100);
        assert_false(rewrite_stage_smaller(store, batch, at, &again));
        assert_true(kv_batch_is_empty(batch));
    }
    kv_batch_free(batch);
    store_reader_free(reader);
    store_close(store);
    store = open_store();
    reader = store_reader_new(store);
    struct store_column reopened = read_all(reader, ids[1]);
    assert_same(&reopened, &before[1]);
    store_reader_free(reader);
    store_close(store);
}

static void changed_samples_take_the_place_of_the_old(void **state)
{
    (void)state;
    struct store *store = open_store();
    struct store_reader *reader = store_reader_new(store);
    struct kv_batch *batch = kv_batch_new();
    uint32_t ids[2];
    write_series(store, ids, 100, 1000);
    partitions_get(&store->partitions, DAY)->closed = true;
    partitions_get(&store->partitions, DAY - 1)->closed = true;
    roaring_bitmap_clear(partitions_get(&store->partitions, DAY - 1)->stale);
    struct day_samples samples = load(store, ids[0]);
    struct day_samples kept = samples;
    kept.times += 60;
    kept.values += 60;
    kept.count = 40;
    rewrite_stage(store, batch, (struct rewrite_day){ids[0], DAY}, &kept);
    write_batch(store, batch, ids, 1);
    struct store_column after = read_all(reader, ids[0]);
    assert_int_equal(after.count, 40);
    assert_int_equal(after.times[0], DAY_FROM + 60000);
    assert_true(roaring_bitmap_contains(partitions_get(&store->partitions, DAY)->stale, ids[0]));
    assert_true(partition_is_current(partitions_get(&store->partitions, DAY), ids[1]));
    assert_true(partition_is_current(partitions_get(&store->partitions, DAY - 1), ids[0]));
    /* and none at all */
    samples = load(store, ids[0]);
    samples.count = 0;
    rewrite_stage(store, batch, (struct rewrite_day){ids[0], DAY}, &samples);
    write_batch(store, batch, ids, 1);
    after = read_all(reader, ids[0]);
    assert_int_equal(after.count, 0);
    kv_batch_free(batch);
    store_reader_free(reader);
    store_close(store);
}

/* Puts a chunk of n values from `from` on, a second apart. */
static void put_chunk(struct store *store, struct kv_batch *batch, int64_t from, double value,
                      size_t n)
{
    struct buffer bytes;
    int64_t times[100];
    double values[100];
    for (size_t i = 0; i < n; i++) {
        times[i] = from + (int64_t)i * 1000;
        values[i] = value;
    }
    buffer_init(&bytes, SIZE_MAX);
    chunk_append_values(&bytes, times, values, n);
    struct key_bytes key = key_of_chunk((struct chunk_key){DAY, 3, (uint32_t)(from - DAY_FROM)});
    kv_batch_put(store->kv, batch, KV_CHUNK, key_slice(&key), buffer_slice(&bytes));
    buffer_release(&bytes);
}

static void overlapping_chunks_are_sorted(void **state)
{
    (void)state;
    struct store *store = open_store();
    struct kv_batch *batch = kv_batch_new();
    struct error err;
    put_chunk(store, batch, DAY_FROM + 10000, 1, 20);
    put_chunk(store, batch, DAY_FROM + 15000, 2, 4);
    put_chunk(store, batch, DAY_FROM + 18500, 3, 2);
    assert_int_equal(kv_write(store->kv, batch, false, &err), 0);
    struct day_samples samples = load(store, 3);
    assert_int_equal(samples.count, 22);
    assert_int_equal(samples.chunks, 3);
    for (size_t i = 0; i < samples.count; i++) {
        int64_t offset = samples.times[i] - DAY_FROM;
        assert_true(i == 0 || samples.times[i] > samples.times[i - 1]);
        double want = offset % 1000 ? 3 : offset >= 15000 && offset <= 18000 ? 2 : 1;
        assert_true(samples.values[i] == want);
    }
    kv_batch_free(batch);
    store_close(store);
}

static void damaged_chunks_are_told(void **state)
{
    (void)state;
    struct store *store = open_store();
    struct kv_batch *batch = kv_batch_new();
    struct error err;
    put_chunk(store, batch, DAY_FROM + 10000, 1, 20);
    put_chunk(store, batch, DAY_FROM + 50000, 2, 4);
    struct key_bytes key = key_of_chunk((struct chunk_key){DAY, 3, 10000});
    kv_batch_put(store->kv, batch, KV_CHUNK, key_slice(&key), SLICE("rubbish"));
    assert_int_equal(kv_write(store->kv, batch, false, &err), 0);
    struct day_samples samples = load(store, 3);
    assert_int_equal(samples.count, 4);
    assert_int_equal(samples.damaged, 1);
    partitions_mark(&store->partitions, 3, DAY_FROM + 50000, DAY_FROM + 53000);
    assert_false(rewrite_stage_smaller(store, batch, (struct rewrite_day){3, DAY}, &samples));
    kv_batch_free(batch);
    store_close(store);
}

static int begin(void **state)
{
    arena_init(&arena, (size_t)1 << 28);
    return setup(state);
}

static int end(void **state)
{
    arena_release(&arena);
    return teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_day_becomes_fewer_chunks, begin, end),
        cmocka_unit_test_setup_teardown(changed_samples_take_the_place_of_the_old, begin, end),
        cmocka_unit_test_setup_teardown(overlapping_chunks_are_sorted, begin, end),
        cmocka_unit_test_setup_teardown(damaged_chunks_are_told, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
