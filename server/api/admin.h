/* admin: what an operator asks of the store, over HTTP.
 *
 *   POST /api/v1/admin/tsdb/compact     seals, applies retention, rewrites the tables; answers when done
 *
 * Handlers run on the HTTP workers and may take minutes; one of each kind at a time.
 */
#ifndef SERVER_API_ADMIN_H
#define SERVER_API_ADMIN_H

#include <stdatomic.h>

#include "server/net/http.h"
#include "server/writer.h"

/* The context of the routes. */
struct admin_api {
    struct store *store;
    struct writer *writer;
    _Atomic bool busy; /* with one of them */
};

extern const struct http_route admin_routes[];
extern const size_t admin_route_count;

#endif
