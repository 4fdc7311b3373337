/* cached: queries through the results cache: what is there and still right is taken, the steps
 * before and after it are computed, and the answer is the same as without a cache.
 *
 * A step at time t reads nothing later than t (less offsets), so a cached step stays right as long as
 * nothing was written, deleted or dropped at or before what it read: the store knows the earliest time
 * that any change since then touched. Live data touches the newest steps only; a backfill of any age is
 * seen at once. An instant query is one step, kept for that very time. Any thread.
 */
#ifndef QUERY_CACHED_H
#define QUERY_CACHED_H

#include "query/cache.h"

/* As promql_run. Ranges whose steps depend on where they begin or end (@ start(), @ end()), and instant
 * queries that answer samples, or read none, do not use the cache; nor does a request without a cache
 * or text. Kept is what was answered whole and without warnings. */
MUST_USE int cached_run(struct store *store, const struct promql_request *request,
                        struct arena *arena, struct promql_result *out, struct error *err);

/* The text that cached_keep_text was given for the same request (whose plan is not looked at), if nothing
 * it says may have changed since: appends it. */
MUST_USE bool cached_text(struct store *store, const struct promql_request *request,
                          struct buffer *out);
/* The same of a text of at most bytes_max, by a thread that must not wait: false, too, while the store or the
 * cache is changed. */
MUST_USE bool cached_text_at_once(struct store *store, const struct promql_request *request,
                                  size_t bytes_max, struct buffer *out);
/* Keeps what the result was printed as; only of a result that came from the cache as a whole, so nothing
 * is kept twice that is asked for once. */
void cached_keep_text(const struct promql_request *request, const struct promql_result *result,
                      struct slice text);

#endif
