/* split_whole: splits as chunks of version 2 and before have them; nobody writes them any more.
 *
 *   predictor u8 | for each step: first, zigzag | base zigzag | shift u8
 *   | bytes varint, zstd | low bits | escapes
 *
 *   predictor  as in storage/code/split.c
 *   step       differences; then the running mean: each takes the first integer away
 *   zstd       a byte for each residual less base: its bits above `shift`; 255: it does not fit, and
 *              is the next of the escapes, as a varint
 */
#include "storage/code/frame.h"
#include "storage/code/split_format.h"

#define ESCAPE 255

static bool cut_escapes(struct slice *rest, unsigned shift, const uint8_t *symbols, uint64_t *out,
                        struct part part)
{
    for (size_t i = 0; i < part.count; i++) {
        uint64_t high;
        if (symbols[i] != ESCAPE)
            continue;
        if (!bytes_cut_varint(rest, &high))
            return false;
        if (i >= part.from && i < part.to)
            out[i] += (high - ESCAPE) << shift;
    }
    return true;
}

static bool cut_residuals(struct slice *rest, uint64_t *out, struct part part)
{
    uint8_t symbols[SPLIT_COUNT_MAX], shift;
    int64_t base;
    struct split_noise noise;
    if (!bytes_cut_varint_signed(rest, &base) || !bytes_cut_u8(rest, &shift) || shift > SHIFT_MAX ||
        !frame_cut(rest, symbols, part.count) ||
        !bytes_cut_slice(rest, (part.count * shift + 7) / 8, &noise.low))
        return false;
    noise.shift = shift;
    noise.base = (uint64_t)base;
    split_read_noise(&noise, symbols, part.from, part.to, out + part.from);
    return !memchr(symbols, ESCAPE, part.count) || cut_escapes(rest, shift, symbols, out, part);
}

bool split_whole_cut(struct slice *rest, int64_t *out, struct part part)
{
    uint8_t byte;
    if (!bytes_cut_u8(rest, &byte) || byte > 31 || part.count > SPLIT_COUNT_MAX)
        return false;
    struct predictor predictor = {byte & 15, byte >> 4};
    size_t delta = predictor.delta, steps = delta + (predictor.smooth > 0);
    if (part.count <= steps)
        return false;
    for (size_t i = 0; i < steps; i++)
        if (!bytes_cut_varint_signed(rest, &out[i]))
            return false;
    /* What is predicted depends on all before. */
    struct part residuals = part;
    size_t wanted = part.to > steps ? part.to - steps : 0;
    if (steps)
        residuals = (struct part){part.count - steps, 0, wanted};
    uint64_t *at = (uint64_t *)out;
    if (!cut_residuals(rest, at + steps, residuals))
        return false;
    if (predictor.smooth)
        split_restore((struct predictor){predictor.smooth, false}, at[delta], at + steps, wanted);
    if (predictor.delta && part.to > 1)
        split_restore((struct predictor){0, true}, 0, at + 1, part.to - 1);
    return true;
}
