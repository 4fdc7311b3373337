/* intake_bench: what parsing and aggregating a metric costs, without the kernel that brings it.
 *
 *   intake_bench [WORD]      the rows whose name holds it
 *
 * Lines lie in datagrams of 1,400 bytes that follow each other in memory, as a worker's batch does;
 * CPU time of the fastest of five passes over all of them, in nanoseconds a metric.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/ingest/intake.h"
#include "storage/base/alloc.h"

#define PASSES     5
#define METRICS    1000000
#define LINE_MAX   256
#define SERIES_MAX 2000000
#define STRIDE     7919 /* neighbours in time are no neighbours in memory */

static const struct row {
    const char *name;
    int series;
    const char *type;
    const char *rest;
} rows[] = {
    {"counter, 1k series", 1000, "c", ""},
    {"counter, 10k series", 10000, "c", ""},
    {"counter, 10k series, 3 tags", 10000, "c", "|#host:web-017,route:/cart,shard:4"},
    {"counter, 10k series, 10 tags", 10000, "c",
     "|#host:web-017,route:/cart,shard:4,env:production,region:eu-west-1,service:checkout,"
     "version:2.14.3,zone:b,team:payments,canary:false"},
    {"counter, 10k series, @1", 10000, "c", "|@1"},
    {"counter, 10k series, @0.1", 10000, "c", "|@0.1"},
    {"counter, 10k series, @0.0000001", 10000, "c", "|@0.0000001"},
    {"counter, 100k series", 100000, "c", ""},
    {"counter, 1M series", 1000000, "c", ""},
    {"counter, 1M series, 3 tags", 1000000, "c", "|#host:web-017,route:/cart,shard:4"},
    {"gauge, 10k series", 10000, "g", ""},
    {"set, 10k series", 10000, "s", ""},
    {"timer, 10k series", 10000, "ms", ""},
    {"timer, 10k series, 3 tags", 10000, "ms", "|#host:web-017,route:/cart,shard:4"},
    {"timer, 10k series, @1", 10000, "ms", "|@1"},
    {"timer, 10k series, @0.0000001", 10000, "ms", "|@0.0000001"},
    {"timer, 100k series", 100000, "ms", ""},
};

static char *make_lines(const struct row *row, size_t *len)
{
    char *text = alloc_zeroed(METRICS, LINE_MAX);
    *len = 0;
    for (int i = 0; i < METRICS; i++) {
        int series = (int)((int64_t)i * STRIDE % row->series);
        int value = 1 + (int)(((int64_t)series * 7919 + i / row->series * 104729) % 2000);
        *len += (size_t)snprintf(text + *len, LINE_MAX, "bench.requests.%05d:%d|%s%s\n", series,
                                 value, row->type, row->rest);
    }
    return text;
}

static double cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void add_all(struct intake *intake, struct slice rest)
{
    static struct statsd_metric batch[INTAKE_BATCH_MAX];
    struct slice line;
    size_t count = 0;
    while (statsd_cut_line(&rest, &line)) {
        if (statsd_parse(&statsd_profiles[STATSD_UNION], line, &batch[count]) != STATSD_ACCEPTED)
            abort();
        if (++count < INTAKE_BATCH_MAX)
            continue;
        intake_add(intake, batch, count);
        count = 0;
    }
    intake_add(intake, batch, count);
}

static double measure(const struct row *row)
{
    size_t len;
    char *text = make_lines(row, &len);
    struct intake *intake = intake_new(&(struct intake_options){
        .entries_max = SERIES_MAX, .key_bytes_max = SIZE_MAX, .sketch_bytes_max = SIZE_MAX});
    double best = 1e18;
    add_all(intake, slice_make(text, len));
    for (int i = 0; i < PASSES; i++) {
        double start = cpu_ns();
        add_all(intake, slice_make(text, len));
        double took = cpu_ns() - start;
        best = took < best ? took : best;
    }
    intake_free(intake);
    free(text);
    return best / METRICS;
}

int main(int argc, char **argv)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (argc < 2 || strstr(rows[i].name, argv[1]))
            printf("%-36s %6.0f ns\n", rows[i].name, measure(&rows[i]));
    return 0;
}
