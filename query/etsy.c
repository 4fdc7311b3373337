/* etsy: see the header.
 *
 *   buckets   ... [ 3.1 .. 3.2 ) x 2   [ 3.2 .. 3.3 ) x 5   [ 3.3 .. 3.4 ) x 1     n = 8
 *   values         3.15 3.15            3.25 3.25 ...        3.35, but never beyond min and max
 *                  \_________ the lowest 7 make mean_90 ___/
 */
#include "query/etsy.h"

#include <math.h>

static const struct {
    struct slice name;
    bool of_all, of_lowest, of_highest; /* statsd makes it of these */
} measures[ETSY_MEASURE_COUNT] = {
    [ETSY_COUNT] = {SLICE_LIT("count"), true, true, true},
    [ETSY_COUNT_PS] = {SLICE_LIT("count_ps"), true, false, false},
    [ETSY_LOWER] = {SLICE_LIT("lower"), true, false, true},
    [ETSY_UPPER] = {SLICE_LIT("upper"), true, true, false},
    [ETSY_MEAN] = {SLICE_LIT("mean"), true, true, true},
    [ETSY_MEDIAN] = {SLICE_LIT("median"), true, false, false},
    [ETSY_STD] = {SLICE_LIT("std"), true, false, false},
    [ETSY_SUM] = {SLICE_LIT("sum"), true, true, true},
    [ETSY_SUM_SQUARES] = {SLICE_LIT("sum_squares"), true, true, true},
};

/* --- names --- */

/* "90", "99_9", "top10". */
static bool read_percent(struct slice text, double *out)
{
    const struct slice top = SLICE("top");
    bool highest = slice_starts_with(text, top);
    struct slice digits = highest ? slice_skip(text, top.len) : text, whole;
    uint64_t before, after = 0;
    double percent, scale = 1;
    bool fraction = slice_cut(&digits, '_', &whole);
    if (!slice_to_u64(whole, &before) || before > 100 || digits.len > 9 ||
        (fraction && !slice_to_u64(digits, &after)))
        return false;
    for (size_t i = 0; i < digits.len; i++)
        scale *= 10;
    percent = (double)before + (double)after / scale;
    *out = highest ? -percent : percent;
    return percent > 0 && percent <= 100;
}

bool etsy_find(struct slice name, struct etsy_statistic *out)
{
    for (int i = 0; i < ETSY_MEASURE_COUNT; i++) {
        *out = (struct etsy_statistic){.measure = (enum etsy_measure)i};
        if (slice_equal(name, measures[i].name))
            return measures[i].of_all;
        struct slice rest = slice_skip(name, measures[i].name.len);
        if (slice_starts_with(name, measures[i].name) && rest.at[0] == '_' &&
            read_percent(slice_skip(rest, 1), &out->percent))
            return out->percent > 0 ? measures[i].of_lowest : measures[i].of_highest;
    }
    return false;
}

size_t etsy_names(const struct slice **out)
{
    static const struct slice names[] = {
        SLICE_LIT("count"),
        SLICE_LIT("count_ps"),
        SLICE_LIT("lower"),
        SLICE_LIT("upper"),
        SLICE_LIT("mean"),
        SLICE_LIT("median"),
        SLICE_LIT("std"),
        SLICE_LIT("sum"),
        SLICE_LIT("sum_squares"),
        SLICE_LIT("count_90"),
        SLICE_LIT("mean_90"),
        SLICE_LIT("upper_90"),
        SLICE_LIT("sum_90"),
        SLICE_LIT("sum_squares_90"),
        SLICE_LIT("count_95"),
        SLICE_LIT("mean_95"),
        SLICE_LIT("upper_95"),
        SLICE_LIT("sum_95"),
        SLICE_LIT("sum_squares_95"),
        SLICE_LIT("count_99"),
        SLICE_LIT("mean_99"),
        SLICE_LIT("upper_99"),
        SLICE_LIT("sum_99"),
        SLICE_LIT("sum_squares_99"),
    };
    *out = names;
    return sizeof names / sizeof names[0];
}

/* --- values in order --- */

/* A place among the buckets: negative ones first, the zero bucket, positive ones. */
struct cursor {
    const struct histogram *histogram;
    size_t place;
    bool descending;
};

/* The middle of a bucket of magnitudes, as factors go. */
static double middle(const struct histogram *histogram, int32_t index)
{
    double low = histogram_bound(histogram->schema, index - 1);
    double high = histogram_bound(histogram->schema, index);
    return sqrt(low) * sqrt(high);
}

static double clamp(const struct histogram *histogram, double value)
{
    if (value < histogram->min)
        return histogram->min;
    return value > histogram->max ? histogram->max : value;
}

/* The next bucket that has anything; false at the end. */
static bool next(struct cursor *cursor, double *value, double *weight)
{
    const struct histogram *histogram = cursor->histogram;
    const size_t below = histogram->negative.count, all = below + 1 + histogram->positive.count;
    while (cursor->place < all) {
        size_t place = cursor->descending ? all - 1 - cursor->place : cursor->place;
        struct histogram_bucket bucket = {0, histogram->zero_count};
        double at = 0;
        cursor->place++;
        if (place < below) {
            bucket = histogram->negative.at[below - 1 - place];
            at = -middle(histogram, bucket.index);
        } else if (place > below) {
            bucket = histogram->positive.at[place - below - 1];
            at = middle(histogram, bucket.index);
        }
        *value = clamp(histogram, at);
        *weight = bucket.count;
        if (bucket.count > 0)
            return true;
    }
    return false;
}

/* The first `count` values from one end. */
struct part {
    double sum, squares;
    double last; /* the value that completes it */
};

static struct part take(const struct histogram *histogram, double count, bool descending)
{
    struct cursor cursor = {histogram, 0, descending};
    struct part part = {.last = NAN};
    double value, weight, taken = 0;
    while (taken < count && next(&cursor, &value, &weight)) {
        double share = weight < count - taken ? weight : count - taken;
        taken += weight;
        part.sum += share * value;
        part.squares += share * value * value;
        part.last = value;
    }
    return part;
}

/* --- statistics --- */

static double median(const struct histogram *histogram)
{
    double half = histogram->count / 2;
    double low = take(histogram, ceil(half), false).last;
    bool between = half == floor(half); /* of two values */
    return between ? (low + take(histogram, half + 1, false).last) / 2 : low;
}

static double deviation(const struct histogram *histogram)
{
    struct cursor cursor = {histogram, 0, false};
    double value, weight, squares = 0, mean = histogram->sum / histogram->count;
    while (next(&cursor, &value, &weight))
        squares += weight * (value - mean) * (value - mean);
    return sqrt(squares / histogram->count);
}

static double of_all(const struct histogram *histogram, enum etsy_measure measure)
{
    switch (measure) {
    case ETSY_LOWER:
        return isnan(histogram->min) ? take(histogram, 1, false).last : histogram->min;
    case ETSY_UPPER:
        return isnan(histogram->max) ? take(histogram, 1, true).last : histogram->max;
    case ETSY_MEAN:
        return histogram->sum / histogram->count;
    case ETSY_MEDIAN:
        return median(histogram);
    case ETSY_STD:
        return deviation(histogram);
    case ETSY_SUM:
        return histogram->sum;
    case ETSY_SUM_SQUARES:
        return take(histogram, histogram->count, false).squares;
    case ETSY_COUNT:
    case ETSY_COUNT_PS:
    case ETSY_MEASURE_COUNT:
        break;
    }
    return histogram->count;
}

/* How many values a percentage means, rounded as JavaScript does; of one value it is always that one. */
static double share_of(double count, double percent)
{
    return count > 1 ? floor(fabs(percent) / 100 * count + 0.5) : count;
}

double etsy_compute(const struct histogram *window, struct etsy_statistic statistic, double seconds)
{
    double count = window->count;
    if (statistic.measure == ETSY_COUNT_PS)
        return count / seconds;
    if (statistic.measure == ETSY_COUNT && statistic.percent == 0)
        return count;
    if (!(count > 0))
        return NAN;
    double share = statistic.percent == 0 ? count : share_of(count, statistic.percent);
    if (share == 0)
        return NAN;
    if (share >= count)
        return statistic.measure == ETSY_COUNT ? share : of_all(window, statistic.measure);
    struct part part = take(window, share, statistic.percent < 0);
    switch (statistic.measure) {
    case ETSY_MEAN:
        return part.sum / share;
    case ETSY_SUM:
        return part.sum;
    case ETSY_SUM_SQUARES:
        return part.squares;
    case ETSY_LOWER:
    case ETSY_UPPER:
        return part.last;
    case ETSY_COUNT:
    case ETSY_COUNT_PS:
    case ETSY_MEDIAN:
    case ETSY_STD:
    case ETSY_MEASURE_COUNT:
        break;
    }
    return share;
}
