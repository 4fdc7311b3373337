/* column: see the header for the idea.
 *
 *   mode u8 | payload
 *
 *   mode 0..6    value = k / 10^mode, k packed (storage/code/pack.c)
 *   mode 24..30  the same, then exceptions in runs of the same bits: runs varint, then for each
 *                gap * 2 + 1 varint, length - 1 varint, bits u64; or gap * 2 with the bits of the run
 *                before; the k of an exception repeats its neighbour and costs nothing
 *   mode 16..22  as it was written before: count varint, (gap varint, bits u64) for each exception
 *   mode 32      XOR bits, least significant first:
 *                  0                                same bits as the value before
 *                  1 0 <meaningful bits>            in the window of the last XOR
 *                  1 1 <leading 6> <length-1 6> <meaningful bits>   a new window
 *   mode 64..94  as 0..30, but k is dense (storage/code/dense.c)
 *   mode 33      the bits of the doubles as integers, dense
 *   mode 35      quotients (storage/code/quotient.c); 34: as they were written before
 *
 * A double counts as the decimal k / 10^e only if that division gives exactly its bits again, so
 * nothing is ever rounded; stale markers, -0 and infinities are exceptions. Where there are
 * exceptions both forms are tried and the shorter one is kept.
 */
#include "storage/code/column.h"

#include <assert.h>
#include <endian.h>
#include <math.h>

#include "storage/code/dense.h"
#include "storage/code/pack.h"
#include "storage/code/quotient.h"

#define MODE_EXCEPTIONS     16
#define MODE_EXCEPTION_RUNS 24
#define EXPONENT_BITS       7
#define MODE_XOR            32
#define MODE_BITS           33
#define MODE_QUOTIENT_OLD   34
#define MODE_QUOTIENT       35
#define MODE_DENSE          64
#define QUOTIENTS_SHARE     8                  /* worth a try when so many are no decimals */
#define INTEGER_LIMIT       9007199254740992.0 /* 2^53 */

static const double powers[COLUMN_EXPONENT_MAX + 1] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};

double column_power(int exponent)
{
    return powers[exponent];
}

double column_of_scaled(int64_t k, int exponent)
{
    return (double)k / powers[exponent];
}

bool column_to_scaled(double value, int exponent, int64_t *k)
{
    double scaled = value * powers[exponent];
    if (!(fabs(scaled) < INTEGER_LIMIT))
        return false;
    *k = (int64_t)(scaled + (scaled < 0 ? -0.5 : 0.5)); /* rint, without the call */
    return double_bits(column_of_scaled(*k, exponent)) == double_bits(value); /* not so for -0 */
}

/* The smallest exponent that serves all values which any exponent serves. */
static int find_exponent(const double *values, size_t count)
{
    int exponent = 0;
    int64_t k;
    for (size_t i = 0; i < count; i++) {
        if (i && double_bits(values[i]) == double_bits(values[i - 1]))
            continue;
        int need = exponent;
        while (need <= COLUMN_EXPONENT_MAX && !column_to_scaled(values[i], need, &k))
            need++;
        if (need <= COLUMN_EXPONENT_MAX)
            exponent = need;
    }
    return exponent;
}

/* The end of the run of exceptions of the same bits that begins at `from`. */
static size_t run_end(const double *values, size_t count, size_t from, int exponent)
{
    int64_t k;
    size_t end = from + 1;
    while (end < count && double_bits(values[end]) == double_bits(values[from]) &&
           !column_to_scaled(values[end], exponent, &k))
        end++;
    return end;
}

static void append_exceptions(struct buffer *out, const double *values, size_t count, int exponent)
{
    struct buffer list;
    size_t runs = 0, last = 0;
    uint64_t known = 0; /* the bits of the run before */
    int64_t k;
    buffer_init(&list, SIZE_MAX);
    for (size_t i = 0, end; i < count; i = end) {
        end = i + 1;
        if (column_to_scaled(values[i], exponent, &k))
            continue;
        end = run_end(values, count, i, exponent);
        bool new = double_bits(values[i]) != known || runs == 0;
        buffer_append_varint(&list, (i - last) * 2 + new);
        buffer_append_varint(&list, end - i - 1);
        if (new)
            buffer_append_u64le(&list, double_bits(values[i]));
        known = double_bits(values[i]);
        last = end;
        runs++;
    }
    buffer_append_varint(out, runs);
    buffer_append_slice(out, buffer_slice(&list));
    buffer_release(&list);
}

static void append_integers(struct buffer *out, const int64_t *k, size_t count, uint8_t mode)
{
    size_t start = out->len, packed = start;
    if (count < DENSE_COUNT_MIN) {
        buffer_append_u8(out, mode);
        pack_append(out, k, count);
        if (!dense_has_runs(k, count))
            return;
        packed = out->len;
    }
    buffer_append_u8(out, mode | MODE_DENSE);
    dense_append(out, k, count);
    if (packed > start)
        buffer_keep_shorter(out, start, packed);
}

/* Returns the number of exceptions. */
static size_t append_scaled(struct buffer *out, const double *values, size_t count)
{
    int64_t k[COLUMN_COUNT_MAX];
    size_t exceptions = 0;
    int exponent = find_exponent(values, count);
    for (size_t i = 0; i < count; i++) {
        if (column_to_scaled(values[i], exponent, &k[i]))
            continue;
        exceptions++;
        k[i] = i ? k[i - 1] : 0;
    }
    if (exceptions && count > 1) { /* leading exceptions repeat the first decimal */
        size_t first = 0;
        int64_t ignored;
        while (first < count && !column_to_scaled(values[first], exponent, &ignored))
            first++;
        for (size_t i = 0; i < first && first < count; i++)
            k[i] = k[first];
    }
    append_integers(out, k, count, (uint8_t)(exponent + (exceptions ? MODE_EXCEPTION_RUNS : 0)));
    if (exceptions)
        append_exceptions(out, values, count, exponent);
    return exceptions;
}

/* --- bits, least significant first --- */

struct bit_writer {
    struct buffer *out;
    unsigned __int128 pending;
    unsigned fill;
};

static void put_bits(struct bit_writer *writer, uint64_t bits, unsigned width)
{
    writer->pending |= (unsigned __int128)bits << writer->fill;
    writer->fill += width;
    if (writer->fill >= 64) {
        buffer_append_u64le(writer->out, (uint64_t)writer->pending);
        writer->pending >>= 64;
        writer->fill -= 64;
    }
}

static void append_xor(struct buffer *out, const double *values, size_t count)
{
    struct bit_writer writer = {.out = out};
    unsigned leading = 64, length = 0; /* no window yet */
    uint64_t previous = 0;
    buffer_append_u8(out, MODE_XOR);
    for (size_t i = 0; i < count; i++) {
        uint64_t x = double_bits(values[i]) ^ previous;
        previous = double_bits(values[i]);
        if (x == 0) {
            put_bits(&writer, 0, 1);
            continue;
        }
        unsigned lead = (unsigned)__builtin_clzll(x), trail = (unsigned)__builtin_ctzll(x);
        if (length && lead >= leading && trail >= 64 - leading - length) {
            put_bits(&writer, 1, 2);
        } else {
            leading = lead;
            length = 64 - lead - trail;
            put_bits(&writer, 3 | lead << 2 | (uint64_t)(length - 1) << 8, 14);
        }
        put_bits(&writer, x >> (64 - leading - length), length);
    }
    for (; writer.fill; writer.fill -= writer.fill < 8 ? writer.fill : 8) {
        buffer_append_u8(out, (uint8_t)writer.pending);
        writer.pending >>= 8;
    }
}

struct bit_reader {
    struct slice bytes;
    size_t bit;
};

static bool get_bits(struct bit_reader *reader, unsigned width, uint64_t *out)
{
    size_t at = reader->bit / 8, size = (reader->bit + width + 7) / 8 - at;
    unsigned shift = reader->bit & 7;
    uint64_t word = 0, mask = width == 64 ? UINT64_MAX : ((uint64_t)1 << width) - 1;
    if (size > reader->bytes.len - at)
        return false;
    if (reader->bytes.len - at >= 8)
        memcpy(&word, reader->bytes.at + at, 8);
    else
        memcpy(&word, reader->bytes.at + at, size);
    word = le64toh(word) >> shift;
    if (size > 8)
        word |= (uint64_t)(uint8_t)reader->bytes.at[at + 8] << (64 - shift);
    *out = word & mask;
    reader->bit += width;
    return true;
}

/* Reads one XOR; the window is updated. */
static bool get_xor(struct bit_reader *reader, unsigned *leading, unsigned *length, uint64_t *x)
{
    uint64_t bit, window;
    *x = 0;
    if (!get_bits(reader, 1, &bit) || (bit && !get_bits(reader, 1, &window)))
        return false;
    if (!bit)
        return true;
    if (window) {
        if (!get_bits(reader, 12, &bit))
            return false;
        *leading = bit & 63;
        *length = (unsigned)(bit >> 6) + 1;
    }
    if (*length == 0 || *leading + *length > 64 || !get_bits(reader, *length, x))
        return false;
    *x <<= 64 - *leading - *length;
    return true;
}

static bool cut_xor(struct slice *rest, double *out, struct part part)
{
    struct bit_reader reader = {.bytes = *rest};
    unsigned leading = 0, length = 0;
    uint64_t previous = 0, x;
    for (size_t i = 0; i < part.count; i++) {
        if (!get_xor(&reader, &leading, &length, &x))
            return false;
        previous ^= x;
        if (i >= part.from && i < part.to)
            out[i - part.from] = double_of_bits(previous);
    }
    *rest = slice_skip(*rest, (reader.bit + 7) / 8);
    return true;
}

/* Sign, exponent and the upper bits of the mantissa have a shape, and the rest is noise. */
static void append_bits(struct buffer *out, const double *values, size_t count)
{
    int64_t bits[COLUMN_COUNT_MAX];
    memcpy(bits, values, count * sizeof *bits);
    buffer_append_u8(out, MODE_BITS);
    dense_append(out, bits, count);
}

void column_append(struct buffer *out, const double *values, size_t count)
{
    assert(count <= COLUMN_COUNT_MAX);
    if (count == 0)
        return;
    size_t start = out->len;
    size_t exceptions = append_scaled(out, values, count), scaled = out->len;
    if (exceptions == 0)
        return;
    if (count < DENSE_COUNT_MIN) {
        append_xor(out, values, count);
        buffer_keep_shorter(out, start, scaled);
        return;
    }
    append_bits(out, values, count);
    buffer_keep_shorter(out, start, scaled);
    if (exceptions < count / QUOTIENTS_SHARE)
        return;
    scaled = out->len;
    buffer_append_u8(out, MODE_QUOTIENT);
    if (quotient_append(out, values, count))
        buffer_keep_shorter(out, start, scaled);
    else
        out->len = scaled;
}

static bool cut_exceptions(struct slice *rest, double *out, struct part part)
{
    uint64_t exceptions, gap, bits;
    size_t at = 0;
    if (!bytes_cut_varint(rest, &exceptions) || exceptions > part.count)
        return false;
    for (uint64_t i = 0; i < exceptions; i++) {
        if (!bytes_cut_varint(rest, &gap) || gap >= part.count - at ||
            !bytes_cut_u64le(rest, &bits))
            return false;
        at += (size_t)gap;
        if (at >= part.from && at < part.to)
            out[at - part.from] = double_of_bits(bits);
    }
    return true;
}

static bool cut_exception_runs(struct slice *rest, double *out, struct part part)
{
    uint64_t runs, gap, length, bits = 0;
    size_t at = 0;
    if (!bytes_cut_varint(rest, &runs) || runs > part.count)
        return false;
    for (uint64_t i = 0; i < runs; i++) {
        if (!bytes_cut_varint(rest, &gap) || !bytes_cut_varint(rest, &length) ||
            gap / 2 >= part.count - at || length >= part.count - at - gap / 2)
            return false;
        if (gap & 1 && !bytes_cut_u64le(rest, &bits))
            return false;
        at += (size_t)gap / 2;
        size_t end = at + (size_t)length + 1, stop = end < part.to ? end : part.to;
        for (size_t j = at > part.from ? at : part.from; j < stop; j++)
            out[j - part.from] = double_of_bits(bits);
        at = end;
    }
    return true;
}

static void unscale(double *out, const int64_t *k, size_t count, int exponent)
{
    double power = powers[exponent];
    if (exponent == 0) {
        for (size_t i = 0; i < count; i++)
            out[i] = (double)k[i];
    } else {
        for (size_t i = 0; i < count; i++)
            out[i] = (double)k[i] / power;
    }
}

static bool cut_scaled(struct slice *rest, uint8_t mode, double *out, struct part part)
{
    int64_t k[COLUMN_COUNT_MAX];
    int exponent = mode & EXPONENT_BITS;
    bool dense = mode & MODE_DENSE;
    mode &= MODE_DENSE - 1;
    if (mode >= MODE_XOR || exponent > COLUMN_EXPONENT_MAX ||
        !(dense ? dense_cut_part : pack_cut_part)(rest, k, part))
        return false;
    unscale(out, k + part.from, part.to - part.from, exponent);
    switch (mode & MODE_EXCEPTION_RUNS) {
    case 0:
        return true;
    case MODE_EXCEPTIONS:
        return cut_exceptions(rest, out, part);
    case MODE_EXCEPTION_RUNS:
        return cut_exception_runs(rest, out, part);
    }
    return false;
}

static bool cut_bits(struct slice *rest, double *out, struct part part)
{
    int64_t bits[COLUMN_COUNT_MAX];
    if (!dense_cut_part(rest, bits, part))
        return false;
    memcpy(out, bits + part.from, (part.to - part.from) * sizeof *out);
    return true;
}

bool column_cut_part(struct slice *rest, double *out, struct part part)
{
    uint8_t mode;
    assert(part.from <= part.to && part.to <= part.count);
    if (part.count == 0)
        return true;
    if (part.count > COLUMN_COUNT_MAX || !bytes_cut_u8(rest, &mode))
        return false;
    if (mode == MODE_XOR)
        return cut_xor(rest, out, part);
    if (mode == MODE_BITS)
        return cut_bits(rest, out, part);
    if (mode == MODE_QUOTIENT || mode == MODE_QUOTIENT_OLD)
        return quotient_cut(rest, out, part, mode == MODE_QUOTIENT);
    return cut_scaled(rest, mode, out, part);
}

bool column_cut(struct slice *rest, double *out, size_t count)
{
    return column_cut_part(rest, out, (struct part){count, 0, count});
}

/* --- single numbers: 0 equal, 1 raw bits follow, n > 1 zigzag difference + 1 --- */

void number_append(struct buffer *out, double value, double known)
{
    int64_t a, b;
    if (double_bits(value) == double_bits(known)) {
        buffer_append_varint(out, 0);
    } else if (column_to_scaled(value, 0, &a) && column_to_scaled(known, 0, &b) && a != b) {
        int64_t delta = a - b;
        buffer_append_varint(out, (((uint64_t)delta << 1) ^ (uint64_t)(delta >> 63)) + 1);
    } else {
        buffer_append_varint(out, 1);
        buffer_append_u64le(out, double_bits(value));
    }
}

bool number_cut(struct slice *rest, double known, double *out)
{
    uint64_t code, bits;
    int64_t b;
    if (!bytes_cut_varint(rest, &code))
        return false;
    if (code == 0) {
        *out = known;
        return true;
    }
    if (code == 1) {
        if (!bytes_cut_u64le(rest, &bits))
            return false;
        *out = double_of_bits(bits);
        return true;
    }
    code--;
    if (!column_to_scaled(known, 0, &b))
        return false;
    uint64_t delta = (code >> 1) ^ -(code & 1);
    *out = (double)(int64_t)((uint64_t)b + delta);
    return true;
}
