/* api/alerts: rules and alerts over HTTP.
 *
 *   GET /api/v1/rules              Prometheus' JSON; type=, rule_name[]=, rule_group[]=, file[]=,
 *                                  exclude_alerts=
 *   GET /api/v1/alerts             Prometheus' JSON: what is pending or firing
 *   GET /api/monitoring/alerts     the same as a flat list with severity and state
 *
 * The context of the routes is struct alerts. Thread: query workers.
 */
#ifndef SERVER_API_ALERTS_H
#define SERVER_API_ALERTS_H

#include "server/net/http.h"

extern const struct http_route alert_routes[];
extern const size_t alert_route_count;

#endif
