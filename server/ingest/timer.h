/* timer: a histogram, and the observations that wait for their buckets.
 *
 * Finding a bucket costs a cache miss or two where there are many timers. So only the totals are
 * kept at once; the buckets' indexes wait beside them, and go in together.
 * Owned like a histogram; one thread at a time.
 */
#ifndef SERVER_INGEST_TIMER_H
#define SERVER_INGEST_TIMER_H

#include "storage/histogram.h"

#define TIMER_WAITING_MAX 19 /* so that a timer takes three cache lines */

struct timer {
    double weight; /* of each that waits */
    uint32_t waiting;
    int32_t indexes[TIMER_WAITING_MAX];
    struct histogram histogram; /* its totals are those of all, its buckets lack what waits */
};

struct timer *timer_new(void);
void timer_free(struct timer *timer);
/* Heap bytes held, its own included. */
size_t timer_bytes(const struct timer *timer);
/* One finite value of weight > 0. Returns by how many bytes it grew. */
size_t timer_add(struct timer *timer, double value, double weight);
/* Puts what waits into its buckets: then the histogram is whole. Returns the growth, too. */
size_t timer_settle(struct timer *timer);

#endif
