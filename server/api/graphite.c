/* graphite: see the header.
 *
 * Points lie on a grid: of the flush interval where maxDataPoints allows, else coarser, from 5 minutes on in
 * whole multiples of that, from an hour on in hours, as rollups are. They are not thinned out
 * afterwards: a point is made of everything in its step.
 */
#include "server/api/graphite.h"

#include <math.h>

#include "query/promql.h"
#include "query/view.h"
#include "server/api/prometheus.h"
#include "server/wire/graphite_time.h"
#include "storage/base/clock.h"
#include "storage/base/json.h"
#include "storage/base/number.h"

#define DAY_MS      ((int64_t)86400 * 1000)
#define TIME_MAX_MS ((int64_t)9000000000000000)
#define NS_PER_MS   ((int64_t)1000000)
#define ERROR_BYTES 200 /* of a target shown in an error */

struct work {
    const struct http_request *request;
    const struct prometheus_api *api;
    struct arena arena;
    struct view_request view;
};

/* --- parameters --- */

static int read_time(const struct http_request *request, const char *name, int64_t now_ms,
                     int64_t *out_ms, struct error *err)
{
    struct slice text;
    if (!http_get_param(request, name, &text) || text.len == 0)
        return 0;
    if (graphite_time(text, now_ms, out_ms))
        return 0;
    return error_set(err, ERROR_BAD_DATA,
                     "%s must be a time like -1h, now, 1656581400 or 09:30_20220630, not "
                     "\"" SLICE_FMT "\"",
                     name, SLICE_ARG(slice_head(text, ERROR_BYTES)));
}

static int64_t round_up(int64_t value, int64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

static int64_t step_for(int64_t range_ms, int64_t flush_ms, int64_t points_max)
{
    int64_t step_ms = round_up(range_ms / points_max, flush_ms);
    if (step_ms < flush_ms)
        step_ms = flush_ms;
    if (step_ms > STORE_1H_MS / 2 && step_ms != flush_ms)
        return round_up(step_ms, STORE_1H_MS);
    if (step_ms > STORE_5M_MS / 2 && step_ms != flush_ms)
        return round_up(step_ms, STORE_5M_MS);
    return step_ms;
}

/* Other formats are other bodies, which nobody should take for this one. */
static int check_format(const struct http_request *request, const char *taken, struct error *err)
{
    struct slice format;
    if (!http_get_param(request, "format", &format) || format.len == 0 ||
        slice_equal_string(format, taken))
        return 0;
    return error_set(err, ERROR_BAD_DATA,
                     "format must be %s, not \"" SLICE_FMT
                     "\": pictures and texts are not made here",
                     taken, SLICE_ARG(slice_head(format, ERROR_BYTES)));
}

static int read_points(const struct http_request *request, int64_t *out, struct error *err)
{
    struct slice text;
    *out = PROMQL_POINTS_MAX;
    if (!http_get_param(request, "maxDataPoints", &text) || text.len == 0)
        return 0;
    double points;
    if (!slice_to_double(text, &points) || points < 1)
        return error_set(err, ERROR_BAD_DATA, "maxDataPoints must be a number above zero");
    *out = points < PROMQL_POINTS_MAX ? (int64_t)points : PROMQL_POINTS_MAX;
    return 0;
}

static int read_range(struct work *work, struct error *err)
{
    struct view_request *view = &work->view;
    int64_t now_ms = clock_now_ms(), points;
    view->start_ms = now_ms - DAY_MS;
    view->end_ms = now_ms;
    if (read_time(work->request, "from", now_ms, &view->start_ms, err) ||
        read_time(work->request, "until", now_ms, &view->end_ms, err) ||
        read_points(work->request, &points, err))
        return -1;
    if (view->start_ms < 0 || view->start_ms > view->end_ms)
        return error_set(err, ERROR_BAD_DATA, "from must be after 1970 and before until");
    view->step_ms = step_for(view->end_ms - view->start_ms,
                             work->api->config->statsd.flush_interval_ms, points);
    return 0;
}

/* --- answers --- */

static void put_point(struct buffer *out, double value, int64_t time_ms)
{
    if (isfinite(value)) {
        buffer_append_char(out, '[');
        number_print(value, NUMBER_API, out);
    } else {
        buffer_append_string(out, "[null");
    }
    buffer_append_format(out, ",%lld]", (long long)(time_ms / 1000));
}

/* The path with the tags behind it, and the tags by name. */
static void put_names(struct json_writer *writer, const struct view_series *series,
                      struct arena *arena)
{
    struct slice target = series->path;
    for (size_t i = 0; i < series->labels.count; i++) {
        struct label label = series->labels.at[i];
        if (!slice_equal(label.name, SLICE(LABEL_NAME)))
            target = arena_format(arena, SLICE_FMT ";" SLICE_FMT "=" SLICE_FMT, SLICE_ARG(target),
                                  SLICE_ARG(label.name), SLICE_ARG(label.value));
    }
    json_field_string(writer, "target", target);
    json_key(writer, SLICE("tags"));
    json_begin_object(writer);
    json_field_string(writer, "name", series->path);
    for (size_t i = 0; i < series->labels.count; i++) {
        struct label label = series->labels.at[i];
        if (slice_equal(label.name, SLICE(LABEL_NAME)) || slice_equal(label.name, SLICE("name")))
            continue;
        json_key(writer, label.name);
        json_put_string(writer, label.value);
    }
    json_end_object(writer);
}

static void put_series(struct work *work, const struct view_result *result,
                       const struct view_series *series, struct buffer *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    put_names(&writer, series, &work->arena);
    json_key(&writer, SLICE("datapoints"));
    buffer_append_char(out, '[');
    for (size_t i = 0; i < result->points; i++) {
        if (i)
            buffer_append_char(out, ',');
        put_point(out, series->values[i], result->first_ms + (int64_t)i * work->view.step_ms);
    }
    buffer_append_string(out, "]}");
}

/* constantLine(100): the data source's test. False: it is something else. */
static bool put_constant(struct work *work, struct slice target, struct buffer *out)
{
    const struct slice name = SLICE("constantLine(");
    double value;
    if (!slice_starts_with(target, name) || target.at[target.len - 1] != ')' ||
        !slice_to_double(slice_head(slice_skip(target, name.len), target.len - name.len - 1),
                         &value))
        return false;
    buffer_append_string(out, "{\"target\":");
    json_append_quoted(out, target);
    buffer_append_string(out, ",\"tags\":{},\"datapoints\":[");
    put_point(out, value, work->view.start_ms);
    buffer_append_char(out, ',');
    put_point(out, value, work->view.end_ms);
    buffer_append_string(out, "]}");
    return true;
}

/* --- queries --- */

static int expand(struct work *work, struct slice text, struct target **out, size_t *count,
                  struct error *err)
{
    if (memchr(text.at, '(', text.len))
        return error_set(err, ERROR_BAD_DATA,
                         "\"" SLICE_FMT
                         "\": functions are not known here; ask for the path alone, or "
                         "in PromQL at /api/v1/query_range",
                         SLICE_ARG(slice_head(text, ERROR_BYTES)));
    return target_expand(text, &work->arena, out, count, err);
}

static int render_target(struct work *work, struct slice text, struct buffer *out,
                         struct error *err)
{
    struct view_result result = {.count = 0};
    struct target *targets;
    size_t count = 0;
    const char *between = out->len > 1 ? "," : "";
    if (text.len && put_constant(work, text, out))
        return 0;
    if (expand(work, text, &targets, &count, err))
        return -1;
    for (size_t i = 0; i < count; i++)
        if (view_render(&work->view, &targets[i], &work->arena, &result, err))
            return -1;
    for (size_t i = 0; i < result.count; i++) {
        buffer_append_string(out, between);
        put_series(work, &result, &result.at[i], out);
        between = ",";
    }
    work->view.samples_max -= result.samples_read;
    return 0;
}

static int render(struct work *work, struct buffer *out, struct error *err)
{
    const struct http_request *request = work->request;
    size_t targets = 0;
    if (check_format(request, "json", err) || read_range(work, err))
        return -1;
    buffer_append_char(out, '[');
    for (size_t i = 0; i < request->param_count; i++) {
        if (!slice_equal(request->params[i].name, SLICE("target")))
            continue;
        targets++;
        if (render_target(work, slice_trim(request->params[i].value), out, err))
            return -1;
    }
    buffer_append_char(out, ']');
    return targets ? 0 : error_set(err, ERROR_BAD_DATA, "target is missing: say which path");
}

static void put_node(struct json_writer *writer, const struct view_node *node, bool leaf)
{
    struct slice text = node->path, rest = node->path;
    while (target_cut_node(&rest, &text))
        continue;
    json_begin_object(writer);
    json_field_string(writer, "text", text);
    json_field_string(writer, "id", node->path);
    json_field_int(writer, "allowChildren", !leaf);
    json_field_int(writer, "expandable", !leaf);
    json_field_int(writer, "leaf", leaf);
    json_key(writer, SLICE("context"));
    json_begin_object(writer);
    json_end_object(writer);
    json_end_object(writer);
}

static int find_nodes(struct work *work, struct slice query, struct view_nodes *nodes,
                      struct error *err)
{
    struct target *targets;
    size_t count = 0;
    work->view.start_ms = 0;
    work->view.end_ms = TIME_MAX_MS;
    if (expand(work, slice_trim(query), &targets, &count, err))
        return -1;
    for (size_t i = 0; i < count; i++)
        if (view_find(&work->view, &targets[i], &work->arena, nodes, err))
            return -1;
    return 0;
}

/* {"results":["stats.timers.api",...]}, of all patterns in `query`. */
static int list_paths(struct work *work, struct buffer *out, struct error *err)
{
    const struct http_request *request = work->request;
    struct view_nodes nodes = {.count = 0};
    struct json_writer writer;
    for (size_t i = 0; i < request->param_count; i++)
        if (slice_equal(request->params[i].name, SLICE("query")) &&
            find_nodes(work, request->params[i].value, &nodes, err))
            return -1;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_key(&writer, SLICE("results"));
    json_begin_array(&writer);
    for (size_t i = 0; i < nodes.count; i++)
        json_put_string(&writer, nodes.at[i].path);
    json_end_array(&writer);
    json_end_object(&writer);
    return 0;
}

static int find(struct work *work, struct buffer *out, struct error *err)
{
    struct view_nodes nodes = {.count = 0};
    struct slice query = SLICE("");
    struct json_writer writer;
    http_get_param(work->request, "query", &query);
    if (check_format(work->request, "treejson", err) || find_nodes(work, query, &nodes, err))
        return -1;
    json_writer_init(&writer, out);
    json_begin_array(&writer);
    for (size_t i = 0; i < nodes.count; i++) {
        if (nodes.at[i].expandable)
            put_node(&writer, &nodes.at[i], false);
        if (nodes.at[i].leaf)
            put_node(&writer, &nodes.at[i], true);
    }
    json_end_array(&writer);
    return 0;
}

/* --- routes --- */

static void with_work(const struct http_request *request, struct http_reply *reply,
                      int (*answer)(struct work *work, struct buffer *out, struct error *err))
{
    const struct prometheus_api *api = request->context;
    struct work work = {.request = request, .api = api};
    struct active_query active = {
        .language = "graphite", .text = request->path, .request = request};
    struct error err = {0};
    struct promql_share share = {.pool = api->memory};
    /* One half for results, one for the samples of a series. */
    const size_t memory_max = (size_t)api->config->limits.query_memory_bytes / 2;
    arena_init(&work.arena, memory_max);
    work.view = (struct view_request){
        .store = api->store,
        .samples_max = api->config->limits.query_samples,
        .scratch_max = memory_max,
        .deadline_ns = clock_monotonic_ns() + api->config->limits.query_timeout_ms * NS_PER_MS,
        .share = &share,
        .cancelled = request->cancelled,
    };
    http_get_param(request, "target", &active.text);
    active_begin(api->active, &active);
    int status = answer(&work, &reply->body, &err);
    if (status == 0 && reply->body.overflow)
        status = error_set(&err, ERROR_TOO_LARGE,
                           "the answer is too large; ask for fewer points "
                           "or a narrower path");
    active_end(api->active, &active, status ? err.text : NULL);
    if (status) {
        buffer_reset(&reply->body);
        http_refuse_json(reply, &err);
    }
    arena_release(&work.arena);
    promql_share_return(&share);
}

static void handle_render(const struct http_request *request, struct http_reply *reply)
{
    with_work(request, reply, render);
}

static void handle_find(const struct http_request *request, struct http_reply *reply)
{
    with_work(request, reply, find);
}

static void handle_expand(const struct http_request *request, struct http_reply *reply)
{
    with_work(request, reply, list_paths);
}

#define ROUTE(path, handler)                                                                       \
    {                                                                                              \
        .methods = HTTP_GET | HTTP_POST | HTTP_SLOW, .pattern = (path), .handle = (handler),       \
        .cors = true, .refuse = http_refuse_json                                                   \
    }

/* Graphite's own documentation writes them with a slash at the end. */
const struct http_route graphite_routes[] = {
    ROUTE("/render", handle_render),         ROUTE("/render/", handle_render),
    ROUTE("/metrics/find", handle_find),     ROUTE("/metrics/find/", handle_find),
    ROUTE("/metrics/expand", handle_expand), ROUTE("/metrics/expand/", handle_expand),
};
const size_t graphite_route_count = sizeof graphite_routes / sizeof graphite_routes[0];
