/* stats: one walk over the metric tables, for two readers.
 *
 *     static struct metric rows[] ──┬─▶ GET /metrics     # HELP, # TYPE, name{labels} value
 *     (every module)                └─▶ registry         counters as what was added since last time
 *
 * The registry keeps totals that go on after a restart, while the rows start at 0; so a counter is
 * fed by its growth. Rows are never unregistered and come in a fixed order, so the n-th row is the
 * n-th entry of `fed` for as long as the process lives.
 */
#include "server/stats.h"

#include <assert.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "server/version.h"
#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/metric.h"

#define ROW_LABELS_MAX 8
#define ROWS_MAX       2048
#define ARENA_MAX      ((size_t)4 << 20)

enum stats_row {
    ROW_BUILD,
    ROW_RESIDENT,
    ROW_CPU,
    ROW_START,
    ROW_DESCRIPTORS,
    ROW_SERIES,
    ROW_DISK,
    ROW_MEMORY,
    ROW_COUNT,
};

static struct metric stats_metrics[ROW_COUNT] = {
    [ROW_BUILD] = {"lapwing_build_info", METRIC_GAUGE, "version=\"" LAPWING_VERSION "\"",
                   "Always 1; the label says which build this is.", 0, 1},
    [ROW_RESIDENT] = {"process_resident_memory_bytes", METRIC_GAUGE, NULL, "Memory in RAM.", 0, 0},
    [ROW_CPU] = {"process_cpu_seconds_total", METRIC_COUNTER, NULL,
                 "Processor time of all threads, user and system.", 1e-9, 0},
    [ROW_START] = {"process_start_time_seconds", METRIC_GAUGE, NULL,
                   "When the server started, in seconds since 1970.", 1e-3, 0},
    [ROW_DESCRIPTORS] = {"process_open_fds", METRIC_GAUGE, NULL, "File descriptors open.", 0, 0},
    [ROW_SERIES] = {"lapwing_series", METRIC_GAUGE, NULL, "Series in the store.", 0, 0},
    [ROW_DISK] = {"lapwing_store_disk_bytes", METRIC_GAUGE, NULL, "Size of the store's files.", 0,
                  0},
    [ROW_MEMORY] = {"lapwing_store_memory_bytes", METRIC_GAUGE, NULL,
                    "Memory of the store's caches and write buffers.", 0, 0},
};

/* What the registry was last told of a row. */
struct fed {
    const struct metric *metric;
    struct labels labels;
    double value;
};

struct stats {
    struct store *store;
    struct arena arena; /* labels of `fed`; writer thread */
    struct fed *fed;
    size_t count, capacity;
};

/* --- the process rows --- */

int64_t stats_resident_bytes(void)
{
    char text[128] = "";
    char *rest;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (!fgets(text, sizeof text, file))
        text[0] = 0;
    fclose(file);
    strtoll(text, &rest, 10); /* the first field is the virtual size */
    return strtoll(rest, NULL, 10) * sysconf(_SC_PAGESIZE);
}

static int64_t process_cpu_ns(void)
{
    struct timespec spent;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return (int64_t)spent.tv_sec * 1000000000 + spent.tv_nsec;
}

static int64_t open_descriptors(void)
{
    int64_t count = -3; /* ".", ".." and the directory's own */
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        return 0;
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void refresh(struct stats *stats)
{
    struct store_stats store;
    store_stats(stats->store, &store);
    metric_set(&stats_metrics[ROW_RESIDENT], stats_resident_bytes());
    metric_set(&stats_metrics[ROW_CPU], process_cpu_ns());
    metric_set(&stats_metrics[ROW_DESCRIPTORS], open_descriptors());
    metric_set(&stats_metrics[ROW_SERIES], (int64_t)store.series);
    metric_set(&stats_metrics[ROW_DISK], (int64_t)store.disk_bytes);
    metric_set(&stats_metrics[ROW_MEMORY], (int64_t)store.memory_bytes);
}

struct stats *stats_new(struct store *store)
{
    struct stats *stats = alloc_zeroed(1, sizeof *stats);
    stats->store = store;
    arena_init(&stats->arena, ARENA_MAX);
    metric_set(&stats_metrics[ROW_START], clock_real_ms());
    metric_register(stats_metrics, ROW_COUNT);
    return stats;
}

void stats_free(struct stats *stats)
{
    if (!stats)
        return;
    arena_release(&stats->arena);
    free(stats->fed);
    free(stats);
}

/* --- /metrics --- */

/* A name may have rows in several tables; the format wants them together. */
struct listing {
    const struct metric *at[ROWS_MAX];
    size_t count;
};

static void list_row(const struct metric *metric, void *arg)
{
    struct listing *list = arg;
    assert(list->count < ROWS_MAX);
    list->at[list->count++] = metric;
}

static int compare_rows(const void *a, const void *b)
{
    const struct metric *x = *(const struct metric *const *)a;
    const struct metric *y = *(const struct metric *const *)b;
    int order = strcmp(x->name, y->name);
    return order != 0 ? order : strcmp(x->labels ? x->labels : "", y->labels ? y->labels : "");
}

static void render_row(const struct metric *metric, bool first, struct buffer *out)
{
    if (first)
        buffer_append_format(out, "# HELP %s %s\n# TYPE %s %s\n", metric->name, metric->help,
                             metric->name, metric->kind == METRIC_COUNTER ? "counter" : "gauge");
    buffer_append_string(out, metric->name);
    if (metric->labels)
        buffer_append_format(out, "{%s}", metric->labels);
    double value = metric_value(metric);
    bool whole = value == floor(value) && fabs(value) < 1e15;
    buffer_append_format(out, whole ? " %.0f\n" : " %.17g\n", value);
}

void stats_render(struct stats *stats, struct buffer *out)
{
    struct listing list = {.count = 0};
    refresh(stats);
    metric_each(list_row, &list);
    qsort(list.at, list.count, sizeof list.at[0], compare_rows);
    for (size_t i = 0; i < list.count; i++)
        render_row(list.at[i], i == 0 || strcmp(list.at[i - 1]->name, list.at[i]->name) != 0, out);
}

/* --- series of our own --- */

/* name="value",name="value" (no escapes: the text is ours) and the metric's name, sorted. */
static struct labels parse_labels(struct arena *arena, const struct metric *metric)
{
    struct label at[ROW_LABELS_MAX];
    size_t count = 0;
    struct slice rest = slice_of_string(metric->labels), quote;
    at[count++] = (struct label){SLICE_LIT(LABEL_NAME), slice_of_string(metric->name)};
    while (rest.len && count < ROW_LABELS_MAX) {
        struct label *label = &at[count++];
        slice_cut(&rest, '=', &label->name);
        slice_cut(&rest, '"', &quote);
        slice_cut(&rest, '"', &label->value);
        if (rest.len && rest.at[0] == ',')
            rest = slice_skip(rest, 1);
    }
    labels_sort(at, count);
    return labels_copy(arena, (struct labels){at, count});
}

static struct fed *append(struct stats *stats, const struct metric *metric)
{
    if (stats->count == stats->capacity) {
        stats->capacity = stats->capacity ? stats->capacity * 2 : 128;
        stats->fed = alloc_resize(stats->fed, stats->capacity, sizeof *stats->fed);
    }
    struct fed *fed = &stats->fed[stats->count++];
    *fed = (struct fed){.metric = metric, .labels = parse_labels(&stats->arena, metric)};
    return fed;
}

struct feeding {
    struct stats *stats;
    struct registry *registry;
    size_t index;
};

static void feed_row(const struct metric *metric, void *arg)
{
    struct feeding *f = arg;
    struct fed *fed =
        f->index < f->stats->count ? &f->stats->fed[f->index] : append(f->stats, metric);
    assert(fed->metric == metric);
    f->index++;
    double value = metric_value(metric);
    if (metric->kind == METRIC_GAUGE)
        registry_gauge(f->registry, fed->labels, value);
    else
        registry_count(f->registry, fed->labels, value > fed->value ? value - fed->value : 0);
    fed->value = value;
}

void stats_feed(struct stats *stats, struct registry *registry)
{
    struct feeding f = {.stats = stats, .registry = registry};
    refresh(stats);
    metric_each(feed_row, &f);
}
