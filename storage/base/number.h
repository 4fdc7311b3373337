/* number: doubles as text, with Go's rules, because that is what clients of Prometheus read; JSON
 * takes the same. Always the shortest digits that read back equal. Pure; any thread.
 */
#ifndef STORAGE_BASE_NUMBER_H
#define STORAGE_BASE_NUMBER_H

#include "storage/base/buffer.h"

enum number_style {
    NUMBER_PLAIN, /* strconv 'f': never an exponent; what count_values makes labels of */
    NUMBER_API,   /* an exponent below 1e-6 and from 1e21 on: sample values in answers */
    NUMBER_TEXT,  /* an exponent below 1e-4 and from 1e6 on: numbers in query text, Go's %v */
};

#define NUMBER_TEXT_MAX 352 /* bytes of the longest: 5e-324 written out */
#define NUMBER_API_MAX  26  /* in that style: -0.000001234567890123456 and 3 digits more */

/* Decimal digits. */
void number_print_integer(uint64_t value, struct buffer *out);

/* NaN, +Inf, -Inf, or digits. */
void number_print(double value, enum number_style style, struct buffer *out);

/* The same for tight loops: written at `at`, where there is room for NUMBER_TEXT_MAX (or NUMBER_API_MAX)
 * bytes, 20 for an integer; returns the end. */
char *number_put(char *at, double value, enum number_style style);
char *number_put_integer(char *at, uint64_t value);

/* The digits of a positive finite number, without trailing zeros: d.ddd * 10^*exponent. Returns
 * their count. In json_simd.cc, for C has no function that finds the shortest. */
#define NUMBER_DIGITS_MAX 17
size_t number_digits(double magnitude, char digits[NUMBER_DIGITS_MAX], int *exponent);

#endif
