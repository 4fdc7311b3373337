/* parameterise: one pass, no regular expressions.
 *
 *   order 0x1f4a failed at 2026-11-21 18:04:37 for 10.0.0.7:8080, amount='12'
 *         ^ a value may start where the byte before is no letter, digit or '_'
 *         ~~~~~~           the first recogniser that likes it takes it -> <hex>
 *
 * Each recogniser answers how many bytes from the front belong to its kind (0 = none); the table
 * gives the order, which goes from the most to the least specific. A value must end at a word's
 * end, so that "3rd" or "12abc" stay as they are.
 *
 * Left alone on purpose: numbers inside words (utf8, user_42), quoted text (it is often the name
 * that tells two bugs apart), paths.
 */
#include "server/ingest/parameterise.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'z';
}

static bool is_hex(char c)
{
    char lower = (char)(c | 0x20);
    return is_digit(c) || (lower >= 'a' && lower <= 'f');
}

/* Bytes of UTF-8 sequences count as letters. */
static bool is_word(char c)
{
    return is_digit(c) || is_letter(c) || c == '_' || (unsigned char)c >= 0x80;
}

static size_t span(struct slice s, size_t from, bool (*accept)(char))
{
    size_t i = from;
    while (i < s.len && accept(s.at[i]))
        i++;
    return i - from;
}

/* n when no word goes on behind the first n bytes, else 0. */
static size_t at_word_end(struct slice s, size_t n)
{
    return n > 0 && (n == s.len || !is_word(s.at[n])) ? n : 0;
}

static bool is_local_part(char c)
{
    return is_letter(c) || is_digit(c) || c == '.' || c == '_' || c == '%' || c == '+' || c == '-';
}

static bool is_host_char(char c)
{
    return is_letter(c) || is_digit(c) || c == '-' || c == '.';
}

/* local@host.tld, the last label letters only: "netpost@1.2.3" is a release, not an address. */
static size_t match_email(struct slice s)
{
    size_t local = span(s, 0, is_local_part);
    if (local == 0 || local > 64 || local >= s.len || s.at[local] != '@')
        return 0;
    size_t end = local + 1 + span(s, local + 1, is_host_char);
    while (end > local && !is_letter(s.at[end - 1]) && !is_digit(s.at[end - 1]))
        end--;
    size_t tld = 0;
    while (end - tld > local + 1 && is_letter(s.at[end - tld - 1]))
        tld++;
    if (tld < 2 || end - tld <= local + 2 || s.at[end - tld - 1] != '.')
        return 0;
    return at_word_end(s, end);
}

static bool is_scheme_char(char c)
{
    return is_letter(c) || is_digit(c) || c == '+' || c == '.' || c == '-';
}

static bool is_url_char(char c)
{
    return (unsigned char)c > ' ' && !strchr("\"'`<>()[]{}|\\^,;", c);
}

static size_t match_url(struct slice s)
{
    size_t scheme = span(s, 0, is_scheme_char);
    if (scheme < 2 || !is_letter(s.at[0]) || s.len < scheme + 4 ||
        memcmp(s.at + scheme, "://", 3) != 0)
        return 0;
    size_t rest = span(s, scheme + 3, is_url_char);
    return rest > 0 ? scheme + 3 + rest : 0;
}

static size_t match_uuid(struct slice s)
{
    static const size_t groups[] = {8, 4, 4, 4, 12};
    size_t at = 0;
    for (size_t g = 0; g < 5; g++) {
        if (g > 0 && (at >= s.len || s.at[at++] != '-'))
            return 0;
        if (span(slice_head(s, at + groups[g]), at, is_hex) != groups[g])
            return 0;
        at += groups[g];
    }
    return at_word_end(s, at);
}

/* Four numbers up to 255 with dots, and perhaps a port. */
static size_t match_ipv4(struct slice s)
{
    size_t at = 0;
    for (int part = 0; part < 4; part++) {
        if (part > 0 && (at >= s.len || s.at[at++] != '.'))
            return 0;
        size_t digits = span(s, at, is_digit);
        uint64_t value;
        if (digits > 3 || !slice_to_u64(slice_make(s.at + at, digits), &value) || value > 255)
            return 0;
        at += digits;
    }
    if (at < s.len && s.at[at] == ':' && span(s, at + 1, is_digit) > 0)
        at += 1 + span(s, at + 1, is_digit);
    if (at + 1 < s.len && s.at[at] == '.' && is_digit(s.at[at + 1]))
        return 0;
    return at_word_end(s, at);
}

static bool is_ipv6_char(char c)
{
    return is_hex(c) || c == ':' || c == '.';
}

/* Hex groups of at most four with "::" or seven colons, which times of day do not have. */
static size_t match_ipv6(struct slice s)
{
    size_t end = span(s, 0, is_ipv6_char);
    while (end > 0 && s.at[end - 1] == '.')
        end--;
    size_t colons = 0, group = 0, hexes = 0;
    bool gap = false;
    for (size_t i = 0; i < end; i++) {
        bool colon = s.at[i] == ':';
        gap |= colon && i + 1 < end && s.at[i + 1] == ':';
        colons += colon;
        hexes += !colon;
        group = colon || s.at[i] == '.' ? 0 : group + 1;
        if (group > 4)
            return 0;
    }
    return hexes > 0 && (colons == 7 || (gap && colons >= 2)) ? at_word_end(s, end) : 0;
}

/* Digits in groups with one of the separators between: 2026-11-21, 18:04:37. */
static size_t digit_groups(struct slice s, const char *shape)
{
    size_t at = 0;
    for (const char *p = shape; *p; p++, at++) {
        if (at >= s.len)
            return 0;
        bool fits = *p == '9'   ? is_digit(s.at[at])
                    : *p == '/' ? s.at[at] == '/' || s.at[at] == '-'
                                : s.at[at] == *p;
        if (!fits)
            return 0;
    }
    return at;
}

/* hh:mm:ss, or hh:mm behind a date only: alone that is more often line:column. */
static size_t match_clock(struct slice s, bool after_date)
{
    size_t at = digit_groups(s, "99:99:99");
    if (at == 0 && after_date)
        at = digit_groups(s, "99:99");
    if (at == 0)
        return 0;
    if (at + 1 < s.len && (s.at[at] == '.' || s.at[at] == ',') && is_digit(s.at[at + 1]))
        at += 1 + span(s, at + 1, is_digit);
    if (at < s.len && (s.at[at] == 'Z' || s.at[at] == 'z'))
        return at + 1;
    struct slice zone = slice_skip(s, at);
    if (zone.len > 0 && (zone.at[0] == '+' || zone.at[0] == '-')) {
        size_t digits = digit_groups(slice_skip(zone, 1), "99:99");
        at += digits ? 1 + digits : digit_groups(slice_skip(zone, 1), "9999") ? 5 : 0;
    }
    return at;
}

/* A date with or without a time behind it, or a time alone. */
static size_t match_date(struct slice s)
{
    size_t date = digit_groups(s, "9999/99/99");
    if (date == 0)
        return at_word_end(s, match_clock(s, false));
    if (date + 1 < s.len && strchr("Tt ", s.at[date]) && s.at[date]) {
        size_t clock = match_clock(slice_skip(s, date + 1), true);
        if (at_word_end(s, clock ? date + 1 + clock : 0))
            return date + 1 + clock;
    }
    return at_word_end(s, date);
}

/* 0x..., or 7 to 128 hex digits among which both kinds occur: hashes, object ids, trace ids. */
static size_t match_hex(struct slice s)
{
    if (s.len > 2 && s.at[0] == '0' && (s.at[1] == 'x' || s.at[1] == 'X')) {
        size_t digits = span(s, 2, is_hex);
        return digits > 0 ? at_word_end(s, 2 + digits) : 0;
    }
    size_t len = span(s, 0, is_hex), digits = 0;
    for (size_t i = 0; i < len; i++)
        digits += is_digit(s.at[i]);
    return len >= 7 && len <= 128 && digits > 0 && digits < len ? at_word_end(s, len) : 0;
}

/* Optional sign, digits, optional fraction and exponent; *real when it has either. */
static size_t number_len(struct slice s, bool *real)
{
    size_t at = s.len > 0 && (s.at[0] == '-' || s.at[0] == '+');
    size_t whole = span(s, at, is_digit);
    if (whole == 0)
        return 0;
    at += whole;
    *real = at + 1 < s.len && s.at[at] == '.' && is_digit(s.at[at + 1]);
    if (*real)
        at += 1 + span(s, at + 1, is_digit);
    if (at < s.len && (s.at[at] | 0x20) == 'e') {
        size_t sign = at + 1 < s.len && (s.at[at + 1] == '-' || s.at[at + 1] == '+');
        size_t exponent = span(s, at + 1 + sign, is_digit);
        *real |= exponent > 0;
        at += exponent > 0 ? 1 + sign + exponent : 0;
    }
    return at;
}

static size_t match_duration(struct slice s)
{
    static const char *const units[] = {"ns",  "us",   "ms", "s",  "sec", "secs", "m",
                                        "min", "mins", "h",  "hr", "hrs", "d",    "days"};
    bool real;
    size_t number = number_len(s, &real);
    size_t letters = number ? span(s, number, is_letter) : 0;
    for (size_t i = 0; letters > 0 && i < sizeof units / sizeof *units; i++)
        if (slice_equal_string(slice_make(s.at + number, letters), units[i]))
            return at_word_end(s, number + letters);
    return 0;
}

static size_t match_float(struct slice s)
{
    bool real = false;
    size_t len = number_len(s, &real);
    return real ? at_word_end(s, len) : 0;
}

static size_t match_int(struct slice s)
{
    bool real;
    size_t sign = s.len > 0 && (s.at[0] == '-' || s.at[0] == '+');
    return number_len(s, &real) ? at_word_end(s, sign + span(s, sign, is_digit)) : 0;
}

static const struct {
    size_t (*match)(struct slice s);
    const char *placeholder;
} kinds[] = {
    {match_email, "<email>"}, {match_url, "<url>"},           {match_uuid, "<uuid>"},
    {match_ipv4, "<ip>"},     {match_ipv6, "<ip>"},           {match_date, "<date>"},
    {match_hex, "<hex>"},     {match_duration, "<duration>"}, {match_float, "<float>"},
    {match_int, "<int>"},
};

/* Length of the value at the front of s, and what to write for it. */
static size_t match_value(struct slice s, const char **placeholder)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t len = kinds[i].match(s);
        if (len > 0) {
            *placeholder = kinds[i].placeholder;
            return len;
        }
    }
    return 0;
}

static void parameterise_line(struct slice line, struct buffer *out)
{
    char before = ' ';
    for (struct slice rest = line; rest.len > 0;) {
        const char *placeholder;
        size_t len = is_word(before) ? 0 : match_value(rest, &placeholder);
        if (len > 0)
            buffer_append_string(out, placeholder);
        else
            buffer_append(out, rest.at, len = 1);
        before = rest.at[len - 1];
        rest = slice_skip(rest, len);
    }
}

void parameterise(struct slice text, struct buffer *out)
{
    struct slice rest = slice_head(text, PARAMETERISE_BYTES_MAX);
    for (int lines = 0; lines < PARAMETERISE_LINES_MAX && rest.len > 0;) {
        struct slice line;
        slice_cut(&rest, '\n', &line);
        line = slice_trim(line);
        if (line.len == 0)
            continue;
        if (lines++ > 0)
            buffer_append_char(out, '\n');
        parameterise_line(line, out);
    }
}
