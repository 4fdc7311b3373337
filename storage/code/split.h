/* split: a column of integers as noise and shape, in blocks that can be read alone.
 *
 * For storage/code/dense.c, which says where it is used. Pure functions; any thread.
 */
#ifndef STORAGE_CODE_SPLIT_H
#define STORAGE_CODE_SPLIT_H

#include "storage/code/pack.h"

#define SPLIT_COUNT_MAX 10240
#define SPLIT_COUNT_MIN 3

/* Tries fewer predictors where the noise is small. The count is not stored. */
void split_append(struct buffer *out, const int64_t *values, size_t count, bool small);
/* Cuts a column from the front of *rest. Of *out, which has room for all, only the wanted entries mean
 * something then. False on malformed bytes. */
MUST_USE bool split_cut(struct slice *rest, int64_t *out, struct part part);

/* split_whole.c: the form of chunks of version 2 and before, which knew no blocks. */
MUST_USE bool split_whole_cut(struct slice *rest, int64_t *out, struct part part);

/* --- what both forms share --- */

/* What is taken away from the values. */
struct predictor {
    uint8_t smooth; /* 0, or 1 + k: a running mean over about 2^k values */
    bool delta;     /* of differences */
};

/* A running mean over about 2^k values: of sums of what it was off by. */
static inline uint64_t split_mean(uint64_t sum, unsigned k)
{
    return (uint64_t)((int64_t)sum >> k);
}

/* Residuals from `from` up to `to`, out of symbols and low bits: base + symbol << shift + low bits. */
struct split_noise {
    struct slice low;
    unsigned shift;
    uint64_t base;
};
void split_read_noise(const struct split_noise *noise, const uint8_t *symbols, size_t from,
                      size_t to, uint64_t *out);
/* Adds what is predicted to the residuals at[0..count); with a running mean they begin at `mean`. With
 * differences at[-1] is the value before. */
void split_restore(struct predictor predictor, uint64_t mean, uint64_t *at, size_t count);

#endif
