/* statsd: any datagram. Every accepted metric points into its line and is finite, packed values
 * read back as checked, and its tags make a sorted, duplicate-free, bounded set of labels. */
#include <assert.h>
#include <math.h>

#include "server/wire/statsd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct slice inner, struct slice outer)
{
    return inner.len == 0 || (inner.at >= outer.at && inner.at + inner.len <= outer.at + outer.len);
}

static void check_labels(const struct statsd_metric *metric, struct arena *arena)
{
    struct labels labels;
    if (!statsd_labels(metric->name, metric->tags, arena, &labels))
        return;
    assert(labels.count >= 1 && labels.count < LABELS_MAX);
    assert(labels_get(labels, SLICE(LABEL_NAME)).len > 0);
    for (size_t i = 0; i < labels.count; i++) {
        assert(labels.at[i].name.len && labels.at[i].value.len);
        assert(i == 0 || slice_compare(labels.at[i - 1].name, labels.at[i].name) < 0);
    }
}

static void check_values(struct statsd_metric metric)
{
    size_t bound = metric.more.len + 1, count = 0;
    do {
        assert(isfinite(metric.value));
        assert(metric.type != STATSD_COUNTER || metric.value >= 0);
        assert(metric.type == STATSD_GAUGE || isfinite(metric.value * metric.weight));
        assert(++count <= bound);
    } while (statsd_cut_value(&metric));
    assert(metric.more.len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice rest = slice_make(data, size), line;
    struct arena arena;
    arena_init(&arena, 1 << 20);
    while (statsd_cut_line(&rest, &line)) {
        struct statsd_metric metric;
        assert(line.len > 0);
        enum statsd_reject reject = statsd_parse(line, &metric);
        assert(reject < STATSD_REJECT_COUNT && statsd_reject_names[reject]);
        if (reject != STATSD_ACCEPTED)
            continue;
        assert(lies_in(metric.name, line) && lies_in(metric.tags, line));
        assert(lies_in(metric.member, line) && lies_in(metric.more, line));
        assert(metric.name.len && metric.name.len <= STATSD_NAME_MAX && metric.weight >= 1);
        if (metric.type != STATSD_SET)
            check_values(metric);
        arena_reset(&arena);
        check_labels(&metric, &arena);
    }
    arena_release(&arena);
    return 0;
}
