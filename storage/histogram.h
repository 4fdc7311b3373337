/* histogram: an exponential histogram with Prometheus' native bucket layout.
 *
 * Bucket i of schema s holds (g^(i-1), g^i] with g = 2^(2^-s); at the default schema 6 one bucket
 * is 1.09 % wide. Buckets are sparse, sorted by index, counts are doubles (weighted inserts,
 * exact as integers up to 2^53). Merging adds; unequal schemas meet at the coarser one, two
 * neighbours into one: index (i+1)>>1 a step (arithmetic shift).
 * Source: Prometheus native histograms specification (standard exponential schemas).
 *
 * A stored histogram sample is cumulative since the series began, like a counter. `min` and `max`
 * are those of the tick it was written at (NaN when the tick had no values).
 * Plain data on an arena or owned with histogram_release; one thread at a time.
 */
#ifndef STORAGE_HISTOGRAM_H
#define STORAGE_HISTOGRAM_H

#include "storage/base/arena.h"
#include "storage/base/buffer.h"

#define HISTOGRAM_SCHEMA      6
#define HISTOGRAM_SCHEMA_MIN  (-4)
#define HISTOGRAM_SCHEMA_MAX  8
#define HISTOGRAM_BUCKETS_MAX 1280 /* a side; beyond it neighbours are merged */
/* |value| up to this counts as zero. */
#define HISTOGRAM_ZERO_THRESHOLD 2.938735877055719e-39 /* 2^-128, Prometheus' default */

struct histogram_bucket {
    int32_t index;
    double count;
};

struct histogram_side {
    struct histogram_bucket *at; /* sorted by index, counts may be 0 */
    uint32_t count;
    uint32_t capacity; /* 0: the array belongs to an arena or elsewhere */
};

struct histogram {
    double count;
    double sum;
    double min, max;
    int schema;
    double zero_threshold;
    double zero_count;
    struct histogram_side positive;
    struct histogram_side negative; /* indexes of |value| */
};

/* Empty, schema HISTOGRAM_SCHEMA, min and max NaN. */
void histogram_init(struct histogram *histogram);
void histogram_release(struct histogram *histogram);
/* Heap bytes held. */
size_t histogram_bytes(const struct histogram *histogram);
/* Empties it; keeps the memory. */
void histogram_reset(struct histogram *histogram);
/* One observation of weight > 0. value must be finite. */
void histogram_add(struct histogram *histogram, double value, double weight);
/* The same in two steps, for values that histogram_waits. note: the totals, which are the first
 * members and all that it touches; returns the bucket's index at HISTOGRAM_SCHEMA. */
int16_t histogram_note(struct histogram *histogram, double value, double weight);
/* place: the buckets, with the indexes that were returned. */
void histogram_place(struct histogram *histogram, const int16_t *indexes, size_t count,
                     double weight);
/* Not zero by the default threshold, and its index fits into 16 bits. */
static inline bool histogram_waits(double value)
{
    return value > HISTOGRAM_ZERO_THRESHOLD && value < 0x1p500;
}
/* Adds b to a (owned); min and max combine. */
void histogram_merge(struct histogram *a, const struct histogram *b);
/* Bucket index of a positive finite value. */
int32_t histogram_index(int schema, double value);
/* Upper bound of bucket `index`; the lower bound is that of index-1. */
double histogram_bound(int schema, int32_t index);
/* The index of the same bucket after `steps` halvings of the resolution. */
static inline int32_t histogram_coarser_index(int32_t index, int steps)
{
    return (int32_t)(((int64_t)index + ((int64_t)1 << steps) - 1) >> steps);
}
/* A deep copy whose arrays live in the arena; NULL once its limit is reached. */
struct histogram *histogram_copy(struct arena *arena, const struct histogram *histogram);
bool histogram_equal(const struct histogram *a, const struct histogram *b);
/* Whether the cumulative histogram began anew between the two. */
bool histogram_fell(const struct histogram *before, const struct histogram *after);

#endif
