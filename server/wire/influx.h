/* influx: a line of InfluxDB's line protocol -> a reading a field.
 *
 * The series of a field is named MEASUREMENT_FIELD and has the tags as labels, as VictoriaMetrics has
 * it. Strings are no readings: they are counted and left out.
 * Pure; any thread. Source: "Line protocol" in the documentation of InfluxDB 1.8 and 2.
 */
#ifndef SERVER_WIRE_INFLUX_H
#define SERVER_WIRE_INFLUX_H

#include "server/wire/timed.h"

#define INFLUX_LINE_MAX   65536 /* bytes */
#define INFLUX_FIELDS_MAX 1024  /* in a line */

enum influx_reject {
    INFLUX_OK,
    INFLUX_TOO_LONG,
    INFLUX_NO_MEASUREMENT,
    INFLUX_BAD_TAG,
    INFLUX_DUPLICATE_TAG,
    INFLUX_MANY_TAGS,
    INFLUX_NO_FIELDS,
    INFLUX_BAD_FIELD,
    INFLUX_MANY_FIELDS,
    INFLUX_BAD_VALUE,
    INFLUX_OPEN_STRING,
    INFLUX_BAD_TIME,
    INFLUX_NO_MEMORY,
    INFLUX_REJECT_COUNT,
};

/* What its timestamps count. */
enum influx_precision {
    INFLUX_NS,
    INFLUX_US,
    INFLUX_MS,
    INFLUX_S,
    INFLUX_M,
    INFLUX_H,
};

struct influx_options {
    enum influx_precision precision;
    struct label extra; /* of every series whose tags have none of this name; empty value: none */
};

/* "ns", "n", "u", "us", "ms", "s", "m", "h"; false for any other word. */
MUST_USE bool influx_find_precision(struct slice word, enum influx_precision *out);
/* A text while it is read: begins as {.rest = text}. */
struct influx_lines {
    struct slice rest;
    size_t read;   /* lines so far */
    size_t number; /* of the line last cut, from 1 */
};
/* Cuts the next line, without LF and CR, that is neither empty nor a comment; false at the end. A line
 * feed within a string is part of the line. */
MUST_USE bool influx_cut_line(struct influx_lines *lines, struct slice *line);
/* Reads one line; *out is only valid when it answers INFLUX_OK. */
enum influx_reject influx_parse(struct slice line, const struct influx_options *options,
                                struct arena *arena, struct timed_line *out);
/* A sentence for people. */
const char *influx_reject_text(enum influx_reject reject);

#endif
