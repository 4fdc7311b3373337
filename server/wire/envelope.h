/* envelope: the framing of Sentry's envelopes; what is inside an item is not looked at.
 *
 * Pure but for the caller's parser and arena; any thread, one envelope at a time. Payloads are
 * slices of the text given to envelope_open; header fields live in the arena.
 * Source: Sentry developer documentation, "Envelopes".
 */
#ifndef SERVER_WIRE_ENVELOPE_H
#define SERVER_WIRE_ENVELOPE_H

#include "storage/base/arena.h"
#include "storage/base/json.h"

#define ENVELOPE_ITEMS_MAX  1000
#define ENVELOPE_HEADER_MAX 65536 /* bytes of one header line */
#define EVENT_ID_LEN        32    /* hex digits, lower case */

/* Why something of an envelope was dropped; each is a counter. */
enum sentry_drop {
    SENTRY_KEPT,
    SENTRY_ITEM_HEADER,
    SENTRY_ITEM_TYPE,
    SENTRY_ITEM_LENGTH,
    SENTRY_ITEM_COUNT,
    SENTRY_EVENT_SIZE,
    SENTRY_EVENT_JSON,
    SENTRY_DROP_COUNT,
};
/* "item_header" ...: the label value. */
const char *sentry_drop_name(enum sentry_drop drop);
/* What was wrong and what is expected, for the client. */
const char *sentry_drop_text(enum sentry_drop drop);

struct envelope {
    struct slice text;
    size_t next; /* byte offset of the next item */
    size_t items;
    struct json_parser *parser;
    struct arena *arena;
    /* From the header: */
    struct slice event_id; /* EVENT_ID_LEN hex digits, or empty */
    int64_t sent_at_ms;    /* 0 = not said */
};

struct envelope_item {
    struct slice type;
    struct slice payload;
    size_t offset;         /* of the item's header in the text */
    enum sentry_drop drop; /* SENTRY_KEPT, or why type and payload are empty */
};

/* Reads the header line. ERROR_BAD_DATA when it is no JSON object. */
MUST_USE int envelope_open(struct slice text, struct json_parser *parser, struct arena *arena,
                           struct envelope *out, struct error *err);
/* Cuts the next item, good or broken; false at the end. After a broken one it goes on behind the
 * line that follows the broken header. */
bool envelope_next(struct envelope *envelope, struct envelope_item *out);

/* 32 hex digits or a dashed UUID -> 32 lower-case hex digits. */
MUST_USE bool event_id_parse(struct slice text, char out[EVENT_ID_LEN + 1]);

#endif
