/* decimal: digits as lanes of a word.
 *
 *   bytes    r e q : 1 2 . 5     the eight that end where the number ends
 *   lanes    0 0 0 0 1 2 . 5     what is not of the number becomes a leading zero
 *            0 0 0 0 0 1 2 5     the point is pushed out: one digit of fraction
 *
 * Then neighbours are joined, by tens, hundreds and ten thousands. How many digits there are is
 * nothing that a branch depends on, because from line to line nobody could predict it. A longer
 * number is two words. The first byte is the lowest lane, as in little-endian memory.
 */
#include "server/wire/decimal.h"

#include <endian.h>

#define LANE        8u /* bits */
#define WORD        8u /* lanes */
#define EVERY(byte) ((byte)*0x0101010101010101u)

static const double power_of_ten[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6, 1e7,
                                      1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14};

struct part {
    uint64_t number;
    unsigned digits, fraction; /* all, and those behind the point */
    bool point;
};

static uint64_t load(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return le64toh(word);
}

/* At most eight bytes in the highest lanes. */
static uint64_t load_last(struct slice s, const char *readable)
{
    const char *end = s.at + s.len;
    uint64_t word = 0;
    if (end - readable >= WORD)
        return load(end - WORD);
    for (size_t i = 0; i < s.len; i++)
        word = word >> LANE | (uint64_t)(unsigned char)s.at[i] << (WORD - 1) * LANE;
    return word;
}

static uint64_t join(uint64_t lanes)
{
    lanes = (lanes * 10 + (lanes >> LANE)) & 0x00ff00ff00ff00ffu;
    lanes = (lanes * 100 + (lanes >> 2 * LANE)) & 0x0000ffff0000ffffu;
    return (lanes * 10000 + (lanes >> 4 * LANE)) & 0xffffffffu;
}

/* The highest `count` lanes, 1 to 8. False when they hold more than digits and a point. */
static inline bool read_part(uint64_t word, unsigned count, struct part *part)
{
    uint64_t lanes = (word ^ EVERY('0')) & ~(uint64_t)0 << (WORD - count) * LANE;
    uint64_t others = ((lanes & EVERY(0x7fu)) + EVERY(0x80u - 10)) | lanes;
    others &= EVERY(0x80u);
    *part = (struct part){.digits = count};
    if (others) {
        unsigned place = (unsigned)__builtin_ctzll(others) / LANE * LANE;
        if ((lanes >> place & 0xff) != ('.' ^ '0') || others & (others - 1))
            return false;
        uint64_t behind = lanes & ~(uint64_t)0 << place << LANE;
        lanes = behind | (lanes & (((uint64_t)1 << place) - 1)) << LANE;
        *part =
            (struct part){.digits = count - 1, .fraction = WORD - 1 - place / LANE, .point = true};
    }
    part->number = join(lanes);
    return true;
}

/* The first bytes of more than eight, then the last eight. */
static bool read_long(struct slice s, struct part *part)
{
    struct part head;
    unsigned count = (unsigned)s.len - WORD;
    if (!read_part(load(s.at) << (WORD - count) * LANE, count, &head) ||
        !read_part(load(s.at + count), WORD, part) || (head.point && part->point))
        return false;
    part->number += head.number * (part->point ? 10000000u : 100000000u);
    part->fraction += head.point ? head.fraction + WORD : 0;
    return true;
}

bool decimal_read(struct slice s, const char *readable, double *out)
{
    struct part part;
    if (s.len - 1 >= DECIMAL_MAX) /* or empty */
        return false;
    if (s.len > WORD ? !read_long(s, &part)
                     : !read_part(load_last(s, readable), (unsigned)s.len, &part) || !part.digits)
        return false;
    *out = (double)part.number / power_of_ten[part.fraction];
    return true;
}
