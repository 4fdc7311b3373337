/* chunk: framing of the columns.
 *
 *   version u8 | type u8 | checksum u32le | count varint | span varint | [times] | body
 *
 *   type      bit 0: histograms; bit 1: times are listed (else evenly spaced over the span);
 *             bit 2: those are dense (storage/code/dense.c); bit 3: sketches follow the summary
 *   checksum  XXH3 of all that follows, seeded with version << 8 | type, low 32 bits
 *   span      last time - first time, ms
 *   times     varint length, packed offsets from the start (storage/code/pack.c)
 *
 *   body of values      summary, [sketches], column of doubles (storage/code/column.c)
 *   summary             count varint, exponent u8, then first, last, min, max and sum as scaled
 *                       integers (the last four less `first`), [drop f64le]
 *   exponent            low five bits, 31: all are f64le;  bit 5: drop follows, bit 6: it is 0,
 *                       both or none: it is not known;  bit 7: sum is an f64le
 *   sketches            varint length of: (gap varint, varint length, code) for each sample that has
 *                       one; whoever wants numbers steps over them
 *   body of histograms  see storage/code/chunk_histogram.c
 *
 * Version 2 had other splits (storage/code/split_whole.c), and the type alone for a seed. Version 1 had
 * no seed. Its summary knew no drop, and said 127 for 31.
 */
#include "storage/code/chunk.h"

#include <assert.h>
#include <endian.h>
#include <math.h>
#include <xxhash.h>

#include "storage/code/dense.h"
#include "storage/code/pack.h"
#include "storage/sketch.h"
#include "storage/store.h"

#define CHUNK_VERSION  3
#define VERSION_FIRST  1
#define VERSION_SEED   3 /* and later ones are in the seed */
#define TYPE_HISTOGRAM 1
#define TYPE_TIMES     2
#define TYPE_DENSE     4
#define TYPE_SKETCHES  8
#define TYPE_MAX       15
#define HEADER_BYTES   6
#define EXPONENT_RAW   31
#define DROP_FOLLOWS   32
#define DROP_ZERO      64
#define SUM_RAW        128
#define GUESS_MARGIN   32 /* samples */
#define FALLS_SHARE    16 /* what falls in a larger part of its samples is no counter */

static uint32_t checksum(struct slice bytes, uint8_t version, uint8_t type)
{
    uint64_t seed = version == VERSION_FIRST ? 0 : type;
    if (version >= VERSION_SEED)
        seed |= (uint64_t)version << 8;
    return (uint32_t)XXH3_64bits_withSeed(bytes.at, bytes.len, seed);
}

/* --- framing --- */

static bool evenly_spaced(const int64_t *times, size_t count)
{
    int64_t step = count > 1 ? times[1] - times[0] : 0;
    for (size_t i = 2; i < count; i++)
        if (times[i] - times[i - 1] != step)
            return false;
    return true;
}

static void append_times(struct buffer *out, const int64_t *times, size_t count)
{
    int64_t offsets[CHUNK_SAMPLES_MAX];
    struct buffer packed;
    for (size_t i = 0; i < count; i++)
        offsets[i] = times[i] - times[0];
    buffer_init(&packed, SIZE_MAX);
    (count >= DENSE_COUNT_MIN ? dense_append : pack_append)(&packed, offsets, count);
    buffer_append_prefixed(out, buffer_slice(&packed));
    buffer_release(&packed);
}

size_t chunk_begin(struct buffer *out, bool histograms, const int64_t *times, size_t count)
{
    assert(count > 0 && count <= CHUNK_SAMPLES_MAX);
    size_t at = out->len;
    bool even = evenly_spaced(times, count);
    buffer_append_u8(out, CHUNK_VERSION);
    int listed = TYPE_TIMES | (count >= DENSE_COUNT_MIN ? TYPE_DENSE : 0);
    buffer_append_u8(out, (uint8_t)((histograms ? TYPE_HISTOGRAM : 0) | (even ? 0 : listed)));
    buffer_append_u32le(out, 0);
    buffer_append_varint(out, count);
    buffer_append_varint(out, (uint64_t)(times[count - 1] - times[0]));
    if (!even)
        append_times(out, times, count);
    return at;
}

void chunk_finish(struct buffer *out, size_t at)
{
    if (out->overflow)
        return;
    struct slice body = slice_skip(buffer_slice(out), at + HEADER_BYTES);
    uint32_t sum = htole32(checksum(body, CHUNK_VERSION, (uint8_t)out->at[at + 1]));
    memcpy(out->at + at + 2, &sum, sizeof sum);
}

/* Of listed times the wanted ones, out[from .. to). */
static bool cut_times(const struct chunk *chunk, struct part part, int64_t *out)
{
    struct slice times = chunk->times;
    if (!(chunk->times_dense ? dense_cut_part : pack_cut_part)(&times, out, part) || times.len)
        return false;
    for (size_t i = part.from; i < part.to; i++) {
        out[i] = (int64_t)((uint64_t)out[i] + (uint64_t)chunk->start_ms);
        if (i > part.from && out[i] <= out[i - 1])
            return false;
    }
    return true;
}

bool chunk_times(const struct chunk *chunk, int64_t *out)
{
    if (chunk->times.len)
        return cut_times(chunk, (struct part){chunk->count, 0, chunk->count}, out);
    int64_t gaps = chunk->count > 1 ? (int64_t)chunk->count - 1 : 1;
    int64_t step = (chunk->end_ms - chunk->start_ms) / gaps;
    for (size_t i = 0; i < chunk->count; i++)
        out[i] = chunk->start_ms + (int64_t)i * step;
    return true;
}

/* As chunk_times_within where the samples are evenly spaced: nothing needs to be decoded. */
static void even_times_within(const struct chunk *chunk, struct part *part, int64_t start_ms,
                              int64_t end_ms, int64_t *out)
{
    uint64_t gaps = chunk->count > 1 ? chunk->count - 1 : 1;
    uint64_t step = ((uint64_t)chunk->end_ms - (uint64_t)chunk->start_ms) / gaps;
    step = step ? step : 1; /* of one sample */
    if (start_ms > chunk->start_ms)
        part->from = ((uint64_t)start_ms - (uint64_t)chunk->start_ms + step - 1) / step;
    if (end_ms < chunk->end_ms)
        part->to = ((uint64_t)end_ms - (uint64_t)chunk->start_ms) / step + 1;
    for (size_t i = part->from; i < part->to; i++)
        *out++ = (int64_t)((uint64_t)chunk->start_ms + i * step);
}

/* Which sample would be at that time if they were evenly spaced; the time lies within the chunk. */
static size_t guess_index(const struct chunk *chunk, int64_t time_ms)
{
    double past = (double)(time_ms - chunk->start_ms);
    return (size_t)(past / (double)(chunk->end_ms - chunk->start_ms) * (double)(chunk->count - 1));
}

/* Where the samples in range are, give or take some, if few are missing. */
static struct part guess_part(const struct chunk *chunk, int64_t start_ms, int64_t end_ms)
{
    struct part part = {chunk->count, 0, chunk->count};
    size_t from = start_ms > chunk->start_ms ? guess_index(chunk, start_ms) : 0;
    if (from > GUESS_MARGIN)
        part.from = from - GUESS_MARGIN;
    size_t left = end_ms < chunk->end_ms ? chunk->count - guess_index(chunk, end_ms) : 0;
    if (left > GUESS_MARGIN)
        part.to = chunk->count - left + GUESS_MARGIN;
    return part;
}

/* True when all samples in range are in the part; its times are out[from .. to). */
static bool covers(const struct part *part, const int64_t *out, int64_t start_ms, int64_t end_ms)
{
    return part->from < part->to && (part->from == 0 || out[part->from] < start_ms) &&
           (part->to == part->count || out[part->to - 1] > end_ms);
}

bool chunk_times_within(const struct chunk *chunk, int64_t start_ms, int64_t end_ms, int64_t *out,
                        struct part *part)
{
    *part = (struct part){chunk->count, 0, chunk->count};
    if (start_ms > end_ms || start_ms > chunk->end_ms || end_ms < chunk->start_ms) {
        part->to = 0;
        return true;
    }
    if (chunk->times.len == 0) {
        even_times_within(chunk, part, start_ms, end_ms, out);
        return true;
    }
    struct part guess = guess_part(chunk, start_ms, end_ms);
    if (cut_times(chunk, guess, out) && covers(&guess, out, start_ms, end_ms))
        *part = guess;
    else if (!chunk_times(chunk, out))
        return false;
    while (part->from < part->to && out[part->from] < start_ms)
        part->from++;
    while (part->to > part->from && out[part->to - 1] > end_ms)
        part->to--;
    if (part->from)
        memmove(out, out + part->from, (part->to - part->from) * sizeof *out);
    return true;
}

/* --- summary of values --- */

static struct chunk_summary summarize(const double *values, size_t count)
{
    struct chunk_summary summary = {0};
    size_t falls = 0;
    for (size_t i = 0; i < count; i++) {
        double value = values[i];
        if (double_bits(value) == STALE_NAN_BITS)
            continue;
        if (summary.count++ == 0)
            summary.first = summary.min = summary.max = summary.last = value;
        if (value < summary.last) {
            falls++;
            summary.drop += summary.last;
        }
        summary.sum += value;
        if (value < summary.min || isnan(summary.min))
            summary.min = value;
        if (value > summary.max || isnan(summary.max))
            summary.max = value;
        summary.last = value;
    }
    if (falls > 1 && falls > count / FALLS_SHARE)
        summary.drop = NAN;
    return summary;
}

/* The least exponent at which all four are decimals, or EXPONENT_RAW. A large number that is one at
 * a small exponent may be none at a larger one. */
static int common_exponent(const double *at, int64_t *k)
{
    for (int exponent = 0; exponent <= COLUMN_EXPONENT_MAX; exponent++) {
        int fit = 0;
        while (fit < 4 && column_to_scaled(at[fit], exponent, &k[fit]))
            fit++;
        if (fit == 4)
            return exponent;
    }
    return EXPONENT_RAW;
}

static void append_numbers(struct buffer *out, const struct chunk_summary *summary)
{
    int64_t k[5];
    const double at[] = {summary->first, summary->last, summary->min, summary->max, summary->sum};
    int exponent = common_exponent(at, k);
    int drop = isnan(summary->drop) ? 0 : summary->drop == 0 ? DROP_ZERO : DROP_FOLLOWS;
    if (exponent == EXPONENT_RAW) {
        buffer_append_u8(out, (uint8_t)(EXPONENT_RAW | drop));
        for (int i = 0; i < 5; i++)
            buffer_append_u64le(out, double_bits(at[i]));
        return;
    }
    bool sum_scaled = column_to_scaled(summary->sum, exponent, &k[4]);
    buffer_append_u8(out, (uint8_t)(exponent | drop | (sum_scaled ? 0 : SUM_RAW)));
    buffer_append_varint_signed(out, k[0]);
    for (int i = 1; i < (sum_scaled ? 5 : 4); i++)
        buffer_append_varint_signed(out, k[i] - k[0]);
    if (!sum_scaled)
        buffer_append_u64le(out, double_bits(summary->sum));
}

static void append_summary(struct buffer *out, const struct chunk_summary *summary)
{
    buffer_append_varint(out, summary->count);
    if (summary->count == 0)
        return;
    append_numbers(out, summary);
    if (!isnan(summary->drop) && summary->drop != 0)
        buffer_append_u64le(out, double_bits(summary->drop));
}

static bool cut_raw(struct slice *rest, double *out)
{
    uint64_t bits;
    if (!bytes_cut_u64le(rest, &bits))
        return false;
    *out = double_of_bits(bits);
    return true;
}

/* The numbers after the byte that says how they are written. */
static bool cut_numbers(struct slice *rest, unsigned byte, struct chunk_summary *out)
{
    double *const at[] = {&out->first, &out->last, &out->min, &out->max, &out->sum};
    int exponent = byte & EXPONENT_RAW;
    bool raw = exponent == EXPONENT_RAW, sum_raw = raw || byte & SUM_RAW;
    if (!raw && exponent > COLUMN_EXPONENT_MAX)
        return false;
    int64_t first = 0, k;
    for (int i = 0; i < 5; i++) {
        if (raw || (i == 4 && sum_raw)) {
            if (!cut_raw(rest, at[i]))
                return false;
            continue;
        }
        if (!bytes_cut_varint_signed(rest, &k))
            return false;
        k = (int64_t)((uint64_t)k + (uint64_t)first);
        first = i ? first : k;
        *at[i] = column_of_scaled(k, exponent);
    }
    return true;
}

static bool cut_summary(struct slice *rest, struct chunk_summary *out)
{
    uint64_t count;
    uint8_t byte;
    *out = (struct chunk_summary){0};
    if (!bytes_cut_varint(rest, &count) || count > CHUNK_SAMPLES_MAX)
        return false;
    out->count = (size_t)count;
    if (count == 0)
        return true;
    if (!bytes_cut_u8(rest, &byte) || !cut_numbers(rest, byte, out))
        return false;
    unsigned drop = byte & (DROP_ZERO | DROP_FOLLOWS);
    out->drop = drop == DROP_ZERO ? 0 : NAN;
    return drop != DROP_FOLLOWS || cut_raw(rest, &out->drop);
}

/* --- sketches --- */

static void append_sketches(struct buffer *out, const struct slice *sketches, size_t count)
{
    struct buffer block;
    size_t last = 0;
    buffer_init(&block, SIZE_MAX);
    for (size_t i = 0; i < count; i++) {
        if (sketches[i].len == 0)
            continue;
        buffer_append_varint(&block, i - last);
        buffer_append_prefixed(&block, sketches[i]);
        last = i;
    }
    buffer_append_prefixed(out, buffer_slice(&block));
    buffer_release(&block);
}

bool chunk_sketches(const struct chunk *chunk, struct slice *out)
{
    struct slice rest = chunk->sketches;
    uint64_t gap;
    size_t at = 0;
    for (size_t i = 0; i < chunk->count; i++)
        out[i] = SLICE("");
    for (bool first = true; rest.len; first = false) {
        if (!bytes_cut_varint(&rest, &gap) || gap >= chunk->count - at || (!first && gap == 0))
            return false;
        at += (size_t)gap;
        if (!bytes_cut_prefixed(&rest, &out[at]) || out[at].len == 0 ||
            out[at].len > SKETCH_CODE_MAX)
            return false;
    }
    return true;
}

static bool any_sketch(const struct slice *sketches, size_t count)
{
    for (size_t i = 0; sketches && i < count; i++)
        if (sketches[i].len)
            return true;
    return false;
}

/* --- values --- */

void chunk_append_set(struct buffer *out, const int64_t *times, const double *values,
                      const struct slice *sketches, size_t count)
{
    struct chunk_summary summary = summarize(values, count);
    size_t at = chunk_begin(out, false, times, count);
    append_summary(out, &summary);
    if (any_sketch(sketches, count)) {
        out->at[at + 1] |= TYPE_SKETCHES;
        append_sketches(out, sketches, count);
    }
    column_append(out, values, count);
    chunk_finish(out, at);
}

void chunk_append_values(struct buffer *out, const int64_t *times, const double *values,
                         size_t count)
{
    chunk_append_set(out, times, values, NULL, count);
}

bool chunk_open(struct slice bytes, int64_t start_ms, struct chunk *out)
{
    uint8_t version, type;
    uint32_t sum;
    uint64_t count, span;
    *out = (struct chunk){.start_ms = start_ms};
    if (!bytes_cut_u8(&bytes, &version) || version < VERSION_FIRST || version > CHUNK_VERSION ||
        !bytes_cut_u8(&bytes, &type) || type > TYPE_MAX || !bytes_cut_u32le(&bytes, &sum) ||
        sum != checksum(bytes, version, type) || !bytes_cut_varint(&bytes, &count) ||
        !bytes_cut_varint(&bytes, &span))
        return false;
    if (count == 0 || count > CHUNK_SAMPLES_MAX || span > INT64_MAX / 2 ||
        ((count == 1) != (span == 0)))
        return false;
    if (type & TYPE_TIMES) {
        if (!bytes_cut_prefixed(&bytes, &out->times) || out->times.len == 0)
            return false;
    } else if (count > 1 && span % (count - 1) != 0) {
        return false;
    }
    out->times_dense = type & TYPE_DENSE;
    out->histograms = type & TYPE_HISTOGRAM;
    out->count = (size_t)count;
    out->end_ms = (int64_t)((uint64_t)start_ms + span);
    out->body = bytes;
    if (out->histograms)
        return !(type & TYPE_SKETCHES);
    return cut_summary(&out->body, &out->summary) &&
           (!(type & TYPE_SKETCHES) || bytes_cut_prefixed(&out->body, &out->sketches));
}

bool chunk_values_of(const struct chunk *chunk, struct part part, double *out)
{
    struct slice body = chunk->body;
    return !chunk->histograms && column_cut_part(&body, out, part);
}

bool chunk_values(const struct chunk *chunk, double *out)
{
    return chunk_values_of(chunk, (struct part){chunk->count, 0, chunk->count}, out);
}
