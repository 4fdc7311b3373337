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
        if (series->kind == SERIES_HISTOGRAM)
            view.histogram = series->histogram;
        else if (series->kind != SERIES_SET)
            view.value = series->value;
        visit(arg, &view);
    }
}

void registry_end(struct registry *registry, struct registry_ref ref)
{
    if (!registry_holds(registry, ref))
        return;
    registry->slots[ref.slot].touched = false;
    registry->slots[ref.slot].touched_ms = 0; /* idle since long ago */
}
