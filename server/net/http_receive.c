/* http_receive: requests out of what has arrived on a connection: the states READ_HEAD and READ_BODY.
 *
 *     input:  blank lines ─ head ─ body ─ head ─ ...     a second request stays there until the
 *                           ^ bounded     first one is answered
 *
 * A body moves into the exchange as it arrives; its announced length is never allocated.
 */
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <stdio.h>

#include "server/net/http_connection.h"
#include "storage/base/clock.h"

#define BODIES_MAX    16 /* all bodies being held, in units of body_max */
#define BODY_RATE_MIN 65 /* bytes a millisecond that a body must keep up */

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
        connection_reply(c);
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

bool connection_read_head(struct connection *c)
{
    struct evbuffer *input = bufferevent_get_input(c->bev);
    if (!c->started_ns)
        skip_blank_lines(input);
    size_t len = evbuffer_get_length(input);
    if (len == 0)
        return false;
    if (!c->started_ns) {
        c->started_ns = clock_monotonic_ns();
        connection_set_timer(c, c->http->options.timeout_ms);
    }
    len = len < HTTP_HEAD_MAX ? len : HTTP_HEAD_MAX;
    struct slice text = slice_make(evbuffer_pullup(input, (ssize_t)len), len);
    ssize_t end = http_head_length(text, &c->scanned);
    if (end == 0 && len < HTTP_HEAD_MAX)
        return false;
    c->exchange = exchange_new(&c->http->options);
    c->exchange->connection = c;
    c->exchange->started_ns = c->started_ns;
    c->scanned = 0;
    if (end <= 0) {
        connection_refuse(c, end < 0 ? 400 : 431, ERROR_BAD_DATA,
                          end < 0 ? "a line must end in CRLF"
                                  : "the headers are larger than 32 KiB");
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
        connection_hold_body(c->http, exchange, (int64_t)(exchange->body.len - held));
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
    connection_set_timer(c, granted_ms > spent_ms ? granted_ms - spent_ms : 1);
}

bool connection_read_body(struct connection *c)
{
    struct http_server *http = c->http;
    switch (take_body(c)) {
    case HTTP_CHUNKS_DONE:
        connection_submit(c);
        return true;
    case HTTP_CHUNKS_BAD:
        connection_refuse(c, 400, ERROR_BAD_DATA, "the body is not in chunked encoding");
        return true;
    case HTTP_CHUNKS_TOO_LARGE: {
        char sentence[128];
        snprintf(sentence, sizeof sentence,
                 "the body is over the limit of %lld bytes (http.body_max); send less at once",
                 (long long)http->options.body_max);
        connection_refuse(c, 413, ERROR_TOO_LARGE, sentence);
        return true;
    }
    case HTTP_CHUNKS_MORE:
        break;
    }
    if (http->body_bytes > BODIES_MAX * http->options.body_max) {
        connection_refuse(
            c, 503, ERROR_UNAVAILABLE,
            "too many request bodies are arriving at once; send the request again later");
        return true;
    }
    extend_deadline(c);
    return false;
}
