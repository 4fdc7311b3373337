/* logblock: damaged blocks are errors, never crashes; what is encoded comes back; the filter
 * never denies what a line holds.
 *
 *   input   [mode u8] then
 *     even mode   [header length u8][header][column ...]: decoded as it is, checksums made right
 *     odd mode    lines; each line is a row, its first byte chooses time step and stream
 */
#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

#include "storage/base/arena.h"
#include "storage/log/logblock.h"
#include "storage/log/logfilter.h"

#define BYTES_MAX ((size_t)64 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode_damaged(struct slice input)
{
    struct arena arena;
    struct buffer header;
    struct logblock block;
    struct error err;
    uint8_t header_len;
    struct slice body;
    arena_init(&arena, BYTES_MAX);
    buffer_init(&header, BYTES_MAX);
    if (bytes_cut_u8(&input, &header_len) && bytes_cut_slice(&input, header_len, &body)) {
        int64_t *times;
        uint32_t *streams;
        struct slice *lines;
        buffer_append_slice(&header, body);
        buffer_append_u64le(&header, XXH3_64bits(header.at, header.len));
        if (logblock_decode_header(buffer_slice(&header), &arena, &block, &err) == 0) {
            for (size_t i = 0; i < LOGBLOCK_COLUMN_COUNT; i++)
                block.checksums[i] = XXH3_64bits(input.at, input.len);
            if (logblock_decode_times(&block, input, &arena, &times, &err) == 0)
                assert(times[block.rows - 1] <= block.time_max_ns);
            if (logblock_decode_streams(&block, input, &arena, &streams, &err) == 0)
                assert(streams[block.rows - 1] < block.stream_count);
            if (logblock_decode_lines(&block, input, &arena, &lines, &err) == 0)
                assert(lines[block.rows - 1].len <= BYTES_MAX);
        }
    }
    logfilter_may_contain(input, SLICE("a-needle-of-some-length \"and\" another"));
    buffer_release(&header);
    arena_release(&arena);
}

static void check_filter(struct slice filter, struct slice line)
{
    for (size_t from = 0; from < line.len && from < 40; from += 3)
        for (size_t len = 1; from + len <= line.len && len < 60; len += 5)
            assert(logfilter_may_contain(filter, slice_make(line.at + from, len)));
    assert(logfilter_may_contain(filter, line));
}

static void check_columns(const struct logblock_source *source, struct slice header,
                          const struct buffer *columns, struct arena *arena)
{
    struct logblock block;
    struct error err;
    int64_t *times;
    uint32_t *streams;
    struct slice *lines;
    int bad =
        logblock_decode_header(header, arena, &block, &err) ||
        logblock_decode_times(&block, buffer_slice(&columns[LOGBLOCK_TIME]), arena, &times, &err) ||
        logblock_decode_streams(&block, buffer_slice(&columns[LOGBLOCK_STREAM]), arena, &streams,
                                &err) ||
        logblock_decode_lines(&block, buffer_slice(&columns[LOGBLOCK_LINE]), arena, &lines, &err) ||
        logblock_check_filter(&block, buffer_slice(&columns[LOGBLOCK_FILTER]), &err);
    assert(!bad && block.rows == source->row_count);
    for (size_t i = 0; i < block.rows; i++) {
        const struct logblock_row *row = &source->rows[i];
        assert(times[i] == row->time_ns && slice_equal(lines[i], row->line));
        assert(slice_equal(block.streams[streams[i]].bytes, source->streams[row->stream]));
        check_filter(buffer_slice(&columns[LOGBLOCK_FILTER]), row->line);
    }
}

static void round_trip(struct slice input)
{
    static struct logblock_row rows[256];
    static const struct slice streams[] = {SLICE_LIT("\1a\1b"), SLICE_LIT("\1a\1c"), SLICE_LIT("")};
    struct logblock_source source = {rows, 0, streams, 3};
    int64_t time = (int64_t)input.len * 1000000007 - 500;
    while (input.len && source.row_count < 256) {
        struct slice line;
        slice_cut(&input, '\n', &line);
        unsigned first = line.len ? (unsigned char)line.at[0] : 0;
        time += first / 3;
        rows[source.row_count++] = (struct logblock_row){time, line, first % 3};
    }
    if (source.row_count == 0)
        return;
    struct arena arena;
    struct buffer header, columns[LOGBLOCK_COLUMN_COUNT];
    arena_init(&arena, BYTES_MAX);
    buffer_init(&header, BYTES_MAX);
    for (size_t i = 0; i < LOGBLOCK_COLUMN_COUNT; i++)
        buffer_init(&columns[i], BYTES_MAX);
    logblock_encode(&source, &header, columns);
    check_columns(&source, buffer_slice(&header), columns, &arena);
    for (size_t i = 0; i < LOGBLOCK_COLUMN_COUNT; i++)
        buffer_release(&columns[i]);
    buffer_release(&header);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice input = slice_make(data, size);
    uint8_t mode;
    if (!bytes_cut_u8(&input, &mode))
        return 0;
    if (mode % 2)
        round_trip(input);
    else
        decode_damaged(input);
    return 0;
}
