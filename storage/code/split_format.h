/* split_format: what writers and readers of a split agree on; storage/code/split.c draws it. */
#ifndef STORAGE_CODE_SPLIT_FORMAT_H
#define STORAGE_CODE_SPLIT_FORMAT_H

#include <assert.h>

#include "storage/code/split.h"

#define BLOCK_ROWS 272 /* sixteen in half a day: none is left over where four are read at once */
#define BLOCKS_MAX (SPLIT_COUNT_MAX / BLOCK_ROWS + 1)
#define FLAG_DELTA 16
#define FLAG_FRAME 32
#define SHIFT_MAX  63

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

/* How a column is cut. */
struct blocks {
    size_t count, rows; /* of a block, but for the last */
    size_t stride;      /* residuals of a block */
    size_t residuals;   /* of all */
};

static inline struct blocks blocks_of(size_t rows, bool delta)
{
    struct blocks blocks = {.count = (rows + BLOCK_ROWS / 2) / BLOCK_ROWS};
    blocks.count += blocks.count == 0;
    blocks.rows = (rows + blocks.count - 1) / blocks.count;
    blocks.stride = blocks.rows - delta;
    blocks.residuals = rows - (delta ? blocks.count : 0);
    assert(blocks.count <= BLOCKS_MAX);
    return blocks;
}

/* --- what split_whole.c shares with split_read.c --- */

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
