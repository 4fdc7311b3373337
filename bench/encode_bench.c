/* encode_bench: bytes a sample of each class of the data set, by samples a chunk.
 *
 *   build/release/bench/encode_bench [SERIES]      (400 series of a day)
 *
 * Chunks with their headers, but without keys. `all` is the mixture. Then the same for timers kept as
 * histograms, where a sample is a tick.
 */
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/dataset.h"
#include "storage/base/clock.h"
#include "storage/code/chunk.h"

struct cost {
    size_t bytes, samples;
    int64_t encode_ns, decode_ns;
};

static int64_t times[DATASET_DAY_SAMPLES];
static double values[DATASET_DAY_SAMPLES];

static void add(struct cost *sum, const struct cost *cost)
{
    sum->bytes += cost->bytes;
    sum->samples += cost->samples;
    sum->encode_ns += cost->encode_ns;
    sum->decode_ns += cost->decode_ns;
}

static void measure_chunk(struct cost *cost, struct buffer *bytes, size_t from, size_t count)
{
    static int64_t times_back[CHUNK_SAMPLES_MAX];
    static double back[CHUNK_SAMPLES_MAX];
    struct chunk chunk;
    buffer_reset(bytes);
    int64_t start = clock_thread_cpu_ns();
    chunk_append_values(bytes, times + from, values + from, count);
    int64_t encoded = clock_thread_cpu_ns();
    bool sound = chunk_open(buffer_slice(bytes), times[from], &chunk) &&
                 chunk_times(&chunk, times_back) && chunk_values(&chunk, back);
    int64_t decoded = clock_thread_cpu_ns();
    assert(sound && memcmp(back, values + from, count * sizeof *back) == 0);
    add(cost, &(struct cost){bytes->len, count, encoded - start, decoded - encoded});
}

static void print(const char *name, const struct cost *cost)
{
    double samples = (double)cost->samples;
    printf("%-16s %8.4f bytes/sample   encode %6.1f ns   decode %5.2f ns\n", name,
           (double)cost->bytes / samples, (double)cost->encode_ns / samples,
           (double)cost->decode_ns / samples);
}

static void measure(size_t series, size_t chunk_samples)
{
    struct cost costs[DATASET_CLASS_COUNT] = {0}, all = {0};
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    for (size_t i = 0; i < series; i++) {
        struct cost *cost = &costs[dataset_class_of(i)];
        dataset_fill(i, values, DATASET_DAY_SAMPLES);
        for (size_t from = 0; from < DATASET_DAY_SAMPLES; from += chunk_samples)
            measure_chunk(cost, &bytes, from, chunk_samples);
    }
    printf("-- %zu samples a chunk\n", chunk_samples);
    for (int class = 0; class < DATASET_CLASS_COUNT; class ++) {
        print(dataset_class_name((enum dataset_class) class), &costs[class]);
        add(&all, &costs[class]);
    }
    print("all", &all);
    buffer_release(&bytes);
}

/* --- histograms --- */

static const struct {
    const char *name;
    size_t observations; /* in a tick */
    size_t every;        /* ticks */
} timers[] = {
    {"100 a tick", 100, 1}, {"10 a tick", 10, 1}, {"1 in a minute", 1, 6}, {"silent", 0, 1}};

/* A day of one timer; returns how many buckets an average tick changes. */
static double fill_histograms(size_t timer, struct arena *arena, const struct histogram **out)
{
    struct histogram running;
    size_t changed = 0;
    histogram_init(&running);
    dataset_observe(timer, DATASET_DAY_SAMPLES, 100, &running);
    for (size_t tick = 0; tick < DATASET_DAY_SAMPLES; tick++) {
        running.min = running.max = NAN;
        if (tick % timers[timer].every == 0)
            dataset_observe(timer, tick, timers[timer].observations, &running);
        out[tick] = histogram_copy(arena, &running);
        for (size_t i = 0, j = 0; tick && i < running.positive.count; i++) {
            const struct histogram_side *last = &out[tick - 1]->positive;
            bool known = j < last->count && last->at[j].index == running.positive.at[i].index;
            changed += !known || last->at[j].count != running.positive.at[i].count;
            j += known;
        }
    }
    histogram_release(&running);
    return (double)changed / DATASET_DAY_SAMPLES;
}

static void measure_histogram(size_t chunk_samples, const struct histogram **at)
{
    struct cost cost = {0};
    struct buffer bytes;
    struct arena arena;
    buffer_init(&bytes, SIZE_MAX);
    arena_init(&arena, (size_t)1 << 30);
    for (size_t from = 0; from < DATASET_DAY_SAMPLES; from += chunk_samples) {
        static const struct histogram *back[CHUNK_SAMPLES_MAX];
        struct chunk chunk;
        buffer_reset(&bytes);
        arena_reset(&arena);
        int64_t start = clock_thread_cpu_ns();
        chunk_append_histograms(&bytes, times + from, at + from, chunk_samples);
        int64_t encoded = clock_thread_cpu_ns();
        bool sound = chunk_open(buffer_slice(&bytes), times[from], &chunk) &&
                     chunk_histograms(&chunk, &arena, back);
        int64_t decoded = clock_thread_cpu_ns();
        assert(sound);
        add(&cost, &(struct cost){bytes.len, chunk_samples, encoded - start, decoded - encoded});
    }
    char name[64];
    snprintf(name, sizeof name, "  %zu a chunk", chunk_samples);
    print(name, &cost);
    buffer_release(&bytes);
    arena_release(&arena);
}

static void measure_histograms(size_t timer)
{
    static const struct histogram *at[DATASET_DAY_SAMPLES];
    static const size_t sizes[] = {360, 720, 1440, 2880};
    struct arena arena;
    arena_init(&arena, (size_t)1 << 32);
    double changed = fill_histograms(timer, &arena, at);
    printf("-- timer, %s: %u buckets, %.1f of them change in a tick\n", timers[timer].name,
           at[DATASET_DAY_SAMPLES - 1]->positive.count, changed);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        measure_histogram(sizes[i], at);
    arena_release(&arena);
}

int main(int argc, char **argv)
{
    static const size_t sizes[] = {360, 720, 2880, 4320, 8640};
    size_t series = argc > 1 ? strtoul(argv[1], NULL, 10) : DATASET_SERIES;
    for (size_t i = 0; i < DATASET_DAY_SAMPLES; i++)
        times[i] = 1700006400000 + (int64_t)i * DATASET_STEP_MS;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        measure(series, sizes[i]);
    for (size_t timer = 0; timer < sizeof timers / sizeof *timers; timer++)
        measure_histograms(timer);
    return 0;
}
