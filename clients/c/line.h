/* line: what a call means -> the bytes that say it. Pure; not installed.
 *
 * What does not fit is not written, and the line is full from then on: it is of no use.
 */
#ifndef LAPWING_LINE_H
#define LAPWING_LINE_H

#include <stdbool.h>

#include "lapwing.h"

#define LAPWING_LINE_MAX     4096 /* bytes */
#define LAPWING_PREFIX_MAX   256
#define LAPWING_CONSTANT_MAX 512

struct lapwing_line {
    char *at;
    size_t len, room;
    size_t tags; /* on the line so far */
    bool full;
    bool cut; /* of what was to be said something was left out */
};

/* What is on every line. */
struct lapwing_constants {
    size_t prefix_len, tags_len, tag_count;
    bool cut; /* they were longer than they may be */
    char prefix[LAPWING_PREFIX_MAX];
    char tags[LAPWING_CONSTANT_MAX]; /* "env:prod,canary" */
};

/* An event (title, text, alert) or a service check (title = its name, text = its message). */
struct lapwing_notice {
    const char *title, *text, *alert, *tags;
    int status;
};

#pragma GCC visibility push(hidden)

/* Both may be NULL. */
void lapwing_constants_init(struct lapwing_constants *constants, const char *prefix,
                            const char *tags);
/* False when the metric says nothing: no name, no member, no finite number. A sample_rate that is
 * not below 1 is not on the line. */
bool lapwing_line_metric(struct lapwing_line *out, const struct lapwing_constants *constants,
                         const struct lapwing_metric *metric);
bool lapwing_line_event(struct lapwing_line *out, const struct lapwing_constants *constants,
                        const struct lapwing_notice *event);
bool lapwing_line_check(struct lapwing_line *out, const struct lapwing_constants *constants,
                        const struct lapwing_notice *check);

#pragma GCC visibility pop

#endif
