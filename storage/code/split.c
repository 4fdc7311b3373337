/* split: residuals split into noise and shape.
 *
 *   predictor u8 | base zigzag | shift u8 | [values] | [means] | symbols | low bits | patches
 *
 *   predictor  low nibble: 1 + k, a running mean over about 2^k values is subtracted (k = 0: the
 *              value before); 0: no. Bit 4: of differences; else of the values. Bit 5: see symbols
 *   values     with differences: the first one of each block, packed (storage/code/pack.c)
 *   means      with a running mean: what it is where each block begins, packed
 *   symbols    a byte for each residual less base: what is above the `shift` low bits.
 *              code | bytes of each block, packed | a stream for each block (storage/code/huffman.c)
 *              or, with bit 5, a zstd frame of all, prefixed (storage/code/frame.c)
 *   low bits   `shift` bits for each residual, least significant first, padded to bytes
 *   patches    count varint, (gap varint, zigzag) each: residuals that do not fit have the symbol 128,
 *              and this is how far above it they are
 *
 *   rows       0 ........ 269 | 270 ....... 539 | 540 ...     some 272 a block; all but the last one
 *   residuals    0 ...... 268 |   269 ..... 537 |   538 ...   are of one size
 *              ^ values[0]      ^ values[1]       ^ values[2]  (of differences)
 *
 * The low bits of noise are noise: they are stored as they are. What is above them has a shape,
 * mostly a bell, and a Huffman code takes nearly its entropy. Bit packing (pack.c) spends on each
 * residual what the largest need: 5 to 15 % more. Counters of busy services rise by a number that
 * drifts over the day, hence running means: the difference to the last difference would add half a
 * bit of noise. Predictor and shift are chosen by the entropy of the bytes.
 *
 * A chunk of a closed day has half of it, and most who read one want five minutes. So nothing in a
 * block depends on those before. A block costs ten bits, and some thirty with values and means, which
 * are whole numbers where it begins. What repeats, like the steps of a gauge that often rests, zstd's matches
 * code in less than the one bit that a Huffman code takes at least; such symbols are read whole, which
 * takes little time, too. Arithmetic is modulo 2^64.
 */
#include "storage/code/split.h"

#include <assert.h>
#include <endian.h>
#include <math.h>
#include <stdlib.h>

#include "storage/code/frame.h"
#include "storage/code/huffman.h"
#include "storage/code/split_format.h"

#define SYMBOLS       256
#define SYMBOL_MIDDLE 128
#define SYMBOL_BITS   6  /* what a symbol costs in the code */
#define PATCH_BITS    32 /* about what one costs */
#define PROBES        64 /* values looked at to find the range */
#define SHIFTS_TRIED  5
#define FRAME_PERCENT 98 /* of the other form's bytes a frame may take */

/* What is tried: for small noise, like the counts of a histogram's buckets, only the first two. No
 * smoothing of differences by the one before: it never won. */
static const struct predictor predictors[] = {{0, false}, {0, true}, {3, false}, {5, false},
                                              {3, true},  {5, true}, {7, true}};
#define PREDICTORS       (sizeof predictors / sizeof *predictors)
#define PREDICTORS_SMALL 2

struct split {
    struct predictor predictor;
    unsigned shift;
    uint64_t base;
    double cost; /* bits, about */
};

/* A column without what is predicted. */
struct residuals {
    struct blocks blocks;
    uint64_t at[SPLIT_COUNT_MAX];
    int64_t values[BLOCKS_MAX], means[BLOCKS_MAX];
};

/* Takes away what is predicted. The mean of the first block is what comes first in it. */
static void apply(struct predictor predictor, const int64_t *values, size_t count,
                  struct residuals *out)
{
    unsigned k = predictor.smooth ? predictor.smooth - 1u : 0;
    uint64_t last = 0, *to = out->at;
    uint64_t sum = (uint64_t)values[predictor.delta] - (predictor.delta ? (uint64_t)values[0] : 0);
    struct blocks blocks = out->blocks = blocks_of(count, predictor.delta);
    sum <<= k;
    for (size_t row = 0; row < count; row++) {
        uint64_t residual = (uint64_t)values[row] - last;
        last = predictor.delta ? (uint64_t)values[row] : 0;
        if (row % blocks.rows == 0) {
            uint64_t mean = split_mean(sum, k);
            out->values[row / blocks.rows] = values[row];
            out->means[row / blocks.rows] = (int64_t)mean;
            sum = mean << k;
            if (predictor.delta)
                continue;
        }
        if (predictor.smooth) {
            residual -= split_mean(sum, k);
            sum += residual;
        }
        *to++ = residual;
    }
    assert(to == out->at + blocks.residuals);
}

/* What is above the low bits; below zero or SYMBOLS and more: it needs a patch. */
static int64_t high_of(uint64_t residual, const struct split *split)
{
    return (int64_t)(residual - split->base) >> split->shift;
}

static bool has_symbol(int64_t high)
{
    return high >= 0 && high < SYMBOLS;
}

static uint8_t symbol_of(int64_t high)
{
    return has_symbol(high) ? (uint8_t)high : SYMBOL_MIDDLE;
}

/* Bits that this split would take. */
static double cost_of(const struct split *split, const struct residuals *residuals)
{
    size_t counts[SYMBOLS] = {0}, count = residuals->blocks.residuals, patches = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t high = high_of(residuals->at[i], split);
        counts[symbol_of(high)]++;
        patches += !has_symbol(high);
    }
    double bits = (double)count * split->shift + (double)patches * PATCH_BITS;
    for (size_t i = 0; i < SYMBOLS; i++)
        if (counts[i])
            bits += (double)counts[i] * log2((double)count / (double)counts[i]) + SYMBOL_BITS;
    return bits;
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* The range that most residuals lie in. */
static void find_range(const struct residuals *residuals, uint64_t *low, uint64_t *range)
{
    int64_t probes[PROBES];
    size_t count = residuals->blocks.residuals;
    size_t probed = count < PROBES ? count : PROBES, aside = probed / 64; /* become patches */
    for (size_t i = 0; i < probed; i++)
        probes[i] = (int64_t)residuals->at[i * count / probed];
    qsort(probes, probed, sizeof *probes, compare);
    *low = (uint64_t)probes[aside];
    *range = (uint64_t)probes[probed - 1 - aside] - *low;
}

static unsigned bit_length(uint64_t x)
{
    return x ? 64 - (unsigned)__builtin_clzll(x) : 0;
}

/* Tries some shifts that make sense for the range. */
static void plan_split(struct split *best, struct predictor predictor,
                       const struct residuals *residuals, unsigned shifts)
{
    uint64_t low, range;
    find_range(residuals, &low, &range);
    unsigned width = bit_length(range), least = width > 6 ? width - 6 : 0;
    for (unsigned shift = least; shift < least + shifts && shift <= SHIFT_MAX; shift++) {
        struct split try = {.predictor = predictor, .shift = shift};
        uint64_t window = shift > 55 ? UINT64_MAX : (uint64_t)SYMBOLS << shift;
        try.base = low - (window > range ? (window - range) / 2 : 0);
        try.cost = cost_of(&try, residuals);
        if (try.cost < best->cost)
            *best = try;
    }
}

static void append_streams(struct buffer *out, const uint8_t *symbols, const struct blocks *blocks)
{
    uint32_t counts[SYMBOLS] = {0};
    int64_t sizes[BLOCKS_MAX];
    struct huffman_code code;
    struct buffer streams;
    for (size_t i = 0; i < blocks->residuals; i++)
        counts[symbols[i]]++;
    huffman_plan(counts, &code);
    buffer_init(&streams, SIZE_MAX);
    for (size_t block = 0; block < blocks->count; block++) {
        size_t from = block * blocks->stride, start = streams.len;
        size_t left = blocks->residuals - from;
        huffman_append(&streams, &code, symbols + from,
                       left < blocks->stride ? left : blocks->stride);
        sizes[block] = (int64_t)(streams.len - start);
    }
    huffman_append_code(out, &code);
    pack_append(out, sizes, blocks->count);
    buffer_append_slice(out, buffer_slice(&streams));
    buffer_release(&streams);
}

/* Returns true when they are a frame. */
static bool append_symbols(struct buffer *out, const struct split *split,
                           const struct residuals *residuals)
{
    uint8_t symbols[SPLIT_COUNT_MAX];
    const struct blocks *blocks = &residuals->blocks;
    size_t start = out->len;
    for (size_t i = 0; i < blocks->residuals; i++)
        symbols[i] = symbol_of(high_of(residuals->at[i], split));
    append_streams(out, symbols, blocks);
    size_t end = out->len;
    frame_append(out, symbols, blocks->residuals);
    bool frame = (out->len - end) * 100 < (end - start) * FRAME_PERCENT;
    if (frame)
        memmove(out->at + start, out->at + end, out->len - end);
    out->len = frame ? start + (out->len - end) : end;
    return frame;
}

static void append_low_bits(struct buffer *out, const struct split *split,
                            const struct residuals *residuals)
{
    uint64_t mask = ((uint64_t)1 << split->shift) - 1;
    unsigned __int128 pending = 0;
    unsigned fill = 0;
    for (size_t i = 0; split->shift && i < residuals->blocks.residuals; i++) {
        pending |= (unsigned __int128)((residuals->at[i] - split->base) & mask) << fill;
        fill += split->shift;
        if (fill < 64)
            continue;
        buffer_append_u64le(out, (uint64_t)pending);
        pending >>= 64;
        fill -= 64;
    }
    uint64_t word = htole64((uint64_t)pending);
    buffer_append(out, &word, (fill + 7) / 8);
}

static void append_patches(struct buffer *out, const struct split *split,
                           const struct residuals *residuals)
{
    size_t patches = 0, last = 0, count = residuals->blocks.residuals;
    for (size_t i = 0; i < count; i++)
        patches += !has_symbol(high_of(residuals->at[i], split));
    buffer_append_varint(out, patches);
    for (size_t i = 0; patches && i < count; i++) {
        int64_t high = high_of(residuals->at[i], split);
        if (has_symbol(high))
            continue;
        buffer_append_varint(out, i - last);
        buffer_append_varint_signed(out, (int64_t)((uint64_t)high - SYMBOL_MIDDLE));
        last = i;
    }
}

static void append_planned(struct buffer *out, const struct split *split,
                           const struct residuals *residuals)
{
    size_t start = out->len;
    struct predictor predictor = split->predictor;
    buffer_append_u8(out, (uint8_t)(predictor.smooth | (predictor.delta ? FLAG_DELTA : 0)));
    buffer_append_varint_signed(out, (int64_t)split->base);
    buffer_append_u8(out, (uint8_t)split->shift);
    if (predictor.delta)
        pack_append(out, residuals->values, residuals->blocks.count);
    if (predictor.smooth)
        pack_append(out, residuals->means, residuals->blocks.count);
    if (append_symbols(out, split, residuals))
        out->at[start] |= FLAG_FRAME;
    append_low_bits(out, split, residuals);
    append_patches(out, split, residuals);
}

void split_append(struct buffer *out, const int64_t *values, size_t count, bool small)
{
    struct residuals residuals;
    struct split best = {.cost = INFINITY};
    assert(count >= SPLIT_COUNT_MIN && count <= SPLIT_COUNT_MAX);
    for (size_t i = 0; i < (small ? PREDICTORS_SMALL : PREDICTORS); i++) {
        apply(predictors[i], values, count, &residuals);
        plan_split(&best, predictors[i], &residuals, 1);
    }
    apply(best.predictor, values, count, &residuals);
    plan_split(&best, best.predictor, &residuals, SHIFTS_TRIED);
    append_planned(out, &best, &residuals);
}
