/* feed: readings that bring their own time, from lines over UDP and TCP, on a thread of its own.
 *
 * What a line means is the format's matter (server/ingest/graphite.c, influx.c). Readings become
 * batches, batches writer jobs; they are written at their own times and, other than statsd's gauges,
 * not repeated at ticks. Only a few batches exist: while all of them wait for the writer the thread
 * stops reading, and the senders' kernels hold the rest. Nothing is answered; what is not stored is
 * counted by reason.
 */
#ifndef SERVER_INGEST_FEED_H
#define SERVER_INGEST_FEED_H

#include "server/ingest/refusal.h"
#include "server/net/tcp.h"
#include "server/wire/timed.h"
#include "server/writer.h"

struct feed;

/* Rows of a format's metric table, in this order; behind them those of its rejects. */
enum feed_metric {
    FEED_CONNECTIONS, /* TCP_METRIC_COUNT rows */
    FEED_PACKETS = FEED_CONNECTIONS + TCP_METRIC_COUNT,
    FEED_TRUNCATED,
    FEED_KERNEL_DROPS,
    FEED_SAMPLES,
    FEED_UNSUPPORTED,
    FEED_PAST_RETENTION,
    FEED_SERIES_REFUSED,
    FEED_TYPE_CLASH,
    FEED_STORE_FAILED,
    FEED_REJECTS, /* one row a reject from here on */
};

#define FEED_DROPPED(prefix, row, reason)                                                          \
    [row] = {.name = "lapwing_" prefix "_dropped_total",                                           \
             .labels = "reason=\"" reason "\"",                                                    \
             .help = "Readings that were understood, but not stored."}
#define FEED_REJECTED(prefix, reject, reason)                                                      \
    [FEED_REJECTS + (reject)] = {.name = "lapwing_" prefix "_rejects_total",                       \
                                 .labels = "reason=\"" reason "\"",                                \
                                 .help = "Lines refused."}
/* The rows before the rejects. */
#define FEED_ROWS(prefix)                                                                          \
    [FEED_CONNECTIONS +                                                                            \
        TCP_OPEN] = {.name = "lapwing_" prefix "_connections",                                     \
                     .kind = METRIC_GAUGE,                                                         \
                     .help = "Open TCP connections."},                                             \
        [FEED_CONNECTIONS + TCP_ACCEPTED] = {.name = "lapwing_" prefix "_connections_total",       \
                                             .help = "TCP connections accepted."},                 \
        [FEED_CONNECTIONS +                                                                        \
            TCP_REFUSED] = {.name = "lapwing_" prefix "_connections_refused_total",                \
                            .help = "TCP connections refused at the limit."},                      \
        [FEED_CONNECTIONS +                                                                        \
            TCP_LINES_TOO_LONG] = {.name = "lapwing_" prefix "_lines_skipped_total",               \
                                   .help =                                                         \
                                       "TCP lines that were too long and never ended in time."},   \
        [FEED_PACKETS] = {.name = "lapwing_" prefix "_packets_total",                              \
                          .help = "Datagrams received."},                                          \
        [FEED_TRUNCATED] = {.name = "lapwing_" prefix "_truncated_total",                          \
                            .help = "Datagrams larger than the buffer, dropped."},                 \
        [FEED_KERNEL_DROPS] = {.name = "lapwing_" prefix "_kernel_drops_total",                    \
                               .help = "Datagrams the kernel dropped at our socket."},             \
        [FEED_SAMPLES] = {.name = "lapwing_" prefix "_samples_total", .help = "Readings stored."}, \
        [FEED_UNSUPPORTED] = {.name = "lapwing_" prefix "_unsupported_total",                      \
                              .help = "Values that are no numbers, left out."},                    \
        FEED_DROPPED(prefix, FEED_PAST_RETENTION, "past_retention"),                               \
        FEED_DROPPED(prefix, FEED_SERIES_REFUSED, "series_refused"),                               \
        FEED_DROPPED(prefix, FEED_TYPE_CLASH, "type_clash"),                                       \
        FEED_DROPPED(prefix, FEED_STORE_FAILED, "store_failed")

struct feed_format {
    const char *name; /* of the thread, and in errors of its options: NAME.tcp, NAME.udp */
    size_t line_max;
    struct metric *metrics;
    size_t metric_count;
    /* Cuts a line from *text and reads it, into memory of the arena; false when none is left.
     * *reject: 0, or which one. */
    bool (*read)(struct slice *text, struct arena *arena, struct slice *line,
                 struct timed_line *out, int *reject);
};
extern const struct feed_format feed_graphite, feed_influx;

/* Reasons for refusals are the format's rejects, and a line over TCP or a datagram that was too long. */
unsigned feed_reason_count(const struct feed_format *format);
/* As in the label of its rejects. */
struct slice feed_reason_name(const struct feed_format *format, unsigned reason);

struct feed_options {
    const struct feed_format *format;
    const char *udp, *tcp; /* addresses; "" = off */
    int64_t connection_max;
    struct refusals *refusals; /* gets those of the sockets; must outlive the feed */
};

/* NULL in *out when both addresses are "". The writer and the store must outlive it. */
MUST_USE int feed_open(const struct feed_options *options, struct store *store,
                       struct writer *writer, struct feed **out, struct error *err);
/* The ports in use; -1 for a listener that is off. */
int feed_udp_port(const struct feed *feed);
int feed_tcp_port(const struct feed *feed);
/* Stops listening, reads what the kernel still holds, waits until all of it is committed. NULL is
 * fine. */
void feed_close(struct feed *feed);

#endif
