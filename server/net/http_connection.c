/* http_connection: a connection's states, and what moves it from one to the next; all on the main thread.
 *
 *            first byte            blank line           body complete
 *     HEAD ─────────────▶ HEAD ───────────────▶ BODY ───────────────▶ HANDLE (a worker has it)
 *      ▲                    │ refused             │ refused, or          │ eventfd; most replies
 *      │ keep-alive         ▼                     ▼ known at once        ▼ are sent by then
 *      └───────────────── WRITE ◀──────────────────────────────────── reply
 *                           │ close                 STREAM ◀────────── part of a reply
 *                           │                          └─── sent ────▶ HANDLE, for the next one
 *                           ▼
 *                         LINGER: our side is shut; what still comes is thrown away, so that a
 *                         client in the middle of a large upload reads the refusal, not a reset
 *
 * Bounds: connections; 64 KiB read ahead a connection; the head; one body under its limit, taken as
 * it arrives and never allocated by its announced length; all bodies together; a deadline from the
 * first byte that grows only with bytes received; a write timeout without progress.
 *
 * Requests of slow routes stand in a line (WAIT, between BODY and HANDLE) while slow_max of their kind are
 * with the workers. The line is this thread's: a timer takes out who waited too long, an end of file
 * who left.
 *
 * In HANDLE the descriptor is the worker's to write to (http_send.c). So a connection that is to end meanwhile
 * only cancels its exchange, and is freed when that comes back through `done`.
 *
 * Files: http_receive has the states that read, http_send writes, http_line is where requests wait.
 */
#include "server/net/http_connection.h"

#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"

#define READ_AHEAD_MAX ((size_t)64 << 10)
#define SEND_RATE_MIN  16 /* bytes a millisecond that a client must take of its reply */
#define LINGER_MS      2000
#define NOTHING_YET_MS 100 /* until a stream that had no part is asked again */

/* --- connections --- */

void connection_hold_body(struct http_server *http, struct exchange *exchange, int64_t bytes)
{
    exchange->held += bytes;
    http->body_bytes += bytes;
    metric_set(&http_metrics[HTTP_METRIC_BODY_BYTES], http->body_bytes);
}

void connection_set_timer(struct connection *c, int64_t ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
    evtimer_add(c->timer, &tv);
}

/* The exchange's end, wherever it is. */
static void drop_exchange(struct http_server *http, struct exchange *exchange)
{
    if (exchange)
        connection_hold_body(http, exchange, -exchange->held);
    exchange_free(exchange);
}

static void count_flight(struct http_server *http, int change)
{
    http->in_flight += (size_t)change;
    metric_set(&http_metrics[HTTP_METRIC_IN_FLIGHT], (int64_t)http->in_flight);
}

/* --- the end of a connection --- */

/* Its client went away before the reply was out; once a connection. */
static void note_gone(struct connection *c)
{
    if (!c->eof)
        metric_add(&http_metrics[HTTP_METRIC_GONE], 1);
    c->eof = true;
}

static void connection_free(struct connection *c)
{
    struct http_server *http = c->http;
    assert(c->state != HANDLE);
    if (c->state == WAIT)
        line_leave(c);
    if (c->state == STREAM)
        count_flight(http, -1);
    if (c->state == WAIT || c->state == STREAM)
        note_gone(c);
    drop_exchange(http, c->exchange);
    if (c->next)
        c->next->previous = c->previous;
    if (c->previous)
        c->previous->next = c->next;
    else
        http->connections = c->next;
    http->connection_count--;
    metric_set(&http_metrics[HTTP_METRIC_CONNECTIONS], http->connection_count);
    event_free(c->timer);
    bufferevent_free(c->bev);
    free(c);
}

/* The client waits no longer for what a worker has. Whether it has left before its reply shows when that is
 * back. */
static void cancel(struct connection *c)
{
    c->left = c->left || !c->eof;
    c->eof = true;
    atomic_store(&c->exchange->cancelled, true);
}

/* Now, or as soon as a worker has let go of it. */
static void connection_end(struct connection *c)
{
    if (c->state != HANDLE) {
        connection_free(c);
        return;
    }
    cancel(c);
    c->ended = true;
    bufferevent_disable(c->bev, EV_READ | EV_WRITE);
}

static void linger(struct connection *c)
{
    if (c->eof) {
        connection_free(c);
        return;
    }
    c->state = LINGER;
    shutdown(bufferevent_getfd(c->bev), SHUT_WR);
    struct evbuffer *input = bufferevent_get_input(c->bev);
    evbuffer_drain(input, evbuffer_get_length(input));
    connection_set_timer(c, LINGER_MS);
}

/* --- replies --- */

/* What is being sent holds memory: a client that takes it byte by byte does not get for ever. */
static void set_send_deadline(struct connection *c)
{
    size_t left = connection_unsent(c);
    connection_set_timer(c, left ? c->http->options.timeout_ms + (int64_t)left / SEND_RATE_MIN
                                 : NOTHING_YET_MS);
}

void connection_reply(struct connection *c)
{
    connection_send(c);
    set_send_deadline(c);
    if (c->exchange->more) {
        c->state = STREAM;
        count_flight(c->http, 1); /* keeps its place with the workers */
        return;
    }
    c->close = c->exchange->close;
    drop_exchange(c->http, c->exchange);
    c->exchange = NULL;
    c->state = WRITE;
}

void connection_refuse(struct connection *c, int status, enum error_kind kind, const char *sentence)
{
    struct error err;
    error_set(&err, kind, "%s", sentence);
    exchange_refuse(c->exchange, status, &err);
    c->exchange->close = true;
    connection_reply(c);
}

/* Instead of a handler's answer, to a request that is read whole. */
static void answer_error(struct connection *c, enum error_kind kind, const char *sentence)
{
    struct error err;
    error_set(&err, kind, "%s", sentence);
    exchange_refuse(c->exchange, http_status_of(kind), &err);
    connection_reply(c);
}

/* To the workers. */
static void start(struct connection *c)
{
    struct http_server *http = c->http;
    const struct http_options *options = &http->options;
    if (http->in_flight >= options->queue_max + options->workers) {
        answer_error(c, ERROR_UNAVAILABLE, "the server is busy; send the request again later");
        return;
    }
    count_flight(http, 1);
    evtimer_del(c->timer);
    c->state = HANDLE;
    c->exchange->fd = connection_unsent(c) ? -1 : bufferevent_getfd(c->bev);
    http->slow_running += c->exchange->slow;
    c->exchange->request.peer = arena_copy(&c->exchange->arena, slice_of_string(c->peer));
    int status = queue_try_push(http->jobs, c->exchange);
    assert(status == 0); /* it holds queue_max + workers */
}

void connection_submit(struct connection *c)
{
    struct http_server *http = c->http;
    bool alone = evbuffer_get_length(bufferevent_get_input(c->bev)) == 0; /* else it takes turns */
    if (alone && exchange_answer_at_once(c->exchange)) {
        connection_reply(c);
        return;
    }
    c->exchange->slow = (c->exchange->route->methods & HTTP_SLOW) != 0 &&
                        http->options.slow_max > 0 && !c->exchange->answered;
    if (!c->exchange->slow || http->slow_running < http->options.slow_max) {
        start(c);
    } else if (http->slow_waiting < http->options.queue_max) {
        line_join(c);
        connection_set_timer(c, http->options.slow_wait_ms);
    } else {
        answer_error(c, ERROR_UNAVAILABLE, "too many queries wait; send the request again later");
    }
}

/* The last part has left: a worker makes the next one. */
static void ask_part(struct connection *c)
{
    evtimer_del(c->timer);
    c->state = HANDLE;
    int status = queue_try_push(c->http->jobs, c->exchange);
    assert(status == 0); /* it has been in flight all the time */
}

/* --- the states in which a connection moves by itself --- */

/* The whole reply has left. False when it was the last one: the connection lingers, or is no more. */
static bool next_request(struct connection *c)
{
    if (c->close) {
        linger(c);
        return false;
    }
    c->state = READ_HEAD;
    c->started_ns = 0;
    connection_set_timer(c, c->http->options.timeout_ms);
    return true;
}

/* As far as it gets without waiting for anybody: the last thing to do for a connection after an event, for
 * it may be gone then. */
static void advance(struct connection *c)
{
    for (bool more = true; more;) {
        bool between = c->state == READ_HEAD;
        if (between)
            more = connection_read_head(c);
        else if (c->state == READ_BODY)
            more = connection_read_body(c);
        else
            more = c->state == WRITE && connection_unsent(c) == 0 && next_request(c);
        if (between && !more && c->eof)
            connection_free(c);
    }
}

/* The first in line, once there is a turn. */
static void start_waiting(struct http_server *http)
{
    while (http->waiting_first && http->slow_running < http->options.slow_max) {
        struct connection *c = http->waiting_first;
        line_leave(c);
        c->exchange->request.waited_ns = clock_monotonic_ns() - c->waits_ns;
        start(c);
        advance(c);
    }
}

/* --- callbacks --- */

static void on_read(struct bufferevent *bev, void *arg)
{
    struct connection *c = arg;
    if (c->state != LINGER) {
        advance(c);
        return;
    }
    struct evbuffer *input = bufferevent_get_input(bev);
    evbuffer_drain(input, evbuffer_get_length(input));
    if ((clock_monotonic_ns() - c->started_ns) / 1000000 < c->http->options.timeout_ms)
        connection_set_timer(c, LINGER_MS);
}

/* All that was written has left for the kernel. */
static void on_write(struct bufferevent *bev, void *arg)
{
    struct connection *c = arg;
    (void)bev;
    if (c->state == STREAM)
        ask_part(c);
    else
        advance(c);
}

/* Nobody waits for work that has not been done; what is answered already may still be read. */
static void end_of_input(struct connection *c)
{
    if (c->state == HANDLE && !c->exchange->begun)
        cancel(c);
    if (c->state == WAIT) {
        note_gone(c);
        line_leave(c);
        answer_error(c, ERROR_CANCELED, "the query was cancelled: nobody waits for it any more");
    }
    c->eof = true;
    advance(c);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    struct connection *c = arg;
    (void)bev;
    bool answering =
        c->state == WAIT || c->state == HANDLE || c->state == STREAM || c->state == WRITE;
    if ((what & BEV_EVENT_EOF) && answering) {
        end_of_input(c);
        return;
    }
    if (what & BEV_EVENT_TIMEOUT)
        metric_add(&http_metrics[HTTP_METRIC_TIMEOUTS], 1);
    connection_end(c);
}

/* A part is due, or time is up. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    (void)fd;
    (void)what;
    if (c->state == STREAM && connection_unsent(c) == 0) {
        if (c->eof)
            connection_free(c);
        else
            ask_part(c);
        return;
    }
    bool idle = c->state == READ_HEAD && !c->started_ns;
    if (!idle && c->state != LINGER && c->state != WAIT)
        metric_add(&http_metrics[HTTP_METRIC_TIMEOUTS], 1);
    if (c->state == WAIT) {
        metric_add(&http_metrics[HTTP_METRIC_WAITED_OUT], 1);
        line_leave(c);
        answer_error(c, ERROR_TIMEOUT, "query timed out in query queue");
        advance(c);
    } else if (c->state == READ_BODY) {
        connection_refuse(c, 408, ERROR_TIMEOUT, "the body took too long to arrive");
        advance(c);
    } else {
        connection_end(c);
    }
}

void connection_take_back(struct http_server *http, struct exchange *exchange)
{
    struct connection *c = exchange->connection;
    count_flight(http, -1);
    http->slow_running -= exchange->slow;
    exchange->slow = false; /* further parts of its answer are made as others come */
    metric_add(&http_metrics[HTTP_METRIC_GONE], c->left && exchange->sent == 0);
    c->left = false;
    c->state = WRITE; /* the exchange is ours again */
    if (c->ended || exchange->broken) {
        connection_free(c);
    } else {
        connection_reply(c);
        advance(c);
    }
    start_waiting(http);
}

void connections_refuse_waiting(struct http_server *http, const struct error *err)
{
    for (struct connection *c; (c = http->waiting_first);) {
        line_leave(c);
        exchange_refuse(c->exchange, http_status_of(err->kind), err);
        connection_reply(c);
        advance(c);
    }
}

void connection_open(struct http_server *http, int fd, const struct sockaddr *peer, socklen_t len)
{
    int one = 1;
    if (http->connection_count >= http->options.connection_max) {
        metric_add(&http_metrics[HTTP_METRIC_REFUSED], 1);
        close(fd);
        return;
    }
    struct connection *c = alloc_zeroed(1, sizeof *c);
    struct timeval timeout = {http->options.timeout_ms / 1000,
                              http->options.timeout_ms % 1000 * 1000};
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->http = http;
    c->bev = bufferevent_socket_new(http->base, fd, BEV_OPT_CLOSE_ON_FREE);
    c->timer = evtimer_new(http->base, on_timer, c);
    assert(c->bev && c->timer);
    if (getnameinfo(peer, len, c->peer, sizeof c->peer, NULL, 0, NI_NUMERICHOST) != 0)
        snprintf(c->peer, sizeof c->peer, "unknown");
    c->next = http->connections;
    if (c->next)
        c->next->previous = c;
    http->connections = c;
    http->connection_count++;
    metric_set(&http_metrics[HTTP_METRIC_CONNECTIONS], http->connection_count);
    bufferevent_setcb(c->bev, on_read, on_write, on_event, c);
    bufferevent_setwatermark(c->bev, EV_READ, 0, READ_AHEAD_MAX);
    bufferevent_set_timeouts(c->bev, NULL, &timeout);
    bufferevent_enable(c->bev, EV_READ | EV_WRITE);
    connection_set_timer(c, http->options.timeout_ms);
}

bool connections_settle(struct http_server *http)
{
    bool any = false;
    for (struct connection *c = http->connections, *next; c; c = next) {
        next = c->next;
        if (c->state == READ_HEAD || c->state == LINGER)
            connection_free(c);
        else
            any = true;
    }
    return any;
}

void connections_free_all(struct http_server *http)
{
    for (struct connection *c = http->connections, *next; c; c = next) {
        next = c->next;
        connection_end(c);
    }
}
