/* retention: samples and buckets past their time leave; and the oldest, when all take too much space.
 *
 * Time is cut into parts: days of samples, 32 days of buckets. Series are cut into classes by the rules
 * (keep.h): for each part it is known which classes are past their limit there.
 *
 *   all active series of a part   it leaves whole: one write deletes its chunks and its row; then
 *                                 whole files go.
 *   some of them                  one write: their chunks, and the row without them. Readers stop
 *                                 looking at those chunks before they go, as what is dropped is past
 *                                 its time or deleted anyway.
 *
 * Where buckets are kept for longer than samples, a day's samples wait until its buckets are made
 * (close.c), and all later days wait with it: the midnight that the next one begins with is in its last
 * bucket. Limits in bytes take days of samples first, then buckets, the oldest first; today stays.
 *
 * Chunks of series that are neighbours among those active in the part go with one range delete;
 * scattered ones are deleted key by key, because RocksDB 7.8 reads slowly past many ranges.
 * Series that lived only in what left are forgotten by forget.c.
 */
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/key.h"
#include "storage/store_state.h"

#define NEIGHBOURS_MIN 8    /* series worth a range delete */
#define SCATTERED_MAX  2000 /* series whose chunks one write deletes key by key */
#define PASS_EVERY_MS  60000
#define TICK_NS_MAX    ((int64_t)100000000)
#define LABELS_BYTES   ((size_t)1 << 16)

static struct partitions *parts_of(struct store *store, enum store_tier tier)
{
    return tier == STORE_RAW ? &store->partitions : &store->rollups[tier];
}

/* The end of a part: its last sample or bucket is not later. */
static int64_t part_end(enum store_tier tier, uint32_t part)
{
    uint32_t days = tier == STORE_RAW ? 1 : ROLLUP_DAYS;
    return partition_start((part + 1) * days);
}

/* The bound below the chunks that the series has in the part. */
static struct key_bytes part_key(const struct partitions *parts, uint32_t part, uint32_t series)
{
    if (parts->resolution == RESOLUTION_RAW)
        return key_of_chunk((struct chunk_key){part, series, 0});
    return key_of_rollup((struct rollup_key){parts->resolution, part * ROLLUP_DAYS, series});
}

/* --- some series of a part --- */

/* What is to go, up to the next series that stays. */
struct stretch {
    uint32_t from, to; /* ids, [from, to) */
    size_t count;
};

static struct stretch next_stretch(roaring_uint32_iterator_t *going,
                                   roaring_uint32_iterator_t *staying)
{
    struct stretch stretch = {.from = going->current_value};
    roaring_move_uint32_iterator_equalorlarger(staying, stretch.from);
    stretch.to = staying->has_value ? staying->current_value : UINT32_MAX;
    for (; going->has_value && going->current_value < stretch.to; stretch.count++)
        roaring_advance_uint32_iterator(going);
    return stretch;
}

/* One drop from a part. */
struct drop {
    struct store *store;
    struct kv_batch *batch;
    struct partitions *parts;
    struct partition *part;
    bool thin; /* the buckets of these series stay */
};

static void delete_keys(const struct drop *drop, struct stretch stretch)
{
    struct kv *kv = drop->store->kv;
    struct key_bytes from = part_key(drop->parts, drop->part->day, stretch.from);
    struct key_bytes to = part_key(drop->parts, drop->part->day, stretch.to);
    if (stretch.count >= NEIGHBOURS_MIN) {
        kv_batch_delete_range(kv, drop->batch, KV_CHUNK, key_slice(&from), key_slice(&to));
        return;
    }
    struct kv_iterator *it = kv_iterate(kv, KV_CHUNK, key_slice(&from), key_slice(&to));
    for (bool more = kv_seek_first(it); more; more = kv_next(it))
        kv_batch_delete(kv, drop->batch, KV_CHUNK, kv_key(it));
    kv_iterator_free(it);
}

/* Puts deletes into the batch; returns the series they are for. */
static roaring_bitmap_t *stage_drop(const struct drop *drop, const roaring_bitmap_t *ids)
{
    roaring_bitmap_t *gone = roaring_bitmap_and(ids, drop->part->active);
    roaring_bitmap_t *rest = roaring_bitmap_andnot(drop->part->active, ids);
    roaring_uint32_iterator_t going, staying;
    size_t scattered = 0;
    roaring_init_iterator(rest, &staying);
    for (roaring_init_iterator(gone, &going); going.has_value && scattered < SCATTERED_MAX;) {
        struct stretch stretch = next_stretch(&going, &staying);
        delete_keys(drop, stretch);
        scattered += stretch.count < NEIGHBOURS_MIN ? stretch.count : 0;
    }
    if (going.has_value)
        roaring_bitmap_remove_range(gone, going.current_value, (uint64_t)UINT32_MAX + 1);
    roaring_bitmap_free(rest);
    return gone;
}

/* In memory, before the write; and back, when it fails. */
static void note_drop(const struct drop *drop, const roaring_bitmap_t *gone, bool back)
{
    struct partition *part = drop->part;
    pthread_rwlock_wrlock(&drop->store->lock);
    if (back)
        roaring_bitmap_or_inplace(part->active, gone);
    else
        roaring_bitmap_andnot_inplace(part->active, gone);
    if (drop->thin && back)
        roaring_bitmap_andnot_inplace(part->thinned, gone);
    else if (drop->thin)
        roaring_bitmap_or_inplace(part->thinned, gone);
    part->dirty = true;
    pthread_rwlock_unlock(&drop->store->lock);
}

/* Writes and frees the batch, by which these series leave the part. */
static int write_drop(struct drop *drop, const roaring_bitmap_t *gone, struct error *err)
{
    struct store *store = drop->store;
    note_drop(drop, gone, false);
    partitions_stage(drop->parts, store->kv, drop->batch);
    int status = kv_write(store->kv, drop->batch, false, err);
    if (status) {
        note_drop(drop, gone, true);
    } else {
        pthread_rwlock_wrlock(&store->lock);
        partitions_saved(drop->parts);
        pthread_rwlock_unlock(&store->lock);
        roaring_bitmap_or_inplace(store->doubtful, gone);
    }
    /* Also after a failure: readers may have missed meanwhile what is back now. */
    store_note_change(store, INT64_MIN);
    kv_batch_free(drop->batch);
    return status;
}

static int drop_some(struct drop *drop, const roaring_bitmap_t *ids, struct error *err)
{
    drop->batch = kv_batch_new();
    roaring_bitmap_t *gone = stage_drop(drop, ids);
    int status = write_drop(drop, gone, err);
    roaring_bitmap_free(gone);
    return status;
}

int store_drop_part(struct store *store, enum store_tier tier, uint32_t part,
                    const roaring_bitmap_t *ids, struct error *err)
{
    struct drop drop = {.store = store, .parts = parts_of(store, tier)};
    drop.part = partitions_get(drop.parts, part);
    return drop.part && roaring_bitmap_intersect(drop.part->active, ids)
               ? drop_some(&drop, ids, err)
               : 0;
}

/* --- the buckets of one day --- */

/* Puts the deletes of one series into the batch. True when it has no others in the part. */
static bool stage_buckets(const struct drop *drop, struct kv_iterator *it, uint32_t day,
                          uint32_t series)
{
    struct key_bytes from = part_key(drop->parts, drop->part->day, series);
    struct rollup_key key;
    bool emptied = true;
    bool more = kv_seek(it, key_slice(&from));
    for (; more && key_parse_rollup(kv_key(it), &key) && key.series == series &&
           key.day / ROLLUP_DAYS == drop->part->day && key.resolution == drop->parts->resolution;
         more = kv_next(it)) {
        if (key.day == day)
            kv_batch_delete(drop->store->kv, drop->batch, KV_CHUNK, kv_key(it));
        else
            emptied = false;
    }
    return emptied;
}

/* Of the series from *next on; *next becomes where to go on, or UINT32_MAX. */
static int drop_some_buckets(struct drop *drop, uint32_t day, const roaring_bitmap_t *ids,
                             uint32_t *next, struct error *err)
{
    struct kv *kv = drop->store->kv;
    roaring_bitmap_t *gone = roaring_bitmap_create();
    roaring_uint32_iterator_t going;
    struct kv_iterator *it = kv_iterate(kv, KV_CHUNK, SLICE(""), SLICE(""));
    drop->batch = kv_batch_new();
    roaring_init_iterator(ids, &going);
    roaring_move_uint32_iterator_equalorlarger(&going, *next);
    for (size_t n = 0; going.has_value && n < SCATTERED_MAX; n++) {
        if (stage_buckets(drop, it, day, going.current_value))
            roaring_bitmap_add(gone, going.current_value);
        roaring_advance_uint32_iterator(&going);
    }
    kv_iterator_free(it);
    *next = going.has_value ? going.current_value : UINT32_MAX;
    int status = write_drop(drop, gone, err);
    roaring_bitmap_free(gone);
    return status;
}

int store_drop_buckets(struct store *store, enum store_tier tier, uint32_t day,
                       const roaring_bitmap_t *ids, struct error *err)
{
    struct drop drop = {.store = store, .parts = &store->rollups[tier]};
    uint32_t next = 0;
    int status = 0;
    drop.part = partitions_get(drop.parts, day / ROLLUP_DAYS);
    if (!drop.part)
        return 0;
    roaring_bitmap_t *some = roaring_bitmap_and(ids, drop.part->active);
    while (!status && next != UINT32_MAX && !roaring_bitmap_is_empty(some))
        status = drop_some_buckets(&drop, day, some, &next, err);
    roaring_bitmap_free(some);
    return status;
}

/* --- whole parts --- */

static int forget_part(struct store *store, enum store_tier tier, size_t place, struct error *err)
{
    struct partitions *parts = parts_of(store, tier);
    uint32_t part = parts->at[place].day;
    struct key_bytes from = part_key(parts, part, 0), to = part_key(parts, part + 1, 0);
    struct key_bytes row = key_of_postings(parts->resolution, part);
    log_info("retention", "tier=%d part=%u", (int)tier, part);
    struct kv_range chunks = {.family = KV_CHUNK, .from = key_slice(&from), .to = key_slice(&to)};
    struct kv_batch *batch = kv_batch_new();
    kv_batch_delete(store->kv, batch, KV_POSTINGS, key_slice(&row));
    int status = kv_drop_range(store->kv, &chunks, batch, err);
    kv_batch_free(batch);
    if (status)
        return -1;
    roaring_bitmap_or_inplace(store->doubtful, parts->at[place].active);
    pthread_rwlock_wrlock(&store->lock);
    partitions_forget(parts, place);
    pthread_rwlock_unlock(&store->lock);
    metric_add(&store_metrics[STORE_PARTITIONS_DROPPED], 1);
    return 0;
}

static int drop_whole(struct store *store, enum store_tier tier, size_t place, struct error *err)
{
    int status = forget_part(store, tier, place, err);
    store_note_change(store, INT64_MIN); /* some of it may be gone even when it failed */
    return status;
}

/* --- by age --- */

/* The series that one rule, or none, is for. */
struct class
{
    roaring_bitmap_t *ids;
    const int64_t *ms; /* limits, by tier */
};

struct pass {
    struct store *store;
    int64_t now_ms;
    struct class *classes;
    size_t count;
};

static void make_classes(struct pass *pass)
{
    const struct keep *keep = &pass->store->keep;
    roaring_bitmap_t *rest = roaring_bitmap_copy(pass->store->postings.all);
    pass->classes = alloc_zeroed(keep->rule_count + 1, sizeof *pass->classes);
    for (size_t i = 0; i < keep->rule_count; i++) {
        const struct keep_rule *rule = &keep->rules[i];
        roaring_bitmap_t *ids =
            postings_select(&pass->store->postings, rule->matchers, rule->count);
        roaring_bitmap_and_inplace(ids, rest);
        roaring_bitmap_andnot_inplace(rest, ids);
        pass->classes[pass->count++] = (struct class){ids, rule->ms};
    }
    pass->classes[pass->count++] = (struct class){rest, keep->ms};
}

static void free_classes(struct pass *pass)
{
    for (size_t i = 0; i < pass->count; i++)
        roaring_bitmap_free(pass->classes[i].ids);
    free(pass->classes);
}

static bool is_past(const struct pass *pass, int64_t limit_ms, int64_t end_ms)
{
    return limit_ms != 0 && end_ms <= pass->now_ms - limit_ms;
}

/* The series that are past their limit at end_ms; *buckets: some of them have longer lived ones. */
static roaring_bitmap_t *find_expired(const struct pass *pass, enum store_tier tier, int64_t end_ms,
                                      bool *buckets)
{
    roaring_bitmap_t *expired = roaring_bitmap_create();
    *buckets = false;
    for (size_t i = 0; i < pass->count; i++) {
        const struct class *class = &pass->classes[i];
        if (!is_past(pass, class->ms[tier], end_ms))
            continue;
        roaring_bitmap_or_inplace(expired, class->ids);
        for (int up = STORE_RAW + 1; tier == STORE_RAW && up < STORE_TIER_COUNT; up++)
            *buckets |= keep_is_longer(class->ms[up], class->ms[STORE_RAW]) &&
                        !roaring_bitmap_is_empty(class->ids);
    }
    return expired;
}

/* Buckets of a day that are not kept for longer than its samples leave with them. */
static int drop_short_lived(const struct pass *pass, uint32_t day, struct error *err)
{
    for (size_t i = 0; i < pass->count; i++) {
        const struct class *class = &pass->classes[i];
        if (!is_past(pass, class->ms[STORE_RAW], part_end(STORE_RAW, day)))
            continue;
        for (int tier = STORE_RAW + 1; tier < STORE_TIER_COUNT; tier++)
            if (!keep_is_longer(class->ms[tier], class->ms[STORE_RAW]) &&
                store_drop_buckets(pass->store, (enum store_tier)tier, day, class->ids, err))
                return -1;
    }
    return 0;
}

/* Drops what is past its limit from the part at *place, and moves on. */
static int retain_part(const struct pass *pass, enum store_tier tier, size_t *place,
                       struct error *err)
{
    struct store *store = pass->store;
    struct partition *part = &parts_of(store, tier)->at[*place];
    bool buckets;
    roaring_bitmap_t *expired = find_expired(pass, tier, part_end(tier, part->day), &buckets);
    bool whole = roaring_bitmap_is_subset(part->active, expired);
    bool some = roaring_bitmap_intersect(part->active, expired);
    int status = 0;
    /* Stale ones without samples have buckets of deleted samples, which are to go before. */
    bool concerned = some || roaring_bitmap_intersect(part->stale, expired);
    if (tier == STORE_RAW && buckets && concerned && !store_day_may_leave(store, part->day))
        store->retention_waits = true;
    bool waits = tier == STORE_RAW && store->retention_waits;
    if (waits || (!whole && !some))
        ++*place;
    else if (tier == STORE_RAW && drop_short_lived(pass, part->day, err))
        status = -1;
    else if (whole)
        status = drop_whole(store, tier, *place, err);
    else
        status = drop_some(
            &(struct drop){
                .store = store, .parts = parts_of(store, tier), .part = part, .thin = buckets},
            expired, err);
    roaring_bitmap_free(expired);
    return status;
}

/* 1: not at the end. */
static int retain_tier(const struct pass *pass, enum store_tier tier, int64_t deadline_ns,
                       struct error *err)
{
    const struct partitions *parts = parts_of(pass->store, tier);
    int64_t limit = keep_shortest(&pass->store->keep, tier);
    for (size_t i = 0;
         i < parts->count && is_past(pass, limit, part_end(tier, parts->at[i].day));) {
        if (clock_monotonic_ns() > deadline_ns)
            return 1;
        if (retain_part(pass, tier, &i, err))
            return -1;
    }
    return 0;
}

/* --- by bytes --- */

/* What the tier takes on disk, about, from its first part on: what was dropped before does not count. */
static uint64_t tier_bytes(struct store *store, enum store_tier tier)
{
    const struct partitions *parts = parts_of(store, tier);
    if (parts->count == 0)
        return 0;
    struct key_bytes from = part_key(parts, parts->at[0].day, 0);
    struct key_bytes to = part_key(parts, parts->at[parts->count - 1].day + 1, 0);
    return kv_range_bytes(store->kv, KV_CHUNK, key_slice(&from), key_slice(&to));
}

/* 1: there may be more to drop. */
static int retain_bytes(const struct pass *pass, struct error *err)
{
    struct store *store = pass->store;
    uint64_t bytes = 0;
    for (int tier = 0; tier < STORE_TIER_COUNT; tier++)
        bytes += tier_bytes(store, (enum store_tier)tier);
    if (store->keep.bytes == 0 || bytes <= (uint64_t)store->keep.bytes)
        return 0;
    for (int tier = 0; tier < STORE_TIER_COUNT; tier++) {
        const struct partitions *parts = parts_of(store, (enum store_tier)tier);
        if (parts->count == 0 || part_end((enum store_tier)tier, parts->at[0].day) > pass->now_ms)
            continue;
        if (tier == STORE_RAW && !store_day_may_leave(store, parts->at[0].day)) {
            store->retention_waits = true;
            return 0;
        }
        return drop_whole(store, (enum store_tier)tier, 0, err) ? -1 : 1;
    }
    return 0;
}

/* --- */

int store_retain_some(struct store *store, int64_t now_ms, struct error *err)
{
    struct pass pass = {.store = store, .now_ms = now_ms};
    int64_t deadline_ns = clock_monotonic_ns() + TICK_NS_MAX;
    int status = 0;
    make_classes(&pass);
    store->retention_waits = false;
    for (int tier = 0; tier < STORE_TIER_COUNT && !status; tier++)
        status = retain_tier(&pass, (enum store_tier)tier, deadline_ns, err);
    if (!status)
        status = retain_bytes(&pass, err);
    free_classes(&pass);
    if (!status)
        store->retained_ms = now_ms;
    return status;
}

int store_retain(struct store *store, int64_t now_ms, struct error *err)
{
    bool soon = now_ms >= store->retained_ms && now_ms < store->retained_ms + PASS_EVERY_MS;
    return soon || store_retain_some(store, now_ms, err) >= 0 ? 0 : -1;
}

int store_set_retention(struct store *store, const struct store_retention *retention,
                        struct error *err)
{
    store->retained_ms = INT64_MIN;
    return keep_set(&store->keep, retention, err);
}

int64_t store_oldest_ms(const struct store *store, uint32_t series, int64_t now_ms)
{
    const struct series_row *row = series_row(&store->series, series);
    struct arena arena;
    struct labels labels;
    int64_t limit = store->keep.ms[STORE_RAW];
    arena_init(&arena, LABELS_BYTES);
    if (store->keep.rule_count && row && labels_decode(series_labels(row), &arena, &labels))
        limit = keep_limit(&store->keep, labels, STORE_RAW);
    arena_release(&arena);
    return limit ? now_ms - limit : INT64_MIN;
}
