/* statsd: lines of the statsd protocol and its dialects -> metrics. Pure.
 *
 *   name:value[:value...]|type[|@rate][|#tag:value,tag...][|T<unix>][|other field...]
 *   name:value|type[|@rate]:value|type[|@rate]...
 *
 * Nothing is copied: the slices of a metric point into the line. A line counts whole or not at
 * all, but for segments (the second form), each of which stands for itself. Which forms and types
 * a line may use is the profile's to say (statsd_profile.h).
 * Sources: statsd docs/metric_types.md; DogStatsD datagram format v1.0-1.6.
 */
#ifndef SERVER_WIRE_STATSD_H
#define SERVER_WIRE_STATSD_H

#include "server/wire/statsd_profile.h"
#include "storage/labels.h"

#define STATSD_NAME_MAX 512                /* bytes, without the tags in it */
#define STATSD_TAGS_MAX 4096               /* bytes after the '#', and as many in the name */
#define STATSD_TIME_MAX ((int64_t)1 << 40) /* seconds; what is later is in milliseconds */
/* Behind the name of what gathers counts below zero. */
#define STATSD_DECREMENTS SLICE("_decrements")

enum statsd_type {
    STATSD_COUNTER,   /* c, m; may be negative */
    STATSD_GAUGE,     /* g, kv */
    STATSD_TIMER,     /* ms, h, d: all become histograms */
    STATSD_SET,       /* s */
    STATSD_TOTAL,     /* C: the sender's own running total */
    STATSD_DECREMENT, /* no line says it: what intake makes of counts below zero */
    STATSD_TYPE_COUNT,
};

enum statsd_reject {
    STATSD_ACCEPTED,
    STATSD_NO_COLON,
    STATSD_EMPTY_NAME,
    STATSD_NO_TYPE,
    STATSD_BAD_TYPE,
    STATSD_BAD_VALUE,
    STATSD_BAD_RATE,
    STATSD_NOT_FINITE,
    STATSD_NEGATIVE_COUNT, /* of a running total */
    STATSD_BAD_TIME,
    STATSD_TOO_LONG,
    STATSD_BAD_LENGTH, /* of an event's title or text */
    STATSD_BAD_STATUS, /* of a service check */
    STATSD_REJECT_COUNT,
    /* No metric, but a line for statsd_notice.h. */
    STATSD_EVENT = STATSD_REJECT_COUNT,
    STATSD_SERVICE_CHECK,
};
/* "no_colon" and so on. */
extern const char *const statsd_reject_names[STATSD_REJECT_COUNT];

/* Fields that are legal and carry nothing we keep. */
enum statsd_ignored {
    STATSD_IGNORED_CONTAINER,   /* c:<id> */
    STATSD_IGNORED_TIMESTAMP,   /* T<unix> */
    STATSD_IGNORED_EXTERNAL,    /* e:<data> */
    STATSD_IGNORED_CARDINALITY, /* card:<level> */
    STATSD_IGNORED_OTHER,
    STATSD_IGNORED_COUNT,
};

struct statsd_metric {
    struct slice name;     /* raw: with the tags that some dialects put into it */
    struct slice tags;     /* raw, without '#' */
    struct slice member;   /* sets only */
    struct slice more;     /* further packed values, checked already; see statsd_cut_value. Where
                            * there are any, the name stands before them in the same line */
    struct slice segments; /* what follows under this name; see statsd_next_segment */
    double value;
    double weight;  /* 1 / sample rate; counters: multiply, timers: insert with it */
    int64_t time_s; /* since 1970, of counters and gauges; 0 = now */
    enum statsd_type type;
    enum statsd_dialect dialect;
    bool signs_move; /* a gauge that "+1" and "-1" move */
    bool is_delta;   /* this value does */
    uint8_t ignored; /* bits 1 << enum statsd_ignored */
};

/* Cuts the next line that is not empty from *rest, without LF and CR; false at the end. */
bool statsd_cut_line(struct slice *rest, struct slice *line);
/* Reads one line, of several segments the first. *out is only valid when accepted, but for its
 * segments. Where notices are taken it may answer STATSD_EVENT or STATSD_SERVICE_CHECK. */
enum statsd_reject statsd_parse(const struct statsd_profile *profile, struct slice line,
                                struct statsd_metric *out);
/* Reads the next segment, of which there must be one, in place of the metric. */
enum statsd_reject statsd_next_segment(const struct statsd_profile *profile,
                                       struct statsd_metric *metric);
/* Which kind of ignored field it is: 1 << enum statsd_ignored. */
uint8_t statsd_ignored_bit(struct slice field);
/* Moves the next packed value from metric->more to value and is_delta; false when none is left. */
bool statsd_cut_value(struct statsd_metric *metric);

/* The labels of a metric: __name__, the tags in its name and its tags, sorted, the last of equal
 * keys. Control bytes (in names and keys whitespace too) become '_', invalid UTF-8 becomes U+FFFD,
 * a bare tag has the value "true", keys that begin with "__" get the prefix "exported", empty values
 * vanish. False when there are more than LABELS_MAX - 2 tags or the arena is exhausted. */
MUST_USE bool statsd_labels(struct statsd_name name, struct slice tags, struct arena *arena,
                            struct labels *out);
/* As labels have it: control bytes, and whitespace unless spaces are allowed, become '_', invalid UTF-8
 * becomes U+FFFD. Clean bytes are not copied; {NULL, 0} once the arena is exhausted. */
struct slice statsd_clean(struct slice s, bool spaces_allowed, struct arena *arena);

#endif
