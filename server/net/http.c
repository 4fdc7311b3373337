/* http: the listener, the workers, and the order in which they start and stop.
 *
 *     listener ─▶ connections ─ jobs ─▶ workers
 *       (main thread)  ▲                   │
 *                      └──── done ◀────────┘   an eventfd wakes the loop
 *
 * Both queues hold queue_max + workers exchanges, which is all that may be in flight, so neither
 * push can fail or wait. Files: http_parse (bytes), http_exchange (one request on its way),
 * http_connection (the client's side; http_receive, http_send, http_line are parts of it), http_reply (what handlers call), encoding (gzip, zstd).
 *
 * evhttp is deliberately not used: docs/decisions/0001-http-server.md.
 */
#include "server/net/http.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/net/http_connection.h"
#include "server/net/socket.h"
#include "storage/base/alloc.h"
#include "storage/base/log.h"

#define DRAIN_MS_MAX    3000
#define ACCEPT_PAUSE_MS 100
#define TOUCHED_BYTES   ((size_t)512 << 10) /* what most queries use; 1.7 MB in all */

#define REQUESTS_ROW(code)                                                                         \
    {                                                                                              \
        "lapwing_http_requests_total", METRIC_COUNTER, "code=\"" code "\"",                        \
            "HTTP requests answered, by class of status.", 0, 0                                    \
    }

struct metric http_metrics[HTTP_METRIC_COUNT] = {
    [HTTP_METRIC_1XX] = REQUESTS_ROW("1xx"),
    [HTTP_METRIC_2XX] = REQUESTS_ROW("2xx"),
    [HTTP_METRIC_3XX] = REQUESTS_ROW("3xx"),
    [HTTP_METRIC_4XX] = REQUESTS_ROW("4xx"),
    [HTTP_METRIC_5XX] = REQUESTS_ROW("5xx"),
    [HTTP_METRIC_SECONDS] = {"lapwing_http_request_seconds_total", METRIC_COUNTER, NULL,
                             "Time from the first byte of requests to their reply.", 1e-9, 0},
    [HTTP_METRIC_IN_FLIGHT] = {"lapwing_http_in_flight_requests", METRIC_GAUGE, NULL,
                               "Requests waiting for or running on a worker.", 0, 0},
    [HTTP_METRIC_WAITING] = {"lapwing_http_waiting_requests", METRIC_GAUGE, NULL,
                             "Queries waiting for their turn (limits.query_concurrency).", 0, 0},
    [HTTP_METRIC_WAITED_OUT] = {"lapwing_http_waited_out_total", METRIC_COUNTER, NULL,
                                "Queries refused because their turn did not come in time.", 0, 0},
    [HTTP_METRIC_CONNECTIONS] = {"lapwing_http_connections", METRIC_GAUGE, NULL,
                                 "HTTP connections open.", 0, 0},
    [HTTP_METRIC_REFUSED] = {"lapwing_http_connections_refused_total", METRIC_COUNTER, NULL,
                             "Connections closed at once because connection_max were open.", 0, 0},
    [HTTP_METRIC_TIMEOUTS] = {"lapwing_http_timeouts_total", METRIC_COUNTER, NULL,
                              "Connections closed because their client was too slow.", 0, 0},
    [HTTP_METRIC_GONE] = {"lapwing_http_clients_gone_total", METRIC_COUNTER, NULL,
                          "Clients that left before their reply.", 0, 0},
    [HTTP_METRIC_BODY_BYTES] = {"lapwing_http_body_bytes", METRIC_GAUGE, NULL,
                                "Request bodies being held.", 0, 0},
};

/* --- workers --- */

static void *worker_main(void *arg)
{
    struct http_server *http = arg;
    alloc_touch(TOUCHED_BYTES); /* here, or while the first client waits */
    for (struct exchange *exchange; (exchange = queue_pop(http->jobs));) {
        exchange_run(exchange);
        exchange_send(exchange, http);
        int status = queue_push(http->done, exchange);
        assert(status == 0); /* closed only after the workers were joined */
    }
    return NULL;
}

static void wake_main(void *arg)
{
    struct http_server *http = arg;
    uint64_t one = 1;
    ssize_t written = write(http->wake_fd, &one, sizeof one);
    (void)written; /* a full counter wakes just as well */
}

static void start_workers(struct http_server *http)
{
    http->workers = alloc_zeroed(http->options.workers, sizeof *http->workers);
    for (size_t i = 0; i < http->options.workers; i++) {
        char name[16];
        int status = pthread_create(&http->workers[i], NULL, worker_main, http);
        assert(status == 0);
        snprintf(name, sizeof name, "http-%zu", i % 1000);
        pthread_setname_np(http->workers[i], name);
    }
}

static void on_done(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *http = arg;
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof count);
    (void)got;
    (void)what;
    for (struct exchange *exchange; (exchange = queue_try_pop(http->done));)
        connection_take_back(http, exchange);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *peer,
                      int len, void *arg)
{
    (void)listener;
    connection_open(arg, fd, peer, (socklen_t)len);
}

/* Out of descriptors, most likely: a short pause instead of a busy loop. */
static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct http_server *http = arg;
    struct timeval pause = {0, ACCEPT_PAUSE_MS * 1000};
    log_warn("http_accept", "error=\"%s\"", strerror(errno));
    evconnlistener_disable(listener);
    evtimer_add(http->accept_pause, &pause);
}

static void on_accept_pause(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *http = arg;
    (void)fd;
    (void)what;
    evconnlistener_enable(http->listener);
}

/* --- opening and closing --- */

static int open_listener(struct http_server *http, struct error *err)
{
    int fd;
    if (socket_open(http->options.listen, SOCK_STREAM, &fd, err) != 0)
        return error_wrap(err, "http.listen");
    http->port = socket_port(fd);
    http->listener = evconnlistener_new(http->base, on_accept, http,
                                        LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    assert(http->listener);
    evconnlistener_set_error_cb(http->listener, on_accept_error);
    return 0;
}

int http_open(struct event_base *base, const struct http_options *options, struct http_server **out,
              struct error *err)
{
    struct http_server *http = alloc_zeroed(1, sizeof *http);
    size_t in_flight_max = options->queue_max + options->workers + options->slow_max;
    http->base = base;
    http->options = *options;
    http->options.workers += options->slow_max;
    if (open_listener(http, err) != 0) {
        free(http);
        return -1;
    }
    metric_register(http_metrics, HTTP_METRIC_COUNT);
    http->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert(http->wake_fd >= 0);
    http->wake = event_new(base, http->wake_fd, EV_READ | EV_PERSIST, on_done, http);
    http->accept_pause = evtimer_new(base, on_accept_pause, http);
    event_add(http->wake, NULL);
    http->jobs = queue_new(in_flight_max, NULL, NULL);
    http->done = queue_new(in_flight_max, wake_main, http);
    start_workers(http);
    *out = http;
    return 0;
}

void http_add_routes(struct http_server *http, const struct http_route *routes, size_t count,
                     void *context)
{
    assert(http->table_count < HTTP_TABLES_MAX);
    http->tables[http->table_count++] = (struct http_table){routes, count, context};
}

int http_port(const struct http_server *http)
{
    return http->port;
}

static void on_drain_deadline(evutil_socket_t fd, short what, void *arg)
{
    bool *over = arg;
    (void)fd;
    (void)what;
    *over = true;
}

/* Time is up: what no worker has begun is told so, and sent off as far as the kernel takes it. */
static void refuse_waiting(struct http_server *http)
{
    struct error err;
    error_set(&err, ERROR_UNAVAILABLE, "the server is stopping; send the request again later");
    connections_refuse_waiting(http, &err);
    for (struct exchange *exchange; (exchange = queue_try_pop(http->jobs));) {
        if (exchange->begun)
            exchange->broken = true; /* half of it is sent */
        else
            exchange_refuse(exchange, 503, &err);
        connection_take_back(http, exchange);
    }
    event_base_loop(http->base, EVLOOP_NONBLOCK);
}

static void drain(struct http_server *http)
{
    bool over = false;
    int64_t ms = http->options.timeout_ms < DRAIN_MS_MAX ? http->options.timeout_ms : DRAIN_MS_MAX;
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    struct event *deadline = evtimer_new(http->base, on_drain_deadline, &over);
    evtimer_add(deadline, &tv);
    atomic_store(&http->draining, true);
    while (connections_settle(http) && !over)
        event_base_loop(http->base, EVLOOP_ONCE);
    event_free(deadline);
    refuse_waiting(http);
    connections_free_all(http);
}

void http_close(struct http_server *http)
{
    if (!http)
        return;
    evconnlistener_free(http->listener);
    event_free(http->accept_pause);
    drain(http);
    queue_close(http->jobs);
    for (size_t i = 0; i < http->options.workers; i++)
        pthread_join(http->workers[i], NULL);
    for (struct exchange *exchange; (exchange = queue_try_pop(http->done));)
        connection_take_back(http, exchange);
    event_free(http->wake);
    close(http->wake_fd);
    queue_free(http->jobs);
    queue_free(http->done);
    free(http->workers);
    free(http);
}
