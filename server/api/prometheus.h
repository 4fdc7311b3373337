/* prometheus: the HTTP API that Grafana, promtool and Prometheus' client libraries speak.
 *
 * Handlers run on the HTTP workers; all but the deletions only read the store. /api/v1/rules and /api/v1/alerts belong
 * to server/api/alerts.h. Source: prometheus.io/docs/prometheus/latest/querying/api, and the
 * answers of Debian's Prometheus where the text is silent.
 */
#ifndef SERVER_API_PROMETHEUS_H
#define SERVER_API_PROMETHEUS_H

#include "query/cache.h"
#include "server/api/active.h"
#include "server/config.h"
#include "server/net/http.h"
#include "server/writer.h"
#include "storage/store.h"

/* The context of the routes. Immutable while they are served. */
struct prometheus_api {
    struct store *store;
    struct writer *writer; /* for deletions */
    struct active_queries *active;
    struct fan *fan;             /* helps with queries */
    struct promql_pool *memory;  /* of all running queries */
    struct result_cache *cache;  /* of queries; NULL: none */
    const struct config *config; /* limits.query_*, and what status/config shows */
    int64_t start_ms;            /* when the server started */
};

extern const struct http_route prometheus_routes[];
extern const size_t prometheus_route_count;

#endif
