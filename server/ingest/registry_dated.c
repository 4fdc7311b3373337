/* registry_dated: samples whose senders say when they were taken.
 *
 *   time       10:00   10:01   10:02   10:03
 *   stored       100     100     100     100
 *   5 @ 10:01:30         .   105 105     105      the total from then on, and all later ones
 *
 * They wait here until the flush of a tick is durable, since a count changes what the store holds: the
 * samples after it are read, raised and written again, by the way of late samples. What the series
 * counts from now on rises by the same, once that is durable too. A reading is simply written; it
 * is not repeated at ticks, for nobody knows whether it still holds.
 *
 * The sample before a count is looked for an hour back. Live series have one each tick, and a series that was
 * silent gets its old total again before it goes on, so the next sample serves as well.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "server/ingest/registry_state.h"
#include "storage/base/alloc.h"

#define DATED_MAX    200000  /* samples that wait */
#define REWRITE_MAX  2000000 /* samples in one batch; what is left waits for the next tick */
#define LOOK_BACK_MS ((int64_t)3600 * 1000)
#define AHEAD_MS     ((int64_t)600 * 1000) /* a sender's clock may be wrong by this */

enum { DATED_SAMPLES = DATED_DROP_COUNT, DATED_METRIC_COUNT };

#define DROP_ROW(row, text)                                                                        \
    [row] = {.name = "lapwing_statsd_dated_dropped_total",                                         \
             .labels = "reason=\"" text "\"",                                                      \
             .help = "Samples with a time of their own that were dropped."}

static struct metric dated_metrics[DATED_METRIC_COUNT] = {
    [DATED_SAMPLES] = {.name = "lapwing_statsd_dated_total",
                       .help = "Samples with a time of their own that were stored."},
    DROP_ROW(DATED_BUSY, "writer_busy"),
    DROP_ROW(DATED_TAGS, "too_many_tags"),
    DROP_ROW(DATED_FULL, "limit"),
    DROP_ROW(DATED_TIME, "time"),
    DROP_ROW(DATED_SERIES, "series"),
};

/* One that waits. */
struct dated {
    struct registry_ref ref;
    int64_t time_ms;
    double value;
    uint32_t number; /* in order of arrival */
    bool written;    /* in the batch of the last write */
};

void registry_dated_init(void)
{
    metric_register(dated_metrics, DATED_METRIC_COUNT);
}

void registry_dated_drop(enum dated_drop reason, size_t count)
{
    metric_add(&dated_metrics[reason], (int64_t)count);
}

void registry_dated(struct registry *registry, struct labels labels, enum series_kind kind,
                    int64_t time_ms, double value)
{
    assert(kind == SERIES_COUNTER || kind == SERIES_GAUGE);
    if (registry->dated_count == DATED_MAX) {
        registry_dated_drop(DATED_FULL, 1);
        return;
    }
    struct registry_ref ref = registry_lookup(registry, labels, kind);
    if (!registry_holds(registry, ref)) {
        registry_dated_drop(DATED_SERIES, 1);
        return;
    }
    struct series *series = &registry->slots[ref.slot];
    series->silent |= kind == SERIES_GAUGE && series->fresh && !series->touched;
    series->touched = true;
    if (registry->dated_count == registry->dated_capacity) {
        registry->dated_capacity = registry->dated_capacity ? registry->dated_capacity * 2 : 64;
        registry->dated =
            alloc_resize(registry->dated, registry->dated_capacity, sizeof *registry->dated);
    }
    registry->dated[registry->dated_count++] = (struct dated){
        .ref = ref, .time_ms = time_ms, .value = value, .number = registry->dated_number++};
}

/* --- writing --- */

/* The waiting samples of one series, ascending in time, that can be written now. */
struct run {
    struct dated *at;
    size_t count;
    uint32_t id;
};

static void write_readings(struct store_batch *batch, const struct run *run)
{
    for (size_t i = 0; i < run->count; i++)
        store_batch_value(batch, run->id, run->at[i].time_ms, run->at[i].value);
}

/* The total just before the run: of the last sample before it, else of the next one. */
static double base_of(const struct store_column *column, int64_t first_ms, bool *before)
{
    double base = 0;
    bool found = false;
    *before = false;
    for (size_t i = 0; i < column->count; i++) {
        bool earlier = column->times[i] < first_ms;
        if (is_stale_nan(column->values[i]))
            continue;
        if (!earlier && found)
            break;
        base = column->values[i];
        *before |= earlier;
        found = true;
    }
    return base;
}

/* Raises what is stored by the counts up to it, and puts a sample where a count has none. */
static void write_counts(struct store_batch *batch, const struct run *run,
                         const struct store_column *column, int64_t interval_ms)
{
    bool before;
    int64_t first_ms = run->at[0].time_ms;
    double total = base_of(column, first_ms, &before), counted = 0;
    size_t i = 0, sample = 0;
    if (!before)
        store_batch_value(batch, run->id, first_ms - interval_ms, total);
    while (sample < column->count && column->times[sample] < first_ms)
        sample++;
    while (i < run->count || sample < column->count) {
        int64_t stored_ms = sample < column->count ? column->times[sample] : INT64_MAX;
        int64_t time_ms = i < run->count ? run->at[i].time_ms : INT64_MAX;
        int64_t now_ms = stored_ms < time_ms ? stored_ms : time_ms;
        bool ended = false;
        for (; i < run->count && run->at[i].time_ms == now_ms; i++)
            registry_add_finite(&counted, run->at[i].value);
        if (stored_ms == now_ms) {
            double value = column->values[sample++];
            ended = is_stale_nan(value);
            total = ended ? total : value;
        }
        if (!ended)
            store_batch_value(batch, run->id, now_ms, total + counted);
    }
}

/* False: the store cannot say what there is. */
static bool write_run(struct registry *registry, struct store_batch *batch, const struct run *run,
                      size_t *rewritten)
{
    const struct series *series = &registry->slots[run->at[0].ref.slot];
    if (series->kind == SERIES_GAUGE) {
        write_readings(batch, run);
        return true;
    }
    struct store_column column;
    struct error err;
    struct store_reader *reader = store_reader_new(registry->store);
    struct store_span span = {run->id, run->at[0].time_ms - LOOK_BACK_MS, INT64_MAX};
    arena_reset(&registry->arena);
    int status = store_read(reader, span, &registry->arena, &column, &err);
    if (status == 0)
        write_counts(batch, run, &column, registry->options.flush_interval_ms);
    store_reader_free(reader);
    *rewritten += status == 0 ? column.count : 0;
    return status == 0;
}

static int compare(const void *left, const void *right)
{
    const struct dated *a = left, *b = right;
    if (a->ref.slot != b->ref.slot)
        return a->ref.slot < b->ref.slot ? -1 : 1;
    if (a->time_ms != b->time_ms)
        return a->time_ms < b->time_ms ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

/* Removes those that never can be written. */
static void sift(struct registry *registry, bool last)
{
    size_t kept = 0;
    for (size_t i = 0; i < registry->dated_count; i++) {
        struct dated dated = registry->dated[i];
        if (!registry_holds(registry, dated.ref)) {
            registry_dated_drop(DATED_SERIES, 1);
            continue;
        }
        int64_t oldest_ms = store_oldest_taken(registry->store, registry->slots[dated.ref.slot].id);
        bool future = dated.time_ms > registry->last_tick_ms + (last ? 0 : AHEAD_MS);
        if (dated.time_ms < oldest_ms || future) {
            registry_dated_drop(DATED_TIME, 1);
            continue;
        }
        registry->dated[kept++] = dated;
    }
    registry->dated_count = kept;
}

void registry_dated_write(struct registry *registry, struct store_batch *batch, bool last)
{
    size_t rewritten = 0;
    sift(registry, last);
    if (registry->dated_count)
        qsort(registry->dated, registry->dated_count, sizeof *registry->dated, compare);
    for (size_t i = 0, next; i < registry->dated_count && rewritten < REWRITE_MAX; i = next) {
        struct dated *first = &registry->dated[i];
        const struct series *series = &registry->slots[first->ref.slot];
        size_t ready = 0;
        for (next = i; next < registry->dated_count; next++) {
            if (registry->dated[next].ref.slot != first->ref.slot)
                break;
            ready += registry->dated[next].time_ms <= registry->last_tick_ms;
        }
        struct run run = {first, ready, series->id};
        bool written = ready && !series->fresh && write_run(registry, batch, &run, &rewritten);
        for (size_t k = i; k < i + ready; k++)
            registry->dated[k].written = written;
    }
    arena_reset(&registry->arena);
}

void registry_dated_done(struct registry *registry, bool stored)
{
    size_t kept = 0;
    for (size_t i = 0; i < registry->dated_count; i++) {
        struct dated dated = registry->dated[i];
        struct series *series = &registry->slots[dated.ref.slot];
        if (!stored || !dated.written) {
            dated.written = false;
            registry->dated[kept++] = dated;
            continue;
        }
        metric_add(&dated_metrics[DATED_SAMPLES], 1);
        if (series->kind == SERIES_COUNTER && registry_holds(registry, dated.ref))
            registry_add_finite(&series->value, dated.value);
    }
    registry->dated_count = kept;
}
