/* window_histogram: range functions over histogram samples.
 *
 * The samples are cumulative, so a window's own distribution is the last minus the first one, with
 * resets healed as for counters. Two things go beyond Prometheus: quantile_over_time is the
 * quantile of that distribution, and min_over_time / max_over_time answer with the exact extremes
 * that each tick recorded, which no bucket knows.
 */
#include <math.h>

#include "query/call.h"
#include "query/histogram_math.h"
#include "query/slide.h"

static const struct histogram *first_sample(const struct window *window)
{
    return window->histograms[0];
}

static const struct histogram *last_sample(const struct window *window)
{
    return window->histograms[window->histogram_count - 1];
}

static bool answer(const struct histogram *histogram, struct point *out)
{
    out->histogram = histogram;
    return histogram != NULL; /* NULL: memory is out, which the caller sees in the arena */
}

/* What was observed from the sample `before` places before the window to its end; NULL when memory is
 * out. */
static struct histogram *rise_since(const struct window *window, size_t before)
{
    const struct histogram *const *at = window->histograms - before;
    const uint32_t *falls = slide_histogram_falls(window);
    size_t count = window->histogram_count + before;
    if (!falls)
        return NULL;
    falls -= before;
    struct histogram *rise = histogram_combine(window->arena, at[count - 1], at[0], -1);
    if (falls[count - 1] == falls[0])
        return rise;
    for (size_t i = 1; i < count && rise; i++)
        if (falls[i] != falls[i - 1])
            rise = histogram_combine(window->arena, rise, at[i - 1], 1);
    return rise;
}

static struct histogram *rise_of(const struct window *window, bool counter)
{
    if (!counter)
        return histogram_combine(window->arena, last_sample(window), first_sample(window), -1);
    return rise_since(window, 0);
}

static bool extrapolated(const struct window *window, bool counter, double divisor,
                         struct point *out)
{
    if (window->histogram_count < 2)
        return false;
    struct histogram *total = rise_of(window, counter);
    if (!total)
        return false;
    struct rise rise = {
        .start_ms = window->start_ms,
        .end_ms = window->end_ms,
        .first_ms = window->histogram_times[0],
        .last_ms = window->histogram_times[window->histogram_count - 1],
        .count = window->histogram_count,
        .counter = counter,
        .first = first_sample(window)->count,
        .total = total->count,
    };
    histogram_multiply(total, rise_extrapolation(&rise) / divisor);
    return answer(total, out);
}

bool window_histogram_rate(const struct window *window, struct point *out)
{
    return extrapolated(window, true, (double)(window->end_ms - window->start_ms) / 1000, out);
}

bool window_histogram_increase(const struct window *window, struct point *out)
{
    return extrapolated(window, true, 1, out);
}

bool window_histogram_increase_exact(const struct window *window, struct point *out)
{
    bool base = window->histogram_first > 0 &&
                window->histogram_times[-1] > window->start_ms - window->base_ms;
    return answer(rise_since(window, base), out);
}

bool window_histogram_delta(const struct window *window, struct point *out)
{
    return extrapolated(window, false, 1, out);
}

static struct histogram *last_rise(const struct window *window, bool counter, double *seconds)
{
    size_t n = window->histogram_count;
    if (n < 2)
        return NULL;
    *seconds = (double)(window->histogram_times[n - 1] - window->histogram_times[n - 2]) / 1000;
    if (counter && histogram_fell(window->histograms[n - 2], last_sample(window)))
        return histogram_copy(window->arena, last_sample(window));
    return histogram_combine(window->arena, last_sample(window), window->histograms[n - 2], -1);
}

bool window_histogram_irate(const struct window *window, struct point *out)
{
    double seconds;
    struct histogram *rise = last_rise(window, true, &seconds);
    return rise && answer(histogram_scale(window->arena, rise, 1 / seconds), out);
}

bool window_histogram_idelta(const struct window *window, struct point *out)
{
    double seconds;
    return answer(last_rise(window, false, &seconds), out);
}

bool window_histogram_resets(const struct window *window, struct point *out)
{
    const uint32_t *falls = slide_histogram_falls(window);
    if (falls)
        out->value = falls[window->histogram_count - 1] - falls[0];
    return falls != NULL;
}

bool histograms_differ(const struct histogram *before, const struct histogram *now)
{
    return now->count != before->count || now->sum != before->sum || histogram_fell(before, now);
}

bool window_histogram_changes(const struct window *window, struct point *out)
{
    out->value = 0;
    for (size_t i = 1; i < window->histogram_count; i++)
        if (histograms_differ(window->histograms[i - 1], window->histograms[i]))
            out->value++;
    return true;
}

bool window_histogram_count(const struct window *window, struct point *out)
{
    out->value = (double)window->histogram_count;
    return true;
}

bool window_histogram_last(const struct window *window, struct point *out)
{
    return answer(last_sample(window), out);
}

static const struct histogram *sum_of(const struct window *window)
{
    const struct histogram *sum = first_sample(window);
    for (size_t i = 1; i < window->histogram_count && sum; i++)
        sum = histogram_combine(window->arena, sum, window->histograms[i], 1);
    return sum;
}

bool window_histogram_sum(const struct window *window, struct point *out)
{
    return answer(sum_of(window), out);
}

bool window_histogram_avg(const struct window *window, struct point *out)
{
    const struct histogram *sum = sum_of(window);
    if (!sum)
        return false;
    return answer(histogram_scale(window->arena, sum, 1 / (double)window->histogram_count), out);
}

bool window_histogram_min(const struct window *window, struct point *out)
{
    out->value = NAN;
    for (size_t i = 0; i < window->histogram_count; i++)
        out->value = fmin(out->value, window->histograms[i]->min);
    return !isnan(out->value);
}

bool window_histogram_max(const struct window *window, struct point *out)
{
    out->value = NAN;
    for (size_t i = 0; i < window->histogram_count; i++)
        out->value = fmax(out->value, window->histograms[i]->max);
    return !isnan(out->value);
}

bool window_histogram_quantile(const struct window *window, struct point *out)
{
    if (window->histogram_count < 2)
        return false;
    const struct histogram *rise = rise_of(window, true);
    if (!rise || !(rise->count > 0))
        return false;
    out->value = histogram_quantile(window->params[0], rise);
    return true;
}
