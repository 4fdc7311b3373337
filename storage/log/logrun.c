/* logrun: the rows of one place that match, copied out.
 *
 * A block is read step by step: header (time range, streams) -> token filter -> times and stream
 * numbers -> lines; each step may end it before the next key is fetched, and most blocks end early.
 * The block's own bytes are forgotten at once: what stays is the size of what matched.
 */
#include "storage/log/logrun.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/log/logfilter.h"

void logrun_free(struct logrun *run)
{
    if (!run)
        return;
    arena_release(&run->arena);
    free(run);
}

static struct logrun *run_new(uint64_t order)
{
    struct logrun *run = alloc_zeroed(1, sizeof *run);
    arena_init(&run->arena, SIZE_MAX / 2); /* a block, or rows in memory: bounded both */
    run->order = order;
    return run;
}

static void run_reserve(struct logrun *run, size_t rows, size_t streams)
{
    run->rows = arena_alloc(&run->arena, rows * sizeof *run->rows);
    run->streams = arena_zeroed(&run->arena, streams, sizeof *run->streams);
    assert(run->rows && run->streams);
}

static void run_add(struct logrun *run, const struct logblock_row *row)
{
    struct logblock_row *copy = &run->rows[run->count++];
    *copy = *row;
    copy->line = arena_copy(&run->arena, row->line);
}

static bool has_needles(const struct logstore_query *query, struct slice line)
{
    for (size_t i = 0; i < query->needle_count; i++)
        if (query->needles[i].len && slice_find(line, query->needles[i]) == line.len)
            return false;
    return true;
}

static bool in_range(const struct logstore_query *query, int64_t time_ns)
{
    return time_ns >= query->start_ns && time_ns < query->end_ns;
}

/* Which streams of the rows in memory match; their labels go into the run. */
static bool *match_rows_streams(const struct logrows *rows, const struct logstore_query *query,
                                struct logrun *run)
{
    size_t count = logrows_stream_count(rows);
    bool *matching = alloc_zeroed(count, sizeof *matching);
    for (size_t i = 0; i < count; i++) {
        struct slice bytes = arena_copy(&run->arena, rows->streams[i]);
        matching[i] = labels_decode(bytes, &run->arena, &run->streams[i]) &&
                      matchers_accept(query->matchers, query->matcher_count, run->streams[i]);
    }
    return matching;
}

struct logrun *logrun_of_rows(const struct logrows *rows, const struct logstore_query *query,
                              uint64_t order)
{
    if (!rows || rows->visible == 0 || rows->time_min_ns >= query->end_ns ||
        rows->time_max_ns < query->start_ns)
        return NULL;
    struct logrun *run = run_new(order);
    run_reserve(run, rows->visible, logrows_stream_count(rows));
    bool *matching = match_rows_streams(rows, query, run);
    for (size_t i = 0; i < rows->visible; i++) {
        struct logblock_row row = rows->at[i];
        if (!in_range(query, row.time_ns) || !matching[row.stream] || !has_needles(query, row.line))
            continue;
        if (query->without_lines)
            row.line = SLICE("");
        if (query->stats)
            query->stats->bytes += row.line.len;
        run_add(run, &row);
    }
    free(matching);
    logrows_sort(run->rows, run->count);
    if (run->count)
        return run;
    logrun_free(run);
    return NULL;
}

/* --- a block --- */

struct block_reader {
    struct kv *kv;
    const struct logstore_query *query;
    const struct logentry *entry;
    struct arena *scratch; /* for what the block decodes to */
    struct buffer header, column;
    struct logblock block;
    bool *matching; /* a stream */
};

/* 1 found, 0 dropped by retention meanwhile, -1 error. */
static int read_header(struct block_reader *reader, struct error *err)
{
    struct logkey key = logkey_header(reader->entry);
    buffer_reset(&reader->header);
    int found = kv_get(reader->kv, KV_LOGS, logkey_slice(&key), &reader->header, err);
    if (found <= 0)
        return found;
    struct slice bytes = buffer_slice(&reader->header);
    return logblock_decode_header(bytes, reader->scratch, &reader->block, err) ? -1 : 1;
}

/* As read_header; the bytes are valid until the next column is read. */
static int read_column(struct block_reader *reader, enum logblock_column column, struct slice *out,
                       struct error *err)
{
    struct logkey key = logkey_column(reader->entry, column);
    buffer_reset(&reader->column);
    int found = kv_get(reader->kv, KV_LOGS, logkey_slice(&key), &reader->column, err);
    *out = buffer_slice(&reader->column);
    if (found)
        return found;
    /* Retention takes header and columns; when the header is still there, a column is lost. */
    struct buffer header;
    key = logkey_header(reader->entry);
    buffer_init(&header, LOGRUN_SCRATCH_MAX);
    found = kv_get(reader->kv, KV_LOGS, logkey_slice(&key), &header, err);
    buffer_release(&header);
    return found == 1 ? error_set(err, ERROR_INTERNAL, "its column %d is missing", (int)column)
                      : found;
}

static bool stream_in_range(const struct logstore_query *query,
                            const struct logblock_stream *stream)
{
    return stream->time_min_ns < query->end_ns && stream->time_max_ns >= query->start_ns &&
           matchers_accept(query->matchers, query->matcher_count, stream->labels);
}

static int exhausted(struct error *err)
{
    return error_set(err, ERROR_LIMIT, "a log block does not fit into memory");
}

/* 1 when the block may hold matching rows. */
static int select_streams(struct block_reader *reader, struct error *err)
{
    const struct logblock *block = &reader->block;
    bool any = false;
    reader->matching = arena_zeroed(reader->scratch, block->stream_count, sizeof(bool));
    if (!reader->matching)
        return exhausted(err);
    for (size_t i = 0; i < block->stream_count; i++) {
        reader->matching[i] = stream_in_range(reader->query, &block->streams[i]);
        any |= reader->matching[i];
    }
    return any;
}

/* 1 when the block may hold the needles, 0 when it does not (or is gone). */
static int ask_filter(struct block_reader *reader, struct error *err)
{
    struct slice filter;
    if (reader->query->needle_count == 0)
        return 1;
    int found = read_column(reader, LOGBLOCK_FILTER, &filter, err);
    if (found <= 0)
        return found;
    if (logblock_check_filter(&reader->block, filter, err))
        return -1;
    for (size_t i = 0; i < reader->query->needle_count; i++)
        if (!logfilter_may_contain(filter, reader->query->needles[i]))
            return 0;
    return 1;
}

static int add_stream(struct table *out, struct slice bytes, struct error *err)
{
    bool fresh;
    if (table_insert(out, bytes, &fresh))
        return 0;
    return error_set(err, ERROR_LIMIT,
                     "more than %zu streams match; narrow the time range or the selector",
                     out->count_max);
}

/* Rows that match by time and stream, lines still empty. The row's `line.len` is its number in the
 * block until the lines are read. */
static int select_rows(struct block_reader *reader, struct logblock_row **rows, size_t *count,
                       struct error *err)
{
    struct slice bytes;
    int64_t *times = NULL;
    uint32_t *streams = NULL;
    int found = read_column(reader, LOGBLOCK_TIME, &bytes, err);
    if (found <= 0)
        return found;
    if (logblock_decode_times(&reader->block, bytes, reader->scratch, &times, err))
        return -1;
    found = read_column(reader, LOGBLOCK_STREAM, &bytes, err);
    if (found <= 0)
        return found;
    if (logblock_decode_streams(&reader->block, bytes, reader->scratch, &streams, err))
        return -1;
    *rows = arena_alloc(reader->scratch, reader->block.rows * sizeof **rows);
    if (!*rows)
        return exhausted(err);
    *count = 0;
    for (size_t i = 0; i < reader->block.rows; i++)
        if (in_range(reader->query, times[i]) && reader->matching[streams[i]])
            (*rows)[(*count)++] = (struct logblock_row){times[i], {NULL, i}, streams[i]};
    return *count > 0;
}

static int read_lines(struct block_reader *reader, struct logblock_row *rows, size_t *count,
                      struct error *err)
{
    struct slice bytes;
    struct slice *lines = NULL;
    int found = read_column(reader, LOGBLOCK_LINE, &bytes, err);
    if (found <= 0)
        return found;
    if (logblock_decode_lines(&reader->block, bytes, reader->scratch, &lines, err))
        return -1;
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++) {
        struct slice line = lines[rows[i].line.len];
        if (!has_needles(reader->query, line))
            continue;
        rows[kept] = rows[i];
        rows[kept++].line = line;
    }
    *count = kept;
    return kept > 0;
}

static struct logrun *run_of_block(const struct block_reader *reader,
                                   const struct logblock_row *rows, size_t count)
{
    const struct logblock *block = &reader->block;
    struct logrun *run = run_new(reader->entry->id);
    run_reserve(run, count, block->stream_count);
    for (size_t i = 0; i < block->stream_count; i++)
        if (reader->matching[i])
            run->streams[i] = labels_copy(&run->arena, block->streams[i].labels);
    for (size_t i = 0; i < count; i++)
        run_add(run, &rows[i]);
    return run;
}

static int read_block(struct block_reader *reader, struct logrun **out, struct error *err)
{
    struct logblock_row *rows = NULL;
    size_t count = 0;
    struct logstore_stats *stats = reader->query->stats;
    int more = read_header(reader, err);
    if (more == 1)
        more = select_streams(reader, err);
    if (more == 1)
        more = ask_filter(reader, err);
    if (more == 1) {
        more = select_rows(reader, &rows, &count, err);
        stats->blocks_read++;
    }
    if (more == 1 && reader->query->without_lines) {
        for (size_t i = 0; i < count; i++)
            rows[i].line = SLICE("");
    } else if (more == 1) {
        more = read_lines(reader, rows, &count, err);
        stats->bytes += reader->block.line_bytes;
    }
    if (more == 1)
        *out = run_of_block(reader, rows, count);
    return more;
}

static struct block_reader reader_open(struct logrun_source *source, const struct logentry *entry)
{
    struct block_reader reader = {
        .kv = source->kv, .query = source->query, .entry = entry, .scratch = &source->scratch};
    arena_reset(reader.scratch);
    buffer_init(&reader.header, LOGRUN_SCRATCH_MAX);
    buffer_init(&reader.column, LOGRUN_SCRATCH_MAX);
    return reader;
}

static void reader_close(struct block_reader *reader)
{
    buffer_release(&reader->header);
    buffer_release(&reader->column);
}

/* A block that cannot be read is a gap that is counted and told, not a failed query. */
static int forgive(const struct block_reader *reader, int status, const struct error *err)
{
    if (status >= 0 || err->kind != ERROR_INTERNAL)
        return status;
    damage_note(kv_damages(reader->kv), DAMAGE_LOGS,
                "log block %llu, which begins at %lld ns, is damaged: %.200s",
                (unsigned long long)reader->entry->id, (long long)reader->entry->time_min_ns,
                err->text);
    reader->query->stats->damaged++;
    return 0;
}

int logrun_of_block(struct logrun_source *source, const struct logentry *entry, struct logrun **out,
                    struct error *err)
{
    struct block_reader reader = reader_open(source, entry);
    source->query->stats->blocks++;
    int status = forgive(&reader, read_block(&reader, out, err), err);
    reader_close(&reader);
    return status;
}

int logrun_block_streams(struct logrun_source *source, const struct logentry *entry,
                         struct table *out, struct error *err)
{
    struct block_reader reader = reader_open(source, entry);
    int status = forgive(&reader, read_header(&reader, err), err);
    for (size_t i = 0; status == 1 && i < reader.block.stream_count; i++)
        if (stream_in_range(source->query, &reader.block.streams[i]))
            status = add_stream(out, reader.block.streams[i].bytes, err) ? -1 : 1;
    reader_close(&reader);
    return status < 0 ? -1 : 0;
}

int logrun_row_streams(const struct logrows *rows, const struct logstore_query *query,
                       struct table *out, struct error *err)
{
    struct logrun *run = logrun_of_rows(rows, query, 0);
    int status = 0;
    bool *seen = run ? alloc_zeroed(logrows_stream_count(rows), sizeof *seen) : NULL;
    for (size_t i = 0; run && status == 0 && i < run->count; i++) {
        uint32_t number = run->rows[i].stream;
        if (!seen[number])
            status = add_stream(out, rows->streams[number], err);
        seen[number] = true;
    }
    free(seen);
    logrun_free(run);
    return status;
}
