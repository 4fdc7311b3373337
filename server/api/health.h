/* health: is the server alive, ready, and well; and /metrics. One file for all the spellings that
 * load balancers, Prometheus and the applications' own dashboards use.
 *
 *   GET /-/healthy, /-/ready                 Prometheus' texts; ready: 503 when starting or stopping
 *   GET /api/health                          {"status":"healthy","uptime":ms,"uptime_human":...}
 *   GET /api/health/db                       {"status":...,"latency":ms,"connected":true}
 *   GET /api/monitoring/health/{live,ready,detailed}
 *   GET /metrics, /api/health/metrics, /api/monitoring/metrics   Prometheus text
 *
 * status is healthy, degraded (works, but something needs a person) or down (503); for the latter two
 * /api/health has a "message" and detailed a message a check, and "damage", what is damaged.
 */
#ifndef SERVER_API_HEALTH_H
#define SERVER_API_HEALTH_H

#include <stdatomic.h>

#include "server/net/http.h"
#include "server/stats.h"

enum health_phase { HEALTH_STARTING, HEALTH_READY, HEALTH_STOPPING };

/* The context of the routes. */
struct health_api {
    struct store *store;
    struct stats *stats;
    int64_t start_ns;  /* clock_monotonic_ns at start */
    _Atomic int phase; /* enum health_phase; set by the main thread */
};

extern const struct http_route health_routes[];
extern const size_t health_route_count;

#endif
