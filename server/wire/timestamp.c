/* timestamp: see the header.
 *
 *   2026-11-21T17:56:35.922Z
 *   ^^^^^^^^^^                digits and separators in fixed places
 *              ^^^^^^^^       seconds may be missing
 *                      ^^^^  any number of fraction digits; nine are kept
 *                          ^ Z, +hh:mm, +hhmm, or nothing (UTC)
 *
 * Absent: leap seconds (:60 is taken as the next second), local time, week and ordinal dates.
 */
#include "server/wire/timestamp.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

#define DAY_SECONDS   INT64_C(86400)
#define NS_PER_SECOND INT64_C(1000000000)

/* `digits` decimal digits from the front of *rest. */
static bool cut_number(struct slice *rest, size_t digits, int64_t *out)
{
    if (rest->len < digits)
        return false;
    int64_t value = 0;
    for (size_t i = 0; i < digits; i++) {
        char c = rest->at[i];
        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (c - '0');
    }
    *rest = slice_skip(*rest, digits);
    *out = value;
    return true;
}

static bool cut_char(struct slice *rest, char wanted)
{
    if (rest->len == 0 || rest->at[0] != wanted)
        return false;
    *rest = slice_skip(*rest, 1);
    return true;
}

/* Days since 1970-01-01 in the Gregorian calendar; years are counted from March, so that the leap
 * day is the last of its year. */
static int64_t days_of_date(int64_t year, int64_t month, int64_t day)
{
    int64_t from_march = (month + 9) % 12;
    int64_t y = month <= 2 ? year - 1 : year;
    return y * 365 + y / 4 - y / 100 + y / 400 + (from_march * 153 + 2) / 5 + day - 1 - 719468;
}

static bool cut_date(struct slice *rest, int64_t *days)
{
    static const int64_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year, month, day;
    if (!cut_number(rest, 4, &year) || !cut_char(rest, '-') || !cut_number(rest, 2, &month) ||
        !cut_char(rest, '-') || !cut_number(rest, 2, &day))
        return false;
    if (year < 1 || month < 1 || month > 12 || day < 1)
        return false;
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (day > month_days[month - 1] + (month == 2 && leap))
        return false;
    *days = days_of_date(year, month, day);
    return true;
}

static bool cut_fraction(struct slice *rest, int64_t *ns)
{
    int64_t scale = NS_PER_SECOND / 10, digit;
    size_t digits = 0;
    for (; cut_number(rest, 1, &digit); digits++, scale /= 10)
        *ns += digit * scale;
    return digits > 0;
}

static bool cut_time(struct slice *rest, int64_t *seconds, int64_t *ns)
{
    int64_t hour, minute, second = 0;
    if (!cut_number(rest, 2, &hour) || !cut_char(rest, ':') || !cut_number(rest, 2, &minute))
        return false;
    if (cut_char(rest, ':')) {
        if (!cut_number(rest, 2, &second))
            return false;
        if ((cut_char(rest, '.') || cut_char(rest, ',')) && !cut_fraction(rest, ns))
            return false;
    }
    *seconds = (hour * 60 + minute) * 60 + second;
    return hour < 24 && minute < 60 && second <= 60;
}

static bool cut_zone(struct slice *rest, int64_t *seconds)
{
    *seconds = 0;
    if (rest->len == 0 || cut_char(rest, 'Z') || cut_char(rest, 'z'))
        return true;
    int64_t sign = cut_char(rest, '-') ? -1 : cut_char(rest, '+') ? 1 : 0;
    int64_t hours, minutes = 0;
    if (sign == 0 || !cut_number(rest, 2, &hours))
        return false;
    bool colon = cut_char(rest, ':');
    if ((colon || rest->len > 0) && !cut_number(rest, 2, &minutes))
        return false;
    *seconds = sign * (hours * 60 + minutes) * 60;
    return hours < 24 && minutes < 60;
}

/* Seconds since 1970, negative before, and the nanoseconds beyond. */
static bool parse(struct slice text, int64_t *seconds, int64_t *ns)
{
    struct slice rest = slice_trim(text);
    int64_t days, clock = 0, zone = 0;
    *ns = 0;
    if (!cut_date(&rest, &days))
        return false;
    if (rest.len > 0) {
        if (!cut_char(&rest, 'T') && !cut_char(&rest, 't') && !cut_char(&rest, ' '))
            return false;
        if (!cut_time(&rest, &clock, ns) || !cut_zone(&rest, &zone) || rest.len > 0)
            return false;
    }
    *seconds = days * DAY_SECONDS + clock - zone;
    return true;
}

bool timestamp_parse_any(struct slice text, int64_t *out_ms)
{
    int64_t seconds, ns;
    if (!parse(text, &seconds, &ns))
        return false;
    *out_ms = seconds * 1000 + ns / 1000000;
    return true;
}

bool timestamp_parse(struct slice text, int64_t *out_ms)
{
    int64_t time_ms;
    if (!timestamp_parse_any(text, &time_ms) || time_ms < 0)
        return false;
    *out_ms = time_ms;
    return true;
}

static bool join(int64_t count, int64_t unit_ns, int64_t rest_ns, int64_t *out_ns)
{
    int64_t ns;
    if (__builtin_mul_overflow(count, unit_ns, &ns) || __builtin_add_overflow(ns, rest_ns, &ns))
        return false;
    *out_ns = ns;
    return true;
}

bool timestamp_parse_ns(struct slice text, int64_t *out_ns)
{
    int64_t seconds, ns;
    return parse(text, &seconds, &ns) && seconds >= 0 && join(seconds, NS_PER_SECOND, ns, out_ns);
}

/* Nanoseconds in the unit of a count of this size. */
static int64_t unit_of(double size)
{
    static const struct {
        double below;
        int64_t ns;
    } units[] = {{1e11, NS_PER_SECOND}, {1e14, 1000000}, {1e17, 1000}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (size < units[i].below)
            return units[i].ns;
    return 1;
}

bool timestamp_from_integer(int64_t count, int64_t *out_ns)
{
    return join(count, unit_of(fabs((double)count)), 0, out_ns);
}

bool timestamp_from_double(double count, int64_t *out_ns)
{
    if (!isfinite(count) || fabs(count) >= 9.2e18)
        return false;
    /* Whole and fractional part apart: the product alone would lose nanoseconds. */
    double whole = floor(count);
    int64_t unit = unit_of(fabs(count));
    return join((int64_t)whole, unit, (int64_t)((count - whole) * (double)unit + 0.5), out_ns);
}

bool timestamp_from_text(struct slice text, int64_t *out_ns)
{
    int64_t whole;
    double number;
    text = slice_trim(text);
    if (slice_to_i64(text, &whole))
        return timestamp_from_integer(whole, out_ns);
    if (slice_to_double(text, &number))
        return timestamp_from_double(number, out_ns);
    return timestamp_parse_ns(text, out_ns);
}

const char *timestamp_print(int64_t time_ms, char out[TIMESTAMP_TEXT_SIZE])
{
    int64_t ms = time_ms % 1000;
    time_t seconds = (time_t)(time_ms / 1000 - (ms < 0));
    struct tm tm;
    size_t used = 0;
    if (gmtime_r(&seconds, &tm))
        used = strftime(out, TIMESTAMP_TEXT_SIZE - 8, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(out + used, TIMESTAMP_TEXT_SIZE - used, ".%03dZ", (int)(ms < 0 ? ms + 1000 : ms));
    return out;
}
