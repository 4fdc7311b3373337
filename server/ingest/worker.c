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
 *
 * Who sends what is a sample: of each batch of datagrams the senders of the first few, whom the kernel
 * names, and of each batch of metrics one name, at a random place; each stands for its share. After
 * a line is refused all senders are named for a while: so the last line of a kind has a sender.
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
#include "server/ingest/worker_figures.h"
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
#define FULL_PER_SAMPLE  4
#define NAMING_MS        10000 /* all senders, after a line that was refused */
#define RETRY_US         10000 /* records and dated samples, while the writer is busy */

const char *const worker_transport_names[WORKER_TRANSPORT_COUNT] = {
    [WORKER_UDP] = "udp",
    [WORKER_TCP] = "tcp",
    [WORKER_UNIX] = "unix",
    [WORKER_UNIX_STREAM] = "unix_stream",
};

struct worker {
    struct worker_options options;
    pthread_t thread;
    struct event_base *base;
    struct event *udp_event, *unix_event, *wake_event, *retry_event;
    struct stream {
        struct worker *worker;
        enum worker_transport transport;
        struct tcp_lines *lines;
    } streams[WORKER_TRANSPORT_COUNT]; /* TCP and unix streams */
    struct udp_receiver *receiver;
    struct account *account;
    struct sender { /* of the lines being read */
        enum worker_transport transport;
        const struct peer *peer; /* NULL: of this datagram of the batch */
        size_t datagram;
    } sender;
    int64_t naming_until_ms; /* 0: senders are not named */
    uint64_t random;
    uint64_t full_batches;
    struct intake *_Atomic intake;
    struct notices *notices;
    struct statsd_metric batch[INTAKE_BATCH_MAX];
    size_t batch_count;
    int64_t tallies[WORKER_METRIC_COUNT]; /* not yet published */
    uint32_t kernel_drops;                /* as of the last look */
    int wake_fd;
    _Atomic bool swap_wanted;
    _Atomic bool stop_wanted;
};

static int64_t monotonic_ms(void)
{
    return clock_monotonic_ns() / 1000000;
}

static void name_senders(struct worker *worker, bool all)
{
    if (all != (worker->naming_until_ms != 0))
        udp_name_all(worker->receiver, all);
    worker->naming_until_ms = all ? monotonic_ms() + NAMING_MS : 0;
}

static void submit_notices(struct worker *worker)
{
    const struct timeval pause = {.tv_usec = RETRY_US};
    if (!notices_submit(worker->notices))
        event_add(worker->retry_event, &pause);
}

static void publish(struct worker *worker)
{
    int64_t now_ms = monotonic_ms();
    submit_notices(worker);
    account_tick(worker->account, now_ms);
    metric_set(&worker_metrics[WORKER_LAST_MESSAGE], clock_now_ms());
    if (worker->naming_until_ms && worker->naming_until_ms < now_ms)
        name_senders(worker, false);
    for (size_t i = WORKER_PACKETS_UDP; i < WORKER_METRIC_COUNT; i++) {
        if (worker->tallies[i])
            metric_add(&worker_metrics[i], worker->tallies[i]);
        worker->tallies[i] = 0;
    }
}

/* --- lines --- */

/* xorshift64: good enough to meet all places of a batch alike. */
static size_t random_below(struct worker *worker, size_t count)
{
    worker->random ^= worker->random << 13;
    worker->random ^= worker->random >> 7;
    worker->random ^= worker->random << 17;
    return (worker->random >> 32) * count >> 32;
}

/* One metric stands for its batch; of full batches, which only come fast, one for FULL_PER_SAMPLE. */
static void sample_batch(struct worker *worker, size_t count)
{
    uint64_t batches = count == INTAKE_BATCH_MAX ? FULL_PER_SAMPLE : 1;
    if (batches > 1 && ++worker->full_batches % FULL_PER_SAMPLE)
        return;
    account_metric(worker->account, &worker->batch[random_below(worker, count)], count * batches);
}

static void add_batch(struct worker *worker)
{
    size_t count = worker->batch_count;
    if (count == 0)
        return;
    sample_batch(worker, count);
    intake_add(worker->intake, worker->batch, worker->batch_count);
    worker->batch_count = 0;
}

static void tally_ignored(struct worker *worker, unsigned ignored)
{
    for (unsigned i = 0; i < STATSD_IGNORED_COUNT; i++)
        worker->tallies[WORKER_IGNORED + i] += ignored >> i & 1;
}

static struct peer peer_of_sender(const struct worker *worker)
{
    const struct sender *sender = &worker->sender;
    if (sender->transport == WORKER_UNIX) /* most have no name */
        return (struct peer){.family = AF_UNIX};
    return sender->peer ? *sender->peer : udp_peer(worker->receiver, sender->datagram);
}

static void note_refused(struct worker *worker, unsigned reason, struct slice line)
{
    enum worker_transport transport = worker->sender.transport;
    struct peer peer = peer_of_sender(worker);
    account_refused(worker->account, reason, worker_transport_names[transport], &peer, line);
    name_senders(worker, true);
}

static void reject_line(struct worker *worker, enum statsd_reject reject, struct slice line)
{
    worker->tallies[WORKER_REJECTS + reject]++;
    note_refused(worker, reject, line);
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
        reject_line(worker, reject, line);
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

/* Takes or counts what was read of the line into the batch's next place. */
static void take_metric(struct worker *worker, enum statsd_reject reject, struct slice line)
{
    struct statsd_metric *metric = &worker->batch[worker->batch_count];
    if (reject != STATSD_ACCEPTED) {
        reject_line(worker, reject, line);
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
                          struct slice line, enum statsd_reject reject)
{
    struct statsd_metric metric = worker->batch[worker->batch_count];
    take_metric(worker, reject, line);
    while (metric.segments.len) {
        reject = statsd_next_segment(profile, &metric);
        worker->batch[worker->batch_count] = metric;
        take_metric(worker, reject, line);
    }
}

/* Of the sender. The bytes are borrowed by the batch until add_batch. */
static void take_lines(struct worker *worker, struct slice lines)
{
    const struct statsd_profile *profile = &worker->options.profiles[worker->sender.transport];
    struct slice line;
    while (statsd_cut_line(&lines, &line)) {
        struct statsd_metric *metric = &worker->batch[worker->batch_count];
        enum statsd_reject reject = statsd_parse(profile, line, metric);
        if (metric->segments.len)
            take_segments(worker, profile, line, reject);
        else if (reject >= STATSD_REJECT_COUNT)
            take_notice(worker, reject, line);
        else
            take_metric(worker, reject, line);
    }
}

/* About microseconds; the same clock for all workers. */
static void tell_time(struct worker *worker)
{
    intake_set_time(worker->intake, (uint32_t)(clock_monotonic_ns() >> 10) | 1);
}

/* Somebody watches. */
static void offer_lines(struct worker *worker, struct slice lines)
{
    struct peer peer = peer_of_sender(worker);
    taps_offer(worker->options.taps, worker_transport_names[worker->sender.transport], &peer,
               lines);
}

static void on_lines(void *arg, const struct peer *from, struct slice lines)
{
    const struct stream *stream = arg;
    struct worker *worker = stream->worker;
    int64_t before = worker->tallies[WORKER_METRICS];
    worker->sender = (struct sender){.transport = stream->transport, .peer = from};
    tell_time(worker);
    if (taps_any(worker->options.taps))
        offer_lines(worker, lines);
    take_lines(worker, lines);
    add_batch(worker);
    if (worker->tallies[WORKER_METRICS] > before)
        account_source(worker->account, from, (uint64_t)(worker->tallies[WORKER_METRICS] - before));
    publish(worker);
}

/* The listener has counted it. */
static void on_too_long(void *arg, const struct peer *from, struct slice head)
{
    const struct stream *stream = arg;
    stream->worker->sender = (struct sender){.transport = stream->transport, .peer = from};
    note_refused(stream->worker, ACCOUNT_STREAM_TOO_LONG, head);
}

/* --- datagrams --- */

static const int packets_rows[WORKER_TRANSPORT_COUNT] = {
    [WORKER_UDP] = WORKER_PACKETS_UDP,
    [WORKER_UNIX] = WORKER_PACKETS_UNIX,
};

static void take_datagram(struct worker *worker, const struct udp_batch *batch, size_t i)
{
    worker->sender.datagram = i;
    if (batch->truncated >> i & 1) {
        worker->tallies[WORKER_TRUNCATED]++;
        note_refused(worker, ACCOUNT_TRUNCATED, batch->datagrams[i]);
        return;
    }
    take_lines(worker, batch->datagrams[i]);
}

/* The first few, each standing for its share of the batch. */
static void take_sampled(struct worker *worker, const struct udp_batch *batch, size_t sampled)
{
    for (size_t i = 0; i < sampled; i++) {
        int64_t before = worker->tallies[WORKER_METRICS];
        take_datagram(worker, batch, i);
        uint64_t metrics = (uint64_t)(worker->tallies[WORKER_METRICS] - before);
        struct peer peer = peer_of_sender(worker);
        if (metrics)
            account_source(worker->account, &peer, metrics * batch->count / sampled);
    }
}

static void offer_datagrams(struct worker *worker, const struct udp_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        worker->sender.datagram = i;
        if (!(batch->truncated >> i & 1))
            offer_lines(worker, batch->datagrams[i]);
    }
    name_senders(worker, true);
}

static size_t receive(struct worker *worker, int fd, enum worker_transport transport)
{
    struct udp_batch batch;
    size_t received = udp_receive(worker->receiver, fd, &batch);
    size_t sampled = received < UDP_NAMED ? received : UDP_NAMED;
    worker->sender = (struct sender){.transport = transport};
    tell_time(worker);
    if (taps_any(worker->options.taps))
        offer_datagrams(worker, &batch);
    take_sampled(worker, &batch, sampled);
    for (size_t i = sampled; i < received; i++)
        take_datagram(worker, &batch, i);
    add_batch(worker);
    worker->tallies[packets_rows[transport]] += (int64_t)received;
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
    metric_add(&worker_drop_metrics[worker->options.index],
               (uint32_t)(drops - worker->kernel_drops));
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

static void follow_rules(struct worker *worker)
{
    struct mapping *mapping = rulebook_hold(worker->options.rulebook);
    struct intake *renewed = intake_renew(worker->intake, mapping);
    if (renewed) {
        notices_set_mapping(worker->notices, mapping); /* which the intake holds */
        worker->intake = renewed;
    }
    mapping_free(mapping);
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
        follow_rules(worker);
        intake_swap(worker->intake);
        if (queue_try_push(worker->options.replies, worker))
            assert(!"the queue holds a reply of every worker");
    }
    if (atomic_load(&worker->stop_wanted))
        event_base_loopbreak(worker->base);
}

static void on_retry(evutil_socket_t fd, short events, void *arg)
{
    (void)fd, (void)events;
    submit_notices(arg);
}

static void *worker_main(void *arg)
{
    struct worker *worker = arg;
    event_base_dispatch(worker->base);
    tcp_lines_close(worker->streams[WORKER_TCP].lines);
    tcp_lines_close(worker->streams[WORKER_UNIX_STREAM].lines);
    close_datagrams(worker);
    notices_finish(worker->notices);
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
                                       .too_long = on_too_long,
                                       .arg = stream,
                                   });
}

struct worker *worker_start(const struct worker_options *options)
{
    struct worker *worker = alloc_zeroed(1, sizeof *worker);
    worker->options = *options;
    worker->random = 0x9e3779b97f4a7c15u; /* any but 0 */
    worker->account = account_new();
    worker->options.intake.mapping = rulebook_hold(options->rulebook);
    worker->intake = intake_new(&worker->options.intake);
    worker->notices = notices_new(options->writer, options->registry, options->retention_logs_ms);
    notices_set_mapping(worker->notices, worker->options.intake.mapping);
    mapping_free(worker->options.intake.mapping); /* the intake holds it */
    worker->receiver = udp_receiver_new();
    worker->base = base_new();
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (worker->wake_fd < 0)
        abort();
    worker->wake_event = watch(worker, worker->wake_fd, on_wake);
    worker->retry_event = event_new(worker->base, -1, 0, on_retry, worker);
    if (!worker->retry_event)
        abort();
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

struct account *worker_account(struct worker *worker)
{
    return worker->account;
}

void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    event_free(worker->wake_event);
    event_free(worker->retry_event);
    if (worker->udp_event)
        event_free(worker->udp_event);
    if (worker->unix_event)
        event_free(worker->unix_event);
    event_base_free(worker->base);
    close(worker->wake_fd);
    udp_receiver_free(worker->receiver);
    notices_free(worker->notices);
    intake_free(worker->intake);
    account_free(worker->account);
    free(worker);
}
