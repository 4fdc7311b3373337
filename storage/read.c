/* read: one series' samples in a range, sealed and open, as one column.
 *
 *   chunks of day 1 | chunks of day 2 | ... | open samples
 *   <------- iterator (a snapshot) -------> <-- copy under the lock -->
 *
 * A sample must appear once though it may move from the head into a chunk at any time. So the copy
 * of the open samples and the check that the snapshot is young enough happen under the same lock:
 * if the series was sealed after the snapshot was taken, a new one is taken there. A chunk that is
 * written but whose samples are still in the head too is cut off at the first open sample.
 *
 * Late samples (late.h) are copied under that lock, too, and laid over the rest: they were written
 * after what lies at the same times.
 *
 * Of a chunk only what is in range is decoded, behind what was read before, into arrays that the reader
 * keeps; the column that the caller gets is these, unless something is laid over it.
 *
 * Most queries end now and begin after the last seal: they need no iterator at all, just two
 * copies into the arena.
 */
#include <math.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/log.h"
#include "storage/code/chunk.h"
#include "storage/key.h"
#include "storage/read.h"

/* One store_read under way. */
struct reading {
    struct store_reader *reader;
    uint32_t id;
    bool histograms;
    int64_t start_ms;
    int64_t end_ms;
    int64_t chunk_end_ms; /* end_ms, or just before the first open sample */
    struct arena *arena;
    struct store_column open; /* of the head */
    struct store_column late; /* beside it */
    bool thinned;             /* buckets took the place of some samples */
    bool summed;              /* whole chunks need not be decoded */
    bool counter;
};

struct store_reader *store_reader_new(struct store *store)
{
    struct store_reader *reader = alloc_zeroed(1, sizeof *reader);
    reader->store = store;
    return reader;
}

void store_reader_free(struct store_reader *reader)
{
    if (!reader)
        return;
    bucket_reader_free(reader->buckets);
    free(reader->pieces);
    kv_iterator_free(reader->chunks);
    free(reader->times);
    free(reader->values);
    free(reader->histograms);
    free(reader->sketches);
    free(reader->days);
    time_ranges_release(&reader->deleted);
    free(reader);
}

static int exhausted(struct error *err)
{
    return error_set(err, ERROR_LIMIT,
                     "the query reads more samples than its memory budget holds; use a shorter "
                     "range, a larger step or a narrower selector");
}

/* --- chunks --- */

static void make_room(struct store_reader *reader, size_t count)
{
    size_t need = reader->count + count;
    reader_sketch_room(reader, need);
    if (need <= reader->capacity)
        return;
    reader->capacity = reader->capacity ? reader->capacity : 512;
    while (reader->capacity < need)
        reader->capacity *= 2;
    reader->times = alloc_resize(reader->times, reader->capacity, sizeof *reader->times);
    reader->values = alloc_resize(reader->values, reader->capacity, sizeof *reader->values);
    reader->histograms =
        alloc_resize(reader->histograms, reader->capacity, sizeof *reader->histograms);
}

/* Where the next chunk's samples begin to count: after those read before. */
static int64_t next_start(const struct reading *reading)
{
    const struct store_reader *reader = reading->reader;
    int64_t start = reading->start_ms;
    if (reader->count && reader->times[reader->count - 1] >= start)
        start = reader->times[reader->count - 1] + 1;
    if (reader->piece_count && reader->pieces[reader->piece_count - 1].end_ms >= start)
        start = reader->pieces[reader->piece_count - 1].end_ms + 1;
    return start;
}

/* Takes what is deleted out of the `count` samples behind the others, and counts the rest. */
static void keep_undeleted(const struct reading *reading, size_t count)
{
    struct store_reader *reader = reading->reader;
    size_t base = reader->count;
    struct sample_arrays samples = {.times = reader->times + base,
                                    .values = reading->histograms ? NULL : reader->values + base,
                                    .histograms =
                                        reading->histograms ? reader->histograms + base : NULL,
                                    .sketches = reader->sketched ? reader->sketches + base : NULL};
    if (reader->deleted.count)
        count = time_ranges_strike(&reader->deleted, &samples, count);
    reader->count += count;
}

/* Of the same samples. */
static bool sketches_of(const struct chunk *chunk, struct part part, struct slice *out)
{
    if (!chunk_sketches(chunk, out))
        return false;
    memmove(out, out + part.from, (part.to - part.from) * sizeof *out);
    return true;
}

/* Decodes of one chunk, behind what is there, the samples in range. 1: done, 0: it is damaged, -1:
 * the budget is spent. */
static int read_chunk(const struct reading *reading, const struct chunk *chunk, struct error *err)
{
    struct store_reader *reader = reading->reader;
    struct part part;
    size_t before = reader->count;
    make_room(reader, chunk->count);
    if (chunk->histograms != reading->histograms ||
        !chunk_times_within(chunk, next_start(reading), reading->chunk_end_ms,
                            reader->times + before, &part))
        return 0;
    size_t count = part.to - part.from;
    if ((before + count) * 2 * sizeof(double) > arena_left(reading->arena))
        return exhausted(err);
    bool sound = reading->histograms
                     ? chunk_histograms_of(chunk, part, reading->arena, reader->histograms + before)
                     : chunk_values_of(chunk, part, reader->values + before);
    if (sound && reader->sketched)
        sound = sketches_of(chunk, part, reader->sketches + before);
    if (sound)
        keep_undeleted(reading, count);
    return reader_keep_sketches(reader, before, reading->arena) ? sound : exhausted(err);
}

/* True when the footer says all there is to know of the chunk, and it follows what was read. */
static bool speaks_for_itself(const struct reading *reading, const struct chunk *chunk)
{
    const struct store_reader *reader = reading->reader;
    return reading->summed && !chunk->histograms && !reading->histograms &&
           chunk->summary.count == chunk->count && chunk->start_ms >= reading->start_ms &&
           chunk->end_ms <= reading->chunk_end_ms &&
           !(reading->counter && isnan(chunk->summary.drop)) &&
           (reader->count == 0 || reader->times[reader->count - 1] < chunk->start_ms) &&
           (reader->piece_count == 0 ||
            reader->pieces[reader->piece_count - 1].end_ms < chunk->start_ms);
}

static int push_piece(struct store_reader *reader, const struct chunk *chunk)
{
    if (reader->piece_count == reader->piece_capacity) {
        reader->piece_capacity = reader->piece_capacity ? reader->piece_capacity * 2 : 16;
        reader->pieces =
            alloc_resize(reader->pieces, reader->piece_capacity, sizeof *reader->pieces);
    }
    reader->pieces[reader->piece_count++] =
        (struct chunk_piece){reader->count, chunk->start_ms, chunk->end_ms, chunk->summary};
    return 1;
}

/* Chunks that reach into the range begin at most the day's longest chunk before it. */
static int read_day(const struct reading *reading, const struct day *day, struct error *err)
{
    struct kv_iterator *it = reading->reader->chunks;
    struct chunk_key key = {.partition = day->day, .series = reading->id};
    struct chunk chunk;
    int64_t start = reading->start_ms > 0 ? reading->start_ms : 0;
    int64_t reach = start - partition_start(day->day) - day->longest_ms;
    if (reach > 0)
        key.offset_ms = (uint32_t)reach;
    struct key_bytes at = key_of_chunk(key);
    bool more = kv_seek_near(it, key_slice(&at));
    for (; more && key_parse_chunk(kv_key(it), &key) && key.series == reading->id &&
           key.partition == day->day && chunk_key_time(key) <= reading->chunk_end_ms;
         more = kv_next(it)) {
        int sound = chunk_open(kv_value(it), chunk_key_time(key), &chunk);
        if (sound && chunk.end_ms >= reading->start_ms)
            sound = speaks_for_itself(reading, &chunk) ? push_piece(reading->reader, &chunk)
                                                       : read_chunk(reading, &chunk, err);
        if (sound < 0)
            return -1;
        if (sound && chunk.end_ms >= reading->chunk_end_ms)
            return 0; /* looking whether there is another one costs as much as finding this one */
        if (sound)
            continue;
        store_note_damaged(reading->reader->store, key);
        reading->reader->damaged++;
    }
    int unreadable = more ? 0 : kv_iterator_damage(it, err);
    reading->reader->damaged += unreadable > 0;
    return unreadable < 0 ? -1 : 0;
}

/* --- under the lock --- */

static const struct histogram **arena_histograms(struct arena *arena, size_t count)
{
    return arena_alloc(arena, count * sizeof(struct histogram *));
}

/* Copies the open samples in range. False when the arena is exhausted. */
static bool copy_open(struct reading *reading, const struct head_series *series)
{
    size_t from = head_find(series, reading->start_ms);
    size_t to =
        reading->end_ms >= series->last_ms ? series->count : head_find(series, reading->end_ms + 1);
    if (from >= to)
        return true;
    size_t count = to - from;
    int64_t *times = arena_alloc(reading->arena, count * sizeof *times);
    if (!times)
        return false;
    head_times(series, from, count, times);
    reading->open = (struct store_column){.count = count, .times = times};
    if (reading->histograms) {
        const struct histogram **at = arena_histograms(reading->arena, count);
        reading->open.histograms = at;
        return at && head_read_histograms(series, from, count, reading->arena, at);
    }
    double *values = arena_alloc(reading->arena, count * sizeof *values);
    reading->open.values = values;
    if (values)
        head_values(series, from, count, values);
    return values &&
           reader_open_sketches(reading->reader, reading->id, from, reading->arena, &reading->open);
}

static void push_day(struct store_reader *reader, const struct partition *partition)
{
    if (reader->day_count == reader->day_capacity) {
        reader->day_capacity = reader->day_capacity ? reader->day_capacity * 2 : 8;
        reader->days = alloc_resize(reader->days, reader->day_capacity, sizeof *reader->days);
    }
    reader->days[reader->day_count++] = (struct day){partition->day, partition->longest_ms};
}

/* Which days have chunks that may reach into the range. */
static void find_days(struct reading *reading, const struct head_series *series)
{
    const struct partitions *partitions = &reading->reader->store->partitions;
    int64_t from = reading->start_ms < 0 ? 0 : reading->start_ms;
    reading->reader->day_count = 0;
    if (series && series->sealed_ms != TIME_UNKNOWN && series->sealed_ms < from)
        return;
    if (from > reading->chunk_end_ms || from > TIME_MS_MAX)
        return;
    int64_t to = reading->chunk_end_ms < TIME_MS_MAX ? reading->chunk_end_ms : TIME_MS_MAX;
    for (size_t i = partitions_find(partitions, partition_of(from));
         i < partitions->count && partitions->at[i].day <= partition_of(to); i++)
        if (roaring_bitmap_contains(partitions->at[i].active, reading->id))
            push_day(reading->reader, &partitions->at[i]);
}

/* Makes sure that the snapshot has all that left this series' head. */
static void refresh_snapshot(struct store_reader *reader, const struct head_series *series)
{
    /* Without an entry it cannot be told when it was sealed: compare with the latest seal. */
    uint64_t sealed_at = series ? series->sealed_at : reader->store->seal_count;
    if (reader->chunks && sealed_at <= reader->seal_count)
        return;
    kv_iterator_free(reader->chunks);
    reader->chunks = kv_iterate(reader->store->kv, KV_CHUNK, SLICE(""), SLICE(""));
    reader->seal_count = reader->store->seal_count;
}

/* The part of a read that needs the lock. False when the arena is exhausted. */
static bool read_head(struct reading *reading)
{
    struct store *store = reading->reader->store;
    pthread_rwlock_rdlock(&store->lock);
    const struct series_row *row = series_row(&store->series, reading->id);
    const struct head_series *series = head_get(&store->head, reading->id);
    bool enough = true;
    reading->histograms = row && row->kind == SERIES_HISTOGRAM;
    reading->counter = row && row->kind == SERIES_COUNTER;
    if (series && series->count) {
        if (series->first_ms <= reading->chunk_end_ms)
            reading->chunk_end_ms = series->first_ms - 1;
        enough = copy_open(reading, series);
    }
    const struct late_run *late = late_find(&store->late, reading->id);
    struct store_span span = {reading->id, reading->start_ms, reading->end_ms};
    if (enough && late)
        enough = late_copy(late, &span, reading->arena, &reading->late);
    if (!reading->reader->sketched)
        reading->late.sketches = NULL;
    reading->thinned = left_in_range(store, span);
    find_days(reading, series);
    tombstones_of(&store->tombstones, reading->id,
                  (struct time_range){reading->start_ms, reading->chunk_end_ms},
                  &reading->reader->deleted);
    if (reading->reader->day_count)
        refresh_snapshot(reading->reader, series);
    pthread_rwlock_unlock(&store->lock);
    return enough;
}

/* --- both together --- */

/* The sealed samples with the open ones behind them, as they lie in the reader. */
static int join(const struct reading *reading, struct store_column *out, struct error *err)
{
    struct store_reader *reader = reading->reader;
    const struct store_column *open = &reading->open;
    size_t sealed = reader->count, count = sealed + open->count;
    make_room(reader, open->count);
    if (open->count) {
        memcpy(reader->times + sealed, open->times, open->count * sizeof *open->times);
        if (reading->histograms)
            memcpy(reader->histograms + sealed, open->histograms,
                   open->count * sizeof *open->histograms);
        else
            memcpy(reader->values + sealed, open->values, open->count * sizeof *open->values);
    }
    *out = (struct store_column){.count = count,
                                 .times = reader->times,
                                 .values = reading->histograms ? NULL : reader->values,
                                 .histograms = reading->histograms ? reader->histograms : NULL};
    return reader_join_sketches(reader, open, reading->arena, out) ? 0 : exhausted(err);
}

/* Lays the samples there are over those that took the place of others. */
static int put_thinned(const struct reading *reading, struct store_column *column,
                       struct error *err)
{
    struct store_span span = {reading->id, reading->start_ms, reading->end_ms};
    struct store_column thin, all = *column;
    if (buckets_read_thin(reading->reader, span, reading->arena, &thin, err))
        return -1;
    if (!column_overlay(&thin, &all, reading->arena, column))
        return exhausted(err);
    column->damaged = thin.damaged;
    column->coarse_ms = thin.coarse_ms;
    column->coarse_until_ms = thin.coarse_until_ms;
    return 0;
}

static int read_all(struct reading *reading, struct store_column *out, struct error *err)
{
    struct store_reader *reader = reading->reader;
    reader->count = reader->damaged = reader->piece_count = 0;
    if (!read_head(reading))
        return exhausted(err);
    /* What is laid over chunks, or struck out of them, is not in their footers. */
    if (reading->thinned || reading->late.count || reader->deleted.count || reader->sketched)
        reading->summed = false;
    for (size_t i = 0; i < reader->day_count; i++)
        if (read_day(reading, &reader->days[i], err))
            return -1;
    *out = reading->open;
    if (reader->count && join(reading, out, err))
        return -1;
    if (reading->thinned && put_thinned(reading, out, err))
        return -1;
    if (reading->late.count && !column_overlay(out, &reading->late, reading->arena, out))
        return exhausted(err);
    out->damaged += reader->damaged;
    return 0;
}

static struct reading reading_of(struct store_reader *reader, struct store_span span,
                                 struct arena *arena)
{
    return (struct reading){.reader = reader,
                            .id = span.series,
                            .start_ms = span.start_ms,
                            .end_ms = span.end_ms,
                            .chunk_end_ms = span.end_ms,
                            .arena = arena};
}

int store_read(struct store_reader *reader, struct store_span span, struct arena *arena,
               struct store_column *out, struct error *err)
{
    struct reading reading = reading_of(reader, span, arena);
    return read_all(&reading, out, err);
}

int reader_read_summed(struct store_reader *reader, struct store_span span, struct arena *arena,
                       struct summed *out, struct error *err)
{
    struct reading reading = reading_of(reader, span, arena);
    reading.summed = true;
    int status = read_all(&reading, &out->column, err);
    out->pieces = reader->pieces;
    out->count = reader->piece_count;
    return status;
}

/* --- the newest sample --- */

/* Opens the last sound chunk of the series on that day whose key is not above *key; *key becomes
 * its key. 1: found; 0: none; -1: they cannot be read now. Damaged ones count as not there. */
static int open_last_chunk(struct store *store, struct kv_iterator *it, struct chunk_key *key,
                           struct chunk *chunk, struct error *err)
{
    uint32_t series = key->series, day = key->partition;
    struct key_bytes at = key_of_chunk(*key);
    bool more = kv_seek_before(it, key_slice(&at));
    while (more && key_parse_chunk(kv_key(it), key) && key->series == series &&
           key->partition == day) {
        if (chunk_open(kv_value(it), chunk_key_time(*key), chunk))
            return 1;
        store_note_damaged(store, *key);
        more = kv_previous(it);
    }
    return !more && kv_iterator_damage(it, err) < 0 ? -1 : 0;
}

int64_t store_sealed_until(struct store *store, uint32_t id)
{
    int64_t until = TIME_NONE;
    struct kv_iterator *it = NULL;
    struct error ignored;
    for (size_t i = store->partitions.count; i-- && until == TIME_NONE;) {
        const struct partition *partition = &store->partitions.at[i];
        struct chunk_key key = {partition->day, id, UINT32_MAX};
        struct chunk chunk;
        if (!roaring_bitmap_contains(partition->active, id))
            continue;
        if (!it)
            it = kv_iterate(store->kv, KV_CHUNK, SLICE(""), SLICE(""));
        if (open_last_chunk(store, it, &key, &chunk, &ignored) > 0)
            until = chunk.end_ms;
    }
    kv_iterator_free(it);
    return until;
}

/* The last sample of the column that is no stale marker. */
static bool last_of_column(const struct store_column *column, double *value,
                           const struct histogram **histogram)
{
    for (size_t i = column->count; i--;) {
        if (column->values && !is_stale_nan(column->values[i])) {
            *value = column->values[i];
            return true;
        }
        if (column->histograms && column->histograms[i]) {
            *histogram = column->histograms[i];
            return true;
        }
    }
    return false;
}

/* The same for one chunk, without what is deleted of it. */
static bool last_of_chunk(const struct chunk *chunk, const struct time_ranges *deleted,
                          struct arena *arena, double *value, const struct histogram **histogram)
{
    struct store_column column = {.count = chunk->count};
    bool whole = !time_ranges_meet(deleted, (struct time_range){chunk->start_ms, chunk->end_ms});
    if (whole && !chunk->histograms) {
        *value = chunk->summary.last;
        return chunk->summary.count > 0;
    }
    int64_t *times = arena_alloc(arena, chunk->count * sizeof *times);
    const struct histogram **histograms = NULL;
    double *values = NULL;
    if (chunk->histograms)
        column.histograms = histograms = arena_histograms(arena, chunk->count);
    else
        column.values = values = arena_alloc(arena, chunk->count * sizeof *values);
    if (!times || (!histograms && !values) || !chunk_times(chunk, times) ||
        !(values ? chunk_values(chunk, values) : chunk_histograms(chunk, arena, histograms)))
        return false;
    struct sample_arrays samples = {.times = times, .values = values, .histograms = histograms};
    column.count = time_ranges_strike(deleted, &samples, chunk->count);
    return last_of_column(&column, value, histogram);
}

static int last_in_chunks(const struct reading *reading, double *value,
                          const struct histogram **histogram, struct error *err)
{
    const struct store_reader *reader = reading->reader;
    for (size_t i = reader->day_count; i--;) {
        struct chunk_key key = {reader->days[i].day, reading->id, UINT32_MAX};
        struct chunk chunk;
        int opened;
        while ((opened = open_last_chunk(reader->store, reader->chunks, &key, &chunk, err)) > 0) {
            if (last_of_chunk(&chunk, &reader->deleted, reading->arena, value, histogram))
                return 1;
            if (key.offset_ms == 0)
                break;
            key.offset_ms--;
        }
        if (opened < 0)
            return -1;
    }
    return 0;
}

/* The newest day before `bound` that has samples; false at the end. */
static bool day_before(const struct reading *reading, uint32_t bound, uint32_t *out)
{
    const struct store_column *columns[] = {&reading->open, &reading->late};
    bool found = false;
    for (size_t i = 0; i < reading->reader->day_count; i++)
        if (reading->reader->days[i].day < bound && (!found || reading->reader->days[i].day > *out))
            *out = reading->reader->days[i].day, found = true;
    for (size_t c = 0; c < 2; c++)
        for (size_t i = columns[c]->count; i--;) {
            uint32_t day = partition_of(columns[c]->times[i]);
            if (day < bound && (!found || day > *out))
                *out = day, found = true;
        }
    return found;
}

/* Where late samples may hide others: day by day as readers see them. */
static int last_with_late(const struct reading *all, double *value,
                          const struct histogram **histogram, struct error *err)
{
    struct store_reader *reader = store_reader_new(all->reader->store);
    uint32_t day = UINT32_MAX;
    int found = 0;
    while (found == 0 && day_before(all, day, &day)) {
        struct store_column column;
        struct store_span span = {all->id, partition_start(day), partition_start(day + 1) - 1};
        found = store_read(reader, span, all->arena, &column, err)
                    ? -1
                    : last_of_column(&column, value, histogram);
    }
    store_reader_free(reader);
    return found;
}

int store_last(struct store *store, uint32_t series, struct arena *arena, double *value,
               const struct histogram **histogram)
{
    struct store_reader *reader = store_reader_new(store);
    struct reading reading = {.reader = reader,
                              .id = series,
                              .start_ms = INT64_MIN,
                              .end_ms = INT64_MAX,
                              .chunk_end_ms = INT64_MAX,
                              .arena = arena};
    struct error err = {0};
    int found = 1;
    if (!read_head(&reading))
        found = exhausted(&err);
    else if (reading.late.count)
        found = last_with_late(&reading, value, histogram, &err);
    else if (!last_of_column(&reading.open, value, histogram))
        found = last_in_chunks(&reading, value, histogram, &err);
    if (found < 0)
        log_error("store_last", "series=%u error=\"%s\"", series, err.text);
    store_reader_free(reader);
    return found;
}
