/* parallel: the series of one selection, read and worked on by several threads.
 *
 *   selection    s0 s1 s2 | s3 s4 s5 | s6 s7 s8 | ...       batches of a few series
 *                seat 1     seat 0     seat 1               read, make rows      any thread
 *                slot 0     slot 1     slot 2               rows, notes          held
 *                ----- in the order of the selection -----> the sink             the query's thread
 *
 * A seat is all that a thread needs to read by itself: a reader, scratch memory and an evaluation of
 * its own. What it makes is copied to the slot of the batch. Sinks notice nothing: rows come one after
 * the other on the query's thread, with the notes that belong before them, so that the answer is the
 * same to the bit, whoever made its parts.
 *
 * Memory: seats and slots get a share of what the query has left, which counts as used meanwhile. What
 * goes wrong on a seat (the share is too small, time is up, the store cannot be read) is not told;
 * the rest of the selection is read once more without helpers, where it goes well or fails as it
 * would have.
 */
#include "query/source.h"

#include <assert.h>
#include <stdlib.h>

#include "query/fan.h"
#include "storage/base/alloc.h"

#define SERIES_MIN      32
#define BATCH_MAX       32
#define BATCHES_A_SEAT  8 /* so that all seats end at about the same time */
#define MEMORY_DIVISOR  4 /* of what the query has left, for seats and slots */
#define SLOT_BYTES_MAX  ((size_t)32 << 20)
#define COST_MIN        100000 /* in samples; about a millisecond */
#define COST_SERIES     200    /* of finding a series in the store */
#define SAMPLE_EVERY_MS 10000  /* a guess, to tell the cost */

struct made {
    struct row row;
    size_t series;          /* in the selection */
    size_t warnings, infos; /* how many came before it */
};

struct slot {
    struct arena arena;
    struct made rows[BATCH_MAX];
    size_t count;
    struct notes warnings, infos;
    unsigned tiers;
    int64_t samples_read;
    bool failed;
};

struct seat {
    struct sink sink; /* of the rows made here */
    struct eval eval;
    struct error err;
    struct reading reading;
    struct samples_sink *windows; /* NULL for an instant selector */
    struct slot *slot;
    size_t series;
};

struct parallel {
    struct reading *reading; /* of the query's thread */
    const struct store_selection *selection;
    size_t batch_size;
    struct seat *seats;
    struct slot *slots;
    size_t slot_bytes;
    struct sink *out;
    int result;
};

/* --- on a seat --- */

static int seat_take(struct sink *sink, struct row *row)
{
    struct seat *seat = (struct seat *)sink;
    struct slot *slot = seat->slot;
    struct made made = {*row, seat->series, seat->eval.warnings.count, seat->eval.infos.count};
    assert(slot->count < BATCH_MAX);
    if (row_keep(&seat->eval, seat->reading.grid, &made.row) != 0)
        return -1;
    slot->rows[slot->count++] = made;
    return 0;
}

static void make_batch(void *arg, size_t seat_number, size_t slot_number, size_t batch)
{
    struct parallel *parallel = arg;
    struct seat *seat = &parallel->seats[seat_number];
    struct slot *slot = &parallel->slots[slot_number];
    struct eval *eval = &seat->eval;
    size_t end = (batch + 1) * parallel->batch_size;
    if (end > parallel->selection->count)
        end = parallel->selection->count;
    if (!eval->reader)
        eval->reader = store_reader_new(eval->store);
    arena_reset(&slot->arena);
    slot->count = 0;
    slot->failed = false;
    seat->slot = slot;
    eval->arena = &slot->arena;
    eval->warnings = eval->infos = (struct notes){.count = 0};
    eval->samples_read = 0;
    eval->tiers = 0;
    for (seat->series = batch * parallel->batch_size; seat->series < end && !slot->failed;
         seat->series++)
        slot->failed = reading_one(&seat->reading, &parallel->selection->at[seat->series]) != 0;
    slot->failed = slot->failed || slot->arena.exhausted;
    slot->warnings = eval->warnings;
    slot->infos = eval->infos;
    slot->tiers = eval->tiers;
    slot->samples_read = eval->samples_read;
}

/* Readers belong to the thread that reads. */
static void leave_seat(void *arg, size_t seat)
{
    struct eval *eval = &((struct parallel *)arg)->seats[seat].eval;
    store_reader_free(eval->reader);
    eval->reader = NULL;
}

/* --- on the query's thread --- */

static void tell(struct eval *eval, const struct slot *slot, size_t warnings, size_t infos,
                 struct made *told)
{
    for (; told->warnings < warnings; told->warnings++)
        eval_warn(eval, SLICE_FMT, SLICE_ARG(slot->warnings.at[told->warnings]));
    for (; told->infos < infos; told->infos++)
        eval_info(eval, SLICE_FMT, SLICE_ARG(slot->infos.at[told->infos]));
}

/* Labels are those of the selection, or a part of them that lies in the slot. */
static bool keep_labels(const struct parallel *parallel, struct made *made)
{
    struct labels from = parallel->selection->at[made->series].labels, *labels = &made->row.labels;
    if (labels->count == 0 || (labels->at >= from.at && labels->at < from.at + from.count))
        return true;
    struct label *at = arena_alloc(parallel->reading->eval->arena, labels->count * sizeof *at);
    if (!at)
        return false;
    memcpy(at, labels->at, labels->count * sizeof *at);
    labels->at = at;
    return true;
}

static int take_rows(struct parallel *parallel, struct slot *slot)
{
    struct eval *eval = parallel->reading->eval;
    struct made told = {0};
    if (eval_check(eval) != 0 || eval_count_samples(eval, (size_t)slot->samples_read) != 0)
        return -1;
    eval->tiers |= slot->tiers;
    for (size_t i = 0; i < slot->count; i++) {
        struct made *made = &slot->rows[i];
        tell(eval, slot, made->warnings, made->infos, &told);
        if (!keep_labels(parallel, made))
            return eval_fail_memory(eval);
        if (parallel->out->take(parallel->out, &made->row) != 0)
            return -1;
    }
    tell(eval, slot, slot->warnings.count, slot->infos.count, &told);
    notes_count(eval, &eval->warnings, &slot->warnings);
    notes_count(eval, &eval->infos, &slot->infos);
    return 0;
}

static bool take_batch(void *arg, size_t slot_number, size_t batch)
{
    struct parallel *parallel = arg;
    struct slot *slot = &parallel->slots[slot_number];
    (void)batch;
    if (slot->failed)
        return false;
    parallel->result = take_rows(parallel, slot);
    return parallel->result == 0;
}

/* --- opening and closing --- */

static void seat_open(struct seat *seat, struct parallel *parallel)
{
    const struct reading *reading = parallel->reading;
    seat->sink.take = seat_take;
    seat->eval = (struct eval){.store = reading->eval->store,
                               .request = reading->eval->request,
                               .arena = &parallel->slots[0].arena,
                               .err = &seat->err,
                               .lookback_ms = reading->eval->lookback_ms};
    seat->reading = *reading;
    seat->reading.eval = &seat->eval;
    seat->reading.out = &seat->sink;
    scratch_open(&seat->eval, &seat->reading.scratch);
    if (reading->instant)
        return;
    const struct samples_sink *windows = reading->out;
    seat->reading.out = seat->windows = windows->fork(windows, &seat->eval, &seat->sink);
}

static void seat_close(struct seat *seat)
{
    if (seat->windows)
        seat->windows->join(seat->windows);
    scratch_close(&seat->eval, &seat->reading.scratch);
}

static bool may_fork(const struct reading *reading)
{
    const struct samples_sink *windows = reading->out;
    return reading->instant || windows->fork;
}

static bool is_worth_it(const struct reading *reading, const struct store_selection *selection)
{
    const struct range *range = &reading->range;
    int64_t span_ms = range_last(range, reading->grid) - time_minus(range->end_ms, range->range_ms);
    double samples = (double)span_ms / SAMPLE_EVERY_MS + (double)reading->grid->steps;
    return selection->count >= SERIES_MIN &&
           (double)selection->count * (COST_SERIES + samples) >= COST_MIN;
}

static void run(struct fan *fan, struct parallel *parallel, size_t *done)
{
    struct eval *eval = parallel->reading->eval;
    size_t seats = fan_seats(fan), slots = fan_slots(fan), count = parallel->selection->count;
    size_t bytes = eval_memory_left(eval) / MEMORY_DIVISOR / slots;
    parallel->slot_bytes = bytes < SLOT_BYTES_MAX ? bytes : SLOT_BYTES_MAX;
    parallel->batch_size = count / (seats * BATCHES_A_SEAT);
    if (parallel->batch_size > BATCH_MAX)
        parallel->batch_size = BATCH_MAX;
    if (parallel->batch_size < 1)
        parallel->batch_size = 1;
    parallel->slots = alloc_zeroed(slots, sizeof *parallel->slots);
    parallel->seats = alloc_zeroed(seats, sizeof *parallel->seats);
    for (size_t i = 0; i < slots; i++)
        arena_init(&parallel->slots[i].arena, parallel->slot_bytes);
    for (size_t i = 0; i < seats; i++)
        seat_open(&parallel->seats[i], parallel);
    struct fan_task task = {
        .batches = (count + parallel->batch_size - 1) / parallel->batch_size,
        .arg = parallel,
        .make = make_batch,
        .leave = leave_seat,
        .take = take_batch,
    };
    eval->owned_bytes += slots * parallel->slot_bytes;
    *done = fan_run(fan, &task) * parallel->batch_size;
    eval->owned_bytes -= slots * parallel->slot_bytes;
    for (size_t i = 0; i < seats; i++)
        seat_close(&parallel->seats[i]);
    for (size_t i = 0; i < slots; i++)
        arena_release(&parallel->slots[i].arena);
    free(parallel->seats);
    free(parallel->slots);
}

int reading_parallel(struct reading *reading, const struct store_selection *selection, size_t *done)
{
    struct fan *fan = reading->eval->request->fan;
    struct parallel parallel = {.reading = reading, .selection = selection};
    *done = 0;
    if (!fan || fan_seats(fan) < 2 || !may_fork(reading) || !is_worth_it(reading, selection))
        return 0;
    parallel.out = reading->instant ? reading->out : ((struct samples_sink *)reading->out)->rows;
    run(fan, &parallel, done);
    return parallel.result;
}
