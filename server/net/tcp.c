/* tcp: plain read events; one scratch buffer serves all connections of the listener.
 *
 *   scratch  [ tail of last time | read ............ LF | new tail ]
 *              ^----------- lines(...) ---------------^   copied aside per connection
 *
 * A connection keeps memory only while a line is incomplete. A tail that outgrows line_max is
 * dropped and the rest of its line skipped up to the next LF. When descriptors run out, accepting
 * pauses for a moment instead of spinning on an event that cannot be served.
 *
 *   packets  [ 12 0 0 0 api:1|c\nb:2|c ][ 5 0 0 0 a:1|c ][ 9 0 ...    where the listener takes both,
 *            the first four bytes of a connection tell
 *
 * At close a connection is read until nothing waits, which is all when its peer has closed before
 * us. For the others the kernel is then told to take nothing more, and read empty once again: so
 * all that it ever acknowledged is here, and the sender still holds the rest when the reset
 * reaches it.
 */
#include "server/net/tcp.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/net/socket.h"
#include "storage/base/alloc.h"
#include "storage/base/buffer.h"

#define READ_BYTES        65536
#define LENGTH_BYTES      4
#define PACKET_MAX        65535
#define READS_PER_EVENT   4
#define DRAIN_READS_MAX   4096 /* a connection at close: 256 MiB */
#define ACCEPT_PAUSE_US   100000
#define ACCEPTS_AT_CLOSE  4096
#define ACCEPTS_PER_EVENT 64

enum framing { FRAMING_UNKNOWN, FRAMING_LINES, FRAMING_PACKETS };

struct connection {
    struct tcp_lines *owner;
    struct connection *next, **link;
    struct event *event;
    int fd;
    struct peer peer;
    bool skipping; /* the rest of a line that was too long */
    bool ended;    /* at close: the peer has closed, and all it sent is read */
    enum framing framing;
    char *tail;
    size_t tail_len;
};

struct tcp_lines {
    struct tcp_options options;
    struct event_base *base;
    struct event *accept_event;
    struct event *resume_event;
    struct connection *connections;
    int fd;
    char *scratch;
};

static void count(struct tcp_lines *tcp, enum tcp_metric which, int64_t n)
{
    metric_add(&tcp->options.metrics[which], n);
}

static void hand_on(const struct connection *connection, struct slice lines)
{
    const struct tcp_options *options = &connection->owner->options;
    options->lines(options->arg, &connection->peer, lines);
}

static void refuse(const struct connection *connection, struct slice head)
{
    const struct tcp_options *options = &connection->owner->options;
    count(connection->owner, TCP_LINES_TOO_LONG, 1);
    if (options->too_long)
        options->too_long(options->arg, &connection->peer, head);
}

static void connection_close(struct connection *connection)
{
    struct tcp_lines *tcp = connection->owner;
    if (connection->tail_len && connection->framing == FRAMING_LINES)
        hand_on(connection, slice_make(connection->tail, connection->tail_len));
    else if (connection->tail_len) /* longer than what came: half a packet */
        refuse(connection, slice_make(connection->tail, connection->tail_len));
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    event_free(connection->event);
    close(connection->fd);
    free(connection->tail);
    free(connection);
    count(tcp, TCP_OPEN, -1);
}

/* Keeps the unfinished line or packet for the next read. */
static void keep_tail(struct connection *connection, struct slice tail)
{
    if (connection->framing == FRAMING_LINES && tail.len > connection->owner->options.line_max) {
        refuse(connection, tail);
        connection->skipping = true;
        tail.len = 0;
    }
    if (tail.len == 0) {
        free(connection->tail);
        connection->tail = NULL;
    } else {
        connection->tail = alloc_resize(connection->tail, tail.len, 1);
        memcpy(connection->tail, tail.at, tail.len);
    }
    connection->tail_len = tail.len;
}

/* Delivers the whole packets. False: this is no length, and nothing after it can be read; it is refused. */
static bool deliver_packets(struct connection *connection, struct slice bytes)
{
    while (bytes.len >= LENGTH_BYTES) {
        struct slice packet, after = bytes;
        uint32_t len;
        if (!bytes_cut_u32le(&after, &len) || len > PACKET_MAX) {
            refuse(connection, bytes);
            connection->tail_len = 0; /* it has been handed on, or is among these bytes */
            return false;
        }
        if (!bytes_cut_slice(&after, len, &packet))
            break;
        hand_on(connection, packet);
        bytes = after;
    }
    keep_tail(connection, bytes);
    return true;
}

static enum framing framing_of(const struct tcp_lines *tcp, struct slice bytes)
{
    if (!tcp->options.packets)
        return FRAMING_LINES;
    if (bytes.len < LENGTH_BYTES)
        return memchr(bytes.at, '\n', bytes.len) ? FRAMING_LINES : FRAMING_UNKNOWN;
    return bytes.at[2] == 0 && bytes.at[3] == 0 ? FRAMING_PACKETS : FRAMING_LINES;
}

static void deliver_lines(struct connection *connection, struct slice bytes)
{
    struct slice skipped;
    if (connection->skipping) {
        connection->skipping = !slice_cut(&bytes, '\n', &skipped);
        if (connection->skipping)
            return;
    }
    const char *last = bytes.len ? memrchr(bytes.at, '\n', bytes.len) : NULL;
    size_t whole = last ? (size_t)(last - bytes.at) + 1 : 0;
    if (whole)
        hand_on(connection, slice_head(bytes, whole));
    keep_tail(connection, slice_skip(bytes, whole));
}

/* False when the connection is of no more use. */
static bool deliver(struct connection *connection, struct slice bytes)
{
    if (connection->framing == FRAMING_UNKNOWN)
        connection->framing = framing_of(connection->owner, bytes);
    switch (connection->framing) {
    case FRAMING_UNKNOWN:
        keep_tail(connection, bytes);
        break;
    case FRAMING_LINES:
        deliver_lines(connection, bytes);
        break;
    case FRAMING_PACKETS:
        return deliver_packets(connection, bytes);
    }
    return true;
}

/* The number of bytes read; 0: nothing waits, -1: the peer has closed or failed. */
static ssize_t read_once(struct connection *connection)
{
    char *scratch = connection->owner->scratch;
    size_t kept = connection->tail_len;
    ssize_t n;
    do
        n = read(connection->fd, scratch + kept, READ_BYTES);
    while (n < 0 && errno == EINTR);
    if (n <= 0)
        return n < 0 && errno == EAGAIN ? 0 : -1;
    if (kept)
        memcpy(scratch, connection->tail, kept);
    return deliver(connection, slice_make(scratch, kept + (size_t)n)) ? n : -1;
}

static void on_readable(evutil_socket_t fd, short events, void *arg)
{
    struct connection *connection = arg;
    ssize_t n = READ_BYTES;
    (void)fd, (void)events;
    for (int i = 0; i < READS_PER_EVENT && n == READ_BYTES; i++)
        n = read_once(connection);
    if (n < 0)
        connection_close(connection);
}

static void connection_open(struct tcp_lines *tcp, int fd, struct peer peer)
{
    int64_t open = atomic_load_explicit(&tcp->options.metrics[TCP_OPEN].raw, memory_order_relaxed);
    if (open >= tcp->options.connection_max) {
        count(tcp, TCP_REFUSED, 1);
        close(fd);
        return;
    }
    struct connection *connection = alloc_zeroed(1, sizeof *connection);
    connection->owner = tcp;
    connection->fd = fd;
    connection->peer = peer;
    connection->next = tcp->connections;
    connection->link = &tcp->connections;
    if (connection->next)
        connection->next->link = &connection->next;
    tcp->connections = connection;
    connection->event = event_new(tcp->base, fd, EV_READ | EV_PERSIST, on_readable, connection);
    event_add(connection->event, NULL);
    count(tcp, TCP_OPEN, 1);
    count(tcp, TCP_ACCEPTED, 1);
}

/* False when no connection waits, or none can be had. */
static bool accept_one(struct tcp_lines *tcp)
{
    const struct timeval pause = {.tv_usec = ACCEPT_PAUSE_US};
    struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
    socklen_t len = sizeof from;
    int fd = accept4(tcp->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
        connection_open(tcp, fd, peer_of((const struct sockaddr *)&from, len));
        return true;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        count(tcp, TCP_REFUSED, 1);
        event_del(tcp->accept_event);
        event_add(tcp->resume_event, &pause);
    }
    return errno == ECONNABORTED || errno == EINTR;
}

static void on_connection(evutil_socket_t fd, short events, void *arg)
{
    (void)fd, (void)events;
    for (int i = 0; i < ACCEPTS_PER_EVENT && accept_one(arg); i++)
        continue;
}

static void on_resume(evutil_socket_t fd, short events, void *arg)
{
    struct tcp_lines *tcp = arg;
    (void)fd, (void)events;
    event_add(tcp->accept_event, NULL);
}

struct tcp_lines *tcp_lines_open(struct event_base *base, int owned_fd,
                                 const struct tcp_options *options)
{
    struct tcp_lines *tcp = alloc_zeroed(1, sizeof *tcp);
    tcp->options = *options;
    tcp->base = base;
    tcp->fd = owned_fd;
    assert(!options->packets || options->line_max >= PACKET_MAX + LENGTH_BYTES);
    tcp->scratch = alloc_resize(NULL, options->line_max + READ_BYTES, 1);
    tcp->accept_event = event_new(base, owned_fd, EV_READ | EV_PERSIST, on_connection, tcp);
    tcp->resume_event = event_new(base, -1, 0, on_resume, tcp);
    event_add(tcp->accept_event, NULL);
    return tcp;
}

/* All that has been sent. False when the peer has closed: then that is all there is. */
static bool read_empty(struct connection *connection)
{
    ssize_t n = 1;
    for (int i = 0; i < DRAIN_READS_MAX && n > 0; i++)
        n = read_once(connection);
    return n >= 0;
}

/* The rest of what the kernel took before it was told not to. */
static void read_the_last(struct connection *connection)
{
    ssize_t n;
    do
        n = read_once(connection);
    while (n > 0);
    if (n == 0)
        socket_reset_at_close(connection->fd);
}

static void drain(struct tcp_lines *tcp)
{
    for (struct connection *at = tcp->connections; at; at = at->next) {
        at->ended = !read_empty(at);
        if (!at->ended)
            socket_shut(at->fd);
    }
    if (tcp->connections)
        socket_settle();
    for (struct connection *at = tcp->connections, *next; at; at = next) {
        next = at->next;
        if (!at->ended)
            read_the_last(at);
        connection_close(at);
    }
}

void tcp_lines_close(struct tcp_lines *tcp)
{
    if (!tcp)
        return;
    socket_shut(tcp->fd);
    for (int i = 0; i < ACCEPTS_AT_CLOSE && accept_one(tcp); i++)
        continue;
    event_free(tcp->accept_event);
    event_free(tcp->resume_event);
    close(tcp->fd);
    drain(tcp);
    free(tcp->scratch);
    free(tcp);
}
