/* registry_look: for a person who asks what is in memory, and wants something out of it. */
#include "server/ingest/registry_state.h"

void registry_each(const struct registry *registry, registry_visit *visit, void *arg)
{
    for (uint32_t slot = 1; slot < registry->slot_count; slot++) {
        const struct series *series = &registry->slots[slot];
        if (!series->generation || series->fresh)
            continue;
        struct registry_view view = {
            .ref = {slot, series->generation},
            .kind = (enum series_kind)series->kind,
            .labels = store_labels(registry->store, series->id),
        };
        if (series->kind == SERIES_COUNTER || series->kind == SERIES_GAUGE)
            view.value = series->value;
        visit(arg, &view);
    }
}

static void counter_interval(const struct store_column *column, struct registry_interval *out)
{
    double last = column->values[column->count - 1];
    out->count = column->count > 1 ? last - column->values[column->count - 2] : 0;
}

static void histogram_interval(const struct store_column *column, struct registry_interval *out)
{
    const struct histogram *last = column->histograms[column->count - 1];
    const struct histogram *before =
        column->count > 1 ? column->histograms[column->count - 2] : last;
    if (!last || !before)
        return;
    out->count = last->count - before->count;
    out->sum = last->sum - before->sum;
    out->lower = last->min;
    out->upper = last->max;
}

void registry_each_interval(struct registry *registry, enum series_kind kind,
                            registry_visit_interval *visit, void *arg)
{
    struct store_reader *reader = store_reader_new(registry->store);
    int64_t tick_ms = registry->last_tick_ms;
    struct error err;
    for (uint32_t slot = 1; slot < registry->slot_count; slot++) {
        const struct series *series = &registry->slots[slot];
        struct store_column column;
        if (!series->generation || series->fresh || series->kind != (unsigned)kind)
            continue;
        struct registry_interval interval = {.kind = kind,
                                             .labels = store_labels(registry->store, series->id)};
        arena_reset(&registry->arena);
        const struct store_span span = {series->id, tick_ms - registry->options.flush_interval_ms,
                                        tick_ms};
        if (store_read(reader, span, &registry->arena, &column, &err) == 0 && column.count)
            (kind == SERIES_COUNTER ? counter_interval : histogram_interval)(&column, &interval);
        visit(arg, &interval);
    }
    store_reader_free(reader);
    arena_reset(&registry->arena);
}

void registry_end(struct registry *registry, struct registry_ref ref)
{
    if (!registry_holds(registry, ref) || registry->slots[ref.slot].touched)
        return;
    registry->slots[ref.slot].touched_ms = 0; /* idle since long ago */
}

/* Whether the labels are known, and as what. */
static bool is_known(struct registry *registry, struct labels labels, enum series_kind *kind)
{
    uint32_t id;
    buffer_reset(&registry->key);
    labels_encode(labels, &registry->key);
    return store_find(registry->store, buffer_slice(&registry->key), &id, kind);
}

static enum registry_fate fate_of_new(const struct registry *registry,
                                      const struct store_room *room)
{
    if (room->metric >= room->metric_max)
        return REGISTRY_FATE_METRIC_FULL;
    if (room->prefix.at && room->prefix_live >= room->prefix_max)
        return REGISTRY_FATE_PREFIX_FULL;
    bool full =
        room->all >= room->all_max || registry->live >= (size_t)registry->options.series_max;
    return full ? REGISTRY_FATE_FULL : REGISTRY_FATE_NEW;
}

static enum registry_fate fate_of(struct registry *registry, struct labels labels,
                                  enum series_kind kind, const struct store_room *room)
{
    enum series_kind stored = kind;
    if (is_known(registry, labels, &stored))
        return stored == kind ? REGISTRY_FATE_KNOWN : REGISTRY_FATE_DROPPED;
    return fate_of_new(registry, room);
}

/* The labels, or if another kind (*clash) has them, those that set this one apart. */
static struct labels told_apart(struct registry *registry, struct labels labels,
                                enum series_kind kind, struct label pairs[LABELS_MAX],
                                enum series_kind *clash)
{
    enum series_kind stored = kind;
    if (!is_known(registry, labels, &stored) || stored == kind)
        return labels;
    *clash = stored;
    return registry_set_apart(labels, kind, pairs);
}

void registry_foresee(struct registry *registry, struct labels labels, enum series_kind kind,
                      struct arena *arena, struct registry_outlook *out)
{
    struct label pairs[LABELS_MAX], overflow[2];
    struct slice name = labels_get(labels, SLICE(LABEL_NAME));
    *out = (struct registry_outlook){.clash = 0};
    store_look_at_room(registry->store, name, &out->room);
    labels = told_apart(registry, labels, kind, pairs, &out->clash);
    out->fate = fate_of(registry, labels, kind, &out->room);
    if (out->fate >= REGISTRY_FATE_METRIC_FULL && out->fate <= REGISTRY_FATE_FULL) {
        bool prefix = out->fate == REGISTRY_FATE_PREFIX_FULL;
        overflow[0] = (struct label){SLICE(LABEL_NAME), prefix ? out->room.prefix : name};
        overflow[1] = (struct label){SLICE(OVERFLOW_LABEL), SLICE("true")};
        labels = told_apart(registry, (struct labels){overflow, 2}, kind, pairs, &out->clash);
    }
    out->labels = labels_copy(arena, labels);
}
