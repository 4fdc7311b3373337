/* limit: how many live series one metric, or all with a prefix, may have; for every way in, as it is
 * asked where ids are given.
 *
 * A series is live while the head has an entry of it: it was written within the last hour or so. Known
 * ones may always be written again; what is refused is new label sets of a metric that has enough live
 * ones. Series of deploys long gone do not count, though their data is kept.
 *
 *   known series of the metric < limit     taken, by the size of one bitmap
 *   else                                   its live ones are counted, and remembered for a minute
 *
 *
 * Of a prefix the live series are counted once; from then on each new one adds to that, and they are
 * counted again, at most once a minute, when that reaches the limit. Counting means a bitmap a name.
 *
 * A series labelled __overflow__ is always taken: it is where pushed metrics put what is refused.
 */
#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/store_state.h"

#define OVERFLOW_LABEL  "__overflow__"
#define RECOUNT_MS      60000
#define RECOUNT_SOON_MS 1000   /* after a count that found room */
#define FULL_MAX        100000 /* metrics remembered */

/* A metric with as many known series as may be live. */
struct full {
    int64_t counted_ms; /* wall clock */
    uint64_t live;
};

struct prefix_limit {
    char *text; /* owned: the prefix */
    struct slice prefix;
    struct buffer pattern; /* the matcher's */
    struct matcher matcher;
    uint64_t max;
    uint64_t live; /* at most so many */
    int64_t counted_ms;
    bool counted; /* at all */
    bool full;    /* by that count */
};

static void prefix_init(struct prefix_limit *limit, const struct store_prefix_limit *from)
{
    struct error err;
    *limit = (struct prefix_limit){.text = alloc_string(from->prefix),
                                   .max = (uint64_t)from->series_max};
    limit->prefix = slice_of_string(limit->text);
    buffer_init(&limit->pattern, SIZE_MAX);
    for (size_t i = 0; i < limit->prefix.len; i++) {
        if (strchr("\\^$.[]|()?*+{}", limit->text[i]))
            buffer_append_char(&limit->pattern, '\\');
        buffer_append_char(&limit->pattern, limit->text[i]);
    }
    buffer_append_string(&limit->pattern, ".*");
    if (matcher_init(&limit->matcher, MATCH_REGEX, SLICE(LABEL_NAME), buffer_slice(&limit->pattern),
                     &err))
        assert(!"the option's check has made sure that it is text");
}

static void prefix_release(struct prefix_limit *limit)
{
    matcher_release(&limit->matcher);
    buffer_release(&limit->pattern);
    free(limit->text);
}

void limit_init(struct limit *limit, const struct store_options *options)
{
    int64_t max = options->series_per_metric_max;
    limit->all_max = (uint64_t)options->series_max;
    limit->max = max > 0 ? (uint64_t)max : UINT64_MAX;
    table_init(&limit->metrics, FULL_MAX);
    limit->prefix_count = options->prefix_limit_count;
    limit->prefixes = alloc_zeroed(limit->prefix_count + 1, sizeof *limit->prefixes);
    for (size_t i = 0; i < limit->prefix_count; i++)
        prefix_init(&limit->prefixes[i], &options->prefix_limits[i]);
}

void limit_release(struct limit *limit)
{
    size_t cursor = 0;
    for (struct table_entry *entry; (entry = table_next(&limit->metrics, &cursor));)
        free(entry->value.pointer);
    table_release(&limit->metrics);
    for (size_t i = 0; i < limit->prefix_count; i++)
        prefix_release(&limit->prefixes[i]);
    free(limit->prefixes);
}

static roaring_bitmap_t *series_of(const struct store *store, struct slice name)
{
    struct matcher matcher = {MATCH_EQUAL, SLICE(LABEL_NAME), name, NULL};
    return postings_select(&store->postings, &matcher, 1);
}

static uint64_t count_live(const struct store *store, const roaring_bitmap_t *ids)
{
    uint64_t live = 0;
    roaring_uint32_iterator_t it;
    for (roaring_init_iterator(ids, &it); it.has_value; roaring_advance_uint32_iterator(&it))
        live += head_get(&store->head, it.current_value) != NULL;
    return live;
}

/* NULL when too many metrics are remembered. */
static struct full *remembered(struct limit *limit, struct slice name)
{
    bool fresh;
    struct table_entry *entry = table_insert(&limit->metrics, name, &fresh);
    if (entry && fresh)
        entry->value.pointer = alloc_zeroed(1, sizeof(struct full));
    return entry ? entry->value.pointer : NULL;
}

/* The live series, counted within the last minute. */
static uint64_t live_series(struct store *store, struct slice name, struct full *full)
{
    int64_t now_ms = clock_now_ms();
    if (now_ms >= full->counted_ms && now_ms < full->counted_ms + RECOUNT_MS)
        return full->live;
    roaring_bitmap_t *ids = series_of(store, name);
    full->live = count_live(store, ids);
    full->counted_ms = now_ms;
    roaring_bitmap_free(ids);
    if (full->live >= store->limit.max)
        log_warn("series_limit",
                 "metric=" SLICE_FMT " series=%llu: no further ones are taken while these live",
                 SLICE_ARG(name), (unsigned long long)full->live);
    return full->live;
}

bool store_metric_is_full(struct store *store, struct slice name)
{
    struct limit *limit = &store->limit;
    if (postings_count(&store->postings, SLICE(LABEL_NAME), name) < limit->max)
        return false;
    struct full *full = remembered(limit, name);
    return !full || live_series(store, name, full) >= limit->max;
}

/* --- prefixes --- */

static struct prefix_limit *prefix_of(const struct limit *limit, struct slice name)
{
    for (size_t i = 0; i < limit->prefix_count; i++)
        if (slice_starts_with(name, limit->prefixes[i].prefix))
            return &limit->prefixes[i];
    return NULL;
}

static struct slice name_in(struct slice labels)
{
    struct slice name, value;
    while (bytes_cut_prefixed(&labels, &name) && bytes_cut_prefixed(&labels, &value))
        if (slice_equal(name, SLICE(LABEL_NAME)))
            return value;
    return SLICE("");
}

/* Counts the live series, and finds the metric that has most of them. */
static void count_prefix(struct store *store, struct prefix_limit *prefix)
{
    struct table names;
    struct slice culprit = SLICE("");
    uint64_t most = 0;
    roaring_uint32_iterator_t it;
    table_init(&names, SIZE_MAX);
    roaring_bitmap_t *ids = postings_select(&store->postings, &prefix->matcher, 1);
    prefix->live = 0;
    for (roaring_init_iterator(ids, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        bool fresh;
        struct table_entry *entry;
        if (!head_get(&store->head, it.current_value))
            continue;
        struct slice name = name_in(store_labels(store, it.current_value));
        prefix->live++;
        if ((entry = table_insert(&names, name, &fresh)) && ++entry->value.number > most) {
            most = entry->value.number;
            culprit = name;
        }
    }
    roaring_bitmap_free(ids);
    if (prefix->live >= prefix->max) /* as often as it is counted: once a minute */
        log_warn("series_limit",
                 "prefix=" SLICE_FMT " series=%llu metrics=%zu metric=" SLICE_FMT
                 " its_series=%llu: no further ones are taken while these live",
                 SLICE_ARG(prefix->prefix), (unsigned long long)prefix->live, names.count,
                 SLICE_ARG(culprit), (unsigned long long)most);
    table_release(&names);
    prefix->counted = true;
    prefix->full = prefix->live >= prefix->max;
    prefix->counted_ms = clock_now_ms();
}

bool store_prefix_is_full(struct store *store, struct slice name, struct slice *prefix)
{
    struct prefix_limit *limit = prefix_of(&store->limit, name);
    int64_t now_ms = clock_now_ms();
    if (!limit)
        return false;
    *prefix = limit->prefix;
    int64_t holds_ms = limit->full ? RECOUNT_MS : RECOUNT_SOON_MS;
    bool recent = now_ms >= limit->counted_ms && now_ms < limit->counted_ms + holds_ms;
    if (!limit->counted || (limit->live >= limit->max && !recent))
        count_prefix(store, limit);
    return limit->live >= limit->max;
}

static int admit_prefix(struct store *store, struct slice name, struct error *err)
{
    struct slice prefix;
    if (!store_prefix_is_full(store, name, &prefix))
        return 0;
    metric_add(&store_metrics[STORE_REFUSED_PREFIX], 1);
    return error_set(err, ERROR_LIMIT,
                     "the metrics that begin with " SLICE_FMT " have %llu live series, the limit; "
                     "raise limits.series_per_prefix or send fewer distinct names and label values",
                     SLICE_ARG(slice_head(prefix, 200)),
                     (unsigned long long)prefix_of(&store->limit, name)->max);
}

int limit_refuse_all(struct store *store, struct error *err)
{
    metric_add(&store_metrics[STORE_REFUSED_TOTAL], 1);
    return error_set(err, ERROR_LIMIT,
                     "the limit of %llu series is reached; raise limits.series or send fewer "
                     "distinct label values",
                     (unsigned long long)store->limit.all_max);
}

int limit_admit(struct store *store, struct labels labels, struct error *err)
{
    struct limit *limit = &store->limit;
    struct slice name = labels_get(labels, SLICE(LABEL_NAME));
    if (labels_get(labels, SLICE(OVERFLOW_LABEL)).len)
        return 0;
    if (store_metric_is_full(store, name)) {
        metric_add(&store_metrics[STORE_REFUSED_METRIC], 1);
        return error_set(err, ERROR_LIMIT,
                         "the metric " SLICE_FMT " has %llu live series, the limit; raise "
                         "limits.series_per_metric or send fewer distinct label values",
                         SLICE_ARG(slice_head(name, 200)), (unsigned long long)limit->max);
    }
    if (admit_prefix(store, name, err))
        return -1;
    if (series_live(&store->series) >= limit->all_max)
        return limit_refuse_all(store, err);
    struct prefix_limit *prefix = prefix_of(limit, name);
    if (prefix)
        prefix->live++;
    const struct table_entry *entry =
        limit->metrics.count ? table_find(&limit->metrics, name) : NULL;
    if (entry)
        ((struct full *)entry->value.pointer)->live++;
    return 0;
}

void store_look_at_room(const struct store *store, struct slice name, struct store_room *out)
{
    const struct prefix_limit *prefix = prefix_of(&store->limit, name);
    roaring_bitmap_t *ids = series_of(store, name);
    *out = (struct store_room){.metric = count_live(store, ids),
                               .metric_max = store->limit.max,
                               .all = series_live(&store->series),
                               .all_max = store->limit.all_max};
    roaring_bitmap_free(ids);
    if (!prefix)
        return;
    ids = postings_select(&store->postings, &prefix->matcher, 1);
    out->prefix = prefix->prefix;
    out->prefix_live = count_live(store, ids);
    out->prefix_max = prefix->max;
    roaring_bitmap_free(ids);
}
