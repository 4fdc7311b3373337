/* store_bench: what the metric store costs. Prints one line a fact.
 *
 *   build/release/bench/store_bench [SERIES [TICKS]]      (100000 series, 400 ticks of 10 s)
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/base/metric.h"
#include "storage/code/column.h"
#include "storage/store.h"

#define START_MS ((int64_t)1700000000000)

static char path[64];

static struct store *open_store(void)
{
    struct store_options options = {.path = path, .series_max = 2000000};
    struct store *store = NULL;
    struct error err = {0};
    if (store_open(&options, &store, &err)) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    return store;
}

static double resident_mb(void)
{
    long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%ld %ld", &pages, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE) / 1e6;
}

static uint32_t *intern_all(struct store_batch *batch, size_t count)
{
    uint32_t *ids = calloc(count, sizeof *ids);
    assert(ids);
    for (size_t i = 0; i < count; i++) {
        char name[32], host[32];
        struct error err;
        snprintf(name, sizeof name, "metric_%zu", i % 100);
        snprintf(host, sizeof host, "host-%zu", i / 100);
        struct label labels[] = {{SLICE(LABEL_NAME), slice_of_string(name)},
                                 {SLICE("env"), SLICE("production")},
                                 {SLICE("host"), slice_of_string(host)}};
        int status =
            store_batch_intern(batch, (struct labels){labels, 3}, SERIES_COUNTER, &ids[i], &err);
        assert(!status);
    }
    return ids;
}

/* A third idle, a third counters, a third gauges with two decimals. */
static double next_value(size_t i, double last)
{
    switch (i % 3) {
    case 0:
        return last;
    case 1:
        return last + (double)(lrand48() % 20);
    }
    return (double)(lrand48() % 10000) / 100;
}

struct totals {
    int64_t commit_ns, maintain_ns, maintain_max_ns;
};

static struct totals run_ticks(struct store *store, const uint32_t *ids, size_t series,
                               size_t ticks)
{
    struct totals totals = {0};
    struct error err;
    double *values = calloc(series, sizeof *values);
    assert(values);
    for (size_t tick = 0; tick < ticks; tick++) {
        int64_t now = START_MS + (int64_t)tick * 10000;
        clock_set_ms(now);
        struct store_batch *batch = store_batch_new(store);
        for (size_t i = 0; i < series; i++)
            values[i] = next_value(i, values[i]);
        int64_t start = clock_thread_cpu_ns();
        for (size_t i = 0; i < series; i++)
            store_batch_value(batch, ids[i], now, values[i]);
        int status = store_commit(store, batch, false, &err);
        totals.commit_ns += clock_thread_cpu_ns() - start;
        start = clock_monotonic_ns();
        status |= store_maintain(store, now, &err);
        start = clock_monotonic_ns() - start;
        assert(!status);
        totals.maintain_ns += start;
        if (start > totals.maintain_max_ns)
            totals.maintain_max_ns = start;
        store_batch_free(batch);
    }
    free(values);
    return totals;
}

static void read_all(struct store *store, size_t most, int64_t start_ms, int64_t end_ms,
                     const char *what)
{
    struct arena arena;
    struct error err = {0};
    struct store_selection selection;
    struct store_reader *reader = store_reader_new(store);
    size_t samples = 0;
    double sum = 0;
    arena_init(&arena, (size_t)4 << 30);
    int64_t start = clock_monotonic_ns();
    struct matcher matcher;
    int status = matcher_init(&matcher, MATCH_REGEX, SLICE("host"), SLICE("host-.?.?"), &err) ||
                 store_select(store,
                              &(struct store_query){.matchers = &matcher,
                                                    .matcher_count = 1,
                                                    .start_ms = start_ms,
                                                    .end_ms = end_ms},
                              &arena, &selection, &err);
    assert(!status);
    int64_t selected = clock_monotonic_ns();
    size_t count = selection.count < most ? selection.count : most;
    for (size_t i = 0; i < count; i++) {
        struct store_column column;
        status = store_read(reader, (struct store_span){selection.at[i].id, start_ms, end_ms},
                            &arena, &column, &err);
        assert(!status);
        samples += column.count;
        sum += column.count ? column.values[column.count - 1] : 0;
    }
    int64_t end = clock_monotonic_ns();
    printf("%-28s %zu series %zu samples: select %.1f ms, read %.1f ms (%.1f ns/sample) sum %g\n",
           what, count, samples, (double)(selected - start) / 1e6, (double)(end - selected) / 1e6,
           (double)(end - selected) / (double)(samples ? samples : 1), sum);
    matcher_release(&matcher);
    store_reader_free(reader);
    arena_release(&arena);
}

static void print_metric(const struct metric *metric, void *arg)
{
    (void)arg;
    if (strncmp(metric->name, "lapwing_store_", 14) == 0)
        printf("  %-38s %.6g\n", metric->name, metric_value(metric));
}

int main(int argc, char **argv)
{
    size_t series = argc > 1 ? (size_t)atol(argv[1]) : 100000;
    size_t ticks = argc > 2 ? (size_t)atol(argv[2]) : 400;
    int64_t last = START_MS + (int64_t)ticks * 10000;
    struct error err;
    char command[200];
    log_set_level(LOG_WARN);
    snprintf(path, sizeof path, "/tmp/store_bench.XXXXXX");
    if (!mkdtemp(path))
        return 1;
    struct store *store = open_store();
    printf("resident, empty              %.1f MB\n", resident_mb());
    struct store_batch *batch = store_batch_new(store);
    int64_t start = clock_monotonic_ns();
    uint32_t *ids = intern_all(batch, series);
    printf("intern                       %.2f us/series\n",
           (double)(clock_monotonic_ns() - start) / 1e3 / (double)series);
    store_batch_free(batch);
    printf("resident, interned           %.1f MB\n", resident_mb());
    struct totals totals = run_ticks(store, ids, series, ticks);
    printf("commit                       %.1f ns/sample\n",
           (double)totals.commit_ns / (double)(series * ticks));
    printf("maintain                     %.1f ms/tick, at most %.1f ms\n",
           (double)totals.maintain_ns / 1e6 / (double)ticks, (double)totals.maintain_max_ns / 1e6);
    printf("resident, running            %.1f MB\n", resident_mb());
    read_all(store, 10000, last - 1000000, last, "read the last 1000 s");
    read_all(store, 10000, START_MS, last, "read all");
    metric_each(print_metric, NULL);
    store_close(store);
    start = clock_monotonic_ns();
    int64_t cpu = clock_thread_cpu_ns();
    store = open_store();
    printf("reopen                       %.0f ms, %.0f ms of CPU\n",
           (double)(clock_monotonic_ns() - start) / 1e6,
           (double)(clock_thread_cpu_ns() - cpu) / 1e6);
    int status = store_seal(store, &err);
    read_all(store, 10000, START_MS, last, "read all, sealed");
    store_close(store);
    free(ids);
    snprintf(command, sizeof command, "du -sm %s; rm -rf %s", path, path);
    return system(command) | status;
}
