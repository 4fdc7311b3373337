/* dense: the shortest of three forms.
 *
 *   form u8 | payload
 *
 *   0 packed   storage/code/pack.c
 *   3 runs     of equal values: runs varint | lengths less one | values of the runs,
 *              both columns packed or split
 *   4 split    noise and shape (storage/code/split.c)
 *   1          splits as they were written before (storage/code/split_whole.c)
 *
 * Deliberately absent: an arithmetic coder (docs/decisions/0006-dense-chunks.md).
 */
#include "storage/code/dense.h"

#include <assert.h>

#include "storage/code/pack.h"
#include "storage/code/split.h"

enum form { FORM_PACKED = 0, FORM_SPLIT_WHOLE = 1, FORM_RUNS = 3, FORM_SPLIT = 4 };

#define RUNS_SHARE      3  /* runs are tried where a third as many do */
#define SPLIT_BYTES_MIN 24 /* a smaller column has nothing to gain */
#define SMALL_BITS      4

/* --- writing --- */

/* Packed, or split if that is allowed and shorter. */
static void append_plain(struct buffer *out, const int64_t *values, size_t count, bool split)
{
    size_t start = out->len;
    buffer_append_u8(out, FORM_PACKED);
    pack_append(out, values, count);
    size_t packed = out->len;
    if (!split || packed - start <= SPLIT_BYTES_MIN || count < SPLIT_COUNT_MIN)
        return;
    buffer_append_u8(out, FORM_SPLIT);
    split_append(out, values, count, (packed - start) * 8 < count * SMALL_BITS);
    buffer_keep_shorter(out, start, packed);
}

static void append_runs(struct buffer *out, const int64_t *values, size_t count, bool split)
{
    int64_t lengths[DENSE_COUNT_MAX / RUNS_SHARE + 1], heads[DENSE_COUNT_MAX / RUNS_SHARE + 1];
    size_t runs = 0;
    for (size_t i = 0; i < count; i++) {
        if (i && values[i] == values[i - 1]) {
            lengths[runs - 1]++;
            continue;
        }
        lengths[runs] = 0;
        heads[runs++] = values[i];
    }
    buffer_append_u8(out, FORM_RUNS);
    buffer_append_varint(out, runs);
    append_plain(out, lengths, runs, split);
    append_plain(out, heads, runs, split);
}

bool dense_has_runs(const int64_t *values, size_t count)
{
    size_t changes = 0;
    for (size_t i = 1; i < count; i++)
        changes += values[i] != values[i - 1];
    return changes && changes < count / RUNS_SHARE;
}

void dense_append(struct buffer *out, const int64_t *values, size_t count)
{
    assert(count > 0 && count <= DENSE_COUNT_MAX);
    size_t start = out->len;
    bool split = count >= DENSE_COUNT_MIN;
    append_plain(out, values, count, split);
    if (!dense_has_runs(values, count))
        return;
    size_t plain = out->len;
    append_runs(out, values, count, split);
    buffer_keep_shorter(out, start, plain);
}

/* --- reading --- */

static bool cut_plain(struct slice *rest, int64_t *out, struct part part)
{
    uint8_t form;
    if (!bytes_cut_u8(rest, &form))
        return false;
    switch (form) {
    case FORM_PACKED:
        return pack_cut_part(rest, out, part);
    case FORM_SPLIT_WHOLE:
        return split_whole_cut(rest, out, part);
    case FORM_SPLIT:
        return split_cut(rest, out, part);
    }
    return false;
}

/* Each run takes a value at least: those that are wanted are among the first part.to ones, and among
 * as many last ones as there are values from part.from on. The shorter list is read. */
static struct part runs_near(struct part part, size_t runs)
{
    size_t behind = part.count - part.from;
    if (part.to <= behind)
        return (struct part){runs, 0, part.to < runs ? part.to : runs};
    return (struct part){runs, behind < runs ? runs - behind : 0, runs};
}

/* The values that the runs of `near` take; SIZE_MAX when these are more than `count`. */
static size_t values_of_runs(const int64_t *lengths, struct part near, size_t count)
{
    size_t values = 0;
    for (size_t run = near.from; run < near.to; run++) {
        if ((uint64_t)lengths[run] >= count - values)
            return SIZE_MAX;
        values += (size_t)lengths[run] + 1;
    }
    return values;
}

/* The runs from `first` up to `end` are wanted; the first one begins at `at`. */
struct wanted {
    size_t first, end, at;
};

/* False when the runs do not take the values of the part, or not those that they must. */
static bool find_runs(const int64_t *lengths, struct part near, struct part part,
                      struct wanted *out)
{
    size_t values = values_of_runs(lengths, near, part.count);
    size_t at = near.from ? part.count - values : 0;
    bool all = near.from == 0 && near.to == near.count;
    if (values == SIZE_MAX || at > part.from || at + values < part.to ||
        (all && values != part.count))
        return false;
    *out = (struct wanted){near.from, near.from, at};
    for (size_t run = near.from; run < near.to; run++) {
        size_t end = at + (size_t)lengths[run] + 1;
        if (end <= part.from)
            *out = (struct wanted){run + 1, run + 1, end};
        else if (at < part.to)
            out->end = run + 1;
        at = end;
    }
    return true;
}

static bool cut_runs(struct slice *rest, int64_t *out, struct part part)
{
    int64_t lengths[DENSE_COUNT_MAX], heads[DENSE_COUNT_MAX];
    struct wanted wanted;
    uint64_t runs;
    if (!bytes_cut_varint(rest, &runs) || runs == 0 || runs > part.count)
        return false;
    struct part near = runs_near(part, (size_t)runs);
    if (!cut_plain(rest, lengths, near) || !find_runs(lengths, near, part, &wanted) ||
        !cut_plain(rest, heads, (struct part){(size_t)runs, wanted.first, wanted.end}))
        return false;
    size_t at = wanted.at;
    for (size_t run = wanted.first; run < wanted.end; run++) {
        size_t end = at + (size_t)lengths[run] + 1;
        size_t stop = end < part.to ? end : part.to;
        for (size_t i = at > part.from ? at : part.from; i < stop; i++)
            out[i] = heads[run];
        at = end;
    }
    return true;
}

bool dense_cut_part(struct slice *rest, int64_t *out, struct part part)
{
    if (part.count == 0 || part.count > DENSE_COUNT_MAX || rest->len == 0)
        return false;
    if (rest->at[0] != FORM_RUNS)
        return cut_plain(rest, out, part);
    *rest = slice_skip(*rest, 1);
    return cut_runs(rest, out, part);
}

bool dense_cut(struct slice *rest, int64_t *out, size_t count)
{
    return dense_cut_part(rest, out, (struct part){count, 0, count});
}
