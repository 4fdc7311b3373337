/* key: see the header. */
#include "storage/key.h"

#include <endian.h>

static void put_u32(struct key_bytes *key, uint32_t number)
{
    number = htobe32(number);
    memcpy(key->at + key->len, &number, sizeof number);
    key->len += sizeof number;
}

struct key_bytes key_of_chunks(uint32_t partition)
{
    struct key_bytes key = {.at = {RESOLUTION_RAW}, .len = 1};
    put_u32(&key, partition);
    return key;
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
