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

#define TOP_COUNT      10 /* rows of the lists in status/tsdb */
#define TOP_COUNT_MAX  1000
#define PAIR_BYTES_MAX ((size_t)1 << 20)

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

static void fill_scrape_pools(const struct prometheus_api *api, struct json_writer *writer)
{
    (void)api;
    empty_list(writer, "scrapePools");
}

/* --- status/tsdb --- */

static void put_counts(struct json_writer *writer, const char *key, const struct store_counts *rows)
{
    json_key(writer, slice_of_string(key));
    json_begin_array(writer);
    for (size_t i = 0; i < rows->count; i++) {
        struct buffer name;
        buffer_init(&name, PAIR_BYTES_MAX);
        buffer_append_slice(&name, rows->at[i].name);
        if (rows->at[i].value.len) {
            buffer_append_char(&name, '=');
            buffer_append_slice(&name, rows->at[i].value);
        }
        json_begin_object(writer);
        json_field_string(writer, "name", buffer_slice(&name));
        json_field_int(writer, "value", (int64_t)rows->at[i].count);
        json_end_object(writer);
        buffer_release(&name);
    }
    json_end_array(writer);
}

static void put_head(const struct prometheus_api *api, const struct store_cardinality *index,
                     struct json_writer *writer)
{
    int64_t oldest_ms, newest_ms;
    store_extent(api->store, &oldest_ms, &newest_ms);
    bool any = oldest_ms <= newest_ms;
    json_key(writer, SLICE("headStats"));
    json_begin_object(writer);
    json_field_int(writer, "numSeries", (int64_t)index->series);
    json_field_int(writer, "numLabelPairs", (int64_t)index->label_pairs);
    json_field_int(writer, "chunkCount", (int64_t)index->open_chunks);
    json_field_int(writer, "minTime", any ? oldest_ms : 0);
    json_field_int(writer, "maxTime", any ? newest_ms : 0);
    json_end_object(writer);
}

static int answer_tsdb(const struct http_request *request, struct http_reply *reply,
                       struct error *err)
{
    const struct prometheus_api *api = request->context;
    struct store_cardinality index = {.series = 0};
    struct json_writer writer;
    struct slice asked;
    size_t limit;
    if (api_limit(request, "limit", &limit, err) < 0)
        return -1;
    if (!http_get_param(request, "limit", &asked) || asked.len == 0)
        limit = TOP_COUNT;
    if (limit == 0)
        return error_set(err, ERROR_BAD_DATA,
                         "invalid parameter \"limit\": limit must be a positive number");
    limit = limit > TOP_COUNT_MAX ? TOP_COUNT_MAX : limit;
    if (store_cardinality(api->store, limit, request->arena, &index, err))
        return -1;
    api_begin(reply);
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    put_head(api, &index, &writer);
    put_counts(&writer, "seriesCountByMetricName", &index.metrics);
    put_counts(&writer, "labelValueCountByLabelName", &index.values);
    put_counts(&writer, "memoryInBytesByLabelName", &index.bytes);
    put_counts(&writer, "seriesCountByLabelValuePair", &index.pairs);
    json_end_object(&writer);
    api_end(reply, NULL);
    return 0;
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
    struct error err = {0};
    if (answer_tsdb(request, reply, &err) < 0)
        api_refuse(reply, &err);
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

void api_get_scrape_pools(const struct http_request *request, struct http_reply *reply)
{
    answer(request, reply, fill_scrape_pools);
}

void api_get_empty_list(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    api_begin(reply);
    buffer_append_string(&reply->body, "[]");
    api_end(reply, NULL);
}
