/* worker_figures: what the ingest workers count. Nobody else includes it. */
#ifndef SERVER_INGEST_WORKER_FIGURES_H
#define SERVER_INGEST_WORKER_FIGURES_H

#include "server/ingest/worker.h"
#include "server/net/tcp.h"
#include "storage/base/metric.h"

enum {
    WORKER_CONNECTIONS, /* TCP_METRIC_COUNT rows */
    WORKER_LAST_MESSAGE = WORKER_CONNECTIONS + TCP_METRIC_COUNT,
    WORKER_PACKETS_UDP, /* this one and those below are counted in tallies */
    WORKER_PACKETS_UNIX,
    WORKER_TRUNCATED,
    WORKER_METRICS,
    WORKER_EVENTS,
    WORKER_CHECKS,
    WORKER_IGNORED,                                         /* STATSD_IGNORED_COUNT rows */
    WORKER_REJECTS = WORKER_IGNORED + STATSD_IGNORED_COUNT, /* STATSD_REJECT_COUNT rows */
    WORKER_METRIC_COUNT = WORKER_REJECTS + STATSD_REJECT_COUNT,
};

extern struct metric worker_metrics[WORKER_METRIC_COUNT];
/* A row a UDP socket, so that a sender that fills one of them shows. Those of unix sockets lose
 * nothing: their senders wait, or are told. */
extern struct metric worker_drop_metrics[WORKERS_MAX];

#endif
