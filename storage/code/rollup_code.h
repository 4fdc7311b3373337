/* rollup_code: the buckets of one series on one day as bytes, checksummed and lossless.
 *
 * Reading is safe on any bytes. Pure functions; any thread.
 */
#ifndef STORAGE_CODE_ROLLUP_CODE_H
#define STORAGE_CODE_ROLLUP_CODE_H

#include "storage/rollup.h"

/* Buckets of one day, which begins at start_ms: start < end <= start + a day. With `counter` what
 * falls lost is always kept, else only where there is none. */
void rollup_code_append(struct buffer *out, const struct rollup *rollup, int64_t start_ms,
                        bool counter);
/* Appends the buckets to those of *rollup, which has their kind and width, without the columns that it
 * does without. False, with *rollup as it
 * was, when these bytes are no sound buckets or the arena is exhausted; it holds the histograms. */
MUST_USE bool rollup_code_read(struct slice bytes, int64_t start_ms, struct rollup *rollup,
                               struct arena *arena);

#endif
