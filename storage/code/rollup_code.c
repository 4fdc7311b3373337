/* rollup_code: a day's buckets, column by column.
 *
 *   version u8 = 1 | type u8 | checksum u32le | count varint | [damaged varint]
 *   | ends | counts | first times | last times | [ended] | [sketches] | values or histograms
 *
 *   type       bit 0: histograms, 1: no drop, 2: damaged is given, 3: ended is given, 4: sketches
 *   checksum   XXH3 of all that follows, seeded with the type, low 32 bits
 *   ends       number of the bucket in its day, from 1 on              packed (storage/code/pack.c)
 *   times      ms from the bucket's start to the first sample, from the last sample to its end, packed
 *   ended      a bit a bucket, least significant first
 *   sketches   varint length of: (varint length, code) for each bucket; length 0: it has none
 *
 *   values     exponent u8 | first | last - first | first - min | max - first, packed; exponent 255:
 *              four columns of doubles
 *              how u8 | sum:  1: less count * first, packed; 2: column of doubles
 *              how u8 | drop: 0: all zero; 1: packed; 2: column of doubles. Absent with type bit 1
 *   column     0 | storage/code/column.c, or 1 | f64le each, where that takes little more
 *
 *   histograms columns of min and max; then for each bucket with samples the code of its first
 *              histogram and, with two samples, of its last, each relative to the one before
 *              (storage/code/histogram_code.c); then count varint, (gap varint, code in full) of the drops
 *
 * Metrics are mostly decimals, so the extremes of a bucket lie few steps off its first value, and a
 * constant or even series costs the same thirty bytes for a day in any width. A gauge falls all the
 * time and nobody asks what it lost: its drop is left out unless it is zero throughout.
 */
#include "storage/code/rollup_code.h"

#include <assert.h>
#include <endian.h>
#include <math.h>

#include "storage/code/column.h"
#include "storage/code/histogram_code.h"
#include "storage/code/pack.h"
#include "storage/code/rollup_format.h"

/* --- columns of doubles --- */

/* What saves less than a fifth is not worth decoding bit by bit. */
static void append_doubles(struct buffer *out, const double *values, size_t count)
{
    size_t at = out->len;
    buffer_append_u8(out, 0);
    column_append(out, values, count);
    if (out->len - at <= count * 13 / 2)
        return;
    out->len = at;
    buffer_append_u8(out, 1);
    for (size_t i = 0; i < count; i++)
        buffer_append_u64le(out, double_bits(values[i]));
}

/* --- writing --- */

/* The four columns next to the sum: what buckets without samples hold repeats what is before. */
struct numbers {
    size_t count;
    const uint32_t *counts;
    double first[BUCKETS_MAX], last[BUCKETS_MAX], min[BUCKETS_MAX], max[BUCKETS_MAX];
    double sum[BUCKETS_MAX], drop[BUCKETS_MAX];
};

static void gather(struct numbers *to, const struct rollup *from)
{
    double before = 0;
    to->count = from->count;
    to->counts = from->counts;
    for (size_t i = 0; i < from->count; i++) {
        bool any = from->counts[i] > 0;
        to->first[i] = any ? from->first[i] : before;
        to->last[i] = any ? from->last[i] : before;
        to->min[i] = any ? from->min[i] : before;
        to->max[i] = any ? from->max[i] : before;
        to->sum[i] = any ? from->sum[i] : 0;
        to->drop[i] = any ? from->drop[i] : 0;
        before = to->last[i];
    }
}

/* False when one of the values is no decimal of that exponent. */
static bool scale(const double *values, size_t count, int exponent, int64_t *out)
{
    for (size_t i = 0; i < count; i++)
        if (!column_to_scaled(values[i], exponent, &out[i]))
            return false;
    return true;
}

/* out = (a - b * factor) modulo 2^64; factor NULL: 1. */
static void subtract(int64_t *out, const int64_t *a, const int64_t *b, const uint32_t *factor,
                     size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (int64_t)((uint64_t)a[i] - (uint64_t)b[i] * (factor ? factor[i] : 1));
}

struct scaled {
    int64_t first[BUCKETS_MAX], last[BUCKETS_MAX], min[BUCKETS_MAX], max[BUCKETS_MAX];
};

static int common_exponent(const struct numbers *numbers, struct scaled *out)
{
    size_t n = numbers->count;
    for (int exponent = 0; exponent <= COLUMN_EXPONENT_MAX; exponent++)
        if (scale(numbers->first, n, exponent, out->first) &&
            scale(numbers->last, n, exponent, out->last) &&
            scale(numbers->min, n, exponent, out->min) &&
            scale(numbers->max, n, exponent, out->max))
            return exponent;
    return EXPONENT_RAW;
}

static void append_sum(struct buffer *out, const struct numbers *numbers, int exponent,
                       const struct scaled *scaled)
{
    int64_t k[BUCKETS_MAX];
    if (exponent == EXPONENT_RAW || !scale(numbers->sum, numbers->count, exponent, k)) {
        buffer_append_u8(out, HOW_DOUBLES);
        append_doubles(out, numbers->sum, numbers->count);
        return;
    }
    subtract(k, k, scaled->first, numbers->counts, numbers->count);
    buffer_append_u8(out, HOW_SCALED);
    pack_append(out, k, numbers->count);
}

static bool all_zero(const double *values, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (double_bits(values[i]) != 0)
            return false;
    return true;
}

static void append_drop(struct buffer *out, const struct numbers *numbers, int exponent)
{
    int64_t k[BUCKETS_MAX];
    if (all_zero(numbers->drop, numbers->count)) {
        buffer_append_u8(out, HOW_ZERO);
    } else if (exponent != EXPONENT_RAW && scale(numbers->drop, numbers->count, exponent, k)) {
        buffer_append_u8(out, HOW_SCALED);
        pack_append(out, k, numbers->count);
    } else {
        buffer_append_u8(out, HOW_DOUBLES);
        append_doubles(out, numbers->drop, numbers->count);
    }
}

static void append_numbers(struct buffer *out, const struct numbers *numbers, bool drop)
{
    struct scaled scaled;
    int64_t less[BUCKETS_MAX];
    size_t n = numbers->count;
    int exponent = common_exponent(numbers, &scaled);
    buffer_append_u8(out, (uint8_t)exponent);
    if (exponent == EXPONENT_RAW) {
        append_doubles(out, numbers->first, n);
        append_doubles(out, numbers->last, n);
        append_doubles(out, numbers->min, n);
        append_doubles(out, numbers->max, n);
    } else {
        pack_append(out, scaled.first, n);
        subtract(less, scaled.last, scaled.first, NULL, n);
        pack_append(out, less, n);
        subtract(less, scaled.first, scaled.min, NULL, n);
        pack_append(out, less, n);
        subtract(less, scaled.max, scaled.first, NULL, n);
        pack_append(out, less, n);
    }
    append_sum(out, numbers, exponent, &scaled);
    if (drop)
        append_drop(out, numbers, exponent);
}

static void append_drops(struct buffer *out, const struct rollup *rollup)
{
    size_t drops = 0, last = 0;
    for (size_t i = 0; i < rollup->count; i++)
        drops += rollup->drop_histogram[i] != NULL;
    buffer_append_varint(out, drops);
    for (size_t i = 0; i < rollup->count; i++) {
        if (!rollup->drop_histogram[i])
            continue;
        buffer_append_varint(out, i - last);
        histogram_code_append(out, rollup->drop_histogram[i], NULL);
        last = i;
    }
}

static void append_histograms(struct buffer *out, const struct rollup *rollup)
{
    const struct histogram *known = NULL;
    append_doubles(out, rollup->min, rollup->count);
    append_doubles(out, rollup->max, rollup->count);
    for (size_t i = 0; i < rollup->count; i++) {
        if (rollup->counts[i] == 0)
            continue;
        histogram_code_append(out, rollup->first_histogram[i], known);
        known = rollup->first_histogram[i];
        if (rollup->counts[i] == 1)
            continue;
        histogram_code_append(out, rollup->last_histogram[i], known);
        known = rollup->last_histogram[i];
    }
    append_drops(out, rollup);
}

static void append_times(struct buffer *out, const struct rollup *rollup, int64_t start_ms)
{
    int64_t column[BUCKETS_MAX], width = rollup->width_ms;
    size_t n = rollup->count;
    for (size_t i = 0; i < n; i++)
        column[i] = (rollup->end_ms[i] - start_ms) / width;
    pack_append(out, column, n);
    for (size_t i = 0; i < n; i++)
        column[i] = rollup->counts[i];
    pack_append(out, column, n);
    for (size_t i = 0; i < n; i++)
        column[i] = rollup->first_ms[i] - (rollup->end_ms[i] - width);
    pack_append(out, column, n);
    for (size_t i = 0; i < n; i++)
        column[i] = rollup->end_ms[i] - rollup->last_ms[i];
    pack_append(out, column, n);
}

static void append_ended(struct buffer *out, const bool *ended, size_t count)
{
    for (size_t i = 0; i < count; i += 8) {
        unsigned bits = 0;
        for (size_t j = i; j < count && j < i + 8; j++)
            bits |= (unsigned)ended[j] << (j - i);
        buffer_append_u8(out, (uint8_t)bits);
    }
}

static void append_sketches(struct buffer *out, const struct rollup *rollup)
{
    struct buffer block;
    buffer_init(&block, SIZE_MAX);
    for (size_t i = 0; i < rollup->count; i++)
        buffer_append_prefixed(&block, rollup->sketches[i]);
    buffer_append_prefixed(out, buffer_slice(&block));
    buffer_release(&block);
}

void rollup_code_append(struct buffer *out, const struct rollup *rollup, int64_t start_ms,
                        bool counter)
{
    size_t at = out->len;
    struct numbers numbers;
    bool ended = false, sketches = false, drop = false;
    assert(rollup->count <= BUCKETS_MAX);
    for (size_t i = 0; i < rollup->count; i++) {
        ended |= rollup->ended[i];
        sketches |= rollup->sketches[i].len > 0;
    }
    if (!rollup->histograms) {
        gather(&numbers, rollup);
        drop = rollup->has_drop && (counter || all_zero(numbers.drop, numbers.count));
    }
    uint8_t type = (uint8_t)((rollup->histograms ? TYPE_HISTOGRAM : 0) |
                             (rollup->histograms || drop ? 0 : TYPE_NO_DROP) |
                             (rollup->damaged ? TYPE_DAMAGED : 0) | (ended ? TYPE_ENDED : 0) |
                             (sketches ? TYPE_SKETCHES : 0));
    buffer_append_u8(out, VERSION);
    buffer_append_u8(out, type);
    buffer_append_u32le(out, 0);
    buffer_append_varint(out, rollup->count);
    if (rollup->damaged)
        buffer_append_varint(out, rollup->damaged);
    append_times(out, rollup, start_ms);
    if (ended)
        append_ended(out, rollup->ended, rollup->count);
    if (sketches)
        append_sketches(out, rollup);
    if (rollup->histograms)
        append_histograms(out, rollup);
    else
        append_numbers(out, &numbers, drop);
    uint32_t sum = htole32(rollup_checksum(slice_skip(buffer_slice(out), at + HEADER_BYTES), type));
    memcpy(out->at + at + 2, &sum, sizeof sum);
}
