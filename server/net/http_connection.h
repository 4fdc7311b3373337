/* http_connection: one client's connection: requests in, replies out.
 * Private to server/net/http*.c. Thread: main.
 */
#ifndef SERVER_NET_HTTP_CONNECTION_H
#define SERVER_NET_HTTP_CONNECTION_H

#include <pthread.h>
#include <sys/socket.h>

#include "server/net/http_exchange.h"
#include "storage/base/metric.h"
#include "storage/base/queue.h"

#define HTTP_TABLES_MAX 32

struct bufferevent;
struct event;
struct evconnlistener;

enum http_metric {
    HTTP_METRIC_1XX,
    HTTP_METRIC_2XX,
    HTTP_METRIC_3XX,
    HTTP_METRIC_4XX,
    HTTP_METRIC_5XX,
    HTTP_METRIC_SECONDS,
    HTTP_METRIC_IN_FLIGHT,
    HTTP_METRIC_WAITING,
    HTTP_METRIC_WAITED_OUT,
    HTTP_METRIC_CONNECTIONS,
    HTTP_METRIC_REFUSED,
    HTTP_METRIC_TIMEOUTS,
    HTTP_METRIC_GONE,
    HTTP_METRIC_BODY_BYTES,
    HTTP_METRIC_COUNT,
};

extern struct metric http_metrics[HTTP_METRIC_COUNT];

struct http_server {
    struct event_base *base;
    struct http_options options;
    struct evconnlistener *listener;
    struct event *accept_pause;
    struct event *wake;
    int wake_fd;
    int port;
    struct connection *connections;
    int64_t connection_count;
    int64_t body_bytes;
    size_t in_flight; /* exchanges with the workers, waiting ones included */
    /* Slow routes: those with the workers, and connections whose requests wait for a turn. */
    size_t slow_running, slow_waiting;
    struct connection *waiting_first, *waiting_last;
    _Atomic bool draining;
    struct http_table tables[HTTP_TABLES_MAX];
    size_t table_count;
    struct queue *jobs;
    struct queue *done;
    pthread_t *workers;
};

/* See the drawing in http_connection.c. */
enum state { READ_HEAD, READ_BODY, WAIT, HANDLE, STREAM, WRITE, LINGER };

/* Thread: main. */
struct connection {
    struct http_server *http;
    struct connection *next, *previous;
    struct connection *waiting_next, *waiting_previous; /* in WAIT */
    struct bufferevent *bev;
    struct event *timer;
    struct exchange *exchange; /* from the head's end to the reply */
    enum state state;
    bool eof;   /* the client will send no more */
    bool left;  /* it did so while a worker had the exchange */
    bool ended; /* to be freed when the exchange is back */
    bool close; /* after the reply being written */
    size_t scanned;
    int64_t started_ns; /* first byte of the request; 0 between requests */
    int64_t waits_ns;   /* in WAIT since */
    int64_t body_seen;  /* bytes on the wire */
    struct http_chunks chunks;
    char peer[64];
};

/* http_receive.c: reads on, in READ_HEAD and READ_BODY. True when it got anywhere. */
bool connection_read_head(struct connection *c);
bool connection_read_body(struct connection *c);

/* http_send.c. A worker, of an exchange it has just run: the reply, as far as the kernel takes it, unless it is one for
 * the loop. */
void exchange_send(struct exchange *exchange, const struct http_server *http);
/* The loop: what a worker has not sent of the reply, or the next part of a stream. */
void connection_send(struct connection *c);
/* Bytes that wait for the client to read. */
size_t connection_unsent(const struct connection *c);

/* http_line.c: the connection goes to the end of the line of slow requests, ... */
void line_join(struct connection *c);
/* ... and out of it, wherever it stands; the caller moves it on. */
void line_leave(struct connection *c);

/* --- steps from state to state --- */
/* Counts body bytes that arrived (or, negative, are gone) for the bound on all bodies together. */
void connection_hold_body(struct http_server *http, struct exchange *exchange, int64_t bytes);
void connection_set_timer(struct connection *c, int64_t ms);
/* The request is whole: to the workers, or answered here. */
void connection_submit(struct connection *c);
/* The exchange has an answer, or a part of it: writes that, and forgets the exchange when it was all. */
void connection_reply(struct connection *c);
/* An error before the handler. The rest of the request is not read, hence the end of the connection. */
void connection_refuse(struct connection *c, int status, enum error_kind kind,
                       const char *sentence);

/* Takes over the descriptor, or closes it when connection_max are open. */
void connection_open(struct http_server *http, int fd, const struct sockaddr *peer, socklen_t len);
/* A worker is done with it: sends the rest of the reply, goes on with the connection or ends it. */
void connection_take_back(struct http_server *http, struct exchange *exchange);
/* Answers all requests that wait for a turn. */
void connections_refuse_waiting(struct http_server *http, const struct error *err);
/* Frees the connections that are between requests or already answered; true when others are left. */
bool connections_settle(struct http_server *http);
/* Those that a worker has follow when they are taken back. */
void connections_free_all(struct http_server *http);

#endif
