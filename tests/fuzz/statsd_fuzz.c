/* statsd: any datagram, in each of the dialects, so that all get the same time. Every accepted metric
 * points into its line and is finite, uses nothing that its profile does not take, packed values
 * read back as checked, segments end, and the tags make a sorted, duplicate-free, bounded set of
 * labels. */
#include <assert.h>
#include <math.h>

#include "server/wire/statsd_notice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool lies_in(struct slice inner, struct slice outer)
{
    return inner.len == 0 || (inner.at >= outer.at && inner.at + inner.len <= outer.at + outer.len);
}

static void check_labels(const struct statsd_metric *metric, struct arena *arena)
{
    struct labels labels;
    struct statsd_name name = statsd_split_name(metric->dialect, metric->name);
    assert(name.head.len + name.tail.len && name.head.len + name.tail.len <= STATSD_NAME_MAX);
    assert(name.tags.len <= STATSD_TAGS_MAX);
    if (!statsd_labels(name, metric->tags, arena, &labels))
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
        assert(metric.type != STATSD_TOTAL || metric.value >= 0);
        assert(!metric.is_delta || metric.type == STATSD_GAUGE);
        assert(metric.type == STATSD_GAUGE || isfinite(metric.value * metric.weight));
        assert(++count <= bound);
    } while (statsd_cut_value(&metric));
    assert(metric.more.len == 0);
}

static void check_metric(const struct statsd_profile *profile, const struct statsd_metric *metric,
                         struct slice line, struct arena *arena)
{
    unsigned takes = profile->takes;
    assert(metric->dialect == profile->dialect && metric->type < STATSD_DECREMENT);
    assert(lies_in(metric->name, line) && lies_in(metric->tags, line));
    assert(lies_in(metric->member, line) && lies_in(metric->more, line));
    assert(metric->name.len && metric->weight >= 1);
    assert(metric->time_s >= 0 && metric->time_s < STATSD_TIME_MAX);
    assert(takes & STATSD_TAKES_PACKING || metric->more.len == 0);
    assert(takes & STATSD_TAKES_TAGS || metric->tags.len == 0);
    assert(takes & STATSD_TAKES_TIME || metric->time_s == 0);
    assert(takes & STATSD_TAKES_DELTAS || !metric->signs_move);
    if (metric->type != STATSD_SET)
        check_values(*metric);
    arena_reset(arena);
    check_labels(metric, arena);
}

static void check_notice(enum statsd_reject kind, struct slice line)
{
    struct statsd_notice notice;
    enum statsd_reject reject = kind == STATSD_EVENT ? statsd_parse_event(line, &notice)
                                                     : statsd_parse_check(line, &notice);
    assert(reject < STATSD_REJECT_COUNT && statsd_reject_names[reject]);
    if (reject != STATSD_ACCEPTED)
        return;
    assert(kind == STATSD_EVENT ? notice.title.len > 0 : notice.name.len > 0);
    assert(notice.status < STATSD_STATUS_COUNT && notice.alert < STATSD_ALERT_COUNT);
    assert(notice.time_s >= 0 && notice.time_s < STATSD_TIME_MAX);
    assert(notice.host.len <= STATSD_HOST_MAX && notice.tags.len <= STATSD_TAGS_MAX);
    const struct slice fields[] = {notice.name, notice.title,  notice.text, notice.host,
                                   notice.key,  notice.source, notice.tags};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        assert(lies_in(fields[i], line));
}

static void check_line(const struct statsd_profile *profile, struct slice line, struct arena *arena)
{
    struct statsd_metric metric;
    enum statsd_reject reject = statsd_parse(profile, line, &metric);
    size_t left = line.len;
    if (reject >= STATSD_REJECT_COUNT) {
        assert(profile->takes & STATSD_TAKES_NOTICES);
        check_notice(reject, line);
        return;
    }
    for (;;) {
        assert(reject < STATSD_REJECT_COUNT && statsd_reject_names[reject]);
        assert(lies_in(metric.segments, line));
        assert(metric.segments.len < left); /* so it ends */
        assert(profile->takes & STATSD_TAKES_SEGMENTS || metric.segments.len == 0);
        if (reject == STATSD_ACCEPTED)
            check_metric(profile, &metric, line, arena);
        if (metric.segments.len == 0)
            return;
        left = metric.segments.len;
        reject = statsd_next_segment(profile, &metric);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena arena;
    arena_init(&arena, 1 << 20);
    for (size_t i = 0; i < STATSD_DIALECT_COUNT; i++) {
        struct slice rest = slice_make(data, size), line;
        while (statsd_cut_line(&rest, &line)) {
            assert(line.len > 0);
            check_line(&statsd_profiles[i], line, &arena);
        }
    }
    arena_release(&arena);
    return 0;
}
