/* remote_read: Prometheus' remote read: the queries of a request, the series of an answer.
 *
 * Answers are of the plain kind (samples, not streamed chunks), which every reader takes. Pure; any
 * thread. Source: Prometheus' prompb/remote.proto and prompb/types.proto.
 */
#ifndef SERVER_WIRE_REMOTE_READ_H
#define SERVER_WIRE_REMOTE_READ_H

#include "storage/store.h"

#define REMOTE_QUERIES_MAX  64
#define REMOTE_MATCHERS_MAX 64 /* in one query */

struct remote_queries {
    struct store_query at[REMOTE_QUERIES_MAX];
    size_t count;
};

/* Matchers live in the arena, their texts in the body. Release also after a failure, which is
 * ERROR_BAD_DATA with a sentence, or ERROR_LIMIT. */
MUST_USE int remote_read_parse(struct slice body, struct arena *arena, struct remote_queries *out,
                               struct error *err);
void remote_queries_release(struct remote_queries *queries);

/* Appends a TimeSeries field to the message of a query's result. `scratch` is emptied. */
void remote_put_series(struct buffer *out, struct buffer *scratch, struct labels labels,
                       const struct store_column *column);

#endif
