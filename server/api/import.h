/* import: POST /api/v1/import and GET /api/v1/export, samples in and out.
 *
 * In: Prometheus text or OpenMetrics, with timestamps, or JSON lines (server/wire/jsonline.h), as
 * the Content-Type or the beginning of the body says. Written through the writer, durably before
 * the answer:
 *   {"status":"success","data":{"samples":3,"series":2,"past_retention":0,"refused_series":0,
 *                               "rejected":1,"reasons":{"bad_value":1},
 *                               "first_error":"line 4: ..."}}
 * A line of text without a timestamp is taken as now.
 *
 * Out: match[]=.., start=, end= (all of it without); the same JSON lines, a series in one or several,
 * in the order of time. What is exported and imported again is the same bit for bit.
 */
#ifndef SERVER_API_IMPORT_H
#define SERVER_API_IMPORT_H

#include "server/config.h"
#include "server/ingest/refusal.h"
#include "server/net/http.h"
#include "server/writer.h"

/* The context of the routes. Immutable while they are served. */
struct import_api {
    struct store *store;
    struct writer *writer;
    const struct config *config; /* limits.query_memory bounds one request */
    struct refusals *influx_refusals;
};

extern const struct http_route import_routes[];
extern const size_t import_route_count;

/* server/api/export.c */
void export_handle(const struct http_request *request, struct http_reply *reply);

/* Registers the self metrics, at start. Again is harmless. */
void import_init(void);

#endif
