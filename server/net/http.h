/* http: an HTTP/1.1 server behind a route table, on libevent's listener and bufferevents.
 *
 * The event loop (main thread) reads requests within limits; handlers run on a pool of query
 * workers, so they may block on the writer or compute for a while. A handler gets the whole, already
 * decompressed body. Its worker hands the kernel what that takes of the reply, the loop sends the rest. Slow or oversized clients cost a bounded amount and never
 * a worker.
 *
 * A client that shuts its side down while its request is worked on counts as gone, as with nginx and Go's
 * server: request->cancelled is set. Work that looks at it ends early; the reply, whatever it is,
 * is sent all the same to whoever has closed only one half.
 */
#ifndef SERVER_NET_HTTP_H
#define SERVER_NET_HTTP_H

#include "storage/base/arena.h"
#include "storage/base/buffer.h"
#include "storage/base/error.h"

struct event_base;
struct http_server;

enum http_method {
    HTTP_GET = 1,
    HTTP_POST = 2,
    HTTP_PUT = 4,
    HTTP_DELETE = 8,
    HTTP_OPTIONS = 16,
    HTTP_HEAD = 32
};

struct http_param {
    struct slice name;
    struct slice value;
};

struct http_request {
    enum http_method method;
    struct slice path;               /* decoded, without the query */
    const struct http_param *params; /* query string, then form (see http_route); in order */
    size_t param_count;
    const struct http_param *headers;
    size_t header_count;
    const struct http_param *segments; /* {name} parts of the route's pattern */
    size_t segment_count;
    struct slice body;       /* decompressed (gzip, deflate, zstd, snappy) */
    struct slice peer;       /* "127.0.0.1" */
    struct arena *arena;     /* lives until the reply is sent */
    _Atomic bool *cancelled; /* nobody waits for the reply any more: end the work */
    int64_t waited_ns;       /* for a worker's turn; of slow routes */
    void *context;           /* as given to http_add_routes */
};

/* What follows the body, made in parts while it is sent: the next part is asked for when the last one
 * has left for the kernel, so that a reply of any length takes the memory of one. */
struct http_stream {
    /* A worker. Appends a part to *out, some hundred KB; 1: more follow, 0: that was the last one,
     * -1: the connection is to be cut, which tells the client that the reply is not whole. 1 and nothing
     * appended: there is nothing yet; it is asked again in a tenth of a second, unless the client has
     * gone. NULL: the body is all there is. */
    int (*next)(void *arg, struct buffer *out);
    /* Exactly once, when no further part is wanted. Any thread. */
    void (*free)(void *arg);
    void *arg;
};

struct http_reply {
    int status;               /* 200 unless set */
    const char *content_type; /* "application/json" unless set; static string */
    struct buffer body;
    struct http_param headers[8]; /* extra; slices from the arena or literals */
    size_t header_count;
    struct http_stream stream;
};

/* In http_route.methods: a form body is parameters, as it always is where GET works too. */
#define HTTP_FORM 64u
/* There, too: it may compute for long. Few of these run at once, the others wait (http_options). */
#define HTTP_SLOW 128u

struct http_route {
    unsigned methods;    /* enum http_method, or-ed; HEAD comes with GET, OPTIONS with all */
    const char *pattern; /* "/api/v1/label/{name}/values"; {name} is one segment */
    void (*handle)(const struct http_request *request, struct http_reply *reply);
    bool cors; /* answer OPTIONS, and add Access-Control-* for whatever Origin asks */
    /* How this surface words errors that arise before the handler (405, 413, 400 ...); NULL means
     * http_refuse_json. The status is set by the caller. */
    void (*refuse)(struct http_reply *reply, const struct error *err);
    /* Main thread, before `handle`: answers what it can without waiting for anything (a lock included) and
     * in next to no time, and says whether it did. NULL: it never can. */
    bool (*at_once)(const struct http_request *request, struct http_reply *reply);
};

struct http_options {
    const char *listen;   /* "127.0.0.1:8127"; port 0 = any */
    int64_t body_max;     /* bytes on the wire */
    int64_t inflated_max; /* bytes after decompression */
    int64_t connection_max;
    int64_t timeout_ms;
    size_t workers;
    size_t queue_max; /* requests waiting for a worker; beyond it 503 */
    /* Of slow routes: so many run at once (0 = any), on workers besides those above, so that the rest
     * never waits behind them; so many wait for their turn, for so long, then 503. */
    size_t slow_max;
    int64_t slow_wait_ms;
};

MUST_USE int http_open(struct event_base *base, const struct http_options *options,
                       struct http_server **out, struct error *err);
/* Tables are checked in the order they were added. Before the loop starts. */
void http_add_routes(struct http_server *http, const struct http_route *routes, size_t count,
                     void *context);
/* The port in use (for port 0). */
int http_port(const struct http_server *http);
/* Stops accepting, waits for requests in flight (at most timeout_ms, 5 s), refuses those that
 * no worker has begun by then, cancels the others, and joins the workers. Runs the loop itself, so it is
 * called when the loop is not running. NULL is fine. */
void http_close(struct http_server *http);

/* --- for handlers --- */
/* First value of that name; false when absent. Header names ignore case. */
bool http_get_param(const struct http_request *request, const char *name, struct slice *out);
bool http_get_header(const struct http_request *request, const char *name, struct slice *out);
struct slice http_get_segment(const struct http_request *request, const char *name);
/* 400, 422 ... for an error's kind. */
int http_status_of(enum error_kind kind);
/* {"status":"error","errorType":"bad_data","error":"..."}: Prometheus' shape, our default. */
void http_refuse_json(struct http_reply *reply, const struct error *err);
/* The text alone as text/plain: Loki's shape. */
void http_refuse_text(struct http_reply *reply, const struct error *err);
/* {"detail":"..."}: Sentry's shape. */
void http_refuse_detail(struct http_reply *reply, const struct error *err);

#endif
