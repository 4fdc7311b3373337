/* remote_write: see the header.
 *
 *   snappy( WriteRequest )  ->  series  ->  rows  ->  jobs of the writer  ->  204
 *
 * The protocol has three answers, by what the sender should do: 2xx it is kept, 4xx do not send it
 * again, 5xx send it again. So a series that cannot be taken makes the answer a 400 that says why,
 * while the others are kept; a full disk is a 503.
 *
 * Deliberately absent: version 2 (415, upon which senders fall back), exemplars, metadata. A type
 * is not sent with the samples: names that end like counters are taken for counters.
 */
#include "server/api/remote_write.h"

#include <stdio.h>

#include "server/api/import_rows.h"
#include "server/wire/remote_write.h"
#include "storage/base/metric.h"

enum {
    METRIC_SAMPLES,
    METRIC_PAST_RETENTION,
    METRIC_SERIES_REFUSED,
    METRIC_REJECTED, /* one row a reason from here on */
};

#define REJECTED(reason, label)                                                                    \
    [METRIC_REJECTED + REMOTE_##reason - 1] = {.name = "lapwing_remote_write_rejected_total",      \
                                               .kind = METRIC_COUNTER,                             \
                                               .labels = "reason=\"" label "\"",                   \
                                               .help = "Series of remote write requests that "     \
                                                       "were refused, wholly or in part."}
#define DROPPED(label)                                                                             \
    {                                                                                              \
        .name = "lapwing_remote_write_dropped_total", .kind = METRIC_COUNTER,                      \
        .labels = "reason=\"" label "\"", .help = "Samples of remote writes that were dropped."    \
    }

static struct metric remote_metrics[] = {
    [METRIC_SAMPLES] = {.name = "lapwing_remote_write_samples_total",
                        .kind = METRIC_COUNTER,
                        .help = "Samples written by remote write."},
    [METRIC_PAST_RETENTION] = DROPPED("past_retention"),
    [METRIC_SERIES_REFUSED] = DROPPED("series_refused"),
    REJECTED(MALFORMED, "malformed"),
    REJECTED(NO_NAME, "no_name"),
    REJECTED(MANY_LABELS, "many_labels"),
    REJECTED(LABELS, "bad_labels"),
    REJECTED(SCHEMA, "bad_schema"),
    REJECTED(BUCKETS, "bad_buckets"),
    REJECTED(COUNT, "bad_count"),
    REJECTED(NO_MEMORY, "no_memory"),
};

struct remote_work {
    const struct import_api *api;
    struct import_rows rows;
    size_t rejected, number; /* series refused; the first of them */
    enum remote_reject first;
};

void remote_write_start(void)
{
    metric_register(remote_metrics, sizeof remote_metrics / sizeof remote_metrics[0]);
}

static enum series_kind kind_of(const struct remote_series *series)
{
    static const struct slice endings[] = {SLICE_LIT("_total"), SLICE_LIT("_count"),
                                           SLICE_LIT("_sum"), SLICE_LIT("_bucket")};
    struct slice name = labels_get(series->labels, SLICE(LABEL_NAME));
    if (series->histograms)
        return SERIES_HISTOGRAM;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++)
        if (name.len > endings[i].len &&
            slice_equal(slice_skip(name, name.len - endings[i].len), endings[i]))
            return SERIES_COUNTER;
    return SERIES_GAUGE;
}

static int add_series(struct remote_work *work, const struct remote_series *series,
                      struct error *err)
{
    struct arena *arena = &work->rows.arena;
    int64_t *times = arena_alloc(arena, series->count * sizeof *times);
    double *values = arena_alloc(arena, series->count * sizeof *values);
    const struct histogram **histograms =
        series->histograms ? arena_alloc(arena, series->count * sizeof *histograms) : NULL;
    if (!times || !values || (series->histograms && !histograms))
        return error_set(err, ERROR_TOO_LARGE, "%s", remote_reject_text(REMOTE_NO_MEMORY));
    for (size_t i = 0; i < series->count; i++) {
        times[i] = series->samples[i].time_ms;
        values[i] = series->samples[i].value;
        if (histograms)
            histograms[i] = series->samples[i].histogram;
    }
    struct store_column column = {
        .count = series->count, .times = times, .values = values, .histograms = histograms};
    return rows_add(&work->rows, series->labels, kind_of(series), &column, err);
}

static void note_reject(struct remote_work *work, enum remote_reject reject, size_t number)
{
    metric_add(&remote_metrics[METRIC_REJECTED + (int)reject - 1], 1);
    if (work->rejected++ == 0) {
        work->first = reject;
        work->number = number;
    }
}

static int read_body(struct remote_work *work, struct slice body, struct error *err)
{
    struct remote_write reader;
    struct remote_series series;
    enum remote_reject reject;
    int status = 0;
    remote_write_init(&reader, body);
    while (!status && remote_write_next(&reader, &work->rows.arena, &series, &reject)) {
        if (reject != REMOTE_OK)
            note_reject(work, reject, reader.number);
        if (series.count)
            status = add_series(work, &series, err);
        if (!status && rows_are_many(&work->rows))
            status = rows_flush(&work->rows, false, err);
    }
    return status;
}

/* What was not taken, as one sentence. */
static int sum_up(const struct remote_work *work, struct error *err)
{
    const struct import_rows *rows = &work->rows;
    if (work->rejected)
        return error_set(err, ERROR_BAD_DATA, "%zu series were refused; series %zu: %s",
                         work->rejected, work->number, remote_reject_text(work->first));
    if (rows->refused_series)
        return error_set(err, ERROR_BAD_DATA, "%zu series were refused; the first: %.800s",
                         rows->refused_series, rows->refusal.text);
    if (rows->past_retention)
        return error_set(err, ERROR_BAD_DATA,
                         "%zu samples are older than retention.raw keeps them and were dropped",
                         rows->past_retention);
    return 0;
}

static bool is_version_2(const struct http_request *request)
{
    struct slice type = {"", 0};
    http_get_header(request, "Content-Type", &type);
    return slice_find(type, SLICE("io.prometheus.write.v2")) < type.len;
}

void remote_write_handle(const struct http_request *request, struct http_reply *reply)
{
    const struct import_api *api = request->context;
    struct remote_work work = {.api = api};
    struct error err;
    if (is_version_2(request)) {
        error_set(&err, ERROR_BAD_DATA, "remote write 2.0 is not spoken here; send version 1");
        http_refuse_text(reply, &err);
        reply->status = 415;
        return;
    }
    rows_init(&work.rows, api->store, api->writer, (size_t)api->config->limits.query_memory_bytes);
    if (read_body(&work, request->body, &err) || rows_flush(&work.rows, true, &err) ||
        sum_up(&work, &err))
        http_refuse_text(reply, &err);
    else
        reply->status = 204;
    metric_add(&remote_metrics[METRIC_SAMPLES], (int64_t)work.rows.samples);
    metric_add(&remote_metrics[METRIC_PAST_RETENTION], (int64_t)work.rows.past_retention);
    metric_add(&remote_metrics[METRIC_SERIES_REFUSED], (int64_t)work.rows.refused_samples);
    rows_release(&work.rows);
}
