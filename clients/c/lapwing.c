/* lapwing: packets, the socket, and the calls.
 *
 *   lapwing_send ── sampled out? ──> line on the stack ──> packet, under the mutex ──> send()
 *
 * A line (line.c) is made before the mutex is taken, so that threads wait for each other's copies,
 * not for each other's numbers.
 *
 * What fork() must not copy (mutex, packet, figures) lies in pages that the kernel hands zeroed to
 * a child, and zeroed they are a new client's: an unlocked mutex and an empty packet. (Before Linux
 * 4.14 they are copied.)
 *
 * The kernel reports a UDP packet that nobody received at the next send(), which it then does not
 * do: hence the second attempt. A unix socket stays connected to a server that is gone: hence a new
 * socket for the second attempt.
 *
 * Absent: a thread that sends by itself, aggregation, name resolution after the start, streams.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* SOCK_CLOEXEC, MADV_WIPEONFORK */
#endif
#include "line.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PACKET_MIN       600
#define PACKET_MAX       8192
#define PACKET_UDP       1432
#define DEFAULT_ADDRESS  "127.0.0.1:8125"
#define DEFAULT_PORT     "8125"
#define DEFAULT_DELAY_MS 1000
#define HOST_MAX_BYTES   256

/* Thread: any, under the lock. */
struct state {
    pthread_mutex_t lock;
    struct lapwing_stats stats;
    uint64_t last; /* metrics in the packet sent last, as long as it may still be refused */
    int64_t since_ms;
    size_t used;
    char packet[PACKET_MAX];
};

/* Constant after lapwing_open, but for the socket, which the lock protects. */
struct lapwing {
    struct state *state; /* pages of its own, wiped in a forked child */
    struct sockaddr_storage address;
    socklen_t address_bytes;
    int fd; /* -1: none yet */
    int max_delay_ms;
    size_t packet_bytes;
    struct lapwing_constants constants;
};

/* --- the socket --- */

static void close_socket(struct lapwing *client)
{
    int fd = client->fd;
    client->fd = -1;
    if (fd >= 0)
        close(fd);
}

/* 0 or an errno. */
static int open_socket(struct lapwing *client)
{
    client->fd = socket(client->address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (client->fd < 0)
        return errno;
    if (connect(client->fd, (const struct sockaddr *)&client->address, client->address_bytes) == 0)
        return 0;
    int reason = errno;
    close_socket(client);
    return reason;
}

static int send_once(struct lapwing *client)
{
    const struct state *state = client->state;
    int reason = client->fd < 0 ? open_socket(client) : 0;
    if (reason)
        return reason;
    ssize_t sent = send(client->fd, state->packet, state->used, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? errno : 0;
}

static enum lapwing_drop drop_of(int reason)
{
    switch (reason) {
    case EAGAIN:
    case ENOBUFS:
    case ENOMEM:
        return LAPWING_DROP_FULL;
    case ECONNREFUSED:
    case ECONNRESET:
    case ENOTCONN:
    case ENOENT:
    case EPIPE:
        return LAPWING_DROP_REFUSED;
    case EMSGSIZE:
        return LAPWING_DROP_TOO_LONG;
    default:
        return LAPWING_DROP_OTHER;
    }
}

/* See the top: what is refused is an earlier packet, or a server that may have a successor. */
static int send_again(struct lapwing *client)
{
    struct state *state = client->state;
    if (client->address.ss_family == AF_UNIX) {
        close_socket(client);
    } else {
        state->stats.sent -= state->last;
        state->stats.dropped[LAPWING_DROP_REFUSED] += state->last;
        state->last = 0;
    }
    return send_once(client);
}

static void send_packet(struct lapwing *client)
{
    struct state *state = client->state;
    struct lapwing_stats *stats = &state->stats;
    if (state->used == 0)
        return;
    bool was_open = client->fd >= 0;
    int reason = send_once(client);
    if (reason && was_open && drop_of(reason) == LAPWING_DROP_REFUSED)
        reason = send_again(client);
    if (reason) {
        stats->dropped[drop_of(reason)] += stats->buffered;
    } else {
        stats->sent += stats->buffered;
        stats->packets++;
        stats->bytes += state->used;
        state->last = stats->buffered;
    }
    stats->buffered = 0;
    state->used = 0;
}

/* --- the packet --- */

static int64_t now_ns(clockid_t clock)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void count_drop(struct lapwing *client, enum lapwing_drop reason)
{
    pthread_mutex_lock(&client->state->lock);
    client->state->stats.dropped[reason]++;
    pthread_mutex_unlock(&client->state->lock);
}

static void append(struct lapwing *client, const struct lapwing_line *line)
{
    struct state *state = client->state;
    int64_t now_ms = now_ns(CLOCK_MONOTONIC_COARSE) / 1000000;
    pthread_mutex_lock(&state->lock);
    if (state->used && line->len >= client->packet_bytes - state->used)
        send_packet(client);
    if (state->used == 0)
        state->since_ms = now_ms;
    else
        state->packet[state->used++] = '\n';
    memcpy(state->packet + state->used, line->at, line->len);
    state->used += line->len;
    state->stats.buffered++;
    state->stats.truncated += line->cut;
    if (now_ms - state->since_ms >= client->max_delay_ms)
        send_packet(client);
    pthread_mutex_unlock(&state->lock);
}

static struct lapwing_line empty_line(const struct lapwing *client, char *at)
{
    size_t room = client->packet_bytes < LAPWING_LINE_MAX ? client->packet_bytes : LAPWING_LINE_MAX;
    return (struct lapwing_line){.at = at, .room = room};
}

static void finish(struct lapwing *client, const struct lapwing_line *line, bool valid)
{
    if (!valid)
        count_drop(client, LAPWING_DROP_INVALID);
    else if (line->full)
        count_drop(client, LAPWING_DROP_TOO_LONG);
    else
        append(client, line);
}

/* --- opening --- */

/* host:port, [host]:port or host -> an address; 0 or an errno. */
static int resolve(const char *text, struct lapwing *client)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM};
    struct addrinfo *found = NULL;
    char host[HOST_MAX_BYTES];
    const char *colon = strrchr(text, ':'), *bracket = strchr(text, ']');
    if (colon && bracket && colon < bracket)
        colon = NULL;
    size_t len = colon ? (size_t)(colon - text) : strlen(text);
    if (*text == '[' && bracket == text + len - 1) {
        text++;
        len -= 2;
    }
    if (len == 0 || len >= sizeof host)
        return EINVAL;
    memcpy(host, text, len);
    host[len] = '\0';
    if (getaddrinfo(host, colon ? colon + 1 : DEFAULT_PORT, &hints, &found) || !found)
        return EINVAL;
    /* "localhost" is ::1 first on many machines, and servers of statsd listen on 127.0.0.1. */
    const struct addrinfo *chosen = found;
    while (chosen->ai_next && chosen->ai_family != AF_INET)
        chosen = chosen->ai_next;
    chosen = chosen->ai_family == AF_INET ? chosen : found;
    memcpy(&client->address, chosen->ai_addr, chosen->ai_addrlen);
    client->address_bytes = chosen->ai_addrlen;
    freeaddrinfo(found);
    return 0;
}

static int read_address(const char *text, struct lapwing *client)
{
    if (strncmp(text, "unix://", 7) == 0) {
        struct sockaddr_un *address = (struct sockaddr_un *)&client->address;
        size_t len = strlen(text + 7);
        if (len == 0 || len >= sizeof address->sun_path)
            return len ? ENAMETOOLONG : EINVAL;
        address->sun_family = AF_UNIX;
        memcpy(address->sun_path, text + 7, len + 1);
        client->address_bytes = sizeof *address;
        return 0;
    }
    return resolve(strncmp(text, "udp://", 6) == 0 ? text + 6 : text, client);
}

static void read_numbers(const struct lapwing_options *options, struct lapwing *client)
{
    size_t standard = client->address.ss_family == AF_UNIX ? PACKET_MAX : PACKET_UDP;
    size_t bytes = options->packet_bytes ? options->packet_bytes : standard;
    bytes = bytes < PACKET_MIN ? PACKET_MIN : bytes;
    client->packet_bytes = bytes > PACKET_MAX ? PACKET_MAX : bytes;
    client->max_delay_ms = options->max_delay_ms ? options->max_delay_ms : DEFAULT_DELAY_MS;
}

static struct state *new_state(void)
{
    void *at = mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                    -1, 0);
    if (at == MAP_FAILED)
        return NULL;
    (void)madvise(at, sizeof(struct state), MADV_WIPEONFORK);
    return at; /* a mutex of zeros is an unlocked one */
}

struct lapwing *lapwing_open(const struct lapwing_options *options)
{
    static const struct lapwing_options none;
    if (!options)
        options = &none;
    const char *address = options->address;
    if (!address || !*address)
        address = getenv("LAPWING_STATSD");
    struct lapwing *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->fd = -1;
    int reason = read_address(address && *address ? address : DEFAULT_ADDRESS, client);
    if (reason == 0 && !(client->state = new_state()))
        reason = ENOMEM;
    if (reason) {
        free(client);
        errno = reason;
        return NULL;
    }
    lapwing_constants_init(&client->constants, options->prefix, options->tags);
    read_numbers(options, client);
    return client;
}

void lapwing_flush(struct lapwing *client)
{
    if (!client)
        return;
    int kept = errno;
    pthread_mutex_lock(&client->state->lock);
    send_packet(client);
    pthread_mutex_unlock(&client->state->lock);
    errno = kept;
}

void lapwing_close(struct lapwing *client)
{
    if (!client)
        return;
    int kept = errno;
    lapwing_flush(client);
    close_socket(client);
    munmap(client->state, sizeof *client->state);
    free(client);
    errno = kept;
}

struct lapwing_stats lapwing_stats(struct lapwing *client)
{
    struct lapwing_stats stats = {0};
    if (!client)
        return stats;
    pthread_mutex_lock(&client->state->lock);
    stats = client->state->stats;
    pthread_mutex_unlock(&client->state->lock);
    return stats;
}

/* --- metrics --- */

/* True for the share `rate` of the calls: xorshift, one state a thread. */
static bool is_chosen(double rate)
{
    static __thread uint64_t random; /* C99 has no word for it */
    if (!random)
        random = ((uint64_t)now_ns(CLOCK_MONOTONIC) ^ (uint64_t)(uintptr_t)&random) | 1;
    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return (double)(random >> 11) * 0x1p-53 < rate;
}

static bool is_sampled(const struct lapwing_metric *metric)
{
    return metric->sample_rate > 0 && metric->sample_rate < 1 && metric->type != LAPWING_GAUGE &&
           metric->type != LAPWING_ADJUST && metric->type != LAPWING_SET;
}

void lapwing_send(struct lapwing *client, const struct lapwing_metric *metric)
{
    if (!client || !metric)
        return;
    struct lapwing_metric one = *metric;
    if (!is_sampled(metric))
        one.sample_rate = 1;
    else if (!is_chosen(metric->sample_rate))
        return;
    int kept = errno;
    char at[LAPWING_LINE_MAX];
    struct lapwing_line line = empty_line(client, at);
    bool valid = lapwing_line_metric(&line, &client->constants, &one);
    finish(client, &line, valid);
    errno = kept;
}

static void send_value(struct lapwing *client, enum lapwing_type type, const char *name,
                       double value, const char *tags)
{
    const struct lapwing_metric metric = {.type = type, .name = name, .value = value, .tags = tags};
    lapwing_send(client, &metric);
}

void lapwing_increment(struct lapwing *client, const char *name, const char *tags)
{
    send_value(client, LAPWING_COUNT, name, 1, tags);
}

void lapwing_add(struct lapwing *client, const char *name, double count, const char *tags)
{
    send_value(client, LAPWING_COUNT, name, count, tags);
}

void lapwing_gauge(struct lapwing *client, const char *name, double value, const char *tags)
{
    send_value(client, LAPWING_GAUGE, name, value, tags);
}

void lapwing_adjust(struct lapwing *client, const char *name, double change, const char *tags)
{
    send_value(client, LAPWING_ADJUST, name, change, tags);
}

void lapwing_timing(struct lapwing *client, const char *name, double ms, const char *tags)
{
    send_value(client, LAPWING_TIMING, name, ms, tags);
}

void lapwing_histogram(struct lapwing *client, const char *name, double value, const char *tags)
{
    send_value(client, LAPWING_HISTOGRAM, name, value, tags);
}

void lapwing_distribution(struct lapwing *client, const char *name, double value, const char *tags)
{
    send_value(client, LAPWING_DISTRIBUTION, name, value, tags);
}

void lapwing_set(struct lapwing *client, const char *name, const char *member, const char *tags)
{
    const struct lapwing_metric metric = {
        .type = LAPWING_SET, .name = name, .member = member, .tags = tags};
    lapwing_send(client, &metric);
}

struct lapwing_timer lapwing_timer_start(struct lapwing *client, const char *name, const char *tags)
{
    return (struct lapwing_timer){client, name, tags, now_ns(CLOCK_MONOTONIC)};
}

void lapwing_timer_stop(struct lapwing_timer *timer)
{
    if (!timer)
        return;
    int64_t spent_ns = now_ns(CLOCK_MONOTONIC) - timer->start_ns;
    lapwing_timing(timer->client, timer->name, (double)spent_ns / 1e6, timer->tags);
    timer->client = NULL;
}

/* --- events and service checks --- */

void lapwing_event(struct lapwing *client, const char *title, const char *text, const char *alert,
                   const char *tags)
{
    if (!client)
        return;
    const struct lapwing_notice event = {title, text, alert, tags, 0};
    int kept = errno;
    char at[LAPWING_LINE_MAX];
    struct lapwing_line line = empty_line(client, at);
    bool valid = lapwing_line_event(&line, &client->constants, &event);
    finish(client, &line, valid);
    errno = kept;
}

void lapwing_check(struct lapwing *client, const char *name, int status, const char *message,
                   const char *tags)
{
    if (!client)
        return;
    const struct lapwing_notice check = {name, message, NULL, tags, status};
    int kept = errno;
    char at[LAPWING_LINE_MAX];
    struct lapwing_line line = empty_line(client, at);
    bool valid = lapwing_line_check(&line, &client->constants, &check);
    finish(client, &line, valid);
    errno = kept;
}
