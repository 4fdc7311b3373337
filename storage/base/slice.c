/* slice: the few helpers too long to inline.
 *
 * Numbers: integers are read by hand; doubles take an exact fast path (at most 19 significant
 * digits and a power of ten up to 22: both are exact doubles, so one multiplication or division
 * rounds correctly, Clinger 1990) and otherwise fall back to strtod on a bounded copy. strtod
 * honours the C locale because nobody here calls setlocale.
 */
#include "storage/base/slice.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

#define NUMBER_TEXT_MAX 400 /* any double written out has fewer digits */

struct slice slice_trim(struct slice s)
{
    while (s.len && strchr(" \t\r\n", s.at[0]) && s.at[0])
        s = slice_skip(s, 1);
    while (s.len && strchr(" \t\r\n", s.at[s.len - 1]) && s.at[s.len - 1])
        s.len--;
    return s;
}

bool slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (tolower((unsigned char)a.at[i]) != tolower((unsigned char)b.at[i]))
            return false;
    return true;
}

size_t slice_find(struct slice s, struct slice needle)
{
    if (needle.len == 0)
        return 0;
    if (s.len < needle.len)
        return s.len;
    const char *hit = (const char *)memmem(s.at, s.len, needle.at, needle.len);
    return hit ? (size_t)(hit - s.at) : s.len;
}

bool slice_to_u64(struct slice s, uint64_t *out)
{
    uint64_t value = 0;
    if (s.len == 0)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)((unsigned char)s.at[i] - '0');
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *out = value;
    return true;
}

bool slice_to_i64(struct slice s, int64_t *out)
{
    bool negative = s.len && s.at[0] == '-';
    uint64_t magnitude;
    if (s.len && (s.at[0] == '-' || s.at[0] == '+'))
        s = slice_skip(s, 1);
    if (!slice_to_u64(s, &magnitude) || magnitude > (uint64_t)INT64_MAX)
        return false;
    *out = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

static bool double_slow(struct slice s, double *out)
{
    char text[NUMBER_TEXT_MAX];
    char *end;
    if (s.len == 0 || s.len >= sizeof text)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (!strchr("0123456789+-.eE", s.at[i]) || !s.at[i])
            return false;
    memcpy(text, s.at, s.len);
    text[s.len] = 0;
    double value = strtod(text, &end);
    if (end != text + s.len || !isfinite(value))
        return false;
    *out = value;
    return true;
}

bool slice_to_double(struct slice s, double *out)
{
    static const double power[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                   1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    uint64_t digits = 0;
    size_t i = 0, count = 0, fraction = 0;
    bool negative = s.len && s.at[0] == '-';
    if (s.len && (s.at[0] == '-' || s.at[0] == '+'))
        i = 1;
    for (bool dot = false; i < s.len; i++) {
        unsigned digit = (unsigned)((unsigned char)s.at[i] - '0');
        if (digit <= 9) {
            digits = digits * 10 + digit;
            count++;
            fraction += dot;
        } else if (s.at[i] == '.' && !dot) {
            dot = true;
        } else {
            return double_slow(s, out);
        }
    }
    if (count == 0)
        return false;
    if (count > 19 || digits > (1ull << 53) || fraction > 22)
        return double_slow(s, out);
    double value = (double)digits / power[fraction];
    *out = negative ? -value : value;
    return true;
}

bool slice_to_duration_ms(struct slice s, int64_t *out)
{
    static const struct {
        struct slice unit;
        int64_t ms;
    } units[] = {
        {SLICE_LIT("ms"), 1},          {SLICE_LIT("s"), 1000},     {SLICE_LIT("m"), 60000},
        {SLICE_LIT("h"), 3600000},     {SLICE_LIT("d"), 86400000}, {SLICE_LIT("w"), 604800000},
        {SLICE_LIT("y"), 31536000000},
    };
    int64_t total = 0;
    if (slice_equal(s, SLICE("0"))) {
        *out = 0;
        return true;
    }
    if (s.len == 0)
        return false;
    while (s.len) {
        size_t digits = 0, letters = 0, row;
        while (digits < s.len && isdigit((unsigned char)s.at[digits]))
            digits++;
        while (digits + letters < s.len && isalpha((unsigned char)s.at[digits + letters]))
            letters++;
        uint64_t number;
        if (!slice_to_u64(slice_head(s, digits), &number) || number > 1000000000)
            return false;
        struct slice unit = slice_make(s.at + digits, letters);
        for (row = 0; row < sizeof units / sizeof units[0]; row++)
            if (slice_equal(units[row].unit, unit))
                break;
        if (row == sizeof units / sizeof units[0])
            return false;
        if (__builtin_add_overflow(total, (int64_t)number * units[row].ms, &total))
            return false;
        s = slice_skip(s, digits + letters);
    }
    *out = total;
    return true;
}

size_t slice_utf8_length(struct slice s)
{
    static const struct {
        unsigned char mask, lead;
        size_t len;
        uint32_t min;
    } forms[] = {{0x80, 0x00, 1, 0},
                 {0xe0, 0xc0, 2, 0x80},
                 {0xf0, 0xe0, 3, 0x800},
                 {0xf8, 0xf0, 4, 0x10000}};
    if (s.len == 0)
        return 0;
    unsigned char first = (unsigned char)s.at[0];
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if ((first & forms[i].mask) != forms[i].lead)
            continue;
        uint32_t code = first & (unsigned char)~forms[i].mask;
        if (s.len < forms[i].len)
            return 0;
        for (size_t k = 1; k < forms[i].len; k++) {
            unsigned char next = (unsigned char)s.at[k];
            if ((next & 0xc0) != 0x80)
                return 0;
            code = code << 6 | (next & 0x3f);
        }
        bool surrogate = code >= 0xd800 && code <= 0xdfff;
        return code < forms[i].min || code > 0x10ffff || surrogate ? 0 : forms[i].len;
    }
    return 0;
}

bool slice_is_utf8(struct slice s)
{
    while (s.len) {
        size_t length = slice_utf8_length(s);
        if (!length)
            return false;
        s = slice_skip(s, length);
    }
    return true;
}

uint32_t slice_utf8_point(struct slice s)
{
    static const unsigned char lead_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    size_t length = slice_utf8_length(s);
    uint32_t point = length ? (unsigned char)s.at[0] & lead_bits[length] : 0xfffd;
    for (size_t i = 1; i < length; i++)
        point = point << 6 | ((unsigned char)s.at[i] & 0x3f);
    return point;
}

static size_t least(size_t a, size_t b, size_t c)
{
    size_t ab = a < b ? a : b;
    return ab < c ? ab : c;
}

size_t slice_distance(struct slice a, struct slice b)
{
    size_t row[SLICE_DISTANCE_MAX];
    if (a.len >= SLICE_DISTANCE_MAX || b.len >= SLICE_DISTANCE_MAX)
        return SLICE_DISTANCE_MAX;
    for (size_t j = 0; j <= b.len; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b.len; j++) {
            size_t change = diagonal + (a.at[i - 1] != b.at[j - 1]);
            diagonal = row[j];
            row[j] = least(row[j] + 1, row[j - 1] + 1, change);
        }
    }
    return row[b.len];
}
