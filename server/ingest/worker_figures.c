/* worker_figures: the table; rows are added up over all workers but those of the kernel's drops. */
#include "server/ingest/worker_figures.h"

#include <stdio.h>

#define REJECT_ROW(reject, text)                                                                   \
    [WORKER_REJECTS + (reject)] = {.name = "lapwing_statsd_rejects_total",                         \
                                   .labels = "reason=\"" text "\"",                                \
                                   .help = "Lines refused."}
#define IGNORED_ROW(ignored, text)                                                                 \
    [WORKER_IGNORED + (ignored)] = {.name = "lapwing_statsd_ignored_fields_total",                 \
                                    .labels = "field=\"" text "\"",                                \
                                    .help = "Metrics with a field that is not kept."}

struct metric worker_metrics[WORKER_METRIC_COUNT] = {
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
    [WORKER_LAST_MESSAGE] = {.name = "lapwing_statsd_last_message_timestamp_seconds",
                             .kind = METRIC_GAUGE,
                             .help = "When something came last, since 1970; 0 = never.",
                             .scale = 1e-3},
    [WORKER_PACKETS_UDP] = {.name = "lapwing_statsd_packets_total",
                            .labels = "transport=\"udp\"",
                            .help = "Datagrams received."},
    [WORKER_PACKETS_UNIX] = {.name = "lapwing_statsd_packets_total",
                             .labels = "transport=\"unix\"",
                             .help = "Datagrams received."},
    [WORKER_TRUNCATED] = {.name = "lapwing_statsd_truncated_total",
                          .help = "Datagrams dropped because they were larger than the buffer."},
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

struct metric worker_drop_metrics[WORKERS_MAX];
static char drop_labels[WORKERS_MAX][48];

void worker_register(size_t count)
{
    for (size_t i = 0; i < count; i++) {
        snprintf(drop_labels[i], sizeof drop_labels[i], "transport=\"udp\",worker=\"%zu\"", i);
        worker_drop_metrics[i].name = "lapwing_statsd_kernel_drops_total";
        worker_drop_metrics[i].labels = drop_labels[i];
        worker_drop_metrics[i].help = "Datagrams the kernel dropped at our sockets.";
    }
    metric_register(worker_metrics, WORKER_METRIC_COUNT);
    metric_register(worker_drop_metrics, count);
}
