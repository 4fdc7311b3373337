/* logrows: an array of rows, an arena of lines, a table of streams; and the bytes of a hot key:
 *
 *   a record  [time - time of the record before, zigzag]
 *             [stream number in this batch, varint; a new one is followed by its labels, prefixed]
 *             [line, length-prefixed]
 *
 * Hot keys are written once, read only after a crash, and live for minutes, so they carry no
 * compression or checksum of their own: the log and the blocks below them have both.
 */
#include "storage/log/logrows.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"

#define STREAM_BYTES_MAX ((size_t)1 << 20)

struct logrows *logrows_new(uint64_t hot_first)
{
    struct logrows *rows = alloc_zeroed(1, sizeof *rows);
    arena_init(&rows->lines, SIZE_MAX / 2);
    table_init(&rows->stream_numbers, UINT32_MAX);
    rows->hot_first = rows->hot_end = hot_first;
    return rows;
}

void logrows_free(struct logrows *rows)
{
    if (!rows)
        return;
    arena_release(&rows->lines);
    table_release(&rows->stream_numbers);
    free(rows->streams);
    free(rows->at);
    free(rows);
}

static uint32_t stream_number(struct logrows *rows, struct slice stream)
{
    bool fresh;
    struct table_entry *entry = table_insert(&rows->stream_numbers, stream, &fresh);
    assert(entry);
    if (!fresh)
        return (uint32_t)entry->value.number;
    size_t number = rows->stream_numbers.count - 1;
    if (number == rows->stream_capacity) {
        rows->stream_capacity = number ? number * 2 : 16;
        rows->streams = alloc_resize(rows->streams, rows->stream_capacity, sizeof *rows->streams);
    }
    rows->streams[number] = table_key(entry); /* the key's bytes stay where they are */
    entry->value.number = number;
    return (uint32_t)number;
}

void logrows_append(struct logrows *rows, int64_t time_ns, struct slice stream, struct slice line)
{
    assert(line.len <= LOGBLOCK_LINE_MAX);
    if (rows->count == rows->capacity) {
        rows->capacity = rows->capacity ? rows->capacity * 2 : 64;
        rows->at = alloc_resize(rows->at, rows->capacity, sizeof *rows->at);
    }
    if (rows->count == 0 || time_ns < rows->time_min_ns)
        rows->time_min_ns = time_ns;
    if (rows->count == 0 || time_ns > rows->time_max_ns)
        rows->time_max_ns = time_ns;
    rows->at[rows->count++] = (struct logblock_row){
        .time_ns = time_ns,
        .line = arena_copy(&rows->lines, line),
        .stream = stream_number(rows, stream),
    };
    rows->line_bytes += line.len;
}

/* The visible rows move to a new home: while commits fail (a full disk) for hours, what was dropped
 * must not pile up in the arena and the table of streams. */
void logrows_truncate(struct logrows *rows)
{
    if (rows->count == rows->visible)
        return;
    struct logrows *kept = logrows_new(rows->hot_first), all = *rows;
    for (size_t i = 0; i < rows->visible; i++)
        logrows_append(kept, rows->at[i].time_ns, rows->streams[rows->at[i].stream],
                       rows->at[i].line);
    kept->visible = kept->count;
    kept->hot_end = rows->hot_end;
    kept->opened_ms = rows->opened_ms;
    *rows = *kept;
    *kept = all;
    logrows_free(kept);
}

bool logrows_is_full(const struct logrows *rows)
{
    return rows->count >= LOGBLOCK_ROWS_MAX || rows->line_bytes >= LOGBLOCK_BYTES;
}

size_t logrows_stream_count(const struct logrows *rows)
{
    return rows->stream_numbers.count;
}

static void merge(const struct logblock_row *a, size_t a_count, const struct logblock_row *b,
                  size_t b_count, struct logblock_row *out)
{
    size_t i = 0, j = 0;
    while (i < a_count || j < b_count) {
        bool from_a = j == b_count || (i < a_count && a[i].time_ns <= b[j].time_ns);
        *out++ = from_a ? a[i++] : b[j++];
    }
}

void logrows_sort(struct logblock_row *at, size_t count)
{
    size_t sorted = 1;
    while (sorted < count && at[sorted - 1].time_ns <= at[sorted].time_ns)
        sorted++;
    if (sorted >= count)
        return;
    struct logblock_row *room = alloc_resize(NULL, count, sizeof *room);
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t i = 0; i < count; i += 2 * width) {
            size_t a_count = count - i < width ? count - i : width;
            size_t rest = count - i - a_count;
            merge(at + i, a_count, at + i + a_count, rest < width ? rest : width, room + i);
        }
        memcpy(at, room, count * sizeof *at);
    }
    free(room);
}

void logrows_encode(const struct record *records, size_t count, struct buffer *out)
{
    struct table numbers;
    struct buffer labels;
    table_init(&numbers, count);
    buffer_init(&labels, STREAM_BYTES_MAX);
    int64_t previous = 0;
    for (size_t i = 0; i < count; i++) {
        bool fresh;
        buffer_reset(&labels);
        labels_encode(records[i].stream, &labels);
        assert(!labels.overflow && records[i].line.len <= LOGBLOCK_LINE_MAX);
        struct table_entry *entry = table_insert(&numbers, buffer_slice(&labels), &fresh);
        assert(entry);
        if (fresh)
            entry->value.number = numbers.count - 1;
        uint64_t delta = (uint64_t)records[i].time_ns - (uint64_t)previous;
        buffer_append_varint_signed(out, (int64_t)delta);
        buffer_append_varint(out, entry->value.number);
        if (fresh)
            buffer_append_prefixed(out, buffer_slice(&labels));
        buffer_append_prefixed(out, records[i].line);
        previous = records[i].time_ns;
    }
    buffer_release(&labels);
    table_release(&numbers);
}

struct hot_streams {
    struct slice *at;
    size_t count, capacity;
};

/* A number that was not met before brings its stream along. */
static bool cut_stream(struct slice *bytes, struct hot_streams *streams, struct slice *out)
{
    uint64_t number;
    if (!bytes_cut_varint(bytes, &number) || number > streams->count)
        return false;
    if (number < streams->count) {
        assert(streams->at);
        *out = streams->at[number];
        return true;
    }
    if (streams->count == streams->capacity) {
        streams->capacity = streams->capacity ? streams->capacity * 2 : 16;
        streams->at = alloc_resize(streams->at, streams->capacity, sizeof *streams->at);
    }
    if (!bytes_cut_prefixed(bytes, out))
        return false;
    streams->at[streams->count++] = *out;
    return true;
}

bool logrows_append_encoded(struct logrows *rows, struct slice bytes)
{
    struct hot_streams streams = {NULL, 0, 0};
    uint64_t time = 0;
    bool ok = true;
    while (ok && bytes.len) {
        int64_t delta;
        struct slice stream, line;
        ok = bytes_cut_varint_signed(&bytes, &delta) && cut_stream(&bytes, &streams, &stream) &&
             bytes_cut_prefixed(&bytes, &line) && line.len <= LOGBLOCK_LINE_MAX;
        if (ok) {
            time += (uint64_t)delta;
            logrows_append(rows, (int64_t)time, stream, line);
        }
    }
    free(streams.at);
    return ok;
}
