/* number: see the header.
 *
 * Any decimal of at most 15 digits survives a round trip through a double, so 15 digits without
 * their trailing zeros are the shortest text if they read back equal; otherwise 16, else 17.
 * Whole numbers below 2^53, the common case, need no search.
 */
#include "query/number.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct decimal {
    char digits[20]; /* d.ddd * 10^exponent, the dot left out */
    int count;
    int exponent;
};

static struct decimal shortest(double magnitude)
{
    struct decimal d;
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*e", digits - 1, magnitude);
        if (strtod(text, NULL) == magnitude)
            break;
    }
    char *e = strchr(text, 'e');
    d.exponent = (int)strtol(e + 1, NULL, 10);
    d.count = 0;
    for (char *p = text; p < e; p++)
        if (*p != '.')
            d.digits[d.count++] = *p;
    while (d.count > 1 && d.digits[d.count - 1] == '0')
        d.count--;
    return d;
}

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
        buffer_append_format(out, "%s%llu", signbit(value) ? "-" : "",
                             (unsigned long long)magnitude);
        return;
    }
    struct decimal d = shortest(magnitude);
    int smallest = style == NUMBER_API ? -6 : -4;
    if (signbit(value))
        buffer_append_char(out, '-');
    if (style != NUMBER_PLAIN && (d.exponent < smallest || d.exponent >= 21))
        put_exponent(&d, out);
    else
        put_plain(&d, out);
}
