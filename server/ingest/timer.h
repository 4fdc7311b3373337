/* timer: a histogram, and the observations that wait for their buckets.
 *
 * Where there are many timers, all that an observation touches has left the nearer caches. So it
 * touches one line, and only settling the other:
 *
 *   [ weight waiting index[11] | count sum min max ][ schema ... buckets* ]
 *     ^------------------- one line -------------^    ^---- one line ---^
 *
 * The totals are kept at once, the buckets' indexes wait beside them, and go in together.
 * Owned like a histogram; one thread at a time.
 */
#ifndef SERVER_INGEST_TIMER_H
#define SERVER_INGEST_TIMER_H

#include "storage/base/slabs.h"
#include "storage/histogram.h"

#define TIMER_WAITING_MAX 11
#define TIMER_LINE        64 /* bytes */

struct timer {
    _Alignas(TIMER_LINE) double weight; /* of each that waits */
    uint16_t waiting;
    int16_t indexes[TIMER_WAITING_MAX];
    struct histogram histogram; /* its totals are those of all, its buckets lack what waits */
};
_Static_assert(offsetof(struct timer, histogram) + offsetof(struct histogram, schema) == TIMER_LINE,
               "the totals end the first line");
_Static_assert(sizeof(struct timer) == 2 * TIMER_LINE, "what settling needs is the second");

/* Timers lie side by side in slabs: one on a page of its own would miss the page tables' cache, too. */
struct timer *timer_new(struct slabs *slabs);
void timer_free(struct slabs *slabs, struct timer *timer);
/* Heap bytes held, its own included. */
size_t timer_bytes(const struct timer *timer);
/* Whether the next one that waits has to settle first. */
static inline bool timer_is_full(const struct timer *timer)
{
    return timer->waiting == TIMER_WAITING_MAX;
}
/* One finite value of weight > 0. Returns by how many bytes it grew. */
size_t timer_add(struct timer *timer, double value, double weight);
/* Puts what waits into its buckets: then the histogram is whole. Returns the growth, too. */
size_t timer_settle(struct timer *timer);

#endif
