/* statsd: lines of the statsd protocol and its DogStatsD dialect -> metrics. Pure.
 *
 *   name:value[:value...]|type[|@rate][|#tag:value,tag...][|other field...]
 *
 * Nothing is copied: the slices of a metric point into the line. A line counts whole or not at
 * all. Not understood here: Graphite, Influx or SignalFx tags inside the name (they stay part of
 * it) and several types in one line (`a:1|c:2|ms`).
 * Sources: statsd docs/metric_types.md; DogStatsD datagram format v1.0-1.6.
 */
#ifndef SERVER_WIRE_STATSD_H
#define SERVER_WIRE_STATSD_H

#include "storage/labels.h"

#define STATSD_NAME_MAX 512  /* bytes */
#define STATSD_TAGS_MAX 4096 /* bytes after the '#' */

enum statsd_type {
    STATSD_COUNTER, /* c */
    STATSD_GAUGE,   /* g */
    STATSD_TIMER,   /* ms, h, d: all become histograms */
    STATSD_SET,     /* s */
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
    STATSD_NEGATIVE_COUNT, /* totals never fall: what falls is a gauge */
    STATSD_TOO_LONG,
    STATSD_EVENT,         /* _e{...}: not kept by this version */
    STATSD_SERVICE_CHECK, /* _sc|...: not kept by this version */
    STATSD_REJECT_COUNT,
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
    struct slice name;
    struct slice tags;   /* raw, without '#' */
    struct slice member; /* sets only */
    struct slice more;   /* further packed values, checked already; see statsd_cut_value */
    double value;
    double weight; /* 1 / sample rate; counters: multiply, timers: insert with it */
    enum statsd_type type;
    bool is_signed;  /* the value began with '+' or '-' */
    uint8_t ignored; /* bits 1 << enum statsd_ignored */
};

/* Cuts the next line that is not empty from *rest, without LF and CR; false at the end. */
bool statsd_cut_line(struct slice *rest, struct slice *line);
/* Reads one line. *out is only valid when accepted. */
enum statsd_reject statsd_parse(struct slice line, struct statsd_metric *out);
/* Moves the next packed value from metric->more to value and is_signed; false when none is left. */
bool statsd_cut_value(struct statsd_metric *metric);

/* The labels of a metric: __name__ and its tags, sorted, the last of equal keys. Control bytes
 * (in names and keys whitespace too) become '_', invalid UTF-8 becomes U+FFFD, a bare tag has the
 * value "true", keys that begin with "__" get the prefix "exported", empty values vanish. False
 * when there are more than LABELS_MAX - 2 tags or the arena is exhausted. */
MUST_USE bool statsd_labels(struct slice name, struct slice tags, struct arena *arena,
                            struct labels *out);

#endif
