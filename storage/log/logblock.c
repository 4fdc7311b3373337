/* logblock: see the header for the idea. The bytes:
 *
 *   header   [version u8 = 1][rows varint][time_min zigzag][time_max - time_min varint]
 *            [line bytes varint][streams varint]
 *            a stream: [labels, length-prefixed][rows varint][its min - time_min varint]
 *                      [its max - its min varint]
 *            [XXH3-64 of each column u64 LE x 4][XXH3-64 of all before u64 LE]
 *   TIME     zstd of: a row, [time - time of the row before, varint] (the first: - time_min)
 *   STREAM   zstd of: a row, [index of its stream in the header, varint]; no bytes for one stream
 *   LINE     zstd of: a row, [length varint]; then the lines, end to end
 *   FILTER   storage/log/logfilter.c
 *
 * zstd columns are [raw size varint][frame]. Level 1: higher levels gain 2-3 % on log lines and
 * cost twice the time. Typed columns a field are deliberately absent: lines stay as they were
 * sent, byte for byte, and queries parse the few that survive the filters.
 */
#include "storage/log/logblock.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>
#include <zstd.h>

#include "storage/base/alloc.h"
#include "storage/log/logfilter.h"

#define VERSION       1
#define ZSTD_LEVEL    1
#define CHECKSUM_SIZE 8
/* A column before compression: the lines of a full block, the last one being the longest. */
#define RAW_MAX (LOGBLOCK_BYTES + LOGBLOCK_LINE_MAX + LOGBLOCK_ROWS_MAX * 10)

static uint64_t checksum(struct slice s)
{
    return XXH3_64bits(s.at, s.len);
}

static void compress_column(const struct buffer *raw, struct buffer *out)
{
    assert(!raw->overflow);
    size_t bound = ZSTD_compressBound(raw->len);
    buffer_append_varint(out, raw->len);
    char *room = buffer_reserve(out, bound);
    assert(room);
    size_t size = ZSTD_compress(room, bound, raw->at, raw->len, ZSTD_LEVEL);
    assert(!ZSTD_isError(size));
    out->len += size;
}

static void encode_times(const struct logblock_source *source, struct buffer *out)
{
    struct buffer raw;
    buffer_init(&raw, RAW_MAX);
    int64_t previous = source->rows[0].time_ns;
    for (size_t i = 0; i < source->row_count; i++) {
        int64_t time = source->rows[i].time_ns;
        assert(time >= previous);
        buffer_append_varint(&raw, (uint64_t)time - (uint64_t)previous);
        previous = time;
    }
    compress_column(&raw, out);
    buffer_release(&raw);
}

static void encode_lines(const struct logblock_source *source, struct buffer *out)
{
    struct buffer raw;
    buffer_init(&raw, RAW_MAX);
    for (size_t i = 0; i < source->row_count; i++)
        buffer_append_varint(&raw, source->rows[i].line.len);
    for (size_t i = 0; i < source->row_count; i++)
        buffer_append_slice(&raw, source->rows[i].line);
    compress_column(&raw, out);
    buffer_release(&raw);
}

static void encode_filter(const struct logblock_source *source, struct buffer *out)
{
    struct logfilter_builder builder;
    logfilter_init(&builder);
    for (size_t i = 0; i < source->row_count; i++)
        logfilter_add_line(&builder, source->rows[i].line);
    logfilter_finish(&builder, out);
    logfilter_release(&builder);
}

/* What the header says about one stream, and its number in the block. */
struct usage {
    uint64_t rows;
    int64_t time_min, time_max;
    uint32_t number;
};

static size_t count_streams(const struct logblock_source *source, struct usage *usage)
{
    uint32_t used = 0;
    for (size_t i = 0; i < source->row_count; i++) {
        const struct logblock_row *row = &source->rows[i];
        assert(row->stream < source->stream_count);
        struct usage *stream = &usage[row->stream];
        if (stream->rows++ == 0) {
            stream->time_min = row->time_ns;
            stream->number = used++;
        }
        stream->time_max = row->time_ns;
    }
    return used;
}

static void encode_streams(const struct logblock_source *source, const struct usage *usage,
                           size_t used, struct buffer *out)
{
    if (used == 1)
        return;
    struct buffer raw;
    buffer_init(&raw, RAW_MAX);
    for (size_t i = 0; i < source->row_count; i++)
        buffer_append_varint(&raw, usage[source->rows[i].stream].number);
    compress_column(&raw, out);
    buffer_release(&raw);
}

/* Streams stand in the header in the order of their first rows, which is that of their numbers. */
static void encode_header_streams(const struct logblock_source *source, const struct usage *usage,
                                  struct buffer *out)
{
    int64_t time_min = source->rows[0].time_ns;
    uint32_t next = 0;
    for (size_t i = 0; i < source->row_count; i++) {
        const struct usage *stream = &usage[source->rows[i].stream];
        if (stream->number != next)
            continue;
        next++;
        buffer_append_prefixed(out, source->streams[source->rows[i].stream]);
        buffer_append_varint(out, stream->rows);
        buffer_append_varint(out, (uint64_t)stream->time_min - (uint64_t)time_min);
        buffer_append_varint(out, (uint64_t)stream->time_max - (uint64_t)stream->time_min);
    }
}

void logblock_encode(const struct logblock_source *source, struct buffer *header,
                     struct buffer columns[LOGBLOCK_COLUMN_COUNT])
{
    assert(source->row_count >= 1 && source->row_count <= LOGBLOCK_ROWS_MAX);
    struct usage *usage = alloc_zeroed(source->stream_count, sizeof *usage);
    size_t used = count_streams(source, usage);
    int64_t time_min = source->rows[0].time_ns;
    int64_t time_max = source->rows[source->row_count - 1].time_ns;
    uint64_t line_bytes = 0;
    for (size_t i = 0; i < source->row_count; i++)
        line_bytes += source->rows[i].line.len;

    encode_times(source, &columns[LOGBLOCK_TIME]);
    encode_streams(source, usage, used, &columns[LOGBLOCK_STREAM]);
    encode_lines(source, &columns[LOGBLOCK_LINE]);
    encode_filter(source, &columns[LOGBLOCK_FILTER]);

    buffer_append_u8(header, VERSION);
    buffer_append_varint(header, source->row_count);
    buffer_append_varint_signed(header, time_min);
    buffer_append_varint(header, (uint64_t)time_max - (uint64_t)time_min);
    buffer_append_varint(header, line_bytes);
    buffer_append_varint(header, used);
    encode_header_streams(source, usage, header);
    for (size_t i = 0; i < LOGBLOCK_COLUMN_COUNT; i++)
        buffer_append_u64le(header, checksum(buffer_slice(&columns[i])));
    buffer_append_u64le(header, checksum(buffer_slice(header)));
    free(usage);
}

/* --- reading --- */

static int damaged(struct error *err, const char *what)
{
    return error_set(err, ERROR_INTERNAL,
                     "a log block is damaged (%s); restore it from a backup, or narrow the time "
                     "range to leave it out",
                     what);
}

static int exhausted(struct error *err)
{
    return error_set(err, ERROR_LIMIT,
                     "the query needs more memory than its limit; narrow the time range or the "
                     "selector");
}

static bool add_span(int64_t base, uint64_t span, int64_t *out)
{
    return span <= INT64_MAX && !__builtin_add_overflow(base, (int64_t)span, out);
}

static bool cut_stream(struct slice *rest, const struct logblock *block, struct arena *arena,
                       struct logblock_stream *stream)
{
    uint64_t from, span;
    return bytes_cut_prefixed(rest, &stream->bytes) &&
           labels_decode(stream->bytes, arena, &stream->labels) &&
           bytes_cut_varint(rest, &stream->rows) && stream->rows >= 1 &&
           stream->rows <= block->rows && bytes_cut_varint(rest, &from) &&
           bytes_cut_varint(rest, &span) &&
           add_span(block->time_min_ns, from, &stream->time_min_ns) &&
           add_span(stream->time_min_ns, span, &stream->time_max_ns) &&
           stream->time_max_ns <= block->time_max_ns;
}

static bool cut_counts(struct slice *rest, struct logblock *block)
{
    uint8_t version;
    uint64_t rows, span, streams;
    if (!bytes_cut_u8(rest, &version) || version != VERSION || !bytes_cut_varint(rest, &rows) ||
        rows < 1 || rows > LOGBLOCK_ROWS_MAX ||
        !bytes_cut_varint_signed(rest, &block->time_min_ns) || !bytes_cut_varint(rest, &span) ||
        !add_span(block->time_min_ns, span, &block->time_max_ns) ||
        !bytes_cut_varint(rest, &block->line_bytes) || block->line_bytes > RAW_MAX ||
        !bytes_cut_varint(rest, &streams) || streams < 1 || streams > rows)
        return false;
    block->rows = (size_t)rows;
    block->stream_count = (size_t)streams;
    return true;
}

int logblock_decode_header(struct slice bytes, struct arena *arena, struct logblock *out,
                           struct error *err)
{
    *out = (struct logblock){0};
    if (bytes.len < CHECKSUM_SIZE)
        return damaged(err, "its header is cut off");
    struct slice body = slice_head(bytes, bytes.len - CHECKSUM_SIZE);
    struct slice rest = slice_skip(bytes, body.len);
    uint64_t sum;
    if (!bytes_cut_u64le(&rest, &sum) || sum != checksum(body))
        return damaged(err, "the checksum of its header is wrong");
    if (!cut_counts(&body, out))
        return damaged(err, "its header is malformed");
    out->streams = arena_zeroed(arena, out->stream_count, sizeof *out->streams);
    if (!out->streams)
        return exhausted(err);
    for (size_t i = 0; i < out->stream_count; i++)
        if (!cut_stream(&body, out, arena, &out->streams[i]))
            return arena->exhausted ? exhausted(err) : damaged(err, "its streams are malformed");
    for (size_t i = 0; i < LOGBLOCK_COLUMN_COUNT; i++)
        if (!bytes_cut_u64le(&body, &out->checksums[i]))
            return damaged(err, "its header is malformed");
    return body.len == 0 ? 0 : damaged(err, "its header is malformed");
}

static int check_column(const struct logblock *block, enum logblock_column which,
                        struct slice column, struct error *err)
{
    static const char *const wrong[] = {
        [LOGBLOCK_TIME] = "the checksum of its times is wrong",
        [LOGBLOCK_STREAM] = "the checksum of its streams is wrong",
        [LOGBLOCK_LINE] = "the checksum of its lines is wrong",
        [LOGBLOCK_FILTER] = "the checksum of its filter is wrong",
    };
    return checksum(column) == block->checksums[which] ? 0 : damaged(err, wrong[which]);
}

static int inflate_column(struct slice column, struct arena *arena, struct slice *out,
                          struct error *err)
{
    uint64_t size;
    if (!bytes_cut_varint(&column, &size) || size > RAW_MAX)
        return damaged(err, "the size of a column is wrong");
    char *at = arena_alloc(arena, (size_t)size);
    if (!at)
        return exhausted(err);
    size_t got = ZSTD_decompress(at, (size_t)size, column.at, column.len);
    if (ZSTD_isError(got) || got != size)
        return damaged(err, "a column does not decompress");
    *out = slice_make(at, got);
    return 0;
}

int logblock_decode_times(const struct logblock *block, struct slice column, struct arena *arena,
                          int64_t **out, struct error *err)
{
    struct slice raw = SLICE("");
    if (check_column(block, LOGBLOCK_TIME, column, err) || inflate_column(column, arena, &raw, err))
        return -1;
    int64_t *times = arena_alloc(arena, block->rows * sizeof *times);
    if (!times)
        return exhausted(err);
    int64_t time = block->time_min_ns;
    for (size_t i = 0; i < block->rows; i++) {
        uint64_t delta;
        if (!bytes_cut_varint(&raw, &delta) || !add_span(time, delta, &time) ||
            time > block->time_max_ns)
            return damaged(err, "its times are malformed");
        times[i] = time;
    }
    *out = times;
    return raw.len == 0 ? 0 : damaged(err, "its times are malformed");
}

int logblock_decode_streams(const struct logblock *block, struct slice column, struct arena *arena,
                            uint32_t **out, struct error *err)
{
    struct slice raw = SLICE("");
    if (check_column(block, LOGBLOCK_STREAM, column, err))
        return -1;
    if (block->stream_count > 1 && inflate_column(column, arena, &raw, err))
        return -1;
    uint32_t *streams = arena_zeroed(arena, block->rows, sizeof *streams);
    if (!streams)
        return exhausted(err);
    for (size_t i = 0; block->stream_count > 1 && i < block->rows; i++) {
        uint64_t number;
        if (!bytes_cut_varint(&raw, &number) || number >= block->stream_count)
            return damaged(err, "its stream numbers are malformed");
        streams[i] = (uint32_t)number;
    }
    *out = streams;
    return raw.len == 0 ? 0 : damaged(err, "its stream numbers are malformed");
}

int logblock_decode_lines(const struct logblock *block, struct slice column, struct arena *arena,
                          struct slice **out, struct error *err)
{
    struct slice raw = SLICE("");
    if (check_column(block, LOGBLOCK_LINE, column, err) || inflate_column(column, arena, &raw, err))
        return -1;
    struct slice *lines = arena_alloc(arena, block->rows * sizeof *lines);
    if (!lines)
        return exhausted(err);
    for (size_t i = 0; i < block->rows; i++) {
        uint64_t len;
        if (!bytes_cut_varint(&raw, &len) || len > RAW_MAX)
            return damaged(err, "its lines are malformed");
        lines[i].len = (size_t)len;
    }
    for (size_t i = 0; i < block->rows; i++)
        if (!bytes_cut_slice(&raw, lines[i].len, &lines[i]))
            return damaged(err, "its lines are malformed");
    *out = lines;
    return raw.len == 0 ? 0 : damaged(err, "its lines are malformed");
}

int logblock_check_filter(const struct logblock *block, struct slice column, struct error *err)
{
    return check_column(block, LOGBLOCK_FILTER, column, err);
}
