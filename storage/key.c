/* key: see the header. */
#include "storage/key.h"

#include <endian.h>

static void put_u32(struct key_bytes *key, uint32_t number)
{
    number = htobe32(number);
    memcpy(key->at + key->len, &number, sizeof number);
    key->len += sizeof number;
}

static struct key_bytes key_of_partition(uint8_t resolution, uint32_t partition)
{
    struct key_bytes key = {.at = {(char)resolution}, .len = 1};
    put_u32(&key, partition);
    return key;
}

struct key_bytes key_of_chunks(uint32_t partition)
{
    return key_of_partition(RESOLUTION_RAW, partition);
}

struct key_bytes key_of_chunk(struct chunk_key chunk)
{
    struct key_bytes key = key_of_chunks(chunk.partition);
    put_u32(&key, chunk.series);
    put_u32(&key, chunk.offset_ms);
    return key;
}

bool key_parse_chunk(struct slice bytes, struct chunk_key *out)
{
    uint8_t resolution;
    return bytes_cut_u8(&bytes, &resolution) && resolution == RESOLUTION_RAW &&
           bytes_cut_u32be(&bytes, &out->partition) && bytes_cut_u32be(&bytes, &out->series) &&
           bytes_cut_u32be(&bytes, &out->offset_ms) && bytes.len == 0 &&
           out->offset_ms < PARTITION_MS;
}

struct key_bytes key_of_rollups(uint8_t resolution, uint32_t partition)
{
    return key_of_partition(resolution, partition);
}

struct key_bytes key_of_rollup(struct rollup_key rollup)
{
    struct key_bytes key = key_of_rollups(rollup.resolution, rollup.day / ROLLUP_DAYS);
    put_u32(&key, rollup.series);
    put_u32(&key, rollup.day % ROLLUP_DAYS * (uint32_t)PARTITION_MS);
    return key;
}

bool key_parse_rollup(struct slice bytes, struct rollup_key *out)
{
    uint32_t partition, offset;
    if (!bytes_cut_u8(&bytes, &out->resolution) || !bytes_cut_u32be(&bytes, &partition) ||
        !bytes_cut_u32be(&bytes, &out->series) || !bytes_cut_u32be(&bytes, &offset) || bytes.len ||
        (out->resolution != RESOLUTION_5M && out->resolution != RESOLUTION_1H) ||
        offset % PARTITION_MS || offset / PARTITION_MS >= ROLLUP_DAYS ||
        partition > UINT32_MAX / ROLLUP_DAYS)
        return false;
    out->day = partition * ROLLUP_DAYS + (uint32_t)(offset / PARTITION_MS);
    return true;
}

struct key_bytes key_of_postings(uint8_t resolution, uint32_t partition)
{
    return resolution == RESOLUTION_RAW ? key_of_u32(partition)
                                        : key_of_partition(resolution, partition);
}

bool key_parse_postings(struct slice bytes, uint8_t *resolution, uint32_t *partition)
{
    *resolution = RESOLUTION_RAW;
    if (bytes.len > 4 && (!bytes_cut_u8(&bytes, resolution) || *resolution == RESOLUTION_RAW))
        return false;
    return bytes_cut_u32be(&bytes, partition) && bytes.len == 0;
}

struct key_bytes key_of_u32(uint32_t number)
{
    struct key_bytes key = {.len = 0};
    put_u32(&key, number);
    return key;
}

struct key_bytes key_of_u64(uint64_t number)
{
    struct key_bytes key = {.len = 0};
    put_u32(&key, (uint32_t)(number >> 32));
    put_u32(&key, (uint32_t)number);
    return key;
}
