/* literal: see the header.
 *
 * Escapes are those of Go, which Prometheus' users write:
 *   \a \b \f \n \r \t \v \\   \" in "..." only, \' in '...' only
 *   \ooo  \xhh                one byte each
 *   \uhhhh  \Uhhhhhhhh        a code point, as UTF-8
 */
#include "query/literal.h"

#include <ctype.h>
#include <math.h>

static const struct {
    const char *unit;
    int64_t ms;
} units[] = {
    {"y", 31536000000}, {"w", 604800000}, {"d", 86400000}, {"h", 3600000},
    {"m", 60000},       {"s", 1000},      {"ms", 1},
};
#define NUMBER_BYTES_MAX 512 /* of a number with underscores */
#define UNIT_COUNT       (sizeof units / sizeof units[0])
/* Prometheus keeps nanoseconds in 63 bits: 292 years. */
#define DURATION_MS_MAX (INT64_MAX / 1000000)

static size_t put_utf8(uint32_t point, char *out)
{
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    size_t rest = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    static const unsigned lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[rest] | (point >> (6 * rest)));
    for (size_t i = 1; i <= rest; i++)
        out[i] = (char)(0x80 | ((point >> (6 * (rest - i))) & 0x3f));
    return rest + 1;
}

/* Reads `count` digits of the base; false when there are fewer. */
static bool cut_digits(struct slice *rest, size_t count, unsigned base, uint32_t *out)
{
    uint32_t value = 0;
    if (rest->len < count)
        return false;
    for (size_t i = 0; i < count; i++) {
        char c = rest->at[i];
        unsigned digit = isdigit((unsigned char)c)    ? (unsigned)(c - '0')
                         : isxdigit((unsigned char)c) ? (unsigned)(tolower(c) - 'a') + 10
                                                      : 99;
        if (digit >= base)
            return false;
        value = value * base + digit;
    }
    *rest = slice_skip(*rest, count);
    *out = value;
    return true;
}

/* "illegal character U+0022 '"' ...", as Go names it: the first that is no digit of the base. */
static int fail_digits(struct slice rest, unsigned base, struct error *err)
{
    uint32_t ignored;
    while (cut_digits(&rest, 1, base, &ignored))
        ;
    return error_set(err, ERROR_BAD_DATA,
                     "illegal character U+%04X '" SLICE_FMT "' in escape sequence",
                     slice_utf8_point(rest), (int)slice_utf8_length(rest), rest.at);
}

/* The numeric escapes; *rest starts behind the backslash and ends with the closing quote. */
static int cut_numeric_escape(struct slice *rest, char *out, size_t *used, struct error *err)
{
    uint32_t value;
    char c = rest->at[0];
    size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 3;
    unsigned base = digits == 3 ? 8 : 16;
    if (digits != 3)
        *rest = slice_skip(*rest, 1);
    if (!cut_digits(rest, digits, base, &value))
        return fail_digits(*rest, base, err);
    bool point = c == 'u' || c == 'U';
    if (value > (point ? 0x10ffff : 255) || (value >= 0xd800 && value < 0xe000))
        return error_set(err, ERROR_BAD_DATA, "escape sequence is an invalid Unicode code point");
    if (point)
        *used += put_utf8(value, out + *used);
    else
        out[(*used)++] = (char)value;
    return 0;
}

static int cut_escape(struct slice *rest, char quote, char *out, size_t *used, struct error *err)
{
    static const char letters[] = "abfnrtv\\";
    static const char values[] = "\a\b\f\n\r\t\v\\";
    char c = rest->at[0];
    const char *hit = c ? strchr(letters, c) : NULL;
    if (hit || c == quote) {
        out[(*used)++] = hit ? values[hit - letters] : quote;
        *rest = slice_skip(*rest, 1);
        return 0;
    }
    if (c == 'x' || c == 'u' || c == 'U' || (c >= '0' && c <= '7'))
        return cut_numeric_escape(rest, out, used, err);
    return error_set(err, ERROR_BAD_DATA, "unknown escape sequence U+%04X '" SLICE_FMT "'",
                     slice_utf8_point(*rest), (int)slice_utf8_length(*rest), rest->at);
}

int literal_string(struct slice quoted, struct arena *arena, struct slice *out, struct error *err)
{
    char quote = quoted.at[0];
    struct slice rest = slice_skip(quoted, 1);
    if (quote == '`' || !memchr(rest.at, '\\', rest.len)) {
        *out = slice_head(rest, rest.len - 1);
        return 0;
    }
    /* An escape is never shorter than what it stands for. */
    char *at = arena_alloc(arena, rest.len);
    size_t used = 0;
    if (!at)
        return error_set(err, ERROR_LIMIT, "the query is too large for its memory limit");
    while (rest.len > 1) { /* up to the closing quote */
        char c = rest.at[0];
        rest = slice_skip(rest, 1);
        if (c != '\\')
            at[used++] = c;
        else if (cut_escape(&rest, quote, at, &used, err) < 0)
            return -1;
    }
    *out = slice_make(at, used);
    return 0;
}

static bool integer_of_base(struct slice digits, unsigned base, double *out)
{
    uint64_t value = 0;
    if (digits.len == 0)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        uint32_t digit;
        struct slice one = slice_make(digits.at + i, 1);
        if (!cut_digits(&one, 1, base, &digit) || value > ((uint64_t)INT64_MAX - digit) / base)
            return false;
        value = value * base + digit;
    }
    *out = (double)value;
    return true;
}

static int number_without_underscores(struct slice text, double *out, struct error *err);

int literal_number(struct slice text, double *out, struct error *err)
{
    if (memchr(text.at, '_', text.len))
        return number_without_underscores(text, out, err);
    if (slice_equal_nocase(text, SLICE("inf"))) {
        *out = INFINITY;
        return 0;
    }
    if (slice_equal_nocase(text, SLICE("nan"))) {
        *out = NAN;
        return 0;
    }
    bool hex = text.len > 1 && (text.at[1] == 'x' || text.at[1] == 'X');
    if (hex && integer_of_base(slice_skip(text, 2), 16, out))
        return 0;
    if (text.len > 1 && text.at[0] == '0' && integer_of_base(slice_skip(text, 1), 8, out))
        return 0;
    if (!hex && slice_to_double(text, out))
        return 0;
    return error_set(err, ERROR_BAD_DATA,
                     "error parsing number: \"" SLICE_FMT "\" is malformed or out of range",
                     (int)(text.len < 80 ? text.len : 80), text.at);
}

/* The lexer has seen that each stands between two digits. */
static int number_without_underscores(struct slice text, double *out, struct error *err)
{
    char digits[NUMBER_BYTES_MAX];
    size_t count = 0;
    if (text.len > sizeof digits)
        return error_set(err, ERROR_BAD_DATA, "error parsing number: it is longer than %d bytes",
                         NUMBER_BYTES_MAX);
    for (size_t i = 0; i < text.len; i++)
        if (text.at[i] != '_')
            digits[count++] = text.at[i];
    return literal_number(slice_make(digits, count), out, err);
}

int literal_duration(struct slice text, int64_t *out, struct error *err)
{
    int64_t total = 0;
    size_t unit = 0;
    for (struct slice rest = text; rest.len;) {
        size_t digits = 0;
        uint64_t number;
        while (digits < rest.len && isdigit((unsigned char)rest.at[digits]))
            digits++;
        struct slice tail = slice_skip(rest, digits);
        size_t letters = tail.len > 1 && tail.at[0] == 'm' && tail.at[1] == 's' ? 2 : 1;
        while (unit < UNIT_COUNT &&
               !slice_equal_string(slice_head(tail, letters), units[unit].unit))
            unit++;
        if (digits == 0 || unit == UNIT_COUNT)
            return error_set(err, ERROR_BAD_DATA, "not a valid duration string: \"" SLICE_FMT "\"",
                             (int)(text.len < 80 ? text.len : 80), text.at);
        if (!slice_to_u64(slice_head(rest, digits), &number) ||
            number > (uint64_t)(DURATION_MS_MAX / units[unit].ms))
            return error_set(err, ERROR_BAD_DATA, "duration out of range");
        total += (int64_t)number * units[unit].ms;
        if (total > DURATION_MS_MAX)
            return error_set(err, ERROR_BAD_DATA, "duration out of range");
        rest = slice_skip(tail, letters);
        unit++;
    }
    *out = total;
    return 0;
}

struct slice literal_path_name(struct slice text, struct arena *arena)
{
    struct slice rest = slice_skip(text, 3);
    char *at = slice_starts_with(text, SLICE("U__")) ? arena_alloc(arena, text.len) : NULL;
    size_t len = 0;
    if (!at)
        return text;
    while (rest.len) {
        struct slice part;
        bool escape = slice_cut(&rest, '_', &part);
        memcpy(at + len, part.at, part.len);
        len += part.len;
        if (!escape)
            break;
        uint32_t point = '_';
        if (!slice_cut(&rest, '_', &part) || part.len > 6 ||
            (part.len && !cut_digits(&part, part.len, 16, &point)) || point > 0x10ffff)
            return text;
        len += put_utf8(point, at + len);
    }
    return slice_make(at, len);
}

/* Bytes of the well-formed UTF-8 sequence at the front, or 0. */
static size_t utf8_size(struct slice s)
{
    unsigned char lead = (unsigned char)s.at[0];
    size_t size = lead < 0x80 ? 1 : lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc2 ? 2 : 0;
    if (size == 0 || size > s.len || lead > 0xf4)
        return 0;
    for (size_t i = 1; i < size; i++)
        if (((unsigned char)s.at[i] & 0xc0) != 0x80)
            return 0;
    return size;
}

void literal_print_string(struct slice value, struct buffer *out)
{
    static const char letters[] = "abfnrtv\\\"";
    static const char values[] = "\a\b\f\n\r\t\v\\\"";
    buffer_append_char(out, '"');
    while (value.len) {
        char c = value.at[0];
        const char *hit = c ? strchr(values, c) : NULL;
        size_t size = utf8_size(value);
        if (hit)
            buffer_append_format(out, "\\%c", letters[hit - values]);
        else if (size == 0 || (unsigned char)c < 0x20 || c == 0x7f)
            buffer_append_format(out, "\\x%02x", (unsigned char)c);
        else
            buffer_append(out, value.at, size);
        value = slice_skip(value, size ? size : 1);
    }
    buffer_append_char(out, '"');
}

void literal_print_duration(int64_t ms, struct buffer *out)
{
    if (ms == 0)
        buffer_append_string(out, "0s");
    for (size_t i = 0; i < UNIT_COUNT; i++) {
        /* Years and weeks only when they are the whole: 1y5w says less than 400d. */
        if (ms < units[i].ms || (i < 2 && ms % units[i].ms != 0))
            continue;
        buffer_append_format(out, "%lld%s", (long long)(ms / units[i].ms), units[i].unit);
        ms %= units[i].ms;
    }
}
