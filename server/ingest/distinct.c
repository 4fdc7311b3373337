/* distinct: a hash set of 64-bit hashes that turns into a HyperLogLog when it grows.
 *
 *   exact   hashes    [ h . . h . h ... ]      16 to 512 slots, half full at most
 *   dense   registers [ r0 r1 ... r16383 ]     r = longest run of zeros seen, plus one
 *
 *   hash    iiiiiiiiiiiiii rrrrrrrrrrrr...     top 14 bits: which register
 *           ^^^^^^^^^^^^^^                     the other 50: where their first one bit stands
 *
 * The estimate is Ertl's improved raw estimator (arXiv 1702.01284, algorithm 6): unbiased over the
 * whole range from the histogram of register values alone, so there are no correction tables and
 * no switch to linear counting. A hash of 0 stands for an empty slot and is counted as 1.
 */
#include "server/ingest/distinct.h"

#include <math.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/table.h"

#define CAPACITY_MIN   16u
#define INDEX_BITS     14
#define REGISTER_COUNT (1u << INDEX_BITS)
#define RANK_MAX       (64 - INDEX_BITS + 1)

void distinct_init(struct distinct *set)
{
    *set = (struct distinct){.hashes = NULL};
}

void distinct_release(struct distinct *set)
{
    free(set->hashes);
    free(set->registers);
    distinct_init(set);
}

static void register_add(struct distinct *set, uint64_t hash)
{
    uint64_t rest = hash << INDEX_BITS;
    uint8_t rank = (uint8_t)(rest ? __builtin_clzll(rest) + 1 : RANK_MAX);
    uint8_t *at = &set->registers[hash >> (64 - INDEX_BITS)];
    if (*at < rank)
        *at = rank;
}

/* True when it was new. Needs a free slot. */
static bool slot_add(struct distinct *set, uint64_t hash)
{
    uint32_t mask = set->capacity - 1;
    uint32_t i = (uint32_t)hash & mask;
    for (; set->hashes[i]; i = (i + 1) & mask)
        if (set->hashes[i] == hash)
            return false;
    set->hashes[i] = hash;
    return true;
}

static void make_dense(struct distinct *set)
{
    set->registers = alloc_zeroed(REGISTER_COUNT, 1);
    for (uint32_t i = 0; i < set->capacity; i++)
        if (set->hashes[i])
            register_add(set, set->hashes[i]);
    free(set->hashes);
    set->hashes = NULL;
    set->capacity = set->count = 0;
}

static void grow(struct distinct *set)
{
    uint64_t *old = set->hashes;
    uint32_t old_capacity = set->capacity;
    set->capacity = old_capacity ? old_capacity * 2 : CAPACITY_MIN;
    set->hashes = alloc_zeroed(set->capacity, sizeof *set->hashes);
    for (uint32_t i = 0; i < old_capacity; i++)
        if (old[i])
            slot_add(set, old[i]);
    free(old);
}

void distinct_add_hash(struct distinct *set, uint64_t hash)
{
    hash = hash ? hash : 1;
    if (set->registers) {
        register_add(set, hash);
        return;
    }
    if (set->count * 2 >= set->capacity)
        grow(set);
    set->count += slot_add(set, hash);
    if (set->count > DISTINCT_EXACT_MAX)
        make_dense(set);
}

void distinct_add(struct distinct *set, struct slice member)
{
    distinct_add_hash(set, slice_hash(member));
}

void distinct_merge(struct distinct *a, const struct distinct *b)
{
    if (!b->registers) {
        for (uint32_t i = 0; i < b->capacity; i++)
            if (b->hashes[i])
                distinct_add_hash(a, b->hashes[i]);
        return;
    }
    if (!a->registers)
        make_dense(a);
    for (uint32_t i = 0; i < REGISTER_COUNT; i++)
        if (a->registers[i] < b->registers[i])
            a->registers[i] = b->registers[i];
}

/* x + sum of x^(2^k) * 2^(k-1): the weight of the empty registers. */
static double ertl_sigma(double x)
{
    if (x == 1)
        return INFINITY;
    double y = 1, z = x, previous;
    do {
        x *= x;
        previous = z;
        z += x * y;
        y += y;
    } while (z != previous);
    return z;
}

/* The weight of the saturated registers. */
static double ertl_tau(double x)
{
    if (x == 0 || x == 1)
        return 0;
    double y = 1, z = 1 - x, previous;
    do {
        x = sqrt(x);
        previous = z;
        y *= 0.5;
        z -= (1 - x) * (1 - x) * y;
    } while (z != previous);
    return z / 3;
}

double distinct_estimate(const struct distinct *set)
{
    if (!set->registers)
        return set->count;
    uint32_t counts[RANK_MAX + 1] = {0};
    for (uint32_t i = 0; i < REGISTER_COUNT; i++)
        counts[set->registers[i]]++;
    const double m = REGISTER_COUNT;
    double z = m * ertl_tau(1 - counts[RANK_MAX] / m);
    for (int k = RANK_MAX - 1; k >= 1; k--)
        z = 0.5 * (z + counts[k]);
    z += m * ertl_sigma(counts[0] / m);
    return m * m / (2 * M_LN2 * z);
}

/* exact: 'e', then hashes (u64 LE); dense: 'd', then all registers. */
void distinct_encode(const struct distinct *set, struct buffer *out)
{
    buffer_append_char(out, set->registers ? 'd' : 'e');
    if (set->registers)
        buffer_append(out, set->registers, REGISTER_COUNT);
    for (uint32_t i = 0; i < set->capacity; i++)
        if (set->hashes[i])
            buffer_append_u64le(out, set->hashes[i]);
}

bool distinct_decode(struct slice bytes, struct distinct *set)
{
    uint8_t form;
    uint64_t hash;
    distinct_init(set);
    if (!bytes_cut_u8(&bytes, &form))
        return false;
    if (form == 'd' && bytes.len == REGISTER_COUNT) {
        set->registers = alloc_zeroed(REGISTER_COUNT, 1);
        for (uint32_t i = 0; i < REGISTER_COUNT; i++) {
            uint8_t rank = (uint8_t)bytes.at[i];
            set->registers[i] = rank < RANK_MAX ? rank : RANK_MAX;
        }
        return true;
    }
    if (form != 'e' || bytes.len % 8 != 0 || bytes.len > DISTINCT_EXACT_MAX * 8)
        return false;
    while (bytes_cut_u64le(&bytes, &hash))
        distinct_add_hash(set, hash);
    return true;
}

size_t distinct_bytes(const struct distinct *set)
{
    return set->registers ? REGISTER_COUNT : set->capacity * sizeof *set->hashes;
}
