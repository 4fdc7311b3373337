/* sketch: a hash set of 32-bit prefixes that turns into a HyperLogLog when it grows.
 *
 *   exact   slots      [ h . . h . h ... ]      16 to 1,024, half full at most
 *   dense   registers  [ r0 r1 ... r4095 ]      r = longest run of zeros seen, plus one
 *
 *   prefix  iiiiiiiiiiii rrrrrrrrrrrrrrrrrrrr   top 12 bits: which register
 *           ^^^^^^^^^^^^                        the other 20: where their first one bit stands
 *
 * Everything a register wants to know is in the prefix. So the exact form becomes the dense one
 * without loss, and neither depends on when a member came or which sketch brought it.
 *
 *   code    1 | count varint | prefixes, ascending, packed        (storage/code/pack.c)
 *           2 | registers, packed
 *
 * The estimate of the dense form is Ertl's improved raw estimator (arXiv 1702.01284, algorithm 6):
 * unbiased over the whole range from the histogram of register values alone, so there are no
 * correction tables and no switch to linear counting. A prefix of 0 is counted as 1.
 *
 * 2^12 registers: a dense tick takes about 1.6 KB, 2^11 would take half of that with an error of
 * 2.3 %, 2^14 four times as much with 0.8 %.
 */
#include "storage/sketch.h"

#include <math.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/table.h"
#include "storage/code/pack.h"

#define CAPACITY_MIN 16u
#define PREFIX_BITS  32
#define RANK_MAX     (PREFIX_BITS - SKETCH_INDEX_BITS + 1)

enum form { FORM_EXACT = 1, FORM_DENSE = 2 };

void sketch_init(struct sketch *sketch)
{
    *sketch = (struct sketch){.slots = NULL};
}

void sketch_release(struct sketch *sketch)
{
    free(sketch->slots);
    free(sketch->registers);
    sketch_init(sketch);
}

void sketch_reset(struct sketch *sketch)
{
    free(sketch->registers);
    sketch->registers = NULL;
    sketch->count = 0;
    if (sketch->slots)
        memset(sketch->slots, 0, sketch->capacity * sizeof *sketch->slots);
}

static void register_add(struct sketch *sketch, uint32_t prefix)
{
    uint32_t rest = prefix << SKETCH_INDEX_BITS;
    uint8_t rank = (uint8_t)(rest ? __builtin_clz(rest) + 1 : RANK_MAX);
    uint8_t *at = &sketch->registers[prefix >> (PREFIX_BITS - SKETCH_INDEX_BITS)];
    if (*at < rank)
        *at = rank;
}

/* True when it was new. Needs a free slot. */
static bool slot_add(struct sketch *sketch, uint32_t prefix)
{
    uint32_t mask = sketch->capacity - 1;
    uint32_t i = prefix & mask;
    for (; sketch->slots[i]; i = (i + 1) & mask)
        if (sketch->slots[i] == prefix)
            return false;
    sketch->slots[i] = prefix;
    return true;
}

static void make_dense(struct sketch *sketch)
{
    sketch->registers = alloc_zeroed(SKETCH_REGISTERS, 1);
    for (uint32_t i = 0; i < sketch->capacity; i++)
        if (sketch->slots[i])
            register_add(sketch, sketch->slots[i]);
    free(sketch->slots);
    sketch->slots = NULL;
    sketch->capacity = sketch->count = 0;
}

static void grow(struct sketch *sketch)
{
    uint32_t *old = sketch->slots;
    uint32_t old_capacity = sketch->capacity;
    sketch->capacity = old_capacity ? old_capacity * 2 : CAPACITY_MIN;
    sketch->slots = alloc_zeroed(sketch->capacity, sizeof *sketch->slots);
    for (uint32_t i = 0; i < old_capacity; i++)
        if (old[i])
            slot_add(sketch, old[i]);
    free(old);
}

static void add_prefix(struct sketch *sketch, uint32_t prefix)
{
    prefix = prefix ? prefix : 1;
    if (sketch->registers) {
        register_add(sketch, prefix);
        return;
    }
    if (sketch->count * 2 >= sketch->capacity && sketch->capacity < 2 * SKETCH_EXACT_MAX)
        grow(sketch);
    sketch->count += slot_add(sketch, prefix);
    if (sketch->count > SKETCH_EXACT_MAX)
        make_dense(sketch);
}

void sketch_add_hash(struct sketch *sketch, uint64_t hash)
{
    add_prefix(sketch, (uint32_t)(hash >> (64 - PREFIX_BITS)));
}

void sketch_add(struct sketch *sketch, struct slice member)
{
    sketch_add_hash(sketch, slice_hash(member));
}

static void register_max(struct sketch *sketch, uint32_t i, uint8_t rank)
{
    if (sketch->registers[i] < rank)
        sketch->registers[i] = rank;
}

void sketch_merge(struct sketch *a, const struct sketch *b)
{
    if (!b->registers) {
        for (uint32_t i = 0; i < b->capacity; i++)
            if (b->slots[i])
                add_prefix(a, b->slots[i]);
        return;
    }
    if (!a->registers)
        make_dense(a);
    for (uint32_t i = 0; i < SKETCH_REGISTERS; i++)
        register_max(a, i, b->registers[i]);
}

/* --- the estimate --- */

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

double sketch_estimate(const struct sketch *sketch)
{
    if (!sketch->registers)
        return sketch->count;
    uint32_t counts[RANK_MAX + 1] = {0};
    for (uint32_t i = 0; i < SKETCH_REGISTERS; i++)
        counts[sketch->registers[i]]++;
    const double m = SKETCH_REGISTERS;
    double z = m * ertl_tau(1 - counts[RANK_MAX] / m);
    for (int k = RANK_MAX - 1; k >= 1; k--)
        z = 0.5 * (z + counts[k]);
    z += m * ertl_sigma(counts[0] / m);
    /* Halves have no meaning in a count, and whole numbers are stored in fewer bytes. */
    return round(m * m / (2 * M_LN2 * z));
}

/* --- the code --- */

static int compare_prefixes(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

void sketch_encode(const struct sketch *sketch, struct buffer *out)
{
    int64_t column[SKETCH_REGISTERS];
    size_t count = 0;
    if (sketch->registers) {
        for (; count < SKETCH_REGISTERS; count++)
            column[count] = sketch->registers[count];
        buffer_append_u8(out, FORM_DENSE);
        pack_append(out, column, count);
        return;
    }
    for (uint32_t i = 0; i < sketch->capacity; i++)
        if (sketch->slots[i])
            column[count++] = sketch->slots[i];
    qsort(column, count, sizeof *column, compare_prefixes);
    buffer_append_u8(out, FORM_EXACT);
    buffer_append_varint(out, count);
    pack_append(out, column, count);
}

static bool merge_exact(struct sketch *sketch, struct slice rest)
{
    int64_t column[SKETCH_EXACT_MAX];
    uint64_t count;
    if (!bytes_cut_varint(&rest, &count) || count > SKETCH_EXACT_MAX ||
        !pack_cut(&rest, column, (size_t)count) || rest.len)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (column[i] <= (i ? column[i - 1] : 0) || column[i] > UINT32_MAX)
            return false;
        add_prefix(sketch, (uint32_t)column[i]);
    }
    return true;
}

static bool merge_dense(struct sketch *sketch, struct slice rest)
{
    int64_t column[SKETCH_REGISTERS];
    if (!pack_cut(&rest, column, SKETCH_REGISTERS) || rest.len)
        return false;
    for (uint32_t i = 0; i < SKETCH_REGISTERS; i++)
        if (column[i] < 0 || column[i] > RANK_MAX)
            return false;
    if (!sketch->registers)
        make_dense(sketch);
    for (uint32_t i = 0; i < SKETCH_REGISTERS; i++)
        register_max(sketch, i, (uint8_t)column[i]);
    return true;
}

bool sketch_merge_code(struct sketch *sketch, struct slice code)
{
    uint8_t form;
    if (code.len > SKETCH_CODE_MAX || !bytes_cut_u8(&code, &form))
        return false;
    switch (form) {
    case FORM_EXACT:
        return merge_exact(sketch, code);
    case FORM_DENSE:
        return merge_dense(sketch, code);
    default:
        return false;
    }
}

size_t sketch_bytes(const struct sketch *sketch)
{
    return sketch->registers ? SKETCH_REGISTERS : sketch->capacity * sizeof *sketch->slots;
}
