/* dense: residuals split into noise and shape.
 *
 *   form u8 | payload
 *
 *   0 packed   storage/code/pack.c
 *   1 runs     of equal values: runs varint | lengths less one | values of the runs,
 *              both columns packed or split
 *   2 split    predictor u8 | for each step: first, zigzag | split of what is left
 *
 *   predictor  low nibble: 1 + k, a running mean over about 2^k values is subtracted (k = 0: the
 *              value before); 0: no. High nibble: 1, of differences; 0, of the values.
 *
 *   split      base zigzag | shift u8 | bytes varint, zstd | low bits | escapes
 *   zstd       a byte for each residual (integer - base): what is above the `shift` low bits;
 *              255: it does not fit, and is the next of the escapes, as a varint
 *   low bits   `shift` bits each, least significant first, padded to bytes
 *
 * The low bits of noise are noise: they are stored as they are. What is above them has a shape,
 * mostly a bell, and zstd's Huffman stage codes that at nearly its entropy, while its matches take
 * what repeats. Bit packing (pack.c) spends on each residual what the largest need: 5 to 15 % more.
 * Counters of busy services rise by a number that drifts over the day, hence running means: the
 * difference to the last difference would add half a bit of noise. Predictor and shift are chosen
 * by the entropy of the bytes. Arithmetic is modulo 2^64.
 *
 * Deliberately absent: an entropy coder of our own (docs/decisions/0006-dense-chunks.md).
 */
#include "storage/code/dense.h"

#include <assert.h>
#include <endian.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <zstd.h>

#include "storage/code/pack.h"

enum form { FORM_PACKED, FORM_SPLIT, FORM_SPLIT_DELTA, FORM_RUNS };

#define ZSTD_LEVEL      19
#define ESCAPE          255
#define ESCAPE_BITS     48 /* about what one costs */
#define SYMBOL_BITS     5  /* what a symbol costs in the table */
#define PROBES          64 /* values looked at to find the range */
#define SHIFT_MAX       63
#define SHIFTS_TRIED    5
#define RUNS_SHARE      3 /* runs are tried where a third as many do */
#define STEPS_MAX       2
#define SPLIT_BYTES_MIN 24 /* a smaller column has nothing to gain */
#define MATCH_MIN       7

/* What is tried: for small noise, like the counts of a histogram's buckets, only the first two. No
 * smoothing of differences by the one before: it never won. */
static const struct predictor {
    uint8_t smooth; /* 0, or 1 + k */
    bool delta;
} predictors[] = {{0, false}, {0, true}, {3, false}, {5, false}, {3, true}, {5, true}, {7, true}};
#define PREDICTORS       (sizeof predictors / sizeof *predictors)
#define PREDICTORS_SMALL 2
#define SMALL_BITS       4

/* --- a zstd context a thread, for making one costs as much as a column --- */

struct contexts {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
};

static pthread_key_t contexts_key;
static pthread_once_t contexts_once = PTHREAD_ONCE_INIT;
static _Thread_local struct contexts contexts;

static void free_contexts(void *at)
{
    struct contexts *mine = at;
    ZSTD_freeCCtx(mine->compress);
    ZSTD_freeDCtx(mine->decompress);
    *mine = (struct contexts){0};
}

static void make_key(void)
{
    int status = pthread_key_create(&contexts_key, free_contexts);
    assert(status == 0);
}

static struct contexts *thread_contexts(void)
{
    if (contexts.compress)
        return &contexts;
    pthread_once(&contexts_once, make_key);
    contexts.compress = ZSTD_createCCtx();
    contexts.decompress = ZSTD_createDCtx();
    assert(contexts.compress && contexts.decompress);
    /* Matches shorter than seven bytes cost more than the Huffman codes they replace. */
    ZSTD_CCtx_setParameter(contexts.compress, ZSTD_c_strategy, ZSTD_fast);
    ZSTD_CCtx_setParameter(contexts.compress, ZSTD_c_minMatch, MATCH_MIN);
    ZSTD_CCtx_setParameter(contexts.compress, ZSTD_c_targetLength, 0);
    ZSTD_CCtx_setParameter(contexts.compress, ZSTD_c_hashLog, 12);
    ZSTD_CCtx_setParameter(contexts.compress, ZSTD_c_windowLog, 14);
    pthread_setspecific(contexts_key, &contexts);
    return &contexts;
}

/* --- writing --- */

struct split {
    struct predictor predictor;
    unsigned shift;
    uint64_t base;
    double cost; /* bits, about */
};

static unsigned bit_length(uint64_t x)
{
    return x ? 64 - (unsigned)__builtin_clzll(x) : 0;
}

/* A running mean over about 2^k values: of sums of what it was off by. */
static uint64_t predicted(uint64_t sum, unsigned k)
{
    return (uint64_t)((int64_t)sum >> k);
}

/* Each step takes away the first integer and leaves what is left of the others. Returns how many
 * steps there were. */
static size_t apply(struct predictor predictor, uint64_t *at, size_t count, uint64_t *firsts)
{
    size_t steps = 0;
    if (predictor.delta) {
        uint64_t last = firsts[steps++] = at[0];
        for (size_t i = 1; i < count; i++) {
            uint64_t value = at[i];
            at[i - 1] = value - last;
            last = value;
        }
        count--;
    }
    if (predictor.smooth) {
        unsigned k = predictor.smooth - 1u;
        uint64_t sum = at[0] << k;
        firsts[steps++] = at[0];
        for (size_t i = 1; i < count; i++) {
            at[i - 1] = at[i] - predicted(sum, k);
            sum += at[i - 1];
        }
    }
    return steps;
}

static unsigned symbol_of(uint64_t residual, const struct split *split)
{
    uint64_t high = (residual - split->base) >> split->shift;
    return high < ESCAPE ? (unsigned)high : ESCAPE;
}

/* Bits that this split would take. */
static double cost_of(const struct split *split, const uint64_t *residuals, size_t count)
{
    size_t counts[ESCAPE + 1] = {0};
    for (size_t i = 0; i < count; i++)
        counts[symbol_of(residuals[i], split)]++;
    double bits = (double)count * split->shift + (double)counts[ESCAPE] * ESCAPE_BITS;
    for (size_t i = 0; i <= ESCAPE; i++)
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
static void find_range(const uint64_t *residuals, size_t count, uint64_t *low, uint64_t *range)
{
    int64_t probes[PROBES];
    size_t probed = count < PROBES ? count : PROBES, aside = probed / 64; /* become escapes */
    for (size_t i = 0; i < probed; i++)
        probes[i] = (int64_t)residuals[i * count / probed];
    qsort(probes, probed, sizeof *probes, compare);
    *low = (uint64_t)probes[aside];
    *range = (uint64_t)probes[probed - 1 - aside] - *low;
}

/* Tries some shifts that make sense for the range. */
static void plan_split(struct split *best, struct predictor predictor, const uint64_t *residuals,
                       size_t count, unsigned shifts)
{
    uint64_t low, range;
    find_range(residuals, count, &low, &range);
    unsigned width = bit_length(range), least = width > 6 ? width - 6 : 0;
    for (unsigned shift = least; shift < least + shifts && shift <= SHIFT_MAX; shift++) {
        struct split try = {.predictor = predictor, .shift = shift};
        uint64_t window = shift > 55 ? UINT64_MAX : (uint64_t)ESCAPE << shift;
        try.base = low - (window > range ? (window - range) / 2 : 0);
        try.cost = cost_of(&try, residuals, count);
        if (try.cost < best->cost)
            *best = try;
    }
}

static void append_low_bits(struct buffer *out, const struct split *split,
                            const uint64_t *residuals, size_t count)
{
    uint64_t mask = ((uint64_t)1 << split->shift) - 1;
    unsigned __int128 pending = 0;
    unsigned fill = 0;
    for (size_t i = 0; split->shift && i < count; i++) {
        pending |= (unsigned __int128)((residuals[i] - split->base) & mask) << fill;
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

static void append_split(struct buffer *out, const struct split *split, const uint64_t *residuals,
                         size_t count)
{
    uint8_t symbols[DENSE_COUNT_MAX];
    char frame[ZSTD_COMPRESSBOUND(DENSE_COUNT_MAX)];
    for (size_t i = 0; i < count; i++)
        symbols[i] = (uint8_t)symbol_of(residuals[i], split);
    size_t size = ZSTD_compress2(thread_contexts()->compress, frame, sizeof frame, symbols, count);
    assert(!ZSTD_isError(size));
    buffer_append_varint_signed(out, (int64_t)split->base);
    buffer_append_u8(out, (uint8_t)split->shift);
    buffer_append_prefixed(out, slice_make(frame, size));
    append_low_bits(out, split, residuals, count);
    for (size_t i = 0; i < count; i++)
        if (symbols[i] == ESCAPE)
            buffer_append_varint(out, (residuals[i] - split->base) >> split->shift);
}

static void append_best_split(struct buffer *out, const int64_t *values, size_t count,
                              size_t predictors_tried)
{
    uint64_t residuals[DENSE_COUNT_MAX], firsts[STEPS_MAX];
    struct split best = {.cost = INFINITY};
    size_t steps;
    for (size_t i = 0; i < predictors_tried; i++) {
        memcpy(residuals, values, count * sizeof *residuals);
        steps = apply(predictors[i], residuals, count, firsts);
        plan_split(&best, predictors[i], residuals, count - steps, 1);
    }
    memcpy(residuals, values, count * sizeof *residuals);
    steps = apply(best.predictor, residuals, count, firsts);
    plan_split(&best, best.predictor, residuals, count - steps, SHIFTS_TRIED);
    buffer_append_u8(out, FORM_SPLIT);
    buffer_append_u8(out, (uint8_t)(best.predictor.smooth | best.predictor.delta << 4));
    for (size_t i = 0; i < steps; i++)
        buffer_append_varint_signed(out, (int64_t)firsts[i]);
    append_split(out, &best, residuals, count - steps);
}

/* Packed, or split if that is allowed and shorter. */
static void append_plain(struct buffer *out, const int64_t *values, size_t count, bool split)
{
    size_t start = out->len;
    buffer_append_u8(out, FORM_PACKED);
    pack_append(out, values, count);
    size_t packed = out->len;
    if (!split || packed - start <= SPLIT_BYTES_MIN || count <= STEPS_MAX)
        return;
    bool small = (packed - start) * 8 < count * SMALL_BITS;
    append_best_split(out, values, count, small ? PREDICTORS_SMALL : PREDICTORS);
    buffer_keep_shorter(out, start, packed);
}

static void append_runs(struct buffer *out, const int64_t *values, size_t count, bool split)
{
    int64_t lengths[DENSE_COUNT_MAX / RUNS_SHARE + 1], heads[DENSE_COUNT_MAX / RUNS_SHARE + 1];
    size_t runs = 0;
    for (size_t i = 0; i < count; i++) {
        if (i && values[i] == values[i - 1]) {
            lengths[runs - 1]++;
            continue;
        }
        lengths[runs] = 0;
        heads[runs++] = values[i];
    }
    buffer_append_u8(out, FORM_RUNS);
    buffer_append_varint(out, runs);
    append_plain(out, lengths, runs, split);
    append_plain(out, heads, runs, split);
}

bool dense_has_runs(const int64_t *values, size_t count)
{
    size_t changes = 0;
    for (size_t i = 1; i < count; i++)
        changes += values[i] != values[i - 1];
    return changes && changes < count / RUNS_SHARE;
}

void dense_append(struct buffer *out, const int64_t *values, size_t count)
{
    assert(count > 0 && count <= DENSE_COUNT_MAX);
    size_t start = out->len;
    bool split = count >= DENSE_COUNT_MIN;
    append_plain(out, values, count, split);
    if (!dense_has_runs(values, count))
        return;
    size_t plain = out->len;
    append_runs(out, values, count, split);
    buffer_keep_shorter(out, start, plain);
}

/* --- reading --- */

static uint64_t load_word(struct slice bytes, size_t at)
{
    uint64_t word = 0;
    size_t left = bytes.len - at;
    memcpy(&word, bytes.at + at, left < 8 ? left : 8);
    return le64toh(word);
}

static void read_low_bits(struct slice low, const struct split *split, const uint8_t *symbols,
                          uint64_t *out, struct part part)
{
    unsigned shift = split->shift;
    uint64_t mask = ((uint64_t)1 << shift) - 1, base = split->base;
    size_t i = part.from, bit = i * shift;
    /* While eight bytes are there, which hold all the bits of one. */
    for (; shift <= 56 && i < part.to && bit / 8 + 8 <= low.len; i++, bit += shift) {
        uint64_t word;
        memcpy(&word, low.at + bit / 8, 8);
        out[i] = base + ((uint64_t)symbols[i] << shift) + (le64toh(word) >> (bit & 7) & mask);
    }
    for (; i < part.to; i++, bit += shift) {
        unsigned skip = bit & 7;
        uint64_t word = bit / 8 < low.len ? load_word(low, bit / 8) >> skip : 0;
        if (shift + skip > 64)
            word |= load_word(low, bit / 8 + 8) << (64 - skip);
        out[i] = base + ((uint64_t)symbols[i] << shift) + (word & mask);
    }
}

static bool read_escapes(struct slice *rest, unsigned shift, const uint8_t *symbols, uint64_t *out,
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

static bool cut_split(struct slice *rest, uint64_t *out, struct part part)
{
    uint8_t symbols[DENSE_COUNT_MAX], shift;
    int64_t base;
    struct slice frame, low;
    if (!bytes_cut_varint_signed(rest, &base) || !bytes_cut_u8(rest, &shift) || shift > SHIFT_MAX ||
        !bytes_cut_prefixed(rest, &frame))
        return false;
    size_t size = ZSTD_decompressDCtx(thread_contexts()->decompress, symbols, part.count, frame.at,
                                      frame.len);
    if (size != part.count || !bytes_cut_slice(rest, (part.count * shift + 7) / 8, &low))
        return false;
    struct split split = {.shift = shift, .base = (uint64_t)base};
    read_low_bits(low, &split, symbols, out, part);
    return !memchr(symbols, ESCAPE, part.count) || read_escapes(rest, shift, symbols, out, part);
}

/* Undoes apply(): at[0..steps) are the firsts, the residuals follow. */
static void restore(struct predictor predictor, uint64_t *at, size_t count)
{
    size_t delta = predictor.delta;
    if (predictor.smooth) {
        unsigned k = predictor.smooth - 1u;
        uint64_t sum = at[delta] << k;
        for (size_t i = delta + 1; i < count; i++) {
            uint64_t residual = at[i];
            at[i] += predicted(sum, k);
            sum += residual;
        }
    }
    for (size_t i = 1; delta && i < count; i++)
        at[i] += at[i - 1];
}

static bool cut_plain(struct slice *rest, int64_t *out, struct part part)
{
    uint8_t form, byte;
    if (!bytes_cut_u8(rest, &form))
        return false;
    if (form == FORM_PACKED)
        return pack_cut_part(rest, out, part);
    if (form != FORM_SPLIT || !bytes_cut_u8(rest, &byte) || byte > 31)
        return false;
    struct predictor predictor = {byte & 15, byte >> 4};
    size_t steps = (predictor.smooth > 0) + (size_t)predictor.delta;
    if (part.count <= steps)
        return false;
    for (size_t i = 0; i < steps; i++)
        if (!bytes_cut_varint_signed(rest, &out[i]))
            return false;
    /* What is predicted depends on all before. */
    struct part split = part;
    if (steps)
        split = (struct part){part.count - steps, 0, part.to > steps ? part.to - steps : 0};
    if (!cut_split(rest, (uint64_t *)out + steps, split))
        return false;
    restore(predictor, (uint64_t *)out, part.to);
    return true;
}

static bool cut_runs(struct slice *rest, int64_t *out, struct part part)
{
    int64_t lengths[DENSE_COUNT_MAX], heads[DENSE_COUNT_MAX];
    uint64_t runs;
    size_t at = 0;
    if (!bytes_cut_varint(rest, &runs) || runs == 0 || runs > part.count)
        return false;
    struct part all = {(size_t)runs, 0, (size_t)runs};
    if (!cut_plain(rest, lengths, all) || !cut_plain(rest, heads, all))
        return false;
    for (size_t run = 0; run < runs; run++) {
        if (at == part.count || (uint64_t)lengths[run] >= part.count - at)
            return false;
        size_t end = at + (size_t)lengths[run] + 1;
        size_t stop = end < part.to ? end : part.to;
        for (size_t i = at > part.from ? at : part.from; i < stop; i++)
            out[i] = heads[run];
        at = end;
    }
    return at == part.count;
}

bool dense_cut_part(struct slice *rest, int64_t *out, struct part part)
{
    if (part.count == 0 || part.count > DENSE_COUNT_MAX || rest->len == 0)
        return false;
    if (rest->at[0] != FORM_RUNS)
        return cut_plain(rest, out, part);
    *rest = slice_skip(*rest, 1);
    return cut_runs(rest, out, part);
}

bool dense_cut(struct slice *rest, int64_t *out, size_t count)
{
    return dense_cut_part(rest, out, (struct part){count, 0, count});
}
