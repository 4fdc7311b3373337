/* intake_bench: what parsing and aggregating a metric costs, without the kernel that brings it.
 *
 *   intake_bench [WORD]      the rows whose name holds it, and those they are compared with
 *
 * Lines follow each other in memory, as a worker's batch does, and come round and round. All rows are
 * measured in turns, because a shared machine drifts by more than rows differ. Printed are the CPU
 * time of the median turn, in nanoseconds a metric, and the median of its differences from the turns
 * of the row that it is compared with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "server/ingest/intake.h"
#include "storage/base/alloc.h"

#define TURNS       15
#define PASSES      6     /* a turn: what a timer puts off falls due in some of them */
#define METRICS_MIN 65536 /* a pass, so that the values of a series vary */
#define LINE_MAX    256
#define SERIES_MAX  2000000
#define STRIDE      7919 /* neighbours in time are no neighbours in memory */

#define TAGS_3 "|#host:web-017,route:/cart,shard:4"
#define TAGS_10                                                                                    \
    TAGS_3 ",env:production,region:eu-west-1,service:checkout,version:2.14.3,zone:b,team:payments" \
           ",canary:false"

static const struct row {
    const char *name;
    int series;
    const char *type;
    const char *rest;
    const char *base; /* what it is compared with */
    int values;       /* of a series; 0: as few as METRICS_MIN needs */
} rows[] = {
    {"counter, 1k series", 1000, "c", "", NULL, 0},
    {"counter, 10k series", 10000, "c", "", NULL, 0},
    {"counter, 10k series, 3 tags", 10000, "c", TAGS_3, NULL, 0},
    {"counter, 10k series, 10 tags", 10000, "c", TAGS_10, NULL, 0},
    {"counter, 10k series, @1", 10000, "c", "|@1", "counter, 10k series", 0},
    {"counter, 10k series, @0.1", 10000, "c", "|@0.1", "counter, 10k series, @1", 0},
    {"counter, 10k series, @0.0000001", 10000, "c", "|@0.0000001", "counter, 10k series, @1", 0},
    {"counter, 100k series", 100000, "c", "", NULL, 0},
    {"counter, 1M series", 1000000, "c", "", NULL, 0},
    {"counter, 1M series, 3 tags", 1000000, "c", TAGS_3, NULL, 0},
    {"gauge, 10k series", 10000, "g", "", NULL, 0},
    {"set, 10k series", 10000, "s", "", NULL, 0},
    {"timer, 10k series", 10000, "ms", "", "counter, 10k series", 0},
    {"timer, 10k series, decimals", 10000, ".5|ms", "", "counter, 10k series", 0},
    {"timer, 10k series, 100 buckets", 10000, "ms", "", "counter, 10k series", 100},
    {"timer, 10k series, 3 tags", 10000, "ms", TAGS_3, "counter, 10k series, 3 tags", 0},
    {"timer, 10k series, @1", 10000, "ms", "|@1", "timer, 10k series", 0},
    {"timer, 10k series, @0.0000001", 10000, "ms", "|@0.0000001", "timer, 10k series, @1", 0},
    {"timer, 100k series", 100000, "ms", "", "counter, 100k series", 0},
};
#define ROW_COUNT (sizeof rows / sizeof rows[0])

static struct run {
    bool wanted;
    struct slice text;
    size_t metrics;
    struct intake *intake;
    double ns[TURNS];
} runs[ROW_COUNT];

static void make_lines(const struct row *row, struct run *run)
{
    int values = row->values ? row->values : METRICS_MIN / row->series + 1;
    const char *bar = row->type[0] == '.' ? "" : "|";
    run->metrics = (size_t)row->series * (size_t)values;
    char *text = alloc_resize(NULL, run->metrics, LINE_MAX);
    size_t len = 0;
    for (int i = 0; i < row->series * values; i++) {
        int series = (int)((int64_t)i * STRIDE % row->series);
        int value = 1 + (int)(((int64_t)series * 7919 + i / row->series * 104729) % 2000);
        len += (size_t)snprintf(text + len, LINE_MAX, "bench.requests.%05d:%d%s%s%s\n", series,
                                value, bar, row->type, row->rest);
    }
    run->text = slice_make(alloc_resize(text, len, 1), len);
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

static int row_of(const char *name)
{
    for (size_t i = 0; name && i < ROW_COUNT; i++)
        if (strcmp(rows[i].name, name) == 0)
            return (int)i;
    return -1;
}

static void prepare(const char *word)
{
    for (size_t i = ROW_COUNT; i-- > 0;) { /* what is compared with comes before */
        int base = row_of(rows[i].base);
        if (!runs[i].wanted && word && !strstr(rows[i].name, word))
            continue;
        runs[i].wanted = true;
        if (base >= 0)
            runs[base].wanted = true;
        make_lines(&rows[i], &runs[i]);
        runs[i].intake = intake_new(&(struct intake_options){
            .entries_max = SERIES_MAX, .key_bytes_max = SIZE_MAX, .sketch_bytes_max = SIZE_MAX});
    }
}

/* Once unmeasured: names are made, or the others' lines leave the caches. */
static void measure(struct run *run, int turn)
{
    add_all(run->intake, run->text);
    double start = cpu_ns();
    for (int i = 0; i < PASSES; i++)
        add_all(run->intake, run->text);
    run->ns[turn] = (cpu_ns() - start) / PASSES / (double)run->metrics;
}

static int by_size(const void *a, const void *b)
{
    const double *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

/* Of the turns, less those of a base if there is one. */
static double median(const struct run *run, const struct run *base)
{
    double sorted[TURNS];
    for (int i = 0; i < TURNS; i++)
        sorted[i] = run->ns[i] - (base ? base->ns[i] : 0);
    qsort(sorted, TURNS, sizeof *sorted, by_size);
    return sorted[TURNS / 2];
}

static void print_row(size_t i)
{
    int base = row_of(rows[i].base);
    printf("%-36s %6.1f ns", rows[i].name, median(&runs[i], NULL));
    if (base >= 0)
        printf("  %+5.1f over %s", median(&runs[i], &runs[base]), rows[base].name);
    putchar('\n');
}

int main(int argc, char **argv)
{
    prepare(argc > 1 ? argv[1] : NULL);
    for (int turn = 0; turn < TURNS; turn++)
        for (size_t i = 0; i < ROW_COUNT; i++)
            if (runs[i].wanted)
                measure(&runs[i], turn);
    for (size_t i = 0; i < ROW_COUNT; i++)
        if (runs[i].wanted)
            print_row(i);
    return 0;
}
