/* number: see the header.
 *
 * The common cases need no search for the shortest digits: whole numbers below 2^53, and decimals of
 * a few places. Let n be the nearest whole number to magnitude * 10^places, n < 10^15. If n / 10^places
 * gives the value back (one correctly rounded division), then n's digits are its text: decimals of
 * 15 digits are distinct doubles, so no shorter one is the same. What has fewer places passes this
 * test, too, with zeros at its end.
 */
#include "storage/base/number.h"

#include <math.h>
#include <stdlib.h>

#define PLACES_MAX  9
#define SCALED_MAX  1e15
#define WHOLE_MAX   9007199254740992.0
#define DECIMAL_MIN 1e-4 /* below it an exponent may be due */
#define DECIMAL_MAX 1e14

struct decimal {
    char digits[NUMBER_DIGITS_MAX]; /* d.ddd * 10^exponent, the dot left out */
    int count;
    int exponent;
};

/* All put_ functions write at `at` and return the end of what they wrote. */

static char *put_bytes(char *at, const char *bytes, int count)
{
    memcpy(at, bytes, (size_t)count);
    return at + count;
}

static char *put_zeros(char *at, int count)
{
    memset(at, '0', (size_t)count);
    return at + count;
}

static char *put_plain(char *at, const struct decimal *d)
{
    int whole = d->exponent + 1; /* digits before the dot */
    if (whole <= 0) {
        at = put_zeros(put_bytes(at, "0.", 2), -whole);
        return put_bytes(at, d->digits, d->count);
    }
    if (whole >= d->count)
        return put_zeros(put_bytes(at, d->digits, d->count), whole - d->count);
    at = put_bytes(at, d->digits, whole);
    *at++ = '.';
    return put_bytes(at, d->digits + whole, d->count - whole);
}

/* Two digits at least. */
static char *put_exponent(char *at, const struct decimal *d)
{
    int exponent = abs(d->exponent);
    *at++ = d->digits[0];
    if (d->count > 1) {
        *at++ = '.';
        at = put_bytes(at, d->digits + 1, d->count - 1);
    }
    *at++ = 'e';
    *at++ = d->exponent < 0 ? '-' : '+';
    if (exponent >= 100)
        *at++ = (char)('0' + exponent / 100);
    *at++ = (char)('0' + exponent / 10 % 10);
    *at++ = (char)('0' + exponent % 10);
    return at;
}

/* Writes digits before `end`, at least `least` of them; returns where they begin. */
static char *put_digits_before(char *end, uint64_t value, int least)
{
    static const char pairs[] = "0001020304050607080910111213141516171819"
                                "2021222324252627282930313233343536373839"
                                "4041424344454647484950515253545556575859"
                                "6061626364656667686970717273747576777879"
                                "8081828384858687888990919293949596979899";
    char *at = end;
    for (; value >= 100; value /= 100)
        memcpy(at -= 2, pairs + value % 100 * 2, 2);
    if (value >= 10)
        memcpy(at -= 2, pairs + value * 2, 2);
    else if (value || at == end)
        *--at = (char)('0' + value);
    while (end - at < least)
        *--at = '0';
    return at;
}

char *number_put_integer(char *at, uint64_t value)
{
    char text[20];
    char *end = text + sizeof text, *from = put_digits_before(end, value, 1);
    return put_bytes(at, from, (int)(end - from));
}

/* "whole.fraction" with `places` digits behind the dot. */
static char *put_places(char *at, uint64_t scaled, int places)
{
    char text[24];
    char *end = text + sizeof text, *from = put_digits_before(end, scaled, places + 1);
    int whole = (int)(end - from) - places;
    at = put_bytes(at, from, whole);
    *at++ = '.';
    return put_bytes(at, from + whole, places);
}

static void drop_zeros(uint64_t *scaled, int *places)
{
    for (; *places > 4 && *scaled % 10000 == 0; *places -= 4)
        *scaled /= 10000;
    for (; *places > 1 && *scaled % 10 == 0; --*places)
        *scaled /= 10;
}

/* The second common case; NULL: not one of them. */
static char *put_decimal(char *at, double magnitude)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9};
    int places = PLACES_MAX;
    if (magnitude < DECIMAL_MIN || magnitude >= DECIMAL_MAX)
        return NULL;
    while (magnitude * powers[places] >= SCALED_MAX)
        places--;
    uint64_t scaled = (uint64_t)(magnitude * powers[places] + 0.5);
    if ((double)scaled / powers[places] != magnitude)
        return NULL;
    drop_zeros(&scaled, &places);
    return put_places(at, scaled, places);
}

/* What is neither whole nor a short decimal, or very large. */
static char *put_shortest(char *at, double magnitude, enum number_style style)
{
    struct decimal d;
    int smallest = style == NUMBER_API ? -6 : -4, largest = style == NUMBER_API ? 20 : 5;
    d.count = (int)number_digits(magnitude, d.digits, &d.exponent);
    return style != NUMBER_PLAIN && (d.exponent < smallest || d.exponent > largest)
               ? put_exponent(at, &d)
               : put_plain(at, &d);
}

char *number_put(char *at, double value, enum number_style style)
{
    double magnitude = fabs(value);
    if (isnan(value))
        return put_bytes(at, "NaN", 3);
    if (isinf(value))
        return put_bytes(at, value < 0 ? "-Inf" : "+Inf", 4);
    if (signbit(value))
        *at++ = '-';
    if (style == NUMBER_TEXT && magnitude >= 1e6)
        return put_shortest(at, magnitude, style);
    if (magnitude < WHOLE_MAX && (double)(int64_t)magnitude == magnitude)
        return number_put_integer(at, (uint64_t)magnitude);
    char *end = put_decimal(at, magnitude);
    return end ? end : put_shortest(at, magnitude, style);
}

void number_print_integer(uint64_t value, struct buffer *out)
{
    char text[20];
    buffer_append(out, text, (size_t)(number_put_integer(text, value) - text));
}

void number_print(double value, enum number_style style, struct buffer *out)
{
    char text[NUMBER_TEXT_MAX];
    buffer_append(out, text, (size_t)(number_put(text, value, style) - text));
}
