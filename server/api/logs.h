/* logs: POST /api/logs, JSON log records over HTTP.
 *
 * The body is one JSON object, a list of objects, or one object a line. A bad record drops only
 * itself. The answer, {"accepted":2,"rejected":1,"errors":[{"line":3,"error":"..."}]}, comes after
 * the records are durable: 200 when any was accepted or there were none, 400 when all were refused.
 * Handlers run on HTTP workers.
 */
#ifndef SERVER_API_LOGS_H
#define SERVER_API_LOGS_H

#include "server/net/http.h"
#include "server/writer.h"

/* The context of the routes. */
struct logs_api {
    struct writer *writer;
    int64_t line_max;     /* bytes */
    int64_t retention_ms; /* older records are refused; 0 = none */
};

extern const struct http_route logs_routes[];
extern const size_t logs_route_count;

#endif
