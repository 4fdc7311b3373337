/* active: the queries that run at this moment, to be looked at and ended, and a word in the log
 * about the slow ones.
 *
 *   GET    /api/v1/status/active_queries       what runs, for how long, for whom
 *   DELETE /api/v1/status/active_queries/{id}  ends it: its client gets "canceled"
 *
 * Any thread. One mutex guards the list; an entry lives on the stack of the thread that runs the
 * query.
 */
#ifndef SERVER_API_ACTIVE_H
#define SERVER_API_ACTIVE_H

#include <pthread.h>

#include "server/net/http.h"

struct active_query {
    const char *language; /* "promql" or "logql" */
    struct slice text;
    const struct http_request *request;
    int64_t start_ms, end_ms, step_ms; /* of the range; step 0 = instant */
    /* Private. */
    uint64_t id;
    int64_t began_ms, began_ns;
    struct active_query *next;
};

struct active_queries {
    pthread_mutex_t mutex;
    struct active_query *first;
    uint64_t last_id;
    int64_t slow_ms; /* longer ones are logged; 0 = none */
};

void active_init(struct active_queries *active, int64_t slow_ms);
void active_release(struct active_queries *active);
/* The query stays where it is until active_end. */
void active_begin(struct active_queries *active, struct active_query *query);
/* `failed`: the error's text, or NULL. */
void active_end(struct active_queries *active, struct active_query *query, const char *failed);

extern const struct http_route active_routes[];
extern const size_t active_route_count;

#endif
