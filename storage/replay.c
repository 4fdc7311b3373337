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
#include "storage/column.h"

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
    if (!series->histograms) {
        series->histograms = alloc_zeroed(1, sizeof *series->histograms);
        buffer_init(&series->histograms->codes, SIZE_MAX);
        histogram_init(&series->histograms->staged);
        series->histograms->code_full = true;
    }
    head_append_histogram(&store->head, series, time_ms, code);
}

/* False when it cannot be: not in order, not of the series' kind. */
static bool append_sample(struct store *store, const struct replay_record *record, uint64_t bits,
                          struct slice code)
{
    size_t i = record->reader.next - 1;
    uint32_t id = (uint32_t)record->reader.series[i];
    int64_t time_ms = record->reader.times[i];
    const struct series_row *row = series_row(&store->series, id);
    if (!row) /* forgotten since: what is logged of it is past retention */
        return true;
    struct head_series *series = head_make(&store->head, id);
    if (series->count == 0) {
        if (series->sealed_once && record->sequence < series->first_sequence)
            return true;
        series->first_sequence = record->sequence;
        series->touched_s = (uint32_t)(record->reader.wall_ms / 1000);
    } else if (!code.len) {
        bits ^= double_bits(head_last_value(series));
    }
    if ((series->count && time_ms <= series->last_ms) ||
        (code.len > 0) != (row->kind == SERIES_HISTOGRAM))
        return false;
    if (code.len)
        append_code(store, series, time_ms, code);
    else
        head_append_value(&store->head, series, time_ms, double_of_bits(bits));
    return true;
}

/* --- records --- */

static int64_t next_id(const struct headlog_reader *reader)
{
    return reader->next < reader->count ? reader->series[reader->next] : INT64_MAX;
}

/* Applies the rows from the next one on whose id is below `end`. */
static bool apply_until(struct replay *replay, struct replay_record *record, int64_t end)
{
    struct headlog_reader *reader = &record->reader;
    while (next_id(reader) < end) {
        uint64_t bits;
        struct slice code;
        if (reader->next + AHEAD < reader->count)
            __builtin_prefetch(
                head_get(&replay->store->head, (uint32_t)reader->series[reader->next + AHEAD]));
        if (!headlog_next(reader, &bits, &code) ||
            !append_sample(replay->store, record, bits, code)) {
            replay->failed = record->sequence;
            return false;
        }
    }
    return true;
}

bool replay_flush(struct replay *replay)
{
    int64_t low;
    do {
        low = INT64_MAX;
        for (size_t i = 0; i < replay->count; i++)
            if (next_id(&replay->records[i].reader) < low)
                low = next_id(&replay->records[i].reader);
        for (size_t i = 0; low < INT64_MAX && i < replay->count; i++)
            if (!apply_until(replay, &replay->records[i], low + BLOCK_IDS))
                return false;
    } while (low < INT64_MAX);
    replay_release(replay);
    return true;
}

static bool is_sorted(const struct headlog_reader *reader)
{
    for (size_t i = 1; i < reader->count; i++)
        if (reader->series[i] < reader->series[i - 1])
            return false;
    return true;
}

/* In the order it has. */
static bool apply_alone(struct replay *replay, struct replay_record *record)
{
    bool applied = replay_flush(replay) && apply_until(replay, record, INT64_MAX);
    release_record(record);
    return applied;
}

bool replay_add(struct replay *replay, struct headlog_reader *owned, uint64_t sequence)
{
    struct replay_record record = {.reader = *owned, .sequence = sequence};
    assert(owned->kind == HEADLOG_SAMPLES);
    *owned = (struct headlog_reader){.kind = HEADLOG_SAMPLES};
    if (!is_sorted(&record.reader))
        return apply_alone(replay, &record);
    if ((replay->count == REPLAY_RECORDS_MAX || replay->rows + record.reader.count > ROWS_HELD) &&
        !replay_flush(replay)) {
        release_record(&record);
        return false;
    }
    struct slice values = record.reader.values;
    record.values = alloc_resize(NULL, values.len, 1);
    if (values.len)
        memcpy(record.values, values.at, values.len);
    record.reader.values.at = record.values;
    replay->records[replay->count++] = record;
    replay->rows += record.reader.count;
    return true;
}
