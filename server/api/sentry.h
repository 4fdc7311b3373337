/* sentry (api): where Sentry SDKs deliver: POST /api/{project}/envelope/ and /store/.
 *
 * Errors are {"detail":"a sentence"}; success is {"id":"<32 hex>"} after a durable commit.
 * Handlers run on any query worker.
 */
#ifndef SERVER_API_SENTRY_H
#define SERVER_API_SENTRY_H

#include "server/ingest/issue.h"
#include "server/net/http.h"

/* The context of the routes is struct issues. */
extern const struct http_route sentry_routes[];
extern const size_t sentry_route_count;

/* Registers the self metrics, at start. Again is harmless. */
void sentry_init(void);

#endif
