/* worker: datagrams and lines -> parsed batch -> table.
 *
 *   recvmmsg --> 64 datagrams --> lines --> statsd_parse --> batch of 64 metrics --> intake_add
 *
 * A wake-up costs more than a metric, and nobody waits for a statsd packet to be counted: so after
 * a read that emptied the socket the worker naps for NAP_US and reads again, until a nap brought
 * nothing. Under load one wake-up then serves dozens of datagrams. The nap is short enough for the
 * smallest usual socket buffer (212 KB, 277 small datagrams) at a million datagrams a second.
 *
 * Figures are gathered in plain integers and published once a wake-up. A swap is asked for through
 * an eventfd, so the loop has no locks (EVENT_BASE_FLAG_NOLOCK).
 */
#include "server/ingest/worker.h"

#include <assert.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "server/ingest/notice.h"
#include "server/net/socket.h"
#include "server/net/tcp.h"
#include "server/net/udp.h"
#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/metric.h"

#define NAP_US           500
#define ROUNDS_PER_EVENT 32 /* then other events get their turn */
#define TCP_LINE_MAX     8192
#define STREAM_LINE_MAX  (65536 + 64)

enum {
    WORKER_CONNECTIONS, /* TCP_METRIC_COUNT rows */
    WORKER_PACKETS_UDP = WORKER_CONNECTIONS + TCP_METRIC_COUNT,
    WORKER_PACKETS_UNIX,
    WORKER_TRUNCATED,
    WORKER_KERNEL_DROPS,
    WORKER_METRICS,
    WORKER_EVENTS,
    WORKER_CHECKS,
    WORKER_IGNORED,                                         /* STATSD_IGNORED_COUNT rows */
    WORKER_REJECTS = WORKER_IGNORED + STATSD_IGNORED_COUNT, /* STATSD_REJECT_COUNT rows */
    WORKER_METRIC_COUNT = WORKER_REJECTS + STATSD_REJECT_COUNT,
};

#define REJECT_ROW(reject, text)                                                                   \
    [WORKER_REJECTS + (reject)] = {.name = "lapwing_statsd_rejects_total",                         \
                                   .labels = "reason=\"" text "\"",                                \
                                   .help = "Lines refused."}
#define IGNORED_ROW(ignored, text)                                                                 \
    [WORKER_IGNORED + (ignored)] = {.name = "lapwing_statsd_ignored_fields_total",                 \
                                    .labels = "field=\"" text "\"",                                \
                                    .help = "Metrics with a field that is not kept."}

static struct metric worker_metrics[WORKER_METRIC_COUNT] = {
    [WORKER_CONNECTIONS + TCP_OPEN] = {.name = "lapwing_statsd_connections",
                                       .kind = METRIC_GAUGE,
                                       .help = "Open connections, over TCP and unix streams."},
    [WORKER_CONNECTIONS + TCP_ACCEPTED] = {.name = "lapwing_statsd_connections_total",
                                           .help = "TCP connections accepted."},
    [WORKER_CONNECTIONS + TCP_REFUSED] = {.name = "lapwing_statsd_connections_refused_total",
                                          .help = "TCP connections refused at the limit."},
    [WORKER_CONNECTIONS + TCP_LINES_TOO_LONG] = {.name = "lapwing_statsd_rejects_total",
                                                 .labels = "reason=\"tcp_line_too_long\"",
                                                 .help = "Lines refused."},
    [WORKER_PACKETS_UDP] = {.name = "lapwing_statsd_packets_total",
                            .labels = "transport=\"udp\"",
                            .help = "Datagrams received."},
    [WORKER_PACKETS_UNIX] = {.name = "lapwing_statsd_packets_total",
                             .labels = "transport=\"unix\"",
                             .help = "Datagrams received."},
    [WORKER_TRUNCATED] = {.name = "lapwing_statsd_truncated_total",
                          .help = "Datagrams dropped because they were larger than the buffer."},
    [WORKER_KERNEL_DROPS] = {.name = "lapwing_statsd_kernel_drops_total",
                             .help = "Datagrams the kernel dropped at our sockets."},
    [WORKER_METRICS] = {.name = "lapwing_statsd_metrics_total", .help = "Metrics accepted."},
    [WORKER_EVENTS] = {.name = "lapwing_statsd_events_total", .help = "Events accepted."},
    [WORKER_CHECKS] = {.name = "lapwing_statsd_service_checks_total",
                       .help = "Service checks accepted."},
    IGNORED_ROW(STATSD_IGNORED_CONTAINER, "container"),
    IGNORED_ROW(STATSD_IGNORED_TIMESTAMP, "timestamp"),
    IGNORED_ROW(STATSD_IGNORED_EXTERNAL, "external_data"),
    IGNORED_ROW(STATSD_IGNORED_CARDINALITY, "cardinality"),
    IGNORED_ROW(STATSD_IGNORED_OTHER, "other"),
    REJECT_ROW(STATSD_ACCEPTED, "none"), /* stays 0; keeps the rows in step with the enum */
    REJECT_ROW(STATSD_NO_COLON, "no_colon"),
    REJECT_ROW(STATSD_EMPTY_NAME, "empty_name"),
    REJECT_ROW(STATSD_NO_TYPE, "no_type"),
    REJECT_ROW(STATSD_BAD_TYPE, "bad_type"),
    REJECT_ROW(STATSD_BAD_VALUE, "bad_value"),
    REJECT_ROW(STATSD_BAD_RATE, "bad_rate"),
    REJECT_ROW(STATSD_NOT_FINITE, "not_finite"),
    REJECT_ROW(STATSD_NEGATIVE_COUNT, "negative_count"),
    REJECT_ROW(STATSD_BAD_TIME, "bad_time"),
    REJECT_ROW(STATSD_TOO_LONG, "too_long"),
    REJECT_ROW(STATSD_BAD_LENGTH, "bad_length"),
    REJECT_ROW(STATSD_BAD_STATUS, "bad_status"),
};

struct worker {
    struct worker_options options;
    pthread_t thread;
    struct event_base *base;
    struct event *udp_event, *unix_event, *wake_event;
    struct stream {
        struct worker *worker;
        enum worker_transport transport;
        struct tcp_lines *lines;
    } streams[WORKER_TRANSPORT_COUNT]; /* TCP and unix streams */
    struct udp_receiver *receiver;
    struct intake *intake;
    struct notices *notices;
    struct statsd_metric batch[INTAKE_BATCH_MAX];
    size_t batch_count;
    int64_t tallies[WORKER_METRIC_COUNT]; /* not yet published */
    uint32_t kernel_drops;                /* as of the last look */
    int wake_fd;
    _Atomic bool swap_wanted;
    _Atomic bool stop_wanted;
};

static void publish(struct worker *worker)
{
    notices_submit(worker->notices);
    for (size_t i = WORKER_PACKETS_UDP; i < WORKER_METRIC_COUNT; i++) {
        if (worker->tallies[i])
            metric_add(&worker_metrics[i], worker->tallies[i]);
        worker->tallies[i] = 0;
    }
}

/* --- lines --- */

static void add_batch(struct worker *worker)
{
    intake_add(worker->intake, worker->batch, worker->batch_count);
    worker->batch_count = 0;
}

static void tally_ignored(struct worker *worker, unsigned ignored)
{
    for (unsigned i = 0; i < STATSD_IGNORED_COUNT; i++)
        worker->tallies[WORKER_IGNORED + i] += ignored >> i & 1;
}

static void reject_line(struct worker *worker, enum statsd_reject reject)
{
    worker->tallies[WORKER_REJECTS + reject]++;
}

/* An event or service check: a metric of its own, added at once, and a record. */
static void take_notice(struct worker *worker, enum statsd_reject kind, struct slice line)
{
    struct statsd_notice notice;
    struct statsd_metric metric;
    bool event = kind == STATSD_EVENT;
    enum statsd_reject reject =
        event ? statsd_parse_event(line, &notice) : statsd_parse_check(line, &notice);
    if (reject != STATSD_ACCEPTED) {
        reject_line(worker, reject);
        return;
    }
    tally_ignored(worker, notice.ignored);
    worker->tallies[event ? WORKER_EVENTS : WORKER_CHECKS]++;
    if (event)
        notices_take_event(worker->notices, &notice, &metric);
    else
        notices_take_check(worker->notices, &notice, &metric);
    if (metric.time_s)
        notices_take_dated(worker->notices, &metric);
    else
        intake_add(worker->intake, &metric, 1);
}

/* Takes or counts what was read into the batch's next place. */
static void take_metric(struct worker *worker, enum statsd_reject reject)
{
    struct statsd_metric *metric = &worker->batch[worker->batch_count];
    if (reject != STATSD_ACCEPTED) {
        reject_line(worker, reject);
        return;
    }
    worker->tallies[WORKER_METRICS]++;
    if (metric->ignored)
        tally_ignored(worker, metric->ignored);
    if (metric->time_s)
        notices_take_dated(worker->notices, metric);
    else if (++worker->batch_count == INTAKE_BATCH_MAX)
        add_batch(worker);
}

/* The first segment, of which that is known, and those behind it. */
static void take_segments(struct worker *worker, const struct statsd_profile *profile,
                          struct statsd_metric metric, enum statsd_reject reject)
{
    take_metric(worker, reject);
    while (metric.segments.len) {
        reject = statsd_next_segment(profile, &metric);
        worker->batch[worker->batch_count] = metric;
        take_metric(worker, reject);
    }
}

/* The bytes are borrowed by the batch until add_batch. */
static void take_lines(struct worker *worker, enum worker_transport transport, struct slice lines)
{
    const struct statsd_profile *profile = &worker->options.profiles[transport];
    struct slice line;
    while (statsd_cut_line(&lines, &line)) {
        struct statsd_metric *metric = &worker->batch[worker->batch_count];
        enum statsd_reject reject = statsd_parse(profile, line, metric);
        if (metric->segments.len)
            take_segments(worker, profile, *metric, reject);
        else if (reject >= STATSD_REJECT_COUNT)
            take_notice(worker, reject, line);
        else
            take_metric(worker, reject);
    }
}

static void on_lines(void *arg, struct slice lines)
{
    const struct stream *stream = arg;
    struct worker *worker = stream->worker;
    take_lines(worker, stream->transport, lines);
    add_batch(worker);
    publish(worker);
}

/* --- datagrams --- */

static const int packets_rows[WORKER_TRANSPORT_COUNT] = {
    [WORKER_UDP] = WORKER_PACKETS_UDP,
    [WORKER_UNIX] = WORKER_PACKETS_UNIX,
};

static size_t receive(struct worker *worker, int fd, enum worker_transport transport)
{
    struct udp_batch datagrams;
    size_t received = udp_receive(worker->receiver, fd, &datagrams);
    for (size_t i = 0; i < datagrams.count; i++)
        take_lines(worker, transport, datagrams.datagrams[i]);
    add_batch(worker);
    worker->tallies[packets_rows[transport]] += (int64_t)received;
    worker->tallies[WORKER_TRUNCATED] += (int64_t)datagrams.truncated;
    return received;
}

static void receive_for_a_while(struct worker *worker, int fd, enum worker_transport transport)
{
    const struct timespec nap = {.tv_nsec = NAP_US * 1000};
    for (int round = 0; round < ROUNDS_PER_EVENT; round++) {
        size_t received = receive(worker, fd, transport);
        if (received == 0)
            break;
        if (received < UDP_BATCH_MAX)
            nanosleep(&nap, NULL);
    }
    publish(worker);
}

static void on_udp(evutil_socket_t fd, short events, void *arg)
{
    (void)events;
    receive_for_a_while(arg, fd, WORKER_UDP);
}

static void on_unix(evutil_socket_t fd, short events, void *arg)
{
    (void)events;
    receive_for_a_while(arg, fd, WORKER_UNIX);
}

static void look_at_kernel_drops(struct worker *worker)
{
    int fd = worker->options.fds[WORKER_UDP];
    if (fd < 0)
        return;
    uint32_t drops = udp_kernel_drops(fd);
    metric_add(&worker_metrics[WORKER_KERNEL_DROPS], (uint32_t)(drops - worker->kernel_drops));
    worker->kernel_drops = drops;
}

/* --- life --- */

/* Reads what the kernel holds of a socket that was shut, so this ends. */
static void drain(struct worker *worker, enum worker_transport transport)
{
    int fd = worker->options.fds[transport];
    if (fd < 0)
        return;
    while (receive(worker, fd, transport) > 0)
        continue;
    publish(worker);
    close(fd);
}

static void close_datagrams(struct worker *worker)
{
    const int udp = worker->options.fds[WORKER_UDP],
              unix_datagram = worker->options.fds[WORKER_UNIX];
    if (udp >= 0)
        socket_shut(udp);
    if (unix_datagram >= 0)
        socket_shut(unix_datagram);
    socket_settle();
    look_at_kernel_drops(worker);
    drain(worker, WORKER_UDP);
    drain(worker, WORKER_UNIX);
}

static void on_wake(evutil_socket_t fd, short events, void *arg)
{
    struct worker *worker = arg;
    uint64_t wakes;
    (void)events;
    if (read(fd, &wakes, sizeof wakes) < 0)
        return;
    if (atomic_exchange(&worker->swap_wanted, false)) {
        look_at_kernel_drops(worker);
        intake_swap(worker->intake);
        if (queue_try_push(worker->options.replies, worker))
            assert(!"the queue holds a reply of every worker");
    }
    if (atomic_load(&worker->stop_wanted))
        event_base_loopbreak(worker->base);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    event_base_dispatch(worker->base);
    tcp_lines_close(worker->streams[WORKER_TCP].lines);
    tcp_lines_close(worker->streams[WORKER_UNIX_STREAM].lines);
    close_datagrams(worker);
    return NULL;
}

static struct event_base *base_new(void)
{
    struct event_config *config = event_config_new();
    if (!config)
        abort();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    if (!base)
        abort();
    return base;
}

static struct event *watch(struct worker *worker, int fd, event_callback_fn on_readable)
{
    if (fd < 0)
        return NULL;
    struct event *event = event_new(worker->base, fd, EV_READ | EV_PERSIST, on_readable, worker);
    if (!event || event_add(event, NULL))
        abort();
    return event;
}

static void listen_stream(struct worker *worker, enum worker_transport transport)
{
    struct stream *stream = &worker->streams[transport];
    bool packets = transport == WORKER_UNIX_STREAM;
    int fd = worker->options.fds[transport];
    if (fd < 0)
        return;
    *stream = (struct stream){worker, transport, NULL};
    stream->lines = tcp_lines_open(worker->base, fd,
                                   &(struct tcp_options){
                                       .connection_max = worker->options.connection_max,
                                       .line_max = packets ? STREAM_LINE_MAX : TCP_LINE_MAX,
                                       .packets = packets,
                                       .metrics = &worker_metrics[WORKER_CONNECTIONS],
                                       .lines = on_lines,
                                       .arg = stream,
                                   });
}

struct worker *worker_start(const struct worker_options *options)
{
    struct worker *worker = alloc_zeroed(1, sizeof *worker);
    metric_register(worker_metrics, WORKER_METRIC_COUNT);
    worker->options = *options;
    worker->intake = intake_new(&options->intake);
    worker->notices = notices_new(options->writer, options->registry, options->retention_logs_ms);
    notices_set_mapping(worker->notices, options->intake.mapping);
    worker->receiver = udp_receiver_new();
    worker->base = base_new();
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (worker->wake_fd < 0)
        abort();
    worker->wake_event = watch(worker, worker->wake_fd, on_wake);
    worker->udp_event = watch(worker, options->fds[WORKER_UDP], on_udp);
    worker->unix_event = watch(worker, options->fds[WORKER_UNIX], on_unix);
    listen_stream(worker, WORKER_TCP);
    listen_stream(worker, WORKER_UNIX_STREAM);
    if (pthread_create(&worker->thread, NULL, worker_main, worker))
        abort();
    char name[16];
    snprintf(name, sizeof name, "ingest%u", options->index % 1000);
    pthread_setname_np(worker->thread, name);
    return worker;
}

static void wake(struct worker *worker)
{
    const uint64_t one = 1;
    if (write(worker->wake_fd, &one, sizeof one) != sizeof one)
        assert(!"an eventfd takes eight bytes");
}

void worker_request_swap(struct worker *worker)
{
    atomic_store(&worker->swap_wanted, true);
    wake(worker);
}

void worker_request_stop(struct worker *worker)
{
    atomic_store(&worker->stop_wanted, true);
    wake(worker);
}

void worker_join(struct worker *worker)
{
    pthread_join(worker->thread, NULL);
}

struct intake *worker_intake(struct worker *worker)
{
    return worker->intake;
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    event_free(worker->wake_event);
    if (worker->udp_event)
        event_free(worker->udp_event);
    if (worker->unix_event)
        event_free(worker->unix_event);
    event_base_free(worker->base);
    close(worker->wake_fd);
    udp_receiver_free(worker->receiver);
    notices_free(worker->notices);
    intake_free(worker->intake);
    free(worker);
}
