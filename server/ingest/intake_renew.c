/* intake_renew: other rules in force.
 *
 *   tick 1  worker   [ old ] replaced by [ new, before = old ]       names are looked up anew, as they come
 *           writer   folds both sides of old                         into the series they were meant for
 *   tick 2  writer   ends the series of names that mean another one now, frees old
 *
 * An entry knows its rule by number and its series by reference, so it is simpler to begin an empty table
 * than to correct a full one beneath two threads; nothing on the hot path knows of it. What a name
 * stood for is ended a tick after its last sample was written, because the stale marker takes that
 * sample's place; a series that got something else until then goes on. What was silent for so long that its name
 * has left the table stays until its idle timeout.
 */
#include "server/ingest/intake_state.h"

static const struct mapping_rule *rule_now(const struct entry *entry, const struct intake *now)
{
    const struct statsd_metric metric = intake_metric_of(entry);
    return mapped_at(now->options.mapping, mapped_rule(now->options.mapping, &metric));
}

static double scale_of(const struct mapping_rule *rule)
{
    return rule ? rule->scale : 1;
}

/* Readings are kept scaled; by another scale a running total would seem to leap or to begin anew. */
static bool keeps_scale(const struct entry *entry, const struct intake *was,
                        const struct intake *now)
{
    return scale_of(mapped_at(was->options.mapping, entry->rule)) == scale_of(rule_now(entry, now));
}

struct intake *intake_renew(struct intake *old, struct mapping *mapping)
{
    struct intake_options options = old->options;
    if (mapping == options.mapping || old->before)
        return NULL;
    options.mapping = mapping;
    struct intake *intake = intake_new(&options);
    for (size_t i = 0; i < old->capacity; i++) {
        const struct entry *entry = slot_entry(old->slots[i]);
        if (entry && entry->type == STATSD_TOTAL && keeps_scale(entry, old, intake))
            intake_copy_reading(intake, entry);
    }
    intake->before = old;
    return intake;
}

/* Whether the entry's name is that of another series, or of none, by the rules of `now`. */
static bool has_moved(const struct entry *entry, struct intake *was, struct intake *now)
{
    struct labels before, after;
    const struct mapping_rule *old_rule = mapped_at(was->options.mapping, entry->rule);
    const struct mapping_rule *rule = rule_now(entry, now);
    if (!old_rule && !rule)
        return false;
    if (rule && rule->drop)
        return true;
    arena_reset(&was->arena);
    arena_reset(&now->arena);
    return !intake_labels(entry, old_rule, &was->arena, &before) ||
           !intake_labels(entry, rule, &now->arena, &after) || !labels_equal(before, after);
}

static void end_moved(struct intake *was, struct intake *now, struct registry *registry)
{
    for (size_t i = 0; i < was->capacity; i++) {
        const struct entry *entry = slot_entry(was->slots[i]);
        if (entry && registry_holds(registry, entry->ref) && has_moved(entry, was, now))
            registry_end(registry, entry->ref);
    }
}

void intake_settle(struct intake *intake, struct registry *registry, int64_t tick_ms, bool flushed)
{
    struct intake *before = intake->before;
    if (!before)
        return;
    if (!before->settled_ms) {
        intake_fold(before, registry);
        if (intake_swap(before))
            intake_fold(before, registry);
        before->settled_ms = tick_ms;
    } else if (flushed && tick_ms > before->settled_ms) {
        end_moved(before, intake, registry);
        intake->before = NULL;
        intake_free(before);
    }
}
