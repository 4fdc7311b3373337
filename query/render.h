/* render: a query's result as the JSON of Prometheus' HTTP API, byte for byte where clients care.
 *
 * resultType stands before result, because Grafana streams. Sample values are strings; times are
 * seconds, with three decimals unless whole. Pure; any thread.
 */
#ifndef QUERY_RENDER_H
#define QUERY_RENDER_H

#include "query/promql.h"
#include "storage/base/buffer.h"

/* {"resultType":"vector","result":[...]}, in pieces. */
struct render {
    const struct promql_result *result;
    int64_t time_ms; /* the evaluation time, shown beside a scalar or string */
    size_t limit;    /* at most so many series; 0 = all */
    /* Private; zero to begin with. */
    bool begun;
    size_t series, point, printed; /* where to go on */
    const int64_t *stamped;        /* the times that have been printed once for many series */
    struct render_stamp *stamps;
    size_t stamp_count;
};
/* Appends about `bytes`; false when that was the rest. Stops at once when the buffer overflows. */
bool render_some(struct render *render, size_t bytes, struct buffer *out);
void render_release(struct render *render);
/* All of it at once. */
void render_data(const struct promql_result *result, int64_t time_ms, size_t limit,
                 struct buffer *out);
/* {"count":"5","sum":"6.5","buckets":[[0,"0.9","1.1","5"]]}; the first number of a bucket says
 * which ends belong to it: 0 the upper, 1 the lower, 3 both. */
void render_histogram(const struct histogram *histogram, struct buffer *out);
/* 1700050000 or 1700050000.500 */
void render_time(int64_t time_ms, struct buffer *out);

#endif
