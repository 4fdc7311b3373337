/* registry_flush: one sample a live series, each tick.
 *
 * A series is "fresh" until its first flush: only then is the store asked for its last value, so that
 * a burst of samples between two ticks costs one look. Until then its fields hold what was added on
 * top of the unknown base:
 *
 *   counter    total      = base + value
 *   gauge      reading    = assigned ? value : base + value
 *   histogram  cumulative = base + histogram (min and max stay those of this tick)
 *
 * A fresh counter or histogram gets its base (0 when new) as a sample one tick earlier, unless the
 * store holds something that late: rate() and increase() then see the first increment, also after
 * a restart or a long silence.
 *
 *   time     ... tick-1   tick    tick+1  ...  idle_timeout
 *   counter       0        3       3      ...   stale marker, forgotten
 *
 * When the batch of a flush is lost, the totals come with the next one; what began in it is fresh
 * again, so that its first sample still has one before it. Members of sets and stale markers are
 * not repeated.
 *
 * The store does not forget a series that is held here (store_hold). Deliberately absent: a list of
 * idle series restored at start. What is not sent again after a restart ends by lookback, not by a marker.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "server/ingest/registry_state.h"
#include "storage/base/log.h"

#define AHEAD 8 /* series between prefetch and use */

/* What the flush of one tick carries along. */
struct flush {
    struct registry *registry;
    struct store_batch *batch;
    struct store_reader *reader; /* opened for the first fresh series */
    int64_t tick_ms;
};

static bool has_sample_since(struct flush *flush, uint32_t id, int64_t start_ms)
{
    struct store_column column;
    struct error err;
    if (!flush->reader)
        flush->reader = store_reader_new(flush->registry->store);
    return store_read(flush->reader, (struct store_span){id, start_ms, INT64_MAX},
                      &flush->registry->arena, &column, &err) != 0 ||
           column.count > 0;
}

/* Puts what the store remembers under the values of this tick, and writes it one tick earlier. False:
 * the store cannot say what that is. */
static bool join_base(struct flush *flush, struct series *series)
{
    const struct histogram *stored = NULL;
    double value = 0;
    int found =
        store_last(flush->registry->store, series->id, &flush->registry->arena, &value, &stored);
    if (found < 0)
        return false;
    int64_t before_ms = flush->tick_ms - flush->registry->options.flush_interval_ms;
    if (series->kind == SERIES_GAUGE && found && !series->assigned && !series->joined)
        registry_add_finite(&series->value, value);
    if (series->kind != SERIES_COUNTER && series->kind != SERIES_HISTOGRAM)
        return true;
    bool write = !has_sample_since(flush, series->id, before_ms);
    if (series->kind == SERIES_COUNTER) {
        if (!series->joined)
            registry_add_finite(&series->value, value);
        if (write)
            store_batch_value(flush->batch, series->id, before_ms, value);
        return true;
    }
    struct histogram none, *histogram = registry_histogram_of(series);
    histogram_init(&none);
    if (write)
        store_batch_histogram(flush->batch, series->id, before_ms, stored ? stored : &none);
    double min = histogram->min, max = histogram->max;
    if (stored && !series->joined)
        histogram_merge(histogram, stored);
    histogram->min = min;
    histogram->max = max;
    return true;
}

/* False: put off to the next flush. */
static bool admit(struct flush *flush, uint32_t slot)
{
    struct series *series = &flush->registry->slots[slot];
    if (!series->fresh)
        return true; /* another one has the slot of one whose flush failed */
    arena_reset(&flush->registry->arena);
    if (!join_base(flush, series)) {
        metric_add(&registry_metrics[REGISTRY_PUT_OFF], 1);
        return false;
    }
    series->joined = true;
    series->fresh = false;
    return true;
}

/* Those that are put off go behind the others. */
static void admit_fresh(struct flush *flush)
{
    struct registry *registry = flush->registry;
    registry->begun_count = 0;
    for (size_t i = 0; i < registry->fresh_count; i++) {
        uint32_t slot = registry->fresh[i];
        if (!admit(flush, slot))
            continue;
        registry->fresh[i] = registry->fresh[registry->begun_count];
        registry->fresh[registry->begun_count++] = slot;
    }
}

static void write_sample(struct flush *flush, struct series *series)
{
    if (series->silent)
        return;
    switch ((enum series_kind)series->kind) {
    case SERIES_COUNTER:
    case SERIES_GAUGE:
        store_batch_value(flush->batch, series->id, flush->tick_ms, series->value);
        break;
    case SERIES_HISTOGRAM:
        store_batch_histogram(flush->batch, series->id, flush->tick_ms,
                              registry_histogram_of(series));
        series->histogram->min = series->histogram->max = NAN;
        break;
    case SERIES_SET:
        if (!series->members)
            break;
        store_batch_sketch(flush->batch, series->id, flush->tick_ms, series->members);
        sketch_release(series->members);
        free(series->members);
        series->members = NULL;
        break;
    }
}

static void flush_series(struct flush *flush, uint32_t slot)
{
    struct series *series = &flush->registry->slots[slot];
    if (series->fresh)
        return; /* put off: it keeps what it gathers until it can be joined to its past */
    if (series->touched)
        series->touched_ms = (uint64_t)flush->tick_ms & ((1ull << TOUCHED_BITS) - 1);
    series->touched = false;
    if (flush->tick_ms - (int64_t)series->touched_ms < flush->registry->ttls_ms[series->ttl]) {
        write_sample(flush, series);
        return;
    }
    if (series->kind != SERIES_SET && !series->silent)
        store_batch_value(flush->batch, series->id, flush->tick_ms, stale_nan());
    registry_forget(flush->registry, slot);
}

void registry_flush_failed(struct registry *registry)
{
    for (size_t i = 0; i < registry->begun_count; i++) {
        struct series *series = &registry->slots[registry->fresh[i]];
        series->fresh |= series->joined;
    }
    registry->begun_count = 0;
}

static void forget_begun(struct registry *registry)
{
    registry->fresh_count -= registry->begun_count;
    if (registry->fresh_count == 0) { /* a deploy's thousands come once */
        free(registry->fresh);
        registry->fresh = NULL;
        registry->fresh_capacity = 0;
    }
    if (registry->fresh_count)
        memmove(registry->fresh, registry->fresh + registry->begun_count,
                registry->fresh_count * sizeof *registry->fresh);
}

void registry_flush(struct registry *registry, struct store_batch *batch, int64_t tick_ms)
{
    assert(tick_ms > registry->last_tick_ms);
    registry->last_tick_ms = tick_ms;
    struct flush flush = {.registry = registry, .batch = batch, .tick_ms = tick_ms};
    forget_begun(registry);
    admit_fresh(&flush);
    /* In order of ids: neighbours in the store and in the head log. */
    for (uint32_t id = 0; id < registry->id_capacity; id++) {
        if (id + AHEAD < registry->id_capacity)
            __builtin_prefetch(&registry->slots[registry->slot_of[id + AHEAD]]);
        if (registry->slot_of[id])
            flush_series(&flush, registry->slot_of[id]);
    }
    if (flush.reader)
        store_reader_free(flush.reader);
    if (registry->set_times_used)
        memset(registry->set_times, 0, registry->set_times_capacity * sizeof *registry->set_times);
    registry->set_times_used = registry->refusal_told = false;
    arena_reset(&registry->arena);
    metric_set(&registry_metrics[REGISTRY_SERIES], (int64_t)registry->live);
}
