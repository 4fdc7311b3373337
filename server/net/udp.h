/* udp: datagrams in batches, one system call for up to UDP_BATCH_MAX of them.
 *
 * A receiver owns the buffers and may serve several sockets (UDP, unix datagram) of one thread.
 * Who sent a datagram is asked of the kernel for the first few of a batch only, UDP_NAMED under full load:
 * an address costs 6 % of receiving a small datagram. Thread: the worker that owns it.
 */
#ifndef SERVER_NET_UDP_H
#define SERVER_NET_UDP_H

#include "server/net/peer.h"
#include "storage/base/slice.h"

#define UDP_BATCH_MAX    64
#define UDP_DATAGRAM_MAX 65536 /* bytes; UDP itself ends at 65,507 */
#define UDP_NAMED        4     /* after a full batch */
#define UDP_NAMED_IDLE   16    /* after one that was not full */

struct udp_receiver;

struct udp_receiver *udp_receiver_new(void);
void udp_receiver_free(struct udp_receiver *receiver);

struct udp_batch {
    struct slice datagrams[UDP_BATCH_MAX]; /* valid until the next udp_receive */
    size_t count;
    uint64_t
        truncated; /* bit i: datagram i was longer than UDP_DATAGRAM_MAX and is only its head */
};

/* Takes what waits in the socket; never blocks. Returns the number of datagrams read; 0 when none
 * waits. */
size_t udp_receive(struct udp_receiver *receiver, int fd, struct udp_batch *out);
/* Who sent a datagram of the last batch; not known (family 0) when the kernel was not asked. */
struct peer udp_peer(const struct udp_receiver *receiver, size_t index);
/* Whether from the next batch on the kernel is asked for all of them. */
void udp_name_all(struct udp_receiver *receiver, bool all);
/* Asks for a receive buffer; beyond the system's limit only with the privilege for it. */
void udp_set_receive_buffer(int fd, int64_t bytes);
/* Datagrams the kernel dropped at this socket since it was opened (mod 2^32). */
uint32_t udp_kernel_drops(int fd);

#endif
