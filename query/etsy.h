/* etsy: the statistics that statsd makes of a timer's values, from the histogram of what came in a
 * window.
 *
 * The definitions are statsd's own (lib/process_metrics.js of version 0.9): of n values the n * P / 100
 * lowest, rounded, make mean_P, sum_P, count_P and upper_P; the highest ones mean_topP ... and
 * lower_topP. count, sum, mean, lower and upper are exact; a value within is known by its bucket, to
 * 0.55 %. Values weigh 1 / rate where they were sampled.
 * Pure; any thread.
 */
#ifndef QUERY_ETSY_H
#define QUERY_ETSY_H

#include "storage/histogram.h"

enum etsy_measure {
    ETSY_COUNT,
    ETSY_COUNT_PS,
    ETSY_LOWER,
    ETSY_UPPER,
    ETSY_MEAN,
    ETSY_MEDIAN,
    ETSY_STD,
    ETSY_SUM,
    ETSY_SUM_SQUARES,
    ETSY_MEASURE_COUNT,
};

struct etsy_statistic {
    enum etsy_measure measure;
    double percent; /* of all values: the lowest, below zero the highest; 0: all of them */
};

/* "mean", "upper_90", "sum_99_9", "lower_top10"; false for what statsd does not make. */
MUST_USE bool etsy_find(struct slice name, struct etsy_statistic *out);
/* What a wildcard stands for: all names without a percentage, and those of 90, 95 and 99. */
size_t etsy_names(const struct slice **out);
/* Of a window of so many seconds, whose histogram has min and max where they are known. NaN where there
 * is none: statsd then says nothing. */
double etsy_compute(const struct histogram *window, struct etsy_statistic statistic,
                    double seconds);

#endif
