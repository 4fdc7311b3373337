/* recover: replays the head log, so that after kill -9 the head is what it was.
 *
 * Two passes. The first finds for each series the last SEALED record; the second appends the samples
 * behind it, in order. What lies before it is in chunks already, and may even be undecodable: the
 * log is cut below the oldest record that an open sample needs, whatever sealed samples refer to.
 * Late samples are put and taken away again in the second pass as they once were.
 *
 *   samples │ samples │ (lost) │ samples │ SEALED a │ samples
 *   a b       a b                 a b dropped          a taken, b dropped
 *
 * Records follow each other without gaps, so a lost one is noticed, as is a damaged one. A value is
 * relative to the one before it in its series, so behind a lost record nothing is known of a series
 * until it has been sealed. And should the lost record have been a SEALED one, what lies before it is
 * only known of series whose beginning is still in the log. What cannot be known is dropped, counted
 * and told; then all that is there is sealed and the log cut, so that the next start finds a sound
 * one (store_open does that).
 */
#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/log.h"
#include "storage/code/column.h"
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
        series->sealed_ms = reader->times[i];
        head_begin(series, sequence, series->touched_s);
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
        if (row && !replay_fits((enum series_kind)row->kind, sample.code))
            return false;
        sample.sketch = row && row->kind == SERIES_SET && sample.code.len;
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

static void note_lost(struct replay *replay, uint64_t from, uint64_t to)
{
    damage_note(kv_damages(replay->store->kv), DAMAGE_HEADLOG,
                "records %llu to %llu of the head log are damaged or missing",
                (unsigned long long)from, (unsigned long long)to);
}

/* One pass. */
struct pass {
    struct replay *replay;
    uint64_t expected; /* sequence of the next record */
    bool sealed;       /* the first pass: those of kind SEALED; else all others */
};

/* First pass: what is lost, and what is sealed. */
static void survey(struct pass *pass, uint64_t sequence, struct slice value)
{
    struct replay *replay = pass->replay;
    struct headlog_reader reader = {.count = 0};
    bool is_seal = headlog_kind_of(value) == HEADLOG_SEALED;
    if (is_seal && (!headlog_open(&reader, value) || !note_sealed(replay, &reader, sequence)))
        replay->lost_seal = sequence;
    headlog_release(&reader);
}

/* Second pass. */
static void apply(struct pass *pass, uint64_t sequence, struct slice value)
{
    struct replay *replay = pass->replay;
    struct headlog_reader reader = {.count = 0};
    enum headlog_kind kind = headlog_kind_of(value);
    bool sound = headlog_check(value);
    if (sound && kind != HEADLOG_SEALED)
        sound = headlog_open(&reader, value);
    if (sound && kind == HEADLOG_SAMPLES)
        replay_add(replay, &reader, sequence);
    else if (sound && kind == HEADLOG_LATE)
        sound = replay_late(replay->store, &reader, sequence);
    else if (sound && kind == HEADLOG_MERGED)
        sound = replay_merged(replay->store, &reader);
    headlog_release(&reader);
    if (sound)
        return;
    note_lost(replay, sequence, sequence);
    replay->gap = sequence;
}

static bool visit_record(void *arg, struct slice key, struct slice value)
{
    struct pass *pass = arg;
    uint64_t sequence;
    if (!bytes_cut_u64be(&key, &sequence) || key.len)
        return true;
    if (sequence != pass->expected) {
        note_lost(pass->replay, pass->expected, sequence - 1);
        if (pass->sealed)
            pass->replay->lost_seal = sequence - 1;
        else
            pass->replay->gap = sequence - 1;
    }
    (pass->sealed ? survey : apply)(pass, sequence, value);
    pass->expected = sequence + 1;
    return true;
}

/* Hands each record from the mark on to one of the two. */
static int run_pass(struct replay *replay, bool sealed, struct error *err)
{
    struct store *store = replay->store;
    struct key_bytes low = key_of_u64(store->headlog_low);
    struct kv_range range = {.family = KV_HEADLOG, .from = key_slice(&low)};
    struct pass pass = {replay, store->headlog_low, sealed};
    int status = kv_each(store->kv, &range, visit_record, &pass, err);
    store->headlog_next = pass.expected;
    return status < 0 ? -1 : 0;
}

/* Rebuilds what the writer knows of a series from its open samples. */
static bool finish_series(struct head_series *series)
{
    if (series->count == 0)
        return true;
    struct head_histograms *histograms = head_histograms(series);
    if (!histograms)
        return true;
    struct slice rest = buffer_slice(&histograms->codes);
    bool stale, sound = true;
    for (uint32_t i = 0; sound && i < series->count; i++)
        sound = histogram_code_cut(&rest, &histograms->staged, &stale);
    histograms->code_full = true;
    return sound && rest.len == 0;
}

/* True when the open histograms of some series are damaged. */
static bool finish(struct store *store)
{
    bool damaged = false;
    for (uint32_t id = 0; id < store->head.capacity; id++) {
        struct head_series *series = head_get(&store->head, id);
        if (!series)
            continue;
        if (!finish_series(series)) {
            damage_note(kv_damages(store->kv), DAMAGE_HEADLOG,
                        "the open histograms of series %u are damaged", id);
            head_clear(&store->head, id);
            damaged = true;
            continue;
        }
        store_note_due(store, id, series);
    }
    return damaged;
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

int store_recover_head(struct store *store, bool *damaged, struct error *err)
{
    struct replay *replay = alloc_zeroed(1, sizeof *replay);
    replay->store = store;
    replay->gap = replay->lost_seal = GAP_NONE;
    int status = read_low(store, err) || run_pass(replay, true, err) || run_pass(replay, false, err)
                     ? -1
                     : 0;
    if (!status)
        replay_flush(replay);
    *damaged = replay->gap != GAP_NONE || replay->lost_seal != GAP_NONE;
    if (*damaged)
        log_error("headlog_damaged", "dropped_samples=%llu", (unsigned long long)replay->dropped);
    replay_release(replay);
    free(replay);
    if (!status)
        *damaged |= finish(store);
    return status;
}
