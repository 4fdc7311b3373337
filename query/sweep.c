/* sweep: the rises in all windows of a grid over one series of numbers, in one pass.
 *
 *   samples     x   x   x   x   x   x   x   x
 *   window i  (-----------]
 *   window i+1      (-----------]
 *
 * rate, increase and delta of one window are in window.c; this gives the same to the bit, by the same
 * operations in the same order. What makes it cheap is that even steps over even samples repeat
 * themselves: borders are guessed to move on by as many samples as the step before, and what the
 * times alone say of a rise is kept until one of them differs. A subtraction and a multiplication a
 * window remain.
 */
#include "query/call.h"
#include "query/slide.h"

/* The first sample after a border of the windows. */
struct edge {
    size_t at, stride;
};

static void edge_move(struct edge *edge, const struct samples *series, int64_t border_ms)
{
    const int64_t *times = series->times;
    size_t at = edge->at + edge->stride;
    bool guessed =
        at > 0 && at < series->count && times[at - 1] <= border_ms && times[at] > border_ms;
    if (!guessed)
        for (at = edge->at; at < series->count && times[at] <= border_ms;)
            at++;
    edge->stride = at - edge->at;
    edge->at = at;
}

/* What the times of a window make of a rise, unless zero was near. */
struct scale {
    size_t count;
    int64_t sampled_ms, to_start_ms, to_end_ms;
    double factor;
};

struct rises {
    const struct sweep *sweep;
    bool counter, per_second;
    const uint32_t *falls; /* counters */
    struct slide slide;
    struct scale scale;
};

static double factor_of(const struct rises *rises, const struct rise *rise)
{
    double factor = rise_extrapolation(rise);
    return rises->per_second ? factor / ((double)(rise->end_ms - rise->start_ms) / 1000) : factor;
}

static double factor_far_from_zero(struct rises *rises, const struct rise *rise)
{
    struct scale *scale = &rises->scale;
    int64_t sampled_ms = rise->last_ms - rise->first_ms;
    int64_t to_start_ms = rise->first_ms - rise->start_ms, to_end_ms = rise->end_ms - rise->last_ms;
    if (scale->count != rise->count || scale->sampled_ms != sampled_ms ||
        scale->to_start_ms != to_start_ms || scale->to_end_ms != to_end_ms) {
        struct rise far = *rise;
        far.counter = false;
        *scale =
            (struct scale){rise->count, sampled_ms, to_start_ms, to_end_ms, factor_of(rises, &far)};
    }
    return scale->factor;
}

/* A window reaches at most 1.1 times as far before its first sample as from there to the last: a counter
 * that began with twice its rise was not zero there. */
static bool zero_is_near(const struct rise *rise)
{
    return rise->counter && rise->total > 0 && rise->first >= 0 && rise->first / 2 < rise->total;
}

/* Over the samples from `first` to `last`. */
static double rise_between(struct rises *rises, struct bounds bounds, size_t first, size_t last)
{
    const struct samples *series = rises->sweep->series;
    struct rise rise = {.start_ms = bounds.start_ms,
                        .end_ms = bounds.end_ms,
                        .first_ms = series->times[first],
                        .last_ms = series->times[last],
                        .count = last - first + 1,
                        .counter = rises->counter,
                        .first = series->values[first],
                        .total = series->values[last] - series->values[first]};
    if (rises->slide.fall_places)
        rise.total = slide_heal(&rises->slide, rises->falls[first], rises->falls[last], rise.total);
    return rise.total *
           (zero_is_near(&rise) ? factor_of(rises, &rise) : factor_far_from_zero(rises, &rise));
}

static bool sweep_rises(const struct sweep *sweep, bool counter, bool per_second)
{
    const struct range *range = &sweep->range;
    struct rises rises = {.sweep = sweep,
                          .counter = counter,
                          .per_second = per_second,
                          .slide = {.series = sweep->series, .arena = sweep->arena}};
    struct edge first = {0}, end = {0};
    if (counter && !(rises.falls = slide_all_falls(&rises.slide)))
        return false;
    for (size_t i = 0; i < sweep->steps; i++) {
        int64_t end_ms = range->end_ms + (int64_t)i * range->step_ms;
        struct bounds bounds = {end_ms - range->range_ms, end_ms};
        edge_move(&first, sweep->series, bounds.start_ms);
        edge_move(&end, sweep->series, bounds.end_ms);
        if (end.at >= first.at + 2)
            sweep->out[i] = rise_between(&rises, bounds, first.at, end.at - 1);
    }
    return true;
}

bool sweep_delta(const struct sweep *sweep)
{
    return sweep_rises(sweep, false, false);
}

bool sweep_increase(const struct sweep *sweep)
{
    return sweep_rises(sweep, true, false);
}

bool sweep_rate(const struct sweep *sweep)
{
    return sweep_rises(sweep, true, true);
}
