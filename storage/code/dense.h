/* dense: a long column of 64-bit integers in about as few bits as its entropy, lossless.
 *
 * For columns of a day, written once and in the background, and for short ones of values that rest.
 * storage/code/pack.h is the fast form for other short ones, and the one taken here where it is no
 * larger. Pure functions; any thread (each keeps a zstd context of its own until it ends).
 */
#ifndef STORAGE_CODE_DENSE_H
#define STORAGE_CODE_DENSE_H

#include "storage/code/pack.h"

#define DENSE_COUNT_MAX 10240 /* integers in one column */
/* Shorter columns are read often: of those only runs are taken apart, and zstd has no part in it. */
#define DENSE_COUNT_MIN 1024

/* True when a column that is shorter than that may gain. */
bool dense_has_runs(const int64_t *values, size_t count);
/* Appends the column; the count (1 to DENSE_COUNT_MAX) is not stored. */
void dense_append(struct buffer *out, const int64_t *values, size_t count);
/* Cuts a column of `count` integers from the front of *rest. False on malformed bytes. */
MUST_USE bool dense_cut(struct slice *rest, int64_t *out, size_t count);
/* The same, but of *out, which has room for all, only the wanted entries mean something then. */
MUST_USE bool dense_cut_part(struct slice *rest, int64_t *out, struct part part);

#endif
