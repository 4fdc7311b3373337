/* query_bench: CPU time of queries over a store built on the spot.
 *
 * 10,000 counters in 20 groups with 100 samples each, 40 s apart (1 M samples: an hour and a
 * little), and 200 timers with a histogram every 10 s for an hour. Half of the data is sealed in
 * chunks, as in a running server, the rest is in the head. Each query runs several times; the line
 * gives the median CPU time of the thread, which is what the target of the issue speaks of:
 * sum by (x) (rate(m[5m])) over an hour at a 60 s step in less than 150 ms.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "query/parse.h"
#include "query/promql.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"

#define SERIES       10000
#define SAMPLES      100
#define SAMPLE_MS    40000
#define TIMERS       200
#define TIMER_TICKS  360
#define TIMER_MS     10000
#define START_MS     INT64_C(1700000000000)
#define HOUR_MS      3600000
#define RUNS         7
#define MEMORY_BYTES ((size_t)2 << 30)

static void stop(const struct error *err)
{
    fprintf(stderr, "query_bench: %s\n", err->text);
    exit(1);
}

static uint32_t series(struct store_batch *batch, const char *name, int i, enum series_kind kind)
{
    struct error err;
    char host[16], group[16];
    uint32_t id;
    snprintf(host, sizeof host, "host-%d", i);
    snprintf(group, sizeof group, "group-%d", i % 20);
    struct label pairs[] = {{SLICE(LABEL_NAME), slice_of_string(name)},
                            {SLICE("host"), slice_of_string(host)},
                            {SLICE("x"), slice_of_string(group)}};
    if (store_batch_intern(batch, (struct labels){pairs, 3}, kind, &id, &err) != 0)
        stop(&err);
    return id;
}

static void commit(struct store *store, struct store_batch *batch)
{
    struct error err;
    if (store_commit(store, batch, false, &err) != 0)
        stop(&err);
}

static void build_counters(struct store *store, struct store_batch *batch)
{
    static uint32_t ids[SERIES];
    static double totals[SERIES];
    struct error err;
    for (int i = 0; i < SERIES; i++)
        ids[i] = series(batch, "m", i, SERIES_COUNTER);
    for (int tick = 0; tick < SAMPLES; tick++) {
        for (int i = 0; i < SERIES; i++) {
            totals[i] += (i * 31 + tick * 17) % 97;
            store_batch_value(batch, ids[i], START_MS + tick * SAMPLE_MS, totals[i]);
        }
        commit(store, batch);
        if (tick == SAMPLES / 2 && store_seal(store, &err) != 0)
            stop(&err);
    }
}

static void build_timers(struct store *store, struct store_batch *batch)
{
    static uint32_t ids[TIMERS];
    static struct histogram histograms[TIMERS];
    uint32_t seed = 1;
    for (int i = 0; i < TIMERS; i++) {
        ids[i] = series(batch, "t", i, SERIES_HISTOGRAM);
        histogram_init(&histograms[i]);
    }
    for (int tick = 0; tick < TIMER_TICKS; tick++) {
        for (int i = 0; i < TIMERS; i++) {
            for (int n = 0; n < 10; n++) {
                seed = seed * 1664525u + 1013904223u;
                histogram_add(&histograms[i], exp((double)(seed >> 8) / (1 << 24) * 4 + 2), 1);
            }
            store_batch_histogram(batch, ids[i], START_MS + tick * TIMER_MS, &histograms[i]);
        }
        commit(store, batch);
    }
    for (int i = 0; i < TIMERS; i++)
        histogram_release(&histograms[i]);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void measure(struct store *store, const char *text, int64_t step_ms)
{
    double ms[RUNS];
    size_t rows = 0;
    int64_t samples = 0;
    for (int run = 0; run < RUNS; run++) {
        struct arena arena;
        struct error err;
        struct plan *plan;
        struct promql_result result;
        arena_init(&arena, MEMORY_BYTES);
        int64_t before = clock_thread_cpu_ns();
        if (parse_promql(slice_of_string(text), &arena, &plan, &err) != 0)
            stop(&err);
        struct promql_request request = {.plan = plan,
                                         .start_ms = START_MS + (step_ms ? 0 : HOUR_MS),
                                         .end_ms = START_MS + HOUR_MS,
                                         .step_ms = step_ms};
        if (promql_run(store, &request, &arena, &result, &err) != 0)
            stop(&err);
        rows = result.count;
        samples = result.samples_read;
        plan_release(plan);
        arena_release(&arena);
        ms[run] = (double)(clock_thread_cpu_ns() - before) / 1e6;
    }
    qsort(ms, RUNS, sizeof *ms, compare);
    printf("%9.2f ms  %8lld samples  %6zu series  %s\n", ms[RUNS / 2], (long long)samples, rows,
           text);
}

int main(int argc, char **argv)
{
    char path[] = "/tmp/lapwing-bench-XXXXXX", command[64];
    struct error err;
    struct store *store;
    if (!mkdtemp(path))
        return 1;
    log_set_level(LOG_WARN);
    struct store_options options = {
        .path = path, .series_max = 100000, .retention_raw_ms = INT64_C(1) << 50};
    if (store_open(&options, &store, &err) != 0)
        stop(&err);
    struct store_batch *batch = store_batch_new(store);
    build_counters(store, batch);
    build_timers(store, batch);
    static const struct {
        const char *text;
        int64_t step_ms;
    } queries[] = {
        {"sum by (x) (rate(m[5m]))", 60000},
        {"rate(m[5m])", 60000},
        {"sum by (x) (m)", 60000},
        {"max_over_time(m[1h])", 60000},
        {"quantile_over_time(0.95, m[1h])", 60000},
        {"topk(5, rate(m[5m]))", 60000},
        {"m / on(host) group_left m", 60000},
        {"sum(max_over_time(rate(m[2m])[10m:1m]))", 60000},
        {"sum by (x) (m)", 0},
        {"histogram_quantile(0.99, sum(rate(t[5m])))", 60000},
        {"histogram_quantile(0.99, sum by (x) (rate(t[5m])))", 60000},
        {"histogram_quantile(0.99, sum(rate(t[5m])))", 0},
    };
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        if (argc < 2)
            measure(store, queries[i].text, queries[i].step_ms);
    for (int i = 1; i < argc; i++)
        measure(store, argv[i], 60000);
    store_batch_free(batch);
    store_close(store);
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    return system(command) != 0;
}
