/* influx: see the header.
 *
 *   body -> lines -> readings -> rows, sorted by series -> jobs of the writer -> one answer
 */
#include "server/api/influx.h"

#include <stdio.h>

#include "server/api/import.h"
#include "server/api/import_rows.h"
#include "server/ingest/feed.h"
#include "server/wire/influx.h"
#include "storage/base/clock.h"
#include "storage/base/json.h"

#define SHOWN_BYTES 100 /* of a line in an error */
#define VERSION     SLICE("1.8.10")

struct influx_work {
    struct import_rows rows;
    struct influx_options options;
    size_t rejected, unsupported;
    size_t first_line; /* number of the first one that was refused */
    struct refusals *refusals;
    struct peer peer;
    char first_error[400];
};

void influx_init(void)
{
    metric_register(feed_influx.metrics, feed_influx.metric_count);
}

static void count(int row, size_t n)
{
    metric_add(&feed_influx.metrics[row], (int64_t)n);
}

/* --- errors --- */

static void refuse_v1(struct http_reply *reply, const struct error *err)
{
    struct json_writer writer;
    reply->status = http_status_of(err->kind);
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    json_field_string(&writer, "error", slice_of_string(err->text));
    json_end_object(&writer);
}

static void put_v2(struct http_reply *reply, const struct error *err, size_t line)
{
    static const char *const codes[] = {
        [ERROR_NONE] = "internal error",
        [ERROR_BAD_DATA] = "invalid",
        [ERROR_EXECUTION] = "unprocessable entity",
        [ERROR_NOT_FOUND] = "not found",
        [ERROR_TOO_LARGE] = "request too large",
        [ERROR_LIMIT] = "too many requests",
        [ERROR_TIMEOUT] = "unavailable",
        [ERROR_CANCELED] = "unavailable",
        [ERROR_UNAVAILABLE] = "unavailable",
        [ERROR_INTERNAL] = "internal error",
    };
    struct json_writer writer;
    reply->status = http_status_of(err->kind);
    json_writer_init(&writer, &reply->body);
    json_begin_object(&writer);
    json_field_string(&writer, "code", slice_of_string(codes[err->kind]));
    json_field_string(&writer, "message", slice_of_string(err->text));
    if (line)
        json_field_int(&writer, "line", (int64_t)line);
    json_end_object(&writer);
}

static void refuse_v2(struct http_reply *reply, const struct error *err)
{
    put_v2(reply, err, 0);
}

/* --- reading --- */

static void reject(struct influx_work *work, size_t number, struct slice line,
                   enum influx_reject why)
{
    count(FEED_REJECTS + (int)why, 1);
    refusals_note(work->refusals, why, "http", &work->peer, line);
    if (work->rejected++)
        return;
    work->first_line = number;
    snprintf(work->first_error, sizeof work->first_error, "line %zu: unable to parse '%.*s%s': %s",
             number, SLICE_ARG(slice_head(line, SHOWN_BYTES)), line.len > SHOWN_BYTES ? "..." : "",
             influx_reject_text(why));
}

/* A line that does not fit beside what is gathered is tried again once that is written. */
static int parse(struct influx_work *work, struct slice line, struct timed_line *out,
                 enum influx_reject *why, struct error *err)
{
    struct import_rows *rows = &work->rows;
    *why = influx_parse(line, &work->options, &rows->arena, out);
    if (*why != INFLUX_NO_MEMORY || !rows->pending)
        return 0;
    if (rows_flush(rows, false, err))
        return -1;
    *why = influx_parse(line, &work->options, &rows->arena, out);
    return 0;
}

static int read_lines(struct influx_work *work, struct slice text, struct error *err)
{
    struct import_rows *rows = &work->rows;
    struct influx_lines lines = {.rest = text};
    struct timed_line line;
    struct slice raw;
    enum influx_reject why;
    int64_t now_ms = clock_now_ms();
    while (influx_cut_line(&lines, &raw)) {
        if (parse(work, raw, &line, &why, err))
            return -1;
        if (why != INFLUX_OK) {
            reject(work, lines.number, raw, why);
            continue;
        }
        work->unsupported += line.unsupported;
        for (size_t i = 0; i < line.count; i++) {
            const struct store_column column = {
                .count = 1,
                .times = line.has_time ? &line.time_ms : &now_ms,
                .values = &line.samples[i].value,
            };
            if (rows_add(rows, line.samples[i].labels, SERIES_GAUGE, &column, err))
                return -1;
        }
        if (rows_are_many(rows) && rows_flush(rows, false, err))
            return -1;
    }
    return 0;
}

static int read_options(const struct http_request *request, const char *database,
                        struct influx_options *out, struct error *err)
{
    struct slice precision;
    *out = (struct influx_options){.extra.name = slice_of_string(database)};
    http_get_param(request, database, &out->extra.value);
    if (!http_get_param(request, "precision", &precision) || precision.len == 0)
        return 0;
    if (influx_find_precision(precision, &out->precision))
        return 0;
    return error_set(err, ERROR_BAD_DATA,
                     "invalid precision '" SLICE_FMT "'; it must be ns, us, ms, s, m or h",
                     SLICE_ARG(slice_head(precision, SHOWN_BYTES)));
}

/* What was not stored, though the request as a whole went well. */
static int check_dropped(const struct influx_work *work, struct error *err)
{
    const struct import_rows *rows = &work->rows;
    const char *kind = rows->samples ? "partial write: " : "";
    if (work->rejected)
        return error_set(err, ERROR_BAD_DATA, "%s%s; dropped=%zu", kind, work->first_error,
                         work->rejected);
    if (rows->refused_samples)
        return error_set(err, ERROR_EXECUTION, "%s%s; dropped=%zu", kind, rows->refusal.text,
                         rows->refused_samples);
    if (rows->past_retention)
        return error_set(err, ERROR_EXECUTION, "%spoints beyond retention policy; dropped=%zu",
                         kind, rows->past_retention);
    return 0;
}

static void count_work(const struct influx_work *work)
{
    count(FEED_SAMPLES, work->rows.samples);
    count(FEED_UNSUPPORTED, work->unsupported);
    count(FEED_PAST_RETENTION, work->rows.past_retention);
    count(FEED_SERIES_REFUSED, work->rows.refused_samples - work->rows.clashing_samples);
    count(FEED_TYPE_CLASH, work->rows.clashing_samples);
}

/* --- the routes --- */

/* -1: *err says what was not taken, *line which one. */
static int write_body(const struct http_request *request, const char *database, size_t *line,
                      struct error *err)
{
    const struct import_api *api = request->context;
    struct influx_work work = {.refusals = api->influx_refusals,
                               .peer = peer_of_text(request->peer)};
    if (read_options(request, database, &work.options, err))
        return -1;
    rows_init(&work.rows, api->store, api->writer, (size_t)api->config->limits.query_memory_bytes);
    work.rows.only_readings = true;
    int status = read_lines(&work, request->body, err) || rows_flush(&work.rows, true, err) ||
                         check_dropped(&work, err)
                     ? -1
                     : 0;
    count_work(&work);
    rows_release(&work.rows);
    *line = work.first_line;
    return status;
}

static void put_version(struct http_reply *reply)
{
    reply->headers[reply->header_count++] =
        (struct http_param){SLICE("X-Influxdb-Version"), VERSION};
}

static void handle_write_v1(const struct http_request *request, struct http_reply *reply)
{
    struct error err;
    size_t line = 0;
    put_version(reply);
    if (write_body(request, "db", &line, &err) == 0) {
        reply->status = 204;
        return;
    }
    if (err.kind == ERROR_EXECUTION) /* what is 422 in version 2 */
        err.kind = ERROR_BAD_DATA;
    refuse_v1(reply, &err);
}

static void handle_write_v2(const struct http_request *request, struct http_reply *reply)
{
    struct error err;
    size_t line = 0;
    if (write_body(request, "bucket", &line, &err) == 0)
        reply->status = 204;
    else
        put_v2(reply, &err, line);
}

static void handle_ping(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    put_version(reply);
    reply->status = 204;
}

/* Clients make their database before they write to it. */
static void handle_query(const struct http_request *request, struct http_reply *reply)
{
    static const struct slice create = SLICE_LIT("CREATE DATABASE");
    struct slice query = SLICE("");
    struct error err;
    http_get_param(request, "q", &query);
    put_version(reply);
    if (slice_equal_nocase(slice_head(slice_trim(query), create.len), create)) {
        buffer_append_string(&reply->body, "{\"results\":[{\"statement_id\":0}]}");
        return;
    }
    error_set(&err, ERROR_BAD_DATA,
              "of InfluxQL only CREATE DATABASE is known here; ask in PromQL at /api/v1/query");
    refuse_v1(reply, &err);
}

const struct http_route influx_routes[] = {
    {.methods = HTTP_POST, .pattern = "/write", .handle = handle_write_v1, .refuse = refuse_v1},
    {.methods = HTTP_POST,
     .pattern = "/api/v2/write",
     .handle = handle_write_v2,
     .refuse = refuse_v2},
    {.methods = HTTP_GET, .pattern = "/ping", .handle = handle_ping, .refuse = refuse_v1},
    {.methods = HTTP_GET | HTTP_POST,
     .pattern = "/query",
     .handle = handle_query,
     .refuse = refuse_v1},
};
const size_t influx_route_count = sizeof influx_routes / sizeof influx_routes[0];
