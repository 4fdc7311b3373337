/* tombstone: a short array of deletions, each a range and a set of series.
 *
 *   KV_META   "tombstone" sequence u64be -> checksum u32le | start u64le | end u64le | bitmap
 *
 * The checksum is the low half of XXH3 over what follows; times are ms, both included; the bitmap of
 * series is in roaring's portable format. One call of the API is one row (or two, see delete.c), be
 * it for one series or a million, so a deletion is there whole or not at all. A second call for the
 * same range joins the row of the first.
 *
 * There are never many: the job behind them carries them out oldest first. Lookups walk the array,
 * after one look into the union of all series.
 */
#include "storage/tombstone.h"

#include <endian.h>
#include <stdlib.h>
#include <xxhash.h>

#include "storage/base/alloc.h"
#include "storage/key.h"

#define PREFIX       "tombstone"
#define PREFIX_BYTES (sizeof PREFIX - 1)
#define HEADER_BYTES 20

void tombstones_init(struct tombstones *tombstones)
{
    *tombstones = (struct tombstones){.any = roaring_bitmap_create()};
}

void tombstones_release(struct tombstones *tombstones)
{
    for (size_t i = 0; i < tombstones->count; i++)
        roaring_bitmap_free(tombstones->at[i].series);
    free(tombstones->at);
    if (tombstones->any)
        roaring_bitmap_free(tombstones->any);
    *tombstones = (struct tombstones){0};
}

uint64_t tombstones_sequence(const struct tombstones *tombstones, struct time_range range)
{
    for (size_t i = 0; i < tombstones->count; i++)
        if (tombstones->at[i].range.start_ms == range.start_ms &&
            tombstones->at[i].range.end_ms == range.end_ms)
            return tombstones->at[i].sequence;
    return tombstones->next;
}

/* --- rows --- */

struct row_key {
    char at[PREFIX_BYTES + 8];
};

static struct row_key key_of(uint64_t sequence)
{
    struct row_key key;
    struct key_bytes number = key_of_u64(sequence);
    memcpy(key.at, PREFIX, PREFIX_BYTES);
    memcpy(key.at + PREFIX_BYTES, number.at, 8);
    return key;
}

void tombstones_stage(struct kv *kv, struct kv_batch *batch, const struct tombstone *row)
{
    struct row_key key = key_of(row->sequence);
    struct slice key_bytes = slice_make(key.at, sizeof key.at);
    struct buffer value;
    if (roaring_bitmap_is_empty(row->series)) {
        kv_batch_delete(kv, batch, KV_META, key_bytes);
        return;
    }
    size_t size = roaring_bitmap_portable_size_in_bytes(row->series);
    uint64_t start = htole64((uint64_t)row->range.start_ms);
    uint64_t end = htole64((uint64_t)row->range.end_ms);
    buffer_init(&value, SIZE_MAX);
    char *room = buffer_reserve(&value, HEADER_BYTES + size);
    memcpy(room + 4, &start, 8);
    memcpy(room + 12, &end, 8);
    roaring_bitmap_portable_serialize(row->series, room + HEADER_BYTES);
    buffer_append_u32le(&value, (uint32_t)XXH3_64bits(room + 4, HEADER_BYTES - 4 + size));
    value.len += HEADER_BYTES - 4 + size;
    kv_batch_put(kv, batch, KV_META, key_bytes, buffer_slice(&value));
    buffer_release(&value);
}

static bool load_row(struct tombstones *tombstones, struct slice key, struct slice value)
{
    uint64_t sequence, start, end;
    uint32_t sum;
    key = slice_skip(key, PREFIX_BYTES);
    if (!bytes_cut_u64be(&key, &sequence) || key.len || !bytes_cut_u32le(&value, &sum) ||
        sum != (uint32_t)XXH3_64bits(value.at, value.len) || !bytes_cut_u64le(&value, &start) ||
        !bytes_cut_u64le(&value, &end))
        return false;
    roaring_bitmap_t *series = roaring_bitmap_portable_deserialize_safe(value.at, value.len);
    if (!series)
        return false;
    tombstones_put(tombstones,
                   (struct tombstone){sequence, {(int64_t)start, (int64_t)end}, series});
    return true;
}

struct tombstone_load {
    struct tombstones *tombstones;
    struct kv *kv;
};

/* A damaged row is noted and left out: what it deleted, as far as it was not carried out, is back. */
static bool take_row(void *arg, struct slice key, struct slice value)
{
    struct tombstone_load *load = arg;
    if (!load_row(load->tombstones, key, value))
        damage_note(kv_damages(load->kv), DAMAGE_INDEX, "the record of a deletion is damaged");
    return true;
}

int tombstones_load(struct tombstones *tombstones, struct kv *kv, struct error *err)
{
    struct buffer to;
    struct tombstone_load load = {tombstones, kv};
    buffer_init(&to, 64);
    kv_prefix_end(SLICE(PREFIX), &to);
    struct kv_range range = {.family = KV_META, .from = SLICE(PREFIX), .to = buffer_slice(&to)};
    int status = kv_each(kv, &range, take_row, &load, err) < 0 ? -1 : 0;
    buffer_release(&to);
    return status;
}

/* --- memory --- */

static void count_any(struct tombstones *tombstones)
{
    roaring_bitmap_clear(tombstones->any);
    for (size_t i = 0; i < tombstones->count; i++)
        roaring_bitmap_or_inplace(tombstones->any, tombstones->at[i].series);
}

static size_t place_of(const struct tombstones *tombstones, uint64_t sequence)
{
    size_t i = 0;
    while (i < tombstones->count && tombstones->at[i].sequence != sequence)
        i++;
    return i;
}

void tombstones_put(struct tombstones *tombstones, struct tombstone owned)
{
    size_t i = place_of(tombstones, owned.sequence);
    bool known = i < tombstones->count;
    if (known)
        roaring_bitmap_free(tombstones->at[i].series);
    if (!roaring_bitmap_is_empty(owned.series)) {
        if (i == tombstones->capacity) {
            tombstones->capacity = i ? i * 2 : 8;
            tombstones->at =
                alloc_resize(tombstones->at, tombstones->capacity, sizeof *tombstones->at);
        }
        tombstones->at[i] = owned;
        tombstones->count += !known;
    } else {
        roaring_bitmap_free(owned.series);
        if (known) {
            tombstones->count--;
            memmove(tombstones->at + i, tombstones->at + i + 1,
                    (tombstones->count - i) * sizeof *tombstones->at);
        }
    }
    if (owned.sequence >= tombstones->next)
        tombstones->next = owned.sequence + 1;
    count_any(tombstones);
}

/* --- one series --- */

static int compare_ranges(const void *a, const void *b)
{
    int64_t x = ((const struct time_range *)a)->start_ms,
            y = ((const struct time_range *)b)->start_ms;
    return (x > y) - (x < y);
}

/* Sorts, and makes one of those that touch. */
static void unite(struct time_ranges *ranges)
{
    size_t kept = 0;
    if (ranges->count < 2)
        return;
    qsort(ranges->at, ranges->count, sizeof *ranges->at, compare_ranges);
    for (size_t i = 1; i < ranges->count; i++) {
        struct time_range *last = &ranges->at[kept];
        if (ranges->at[i].start_ms > last->end_ms + 1)
            ranges->at[++kept] = ranges->at[i];
        else if (ranges->at[i].end_ms > last->end_ms)
            last->end_ms = ranges->at[i].end_ms;
    }
    ranges->count = kept + 1;
}

void tombstones_of(const struct tombstones *tombstones, uint32_t series, struct time_range within,
                   struct time_ranges *out)
{
    out->count = 0;
    if (!tombstones_pending(tombstones, series))
        return;
    for (size_t i = 0; i < tombstones->count; i++) {
        const struct tombstone *row = &tombstones->at[i];
        if (row->range.start_ms > within.end_ms || row->range.end_ms < within.start_ms ||
            !roaring_bitmap_contains(row->series, series))
            continue;
        if (out->count == out->capacity) {
            out->capacity = out->capacity ? out->capacity * 2 : 8;
            out->at = alloc_resize(out->at, out->capacity, sizeof *out->at);
        }
        out->at[out->count++] = row->range;
    }
    unite(out);
}

void time_ranges_release(struct time_ranges *ranges)
{
    free(ranges->at);
    *ranges = (struct time_ranges){0};
}

bool time_ranges_cover(const struct time_ranges *ranges, struct time_range range)
{
    for (size_t i = 0; i < ranges->count; i++)
        if (ranges->at[i].start_ms <= range.start_ms && ranges->at[i].end_ms >= range.end_ms)
            return true;
    return false;
}

bool time_ranges_meet(const struct time_ranges *ranges, struct time_range range)
{
    for (size_t i = 0; i < ranges->count; i++)
        if (ranges->at[i].start_ms <= range.end_ms && ranges->at[i].end_ms >= range.start_ms)
            return true;
    return false;
}

size_t time_ranges_strike(const struct time_ranges *ranges, const struct sample_arrays *samples,
                          size_t count)
{
    int64_t *times = samples->times;
    size_t kept = 0, next = 0;
    for (size_t i = 0; i < count; i++) {
        while (next < ranges->count && ranges->at[next].end_ms < times[i])
            next++;
        if (next < ranges->count && ranges->at[next].start_ms <= times[i])
            continue;
        times[kept] = times[i];
        if (samples->values)
            samples->values[kept] = samples->values[i];
        if (samples->histograms)
            samples->histograms[kept] = samples->histograms[i];
        if (samples->sketches)
            samples->sketches[kept] = samples->sketches[i];
        kept++;
    }
    return kept;
}

void tombstones_add_left(const struct tombstones *tombstones, struct time_range range,
                         const roaring_bitmap_t *active, roaring_bitmap_t *ids)
{
    roaring_bitmap_t *left = NULL;
    for (size_t i = 0; i < tombstones->count; i++) {
        const struct tombstone *row = &tombstones->at[i];
        if (row->range.start_ms > range.start_ms || row->range.end_ms < range.end_ms)
            continue;
        if (!left)
            left = roaring_bitmap_copy(active);
        roaring_bitmap_andnot_inplace(left, row->series);
    }
    roaring_bitmap_or_inplace(ids, left ? left : active);
    if (left)
        roaring_bitmap_free(left);
}
