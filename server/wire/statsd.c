/* statsd: one pass over a line, cutting from the front.
 *
 *   api.latency:320:12.5|ms|@0.1|#route:/buy,canary|c:83c0a99c
 *   ^^^^^^^^^^^ ^^^^^^^^ ^^ ^^^^ ^^^^^^^^^^^^^^^^^^ ^^^^^^^^^^
 *   name        values  type      fields, in any order, last duplicate wins
 *
 * The values are only read once the type is known, because a set's member may be any bytes, colons
 * included. Numbers of up to 15 digits, with or without a point, are read in place; the rest goes
 * to slice_to_double. Packed values are all checked before the line is accepted.
 */
#include "server/wire/statsd.h"

#include <math.h>

const char *const statsd_reject_names[STATSD_REJECT_COUNT] = {
    [STATSD_ACCEPTED] = "accepted",
    [STATSD_NO_COLON] = "no_colon",
    [STATSD_EMPTY_NAME] = "empty_name",
    [STATSD_NO_TYPE] = "no_type",
    [STATSD_BAD_TYPE] = "bad_type",
    [STATSD_BAD_VALUE] = "bad_value",
    [STATSD_BAD_RATE] = "bad_rate",
    [STATSD_NOT_FINITE] = "not_finite",
    [STATSD_NEGATIVE_COUNT] = "negative_count",
    [STATSD_TOO_LONG] = "too_long",
    [STATSD_EVENT] = "unsupported_event",
    [STATSD_SERVICE_CHECK] = "unsupported_service_check",
};

bool statsd_cut_line(struct slice *rest, struct slice *line)
{
    while (rest->len) {
        slice_cut(rest, '\n', line);
        if (line->len && line->at[line->len - 1] == '\r')
            line->len--;
        if (line->len)
            return true;
    }
    return false;
}

/* --- values --- */

static const double power_of_ten[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                      1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
#define DIGITS_MAX 15 /* below 2^53, so that one division rounds correctly */

/* Digits with at most one point, no sign. False when it is anything else or longer. */
static bool short_decimal(struct slice s, double *out)
{
    uint64_t digits = 0;
    size_t point = s.len;
    if (s.len == 0 || s.len > DIGITS_MAX)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        unsigned digit = (unsigned)((unsigned char)s.at[i] - '0');
        if (digit <= 9)
            digits = digits * 10 + digit;
        else if (s.at[i] == '.' && point == s.len)
            point = i;
        else
            return false;
    }
    if (s.len == 1 && point == 0)
        return false;
    *out = (double)digits;
    if (point < s.len)
        *out /= power_of_ten[s.len - point - 1];
    return true;
}

/* Why a number was not one. */
static enum statsd_reject number_fault(struct slice s)
{
    if (s.len && (s.at[0] == '-' || s.at[0] == '+'))
        s = slice_skip(s, 1);
    if (slice_equal_nocase(slice_head(s, 3), SLICE("nan")) ||
        slice_equal_nocase(slice_head(s, 3), SLICE("inf")))
        return STATSD_NOT_FINITE;
    return STATSD_BAD_VALUE;
}

static enum statsd_reject read_number(struct slice s, double *value, bool *is_signed)
{
    if (short_decimal(s, value)) {
        *is_signed = false;
        return STATSD_ACCEPTED;
    }
    *is_signed = s.len && (s.at[0] == '-' || s.at[0] == '+');
    return slice_to_double(s, value) ? STATSD_ACCEPTED : number_fault(s);
}

static enum statsd_reject check_value(const struct statsd_metric *metric)
{
    if (metric->type == STATSD_COUNTER && metric->value < 0)
        return STATSD_NEGATIVE_COUNT;
    if (metric->type != STATSD_GAUGE && !isfinite(metric->value * metric->weight))
        return STATSD_NOT_FINITE;
    return STATSD_ACCEPTED;
}

/* The next member of a pack; empty ones are skipped. False when none is left. */
static bool cut_packed(struct slice *rest, struct slice *value)
{
    while (rest->len) {
        slice_cut(rest, ':', value);
        if (value->len)
            return true;
    }
    return false;
}

static enum statsd_reject read_values(struct slice values, struct statsd_metric *out)
{
    struct slice next;
    if (out->type == STATSD_SET) {
        out->member = values;
        return values.len ? STATSD_ACCEPTED : STATSD_BAD_VALUE;
    }
    if (!cut_packed(&values, &next))
        return STATSD_BAD_VALUE;
    enum statsd_reject reject = read_number(next, &out->value, &out->is_signed);
    if (reject == STATSD_ACCEPTED)
        reject = check_value(out);
    struct statsd_metric probe = *out;
    out->more = values;
    while (reject == STATSD_ACCEPTED && cut_packed(&values, &next)) {
        reject = read_number(next, &probe.value, &probe.is_signed);
        if (reject == STATSD_ACCEPTED)
            reject = check_value(&probe);
    }
    return reject;
}

bool statsd_cut_value(struct statsd_metric *metric)
{
    struct slice next;
    return cut_packed(&metric->more, &next) &&
           read_number(next, &metric->value, &metric->is_signed) == STATSD_ACCEPTED;
}

/* --- type and fields --- */

static bool read_type(struct slice s, enum statsd_type *out)
{
    static const struct {
        struct slice text;
        enum statsd_type type;
    } types[] = {
        {SLICE_LIT("c"), STATSD_COUNTER}, {SLICE_LIT("g"), STATSD_GAUGE},
        {SLICE_LIT("ms"), STATSD_TIMER},  {SLICE_LIT("h"), STATSD_TIMER},
        {SLICE_LIT("d"), STATSD_TIMER},   {SLICE_LIT("s"), STATSD_SET},
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (slice_equal(types[i].text, s)) {
            *out = types[i].type;
            return true;
        }
    }
    return false;
}

static uint8_t ignored_bit(struct slice field)
{
    static const struct {
        struct slice prefix;
        enum statsd_ignored ignored;
    } prefixes[] = {
        {SLICE_LIT("c:"), STATSD_IGNORED_CONTAINER},
        {SLICE_LIT("T"), STATSD_IGNORED_TIMESTAMP},
        {SLICE_LIT("e:"), STATSD_IGNORED_EXTERNAL},
        {SLICE_LIT("card:"), STATSD_IGNORED_CARDINALITY},
    };
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++)
        if (slice_starts_with(field, prefixes[i].prefix))
            return (uint8_t)(1u << prefixes[i].ignored);
    return 1u << STATSD_IGNORED_OTHER;
}

static enum statsd_reject read_fields(struct slice rest, struct statsd_metric *out)
{
    while (rest.len) {
        struct slice field;
        double rate;
        slice_cut(&rest, '|', &field);
        if (field.len && field.at[0] == '#') {
            out->tags = slice_skip(field, 1);
        } else if (field.len && field.at[0] == '@') {
            struct slice digits = slice_skip(field, 1);
            if (!short_decimal(digits, &rate) && !slice_to_double(digits, &rate))
                return STATSD_BAD_RATE;
            if (!(rate > 0 && rate <= 1))
                return STATSD_BAD_RATE;
            out->weight = 1 / rate;
        } else {
            out->ignored |= ignored_bit(field);
        }
    }
    return out->tags.len > STATSD_TAGS_MAX ? STATSD_TOO_LONG : STATSD_ACCEPTED;
}

enum statsd_reject statsd_parse(struct slice line, struct statsd_metric *out)
{
    struct slice values, type;
    if (line.len && line.at[0] == '_') {
        if (slice_starts_with(line, SLICE("_e{")))
            return STATSD_EVENT;
        if (slice_starts_with(line, SLICE("_sc|")))
            return STATSD_SERVICE_CHECK;
    }
    *out = (struct statsd_metric){.weight = 1};
    if (!slice_cut(&line, ':', &out->name))
        return STATSD_NO_COLON;
    if (out->name.len == 0)
        return STATSD_EMPTY_NAME;
    if (out->name.len > STATSD_NAME_MAX)
        return STATSD_TOO_LONG;
    if (!slice_cut(&line, '|', &values))
        return STATSD_NO_TYPE;
    slice_cut(&line, '|', &type);
    if (!read_type(type, &out->type))
        return type.len ? STATSD_BAD_TYPE : STATSD_NO_TYPE;
    enum statsd_reject reject = read_fields(line, out);
    return reject == STATSD_ACCEPTED ? read_values(values, out) : reject;
}
