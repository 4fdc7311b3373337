/* logql_render: a LogQL result as the JSON of Loki's HTTP API. Pure; any thread.
 *
 * resultType stands before result, because Grafana streams. Line times are strings of nanoseconds,
 * sample times seconds, sample values strings.
 */
#ifndef QUERY_LOGQL_RENDER_H
#define QUERY_LOGQL_RENDER_H

#include "query/logql_eval.h"

/* {"resultType":"streams","result":[...],"stats":{...}}. instant: vector and scalar instead of
 * matrix. took_ns is told in the statistics. */
void logql_render_data(const struct logql_result *result, bool instant, int64_t took_ns,
                       struct buffer *out);

#endif
