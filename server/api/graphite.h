/* graphite: what Grafana's Graphite data source asks for, over the paths of query/view.h.
 *
 *   GET|POST /render?target=&from=&until=&maxDataPoints=   [{"target","tags","datapoints":[[v,t],..]},..]
 *   GET|POST /metrics/find?query=                          [{"text","id","leaf","expandable",..},..]
 *
 * Functions are absent but for constantLine, with which the data source is tested.
 */
#ifndef SERVER_API_GRAPHITE_H
#define SERVER_API_GRAPHITE_H

#include "server/net/http.h"

/* Their context is a struct prometheus_api. */
extern const struct http_route graphite_routes[];
extern const size_t graphite_route_count;

#endif
