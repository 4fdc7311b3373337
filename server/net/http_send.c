/* http_send: the bytes of a reply, to the kernel at once and, what it does not take, behind.
 *
 *     worker, or the loop for what it answers itself             the loop
 *     print the head ──▶ sendmsg(head, body), once ──────────▶ the rest, when the client reads
 *
 * While a worker has the exchange the descriptor is its own to write to: the loop reads ahead, but has
 * nothing to send until the exchange is back, and does not close it before. So most replies leave
 * without another thread being woken first, and the loop hears of it while the client reads. A
 * worker never waits for a client. Left to the loop are streams, and what is to say that the
 * connection ends with it for reasons that come up meanwhile: the client has shut its side, the
 * server stops. The loop in turn answers one of several pipelined requests a round.
 */
#include <assert.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "server/net/http_connection.h"
#include "storage/base/clock.h"

size_t connection_unsent(const struct connection *c)
{
    return evbuffer_get_length(bufferevent_get_output(c->bev));
}

/* Counts the reply, too, so that whoever has read it finds it counted. */
static void print_head(struct exchange *exchange)
{
    int class = exchange->reply.status / 100;
    assert(class >= 1 && class <= 5);
    exchange->has_body = exchange_print_head(exchange, &exchange->printed);
    assert(!exchange->printed.overflow);
    exchange->more = exchange->more && exchange->has_body;
    metric_add(&http_metrics[HTTP_METRIC_1XX + class - 1], 1);
    metric_add(&http_metrics[HTTP_METRIC_SECONDS], clock_monotonic_ns() - exchange->started_ns);
}

/* An error shows again when the loop sends the rest. */
static void send_at_once(struct exchange *exchange, int fd)
{
    const struct buffer *head = &exchange->printed, *body = &exchange->reply.body;
    struct iovec parts[] = {{head->at, head->len}, {body->at, exchange->has_body ? body->len : 0}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t taken = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    exchange->sent = taken > 0 ? (size_t)taken : 0;
}

void exchange_send(struct exchange *exchange, const struct http_server *http)
{
    if (exchange->fd < 0 || exchange_is_stream(exchange) || atomic_load(&exchange->cancelled) ||
        atomic_load(&http->draining))
        return;
    print_head(exchange);
    send_at_once(exchange, exchange->fd);
}

/* --- on the loop --- */

static void free_reply_body(const void *at, size_t len, void *arg)
{
    (void)at;
    (void)len;
    free(arg);
}

/* What is left of the body, its memory with it; of a stream as one chunk. */
static void queue_body(struct connection *c, size_t sent)
{
    struct exchange *exchange = c->exchange;
    struct evbuffer *output = bufferevent_get_output(c->bev);
    struct buffer *body = &exchange->reply.body;
    bool chunked = exchange_is_chunked(exchange);
    if (sent < body->len) {
        if (chunked)
            evbuffer_add_printf(output, "%zx\r\n", body->len);
        evbuffer_add_reference(output, body->at + sent, body->len - sent, free_reply_body,
                               body->at);
        if (chunked)
            evbuffer_add(output, "\r\n", 2);
        buffer_init(body, body->limit);
    }
    if (chunked && !exchange->more)
        evbuffer_add(output, "0\r\n\r\n", 5);
}

static void queue_rest(struct connection *c)
{
    struct exchange *exchange = c->exchange;
    const struct buffer *head = &exchange->printed;
    size_t of_head = exchange->sent < head->len ? exchange->sent : head->len;
    if (of_head < head->len)
        evbuffer_add(bufferevent_get_output(c->bev), head->at + of_head, head->len - of_head);
    if (exchange->has_body)
        queue_body(c, exchange->sent - of_head);
}

static void print_reply(struct connection *c)
{
    struct exchange *exchange = c->exchange;
    bool stream = exchange_is_stream(exchange);
    bool alone = evbuffer_get_length(bufferevent_get_input(c->bev)) == 0, last = c->eof && alone;
    bool until_closed = stream && !exchange_is_chunked(exchange);
    exchange->close = exchange->close || atomic_load(&c->http->draining) || last || until_closed;
    print_head(exchange);
    if (!stream && alone && connection_unsent(c) == 0)
        send_at_once(exchange, bufferevent_getfd(c->bev));
}

void connection_send(struct connection *c)
{
    struct exchange *exchange = c->exchange;
    if (exchange->begun) {
        queue_body(c, 0);
        return;
    }
    if (exchange->printed.len == 0)
        print_reply(c);
    queue_rest(c);
    exchange->begun = true;
}
