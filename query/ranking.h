/* ranking: the quantiles of a window that moves on over one series.
 *
 * Every sample enters once and leaves once, at a few nanoseconds each; asking for a quantile costs
 * about as much. What has to be paid first is sorting the series. Memory is the arena's. One thread.
 */
#ifndef QUERY_RANKING_H
#define QUERY_RANKING_H

#include "storage/base/arena.h"

/* Between the values at both sides of a rank. Never -0: the order of two zeros is left open. */
static inline double quantile_between(double lower, double upper, double weight)
{
    return lower * (1 - weight) + upper * weight + 0.0;
}

struct ranking {
    const double *sorted;  /* the values of the series; NaN first */
    const uint32_t *place; /* of each sample among them */
    uint64_t *present;     /* bit i: the value at place i is in the window */
    size_t first, end;     /* the samples that are */
    size_t word;           /* a cursor on `present` */
    size_t below;          /* how many are before that word */
};

/* An empty window over the series. False when memory is out. */
MUST_USE bool ranking_make(struct arena *arena, const double *values, size_t count,
                           struct ranking *out);
/* Makes the window samples first .. end - 1. Neither may go back. */
void ranking_move(struct ranking *ranking, size_t first, size_t end);
/* As quantile_of: the same bits. The window is not empty, 0 <= q <= 1. */
double ranking_quantile(struct ranking *ranking, double q);
/* The values of the window in order, NaN first: end - first of them. */
void ranking_values(const struct ranking *ranking, double *out);

#endif
