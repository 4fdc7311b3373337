/* remote_write: the body of a Prometheus remote write request (version 1), one series at a time.
 *
 * A series that cannot be taken costs only itself: the reader says why and goes on. A body that is
 * no sound message ends with REMOTE_MALFORMED, and what came before it stays. Names and values
 * point into the body; arrays and histograms live in the arena. Pure; any thread.
 * Source: Prometheus' prompb/remote.proto and prompb/types.proto, "Remote-Write 1.0".
 */
#ifndef SERVER_WIRE_REMOTE_WRITE_H
#define SERVER_WIRE_REMOTE_WRITE_H

#include "storage/histogram.h"
#include "storage/labels.h"

enum remote_reject {
    REMOTE_OK,
    REMOTE_MALFORMED,   /* no protocol buffer of this kind; reading ends here */
    REMOTE_NO_NAME,     /* without __name__ */
    REMOTE_MANY_LABELS, /* more than LABELS_MAX */
    REMOTE_LABELS,      /* an empty name, or one twice */
    REMOTE_SCHEMA,      /* a histogram with a schema not in -4..8 (custom buckets) */
    REMOTE_BUCKETS,     /* a histogram whose buckets do not fit together, or too many */
    REMOTE_COUNT,       /* a histogram's count is not that of its buckets */
    REMOTE_NO_MEMORY,   /* the arena is exhausted */
    REMOTE_REJECT_COUNT,
};

struct remote_sample {
    int64_t time_ms;
    double value;                      /* stale markers included */
    const struct histogram *histogram; /* NULL: a number */
};

struct remote_series {
    struct labels labels; /* sorted, __name__ included, no empty values */
    struct remote_sample *samples;
    size_t count;
    bool histograms; /* it has some */
};

struct remote_write {
    struct slice rest;
    size_t number; /* of the series last read, from 1 */
};

void remote_write_init(struct remote_write *reader, struct slice body);
/* False at the end. Otherwise *out is the next series, and *reject says what of it could not be
 * taken: the whole (no samples then), or histograms that are left out. */
MUST_USE bool remote_write_next(struct remote_write *reader, struct arena *arena,
                                struct remote_series *out, enum remote_reject *reject);
/* A sentence for people. */
const char *remote_reject_text(enum remote_reject reject);

#endif
