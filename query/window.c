/* window: functions over the float samples of a window.
 *
 * The arithmetic follows Prometheus 3 to the operation (order of extrapolation, compensated sums,
 * incremental mean on overflow), because results are compared with it. The walk that calls them
 * is in walk.c; what the same functions make of buckets is in window_buckets.c.
 */
#include <math.h>

#include "query/call.h"
#include "query/ranking.h"
#include "query/slide.h"

static double first_value(const struct window *window)
{
    return window->values[0];
}

static double last_value(const struct window *window)
{
    return window->values[window->count - 1];
}

/* --- rises --- */

double rise_extrapolation(const struct rise *rise)
{
    double sampled = (double)(rise->last_ms - rise->first_ms) / 1000;
    double average = sampled / (double)(rise->count - 1);
    double threshold = average * 1.1;
    double to_start = (double)(rise->first_ms - rise->start_ms) / 1000;
    double to_end = (double)(rise->end_ms - rise->last_ms) / 1000;
    /* A series that ends or begins inside the window does so half an interval further on. */
    if (to_start >= threshold)
        to_start = average / 2;
    if (rise->counter && rise->total > 0 && rise->first >= 0) {
        double to_zero = sampled * (rise->first / rise->total);
        if (to_zero < to_start) /* a counter was never below zero */
            to_start = to_zero;
    }
    if (to_end >= threshold)
        to_end = average / 2;
    return (sampled + to_start + to_end) / sampled;
}

/* The rise over the window, for counters with resets healed. False when memory is out. */
static bool total_rise(const struct window *window, bool counter, double *out)
{
    const uint32_t *falls = counter ? slide_falls(window) : NULL;
    *out = last_value(window) - first_value(window);
    if (falls)
        *out = slide_heal(window->slide, falls[0], falls[window->count - 1], *out);
    return falls || !counter;
}

static double extrapolation(const struct window *window, bool counter, double total)
{
    return rise_extrapolation(&(struct rise){
        .start_ms = window->start_ms,
        .end_ms = window->end_ms,
        .first_ms = window->times[0],
        .last_ms = window->times[window->count - 1],
        .count = window->count,
        .counter = counter,
        .first = first_value(window),
        .total = total,
    });
}

static bool extrapolated(const struct window *window, bool counter, struct point *out)
{
    double total;
    if (window->count < 2 || !total_rise(window, counter, &total))
        return false;
    out->value = total * extrapolation(window, counter, total);
    return true;
}

bool window_increase(const struct window *window, struct point *out)
{
    return extrapolated(window, true, out);
}

/* From the sample before the window, so that windows side by side add up to the whole: no
 * extrapolation. A series that begins in the window begins at its first sample. */
bool window_increase_exact(const struct window *window, struct point *out)
{
    bool base = window->first > 0 && window->times[-1] > window->start_ms - window->base_ms;
    const uint32_t *falls = slide_falls(window);
    double rise = last_value(window) - window->values[-(ptrdiff_t)base];
    if (falls)
        out->value =
            slide_heal(window->slide, falls[-(ptrdiff_t)base], falls[window->count - 1], rise);
    return falls != NULL;
}

bool window_delta(const struct window *window, struct point *out)
{
    return extrapolated(window, false, out);
}

bool window_rate(const struct window *window, struct point *out)
{
    double total;
    if (window->count < 2 || !total_rise(window, true, &total))
        return false;
    double seconds = (double)(window->end_ms - window->start_ms) / 1000;
    out->value = total * (extrapolation(window, true, total) / seconds);
    return true;
}

static bool last_two(const struct window *window, bool counter, double *rise, double *seconds)
{
    size_t n = window->count;
    if (n < 2 || window->times[n - 1] == window->times[n - 2])
        return false;
    double last = window->values[n - 1], before = window->values[n - 2];
    *rise = counter && last < before ? last : last - before;
    *seconds = (double)(window->times[n - 1] - window->times[n - 2]) / 1000;
    return true;
}

bool window_irate(const struct window *window, struct point *out)
{
    double rise, seconds;
    if (!last_two(window, true, &rise, &seconds))
        return false;
    out->value = rise / seconds;
    return true;
}

bool window_idelta(const struct window *window, struct point *out)
{
    double seconds;
    return last_two(window, false, &out->value, &seconds);
}

bool window_resets(const struct window *window, struct point *out)
{
    const uint32_t *falls = slide_falls(window);
    if (falls)
        out->value = falls[window->count - 1] - falls[0];
    return falls != NULL;
}

bool window_changes(const struct window *window, struct point *out)
{
    const uint32_t *changes = slide_changes(window);
    if (changes)
        out->value = changes[window->count - 1] - changes[0];
    return changes != NULL;
}

/* --- sums and moments --- */

bool window_sum(const struct window *window, struct point *out)
{
    double sum = 0, rest = 0;
    if (slide_sum(window, &out->value))
        return true;
    for (size_t i = 0; i < window->count; i++)
        sum_add(&sum, &rest, window->values[i]);
    out->value = isinf(sum) ? sum : sum + rest;
    return true;
}

static double mean_incremental(const struct window *window)
{
    double mean = 0, rest = 0;
    for (size_t i = 0; i < window->count; i++) {
        double n = (double)(i + 1), keep = (double)i / n;
        mean *= keep;
        rest *= keep;
        sum_add(&mean, &rest, window->values[i] / n);
    }
    return mean + rest;
}

bool window_avg(const struct window *window, struct point *out)
{
    window_sum(window, out);
    /* An infinite sum is either an infinite sample, which the mean shows too, or an overflow. */
    out->value = isinf(out->value) ? mean_incremental(window) : out->value / (double)window->count;
    return true;
}

bool window_stdvar(const struct window *window, struct point *out)
{
    double mean = 0, mean_rest = 0, squares = 0, squares_rest = 0;
    if (slide_squares(window, &squares)) {
        out->value = squares / (double)window->count;
        return true;
    }
    squares = 0;
    for (size_t i = 0; i < window->count; i++) {
        double value = window->values[i];
        double delta = value - (mean + mean_rest);
        sum_add(&mean, &mean_rest, delta / (double)(i + 1));
        sum_add(&squares, &squares_rest, delta * (value - (mean + mean_rest)));
    }
    out->value = (squares + squares_rest) / (double)window->count;
    return true;
}

bool window_stddev(const struct window *window, struct point *out)
{
    bool any = window_stdvar(window, out);
    out->value = sqrt(out->value);
    return any;
}

bool window_min(const struct window *window, struct point *out)
{
    return slide_extreme(window, -1, &out->value);
}

bool window_max(const struct window *window, struct point *out)
{
    return slide_extreme(window, 1, &out->value);
}

/* False when memory is out. */
static bool quantile(const struct window *window, double q, double *out)
{
    double *work = slide_work(window->slide);
    struct ranking *ranking = q >= 0 && q <= 1 ? slide_ranking(window) : NULL;
    if (!work)
        return false;
    if (ranking) {
        *out = ranking_quantile(ranking, q);
        return true;
    }
    memcpy(work, window->values, window->count * sizeof *work);
    *out = quantile_of(q, work, window->count);
    return true;
}

bool window_quantile(const struct window *window, struct point *out)
{
    return quantile(window, window->params[0], &out->value);
}

/* The median of how far sorted values lie from `median`, which is among them: to both sides the
 * distances grow, so they are taken in order from the middle outwards. */
static double median_distance(const double *sorted, size_t count, double median)
{
    size_t left = count / 2, right = left, lower = (count - 1) / 2;
    double distance = 0, before = 0;
    for (size_t rank = 0; rank <= count / 2; rank++) {
        before = distance;
        bool down = left > 0 && (right == count ||
                                 fabs(sorted[left - 1] - median) < fabs(sorted[right] - median));
        distance = fabs(sorted[down ? --left : right++] - median);
    }
    return count / 2 == lower ? distance : quantile_between(before, distance, 0.5);
}

/* The median distance from the median. */
bool window_mad(const struct window *window, struct point *out)
{
    double median, *work = slide_work(window->slide);
    struct ranking *ranking;
    if (!quantile(window, 0.5, &median))
        return false;
    if ((ranking = slide_ranking(window)) && isfinite(median)) {
        ranking_values(ranking, work);
        if (!isnan(work[0])) {
            out->value = median_distance(work, window->count, median);
            return true;
        }
    }
    for (size_t i = 0; i < window->count; i++)
        work[i] = fabs(window->values[i] - median);
    out->value = quantile_of(0.5, work, window->count);
    return true;
}

bool window_count(const struct window *window, struct point *out)
{
    out->value = (double)window->count;
    return true;
}

bool window_last(const struct window *window, struct point *out)
{
    out->value = last_value(window);
    return true;
}

bool window_present(const struct window *window, struct point *out)
{
    (void)window;
    out->value = 1;
    return true;
}

/* --- regression --- */

static double settled(const double pair[2])
{
    return pair[0] + pair[1];
}

/* Least squares; the origin of time is `origin_ms`. */
static struct line fit(const struct window *window, int64_t origin_ms)
{
    double n = (double)window->count;
    double x_sum[2] = {0}, y_sum[2] = {0}, xy_sum[2] = {0}, xx_sum[2] = {0};
    bool flat = true;
    struct line line;
    if (slide_line(window, origin_ms, &line))
        return line;
    for (size_t i = 0; i < window->count; i++) {
        double x = (double)(window->times[i] - origin_ms) / 1000, y = window->values[i];
        flat = flat && (i == 0 || y == window->values[0]);
        sum_add(&x_sum[0], &x_sum[1], x);
        sum_add(&y_sum[0], &y_sum[1], y);
        sum_add(&xy_sum[0], &xy_sum[1], x * y);
        sum_add(&xx_sum[0], &xx_sum[1], x * x);
    }
    if (flat) {
        double y = window->values[0];
        return isinf(y) ? (struct line){NAN, NAN} : (struct line){0, y};
    }
    double x = settled(x_sum), y = settled(y_sum);
    double covariance = settled(xy_sum) - x * y / n;
    double variance = settled(xx_sum) - x * x / n;
    double slope = covariance / variance;
    return (struct line){slope, y / n - slope * x / n};
}

bool window_deriv(const struct window *window, struct point *out)
{
    if (window->count < 2)
        return false;
    out->value = fit(window, window->times[0]).slope;
    return true;
}

bool window_predict_linear(const struct window *window, struct point *out)
{
    if (window->count < 2)
        return false;
    struct line line = fit(window, window->now_ms);
    out->value = line.slope * window->params[0] + line.at_origin;
    return true;
}

/* Holt's linear method: a level that follows the values and a trend that follows the level. */
bool window_smoothing(const struct window *window, struct point *out)
{
    double of_value = window->params[0], of_trend = window->params[1];
    if (window->count < 2)
        return false;
    double before = 0, level = window->values[0], trend = window->values[1] - window->values[0];
    for (size_t i = 1; i < window->count; i++) {
        if (i > 1)
            trend = of_trend * (level - before) + (1 - of_trend) * trend;
        before = level;
        level = of_value * window->values[i] + (1 - of_value) * (level + trend);
    }
    out->value = level;
    return true;
}
