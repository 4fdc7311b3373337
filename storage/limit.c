/* limit: how many live series one metric may have; for every way in, as it is asked where ids are given.
 *
 * A series is live while the head has an entry of it: it was written within the last hour or so. Known
 * ones may always be written again; what is refused is new label sets of a metric that has enough live
 * ones. Series of deploys long gone do not count, though their data is kept.
 *
 *   known series of the metric < limit     taken, by the size of one bitmap
 *   else                                   its live ones are counted, and remembered for a minute
 *
 * A series labelled __overflow__ is always taken: it is where pushed metrics put what is refused.
 */
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/store_state.h"

#define OVERFLOW_LABEL "__overflow__"
#define RECOUNT_MS     60000
#define FULL_MAX       100000 /* metrics remembered */

/* A metric with as many known series as may be live. */
struct full {
    int64_t counted_ms; /* wall clock */
    uint64_t live;
};

void limit_init(struct limit *limit, int64_t max)
{
    limit->max = max > 0 ? (uint64_t)max : UINT64_MAX;
    table_init(&limit->metrics, FULL_MAX);
}

void limit_release(struct limit *limit)
{
    size_t cursor = 0;
    for (struct table_entry *entry; (entry = table_next(&limit->metrics, &cursor));)
        free(entry->value.pointer);
    table_release(&limit->metrics);
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
    const struct table_entry *entry =
        limit->metrics.count ? table_find(&limit->metrics, name) : NULL;
    if (entry)
        ((struct full *)entry->value.pointer)->live++;
    return 0;
}
