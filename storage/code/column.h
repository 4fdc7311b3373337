/* column: doubles in few bits, lossless to the last bit (NaN payloads, -0 and infinities too).
 *
 * Decimal numbers become scaled integers and are packed; what is not decimal is coded as XOR with
 * its predecessor. Pure functions; any thread.
 */
#ifndef STORAGE_CODE_COLUMN_H
#define STORAGE_CODE_COLUMN_H

#include "storage/code/pack.h"

#define COLUMN_COUNT_MAX 10240 /* values in one column: a day of 10 s and some more */

/* Appends the column; the count (at most COLUMN_COUNT_MAX) is not stored. */
void column_append(struct buffer *out, const double *values, size_t count);
/* Cuts a column of `count` doubles from the front of *rest. False on malformed bytes. */
MUST_USE bool column_cut(struct slice *rest, double *out, size_t count);
/* The same, but only the wanted entries come out, to - from of them. */
MUST_USE bool column_cut_part(struct slice *rest, double *out, struct part part);

/* True when value is exactly *k / 10^exponent, to the bit; |*k| < 2^53. */
#define COLUMN_EXPONENT_MAX 6
MUST_USE bool column_to_scaled(double value, int exponent, int64_t *k);
double column_of_scaled(int64_t k, int exponent);
/* 10^exponent */
double column_power(int exponent);

/* A number next to one the reader knows already: 1 byte when equal, few when both are integers,
 * 9 otherwise. */
void number_append(struct buffer *out, double value, double known);
MUST_USE bool number_cut(struct slice *rest, double known, double *out);

static inline uint64_t double_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline double double_of_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#endif
