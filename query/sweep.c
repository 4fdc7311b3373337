/* sweep: the rises in all windows of a grid over one series of numbers, in one pass.
 *
 *   samples     x   x   x   x   x   x   x   x
 *   window i  (-----------]
 *   window i+1      (-----------]
 *
 * rate, increase and delta of one window are in window.c; this gives the same to the bit, by the same
 * operations in the same order. What makes it cheap is that even steps over even samples repeat
 * themselves: borders are guessed (edge_move), and what the times alone say of a rise is kept until
 * one of them differs. A subtraction and a multiplication a window remain.
 */
#include "query/call.h"
#include "query/slide.h"

static double factor_of(const struct rise_scale *scale, const struct rise *rise)
{
    double factor = rise_extrapolation(rise);
    return scale->per_second ? factor / ((double)(rise->end_ms - rise->start_ms) / 1000) : factor;
}

static double factor_far_from_zero(struct rise_scale *scale, const struct rise *rise)
{
    int64_t sampled_ms = rise->last_ms - rise->first_ms;
    int64_t to_start_ms = rise->first_ms - rise->start_ms, to_end_ms = rise->end_ms - rise->last_ms;
    if (scale->count != rise->count || scale->sampled_ms != sampled_ms ||
        scale->to_start_ms != to_start_ms || scale->to_end_ms != to_end_ms) {
        struct rise far = *rise;
        far.counter = false;
        *scale = (struct rise_scale){scale->per_second, rise->count, sampled_ms,
                                     to_start_ms,       to_end_ms,   factor_of(scale, &far)};
    }
    return scale->factor;
}

/* A window reaches at most 1.1 times as far before its first sample as from there to the last: a counter
 * that began with twice its rise was not zero there. */
static bool zero_is_near(const struct rise *rise)
{
    return rise->counter && rise->total > 0 && rise->first >= 0 && rise->first / 2 < rise->total;
}

double rise_scaled(struct rise_scale *scale, const struct rise *rise)
{
    return rise->total *
           (zero_is_near(rise) ? factor_of(scale, rise) : factor_far_from_zero(scale, rise));
}

struct rises {
    const struct samples *series;
    bool counter;
    struct slide slide; /* lists the falls of counters */
    size_t fallen_first,
        fallen_last; /* of these, up to the first and the last sample of the window */
    struct rise_scale scale;
};

static size_t fallen(const struct slide *slide, size_t before, size_t sample)
{
    while (before < slide->fall_count && slide->fall_places[before] <= sample)
        before++;
    return before;
}

/* Over the samples from `first` to `last`. */
static double rise_between(struct rises *rises, struct bounds bounds, size_t first, size_t last)
{
    const struct samples *series = rises->series;
    struct rise rise = {.start_ms = bounds.start_ms,
                        .end_ms = bounds.end_ms,
                        .first_ms = series->times[first],
                        .last_ms = series->times[last],
                        .count = last - first + 1,
                        .counter = rises->counter,
                        .first = series->values[first],
                        .total = series->values[last] - series->values[first]};
    rises->fallen_first = fallen(&rises->slide, rises->fallen_first, first);
    rises->fallen_last = fallen(&rises->slide, rises->fallen_last, last);
    rise.total = slide_heal(&rises->slide, rises->fallen_first, rises->fallen_last, rise.total);
    return rise_scaled(&rises->scale, &rise);
}

struct bounds sweep_bounds(const struct sweep *sweep, size_t step)
{
    int64_t end_ms = sweep->range.end_ms + (int64_t)step * sweep->range.step_ms;
    return (struct bounds){end_ms - sweep->range.range_ms, end_ms};
}

static bool sweep_rises(const struct sweep *sweep, bool counter, bool per_second)
{
    const struct samples *series = sweep->series;
    struct rises rises = {.series = series,
                          .counter = counter,
                          .slide = {.series = series, .arena = sweep->arena},
                          .scale.per_second = per_second};
    struct edge first = {0}, end = {0};
    if (counter && !slide_find_falls(&rises.slide))
        return false;
    for (size_t i = 0; i < sweep->steps; i++) {
        struct bounds bounds = sweep_bounds(sweep, i);
        edge_move(&first, series->times, series->count, bounds.start_ms);
        edge_move(&end, series->times, series->count, bounds.end_ms);
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
