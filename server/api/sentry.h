/* sentry (api): where Sentry SDKs deliver: POST /api/{project}/envelope/ and /store/.
 *
 * Errors are {"detail":"a sentence"}; success is {"id":"<32 hex>"} after a durable commit.
 * Handlers run on any query worker.
 */
#ifndef SERVER_API_SENTRY_H
#define SERVER_API_SENTRY_H

#include "server/ingest/issue.h"
#include "server/net/http.h"

/* issues must outlive the server. */
void sentry_add_routes(struct http_server *http, struct issues *issues);

#endif
