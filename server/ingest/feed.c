/* feed: lines from the sockets to the writer.
 *
 *   udp, tcp --text--> format->read --readings--> current batch --full, or nothing more to read--> writer
 *                                                      ^                                             |
 *                                                      +---------- free batches (a queue) <---done---+
 *
 * As with log lines a batch is submitted when it is full or when the loop has served all readable
 * sockets (an event of lower priority), so that under load commits are large and otherwise fast. Taking
 * a free batch may wait: that wait is the back-pressure.
 */
#include "server/ingest/feed.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/ingest/reading.h"
#include "server/net/socket.h"
#include "server/net/udp.h"
#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/queue.h"

#define BATCHES          4
#define BATCH_SAMPLES    8192
#define BATCH_BYTES      ((size_t)8 << 20)
#define SCRATCH_BYTES    ((size_t)8 << 20) /* of one line: 1,024 label sets of 64 pairs, and more */
#define RECEIVE_BYTES    ((int64_t)8 << 20)
#define ROUNDS_PER_EVENT 32 /* then other events get their turn */

/* Reasons for refusals behind those of the format. */
enum { OWN_LINE_TOO_LONG, OWN_TRUNCATED, OWN_REASON_COUNT };

struct reading {
    struct labels labels;
    int64_t time_ms;
    double value;
};

struct batch {
    struct writer_job job; /* first: the job is the batch */
    struct feed *feed;
    struct arena arena; /* of the labels */
    struct reading *readings;
    size_t count, capacity;
    int64_t tallies[FEED_REJECTS]; /* what became of them, if it is committed */
};

struct feed {
    struct feed_options options;
    struct store *store;
    struct writer *writer;
    int udp_fd, stop_fd;
    int udp_port, tcp_port;
    pthread_t thread;
    struct queue *idle; /* of struct batch */
    struct batch batches[BATCHES];
    /* Its thread only. */
    struct event_base *base;
    struct event *stop_event, *flush_event, *udp_event;
    struct tcp_lines *tcp;
    struct udp_receiver *receiver;
    uint32_t kernel_drops; /* as the kernel counts them */
    struct arena scratch;  /* of one line */
    struct batch *current;
};

unsigned feed_reason_count(const struct feed_format *format)
{
    return (unsigned)format->metric_count - FEED_REJECTS + OWN_REASON_COUNT;
}

struct slice feed_reason_name(const struct feed_format *format, unsigned reason)
{
    static const struct slice own[OWN_REASON_COUNT] = {
        [OWN_LINE_TOO_LONG] = SLICE_LIT("tcp_line_too_long"),
        [OWN_TRUNCATED] = SLICE_LIT("truncated"),
    };
    if (FEED_REJECTS + reason >= format->metric_count)
        return own[FEED_REJECTS + reason - format->metric_count];
    struct slice rest = slice_of_string(format->metrics[FEED_REJECTS + reason].labels), name;
    slice_cut(&rest, '"', &name); /* reason="name" */
    slice_cut(&rest, '"', &name);
    return name;
}

static void count(const struct feed *feed, int row, int64_t n)
{
    if (n)
        metric_add(&feed->options.format->metrics[row], n);
}

/* --- on the writer --- */

static enum feed_metric write_reading(struct feed *feed, struct store_batch *out,
                                      const struct reading *reading)
{
    struct error err;
    uint32_t id;
    if (reading_intern(feed->store, out, reading->labels, &id, &err))
        return err.kind == ERROR_LIMIT ? FEED_SERIES_REFUSED : FEED_TYPE_CLASH;
    if (reading->time_ms < store_oldest_taken(feed->store, id))
        return FEED_PAST_RETENTION;
    store_batch_value(out, id, reading->time_ms, reading->value);
    return FEED_SAMPLES;
}

static int run(struct writer_job *job, struct store_batch *out, struct error *err)
{
    struct batch *batch = (struct batch *)job;
    (void)err;
    for (size_t i = 0; i < batch->count; i++)
        batch->tallies[write_reading(batch->feed, out, &batch->readings[i])]++;
    return 0;
}

static void on_done(struct writer_job *job, int status, const struct error *err)
{
    struct batch *batch = (struct batch *)job;
    struct feed *feed = batch->feed;
    (void)err; /* the writer has logged it */
    if (status)
        count(feed, FEED_STORE_FAILED, (int64_t)batch->count);
    for (int i = FEED_SAMPLES; i < FEED_REJECTS && status == 0; i++)
        count(feed, i, batch->tallies[i]);
    if (queue_push(feed->idle, batch))
        abort();
}

/* --- lines to batches --- */

static void submit(struct feed *feed)
{
    struct batch *batch = feed->current;
    if (!batch || batch->count == 0)
        return;
    feed->current = NULL;
    if (writer_submit(feed->writer, &batch->job))
        on_done(&batch->job, -1, NULL);
}

/* Waits until a batch is free. */
static struct batch *current_batch(struct feed *feed)
{
    struct batch *batch = feed->current;
    if (batch && (batch->count >= BATCH_SAMPLES || batch->arena.used >= BATCH_BYTES))
        submit(feed);
    if (!feed->current) {
        batch = feed->current = queue_pop(feed->idle);
        arena_reset(&batch->arena);
        batch->count = 0;
        memset(batch->tallies, 0, sizeof batch->tallies);
    }
    return feed->current;
}

static void add(struct feed *feed, const struct timed_sample *sample, int64_t time_ms)
{
    struct batch *batch = current_batch(feed);
    if (batch->count == batch->capacity) {
        batch->capacity = batch->capacity ? batch->capacity * 2 : 64;
        batch->readings = alloc_resize(batch->readings, batch->capacity, sizeof *batch->readings);
    }
    batch->readings[batch->count++] =
        (struct reading){labels_copy(&batch->arena, sample->labels), time_ms, sample->value};
}

/* Where a text comes from. */
struct origin {
    const char *transport;
    struct peer peer;
};

static void refuse(struct feed *feed, unsigned reason, const struct origin *origin,
                   struct slice line)
{
    refusals_note(feed->options.refusals, reason, origin->transport, &origin->peer, line);
}

static void refuse_own(struct feed *feed, unsigned reason, const struct origin *origin,
                       struct slice line)
{
    unsigned rejects = (unsigned)feed->options.format->metric_count - FEED_REJECTS;
    refuse(feed, rejects + reason, origin, line);
}

static void take_text(struct feed *feed, struct slice text, const struct origin *origin)
{
    const struct feed_format *format = feed->options.format;
    struct timed_line line;
    struct slice raw;
    int64_t now_ms = clock_now_ms();
    int reject;
    arena_reset(&feed->scratch);
    while (format->read(&text, &feed->scratch, &raw, &line, &reject)) {
        if (reject) {
            count(feed, FEED_REJECTS + reject, 1);
            refuse(feed, (unsigned)reject, origin, raw);
        } else {
            count(feed, FEED_UNSUPPORTED, (int64_t)line.unsupported);
            for (size_t i = 0; i < line.count; i++)
                add(feed, &line.samples[i], line.has_time ? line.time_ms : now_ms);
        }
        arena_reset(&feed->scratch);
    }
    event_active(feed->flush_event, EV_TIMEOUT, 0);
}

static void on_lines(void *arg, const struct peer *from, struct slice text)
{
    const struct origin origin = {"tcp", *from};
    take_text(arg, text, &origin);
}

/* The listener has counted it. */
static void on_too_long(void *arg, const struct peer *from, struct slice head)
{
    const struct origin origin = {"tcp", *from};
    refuse_own(arg, OWN_LINE_TOO_LONG, &origin, head);
}

/* --- datagrams --- */

static size_t receive(struct feed *feed)
{
    struct udp_batch datagrams;
    size_t received = udp_receive(feed->receiver, feed->udp_fd, &datagrams);
    for (size_t i = 0; i < datagrams.count; i++) {
        const struct origin origin = {"udp", udp_peer(feed->receiver, i)};
        if (datagrams.truncated >> i & 1) {
            count(feed, FEED_TRUNCATED, 1);
            refuse_own(feed, OWN_TRUNCATED, &origin, datagrams.datagrams[i]);
        } else {
            take_text(feed, datagrams.datagrams[i], &origin);
        }
    }
    count(feed, FEED_PACKETS, (int64_t)received);
    return received;
}

/* The kernel drops only while datagrams wait, so whoever looks after reading them misses none. */
static void look_at_kernel_drops(struct feed *feed)
{
    uint32_t drops = udp_kernel_drops(feed->udp_fd);
    count(feed, FEED_KERNEL_DROPS, (uint32_t)(drops - feed->kernel_drops));
    feed->kernel_drops = drops;
}

static void on_udp(evutil_socket_t fd, short events, void *arg)
{
    (void)fd, (void)events;
    for (int round = 0; round < ROUNDS_PER_EVENT && receive(arg) > 0; round++)
        continue;
    look_at_kernel_drops(arg);
}

/* --- life --- */

static void on_flush(evutil_socket_t fd, short events, void *arg)
{
    (void)fd, (void)events;
    submit(arg);
}

static void drain_udp(struct feed *feed)
{
    if (feed->udp_fd < 0)
        return;
    socket_shut(feed->udp_fd);
    socket_settle();
    while (receive(feed) > 0)
        continue;
    look_at_kernel_drops(feed);
    event_free(feed->udp_event);
    close(feed->udp_fd);
}

static void on_stop(evutil_socket_t fd, short events, void *arg)
{
    struct feed *feed = arg;
    (void)fd, (void)events;
    tcp_lines_close(feed->tcp);
    feed->tcp = NULL;
    drain_udp(feed);
    submit(feed);
    event_base_loopbreak(feed->base);
}

static void *thread_main(void *arg)
{
    struct feed *feed = arg;
    pthread_setname_np(pthread_self(), feed->options.format->name);
    event_base_dispatch(feed->base);
    return NULL;
}

static void open_loop(struct feed *feed)
{
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    feed->base = event_base_new_with_config(config);
    event_config_free(config);
    event_base_priority_init(feed->base, 3); /* sockets get 1, flushing comes after them */
    feed->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    feed->stop_event = event_new(feed->base, feed->stop_fd, EV_READ, on_stop, feed);
    event_add(feed->stop_event, NULL);
    feed->flush_event = event_new(feed->base, -1, EV_PERSIST, on_flush, feed);
    event_priority_set(feed->flush_event, 2);
    if (feed->udp_fd >= 0) {
        feed->udp_event = event_new(feed->base, feed->udp_fd, EV_READ | EV_PERSIST, on_udp, feed);
        event_add(feed->udp_event, NULL);
    }
}

static void listen_tcp(struct feed *feed, int owned_fd)
{
    if (owned_fd < 0)
        return;
    feed->tcp = tcp_lines_open(feed->base, owned_fd,
                               &(struct tcp_options){
                                   .connection_max = feed->options.connection_max,
                                   .line_max = feed->options.format->line_max,
                                   .metrics = &feed->options.format->metrics[FEED_CONNECTIONS],
                                   .lines = on_lines,
                                   .too_long = on_too_long,
                                   .arg = feed,
                               });
}

/* -1 in both where the address is "". */
static int open_sockets(const struct feed_options *options, int *udp_fd, int *tcp_fd,
                        struct error *err)
{
    *udp_fd = *tcp_fd = -1;
    if (*options->udp && socket_open(options->udp, SOCK_DGRAM, udp_fd, err))
        return error_wrap(err, "%s.udp", options->format->name);
    if (*options->tcp && socket_open(options->tcp, SOCK_STREAM, tcp_fd, err)) {
        if (*udp_fd >= 0)
            close(*udp_fd);
        return error_wrap(err, "%s.tcp", options->format->name);
    }
    return 0;
}

static struct feed *feed_new(const struct feed_options *options, struct store *store,
                             struct writer *writer)
{
    struct feed *feed = alloc_zeroed(1, sizeof *feed);
    feed->options = *options;
    feed->store = store;
    feed->writer = writer;
    feed->receiver = udp_receiver_new();
    udp_name_all(feed->receiver, true); /* a reading costs far more than a name */
    feed->idle = queue_new(BATCHES, NULL, NULL);
    arena_init(&feed->scratch, SCRATCH_BYTES);
    for (size_t i = 0; i < BATCHES; i++) {
        struct batch *batch = &feed->batches[i];
        batch->job = (struct writer_job){.run = run, .done = on_done};
        batch->feed = feed;
        arena_init(&batch->arena, SIZE_MAX); /* its bytes are looked at for each reading */
        if (queue_push(feed->idle, batch))
            abort();
    }
    return feed;
}

int feed_open(const struct feed_options *options, struct store *store, struct writer *writer,
              struct feed **out, struct error *err)
{
    int udp_fd, tcp_fd;
    *out = NULL;
    if (open_sockets(options, &udp_fd, &tcp_fd, err))
        return -1;
    if (udp_fd < 0 && tcp_fd < 0)
        return 0;
    metric_register(options->format->metrics, options->format->metric_count);
    struct feed *feed = *out = feed_new(options, store, writer);
    feed->udp_fd = udp_fd;
    feed->udp_port = udp_fd < 0 ? -1 : socket_port(udp_fd);
    feed->tcp_port = tcp_fd < 0 ? -1 : socket_port(tcp_fd);
    if (udp_fd >= 0)
        udp_set_receive_buffer(udp_fd, RECEIVE_BYTES);
    open_loop(feed);
    listen_tcp(feed, tcp_fd);
    if (pthread_create(&feed->thread, NULL, thread_main, feed))
        abort();
    return 0;
}

int feed_udp_port(const struct feed *feed)
{
    return feed->udp_port;
}

int feed_tcp_port(const struct feed *feed)
{
    return feed->tcp_port;
}

void feed_close(struct feed *feed)
{
    if (!feed)
        return;
    if (eventfd_write(feed->stop_fd, 1))
        abort();
    pthread_join(feed->thread, NULL);
    /* A batch that was current but empty is not in the queue. */
    for (size_t i = feed->current ? 1 : 0; i < BATCHES; i++)
        queue_pop(feed->idle);
    for (size_t i = 0; i < BATCHES; i++) {
        arena_release(&feed->batches[i].arena);
        free(feed->batches[i].readings);
    }
    event_free(feed->stop_event);
    event_free(feed->flush_event);
    event_base_free(feed->base);
    close(feed->stop_fd);
    queue_free(feed->idle);
    udp_receiver_free(feed->receiver);
    arena_release(&feed->scratch);
    free(feed);
}
