/* rollup: samples of one series folded into buckets of equal width, and buckets into wider ones.
 *
 * A bucket of width w that ends at e covers (e - w, e], e a multiple of w since 1970: what a window
 * that ends at e covers. What is kept of one answers count, sum, average, extremes, first, last and
 * increase exactly, of one bucket or of many. Empty buckets are left out.
 *
 * Pure functions over memory that the rollup owns; histograms and sketches are borrowed from an
 * arena. One thread at a time.
 */
#ifndef STORAGE_ROLLUP_H
#define STORAGE_ROLLUP_H

#include "storage/code/chunk.h"
#include "storage/store.h"
#include "storage/tombstone.h"

/* Width of the buckets of a tier; 0 for raw. */
extern const int64_t rollup_tier_ms[STORE_TIER_COUNT];

/* Columns, an entry a bucket. Of a bucket that has only a stale marker, counts is 0, the times are
 * the marker's and the numbers mean nothing. */
struct rollup {
    bool histograms;
    bool has_drop; /* `drop` is known; false only after decoding or merging such */
    bool sketched; /* sketches are wanted; else codes of buckets are read without them */
    size_t count;
    size_t capacity;
    size_t damaged;   /* chunks that are missing in it */
    unsigned without; /* BUCKETS_...: these columns of values mean nothing */
    int64_t width_ms;
    int64_t *end_ms;
    uint32_t *counts; /* samples that are no stale markers */
    int64_t *first_ms;
    int64_t *last_ms;
    double *first, *last, *sum; /* values only */
    double *min, *max;          /* of histograms: of what the ticks recorded */
    double *drop;               /* values: what was lost to falls inside the bucket */
    bool *ended;                /* the newest sample is a stale marker */
    const struct histogram **first_histogram;
    const struct histogram **last_histogram;
    const struct histogram **drop_histogram; /* NULL entries: it never began anew */
    struct slice *sketches; /* codes of the unions of what samples have; empty: they have none */
};

void rollup_init(struct rollup *rollup);
void rollup_release(struct rollup *rollup);
/* Empties it for buckets of that width, with all columns; keeps the memory. */
void rollup_reset(struct rollup *rollup, bool histograms, int64_t width_ms);
/* The end of the bucket that a sample at this time, >= 0, falls into. */
static inline int64_t bucket_end(int64_t time_ms, int64_t width_ms)
{
    return (time_ms + width_ms - 1) / width_ms * width_ms;
}

/* Room for that many more buckets behind the others; they are not counted yet. */
void rollup_reserve(struct rollup *rollup, size_t count);
/* Folds samples that follow all others. Stale markers are no samples, but end a bucket. */
void rollup_add_values(struct rollup *rollup, const int64_t *times, const double *values,
                       size_t count);
/* NULL entries are stale markers; the pointers are kept. False when the arena is exhausted. */
MUST_USE bool rollup_add_histograms(struct rollup *rollup, const int64_t *times,
                                    const struct histogram *const *histograms, size_t count,
                                    struct arena *arena);
MUST_USE bool rollup_add_column(struct rollup *rollup, const struct store_column *column,
                                struct arena *arena);
/* Folds a bucket of `finer`, which follows all others, into the bucket it lies in. False when the
 * arena is exhausted. */
MUST_USE bool rollup_add_bucket(struct rollup *rollup, const struct rollup *finer, size_t i,
                                struct arena *arena);
/* Takes those from `at` on away that meet one of the ranges: what they hold cannot be told apart. */
void rollup_strike(struct rollup *rollup, size_t at, const struct time_ranges *ranges);
/* Folds what a chunk's footer says of [start, end] ms, which follows all others. Values only; none of
 * the samples is a stale marker. */
void rollup_add_summary(struct rollup *rollup, int64_t start_ms, int64_t end_ms,
                        const struct chunk_summary *summary);
/* Takes `count` buckets from `at` on away. */
void rollup_remove(struct rollup *rollup, size_t at, size_t count);
/* The buckets as readers see them, as long as the rollup is not changed. */
void rollup_view(const struct rollup *rollup, struct store_buckets *out);

#endif
