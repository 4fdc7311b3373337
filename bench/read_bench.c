/* read_bench: what reading a part of a closed day costs.
 *
 *   build/release/bench/read_bench [DIR [WINDOW]]
 *
 * 400 series of the data set (bench/dataset.h), a sample every ten seconds for a day, closed. With DIR
 * they are kept there for the next run. Each line is a window, its end and how it is read: `first` is
 * the pass after opening. CPU time of the thread, microseconds a series. With WINDOW (minutes) that one
 * alone is read, 200 times, for `perf stat`.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "bench/dataset.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/store.h"

#define DAY_MS    INT64_C(86400000)
#define START_MS  (INT64_C(1700000000000) / DAY_MS * DAY_MS)
#define MINUTE_MS INT64_C(60000)
#define RUNS      40
#define RUNS_ONE  200

static void stop(const struct error *err)
{
    fprintf(stderr, "read_bench: %s\n", err->text);
    exit(1);
}

static struct store *open_store(const char *path)
{
    struct store_options options = {
        .path = path, .series_max = 10000, .retention_raw_ms = INT64_C(1) << 50};
    struct store *store = NULL;
    struct error err;
    if (store_open(&options, &store, &err))
        stop(&err);
    return store;
}

static void fill_series(struct store_batch *batch, size_t index)
{
    static double values[DATASET_DAY_SAMPLES];
    enum dataset_class class = dataset_class_of(index);
    bool counter = class == DATASET_SPARSE_COUNTER || class == DATASET_BUSY_COUNTER;
    struct error err;
    char number[16];
    uint32_t id;
    snprintf(number, sizeof number, "%zu", index);
    struct label labels[] = {{SLICE(LABEL_NAME), slice_of_string(dataset_class_name(class))},
                             {SLICE("series"), slice_of_string(number)}};
    if (store_batch_intern(batch, (struct labels){labels, 2},
                           counter ? SERIES_COUNTER : SERIES_GAUGE, &id, &err))
        stop(&err);
    dataset_fill(index, values, DATASET_DAY_SAMPLES);
    for (int64_t i = 0; i < DATASET_DAY_SAMPLES; i++)
        store_batch_value(batch, id, START_MS + i * DATASET_STEP_MS, values[i]);
}

static void build(const char *path)
{
    struct store *store = open_store(path);
    struct store_batch *batch = store_batch_new(store);
    struct error err;
    for (size_t i = 0; i < DATASET_SERIES; i++)
        fill_series(batch, i);
    if (store_commit(store, batch, false, &err))
        stop(&err);
    clock_set_ms(START_MS + 2 * DAY_MS);
    if (store_compact(store, &err))
        stop(&err);
    store_batch_free(batch);
    store_close(store);
}

static const struct window {
    const char *name;
    int64_t minutes, end_minute;
} windows[] = {
    {"5 minutes, at the end", 5, 1440},
    {"5 minutes, at noon", 5, 12 * 60},
    {"5 minutes, at one o'clock", 5, 13 * 60},
    {"an hour, at the end", 60, 1440},
    {"the day", 1440, 1440},
};

/* Of all series, once, by one reader, as a query does; microseconds a series. */
static double read_once(struct store *store, const struct window *window)
{
    struct store_reader *reader = store_reader_new(store);
    struct arena arena;
    struct error err;
    int64_t end = START_MS + window->end_minute * MINUTE_MS - DATASET_STEP_MS / 2;
    size_t samples = 0;
    arena_init(&arena, (size_t)1 << 30);
    int64_t start = clock_thread_cpu_ns();
    for (uint32_t id = 0; id < DATASET_SERIES; id++) {
        struct store_column column;
        struct store_span span = {id, end - window->minutes * MINUTE_MS, end};
        if (store_read(reader, span, &arena, &column, &err))
            stop(&err);
        samples += column.count;
    }
    store_reader_free(reader);
    start = clock_thread_cpu_ns() - start;
    assert(samples == DATASET_SERIES * (size_t)(window->minutes * MINUTE_MS / DATASET_STEP_MS));
    arena_release(&arena);
    return (double)start / 1e3 / DATASET_SERIES;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(const char *path, const struct window *window)
{
    double us[RUNS];
    struct store *store = open_store(path);
    double first = read_once(store, window);
    for (int i = 0; i < RUNS; i++)
        us[i] = read_once(store, window);
    qsort(us, RUNS, sizeof *us, compare);
    printf("%-28s first %8.2f  median %8.2f  least %8.2f us a series\n", window->name, first,
           us[RUNS / 2], us[0]);
    store_close(store);
}

static void measure_one(const char *path, int64_t minutes)
{
    struct window window = {"", minutes, 1440};
    struct store *store = open_store(path);
    for (int i = 0; i < RUNS_ONE; i++)
        read_once(store, &window);
    store_close(store);
}

int main(int argc, char **argv)
{
    char scratch[] = "/tmp/lapwing-bench-XXXXXX", command[64];
    const char *path = argc > 1 ? argv[1] : mkdtemp(scratch);
    struct stat known;
    log_set_level(LOG_WARN);
    if (!path)
        return 1;
    if (argc < 2 || stat(path, &known) != 0)
        build(path);
    if (argc > 2) {
        measure_one(path, strtol(argv[2], NULL, 10));
        return 0;
    }
    for (size_t i = 0; i < sizeof windows / sizeof *windows; i++)
        measure(path, &windows[i]);
    if (argc > 1)
        return 0;
    snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    return system(command) != 0;
}
