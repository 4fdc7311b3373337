/* pack: patched frame-of-reference bit packing, of the values or of their differences.
 *
 *   mode u8 | base varint | [delta: least difference varint] | bits | [patches]
 *
 *   mode      0..129: width = mode / 2, plain;  130..255: width = (mode - 130) / 2, patched
 *             odd: the packed integers are differences to the value before
 *   base      plain: what is subtracted from each value;  delta: the first value
 *   bits      width bits an integer, least significant first, padded to whole bytes
 *   patches   count varint, then (gap to the last patch, high bits above width) varints
 *
 * A constant column and one of constant step have width 0: they cost no bits at all. Outliers on
 * either side are patched: arithmetic is modulo 2^64, so what lies below the base is a very large
 * offset and no special case. The encoder tries two bases for each form and all widths by the
 * histogram of bit lengths, and keeps the cheapest.
 *
 * Deliberately absent: entropy coding (storage/code/dense.h has it, for long columns) and SIMD layouts.
 */
#include "storage/code/pack.h"

#include <assert.h>
#include <endian.h>

#include "storage/code/bits.h"

#define MODE_PATCHED      130
#define WIDTH_PATCHED_MAX 62
#define LOW_COUNT         3 /* the second candidate for a base is the third-smallest value */

struct plan {
    bool delta;
    bool patched;
    unsigned width;
    uint64_t base; /* subtracted from each integer */
    size_t cost;   /* bits, about */
};

static unsigned bit_length(uint64_t x)
{
    return x ? 64 - (unsigned)__builtin_clzll(x) : 0;
}

/* The i-th integer to pack: a value, or (delta) the difference between value i+1 and value i. */
static uint64_t integer_at(const int64_t *values, size_t i, bool delta)
{
    uint64_t value = (uint64_t)values[i];
    return delta ? (uint64_t)values[i + 1] - value : value;
}

/* The best width for one base, from how many offsets have each bit length. */
static void plan_width(struct plan *plan, const size_t *lengths, size_t count)
{
    unsigned longest = 64;
    while (longest && !lengths[longest])
        longest--;
    *plan = (struct plan){
        .delta = plan->delta, .base = plan->base, .width = longest, .cost = count * longest};
    for (unsigned width = 0; width < longest && width <= WIDTH_PATCHED_MAX; width++) {
        size_t cost = count * width + 8;
        for (unsigned length = width + 1; length <= longest && cost < plan->cost; length++)
            cost += lengths[length] * 8 * (1 + (length - width + 6) / 7);
        if (cost >= plan->cost)
            continue;
        plan->cost = cost;
        plan->width = width;
        plan->patched = true;
    }
}

static void plan_base(struct plan *best, const int64_t *values, size_t count, struct plan try)
{
    size_t lengths[65] = {0};
    for (size_t i = 0; i < count; i++)
        lengths[bit_length(integer_at(values, i, try.delta) - try.base)]++;
    plan_width(&try, lengths, count);
    if (try.cost < best->cost)
        *best = try;
}

/* Tries the smallest and the third-smallest integer as base. */
static void plan_form(struct plan *best, const int64_t *values, size_t count, bool delta)
{
    int64_t low[LOW_COUNT] = {INT64_MAX, INT64_MAX, INT64_MAX};
    for (size_t i = 0; i < count; i++) {
        int64_t x = (int64_t)integer_at(values, i, delta);
        for (size_t j = 0; j < LOW_COUNT; j++) {
            if (x >= low[j])
                continue;
            int64_t bumped = low[j];
            low[j] = x;
            x = bumped;
        }
    }
    plan_base(best, values, count, (struct plan){.delta = delta, .base = (uint64_t)low[0]});
    if (count >= LOW_COUNT && low[LOW_COUNT - 1] != low[0])
        plan_base(best, values, count,
                  (struct plan){.delta = delta, .base = (uint64_t)low[LOW_COUNT - 1]});
}

static void append_bits(struct buffer *out, const int64_t *values, size_t count,
                        const struct plan *plan)
{
    size_t size = (count * plan->width + 7) / 8;
    char *to = size ? buffer_reserve(out, size) : NULL;
    if (!to)
        return;
    unsigned __int128 pending = 0;
    unsigned fill = 0;
    uint64_t mask = plan->width == 64 ? UINT64_MAX : ((uint64_t)1 << plan->width) - 1;
    size_t left = size;
    for (size_t i = 0; i < count; i++) {
        uint64_t offset = integer_at(values, i, plan->delta) - plan->base;
        pending |= (unsigned __int128)(offset & mask) << fill;
        fill += plan->width;
        if (fill < 64)
            continue;
        uint64_t word = htole64((uint64_t)pending);
        memcpy(to, &word, 8);
        to += 8;
        left -= 8;
        pending >>= 64;
        fill -= 64;
    }
    uint64_t word = htole64((uint64_t)pending);
    memcpy(to, &word, left);
    out->len += size;
}

static void append_patches(struct buffer *out, const int64_t *values, size_t count,
                           const struct plan *plan)
{
    size_t patches = 0, last = 0;
    for (size_t i = 0; i < count; i++)
        patches += (integer_at(values, i, plan->delta) - plan->base) >> plan->width != 0;
    buffer_append_varint(out, patches);
    for (size_t i = 0; i < count; i++) {
        uint64_t high = (integer_at(values, i, plan->delta) - plan->base) >> plan->width;
        if (high == 0)
            continue;
        buffer_append_varint(out, i - last);
        buffer_append_varint(out, high);
        last = i;
    }
}

void pack_append(struct buffer *out, const int64_t *values, size_t count)
{
    if (count == 0)
        return;
    struct plan plan = {.cost = SIZE_MAX};
    plan_form(&plan, values, count, false);
    if (plan.cost && count > 1)
        plan_form(&plan, values, count - 1, true);
    size_t packed = plan.delta ? count - 1 : count;
    unsigned mode = plan.width * 2 + plan.delta + (plan.patched ? MODE_PATCHED : 0);
    assert(mode <= UINT8_MAX);
    buffer_append_u8(out, (uint8_t)mode);
    if (plan.delta)
        buffer_append_varint_signed(out, values[0]);
    buffer_append_varint_signed(out, (int64_t)plan.base);
    append_bits(out, values, packed, &plan);
    if (plan.patched)
        append_patches(out, values, packed, &plan);
}

/* The wanted integers: what is packed, more than `base`. */
static void read_bits(struct slice bits, unsigned width, uint64_t base, uint64_t *out,
                      struct part part)
{
    size_t i = part.from, bit = i * width, inside = bits_count_inside(bits, width);
    for (; width == 0 && i < part.to; i++)
        out[i] = base;
    for (; i < part.to && i < inside; i++, bit += width)
        out[i] = base + bits_inside(bits, bit, width);
    for (; i < part.to; i++, bit += width)
        out[i] = base + bits_read(bits, bit, width);
}

/* Adds to the wanted ones. *before: the sum of those that lie before them. */
static bool cut_patches(struct slice *rest, unsigned width, uint64_t *out, struct part part,
                        uint64_t *before)
{
    uint64_t patches, gap, high;
    size_t at = 0;
    if (!bytes_cut_varint(rest, &patches) || patches > part.count)
        return false;
    for (uint64_t i = 0; i < patches; i++) {
        if (!bytes_cut_varint(rest, &gap) || !bytes_cut_varint(rest, &high) ||
            gap >= part.count - at)
            return false;
        at += (size_t)gap;
        if (at >= part.from && at < part.to)
            out[at] += high << width;
        else if (at < part.from)
            *before += high << width;
    }
    return true;
}

static unsigned width_of(unsigned mode)
{
    return (mode - (mode >= MODE_PATCHED ? MODE_PATCHED : 0)) / 2;
}

/* Cuts the wanted integers, without what was before them. */
static bool cut_integers(struct slice *rest, unsigned mode, uint64_t *out, struct part part,
                         uint64_t *before)
{
    unsigned width = width_of(mode);
    size_t size = (part.count * width + 7) / 8;
    int64_t base;
    if (!bytes_cut_varint_signed(rest, &base) || rest->len < size)
        return false;
    read_bits(slice_head(*rest, size), width, (uint64_t)base, out, part);
    *rest = slice_skip(*rest, size);
    *before = (uint64_t)base * part.from;
    return mode < MODE_PATCHED || cut_patches(rest, width, out, part, before);
}

/* Those before the wanted ones are in their sums; without bits of their own they need not be looked at. */
static bool cut_differences(struct slice *rest, unsigned mode, uint64_t *out, struct part part)
{
    int64_t first;
    uint64_t before;
    size_t last = part.to ? part.to - 1 : 0, from = part.from < last ? part.from : last;
    if (width_of(mode))
        from = 0;
    struct part packed = {part.count - 1, from, last};
    if (!bytes_cut_varint_signed(rest, &first) ||
        !cut_integers(rest, mode, out + 1, packed, &before))
        return false;
    out[from] = (uint64_t)first + before;
    for (size_t i = from + 1; i < part.to; i++)
        out[i] += out[i - 1];
    return true;
}

bool pack_cut_part(struct slice *rest, int64_t *out, struct part part)
{
    uint8_t mode;
    uint64_t *at = (uint64_t *)out, ignored;
    if (part.count == 0)
        return true;
    if (!bytes_cut_u8(rest, &mode))
        return false;
    return mode & 1 ? cut_differences(rest, mode, at, part)
                    : cut_integers(rest, mode, at, part, &ignored);
}

bool pack_cut(struct slice *rest, int64_t *out, size_t count)
{
    return pack_cut_part(rest, out, (struct part){count, 0, count});
}
