/* registry: slots of series and what finds them; see registry_flush.c for the ticks.
 *
 *   store: labels -> id      slot_of: id -> slot
 *   slots: [ series | series | (free) | ... ]         a ref is slot + generation
 *
 * A lookup goes: labels; the same labels under another kind -> labels plus statsd_type; no room
 * left, here or in the store -> the metric's __overflow__ series. The store keeps the labels; a new
 * series becomes durable with the next commit, and gets its first sample by the next flush.
 */
#include "server/ingest/registry_state.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/log.h"

#define CLASH_LABEL "statsd_type"
/* Overflow series come on top of the limit, one a metric and kind. */
#define OVERFLOW_SERIES_MAX 10000
#define LABELS_BYTES_MAX    65536
#define SCRATCH_BYTES_MAX   ((size_t)64 << 20)

struct metric registry_metrics[REGISTRY_METRIC_COUNT] = {
    [REGISTRY_SERIES] = {.name = "lapwing_registry_series",
                         .kind = METRIC_GAUGE,
                         .help = "Pushed series held in memory."},
    [REGISTRY_CLASHES] = {.name = "lapwing_series_clashes_total",
                          .help = "New series that share name and tags with one of another type."},
    [REGISTRY_OVERFLOW_METRIC] = {.name = "lapwing_series_overflow_total",
                                  .labels = "limit=\"series_per_metric\"",
                                  .help = "New series folded into their metric's __overflow__."},
    [REGISTRY_OVERFLOW_PREFIX] = {.name = "lapwing_series_overflow_total",
                                  .labels = "limit=\"series_per_prefix\"",
                                  .help = "New series folded into their metric's __overflow__."},
    [REGISTRY_OVERFLOW_TOTAL] = {.name = "lapwing_series_overflow_total",
                                 .labels = "limit=\"series\"",
                                 .help = "New series folded into their metric's __overflow__."},
    [REGISTRY_DROP_LIMIT] = {.name = "lapwing_registry_drops_total",
                             .labels = "reason=\"limit\"",
                             .help = "Series updates dropped."},
    [REGISTRY_DROP_KIND] = {.name = "lapwing_registry_drops_total",
                            .labels = "reason=\"type_clash\"",
                            .help = "Series updates dropped."},
    [REGISTRY_DROP_NOT_FINITE] = {.name = "lapwing_registry_drops_total",
                                  .labels = "reason=\"not_finite\"",
                                  .help = "Series updates dropped."},
    [REGISTRY_DROP_STORE] = {.name = "lapwing_registry_drops_total",
                             .labels = "reason=\"store\"",
                             .help = "Series updates dropped."},
    [REGISTRY_PUT_OFF] = {.name = "lapwing_series_put_off_total",
                          .kind = METRIC_COUNTER,
                          .help = "Series left out of a flush because the store could not say what "
                                  "they were before; what they gathered comes with a later one."},
};

/* What the label statsd_type says. */
static const char *const kind_names[] = {
    [SERIES_COUNTER] = "counter",
    [SERIES_GAUGE] = "gauge",
    [SERIES_HISTOGRAM] = "histogram",
    [SERIES_SET] = "set",
};

struct registry *registry_new(struct store *store, const struct registry_options *options)
{
    assert(options->flush_interval_ms > 0);
    metric_register(registry_metrics, REGISTRY_METRIC_COUNT);
    registry_dated_init();
    struct registry *registry = alloc_zeroed(1, sizeof *registry);
    registry->store = store;
    registry->options = *options;
    registry->ttls_ms[registry->ttl_count++] = options->idle_timeout_ms;
    table_init(&registry->warned, OVERFLOW_SERIES_MAX);
    registry->slot_count = 1;
    registry->next_generation = 1;
    buffer_init(&registry->key, LABELS_BYTES_MAX);
    arena_init(&registry->arena, SCRATCH_BYTES_MAX);
    return registry;
}

static void series_release(struct series *series)
{
    if (series->kind == SERIES_HISTOGRAM && series->histogram) {
        histogram_release(series->histogram);
        free(series->histogram);
    }
    if (series->kind == SERIES_SET && series->members) {
        sketch_release(series->members);
        free(series->members);
    }
}

void registry_free(struct registry *registry)
{
    if (!registry)
        return;
    for (uint32_t i = 1; i < registry->slot_count; i++)
        series_release(&registry->slots[i]);
    table_release(&registry->warned);
    free(registry->slot_of);
    free(registry->slots);
    free(registry->free_slots);
    free(registry->fresh);
    free(registry->dated);
    free(registry->set_times);
    buffer_release(&registry->key);
    arena_release(&registry->arena);
    free(registry);
}

static void push_u32(uint32_t **at, size_t *count, size_t *capacity, uint32_t value)
{
    if (*count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 64;
        *at = alloc_resize(*at, *capacity, sizeof **at);
    }
    (*at)[(*count)++] = value;
}

static uint32_t take_slot(struct registry *registry)
{
    if (registry->free_count)
        return registry->free_slots[--registry->free_count];
    if (registry->slot_count >= registry->slot_capacity) {
        registry->slot_capacity = registry->slot_capacity ? registry->slot_capacity * 2 : 64;
        registry->slots =
            alloc_resize(registry->slots, registry->slot_capacity, sizeof *registry->slots);
    }
    return registry->slot_count++;
}

/* --- lookup --- */

static struct registry_ref ref_of(const struct registry *registry, uint32_t slot)
{
    return (struct registry_ref){slot, registry->slots[slot].generation};
}

bool registry_holds(const struct registry *registry, struct registry_ref ref)
{
    return ref.slot && registry->slots[ref.slot].generation == ref.generation;
}

void registry_forget(struct registry *registry, uint32_t slot)
{
    struct series *series = &registry->slots[slot];
    series_release(series);
    registry->slot_of[series->id] = 0;
    store_hold(registry->store, series->id, false);
    registry->live--;
    *series = (struct series){.generation = 0};
    push_u32(&registry->free_slots, &registry->free_count, &registry->free_capacity, slot);
}

static uint32_t *slot_of(struct registry *registry, uint32_t id)
{
    if (id >= registry->id_capacity) {
        uint32_t capacity = registry->id_capacity ? registry->id_capacity : 64;
        while (capacity <= id)
            capacity *= 2;
        registry->slot_of = alloc_resize(registry->slot_of, capacity, sizeof *registry->slot_of);
        memset(registry->slot_of + registry->id_capacity, 0,
               (capacity - registry->id_capacity) * sizeof *registry->slot_of);
        registry->id_capacity = capacity;
    }
    return &registry->slot_of[id];
}

static struct registry_ref series_insert(struct registry *registry, uint32_t id,
                                         enum series_kind kind)
{
    uint32_t slot = take_slot(registry);
    *slot_of(registry, id) = slot;
    store_hold(registry->store, id, true);
    registry->slots[slot] = (struct series){
        .generation = registry->next_generation,
        .id = id,
        .kind = kind & 7,
        .fresh = true,
    };
    registry->next_generation += registry->next_generation == UINT32_MAX ? 2 : 1;
    registry->live++;
    push_u32(&registry->fresh, &registry->fresh_count, &registry->fresh_capacity, slot);
    return ref_of(registry, slot);
}

/* Counts why there is no room for one more series of the metric; says so once a metric. The name that the
 * overflow series has then: that of the metric, or where all with a prefix have too many, which may be
 * by their names, that prefix. */
static struct slice note_full(struct registry *registry, struct slice name)
{
    struct slice prefix;
    bool fresh = false;
    if (store_metric_is_full(registry->store, name)) {
        metric_add(&registry_metrics[REGISTRY_OVERFLOW_METRIC], 1);
        if (table_insert(&registry->warned, name, &fresh) && fresh)
            registry_warn_limit(registry, name);
        return name;
    }
    if (store_prefix_is_full(registry->store, name, &prefix)) {
        metric_add(&registry_metrics[REGISTRY_OVERFLOW_PREFIX], 1);
        return prefix;
    }
    metric_add(&registry_metrics[REGISTRY_OVERFLOW_TOTAL], 1);
    return name;
}

struct registry_ref registry_lookup_overflow(struct registry *registry, struct slice name,
                                             enum series_kind kind)
{
    struct label pairs[] = {
        {SLICE(LABEL_NAME), name},
        {SLICE(OVERFLOW_LABEL), SLICE("true")},
    };
    return registry_lookup(registry, (struct labels){pairs, 2}, kind);
}

/* Has the store take the series in. */
static struct registry_ref intern(struct registry *registry, struct labels labels,
                                  struct slice name, enum series_kind kind, bool overflow)
{
    struct error err;
    uint32_t id;
    if (registry->live >= (size_t)registry->options.series_max + OVERFLOW_SERIES_MAX) {
        metric_add(&registry_metrics[REGISTRY_DROP_LIMIT], 1);
        return (struct registry_ref){0};
    }
    if (store_intern(registry->store, labels, kind, &id, &err) == 0)
        return series_insert(registry, id, kind);
    if (err.kind == ERROR_LIMIT && !overflow)
        return registry_lookup_overflow(registry, note_full(registry, name), kind);
    metric_add(&registry_metrics[REGISTRY_DROP_STORE], 1);
    if (!registry->refusal_told) /* once a tick: there may be a million names */
        log_warn("series_refused", "name=" SLICE_FMT " error=\"%s\"", SLICE_ARG(name), err.text);
    registry->refusal_told = true;
    return (struct registry_ref){0};
}

/* A series for labels that have none yet. */
static struct registry_ref make(struct registry *registry, struct labels labels,
                                enum series_kind kind)
{
    struct slice name = labels_get(labels, SLICE(LABEL_NAME));
    bool overflow = labels_get(labels, SLICE(OVERFLOW_LABEL)).len > 0;
    if (overflow || registry->live < (size_t)registry->options.series_max)
        return intern(registry, labels, name, kind, overflow);
    return registry_lookup_overflow(registry, note_full(registry, name), kind);
}

/* The slot of these labels, 0 when they have none in memory. `other` tells that they belong to
 * another kind, be it in memory or since long ago in the store. */
static uint32_t find_slot(struct registry *registry, struct labels labels, enum series_kind kind,
                          bool *other)
{
    enum series_kind stored = kind;
    uint32_t id;
    buffer_reset(&registry->key);
    labels_encode(labels, &registry->key);
    bool found = store_find(registry->store, buffer_slice(&registry->key), &id, &stored);
    *other = stored != kind;
    return found ? *slot_of(registry, id) : 0;
}

struct labels registry_set_apart(struct labels labels, enum series_kind kind,
                                 struct label pairs[LABELS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < labels.count; i++)
        if (!slice_equal(labels.at[i].name, SLICE(CLASH_LABEL)))
            pairs[count++] = labels.at[i];
    pairs[count++] = (struct label){SLICE(CLASH_LABEL), slice_of_string(kind_names[kind])};
    labels_sort(pairs, count);
    return (struct labels){pairs, count};
}

static struct registry_ref lookup_clash(struct registry *registry, struct labels labels,
                                        enum series_kind kind)
{
    struct label pairs[LABELS_MAX];
    struct labels apart = registry_set_apart(labels, kind, pairs);
    bool other;
    uint32_t slot = find_slot(registry, apart, kind, &other);
    if (slot && !other)
        return ref_of(registry, slot);
    if (other) {
        metric_add(&registry_metrics[REGISTRY_DROP_KIND], 1);
        return (struct registry_ref){0};
    }
    metric_add(&registry_metrics[REGISTRY_CLASHES], 1);
    return make(registry, apart, kind);
}

struct registry_ref registry_lookup(struct registry *registry, struct labels labels,
                                    enum series_kind kind)
{
    bool other;
    registry->key.overflow = false;
    uint32_t slot = find_slot(registry, labels, kind, &other);
    if (labels.count >= LABELS_MAX || registry->key.overflow) {
        metric_add(&registry_metrics[REGISTRY_DROP_LIMIT], 1);
        return (struct registry_ref){0};
    }
    if (other)
        return lookup_clash(registry, labels, kind);
    return slot ? ref_of(registry, slot) : make(registry, labels, kind);
}

void registry_set_ttl(struct registry *registry, struct registry_ref ref, int64_t ttl_ms)
{
    uint8_t row = 0;
    if (!registry_holds(registry, ref))
        return;
    if (ttl_ms == 0)
        ttl_ms = registry->ttls_ms[0];
    while (row < registry->ttl_count && registry->ttls_ms[row] != ttl_ms)
        row++;
    if (row == TTLS_MAX)
        return;
    if (row == registry->ttl_count)
        registry->ttls_ms[registry->ttl_count++] = ttl_ms;
    registry->slots[ref.slot].ttl = row;
}

/* --- changes --- */

/* The series to change, marked as touched; NULL for a ref of none. */
static struct series *touch(struct registry *registry, struct registry_ref ref,
                            enum series_kind kind)
{
    if (!registry_holds(registry, ref))
        return NULL;
    struct series *series = &registry->slots[ref.slot];
    assert(series->kind == kind);
    series->touched = true;
    return series;
}

void registry_add_finite(double *total, double n)
{
    double sum = *total + n;
    if (isfinite(sum))
        *total = sum;
    else
        metric_add(&registry_metrics[REGISTRY_DROP_NOT_FINITE], 1);
}

void registry_count_at(struct registry *registry, struct registry_ref ref, double n)
{
    assert(!(n < 0));
    struct series *series = touch(registry, ref, SERIES_COUNTER);
    if (series)
        registry_add_finite(&series->value, n);
}

void registry_gauge_at(struct registry *registry, struct registry_ref ref, double value)
{
    struct series *series = touch(registry, ref, SERIES_GAUGE);
    if (!series)
        return;
    if (!isfinite(value)) {
        metric_add(&registry_metrics[REGISTRY_DROP_NOT_FINITE], 1);
        return;
    }
    series->value = value;
    series->assigned = true;
    series->silent = false;
}

/* When the gauge in this slot was set in this tick; 0 = it was not. */
static uint32_t *set_time_of(struct registry *registry, uint32_t slot)
{
    if (slot >= registry->set_times_capacity) {
        uint32_t capacity = registry->slot_capacity;
        registry->set_times =
            alloc_resize(registry->set_times, capacity, sizeof *registry->set_times);
        memset(registry->set_times + registry->set_times_capacity, 0,
               (capacity - registry->set_times_capacity) * sizeof *registry->set_times);
        registry->set_times_capacity = capacity;
    }
    registry->set_times_used = true;
    return &registry->set_times[slot];
}

void registry_gauge_set_at(struct registry *registry, struct registry_ref ref, double value,
                           uint32_t time)
{
    uint32_t *set = time && registry_holds(registry, ref) ? set_time_of(registry, ref.slot) : NULL;
    if (set && *set && (int32_t)(time - *set) < 0)
        return; /* another one has a later value, and has touched it */
    if (set)
        *set = time;
    registry_gauge_at(registry, ref, value);
}

void registry_gauge_add_at(struct registry *registry, struct registry_ref ref, double delta)
{
    struct series *series = touch(registry, ref, SERIES_GAUGE);
    if (!series)
        return;
    registry_add_finite(&series->value, delta);
    series->silent = false;
}

struct histogram *registry_histogram_of(struct series *series)
{
    if (!series->histogram) {
        series->histogram = alloc_zeroed(1, sizeof *series->histogram);
        histogram_init(series->histogram);
    }
    return series->histogram;
}

void registry_histogram_at(struct registry *registry, struct registry_ref ref,
                           const struct histogram *delta)
{
    struct series *series = touch(registry, ref, SERIES_HISTOGRAM);
    if (!series)
        return;
    struct histogram *histogram = registry_histogram_of(series);
    if (isfinite(histogram->count + delta->count) && isfinite(histogram->sum + delta->sum))
        histogram_merge(histogram, delta);
    else
        metric_add(&registry_metrics[REGISTRY_DROP_NOT_FINITE], 1);
}

void registry_set_at(struct registry *registry, struct registry_ref ref,
                     const struct sketch *members)
{
    struct series *series = touch(registry, ref, SERIES_SET);
    if (!series)
        return;
    if (!series->members)
        series->members = alloc_zeroed(1, sizeof *series->members);
    sketch_merge(series->members, members);
}

void registry_count(struct registry *registry, struct labels labels, double n)
{
    registry_count_at(registry, registry_lookup(registry, labels, SERIES_COUNTER), n);
}

void registry_gauge(struct registry *registry, struct labels labels, double value)
{
    registry_gauge_at(registry, registry_lookup(registry, labels, SERIES_GAUGE), value);
}
