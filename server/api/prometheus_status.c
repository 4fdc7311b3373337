/* prometheus_status: what a Prometheus says about itself, as far as it means anything here.
 *
 * Grafana decides by the version which parameters it may send, and by the absence of "features"
 * that this is no Mimir. Lists of scrape targets and Alertmanagers are valid and empty: lapwing is
 * pushed to, and alerts by itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "server/api/prometheus_request.h"
#include "server/version.h"
#include "server/wire/timestamp.h"
#include "storage/base/json.h"

#define TOP_COUNT 10 /* rows of the lists in status/tsdb */

/* Runs `fill` between the envelope's ends. */
static void answer(const struct http_request *request, struct http_reply *reply,
                   void (*fill)(const struct prometheus_api *, struct json_writer *))
{
    struct json_writer writer;
    api_begin(reply);
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    fill(request->context, &writer);
    json_end_object(&writer);
    api_end(reply, NULL);
}

static void fill_buildinfo(const struct prometheus_api *api, struct json_writer *writer)
{
    (void)api;
    json_field_string(writer, "version", SLICE(API_PRODUCT_VERSION));
    json_field_string(writer, "revision", SLICE("lapwing-" LAPWING_VERSION));
    json_field_string(writer, "branch", SLICE("main"));
    json_field_string(writer, "buildUser", SLICE(""));
    json_field_string(writer, "buildDate", SLICE(""));
    json_field_string(writer, "goVersion", SLICE(""));
}

static void fill_runtimeinfo(const struct prometheus_api *api, struct json_writer *writer)
{
    char start[TIMESTAMP_TEXT_SIZE], directory[4096], retention[32];
    timestamp_print(api->start_ms, start);
    if (!getcwd(directory, sizeof directory))
        directory[0] = 0;
    snprintf(retention, sizeof retention, "%llds",
             (long long)(api->config->retention.raw_ms / 1000));
    json_field_string(writer, "startTime", slice_of_string(start));
    json_field_string(writer, "CWD", slice_of_string(directory));
    json_field_bool(writer, "reloadConfigSuccess", true);
    json_field_string(writer, "lastConfigTime", slice_of_string(start));
    json_field_int(writer, "corruptionCount", 0);
    json_field_int(writer, "goroutineCount", 0);
    json_field_int(writer, "GOMAXPROCS", sysconf(_SC_NPROCESSORS_ONLN));
    json_field_string(writer, "GOGC", SLICE(""));
    json_field_string(writer, "GODEBUG", SLICE(""));
    json_field_string(writer, "storageRetention", slice_of_string(retention));
}

static void fill_config(const struct prometheus_api *api, struct json_writer *writer)
{
    struct buffer text;
    buffer_init(&text, (size_t)1 << 20);
    config_print(api->config, &text);
    json_field_string(writer, "yaml", buffer_slice(&text));
    buffer_release(&text);
}

/* There are no flags that could be read back; the configuration says everything. */
static void fill_nothing(const struct prometheus_api *api, struct json_writer *writer)
{
    (void)api;
    (void)writer;
}

static void fill_walreplay(const struct prometheus_api *api, struct json_writer *writer)
{
    (void)api;
    json_field_int(writer, "min", 0);
    json_field_int(writer, "max", 0);
    json_field_int(writer, "current", 0);
}

static void empty_list(struct json_writer *writer, const char *key)
{
    json_key(writer, slice_of_string(key));
    json_begin_array(writer);
    json_end_array(writer);
}

static void fill_targets(const struct prometheus_api *api, struct json_writer *writer)
{
    (void)api;
    empty_list(writer, "activeTargets");
    empty_list(writer, "droppedTargets");
}

static void fill_alertmanagers(const struct prometheus_api *api, struct json_writer *writer)
{
    (void)api;
    empty_list(writer, "activeAlertmanagers");
    empty_list(writer, "droppedAlertmanagers");
}

/* --- status/tsdb --- */

struct counted {
    struct slice name;
    size_t count;
};

static int compare_counts(const void *a, const void *b)
{
    size_t x = ((const struct counted *)a)->count, y = ((const struct counted *)b)->count;
    return (x < y) - (x > y);
}

/* Series of a metric, or distinct values of a label; 0 when it cannot be said. */
static size_t count_series(struct store *store, struct slice name, struct arena *arena)
{
    struct matcher matcher = {MATCH_EQUAL, SLICE(LABEL_NAME), name, NULL};
    struct store_query query = {.matchers = &matcher,
                                .matcher_count = 1,
                                .start_ms = -API_TIME_MAX_MS,
                                .end_ms = API_TIME_MAX_MS};
    struct store_selection series;
    struct error ignored;
    return store_select(store, &query, arena, &series, &ignored) == 0 ? series.count : 0;
}

static size_t count_values(struct store *store, struct slice name, struct arena *arena)
{
    struct slice_list values;
    struct error ignored;
    return store_label_values(store, &(struct store_query){.label = name}, arena, &values,
                              &ignored) == 0
               ? values.count
               : 0;
}

/* The names with the largest counts. Returns the sum of all counts. */
static size_t put_top(const struct prometheus_api *api, struct json_writer *writer,
                      const struct slice_list *names,
                      size_t (*count)(struct store *, struct slice, struct arena *))
{
    struct arena rows_arena, scratch;
    size_t total = 0;
    arena_init(&rows_arena, (size_t)api->config->limits.query_memory_bytes);
    arena_init(&scratch, rows_arena.limit);
    struct counted *rows = arena_zeroed(&rows_arena, names->count + 1, sizeof *rows);
    json_begin_array(writer);
    for (size_t i = 0; rows && i < names->count; i++) {
        arena_reset(&scratch);
        rows[i] = (struct counted){names->at[i], count(api->store, names->at[i], &scratch)};
        total += rows[i].count;
    }
    if (rows)
        qsort(rows, names->count, sizeof *rows, compare_counts);
    for (size_t i = 0; rows && i < names->count && i < TOP_COUNT; i++) {
        json_begin_object(writer);
        json_field_string(writer, "name", rows[i].name);
        json_field_int(writer, "value", (int64_t)rows[i].count);
        json_end_object(writer);
    }
    json_end_array(writer);
    arena_release(&scratch);
    arena_release(&rows_arena);
    return total;
}

static void fill_tsdb(const struct prometheus_api *api, struct json_writer *writer)
{
    struct arena arena;
    struct error ignored;
    struct store_stats stats;
    struct slice_list metrics = {NULL, 0}, labels = {NULL, 0};
    arena_init(&arena, (size_t)api->config->limits.query_memory_bytes);
    store_stats(api->store, &stats);
    if (store_label_values(api->store, &(struct store_query){.label = SLICE(LABEL_NAME)}, &arena,
                           &metrics, &ignored) < 0)
        metrics.count = 0;
    if (store_label_names(api->store, &(struct store_query){0}, &arena, &labels, &ignored) < 0)
        labels.count = 0;
    json_key(writer, SLICE("seriesCountByMetricName"));
    put_top(api, writer, &metrics, count_series);
    json_key(writer, SLICE("labelValueCountByLabelName"));
    size_t pairs = put_top(api, writer, &labels, count_values);
    empty_list(writer, "memoryInBytesByLabelName");
    empty_list(writer, "seriesCountByLabelValuePair");
    json_key(writer, SLICE("headStats"));
    json_begin_object(writer);
    json_field_int(writer, "numSeries", (int64_t)stats.series);
    json_field_int(writer, "numLabelPairs", (int64_t)pairs);
    json_field_int(writer, "chunkCount", 0);
    json_field_int(writer, "minTime", 0);
    json_field_int(writer, "maxTime", 0);
    json_end_object(writer);
    arena_release(&arena);
}

void api_get_buildinfo(const struct http_request *request, struct http_reply *reply)
{
    answer(request, reply, fill_buildinfo);
}

void api_get_runtimeinfo(const struct http_request *request, struct http_reply *reply)
{
    answer(request, reply, fill_runtimeinfo);
}

void api_get_config(const struct http_request *request, struct http_reply *reply)
{
    answer(request, reply, fill_config);
}

void api_get_flags(const struct http_request *request, struct http_reply *reply)
{
    answer(request, reply, fill_nothing);
}

void api_get_tsdb(const struct http_request *request, struct http_reply *reply)
{
    answer(request, reply, fill_tsdb);
}

void api_get_walreplay(const struct http_request *request, struct http_reply *reply)
{
    answer(request, reply, fill_walreplay);
}

void api_get_targets(const struct http_request *request, struct http_reply *reply)
{
    answer(request, reply, fill_targets);
}

void api_get_alertmanagers(const struct http_request *request, struct http_reply *reply)
{
    answer(request, reply, fill_alertmanagers);
}

void api_get_empty_list(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    api_begin(reply);
    buffer_append_string(&reply->body, "[]");
    api_end(reply, NULL);
}
