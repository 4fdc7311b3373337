/* run: byte codes in a ring of small blocks.
 *
 *   run -> last block -> first block -> ... -> last block
 *   block   next * | used u8 | room u8 | at u8 | exponent u8 | codes, 12 or 52 bytes
 *
 *   00..9f        an integer of -80..80 that is not 0, zigzag - 1
 *   a0..bf        nothing changed, 1..32 times; grows in place while it is the last code
 *   c0..df + 1    integers of 14 bits
 *   e0..e7 + 1-8  longer ones: 1 to 8 bytes
 *   e8..ee        the exponent is 0..6 from here on, and the integer 0; stands for no number
 *   f0..f7 + 1-8  the bits of the double before, XOR these 1 to 8 low bytes
 *
 * In a run of gaps an integer is a gap. In a run of doubles it is the difference of k, where the
 * double is k / 10^exponent, to the bit (column.h); what no exponent serves is coded as XOR. So an
 * idle counter costs a byte in 32 samples, a busy one a byte a sample, a gauge of a few digits one
 * or two, and noise nine. A code lies within one block. The first block of a run is small, for what
 * changes once in a while; all others are a cache line.
 *
 * Deliberately absent: finding a place without decoding what lies before it. A run is as long as a
 * chunk and costs some two nanoseconds a number.
 */
#include "storage/code/run.h"

#include <endian.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "storage/code/column.h"

#define FIRST_BYTES   24
#define MORE_BYTES    64
#define EXPONENTS     (COLUMN_EXPONENT_MAX + 1)
#define INTEGER_LIMIT 9007199254740992.0 /* 2^53 */

static const double powers[EXPONENTS] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};

enum {
    CODE_SAME = 0xa0,
    CODE_TWO_BYTES = 0xc0,
    CODE_LONG = 0xe0,
    CODE_EXPONENT = 0xe8,
    CODE_XOR = 0xf0,
    SHORT_MAX = CODE_SAME,                                           /* zigzag 1..SHORT_MAX */
    TWO_BYTES_MAX = SHORT_MAX + ((CODE_LONG - CODE_TWO_BYTES) << 8), /* and up to here */
    SAME_MAX = CODE_TWO_BYTES - 1,
};

struct run_block {
    struct run_block *next; /* of the last one: the first */
    uint8_t used, room;     /* bytes of codes */
    uint8_t at;             /* where the last code begins */
    uint8_t exponent;
    uint8_t codes[];
};

void run_pool_init(struct run_pool *pool)
{
    pool_init(&pool->first, FIRST_BYTES);
    pool_init(&pool->more, MORE_BYTES);
}

void run_pool_release(struct run_pool *pool)
{
    pool_release(&pool->first);
    pool_release(&pool->more);
}

size_t run_pool_used_bytes(const struct run_pool *pool)
{
    return pool->first.used * FIRST_BYTES + pool->more.used * MORE_BYTES;
}

void run_free(struct run_pool *pool, struct run_block **run)
{
    struct run_block *last = *run;
    if (!last)
        return;
    struct run_block *first = last->next;
    for (struct run_block *block = first; block != last;) {
        struct run_block *next = block->next;
        pool_give(block == first ? &pool->first : &pool->more, block);
        block = next;
    }
    pool_give(last == first ? &pool->first : &pool->more, last);
    *run = NULL;
}

/* --- appending --- */

static struct run_block *add_block(struct run_pool *pool, struct run_block *last)
{
    size_t size = last ? MORE_BYTES : FIRST_BYTES;
    struct run_block *block = pool_take(last ? &pool->more : &pool->first);
    block->room = (uint8_t)(size - offsetof(struct run_block, codes));
    block->next = last ? last->next : block;
    block->exponent = last ? last->exponent : 0;
    if (last)
        last->next = block;
    return block;
}

/* Room for a code of `size` bytes. */
static uint8_t *append_code(struct run_pool *pool, struct run_block **run, size_t size)
{
    struct run_block *last = *run;
    if (!last || last->used + size > last->room)
        *run = last = add_block(pool, last);
    last->at = last->used;
    last->used = (uint8_t)(last->used + size);
    return &last->codes[last->at];
}

static void append_long(struct run_pool *pool, struct run_block **run, unsigned kind, uint64_t bits)
{
    size_t len = 8 - (size_t)__builtin_clzll(bits) / 8;
    uint8_t *code = append_code(pool, run, 1 + len);
    code[0] = (uint8_t)(kind + len - 1);
    bits = htole64(bits);
    memcpy(code + 1, &bits, len);
}

void run_repeat(struct run_pool *pool, struct run_block **run, size_t count)
{
    while (count) {
        struct run_block *last = *run;
        uint8_t *code = last && last->used ? &last->codes[last->at] : NULL;
        if (!code || *code < CODE_SAME || *code >= SAME_MAX) {
            *append_code(pool, run, 1) = CODE_SAME;
            count--;
            continue;
        }
        size_t room = SAME_MAX - (size_t)*code, more = count < room ? count : room;
        *code = (uint8_t)(*code + more);
        count -= more;
    }
}

void run_append_gap(struct run_pool *pool, struct run_block **run, int64_t gap)
{
    uint64_t zigzag = ((uint64_t)gap << 1) ^ (uint64_t)(gap >> 63);
    if (zigzag == 0) {
        run_repeat(pool, run, 1);
    } else if (zigzag <= SHORT_MAX) {
        *append_code(pool, run, 1) = (uint8_t)(zigzag - 1);
    } else if (zigzag <= TWO_BYTES_MAX) {
        uint8_t *code = append_code(pool, run, 2);
        zigzag -= SHORT_MAX + 1;
        code[0] = (uint8_t)(CODE_TWO_BYTES + (zigzag >> 8));
        code[1] = (uint8_t)zigzag;
    } else {
        append_long(pool, run, CODE_LONG, zigzag);
    }
}

/* As column_to_scaled, but ready to be inlined, and without a division for integers: here it is
 * what appending costs. */
static inline bool to_scaled(double value, unsigned exponent, int64_t *k)
{
    double scaled = exponent ? value * powers[exponent] : value;
    if (!(fabs(scaled) < INTEGER_LIMIT))
        return false;
    *k = exponent ? (int64_t)(scaled + (scaled < 0 ? -0.5 : 0.5)) : (int64_t)scaled;
    double back = exponent ? (double)*k / powers[exponent] : (double)*k;
    return double_bits(back) == double_bits(value); /* not so for -0 */
}

/* The smallest exponent that serves the value, or a larger one than any. */
static unsigned find_exponent(double value, int64_t *k)
{
    unsigned exponent = 0;
    while (exponent <= COLUMN_EXPONENT_MAX && !to_scaled(value, exponent, k))
        exponent++;
    return exponent;
}

/* An exponent that serves, and the integer as a difference to 0; or else XOR. */
static void append_afresh(struct run_pool *pool, struct run_block **run, double last, double value)
{
    int64_t k;
    unsigned exponent = find_exponent(value, &k);
    if (exponent > COLUMN_EXPONENT_MAX) {
        append_long(pool, run, CODE_XOR, double_bits(value) ^ (*run ? double_bits(last) : 0));
        return;
    }
    *append_code(pool, run, 1) = (uint8_t)(CODE_EXPONENT + exponent);
    (*run)->exponent = (uint8_t)exponent;
    run_append_gap(pool, run, k);
}

void run_append_value(struct run_pool *pool, struct run_block **run, double last, double value)
{
    int64_t k, last_k;
    if (*run && double_bits(last) == double_bits(value))
        run_repeat(pool, run, 1);
    else if (*run && to_scaled(value, (*run)->exponent, &k) &&
             to_scaled(last, (*run)->exponent, &last_k))
        run_append_gap(pool, run, k - last_k);
    else
        append_afresh(pool, run, last, value);
}

/* --- reading --- */

struct cursor {
    const struct run_block *block;
    const uint8_t *at, *end;
    size_t same; /* how often nothing changes from here */
};

static struct cursor cursor_of(const struct run_block *run)
{
    const struct run_block *first = run->next;
    return (struct cursor){first, first->codes, first->codes + first->used, 0};
}

static uint8_t cut_byte(struct cursor *cursor)
{
    while (cursor->at == cursor->end) {
        cursor->block = cursor->block->next;
        cursor->at = cursor->block->codes;
        cursor->end = cursor->at + cursor->block->used;
        __builtin_prefetch(cursor->block->next);
    }
    return *cursor->at++;
}

static uint64_t cut_long(struct cursor *cursor, size_t len)
{
    uint64_t bits = 0;
    memcpy(&bits, cursor->at, len);
    cursor->at += len;
    return le64toh(bits);
}

/* The integer that `code` begins. */
static inline int64_t cut_integer(struct cursor *cursor, unsigned code)
{
    uint64_t zigzag;
    if (code < CODE_SAME)
        zigzag = code + 1;
    else if (code < CODE_LONG)
        zigzag = SHORT_MAX + 1 + (((uint64_t)code - CODE_TWO_BYTES) << 8 | *cursor->at++);
    else
        zigzag = cut_long(cursor, code - CODE_LONG + 1);
    return (int64_t)(zigzag >> 1) ^ -(int64_t)(zigzag & 1);
}

/* The next gap. */
static inline int64_t cut_gap(struct cursor *cursor)
{
    if (cursor->same) {
        cursor->same--;
        return 0;
    }
    unsigned code = cut_byte(cursor);
    if (code >= CODE_SAME && code < CODE_TWO_BYTES) {
        cursor->same = code - CODE_SAME;
        return 0;
    }
    return cut_integer(cursor, code);
}

void run_values(const struct run_block *run, size_t from, size_t count, double *out)
{
    struct cursor cursor = cursor_of(run);
    int64_t k = 0;
    double value = 0, power = 1;
    for (size_t i = 0; i < from + count;) {
        unsigned code = cut_byte(&cursor);
        if (code >= CODE_XOR) {
            uint64_t bits = double_bits(value) ^ cut_long(&cursor, code - CODE_XOR + 1);
            value = double_of_bits(bits);
        } else if (code >= CODE_EXPONENT) {
            power = powers[(code - CODE_EXPONENT) % EXPONENTS];
            k = 0;
            value = 0;
            continue;
        } else if (code >= CODE_SAME && code < CODE_TWO_BYTES) {
            size_t end = i + code - CODE_SAME + 1;
            for (; i < end && i < from + count; i++)
                if (i >= from)
                    out[i - from] = value;
            continue;
        } else {
            k += cut_integer(&cursor, code);
            value = (double)k / power;
        }
        if (i >= from)
            out[i - from] = value;
        i++;
    }
}

void run_times(const struct run_block *run, struct run_grid grid, size_t from, size_t count,
               int64_t *out)
{
    struct cursor cursor = cursor_of(run);
    int64_t time = grid.first;
    for (size_t i = 0; i < from + count; i++) {
        if (i)
            time += grid.step + cut_gap(&cursor);
        if (i >= from)
            out[i - from] = time;
    }
}

size_t run_find_time(const struct run_block *run, struct run_grid grid, size_t count, int64_t time)
{
    struct cursor cursor = cursor_of(run);
    int64_t at = grid.first;
    for (size_t i = 0; i < count; i++) {
        if (i)
            at += grid.step + cut_gap(&cursor);
        if (at >= time)
            return i;
    }
    return count;
}
