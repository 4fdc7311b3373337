/* import: see the header.
 *
 *   text  -> lines -> rows, sorted by series -> jobs of the writer -> one answer
 *
 * A line costs only itself: what cannot be read is counted by reason, and the first is told. Samples
 * may come in any order and be of any age within retention; the store merges them.
 */
#include "server/api/import.h"

#include <stdio.h>

#include "server/api/import_rows.h"
#include "server/api/remote_write.h"
#include "server/wire/jsonline.h"
#include "server/wire/openmetrics.h"
#include "storage/base/clock.h"
#include "storage/base/json.h"
#include "storage/base/metric.h"

/* Every reason there is, under one name whatever the format. */
enum reason {
    REASON_LONG_LINE,
    REASON_BAD_NAME,
    REASON_BAD_LABELS,
    REASON_MANY_LABELS,
    REASON_BAD_VALUE,
    REASON_BAD_TIME,
    REASON_TRAILING,
    REASON_NO_MEMORY,
    REASON_BAD_JSON,
    REASON_BAD_TYPE,
    REASON_BAD_HISTOGRAM,
    REASON_BAD_SKETCH,
    REASON_COUNT,
};

static const char *const reason_names[REASON_COUNT] = {
    [REASON_LONG_LINE] = "long_line",         [REASON_BAD_NAME] = "bad_name",
    [REASON_BAD_LABELS] = "bad_labels",       [REASON_MANY_LABELS] = "many_labels",
    [REASON_BAD_VALUE] = "bad_value",         [REASON_BAD_TIME] = "bad_time",
    [REASON_TRAILING] = "trailing",           [REASON_NO_MEMORY] = "no_memory",
    [REASON_BAD_JSON] = "bad_json",           [REASON_BAD_TYPE] = "bad_type",
    [REASON_BAD_HISTOGRAM] = "bad_histogram", [REASON_BAD_SKETCH] = "bad_sketch",
};

static const enum reason text_reasons[OPENMETRICS_REJECT_COUNT] = {
    [OPENMETRICS_LONG_LINE] = REASON_LONG_LINE,   [OPENMETRICS_BAD_NAME] = REASON_BAD_NAME,
    [OPENMETRICS_BAD_LABELS] = REASON_BAD_LABELS, [OPENMETRICS_MANY_LABELS] = REASON_MANY_LABELS,
    [OPENMETRICS_BAD_VALUE] = REASON_BAD_VALUE,   [OPENMETRICS_BAD_TIME] = REASON_BAD_TIME,
    [OPENMETRICS_TRAILING] = REASON_TRAILING,     [OPENMETRICS_NO_MEMORY] = REASON_NO_MEMORY,
};

static const enum reason json_reasons[JSONLINE_REJECT_COUNT] = {
    [JSONLINE_BAD_JSON] = REASON_BAD_JSON,     [JSONLINE_BAD_LABELS] = REASON_BAD_LABELS,
    [JSONLINE_BAD_TYPE] = REASON_BAD_TYPE,     [JSONLINE_BAD_VALUE] = REASON_BAD_VALUE,
    [JSONLINE_BAD_TIME] = REASON_BAD_TIME,     [JSONLINE_BAD_HISTOGRAM] = REASON_BAD_HISTOGRAM,
    [JSONLINE_BAD_SKETCH] = REASON_BAD_SKETCH, [JSONLINE_NO_MEMORY] = REASON_NO_MEMORY,
};

enum {
    METRIC_SAMPLES,
    METRIC_PAST_RETENTION,
    METRIC_SERIES_REFUSED,
    METRIC_REJECTED, /* one row a reason from here on */
};

#define REJECTED(reason, label)                                                                    \
    [METRIC_REJECTED + REASON_##reason] = {.name = "lapwing_import_rejected_total",                \
                                           .kind = METRIC_COUNTER,                                 \
                                           .labels = "reason=\"" label "\"",                       \
                                           .help = "Imported lines that were refused."}
#define DROPPED(label)                                                                             \
    {                                                                                              \
        "lapwing_import_dropped_total", METRIC_COUNTER, "reason=\"" label "\"",                    \
            "Imported samples that were dropped.", 0, 0                                            \
    }

static struct metric import_metrics[] = {
    [METRIC_SAMPLES] = {"lapwing_import_samples_total", METRIC_COUNTER, NULL,
                        "Samples written by imports.", 0, 0},
    [METRIC_PAST_RETENTION] = DROPPED("past_retention"),
    [METRIC_SERIES_REFUSED] = DROPPED("series_refused"),
    REJECTED(LONG_LINE, "long_line"),
    REJECTED(BAD_NAME, "bad_name"),
    REJECTED(BAD_LABELS, "bad_labels"),
    REJECTED(MANY_LABELS, "many_labels"),
    REJECTED(BAD_VALUE, "bad_value"),
    REJECTED(BAD_TIME, "bad_time"),
    REJECTED(TRAILING, "trailing"),
    REJECTED(NO_MEMORY, "no_memory"),
    REJECTED(BAD_JSON, "bad_json"),
    REJECTED(BAD_TYPE, "bad_type"),
    REJECTED(BAD_HISTOGRAM, "bad_histogram"),
    REJECTED(BAD_SKETCH, "bad_sketch"),
};

struct import_work {
    const struct import_api *api;
    struct import_rows rows;
    size_t rejected;
    size_t reasons[REASON_COUNT];
    char first_error[400];
};

void import_init(void)
{
    metric_register(import_metrics, sizeof import_metrics / sizeof import_metrics[0]);
    remote_write_start();
}

/* --- reading --- */

static void add_reject(struct import_work *work, enum reason reason, size_t line, const char *text)
{
    metric_add(&import_metrics[METRIC_REJECTED + (int)reason], 1);
    if (work->rejected++ == 0)
        snprintf(work->first_error, sizeof work->first_error, "line %zu: %.350s", line, text);
    work->reasons[reason]++;
}

static int flush_many(struct import_work *work, struct error *err)
{
    return rows_are_many(&work->rows) ? rows_flush(&work->rows, false, err) : 0;
}

static int read_text(struct import_work *work, struct slice text, struct error *err)
{
    struct openmetrics reader;
    struct openmetrics_sample sample;
    enum openmetrics_reject reject;
    int64_t now_ms = clock_now_ms();
    int status = 0;
    openmetrics_init(&reader, text);
    while (!status && openmetrics_next(&reader, &work->rows.arena, &sample, &reject)) {
        if (reject != OPENMETRICS_OK) {
            add_reject(work, text_reasons[reject], reader.line, openmetrics_reject_text(reject));
            continue;
        }
        int64_t time_ms = sample.has_time ? sample.time_ms : now_ms;
        struct store_column column = {.count = 1, .times = &time_ms, .values = &sample.value};
        enum series_kind kind = sample.type == OPENMETRICS_COUNTER ? SERIES_COUNTER : SERIES_GAUGE;
        status =
            rows_add(&work->rows, sample.labels, kind, &column, err) ? -1 : flush_many(work, err);
    }
    return status;
}

/* A line that does not fit beside what is gathered is tried again once that is written. */
static enum jsonline_reject parse_line(struct import_work *work, struct json_parser *parser,
                                       struct slice line, struct jsonline *out, struct error *err)
{
    struct import_rows *rows = &work->rows;
    enum jsonline_reject reject = jsonline_parse(parser, line, &rows->arena, out, err);
    if (reject != JSONLINE_NO_MEMORY || !rows->pending)
        return reject;
    if (rows_flush(rows, false, err))
        return reject;
    return jsonline_parse(parser, line, &rows->arena, out, err);
}

static int read_json(struct import_work *work, struct slice text, struct error *err)
{
    struct json_parser *parser = json_parser_new((size_t)work->api->config->http.inflated_max);
    struct jsonline line;
    struct slice raw;
    int status = 0;
    bool more = text.len > 0;
    for (size_t number = 1; more && !status; number++) {
        struct error why = {0};
        more = slice_cut(&text, '\n', &raw);
        raw = slice_trim(raw);
        if (raw.len == 0)
            continue;
        enum jsonline_reject reject = parse_line(work, parser, raw, &line, &why);
        if (reject)
            add_reject(work, json_reasons[reject], number, why.text);
        else if (rows_add(&work->rows, line.labels, line.kind, &line.column, err))
            status = -1;
        else
            status = flush_many(work, err);
    }
    json_parser_free(parser);
    return status;
}

static bool is_json(const struct http_request *request)
{
    struct slice type = {"", 0}, essence;
    http_get_header(request, "Content-Type", &type);
    slice_cut(&type, ';', &essence);
    essence = slice_trim(essence);
    return slice_equal_nocase(essence, SLICE("application/json")) ||
           slice_equal_nocase(essence, SLICE("application/x-ndjson")) ||
           slice_equal_nocase(essence, SLICE("application/stream+json")) ||
           jsonline_starts(request->body);
}

/* --- the route --- */

static void put_answer(const struct import_work *work, struct buffer *out)
{
    const struct import_rows *rows = &work->rows;
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_field_string(&writer, "status", SLICE("success"));
    json_key(&writer, SLICE("data"));
    json_begin_object(&writer);
    json_field_int(&writer, "samples", (int64_t)rows->samples);
    json_field_int(&writer, "series", (int64_t)(rows->series_count - rows->refused_series));
    json_field_int(&writer, "past_retention", (int64_t)rows->past_retention);
    json_field_int(&writer, "refused_series", (int64_t)rows->refused_series);
    json_field_int(&writer, "rejected", (int64_t)work->rejected);
    json_key(&writer, SLICE("reasons"));
    json_begin_object(&writer);
    for (int i = 0; i < REASON_COUNT; i++)
        if (work->reasons[i])
            json_field_int(&writer, reason_names[i], (int64_t)work->reasons[i]);
    json_end_object(&writer);
    if (work->rejected || rows->refused_series)
        json_field_string(&writer, "first_error",
                          slice_of_string(work->rejected ? work->first_error : rows->refusal.text));
    json_end_object(&writer);
    json_end_object(&writer);
}

/* Nothing but refused lines is the client's mistake. */
static int check_text(const struct import_work *work, struct error *err)
{
    if (work->rows.series_count || work->rejected == 0)
        return 0;
    return error_set(err, ERROR_BAD_DATA, "no line could be read; %s", work->first_error);
}

static void count_work(const struct import_work *work)
{
    metric_add(&import_metrics[METRIC_SAMPLES], (int64_t)work->rows.samples);
    metric_add(&import_metrics[METRIC_PAST_RETENTION], (int64_t)work->rows.past_retention);
    metric_add(&import_metrics[METRIC_SERIES_REFUSED], (int64_t)work->rows.refused_samples);
}

static void handle_import(const struct http_request *request, struct http_reply *reply)
{
    const struct import_api *api = request->context;
    struct import_work work = {.api = api};
    struct error err;
    rows_init(&work.rows, api->store, api->writer, (size_t)api->config->limits.query_memory_bytes);
    int status = is_json(request) ? read_json(&work, request->body, &err)
                                  : read_text(&work, request->body, &err);
    if (status || check_text(&work, &err) || rows_flush(&work.rows, true, &err))
        http_refuse_json(reply, &err);
    else
        put_answer(&work, &reply->body);
    count_work(&work);
    rows_release(&work.rows);
}

const struct http_route import_routes[] = {
    {.methods = HTTP_POST,
     .pattern = "/api/v1/import",
     .handle = handle_import,
     .refuse = http_refuse_json},
    {.methods = HTTP_POST,
     .pattern = "/api/v1/write",
     .handle = remote_write_handle,
     .refuse = http_refuse_text},
    {.methods = HTTP_GET | HTTP_POST | HTTP_SLOW,
     .pattern = "/api/v1/export",
     .handle = export_handle,
     .refuse = http_refuse_json},
};
const size_t import_route_count = sizeof import_routes / sizeof import_routes[0];
