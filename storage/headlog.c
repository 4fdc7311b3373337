/* headlog: one columnar record a commit.
 *
 *   checksum u32le | kind u8 | wall clock ms, varint | count varint | series | times | values
 *
 *   checksum  XXH3 of what follows, low half
 *   series    packed ids in the order of the batch (storage/code/pack.c)
 *   times     packed ms: a few bytes in all when a tick has one time. In a record of kind SEALED
 *             the newest sealed sample of each series, and the end of the record
 *   values    for each sample a control byte and what it says:
 *               0x00            the same bits as the open sample before
 *               shift<<4 | len  XOR with it: len bytes (little-endian), shifted left by that many
 *               0xf0            a histogram code: varint length, bytes
 *               0xf1            a sketch: varint length, code; then the value it is of, as above
 *             Late samples do not refer to others: their values and codes are there in full. In a
 *             record of kind MERGED the packed ends of the ranges whose starts are the times
 *
 * The sample before is the one in the series' open chunk, 0 for its first: what a record refers to
 * is never older than the oldest open sample, and the log is cut only below that. Samples sealed since
 * may refer to what was cut off; replay passes them over.
 */
#include "storage/headlog.h"

#include <endian.h>
#include <stdlib.h>
#include <xxhash.h>

#include "storage/base/alloc.h"
#include "storage/code/pack.h"

#define CONTROL_HISTOGRAM 0xf0
#define CONTROL_SKETCH    0xf1
#define ROWS_MAX          ((uint64_t)1 << 26)

static size_t begin(struct buffer *out, enum headlog_kind kind, int64_t wall_ms, size_t count)
{
    size_t at = out->len;
    buffer_append_u32le(out, 0);
    buffer_append_u8(out, (uint8_t)kind);
    buffer_append_varint(out, (uint64_t)wall_ms);
    buffer_append_varint(out, count);
    return at;
}

static void finish(struct buffer *out, size_t at)
{
    uint32_t sum = (uint32_t)XXH3_64bits(out->at + at + 4, out->len - at - 4);
    sum = htole32(sum);
    memcpy(out->at + at, &sum, sizeof sum);
}

static void append_value(struct buffer *out, uint64_t x)
{
    if (x == 0) {
        buffer_append_u8(out, 0);
        return;
    }
    unsigned shift = (unsigned)__builtin_ctzll(x) / 8;
    unsigned len = 8 - (unsigned)__builtin_clzll(x) / 8 - shift;
    char bytes[9] = {(char)(shift << 4 | len)};
    x = htole64(x >> (8 * shift));
    memcpy(bytes + 1, &x, 8);
    buffer_append(out, bytes, 1 + len);
}

void headlog_append_samples(struct buffer *out, enum headlog_kind kind, int64_t wall_ms,
                            const struct headlog_rows *rows)
{
    int64_t *column = alloc_resize(NULL, rows->count, sizeof *column);
    size_t at = begin(out, kind, wall_ms, rows->count);
    for (size_t i = 0; i < rows->count; i++)
        column[i] = rows->at[i].series;
    pack_append(out, column, rows->count);
    for (size_t i = 0; i < rows->count; i++)
        column[i] = rows->at[i].time_ms;
    pack_append(out, column, rows->count);
    free(column);
    for (size_t i = 0; i < rows->count; i++) {
        const struct headlog_row *row = &rows->at[i];
        if (row->code_len) {
            buffer_append_u8(out, row->sketch ? CONTROL_SKETCH : CONTROL_HISTOGRAM);
            buffer_append_prefixed(out, slice_make(rows->codes.at + row->code_at, row->code_len));
        }
        if (!row->code_len || row->sketch)
            append_value(out, row->bits ^ row->known);
    }
    finish(out, at);
}

void headlog_append_sealed(struct buffer *out, const uint32_t *series, const int64_t *sealed_ms,
                           size_t count)
{
    int64_t *column = alloc_resize(NULL, count, sizeof *column);
    size_t at = begin(out, HEADLOG_SEALED, 0, count);
    for (size_t i = 0; i < count; i++)
        column[i] = series[i];
    pack_append(out, column, count);
    pack_append(out, sealed_ms, count);
    free(column);
    finish(out, at);
}

void headlog_append_merged(struct buffer *out, const struct headlog_range *ranges, size_t count)
{
    int64_t *column = alloc_resize(NULL, count, sizeof *column);
    size_t at = begin(out, HEADLOG_MERGED, 0, count);
    for (size_t i = 0; i < count; i++)
        column[i] = ranges[i].series;
    pack_append(out, column, count);
    for (size_t i = 0; i < count; i++)
        column[i] = ranges[i].from_ms;
    pack_append(out, column, count);
    for (size_t i = 0; i < count; i++)
        column[i] = ranges[i].until_ms;
    pack_append(out, column, count);
    free(column);
    finish(out, at);
}

static bool is_kind(uint8_t kind)
{
    return kind >= HEADLOG_SAMPLES && kind <= HEADLOG_MERGED;
}

enum headlog_kind headlog_kind_of(struct slice record)
{
    return record.len > 4 && is_kind((uint8_t)record.at[4]) ? (enum headlog_kind)record.at[4]
                                                            : HEADLOG_SAMPLES;
}

bool headlog_check(struct slice record)
{
    uint32_t sum;
    return bytes_cut_u32le(&record, &sum) && sum == (uint32_t)XXH3_64bits(record.at, record.len);
}

bool headlog_open(struct headlog_reader *reader, struct slice record)
{
    uint32_t sum;
    uint8_t kind;
    uint64_t wall, count;
    *reader = (struct headlog_reader){0};
    if (!headlog_check(record) || !bytes_cut_u32le(&record, &sum) ||
        !bytes_cut_u8(&record, &kind) || !is_kind(kind) || !bytes_cut_varint(&record, &wall) ||
        !bytes_cut_varint(&record, &count) || count > ROWS_MAX)
        return false;
    reader->kind = (enum headlog_kind)kind;
    reader->wall_ms = (int64_t)wall;
    reader->count = (size_t)count;
    reader->series = alloc_resize(NULL, reader->count, sizeof *reader->series);
    reader->times = alloc_resize(NULL, reader->count, sizeof *reader->times);
    if (!pack_cut(&record, reader->series, reader->count) ||
        !pack_cut(&record, reader->times, reader->count))
        return false;
    if (kind == HEADLOG_MERGED) {
        reader->until = alloc_resize(NULL, reader->count, sizeof *reader->until);
        if (!pack_cut(&record, reader->until, reader->count))
            return false;
    }
    reader->values = record;
    return true;
}

void headlog_release(struct headlog_reader *reader)
{
    free(reader->series);
    free(reader->times);
    free(reader->until);
    *reader = (struct headlog_reader){0};
}

/* The way of nearly all: a value, with eight bytes to read at once. */
static bool next_word(struct slice *values, uint64_t *xor_bits)
{
    if (values->len < 9 || (uint8_t)values->at[0] == CONTROL_HISTOGRAM)
        return false;
    unsigned shift = (uint8_t)values->at[0] >> 4, len = values->at[0] & 15;
    if (shift + len > 8)
        return false;
    uint64_t word;
    memcpy(&word, values->at + 1, 8);
    word = len ? le64toh(word) << (64 - 8 * len) >> (64 - 8 * len) : 0;
    *xor_bits = word << (8 * (shift & 7));
    *values = slice_skip(*values, 1 + len);
    return true;
}

bool headlog_next(struct headlog_reader *reader, uint64_t *xor_bits, struct slice *code)
{
    uint8_t control;
    struct slice raw;
    *xor_bits = 0;
    *code = SLICE("");
    reader->next++;
    if (next_word(&reader->values, xor_bits))
        return true;
    if (!bytes_cut_u8(&reader->values, &control))
        return false;
    if (control == CONTROL_HISTOGRAM)
        return bytes_cut_prefixed(&reader->values, code) && code->len > 0;
    if (control == CONTROL_SKETCH && (!bytes_cut_prefixed(&reader->values, code) ||
                                      code->len == 0 || !bytes_cut_u8(&reader->values, &control)))
        return false;
    unsigned shift = control >> 4, len = control & 15;
    if (shift + len > 8 || !bytes_cut_slice(&reader->values, len, &raw))
        return false;
    memcpy(xor_bits, raw.at, len);
    *xor_bits = le64toh(*xor_bits) << (8 * (shift & 7));
    return true;
}
