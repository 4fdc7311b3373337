/* mapped: rules see a name as it would be stored, cleaned and without the tags in it:
 *
 *   app[zone=a].login  --clean-->  app.login  --rule 3-->  logins{app="app"} + zone="a" + the line's tags
 */
#include "server/ingest/mapped.h"

#include <assert.h>
#include <math.h>

#include "storage/base/metric.h"

#define NAME_SCRATCH_MAX 8192

static_assert(MAPPING_RULES_MAX <= UINT16_MAX, "numbers of rules are kept in 16 bits");

enum { MAPPED_DROP, MAPPED_NOT_FINITE, MAPPED_METRIC_COUNT };

static struct metric mapped_metrics[MAPPED_METRIC_COUNT] = {
    [MAPPED_DROP] = {.name = "lapwing_statsd_drops_total",
                     .labels = "reason=\"mapped_drop\"",
                     .help = "Well-formed metrics dropped at a limit."},
    [MAPPED_NOT_FINITE] = {.name = "lapwing_statsd_drops_total",
                           .labels = "reason=\"mapped_not_finite\"",
                           .help = "Well-formed metrics dropped at a limit."},
};

void mapped_init(void)
{
    metric_register(mapped_metrics, MAPPED_METRIC_COUNT);
}

const struct mapping_rule *mapped_at(const struct mapping *mapping, uint16_t rule)
{
    return rule ? &mapping->rules[rule - 1] : NULL;
}

/* {NULL, 0} once the arena is exhausted. */
static struct slice clean_name(struct statsd_name name, struct arena *arena)
{
    struct labels labels;
    name.tags = name.suffix = SLICE("");
    return statsd_labels(name, SLICE(""), arena, &labels) ? labels_get(labels, SLICE(LABEL_NAME))
                                                          : (struct slice){NULL, 0};
}

uint16_t mapped_rule(const struct mapping *mapping, const struct statsd_metric *metric)
{
    static const enum mapping_type types[STATSD_TYPE_COUNT] = {
        [STATSD_COUNTER] = MAPPING_COUNTER,   [STATSD_GAUGE] = MAPPING_GAUGE,
        [STATSD_TIMER] = MAPPING_OBSERVER,    [STATSD_SET] = MAPPING_SET,
        [STATSD_DECREMENT] = MAPPING_COUNTER, [STATSD_TOTAL] = MAPPING_COUNTER,
    };
    struct arena arena;
    if (!mapping)
        return 0;
    arena_init(&arena, NAME_SCRATCH_MAX);
    struct slice name = clean_name(statsd_split_name(metric->dialect, metric->name), &arena);
    uint32_t rule = name.at ? mapping_find(mapping, name, types[metric->type]) : 0;
    arena_release(&arena);
    return (uint16_t)rule;
}

bool mapped_drops(const struct mapping *mapping, uint16_t rule)
{
    if (!rule || !mapped_at(mapping, rule)->drop)
        return false;
    metric_add(&mapped_metrics[MAPPED_DROP], 1);
    return true;
}

bool mapped_scale(const struct mapping *mapping, uint16_t rule, struct statsd_metric *metric)
{
    if (!rule || metric->type == STATSD_SET)
        return true;
    metric->value *= mapped_at(mapping, rule)->scale;
    if (isfinite(metric->value * metric->weight))
        return true;
    metric_add(&mapped_metrics[MAPPED_NOT_FINITE], 1);
    return false;
}

/* Puts the rule's labels to those of the line; of equal names the last one stays. */
static bool merge(struct labels line, struct labels given, bool honor_line, struct arena *arena,
                  struct labels *out)
{
    struct label *at = arena_zeroed(arena, line.count + given.count, sizeof *at);
    if (!at)
        return false;
    struct labels first = honor_line ? given : line, second = honor_line ? line : given;
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < first.count; i++)
        at[count++] = first.at[i];
    for (size_t i = 0; i < second.count; i++)
        at[count++] = second.at[i];
    labels_sort(at, count);
    for (size_t i = 0; i < count; i++) {
        if (kept && slice_equal(at[kept - 1].name, at[i].name))
            kept--;
        at[kept++] = at[i];
    }
    *out = (struct labels){at, kept};
    return kept < LABELS_MAX; /* the registry may add one */
}

bool mapped_labels(const struct mapping_rule *rule, struct statsd_name name, struct slice tags,
                   struct arena *arena, struct labels *out)
{
    struct mapped_name mapped;
    struct labels line;
    if (!rule)
        return statsd_labels(name, tags, arena, out);
    struct slice whole = clean_name(name, arena);
    if (!whole.at || !mapping_expand(rule, whole, arena, &mapped))
        return false;
    name.head = mapped.name;
    name.tail = SLICE("");
    return statsd_labels(name, tags, arena, &line) &&
           merge(line, mapped.labels, rule->honor_labels, arena, out);
}
