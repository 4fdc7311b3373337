/* http_exchange: one request and its reply, from the parsed head to the bytes of the answer.
 * Private to server/net/http*.c.
 *
 * Owned by the main thread while it is read and written, by one worker in between; it changes
 * hands through queues only.
 */
#ifndef SERVER_NET_HTTP_EXCHANGE_H
#define SERVER_NET_HTTP_EXCHANGE_H

#include "server/net/http.h"
#include "server/net/http_parse.h"

struct connection;

struct http_table {
    const struct http_route *routes;
    size_t count;
    void *context;
};

struct exchange {
    struct connection *connection; /* main thread only */
    struct arena arena;
    struct http_head head;
    const struct http_route *route; /* NULL: no such path */
    struct buffer body;             /* as received */
    int64_t held; /* of its bytes, those the server counts; the worker may free them early */
    struct buffer inflated;
    struct http_request request;
    struct http_reply reply;
    int64_t inflated_max;
    int64_t started_ns;    /* first byte of the request */
    struct buffer printed; /* the reply's head; empty until then */
    bool has_body;         /* which follows it */
    int fd;                /* where a worker may send the reply; -1: the loop does */
    size_t sent;           /* of head and body together, as far as that was tried at once */
    bool prepared;         /* the request has its parameters */
    bool answered;         /* the reply is made, but not compressed */
    bool close;            /* the connection ends with this reply */
    bool slow;             /* takes one of the turns of slow routes */
    bool begun;            /* of a stream: its head is sent */
    struct gzip *gzip;     /* of a stream that goes out compressed */
    bool more;             /* parts follow the one in the body */
    bool broken;           /* no part could be made: the connection is cut */
    _Atomic bool cancelled;
};

struct exchange *exchange_new(const struct http_options *options);
void exchange_free(struct exchange *exchange);

/* Parses the head and finds the route. -1 when refused: the reply is then ready. */
MUST_USE int exchange_begin(struct exchange *exchange, struct slice head,
                            const struct http_table *tables, size_t table_count);
/* Main: whether there is a reply that takes no time to make, nor to send; it is then complete. */
bool exchange_answer_at_once(struct exchange *exchange);
/* Makes the reply an error in the route's own shape. */
void exchange_refuse(struct exchange *exchange, int status, const struct error *err);
/* Worker: decompresses, reads parameters, runs the handler, compresses the reply. Again, while `more`:
 * makes the next part of a stream. */
void exchange_run(struct exchange *exchange);
static inline bool exchange_is_stream(const struct exchange *exchange)
{
    return exchange->reply.stream.next != NULL;
}
/* True when parts go out in chunked encoding; to a client of HTTP/1.0 they end with the connection. */
static inline bool exchange_is_chunked(const struct exchange *exchange)
{
    return exchange_is_stream(exchange) && !exchange->head.version_10;
}
/* Status line and headers. The body follows unless the answer is false (HEAD, 204). */
bool exchange_print_head(const struct exchange *exchange, struct buffer *out);

#endif
