/* logtcp: lines from the sockets to the writer.
 *
 *   tcp_lines --lines--> current batch --full, or nothing more to read--> writer
 *                             ^                                             |
 *                             +---------- free batches (a queue) <---done---+
 *
 * A batch is submitted when it holds BATCH_BYTES or when the loop has served all readable sockets
 * (an event of lower priority), so that under load commits are large and otherwise fast. Taking a
 * free batch may wait: that wait is the back-pressure.
 */
#include "server/ingest/logtcp.h"

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/ingest/logbatch.h"
#include "server/net/socket.h"
#include "server/net/tcp.h"
#include "storage/base/alloc.h"
#include "storage/base/metric.h"
#include "storage/base/queue.h"

#define BATCHES     4
#define BATCH_BYTES ((size_t)512 << 10)

static struct metric tcp_metrics[TCP_METRIC_COUNT] = {
    [TCP_OPEN] = {.name = "lapwing_log_connections",
                  .kind = METRIC_GAUGE,
                  .help = "Open TCP connections that send logs."},
    [TCP_ACCEPTED] = {.name = "lapwing_log_connections_total",
                      .help = "TCP connections accepted for logs."},
    [TCP_REFUSED] = {.name = "lapwing_log_connections_refused_total",
                     .help = "Closed at once: logs.connection_max reached."},
    [TCP_LINES_TOO_LONG] = {.name = "lapwing_log_lines_skipped_total",
                            .help = "Lines beyond logs.line_max that never ended in time."},
};

struct logtcp {
    struct logtcp_options options;
    struct writer *writer;
    int port;
    int stop_fd;
    pthread_t thread;
    struct queue *idle; /* of struct logbatch */
    struct logbatch batches[BATCHES];
    /* Its thread only. */
    struct event_base *base;
    struct event *stop_event, *flush_event;
    struct tcp_lines *lines;
    struct jsonlog *parser;
    struct logbatch *current;
};

/* Writer thread. */
static void on_done(struct writer_job *job, int status, const struct error *err)
{
    struct logbatch *batch = (struct logbatch *)job;
    struct logtcp *tcp = batch->owner;
    (void)err; /* the writer has logged it */
    logbatch_count_stored(batch, status);
    if (queue_push(tcp->idle, batch))
        abort();
}

static void submit(struct logtcp *tcp)
{
    struct logbatch *batch = tcp->current;
    if (!batch || batch->count == 0)
        return;
    tcp->current = NULL;
    if (writer_submit(tcp->writer, &batch->job))
        on_done(&batch->job, -1, NULL);
}

/* Waits until a batch is free. */
static struct logbatch *current_batch(struct logtcp *tcp)
{
    if (tcp->current && tcp->current->arena.used >= BATCH_BYTES)
        submit(tcp);
    if (!tcp->current) {
        tcp->current = queue_pop(tcp->idle);
        logbatch_reset(tcp->current);
    }
    return tcp->current;
}

static void on_lines(void *arg, const struct peer *from, struct slice lines)
{
    struct logtcp *tcp = arg;
    (void)from;
    logbatch_set_window(tcp->parser, tcp->options.retention_ms);
    while (lines.len) {
        struct slice line;
        slice_cut(&lines, '\n', &line);
        line = slice_trim(line);
        if (line.len == 0)
            continue;
        /* Refused lines are counted there; nobody waits for an answer. */
        (void)logbatch_add(current_batch(tcp), tcp->parser, line, NULL);
    }
    event_active(tcp->flush_event, EV_TIMEOUT, 0);
}

static void on_flush(evutil_socket_t fd, short events, void *arg)
{
    (void)fd, (void)events;
    submit(arg);
}

static void on_stop(evutil_socket_t fd, short events, void *arg)
{
    struct logtcp *tcp = arg;
    (void)fd, (void)events;
    tcp_lines_close(tcp->lines);
    tcp->lines = NULL;
    submit(tcp);
    event_base_loopbreak(tcp->base);
}

static void *thread_main(void *arg)
{
    struct logtcp *tcp = arg;
    pthread_setname_np(pthread_self(), "log-tcp");
    event_base_dispatch(tcp->base);
    return NULL;
}

static void open_loop(struct logtcp *tcp, int listen_fd)
{
    struct event_config *config = event_config_new();
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    tcp->base = event_base_new_with_config(config);
    event_config_free(config);
    event_base_priority_init(tcp->base, 3); /* sockets get 1, flushing comes after them */
    tcp->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    tcp->stop_event = event_new(tcp->base, tcp->stop_fd, EV_READ, on_stop, tcp);
    event_add(tcp->stop_event, NULL);
    tcp->flush_event = event_new(tcp->base, -1, EV_PERSIST, on_flush, tcp);
    event_priority_set(tcp->flush_event, 2);
    struct tcp_options lines = {
        .connection_max = tcp->options.connection_max,
        .line_max = (size_t)tcp->options.line_max,
        .metrics = tcp_metrics,
        .lines = on_lines,
        .arg = tcp,
    };
    tcp->lines = tcp_lines_open(tcp->base, listen_fd, &lines);
}

int logtcp_open(const struct logtcp_options *options, struct writer *writer, struct logtcp **out,
                struct error *err)
{
    int listen_fd;
    if (socket_open(options->listen, SOCK_STREAM, &listen_fd, err))
        return error_wrap(err, "logs.json_tcp");
    metric_register(tcp_metrics, TCP_METRIC_COUNT);
    struct logtcp *tcp = alloc_zeroed(1, sizeof *tcp);
    tcp->options = *options;
    tcp->writer = writer;
    tcp->port = socket_port(listen_fd);
    tcp->parser = jsonlog_new((size_t)options->line_max);
    tcp->idle = queue_new(BATCHES, NULL, NULL);
    for (size_t i = 0; i < BATCHES; i++) {
        logbatch_init(&tcp->batches[i]);
        tcp->batches[i].job.done = on_done;
        tcp->batches[i].copies_lines = true;
        tcp->batches[i].owner = tcp;
        if (queue_push(tcp->idle, &tcp->batches[i]))
            abort();
    }
    open_loop(tcp, listen_fd);
    if (pthread_create(&tcp->thread, NULL, thread_main, tcp) != 0)
        abort();
    *out = tcp;
    return 0;
}

int logtcp_port(const struct logtcp *tcp)
{
    return tcp->port;
}

void logtcp_close(struct logtcp *tcp)
{
    if (!tcp)
        return;
    if (eventfd_write(tcp->stop_fd, 1))
        abort();
    pthread_join(tcp->thread, NULL);
    /* A batch that was current but empty is not in the queue. */
    for (size_t i = tcp->current ? 1 : 0; i < BATCHES; i++)
        queue_pop(tcp->idle);
    for (size_t i = 0; i < BATCHES; i++)
        logbatch_release(&tcp->batches[i]);
    event_free(tcp->stop_event);
    event_free(tcp->flush_event);
    event_base_free(tcp->base);
    close(tcp->stop_fd);
    queue_free(tcp->idle);
    jsonlog_free(tcp->parser);
    free(tcp);
}
