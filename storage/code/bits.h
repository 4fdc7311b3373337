/* bits: integers of a few bits each, one after the other, least significant bit first.
 *
 * Nothing is read outside the bytes, which may end anywhere. Pure functions; any thread.
 */
#ifndef STORAGE_CODE_BITS_H
#define STORAGE_CODE_BITS_H

#include <endian.h>

#include "storage/base/slice.h"

#define BITS_AT_ONCE 57 /* that eight bytes hold wherever they begin */

/* The bits from `bit` on, which is in the bytes: BITS_AT_ONCE, or as many as there are. */
static inline uint64_t bits_from(struct slice bytes, size_t bit)
{
    uint64_t word = 0;
    if (bytes.len < sizeof word) {
        memcpy(&word, bytes.at, bytes.len);
        return le64toh(word) >> bit;
    }
    size_t at = bit / 8, last = bytes.len - sizeof word;
    at = at < last ? at : last; /* the last bits are the high ones of the last eight bytes */
    memcpy(&word, bytes.at + at, sizeof word);
    return le64toh(word) >> (bit - at * 8);
}

/* The integer of `width` bits that begins at `bit`: 1 to 64 bits, all of them in the bytes. */
static inline uint64_t bits_read(struct slice bytes, size_t bit, unsigned width)
{
    uint64_t word = bits_from(bytes, bit);
    if (width > BITS_AT_ONCE)
        word = (uint32_t)word | bits_from(bytes, bit + 32) << 32;
    return word & UINT64_MAX >> (64 - width);
}

/* How many integers of that width have eight bytes from the one on that they begin in. */
static inline size_t bits_count_inside(struct slice bytes, unsigned width)
{
    if (width == 0 || width > BITS_AT_ONCE || bytes.len < sizeof(uint64_t))
        return 0;
    return ((bytes.len - sizeof(uint64_t)) * 8 + 7) / width + 1;
}

/* One of those, in less time. */
static inline uint64_t bits_inside(struct slice bytes, size_t bit, unsigned width)
{
    uint64_t word;
    memcpy(&word, bytes.at + bit / 8, sizeof word);
    return le64toh(word) >> (bit & 7) & UINT64_MAX >> (64 - width);
}

#endif
