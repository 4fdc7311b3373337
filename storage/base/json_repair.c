/* json_repair: makes a text readable that is JSON but for three faults which real clients send.
 *
 *     "cut \ud83d"              a surrogate without its other half: a string cut inside an emoji
 *          ^^^^^^ -> \ufffd
 *     "caf\xe9"                 bytes that are not UTF-8
 *         ^^^^   -> ?
 *     123456789012345678901     an integer beyond 64 bits (an amount in wei)
 *                        ^^ -> e2
 *     1e999                     a number beyond all doubles
 *     ^^^^^ -> null
 *
 * Everything keeps its length, so that places in error messages stay right. Whatever else is wrong
 * stays wrong.
 */
#include <ctype.h>

#include "storage/base/json.h"

#define ESCAPE_LEN 6 /* \uXXXX */

size_t json_repair(char *text, size_t len);

/* The code unit of the \uXXXX at the front, or -1. */
static long escaped_unit(struct slice s)
{
    long unit = 0;
    if (s.len < ESCAPE_LEN || s.at[0] != '\\' || s.at[1] != 'u')
        return -1;
    for (size_t i = 2; i < ESCAPE_LEN; i++) {
        int c = tolower((unsigned char)s.at[i]);
        if (!isxdigit(c))
            return -1;
        unit = unit << 4 | (isdigit(c) ? c - '0' : c - 'a' + 10);
    }
    return unit;
}

/* All functions below look at the front, repair what stands there, and return how far to go on. */

static size_t repair_escape(char *at, size_t len, size_t *repairs)
{
    struct slice s = slice_make(at, len);
    long unit = escaped_unit(s);
    if (unit < 0xd800 || unit > 0xdfff)
        return len < 2 ? len : 2;
    long other = escaped_unit(slice_skip(s, ESCAPE_LEN));
    if (unit <= 0xdbff && other >= 0xdc00 && other <= 0xdfff)
        return (size_t)2 * ESCAPE_LEN;
    memcpy(at, "\\ufffd", ESCAPE_LEN);
    ++*repairs;
    return ESCAPE_LEN;
}

static size_t repair_string(char *at, size_t len, size_t *repairs)
{
    size_t i = 1;
    while (i < len && at[i] != '"') {
        size_t step = slice_utf8_length(slice_make(at + i, len - i));
        if (at[i] == '\\') {
            step = repair_escape(at + i, len - i, repairs);
        } else if (step == 0) {
            at[i] = '?';
            step = 1;
            ++*repairs;
        }
        i += step;
    }
    return i < len ? i + 1 : len;
}

static size_t count_digits(const char *at, size_t len)
{
    size_t i = 0;
    while (i < len && isdigit((unsigned char)at[i]))
        i++;
    return i;
}

/* Length of a number by JSON's grammar, 0 for anything else; *integer: without point and exponent. */
static size_t number_length(const char *at, size_t len, bool *integer)
{
    size_t i = len > 0 && at[0] == '-';
    size_t digits = count_digits(at + i, len - i);
    if (digits == 0 || (digits > 1 && at[i] == '0'))
        return 0;
    i += digits;
    *integer = true;
    if (i < len && at[i] == '.') {
        *integer = false;
        digits = count_digits(at + i + 1, len - i - 1);
        if (digits == 0)
            return 0;
        i += 1 + digits;
    }
    if (i < len && (at[i] == 'e' || at[i] == 'E')) {
        *integer = false;
        i++;
        i += i < len && (at[i] == '+' || at[i] == '-');
        digits = count_digits(at + i, len - i);
        if (digits == 0)
            return 0;
        i += digits;
    }
    return i;
}

static size_t repair_number(char *at, size_t len, size_t *repairs)
{
    bool integer;
    uint64_t large;
    int64_t small;
    double number;
    size_t n = number_length(at, len, &integer);
    struct slice text = slice_make(at, n);
    if (n == 0)
        return 1;
    if (!slice_to_double(text, &number)) {
        memset(at, ' ', n);
        memcpy(at, "null", 4);
        ++*repairs;
    } else if (integer && !slice_to_u64(text, &large) && !slice_to_i64(text, &small)) {
        memcpy(at + n - 2, "e2", 2);
        ++*repairs;
    }
    return n;
}

/* Returns the number of places that were repaired. */
size_t json_repair(char *text, size_t len)
{
    size_t repairs = 0, i = 0;
    while (i < len) {
        if (text[i] == '"')
            i += repair_string(text + i, len - i, &repairs);
        else if (text[i] == '-' || isdigit((unsigned char)text[i]))
            i += repair_number(text + i, len - i, &repairs);
        else
            i++;
    }
    return repairs;
}
