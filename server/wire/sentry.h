/* sentry: one Sentry event (JSON) -> struct error_event. Framing is envelope.h's work.
 *
 * Pure but for the caller's parser and arena; any thread. What was read stays valid until the
 * parser's next json_parse or the arena's end, whichever is first. Every list is bounded; what
 * exceeds the bounds below is left out (the event's body is stored as it came all the same).
 * Source: Sentry developer documentation, "Event payloads", and captures of its SDKs.
 */
#ifndef SERVER_WIRE_SENTRY_H
#define SERVER_WIRE_SENTRY_H

#include "server/wire/envelope.h"

#define EVENT_BYTES_MAX       (1 << 20)
#define EVENT_EXCEPTIONS_MAX  8   /* the outermost are kept */
#define EVENT_FRAMES_MAX      100 /* of one exception; the newest are kept */
#define EVENT_FINGERPRINT_MAX 16
#define EVENT_TAGS_MAX        64

enum error_level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARNING, LEVEL_ERROR, LEVEL_FATAL, LEVEL_COUNT };
/* "debug" ... "fatal". */
const char *error_level_name(enum error_level level);
/* Also "warn", "log", "critical". False: unknown. */
MUST_USE bool error_level_parse(struct slice text, enum error_level *out);

/* Slices are empty when the event does not say. */
struct error_frame {
    struct slice filename; /* or abs_path, when there is no filename */
    struct slice abs_path;
    struct slice module;
    struct slice function;
    struct slice context_line;
    bool in_app;
};

struct error_exception {
    struct slice type;
    struct slice value;
    bool synthetic;             /* the SDK made it up to carry a stack */
    struct error_frame *frames; /* oldest first */
    size_t frame_count;
};

struct event_tag {
    struct slice key;
    struct slice value;
};

struct error_event {
    char id[EVENT_ID_LEN + 1]; /* "" when absent or unreadable */
    int64_t time_ms;           /* 0 when absent or unreadable */
    enum error_level level;    /* LEVEL_ERROR unless said */
    struct slice platform, logger, release, environment, transaction;
    struct slice message;  /* as a reader sees it */
    struct slice template; /* with its placeholders; equals message when there is none */
    struct slice user;     /* whatever tells users apart; only for hashing */
    struct error_exception *exceptions; /* innermost first, as sent */
    size_t exception_count;
    struct slice *fingerprint;
    size_t fingerprint_count;
    struct event_tag *tags;
    size_t tag_count;
};

/* -1 when the text is no JSON object or too large: *drop says which. */
MUST_USE int error_event_parse(struct slice text, struct json_parser *parser, struct arena *arena,
                               struct error_event *out, enum sentry_drop *drop);

#endif
