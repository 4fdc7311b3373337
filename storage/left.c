/* left: of which series and days the samples have left, while buckets of them remain.
 *
 *   no list of the day, and it is not newer than all lists    left, if the series has buckets around
 *   a list, and the series is thinned in it                   left, before those of others
 *   a list that was made anew (for a late sample), which      as if there were no list
 *     does not know the series
 *
 * "Around": rollups know their series by 32 days; who reads then finds no value for a day.
 */
#include "storage/read.h"

#include "storage/key.h"

bool left_has_buckets(const struct store *store, uint32_t series, uint32_t day)
{
    for (int tier = STORE_RAW + 1; tier < STORE_TIER_COUNT; tier++) {
        const struct partition *months = partitions_get(&store->rollups[tier], day / ROLLUP_DAYS);
        if (months && roaring_bitmap_contains(months->active, series))
            return true;
    }
    return false;
}

/* True when the day's list speaks for the series: it is no list that was made anew for others. */
static bool is_listed(const struct partition *partition, uint32_t series)
{
    return partition && (!partition->remade || roaring_bitmap_contains(partition->active, series) ||
                         roaring_bitmap_contains(partition->stale, series) ||
                         roaring_bitmap_contains(partition->thinned, series));
}

/* True when the samples that fall into buckets of the day have left. */
bool left_samples(const struct store *store, uint32_t series, uint32_t day)
{
    const struct partitions *partitions = &store->partitions;
    const struct partition *partition = partitions_get(partitions, day);
    if (is_listed(partition, series))
        return roaring_bitmap_contains(partition->thinned, series);
    return (partitions->count == 0 || day < partitions->at[partitions->count - 1].day) &&
           left_has_buckets(store, series, day);
}

/* The last day below which days without a partition may have left; days from `from` to there. */
static uint32_t last_left(const struct partitions *days, uint32_t to)
{
    uint32_t newest = days->count ? days->at[days->count - 1].day : UINT32_MAX;
    return to < newest ? to : newest;
}

/* A list of series that may have buckets in place of samples, and what those cover. */
struct left_list {
    const roaring_bitmap_t *ids;
    struct time_range range;
};

static struct left_list list_of(const roaring_bitmap_t *ids, uint32_t day, uint32_t days)
{
    return (struct left_list){ids, {partition_start(day) + (day > 0), partition_start(day + days)}};
}

/* A walk over the lists of [from, to]. */
struct left_walk {
    uint32_t from, to;
    bool (*visit)(const struct left_list *list, void *arg); /* false: it has seen enough */
    void *arg;
};

/* The lists of days; true when days are missing among them, and the visitor wants more. */
static bool each_day(const struct left_walk *walk, const struct partitions *days)
{
    size_t i = partitions_find(days, walk->from), there = 0;
    for (; i < days->count && days->at[i].day <= walk->to; i++) {
        struct left_list list = list_of(days->at[i].thinned, days->at[i].day, 1);
        there += !days->at[i].remade;
        if (!walk->visit(&list, walk->arg))
            return false;
    }
    return walk->from <= walk->to && there <= walk->to - walk->from;
}

/* The lists of a tier; true when the visitor wants more. */
static bool each_month(const struct left_walk *walk, const struct partitions *months)
{
    size_t i = partitions_find(months, walk->from / ROLLUP_DAYS);
    for (; i < months->count && months->at[i].day <= walk->to / ROLLUP_DAYS; i++) {
        struct left_list list =
            list_of(months->at[i].active, months->at[i].day * ROLLUP_DAYS, ROLLUP_DAYS);
        if (!walk->visit(&list, walk->arg))
            return false;
    }
    return true;
}

/* A deletion may leave a series buckets of one tier only. */
static void each_left(const struct store *store, struct left_walk walk)
{
    walk.to = last_left(&store->partitions, walk.to);
    bool more = each_day(&walk, &store->partitions);
    for (int tier = STORE_RAW + 1; more && tier < STORE_TIER_COUNT; tier++)
        more = each_month(&walk, &store->rollups[tier]);
}

struct lookup {
    uint32_t series;
    bool found;
};

static bool look_up(const struct left_list *list, void *arg)
{
    struct lookup *lookup = arg;
    lookup->found = roaring_bitmap_contains(list->ids, lookup->series);
    return !lookup->found;
}

bool left_in_range(const struct store *store, struct store_span span)
{
    struct lookup lookup = {.series = span.series};
    each_left(store, (struct left_walk){bucket_day_of(span.start_ms), bucket_day_of(span.end_ms),
                                        look_up, &lookup});
    return lookup.found;
}

struct adding {
    const struct tombstones *tombstones;
    struct time_range range;
    roaring_bitmap_t *ids;
};

static bool add_left(const struct left_list *list, void *arg)
{
    const struct adding *adding = arg;
    tombstones_add_left(adding->tombstones, time_range_within(list->range, adding->range),
                        list->ids, adding->ids);
    return true;
}

void left_add_series(const struct store *store, struct time_range range, roaring_bitmap_t *ids)
{
    struct adding adding = {&store->tombstones, range, ids};
    each_left(store, (struct left_walk){bucket_day_of(range.start_ms), bucket_day_of(range.end_ms),
                                        add_left, &adding});
}
