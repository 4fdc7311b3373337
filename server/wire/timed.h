/* timed: what a line of Graphite or InfluxDB came to: readings that bring the time they were taken.
 *
 * Plain data; slices point into the line or the arena that the parser was given.
 */
#ifndef SERVER_WIRE_TIMED_H
#define SERVER_WIRE_TIMED_H

#include "storage/key.h"
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

/* The last time that the store takes, in the year 9999: seconds for which milliseconds were sent are beyond. */
#define TIMED_MS_MAX TIME_MS_MAX

#endif
