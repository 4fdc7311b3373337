/* scrub: a walk over all families, a check a family.
 *
 *   meta     as it is              chunk    opened, and every sample or bucket decoded
 *   series   kind and labels       logs     hot batches decoded; blocks by their headers, each
 *   postings checksum, bitmaps              column fetched and decoded
 *   headlog  checksum, columns     docs     as they are
 *
 * "As it is": only RocksDB's checksum of the block around it. The head log must also be without
 * gaps from its mark on, because a value there is relative to the one before; records below the mark
 * are being dropped, which takes more than one write. The digest is XXH3 over family, length
 * of the key, key, length of the value and value of every row.
 */
#include "storage/scrub.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

#include "storage/base/alloc.h"
#include "storage/code/chunk.h"
#include "storage/code/rollup_code.h"
#include "storage/headlog.h"
#include "storage/index/partition.h"
#include "storage/index/series.h"
#include "storage/key.h"
#include "storage/log/logkey.h"
#include "storage/log/logrows.h"

#define ARENA_BYTES ((size_t)256 << 20)

struct scrub {
    struct kv *kv;
    const struct scrub_options *options;
    struct scrub_report *report;
    enum kv_family family;
    XXH3_state_t *digest;
    struct arena arena;     /* for one row */
    struct rollup rollup;   /* the same */
    struct buffer column;   /* of a log block */
    uint64_t next_sequence; /* of the head log; 0 before its first record */
};

static void found(struct scrub *scrub, enum damage_part part, const char *text)
{
    scrub->report->damaged++;
    damage_note(kv_damages(scrub->kv), part, "%s", text);
    if (scrub->options->found)
        scrub->options->found(scrub->options->arg, text);
}

__attribute__((format(printf, 3, 4))) static void
complain(struct scrub *scrub, enum damage_part part, const char *format, ...)
{
    char text[DAMAGE_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    found(scrub, part, text);
}

static void check_series(struct scrub *scrub, struct slice key, struct slice value)
{
    uint32_t id = 0;
    if (!series_check_row(key, value, &scrub->arena, &id))
        complain(scrub, DAMAGE_INDEX, "the labels of series %u are malformed", id);
}

static void check_postings(struct scrub *scrub, struct slice key, struct slice value)
{
    uint8_t resolution;
    uint32_t day = 0;
    if (!key_parse_postings(key, &resolution, &day) || !partitions_check_row(value))
        complain(scrub, DAMAGE_INDEX, "the list of the series of day %u is damaged", day);
}

/* The first record that is needed. Read after the iterator was made, so that it is not below what the
 * iterator misses. */
static uint64_t headlog_mark(const struct scrub *scrub)
{
    struct buffer value;
    struct error unused;
    uint64_t mark = 0;
    buffer_init(&value, 64);
    int found_it = kv_get(scrub->kv, KV_META, SLICE("headlog"), &value, &unused);
    struct slice rest = buffer_slice(&value);
    if (found_it == 1 && !bytes_cut_u64le(&rest, &mark))
        mark = 0;
    buffer_release(&value);
    return mark;
}

static void check_headlog(struct scrub *scrub, struct slice key, struct slice value)
{
    struct headlog_reader reader = {.count = 0};
    uint64_t sequence = 0;
    bool sound = bytes_cut_u64be(&key, &sequence) && headlog_open(&reader, value);
    headlog_release(&reader);
    bool follows = scrub->next_sequence && sequence == scrub->next_sequence;
    uint64_t mark = sound && follows ? 0 : headlog_mark(scrub);
    uint64_t from = scrub->next_sequence > mark ? scrub->next_sequence : mark;
    if (!sound && sequence >= mark)
        complain(scrub, DAMAGE_HEADLOG, "record %llu of the head log is damaged",
                 (unsigned long long)sequence);
    if (!follows && sequence > from)
        complain(scrub, DAMAGE_HEADLOG, "records %llu to %llu of the head log are missing",
                 (unsigned long long)from, (unsigned long long)sequence - 1);
    scrub->next_sequence = sequence + 1;
}

static bool decode_sketches(const struct chunk *chunk, struct slice *sketches)
{
    struct sketch sketch;
    sketch_init(&sketch);
    bool sound = chunk_sketches(chunk, sketches);
    for (size_t i = 0; sound && i < chunk->count; i++)
        sound = sketches[i].len == 0 || sketch_merge_code(&sketch, sketches[i]);
    sketch_release(&sketch);
    return sound;
}

static bool decode_chunk(struct scrub *scrub, const struct chunk *chunk)
{
    int64_t *times = arena_alloc(&scrub->arena, chunk->count * sizeof *times);
    void *values = arena_alloc(&scrub->arena, chunk->count * sizeof(double));
    struct slice *sketches = arena_alloc(&scrub->arena, chunk->count * sizeof *sketches);
    if (!times || !values || !sketches)
        return true; /* more than fits says nothing of the bytes */
    if (!chunk_times(chunk, times) || !decode_sketches(chunk, sketches))
        return false;
    return chunk->histograms
               ? chunk_histograms(chunk, &scrub->arena, values) || scrub->arena.exhausted
               : chunk_values(chunk, values);
}

/* The kind is that of the series: the bytes are sound when they are either. */
static void check_rollup(struct scrub *scrub, struct rollup_key key, struct slice value)
{
    int64_t width = key.resolution == RESOLUTION_5M ? STORE_5M_MS : STORE_1H_MS;
    bool sound = false;
    for (int histograms = 0; histograms < 2 && !sound; histograms++) {
        rollup_reset(&scrub->rollup, histograms, width);
        scrub->rollup.sketched = true;
        sound = rollup_code_read(value, partition_start(key.day), &scrub->rollup, &scrub->arena);
    }
    if (!sound && !scrub->arena.exhausted)
        complain(scrub, DAMAGE_CHUNK, "the buckets of series %u, day %u, tier %u are damaged",
                 key.series, key.day, key.resolution);
}

static void check_chunk(struct scrub *scrub, struct slice key, struct slice value)
{
    struct chunk_key at;
    struct chunk chunk;
    struct rollup_key rollup;
    if (key_parse_rollup(key, &rollup)) {
        check_rollup(scrub, rollup, value);
        return;
    }
    if (!key_parse_chunk(key, &at))
        complain(scrub, DAMAGE_CHUNK, "a key of the chunks is malformed");
    else if (!chunk_open(value, chunk_key_time(at), &chunk) || !decode_chunk(scrub, &chunk))
        complain(scrub, DAMAGE_CHUNK, "the chunk of series %u, day %u, offset %u ms is damaged",
                 at.series, at.partition, at.offset_ms);
}

/* --- logs --- */

static int fetch_column(struct scrub *scrub, const struct logentry *entry, unsigned column,
                        struct error *err)
{
    struct logkey key = logkey_column(entry, column);
    buffer_reset(&scrub->column);
    int got = kv_get(scrub->kv, KV_LOGS, logkey_slice(&key), &scrub->column, err);
    return got == 0 ? error_set(err, ERROR_INTERNAL, "column %u is missing", column)
                    : (got < 0 ? -1 : 0);
}

static int check_column(struct scrub *scrub, const struct logblock *block, unsigned column,
                        struct error *err)
{
    struct slice bytes = buffer_slice(&scrub->column), *lines;
    int64_t *times;
    uint32_t *streams;
    switch ((enum logblock_column)column) {
    case LOGBLOCK_TIME:
        return logblock_decode_times(block, bytes, &scrub->arena, &times, err);
    case LOGBLOCK_STREAM:
        return logblock_decode_streams(block, bytes, &scrub->arena, &streams, err);
    case LOGBLOCK_LINE:
        return logblock_decode_lines(block, bytes, &scrub->arena, &lines, err);
    case LOGBLOCK_FILTER:
        return logblock_check_filter(block, bytes, err);
    case LOGBLOCK_COLUMN_COUNT:
        break;
    }
    return 0;
}

static void check_block(struct scrub *scrub, const struct logentry *entry, struct slice header)
{
    struct logblock block;
    struct error err = {0};
    int status = logblock_decode_header(header, &scrub->arena, &block, &err);
    for (unsigned i = 0; !status && i < LOGBLOCK_COLUMN_COUNT; i++) {
        status = fetch_column(scrub, entry, i, &err);
        if (!status)
            status = check_column(scrub, &block, i, &err);
    }
    /* One that retention has dropped meanwhile is gone whole. */
    struct logkey key = logkey_header(entry);
    struct error unused;
    buffer_reset(&scrub->column);
    if (status && kv_get(scrub->kv, KV_LOGS, logkey_slice(&key), &scrub->column, &unused) != 0)
        complain(scrub, DAMAGE_LOGS, "log block %llu, which begins at %lld ns, is damaged: %s",
                 (unsigned long long)entry->id, (long long)entry->time_min_ns, err.text);
}

static void check_logs(struct scrub *scrub, struct slice key, struct slice value)
{
    uint64_t sequence;
    struct logentry entry;
    if (logkey_read_header(key, &entry)) {
        check_block(scrub, &entry, value);
        return;
    }
    if (!logkey_read_hot(key, &sequence))
        return; /* a column: read along with its header */
    struct logrows *rows = logrows_new(0);
    if (!logrows_append_encoded(rows, value))
        complain(scrub, DAMAGE_LOGS, "batch %llu of recent log records is damaged",
                 (unsigned long long)sequence);
    logrows_free(rows);
}

/* --- the walk --- */

static void (*const checks[KV_FAMILY_COUNT])(struct scrub *, struct slice key,
                                             struct slice value) = {
    [KV_SERIES] = check_series, [KV_POSTINGS] = check_postings, [KV_HEADLOG] = check_headlog,
    [KV_CHUNK] = check_chunk,   [KV_LOGS] = check_logs,
};

static void digest_slice(struct scrub *scrub, struct slice bytes)
{
    uint64_t len = bytes.len;
    XXH3_64bits_update(scrub->digest, &len, sizeof len);
    XXH3_64bits_update(scrub->digest, bytes.at, bytes.len);
}

static bool check_row(void *arg, struct slice key, struct slice value)
{
    struct scrub *scrub = arg;
    uint8_t family = (uint8_t)scrub->family;
    XXH3_64bits_update(scrub->digest, &family, sizeof family);
    digest_slice(scrub, key);
    digest_slice(scrub, value);
    scrub->report->rows++;
    scrub->report->bytes += key.len + value.len;
    arena_reset(&scrub->arena);
    if (checks[family])
        checks[family](scrub, key, value);
    return !scrub->options->cancelled || !atomic_load(scrub->options->cancelled);
}

static void on_unreadable(void *arg, const struct error *err)
{
    struct scrub *scrub = arg;
    found(scrub, DAMAGE_TABLE, err->text);
}

static int walk(struct scrub *scrub, struct error *err)
{
    for (int family = 0; family < KV_FAMILY_COUNT; family++) {
        struct kv_range all = {.family = (enum kv_family)family, .on_damage = on_unreadable};
        scrub->family = (enum kv_family)family;
        int places = kv_each(scrub->kv, &all, check_row, scrub, err);
        if (places < 0)
            return -1;
        if (scrub->options->cancelled && atomic_load(scrub->options->cancelled))
            return error_set(err, ERROR_CANCELED, "the check was cancelled");
    }
    return 0;
}

int scrub_run(struct kv *kv, const struct scrub_options *options, struct scrub_report *report,
              struct error *err)
{
    struct scrub scrub = {.kv = kv, .options = options, .report = report};
    *report = (struct scrub_report){0};
    scrub.digest = XXH3_createState();
    XXH3_64bits_reset(scrub.digest);
    arena_init(&scrub.arena, ARENA_BYTES);
    buffer_init(&scrub.column, ARENA_BYTES);
    rollup_init(&scrub.rollup);
    int status = walk(&scrub, err);
    report->digest = XXH3_64bits_digest(scrub.digest);
    XXH3_freeState(scrub.digest);
    arena_release(&scrub.arena);
    buffer_release(&scrub.column);
    rollup_release(&scrub.rollup);
    return status;
}
