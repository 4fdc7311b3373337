/* client_fixture: sockets that clients send to, for the tests of clients/c. */
#ifndef TESTS_UNIT_CLIENT_FIXTURE_H
#define TESTS_UNIT_CLIENT_FIXTURE_H

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <cmocka.h>

#include "clients/c/lapwing.h"
#include "storage/base/slice.h"

#define DATAGRAM_MAX 65536
#define RECEIVE_MS   20000
#define NEVER_MS     600000 /* no packet of these tests becomes so old */

/* A datagram socket that is never waited for, and what to tell clients of it. */
struct receiver {
    int fd;
    char address[160];
    char datagram[DATAGRAM_MAX]; /* a string */
};

static inline void open_udp(struct receiver *receiver)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    receiver->fd = socket(AF_INET, SOCK_DGRAM, 0);
    assert_int_equal(bind(receiver->fd, (const struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(receiver->fd, (struct sockaddr *)&at, &len), 0);
    snprintf(receiver->address, sizeof receiver->address, "udp://127.0.0.1:%d", ntohs(at.sin_port));
}

/* Where the unix socket of a receiver will be; removed by close_unix. */
static inline void name_unix(struct receiver *receiver)
{
    static int number;
    snprintf(receiver->address, sizeof receiver->address, "unix:///tmp/client_test.%d.%d.sock",
             (int)getpid(), number++);
}

static inline const char *unix_path(const struct receiver *receiver)
{
    return receiver->address + strlen("unix://");
}

static inline void open_unix(struct receiver *receiver)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "%s", unix_path(receiver));
    receiver->fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(receiver->fd, (const struct sockaddr *)&at, sizeof at), 0);
}

static inline void close_unix(struct receiver *receiver)
{
    close(receiver->fd);
    unlink(unix_path(receiver));
}

/* False when none waits. */
static inline bool receive_more(struct receiver *receiver)
{
    ssize_t len =
        recv(receiver->fd, receiver->datagram, sizeof receiver->datagram - 1, MSG_DONTWAIT);
    receiver->datagram[len > 0 ? len : 0] = '\0';
    return len >= 0;
}

/* The next one, which must be on its way: a busy kernel delivers even over loopback later. */
static inline void receive(struct receiver *receiver)
{
    struct pollfd readable = {.fd = receiver->fd, .events = POLLIN};
    assert_int_equal(poll(&readable, 1, RECEIVE_MS), 1);
    assert_true(receive_more(receiver));
}

static inline void receives(struct receiver *receiver, const char *datagram)
{
    receive(receiver);
    assert_string_equal(receiver->datagram, datagram);
}

static inline struct lapwing *open_client(const struct receiver *receiver)
{
    const struct lapwing_options options = {.address = receiver->address, .max_delay_ms = NEVER_MS};
    struct lapwing *client = lapwing_open(&options);
    assert_non_null(client);
    return client;
}

static inline uint64_t all_drops(const struct lapwing_stats *stats)
{
    uint64_t sum = 0;
    for (int i = 0; i < LAPWING_DROP_COUNT; i++)
        sum += stats->dropped[i];
    return sum;
}

#endif
