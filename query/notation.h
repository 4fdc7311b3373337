/* notation: series and their samples in the notation of promtool's unit tests.
 *
 *   http_requests{job="api"}  0+10x100 _ _x5 stale 1 -2 NaN Inf 5-1x3 {{schema:3 sum:5 count:4 buckets:[1 2 1]}}+{{...}}x3
 *   ^------- series --------^ ^------------------------------- samples ---------------------------------------------^
 *
 * Tests of rules and tests of the query engine are written in it. Pure; any thread. Errors are
 * ERROR_BAD_DATA "line:column: parse error: ..." counted from the beginning of the text.
 */
#ifndef QUERY_NOTATION_H
#define QUERY_NOTATION_H

#include "storage/base/error.h"
#include "storage/histogram.h"
#include "storage/labels.h"

#define NOTATION_SAMPLES_MAX 1000000 /* of one text */
#define NOTATION_BUCKETS_MAX 1000    /* of one list */

enum notation_kind { NOTATION_GAP, NOTATION_NUMBER, NOTATION_HISTOGRAM };

struct notation_sample {
    enum notation_kind kind;
    double value; /* `stale` is stale_nan() */
    const struct histogram *histogram;
};

struct notation_samples {
    struct notation_sample *at;
    size_t count;
    size_t capacity;
};

/* Bytes of the series at the front of the text, spaces before it included; 0 = there is none. */
size_t notation_series_length(struct slice text);
/* `name{label="value",...}`, `{"name",label="value"}` or `{}`; sorted, in the arena (or the text). */
MUST_USE int notation_labels(struct slice text, struct arena *arena, struct labels *out,
                             struct error *err);
/* Samples with spaces between; all of it in the arena. */
MUST_USE int notation_samples(struct slice text, struct arena *arena, struct notation_samples *out,
                              struct error *err);
/* `{{schema:3 ...}}` with empty buckets at the ends left out: what two histograms are compared by. */
void notation_print_histogram(const struct histogram *histogram, struct buffer *out);

#endif
