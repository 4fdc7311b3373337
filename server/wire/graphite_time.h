/* graphite_time: the times of Graphite's render API: from=-1h, until=now, midnight-1d, 1656581400,
 * 09:30_20220630.
 *
 * Pure; any thread. Source: "from / until" in Graphite's documentation; times of day are UTC.
 */
#ifndef SERVER_WIRE_GRAPHITE_TIME_H
#define SERVER_WIRE_GRAPHITE_TIME_H

#include "storage/base/slice.h"

/* False for what is no time. */
MUST_USE bool graphite_time(struct slice text, int64_t now_ms, int64_t *out_ms);

#endif
