/* loki: the route table, queries, and what is known of streams.
 *
 *   GET/POST /loki/api/v1/query_range   query, start, end, since, step, limit, direction
 *   GET/POST /loki/api/v1/query         query, time, limit, direction
 *   GET/POST /loki/api/v1/labels, label/{name}/values, series   start, end, since, query, match[]
 *   GET      /loki/api/v1/status/buildinfo
 *   -> {"status":"success","data":...}
 *
 * An instant query of log lines, which Loki refuses, gives those of the last hour. A query gets an
 * arena of its own, limited by limits.query_memory, and a part of limits.query_memory_total. Absent: push, tail, volume, detected fields,
 * patterns, rules.
 */
#include "server/api/loki.h"

#include <stdlib.h>

#include "query/logql_eval.h"
#include "query/logql_render.h"
#include "query/promql.h"
#include "server/wire/timestamp.h"
#include "storage/base/clock.h"
#include "storage/base/json.h"
#include "storage/base/table.h"

#define NS_PER_MS       ((int64_t)1000000)
#define NS_PER_SECOND   ((int64_t)1000000000)
#define HOUR_NS         (3600 * NS_PER_SECOND)
#define TIME_MAX_NS     ((int64_t)4000000000 * NS_PER_SECOND) /* room to add ranges in 63 bits */
#define LIMIT_DEFAULT   100
#define LIMIT_MAX       5000
#define STEPS_DEFAULT   250
#define QUERY_BYTES_MAX ((uint64_t)16 << 30)
#define SELECTORS_MAX   16

struct work {
    const struct http_request *request;
    const struct loki_api *api;
    struct arena arena;
    struct logql_query queries[SELECTORS_MAX];
    size_t query_count;
    struct slice text; /* of the query */
    struct logql_request run;
    struct promql_share share; /* of the memory for all queries */
};

static void work_init(struct work *work, const struct http_request *request)
{
    *work = (struct work){.request = request, .api = request->context};
    arena_init(&work->arena, (size_t)work->api->config->limits.query_memory_bytes);
    work->run.bytes_max = QUERY_BYTES_MAX;
    work->run.cancelled = request->cancelled;
    work->run.share = &work->share;
    work->share.pool = work->api->memory;
    work->run.deadline_ns =
        clock_monotonic_ns() + work->api->config->limits.query_timeout_ms * NS_PER_MS;
}

static void work_release(struct work *work)
{
    for (size_t i = 0; i < work->query_count; i++)
        logql_release(&work->queries[i]);
    arena_release(&work->arena);
    promql_share_return(&work->share);
}

/* Loki's clients take 429 for a rate limit and try again; a query that is too large stays so. */
static void refuse(struct http_reply *reply, struct error *err)
{
    if (err->kind == ERROR_LIMIT)
        err->kind = ERROR_BAD_DATA;
    buffer_reset(&reply->body);
    http_refuse_text(reply, err);
}

static void begin(struct http_reply *reply)
{
    buffer_append_string(&reply->body, "{\"status\":\"success\",\"data\":");
}

static void end(struct http_reply *reply)
{
    buffer_append_char(&reply->body, '}');
    if (reply->body.overflow) {
        struct error err = {0};
        error_set(&err, ERROR_LIMIT, "the answer is larger than a reply may be; lower the limit");
        refuse(reply, &err);
    }
}

/* --- parameters --- */

static int read_time(const struct http_request *request, const char *name, int64_t *out_ns,
                     struct error *err)
{
    struct slice text;
    if (!http_get_param(request, name, &text) || text.len == 0)
        return 0;
    if (!timestamp_from_text(text, out_ns) || *out_ns < 0 || *out_ns > TIME_MAX_NS)
        return error_set(err, ERROR_BAD_DATA,
                         "%s=" SLICE_FMT " is no time; give Unix nanoseconds, Unix seconds or "
                         "2026-01-02T03:04:05Z",
                         name, SLICE_ARG(slice_head(text, 60)));
    return 0;
}

/* "15", "0.5", "1m", "15000ms" */
static int read_duration(const struct http_request *request, const char *name, int64_t *out_ns,
                         struct error *err)
{
    struct slice text;
    double seconds;
    if (!http_get_param(request, name, &text) || text.len == 0)
        return 0;
    if ((!slice_to_double(text, &seconds) && !logql_duration(text, &seconds)) ||
        !(seconds >= 0.001) || seconds > 1e9)
        return error_set(err, ERROR_BAD_DATA,
                         "%s=" SLICE_FMT " is no positive duration; give seconds or 1m, 15000ms",
                         name, SLICE_ARG(slice_head(text, 60)));
    *out_ns = (int64_t)(seconds * 1e9 + 0.5);
    return 0;
}

/* start and end; without a start it lies `span_ns` (or since=) before the end. */
static int read_range(struct work *work, int64_t span_ns, struct error *err)
{
    struct logql_request *run = &work->run;
    run->end_ns = (clock_now_ms() + 1) * NS_PER_MS; /* which is excluded; this millisecond is not */
    run->start_ns = -1;
    if (read_duration(work->request, "since", &span_ns, err) ||
        read_time(work->request, "end", &run->end_ns, err) ||
        read_time(work->request, "start", &run->start_ns, err))
        return -1;
    if (run->start_ns < 0)
        run->start_ns = run->end_ns > span_ns ? run->end_ns - span_ns : 0;
    if (run->start_ns > run->end_ns)
        return error_set(err, ERROR_BAD_DATA, "end lies before start; swap them");
    return 0;
}

static int read_limit(struct work *work, struct error *err)
{
    struct slice text;
    uint64_t limit = LIMIT_DEFAULT;
    if (http_get_param(work->request, "limit", &text) && text.len &&
        (!slice_to_u64(text, &limit) || limit > LIMIT_MAX))
        return error_set(err, ERROR_BAD_DATA, "limit=" SLICE_FMT " must be a number up to %d",
                         SLICE_ARG(slice_head(text, 60)), LIMIT_MAX);
    work->run.limit = limit ? (size_t)limit : LIMIT_DEFAULT;
    work->run.backward = true;
    if (!http_get_param(work->request, "direction", &text) || text.len == 0)
        return 0;
    work->run.backward = !slice_equal_nocase(text, SLICE("forward"));
    if (work->run.backward && !slice_equal_nocase(text, SLICE("backward")))
        return error_set(err, ERROR_BAD_DATA, "direction must be forward or backward");
    return 0;
}

static int read_query(struct work *work, struct error *err)
{
    http_get_param(work->request, "query", &work->text);
    if (logql_parse(work->text, &work->arena, &work->queries[0], err))
        return -1;
    work->query_count = 1;
    work->run.query = &work->queries[0];
    return 0;
}

/* --- queries --- */

static int answer_query(struct work *work, bool instant, struct http_reply *reply,
                        struct error *err)
{
    struct logql_result result;
    int64_t start_ns = clock_monotonic_ns();
    struct active_query active = {.language = "logql",
                                  .text = work->text,
                                  .request = work->request,
                                  .start_ms = work->run.start_ns / NS_PER_MS,
                                  .end_ms = work->run.end_ns / NS_PER_MS,
                                  .step_ms = work->run.step_ns / NS_PER_MS};
    active_begin(work->api->active, &active);
    int status = logql_run(store_logs(work->api->store), &work->run, &work->arena, &result, err);
    active_end(work->api->active, &active, status ? err->text : NULL);
    if (status)
        return -1;
    begin(reply);
    logql_render_data(&result, instant, clock_monotonic_ns() - start_ns, &reply->body);
    if (result.stats.damaged)
        buffer_append_format(&reply->body,
                             ",\"warnings\":[\"%llu damaged log blocks were left out: restore a "
                             "backup\"]",
                             (unsigned long long)result.stats.damaged);
    end(reply);
    return 0;
}

static int range_query(struct work *work, struct http_reply *reply, struct error *err)
{
    struct logql_request *run = &work->run;
    if (read_query(work, err) || read_range(work, HOUR_NS, err) || read_limit(work, err))
        return -1;
    int64_t step_s = (run->end_ns - run->start_ns) / NS_PER_SECOND / STEPS_DEFAULT;
    run->step_ns = (step_s > 1 ? step_s : 1) * NS_PER_SECOND;
    if (read_duration(work->request, "step", &run->step_ns, err))
        return -1;
    return answer_query(work, false, reply, err);
}

static int instant_query(struct work *work, struct http_reply *reply, struct error *err)
{
    struct logql_request *run = &work->run;
    run->end_ns = clock_now_ms() * NS_PER_MS;
    if (read_query(work, err) || read_time(work->request, "time", &run->end_ns, err) ||
        read_limit(work, err))
        return -1;
    run->start_ns = run->end_ns > HOUR_NS ? run->end_ns - HOUR_NS : 0;
    return answer_query(work, true, reply, err);
}

/* --- streams --- */

static int add_selector(struct work *work, struct slice text, struct error *err)
{
    if (work->query_count == SELECTORS_MAX)
        return error_set(err, ERROR_BAD_DATA, "more than %d selectors", SELECTORS_MAX);
    if (logql_parse_selector(text, &work->arena, &work->queries[work->query_count], err))
        return -1;
    work->query_count++;
    return 0;
}

/* query=, match= and match[]=; {} when there is none. */
static int read_selectors(struct work *work, struct error *err)
{
    for (size_t i = 0; i < work->request->param_count; i++) {
        const struct http_param *param = &work->request->params[i];
        bool selects = slice_equal(param->name, SLICE("match[]")) ||
                       slice_equal(param->name, SLICE("match")) ||
                       slice_equal(param->name, SLICE("query"));
        if (selects && param->value.len && add_selector(work, param->value, err))
            return -1;
    }
    return work->query_count ? 0 : add_selector(work, SLICE("{}"), err);
}

/* Calls visit for each matching stream, more than once for one that several selectors match. */
static int each_stream(struct work *work, void (*visit)(void *arg, struct labels labels), void *arg,
                       struct error *err)
{
    if (read_selectors(work, err) || read_range(work, 6 * HOUR_NS, err))
        return -1;
    for (size_t i = 0; i < work->query_count; i++) {
        const struct logql_pipeline *pipeline = work->queries[i].root->pipeline;
        struct logstore_query query = {
            .matchers = pipeline->matchers,
            .matcher_count = pipeline->matcher_count,
            .start_ns = work->run.start_ns,
            .end_ns = work->run.end_ns + 1,
        };
        struct logstore_streams streams;
        if (logstore_streams(store_logs(work->api->store), &query, &work->arena, &streams, err))
            return -1;
        for (size_t j = 0; j < streams.count; j++)
            visit(arg, streams.at[j]);
    }
    return 0;
}

struct collector {
    struct table set;  /* of names, values, or canonical labels */
    struct slice name; /* of the label whose values are wanted */
    struct buffer *out;
    struct buffer key;
};

static void collector_init(struct collector *collector, struct buffer *out)
{
    *collector = (struct collector){.out = out};
    table_init(&collector->set, SIZE_MAX);
    buffer_init(&collector->key, 1 << 20);
}

static void collector_release(struct collector *collector)
{
    table_release(&collector->set);
    buffer_release(&collector->key);
}

static void collect(struct collector *collector, struct slice text)
{
    bool fresh;
    if (text.len)
        (void)!table_insert(&collector->set, text, &fresh);
}

static int compare_texts(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* The set as a sorted JSON list. */
static int put_sorted(struct work *work, const struct collector *collector, struct buffer *out,
                      struct error *err)
{
    size_t cursor = 0, count = 0;
    struct slice *texts = arena_alloc(&work->arena, collector->set.count * sizeof *texts);
    if (!texts)
        return error_set(err, ERROR_LIMIT, "too many values; narrow the time range");
    for (struct table_entry *entry; (entry = table_next(&collector->set, &cursor));)
        texts[count++] = table_key(entry);
    if (count)
        qsort(texts, count, sizeof *texts, compare_texts);
    buffer_append_char(out, '[');
    for (size_t i = 0; i < count; i++) {
        buffer_append_string(out, i ? "," : "");
        json_append_quoted(out, texts[i]);
    }
    buffer_append_char(out, ']');
    return 0;
}

static void collect_names(void *arg, struct labels labels)
{
    for (size_t i = 0; i < labels.count; i++)
        collect(arg, labels.at[i].name);
}

static void collect_values(void *arg, struct labels labels)
{
    struct collector *collector = arg;
    collect(collector, labels_get(labels, collector->name));
}

static void put_stream(void *arg, struct labels labels)
{
    struct collector *collector = arg;
    bool fresh;
    buffer_reset(&collector->key);
    labels_encode(labels, &collector->key);
    if (!table_insert(&collector->set, buffer_slice(&collector->key), &fresh) || !fresh)
        return;
    buffer_append_string(collector->out, collector->set.count > 1 ? "," : "");
    labels_print_json(labels, collector->out);
}

static int list_texts(struct work *work, struct http_reply *reply,
                      void (*visit)(void *arg, struct labels labels), struct slice name,
                      struct error *err)
{
    struct collector collector;
    collector_init(&collector, &reply->body);
    collector.name = name;
    int status = each_stream(work, visit, &collector, err);
    if (status == 0) {
        begin(reply);
        status = put_sorted(work, &collector, &reply->body, err);
        end(reply);
    }
    collector_release(&collector);
    return status;
}

static int list_names(struct work *work, struct http_reply *reply, struct error *err)
{
    return list_texts(work, reply, collect_names, SLICE(""), err);
}

static int list_values(struct work *work, struct http_reply *reply, struct error *err)
{
    struct slice name = http_get_segment(work->request, "name");
    if (slice_equal(name, SLICE("service_name")))
        name = SLICE("service");
    if (slice_equal(name, SLICE("detected_level")))
        name = SLICE("level");
    return list_texts(work, reply, collect_values, name, err);
}

static int list_series(struct work *work, struct http_reply *reply, struct error *err)
{
    struct collector collector;
    collector_init(&collector, &reply->body);
    begin(reply);
    buffer_append_char(&reply->body, '[');
    int status = each_stream(work, put_stream, &collector, err);
    buffer_append_char(&reply->body, ']');
    end(reply);
    collector_release(&collector);
    return status;
}

/* --- routes --- */

static void handle(const struct http_request *request, struct http_reply *reply,
                   int (*run)(struct work *work, struct http_reply *reply, struct error *err))
{
    struct work work;
    struct error err = {0};
    work_init(&work, request);
    if (run(&work, reply, &err) ||
        promql_share_check(&work.share, work.arena.used + reply->body.capacity, &err))
        refuse(reply, &err);
    work_release(&work);
}

static void get_query_range(const struct http_request *request, struct http_reply *reply)
{
    handle(request, reply, range_query);
}

static void get_query(const struct http_request *request, struct http_reply *reply)
{
    handle(request, reply, instant_query);
}

static void get_labels(const struct http_request *request, struct http_reply *reply)
{
    handle(request, reply, list_names);
}

static void get_label_values(const struct http_request *request, struct http_reply *reply)
{
    handle(request, reply, list_values);
}

static void get_series(const struct http_request *request, struct http_reply *reply)
{
    handle(request, reply, list_series);
}

/* Grafana chooses features by this version. */
static void get_buildinfo(const struct http_request *request, struct http_reply *reply)
{
    (void)request;
    buffer_append_string(&reply->body,
                         "{\"version\":\"2.9.0\",\"revision\":\"lapwing\",\"branch\":\"\","
                         "\"buildUser\":\"\",\"buildDate\":\"\",\"goVersion\":\"\"}");
}

#define ROUTE(verbs, path, handler)                                                                \
    {                                                                                              \
        .methods = (verbs), .pattern = (path), .handle = (handler), .cors = true,                  \
        .refuse = http_refuse_text                                                                 \
    }

#define QUERY (HTTP_GET | HTTP_POST | HTTP_SLOW)

const struct http_route loki_routes[] = {
    ROUTE(QUERY, "/loki/api/v1/query_range", get_query_range),
    ROUTE(QUERY, "/loki/api/v1/query", get_query),
    ROUTE(HTTP_GET | HTTP_POST, "/loki/api/v1/labels", get_labels),
    ROUTE(HTTP_GET | HTTP_POST, "/loki/api/v1/label", get_labels),
    ROUTE(HTTP_GET | HTTP_POST, "/loki/api/v1/label/{name}/values", get_label_values),
    ROUTE(HTTP_GET | HTTP_POST, "/loki/api/v1/series", get_series),
    ROUTE(HTTP_GET, "/loki/api/v1/status/buildinfo", get_buildinfo),
};
const size_t loki_route_count = sizeof loki_routes / sizeof loki_routes[0];
