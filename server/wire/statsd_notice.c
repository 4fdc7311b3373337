/* statsd_notice: an event or a service check, cut from the front.
 *
 *   _e{5,4}:title|text|t:error|#tag:value        _sc|name|2|h:host|m:message
 *      ^ ^  ^^^^^ ^^^^ ^^^^^^^^^^^^^^^^^^            ^^^^ ^ ^^^^^^^^^^^^^^^^
 *      bytes of title and text      fields           name status      fields
 *
 * The lengths are bytes, but npm's hot-shots sends what JavaScript calls a length, units of UTF-16: `é` is one,
 * `😀` two. Lengths that are wrong as bytes are tried as these.
 */
#include "server/wire/statsd_notice.h"

const char *const statsd_alert_names[STATSD_ALERT_COUNT] = {
    [STATSD_INFO] = "info",
    [STATSD_SUCCESS] = "success",
    [STATSD_WARNING] = "warning",
    [STATSD_ERROR] = "error",
};

const char *const statsd_status_names[STATSD_STATUS_COUNT] = {
    [STATSD_OK] = "ok",
    [STATSD_WARN] = "warning",
    [STATSD_CRITICAL] = "critical",
    [STATSD_UNKNOWN] = "unknown",
};

/* An alert type that nobody knows is no reason to lose the event. */
static enum statsd_alert alert_of(struct slice name)
{
    for (int i = 0; i < STATSD_ALERT_COUNT; i++)
        if (slice_equal_string(name, statsd_alert_names[i]))
            return (enum statsd_alert)i;
    return STATSD_INFO;
}

static enum statsd_reject read_time(struct slice digits, int64_t *out)
{
    uint64_t time_s;
    if (!slice_to_u64(digits, &time_s) || time_s == 0 || time_s >= (uint64_t)STATSD_TIME_MAX)
        return STATSD_BAD_TIME;
    *out = (int64_t)time_s;
    return STATSD_ACCEPTED;
}

static enum statsd_reject read_field(struct slice field, struct statsd_notice *out)
{
    if (field.len && field.at[0] == '#') {
        out->tags = slice_skip(field, 1);
        return out->tags.len <= STATSD_TAGS_MAX ? STATSD_ACCEPTED : STATSD_TOO_LONG;
    }
    struct slice value = slice_skip(field, 2);
    switch (field.len >= 2 && field.at[1] == ':' ? field.at[0] : 0) {
    case 'd':
        return read_time(value, &out->time_s);
    case 'h':
        out->host = value;
        return value.len <= STATSD_HOST_MAX ? STATSD_ACCEPTED : STATSD_TOO_LONG;
    case 'k':
        out->key = value;
        break;
    case 'm':
        out->text = value;
        break;
    case 'p':
        out->low_priority = slice_equal(value, SLICE("low"));
        break;
    case 's':
        out->source = value;
        break;
    case 't':
        out->alert = alert_of(value);
        break;
    default:
        out->ignored |= statsd_ignored_bit(field);
    }
    return STATSD_ACCEPTED;
}

static enum statsd_reject read_fields(struct slice rest, struct statsd_notice *out)
{
    enum statsd_reject reject = STATSD_ACCEPTED;
    while (rest.len && reject == STATSD_ACCEPTED) {
        struct slice field;
        slice_cut(&rest, '|', &field);
        reject = read_field(field, out);
    }
    return reject;
}

/* Cuts `len` bytes that must be followed by a bar or the end, and the bar. */
static bool cut_exactly(struct slice *rest, uint64_t len, struct slice *out)
{
    if (len > rest->len || (len < rest->len && rest->at[len] != '|'))
        return false;
    *out = slice_head(*rest, (size_t)len);
    *rest = slice_skip(*rest, (size_t)len + 1);
    return true;
}

/* The bytes of so many units of UTF-16 at the front, which is how strings are measured in JavaScript; more than
 * there are when there are fewer units, or bytes that are no UTF-8. */
static uint64_t bytes_of_units(struct slice s, uint64_t units)
{
    size_t bytes = 0;
    while (units && bytes < s.len) {
        size_t step = slice_utf8_length(slice_skip(s, bytes));
        size_t taken = step == 4 ? 2 : 1;
        if (step == 0 || taken > units)
            break;
        bytes += step;
        units -= taken;
    }
    return units ? UINT64_MAX : bytes;
}

struct event_lengths {
    uint64_t title, text;
};

static bool cut_event(struct slice *rest, struct event_lengths bytes, struct statsd_notice *out)
{
    struct slice left = *rest;
    if (bytes.title >= left.len || !cut_exactly(&left, bytes.title, &out->title) ||
        !cut_exactly(&left, bytes.text, &out->text))
        return false;
    *rest = left;
    return true;
}

/* Lengths are in bytes; where those are wrong for both, they may be in units of UTF-16. */
static bool cut_event_somehow(struct slice *rest, struct event_lengths sent,
                              struct statsd_notice *out)
{
    if (cut_event(rest, sent, out))
        return true;
    struct event_lengths bytes = {.title = bytes_of_units(*rest, sent.title)};
    if (bytes.title >= rest->len)
        return false;
    bytes.text = bytes_of_units(slice_skip(*rest, (size_t)bytes.title + 1), sent.text);
    return cut_event(rest, bytes, out);
}

enum statsd_reject statsd_parse_event(struct slice line, struct statsd_notice *out)
{
    struct slice rest = slice_skip(line, SLICE("_e{").len), title_digits, text_digits, colon;
    struct event_lengths lengths;
    *out = (struct statsd_notice){.alert = STATSD_INFO};
    if (!slice_cut(&rest, ',', &title_digits) || !slice_cut(&rest, '}', &text_digits) ||
        !slice_to_u64(title_digits, &lengths.title) || !slice_to_u64(text_digits, &lengths.text))
        return STATSD_BAD_LENGTH;
    if (!slice_cut(&rest, ':', &colon) || colon.len)
        return STATSD_NO_COLON;
    if (lengths.title == 0)
        return STATSD_EMPTY_NAME;
    if (!cut_event_somehow(&rest, lengths, out))
        return STATSD_BAD_LENGTH;
    struct slice text = out->text;
    enum statsd_reject reject = read_fields(rest, out);
    out->text = text; /* m: belongs to checks */
    return reject;
}

enum statsd_reject statsd_parse_check(struct slice line, struct statsd_notice *out)
{
    struct slice rest = slice_skip(line, SLICE("_sc|").len), status;
    *out = (struct statsd_notice){.alert = STATSD_INFO};
    slice_cut(&rest, '|', &out->name);
    if (out->name.len == 0)
        return STATSD_EMPTY_NAME;
    if (out->name.len > STATSD_NAME_MAX)
        return STATSD_TOO_LONG;
    slice_cut(&rest, '|', &status);
    if (status.len != 1 || status.at[0] < '0' || status.at[0] >= '0' + STATSD_STATUS_COUNT)
        return STATSD_BAD_STATUS;
    out->status = (enum statsd_status)(status.at[0] - '0');
    return read_fields(rest, out);
}
