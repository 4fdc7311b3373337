/* warm: a store that was just opened has the blocks of its newest days in memory.
 *
 *      ... │ day before │ newest day │ buckets ...      KV_CHUNK, in the order of its keys
 *             2. ────▶     1. ────▶                     whole days, while they fit together
 *
 * After a restart all dashboards ask at once, and ask for the newest. Each block that the first of them
 * wants would be read, checked and put into the cache while its user waits: a third of what a short
 * query takes. Read here, in order, from the page cache, they take 1 or 2 ms a megabyte. That is before the
 * store answers anybody: behind the start it would compete with the very queries it is for.
 *
 * Only whole days: of a part of one, the series with small ids would be there, whoever asks. Where not
 * even the newest fits, its first and its last key bring the indexes of its tables, which every query
 * needs. The rest of the cache is for what is asked for.
 */
#include "storage/base/clock.h"
#include "storage/store_state.h"

#define CACHE_SHARE 4 /* of the block cache */

/* One day: keys in [from, to). */
struct day {
    struct key_bytes from, to;
};

static struct day day_of(const struct partition *partition)
{
    return (struct day){key_of_chunks(partition->day), key_of_chunks(partition->day + 1)};
}

static uint64_t day_bytes(struct store *store, const struct day *day)
{
    return kv_range_bytes(store->kv, KV_CHUNK, key_slice(&day->from), key_slice(&day->to));
}

/* What cannot be read is noted, and told to whoever asks for it. */
static void note_damage(struct kv_iterator *it, bool more)
{
    struct error unused;
    int damage = more ? 0 : kv_iterator_damage(it, &unused);
    (void)damage;
}

/* To the first row behind the day: readers of its last series look that far. False: time is up. */
static bool read_rows(struct kv_iterator *it, const struct day *day, int64_t deadline_ns)
{
    bool more = kv_seek(it, key_slice(&day->from)), in_time = true;
    while (more && slice_compare(kv_key(it), key_slice(&day->to)) < 0 &&
           (in_time = clock_monotonic_ns() < deadline_ns))
        more = kv_next(it);
    note_damage(it, more);
    return in_time;
}

static void read_ends(struct kv_iterator *it, const struct day *day)
{
    bool more = kv_seek(it, key_slice(&day->from)) && kv_seek_before(it, key_slice(&day->to));
    note_damage(it, more);
}

void store_warm(struct store *store, int64_t ns_max)
{
    const struct partitions *days = &store->partitions;
    uint64_t left = kv_property(store->kv, KV_CHUNK, "rocksdb.block-cache-capacity") / CACHE_SHARE;
    int64_t deadline_ns = clock_monotonic_ns() + ns_max;
    struct kv_iterator *it = kv_iterate(store->kv, KV_CHUNK, SLICE(""), SLICE(""));
    bool more = true;
    for (size_t i = days->count; i-- && more;) {
        struct day day = day_of(&days->at[i]);
        uint64_t bytes = day_bytes(store, &day);
        more = bytes <= left && read_rows(it, &day, deadline_ns);
        if (bytes > left && i + 1 == days->count)
            read_ends(it, &day);
        left -= more ? bytes : 0;
    }
    kv_iterator_free(it);
}
