/* openmetrics: Prometheus' text exposition format and OpenMetrics, one sample at a time.
 *
 * A malformed line costs only itself: the reader reports the reason and goes on with the next.
 * Slices of a sample point into the text or the arena. Pure; any thread.
 * Source: OpenMetrics 1.0 and Prometheus' "exposition formats", 0.0.4, both with the quoted names
 * of Prometheus 3; bare metric names may hold dots here.
 */
#ifndef SERVER_WIRE_OPENMETRICS_H
#define SERVER_WIRE_OPENMETRICS_H

#include "storage/base/arena.h"
#include "storage/labels.h"

#define OPENMETRICS_LINE_MAX 65536 /* bytes */

enum openmetrics_dialect {
    OPENMETRICS_TEXT,   /* timestamps in whole milliseconds */
    OPENMETRICS_STRICT, /* OpenMetrics: seconds, with a fraction */
};

enum openmetrics_type {
    OPENMETRICS_GAUGE, /* and everything untyped */
    OPENMETRICS_COUNTER,
};

enum openmetrics_reject {
    OPENMETRICS_OK,
    OPENMETRICS_LONG_LINE,
    OPENMETRICS_BAD_NAME,
    OPENMETRICS_BAD_LABELS,
    OPENMETRICS_MANY_LABELS,
    OPENMETRICS_BAD_VALUE,
    OPENMETRICS_BAD_TIME,
    OPENMETRICS_TRAILING,
    OPENMETRICS_NO_MEMORY, /* the arena is exhausted */
    OPENMETRICS_REJECT_COUNT,
};

struct openmetrics_sample {
    struct labels labels; /* sorted, __name__ included */
    enum openmetrics_type type;
    double value;
    bool has_time;
    int64_t time_ms;
};

struct openmetrics {
    struct slice rest;
    enum openmetrics_dialect dialect;
    size_t line;         /* number of the line last read, from 1 */
    struct slice family; /* of the last # TYPE */
    struct slice family_type;
};

/* The dialect follows from the text's own last line, "# EOF", which only OpenMetrics has. */
void openmetrics_init(struct openmetrics *reader, struct slice text);
/* False at the end. Otherwise *reject says whether the next line with content gave a sample. */
MUST_USE bool openmetrics_next(struct openmetrics *reader, struct arena *arena,
                               struct openmetrics_sample *out, enum openmetrics_reject *reject);
/* "bad_value", and a sentence for people. */
const char *openmetrics_reject_name(enum openmetrics_reject reject);
const char *openmetrics_reject_text(enum openmetrics_reject reject);

#endif
