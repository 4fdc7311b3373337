/* partition: a sorted array of days, each with its bitmaps.
 *
 *   KV_POSTINGS   day u32be                    the samples' days
 *                 resolution u8 | part u32be   32 days of a rollup
 *
 *   checksum u32le | longest chunk ms u32le | active | [flags u8 | stale | thinned]
 *
 *   checksum   the low half of XXH3 over what follows
 *   bitmaps    roaring's portable format, which says its own size
 *   flags      bit 0: closed, 1: fine, 2: remade; the three are left out where all are zero or empty
 *
 * A bitmap is written in the same batch as the chunks that made it grow. That is at most some
 * kilobytes a tick during the first hour of a day, and nothing until the day is closed.
 *
 * Buckets are left-open: the sample of midnight is the first of its day, but falls into the last
 * bucket of the day before. So a chunk that begins at midnight makes that day stale, and makes its
 * partition where there is none: the day will have a bucket although it has no sample.
 *
 * Samples may come to a day that has left (at its closing midnight, or since retention was made
 * longer). They must not replace the buckets that remain of it. So where a day is made that is not
 * the newest, a series that has buckets there when it gets samples is thinned, and what comes is read
 * as samples only.
 */
#include "storage/index/partition.h"

#include <endian.h>
#include <stdlib.h>
#include <xxhash.h>

#include "storage/base/alloc.h"
#include "storage/key.h"

#define HEADER_BYTES 8
#define FLAG_CLOSED  1
#define FLAG_FINE    2
#define FLAG_REMADE  4

static void release(struct partition *partition)
{
    roaring_bitmap_free(partition->active);
    roaring_bitmap_free(partition->stale);
    roaring_bitmap_free(partition->thinned);
    roaring_bitmap_free(partition->rolled);
}

void partitions_release(struct partitions *partitions)
{
    for (size_t i = 0; i < partitions->count; i++)
        release(&partitions->at[i]);
    free(partitions->at);
    *partitions = (struct partitions){0};
}

size_t partitions_find(const struct partitions *partitions, uint32_t day)
{
    size_t low = 0, high = partitions->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (partitions->at[middle].day < day)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct partition *partitions_get(const struct partitions *partitions, uint32_t day)
{
    size_t place = partitions_find(partitions, day);
    return place < partitions->count && partitions->at[place].day == day ? &partitions->at[place]
                                                                         : NULL;
}

/* The partition of that day, made if need be. */
static struct partition *make(struct partitions *partitions, uint32_t day)
{
    size_t place = partitions_find(partitions, day);
    if (place < partitions->count && partitions->at[place].day == day)
        return &partitions->at[place];
    if (partitions->count == partitions->capacity) {
        partitions->capacity = partitions->capacity ? partitions->capacity * 2 : 8;
        partitions->at = alloc_resize(partitions->at, partitions->capacity, sizeof *partitions->at);
    }
    memmove(&partitions->at[place + 1], &partitions->at[place],
            (partitions->count - place) * sizeof *partitions->at);
    bool remade = (place == 0 || place < partitions->count) && partitions->any_buckets &&
                  partitions->any_buckets(partitions->arg);
    partitions->at[place] = (struct partition){.day = day,
                                               .remade = remade,
                                               .active = roaring_bitmap_create(),
                                               .stale = roaring_bitmap_create(),
                                               .thinned = roaring_bitmap_create(),
                                               .rolled = roaring_bitmap_create()};
    partitions->count++;
    return &partitions->at[place];
}

/* --- changes --- */

static void add(struct partition *partition, roaring_bitmap_t *ids, uint32_t series)
{
    partition->dirty |= roaring_bitmap_add_checked(ids, series);
}

void partition_stretch(struct partition *partition, uint32_t span_ms)
{
    partition->dirty |= span_ms > partition->longest_ms;
    if (span_ms > partition->longest_ms)
        partition->longest_ms = span_ms;
}

void partition_roll(struct partition *partition, uint32_t series)
{
    roaring_bitmap_add(partition->rolled, series);
    partition->dirty = true;
}

void partitions_touch(struct partitions *partitions, uint32_t series, int64_t start_ms,
                      int64_t end_ms)
{
    uint32_t from = bucket_day_of(start_ms), to = bucket_day_of(end_ms);
    for (size_t i = partitions_find(partitions, from);
         i < partitions->count && partitions->at[i].day <= to; i++)
        if (partitions->at[i].closed)
            add(&partitions->at[i], partitions->at[i].stale, series);
}

/* True when samples that the series had on that day have left. Its buckets are of those unless they
 * were made since: then it is active, see close.c. */
static bool has_left(const struct partitions *partitions, const struct partition *partition,
                     uint32_t series)
{
    return partition->remade && !roaring_bitmap_contains(partition->active, series) &&
           partitions->has_buckets(partitions->arg, series, partition->day);
}

void partitions_mark(struct partitions *partitions, uint32_t series, int64_t start_ms,
                     int64_t end_ms)
{
    uint32_t before = bucket_day_of(start_ms);
    struct partition *partition = make(partitions, partition_of(start_ms));
    if (has_left(partitions, partition, series))
        add(partition, partition->thinned, series);
    add(partition, partition->active, series);
    partition_stretch(partition, (uint32_t)(end_ms - start_ms));
    partitions_touch(partitions, series, start_ms, end_ms);
    if (before == partition_of(start_ms))
        return;
    partition = make(partitions, before);
    bool left = has_left(partitions, partition, series);
    add(partition, left ? partition->thinned : partition->stale, series);
}

void partitions_mark_rollup(struct partitions *rollups, uint32_t partition, uint32_t series)
{
    struct partition *at = make(rollups, partition);
    add(at, at->active, series);
}

/* Takes those out whose samples of that day have left: their buckets cannot be made again. */
static void remove_left(const struct partitions *partitions, const struct partition *partition,
                        roaring_bitmap_t *ids)
{
    roaring_bitmap_t *all = roaring_bitmap_copy(ids);
    roaring_uint32_iterator_t it;
    for (roaring_init_iterator(all, &it); it.has_value; roaring_advance_uint32_iterator(&it))
        if (has_left(partitions, partition, it.current_value))
            roaring_bitmap_remove(ids, it.current_value);
    roaring_bitmap_free(all);
}

/* Those of the series that have samples in `samples` become stale on that day, if it is closed. */
static void make_stale(struct partitions *partitions, uint32_t day, const roaring_bitmap_t *series,
                       const struct partition *samples)
{
    struct partition *partition = partitions_get(partitions, day);
    if (!partition || !partition->closed)
        return;
    roaring_bitmap_t *ids = roaring_bitmap_and(series, samples->active);
    if (partition->remade)
        remove_left(partitions, partition, ids);
    roaring_bitmap_or_inplace(partition->stale, ids);
    roaring_bitmap_free(ids);
    partition->dirty = true;
}

void partitions_touch_all(struct partitions *partitions, const roaring_bitmap_t *series,
                          int64_t start_ms, int64_t end_ms)
{
    for (size_t i = partitions_find(partitions, partition_of(start_ms));
         i < partitions->count && partitions->at[i].day <= partition_of(end_ms); i++) {
        uint32_t day = partitions->at[i].day;
        make_stale(partitions, day, series, &partitions->at[i]);
        if (day &&
            partition_start(day) >= start_ms) /* its midnight is in a bucket of the day before */
            make_stale(partitions, day - 1, series, &partitions->at[i]);
    }
}

/* --- on disk --- */

/* Appends the ids, less those of `without`, in as few bytes as they take. */
static void append_ids(struct buffer *out, const roaring_bitmap_t *ids,
                       const roaring_bitmap_t *without)
{
    roaring_bitmap_t *copy = roaring_bitmap_andnot(ids, without);
    roaring_bitmap_run_optimize(copy);
    size_t size = roaring_bitmap_portable_size_in_bytes(copy);
    out->len += roaring_bitmap_portable_serialize(copy, buffer_reserve(out, size));
    roaring_bitmap_free(copy);
}

static void append_row(struct buffer *out, const struct partition *partition)
{
    roaring_bitmap_t *none = roaring_bitmap_create();
    buffer_append_u32le(out, 0);
    buffer_append_u32le(out, partition->longest_ms);
    append_ids(out, partition->active, none);
    uint8_t flags =
        (uint8_t)((partition->closed ? FLAG_CLOSED : 0) | (partition->fine ? FLAG_FINE : 0) |
                  (partition->remade ? FLAG_REMADE : 0));
    if (flags || !roaring_bitmap_is_empty(partition->stale) ||
        !roaring_bitmap_is_empty(partition->thinned)) {
        buffer_append_u8(out, flags);
        append_ids(out, partition->stale, partition->rolled);
        append_ids(out, partition->thinned, none);
    }
    uint32_t sum = htole32((uint32_t)XXH3_64bits(out->at + 4, out->len - 4));
    memcpy(out->at, &sum, sizeof sum);
    roaring_bitmap_free(none);
}

void partitions_stage(const struct partitions *partitions, struct kv *kv, struct kv_batch *batch)
{
    struct buffer value;
    buffer_init(&value, SIZE_MAX);
    for (size_t i = 0; i < partitions->count; i++) {
        const struct partition *partition = &partitions->at[i];
        if (!partition->dirty)
            continue;
        struct key_bytes key = key_of_postings(partitions->resolution, partition->day);
        buffer_reset(&value);
        append_row(&value, partition);
        kv_batch_put(kv, batch, KV_POSTINGS, key_slice(&key), buffer_slice(&value));
    }
    buffer_release(&value);
}

void partitions_saved(struct partitions *partitions)
{
    for (size_t i = 0; i < partitions->count; i++) {
        struct partition *partition = &partitions->at[i];
        partition->dirty = false;
        if (roaring_bitmap_is_empty(partition->rolled))
            continue;
        roaring_bitmap_andnot_inplace(partition->stale, partition->rolled);
        roaring_bitmap_clear(partition->rolled);
    }
}

void partitions_unstage(struct partitions *partitions)
{
    for (size_t i = 0; i < partitions->count; i++)
        roaring_bitmap_clear(partitions->at[i].rolled);
}

/* Cuts a bitmap from the front of *rest and puts it in the place of an empty one. */
static bool cut_ids(struct slice *rest, roaring_bitmap_t **out)
{
    size_t size = roaring_bitmap_portable_deserialize_size(rest->at, rest->len);
    roaring_bitmap_t *ids = roaring_bitmap_portable_deserialize_safe(rest->at, rest->len);
    if (!ids)
        return false;
    roaring_bitmap_free(*out);
    *out = ids;
    *rest = slice_skip(*rest, size);
    return true;
}

static bool load_row(struct partitions *partitions, uint32_t day, struct slice value)
{
    uint32_t sum;
    uint8_t flags;
    struct partition *partition = make(partitions, day);
    if (!bytes_cut_u32le(&value, &sum) || sum != (uint32_t)XXH3_64bits(value.at, value.len) ||
        !bytes_cut_u32le(&value, &partition->longest_ms) || !cut_ids(&value, &partition->active))
        return false;
    if (value.len == 0)
        return true;
    if (!bytes_cut_u8(&value, &flags) || flags > (FLAG_CLOSED | FLAG_FINE | FLAG_REMADE) ||
        !cut_ids(&value, &partition->stale) || !cut_ids(&value, &partition->thinned))
        return false;
    partition->closed = flags & FLAG_CLOSED;
    partition->fine = flags & FLAG_FINE;
    partition->remade = flags & FLAG_REMADE;
    return value.len == 0;
}

bool partitions_check_row(struct slice value)
{
    struct partitions scratch = {.count = 0};
    bool sound = load_row(&scratch, 0, value);
    partitions_release(&scratch);
    return sound;
}

/* A walk over all rows, of which those of one resolution are taken. */
struct partition_load {
    struct partitions *partitions;
    struct kv *kv;
    bool damaged;
};

static bool take_row(void *arg, struct slice key, struct slice value)
{
    struct partition_load *load = arg;
    uint8_t resolution = load->partitions->resolution;
    uint32_t day = 0;
    if (key_parse_postings(key, &resolution, &day) &&
        (resolution != load->partitions->resolution || load_row(load->partitions, day, value)))
        return true;
    damage_note(kv_damages(load->kv), DAMAGE_INDEX, "the list of the series of day %u is damaged",
                day);
    load->damaged = true;
    return true;
}

int partitions_load(struct partitions *partitions, struct kv *kv, struct error *err)
{
    struct partition_load load = {.partitions = partitions, .kv = kv};
    struct kv_range all = {.family = KV_POSTINGS};
    int places = kv_each(kv, &all, take_row, &load, err);
    return places < 0 ? -1 : places > 0 || load.damaged;
}

/* The first key of KV_CHUNK behind those of this series in this partition. */
static struct key_bytes next_series(uint8_t resolution, struct chunk_key at)
{
    at.offset_ms = UINT32_MAX;
    struct key_bytes key = key_of_chunk(at);
    key.at[0] = (char)resolution;
    return key;
}

int partitions_rebuild(struct partitions *partitions, struct kv *kv, struct error *err)
{
    struct key_bytes from = key_of_rollups(partitions->resolution, 0);
    struct key_bytes to = key_of_rollups((uint8_t)(partitions->resolution + 1), 0);
    struct kv_iterator *it = kv_iterate(kv, KV_CHUNK, key_slice(&from), key_slice(&to));
    bool more = kv_seek_first(it);
    while (more) {
        struct slice rest = kv_key(it);
        struct chunk_key at = {.offset_ms = 0};
        uint8_t resolution;
        if (!bytes_cut_u8(&rest, &resolution) || !bytes_cut_u32be(&rest, &at.partition) ||
            !bytes_cut_u32be(&rest, &at.series))
            break;
        struct partition *partition = make(partitions, at.partition);
        add(partition, partition->active, at.series);
        if (resolution == RESOLUTION_RAW)
            partition_stretch(partition, (uint32_t)PARTITION_MS);
        struct key_bytes next = next_series(resolution, at);
        more = kv_seek(it, key_slice(&next));
    }
    int status = kv_iterator_damage(it, err) < 0 ? -1 : 0;
    kv_iterator_free(it);
    return status;
}

roaring_bitmap_t *partitions_union(const struct partitions *partitions, uint32_t from, uint32_t to)
{
    roaring_bitmap_t *ids = roaring_bitmap_create();
    for (size_t i = partitions_find(partitions, from);
         i < partitions->count && partitions->at[i].day <= to; i++)
        roaring_bitmap_or_inplace(ids, partitions->at[i].active);
    return ids;
}

void partitions_forget(struct partitions *partitions, size_t place)
{
    release(&partitions->at[place]);
    partitions->count--;
    memmove(partitions->at + place, partitions->at + place + 1,
            (partitions->count - place) * sizeof *partitions->at);
}
