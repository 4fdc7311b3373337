/* query_bench: CPU time of queries over a store built on the spot.
 *
 * 10,000 counters in 20 groups with 100 samples each, 40 s apart (1 M samples: an hour and a
 * little), and 200 timers with a histogram every 10 s for an hour. Half of the data is sealed in
 * chunks, as in a running server, the rest is in the head. Each query runs several times, by one thread
 * and with a fan of as many as there are cores; the line gives the median of both, CPU and wall.
 *
 * A second store holds a month: 1,000 counters and 20 timers with a sample every five minutes, closed,
 * so that long ranges are read from rollups (target: 50 ms for 1,000 series at a step of an hour).
 * A third one holds a day of 48 gauges and 60 counters with a sample every ten seconds, asked at a step
 * of a minute, as dashboards do: what counts there is how windows move.
 * With arguments, these are the queries, over the hour; after "day" and "month", over these.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "query/fan.h"
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
#define MONTH_DAYS   30
#define MONTH_SERIES 1000
#define MONTH_TIMERS 20
#define MONTH_TICK   INT64_C(300000)
#define DAY_MS       INT64_C(86400000)
#define MONTH_START  (START_MS / DAY_MS * DAY_MS)
#define DAY_GAUGES   48
#define DAY_COUNTERS 60
#define DAY_TICK     INT64_C(10000)
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

/* A day at a time: as long runs, which become chunks at once. */
static void build_month(struct store *store, struct store_batch *batch)
{
    static double totals[MONTH_SERIES];
    static struct histogram timers[MONTH_TIMERS];
    struct error err;
    for (int i = 0; i < MONTH_TIMERS; i++)
        histogram_init(&timers[i]);
    for (int day = 0; day < MONTH_DAYS; day++) {
        int64_t start = MONTH_START + day * DAY_MS, end = start + DAY_MS;
        for (int i = 0; i < MONTH_SERIES; i++) {
            uint32_t id = series(batch, "m", i, SERIES_COUNTER);
            for (int64_t at = start; at < end; at += MONTH_TICK)
                store_batch_value(batch, id, at, totals[i] += (double)((i * 31 + at / 1000) % 97));
        }
        for (int i = 0; i < MONTH_TIMERS; i++) {
            uint32_t id = series(batch, "t", i, SERIES_HISTOGRAM);
            for (int64_t at = start; at < end; at += MONTH_TICK) {
                histogram_add(&timers[i], exp((double)((i * 31 + at / 1000) % 97) / 24 + 2), 1);
                store_batch_histogram(batch, id, at, &timers[i]);
            }
        }
        commit(store, batch);
    }
    for (int i = 0; i < MONTH_TIMERS; i++)
        histogram_release(&timers[i]);
    clock_set_ms(MONTH_START + (MONTH_DAYS + 1) * DAY_MS);
    if (store_compact(store, &err) != 0)
        stop(&err);
}

static double next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (double)(*seed >> 8) / (1 << 24);
}

static void build_day(struct store *store, struct store_batch *batch)
{
    uint32_t seed = 1;
    for (int i = 0; i < DAY_GAUGES + DAY_COUNTERS; i++) {
        bool gauge = i < DAY_GAUGES;
        enum series_kind kind = gauge ? SERIES_GAUGE : SERIES_COUNTER;
        uint32_t id = series(batch, gauge ? "g" : "c", i, kind);
        double total = 0;
        for (int64_t at = MONTH_START; at < MONTH_START + DAY_MS; at += DAY_TICK) {
            double value = gauge ? exp(next_random(&seed) * 3) : floor(next_random(&seed) * 50);
            total += value;
            store_batch_value(batch, id, at, gauge ? value : total);
        }
    }
    commit(store, batch);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

struct question {
    const char *text;
    int64_t start_ms, end_ms, step_ms; /* 0: instant, at the end */
};

struct cost {
    double cpu, wall; /* ms, of the process */
};

static double process_cpu_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct cost run_once(struct store *store, const struct question *question, struct fan *fan,
                            struct promql_result *out)
{
    struct arena arena;
    struct error err;
    struct plan *plan;
    arena_init(&arena, MEMORY_BYTES);
    double cpu = process_cpu_ms(), wall = (double)clock_monotonic_ns() / 1e6;
    if (parse_promql(slice_of_string(question->text), &arena, &plan, &err) != 0)
        stop(&err);
    struct promql_request request = {.plan = plan,
                                     .start_ms =
                                         question->step_ms ? question->start_ms : question->end_ms,
                                     .end_ms = question->end_ms,
                                     .step_ms = question->step_ms,
                                     .fan = fan};
    if (promql_run(store, &request, &arena, out, &err) != 0)
        stop(&err);
    plan_release(plan);
    arena_release(&arena);
    return (struct cost){process_cpu_ms() - cpu, (double)clock_monotonic_ns() / 1e6 - wall};
}

static double median(double *ms)
{
    qsort(ms, RUNS, sizeof *ms, compare);
    return ms[RUNS / 2];
}

/* Alone and with a fan in turns, so that what else the machine does meets both. */
static void measure(struct store *store, const struct question *question)
{
    double cpu[2][RUNS], wall[2][RUNS];
    struct promql_result result;
    struct fan *fan = fan_new((size_t)sysconf(_SC_NPROCESSORS_ONLN));
    for (int run = 0; run < RUNS; run++)
        for (int i = 0; i < 2; i++) {
            struct cost cost = run_once(store, question, i ? fan : NULL, &result);
            cpu[i][run] = cost.cpu;
            wall[i][run] = cost.wall;
        }
    fan_free(fan);
    printf("%8.2f %8.2f ms CPU %8.2f %8.2f ms wall %8lld samples %6zu series  %s\n", median(cpu[0]),
           median(cpu[1]), median(wall[0]), median(wall[1]), (long long)result.samples_read,
           result.count, question->text);
}

/* --- the two stores --- */

struct place {
    char path[64];
    struct store *store;
    struct store_batch *batch;
};

static void place_open(struct place *place)
{
    struct error err;
    snprintf(place->path, sizeof place->path, "/tmp/lapwing-bench-XXXXXX");
    if (!mkdtemp(place->path))
        exit(1);
    struct store_options options = {
        .path = place->path, .series_max = 100000, .retention_raw_ms = INT64_C(1) << 50};
    if (store_open(&options, &place->store, &err) != 0)
        stop(&err);
    place->batch = store_batch_new(place->store);
}

static int place_close(struct place *place)
{
    char command[96];
    store_batch_free(place->batch);
    store_close(place->store);
    snprintf(command, sizeof command, "rm -rf '%s'", place->path);
    return system(command);
}

#define AN_HOUR START_MS, START_MS + HOUR_MS

static int bench_hour(int argc, char **argv)
{
    static const struct question questions[] = {
        {"sum by (x) (rate(m[5m]))", AN_HOUR, 60000},
        {"rate(m[5m])", AN_HOUR, 60000},
        {"sum by (x) (m)", AN_HOUR, 60000},
        {"max_over_time(m[1h])", AN_HOUR, 60000},
        {"quantile_over_time(0.95, m[1h])", AN_HOUR, 60000},
        {"topk(5, rate(m[5m]))", AN_HOUR, 60000},
        {"m / on(host) group_left m", AN_HOUR, 60000},
        {"sum(max_over_time(rate(m[2m])[10m:1m]))", AN_HOUR, 60000},
        {"sum by (x) (m)", AN_HOUR, 0},
        {"histogram_quantile(0.99, sum(rate(t[5m])))", AN_HOUR, 60000},
        {"histogram_quantile(0.99, sum by (x) (rate(t[5m])))", AN_HOUR, 60000},
        {"histogram_quantile(0.99, sum(rate(t[5m])))", AN_HOUR, 0},
    };
    struct place place;
    place_open(&place);
    build_counters(place.store, place.batch);
    build_timers(place.store, place.batch);
    for (size_t i = 0; i < sizeof questions / sizeof *questions && argc < 2; i++)
        measure(place.store, &questions[i]);
    for (int i = 1; i < argc; i++)
        measure(place.store, &(struct question){argv[i], AN_HOUR, 60000});
    return place_close(&place);
}

#define A_MONTH MONTH_START + HOUR_MS, MONTH_START + MONTH_DAYS *DAY_MS

static int bench_month(int argc, char **argv)
{
    static const struct question questions[] = {
        {"sum by (x) (rate(m[1h]))", A_MONTH, HOUR_MS},
        {"sum by (x) (increase(m[1d]))", A_MONTH, HOUR_MS},
        {"sum by (x) (m)", A_MONTH, HOUR_MS},
        {"max_over_time(m[1h])", A_MONTH, HOUR_MS},
        {"sum by (x) (increase(m[30d]))", A_MONTH, 0},
        {"sum by (x) (increase(m[30d] offset 7m))", A_MONTH, 0},
        {"histogram_quantile(0.99, sum(rate(t[1h])))", A_MONTH, HOUR_MS},
        {"sum by (x) (rate(m[61m]))", A_MONTH, HOUR_MS}, /* samples, to compare */
    };
    struct place place;
    place_open(&place);
    build_month(place.store, place.batch);
    for (size_t i = 0; i < sizeof questions / sizeof *questions && argc < 2; i++)
        measure(place.store, &questions[i]);
    for (int i = 1; i < argc; i++)
        measure(place.store, &(struct question){argv[i], A_MONTH, HOUR_MS});
    return place_close(&place);
}

#define A_DAY MONTH_START + HOUR_MS / 2, MONTH_START + DAY_MS

static int bench_day(int argc, char **argv)
{
    static const struct question questions[] = {
        {"sum(rate(c[5m]))", A_DAY, 60000},
        {"sum by (x) (sum_over_time(g[5m]))", A_DAY, 60000},
        {"topk(5, avg_over_time(g[10m]))", A_DAY, 60000},
        {"avg_over_time(g[1h])", A_DAY, 60000},
        {"stddev_over_time(g[1h])", A_DAY, 60000},
        {"max_over_time(g[1h])", A_DAY, 60000},
        {"quantile_over_time(0.95, g[1h])", A_DAY, 60000},
        {"quantile_over_time(0.95, g[5m])", A_DAY, 60000},
        {"mad_over_time(g[1h])", A_DAY, 60000},
        {"changes(g[1h])", A_DAY, 60000},
        {"deriv(g[1h])", A_DAY, 60000},
        {"quantile(0.99, g)", A_DAY, 60000},
        {"{__name__=~\"g|c\"}", A_DAY, 60000},
    };
    struct place place;
    place_open(&place);
    build_day(place.store, place.batch);
    for (size_t i = 0; i < sizeof questions / sizeof *questions && argc < 2; i++)
        measure(place.store, &questions[i]);
    for (int i = 1; i < argc; i++)
        measure(place.store, &(struct question){argv[i], A_DAY, 60000});
    return place_close(&place);
}

int main(int argc, char **argv)
{
    log_set_level(LOG_WARN);
    if (argc > 1 && strcmp(argv[1], "month") == 0)
        return bench_month(argc - 1, argv + 1) != 0;
    if (argc > 1 && strcmp(argv[1], "day") == 0)
        return bench_day(argc - 1, argv + 1) != 0;
    if (bench_hour(argc, argv) != 0)
        return 1;
    if (argc > 1)
        return 0;
    puts("a day of 48 gauges and 60 counters, ten seconds apart, at a step of a minute:");
    if (bench_day(0, NULL) != 0)
        return 1;
    puts("a month of 1,000 counters and 20 timers, five minutes apart, closed:");
    return bench_month(0, NULL) != 0;
}
