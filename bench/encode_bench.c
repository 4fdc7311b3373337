/* encode_bench: bytes a sample of each class of the data set, by samples a chunk.
 *
 *   build/release/bench/encode_bench [SERIES]      (400 series of a day)
 *
 * Chunks with their headers, but without keys. `all` is the mixture.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/dataset.h"
#include "storage/base/clock.h"
#include "storage/chunk.h"

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

int main(int argc, char **argv)
{
    static const size_t sizes[] = {360, 720, 2880, 8640};
    size_t series = argc > 1 ? strtoul(argv[1], NULL, 10) : DATASET_SERIES;
    for (size_t i = 0; i < DATASET_DAY_SAMPLES; i++)
        times[i] = 1700006400000 + (int64_t)i * DATASET_STEP_MS;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        measure(series, sizes[i]);
    return 0;
}
