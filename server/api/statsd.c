/* statsd: the lists of all workers put together, and the rows of /metrics that say what was lost.
 *
 * Keys of equal bytes are one metric or one source, whichever worker saw them. A count is a sample's
 * estimate (server/ingest/worker.c) and errs by what server/ingest/frequent.h says.
 */
#include "server/api/statsd.h"

#include <stdlib.h>

#include "server/api/prometheus_request.h"
#include "server/ingest/worker.h"
#include "server/wire/printable.h"
#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/json.h"
#include "storage/base/metric.h"

#define LIMIT_DEFAULT 20
#define LIMIT_MAX     500
#define TEXT_BYTES    4096 /* of a name or a line, escaped */
#define SERIES_ARENA  ((size_t)16 << 20)

/* --- lists --- */

struct listing {
    const struct statsd_api *api;
    struct json_writer writer;
    struct buffer text;
    size_t limit;
    double seconds; /* the span of the lists */
};

static void put_printable(struct listing *listing, const char *key, struct slice value)
{
    buffer_reset(&listing->text);
    printable_append(&listing->text, value);
    json_field_string(&listing->writer, key, buffer_slice(&listing->text));
}

static void put_peer(struct listing *listing, const char *key, const struct peer *peer)
{
    char text[PEER_TEXT_MAX];
    peer_print(peer, text);
    json_field_string(&listing->writer, key, slice_of_string(text));
}

/* The keys of all workers; free them. */
static struct frequent_key *collect(const struct listing *listing, enum account_list list,
                                    size_t *count)
{
    struct frequent_key *keys = NULL;
    struct account *account;
    *count = 0;
    for (size_t i = 0; (account = ingest_account(listing->api->ingest, i)); i++) {
        keys = alloc_resize(keys, *count + ACCOUNT_KEYS_MAX, sizeof *keys);
        account_tick(account, clock_monotonic_ns() / 1000000);
        *count += account_list(account, list, keys + *count, ACCOUNT_KEYS_MAX);
    }
    *count = *count ? frequent_merge(keys, *count) : 0;
    return keys;
}

static double span_seconds(const struct statsd_api *api)
{
    struct account *account = ingest_account(api->ingest, 0);
    int64_t now_ms = clock_monotonic_ns() / 1000000;
    if (!account)
        return 0;
    account_tick(account, now_ms);
    int64_t span_ms = account_span_ms(account, now_ms);
    return (double)(span_ms > 0 ? span_ms : 1) / 1000;
}

static void put_metric_name(struct listing *listing, const struct frequent_key *key)
{
    put_printable(listing, "name", slice_make(key->text, key->len));
}

static void put_source(struct listing *listing, const struct frequent_key *key)
{
    struct peer peer;
    memcpy(&peer, key->text, sizeof peer);
    put_peer(listing, "source", &peer);
}

/* What the lists are called, and what their keys are. */
static const struct list_row {
    const char *name;
    void (*put_key)(struct listing *listing, const struct frequent_key *key);
} list_rows[ACCOUNT_LIST_COUNT] = {
    [ACCOUNT_METRICS] = {"metrics", put_metric_name},
    [ACCOUNT_SOURCES] = {"sources", put_source},
    [ACCOUNT_REFUSED] = {"refused", put_source},
};

static void put_list(struct listing *listing, enum account_list list)
{
    const struct list_row *row = &list_rows[list];
    struct json_writer *writer = &listing->writer;
    size_t count;
    struct frequent_key *keys = collect(listing, list, &count);
    json_key(writer, slice_of_string(row->name));
    json_begin_array(writer);
    for (size_t i = 0; i < count && i < listing->limit; i++) {
        json_begin_object(writer);
        row->put_key(listing, &keys[i]);
        json_field_int(writer, "count", (int64_t)keys[i].count);
        json_field_int(writer, "error", (int64_t)keys[i].error);
        json_field_double(writer, "per_second", (double)keys[i].count / listing->seconds);
        json_end_object(writer);
    }
    json_end_array(writer);
    free(keys);
}

/* --- newest series --- */

/* Those of senders: the server's own come and go with its parts. */
static int put_newest(struct listing *listing, struct error *err)
{
    struct matcher own;
    struct arena arena;
    struct store_selection newest = {.count = 0};
    if (matcher_init(&own, MATCH_NOT_REGEX, SLICE(LABEL_NAME), SLICE("(lapwing|process)_.*"), err))
        return -1;
    arena_init(&arena, SERIES_ARENA);
    const struct store_query query = {.matchers = &own, .matcher_count = 1};
    bool fits = store_newest_series(listing->api->store, &query, listing->limit, &arena, &newest);
    json_key(&listing->writer, SLICE("series"));
    json_begin_array(&listing->writer);
    for (size_t i = 0; fits && i < newest.count; i++) {
        json_begin_object(&listing->writer);
        json_field_string(&listing->writer, "type",
                          slice_of_string(series_kind_name(newest.at[i].kind)));
        json_key(&listing->writer, SLICE("labels"));
        labels_put_json(newest.at[i].labels, &listing->writer);
        json_end_object(&listing->writer);
    }
    json_end_array(&listing->writer);
    arena_release(&arena);
    matcher_release(&own);
    return fits ? 0 : error_set(err, ERROR_LIMIT, "the newest series are too large; lower limit");
}

static void get_top(const struct http_request *request, struct http_reply *reply)
{
    struct error err = {0};
    struct listing listing = {.api = request->context, .limit = 0};
    if (api_limit(request, "limit", &listing.limit, &err)) {
        api_refuse(reply, &err);
        return;
    }
    if (listing.limit == 0)
        listing.limit = LIMIT_DEFAULT;
    if (listing.limit > LIMIT_MAX)
        listing.limit = LIMIT_MAX;
    buffer_init(&listing.text, TEXT_BYTES);
    listing.seconds = span_seconds(listing.api);
    api_begin(reply);
    json_writer_init(&listing.writer, &reply->body);
    json_begin_object(&listing.writer);
    json_field_double(&listing.writer, "seconds", listing.seconds);
    for (size_t i = 0; i < ACCOUNT_LIST_COUNT; i++)
        put_list(&listing, i);
    int status = put_newest(&listing, &err);
    json_end_object(&listing.writer);
    buffer_release(&listing.text);
    if (status)
        api_refuse(reply, &err);
    else
        api_end(reply, NULL);
}

/* --- losses --- */

/* The counters that rise when something that came in is not stored as it was meant. */
static const char *const loss_names[] = {
    "lapwing_statsd_kernel_drops_total",
    "lapwing_statsd_truncated_total",
    "lapwing_statsd_connections_refused_total",
    "lapwing_statsd_rejects_total",
    "lapwing_statsd_drops_total",
    "lapwing_statsd_overflow_total",
    "lapwing_statsd_dated_dropped_total",
    "lapwing_statsd_records_dropped_total",
    "lapwing_registry_drops_total",
    "lapwing_series_overflow_total",
    "lapwing_graphite_kernel_drops_total",
    "lapwing_graphite_truncated_total",
    "lapwing_graphite_connections_refused_total",
    "lapwing_graphite_lines_skipped_total",
    "lapwing_graphite_rejects_total",
    "lapwing_graphite_dropped_total",
    "lapwing_influx_kernel_drops_total",
    "lapwing_influx_truncated_total",
    "lapwing_influx_connections_refused_total",
    "lapwing_influx_lines_skipped_total",
    "lapwing_influx_rejects_total",
    "lapwing_influx_unsupported_total",
    "lapwing_influx_dropped_total",
};

static void put_loss(const struct metric *metric, void *arg)
{
    struct listing *listing = arg;
    size_t i = 0;
    while (i < sizeof loss_names / sizeof loss_names[0] && strcmp(loss_names[i], metric->name) != 0)
        i++;
    if (i == sizeof loss_names / sizeof loss_names[0])
        return;
    json_begin_object(&listing->writer);
    json_field_string(&listing->writer, "name", slice_of_string(metric->name));
    json_field_string(&listing->writer, "labels",
                      slice_of_string(metric->labels ? metric->labels : ""));
    json_field_double(&listing->writer, "count", metric_value(metric));
    json_end_object(&listing->writer);
}

/* The newest of all workers. */
static void last_of_workers(const struct statsd_api *api, unsigned reason, struct refusal *out)
{
    struct account *account;
    struct refusal one;
    out->time_ms = 0;
    for (size_t i = 0; (account = ingest_account(api->ingest, i)); i++) {
        account_last_refusal(account, reason, &one);
        if (one.time_ms > out->time_ms)
            *out = one;
    }
}

static void put_refusal(struct listing *listing, const char *input, struct slice reason,
                        const struct refusal *last)
{
    struct json_writer *writer = &listing->writer;
    if (!last->time_ms)
        return;
    json_begin_object(writer);
    json_field_string(writer, "input", slice_of_string(input));
    json_field_string(writer, "reason", reason);
    put_printable(listing, "line",
                  slice_head(slice_make(last->line, last->bytes), REFUSAL_LINE_MAX));
    json_field_int(writer, "bytes", (int64_t)last->bytes);
    put_peer(listing, "source", &last->peer);
    json_field_string(writer, "transport", slice_of_string(last->transport));
    json_field_double(writer, "time", (double)last->time_ms / 1000);
    json_end_object(writer);
}

static void put_refusals(struct listing *listing)
{
    const struct statsd_api *api = listing->api;
    struct refusal last;
    for (unsigned i = 0; i < ACCOUNT_REASON_COUNT; i++) {
        last_of_workers(api, i, &last);
        put_refusal(listing, "statsd", slice_of_string(account_reason_name(i)), &last);
    }
    for (size_t f = 0; f < STATSD_API_FEEDS; f++) {
        const struct feed_format *format = api->feeds[f].format;
        for (unsigned i = 0; i < feed_reason_count(format); i++) {
            refusals_last(api->feeds[f].refusals, i, &last);
            put_refusal(listing, format->name, feed_reason_name(format, i), &last);
        }
    }
}

static void get_losses(const struct http_request *request, struct http_reply *reply)
{
    struct listing listing = {.api = request->context};
    buffer_init(&listing.text, TEXT_BYTES);
    api_begin(reply);
    json_writer_init(&listing.writer, &reply->body);
    json_begin_object(&listing.writer);
    json_key(&listing.writer, SLICE("losses"));
    json_begin_array(&listing.writer);
    metric_each(put_loss, &listing);
    json_end_array(&listing.writer);
    json_key(&listing.writer, SLICE("rejects"));
    json_begin_array(&listing.writer);
    put_refusals(&listing);
    json_end_array(&listing.writer);
    json_end_object(&listing.writer);
    buffer_release(&listing.text);
    api_end(reply, NULL);
}

const struct http_route statsd_routes[] = {
    {.methods = HTTP_GET, .pattern = "/api/statsd/top", .handle = get_top},
    {.methods = HTTP_GET, .pattern = "/api/statsd/losses", .handle = get_losses},
    {.methods = HTTP_GET, .pattern = "/api/statsd/tap", .handle = statsd_tap},
    {.methods = HTTP_GET | HTTP_POST, .pattern = "/api/statsd/explain", .handle = statsd_explain},
};
const size_t statsd_route_count = sizeof statsd_routes / sizeof statsd_routes[0];
