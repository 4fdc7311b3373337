/* influx: InfluxDB's ways of writing line protocol over HTTP.
 *
 *   POST /write?db=&precision=            InfluxDB 1: errors are {"error":"..."}
 *   POST /api/v2/write?bucket=&precision= InfluxDB 2: {"code":"invalid","message":"...","line":3}
 *   GET  /ping                            204
 *   GET  /query?q=CREATE DATABASE ..      done: there is only one. Questions are PromQL's, elsewhere
 *
 * 204 is sent after the commit. Where lines are refused the others are stored, and the answer, 400, names
 * the first that was not and says how many were dropped. The database, or bucket, becomes a label.
 */
#ifndef SERVER_API_INFLUX_H
#define SERVER_API_INFLUX_H

#include "server/net/http.h"

/* Their context is a struct import_api. */
extern const struct http_route influx_routes[];
extern const size_t influx_route_count;

/* Registers the self metrics, at start. Again is harmless. */
void influx_init(void);

#endif
