/* warm: a store that was just opened has the blocks of its newest days in memory.
 *
 *      ... │ day before │ newest day │ ... 5m buckets │ ... 1h buckets     KV_CHUNK, in the order of its keys
 *              4. ──▶        1. ──▶            3. ──▶           2. ──▶     whole parts, as long as they fit
 *
 * After a restart all dashboards ask at once, and ask for the newest. Each block that the first of them
 * wants would be read, checked and put into the cache while its user waits: a third of what a short
 * query takes. Read here, in order, from the page cache, they take 1 or 2 ms a megabyte. That is before the
 * store answers anybody: behind the start it would compete with the very queries it is for.
 *
 * Only whole parts (days of samples, 32 days of buckets): of a piece of one, the series with small ids
 * would be there, whoever asks. Where not even the newest day fits, its first and its last key bring the
 * indexes of its tables, which every query needs. The rest of the cache is for what is asked for.
 */
#include "storage/base/clock.h"
#include "storage/store_state.h"

#define CACHE_SHARE 4 /* of the block cache */

struct warming {
    struct store *store;
    struct kv_iterator *it;
    uint64_t bytes_left;
    int64_t deadline_ns;
};

/* The keys of one part: [from, to). */
struct part {
    struct key_bytes from, to;
};

/* The n-th from the newest back, which is there. */
static struct part part_back(const struct partitions *parts, size_t n)
{
    uint32_t number = parts->at[parts->count - 1 - n].day;
    return (struct part){key_of_rollups(parts->resolution, number),
                         key_of_rollups(parts->resolution, number + 1)};
}

/* What cannot be read is noted, and told to whoever asks for it. */
static void note_damage(struct kv_iterator *it, bool more)
{
    struct error unused;
    int damage = more ? 0 : kv_iterator_damage(it, &unused);
    (void)damage;
}

/* To the first row behind the part: readers of its last series look that far. False: time is up. */
static bool read_rows(const struct warming *warming, const struct part *part)
{
    struct kv_iterator *it = warming->it;
    bool more = kv_seek(it, key_slice(&part->from)), in_time = true;
    while (more && slice_compare(kv_key(it), key_slice(&part->to)) < 0 &&
           (in_time = clock_monotonic_ns() < warming->deadline_ns))
        more = kv_next(it);
    note_damage(it, more);
    return in_time;
}

static void read_ends(const struct warming *warming, const struct part *part)
{
    struct kv_iterator *it = warming->it;
    bool more = kv_seek(it, key_slice(&part->from)) && kv_seek_before(it, key_slice(&part->to));
    note_damage(it, more);
}

/* The n-th part from the newest back. False: there is none, it does not fit, or time is up. */
static bool warm_part(struct warming *warming, const struct partitions *parts, size_t n)
{
    if (n >= parts->count)
        return false;
    struct part part = part_back(parts, n);
    uint64_t bytes =
        kv_range_bytes(warming->store->kv, KV_CHUNK, key_slice(&part.from), key_slice(&part.to));
    if (bytes > warming->bytes_left || !read_rows(warming, &part))
        return false;
    warming->bytes_left -= bytes;
    return true;
}

/* Instant queries of closed days read buckets, however wide: what does not fit is passed over. */
static void warm_buckets(struct warming *warming)
{
    static const enum store_tier tiers[] = {STORE_1H, STORE_5M};
    for (size_t i = 0; i < sizeof tiers / sizeof tiers[0]; i++) {
        bool done = warm_part(warming, &warming->store->rollups[tiers[i]], 0);
        (void)done;
    }
}

static void warm_parts(struct warming *warming)
{
    const struct partitions *days = &warming->store->partitions;
    bool fits = warm_part(warming, days, 0);
    if (!fits && days->count) {
        struct part newest = part_back(days, 0);
        read_ends(warming, &newest);
    }
    warm_buckets(warming);
    for (size_t n = 1; fits; n++)
        fits = warm_part(warming, days, n);
}

void store_warm(struct store *store, int64_t ns_max)
{
    struct warming warming = {
        .store = store,
        .it = kv_iterate(store->kv, KV_CHUNK, SLICE(""), SLICE("")),
        .bytes_left =
            kv_property(store->kv, KV_CHUNK, "rocksdb.block-cache-capacity") / CACHE_SHARE,
        .deadline_ns = clock_monotonic_ns() + ns_max,
    };
    warm_parts(&warming);
    kv_iterator_free(warming.it);
}
