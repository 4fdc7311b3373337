/* split_read: a column, or some of its blocks, out of noise and shape; storage/code/split.c draws it.
 *
 * Where a few rows are wanted, what is before them in their block is read as well, for they are
 * predicted from it. Of differences alone that is no more than a sum.
 */
#include "storage/code/bits.h"
#include "storage/code/frame.h"
#include "storage/code/huffman.h"
#include "storage/code/split_format.h"

#define AT_ONCE     4
#define SMOOTH_MASK 15
#define FLAGS_MAX   63

/* --- residuals --- */

static inline uint64_t residual_of(const struct split_noise *noise, uint8_t symbol, uint64_t low)
{
    return noise->base + ((uint64_t)symbol << noise->shift) + low;
}

/* Low bits so few that one word has those of AT_ONCE residuals. */
static void read_narrow(const struct split_noise *noise, const uint8_t *symbols, size_t from,
                        size_t to, uint64_t *out)
{
    struct split_noise here = *noise;
    uint64_t mask = ((uint64_t)1 << here.shift) - 1;
    size_t i = from, bit = from * here.shift;
    for (; i + AT_ONCE <= to; i += AT_ONCE, bit += AT_ONCE * here.shift) {
        uint64_t word = bits_from(here.low, bit);
#pragma GCC unroll 4 /* AT_ONCE */
        for (size_t j = 0; j < AT_ONCE; j++, word >>= here.shift)
            *out++ = residual_of(&here, symbols[i + j], word & mask);
    }
    for (; i < to; i++, bit += here.shift)
        *out++ = residual_of(&here, symbols[i], bits_read(here.low, bit, here.shift));
}

void split_read_noise(const struct split_noise *noise, const uint8_t *symbols, size_t from,
                      size_t to, uint64_t *out)
{
    struct split_noise here = *noise;
    if (here.shift && here.shift <= BITS_AT_ONCE / AT_ONCE) {
        read_narrow(noise, symbols, from, to, out);
        return;
    }
    for (size_t i = from; i < to; i++) {
        uint64_t low = here.shift ? bits_read(here.low, i * here.shift, here.shift) : 0;
        *out++ = residual_of(&here, symbols[i], low);
    }
}

static uint64_t sum_symbols(const uint8_t *symbols, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += symbols[i];
    return sum;
}

/* Of residuals from `from` up to `to`. */
static uint64_t sum_noise(const struct split_noise *noise, const uint8_t *symbols, size_t from,
                          size_t to)
{
    uint64_t sum =
        (sum_symbols(symbols + from, to - from) << noise->shift) + (to - from) * noise->base;
    for (size_t i = from; noise->shift && i < to; i++)
        sum += bits_read(noise->low, i * noise->shift, noise->shift);
    return sum;
}

void split_restore(struct predictor predictor, uint64_t mean, uint64_t *at, size_t count)
{
    unsigned k = predictor.smooth ? predictor.smooth - 1u : 0;
    uint64_t sum = mean << k, value = predictor.delta ? at[-1] : 0;
    if (predictor.smooth && predictor.delta) {
        for (size_t i = 0; i < count; i++) {
            uint64_t residual = at[i];
            at[i] = value += residual + split_mean(sum, k);
            sum += residual;
        }
    } else if (predictor.smooth) {
        for (size_t i = 0; i < count; i++) {
            uint64_t residual = at[i];
            at[i] += split_mean(sum, k);
            sum += residual;
        }
    } else if (predictor.delta) {
        for (size_t i = 0; i < count; i++)
            at[i] = value += at[i];
    }
}

/* --- a column --- */

/* Of the blocks those from `first` up to `end` are read, of their residuals those from `from` up to `to`;
 * of the ones before them in their block no more than the sum. */
struct reading {
    struct predictor predictor;
    bool frame;
    struct split_noise noise;
    struct blocks blocks;
    size_t first, end;
    size_t from, to;
    int64_t values[BLOCKS_MAX], means[BLOCKS_MAX];
    uint8_t symbols[SPLIT_COUNT_MAX];
};

/* Where in its column a residual of that block belongs. */
static size_t row_of(const struct reading *reading, size_t residual, size_t block)
{
    return residual + (reading->predictor.delta ? block + 1 : 0);
}

/* Which blocks are wanted, and what of the first and the last. */
static void find_blocks(struct reading *reading, struct part part)
{
    const struct blocks *blocks = &reading->blocks;
    reading->first = reading->end = reading->from = reading->to = 0;
    if (part.from == part.to)
        return;
    reading->first = part.from / blocks->rows;
    reading->end = (part.to - 1) / blocks->rows + 1;
    reading->from = reading->first * blocks->stride;
    reading->to = part.to - (reading->predictor.delta ? reading->end : 0);
    /* A running mean needs each of those before. */
    size_t row = row_of(reading, reading->from, reading->first);
    if (!reading->predictor.smooth && part.from > row)
        reading->from += part.from - row;
}

static bool cut_head(struct slice *rest, struct reading *reading, struct part part)
{
    uint8_t byte, shift;
    int64_t base;
    if (!bytes_cut_u8(rest, &byte) || byte > FLAGS_MAX || !bytes_cut_varint_signed(rest, &base) ||
        !bytes_cut_u8(rest, &shift) || shift > SHIFT_MAX)
        return false;
    reading->predictor = (struct predictor){byte & SMOOTH_MASK, byte & FLAG_DELTA};
    reading->frame = byte & FLAG_FRAME;
    reading->noise = (struct split_noise){.shift = shift, .base = (uint64_t)base};
    reading->blocks = blocks_of(part.count, reading->predictor.delta);
    find_blocks(reading, part);
    struct part blocks = {reading->blocks.count, reading->first, reading->end};
    return (!reading->predictor.delta || pack_cut_part(rest, reading->values, blocks)) &&
           (!reading->predictor.smooth || pack_cut_part(rest, reading->means, blocks));
}

static size_t block_from(const struct reading *reading, size_t block)
{
    size_t from = block * reading->blocks.stride;
    return from > reading->from ? from : reading->from;
}

static size_t block_to(const struct reading *reading, size_t block)
{
    size_t to = (block + 1) * reading->blocks.stride;
    return to < reading->to ? to : reading->to;
}

static bool cut_streams(struct slice *rest, struct reading *reading)
{
    struct huffman_table table;
    struct huffman_stream streams[BLOCKS_MAX];
    int64_t sizes[BLOCKS_MAX];
    const struct blocks *blocks = &reading->blocks;
    size_t at = 0;
    if (!huffman_cut_table(rest, &table) || !pack_cut(rest, sizes, blocks->count))
        return false;
    for (size_t block = 0; block < blocks->count; block++) {
        size_t from = block * blocks->stride, left = blocks->residuals - from;
        if ((uint64_t)sizes[block] > rest->len - at)
            return false;
        if (block >= reading->first && block < reading->end)
            streams[block] = (struct huffman_stream){
                .bytes = {rest->at + at, (size_t)sizes[block]},
                .out = reading->symbols + from,
                .count = block_to(reading, block) - from,
                .of = left < blocks->stride ? left : blocks->stride,
            };
        at += (size_t)sizes[block];
    }
    *rest = slice_skip(*rest, at);
    return huffman_read(&table, streams + reading->first, reading->end - reading->first);
}

/* With differences, also the values before the residuals. */
static void read_residuals(const struct reading *reading, uint64_t *out)
{
    for (size_t block = reading->first; block < reading->end; block++) {
        size_t start = block * reading->blocks.stride, from = block_from(reading, block);
        uint64_t *at = out + row_of(reading, from, block);
        if (reading->predictor.delta)
            at[-1] = (uint64_t)reading->values[block] +
                     sum_noise(&reading->noise, reading->symbols, start, from);
        split_read_noise(&reading->noise, reading->symbols, from, block_to(reading, block), at);
    }
}

/* Adds to the residuals that did not fit, or to the sum of those that are not wanted. */
static bool cut_patches(struct slice *rest, const struct reading *reading, uint64_t *out)
{
    const struct blocks *blocks = &reading->blocks;
    size_t at = 0, start = reading->first * blocks->stride;
    uint64_t patches, gap;
    int64_t high;
    if (!bytes_cut_varint(rest, &patches) || patches > blocks->residuals)
        return false;
    for (uint64_t i = 0; i < patches; i++) {
        if (!bytes_cut_varint(rest, &gap) || !bytes_cut_varint_signed(rest, &high) ||
            gap >= blocks->residuals - at)
            return false;
        at += (size_t)gap;
        uint64_t add = (uint64_t)high << reading->noise.shift;
        if (at >= reading->from && at < reading->to)
            out[row_of(reading, at, at / blocks->stride)] += add;
        else if (at >= start && at < reading->from && reading->predictor.delta)
            out[row_of(reading, reading->from, reading->first) - 1] += add;
    }
    return true;
}

static void restore(const struct reading *reading, uint64_t *out)
{
    for (size_t block = reading->first; block < reading->end; block++) {
        size_t from = block_from(reading, block), row = row_of(reading, from, block);
        uint64_t mean = reading->predictor.smooth ? (uint64_t)reading->means[block] : 0;
        split_restore(reading->predictor, mean, out + row, block_to(reading, block) - from);
    }
}

bool split_cut(struct slice *rest, int64_t *out, struct part part)
{
    struct reading reading;
    uint64_t *at = (uint64_t *)out;
    if (part.count < SPLIT_COUNT_MIN || part.count > SPLIT_COUNT_MAX ||
        !cut_head(rest, &reading, part))
        return false;
    size_t residuals = reading.blocks.residuals, low = (residuals * reading.noise.shift + 7) / 8;
    if (!(reading.frame ? frame_cut(rest, reading.symbols, residuals)
                        : cut_streams(rest, &reading)) ||
        !bytes_cut_slice(rest, low, &reading.noise.low))
        return false;
    read_residuals(&reading, at);
    if (!cut_patches(rest, &reading, at))
        return false;
    restore(&reading, at);
    return true;
}
