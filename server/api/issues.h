/* issues (api): what was grouped, as JSON.
 *
 *   GET /api/issues?project=&level=&status=&query=&limit=   {"issues":[...]}, seen last first
 *   GET /api/issues/{id}                                    the issue, with its "latest_event"
 *   GET /api/issues/{id}/events?limit=                      {"events":[...]}, newest first
 *
 * Handlers run on any query worker.
 */
#ifndef SERVER_API_ISSUES_H
#define SERVER_API_ISSUES_H

#include "server/ingest/issue.h"
#include "server/net/http.h"

/* The context of the routes is struct issues. */
extern const struct http_route issues_routes[];
extern const size_t issues_route_count;

#endif
