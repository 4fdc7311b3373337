/* histogram_code: what changed since the last tick; most ticks touch few of a timer's buckets.
 *
 *   0                                        the same as before
 *   1 | totals | side | side                 what changed
 *   2 | schema i8 | zero threshold f64le | totals | side | side     against an empty histogram
 *   3                                        stale marker
 *
 *   totals   count, sum, zero count, min, max as numbers next to the known ones (column.h)
 *   side     changed buckets varint, then for each: distance to the index before (zigzag varint),
 *            its count as a number next to the known count (0 when new)
 *
 * Counts are cumulative, so integers mostly cost one byte; fractional weights cost nine and stay
 * exact. A bucket that vanished (a counter reset) is a change to 0.
 */
#include "storage/code/histogram_code.h"

#include "storage/base/alloc.h"
#include "storage/code/column.h"

enum code { CODE_SAME, CODE_DELTA, CODE_FULL, CODE_STALE };

/* Walks two sides in index order; visit sees each index with both counts. */
static void append_side(struct buffer *out, const struct histogram_side *next,
                        const struct histogram_side *known, bool dry, size_t *changed)
{
    size_t i = 0, j = 0;
    int64_t last = 0;
    *changed = 0;
    while (i < next->count || j < known->count) {
        bool from_next =
            i < next->count && (j == known->count || next->at[i].index <= known->at[j].index);
        bool from_known =
            j < known->count && (i == next->count || known->at[j].index <= next->at[i].index);
        int32_t index = from_next ? next->at[i].index : known->at[j].index;
        double now = from_next ? next->at[i].count : 0,
               before = from_known ? known->at[j].count : 0;
        i += from_next;
        j += from_known;
        if (now == before)
            continue;
        ++*changed;
        if (dry)
            continue;
        buffer_append_varint_signed(out, index - last);
        number_append(out, now, before);
        last = index;
    }
}

static bool same_totals(const struct histogram *a, const struct histogram *b)
{
    return double_bits(a->count) == double_bits(b->count) &&
           double_bits(a->sum) == double_bits(b->sum) &&
           double_bits(a->zero_count) == double_bits(b->zero_count) &&
           double_bits(a->min) == double_bits(b->min) && double_bits(a->max) == double_bits(b->max);
}

void histogram_code_append(struct buffer *out, const struct histogram *next,
                           const struct histogram *known)
{
    static const struct histogram empty;
    size_t positive, negative;
    if (known && (known->schema != next->schema || known->zero_threshold != next->zero_threshold))
        known = NULL;
    const struct histogram *base = known ? known : &empty;
    append_side(out, &next->positive, &base->positive, true, &positive);
    append_side(out, &next->negative, &base->negative, true, &negative);
    if (known && positive == 0 && negative == 0 && same_totals(next, known)) {
        buffer_append_u8(out, CODE_SAME);
        return;
    }
    buffer_append_u8(out, known ? CODE_DELTA : CODE_FULL);
    if (!known) {
        buffer_append_u8(out, (uint8_t)(int8_t)next->schema);
        buffer_append_u64le(out, double_bits(next->zero_threshold));
    }
    number_append(out, next->count, base->count);
    number_append(out, next->sum, base->sum);
    number_append(out, next->zero_count, base->zero_count);
    number_append(out, next->min, base->min);
    number_append(out, next->max, base->max);
    buffer_append_varint(out, positive);
    append_side(out, &next->positive, &base->positive, false, &positive);
    buffer_append_varint(out, negative);
    append_side(out, &next->negative, &base->negative, false, &negative);
}

void histogram_code_append_stale(struct buffer *out)
{
    buffer_append_u8(out, CODE_STALE);
}

/* Makes place for a bucket at `place`. */
static void side_insert(struct histogram_side *side, size_t place, int32_t index)
{
    if (side->count == side->capacity) {
        side->capacity = side->capacity ? side->capacity * 2 : 8;
        side->at = alloc_resize(side->at, side->capacity, sizeof *side->at);
    }
    memmove(&side->at[place + 1], &side->at[place], (side->count - place) * sizeof *side->at);
    side->at[place] = (struct histogram_bucket){.index = index};
    side->count++;
}

static bool cut_side(struct slice *rest, struct histogram_side *side)
{
    uint64_t changed;
    int64_t gap, index = 0;
    size_t place = 0;
    if (!bytes_cut_varint(rest, &changed) || changed > 2 * HISTOGRAM_BUCKETS_MAX)
        return false;
    for (uint64_t i = 0; i < changed; i++) {
        if (!bytes_cut_varint_signed(rest, &gap) || (i && gap <= 0) || gap > UINT32_MAX ||
            gap < INT32_MIN)
            return false;
        index += gap;
        if (index > INT32_MAX || index < INT32_MIN)
            return false;
        while (place < side->count && side->at[place].index < index)
            place++;
        if (place == side->count || side->at[place].index != index) {
            if (side->count >= 2 * HISTOGRAM_BUCKETS_MAX)
                return false;
            side_insert(side, place, (int32_t)index);
        }
        if (!number_cut(rest, side->at[place].count, &side->at[place].count))
            return false;
    }
    return true;
}

/* Buckets that went to 0 leave, so that a long run of changes does not pile them up. */
static void side_prune(struct histogram_side *side)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < side->count; i++)
        if (side->at[i].count != 0)
            side->at[kept++] = side->at[i];
    side->count = kept;
}

/* The byte is a two's complement number. */
static int schema_of(uint8_t byte)
{
    return byte < 0x80 ? byte : byte - 0x100;
}

static bool cut_full(struct slice *rest, struct histogram *running)
{
    uint8_t schema;
    uint64_t threshold;
    if (!bytes_cut_u8(rest, &schema) || !bytes_cut_u64le(rest, &threshold) ||
        schema_of(schema) < HISTOGRAM_SCHEMA_MIN || schema_of(schema) > HISTOGRAM_SCHEMA_MAX)
        return false;
    histogram_reset(running);
    running->schema = schema_of(schema);
    running->zero_threshold = double_of_bits(threshold);
    running->min = running->max = 0; /* what CODE_FULL is relative to */
    return true;
}

bool histogram_code_cut(struct slice *rest, struct histogram *running, bool *stale)
{
    uint8_t code;
    *stale = false;
    if (!bytes_cut_u8(rest, &code) || code > CODE_STALE)
        return false;
    *stale = code == CODE_STALE;
    if (code == CODE_SAME || code == CODE_STALE)
        return true;
    if (code == CODE_FULL && !cut_full(rest, running))
        return false;
    if (!number_cut(rest, running->count, &running->count) ||
        !number_cut(rest, running->sum, &running->sum) ||
        !number_cut(rest, running->zero_count, &running->zero_count) ||
        !number_cut(rest, running->min, &running->min) ||
        !number_cut(rest, running->max, &running->max) || !cut_side(rest, &running->positive) ||
        !cut_side(rest, &running->negative))
        return false;
    side_prune(&running->positive);
    side_prune(&running->negative);
    return true;
}
