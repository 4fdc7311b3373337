/* http_fixture: a real server on port 0 in a thread of its own, and raw sockets to it. */
#ifndef TESTS_UNIT_HTTP_FIXTURE_H
#define TESTS_UNIT_HTTP_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "server/net/http.h"

struct fixture {
    struct event_base *base;
    struct http_server *http;
    pthread_t thread;
    int stop[2];
    int port;
};

static struct fixture server;

static inline void on_stop(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    event_base_loopbreak(arg);
}

static inline void *server_main(void *arg)
{
    (void)arg;
    event_base_dispatch(server.base);
    http_close(server.http);
    return NULL;
}

static inline void start_server(const struct http_options *options, const struct http_route *routes,
                                size_t route_count)
{
    struct error err;
    server.base = event_base_new();
    assert_int_equal(pipe(server.stop), 0);
    if (http_open(server.base, options, &server.http, &err) != 0)
        fail_msg("%s", err.text);
    http_add_routes(server.http, routes, route_count, NULL);
    server.port = http_port(server.http);
    event_base_once(server.base, server.stop[0], EV_READ, on_stop, server.base, NULL);
    assert_int_equal(pthread_create(&server.thread, NULL, server_main, NULL), 0);
}

static inline void begin_stop(void)
{
    assert_int_equal(write(server.stop[1], "x", 1), 1);
}

static inline void finish_stop(void)
{
    pthread_join(server.thread, NULL);
    event_base_free(server.base);
    close(server.stop[0]);
    close(server.stop[1]);
}

static inline int tear_down(void **state)
{
    (void)state;
    begin_stop();
    finish_stop();
    return 0;
}

/* With so much room for what arrives and is not read; 0 for the usual. */
static inline int dial_narrow(int room)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)server.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {60, 0}; /* of the client */
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (room) /* asked for before the connection says how much it is */
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static inline int dial(void)
{
    return dial_narrow(0);
}

static inline void send_text(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

#endif
