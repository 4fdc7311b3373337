/* run: range functions over a run of buckets, each the summary of some samples.
 *
 *   samples   x x  x x x x | x   x x  | x x  x |
 *   buckets      bucket 0  | bucket 1 | bucket 2        run = buckets first .. end-1
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
    return buckets->first[i] < buckets->last[i - 1];
}

bool run_make(struct arena *arena, const struct store_buckets *buckets, struct run *out)
{
    *out = (struct run){.buckets = *buckets, .arena = arena};
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

static uint64_t sample_count(const struct run *run)
{
    return run->samples_before[run->end] - run->samples_before[run->first];
}

/* Whether there was any reset in the run. */
static bool fell(const struct run *run)
{
    return run->falls[run->end - 1] != run->falls[run->first] ||
           lost_inside(&run->buckets, run->first);
}

static bool over_count(const struct run *run, struct point *out)
{
    out->value = (double)sample_count(run);
    return true;
}

static bool over_present(const struct run *run, struct point *out)
{
    (void)run;
    out->value = 1;
    return true;
}

static bool over_last(const struct run *run, struct point *out)
{
    out->value = run->buckets.last[run->end - 1];
    return true;
}

static bool over_min(const struct run *run, struct point *out)
{
    const double *min = run->buckets.min;
    out->value = min[run->first];
    for (size_t i = run->first + 1; i < run->end; i++)
        if (min[i] < out->value || isnan(out->value))
            out->value = min[i];
    return true;
}

static bool over_max(const struct run *run, struct point *out)
{
    const double *max = run->buckets.max;
    out->value = max[run->first];
    for (size_t i = run->first + 1; i < run->end; i++)
        if (max[i] > out->value || isnan(out->value))
            out->value = max[i];
    return true;
}

static bool over_sum(const struct run *run, struct point *out)
{
    double sum = 0, rest = 0;
    for (size_t i = run->first; i < run->end; i++)
        sum_add(&sum, &rest, run->buckets.sum[i]);
    out->value = isinf(sum) ? sum : sum + rest;
    return true;
}

static bool over_avg(const struct run *run, struct point *out)
{
    double sum = 0, rest = 0, n = (double)sample_count(run);
    for (size_t i = run->first; i < run->end; i++)
        sum_add(&sum, &rest, run->buckets.sum[i]);
    if (isinf(sum)) {
        sum = rest = 0;
        for (size_t i = run->first; i < run->end; i++)
            sum_add(&sum, &rest, run->buckets.sum[i] / n);
        n = 1;
    }
    out->value = sum / n + rest / n;
    return true;
}

static double rise_of(const struct run *run, bool counter)
{
    const struct store_buckets *buckets = &run->buckets;
    double rise = buckets->last[run->end - 1] - buckets->first[run->first];
    if (!counter || !fell(run))
        return rise;
    for (size_t i = run->first; i < run->end; i++) {
        if (i > run->first && lost_before(buckets, i))
            rise += buckets->last[i - 1];
        rise += buckets->drop[i];
    }
    return rise;
}

static struct rise rise_over(const struct run *run, bool counter)
{
    return (struct rise){
        .start_ms = run->start_ms,
        .end_ms = run->end_ms,
        .first_ms = run->buckets.first_ms[run->first],
        .last_ms = run->buckets.last_ms[run->end - 1],
        .count = sample_count(run),
        .counter = counter,
    };
}

static bool extrapolated(const struct run *run, bool counter, double divisor, struct point *out)
{
    struct rise rise = rise_over(run, counter);
    if (rise.count < 2)
        return false;
    rise.first = run->buckets.first[run->first];
    rise.total = rise_of(run, counter);
    out->value = rise.total * (rise_extrapolation(&rise) / divisor);
    return true;
}

static double seconds_of(const struct run *run)
{
    return (double)(run->end_ms - run->start_ms) / 1000;
}

static bool over_delta(const struct run *run, struct point *out)
{
    return extrapolated(run, false, 1, out);
}

static bool over_increase(const struct run *run, struct point *out)
{
    return extrapolated(run, true, 1, out);
}

static bool over_rate(const struct run *run, struct point *out)
{
    return extrapolated(run, true, seconds_of(run), out);
}

/* --- histograms --- */

static bool histogram_last(const struct run *run, struct point *out)
{
    out->histogram = run->buckets.last_histogram[run->end - 1];
    return true;
}

/* The exact extremes that the ticks recorded; NaN where none had values. */
static bool histogram_min(const struct run *run, struct point *out)
{
    out->value = NAN;
    for (size_t i = run->first; i < run->end; i++)
        out->value = fmin(out->value, run->buckets.min[i]);
    return !isnan(out->value);
}

static bool histogram_max(const struct run *run, struct point *out)
{
    out->value = NAN;
    for (size_t i = run->first; i < run->end; i++)
        out->value = fmax(out->value, run->buckets.max[i]);
    return !isnan(out->value);
}

/* What was observed over the run; NULL when memory is out. */
static struct histogram *histogram_rise(const struct run *run, bool counter)
{
    const struct store_buckets *buckets = &run->buckets;
    struct histogram *rise = histogram_combine(run->arena, buckets->last_histogram[run->end - 1],
                                               buckets->first_histogram[run->first], -1);
    if (!counter || !fell(run))
        return rise;
    for (size_t i = run->first; i < run->end && rise; i++) {
        if (i > run->first && run->falls[i] != run->falls[i - 1] + lost_inside(buckets, i))
            rise = histogram_combine(run->arena, rise, buckets->last_histogram[i - 1], 1);
        if (rise && lost_inside(buckets, i))
            rise = histogram_combine(run->arena, rise, buckets->drop_histogram[i], 1);
    }
    return rise;
}

static bool histogram_extrapolated(const struct run *run, bool counter, double divisor,
                                   struct point *out)
{
    struct rise rise = rise_over(run, counter);
    if (rise.count < 2)
        return false;
    struct histogram *total = histogram_rise(run, counter);
    if (!total)
        return false; /* the caller sees it in the arena */
    rise.first = run->buckets.first_histogram[run->first]->count;
    rise.total = total->count;
    histogram_multiply(total, rise_extrapolation(&rise) / divisor);
    out->histogram = total;
    return true;
}

static bool histogram_delta(const struct run *run, struct point *out)
{
    return histogram_extrapolated(run, false, 1, out);
}

static bool histogram_increase(const struct run *run, struct point *out)
{
    return histogram_extrapolated(run, true, 1, out);
}

static bool histogram_rate(const struct run *run, struct point *out)
{
    return histogram_extrapolated(run, true, seconds_of(run), out);
}

static bool over_quantile(const struct run *run, struct point *out)
{
    if (sample_count(run) < 2)
        return false;
    const struct histogram *rise = histogram_rise(run, true);
    if (!rise || !(rise->count > 0))
        return false;
    out->value = histogram_quantile(run->param, rise);
    return true;
}

/* --- as the function table names them --- */

const struct run_function run_avg = {.number = over_avg, .fits = fits_mean};
const struct run_function run_count = {.number = over_count, .histogram = over_count};
const struct run_function run_delta = {.number = over_delta, .histogram = histogram_delta};
const struct run_function run_increase = {over_increase, histogram_increase, fits_drops};
const struct run_function run_last = {.number = over_last, .histogram = histogram_last};
const struct run_function run_max = {.number = over_max, .histogram = histogram_max};
const struct run_function run_min = {.number = over_min, .histogram = histogram_min};
const struct run_function run_present = {.number = over_present, .histogram = over_present};
const struct run_function run_quantile = {.histogram = over_quantile};
const struct run_function run_rate = {over_rate, histogram_rate, fits_drops};
const struct run_function run_sum = {.number = over_sum};
