/* tombstone: what has been deleted but still lies in chunks.
 *
 * A tombstone says: of these series, all samples in this range that are sealed now are gone. What
 * is sealed afterwards must not meet one, so whoever puts chunks of a series has its tombstones
 * carried out first (storage/delete.c). In memory whole, durable in KV_META; the owner guards it:
 * many readers or one writer.
 */
#ifndef STORAGE_TOMBSTONE_H
#define STORAGE_TOMBSTONE_H

#include <roaring/roaring.h>

#include "storage/histogram.h"
#include "storage/kv/kv.h"

struct time_range {
    int64_t start_ms, end_ms; /* both included */
};

struct tombstone {
    uint64_t sequence; /* its key */
    struct time_range range;
    roaring_bitmap_t *series; /* owned; never empty */
};

struct tombstones {
    struct tombstone *at; /* by sequence */
    size_t count;
    size_t capacity;
    uint64_t next;         /* sequence */
    roaring_bitmap_t *any; /* the series of all of them */
};

void tombstones_init(struct tombstones *tombstones);
void tombstones_release(struct tombstones *tombstones);
MUST_USE int tombstones_load(struct tombstones *tombstones, struct kv *kv, struct error *err);

/* The sequence of the one with exactly this range, else of a new one. */
uint64_t tombstones_sequence(const struct tombstones *tombstones, struct time_range range);
/* Puts the row into the batch; deletes it when the series are none. */
void tombstones_stage(struct kv *kv, struct kv_batch *batch, const struct tombstone *row);
/* The same in memory: adds or replaces the one of that sequence, removes it when the series are
 * none. Takes the series over. */
void tombstones_put(struct tombstones *tombstones, struct tombstone owned);

static inline bool tombstones_pending(const struct tombstones *tombstones, uint32_t series)
{
    return tombstones->count && roaring_bitmap_contains(tombstones->any, series);
}

/* --- what is gone of one series --- */

struct time_ranges {
    struct time_range *at; /* owned; sorted, apart from each other */
    size_t count;
    size_t capacity;
};
/* Sets *out to the ranges of the series that meet `within`; all zero to begin with. */
void tombstones_of(const struct tombstones *tombstones, uint32_t series, struct time_range within,
                   struct time_ranges *out);
void time_ranges_release(struct time_ranges *ranges);
bool time_ranges_cover(const struct time_ranges *ranges, struct time_range range);
bool time_ranges_meet(const struct time_ranges *ranges, struct time_range range);
/* Samples, column by column; what they do not have is NULL. */
struct sample_arrays {
    int64_t *times;
    double *values;
    const struct histogram **histograms;
    struct slice *sketches;
};
/* Removes the samples that lie in a range; returns how many are left. */
size_t time_ranges_strike(const struct time_ranges *ranges, const struct sample_arrays *samples,
                          size_t count);
/* Adds the active series to *ids but for those that have all of the range deleted. */
void tombstones_add_left(const struct tombstones *tombstones, struct time_range range,
                         const roaring_bitmap_t *active, roaring_bitmap_t *ids);
static inline struct time_range time_range_within(struct time_range range, struct time_range limits)
{
    if (range.start_ms < limits.start_ms)
        range.start_ms = limits.start_ms;
    if (range.end_ms > limits.end_ms)
        range.end_ms = limits.end_ms;
    return range;
}

#endif
