/* tcp: a listener whose connections carry lines, or packets of lines with their length before them.
 *
 * Hands whole lines to the owner, as many at once as one read gave; a last line without its LF
 * counts when the peer closes. A line that is longer than line_max before its LF has come is
 * skipped and counted; longer ones that came at once are the owner's to refuse. Idle connections
 * cost a descriptor and nothing else.
 * Thread: the event loop it was opened on.
 */
#ifndef SERVER_NET_TCP_H
#define SERVER_NET_TCP_H

#include "server/net/peer.h"
#include "storage/base/metric.h"
#include "storage/base/slice.h"

struct event_base;
struct tcp_lines;

/* Rows that the owner's metric table provides, in this order. Listeners that share a table share
 * connection_max. */
enum tcp_metric { TCP_OPEN, TCP_ACCEPTED, TCP_REFUSED, TCP_LINES_TOO_LONG, TCP_METRIC_COUNT };

struct tcp_options {
    int64_t connection_max;
    size_t line_max; /* bytes; of packets at least 65,535 */
    /* A connection that begins with a length has packets: 4 bytes, little-endian, at most 65,535, so
     * that two of its bytes are zero, as in no line. */
    bool packets;
    struct metric *metrics;
    /* One or more whole lines, each ended by LF but perhaps the last. Valid during the call. */
    void (*lines)(void *arg, const struct peer *from, struct slice lines);
    /* What there is of one that was refused and counted in TCP_LINES_TOO_LONG; may be NULL. */
    void (*too_long)(void *arg, const struct peer *from, struct slice head);
    void *arg;
};

/* Takes over the listening descriptor. */
struct tcp_lines *tcp_lines_open(struct event_base *base, int owned_fd,
                                 const struct tcp_options *options);
/* Accepts what waits, reads all that the kernel still holds, closes everything. NULL is fine. */
void tcp_lines_close(struct tcp_lines *tcp);

#endif
