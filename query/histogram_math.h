/* histogram_math: what queries do with histograms: subtract, scale, take quantiles.
 *
 * Pure; results live in the arena (NULL once it is exhausted), const arguments stay as they are.
 */
#ifndef QUERY_HISTOGRAM_MATH_H
#define QUERY_HISTOGRAM_MATH_H

#include "storage/histogram.h"

/* a + sign * b at the coarser schema; buckets that come out empty are left out. min and max
 * combine when sign > 0 and are unknown (NaN) otherwise. */
struct histogram *histogram_combine(struct arena *arena, const struct histogram *a,
                                    const struct histogram *b, double sign);
/* Every count and the sum times `factor`; min and max become unknown. In place, and as a copy. */
void histogram_multiply(struct histogram *histogram, double factor);
struct histogram *histogram_scale(struct arena *arena, const struct histogram *histogram,
                                  double factor);
/* Every count and the sum divided; by zero nothing but infinities and NaN are left. A copy. */
struct histogram *histogram_quotient(struct arena *arena, const struct histogram *histogram,
                                     double divisor);
/* What was observed below the limit (or above it), interpolated as quantiles are; the sum is then
 * estimated from the middles of the buckets, unless nothing was cut off. */
struct histogram *histogram_trim(struct arena *arena, const struct histogram *histogram,
                                 double limit, bool below);
/* What every quantile answers when q is not in 0..1: NaN, -Inf or +Inf. */
double quantile_out_of_range(double q);
/* Interpolates as Prometheus 3 does: linearly in the zero bucket, exponentially elsewhere. NaN for
 * an empty histogram. Within one bucket width of the exact value. */
double histogram_quantile(double q, const struct histogram *histogram);
/* The share of observations in (lower, upper], interpolated likewise. */
double histogram_fraction(double lower, double upper, const struct histogram *histogram);

#endif
