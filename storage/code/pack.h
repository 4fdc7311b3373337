/* pack: a column of 64-bit integers in few bits, lossless.
 *
 * What times, scaled values, ids and bucket counts have in common: they are constant, or grow
 * evenly, or lie close together but for a few outliers. Pure functions; any thread.
 */
#ifndef STORAGE_CODE_PACK_H
#define STORAGE_CODE_PACK_H

#include "storage/base/buffer.h"

/* Appends the column; the count is not stored. */
void pack_append(struct buffer *out, const int64_t *values, size_t count);
/* Cuts a column of `count` integers from the front of *rest. False on malformed bytes. */
MUST_USE bool pack_cut(struct slice *rest, int64_t *out, size_t count);

/* Of the entries of a column those from `from` up to `to` are wanted; from <= to <= count. */
struct part {
    size_t count, from, to;
};
/* The same, but of *out, which has room for all, only the wanted entries mean something then. */
MUST_USE bool pack_cut_part(struct slice *rest, int64_t *out, struct part part);

#endif
