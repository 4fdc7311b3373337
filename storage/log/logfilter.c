/* logfilter: pieces of lines in a Bloom filter.
 *
 * A line is cut into runs of [A-Za-z0-9_-]. A run becomes pieces in one of two ways:
 *
 *   short (< 13 bytes)   one piece, the whole run; numbers alone are left out (too many, too common)
 *   long  (>= 13 bytes)  winnowed: of each 8 neighbouring 6-byte grams, the one with the least hash
 *
 *   {"msg":"retry failed","trace":"4bf92f3577b34da6a3ce929d0e0e4736","ms":120}
 *     ^^^   ^^^^^ ^^^^^^   ^^^^^   4bf92f 77b34d ce929d ... (about 6)  ^^
 *
 * Which pieces of a needle may be asked for? A short run only when the needle holds it whole, with
 * its borders: `"retry failed"` in quotes asks for both words, bare `failed` for none, for the line
 * may say `failed_twice`. A long run always: wherever it lies in a longer run of the line, each
 * window of the needle is also a window of the line and chooses the same gram. So identifiers and
 * UUIDs, the needles that matter most, skip blocks without being whole words.
 *
 * The bytes: [number of probes u8][bits, a whole number of bytes]. 10 bits a piece and 7 probes
 * give 0.8 % false answers.
 */
#include "storage/log/logfilter.h"

#include <ctype.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/table.h"

#define LONG_RUN       13 /* GRAM + WINDOW - 1: a run this long has at least one whole window */
#define GRAM           6
#define WINDOW         8
#define PIECES_MAX     ((size_t)1 << 18)
#define BITS_PER_PIECE 10
#define PROBES         7

static uint64_t mix(uint64_t h)
{
    h ^= h >> 31;
    h *= 0x9e3779b97f4a7c15ull;
    h ^= h >> 29;
    h *= 0xbf58476d1ce4e5b9ull;
    return h ^ (h >> 32);
}

static uint64_t gram_hash(const char *at)
{
    uint64_t bytes = 0;
    memcpy(&bytes, at, GRAM);
    return mix(bytes + 1) | 1;
}

static bool is_run_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-';
}

static bool is_number(struct slice run)
{
    for (size_t i = 0; i < run.len; i++)
        if (!isdigit((unsigned char)run.at[i]))
            return false;
    return true;
}

/* Calls visit for each piece until it returns false. */
static bool each_gram(struct slice run, bool (*visit)(void *arg, uint64_t hash), void *arg)
{
    uint64_t ring[WINDOW];
    uint64_t last = 0;
    for (size_t i = 0; i + GRAM <= run.len; i++) {
        ring[i % WINDOW] = gram_hash(run.at + i);
        if (i + 1 < WINDOW)
            continue;
        uint64_t least = ring[0];
        for (size_t j = 1; j < WINDOW; j++)
            least = ring[j] < least ? ring[j] : least;
        if (least != last && !visit(arg, least))
            return false;
        last = least;
    }
    return true;
}

/* `inner`: leave out short runs that touch an end of the text. */
static bool each_piece(struct slice text, bool inner, bool (*visit)(void *arg, uint64_t hash),
                       void *arg)
{
    size_t i = 0;
    while (i < text.len) {
        size_t start = i;
        while (i < text.len && is_run_byte(text.at[i]))
            i++;
        struct slice run = slice_make(text.at + start, i - start);
        bool whole = !inner || (start > 0 && i < text.len);
        i++;
        if (run.len >= LONG_RUN) {
            if (!each_gram(run, visit, arg))
                return false;
        } else if (run.len && whole && !is_number(run)) {
            if (!visit(arg, slice_hash(run) | 1))
                return false;
        }
    }
    return true;
}

void logfilter_init(struct logfilter_builder *builder)
{
    *builder = (struct logfilter_builder){0};
}

void logfilter_release(struct logfilter_builder *builder)
{
    free(builder->slots);
    logfilter_init(builder);
}

static bool set_insert(uint64_t *slots, size_t capacity, uint64_t hash)
{
    size_t i = (size_t)mix(hash) & (capacity - 1);
    while (slots[i] && slots[i] != hash)
        i = (i + 1) & (capacity - 1);
    bool fresh = !slots[i];
    slots[i] = hash;
    return fresh;
}

static void set_grow(struct logfilter_builder *builder)
{
    size_t capacity = builder->capacity ? builder->capacity * 2 : 1024;
    uint64_t *slots = alloc_zeroed(capacity, sizeof *slots);
    for (size_t i = 0; i < builder->capacity; i++)
        if (builder->slots[i])
            set_insert(slots, capacity, builder->slots[i]);
    free(builder->slots);
    builder->slots = slots;
    builder->capacity = capacity;
}

static bool add_piece(void *arg, uint64_t hash)
{
    struct logfilter_builder *builder = arg;
    if (builder->count == PIECES_MAX) {
        builder->full = true;
        return false;
    }
    if ((builder->count + 1) * 2 > builder->capacity)
        set_grow(builder);
    builder->count += set_insert(builder->slots, builder->capacity, hash);
    return true;
}

void logfilter_add_line(struct logfilter_builder *builder, struct slice line)
{
    if (!builder->full)
        each_piece(line, false, add_piece, builder);
}

struct probe {
    const unsigned char *bits;
    uint64_t bit_count;
    unsigned probes;
};

static uint64_t probe_bit(const struct probe *probe, uint64_t hash, unsigned i)
{
    uint64_t h = mix(hash);
    return (h + i * ((h >> 33) | 1)) % probe->bit_count;
}

void logfilter_finish(const struct logfilter_builder *builder, struct buffer *out)
{
    if (builder->full || builder->count == 0)
        return;
    size_t bytes = (builder->count * BITS_PER_PIECE + 7) / 8;
    char *at = buffer_reserve(out, bytes + 1);
    if (!at)
        return;
    memset(at, 0, bytes + 1);
    at[0] = PROBES;
    struct probe probe = {NULL, bytes * 8, PROBES};
    for (size_t s = 0; s < builder->capacity; s++)
        for (unsigned i = 0; builder->slots[s] && i < PROBES; i++) {
            uint64_t bit = probe_bit(&probe, builder->slots[s], i);
            at[1 + bit / 8] = (char)(at[1 + bit / 8] | 1 << (bit % 8));
        }
    out->len += bytes + 1;
}

static bool has_piece(void *arg, uint64_t hash)
{
    const struct probe *probe = arg;
    for (unsigned i = 0; i < probe->probes; i++) {
        uint64_t bit = probe_bit(probe, hash, i);
        if (!(probe->bits[bit / 8] & 1 << (bit % 8)))
            return false;
    }
    return true;
}

bool logfilter_may_contain(struct slice filter, struct slice needle)
{
    if (filter.len < 2)
        return true;
    struct probe probe = {(const unsigned char *)filter.at + 1, (uint64_t)(filter.len - 1) * 8,
                          (unsigned char)filter.at[0]};
    return each_piece(needle, true, has_piece, &probe);
}
