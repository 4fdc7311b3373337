/* number: doubles as text, with Go's rules, because that is what clients of Prometheus read.
 * Always the shortest digits that read back equal. Pure; any thread.
 */
#ifndef QUERY_NUMBER_H
#define QUERY_NUMBER_H

#include "storage/base/buffer.h"

enum number_style {
    NUMBER_PLAIN, /* strconv 'f': never an exponent; what count_values makes labels of */
    NUMBER_API,   /* an exponent below 1e-6 and from 1e21 on: sample values in answers */
    NUMBER_TEXT,  /* an exponent below 1e-4 and from 1e21 on: numbers in query text */
};

#define NUMBER_TEXT_MAX 352 /* bytes of the longest: 5e-324 written out */

/* Decimal digits. */
void number_print_integer(uint64_t value, struct buffer *out);

/* NaN, +Inf, -Inf, or digits. */
void number_print(double value, enum number_style style, struct buffer *out);

#endif
