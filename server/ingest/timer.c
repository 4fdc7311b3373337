/* timer: sampled observations have one weight most often, so those that wait share one. What is not
 * above zero, or has another weight, ends the waiting of those before it.
 */
#include "server/ingest/timer.h"

#include <stdlib.h>

#include "storage/base/alloc.h"

struct timer *timer_new(void)
{
    struct timer *timer = alloc_zeroed(1, sizeof *timer);
    histogram_init(&timer->histogram);
    return timer;
}

void timer_free(struct timer *timer)
{
    if (!timer)
        return;
    histogram_release(&timer->histogram);
    free(timer);
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
    size_t settled = timer_settle(timer), before = histogram_bytes(&timer->histogram);
    histogram_add(&timer->histogram, value, weight);
    return settled + histogram_bytes(&timer->histogram) - before;
}

size_t timer_add(struct timer *timer, double value, double weight)
{
    size_t grown = 0;
    if (!(value > timer->histogram.zero_threshold))
        return add_at_once(timer, value, weight);
    if (timer->waiting == TIMER_WAITING_MAX || (timer->waiting && weight != timer->weight))
        grown = timer_settle(timer);
    timer->weight = weight;
    timer->indexes[timer->waiting++] = histogram_note(&timer->histogram, value, weight);
    return grown;
}
