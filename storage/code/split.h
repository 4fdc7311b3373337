/* split: a column of integers as noise and shape, in blocks that can be read alone.
 *
 * For storage/code/dense.c, which says where it is used. Pure functions; any thread.
 */
#ifndef STORAGE_CODE_SPLIT_H
#define STORAGE_CODE_SPLIT_H

#include "storage/code/pack.h"

#define SPLIT_COUNT_MAX 10240
#define SPLIT_COUNT_MIN 3

/* Tries fewer predictors where the noise is small. The count is not stored. */
void split_append(struct buffer *out, const int64_t *values, size_t count, bool small);
/* Cuts a column from the front of *rest. Of *out, which has room for all, only the wanted entries mean
 * something then. False on malformed bytes. */
MUST_USE bool split_cut(struct slice *rest, int64_t *out, struct part part);

/* split_whole.c: the form of chunks of version 2 and before, which knew no blocks. */
MUST_USE bool split_whole_cut(struct slice *rest, int64_t *out, struct part part);

#endif
