/* import: POST /api/v1/import, samples as Prometheus text or OpenMetrics, with timestamps.
 *
 * Handlers run on the HTTP workers and write through the writer, durably before the answer:
 *   {"status":"success","data":{"samples":3,"series":2,"out_of_order":0,"rejected":1,
 *                               "reasons":{"bad_value":1},"first_error":"line 4: ..."}}
 * A line without a timestamp is taken as now. Native histograms cannot be imported.
 */
#ifndef SERVER_API_IMPORT_H
#define SERVER_API_IMPORT_H

#include "server/config.h"
#include "server/net/http.h"
#include "server/writer.h"

/* The context of the routes. Immutable while they are served. */
struct import_api {
    struct store *store;
    struct writer *writer;
    const struct config *config; /* limits.query_memory bounds one request */
};

extern const struct http_route import_routes[];
extern const size_t import_route_count;

/* Registers the self metrics, at start. Again is harmless. */
void import_init(void);

#endif
