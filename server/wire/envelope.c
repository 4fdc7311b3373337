/* envelope: cuts an envelope into items.
 *
 *   {"event_id":"9ec7...","sent_at":"2026-..."}\n      header, may be {}
 *   {"type":"event"}\n                                 item header without length:
 *   {"message":"..."}\n                                  payload up to the newline or the end
 *   {"type":"attachment","length":4}\n                 with length: exactly so many bytes,
 *   \x00\x0a\x0d\xff\n                                   then a newline or the end
 *
 * '\r' belongs to the payload; zero bytes are a legal payload; the last newline may be missing;
 * empty lines between items are skipped. A broken item header or a length that does not end at a
 * newline costs that item only: the line behind the header is taken for its payload, as for an
 * item without length, and reading goes on there.
 *
 * Absent: the meaning of item types (server/api/sentry.c), compression (server/net/http.c).
 */
#include "server/wire/envelope.h"

#include "server/wire/timestamp.h"

static const struct {
    const char *name;
    const char *text;
} drops[SENTRY_DROP_COUNT] = {
    [SENTRY_KEPT] = {"kept", "nothing is wrong"},
    [SENTRY_ITEM_HEADER] = {"item_header", "the item header is not a JSON object on one line"},
    [SENTRY_ITEM_TYPE] = {"item_type", "the item header has no \"type\" string"},
    [SENTRY_ITEM_LENGTH] = {"item_length",
                            "the item's \"length\" does not lead to a newline or to the end of "
                            "the envelope; send the payload's size in bytes, or no length"},
    [SENTRY_ITEM_COUNT] = {"item_count",
                           "the envelope has more than 1000 items; send several envelopes"},
    [SENTRY_EVENT_SIZE] = {"event_size", "the event is larger than 1 MiB; send less of its extra "
                                         "data, breadcrumbs or local variables"},
    [SENTRY_EVENT_JSON] = {"event_json", "the event is not a JSON object"},
};

const char *sentry_drop_name(enum sentry_drop drop)
{
    return drops[drop].name;
}

const char *sentry_drop_text(enum sentry_drop drop)
{
    return drops[drop].text;
}

bool event_id_parse(struct slice text, char out[EVENT_ID_LEN + 1])
{
    size_t digits = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '-')
            continue;
        bool decimal = c >= '0' && c <= '9';
        char lower = (char)(c | 0x20);
        if (!decimal && (lower < 'a' || lower > 'f'))
            return false;
        if (digits == EVENT_ID_LEN)
            return false;
        out[digits++] = decimal ? c : lower;
    }
    out[digits] = '\0';
    return digits == EVENT_ID_LEN;
}

/* Cuts up to the next newline, or all. */
static struct slice cut_line(struct envelope *envelope)
{
    struct slice rest = slice_skip(envelope->text, envelope->next);
    struct slice line;
    slice_cut(&rest, '\n', &line);
    envelope->next = envelope->text.len - rest.len;
    return line;
}

static void read_header(struct envelope *envelope, struct json header)
{
    struct slice text;
    char id[EVENT_ID_LEN + 1];
    if (json_string(json_get(header, "event_id"), &text) && event_id_parse(text, id))
        envelope->event_id = arena_copy(envelope->arena, slice_make(id, EVENT_ID_LEN));
    if (json_string(json_get(header, "sent_at"), &text) &&
        !timestamp_parse(text, &envelope->sent_at_ms))
        envelope->sent_at_ms = 0;
}

int envelope_open(struct slice text, struct json_parser *parser, struct arena *arena,
                  struct envelope *out, struct error *err)
{
    *out = (struct envelope){.text = text, .parser = parser, .arena = arena};
    struct slice line = cut_line(out);
    if (line.len > ENVELOPE_HEADER_MAX)
        return error_set(err, ERROR_BAD_DATA,
                         "the envelope header, the line from byte 0 to %zu, is longer than %d "
                         "bytes; end it with a newline before the first item",
                         line.len, ENVELOPE_HEADER_MAX);
    struct json header;
    if (json_parse(parser, line, &header, err) < 0)
        return error_wrap(err, "the envelope header, the line from byte 0 to %zu, is not JSON",
                          line.len);
    if (json_type(header) != JSON_OBJECT)
        return error_set(err, ERROR_BAD_DATA,
                         "the envelope header, the line from byte 0 to %zu, is not a JSON object; "
                         "send {} when there is nothing to say",
                         line.len);
    read_header(out, header);
    return 0;
}

/* Type and length of the header line; a length is kept only when it is an integer >= 0. */
static enum sentry_drop read_item_header(struct envelope *envelope, struct slice line,
                                         struct slice *type, int64_t *length)
{
    struct json header;
    if (line.len > ENVELOPE_HEADER_MAX || json_parse(envelope->parser, line, &header, NULL) < 0 ||
        json_type(header) != JSON_OBJECT)
        return SENTRY_ITEM_HEADER;
    if (!json_string(json_get(header, "type"), type))
        return SENTRY_ITEM_TYPE;
    *type = arena_copy(envelope->arena, slice_head(*type, 64));
    struct json value = json_get(header, "length");
    *length = -1;
    if (json_type(value) != JSON_NONE && json_type(value) != JSON_NULL &&
        (!json_int(value, length) || *length < 0))
        return SENTRY_ITEM_LENGTH;
    return SENTRY_KEPT;
}

/* Exactly `length` bytes, then a newline or the end. Leaves the place alone on failure. */
static enum sentry_drop cut_sized(struct envelope *envelope, uint64_t length, struct slice *out)
{
    struct slice rest = slice_skip(envelope->text, envelope->next);
    if (length > rest.len || (length < rest.len && rest.at[length] != '\n'))
        return SENTRY_ITEM_LENGTH;
    *out = slice_head(rest, (size_t)length);
    envelope->next += (size_t)length + (length < rest.len);
    return SENTRY_KEPT;
}

bool envelope_next(struct envelope *envelope, struct envelope_item *out)
{
    struct slice line;
    do {
        if (envelope->next >= envelope->text.len)
            return false;
        *out = (struct envelope_item){.offset = envelope->next};
        line = cut_line(envelope);
    } while (slice_trim(line).len == 0);
    int64_t length = -1;
    out->drop = read_item_header(envelope, line, &out->type, &length);
    if (out->drop == SENTRY_KEPT && length >= 0)
        out->drop = cut_sized(envelope, (uint64_t)length, &out->payload);
    else if (out->drop == SENTRY_KEPT)
        out->payload = cut_line(envelope);
    if (out->drop != SENTRY_KEPT)
        cut_line(envelope);
    else if (envelope->items++ < ENVELOPE_ITEMS_MAX)
        return true;
    else
        out->drop = SENTRY_ITEM_COUNT;
    out->type = out->payload = (struct slice){NULL, 0};
    return true;
}
