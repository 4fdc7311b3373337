/* select: from matchers to series, label names and label values.
 *
 * Index first, then time: a series stays when one of the days asked for has chunks of it or its
 * open or late samples reach into the range. All under the shared lock; what is returned is a copy.
 *
 * A million series take a while, in which the writer would wait: the lock is let go of now and then.
 * Ids are never used again, so a series that is forgotten meanwhile is merely passed over. One whose
 * open samples go into a chunk meanwhile must not fall between the two: so chunks are asked again
 * at the end.
 */
#include <stdlib.h>

#include "storage/key.h"
#include "storage/read.h"

static int too_large(struct error *err)
{
    return error_set(err, ERROR_LIMIT,
                     "the selector matches more series than the query's memory budget holds; use a "
                     "narrower one");
}

/* --- series --- */

#define SERIES_A_PAUSE 4096

struct selecting {
    struct store *store;
    const struct store_query *query;
    struct arena *arena;
    struct store_series *at;
    size_t count, seen;
    bool failed, stopped;
};

/* False when nobody waits for the answer any more. */
static bool let_writer_in(void *arg)
{
    struct selecting *selecting = arg;
    const struct store_query *query = selecting->query;
    pthread_rwlock_unlock(&selecting->store->lock);
    selecting->stopped |= query->stop && query->stop(query->stop_arg);
    pthread_rwlock_rdlock(&selecting->store->lock);
    return !selecting->stopped;
}

static bool take(uint32_t id, void *arg)
{
    struct selecting *selecting = arg;
    if (++selecting->seen % SERIES_A_PAUSE == 0 && !let_writer_in(selecting))
        return false;
    const struct series_row *row = series_row(&selecting->store->series, id);
    if (!row)
        return true;
    struct slice bytes = arena_copy(selecting->arena, series_labels(row));
    struct store_series *series = &selecting->at[selecting->count];
    *series = (struct store_series){.id = id, .kind = (enum series_kind)row->kind};
    if (!bytes.at || !labels_decode(bytes, selecting->arena, &series->labels)) {
        selecting->failed = true;
        return false;
    }
    selecting->count++;
    return true;
}

static bool head_overlaps(const struct head_series *series, int64_t start_ms, int64_t end_ms)
{
    return series && series->count && series->first_ms <= end_ms && series->last_ms >= start_ms;
}

/* The series with chunks on one of these days, less those of which all that is deleted. */
static roaring_bitmap_t *sealed_series(const struct store *store, struct time_range range)
{
    const struct partitions *partitions = &store->partitions;
    roaring_bitmap_t *ids = roaring_bitmap_create();
    for (size_t i = partitions_find(partitions, partition_of(range.start_ms));
         i < partitions->count && partitions->at[i].day <= partition_of(range.end_ms); i++) {
        uint32_t day = partitions->at[i].day;
        struct time_range all = {partition_start(day), partition_start(day + 1) - 1};
        tombstones_add_left(&store->tombstones, time_range_within(all, range),
                            partitions->at[i].active, ids);
    }
    return ids;
}

/* Under the lock, which it lets go of now and then. */
static roaring_bitmap_t *select_ids(struct selecting *selecting)
{
    const struct store_query *query = selecting->query;
    struct postings_pause pause = {let_writer_in, selecting};
    return postings_select_pausing(&selecting->store->postings, query->matchers,
                                   query->matcher_count, &pause);
}

static roaring_bitmap_t *kept_series(const struct store *store, struct time_range range)
{
    roaring_bitmap_t *ids = sealed_series(store, range);
    left_add_series(store, range, ids);
    return ids;
}

static int64_t within_time(int64_t time_ms)
{
    return time_ms < 0 ? 0 : time_ms > TIME_MS_MAX ? TIME_MS_MAX : time_ms;
}

/* Removes the ids that have no samples in the range. Under the lock, which it lets go of. */
static void keep_active(struct selecting *selecting, roaring_bitmap_t *ids)
{
    const struct store *store = selecting->store;
    int64_t start_ms = selecting->query->start_ms, end_ms = selecting->query->end_ms;
    struct time_range range = {within_time(start_ms), within_time(end_ms)};
    roaring_bitmap_t *kept = kept_series(store, range);
    roaring_bitmap_t *rest = roaring_bitmap_andnot(ids, kept);
    roaring_uint32_iterator_t it;
    size_t seen = 0;
    for (roaring_init_iterator(rest, &it); it.has_value; roaring_advance_uint32_iterator(&it)) {
        if (head_overlaps(head_get(&store->head, it.current_value), start_ms, end_ms) ||
            late_overlaps(late_find(&store->late, it.current_value), start_ms, end_ms))
            roaring_bitmap_add(kept, it.current_value);
        if (++seen % SERIES_A_PAUSE == 0 && !let_writer_in(selecting))
            break;
    }
    if (seen >= SERIES_A_PAUSE) {
        roaring_bitmap_t *since = kept_series(store, range);
        roaring_bitmap_or_inplace(kept, since);
        roaring_bitmap_free(since);
    }
    roaring_bitmap_and_inplace(ids, kept);
    roaring_bitmap_free(rest);
    roaring_bitmap_free(kept);
}

static int compare_series(const void *a, const void *b)
{
    return labels_compare(((const struct store_series *)a)->labels,
                          ((const struct store_series *)b)->labels);
}

int store_select(struct store *store, const struct store_query *query, struct arena *arena,
                 struct store_selection *out, struct error *err)
{
    struct selecting selecting = {.store = store, .query = query, .arena = arena};
    pthread_rwlock_rdlock(&store->lock);
    roaring_bitmap_t *ids = select_ids(&selecting);
    if (!selecting.stopped)
        keep_active(&selecting, ids);
    pthread_rwlock_unlock(&store->lock);
    selecting.at = arena_zeroed(arena, roaring_bitmap_get_cardinality(ids), sizeof *selecting.at);
    pthread_rwlock_rdlock(&store->lock);
    if (selecting.at && !selecting.stopped)
        roaring_iterate(ids, take, &selecting);
    pthread_rwlock_unlock(&store->lock);
    roaring_bitmap_free(ids);
    if (selecting.stopped)
        return -1;
    if (!selecting.at || selecting.failed)
        return too_large(err);
    if (!query->by_id)
        qsort(selecting.at, selecting.count, sizeof *selecting.at, compare_series);
    *out = (struct store_selection){selecting.at, selecting.count};
    return 0;
}

/* To the whole days of [from_ms, to_ms]. */
static void stretch(int64_t *oldest_ms, int64_t *newest_ms, int64_t from_ms, int64_t to_ms)
{
    if (from_ms < *oldest_ms)
        *oldest_ms = partition_start(partition_of(from_ms));
    if (to_ms > *newest_ms)
        *newest_ms = partition_start(partition_of(to_ms) + 1) - 1;
}

void store_extent(struct store *store, int64_t *oldest_ms, int64_t *newest_ms)
{
    size_t cursor = 0;
    *oldest_ms = INT64_MAX;
    *newest_ms = INT64_MIN;
    pthread_rwlock_rdlock(&store->lock);
    for (size_t i = 0; i < store->partitions.count; i++) {
        uint32_t day = store->partitions.at[i].day;
        stretch(oldest_ms, newest_ms, partition_start(day), partition_start(day));
    }
    for (uint32_t id = 0; id < store->head.capacity; id++) {
        const struct head_series *series = head_get(&store->head, id);
        if (series && series->count)
            stretch(oldest_ms, newest_ms, series->first_ms, series->last_ms);
    }
    for (const struct late_run *run; (run = late_next(&store->late, &cursor));)
        stretch(oldest_ms, newest_ms, run->times[0], run->times[run->count - 1]);
    pthread_rwlock_unlock(&store->lock);
}

/* --- names and values --- */

struct listing {
    struct arena *arena;
    struct slice *at;
    size_t count;
    size_t capacity;
    bool failed;
};

static void list_text(void *arg, struct slice text)
{
    struct listing *listing = arg;
    if (listing->failed)
        return;
    if (listing->count == listing->capacity) {
        size_t capacity = listing->capacity ? listing->capacity * 2 : 64;
        struct slice *grown = arena_alloc(listing->arena, capacity * sizeof *grown);
        if (!grown) {
            listing->failed = true;
            return;
        }
        if (listing->count)
            memcpy(grown, listing->at, listing->count * sizeof *grown);
        listing->at = grown;
        listing->capacity = capacity;
    }
    struct slice copy = arena_copy(listing->arena, text);
    listing->failed = !copy.at;
    listing->at[listing->count] = copy;
    listing->count += !listing->failed;
}

static void list_again(void *arg)
{
    ((struct listing *)arg)->count = 0;
}

static int compare_text(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* label NULL: the label names. */
static int list(struct store *store, const struct store_query *query, const struct slice *label,
                struct listing *listing, struct error *err)
{
    struct selecting selecting = {.store = store, .query = query};
    struct postings_pause pause = {let_writer_in, &selecting};
    struct postings_listing texts = {list_text, list_again, listing, &pause};
    roaring_bitmap_t *ids = NULL;
    pthread_rwlock_rdlock(&store->lock);
    if (query->matcher_count)
        ids = select_ids(&selecting);
    if (label && !selecting.stopped)
        postings_values(&store->postings, *label, ids, &texts);
    else if (!selecting.stopped)
        postings_names(&store->postings, ids, &texts);
    pthread_rwlock_unlock(&store->lock);
    if (ids)
        roaring_bitmap_free(ids);
    if (listing->count)
        qsort(listing->at, listing->count, sizeof *listing->at, compare_text);
    if (selecting.stopped)
        return -1;
    return listing->failed ? too_large(err) : 0;
}

int store_label_names(struct store *store, const struct store_query *query, struct arena *arena,
                      struct slice_list *out, struct error *err)
{
    struct listing listing = {.arena = arena};
    if (list(store, query, NULL, &listing, err))
        return -1;
    *out = (struct slice_list){listing.at, listing.count};
    return 0;
}

int store_label_values(struct store *store, const struct store_query *query, struct arena *arena,
                       struct slice_list *out, struct error *err)
{
    struct listing listing = {.arena = arena};
    if (list(store, query, &query->label, &listing, err))
        return -1;
    *out = (struct slice_list){listing.at, listing.count};
    return 0;
}
