/* histogram_code: one histogram sample in few bytes, relative to the sample before.
 *
 * What the head keeps in memory and the head log on disk for histogram series. Pure functions.
 */
#ifndef STORAGE_CODE_HISTOGRAM_CODE_H
#define STORAGE_CODE_HISTOGRAM_CODE_H

#include "storage/histogram.h"

/* Appends `next` as its difference to `known`; known NULL: in full. */
void histogram_code_append(struct buffer *out, const struct histogram *next,
                           const struct histogram *known);
void histogram_code_append_stale(struct buffer *out);
/* Cuts one code from *rest and applies it to *running (owned; initialised). A stale marker leaves
 * it alone and sets *stale. False on malformed bytes; *running is then still valid, but anything. */
MUST_USE bool histogram_code_cut(struct slice *rest, struct histogram *running, bool *stale);

#endif
