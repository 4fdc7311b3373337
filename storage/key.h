/* key: the keys of chunks and partitions, as bytes that sort in the order they are read.
 *
 *   KV_CHUNK     resolution u8 = 0 | partition u32be | series u32be | offset u32be   (13 bytes)
 *                resolution u8 = 1 (5m), 2 (1h) | 32 days u32be | series u32be | offset u32be
 *   KV_POSTINGS  partition u32be;  of rollups: resolution u8 | 32 days u32be
 *   KV_SERIES    series u32be
 *   KV_HEADLOG   sequence u64be
 *
 * A partition is a day since 1970 (UTC); the offset is the chunk's start within it in ms. Time comes
 * first, so that retention drops whole files. A rollup has one value a series and day, and the days
 * of a series next to each other: its partitions are 32 days. Pure functions.
 */
#ifndef STORAGE_KEY_H
#define STORAGE_KEY_H

#include "storage/base/buffer.h"

#define PARTITION_MS    ((int64_t)86400000)
#define CHUNK_KEY_BYTES 13
#define RESOLUTION_RAW  0
#define RESOLUTION_5M   1
#define RESOLUTION_1H   2
#define ROLLUP_DAYS     32 /* in one partition of a rollup */
/* Samples outside [0, TIME_MS_MAX] are refused: year 9999. */
#define TIME_MS_MAX ((int64_t)253402300799999)

struct chunk_key {
    uint32_t partition;
    uint32_t series;
    uint32_t offset_ms;
};

/* The buckets of one series on one day. */
struct rollup_key {
    uint8_t resolution;
    uint32_t day;
    uint32_t series;
};

struct key_bytes {
    char at[CHUNK_KEY_BYTES];
    size_t len;
};

static inline uint32_t partition_of(int64_t time_ms)
{
    return (uint32_t)(time_ms / PARTITION_MS);
}

/* Buckets are left-open: the sample of midnight falls into the last bucket of the day before. */
static inline uint32_t bucket_day_of(int64_t time_ms)
{
    return time_ms > 0 ? (uint32_t)((time_ms - 1) / PARTITION_MS) : 0;
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
struct key_bytes key_of_rollup(struct rollup_key key);
MUST_USE bool key_parse_rollup(struct slice bytes, struct rollup_key *out);
/* The bound below all buckets of a partition of 32 days. */
struct key_bytes key_of_rollups(uint8_t resolution, uint32_t partition);
/* The key of a list of series; the partition is a day, or 32 days of a rollup. */
struct key_bytes key_of_postings(uint8_t resolution, uint32_t partition);
MUST_USE bool key_parse_postings(struct slice bytes, uint8_t *resolution, uint32_t *partition);
struct key_bytes key_of_u32(uint32_t number);
struct key_bytes key_of_u64(uint64_t number);
static inline int64_t chunk_key_time(struct chunk_key key)
{
    return partition_start(key.partition) + key.offset_ms;
}

#endif
