/* timestamp: instants as text or as a count since 1970, both ways. Pure; any thread. */
#ifndef SERVER_WIRE_TIMESTAMP_H
#define SERVER_WIRE_TIMESTAMP_H

#include "storage/base/slice.h"

#define TIMESTAMP_TEXT_SIZE 32 /* bytes, NUL included */

/* RFC 3339 and its common loosenings: 'T' or a space between date and time, seconds and fraction
 * optional, no zone = UTC, "+0200" without a colon. Milliseconds since 1970; false when it is not
 * such a text or lies outside the years 1970 to 9999. */
MUST_USE bool timestamp_parse(struct slice text, int64_t *out_ms);
/* The same from the year 1 on. */
MUST_USE bool timestamp_parse_any(struct slice text, int64_t *out_ms);
/* The same in nanoseconds, hence only up to the year 2262. */
MUST_USE bool timestamp_parse_ns(struct slice text, int64_t *out_ns);
/* A count since 1970 whose unit its size tells: below 1e11 seconds, below 1e14 milliseconds, below
 * 1e17 microseconds, else nanoseconds. */
MUST_USE bool timestamp_from_integer(int64_t count, int64_t *out_ns);
MUST_USE bool timestamp_from_double(double count, int64_t *out_ns);
/* Any of the three. */
MUST_USE bool timestamp_from_text(struct slice text, int64_t *out_ns);
/* "2026-11-21T17:56:35.922Z", NUL-terminated; returns out. */
const char *timestamp_print(int64_t time_ms, char out[TIMESTAMP_TEXT_SIZE]);

#endif
