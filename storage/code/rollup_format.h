/* rollup_format: what the two halves of rollup_code share; the format is drawn in rollup_code.c. */
#ifndef STORAGE_CODE_ROLLUP_FORMAT_H
#define STORAGE_CODE_ROLLUP_FORMAT_H

#include <xxhash.h>

#include "storage/key.h"
#include "storage/store.h"

#define VERSION        1
#define TYPE_HISTOGRAM 1
#define TYPE_NO_DROP   2
#define TYPE_DAMAGED   4
#define TYPE_ENDED     8
#define TYPE_SKETCHES  16
#define TYPE_MAX       31
#define HEADER_BYTES   6
#define EXPONENT_RAW   255
/* Of a day. The first day has one more: what was at 1970-01-01 00:00:00 has no day before it. */
#define BUCKETS_MAX ((size_t)(PARTITION_MS / STORE_5M_MS) + 1)

enum how {
    HOW_ZERO,
    HOW_SCALED,
    HOW_DOUBLES,
};

static inline uint32_t rollup_checksum(struct slice bytes, uint8_t type)
{
    return (uint32_t)XXH3_64bits_withSeed(bytes.at, bytes.len, type);
}

#endif
