/* replay: appending the samples of many ticks without a cache miss for each of them.
 *
 *   record 1   | a b c d | e f g h | ...       a record has one sample of every series: applied one
 *   record 2   | a b c d | e f g h | ...       by one, each would visit all of the head. So some are
 *   record 3   | a b c d | e f g h | ...       held and applied block by block of ids, within which
 *                block 1   block 2             the head stays in the cache.
 *
 * That needs records sorted by id, as the ticks of the registry are. One that is not is applied by
 * itself, after those before it.
 */
#include "storage/replay.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/code/column.h"

#define AHEAD     8                 /* samples between prefetch and use */
#define ROWS_HELD ((size_t)1 << 23) /* sixteen bytes each */
#define BLOCK_IDS 2048

static void release_record(struct replay_record *record)
{
    headlog_release(&record->reader);
    free(record->values);
}

void replay_release(struct replay *replay)
{
    for (size_t i = 0; i < replay->count; i++)
        release_record(&replay->records[i]);
    replay->count = replay->rows = 0;
}

/* --- one sample --- */

static void append_code(struct store *store, struct head_series *series, int64_t time_ms,
                        struct slice code)
{
    (void)head_make_histograms(series);
    head_append_histogram(&store->head, series, time_ms, code);
}

/* A value is relative to the one before, back to the last SEALED record. */
static bool is_known(const struct replay *replay, const struct replay_record *record,
                     const struct head_series *series)
{
    bool begun = series->count || series->sealed_once;
    if (record->gap != GAP_NONE && !(begun && series->first_sequence > record->gap))
        return false;
    bool cut = replay->store->headlog_low > 0; /* it may have had a beginning that is gone */
    return !cut || begun || replay->lost_seal == GAP_NONE || replay->lost_seal < record->sequence;
}

/* False when it cannot be: not in order, not of the series' kind. */
static bool append_sample(struct replay *replay, const struct replay_record *record, uint64_t bits,
                          struct slice code)
{
    struct store *store = replay->store;
    size_t i = record->reader.next - 1;
    uint32_t id = (uint32_t)record->reader.series[i];
    int64_t time_ms = record->reader.times[i];
    const struct series_row *row = series_row(&store->series, id);
    if (!row) /* forgotten since: what is logged of it is past retention */
        return true;
    struct head_series *series = head_make(&store->head, id);
    if (series->count == 0 && series->sealed_once && record->sequence < series->first_sequence)
        return true;
    if (!is_known(replay, record, series)) {
        replay->dropped++;
        return true;
    }
    if (series->count == 0) {
        head_begin(series, record->sequence, (uint32_t)(record->reader.wall_ms / 1000));
    } else if (row->kind != SERIES_HISTOGRAM) {
        bits ^= double_bits(head_last_value(series));
    }
    if (time_ms < 0 || time_ms > TIME_MS_MAX || (series->count && time_ms <= series->last_ms) ||
        !replay_fits((enum series_kind)row->kind, code))
        return false;
    if (row->kind == SERIES_HISTOGRAM)
        append_code(store, series, time_ms, code);
    else
        head_append_value(&store->head, series, time_ms, double_of_bits(bits));
    if (row->kind == SERIES_SET && code.len)
        head_append_sketch(&store->head, id, code);
    return true;
}

/* --- records --- */

static int64_t next_id(const struct headlog_reader *reader)
{
    return reader->next < reader->count ? reader->series[reader->next] : INT64_MAX;
}

/* The rest of the record is lost, and with it what the records held behind it say of its series. */
static void give_up(struct replay *replay, struct replay_record *record)
{
    damage_note(kv_damages(replay->store->kv), DAMAGE_HEADLOG,
                "record %llu of the head log cannot be applied",
                (unsigned long long)record->sequence);
    replay->dropped += record->reader.count - record->reader.next;
    record->reader.next = record->reader.count;
    replay->gap = record->sequence;
    for (size_t i = 0; i < replay->count; i++)
        if (replay->records[i].sequence > record->sequence &&
            (replay->records[i].gap == GAP_NONE || replay->records[i].gap < record->sequence))
            replay->records[i].gap = record->sequence;
}

/* Applies the rows from the next one on whose id is below `end`. */
static void apply_until(struct replay *replay, struct replay_record *record, int64_t end)
{
    struct headlog_reader *reader = &record->reader;
    while (next_id(reader) < end) {
        uint64_t bits;
        struct slice code;
        if (reader->next + AHEAD < reader->count)
            __builtin_prefetch(
                head_get(&replay->store->head, (uint32_t)reader->series[reader->next + AHEAD]));
        if (!headlog_next(reader, &bits, &code) || !append_sample(replay, record, bits, code))
            give_up(replay, record);
    }
}

void replay_flush(struct replay *replay)
{
    int64_t low;
    do {
        low = INT64_MAX;
        for (size_t i = 0; i < replay->count; i++)
            if (next_id(&replay->records[i].reader) < low)
                low = next_id(&replay->records[i].reader);
        for (size_t i = 0; low < INT64_MAX && i < replay->count; i++)
            apply_until(replay, &replay->records[i], low + BLOCK_IDS);
    } while (low < INT64_MAX);
    replay_release(replay);
}

static bool is_sorted(const struct headlog_reader *reader)
{
    for (size_t i = 1; i < reader->count; i++)
        if (reader->series[i] < reader->series[i - 1])
            return false;
    return true;
}

void replay_add(struct replay *replay, struct headlog_reader *owned, uint64_t sequence)
{
    struct replay_record record = {.reader = *owned, .sequence = sequence};
    assert(owned->kind == HEADLOG_SAMPLES);
    *owned = (struct headlog_reader){.kind = HEADLOG_SAMPLES};
    bool sorted = is_sorted(&record.reader);
    if (!sorted || replay->count == REPLAY_RECORDS_MAX ||
        replay->rows + record.reader.count > ROWS_HELD)
        replay_flush(replay);
    record.gap = replay->gap;
    if (!sorted) { /* in the order it has */
        apply_until(replay, &record, INT64_MAX);
        release_record(&record);
        return;
    }
    struct slice values = record.reader.values;
    record.values = alloc_resize(NULL, values.len, 1);
    if (values.len)
        memcpy(record.values, values.at, values.len);
    record.reader.values.at = record.values;
    replay->records[replay->count++] = record;
    replay->rows += record.reader.count;
}
