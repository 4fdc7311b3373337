/* window_buckets: range functions over a window of buckets, each the summary of some samples.
 *
 *   samples   x x  x x x x | x   x x  | x x  x |
 *   buckets      bucket 0  | bucket 1 | bucket 2        window = buckets first .. end-1
 *
 * Only functions are here whose answer the summaries hold exactly. What samples do between each
 * other, summaries do at their borders: where the first value of a bucket is below the last one of
 * the bucket before, a counter was reset between them; what it lost inside a bucket is the
 * bucket's `drop`. The extrapolation is that of window.c, from the same times and counts.
 * Sums of doubles may differ in the last digits, since they are added in groups.
 */
#include <math.h>

#include "query/call.h"
#include "query/histogram_math.h"

/* --- making one --- */

/* The elements of `from` at the places `live`; NULL stays NULL. */
static void *pick(struct arena *arena, const void *from, size_t size, const size_t *live,
                  size_t count)
{
    if (!from)
        return NULL;
    char *out = arena_alloc(arena, count * size);
    for (size_t i = 0; out && i < count; i++)
        memcpy(out + i * size, (const char *)from + live[i] * size, size);
    return out;
}

/* Buckets that hold nothing but a stale marker are nothing to a range function. */
static bool drop_markers(struct arena *arena, struct store_buckets *buckets)
{
    const struct store_buckets all = *buckets;
    size_t count = 0;
    for (size_t i = 0; i < all.count; i++)
        count += all.counts[i] > 0;
    if (count == all.count)
        return true;
    size_t *live = arena_alloc(arena, all.count * sizeof *live), next = 0;
    if (!live)
        return false;
    for (size_t i = 0; i < all.count; i++)
        if (all.counts[i] > 0)
            live[next++] = i;
    buckets->count = count;
    buckets->end_ms = pick(arena, all.end_ms, sizeof *all.end_ms, live, count);
    buckets->counts = pick(arena, all.counts, sizeof *all.counts, live, count);
    buckets->first_ms = pick(arena, all.first_ms, sizeof *all.first_ms, live, count);
    buckets->last_ms = pick(arena, all.last_ms, sizeof *all.last_ms, live, count);
    buckets->first = pick(arena, all.first, sizeof *all.first, live, count);
    buckets->last = pick(arena, all.last, sizeof *all.last, live, count);
    buckets->min = pick(arena, all.min, sizeof *all.min, live, count);
    buckets->max = pick(arena, all.max, sizeof *all.max, live, count);
    buckets->sum = pick(arena, all.sum, sizeof *all.sum, live, count);
    buckets->drop = pick(arena, all.drop, sizeof *all.drop, live, count);
    buckets->first_histogram =
        pick(arena, all.first_histogram, sizeof *all.first_histogram, live, count);
    buckets->last_histogram =
        pick(arena, all.last_histogram, sizeof *all.last_histogram, live, count);
    buckets->drop_histogram =
        pick(arena, all.drop_histogram, sizeof *all.drop_histogram, live, count);
    return !arena->exhausted;
}

/* Whether something was lost inside bucket i. */
static bool lost_inside(const struct store_buckets *buckets, size_t i)
{
    if (buckets->first_histogram)
        return buckets->drop_histogram && buckets->drop_histogram[i];
    return buckets->drop && buckets->drop[i] != 0;
}

/* Whether there was a reset between bucket i and the one before. */
static bool lost_before(const struct store_buckets *buckets, size_t i)
{
    if (buckets->first_histogram)
        return histogram_fell(buckets->last_histogram[i - 1], buckets->first_histogram[i]);
    return buckets->first && buckets->last && buckets->first[i] < buckets->last[i - 1];
}

bool bucket_window_make(struct arena *arena, const struct store_buckets *buckets,
                        struct bucket_window *out)
{
    *out = (struct bucket_window){.buckets = *buckets, .arena = arena};
    if (!drop_markers(arena, &out->buckets))
        return false;
    size_t count = out->buckets.count;
    uint64_t *before = arena_alloc(arena, (count + 1) * sizeof *before);
    uint32_t *falls = arena_alloc(arena, count * sizeof *falls);
    if (!before || !falls)
        return false;
    before[0] = 0;
    for (size_t i = 0; i < count; i++) {
        before[i + 1] = before[i] + out->buckets.counts[i];
        falls[i] =
            (i ? falls[i - 1] + lost_before(&out->buckets, i) : 0) + lost_inside(&out->buckets, i);
    }
    out->samples_before = before;
    out->falls = falls;
    return true;
}

/* --- which buckets will do --- */

static bool fits_drops(const struct store_buckets *buckets)
{
    return buckets->drop;
}

/* Not where finite samples have an infinite sum: their mean is finite. */
static bool fits_mean(const struct store_buckets *buckets)
{
    for (size_t i = 0; i < buckets->count; i++)
        if (buckets->counts[i] && isinf(buckets->sum[i]) && !isinf(buckets->min[i]) &&
            !isinf(buckets->max[i]))
            return false;
    return true;
}

/* --- numbers --- */

static uint64_t sample_count(const struct bucket_window *window)
{
    return window->samples_before[window->end] - window->samples_before[window->first];
}

/* Whether there was any reset in the window. */
static bool fell(const struct bucket_window *window)
{
    return window->falls[window->end - 1] != window->falls[window->first] ||
           lost_inside(&window->buckets, window->first);
}

static bool over_count(const struct bucket_window *window, struct point *out)
{
    out->value = (double)sample_count(window);
    return true;
}

static bool over_present(const struct bucket_window *window, struct point *out)
{
    (void)window;
    out->value = 1;
    return true;
}

static bool over_last(const struct bucket_window *window, struct point *out)
{
    out->value = window->buckets.last[window->end - 1];
    return true;
}

static bool over_min(const struct bucket_window *window, struct point *out)
{
    const double *min = window->buckets.min;
    out->value = min[window->first];
    for (size_t i = window->first + 1; i < window->end; i++)
        if (min[i] < out->value || isnan(out->value))
            out->value = min[i];
    return true;
}

static bool over_max(const struct bucket_window *window, struct point *out)
{
    const double *max = window->buckets.max;
    out->value = max[window->first];
    for (size_t i = window->first + 1; i < window->end; i++)
        if (max[i] > out->value || isnan(out->value))
            out->value = max[i];
    return true;
}

static bool over_sum(const struct bucket_window *window, struct point *out)
{
    double sum = 0, rest = 0;
    for (size_t i = window->first; i < window->end; i++)
        sum_add(&sum, &rest, window->buckets.sum[i]);
    out->value = isinf(sum) ? sum : sum + rest;
    return true;
}

static bool over_avg(const struct bucket_window *window, struct point *out)
{
    double sum = 0, rest = 0, n = (double)sample_count(window);
    for (size_t i = window->first; i < window->end; i++)
        sum_add(&sum, &rest, window->buckets.sum[i]);
    if (isinf(sum)) {
        sum = rest = 0;
        for (size_t i = window->first; i < window->end; i++)
            sum_add(&sum, &rest, window->buckets.sum[i] / n);
        n = 1;
    }
    out->value = sum / n + rest / n;
    return true;
}

static double rise_of(const struct bucket_window *window, bool counter)
{
    const struct store_buckets *buckets = &window->buckets;
    double rise = buckets->last[window->end - 1] - buckets->first[window->first];
    if (!counter || !fell(window))
        return rise;
    for (size_t i = window->first; i < window->end; i++) {
        if (i > window->first && lost_before(buckets, i))
            rise += buckets->last[i - 1];
        rise += buckets->drop[i];
    }
    return rise;
}

static struct rise rise_over(const struct bucket_window *window, bool counter)
{
    return (struct rise){
        .start_ms = window->start_ms,
        .end_ms = window->end_ms,
        .first_ms = window->buckets.first_ms[window->first],
        .last_ms = window->buckets.last_ms[window->end - 1],
        .count = sample_count(window),
        .counter = counter,
    };
}

static struct rise rise_of_numbers(const struct bucket_window *window, bool counter)
{
    struct rise rise = rise_over(window, counter);
    rise.first = window->buckets.first[window->first];
    rise.total = rise_of(window, counter);
    return rise;
}

static bool extrapolated(const struct bucket_window *window, bool counter, double divisor,
                         struct point *out)
{
    struct rise rise = rise_of_numbers(window, counter);
    if (rise.count < 2)
        return false;
    out->value = rise.total * (rise_extrapolation(&rise) / divisor);
    return true;
}

static double seconds_of(const struct bucket_window *window)
{
    return (double)(window->end_ms - window->start_ms) / 1000;
}

static bool over_delta(const struct bucket_window *window, struct point *out)
{
    return extrapolated(window, false, 1, out);
}

static bool over_increase(const struct bucket_window *window, struct point *out)
{
    return extrapolated(window, true, 1, out);
}

/* Whether the bucket before the window ends within the look-back: its last sample is the base. */
static bool has_base(const struct bucket_window *window)
{
    return window->first > 0 &&
           window->buckets.last_ms[window->first - 1] > window->start_ms - window->base_ms;
}

static bool over_increase_exact(const struct bucket_window *window, struct point *out)
{
    const struct store_buckets *buckets = &window->buckets;
    bool base = has_base(window);
    size_t first = window->first - base;
    out->value =
        buckets->last[window->end - 1] - (base ? buckets->last[first] : buckets->first[first]);
    for (size_t i = window->first; i < window->end; i++) {
        if (i > first && lost_before(buckets, i))
            out->value += buckets->last[i - 1];
        out->value += buckets->drop[i];
    }
    return true;
}

static bool over_rate(const struct bucket_window *window, struct point *out)
{
    return extrapolated(window, true, seconds_of(window), out);
}

static void sweep_rises(const struct bucket_window *buckets, const struct sweep *sweep,
                        bool counter, bool per_second)
{
    struct rise_scale scale = {.per_second = per_second};
    struct bucket_window window = *buckets;
    struct edge first = {0}, end = {0};
    for (size_t i = 0; i < sweep->steps; i++) {
        struct bounds bounds = sweep_bounds(sweep, i);
        edge_move(&first, window.buckets.end_ms, window.buckets.count, bounds.start_ms);
        edge_move(&end, window.buckets.end_ms, window.buckets.count, bounds.end_ms);
        if (first.at == end.at)
            continue;
        window.first = first.at;
        window.end = end.at;
        window.start_ms = bounds.start_ms;
        window.end_ms = bounds.end_ms;
        struct rise rise = rise_of_numbers(&window, counter);
        if (rise.count >= 2)
            sweep->out[i] = rise_scaled(&scale, &rise);
    }
}

static void sweep_bucket_delta(const struct bucket_window *buckets, const struct sweep *sweep)
{
    sweep_rises(buckets, sweep, false, false);
}

static void sweep_bucket_increase(const struct bucket_window *buckets, const struct sweep *sweep)
{
    sweep_rises(buckets, sweep, true, false);
}

static void sweep_bucket_rate(const struct bucket_window *buckets, const struct sweep *sweep)
{
    sweep_rises(buckets, sweep, true, true);
}

/* --- histograms --- */

static bool histogram_last(const struct bucket_window *window, struct point *out)
{
    out->histogram = window->buckets.last_histogram[window->end - 1];
    return true;
}

/* The exact extremes that the ticks recorded; NaN where none had values. */
static bool histogram_min(const struct bucket_window *window, struct point *out)
{
    out->value = NAN;
    for (size_t i = window->first; i < window->end; i++)
        out->value = fmin(out->value, window->buckets.min[i]);
    return !isnan(out->value);
}

static bool histogram_max(const struct bucket_window *window, struct point *out)
{
    out->value = NAN;
    for (size_t i = window->first; i < window->end; i++)
        out->value = fmax(out->value, window->buckets.max[i]);
    return !isnan(out->value);
}

/* Adds what resets inside the window hid, and on the way from bucket `first` into it. */
static struct histogram *heal(const struct bucket_window *window, size_t first,
                              struct histogram *rise)
{
    const struct store_buckets *buckets = &window->buckets;
    for (size_t i = window->first; i < window->end && rise; i++) {
        if (i > first && window->falls[i] != window->falls[i - 1] + lost_inside(buckets, i))
            rise = histogram_combine(window->arena, rise, buckets->last_histogram[i - 1], 1);
        if (rise && lost_inside(buckets, i))
            rise = histogram_combine(window->arena, rise, buckets->drop_histogram[i], 1);
    }
    return rise;
}

/* What was observed over the window; NULL when memory is out. */
static struct histogram *histogram_rise(const struct bucket_window *window, bool counter)
{
    const struct store_buckets *buckets = &window->buckets;
    struct histogram *rise =
        histogram_combine(window->arena, buckets->last_histogram[window->end - 1],
                          buckets->first_histogram[window->first], -1);
    return counter && fell(window) ? heal(window, window->first, rise) : rise;
}

static bool histogram_extrapolated(const struct bucket_window *window, bool counter, double divisor,
                                   struct point *out)
{
    struct rise rise = rise_over(window, counter);
    if (rise.count < 2)
        return false;
    struct histogram *total = histogram_rise(window, counter);
    if (!total)
        return false; /* the caller sees it in the arena */
    rise.first = window->buckets.first_histogram[window->first]->count;
    rise.total = total->count;
    histogram_multiply(total, rise_extrapolation(&rise) / divisor);
    out->histogram = total;
    return true;
}

static bool histogram_delta(const struct bucket_window *window, struct point *out)
{
    return histogram_extrapolated(window, false, 1, out);
}

static bool histogram_increase(const struct bucket_window *window, struct point *out)
{
    return histogram_extrapolated(window, true, 1, out);
}

static bool histogram_increase_exact(const struct bucket_window *window, struct point *out)
{
    const struct store_buckets *buckets = &window->buckets;
    bool base = has_base(window);
    size_t first = window->first - base;
    struct histogram *rise = histogram_combine(
        window->arena, buckets->last_histogram[window->end - 1],
        base ? buckets->last_histogram[first] : buckets->first_histogram[first], -1);
    out->histogram = heal(window, first, rise);
    return out->histogram != NULL; /* the caller sees it in the arena */
}

static bool histogram_rate(const struct bucket_window *window, struct point *out)
{
    return histogram_extrapolated(window, true, seconds_of(window), out);
}

static bool over_quantile(const struct bucket_window *window, struct point *out)
{
    if (sample_count(window) < 2)
        return false;
    const struct histogram *rise = histogram_rise(window, true);
    if (!rise || !(rise->count > 0))
        return false;
    out->value = histogram_quantile(window->param, rise);
    return true;
}

/* --- as the function table names them --- */

#define EDGES (BUCKETS_FIRST | BUCKETS_LAST)
#define INNER (BUCKETS_EXTREMES | BUCKETS_SUM)

const struct bucket_function buckets_avg = {
    .number = over_avg, .fits = fits_mean, .without = EDGES};
const struct bucket_function buckets_count = {
    .number = over_count, .histogram = over_count, .grows = true, .without = BUCKETS_ALL};
const struct bucket_function buckets_delta = {.number = over_delta,
                                              .histogram = histogram_delta,
                                              .sweep = sweep_bucket_delta,
                                              .grows = true,
                                              .without = INNER};
const struct bucket_function buckets_increase = {.number = over_increase,
                                                 .histogram = histogram_increase,
                                                 .sweep = sweep_bucket_increase,
                                                 .fits = fits_drops,
                                                 .grows = true,
                                                 .without = INNER};
const struct bucket_function buckets_increase_exact = {.number = over_increase_exact,
                                                       .histogram = histogram_increase_exact,
                                                       .fits = fits_drops,
                                                       .without = INNER};
const struct bucket_function buckets_last = {
    .number = over_last, .histogram = histogram_last, .without = BUCKETS_FIRST | INNER};
const struct bucket_function buckets_max = {
    .number = over_max, .histogram = histogram_max, .without = EDGES | BUCKETS_SUM};
const struct bucket_function buckets_min = {
    .number = over_min, .histogram = histogram_min, .without = EDGES | BUCKETS_SUM};
const struct bucket_function buckets_observed = {
    .number = over_present, .histogram = histogram_increase_exact, .without = BUCKETS_ALL};
const struct bucket_function buckets_present = {
    .number = over_present, .histogram = over_present, .without = BUCKETS_ALL};
const struct bucket_function buckets_quantile = {.histogram = over_quantile};
const struct bucket_function buckets_rate = {.number = over_rate,
                                             .histogram = histogram_rate,
                                             .sweep = sweep_bucket_rate,
                                             .fits = fits_drops,
                                             .without = INNER};
const struct bucket_function buckets_sum = {
    .number = over_sum, .grows = true, .without = EDGES | BUCKETS_EXTREMES};
