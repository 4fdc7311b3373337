/* jsonlog: JSON log lines -> records. Pure: no clock, no log, no counters.
 *
 * One line is one JSON object. Its time comes from @timestamp, timestamp, time or ts, the stream
 * labels service, host, environment and level from the keys people use for them (tables in
 * jsonlog.c); the line itself is kept byte for byte. One thread a parser.
 */
#ifndef SERVER_WIRE_JSONLOG_H
#define SERVER_WIRE_JSONLOG_H

#include "storage/base/arena.h"
#include "storage/base/error.h"
#include "storage/record.h"

#define JSONLOG_LABEL_MAX 256 /* bytes of one label's value; the rest is cut off */

enum jsonlog_status {
    JSONLOG_OK,
    JSONLOG_NOT_JSON,   /* does not begin like an object */
    JSONLOG_MALFORMED,  /* begins like one, but is broken, or too deep */
    JSONLOG_NOT_OBJECT, /* JSON, but a list, string or number */
    JSONLOG_TOO_LONG,
    JSONLOG_TOO_OLD, /* past retention */
    JSONLOG_TOO_NEW, /* in the future by more than a clock may be wrong */
    JSONLOG_STATUS_COUNT,
};

/* Which times are taken; now_ns is that of a line without a (readable) one. */
struct jsonlog_window {
    int64_t now_ns;
    int64_t oldest_ns, newest_ns;
};

struct jsonlog;
/* line_max: the longest line taken, in bytes. */
struct jsonlog *jsonlog_new(size_t line_max);
void jsonlog_free(struct jsonlog *jsonlog);

/* Until it is set, all times are taken and undated lines are of 1970. */
void jsonlog_set_window(struct jsonlog *jsonlog, const struct jsonlog_window *window);

/* *out borrows the line; its labels lie in the arena (or are literals), of which a refused line
 * takes nothing. *why, when not NULL, says
 * what is wrong and what to change, in a sentence. */
enum jsonlog_status jsonlog_parse(struct jsonlog *jsonlog, struct slice line, struct arena *arena,
                                  struct record *out, struct error *why);

/* A body holds one object (also over several lines), a list of objects, or one object a line. */
enum jsonlog_shape { JSONLOG_LINES, JSONLOG_LIST, JSONLOG_SINGLE };
struct jsonlog_body {
    enum jsonlog_shape shape;
    struct slice rest;
    size_t number; /* 1-based, of the line or item last cut */
    bool broken;   /* after the last: the list had no ], or something followed it */
};
void jsonlog_body_init(struct jsonlog_body *body, struct slice text);
/* The text of the next record, blank lines skipped; false at the end. */
bool jsonlog_body_next(struct jsonlog_body *body, struct slice *out);

/* "WARNING", "err", 30 ... -> trace debug info warn error fatal; other names in lower case. */
struct slice jsonlog_level(struct slice text, struct arena *arena);

#endif
