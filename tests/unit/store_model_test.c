/* store_model: what is read is what was written, against plain sorted arrays: in order, late, again
 * at the same time, in long runs over what is there; through seals, merges and reopening, and beside
 * a writer that seals.
 */
#include "tests/unit/store_fixture.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>

#include "storage/base/alloc.h"
#include "storage/code/column.h"

/* --- the model: all samples of all series in plain arrays --- */

#define MODEL_SERIES  40
#define MODEL_SAMPLES 60000
#define MODEL_LATE_MS (3 * (int64_t)86400000)

struct model_series {
    uint32_t id;
    enum series_kind kind;
    size_t count;
    int64_t *times; /* ascending */
    double *values;
    const struct histogram **histograms;
    uint32_t *sketches; /* what the sketch of a set is made from; 0: it has none */
    double last;
    struct histogram running;
};

struct model {
    struct model_series series[MODEL_SERIES];
    struct arena arena;
    int64_t now_ms;
};

static struct model *model_new(void)
{
    struct model *model = alloc_zeroed(1, sizeof *model);
    arena_init(&model->arena, (size_t)1 << 30);
    model->now_ms = START_MS;
    for (size_t i = 0; i < MODEL_SERIES; i++) {
        struct model_series *series = &model->series[i];
        series->kind = (enum series_kind)(1 + i % 4);
        series->times = alloc_zeroed(MODEL_SAMPLES, sizeof *series->times);
        series->values = alloc_zeroed(MODEL_SAMPLES, sizeof *series->values);
        series->histograms = alloc_zeroed(MODEL_SAMPLES, sizeof *series->histograms);
        series->sketches = alloc_zeroed(MODEL_SAMPLES, sizeof *series->sketches);
        histogram_init(&model->series[i].running);
    }
    return model;
}

static void model_free(struct model *model)
{
    for (size_t i = 0; i < MODEL_SERIES; i++) {
        histogram_release(&model->series[i].running);
        free(model->series[i].times);
        free(model->series[i].values);
        free(model->series[i].histograms);
        free(model->series[i].sketches);
    }
    arena_release(&model->arena);
    free(model);
}

static double model_value(const struct model_series *series, size_t shape)
{
    double last = series->last;
    if (lrand48() % 50 == 0)
        return stale_nan();
    switch (shape % 5) {
    case 0:
        return 7;
    case 1:
        return (isnan(last) ? 0 : last) + (double)(lrand48() % 5);
    case 2:
        return (double)(lrand48() % 1000) / 100;
    case 3:
        return drand48();
    }
    return lrand48() % 10 ? (double)(lrand48() % 3) : -0.0;
}

/* NULL now and then: a stale marker. Sometimes the series begins again, with wider buckets. */
static const struct histogram *model_histogram(struct model *model, struct model_series *series)
{
    if (lrand48() % 100 == 0) {
        histogram_reset(&series->running);
        series->running.schema = (int)(lrand48() % 7);
    }
    series->running.min = series->running.max = NAN;
    for (long i = lrand48() % 6; i; i--)
        histogram_add(&series->running, exp(drand48() * 5), 1);
    return lrand48() % 30 ? histogram_copy(&model->arena, &series->running) : NULL;
}

/* The sketch of that number: a few members mostly, now and then too many to hold one by one. */
static void model_sketch(uint32_t number, struct sketch *out)
{
    uint32_t members = number % 200 ? number % 12 : 600 + number % 1000;
    sketch_reset(out);
    for (uint32_t i = 0; i < members; i++)
        sketch_add(out, slice_make(&(uint32_t){number + i}, sizeof number));
}

/* The place of a sample at this time, made if there is none. */
static size_t model_place(struct model_series *series, int64_t time_ms)
{
    size_t place = series->count;
    while (place && series->times[place - 1] >= time_ms)
        place--;
    if (place < series->count && series->times[place] == time_ms)
        return place;
    assert_true(series->count < MODEL_SAMPLES);
    size_t behind = series->count++ - place;
    memmove(series->times + place + 1, series->times + place, behind * sizeof *series->times);
    memmove(series->values + place + 1, series->values + place, behind * sizeof *series->values);
    memmove(series->histograms + place + 1, series->histograms + place,
            behind * sizeof *series->histograms);
    memmove(series->sketches + place + 1, series->sketches + place,
            behind * sizeof *series->sketches);
    series->times[place] = time_ms;
    return place;
}

static void model_put_sketch(struct model_series *series, size_t place, int64_t time_ms,
                             struct store_batch *batch)
{
    struct sketch sketch;
    sketch_init(&sketch);
    series->sketches[place] = 1 + (uint32_t)lrand48() % 100000;
    model_sketch(series->sketches[place], &sketch);
    series->values[place] = sketch_estimate(&sketch);
    store_batch_sketch(batch, series->id, time_ms, &sketch);
    sketch_release(&sketch);
}

/* One more sample, to the model and to the batch. Those of a set are now and then numbers, as all
 * those in stores of before are. */
static void model_put(struct model *model, size_t i, int64_t time_ms, struct store_batch *batch)
{
    struct model_series *series = &model->series[i];
    size_t place = model_place(series, time_ms);
    series->sketches[place] = 0;
    if (series->kind == SERIES_SET && i % 16 == 3 && lrand48() % 8) {
        model_put_sketch(series, place, time_ms, batch);
        return;
    }
    if (series->kind != SERIES_HISTOGRAM) {
        series->last = series->values[place] = model_value(series, i);
        store_batch_value(batch, series->id, time_ms, series->values[place]);
        return;
    }
    series->histograms[place] = model_histogram(model, series);
    if (series->histograms[place])
        store_batch_histogram(batch, series->id, time_ms, series->histograms[place]);
    else
        store_batch_value(batch, series->id, time_ms, stale_nan());
}

/* One late sample: a little, or days; where there is one, or between two. */
static void model_put_late(struct model *model, size_t i, struct store_batch *batch)
{
    const struct model_series *series = &model->series[i];
    int64_t time_ms = model->now_ms - lrand48() % (lrand48() % 2 ? 100000 : MODEL_LATE_MS);
    if (series->count && lrand48() % 3 == 0)
        time_ms = series->times[(size_t)lrand48() % series->count];
    model_put(model, i, time_ms, batch);
}

/* A run long enough to become chunks at once: old, or up to now and beyond; even or not; in order,
 * backwards, or with times twice. */
static void model_put_run(struct model *model, size_t i, struct store_batch *batch)
{
    int64_t step = 1 + lrand48() % 60000, start = model->now_ms - lrand48() % MODEL_LATE_MS;
    long count = 100 + lrand48() % 400, shape = lrand48() % 4;
    if (shape == 3) /* ends about now */
        start = model->now_ms - (count - 2) * step;
    for (long k = 0; k < count; k++) {
        int64_t place = shape == 1 ? count - k : shape == 2 ? lrand48() % count : k;
        model_put(model, i, start + place * step, batch);
    }
}

static void model_tick(struct model *model, struct store *store)
{
    struct store_batch *batch = store_batch_new(store);
    model->now_ms += lrand48() % 10 ? 10000 : lrand48() % 7000000;
    clock_set_ms(model->now_ms);
    for (size_t i = 0; i < MODEL_SERIES; i++) {
        if (lrand48() % 10 < (long)(i % 3))
            continue;
        model->series[i].id = intern(batch, "m", (int)i, model->series[i].kind);
        if (lrand48() % 500 == 0)
            model_put_run(model, i, batch);
        if (i % 7 == 0) /* several a tick */
            model_put(model, i, model->now_ms - 5000 - lrand48() % 1000, batch);
        if (lrand48() % 8 == 0)
            model_put_late(model, i, batch);
        model_put(model, i, model->now_ms - (i % 5 == 0 ? lrand48() % 900 : 0), batch);
        if (lrand48() % 16 == 0)
            model_put_late(model, i, batch);
        if (lrand48() % 1000 == 0)
            model_put_run(model, i, batch);
    }
    commit(store, batch);
    store_batch_free(batch);
}

static void assert_column(const struct model_series *series, size_t from, size_t to,
                          const struct store_column *column)
{
    assert_int_equal(column->count, to - from);
    for (size_t i = 0; i < column->count; i++) {
        assert_true(column->times[i] == series->times[from + i]);
        if (series->kind != SERIES_HISTOGRAM) {
            assert_true(double_bits(column->values[i]) == double_bits(series->values[from + i]));
            continue;
        }
        const struct histogram *want = series->histograms[from + i], *got = column->histograms[i];
        assert_true(!want == !got);
        assert_true(!want || histogram_equal(want, got));
    }
}

static void assert_sketches(const struct model_series *series, size_t from,
                            const struct store_column *column)
{
    struct sketch sketch;
    struct buffer code;
    sketch_init(&sketch);
    buffer_init(&code, SKETCH_CODE_MAX);
    for (size_t i = 0; i < column->count; i++) {
        struct slice got = column->sketches ? column->sketches[i] : SLICE("");
        buffer_reset(&code);
        if (series->sketches[from + i]) {
            model_sketch(series->sketches[from + i], &sketch);
            sketch_encode(&sketch, &code);
        }
        assert_true(slice_equal(got, buffer_slice(&code)));
    }
    buffer_release(&code);
    sketch_release(&sketch);
}

static void check_last(const struct model_series *series, struct store *store, struct arena *arena)
{
    double value = 0;
    const struct histogram *histogram = NULL;
    size_t i = series->count;
    while (i && (series->kind == SERIES_HISTOGRAM ? !series->histograms[i - 1]
                                                  : is_stale_nan(series->values[i - 1])))
        i--;
    assert_true(store_last(store, series->id, arena, &value, &histogram) == (i > 0));
    if (i && series->kind == SERIES_HISTOGRAM)
        assert_true(histogram_equal(histogram, series->histograms[i - 1]));
    else if (i)
        assert_true(double_bits(value) == double_bits(series->values[i - 1]));
}

/* Every series whole, a random part of each, and the newest sample. */
static void model_check(const struct model *model, struct store *store, struct store_reader *reader)
{
    struct arena arena;
    struct store_column column;
    struct error err = {0};
    struct store_reader *sketched = store_reader_new(store);
    store_reader_want_sketches(sketched, true);
    arena_init(&arena, (size_t)1 << 30);
    for (size_t i = 0; i < MODEL_SERIES; i++) {
        const struct model_series *series = &model->series[i];
        if (series->count == 0)
            continue;
        arena_reset(&arena);
        if (store_read(reader, (struct store_span){series->id, INT64_MIN, INT64_MAX}, &arena,
                       &column, &err))
            fail_msg("%s", err.text);
        assert_column(series, 0, series->count, &column);
        size_t from = (size_t)lrand48() % series->count;
        size_t to = from + (size_t)lrand48() % (series->count - from);
        int64_t start = series->times[from] - (from ? lrand48() % 2 : 0);
        if (from && start == series->times[from - 1])
            start++;
        assert_int_equal(store_read(reader,
                                    (struct store_span){series->id, start, series->times[to]},
                                    &arena, &column, &err),
                         0);
        assert_column(series, from, to + 1, &column);
        assert_null(column.sketches);
        assert_int_equal(store_read(sketched,
                                    (struct store_span){series->id, start, series->times[to]},
                                    &arena, &column, &err),
                         0);
        assert_column(series, from, to + 1, &column);
        assert_sketches(series, from, &column);
        check_last(series, store, &arena);
    }
    store_reader_free(sketched);
    arena_release(&arena);
}

/* Nothing arrives for hours: stragglers are sealed, then the head gives up their entries. */
static void model_rest(struct model *model, struct store *store)
{
    struct error err = {0};
    for (int hour = 0; hour < 6; hour++) {
        model->now_ms += 3600000;
        clock_set_ms(model->now_ms);
        assert_int_equal(store_maintain(store, model->now_ms, &err), 0);
    }
}

static void reads_what_was_written(void **state)
{
    (void)state;
    struct model *model = model_new();
    struct store *store = open_store();
    struct store_reader *reader = store_reader_new(store);
    struct error err = {0};
    for (int tick = 0; tick < 700; tick++) {
        model_tick(model, store);
        if (lrand48() % 3 == 0)
            assert_int_equal(store_maintain(store, model->now_ms, &err), 0);
        if (lrand48() % 20 == 0)
            model_rest(model, store);
        if (lrand48() % 40 == 0)
            model_check(model, store, reader);
        if (lrand48() % 150 == 0)
            assert_int_equal(store_seal(store, &err), 0);
        if (lrand48() % 40 == 0) {
            store_reader_free(reader);
            store_close(store);
            store = open_store();
            reader = store_reader_new(store);
            model_check(model, store, reader);
        }
    }
    model_check(model, store, reader);
    store_reader_free(reader);
    store_close(store);
    model_free(model);
}

/* --- readers beside the writer --- */

#define SHARED_SERIES 20
#define SHARED_TICKS  600

struct shared {
    struct store *store;
    uint32_t ids[SHARED_SERIES];
    _Atomic int64_t committed; /* ticks */
    _Atomic int64_t reads;
};

/* Every third gap is longer than the others. */
static int64_t shared_time(int64_t tick)
{
    return START_MS + (tick + tick / 3) * 1000;
}

/* Each column must be whole: the ticks from 0 on, none missing, none twice. */
static void assert_whole(const struct store_column *column, int64_t at_least)
{
    assert_true((int64_t)column->count >= at_least);
    for (size_t i = 0; i < column->count; i++)
        if (column->times[i] != shared_time((int64_t)i) || column->values[i] != (double)(i / 3))
            fail_msg("sample %zu is out of place", i);
}

static void *read_for_ever(void *arg)
{
    struct shared *shared = arg;
    struct arena arena;
    struct error err;
    arena_init(&arena, (size_t)1 << 26);
    while (atomic_load(&shared->committed) < SHARED_TICKS) {
        struct store_reader *reader = store_reader_new(shared->store);
        for (int i = 0; i < SHARED_SERIES * 3; i++) {
            struct store_column column;
            int64_t at_least = atomic_load(&shared->committed);
            uint32_t id = shared->ids[i % SHARED_SERIES];
            arena_reset(&arena);
            assert_int_equal(
                store_read(reader, (struct store_span){id, 0, INT64_MAX}, &arena, &column, &err),
                0);
            assert_whole(&column, at_least);
            atomic_fetch_add(&shared->reads, 1);
        }
        store_reader_free(reader);
    }
    arena_release(&arena);
    return NULL;
}

static void readers_see_every_sample_once_while_chunks_are_sealed(void **state)
{
    (void)state;
    struct error err;
    struct shared *shared = alloc_zeroed(1, sizeof *shared);
    shared->store = open_with((struct store_options){.chunk_samples = 4});
    struct store_batch *batch = store_batch_new(shared->store);
    pthread_t threads[2];
    for (int i = 0; i < SHARED_SERIES; i++)
        shared->ids[i] = intern(batch, "m", i, SERIES_COUNTER);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_for_ever, shared), 0);
    for (int64_t tick = 0; tick < SHARED_TICKS; tick++) {
        for (int i = 0; i < SHARED_SERIES; i++)
            store_batch_value(batch, shared->ids[i], shared_time(tick), (double)(tick / 3));
        commit(shared->store, batch);
        atomic_store(&shared->committed, tick + 1);
        assert_int_equal(store_maintain(shared->store, shared_time(tick), &err), 0);
    }
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_true(atomic_load(&shared->reads) > 0);
    store_batch_free(batch);
    store_close(shared->store);
    free(shared);
}

int main(void)
{
    srand48(3);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reads_what_was_written, setup, teardown),
        cmocka_unit_test_setup_teardown(readers_see_every_sample_once_while_chunks_are_sealed,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
