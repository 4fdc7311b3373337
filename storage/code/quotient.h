/* quotient: a long column of doubles that are quotients: means (sum / count), ratios (hits / total).
 *
 * Such a number fills all 52 bits of its mantissa, but what it was made of is half as long.
 * Lossless to the bit. Pure functions; any thread.
 */
#ifndef STORAGE_CODE_QUOTIENT_H
#define STORAGE_CODE_QUOTIENT_H

#include "storage/code/dense.h"

/* Appends the column (1 to DENSE_COUNT_MAX values; the count is not stored), or nothing and false
 * when few of them are quotients. */
bool quotient_append(struct buffer *out, const double *values, size_t count);
/* Cuts the wanted part of a column from the front of *rest; `counted`: it says how many exceptions it
 * has. False on malformed bytes. */
MUST_USE bool quotient_cut(struct slice *rest, double *out, struct part part, bool counted);

#endif
