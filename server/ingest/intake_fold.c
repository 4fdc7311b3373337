/* intake_fold: what the worker gathered, into the registry.
 *
 * Each entry remembers its series, so that tags are parsed and the mapping is asked once a series.
 * Decrements are a series of their own and overflow entries the metric's __overflow__ series.
 */
#include <assert.h>
#include <stdlib.h>

#include "server/ingest/intake_state.h"

#define FOLD_AHEAD 8

static void fold_gauge(struct registry *registry, const struct entry *entry, unsigned side)
{
    struct gauge_times times;
    double value = entry->cells[side].value;
    memcpy(&times, entry->key + entry->name_len + entry->tags_len, sizeof times);
    if (entry->assigned[side])
        registry_gauge_set_at(registry, entry->ref, value, times.set_us[side]);
    else
        registry_gauge_add_at(registry, entry->ref, value);
}

/* Returns the sketch bytes it freed. */
static size_t fold_cell(struct entry *entry, unsigned side, struct registry *registry)
{
    union cell *cell = &entry->cells[side];
    size_t released = 0;
    switch ((enum statsd_type)entry->type) {
    case STATSD_COUNTER:
    case STATSD_DECREMENT:
    case STATSD_TOTAL:
        registry_count_at(registry, entry->ref, cell->value);
        cell->value = 0;
        break;
    case STATSD_GAUGE:
        fold_gauge(registry, entry, side);
        entry->assigned[side] = false;
        cell->value = 0;
        break;
    case STATSD_TIMER:
        released -= timer_settle(cell->timer);
        registry_histogram_at(registry, entry->ref, &cell->timer->histogram);
        histogram_reset(&cell->timer->histogram);
        break;
    case STATSD_SET:
        registry_set_at(registry, entry->ref, cell->set);
        released = sketch_bytes(cell->set);
        sketch_release(cell->set);
        break;
    case STATSD_TYPE_COUNT:
        assert(!"no type");
    }
    return released;
}

static bool is_overflow(const struct entry *entry)
{
    return slice_equal(intake_metric_of(entry).tags, INTAKE_OVERFLOW_TAGS);
}

bool intake_labels(const struct entry *entry, const struct mapping_rule *rule, struct arena *arena,
                   struct labels *out)
{
    struct statsd_metric metric = intake_metric_of(entry);
    struct statsd_name name = statsd_split_name(metric.dialect, metric.name);
    if (metric.type == STATSD_DECREMENT)
        name.suffix = STATSD_DECREMENTS;
    return mapped_labels(rule, name, is_overflow(entry) ? SLICE("") : metric.tags, arena, out);
}

static struct registry_ref resolve(struct intake *intake, const struct entry *entry,
                                   struct registry *registry)
{
    static const enum series_kind kinds[] = {
        [STATSD_COUNTER] = SERIES_COUNTER, [STATSD_GAUGE] = SERIES_GAUGE,
        [STATSD_TIMER] = SERIES_HISTOGRAM, [STATSD_SET] = SERIES_SET,
        [STATSD_TOTAL] = SERIES_COUNTER,   [STATSD_DECREMENT] = SERIES_COUNTER,
    };
    struct labels labels;
    const struct mapping_rule *rule = mapped_at(intake->options.mapping, entry->rule);
    bool overflow = is_overflow(entry);
    arena_reset(&intake->arena);
    if (!intake_labels(entry, rule, &intake->arena, &labels)) {
        metric_add(&intake_metrics[INTAKE_DROP_LABELS], 1);
        return (struct registry_ref){0};
    }
    enum series_kind kind = kinds[entry->type];
    struct registry_ref ref =
        overflow ? registry_lookup_overflow(registry, labels_get(labels, SLICE(LABEL_NAME)), kind)
                 : registry_lookup(registry, labels, kind);
    registry_set_ttl(registry, ref, rule ? rule->ttl_ms : 0);
    return ref;
}

/* Keeps no more room than what is touched again and again needs. */
static void end_list(struct side *side)
{
    if (side->count < side->capacity / 4) {
        free(side->touched);
        side->touched = NULL;
        side->capacity = 0;
    }
    side->count = 0;
}

void intake_fold(struct intake *intake, struct registry *registry)
{
    if (!atomic_load_explicit(&intake->handed, memory_order_acquire))
        return;
    unsigned inactive = intake->active ^ 1;
    struct side *side = &intake->sides[inactive];
    for (size_t i = 0; i < side->count; i++) {
        struct entry *entry = side->touched[i];
        if (i + FOLD_AHEAD < side->count)
            __builtin_prefetch(side->touched[i + FOLD_AHEAD]);
        if (!registry_holds(registry, entry->ref))
            entry->ref = resolve(intake, entry, registry);
        side->released += fold_cell(entry, inactive, registry);
        entry->touched[inactive] = false;
    }
    end_list(side);
    atomic_store_explicit(&intake->handed, false, memory_order_release);
}
