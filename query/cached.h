/* cached: range queries through the results cache: what is there and still right is taken, the steps
 * before and after it are computed, and the answer is the same as without a cache.
 *
 * A step at time t reads nothing later than t (less offsets), so a cached step stays right as long as
 * nothing was written, deleted or dropped at or before what it read: the store knows the earliest time
 * that any change since then touched. Live data touches the newest steps only; a backfill of any age is
 * seen at once. Any thread.
 */
#ifndef QUERY_CACHED_H
#define QUERY_CACHED_H

#include "query/cache.h"

/* As promql_run. Instant queries, and those whose steps depend on where the range begins or ends
 * (@ start(), @ end()), do not use the cache; nor does a request without a cache. Kept is what was
 * answered whole and without warnings. */
MUST_USE int cached_run(struct store *store, const struct promql_request *request,
                        struct arena *arena, struct promql_result *out, struct error *err);

#endif
