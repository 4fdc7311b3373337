/* logblock: rows of log records <-> columns. Pure; any thread.
 *
 * A block holds at most LOGBLOCK_ROWS_MAX rows in time order. The header says what is inside (time
 * range, streams) and carries the checksums of the columns; a reader fetches and decodes only the
 * columns it needs. Decoding never trusts the bytes: a damaged block is an error, not a crash.
 */
#ifndef STORAGE_LOG_LOGBLOCK_H
#define STORAGE_LOG_LOGBLOCK_H

#include "storage/base/error.h"
#include "storage/labels.h"

#define LOGBLOCK_ROWS_MAX 8192
#define LOGBLOCK_BYTES    ((size_t)1 << 20) /* of lines; a block is closed once it has as many */
#define LOGBLOCK_LINE_MAX ((size_t)4 << 20) /* of one line */

enum logblock_column {
    LOGBLOCK_TIME,
    LOGBLOCK_STREAM,
    LOGBLOCK_LINE,
    LOGBLOCK_FILTER, /* see storage/log/logfilter.h; may be empty */
    LOGBLOCK_COLUMN_COUNT,
};

struct logblock_row {
    int64_t time_ns;
    struct slice line;
    uint32_t stream; /* index into the streams */
};

/* What to encode: rows in time order, streams as canonical label bytes (unused ones are left out). */
struct logblock_source {
    const struct logblock_row *rows;
    size_t row_count;
    const struct slice *streams;
    size_t stream_count;
};

struct logblock_stream {
    struct slice bytes; /* canonical labels */
    struct labels labels;
    int64_t time_min_ns, time_max_ns;
    uint64_t rows;
};

/* A decoded header. */
struct logblock {
    size_t rows;
    int64_t time_min_ns, time_max_ns;
    uint64_t line_bytes;
    struct logblock_stream *streams;
    size_t stream_count;
    uint64_t checksums[LOGBLOCK_COLUMN_COUNT];
};

/* Appends the header and the columns to empty buffers. row_count in 1..LOGBLOCK_ROWS_MAX. */
void logblock_encode(const struct logblock_source *source, struct buffer *header,
                     struct buffer columns[LOGBLOCK_COLUMN_COUNT]);

/* Everything decoded lives in the arena or points into the given bytes. ERROR_INTERNAL when the
 * bytes are damaged, ERROR_LIMIT when the arena is exhausted. */
MUST_USE int logblock_decode_header(struct slice bytes, struct arena *arena, struct logblock *out,
                                    struct error *err);
/* One value a row. The column is checked against its checksum first. */
MUST_USE int logblock_decode_times(const struct logblock *block, struct slice column,
                                   struct arena *arena, int64_t **out, struct error *err);
MUST_USE int logblock_decode_streams(const struct logblock *block, struct slice column,
                                     struct arena *arena, uint32_t **out, struct error *err);
MUST_USE int logblock_decode_lines(const struct logblock *block, struct slice column,
                                   struct arena *arena, struct slice **out, struct error *err);
/* The filter as it is, once its checksum is right. */
MUST_USE int logblock_check_filter(const struct logblock *block, struct slice column,
                                   struct error *err);

#endif
