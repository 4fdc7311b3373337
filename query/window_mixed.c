/* window_mixed: range functions over windows with floats and histograms.
 *
 *   floats       1   2           5
 *   histograms           h   h        the order of time decides, as in Prometheus 3
 *
 * Series of the store hold one kind; both meet in subqueries over what is a number at some steps and
 * a histogram at others. A step from one kind to the other is a change, and the beginning of another
 * counter. Such windows are rare and short, so each is walked as a whole.
 */
#include <math.h>

#include "query/call.h"
#include "query/histogram_math.h"

bool window_mixed_count(const struct window *window, struct point *out)
{
    out->value = (double)(window->count + window->histogram_count);
    return true;
}

bool window_mixed_last(const struct window *window, struct point *out)
{
    size_t floats = window->count, histograms = window->histogram_count;
    if (window->times[floats - 1] > window->histogram_times[histograms - 1])
        out->value = window->values[floats - 1];
    else
        out->histogram = window->histograms[histograms - 1];
    return true;
}

void window_mixed_narrow(struct window *window)
{
    int64_t last_float = window->times[window->count - 1];
    int64_t last_histogram = window->histogram_times[window->histogram_count - 1];
    if (window->count > 1 && window->times[window->count - 2] > last_histogram)
        window->histogram_count = 0;
    else if (window->histogram_count > 1 &&
             window->histogram_times[window->histogram_count - 2] > last_float)
        window->count = 0;
}

static bool changed(const struct point *before, const struct point *now)
{
    if (now->histogram)
        return histograms_differ(before->histogram, now->histogram);
    return before->value != now->value && !(isnan(before->value) && isnan(now->value));
}

static bool fell(const struct point *before, const struct point *now)
{
    if (now->histogram)
        return histogram_fell(before->histogram, now->histogram);
    return now->value < before->value;
}

/* In how many places two samples that follow each other are of different kinds, or `differ`. */
static double count_steps(const struct window *window,
                          bool (*differ)(const struct point *before, const struct point *now))
{
    struct point before = {0}, now;
    size_t floats = 0, histograms = 0, steps = 0;
    while (floats < window->count || histograms < window->histogram_count) {
        bool is_float =
            histograms == window->histogram_count ||
            (floats < window->count && window->times[floats] < window->histogram_times[histograms]);
        bool first = floats + histograms == 0;
        if (is_float)
            now = (struct point){.value = window->values[floats++]};
        else
            now = (struct point){.histogram = window->histograms[histograms++]};
        bool same_kind = !before.histogram == !now.histogram;
        steps += !first && (!same_kind || differ(&before, &now));
        before = now;
    }
    return (double)steps;
}

bool window_mixed_changes(const struct window *window, struct point *out)
{
    out->value = count_steps(window, changed);
    return true;
}

bool window_mixed_resets(const struct window *window, struct point *out)
{
    out->value = count_steps(window, fell);
    return true;
}
