/* number: see the header.
 *
 * The common cases need no search for the shortest digits: whole numbers below 2^53, and decimals of
 * a few places. If m / 10^k with m < 10^15 gives the value back (one correctly rounded division),
 * then m's digits with k places are its text; trying k upwards leaves no trailing zero.
 */
#include "storage/base/number.h"

#include <math.h>
#include <stdlib.h>

#define PLACES_MAX 9
#define SCALED_MAX 1e15

struct decimal {
    char digits[NUMBER_DIGITS_MAX]; /* d.ddd * 10^exponent, the dot left out */
    int count;
    int exponent;
};

static void put_zeros(struct buffer *out, int count)
{
    for (int i = 0; i < count; i++)
        buffer_append_char(out, '0');
}

static void put_plain(const struct decimal *d, struct buffer *out)
{
    int whole = d->exponent + 1; /* digits before the dot */
    if (whole <= 0) {
        buffer_append_string(out, "0.");
        put_zeros(out, -whole);
        buffer_append(out, d->digits, (size_t)d->count);
    } else if (whole >= d->count) {
        buffer_append(out, d->digits, (size_t)d->count);
        put_zeros(out, whole - d->count);
    } else {
        buffer_append(out, d->digits, (size_t)whole);
        buffer_append_char(out, '.');
        buffer_append(out, d->digits + whole, (size_t)(d->count - whole));
    }
}

static void put_exponent(const struct decimal *d, struct buffer *out)
{
    buffer_append_char(out, d->digits[0]);
    if (d->count > 1) {
        buffer_append_char(out, '.');
        buffer_append(out, d->digits + 1, (size_t)(d->count - 1));
    }
    buffer_append_format(out, "e%c%02d", d->exponent < 0 ? '-' : '+', abs(d->exponent));
}

void number_print_integer(uint64_t value, struct buffer *out)
{
    char text[20];
    size_t at = sizeof text;
    do {
        text[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    buffer_append(out, text + at, sizeof text - at);
}

/* "whole.fraction" with `places` digits behind the dot. */
static void put_places(uint64_t scaled, int places, struct buffer *out)
{
    char text[24];
    size_t at = sizeof text;
    for (int i = 0; scaled || i <= places; i++) {
        if (i == places)
            text[--at] = '.';
        text[--at] = (char)('0' + scaled % 10);
        scaled /= 10;
    }
    buffer_append(out, text + at, sizeof text - at);
}

/* The second common case; false: not one of them. */
static bool put_decimal(double magnitude, struct buffer *out)
{
    double power = 10;
    if (magnitude < 1e-4) /* an exponent may be due */
        return false;
    for (int places = 1; places <= PLACES_MAX && magnitude * power < SCALED_MAX; places++) {
        double scaled = nearbyint(magnitude * power);
        if (scaled / power == magnitude) {
            put_places((uint64_t)scaled, places, out);
            return true;
        }
        power *= 10;
    }
    return false;
}

void number_print(double value, enum number_style style, struct buffer *out)
{
    double magnitude = fabs(value);
    if (isnan(value)) {
        buffer_append_string(out, "NaN");
        return;
    }
    if (isinf(value)) {
        buffer_append_string(out, value < 0 ? "-Inf" : "+Inf");
        return;
    }
    if (magnitude < 9007199254740992.0 && magnitude == floor(magnitude)) {
        buffer_append_string(out, signbit(value) ? "-" : "");
        number_print_integer((uint64_t)magnitude, out);
        return;
    }
    if (signbit(value))
        buffer_append_char(out, '-');
    if (put_decimal(magnitude, out))
        return;
    struct decimal d;
    d.count = (int)number_digits(magnitude, d.digits, &d.exponent);
    int smallest = style == NUMBER_API ? -6 : -4;
    if (style != NUMBER_PLAIN && (d.exponent < smallest || d.exponent >= 21))
        put_exponent(&d, out);
    else
        put_plain(&d, out);
}
