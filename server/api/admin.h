/* admin: what an operator asks of the store, over HTTP.
 *
 *   POST /api/v1/admin/tsdb/compact     seals, applies retention, rewrites the tables; answers when done
 *   POST /api/v1/admin/tsdb/snapshot    a backup in snapshots/NAME below the data directory
 *   POST /api/v1/admin/backup           {"dir":"/absolute"}: a backup there
 *   POST /api/v1/admin/check            reads every row and lists what is damaged
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
    const char *data_dir;
    struct writer *writer;
    _Atomic bool busy; /* with one of them */
};

extern const struct http_route admin_routes[];
extern const size_t admin_route_count;

#endif
