/* prometheus: the route table, and the queries themselves.
 *
 *   GET/POST /api/v1/query        query, time, timeout, limit, lookback_delta, stats
 *   GET/POST /api/v1/query_range  query, start, end, step, timeout, limit, lookback_delta, stats,
 *                                 nocache=1
 *   -> {"status":"success","data":{...},"warnings":[...],"infos":[...]}
 *
 * A query gets an arena of its own, limited by limits.query_memory: the parsed text, the samples
 * and the result live in it, and it goes away once the answer is written. `stats` adds what the query
 * cost; times of phases that are not told apart here are 0. Deliberately absent: exemplars (always
 * an empty list).
 */
#include "server/api/prometheus.h"

#include <stdlib.h>

#include "query/cached.h"
#include "query/render.h"
#include "server/api/prometheus_request.h"
#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/json.h"

#define PIECE_BYTES ((size_t)512 << 10) /* of a large answer */
#define AT_ONCE_MAX ((size_t)64 << 10)  /* of one that the loop sends itself */
#define TRUNCATED   "results truncated due to limit"

struct query_work {
    const struct prometheus_api *api;
    const struct http_request *asked;
    struct arena arena;
    struct slice text;
    struct plan *plan;
    struct promql_request request;
    struct promql_share share;
    struct promql_result result;
    struct render render;
    struct buffer printed; /* all that was, of an answer whose text is to be kept */
    unsigned waits;        /* calls of wait_sent */
    int64_t took_ns;       /* evaluating it */
    size_t limit;          /* series in the answer, 0 = all */
    bool stats;            /* asked for */
};

static struct query_work *work_new(const struct http_request *request)
{
    struct query_work *work = alloc_zeroed(1, sizeof *work);
    *work = (struct query_work){.api = request->context, .asked = request, .text = SLICE("")};
    http_get_param(request, "query", &work->text);
    work->request.text = work->text;
    work->share.pool = work->api->memory;
    arena_init(&work->arena, (size_t)work->api->config->limits.query_memory_bytes);
    buffer_init(&work->printed, (size_t)work->api->config->limits.query_cache_bytes);
    return work;
}

static void work_free(void *arg)
{
    struct query_work *work = arg;
    render_release(&work->render);
    buffer_release(&work->printed);
    promql_share_return(&work->share);
    plan_release(work->plan);
    arena_release(&work->arena);
    free(work);
}

static int read_query(struct query_work *work, struct error *err)
{
    if (parse_promql(work->text, &work->arena, &work->plan, err) < 0)
        return error_wrap(err, "invalid parameter \"query\"");
    work->request.plan = work->plan;
    return 0;
}

/* What instant and range queries have in common; the timeout may only be shortened. */
static int read_common(const struct http_request *request, struct query_work *work,
                       struct error *err)
{
    int64_t timeout_ms = work->api->config->limits.query_timeout_ms, asked_ms = timeout_ms;
    if (api_duration(request, "timeout", false, &asked_ms, err) < 0 ||
        api_duration(request, "lookback_delta", false, &work->request.lookback_ms, err) < 0 ||
        api_limit(request, "limit", &work->limit, err) < 0)
        return -1;
    struct slice stats, nocache;
    work->stats = http_get_param(request, "stats", &stats) && stats.len;
    if (!http_get_param(request, "nocache", &nocache) || !slice_equal_string(nocache, "1"))
        work->request.cache = work->api->cache;
    if (work->request.lookback_ms < 0)
        return error_set(err, ERROR_BAD_DATA,
                         "invalid parameter \"lookback_delta\": it must not be negative");
    if (asked_ms <= 0)
        return error_set(err, ERROR_TIMEOUT,
                         "query timed out in query queue; `timeout` leaves it no time");
    if (asked_ms < timeout_ms)
        timeout_ms = asked_ms;
    work->request.cancelled = request->cancelled;
    work->request.share = &work->share;
    work->request.fan = work->api->fan;
    work->request.deadline_ns = clock_monotonic_ns() + timeout_ms * 1000000;
    work->request.samples_max = work->api->config->limits.query_samples;
    return 0;
}

static void put_notes(const char *key, const struct slice *at, size_t count, struct buffer *out)
{
    if (count == 0)
        return;
    buffer_append_format(out, ",\"%s\":[", key);
    for (size_t i = 0; i < count; i++) {
        buffer_append_string(out, i ? "," : "");
        json_append_quoted(out, at[i]);
    }
    buffer_append_char(out, ']');
}

/* Adds "truncated" to the warnings when the limit cuts the answer. */
static void note_limit(struct query_work *work)
{
    struct promql_result *result = &work->result;
    if (work->limit == 0 || result->count <= work->limit)
        return;
    struct slice *notes = arena_zeroed(&work->arena, result->warning_count + 1, sizeof *notes);
    if (!notes)
        return;
    for (size_t i = 0; i < result->warning_count; i++)
        notes[i] = result->warnings[i];
    notes[result->warning_count++] = SLICE(TRUNCATED);
    result->warnings = notes;
}

/* Into the object that render_data closed. */
static void put_stats(const struct query_work *work, struct buffer *out)
{
    double seconds = (double)work->took_ns / 1e9, waited = (double)work->asked->waited_ns / 1e9;
    out->len--; /* its brace */
    buffer_append_format(out,
                         ",\"stats\":{\"timings\":{\"evalTotalTime\":%.9f,\"execQueueTime\":%.9f,"
                         "\"execTotalTime\":%.9f,\"innerEvalTime\":%.9f,"
                         "\"queryPreparationTime\":0,\"resultSortTime\":0},"
                         "\"samples\":{\"totalQueryableSamples\":%lld,\"peakSamples\":%lld}}}",
                         seconds, waited, seconds + waited, seconds,
                         (long long)work->result.samples_read,
                         (long long)work->result.samples_read);
}

/* 1: more follow. */
static int print_piece(struct query_work *work, struct buffer *out)
{
    const struct promql_result *result = &work->result;
    if (render_some(&work->render, PIECE_BYTES, out))
        return 1;
    if (work->stats)
        put_stats(work, out);
    put_notes("warnings", result->warnings, result->warning_count, out);
    put_notes("infos", result->infos, result->info_count, out);
    buffer_append_char(out, '}');
    return 0;
}

/* Whether the text of the answer is the same whenever the query is. */
static bool is_plain(const struct query_work *work)
{
    return work->limit == 0 && !work->stats;
}

/* Keeps the whole text once its last piece is there: asked for a second time, it may be for a third. */
static void keep_piece(struct query_work *work, struct slice piece, bool last)
{
    if (!is_plain(work) || !work->result.cached)
        return;
    buffer_append_slice(&work->printed, piece);
    int64_t held = (int64_t)work->arena.used + (int64_t)work->printed.len;
    if (work->printed.overflow || !promql_share_raise(&work->share, held))
        work->result.cached = 0; /* no room for it */
    else if (last)
        cached_keep_text(&work->request, &work->result, buffer_slice(&work->printed));
}

/* The next piece of an answer that api_begin has opened; 1: more follow. Large ones are sent while they
 * are printed, so that there is never more of one than a piece. */
static int put_piece(void *arg, struct buffer *out)
{
    struct query_work *work = arg;
    size_t from = work->render.begun ? out->len : 0; /* the first is what api_begin wrote, too */
    int more = print_piece(work, out);
    if (!out->overflow)
        keep_piece(work, slice_skip(buffer_slice(out), from), !more);
    return more;
}

static int run_query(struct query_work *work, struct http_reply *reply, struct error *err)
{
    struct promql_result *result = &work->result;
    struct active_query active = {.language = "promql",
                                  .text = work->text,
                                  .request = work->asked,
                                  .start_ms = work->request.start_ms,
                                  .end_ms = work->request.end_ms,
                                  .step_ms = work->request.step_ms};
    int64_t began_ns = clock_monotonic_ns();
    active_begin(work->api->active, &active);
    int status = cached_run(work->api->store, &work->request, &work->arena, result, err);
    active_end(work->api->active, &active, status < 0 ? err->text : NULL);
    if (status < 0)
        return -1;
    note_limit(work);
    work->took_ns = clock_monotonic_ns() - began_ns;
    work->render =
        (struct render){.result = result, .time_ms = work->request.start_ms, .limit = work->limit};
    api_begin(reply);
    if (put_piece(work, &reply->body))
        reply->stream = (struct http_stream){put_piece, work_free, work};
    return 0;
}

/* The first call comes at once, the second when all has left: until then the text counts as memory of the
 * query. */
static int wait_sent(void *arg, struct buffer *out)
{
    struct query_work *work = arg;
    (void)out;
    return work->waits++ == 0;
}

/* With the very words of the last time. */
static bool is_answered(struct query_work *work, struct http_reply *reply)
{
    struct buffer *body = &reply->body;
    if (!is_plain(work) || !cached_text(work->api->store, &work->request, body))
        return false;
    if (body->len <= PIECE_BYTES)
        return true;
    if (body->overflow || !promql_share_raise(&work->share, (int64_t)body->len)) {
        promql_share_return(&work->share);
        buffer_reset(body);
        return false;
    }
    reply->stream = (struct http_stream){wait_sent, work_free, work};
    return true;
}

static int read_instant(struct query_work *work, struct error *err)
{
    const struct http_request *request = work->asked;
    struct slice time;
    work->request.start_ms = clock_now_ms();
    if (api_optional_time(request, "time", &work->request.start_ms, err) < 0 ||
        read_common(request, work, err) < 0)
        return -1;
    work->request.end_ms = work->request.start_ms;
    if (!http_get_param(request, "time", &time))
        work->request.cache = NULL; /* nobody asks for this moment again */
    return 0;
}

static int instant_query(struct query_work *work, struct http_reply *reply, struct error *err)
{
    if (read_instant(work, err) < 0)
        return -1;
    if (is_answered(work, reply))
        return 0;
    return read_query(work, err) < 0 ? -1 : run_query(work, reply, err);
}

static int check_range(const struct promql_request *range, struct error *err)
{
    if (range->end_ms < range->start_ms)
        return error_set(err, ERROR_BAD_DATA,
                         "invalid parameter \"end\": end timestamp must not be before start time");
    if (range->step_ms <= 0)
        return error_set(err, ERROR_BAD_DATA,
                         "invalid parameter \"step\": zero or negative query resolution step "
                         "widths are not accepted. Try a positive integer");
    if ((range->end_ms - range->start_ms) / range->step_ms > PROMQL_POINTS_MAX)
        return error_set(err, ERROR_BAD_DATA,
                         "exceeded maximum resolution of 11,000 points per timeseries. Try "
                         "decreasing the query resolution (?step=XX)");
    return 0;
}

static int read_range(struct query_work *work, struct error *err)
{
    const struct http_request *request = work->asked;
    struct promql_request *range = &work->request;
    if (api_required_time(request, "start", &range->start_ms, err) < 0 ||
        api_required_time(request, "end", &range->end_ms, err) < 0)
        return -1;
    if (range->end_ms < range->start_ms)
        return check_range(range, err);
    if (api_duration(request, "step", true, &range->step_ms, err) < 0 ||
        check_range(range, err) < 0)
        return -1;
    return read_common(request, work, err);
}

static int range_query(struct query_work *work, struct http_reply *reply, struct error *err)
{
    if (read_range(work, err) < 0)
        return -1;
    if (is_answered(work, reply))
        return 0;
    if (read_query(work, err) < 0)
        return -1;
    if (work->plan->type != VALUE_SCALAR && work->plan->type != VALUE_VECTOR)
        return error_set(err, ERROR_BAD_DATA,
                         "invalid parameter \"query\": invalid expression type \"%s\" for range "
                         "query, must be Scalar or instant Vector",
                         value_type_name(work->plan->type));
    return run_query(work, reply, err);
}

static int format_query(struct query_work *work, struct http_reply *reply, struct error *err)
{
    struct buffer text;
    if (read_query(work, err) < 0)
        return -1;
    buffer_init(&text, (size_t)128 * QUERY_TEXT_MAX); /* 1e308 is written out */
    plan_print_pretty(work->plan, &text);
    api_begin(reply);
    json_append_quoted(&reply->body, buffer_slice(&text));
    api_end(reply, NULL);
    buffer_release(&text);
    return 0;
}

static int parse_query(struct query_work *work, struct http_reply *reply, struct error *err)
{
    if (read_query(work, err) < 0)
        return -1;
    api_begin(reply);
    plan_print_tree(work->plan, &reply->body);
    api_end(reply, NULL);
    return 0;
}

/* Exemplars are not kept; the query must still be one, and the times some. */
static int exemplars_query(struct query_work *work, struct http_reply *reply, struct error *err)
{
    int64_t start_ms = -API_TIME_MAX_MS, end_ms = API_TIME_MAX_MS;
    if (api_optional_time(work->asked, "start", &start_ms, err) < 0 ||
        api_optional_time(work->asked, "end", &end_ms, err) < 0)
        return -1;
    if (end_ms < start_ms)
        return error_set(err, ERROR_BAD_DATA, "end timestamp must not be before start timestamp");
    if (read_query(work, err) < 0)
        return -1;
    api_begin(reply);
    buffer_append_string(&reply->body, "[]");
    api_end(reply, NULL);
    return 0;
}

static void with_work(const struct http_request *request, struct http_reply *reply,
                      int (*run)(struct query_work *, struct http_reply *, struct error *))
{
    struct query_work *work = work_new(request);
    struct error err;
    if (run(work, reply, &err) < 0)
        api_refuse(reply, &err);
    if (reply->stream.arg != work) /* which owns it then */
        work_free(work);
}

static void handle_query(const struct http_request *request, struct http_reply *reply)
{
    with_work(request, reply, instant_query);
}

static void handle_query_range(const struct http_request *request, struct http_reply *reply)
{
    with_work(request, reply, range_query);
}

/* The main thread has no more to do for a query that is answered in the words of the last time than to find
 * them. */
static bool known_at_once(const struct http_request *request, struct http_reply *reply,
                          int (*read)(struct query_work *, struct error *))
{
    struct query_work *work = work_new(request);
    struct error unused;
    bool known = read(work, &unused) == 0 && is_plain(work) &&
                 cached_text_at_once(work->api->store, &work->request, AT_ONCE_MAX, &reply->body);
    work_free(work);
    return known;
}

static bool query_at_once(const struct http_request *request, struct http_reply *reply)
{
    return known_at_once(request, reply, read_instant);
}

static bool query_range_at_once(const struct http_request *request, struct http_reply *reply)
{
    return known_at_once(request, reply, read_range);
}

static void handle_format_query(const struct http_request *request, struct http_reply *reply)
{
    with_work(request, reply, format_query);
}

static void handle_parse_query(const struct http_request *request, struct http_reply *reply)
{
    with_work(request, reply, parse_query);
}

static void handle_exemplars(const struct http_request *request, struct http_reply *reply)
{
    with_work(request, reply, exemplars_query);
}

#define ROUTE(verbs, path, handler)                                                                \
    {                                                                                              \
        .methods = (verbs), .pattern = "/api/v1/" path, .handle = (handler), .cors = true,         \
        .refuse = http_refuse_json                                                                 \
    }
#define FORM  (HTTP_GET | HTTP_POST)
#define QUERY (FORM | HTTP_SLOW)
/* Maybe from the results cache. */
#define KNOWN(path, handler, first)                                                                \
    {                                                                                              \
        .methods = QUERY, .pattern = "/api/v1/" path, .handle = (handler), .at_once = (first),     \
        .cors = true, .refuse = http_refuse_json                                                   \
    }
/* No cors: pages of other origins may read here, but not delete. */
#define CHANGE(path, handler)                                                                      \
    {                                                                                              \
        .methods = HTTP_POST | HTTP_PUT | HTTP_FORM, .pattern = "/api/v1/" path,                   \
        .handle = (handler), .refuse = http_refuse_json                                            \
    }

const struct http_route prometheus_routes[] = {
    KNOWN("query", handle_query, query_at_once),
    KNOWN("query_range", handle_query_range, query_range_at_once),
    ROUTE(FORM, "query_exemplars", handle_exemplars),
    ROUTE(FORM, "format_query", handle_format_query),
    ROUTE(FORM, "parse_query", handle_parse_query),
    ROUTE(FORM, "series", api_get_series),
    ROUTE(FORM, "labels", api_get_labels),
    ROUTE(HTTP_GET, "label/{name}/values", api_get_label_values),
    ROUTE(HTTP_GET, "metadata", api_get_metadata),
    ROUTE(HTTP_GET, "status/buildinfo", api_get_buildinfo),
    ROUTE(HTTP_GET, "status/runtimeinfo", api_get_runtimeinfo),
    ROUTE(HTTP_GET, "status/config", api_get_config),
    ROUTE(HTTP_GET, "status/flags", api_get_flags),
    ROUTE(HTTP_GET, "status/tsdb", api_get_tsdb),
    ROUTE(HTTP_GET, "status/walreplay", api_get_walreplay),
    ROUTE(HTTP_GET, "targets", api_get_targets),
    ROUTE(HTTP_GET, "targets/metadata", api_get_empty_list),
    ROUTE(HTTP_GET, "scrape_pools", api_get_scrape_pools),
    ROUTE(HTTP_GET, "alertmanagers", api_get_alertmanagers),
    CHANGE("admin/tsdb/delete_series", api_delete_series),
    CHANGE("admin/tsdb/clean_tombstones", api_clean_tombstones),
    {.methods = HTTP_POST | HTTP_SLOW,
     .pattern = "/api/v1/read",
     .handle = api_remote_read,
     .refuse = http_refuse_text},
    {.methods = QUERY,
     .pattern = "/federate",
     .handle = api_get_federate,
     .refuse = http_refuse_text},
};
const size_t prometheus_route_count = sizeof prometheus_routes / sizeof prometheus_routes[0];
