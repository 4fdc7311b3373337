/* registry_culprit: when a metric reaches its series limit, which label is to blame?
 *
 * Counts the distinct values of every label over the metric's live series, straight from their
 * canonical bytes. A walk over all slots: done once a metric, when it first overflows.
 */
#include "server/ingest/registry_state.h"
#include "storage/base/log.h"

struct census {
    struct table pairs; /* distinct "name value" encodings */
    struct table names; /* label name -> number of its pairs */
    struct slice culprit;
    uint64_t most;
    size_t series;
};

static bool is_of(struct slice labels, struct slice metric)
{
    struct slice name, value;
    while (labels.len) {
        if (!bytes_cut_prefixed(&labels, &name) || !bytes_cut_prefixed(&labels, &value))
            return false;
        if (slice_equal(name, SLICE(LABEL_NAME)))
            return slice_equal(value, metric);
    }
    return false;
}

static void census_add(struct census *census, struct slice labels)
{
    struct slice name, value;
    while (labels.len) {
        const char *start = labels.at;
        if (!bytes_cut_prefixed(&labels, &name) || !bytes_cut_prefixed(&labels, &value))
            return;
        bool fresh = false;
        struct slice pair = slice_make(start, (size_t)(labels.at - start));
        if (!table_insert(&census->pairs, pair, &fresh) || !fresh)
            continue;
        struct table_entry *entry = table_insert(&census->names, name, &fresh);
        if (!entry || ++entry->value.number <= census->most)
            continue;
        census->most = entry->value.number;
        census->culprit = name;
    }
}

void registry_warn_limit(const struct registry *registry, struct slice name)
{
    struct census census = {.culprit = SLICE("")};
    table_init(&census.pairs, SIZE_MAX);
    table_init(&census.names, SIZE_MAX);
    for (uint32_t i = 1; i < registry->slot_count; i++) {
        if (!registry->slots[i].generation)
            continue;
        struct slice labels = store_labels(registry->store, registry->slots[i].id);
        if (!is_of(labels, name))
            continue;
        census_add(&census, labels);
        census.series++;
    }
    log_warn("series_limit",
             "metric=" SLICE_FMT " series=%zu label=" SLICE_FMT " values=%llu: new series go to "
             "its __overflow__ series",
             SLICE_ARG(name), census.series, SLICE_ARG(census.culprit),
             (unsigned long long)census.most);
    table_release(&census.pairs);
    table_release(&census.names);
}
