/* loki: Loki's HTTP query API, for Grafana's Loki data source, logcli and our own command line.
 *
 * Handlers run on the HTTP workers and only read the store. Errors are plain text, as Loki's are.
 * Source: grafana.com/docs/loki/latest/reference/loki-http-api.
 */
#ifndef SERVER_API_LOKI_H
#define SERVER_API_LOKI_H

#include "server/api/active.h"
#include "server/config.h"
#include "server/net/http.h"
#include "storage/store.h"

/* The context of the routes. */
struct loki_api {
    struct store *store;
    struct active_queries *active;
    struct promql_pool *memory;  /* of all running queries */
    const struct config *config; /* limits.query_* */
};

extern const struct http_route loki_routes[];
extern const size_t loki_route_count;

#endif
