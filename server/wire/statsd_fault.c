/* statsd_fault: a function a reason, each of which knows in which part of a line to look.
 *
 *   name:value:value|type|@rate|#tags|T<unix>
 *   ^^^^ ^^^^^ ^^^^^ ^^^^ ^^^^^ ^^^^^ ^^^^^^^
 * Of several values or fields the first is at fault that the parser refuses by itself, in `x:1|c|FIELD`.
 */
#include "server/wire/statsd_fault.h"

#define PROBE_MAX 8192

/* What is asked about, the parts as slices of the line. */
struct question {
    const struct statsd_profile *profile;
    struct slice line, segment;
    enum statsd_reject reject;
};

static size_t offset_of(const struct question *question, const char *at)
{
    return (size_t)(at - question->line.at);
}

static size_t at_start(const struct question *question)
{
    static const struct slice openings[] = {SLICE_LIT("_e{"), SLICE_LIT("_sc|")};
    for (size_t i = 0; i < 2; i++)
        if (!question->segment.at && slice_starts_with(question->line, openings[i]))
            return openings[i].len;
    return 0;
}

static size_t at_end(const struct question *question)
{
    struct slice rest = question->line, lengths;
    if (!question->segment.at && slice_starts_with(rest, SLICE("_e{")) &&
        slice_cut(&rest, '}', &lengths))
        return lengths.len + 1;
    return question->line.len;
}

/* Behind the first bar; where there is none, at the end of the values. A colon ends them where values
 * cannot be packed: what follows is another segment. */
static size_t at_type(const struct question *question)
{
    const unsigned both = STATSD_TAKES_PACKING | STATSD_TAKES_SEGMENTS;
    struct slice rest = question->segment, values, head;
    if ((question->profile->takes & both) == STATSD_TAKES_SEGMENTS)
        slice_cut(&rest, ':', &head);
    else
        head = rest;
    bool barred = slice_cut(&head, '|', &values);
    return offset_of(question, values.at + values.len) + barred;
}

static bool is_refused(const struct question *question, struct slice before, struct slice part,
                       struct slice after)
{
    char text[PROBE_MAX];
    struct statsd_metric metric;
    size_t len = before.len + part.len + after.len;
    if (len > sizeof text)
        return false;
    memcpy(text, before.at, before.len);
    if (part.len)
        memcpy(text + before.len, part.at, part.len);
    if (after.len)
        memcpy(text + before.len + part.len, after.at, after.len);
    return statsd_parse(question->profile, slice_make(text, len), &metric) == question->reject;
}

/* The first byte of something like a number that cannot belong to one. */
static size_t end_of_number(struct slice text)
{
    double value;
    for (size_t len = text.len; len > 0; len--)
        if (slice_to_double(slice_head(text, len), &value))
            return len < text.len ? len : 0; /* a number, but a wrong one */
    return 0;
}

static size_t at_value(const struct question *question)
{
    struct slice values, type, rest = question->segment, value;
    slice_cut(&rest, '|', &values);
    slice_cut(&rest, ':', &type);
    const char *bar = values.at + values.len;
    struct slice behind = slice_make(bar, (size_t)(type.at + type.len - bar));
    bool packed = (question->profile->takes & STATSD_TAKES_PACKING) != 0;
    struct slice left = values;
    while (left.len) {
        value = left;
        left.len = 0;
        if (packed) {
            left = value;
            slice_cut(&left, ':', &value);
        }
        if (value.len && is_refused(question, SLICE("x:"), value, behind))
            return offset_of(question, value.at) +
                   (question->reject == STATSD_BAD_VALUE ? end_of_number(value) : 0);
    }
    return offset_of(question, values.at);
}

/* The first field of this opening that is refused by itself, behind the opening. */
static size_t at_field(const struct question *question, struct slice opening, struct slice before)
{
    struct slice rest = question->segment.at ? question->segment : question->line, field;
    while (rest.len) {
        slice_cut(&rest, '|', &field);
        if (!slice_starts_with(field, opening))
            continue;
        struct slice probed = field, whole = field;
        if (question->profile->takes & STATSD_TAKES_SEGMENTS && opening.at[0] == '@')
            slice_cut(&whole, ':', &probed);
        if (!before.len || is_refused(question, before, probed, SLICE("")))
            return offset_of(question, field.at + opening.len);
    }
    return question->line.len;
}

static size_t at_rate(const struct question *question)
{
    return at_field(question, SLICE("@"), SLICE("x:1|c|"));
}

static size_t at_time(const struct question *question)
{
    return question->segment.at ? at_field(question, SLICE("T"), SLICE("x:1|c|"))
                                : at_field(question, SLICE("d:"), SLICE(""));
}

/* Where the limit is passed. */
static size_t at_limit(const struct question *question)
{
    size_t start = at_start(question);
    struct slice name = slice_skip(question->line, start), rest = name;
    slice_cut(&rest, question->segment.at ? ':' : '|', &name);
    if (name.len > STATSD_NAME_MAX)
        return start + STATSD_NAME_MAX;
    size_t tags = at_field(question, SLICE("#"), SLICE(""));
    return tags + STATSD_TAGS_MAX < question->line.len ? tags + STATSD_TAGS_MAX : tags;
}

static size_t at_status(const struct question *question)
{
    struct slice rest = slice_skip(question->line, at_start(question)), name;
    slice_cut(&rest, '|', &name);
    return offset_of(question, rest.at);
}

static const struct fault_row {
    size_t (*find)(const struct question *question);
    const char *text;
} rows[STATSD_REJECT_COUNT] = {
    [STATSD_ACCEPTED] = {at_start, "nothing is wrong"},
    [STATSD_NO_COLON] = {at_end, "a colon must follow the name: name:value|type"},
    [STATSD_EMPTY_NAME] = {at_start, "the name is empty"},
    [STATSD_NO_TYPE] = {at_type, "a type must follow the value, behind a bar: name:value|c"},
    [STATSD_BAD_TYPE] = {at_type, "this profile has no such type"},
    [STATSD_BAD_VALUE] = {at_value, "this is no number, or no member of a set"},
    [STATSD_BAD_RATE] = {at_rate, "a sample rate is a number above 0 and at most 1"},
    [STATSD_NOT_FINITE] = {at_value, "the number is not finite, or is not after sampling"},
    [STATSD_NEGATIVE_COUNT] = {at_value, "a running total cannot be below 0"},
    [STATSD_BAD_TIME] = {at_time, "a time is whole seconds since 1970"},
    [STATSD_TOO_LONG] = {at_limit, "a name has at most 512 bytes, tags 4,096, a host 256"},
    [STATSD_BAD_LENGTH] = {at_start, "the lengths must be those of title and text, in bytes"},
    [STATSD_BAD_STATUS] = {at_status, "a status is 0, 1, 2 or 3"},
};

size_t statsd_fault(const struct statsd_profile *profile, struct slice line, struct slice segment,
                    enum statsd_reject reject)
{
    const struct question question = {profile, line, segment, reject};
    size_t at = rows[reject].find(&question);
    return at < line.len ? at : line.len;
}

const char *statsd_fault_text(enum statsd_reject reject)
{
    return rows[reject].text;
}
