/* histogram_math: see the header.
 *
 * A histogram is walked as one list of buckets from the lowest value up:
 *
 *   negative buckets, last to first | the zero bucket | positive buckets, first to last
 *
 * Within a bucket observations are taken to lie evenly on a logarithmic scale, in the zero bucket
 * on a linear one.
 */
#include "query/histogram_math.h"

#include <assert.h>
#include <math.h>

/* --- sums and differences --- */

/* Takes all buckets of the side that fall into `index` and returns what they hold. */
static double side_take(const struct histogram_side *side, size_t *next, int steps, int32_t index)
{
    double sum = 0;
    while (*next < side->count && histogram_coarser_index(side->at[*next].index, steps) == index)
        sum += side->at[(*next)++].count;
    return sum;
}

struct side_pair {
    const struct histogram_side *a, *b;
    int a_steps, b_steps;
    double sign;
};

/* Both sides at one schema, which is nearly always so. */
static size_t pair_combine_same(const struct side_pair *pair, struct histogram_bucket *out)
{
    const struct histogram_bucket *a = pair->a->at, *b = pair->b->at;
    const struct histogram_bucket *a_end = a + pair->a->count, *b_end = b + pair->b->count;
    size_t count = 0;
    while (a < a_end || b < b_end) {
        int32_t a_index = a < a_end ? a->index : INT32_MAX;
        int32_t b_index = b < b_end ? b->index : INT32_MAX;
        int32_t index = a_index < b_index ? a_index : b_index;
        double sum = 0;
        if (a_index == index)
            sum = (a++)->count;
        if (b_index == index)
            sum += pair->sign * (b++)->count;
        if (sum != 0)
            out[count++] = (struct histogram_bucket){index, sum};
    }
    return count;
}

/* Returns the number of buckets. */
static size_t pair_combine(const struct side_pair *pair, struct histogram_bucket *out)
{
    size_t i = 0, j = 0, count = 0;
    if (pair->a_steps == 0 && pair->b_steps == 0)
        return pair_combine_same(pair, out);
    while (i < pair->a->count || j < pair->b->count) {
        int32_t a_index = i < pair->a->count
                              ? histogram_coarser_index(pair->a->at[i].index, pair->a_steps)
                              : INT32_MAX;
        int32_t b_index = j < pair->b->count
                              ? histogram_coarser_index(pair->b->at[j].index, pair->b_steps)
                              : INT32_MAX;
        int32_t index = a_index < b_index ? a_index : b_index;
        double sum = side_take(pair->a, &i, pair->a_steps, index);
        sum += pair->sign * side_take(pair->b, &j, pair->b_steps, index);
        if (sum != 0)
            out[count++] = (struct histogram_bucket){index, sum};
    }
    return count;
}

static bool pair_store(struct arena *arena, const struct side_pair *pair,
                       struct histogram_side *out)
{
    size_t room = (pair->a->count + pair->b->count) * sizeof(struct histogram_bucket);
    struct histogram_bucket *at = arena_alloc(arena, room);
    if (!at)
        return false;
    size_t count = pair_combine(pair, at);
    arena_shrink(arena, at, room, count * sizeof *at);
    *out = (struct histogram_side){.at = at, .count = (uint32_t)count};
    return true;
}

/* Zero buckets of different widths: the merge of the store knows how to reconcile them. */
static struct histogram *combine_by_merge(struct arena *arena, const struct histogram *a,
                                          const struct histogram *b, double sign)
{
    struct histogram *scaled = histogram_scale(arena, b, sign), *out = NULL;
    struct histogram sum = *a;
    sum.positive.capacity = sum.negative.capacity = 0; /* borrowed: the merge copies them */
    if (scaled) {
        scaled->min = b->min;
        scaled->max = b->max;
        histogram_merge(&sum, scaled);
        out = histogram_copy(arena, &sum);
    }
    histogram_release(&sum);
    return out;
}

struct histogram *histogram_combine(struct arena *arena, const struct histogram *a,
                                    const struct histogram *b, double sign)
{
    struct histogram *out;
    if (a->zero_threshold != b->zero_threshold) {
        out = combine_by_merge(arena, a, b, sign);
    } else {
        out = arena_alloc(arena, sizeof *out);
        if (!out)
            return NULL;
        *out = *a;
        out->schema = a->schema < b->schema ? a->schema : b->schema;
        int a_steps = a->schema - out->schema, b_steps = b->schema - out->schema;
        struct side_pair positive = {&a->positive, &b->positive, a_steps, b_steps, sign};
        struct side_pair negative = {&a->negative, &b->negative, a_steps, b_steps, sign};
        out->zero_count = a->zero_count + sign * b->zero_count;
        out->count = a->count + sign * b->count;
        out->sum = a->sum + sign * b->sum;
        out->min = fmin(a->min, b->min);
        out->max = fmax(a->max, b->max);
        if (!pair_store(arena, &positive, &out->positive) ||
            !pair_store(arena, &negative, &out->negative))
            return NULL;
    }
    if (out && sign < 0)
        out->min = out->max = NAN;
    return out;
}

void histogram_multiply(struct histogram *histogram, double factor)
{
    histogram->zero_count *= factor;
    histogram->count *= factor;
    histogram->sum *= factor;
    histogram->min = histogram->max = NAN;
    for (size_t i = 0; i < histogram->positive.count; i++)
        histogram->positive.at[i].count *= factor;
    for (size_t i = 0; i < histogram->negative.count; i++)
        histogram->negative.at[i].count *= factor;
}

struct histogram *histogram_scale(struct arena *arena, const struct histogram *histogram,
                                  double factor)
{
    struct histogram *out = histogram_copy(arena, histogram);
    if (out)
        histogram_multiply(out, factor);
    return out;
}

struct histogram *histogram_quotient(struct arena *arena, const struct histogram *histogram,
                                     double divisor)
{
    struct histogram *out = histogram_copy(arena, histogram);
    if (!out)
        return NULL;
    out->zero_count /= divisor;
    out->count /= divisor;
    out->sum /= divisor;
    out->min = out->max = NAN;
    if (divisor == 0)
        out->positive.count = out->negative.count = 0;
    for (size_t i = 0; i < out->positive.count; i++)
        out->positive.at[i].count /= divisor;
    for (size_t i = 0; i < out->negative.count; i++)
        out->negative.at[i].count /= divisor;
    return out;
}

/* --- the walk --- */

struct bucket {
    double lower, upper, count;
};

static size_t bucket_count(const struct histogram *histogram)
{
    return histogram->negative.count + 1 + histogram->positive.count;
}

static struct bucket bucket_zero(const struct histogram *histogram)
{
    double width = histogram->zero_threshold;
    struct bucket out = {-width, width, histogram->zero_count};
    if (histogram->negative.count == 0 && histogram->positive.count > 0)
        out.lower = 0;
    if (histogram->positive.count == 0 && histogram->negative.count > 0)
        out.upper = 0;
    return out;
}

/* Bucket i in order of values. */
static struct bucket bucket_at(const struct histogram *histogram, size_t i)
{
    size_t negatives = histogram->negative.count;
    if (i == negatives)
        return bucket_zero(histogram);
    const struct histogram_bucket *bucket = i < negatives
                                                ? &histogram->negative.at[negatives - 1 - i]
                                                : &histogram->positive.at[i - negatives - 1];
    double inner = histogram_bound(histogram->schema, bucket->index - 1);
    double outer = histogram_bound(histogram->schema, bucket->index);
    if (i < negatives)
        return (struct bucket){-outer, -inner, bucket->count};
    return (struct bucket){inner, outer, bucket->count};
}

/* The value below which `share` (0..1) of the bucket lies. */
static double bucket_value(const struct bucket *bucket, double share)
{
    if (bucket->lower <= 0 && bucket->upper >= 0)
        return bucket->lower + (bucket->upper - bucket->lower) * share;
    double lower = log2(fabs(bucket->lower)), upper = log2(fabs(bucket->upper));
    if (bucket->lower > 0)
        return exp2(lower + (upper - lower) * share);
    return -exp2(upper + (lower - upper) * (1 - share));
}

/* The inverse of bucket_value for a value inside the bucket. */
static double bucket_share(const struct bucket *bucket, double value)
{
    if (bucket->lower <= 0 && bucket->upper >= 0)
        return (value - bucket->lower) / (bucket->upper - bucket->lower);
    double lower = log2(fabs(bucket->lower)), upper = log2(fabs(bucket->upper));
    double at = log2(fabs(value));
    return bucket->lower > 0 ? (at - lower) / (upper - lower) : 1 - (at - upper) / (lower - upper);
}

double quantile_out_of_range(double q)
{
    return isnan(q) ? NAN : q < 0 ? -INFINITY : INFINITY;
}

/* Walks from the end nearer to the rank: sums are then shorter and more exact. */
double histogram_quantile(double q, const struct histogram *histogram)
{
    if (!(q >= 0 && q <= 1))
        return quantile_out_of_range(q);
    if (!(histogram->count > 0))
        return NAN;
    bool forward = q < 0.5 || isnan(histogram->sum);
    double rank = (forward ? q : 1 - q) * histogram->count, seen = 0;
    size_t count = bucket_count(histogram);
    struct bucket bucket = {NAN, NAN, 0};
    for (size_t i = 0; i < count; i++) {
        struct bucket next = bucket_at(histogram, forward ? i : count - 1 - i);
        if (next.count == 0)
            continue;
        bucket = next;
        seen += bucket.count;
        if (seen >= rank)
            break;
    }
    if (bucket.count == 0 || (seen < rank && isnan(histogram->sum))) /* NaN was observed */
        return NAN;
    double share =
        forward ? (rank - (seen - bucket.count)) / bucket.count : (seen - rank) / bucket.count;
    return bucket_value(&bucket, fmin(fmax(share, 0), 1));
}

/* Observations up to `value`. */
static double rank_of(const struct histogram *histogram, double value)
{
    double rank = 0;
    for (size_t i = 0; i < bucket_count(histogram); i++) {
        struct bucket bucket = bucket_at(histogram, i);
        if (bucket.lower >= value)
            break;
        if (bucket.upper <= value)
            rank += bucket.count;
        else if (bucket.count != 0)
            rank += bucket.count * bucket_share(&bucket, value);
    }
    return rank;
}

double histogram_fraction(double lower, double upper, const struct histogram *histogram)
{
    if (!(histogram->count > 0) || isnan(lower) || isnan(upper))
        return NAN;
    if (lower >= upper)
        return 0;
    return (rank_of(histogram, upper) - rank_of(histogram, lower)) / histogram->count;
}

/* --- trimming --- */

/* The share of the bucket that lies below the limit. */
static double share_below(const struct bucket *bucket, double limit)
{
    if (bucket->upper <= limit)
        return 1;
    if (!(bucket->lower < limit))
        return 0;
    return bucket_share(bucket, limit);
}

/* Where the observations of a bucket lie on the average. */
static double bucket_middle(const struct bucket *bucket)
{
    if (bucket->lower <= 0 && bucket->upper >= 0)
        return (bucket->lower + bucket->upper) / 2;
    double middle = sqrt(fabs(bucket->lower)) * sqrt(fabs(bucket->upper));
    return bucket->lower > 0 ? middle : -middle;
}

static double *bucket_place(struct histogram *histogram, size_t i)
{
    size_t negatives = histogram->negative.count;
    if (i == negatives)
        return &histogram->zero_count;
    return i < negatives ? &histogram->negative.at[negatives - 1 - i].count
                         : &histogram->positive.at[i - negatives - 1].count;
}

static void drop_empty(struct histogram_side *side)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < side->count; i++)
        if (side->at[i].count != 0)
            side->at[kept++] = side->at[i];
    side->count = kept;
}

struct histogram *histogram_trim(struct arena *arena, const struct histogram *histogram,
                                 double limit, bool below)
{
    struct histogram *out = histogram_copy(arena, histogram);
    double count = 0, sum = 0;
    bool cut = false;
    for (size_t i = 0; out && i < bucket_count(histogram); i++) {
        struct bucket bucket = bucket_at(histogram, i);
        double share = share_below(&bucket, limit);
        double kept = bucket.count * (below ? share : 1 - share);
        cut = cut || kept != bucket.count;
        *bucket_place(out, i) = kept;
        if (kept == 0)
            continue;
        if (bucket.lower < limit && limit < bucket.upper)
            *(below ? &bucket.upper : &bucket.lower) = limit;
        count += kept;
        sum += kept * bucket_middle(&bucket);
    }
    if (!out || !cut)
        return out;
    out->count = count;
    out->sum = sum;
    out->min = out->max = NAN;
    drop_empty(&out->positive);
    drop_empty(&out->negative);
    return out;
}
