/* tier: whether a range is better read from the buckets of a tier or from samples.
 *
 * A day that is over gets its 1h buckets within the hour, its 5m buckets when it is older or its samples
 * leave. Buckets that are not stored are computed from samples at each read, which costs more than
 * using these.
 */
#include "storage/key.h"
#include "storage/store_state.h"

/* Days of the range before `until` for which the tier has values. */
static uint32_t days_left(const struct partitions *months, uint32_t from, uint32_t until)
{
    uint32_t count = 0;
    size_t i = partitions_find(months, from / ROLLUP_DAYS);
    for (; i < months->count && months->at[i].day * ROLLUP_DAYS < until; i++) {
        uint32_t first = months->at[i].day * ROLLUP_DAYS, end = first + ROLLUP_DAYS;
        count += (end < until ? end : until) - (first > from ? first : from);
    }
    return count;
}

bool store_has_rollup(struct store *store, enum store_tier tier, int64_t start_ms, int64_t end_ms)
{
    const struct partitions *days = &store->partitions;
    uint32_t from = bucket_day_of(start_ms), to = bucket_day_of(end_ms), have = 0, lack = 0;
    pthread_rwlock_rdlock(&store->lock);
    uint32_t oldest = days->count && days->at[0].day <= to ? days->at[0].day : to + 1;
    if (from < oldest)
        have = days_left(&store->rollups[tier], from, oldest);
    size_t i = partitions_find(days, from);
    for (; i < days->count && days->at[i].day <= to; i++) {
        bool made = tier == STORE_1H ? days->at[i].closed : days->at[i].fine;
        have += made;
        lack += !made;
    }
    pthread_rwlock_unlock(&store->lock);
    return have && have >= lack;
}
