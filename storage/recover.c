/* recover: replays the head log, so that after kill -9 the head is what it was.
 *
 * Two passes. The first finds for each series the last SEALED record; the second appends the samples
 * behind it, in order. What lies before it is in chunks already, and may even be undecodable: the
 * log is cut below the oldest record that an open sample needs, whatever sealed samples refer to.
 * Late samples are put and taken away again in the second pass as they once were.
 */
#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/column.h"
#include "storage/key.h"
#include "storage/merge.h"
#include "storage/replay.h"

/* First pass. */
static bool note_sealed(struct replay *replay, struct headlog_reader *reader, uint64_t sequence)
{
    struct store *store = replay->store;
    for (size_t i = 0; i < reader->count; i++) {
        uint32_t id = (uint32_t)reader->series[i];
        if (!series_row(&store->series, id))
            continue;
        struct head_series *series = head_make(&store->head, id);
        series->sealed_ms = series->staged_ms = reader->times[i];
        series->first_sequence = sequence;
        series->sealed_once = true;
    }
    return true;
}

/* Second pass. */
static bool replay_late(struct store *store, struct headlog_reader *reader, uint64_t sequence)
{
    while (reader->next < reader->count) {
        uint64_t bits;
        struct late_sample sample = {.series = (uint32_t)reader->series[reader->next],
                                     .time_ms = reader->times[reader->next],
                                     .sequence = sequence,
                                     .now_s = (uint32_t)(reader->wall_ms / 1000)};
        if (!headlog_next(reader, &bits, &sample.code))
            return false;
        const struct series_row *row = series_row(&store->series, sample.series);
        if (row && (sample.code.len > 0) != (row->kind == SERIES_HISTOGRAM))
            return false;
        sample.value = double_of_bits(bits);
        if (row)
            late_put(&store->late, &sample);
    }
    return true;
}

static bool replay_merged(struct store *store, const struct headlog_reader *reader)
{
    for (size_t i = 0; i < reader->count; i++) {
        struct headlog_range range = {(uint32_t)reader->series[i], reader->times[i],
                                      reader->until[i]};
        store_drop_late(store, &range);
    }
    return true;
}

static bool replay_record(struct replay *replay, struct headlog_reader *reader, uint64_t sequence)
{
    if (reader->kind == HEADLOG_SAMPLES)
        return replay_add(replay, reader, sequence);
    return reader->kind == HEADLOG_LATE ? replay_late(replay->store, reader, sequence)
                                        : replay_merged(replay->store, reader);
}

static int damaged(uint64_t sequence, struct error *err)
{
    return error_set(err, ERROR_INTERNAL,
                     "record %llu of the head log is damaged; restore a backup",
                     (unsigned long long)sequence);
}

/* Hands each record from the mark on to `visit`: those of kind SEALED, or all others. */
static int each_record(struct replay *replay, bool sealed,
                       bool (*visit)(struct replay *, struct headlog_reader *, uint64_t),
                       struct error *err)
{
    struct store *store = replay->store;
    struct key_bytes low = key_of_u64(store->headlog_low);
    struct kv_iterator *it = kv_iterate(store->kv, KV_HEADLOG, key_slice(&low), SLICE(""));
    int status = 0;
    for (bool more = kv_seek_first(it); more && !status; more = kv_next(it)) {
        struct headlog_reader reader = {.count = 0};
        struct slice key = kv_key(it);
        uint64_t sequence = 0;
        bool sound = bytes_cut_u64be(&key, &sequence);
        replay->failed = sequence;
        if (sound && (headlog_kind_of(kv_value(it)) == HEADLOG_SEALED) == sealed)
            sound = headlog_open(&reader, kv_value(it)) && visit(replay, &reader, sequence);
        headlog_release(&reader);
        store->headlog_next = sequence + 1;
        if (!sound)
            status = damaged(replay->failed, err);
    }
    if (!status)
        status = kv_iterator_check(it, err);
    kv_iterator_free(it);
    return status;
}

/* Rebuilds what the writer knows of a series from its open samples. */
static bool finish_series(struct head_series *series)
{
    if (series->count == 0)
        return true;
    series->staged_ms = series->last_ms;
    if (!series->histograms) {
        series->staged_bits = double_bits(head_last_value(series));
        return true;
    }
    struct slice rest = buffer_slice(&series->histograms->codes);
    bool stale, sound = true;
    for (uint32_t i = 0; sound && i < series->count; i++)
        sound = histogram_code_cut(&rest, &series->histograms->staged, &stale);
    series->histograms->code_full = true;
    return sound && rest.len == 0;
}

static int finish(struct store *store, struct error *err)
{
    for (uint32_t id = 0; id < store->head.capacity; id++) {
        struct head_series *series = head_get(&store->head, id);
        if (!series)
            continue;
        if (!finish_series(series))
            return error_set(err, ERROR_INTERNAL,
                             "the open histograms of series %u are damaged; restore a backup", id);
        store_note_due(store, id, series);
    }
    return 0;
}

static int read_low(struct store *store, struct error *err)
{
    struct buffer value;
    buffer_init(&value, 64);
    int status = kv_get(store->kv, KV_META, SLICE("headlog"), &value, err);
    struct slice rest = buffer_slice(&value);
    if (status == 1)
        status = bytes_cut_u64le(&rest, &store->headlog_low)
                     ? 0
                     : error_set(err, ERROR_INTERNAL,
                                 "the head log's mark is damaged; restore a backup");
    buffer_release(&value);
    store->headlog_next = store->headlog_low;
    return status;
}

int store_recover_head(struct store *store, struct error *err)
{
    struct replay *replay = alloc_zeroed(1, sizeof *replay);
    replay->store = store;
    int status = read_low(store, err) || each_record(replay, true, note_sealed, err) ||
                         each_record(replay, false, replay_record, err)
                     ? -1
                     : 0;
    if (!status && !replay_flush(replay))
        status = damaged(replay->failed, err);
    replay_release(replay);
    free(replay);
    return status ? -1 : finish(store, err);
}
