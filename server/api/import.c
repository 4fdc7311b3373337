/* import: see the header.
 *
 * The worker parses the whole text and sorts its samples by series:
 *
 *   series[0] {labels} -> point -> point -> point      in the order of the text
 *   series[1] {labels} -> point -> point
 *
 * Then the writer takes them in jobs of BATCH_POINTS, so that one large import neither makes a
 * huge batch nor keeps others waiting. The store drops what is not newer than what a series holds;
 * to say so in the answer, the job asks first how far the series reaches.
 */
#include "server/api/import.h"

#include <stdio.h>

#include "server/wire/openmetrics.h"
#include "storage/base/clock.h"
#include "storage/base/json.h"
#include "storage/base/metric.h"
#include "storage/base/table.h"

#define BATCH_POINTS   50000
#define SERIES_MAX     1000000 /* in one request */
#define TIME_END       ((int64_t)9000000000000000)
#define READ_ARENA_MAX ((size_t)64 << 20)

struct import_point {
    int64_t time_ms;
    double value;
    struct import_point *next;
};

struct import_series {
    struct labels labels;
    enum openmetrics_type type;
    struct import_point *first, *last;
    struct import_series *next;
};

struct import_work {
    const struct import_api *api;
    struct arena arena;
    struct table index; /* canonical labels -> struct import_series */
    struct import_series *first, *last;
    size_t series_count, rejected, refused_series;
    size_t accepted, out_of_order;
    size_t reasons[OPENMETRICS_REJECT_COUNT];
    char first_error[400];
    /* Where the next job goes on. */
    struct import_series *series;
    struct import_point *point;
    int64_t newest_ms;
    uint32_t id;
    bool interned;
};

enum {
    METRIC_SAMPLES,
    METRIC_OUT_OF_ORDER,
    METRIC_SERIES_REFUSED,
    METRIC_REJECTED, /* one row a reason from here on */
};

#define REJECTED(reason, label)                                                                    \
    [METRIC_REJECTED + OPENMETRICS_##reason - 1] = {.name = "lapwing_import_rejected_total",       \
                                                    .kind = METRIC_COUNTER,                        \
                                                    .labels = "reason=\"" label "\"",              \
                                                    .help = "Imported lines that were refused."}

static struct metric import_metrics[] = {
    [METRIC_SAMPLES] = {"lapwing_import_samples_total", METRIC_COUNTER, NULL,
                        "Samples written by imports.", 0, 0},
    [METRIC_OUT_OF_ORDER] = {"lapwing_import_dropped_total", METRIC_COUNTER,
                             "reason=\"out_of_order\"", "Imported samples that were dropped.", 0,
                             0},
    [METRIC_SERIES_REFUSED] = {"lapwing_import_dropped_total", METRIC_COUNTER,
                               "reason=\"series_refused\"", "Imported samples that were dropped.",
                               0, 0},
    REJECTED(LONG_LINE, "long_line"),
    REJECTED(BAD_NAME, "bad_name"),
    REJECTED(BAD_LABELS, "bad_labels"),
    REJECTED(MANY_LABELS, "many_labels"),
    REJECTED(BAD_VALUE, "bad_value"),
    REJECTED(BAD_TIME, "bad_time"),
    REJECTED(TRAILING, "trailing"),
    REJECTED(NO_MEMORY, "no_memory"),
};

void import_init(void)
{
    metric_register(import_metrics, sizeof import_metrics / sizeof import_metrics[0]);
}

/* --- the worker's half: text to series --- */

static struct import_series *
find_series(struct import_work *work, const struct openmetrics_sample *sample, struct buffer *key)
{
    bool fresh;
    buffer_reset(key);
    labels_encode(sample->labels, key);
    struct table_entry *entry = table_insert(&work->index, buffer_slice(key), &fresh);
    if (!entry)
        return NULL;
    if (!fresh)
        return entry->value.pointer;
    struct import_series *series = arena_zeroed(&work->arena, 1, sizeof *series);
    if (!series)
        return NULL;
    entry->value.pointer = series;
    series->labels = sample->labels;
    series->type = sample->type;
    if (work->last)
        work->last->next = series;
    else
        work->first = series;
    work->last = series;
    work->series_count++;
    return series;
}

static int add_sample(struct import_work *work, const struct openmetrics_sample *sample,
                      struct buffer *key, struct error *err)
{
    struct import_series *series = find_series(work, sample, key);
    struct import_point *point = series ? arena_alloc(&work->arena, sizeof *point) : NULL;
    if (!point)
        return error_set(err, ERROR_LIMIT,
                         "the text is too large for limits.query_memory; send it in parts");
    *point = (struct import_point){.time_ms = sample->time_ms, .value = sample->value};
    if (series->last)
        series->last->next = point;
    else
        series->first = point;
    series->last = point;
    return 0;
}

static void add_reject(struct import_work *work, enum openmetrics_reject reject, size_t line)
{
    metric_add(&import_metrics[METRIC_REJECTED + (int)reject - 1], 1);
    if (work->rejected++ == 0)
        snprintf(work->first_error, sizeof work->first_error, "line %zu: %s", line,
                 openmetrics_reject_text(reject));
    work->reasons[reject]++;
}

static int read_text(struct import_work *work, struct slice text, struct error *err)
{
    struct openmetrics reader;
    struct openmetrics_sample sample;
    enum openmetrics_reject reject;
    struct buffer key;
    int64_t now_ms = clock_now_ms();
    int status = 0;
    buffer_init(&key, (size_t)2 * OPENMETRICS_LINE_MAX);
    openmetrics_init(&reader, text);
    while (status == 0 && openmetrics_next(&reader, &work->arena, &sample, &reject)) {
        if (reject != OPENMETRICS_OK) {
            add_reject(work, reject, reader.line);
            continue;
        }
        if (!sample.has_time)
            sample.time_ms = now_ms;
        status = add_sample(work, &sample, &key, err);
    }
    buffer_release(&key);
    return status;
}

/* --- the writer's half: series to the store --- */

/* The newest sample at or after the first new one decides what is out of order. */
static int64_t newest_time(struct import_work *work)
{
    struct arena arena;
    struct store_column column = {.count = 0};
    struct error ignored;
    int64_t newest = INT64_MIN;
    struct store_reader *reader = store_reader_new(work->api->store);
    arena_init(&arena, READ_ARENA_MAX);
    if (store_read(reader, (struct store_span){work->id, work->series->first->time_ms, TIME_END},
                   &arena, &column, &ignored) == 0 &&
        column.count)
        newest = column.times[column.count - 1];
    arena_release(&arena);
    store_reader_free(reader);
    return newest;
}

/* False: the store takes no further series; all samples of this one are dropped. */
static bool open_series(struct import_work *work, struct store_batch *batch)
{
    struct import_series *series = work->series;
    enum series_kind kind = series->type == OPENMETRICS_COUNTER ? SERIES_COUNTER : SERIES_GAUGE;
    struct error err;
    if (store_batch_intern(batch, series->labels, kind, &work->id, &err) < 0) {
        if (work->refused_series++ == 0 && !work->first_error[0])
            snprintf(work->first_error, sizeof work->first_error, "%.390s", err.text);
        return false;
    }
    work->newest_ms = newest_time(work);
    return true;
}

/* One job: up to BATCH_POINTS from where the last one stopped. */
static int write_points(void *arg, struct store_batch *batch, struct error *err)
{
    struct import_work *work = arg;
    (void)err;
    for (size_t count = 0; work->series && count < BATCH_POINTS; count++) {
        if (!work->point) {
            work->point = work->series->first;
            work->interned = open_series(work, batch);
        }
        struct import_point *point = work->point;
        if (!work->interned) {
            metric_add(&import_metrics[METRIC_SERIES_REFUSED], 1);
        } else if (point->time_ms <= work->newest_ms) {
            work->out_of_order++;
        } else {
            store_batch_value(batch, work->id, point->time_ms, point->value);
            work->newest_ms = point->time_ms;
            work->accepted++;
        }
        work->point = point->next;
        if (!work->point)
            work->series = work->series->next;
    }
    return 0;
}

static int write_all(struct import_work *work, struct error *err)
{
    size_t written = 0;
    int status = 0;
    work->series = work->first;
    while (work->series && status == 0) {
        status = writer_call(work->api->writer, true, write_points, work, err);
        if (status == 0)
            written = work->accepted;
    }
    metric_add(&import_metrics[METRIC_SAMPLES], (int64_t)written);
    metric_add(&import_metrics[METRIC_OUT_OF_ORDER], (int64_t)work->out_of_order);
    return status == 0 ? 0 : error_wrap(err, "%zu samples were written before", written);
}

/* --- the route --- */

static void put_answer(const struct import_work *work, struct buffer *out)
{
    struct json_writer writer;
    json_writer_init(&writer, out);
    json_begin_object(&writer);
    json_field_string(&writer, "status", SLICE("success"));
    json_key(&writer, SLICE("data"));
    json_begin_object(&writer);
    json_field_int(&writer, "samples", (int64_t)work->accepted);
    json_field_int(&writer, "series", (int64_t)(work->series_count - work->refused_series));
    json_field_int(&writer, "out_of_order", (int64_t)work->out_of_order);
    json_field_int(&writer, "refused_series", (int64_t)work->refused_series);
    json_field_int(&writer, "rejected", (int64_t)work->rejected);
    json_key(&writer, SLICE("reasons"));
    json_begin_object(&writer);
    for (int i = OPENMETRICS_OK + 1; i < OPENMETRICS_REJECT_COUNT; i++)
        if (work->reasons[i])
            json_field_int(&writer, openmetrics_reject_name((enum openmetrics_reject)i),
                           (int64_t)work->reasons[i]);
    json_end_object(&writer);
    if (work->first_error[0])
        json_field_string(&writer, "first_error", slice_of_string(work->first_error));
    json_end_object(&writer);
    json_end_object(&writer);
}

/* Nothing but refused lines is the client's mistake. */
static int check_text(const struct import_work *work, struct error *err)
{
    if (work->series_count || work->rejected == 0)
        return 0;
    return error_set(err, ERROR_BAD_DATA, "no line could be read; %s", work->first_error);
}

static void handle_import(const struct http_request *request, struct http_reply *reply)
{
    const struct import_api *api = request->context;
    struct import_work work = {.api = api};
    struct error err;
    arena_init(&work.arena, (size_t)api->config->limits.query_memory_bytes);
    table_init(&work.index, SERIES_MAX);
    if (read_text(&work, request->body, &err) < 0 || check_text(&work, &err) < 0 ||
        write_all(&work, &err) < 0)
        http_refuse_json(reply, &err);
    else
        put_answer(&work, &reply->body);
    table_release(&work.index);
    arena_release(&work.arena);
}

const struct http_route import_routes[] = {
    {.methods = HTTP_POST,
     .pattern = "/api/v1/import",
     .handle = handle_import,
     .refuse = http_refuse_json},
};
const size_t import_route_count = sizeof import_routes / sizeof import_routes[0];
