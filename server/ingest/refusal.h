/* refusal: of each reason for which an input refuses lines the last such line, and who sent it.
 *
 * How many there were is what counters say; this is for the person who has to find the sender.
 * Threads: any; a lock of its own.
 */
#ifndef SERVER_INGEST_REFUSAL_H
#define SERVER_INGEST_REFUSAL_H

#include "server/net/peer.h"

#define REFUSAL_LINE_MAX 200 /* bytes kept of a line */

struct refusal {
    int64_t time_ms; /* 0 = there was none */
    const char *transport;
    struct peer peer;
    size_t bytes; /* of the line; of these at most REFUSAL_LINE_MAX are kept */
    char line[REFUSAL_LINE_MAX];
};

struct refusals;

/* Reasons are numbers below `reasons`. */
struct refusals *refusals_new(unsigned reasons);
void refusals_free(struct refusals *refusals);
/* `transport` is a literal. */
void refusals_note(struct refusals *refusals, unsigned reason, const char *transport,
                   const struct peer *peer, struct slice line);
void refusals_last(struct refusals *refusals, unsigned reason, struct refusal *out);

#endif
