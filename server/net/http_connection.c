/* http_connection: bytes in, exchanges to the workers and back, bytes out; all on the main thread.
 *
 *            first byte            blank line           body complete
 *     HEAD ─────────────▶ HEAD ───────────────▶ BODY ───────────────▶ HANDLE (a worker has it)
 *      ▲                    │ refused             │ refused              │ eventfd
 *      │ keep-alive         ▼                     ▼                      ▼
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
 * A connection that dies while a worker has its exchange only clears exchange->connection (main
 * thread); the exchange comes back through `done` and is freed there.
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
#define BODIES_MAX     16 /* all bodies being held, in units of body_max */
#define BODY_RATE_MIN  65 /* bytes a millisecond that a body must keep up */
#define SEND_RATE_MIN  16 /* and those that a client must take of its reply */
#define LINGER_MS      2000
#define NOTHING_YET_MS 100 /* until a stream that had no part is asked again */

/* --- connections --- */

/* Counts body bytes that arrived (or, negative, are gone) for the bound on all bodies together. */
static void hold_body(struct http_server *http, struct exchange *exchange, int64_t bytes)
{
    exchange->held += bytes;
    http->body_bytes += bytes;
    metric_set(&http_metrics[HTTP_METRIC_BODY_BYTES], http->body_bytes);
}

static void set_timer(struct connection *c, int64_t ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
    evtimer_add(c->timer, &tv);
}

/* The exchange's end, wherever it is. */
static void drop_exchange(struct http_server *http, struct exchange *exchange)
{
    if (exchange)
        hold_body(http, exchange, -exchange->held);
    exchange_free(exchange);
}

static void count_flight(struct http_server *http, int change)
{
    http->in_flight += (size_t)change;
    metric_set(&http_metrics[HTTP_METRIC_IN_FLIGHT], (int64_t)http->in_flight);
}

/* --- the end of a connection --- */

/* Its client went away before the reply was out; once a request. */
static void note_gone(struct connection *c)
{
    if (!c->eof)
        metric_add(&http_metrics[HTTP_METRIC_GONE], 1);
}

static void connection_free(struct connection *c)
{
    struct http_server *http = c->http;
    if (c->state == WAIT)
        line_leave(c);
    if (c->state == STREAM)
        count_flight(http, -1);
    if (c->state == WAIT || c->state == STREAM || c->state == HANDLE)
        note_gone(c);
    if (c->state == HANDLE) {
        c->exchange->connection = NULL; /* a worker has it; on_done frees it */
        atomic_store(&c->exchange->cancelled, true);
    } else {
        drop_exchange(http, c->exchange);
    }
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
    set_timer(c, LINGER_MS);
}

static void free_reply_body(const void *at, size_t len, void *arg)
{
    (void)at;
    (void)len;
    free(arg);
}

/* Hands the body to the socket, its memory with it; of a stream as one chunk. */
static void send_body(struct connection *c)
{
    struct exchange *exchange = c->exchange;
    struct evbuffer *output = bufferevent_get_output(c->bev);
    struct buffer *body = &exchange->reply.body;
    bool chunked = exchange_is_chunked(exchange);
    if (body->len) {
        if (chunked)
            evbuffer_add_printf(output, "%zx\r\n", body->len);
        evbuffer_add_reference(output, body->at, body->len, free_reply_body, body->at);
        if (chunked)
            evbuffer_add(output, "\r\n", 2);
        buffer_init(body, body->limit);
    }
    if (chunked && !exchange->more)
        evbuffer_add(output, "0\r\n\r\n", 5);
}

static void send_reply(struct connection *c)
{
    struct exchange *exchange = c->exchange;
    struct buffer head;
    bool last = c->eof && evbuffer_get_length(bufferevent_get_input(c->bev)) == 0;
    bool until_closed = exchange_is_stream(exchange) && !exchange_is_chunked(exchange);
    exchange->close = exchange->close || c->http->draining || last || until_closed;
    buffer_init(&head, HTTP_HEAD_MAX + (64 << 10));
    bool has_body = exchange_print_head(exchange, &head);
    assert(!head.overflow);
    evbuffer_add(bufferevent_get_output(c->bev), head.at, head.len);
    buffer_release(&head);
    exchange->begun = true;
    exchange->more = exchange->more && has_body;
    if (has_body)
        send_body(c);
}

static size_t unsent(struct connection *c)
{
    return evbuffer_get_length(bufferevent_get_output(c->bev));
}

/* What is being sent holds memory: a client that takes it byte by byte does not get for ever. */
static void set_send_deadline(struct connection *c)
{
    size_t left = unsent(c);
    set_timer(c,
              left ? c->http->options.timeout_ms + (int64_t)left / SEND_RATE_MIN : NOTHING_YET_MS);
}

/* The exchange has an answer, or a part of it: writes that, and forgets the exchange when it was all. */
static void reply(struct connection *c)
{
    if (c->exchange->begun) {
        send_body(c);
    } else {
        int class = c->exchange->reply.status / 100;
        assert(class >= 1 && class <= 5);
        send_reply(c);
        metric_add(&http_metrics[HTTP_METRIC_1XX + class - 1], 1);
        metric_add(&http_metrics[HTTP_METRIC_SECONDS], clock_monotonic_ns() - c->started_ns);
    }
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

/* An error before the handler. The rest of the request is not read, hence the close. */
static void refuse(struct connection *c, int status, enum error_kind kind, const char *sentence)
{
    struct error err;
    error_set(&err, kind, "%s", sentence);
    exchange_refuse(c->exchange, status, &err);
    c->exchange->close = true;
    reply(c);
}

/* Instead of a handler's answer, to a request that is read whole. */
static void answer_error(struct connection *c, enum error_kind kind, const char *sentence)
{
    struct error err;
    error_set(&err, kind, "%s", sentence);
    exchange_refuse(c->exchange, http_status_of(kind), &err);
    reply(c);
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
    http->slow_running += c->exchange->slow;
    c->exchange->request.peer = arena_copy(&c->exchange->arena, slice_of_string(c->peer));
    int status = queue_try_push(http->jobs, c->exchange);
    assert(status == 0); /* it holds queue_max + workers */
}

static void submit(struct connection *c)
{
    struct http_server *http = c->http;
    c->exchange->slow =
        (c->exchange->route->methods & HTTP_SLOW) != 0 && http->options.slow_max > 0;
    if (!c->exchange->slow || http->slow_running < http->options.slow_max) {
        start(c);
    } else if (http->slow_waiting < http->options.queue_max) {
        line_join(c);
        set_timer(c, http->options.slow_wait_ms);
    } else {
        answer_error(c, ERROR_UNAVAILABLE, "too many queries wait; send the request again later");
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

/* --- reading --- */

/* After `Expect: 100-continue` the client waits for this, unless it sends on already. */
static void invite_body(struct connection *c)
{
    static const char answer[] = "HTTP/1.1 100 Continue\r\n\r\n";
    bool waits = evbuffer_get_length(bufferevent_get_input(c->bev)) == 0;
    if (c->exchange->head.expects_continue && waits)
        evbuffer_add(bufferevent_get_output(c->bev), answer, sizeof answer - 1);
}

static void begin(struct connection *c, struct slice head)
{
    struct http_server *http = c->http;
    if (exchange_begin(c->exchange, head, http->tables, http->table_count) != 0) {
        struct http_head *parsed = &c->exchange->head;
        if (parsed->chunked || parsed->content_length > 0)
            c->exchange->close = true; /* a body follows that nobody will read */
        reply(c);
        return;
    }
    c->state = READ_BODY;
    c->body_seen = 0;
    c->chunks = (struct http_chunks){0};
}

static void skip_blank_lines(struct evbuffer *input)
{
    char c;
    while (evbuffer_copyout(input, &c, 1) == 1 && (c == '\r' || c == '\n'))
        evbuffer_drain(input, 1);
}

/* True when it got anywhere. */
static bool read_head(struct connection *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);
    if (!c->started_ns)
        skip_blank_lines(input);
    size_t len = evbuffer_get_length(input);
    if (len == 0)
        return false;
    if (!c->started_ns) {
        c->started_ns = clock_monotonic_ns();
        set_timer(c, c->http->options.timeout_ms);
    }
    len = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
    struct slice text = slice_make(evbuffer_pullup(input, (ssize_t)len), len);
    ssize_t end = http_head_length(text, &c->scanned);
    if (end == 0 && len < HTTP_HEAD_MAX)
        return false;
    c->exchange = exchange_new(&c->http->options);
    c->exchange->connection = c;
    c->scanned = 0;
    if (end <= 0) {
        refuse(c, end < 0 ? 400 : 431, ERROR_BAD_DATA,
               end < 0 ? "a line must end in CRLF" : "the headers are larger than 32 KiB");
        return true;
    }
    begin(c, slice_head(text, (size_t)end));
    evbuffer_drain(input, (size_t)end);
    if (c->state == READ_BODY)
        invite_body(c);
    return true;
}

static enum http_chunks_result take_bytes(struct connection *c, struct slice *rest)
{
    struct exchange *exchange = c->exchange;
    if (exchange->head.chunked)
        return http_chunks_feed(&c->chunks, rest, &exchange->body);
    size_t left = (size_t)exchange->head.content_length - exchange->body.len;
    struct slice part = slice_head(*rest, left);
    buffer_append_slice(&exchange->body, part);
    *rest = slice_skip(*rest, part.len);
    return part.len == left ? HTTP_CHUNKS_DONE : HTTP_CHUNKS_MORE;
}

/* Moves what has arrived of the body from the socket's buffer into the exchange. */
static enum http_chunks_result take_body(struct connection *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);
    struct exchange *exchange = c->exchange;
    bool none = !exchange->head.chunked && exchange->head.content_length == 0;
    enum http_chunks_result result = none ? HTTP_CHUNKS_DONE : HTTP_CHUNKS_MORE;
    for (size_t len; result == HTTP_CHUNKS_MORE && (len = evbuffer_get_contiguous_space(input));) {
        struct slice rest = slice_make(evbuffer_pullup(input, (ssize_t)len), len);
        size_t held = exchange->body.len;
        result = take_bytes(c, &rest);
        hold_body(c->http, exchange, (int64_t)(exchange->body.len - held));
        c->body_seen += (int64_t)(len - rest.len);
        evbuffer_drain(input, len - rest.len);
    }
    return result;
}

/* Later by the time the bytes received are worth, so a slow line may finish and a stalled one not. */
static void extend_deadline(struct connection *c)
{
    int64_t spent_ms = (clock_monotonic_ns() - c->started_ns) / 1000000;
    int64_t granted_ms = c->http->options.timeout_ms + c->body_seen / BODY_RATE_MIN;
    set_timer(c, granted_ms > spent_ms ? granted_ms - spent_ms : 1);
}

/* True when it got anywhere. */
static bool read_body(struct connection *c)
{
    struct http_server *http = c->http;
    switch (take_body(c)) {
    case HTTP_CHUNKS_DONE:
        submit(c);
        return true;
    case HTTP_CHUNKS_BAD:
        refuse(c, 400, ERROR_BAD_DATA, "the body is not in chunked encoding");
        return true;
    case HTTP_CHUNKS_TOO_LARGE: {
        char sentence[128];
        snprintf(sentence, sizeof sentence,
                 "the body is over the limit of %lld bytes (http.body_max); send less at once",
                 (long long)http->options.body_max);
        refuse(c, 413, ERROR_TOO_LARGE, sentence);
        return true;
    }
    case HTTP_CHUNKS_MORE:
        break;
    }
    if (http->body_bytes > BODIES_MAX * http->options.body_max) {
        refuse(c, 503, ERROR_UNAVAILABLE,
               "too many request bodies are arriving at once; send the request again later");
        return true;
    }
    extend_deadline(c);
    return false;
}

static void advance(struct connection *c)
{
    for (bool more = true; more;) {
        if (c->state == READ_HEAD)
            more = read_head(c);
        else if (c->state == READ_BODY)
            more = read_body(c);
        else
            more = false;
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
        set_timer(c, LINGER_MS);
}

/* All that was written has left for the kernel. */
static void on_write(struct bufferevent *bev, void *arg)
{
    struct connection *c = arg;
    (void)bev;
    if (c->state == STREAM)
        ask_part(c);
    if (c->state != WRITE)
        return;
    if (c->close) {
        linger(c);
        return;
    }
    c->state = READ_HEAD;
    c->started_ns = 0;
    set_timer(c, c->http->options.timeout_ms);
    advance(c);
    if (c->state == READ_HEAD && c->eof)
        connection_free(c);
}

/* Nobody waits for work that has not been done; what is answered already may still be read. */
static void end_of_input(struct connection *c)
{
    bool waits = c->state == WAIT, worked_on = c->state == HANDLE && !c->exchange->begun;
    if (waits || worked_on)
        note_gone(c);
    c->eof = true;
    if (worked_on)
        atomic_store(&c->exchange->cancelled, true);
    if (!waits)
        return;
    line_leave(c);
    answer_error(c, ERROR_CANCELED, "the query was cancelled: nobody waits for it any more");
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
    connection_free(c);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct connection *c = arg;
    (void)fd;
    (void)what;
    if (c->state == STREAM && unsent(c) == 0) {
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
    } else if (c->state == READ_BODY) {
        refuse(c, 408, ERROR_TIMEOUT, "the body took too long to arrive");
    } else {
        connection_free(c);
    }
}

void connection_take_back(struct http_server *http, struct exchange *exchange)
{
    struct connection *c = exchange->connection;
    count_flight(http, -1);
    http->slow_running -= exchange->slow;
    exchange->slow = false; /* further parts of its answer are made as others come */
    if (!c) {
        drop_exchange(http, exchange);
    } else if (exchange->broken) {
        c->state = WRITE; /* the exchange is ours again */
        connection_free(c);
    } else {
        reply(c);
    }
    start_waiting(http);
}

void connections_refuse_waiting(struct http_server *http, const struct error *err)
{
    for (struct connection *c; (c = http->waiting_first);) {
        line_leave(c);
        exchange_refuse(c->exchange, http_status_of(err->kind), err);
        reply(c);
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
    set_timer(c, http->options.timeout_ms);
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
        connection_free(c);
    }
}
