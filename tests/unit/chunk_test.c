/* chunk: round trips of whole chunks, their summaries, and refusal of damaged bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <xxhash.h>

#include "storage/code/chunk.h"
#include "storage/code/histogram_code.h"
#include "tests/unit/shape_fixture.h"

/* --- chunks of values --- */

static size_t random_times(int64_t *times, size_t count)
{
    bool jitter = lrand48() % 2, gaps = lrand48() % 2;
    times[0] = 1700000000000 + lrand48() % 100000;
    for (size_t i = 1; i < count; i++)
        times[i] = times[i - 1] + (jitter ? 1 + lrand48() % 20000 : 10000) +
                   (gaps && lrand48() % 20 == 0 ? 3600000 : 0);
    return count;
}

static void assert_summary(const struct chunk_summary *summary, const double *values, size_t count)
{
    size_t seen = 0, falls = 0;
    double first = 0, last = 0, min = NAN, max = NAN, drop = 0;
    for (size_t i = 0; i < count; i++) {
        if (is_stale_nan(values[i]))
            continue;
        falls += seen && values[i] < last;
        drop += seen && values[i] < last ? last : 0;
        first = seen++ ? first : values[i];
        last = values[i];
        min = values[i] < min || isnan(min) ? values[i] : min; /* fmin minds signalling NaNs */
        max = values[i] > max || isnan(max) ? values[i] : max;
    }
    assert_int_equal(summary->count, seen);
    if (seen == 0)
        return;
    assert_true(double_bits(first) == double_bits(summary->first));
    assert_true(double_bits(last) == double_bits(summary->last));
    assert_true(min == summary->min || (isnan(min) && isnan(summary->min)));
    assert_true(max == summary->max || (isnan(max) && isnan(summary->max)));
    assert_true(drop == summary->drop || (isnan(summary->drop) && falls > 1));
}

/* What is read of a window is what lies in it of the whole. */
static void window_round_trip(const struct chunk *chunk, const int64_t *times, const double *values)
{
    static int64_t times_back[CHUNK_SAMPLES_MAX];
    static double values_back[CHUNK_SAMPLES_MAX];
    size_t count = chunk->count, from = (size_t)lrand48() % count;
    size_t to = from + (size_t)lrand48() % (count - from + 1);
    int64_t early = lrand48() % 2, start_ms = times[from] - early;
    int64_t end_ms = to ? times[to - 1] + lrand48() % 2 : start_ms - 1;
    if (early && from && times[from - 1] == start_ms)
        from--;
    if (to && to < count && times[to] == end_ms)
        to++;
    struct part part;
    assert_true(chunk_times_within(chunk, start_ms, end_ms, times_back, &part));
    assert_int_equal(part.count, count);
    assert_int_equal(part.to - part.from, to > from ? to - from : 0);
    if (to <= from)
        return;
    assert_int_equal(part.from, from);
    assert_true(chunk_values_of(chunk, part, values_back));
    assert_memory_equal(times + from, times_back, (to - from) * sizeof *times);
    assert_memory_equal(values + from, values_back, (to - from) * sizeof *values);
}

static void chunk_round_trip(struct buffer *bytes, const int64_t *times, const double *values,
                             size_t count)
{
    static int64_t times_back[CHUNK_SAMPLES_MAX];
    static double values_back[CHUNK_SAMPLES_MAX];
    struct chunk chunk;
    buffer_reset(bytes);
    chunk_append_values(bytes, times, values, count);
    assert_true(chunk_open(buffer_slice(bytes), times[0], &chunk));
    assert_int_equal(chunk.count, count);
    assert_true(chunk.start_ms == times[0] && chunk.end_ms == times[count - 1]);
    assert_true(chunk_times(&chunk, times_back) && chunk_values(&chunk, values_back));
    assert_memory_equal(times, times_back, count * sizeof *times);
    assert_memory_equal(values, values_back, count * sizeof *values);
    for (int i = 0; i < 4; i++)
        window_round_trip(&chunk, times, values);
    assert_summary(&chunk.summary, values, count);
}

static void chunks_of_values_round_trip(void **state)
{
    (void)state;
    static int64_t times[CHUNK_SAMPLES_MAX];
    static double values[CHUNK_SAMPLES_MAX];
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    for (int round = 0; round < 2000; round++) {
        size_t most = round % 50 ? 400 : CHUNK_SAMPLES_MAX;
        size_t count = random_times(times, 1 + (size_t)lrand48() % most);
        fill(values, count, (enum shape)(round % SHAPES), round % 3 ? 0 : 16);
        chunk_round_trip(&bytes, times, values, count);
    }
    buffer_release(&bytes);
}

/* What a counter rose by can be told without its samples. */
static void a_reset_is_in_the_summary(void **state)
{
    (void)state;
    const int64_t times[] = {1000, 2000, 3000, 4000, 5000};
    const double values[] = {5, 9, stale_nan(), 2, 4};
    struct buffer bytes;
    struct chunk chunk;
    buffer_init(&bytes, SIZE_MAX);
    chunk_append_values(&bytes, times, values, 5);
    assert_true(chunk_open(buffer_slice(&bytes), 1000, &chunk));
    assert_true(chunk.summary.drop == 9 && chunk.summary.count == 4);
    size_t len = bytes.len;
    buffer_reset(&bytes);
    chunk_append_values(&bytes, times, values, 2);
    assert_true(bytes.len + 8 < len); /* costs nothing where there is none */
    assert_true(chunk_open(buffer_slice(&bytes), 1000, &chunk) && chunk.summary.drop == 0);
    buffer_release(&bytes);
}

/* A gauge's summary was the same in version 1, the checksum was not. */
static void chunks_of_version_one_are_read(void **state)
{
    (void)state;
    int64_t times[100];
    double values[100], back[100];
    struct buffer bytes;
    struct chunk chunk;
    buffer_init(&bytes, SIZE_MAX);
    random_times(times, 100);
    fill(values, 100, SHAPE_DECIMAL, 0);
    chunk_append_values(&bytes, times, values, 100);
    uint32_t sum = (uint32_t)XXH3_64bits(bytes.at + 6, bytes.len - 6);
    bytes.at[0] = 1;
    memcpy(bytes.at + 2, &sum, sizeof sum);
    assert_true(chunk_open(buffer_slice(&bytes), times[0], &chunk) && chunk_values(&chunk, back));
    assert_memory_equal(values, back, sizeof back);
    assert_true(isnan(chunk.summary.drop));
    buffer_release(&bytes);
}

static void a_flipped_bit_is_noticed(void **state)
{
    (void)state;
    int64_t times[100];
    double values[100];
    struct buffer bytes;
    struct chunk chunk;
    buffer_init(&bytes, SIZE_MAX);
    random_times(times, 100);
    fill(values, 100, SHAPE_DECIMAL, 0);
    chunk_append_values(&bytes, times, values, 100);
    for (size_t bit = 0; bit < bytes.len * 8; bit++) {
        bytes.at[bit / 8] ^= (char)(1 << bit % 8);
        assert_false(chunk_open(buffer_slice(&bytes), times[0], &chunk));
        bytes.at[bit / 8] ^= (char)(1 << bit % 8);
    }
    assert_true(chunk_open(buffer_slice(&bytes), times[0], &chunk));
    buffer_release(&bytes);
}

/* Guards the point of it all: bytes a sample on shapes statsd produces. */
static void usual_shapes_are_small(void **state)
{
    (void)state;
    static const struct {
        enum shape shape;
        size_t bytes_max; /* of a chunk of 360 samples */
    } rows[] = {{SHAPE_CONST, 30},
                {SHAPE_INT, 480},
                {SHAPE_COUNTER, 320},
                {SHAPE_DECIMAL, 820},
                {SHAPE_FULL, 2800}};
    int64_t times[360];
    double values[360];
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    for (size_t i = 0; i < 360; i++)
        times[i] = 1700000000000 + (int64_t)i * 10000;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fill(values, 360, rows[i].shape, 0);
        buffer_reset(&bytes);
        chunk_append_values(&bytes, times, values, 360);
        assert_in_range(bytes.len, 1, rows[i].bytes_max);
    }
    buffer_release(&bytes);
}

/* --- histograms --- */

/* A cumulative series with resets, fractional weights, negative values and stale markers. */
static void random_histograms(struct arena *arena, const struct histogram **at, size_t count)
{
    struct histogram running;
    histogram_init(&running);
    running.schema = (int)(lrand48() % 8);
    int schema = running.schema;
    for (size_t i = 0; i < count; i++) {
        if (lrand48() % 100 == 0) {
            histogram_reset(&running);
            running.schema = schema;
        }
        running.min = running.max = NAN;
        for (long n = lrand48() % 4 ? lrand48() % 30 : 0; n; n--)
            histogram_add(&running, exp(drand48() * 6) * (lrand48() % 5 ? 1 : -1),
                          lrand48() % 3 ? 1 : 1 / 0.3);
        at[i] = lrand48() % 40 ? histogram_copy(arena, &running) : NULL;
    }
    histogram_release(&running);
}

static void assert_same(const struct histogram *a, const struct histogram *b)
{
    assert_true(!a == !b);
    if (a)
        assert_true(histogram_equal(a, b) && double_bits(a->sum) == double_bits(b->sum));
}

static void chunks_of_histograms_round_trip(void **state)
{
    (void)state;
    const struct histogram *at[200], *back[200];
    int64_t times[200];
    struct arena arena;
    struct buffer bytes;
    struct chunk chunk;
    arena_init(&arena, (size_t)1 << 28);
    buffer_init(&bytes, SIZE_MAX);
    for (int round = 0; round < 60; round++) {
        arena_reset(&arena);
        buffer_reset(&bytes);
        size_t count = random_times(times, 1 + (size_t)(lrand48() % 200));
        random_histograms(&arena, at, count);
        assert_true(chunk_histograms_fit(at, count));
        chunk_append_histograms(&bytes, times, at, count);
        assert_true(chunk_open(buffer_slice(&bytes), times[0], &chunk) && chunk.histograms);
        assert_true(chunk_histograms(&chunk, &arena, back));
        for (size_t i = 0; i < count; i++)
            assert_same(at[i], back[i]);
        size_t from = (size_t)lrand48() % count, to = from + (size_t)lrand48() % (count - from + 1);
        assert_true(chunk_histograms_of(&chunk, (struct part){count, from, to}, &arena, back));
        for (size_t i = from; i < to; i++)
            assert_same(at[i], back[i - from]);
    }
    buffer_release(&bytes);
    arena_release(&arena);
}

static void unlike_histograms_do_not_fit(void **state)
{
    (void)state;
    struct histogram a, b;
    histogram_init(&a);
    histogram_init(&b);
    const struct histogram *const both[] = {&a, NULL, &b};
    assert_true(chunk_histograms_fit(both, 3));
    b.schema--;
    assert_false(chunk_histograms_fit(both, 3));
    b.schema++;
    b.zero_threshold = 1;
    assert_false(chunk_histograms_fit(both, 3));
}

static void histogram_codes_round_trip(void **state)
{
    (void)state;
    const struct histogram *at[300];
    struct arena arena;
    struct buffer bytes;
    struct histogram running;
    arena_init(&arena, (size_t)1 << 28);
    buffer_init(&bytes, SIZE_MAX);
    for (int round = 0; round < 30; round++) {
        arena_reset(&arena);
        buffer_reset(&bytes);
        random_histograms(&arena, at, 300);
        const struct histogram *known = NULL;
        for (size_t i = 0; i < 300; i++) {
            if (!at[i]) {
                histogram_code_append_stale(&bytes);
                continue;
            }
            histogram_code_append(&bytes, at[i], known);
            known = at[i];
        }
        histogram_init(&running);
        struct slice rest = buffer_slice(&bytes);
        for (size_t i = 0; i < 300; i++) {
            bool stale;
            assert_true(histogram_code_cut(&rest, &running, &stale));
            assert_true(stale == !at[i]);
            if (at[i])
                assert_same(at[i], &running);
        }
        assert_int_equal(rest.len, 0);
        histogram_release(&running);
    }
    buffer_release(&bytes);
    arena_release(&arena);
}

int main(void)
{
    srand48(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_of_values_round_trip),
        cmocka_unit_test(a_reset_is_in_the_summary),
        cmocka_unit_test(chunks_of_version_one_are_read),
        cmocka_unit_test(a_flipped_bit_is_noticed),
        cmocka_unit_test(usual_shapes_are_small),
        cmocka_unit_test(chunks_of_histograms_round_trip),
        cmocka_unit_test(unlike_histograms_do_not_fit),
        cmocka_unit_test(histogram_codes_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
