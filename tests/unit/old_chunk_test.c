/* old_chunk: chunks as version 2 wrote them, before long columns had blocks, are read whole and in part.
 *
 * tests/unit/chunks_v2.bin has, for each row below, a varint length and the chunk, written by that version's
 * encoder from the same samples: splits of all kinds, with and without escapes, runs, quotients with
 * and without exceptions, times that are listed, histograms.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "bench/dataset.h"
#include "storage/code/chunk.h"
#include "storage/store.h"

#define OLD_CHUNKS     "tests/unit/chunks_v2.bin"
#define OLD_BYTES_MAX  (1 << 16)
#define START_MS       INT64_C(1700006400000)
#define COUNT_MAX      4320
#define HISTOGRAMS     1100
#define OUTLIER_ONE_IN 97
#define STALE_ONE_IN   211

/* Samples of the data set (bench/dataset.h). */
static const struct row {
    enum dataset_class class;
    size_t count;
    bool outliers; /* far from the others */
    bool stale;    /* markers among them, and times off the grid */
} rows[] = {
    {DATASET_BUSY_COUNTER, 1100, false, false}, {DATASET_BUSY_COUNTER, 1300, true, true},
    {DATASET_COUNT_GAUGE, 1100, false, false},  {DATASET_COUNT_GAUGE, 1024, true, true},
    {DATASET_DECIMAL_GAUGE, 1100, true, false}, {DATASET_TIMER, 1030, false, true},
    {DATASET_INT_GAUGE, 2000, false, false},    {DATASET_SPARSE_COUNTER, 4320, false, false},
    {DATASET_DOUBLE, 1024, false, false},       {DATASET_DOUBLE, 1024, false, true},
    {DATASET_CONSTANT, 4320, false, false},
};
#define ROWS (sizeof rows / sizeof *rows)

static int64_t times[COUNT_MAX];
static double values[COUNT_MAX];

static void make_samples(const struct row *row)
{
    size_t series = 0;
    while (dataset_class_of(series) != row->class)
        series++;
    dataset_fill(series, values, row->count);
    for (size_t i = 0; i < row->count; i++) {
        times[i] = START_MS + (int64_t)(i * DATASET_STEP_MS + (row->stale ? i * 7919 % 1300 : 0));
        if (row->outliers && i % OUTLIER_ONE_IN == 5)
            values[i] += 1e9;
        if (row->stale && i % STALE_ONE_IN == 7)
            values[i] = stale_nan();
    }
}

/* One observation in a minute. */
static void make_histograms(struct arena *arena, const struct histogram **out)
{
    struct histogram running;
    histogram_init(&running);
    for (size_t tick = 0; tick < HISTOGRAMS; tick++) {
        times[tick] = START_MS + (int64_t)tick * DATASET_STEP_MS;
        if (tick % 6 == 0)
            dataset_observe(3, tick, 1, &running);
        out[tick] = tick % STALE_ONE_IN == 7 ? NULL : histogram_copy(arena, &running);
    }
    histogram_release(&running);
}

/* --- reading --- */

static char bytes[OLD_BYTES_MAX];

static struct slice read_file(void)
{
    FILE *file = fopen(OLD_CHUNKS, "rb");
    assert_non_null(file);
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_in_range(len, 1, sizeof bytes - 1);
    return slice_make(bytes, len);
}

/* The old chunk, of which the start is known. */
static struct chunk next_chunk(struct slice *rest)
{
    struct slice code;
    struct chunk chunk;
    assert_true(bytes_cut_prefixed(rest, &code));
    assert_int_equal(code.at[0], 2);
    assert_true(chunk_open(code, START_MS, &chunk));
    return chunk;
}

static void assert_part(const struct chunk *chunk, size_t from, size_t to)
{
    static int64_t times_back[CHUNK_SAMPLES_MAX];
    static double values_back[CHUNK_SAMPLES_MAX];
    struct part part;
    assert_true(chunk_times_within(chunk, times[from], times[to - 1], times_back, &part));
    assert_true(part.from == from && part.to == to && part.count == chunk->count);
    assert_true(chunk_values_of(chunk, part, values_back));
    assert_memory_equal(times_back, times + from, (to - from) * sizeof *times);
    assert_memory_equal(values_back, values + from, (to - from) * sizeof *values);
}

static void old_values_are_read(void **state)
{
    (void)state;
    struct slice rest = read_file();
    for (size_t i = 0; i < ROWS; i++) {
        struct chunk chunk = next_chunk(&rest);
        make_samples(&rows[i]);
        assert_int_equal(chunk.count, rows[i].count);
        assert_part(&chunk, 0, chunk.count);
        for (size_t from = 0; from < chunk.count; from += 61)
            assert_part(&chunk, from, from + 30 < chunk.count ? from + 30 : chunk.count);
    }
}

static void old_histograms_are_read(void **state)
{
    (void)state;
    const struct histogram *known[HISTOGRAMS], *back[HISTOGRAMS];
    struct arena arena;
    struct slice rest = read_file();
    arena_init(&arena, (size_t)1 << 28);
    for (size_t i = 0; i < ROWS; i++)
        next_chunk(&rest);
    struct chunk chunk = next_chunk(&rest);
    assert_int_equal(rest.len, 0);
    make_histograms(&arena, known);
    assert_true(chunk.histograms && chunk.count == HISTOGRAMS);
    for (size_t from = 0; from < HISTOGRAMS; from += 500) {
        struct part part = {HISTOGRAMS, from, HISTOGRAMS - from / 10};
        assert_true(chunk_histograms_of(&chunk, part, &arena, back));
        for (size_t i = part.from; i < part.to; i++) {
            assert_true(!known[i] == !back[i - from]);
            assert_true(!known[i] || histogram_equal(known[i], back[i - from]));
        }
    }
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_values_are_read),
        cmocka_unit_test(old_histograms_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
