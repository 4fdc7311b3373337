/* statsd: one pass over a line, cutting from the front.
 *
 *   api.latency:320:12.5|ms|@0.1|#route:/buy,canary|c:83c0a99c
 *   ^^^^^^^^^^^ ^^^^^^^^ ^^ ^^^^ ^^^^^^^^^^^^^^^^^^ ^^^^^^^^^^
 *   name        values  type      fields, in any order, last duplicate wins
 *
 *   api:1|c|@0.1:320|ms:2|c
 *   ^^^ ^^^^^^^^ ^^^^^^ ^^^
 *   name       segments: a colon in the type or the rate begins the next one
 *
 * The values are only read once the type is known, because a set's member may be any bytes, colons
 * included. Packed values are all checked before the line is accepted.
 */
#include "server/wire/statsd.h"

#include <math.h>

#include "server/wire/decimal.h"

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
    [STATSD_BAD_TIME] = "bad_time",
    [STATSD_TOO_LONG] = "too_long",
    [STATSD_BAD_LENGTH] = "bad_length",
    [STATSD_BAD_STATUS] = "bad_status",
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

static enum statsd_reject check_value(const struct statsd_metric *metric)
{
    if (metric->type == STATSD_TOTAL && metric->value < 0)
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

/* The line begins with the name, so all from there on may be read. */
static bool read_decimal(struct slice text, const struct statsd_metric *metric, double *value)
{
    return decimal_read(text, metric->name.at, value);
}

static enum statsd_reject read_value(struct slice text, struct statsd_metric *out)
{
    out->is_delta = false;
    if (read_decimal(text, out, &out->value))
        return check_value(out);
    if (!slice_to_double(text, &out->value))
        return number_fault(text);
    /* What has a time is from a DogStatsD client, which means the value itself. */
    out->is_delta = (text.at[0] == '-' || text.at[0] == '+') && out->signs_move && out->time_s == 0;
    return check_value(out);
}

static enum statsd_reject read_values(unsigned takes, struct slice values,
                                      struct statsd_metric *out)
{
    struct slice next;
    if (out->type == STATSD_SET) {
        out->member = values;
        return values.len ? STATSD_ACCEPTED : STATSD_BAD_VALUE;
    }
    if (read_decimal(values, out, &out->value)) /* nearly always; then they are no pack */
        return check_value(out);
    if (!(takes & STATSD_TAKES_PACKING))
        return read_value(values, out);
    if (!cut_packed(&values, &next))
        return STATSD_BAD_VALUE;
    enum statsd_reject reject = read_value(next, out);
    if (values.len == 0)
        return reject;
    struct statsd_metric probe = *out;
    out->more = values;
    while (reject == STATSD_ACCEPTED && cut_packed(&values, &next))
        reject = read_value(next, &probe);
    return reject;
}

bool statsd_cut_value(struct statsd_metric *metric)
{
    struct slice next;
    return cut_packed(&metric->more, &next) && read_value(next, metric) == STATSD_ACCEPTED;
}

/* --- type and fields --- */

#define IN_UNION     (1u << STATSD_UNION)
#define IN_ETSY      (1u << STATSD_ETSY)
#define IN_DOGSTATSD (1u << STATSD_DOGSTATSD)
#define IN_STATSITE  (1u << STATSD_STATSITE)
#define IN_ALL       (IN_UNION | IN_ETSY | IN_DOGSTATSD | IN_STATSITE)

/* The one or two letters of a type as a number. */
#define TYPE_CODE(first, second) ((unsigned)(first) | (unsigned)(second) << 8)

static const struct type_row {
    unsigned code;
    unsigned dialects;
    enum statsd_type type;
    bool absolute; /* its sign never moves it */
} types[] = {
    {TYPE_CODE('c', 0), IN_ALL, STATSD_COUNTER, false},
    {TYPE_CODE('g', 0), IN_ALL, STATSD_GAUGE, false},
    {TYPE_CODE('m', 's'), IN_ALL, STATSD_TIMER, false},
    {TYPE_CODE('s', 0), IN_ALL, STATSD_SET, false},
    {TYPE_CODE('h', 0), IN_UNION | IN_DOGSTATSD | IN_STATSITE, STATSD_TIMER, false},
    {TYPE_CODE('d', 0), IN_UNION | IN_DOGSTATSD, STATSD_TIMER, false},
    {TYPE_CODE('m', 0), IN_UNION, STATSD_COUNTER, false},
    {TYPE_CODE('k', 'v'), IN_UNION | IN_STATSITE, STATSD_GAUGE, true},
    {TYPE_CODE('C', 0), IN_UNION, STATSD_TOTAL, false},
};

/* As slice_cut does; a call of memchr takes longer than a look at two letters. */
static void cut_type(struct slice *rest, struct slice *type)
{
    size_t len = 0;
    while (len < rest->len && rest->at[len] != '|')
        len++;
    *type = slice_head(*rest, len);
    *rest = slice_skip(*rest, len + 1);
}

static bool read_type(const struct statsd_profile *profile, struct slice s,
                      struct statsd_metric *out)
{
    if (s.len == 0 || s.len > 2)
        return false;
    unsigned code = TYPE_CODE((unsigned char)s.at[0], s.len == 2 ? (unsigned char)s.at[1] : 0);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (types[i].code == code && types[i].dialects >> profile->dialect & 1) {
            out->type = types[i].type;
            out->signs_move = types[i].type == STATSD_GAUGE && !types[i].absolute &&
                              profile->takes & STATSD_TAKES_DELTAS;
            return true;
        }
    }
    return false;
}

uint8_t statsd_ignored_bit(struct slice field)
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

/* Where segments are taken, a colon in *field ends it, and all behind it are segments; `rest` is
 * what follows the field in the line. */
static bool end_segment(unsigned takes, struct slice *field, struct slice rest,
                        struct statsd_metric *out)
{
    struct slice head, tail = *field;
    if (!(takes & STATSD_TAKES_SEGMENTS) || !slice_cut(&tail, ':', &head))
        return false;
    *field = head;
    out->segments = slice_make(tail.at, (size_t)(rest.at + rest.len - tail.at));
    return true;
}

/* *rest, what follows the field, becomes empty where the segment ends in it. */
static enum statsd_reject read_rate(unsigned takes, struct slice field, struct slice *rest,
                                    struct statsd_metric *out)
{
    double rate;
    if (!read_decimal(slice_skip(field, 1), out, &rate)) {
        if (end_segment(takes, &field, *rest, out))
            rest->len = 0;
        if (!slice_to_double(slice_skip(field, 1), &rate))
            return STATSD_BAD_RATE;
    }
    if (rate > 0 && rate <= 1)
        out->weight = 1 / rate;
    else if (takes & STATSD_FORGIVES_RATES)
        out->weight = 1;
    else
        return STATSD_BAD_RATE;
    return STATSD_ACCEPTED;
}

/* A time belongs to what needs no aggregation: counts and readings. */
static enum statsd_reject read_time(unsigned takes, struct slice field, struct statsd_metric *out)
{
    uint64_t time_s;
    if (!(takes & STATSD_TAKES_TIME) ||
        (out->type != STATSD_COUNTER && out->type != STATSD_GAUGE)) {
        out->ignored |= statsd_ignored_bit(field);
        return STATSD_ACCEPTED;
    }
    if (!slice_to_u64(slice_skip(field, 1), &time_s) || time_s == 0 ||
        time_s >= (uint64_t)STATSD_TIME_MAX)
        return STATSD_BAD_TIME;
    out->time_s = (int64_t)time_s;
    return STATSD_ACCEPTED;
}

static enum statsd_reject read_fields(unsigned takes, struct slice rest, struct statsd_metric *out)
{
    enum statsd_reject reject = STATSD_ACCEPTED;
    while (rest.len && reject == STATSD_ACCEPTED) {
        struct slice field;
        slice_cut(&rest, '|', &field);
        char first = field.len ? field.at[0] : 0;
        if (first == '#' && takes & STATSD_TAKES_TAGS) {
            out->tags = slice_skip(field, 1);
        } else if (first == '@') {
            reject = read_rate(takes, field, &rest, out);
        } else if (first == 'T') {
            reject = read_time(takes, field, out);
        } else {
            out->ignored |= statsd_ignored_bit(field);
        }
    }
    return reject == STATSD_ACCEPTED && out->tags.len > STATSD_TAGS_MAX ? STATSD_TOO_LONG : reject;
}

/* Where values cannot be packed, 1:2|c is a segment without a type and another one. */
static bool cut_untyped(struct slice rest, struct statsd_metric *out)
{
    struct slice head;
    if (!slice_cut(&rest, ':', &head) || (head.len && memchr(head.at, '|', head.len)))
        return false;
    out->segments = rest;
    return true;
}

/* 320|ms|@0.1|#route:/buy */
static enum statsd_reject read_segment(const struct statsd_profile *profile, struct slice rest,
                                       struct statsd_metric *out)
{
    const unsigned both = STATSD_TAKES_PACKING | STATSD_TAKES_SEGMENTS;
    struct slice values, type;
    if ((profile->takes & both) == STATSD_TAKES_SEGMENTS && cut_untyped(rest, out))
        return STATSD_NO_TYPE;
    if (!slice_cut(&rest, '|', &values))
        return STATSD_NO_TYPE;
    cut_type(&rest, &type);
    if (!read_type(profile, type, out)) {
        bool ended = end_segment(profile->takes, &type, rest, out);
        if (!ended || !read_type(profile, type, out))
            return type.len ? STATSD_BAD_TYPE : STATSD_NO_TYPE;
        rest.len = 0;
    }
    enum statsd_reject reject = read_fields(profile->takes, rest, out);
    return reject == STATSD_ACCEPTED ? read_values(profile->takes, values, out) : reject;
}

/* The tags in a name do not count towards its limit. */
static bool name_fits(const struct statsd_profile *profile, struct slice raw)
{
    if (raw.len <= STATSD_NAME_MAX)
        return true;
    struct statsd_name name = statsd_split_name(profile->dialect, raw);
    return name.head.len + name.tail.len <= STATSD_NAME_MAX && name.tags.len <= STATSD_TAGS_MAX;
}

/* Member by member: what compilers clear so large a struct with takes longer than all the rest. */
static void begin_metric(const struct statsd_profile *profile, struct slice name,
                         struct statsd_metric *out)
{
    out->name = name;
    out->tags = out->member = out->more = out->segments = (struct slice){NULL, 0};
    out->value = 0;
    out->weight = 1;
    out->time_s = 0;
    out->type = STATSD_COUNTER;
    out->dialect = profile->dialect;
    out->signs_move = out->is_delta = false;
    out->ignored = 0;
}

enum statsd_reject statsd_parse(const struct statsd_profile *profile, struct slice line,
                                struct statsd_metric *out)
{
    begin_metric(profile, slice_head(line, 0), out);
    if (line.len && line.at[0] == '_' && profile->takes & STATSD_TAKES_NOTICES) {
        if (slice_starts_with(line, SLICE("_e{")))
            return STATSD_EVENT;
        if (slice_starts_with(line, SLICE("_sc|")))
            return STATSD_SERVICE_CHECK;
    }
    if (!slice_cut(&line, ':', &out->name))
        return STATSD_NO_COLON;
    if (out->name.len == 0)
        return STATSD_EMPTY_NAME;
    if (!name_fits(profile, out->name))
        return STATSD_TOO_LONG;
    return read_segment(profile, line, out);
}

enum statsd_reject statsd_next_segment(const struct statsd_profile *profile,
                                       struct statsd_metric *metric)
{
    struct slice rest = metric->segments;
    begin_metric(profile, metric->name, metric);
    return read_segment(profile, rest, metric);
}
