/* graphite: a line of Graphite's plaintext protocol -> a reading with its time.
 *
 * Pure; any thread. Source: carbon's line receiver and its tagged series (Graphite 1.1).
 */
#ifndef SERVER_WIRE_GRAPHITE_H
#define SERVER_WIRE_GRAPHITE_H

#include "server/wire/timed.h"

#define GRAPHITE_LINE_MAX 8192 /* bytes */

enum graphite_reject {
    GRAPHITE_OK,
    GRAPHITE_TOO_LONG,
    GRAPHITE_NO_VALUE,
    GRAPHITE_NO_TIME,
    GRAPHITE_TRAILING,
    GRAPHITE_EMPTY_NAME,
    GRAPHITE_BAD_TAG,
    GRAPHITE_MANY_TAGS, /* or the arena is exhausted */
    GRAPHITE_BAD_VALUE,
    GRAPHITE_NOT_FINITE,
    GRAPHITE_BAD_TIME,
    GRAPHITE_REJECT_COUNT,
};

/* Cuts the next line that is not empty from *rest, without LF and CR; false at the end. */
MUST_USE bool graphite_cut_line(struct slice *rest, struct slice *line);
/* Reads one line; *out is only valid when it answers GRAPHITE_OK, and has one sample then. */
enum graphite_reject graphite_parse(struct slice line, struct arena *arena, struct timed_line *out);

#endif
