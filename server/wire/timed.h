/* timed: what a line of Graphite or InfluxDB came to: readings that bring the time they were taken.
 *
 * Plain data; slices point into the line or the arena that the parser was given.
 */
#ifndef SERVER_WIRE_TIMED_H
#define SERVER_WIRE_TIMED_H

#include "storage/labels.h"

struct timed_sample {
    struct labels labels; /* sorted, __name__ included */
    double value;
};

/* All samples of one line have one time. */
struct timed_line {
    struct timed_sample *samples;
    size_t count;
    size_t unsupported; /* values of a kind that is no number */
    bool has_time;      /* else it is now */
    int64_t time_ms;
};

/* Far beyond all data, with room for arithmetic: year 287,000. */
#define TIMED_MS_MAX ((int64_t)9000000000000000)

#endif
