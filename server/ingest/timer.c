/* timer: sampled observations have one weight most often, so those that wait share one; another weight
 * ends the waiting of those before it. Indexes wait at HISTOGRAM_SCHEMA, in 16 bits, and become coarser
 * when they go in. What is not above zero, or immense, does not wait.
 */
#include "server/ingest/timer.h"

#include <assert.h>
#include <stdint.h>

/* Slabs begin on a line, and what is some lines long goes from line to line. */
struct timer *timer_new(struct slabs *slabs)
{
    struct timer *timer = slabs_take(slabs, sizeof *timer);
    assert((uintptr_t)timer % TIMER_LINE == 0);
    histogram_init(&timer->histogram);
    return timer;
}

void timer_free(struct slabs *slabs, struct timer *timer)
{
    if (!timer)
        return;
    histogram_release(&timer->histogram);
    slabs_give(slabs, timer, sizeof *timer);
}

size_t timer_bytes(const struct timer *timer)
{
    return sizeof *timer + histogram_bytes(&timer->histogram);
}

size_t timer_settle(struct timer *timer)
{
    size_t before = histogram_bytes(&timer->histogram);
    histogram_place(&timer->histogram, timer->indexes, timer->waiting, timer->weight);
    timer->waiting = 0;
    return histogram_bytes(&timer->histogram) - before;
}

static size_t add_at_once(struct timer *timer, double value, double weight)
{
    size_t before = histogram_bytes(&timer->histogram);
    histogram_add(&timer->histogram, value, weight);
    return histogram_bytes(&timer->histogram) - before;
}

size_t timer_add(struct timer *timer, double value, double weight)
{
    size_t grown = 0;
    if (!histogram_waits(value))
        return add_at_once(timer, value, weight);
    if (timer_is_full(timer) || weight != timer->weight)
        grown = timer_settle(timer);
    timer->weight = weight;
    timer->indexes[timer->waiting++] = histogram_note(&timer->histogram, value, weight);
    return grown;
}
