/* ingest: the flusher.
 *
 *   tick ---> request_swap to all workers          (eventfd)
 *        <--- replies: each has swapped            (queue; waits at most LAG_MS)
 *        ---> writer: fold all sides, on_tick, registry_flush, commit with sync   (one batch)
 *        ---> writer: tidy the store
 *
 * A worker that does not answer in time is left out: its side comes with the next tick, and totals
 * stay right because they are cumulative. A tick is never earlier than the last one: when the
 * clock is set back, flushing waits until it has caught up, and the tables keep gathering.
 *
 * Closing follows the pipeline: the flusher ends, the workers read their sockets empty and end,
 * then what both sides of every table hold is folded and committed.
 */
#include "server/ingest/ingest.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/ingest/worker.h"
#include "server/net/socket.h"
#include "server/net/udp.h"
#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/base/metric.h"

#define LAG_MS           2000
#define WAIT_STEP_MS     1000 /* looks at the clock at least this often, in case it jumps */
#define KEY_BYTES_MAX    ((size_t)256 << 20)
#define SKETCH_BYTES_MAX ((size_t)512 << 20)

/* Lateness goes into the buckets of a classic histogram, so that histogram_quantile can say p99. */
static const int64_t late_bounds_ms[] = {5, 10, 25, 50, 100, 250, 1000, INT64_MAX};
#define LATE_BUCKETS (sizeof late_bounds_ms / sizeof *late_bounds_ms)

enum {
    FLUSH_TICKS,
    FLUSH_FAILURES,
    FLUSH_LAGGARDS,
    FLUSH_SKIPPED,
    FLUSH_SECONDS,
    FLUSH_LATE_SUM,
    FLUSH_LATE_COUNT,
    FLUSH_LATE, /* one row a bucket from here on */
    FLUSH_METRIC_COUNT = FLUSH_LATE + LATE_BUCKETS,
};

#define LATE(text)                                                                                 \
    {                                                                                              \
        .name = "lapwing_flush_late_seconds_bucket", .labels = "le=\"" text "\"",                  \
        .help = "Flush ticks by how late the writer began on them."                                \
    }

static struct metric flush_metrics[FLUSH_METRIC_COUNT] = {
    [FLUSH_TICKS] = {.name = "lapwing_flush_ticks_total", .help = "Flush ticks committed."},
    [FLUSH_FAILURES] = {.name = "lapwing_flush_failures_total",
                        .help = "Flush ticks the store refused; totals come with the next."},
    [FLUSH_LAGGARDS] = {.name = "lapwing_flush_laggards_total",
                        .help = "Workers that missed a tick; their values came with the next."},
    [FLUSH_SKIPPED] = {.name = "lapwing_flush_skipped_total",
                       .help = "Ticks left out because the one before them took so long."},
    [FLUSH_SECONDS] = {.name = "lapwing_flush_seconds_total",
                       .help = "Time from a tick until it was durable.",
                       .scale = 1e-9},
    [FLUSH_LATE_SUM] = {.name = "lapwing_flush_late_seconds_sum",
                        .help = "Time from a tick's place on the clock until the writer began.",
                        .scale = 1e-3},
    [FLUSH_LATE_COUNT] = {.name = "lapwing_flush_late_seconds_count",
                          .help = "Flush ticks whose lateness was taken."},
    [FLUSH_LATE] = LATE("0.005"),
    LATE("0.01"),
    LATE("0.025"),
    LATE("0.05"),
    LATE("0.1"),
    LATE("0.25"),
    LATE("1"),
    LATE("+Inf"),
};

struct ingest {
    struct ingest_parts parts;
    struct worker *workers[WORKERS_MAX];
    size_t worker_count;
    struct taps *taps;
    struct queue *replies;
    struct queue *control; /* only ever closed: ends the flusher */
    pthread_t flusher;
    int64_t last_tick_ms;
    struct statsd_profile profiles[WORKER_TRANSPORT_COUNT];
    struct rulebook *rulebook;
    bool flush_failed; /* the last one; written between two flushes */
    int udp_port, tcp_port;
};

/* --- ticks --- */

struct tick {
    struct ingest *ingest;
    int64_t time_ms;
};

static void note_lateness(int64_t late_ms)
{
    late_ms = late_ms < 0 ? 0 : late_ms;
    metric_add(&flush_metrics[FLUSH_LATE_SUM], late_ms);
    metric_add(&flush_metrics[FLUSH_LATE_COUNT], 1);
    for (size_t i = 0; i < LATE_BUCKETS; i++)
        if (late_ms <= late_bounds_ms[i])
            metric_add(&flush_metrics[FLUSH_LATE + i], 1);
}

/* Writer thread. */
static void fold_worker(struct ingest *ingest, size_t i, int64_t tick_ms)
{
    struct intake *intake = worker_intake(ingest->workers[i]);
    intake_settle(intake, ingest->parts.registry, tick_ms, !ingest->flush_failed);
    intake_fold(intake, ingest->parts.registry);
}

/* Writer thread. */
static int run_flush(void *arg, struct store_batch *batch, struct error *err)
{
    const struct tick *tick = arg;
    struct ingest *ingest = tick->ingest;
    (void)err;
    note_lateness(clock_now_ms() - tick->time_ms);
    for (size_t i = 0; i < ingest->worker_count; i++)
        fold_worker(ingest, i, tick->time_ms);
    if (ingest->parts.on_tick)
        ingest->parts.on_tick(ingest->parts.arg, ingest->parts.registry);
    if (ingest->flush_failed)
        registry_flush_failed(ingest->parts.registry);
    registry_flush(ingest->parts.registry, batch, tick->time_ms);
    return 0;
}

/* Samples with a time of their own change what is stored, so they come after the tick. */
struct dated_write {
    struct registry *registry;
    bool last;
    bool stored;
};

/* Writer thread. */
static int run_dated(void *arg, struct store_batch *batch, struct error *err)
{
    const struct dated_write *write = arg;
    (void)err;
    registry_dated_write(write->registry, batch, write->last);
    return 0;
}

/* Writer thread. */
static int run_dated_done(void *arg, struct error *err)
{
    const struct dated_write *write = arg;
    (void)err;
    registry_dated_done(write->registry, write->stored);
    return 0;
}

static void commit_dated(struct ingest *ingest, bool last)
{
    struct dated_write write = {ingest->parts.registry, last, false};
    struct error err = {0};
    write.stored = writer_call(ingest->parts.writer, true, run_dated, &write, &err) == 0;
    if (writer_tidy(ingest->parts.writer, run_dated_done, &write, &err) != 0 || !write.stored)
        log_error("dated", "error=\"%s\"", err.text);
}

static void commit_tick(struct ingest *ingest, int64_t time_ms)
{
    struct tick tick = {ingest, time_ms};
    struct error err = {0};
    int64_t start = clock_monotonic_ns();
    ingest->last_tick_ms = time_ms;
    ingest->flush_failed = writer_call(ingest->parts.writer, true, run_flush, &tick, &err) != 0;
    if (ingest->flush_failed) {
        metric_add(&flush_metrics[FLUSH_FAILURES], 1);
        log_error("flush", "error=\"%s\"", err.text);
    } else {
        metric_add(&flush_metrics[FLUSH_TICKS], 1);
        metric_add(&flush_metrics[FLUSH_SECONDS], clock_monotonic_ns() - start);
        commit_dated(ingest, false);
    }
    /* Also after a failed flush: dropping what is past retention may be what makes room again. */
    if (writer_maintain(ingest->parts.writer, time_ms, &err))
        log_error("maintain", "error=\"%s\"", err.text);
}

static void swap_workers(struct ingest *ingest)
{
    int64_t deadline = clock_monotonic_ns() + (int64_t)LAG_MS * 1000000;
    while (queue_try_pop(ingest->replies))
        continue; /* late answers to the tick before */
    for (size_t i = 0; i < ingest->worker_count; i++)
        worker_request_swap(ingest->workers[i]);
    for (size_t answered = 0; answered < ingest->worker_count; answered++) {
        int64_t left_ms = (deadline - clock_monotonic_ns()) / 1000000;
        if (left_ms > 0 && queue_pop_timeout(ingest->replies, left_ms))
            continue;
        metric_add(&flush_metrics[FLUSH_LAGGARDS], (int64_t)(ingest->worker_count - answered));
        return;
    }
}

/* False when the ingest closes instead. */
static bool wait_until(struct ingest *ingest, int64_t time_ms)
{
    while (!queue_is_closed(ingest->control)) {
        int64_t left_ms = time_ms - clock_now_ms();
        if (left_ms <= 0)
            return true;
        queue_pop_timeout(ingest->control, left_ms < WAIT_STEP_MS ? left_ms : WAIT_STEP_MS);
    }
    return false;
}

static void *flusher_main(void *arg)
{
    struct ingest *ingest = arg;
    int64_t interval_ms = ingest->parts.config->statsd.flush_interval_ms;
    for (;;) {
        int64_t now_ms = clock_now_ms();
        int64_t from_ms = now_ms > ingest->last_tick_ms ? now_ms : ingest->last_tick_ms;
        int64_t next_ms = (from_ms / interval_ms + 1) * interval_ms;
        if (ingest->last_tick_ms)
            metric_add(&flush_metrics[FLUSH_SKIPPED],
                       (next_ms - ingest->last_tick_ms) / interval_ms - 1);
        if (!wait_until(ingest, next_ms))
            return NULL;
        swap_workers(ingest);
        commit_tick(ingest, next_ms);
    }
}

/* --- opening --- */

/* A socket of worker `index`; the first settles the port, the others join it. */
static int open_socket(const char *address, int type, int first_fd, int *fd, struct error *err)
{
    if (!*address)
        return 0;
    return first_fd < 0 ? socket_open(address, type, fd, err)
                        : socket_open_again(first_fd, type, fd, err);
}

static int open_sockets(const struct config *config, const struct worker_options *first,
                        struct worker_options *out, struct error *err)
{
    int *fds = out->fds;
    if (open_socket(config->statsd.udp, SOCK_DGRAM, first->fds[WORKER_UDP], &fds[WORKER_UDP], err))
        return error_wrap(err, "statsd.udp");
    if (fds[WORKER_UDP] >= 0)
        udp_set_receive_buffer(fds[WORKER_UDP], config->statsd.receive_buffer_bytes);
    if (open_socket(config->statsd.tcp, SOCK_STREAM, first->fds[WORKER_TCP], &fds[WORKER_TCP], err))
        return error_wrap(err, "statsd.tcp");
    if (out->index > 0)
        return 0;
    if (*config->statsd.unix_path &&
        socket_open_unix(config->statsd.unix_path, SOCK_DGRAM, &fds[WORKER_UNIX], err))
        return error_wrap(err, "statsd.unix");
    if (*config->statsd.unix_stream_path &&
        socket_open_unix(config->statsd.unix_stream_path, SOCK_STREAM, &fds[WORKER_UNIX_STREAM],
                         err))
        return error_wrap(err, "statsd.unix_stream");
    return 0;
}

/* What each listener takes. */
static void set_profiles(const struct config *config, struct statsd_profile *out)
{
    const int64_t chosen[WORKER_TRANSPORT_COUNT] = {
        [WORKER_UDP] = config->statsd.udp_profile,
        [WORKER_TCP] = config->statsd.tcp_profile,
        [WORKER_UNIX] = config->statsd.unix_profile,
        [WORKER_UNIX_STREAM] = config->statsd.unix_profile,
    };
    for (int i = 0; i < WORKER_TRANSPORT_COUNT; i++) {
        int64_t dialect = chosen[i] == PROFILE_DEFAULT ? config->statsd.profile : chosen[i] - 1;
        out[i] = statsd_profiles[dialect];
        if (config->statsd.gauge_sign == GAUGE_SIGN_DELTA)
            out[i].takes |= STATSD_TAKES_DELTAS;
        if (config->statsd.gauge_sign == GAUGE_SIGN_ABSOLUTE)
            out[i].takes &= ~(unsigned)STATSD_TAKES_DELTAS;
    }
}

static size_t worker_count(const struct config *config)
{
    int64_t wanted = config->statsd.workers;
    if (!*config->statsd.udp && !*config->statsd.tcp && !*config->statsd.unix_path &&
        !*config->statsd.unix_stream_path)
        return 0;
    if (wanted <= 0)
        wanted = sysconf(_SC_NPROCESSORS_ONLN);
    return wanted < 1 ? 1 : wanted > WORKERS_MAX ? WORKERS_MAX : (size_t)wanted;
}

static void close_sockets(const struct worker_options *options)
{
    for (size_t i = 0; i < WORKER_TRANSPORT_COUNT; i++)
        if (options->fds[i] >= 0)
            close(options->fds[i]);
}

static int open_workers(struct ingest *ingest, struct error *err)
{
    const struct config *config = ingest->parts.config;
    struct worker_options options[WORKERS_MAX];
    size_t count = worker_count(config), opened = 0;
    int status = 0;
    set_profiles(config, ingest->profiles);
    ingest->replies = queue_new(2 * WORKERS_MAX, NULL, NULL);
    worker_register(count);
    for (; opened < count && status == 0; opened++) {
        options[opened] = (struct worker_options){
            .fds = {-1, -1, -1, -1},
            .connection_max = config->statsd.connection_max,
            .intake = {.entries_max = (size_t)config->limits.series,
                       .key_bytes_max = KEY_BYTES_MAX,
                       .sketch_bytes_max = SKETCH_BYTES_MAX},
            .rulebook = ingest->rulebook,
            .writer = ingest->parts.writer,
            .registry = ingest->parts.registry,
            .retention_logs_ms = config->retention.logs_ms,
            .taps = ingest->taps,
            .replies = ingest->replies,
            .index = (unsigned)opened,
        };
        memcpy(options[opened].profiles, ingest->profiles, sizeof ingest->profiles);
        status = open_sockets(config, &options[0], &options[opened], err);
    }
    if (count && !status) {
        ingest->udp_port = socket_port(options[0].fds[WORKER_UDP]);
        ingest->tcp_port = socket_port(options[0].fds[WORKER_TCP]);
    }
    for (size_t i = 0; i < opened; i++) {
        if (status)
            close_sockets(&options[i]);
        else
            ingest->workers[ingest->worker_count++] = worker_start(&options[i]);
    }
    return status;
}

/* --- the mapping file --- */

int ingest_read_mapping(const struct config *config, struct mapping **out, struct error *err)
{
    return rulebook_read(config->statsd.mapping_file, out, err);
}

void ingest_replace_mapping(struct ingest *ingest, const struct config *config,
                            struct mapping *owned)
{
    rulebook_replace(ingest->rulebook, config->statsd.mapping_file, owned);
}

int ingest_open(const struct ingest_parts *parts, struct ingest **out, struct error *err)
{
    metric_register(flush_metrics, FLUSH_METRIC_COUNT);
    struct mapping *mapping;
    if (ingest_read_mapping(parts->config, &mapping, err))
        return -1;
    struct ingest *ingest = alloc_zeroed(1, sizeof *ingest);
    ingest->parts = *parts;
    ingest->rulebook = rulebook_new();
    ingest_replace_mapping(ingest, parts->config, mapping);
    ingest->udp_port = ingest->tcp_port = -1;
    ingest->taps = taps_new();
    if (open_workers(ingest, err)) {
        taps_free(ingest->taps);
        queue_free(ingest->replies);
        rulebook_free(ingest->rulebook);
        free(ingest);
        return -1;
    }
    ingest->control = queue_new(1, NULL, NULL);
    if (pthread_create(&ingest->flusher, NULL, flusher_main, ingest))
        abort();
    pthread_setname_np(ingest->flusher, "flusher");
    *out = ingest;
    return 0;
}

int ingest_udp_port(const struct ingest *ingest)
{
    return ingest->udp_port;
}

int ingest_tcp_port(const struct ingest *ingest)
{
    return ingest->tcp_port;
}

struct account *ingest_account(const struct ingest *ingest, size_t worker)
{
    return worker < ingest->worker_count ? worker_account(ingest->workers[worker]) : NULL;
}

const struct statsd_profile *ingest_profile(const struct ingest *ingest, int transport)
{
    const struct config *config = ingest->parts.config;
    const char *const addresses[WORKER_TRANSPORT_COUNT] = {
        [WORKER_UDP] = config->statsd.udp,
        [WORKER_TCP] = config->statsd.tcp,
        [WORKER_UNIX] = config->statsd.unix_path,
        [WORKER_UNIX_STREAM] = config->statsd.unix_stream_path,
    };
    return *addresses[transport] ? &ingest->profiles[transport] : NULL;
}

struct taps *ingest_taps(const struct ingest *ingest)
{
    return ingest->taps;
}

struct mapping *ingest_mapping(const struct ingest *ingest)
{
    return rulebook_hold(ingest->rulebook);
}

/* --- closing --- */

/* Writer thread: what was handed over and not yet folded, then what came after it. */
static int run_last_flush(void *arg, struct store_batch *batch, struct error *err)
{
    const struct tick *tick = arg;
    struct ingest *ingest = tick->ingest;
    for (size_t i = 0; i < ingest->worker_count; i++) {
        fold_worker(ingest, i, tick->time_ms);
        intake_swap(worker_intake(ingest->workers[i]));
    }
    return run_flush(arg, batch, err);
}

void ingest_close(struct ingest *ingest)
{
    if (!ingest)
        return;
    queue_close(ingest->control);
    pthread_join(ingest->flusher, NULL);
    for (size_t i = 0; i < ingest->worker_count; i++)
        worker_request_stop(ingest->workers[i]);
    for (size_t i = 0; i < ingest->worker_count; i++)
        worker_join(ingest->workers[i]);
    int64_t now_ms = clock_now_ms();
    struct tick tick = {ingest, now_ms > ingest->last_tick_ms ? now_ms : ingest->last_tick_ms + 1};
    struct error err = {0};
    if (writer_call(ingest->parts.writer, true, run_last_flush, &tick, &err)) {
        metric_add(&flush_metrics[FLUSH_FAILURES], 1);
        log_error("flush", "at=close error=\"%s\"", err.text);
    } else {
        commit_dated(ingest, true);
    }
    for (size_t i = 0; i < ingest->worker_count; i++)
        worker_free(ingest->workers[i]);
    if (*ingest->parts.config->statsd.unix_path && ingest->worker_count)
        unlink(ingest->parts.config->statsd.unix_path);
    if (*ingest->parts.config->statsd.unix_stream_path && ingest->worker_count)
        unlink(ingest->parts.config->statsd.unix_stream_path);
    taps_free(ingest->taps);
    queue_free(ingest->replies);
    queue_free(ingest->control);
    rulebook_free(ingest->rulebook);
    free(ingest);
}
