/* statsd_fault: where in a refused line the fault is. For a person who asks, not for the hot path. Pure.
 *
 *   api.latency:320:1x|ms|@0.1
 *                    ^
 * The parser says why it refuses a line and goes on to the next; the place is found afterwards, by
 * asking the parser about parts of the line, so that there is one grammar.
 */
#ifndef SERVER_WIRE_STATSD_FAULT_H
#define SERVER_WIRE_STATSD_FAULT_H

#include "server/wire/statsd.h"

/* The byte at fault, up to line.len: something is missing at the end. `segment` is what was refused:
 * what stands behind the name's colon, or a later segment; empty for events, service checks and
 * lines without a colon. */
size_t statsd_fault(const struct statsd_profile *profile, struct slice line, struct slice segment,
                    enum statsd_reject reject);
/* What is wrong, in words. */
const char *statsd_fault_text(enum statsd_reject reject);

#endif
