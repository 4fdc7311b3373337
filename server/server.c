/* server: the wiring. Reads like the drawing:
 *
 *     sockets            state (writer thread)      store            surfaces
 *     ingest  ─┐         ┌─ registry ─┐
 *     logtcp  ─┼─▶ writer ┼─ issues    ┼──▶ store ◀──────────────── http (workers)
 *     http    ─┘         └─ batches   ─┘      ▲
 *     alerts ──────────────────────────────────┘ ──▶ webhook
 *
 * Parts open from the store outwards and close from the sockets inwards (server_close is the list),
 * so whatever a part hands on still finds somebody to take it.
 *
 * To add a part: a member, an open_x in server_open's chain, and its close in server_close.
 */
#include "server/server.h"

#include <assert.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "query/fan.h"
#include "server/alert/manager.h"
#include "server/api/admin.h"
#include "server/api/alerts.h"
#include "server/api/graphite.h"
#include "server/api/health.h"
#include "server/api/import.h"
#include "server/api/influx.h"
#include "server/api/issues.h"
#include "server/api/logs.h"
#include "server/api/loki.h"
#include "server/api/prometheus.h"
#include "server/api/sentry.h"
#include "server/api/statsd.h"
#include "server/api/statsd_admin.h"
#include "server/ingest/feed.h"
#include "server/ingest/ingest.h"
#include "server/ingest/issue.h"
#include "server/ingest/logtcp.h"
#include "server/retention.h"
#include "server/version.h"
#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/base/regex.h"

#define CONFIG_ARENA_MAX ((size_t)32 << 20)
#define WRITER_QUEUE_MAX 1024
#define HTTP_QUEUE_MAX   1024
#define ISSUES_MAX       20000
#define ISSUE_CACHE_MAX  1000
#define MAINTAIN_SECONDS 10

enum { SIGNAL_TERM, SIGNAL_INT, SIGNAL_HUP, SIGNAL_COUNT };

/* Forgetting old error events, a writer job every MAINTAIN_SECONDS. */
struct maintenance {
    struct writer_job job; /* first: the job is the maintenance */
    struct server *server;
    _Atomic bool under_way;
};

struct server {
    const char *config_path;
    struct arena arena; /* the configuration's strings */
    struct config config;
    struct event_base *base;
    struct event *signals[SIGNAL_COUNT];
    struct event *maintain_timer;
    struct maintenance maintenance;

    struct store *store;
    struct registry *registry;
    struct writer *writer;
    struct issues *issues;
    struct alerts *alerts;
    struct fan *fan;
    struct http_server *http;
    struct logtcp *logtcp;
    struct feed *graphite, *influx;
    struct refusals *graphite_refusals, *influx_refusals;
    struct ingest *ingest;
    struct statsd_admin *statsd_admin;
    struct stats *stats;

    struct admin_api admin_api;
    struct health_api health_api;
    struct active_queries active;
    struct result_cache *result_cache;
    struct promql_pool query_memory;
    struct prometheus_api prometheus_api;
    struct import_api import_api;
    struct logs_api logs_api;
    struct loki_api loki_api;
    struct statsd_api statsd_api;
};

int server_configure(const struct server_options *options, struct arena *arena, struct config *out,
                     struct error *err)
{
    if (config_load(options->config_path, arena, out, err) != 0)
        return -1;
    if (options->data_dir)
        out->data_dir = options->data_dir;
    return 0;
}

/* --- routes --- */

static int reload(struct server *server, struct error *err);

static void post_reload(const struct http_request *request, struct http_reply *reply)
{
    struct error err = {0};
    if (reload(request->context, &err) != 0)
        http_refuse_text(reply, &err);
}

static const struct http_route reload_routes[] = {
    {.methods = HTTP_POST | HTTP_PUT,
     .pattern = "/-/reload",
     .handle = post_reload,
     .refuse = http_refuse_text},
};

static void add_routes(struct server *server)
{
    struct http_server *http = server->http;
    const struct config *config = &server->config;
    server->query_memory.bytes_max = config->limits.query_memory_total_bytes;
    server->result_cache = result_cache_new((size_t)config->limits.query_cache_bytes);
    server->health_api.store = server->store;
    server->health_api.stats = server->stats;
    server->health_api.start_ns = clock_monotonic_ns();
    server->prometheus_api = (struct prometheus_api){.store = server->store,
                                                     .writer = server->writer,
                                                     .active = &server->active,
                                                     .fan = server->fan,
                                                     .memory = &server->query_memory,
                                                     .cache = server->result_cache,
                                                     .config = config,
                                                     .start_ms = clock_real_ms()};
    server->influx_refusals = refusals_new(feed_reason_count(&feed_influx));
    server->import_api =
        (struct import_api){server->store, server->writer, config, server->influx_refusals};
    server->logs_api =
        (struct logs_api){server->writer, config->logs.line_max, config->retention.logs_ms};
    server->admin_api = (struct admin_api){
        .store = server->store, .data_dir = config->data_dir, .writer = server->writer};
    server->loki_api =
        (struct loki_api){server->store, &server->active, &server->query_memory, config};
    active_init(&server->active, config->limits.slow_query_ms);
    import_init();
    influx_init();
    sentry_init();

    http_add_routes(http, health_routes, health_route_count, &server->health_api);
    http_add_routes(http, prometheus_routes, prometheus_route_count, &server->prometheus_api);
    http_add_routes(http, graphite_routes, graphite_route_count, &server->prometheus_api);
    http_add_routes(http, active_routes, active_route_count, &server->active);
    http_add_routes(http, import_routes, import_route_count, &server->import_api);
    http_add_routes(http, influx_routes, influx_route_count, &server->import_api);
    http_add_routes(http, alert_routes, alert_route_count, server->alerts);
    http_add_routes(http, logs_routes, logs_route_count, &server->logs_api);
    http_add_routes(http, loki_routes, loki_route_count, &server->loki_api);
    http_add_routes(http, reload_routes, sizeof reload_routes / sizeof reload_routes[0], server);
    http_add_routes(http, admin_routes, admin_route_count, &server->admin_api);
    http_add_routes(http, issues_routes, issues_route_count, server->issues);
    http_add_routes(http, sentry_routes, sentry_route_count, server->issues);
    http_add_routes(http, statsd_routes, statsd_route_count, &server->statsd_api);
}

/* --- opening, from the store outwards --- */

/* Lives in the arena of the configuration. */
static const struct store_prefix_limit *prefix_limits(struct server *server)
{
    const struct option_rows *rows = &server->config.limits.series_per_prefix;
    const struct config_prefix_limit *from = rows->at;
    struct store_prefix_limit *limits =
        arena_zeroed(&server->arena, rows->count + 1, sizeof *limits);
    assert(limits);
    for (size_t i = 0; i < rows->count; i++)
        limits[i] = (struct store_prefix_limit){from[i].prefix, from[i].series};
    return limits;
}

static int open_store(struct server *server, struct error *err)
{
    const struct config *config = &server->config;
    struct store_options options = {
        .path = config->data_dir,
        .series_max = config->limits.series,
        .series_per_metric_max = config->limits.series_per_metric,
        .prefix_limits = prefix_limits(server),
        .prefix_limit_count = config->limits.series_per_prefix.count,
        .head_bytes = config->memory.head_bytes,
        .block_cache_bytes = config->memory.block_cache_bytes,
        .memtable_bytes = config->memory.memtable_bytes,
        .retention_raw_ms = config->retention.raw_ms,
        .retention_logs_ms = config->retention.logs_ms,
        .rollup_5m_after_ms = config->rollup.fine_after_ms,
    };
    if (store_open(&options, &server->store, err) != 0)
        return -1;
    server->stats = stats_new(server->store);
    return retention_apply(config, server->store, err);
}

static int open_state(struct server *server, struct error *err)
{
    const struct config *config = &server->config;
    struct registry_options registry = {
        .idle_timeout_ms = config->statsd.idle_timeout_ms,
        .series_max = config->limits.series,
        .flush_interval_ms = config->statsd.flush_interval_ms,
    };
    server->registry = registry_new(server->store, &registry);
    server->writer = writer_start(server->store, WRITER_QUEUE_MAX);
    struct issues_options issues = {
        .store = server->store,
        .writer = server->writer,
        .registry = server->registry,
        .retention_ms = config->retention.errors_ms,
        .issues_max = ISSUES_MAX,
        .cache_max = ISSUE_CACHE_MAX,
    };
    return issues_open(&issues, &server->issues, err);
}

static struct fan *open_fan(const struct config *config)
{
    int64_t threads = config->limits.query_threads;
    if (threads == 0)
        threads = sysconf(_SC_NPROCESSORS_ONLN);
    return fan_new(threads < 1 ? 1 : (size_t)threads);
}

static int open_http(struct server *server, struct error *err)
{
    const struct config *config = &server->config;
    regex_warm();
    server->fan = open_fan(config);
    struct http_options options = {
        .listen = config->http.listen,
        .body_max = config->http.body_max,
        .inflated_max = config->http.inflated_max,
        .connection_max = config->http.connection_max,
        .timeout_ms = config->http.timeout_ms,
        .workers = (size_t)config->http.workers,
        .queue_max = HTTP_QUEUE_MAX,
        .slow_max = (size_t)config->limits.query_concurrency,
        .slow_wait_ms = config->limits.query_timeout_ms,
    };
    if (http_open(server->base, &options, &server->http, err) != 0)
        return -1;
    add_routes(server);
    return 0;
}

static int open_alerts(struct server *server, struct error *err)
{
    return alerts_open(&server->config, server->store, server->writer, &server->alerts, err);
}

static int open_logs(struct server *server, struct error *err)
{
    const struct config *config = &server->config;
    struct logtcp_options options = {
        .listen = config->logs.json_tcp,
        .line_max = config->logs.line_max,
        .connection_max = config->logs.connection_max,
        .retention_ms = config->retention.logs_ms,
    };
    return *options.listen ? logtcp_open(&options, server->writer, &server->logtcp, err) : 0;
}

static int open_feeds(struct server *server, struct error *err)
{
    const struct config *config = &server->config;
    server->graphite_refusals = refusals_new(feed_reason_count(&feed_graphite));
    struct feed_options graphite = {
        .format = &feed_graphite,
        .udp = config->graphite.udp,
        .tcp = config->graphite.tcp,
        .connection_max = config->graphite.connection_max,
        .refusals = server->graphite_refusals,
    };
    struct feed_options influx = {
        .format = &feed_influx,
        .udp = config->influx.udp,
        .tcp = config->influx.tcp,
        .connection_max = config->influx.connection_max,
        .refusals = server->influx_refusals,
    };
    if (feed_open(&graphite, server->store, server->writer, &server->graphite, err))
        return -1;
    return feed_open(&influx, server->store, server->writer, &server->influx, err);
}

/* Writer thread, once a tick. */
static void on_tick(void *arg, struct registry *registry)
{
    struct server *server = arg;
    stats_feed(server->stats, registry);
}

static int open_ingest(struct server *server, struct error *err)
{
    struct ingest_parts parts = {
        .config = &server->config,
        .writer = server->writer,
        .registry = server->registry,
        .on_tick = on_tick,
        .arg = server,
    };
    if (ingest_open(&parts, &server->ingest, err))
        return -1;
    server->statsd_api = (struct statsd_api){
        .ingest = server->ingest,
        .store = server->store,
        .writer = server->writer,
        .registry = server->registry,
        .feeds = {[STATSD_API_GRAPHITE] = {&feed_graphite, server->graphite_refusals},
                  [STATSD_API_INFLUX] = {&feed_influx, server->influx_refusals}}};
    const struct statsd_admin_parts admin = {&server->config, server->writer, server->registry};
    return statsd_admin_open(&admin, &server->statsd_admin, err);
}

/* --- signals and timers --- */

/* Any thread. What cannot change while running keeps its value. */
static int reload(struct server *server, struct error *err)
{
    struct arena arena;
    struct config fresh;
    struct server_options options = {.config_path = server->config_path};
    arena_init(&arena, CONFIG_ARENA_MAX);
    struct mapping *mapping = NULL;
    int status = server_configure(&options, &arena, &fresh, err);
    if (status == 0)
        status = ingest_read_mapping(&fresh, &mapping, err);
    if (status == 0)
        status = alerts_reload(server->alerts, &fresh, err);
    if (status == 0)
        status = retention_reload(&fresh, server->store, server->writer, err);
    if (status == 0)
        ingest_replace_mapping(server->ingest, &fresh, mapping);
    else
        mapping_free(mapping);
    arena_release(&arena);
    if (status == 0)
        log_info("reload", "result=ok");
    else
        log_error("reload", "result=refused error=\"%s\"", err->text);
    return status;
}

static void on_stop(evutil_socket_t signal_number, short what, void *arg)
{
    struct server *server = arg;
    (void)what;
    log_info("stop", "signal=%d", (int)signal_number);
    event_base_loopbreak(server->base);
}

static void on_reload(evutil_socket_t signal_number, short what, void *arg)
{
    struct error err = {0};
    int status = reload(arg, &err);
    (void)status; /* logged */
    (void)signal_number;
    (void)what;
}

/* What was deleted before a fault stays deleted, so the job itself is never refused. */
static int run_maintain(struct writer_job *job, struct store_batch *batch, struct error *err)
{
    const struct maintenance *maintenance = (const struct maintenance *)job;
    if (issues_maintain(maintenance->server->issues, batch, clock_now_ms(), err) != 0)
        log_error("maintain", "error=\"%s\"", err->text);
    return 0;
}

static void maintained(struct writer_job *job, int status, const struct error *err)
{
    struct maintenance *maintenance = (struct maintenance *)job;
    (void)status;
    (void)err; /* the writer has logged it; the next one finds the same work */
    atomic_store(&maintenance->under_way, false);
}

static void on_maintain(evutil_socket_t fd, short what, void *arg)
{
    struct server *server = arg;
    struct maintenance *maintenance = &server->maintenance;
    (void)fd;
    (void)what;
    if (atomic_exchange(&maintenance->under_way, true))
        return; /* the last one still waits for the writer */
    maintenance->server = server;
    maintenance->job = (struct writer_job){.run = run_maintain, .done = maintained};
    if (writer_try_submit(server->writer, &maintenance->job) != 0)
        atomic_store(&maintenance->under_way, false);
}

static void add_events(struct server *server)
{
    struct timeval interval = {MAINTAIN_SECONDS, 0};
    signal(SIGPIPE, SIG_IGN);
    server->signals[SIGNAL_TERM] = evsignal_new(server->base, SIGTERM, on_stop, server);
    server->signals[SIGNAL_INT] = evsignal_new(server->base, SIGINT, on_stop, server);
    server->signals[SIGNAL_HUP] = evsignal_new(server->base, SIGHUP, on_reload, server);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        evsignal_add(server->signals[i], NULL);
    server->maintain_timer = event_new(server->base, -1, EV_PERSIST, on_maintain, server);
    evtimer_add(server->maintain_timer, &interval);
}

/* Async-signal-safe: nothing is flushed, as with kill -9, which the store survives. */
static void exit_at_once(int signal_number)
{
    (void)signal_number;
    _exit(1);
}

static void heed_second_signal(struct server *server)
{
    for (int i = 0; i < SIGNAL_COUNT; i++)
        event_free(server->signals[i]);
    signal(SIGTERM, exit_at_once);
    signal(SIGINT, exit_at_once);
    signal(SIGHUP, SIG_IGN);
}

/* --- the life of the server --- */

/* One address a field; a listener that is off has none. */
static void log_address(struct buffer *line, const char *name, const char *configured, int port)
{
    const char *colon = strrchr(configured, ':');
    if (colon && port > 0)
        buffer_append_format(line, "%s=%.*s:%d ", name, (int)(colon - configured), configured,
                             port);
}

static void log_ready(struct server *server)
{
    const struct config *config = &server->config;
    struct buffer line;
    buffer_init(&line, 1024);
    log_address(&line, "http", config->http.listen, http_port(server->http));
    log_address(&line, "statsd_udp", config->statsd.udp, ingest_udp_port(server->ingest));
    log_address(&line, "statsd_tcp", config->statsd.tcp, ingest_tcp_port(server->ingest));
    log_address(&line, "statsd_admin", config->statsd.admin,
                statsd_admin_port(server->statsd_admin));
    if (server->logtcp)
        log_address(&line, "logs_tcp", config->logs.json_tcp, logtcp_port(server->logtcp));
    if (server->graphite) {
        log_address(&line, "graphite_udp", config->graphite.udp, feed_udp_port(server->graphite));
        log_address(&line, "graphite_tcp", config->graphite.tcp, feed_tcp_port(server->graphite));
    }
    if (server->influx) {
        log_address(&line, "influx_udp", config->influx.udp, feed_udp_port(server->influx));
        log_address(&line, "influx_tcp", config->influx.tcp, feed_tcp_port(server->influx));
    }
    log_info("ready", SLICE_FMT "pid=%d", SLICE_ARG(buffer_slice(&line)), (int)getpid());
    buffer_release(&line);
}

int server_open(const struct server_options *options, struct server **out, struct error *err)
{
    struct server *server = alloc_zeroed(1, sizeof *server);
    server->config_path = options->config_path;
    arena_init(&server->arena, CONFIG_ARENA_MAX);
    server->base = event_base_new();
    assert(server->base);
    if (server_configure(options, &server->arena, &server->config, err) != 0 ||
        open_store(server, err) != 0 || open_state(server, err) != 0 ||
        open_alerts(server, err) != 0 || open_http(server, err) != 0 ||
        open_logs(server, err) != 0 || open_feeds(server, err) != 0 ||
        open_ingest(server, err) != 0) {
        server_close(server);
        return -1;
    }
    log_set_level((enum log_level)server->config.log_level);
    add_events(server);
    *out = server;
    return 0;
}

void server_run(struct server *server)
{
    atomic_store(&server->health_api.phase, HEALTH_READY);
    log_ready(server);
    event_base_dispatch(server->base);
    atomic_store(&server->health_api.phase, HEALTH_STOPPING);
    heed_second_signal(server);
    event_free(server->maintain_timer);
}

void server_close(struct server *server)
{
    if (!server)
        return;
    int64_t start_ns = clock_monotonic_ns();
    bool opened = server->ingest != NULL;
    if (server->store)
        store_hurry(server->store);
    alerts_hurry(server->alerts);
    logtcp_close(server->logtcp);
    feed_close(server->graphite);
    feed_close(server->influx);
    statsd_admin_close(server->statsd_admin);
    if (server->ingest)
        taps_end(ingest_taps(server->ingest)); /* HTTP would wait for those who watch */
    http_close(server->http);
    fan_free(server->fan);
    refusals_free(server->graphite_refusals);
    refusals_free(server->influx_refusals);
    /* After HTTP: its last tick also writes what requests counted while they drained. */
    ingest_close(server->ingest);
    alerts_close(server->alerts);
    writer_stop(server->writer);
    issues_close(server->issues);
    registry_free(server->registry);
    stats_free(server->stats);
    if (server->store)
        store_close(server->store);
    active_release(&server->active);
    result_cache_free(server->result_cache);
    event_base_free(server->base);
    arena_release(&server->arena);
    free(server);
    if (opened)
        log_info("stopped", "took_ms=%lld",
                 (long long)((clock_monotonic_ns() - start_ns) / 1000000));
}
