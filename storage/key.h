/* key: the keys of chunks and partitions, as bytes that sort in the order they are read.
 *
 *   KV_CHUNK     resolution u8 = 0 | partition u32be | series u32be | offset u32be   (13 bytes)
 *   KV_POSTINGS  partition u32be
 *   KV_SERIES    series u32be
 *   KV_HEADLOG   sequence u64be
 *
 * A partition is a day since 1970 (UTC); the offset is the chunk's start within it in ms. Time comes
 * first, so that retention drops whole files. Pure functions.
 */
#ifndef STORAGE_KEY_H
#define STORAGE_KEY_H

#include "storage/base/buffer.h"

#define PARTITION_MS    ((int64_t)86400000)
#define CHUNK_KEY_BYTES 13
#define RESOLUTION_RAW  0
/* Samples outside [0, TIME_MS_MAX] are refused: year 9999. */
#define TIME_MS_MAX ((int64_t)253402300799999)

struct chunk_key {
    uint32_t partition;
    uint32_t series;
    uint32_t offset_ms;
};

struct key_bytes {
    char at[CHUNK_KEY_BYTES];
    size_t len;
};

static inline uint32_t partition_of(int64_t time_ms)
{
    return (uint32_t)(time_ms / PARTITION_MS);
}

static inline int64_t partition_start(uint32_t partition)
{
    return (int64_t)partition * PARTITION_MS;
}

static inline struct slice key_slice(const struct key_bytes *key)
{
    return slice_make(key->at, key->len);
}

struct key_bytes key_of_chunk(struct chunk_key key);
/* False when it is no chunk key of raw resolution. */
MUST_USE bool key_parse_chunk(struct slice bytes, struct chunk_key *out);
/* The bound below all raw chunks of a partition. */
struct key_bytes key_of_chunks(uint32_t partition);
struct key_bytes key_of_u32(uint32_t number);
struct key_bytes key_of_u64(uint64_t number);
static inline int64_t chunk_key_time(struct chunk_key key)
{
    return partition_start(key.partition) + key.offset_ms;
}

#endif
