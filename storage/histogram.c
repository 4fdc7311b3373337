/* histogram: bucket arithmetic of exponential histograms.
 *
 * The mantissa of a value, scaled to [0.5, 1), is looked up among the 256 bounds of schema 8; the
 * exponent gives the rest. Coarser schemas follow by halving, because their bounds are a subset:
 *
 *   index8 = (exponent - 1) * 256 + first j with bound[j] >= mantissa
 *   index at schema s = ceil(index8 / 2^(8-s))
 *
 * so membership is exact, without a logarithm. Buckets are a sorted array: a timer has some dozens
 * of them, and a merge, a scan and an encoding want them in order. When a side outgrows
 * HISTOGRAM_BUCKETS_MAX both sides go one schema down, again and again until it fits; at schema -4
 * all of double's range is 135 buckets.
 *
 * Deliberately absent: custom bounds, and subtraction (only queries want that).
 */
#include "storage/histogram.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/histogram_bounds.h"

#define CAPACITY_MIN  8
#define MANTISSA_BITS ((1ull << 52) - 1)
#define HALF_BITS     (1022ull << 52) /* the exponent of 0.5 */

void histogram_init(struct histogram *histogram)
{
    *histogram = (struct histogram){.schema = HISTOGRAM_SCHEMA,
                                    .zero_threshold = HISTOGRAM_ZERO_THRESHOLD,
                                    .min = NAN,
                                    .max = NAN};
}

static void side_release(struct histogram_side *side)
{
    if (side->capacity)
        free(side->at);
    *side = (struct histogram_side){0};
}

void histogram_release(struct histogram *histogram)
{
    side_release(&histogram->positive);
    side_release(&histogram->negative);
}

size_t histogram_bytes(const struct histogram *histogram)
{
    return ((size_t)histogram->positive.capacity + histogram->negative.capacity) *
           sizeof(struct histogram_bucket);
}

void histogram_reset(struct histogram *histogram)
{
    struct histogram_side positive = histogram->positive, negative = histogram->negative;
    histogram_init(histogram);
    histogram->positive = positive;
    histogram->negative = negative;
    histogram->positive.count = histogram->negative.count = 0;
}

/* Of a normal value, scaled to [0.5, 1). */
static double mantissa_of(uint64_t bits)
{
    double mantissa;
    bits = (bits & MANTISSA_BITS) | HALF_BITS;
    memcpy(&mantissa, &bits, sizeof mantissa);
    return mantissa;
}

/* As frexp, which is a call, for normal values. */
static double split(double value, int *exponent)
{
    uint64_t bits;
    if (value < DBL_MIN)
        return frexp(value, exponent);
    memcpy(&bits, &value, sizeof bits);
    *exponent = (int)(bits >> 52) - 1022;
    return mantissa_of(bits);
}

int32_t histogram_index(int schema, double value)
{
    assert(value > 0 && value <= DBL_MAX);
    int exponent;
    double mantissa = split(value, &exponent);
    int j = histogram_hint_table[(int)((mantissa - 0.5) * 512)];
    /* Two steps at most lie behind a hint, and no branch that nobody could predict. */
    j += histogram_bound_table[j] < mantissa;
    j += histogram_bound_table[j] < mantissa;
    return histogram_coarser_index((exponent - 1) * HISTOGRAM_BOUNDS + j,
                                   HISTOGRAM_SCHEMA_MAX - schema);
}

double histogram_bound(int schema, int32_t index)
{
    assert(schema >= HISTOGRAM_SCHEMA_MIN && schema <= HISTOGRAM_SCHEMA_MAX);
    int64_t fine = (int64_t)index * ((int64_t)1 << (HISTOGRAM_SCHEMA_MAX - schema));
    int64_t exponent = fine >> 8;
    if (exponent >= 1024) /* the last bucket ends at the largest double; beyond it is +Inf */
        return fine == 1024 * HISTOGRAM_BOUNDS ? DBL_MAX : INFINITY;
    if (exponent < -1100)
        return 0;
    return ldexp(histogram_bound_table[fine & (HISTOGRAM_BOUNDS - 1)], (int)exponent + 1);
}

/* Makes the array our own with room for `count`. */
static void side_reserve(struct histogram_side *side, uint32_t count)
{
    if (count <= side->capacity)
        return;
    uint32_t capacity = side->capacity ? side->capacity : CAPACITY_MIN;
    while (capacity < count)
        capacity *= 2;
    struct histogram_bucket *at =
        alloc_resize(side->capacity ? side->at : NULL, capacity, sizeof *at);
    if (!side->capacity && side->count)
        memcpy(at, side->at, side->count * sizeof *at);
    side->at = at;
    side->capacity = capacity;
}

/* The place of the first bucket with an index >= this. Observations come in no order, so the halves
 * are chosen without a branch. */
static uint32_t side_find(const struct histogram_side *side, int32_t index)
{
    uint32_t low = 0;
    for (uint32_t left = side->count; left > 0;) {
        uint32_t half = (left + 1) / 2;
        low = side->at[low + half - 1].index < index ? low + half : low;
        left -= half;
    }
    return low;
}

static void side_insert(struct histogram_side *side, uint32_t place, int32_t index, double count)
{
    side_reserve(side, side->count + 1);
    memmove(&side->at[place + 1], &side->at[place], (side->count - place) * sizeof *side->at);
    side->at[place] = (struct histogram_bucket){index, count};
    side->count++;
}

/* The array must be our own. */
static inline void side_add(struct histogram_side *side, int32_t index, double count)
{
    uint32_t place = side_find(side, index);
    if (place < side->count && side->at[place].index == index)
        side->at[place].count += count;
    else
        side_insert(side, place, index, count);
}

/* Joins neighbours `steps` times over, in place. */
static void side_coarsen(struct histogram_side *side, int steps)
{
    side_reserve(side, side->count);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < side->count; i++) {
        int32_t index = histogram_coarser_index(side->at[i].index, steps);
        if (kept && side->at[kept - 1].index == index)
            side->at[kept - 1].count += side->at[i].count;
        else
            side->at[kept++] = (struct histogram_bucket){index, side->at[i].count};
    }
    side->count = kept;
}

static void histogram_coarsen(struct histogram *histogram, int schema)
{
    int steps = histogram->schema - schema;
    if (steps <= 0)
        return;
    side_coarsen(&histogram->positive, steps);
    side_coarsen(&histogram->negative, steps);
    histogram->schema = schema;
}

static void histogram_fit(struct histogram *histogram)
{
    while ((histogram->positive.count > HISTOGRAM_BUCKETS_MAX ||
            histogram->negative.count > HISTOGRAM_BUCKETS_MAX) &&
           histogram->schema > HISTOGRAM_SCHEMA_MIN)
        histogram_coarsen(histogram, histogram->schema - 1);
}

static void add_to_totals(struct histogram *histogram, double value, double weight)
{
    assert(weight > 0);
    histogram->count += weight;
    histogram->sum += value * weight;
    /* At first they are NaN, which no comparison keeps. */
    histogram->min = histogram->min < value ? histogram->min : value;
    histogram->max = histogram->max > value ? histogram->max : value;
}

void histogram_add(struct histogram *histogram, double value, double weight)
{
    assert(isfinite(value));
    add_to_totals(histogram, value, weight);
    if (fabs(value) <= histogram->zero_threshold) {
        histogram->zero_count += weight;
        return;
    }
    struct histogram_side *side = value > 0 ? &histogram->positive : &histogram->negative;
    side_reserve(side, side->count);
    side_add(side, histogram_index(histogram->schema, fabs(value)), weight);
    if (side->count > HISTOGRAM_BUCKETS_MAX)
        histogram_fit(histogram);
}

/* histogram_index at HISTOGRAM_SCHEMA, for a normal value: between two hints there is one of its bounds
 * at most. */
static int16_t index_of_usual(double value)
{
    enum { FINER = 1 << (HISTOGRAM_SCHEMA_MAX - HISTOGRAM_SCHEMA) };
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    unsigned j = (histogram_hint_table[bits >> 44 & 0xff] + FINER - 1u) / FINER;
    j += histogram_bound_table[j * FINER] < mantissa_of(bits);
    int exponent = (int)(bits >> 52) - 1023;
    return (int16_t)(exponent * (HISTOGRAM_BOUNDS / FINER) + (int)j);
}

int16_t histogram_note(struct histogram *histogram, double value, double weight)
{
    add_to_totals(histogram, value, weight);
    return index_of_usual(value);
}

void histogram_place(struct histogram *histogram, const int16_t *indexes, size_t count,
                     double weight)
{
    struct histogram_side *side = &histogram->positive;
    int steps = HISTOGRAM_SCHEMA - histogram->schema;
    side_reserve(side, side->count);
    for (size_t i = 0; i < count; i++)
        side_add(side, histogram_coarser_index(indexes[i], steps), weight);
    if (side->count > HISTOGRAM_BUCKETS_MAX)
        histogram_fit(histogram);
}

/* Adds b's buckets to those of a as far as a has them. Returns how many were. */
static uint32_t side_add_known(struct histogram_side *a, const struct histogram_side *b, int steps)
{
    uint32_t next = 0, place = 0;
    for (; next < b->count; next++) {
        int32_t index = histogram_coarser_index(b->at[next].index, steps);
        while (place < a->count && a->at[place].index < index)
            place++;
        if (place == a->count || a->at[place].index != index)
            break;
        a->at[place].count += b->at[next].count;
    }
    return next;
}

/* Merges b's buckets, `steps` schemas coarser, into a: nearly always a has all of them; what is left
 * goes in one pass from the back, in place. */
static void side_merge(struct histogram_side *a, const struct histogram_side *b, int steps)
{
    side_reserve(a, a->count);
    uint32_t known = side_add_known(a, b, steps), total = a->count + b->count - known;
    if (known == b->count)
        return;
    side_reserve(a, total);
    uint32_t left = a->count, right = b->count, to = total;
    while (left || right > known) {
        bool more = right > known;
        int32_t right_index = more ? histogram_coarser_index(b->at[right - 1].index, steps) : 0;
        bool take_left = left && (!more || a->at[left - 1].index > right_index);
        struct histogram_bucket next =
            take_left ? a->at[--left]
                      : (struct histogram_bucket){right_index, b->at[--right].count};
        if (to < total && a->at[to].index == next.index)
            a->at[to].count += next.count;
        else
            a->at[--to] = next;
    }
    a->count = total - to;
    memmove(a->at, a->at + to, a->count * sizeof *a->at);
}

/* The threshold, raised so that it cuts no populated bucket of this side in two. */
static double side_threshold(const struct histogram_side *side, int schema, double threshold)
{
    for (size_t i = 0; i < side->count; i++) {
        if (histogram_bound(schema, side->at[i].index - 1) >= threshold)
            break;
        double upper = histogram_bound(schema, side->at[i].index);
        if (side->at[i].count != 0 && upper > threshold)
            threshold = upper;
    }
    return threshold;
}

/* Drops the buckets at or below the threshold and returns what they held. */
static double side_absorb(struct histogram_side *side, int schema, double threshold)
{
    uint32_t gone = 0;
    double sum = 0;
    while (gone < side->count && histogram_bound(schema, side->at[gone].index) <= threshold)
        sum += side->at[gone++].count;
    if (gone == 0)
        return 0;
    side_reserve(side, side->count);
    side->count -= gone;
    memmove(side->at, side->at + gone, side->count * sizeof *side->at);
    return sum;
}

/* The zero bucket of both must be equally wide; the wider one swallows the buckets it covers. */
static void widen_zero(struct histogram *histogram, double threshold)
{
    if (histogram->zero_threshold >= threshold)
        return;
    histogram->zero_threshold = threshold;
    histogram->zero_count += side_absorb(&histogram->positive, histogram->schema, threshold);
    histogram->zero_count += side_absorb(&histogram->negative, histogram->schema, threshold);
}

static double common_threshold(const struct histogram *a, const struct histogram *b)
{
    double threshold = fmax(a->zero_threshold, b->zero_threshold), before;
    do {
        before = threshold;
        threshold = side_threshold(&a->positive, a->schema, threshold);
        threshold = side_threshold(&a->negative, a->schema, threshold);
        threshold = side_threshold(&b->positive, b->schema, threshold);
        threshold = side_threshold(&b->negative, b->schema, threshold);
    } while (threshold > before);
    return threshold;
}

static void add_totals(struct histogram *a, const struct histogram *b)
{
    a->zero_count += b->zero_count;
    a->count += b->count;
    a->sum += b->sum;
    a->min = fmin(a->min, b->min);
    a->max = fmax(a->max, b->max);
}

static void side_clone(struct histogram_side *to, const struct histogram_side *from)
{
    *to = (struct histogram_side){.at = from->at, .count = from->count};
    side_reserve(to, from->count);
}

void histogram_merge(struct histogram *a, const struct histogram *b)
{
    struct histogram aside = *b;
    bool reconcile = a->zero_threshold != b->zero_threshold;
    if (reconcile) { /* rare: b is changed, so work on a copy */
        side_clone(&aside.positive, &b->positive);
        side_clone(&aside.negative, &b->negative);
        double threshold = common_threshold(a, b);
        widen_zero(a, threshold);
        widen_zero(&aside, threshold);
    }
    histogram_coarsen(a, b->schema);
    int steps = b->schema - a->schema;
    side_merge(&a->positive, &aside.positive, steps);
    side_merge(&a->negative, &aside.negative, steps);
    add_totals(a, &aside);
    histogram_fit(a);
    if (reconcile)
        histogram_release(&aside);
}

struct histogram *histogram_copy(struct arena *arena, const struct histogram *histogram)
{
    const uint32_t positive = histogram->positive.count, negative = histogram->negative.count;
    struct histogram *copy = arena_alloc(arena, sizeof *copy + ((size_t)positive + negative) *
                                                                   sizeof(struct histogram_bucket));
    if (!copy)
        return NULL;
    *copy = *histogram;
    struct histogram_bucket *at = (struct histogram_bucket *)(copy + 1);
    copy->positive = (struct histogram_side){.at = at, .count = positive};
    copy->negative = (struct histogram_side){.at = at + positive, .count = negative};
    if (positive)
        memcpy(copy->positive.at, histogram->positive.at, positive * sizeof *at);
    if (negative)
        memcpy(copy->negative.at, histogram->negative.at, negative * sizeof *at);
    return copy;
}

/* Buckets that hold nothing do not count. */
static bool side_equal(const struct histogram_side *a, const struct histogram_side *b)
{
    for (size_t i = 0, j = 0;; i++, j++) {
        while (i < a->count && a->at[i].count == 0)
            i++;
        while (j < b->count && b->at[j].count == 0)
            j++;
        if (i == a->count || j == b->count)
            return i == a->count && j == b->count;
        if (a->at[i].index != b->at[j].index || a->at[i].count != b->at[j].count)
            return false;
    }
}

static bool same_number(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

bool histogram_equal(const struct histogram *a, const struct histogram *b)
{
    return a->schema == b->schema && a->zero_threshold == b->zero_threshold &&
           a->zero_count == b->zero_count && a->count == b->count && same_number(a->sum, b->sum) &&
           same_number(a->min, b->min) && same_number(a->max, b->max) &&
           side_equal(&a->positive, &b->positive) && side_equal(&a->negative, &b->negative);
}

/* --- resets --- */

/* At one schema, and most often with the very same buckets. */
static bool side_fell_same(const struct histogram_side *before, const struct histogram_side *after)
{
    const struct histogram_bucket *now = after->at, *end = now + after->count;
    for (size_t i = 0; i < before->count; i++) {
        while (now < end && now->index < before->at[i].index)
            now++;
        bool there = now < end && now->index == before->at[i].index;
        if (before->at[i].count > (there ? now->count : 0))
            return true;
    }
    return false;
}

static bool side_fell(const struct histogram_side *before, const struct histogram_side *after,
                      int steps)
{
    size_t j = 0;
    if (steps == 0)
        return side_fell_same(before, after);
    for (size_t i = 0; i < before->count;) {
        int32_t index = histogram_coarser_index(before->at[i].index, steps);
        double was = 0;
        while (i < before->count && histogram_coarser_index(before->at[i].index, steps) == index)
            was += before->at[i++].count;
        while (j < after->count && after->at[j].index < index)
            j++;
        double is = j < after->count && after->at[j].index == index ? after->at[j].count : 0;
        if (is < was)
            return true;
    }
    return false;
}

bool histogram_fell(const struct histogram *before, const struct histogram *after)
{
    if (after->count < before->count || after->schema > before->schema)
        return true;
    if (after->zero_threshold != before->zero_threshold)
        return after->zero_threshold < before->zero_threshold;
    int steps = before->schema - after->schema;
    return after->zero_count < before->zero_count ||
           side_fell(&before->positive, &after->positive, steps) ||
           side_fell(&before->negative, &after->negative, steps);
}
