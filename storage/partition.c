/* partition: a sorted array of days, each with a roaring bitmap.
 *
 *   KV_POSTINGS   partition u32be -> checksum u32le | longest chunk ms u32le | roaring bitmap
 *
 * The checksum is the low half of XXH3 over what follows; the bitmap is in roaring's portable format.
 *
 * A bitmap is written in the same batch as the chunks that made it grow. That is at most some
 * kilobytes a tick during the first hour of a day, and nothing afterwards.
 */
#include "storage/partition.h"

#include <endian.h>
#include <stdlib.h>
#include <xxhash.h>

#include "storage/base/alloc.h"
#include "storage/key.h"

#define HEADER_BYTES 8

void partitions_release(struct partitions *partitions)
{
    for (size_t i = 0; i < partitions->count; i++)
        roaring_bitmap_free(partitions->at[i].active);
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

/* Takes over the bitmap. */
static void insert(struct partitions *partitions, size_t place, uint32_t day,
                   roaring_bitmap_t *owned)
{
    if (partitions->count == partitions->capacity) {
        partitions->capacity = partitions->capacity ? partitions->capacity * 2 : 8;
        partitions->at = alloc_resize(partitions->at, partitions->capacity, sizeof *partitions->at);
    }
    memmove(&partitions->at[place + 1], &partitions->at[place],
            (partitions->count - place) * sizeof *partitions->at);
    partitions->at[place] = (struct partition){.day = day, .active = owned};
    partitions->count++;
}

void partitions_mark(struct partitions *partitions, uint32_t day, uint32_t series, uint32_t span_ms)
{
    size_t place = partitions_find(partitions, day);
    if (place == partitions->count || partitions->at[place].day != day)
        insert(partitions, place, day, roaring_bitmap_create());
    struct partition *partition = &partitions->at[place];
    bool fresh = roaring_bitmap_add_checked(partition->active, series);
    partition->dirty |= fresh || span_ms > partition->longest_ms;
    if (span_ms > partition->longest_ms)
        partition->longest_ms = span_ms;
}

void partitions_stage(const struct partitions *partitions, struct kv *kv, struct kv_batch *batch)
{
    struct buffer value;
    buffer_init(&value, SIZE_MAX);
    for (size_t i = 0; i < partitions->count; i++) {
        const struct partition *partition = &partitions->at[i];
        if (!partition->dirty)
            continue;
        struct key_bytes key = key_of_u32(partition->day);
        size_t size = roaring_bitmap_portable_size_in_bytes(partition->active);
        buffer_reset(&value);
        char *room = buffer_reserve(&value, HEADER_BYTES + size);
        uint32_t longest = htole32(partition->longest_ms);
        memcpy(room + 4, &longest, 4);
        roaring_bitmap_portable_serialize(partition->active, room + HEADER_BYTES);
        buffer_append_u32le(&value, (uint32_t)XXH3_64bits(room + 4, 4 + size));
        value.len += 4 + size;
        kv_batch_put(kv, batch, KV_POSTINGS, key_slice(&key), buffer_slice(&value));
    }
    buffer_release(&value);
}

void partitions_saved(struct partitions *partitions)
{
    for (size_t i = 0; i < partitions->count; i++)
        partitions->at[i].dirty = false;
}

static bool load_row(struct partitions *partitions, struct slice key, struct slice value)
{
    uint32_t day, sum, longest;
    if (!bytes_cut_u32be(&key, &day) || key.len || !bytes_cut_u32le(&value, &sum) ||
        sum != (uint32_t)XXH3_64bits(value.at, value.len) || !bytes_cut_u32le(&value, &longest))
        return false;
    roaring_bitmap_t *active = roaring_bitmap_portable_deserialize_safe(value.at, value.len);
    if (!active)
        return false;
    insert(partitions, partitions->count, day, active);
    partitions->at[partitions->count - 1].longest_ms = longest;
    return true;
}

int partitions_load(struct partitions *partitions, struct kv *kv, struct error *err)
{
    struct kv_iterator *it = kv_iterate(kv, KV_POSTINGS, SLICE(""), SLICE(""));
    int status = 0;
    for (bool more = kv_seek_first(it); more && !status; more = kv_next(it))
        if (!load_row(partitions, kv_key(it), kv_value(it)))
            status = error_set(err, ERROR_INTERNAL,
                               "a partition's list of series is damaged; restore a backup");
    if (!status)
        status = kv_iterator_check(it, err);
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

void partitions_forget(struct partitions *partitions, size_t count)
{
    for (size_t i = 0; i < count; i++)
        roaring_bitmap_free(partitions->at[i].active);
    partitions->count -= count;
    memmove(partitions->at, partitions->at + count, partitions->count * sizeof *partitions->at);
}
