/* graphite_time: see the header. */
#include "server/wire/graphite_time.h"

#include <ctype.h>
#include <stdio.h>

#include "server/wire/timestamp.h"

#define TIME_MAX_S ((int64_t)9000000000000)
#define HOUR_MS    ((int64_t)3600000)
#define DAY_MS     (24 * HOUR_MS)

/* -1h30min, behind "now" or alone. */
static bool read_offset(struct slice text, int64_t *out_ms)
{
    static const struct {
        const char *unit; /* and all that begins so */
        int64_t ms;
    } units[] = {
        {"s", 1000},    {"mon", 2592000000}, {"min", 60000},   {"m", 60000},
        {"h", 3600000}, {"d", 86400000},     {"w", 604800000}, {"y", 31536000000},
    };
    int64_t sign = text.at[0] == '-' ? -1 : 1;
    text = slice_skip(text, 1);
    *out_ms = 0;
    do {
        size_t digits = 0, letters = 0;
        uint64_t number;
        while (digits < text.len && isdigit((unsigned char)text.at[digits]))
            digits++;
        if (digits > 9 || !slice_to_u64(slice_head(text, digits), &number))
            return false;
        text = slice_skip(text, digits);
        while (letters < text.len && isalpha((unsigned char)text.at[letters]))
            letters++;
        size_t row = 0;
        const size_t rows = sizeof units / sizeof units[0];
        while (row < rows && !slice_starts_with(text, slice_of_string(units[row].unit)))
            row++;
        if (row == rows)
            return false;
        *out_ms += sign * (int64_t)number * units[row].ms;
        text = slice_skip(text, letters);
    } while (text.len);
    return true;
}

/* HH:MM_YYYYMMDD, or YYYYMMDD for its midnight. */
static bool read_date(struct slice text, int64_t *out_ms)
{
    struct slice time = SLICE("00:00"), date = text;
    char shown[32];
    if (memchr(text.at, '_', text.len))
        slice_cut(&date, '_', &time);
    if (date.len != 8 || time.len != 5)
        return false;
    int len = snprintf(shown, sizeof shown, "%.4s-%.2s-%.2sT%.5s:00Z", date.at, date.at + 4,
                       date.at + 6, time.at);
    return timestamp_parse(slice_make(shown, (size_t)len), out_ms);
}

/* Cuts now, midnight, noon or teatime, the last three of today, from the front. */
static bool cut_name(struct slice *text, int64_t now_ms, int64_t *out_ms)
{
    static const struct {
        struct slice name;
        int64_t hour; /* -1: this moment */
    } names[] = {
        {SLICE_LIT("now"), -1},
        {SLICE_LIT("midnight"), 0},
        {SLICE_LIT("noon"), 12},
        {SLICE_LIT("teatime"), 16},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (!slice_starts_with(*text, names[i].name))
            continue;
        *text = slice_skip(*text, names[i].name.len);
        *out_ms = names[i].hour < 0 ? now_ms : now_ms - now_ms % DAY_MS + names[i].hour * HOUR_MS;
        return true;
    }
    return false;
}

bool graphite_time(struct slice text, int64_t now_ms, int64_t *out_ms)
{
    int64_t value, offset_ms;
    *out_ms = now_ms;
    bool named = cut_name(&text, now_ms, out_ms);
    if (named && !text.len)
        return true;
    if (text.len && (text.at[0] == '-' || text.at[0] == '+')) {
        if (!read_offset(text, &offset_ms))
            return false;
        *out_ms += offset_ms;
        return true;
    }
    if (named)
        return false;
    if (text.len && text.len != 8 && slice_to_i64(text, &value)) {
        if (value < 0 || value > TIME_MAX_S)
            return false;
        *out_ms = value * 1000;
        return true;
    }
    return text.len && read_date(text, out_ms);
}
