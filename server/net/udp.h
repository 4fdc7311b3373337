/* udp: datagrams in batches, one system call for up to UDP_BATCH_MAX of them.
 *
 * A receiver owns the buffers and may serve several sockets (UDP, unix datagram) of one thread.
 * Thread: the worker that owns it.
 */
#ifndef SERVER_NET_UDP_H
#define SERVER_NET_UDP_H

#include "storage/base/slice.h"

#define UDP_BATCH_MAX    64
#define UDP_DATAGRAM_MAX 65536 /* bytes; UDP itself ends at 65,507 */

struct udp_receiver;

struct udp_receiver *udp_receiver_new(void);
void udp_receiver_free(struct udp_receiver *receiver);

struct udp_batch {
    struct slice datagrams[UDP_BATCH_MAX]; /* valid until the next udp_receive */
    size_t count;
    size_t truncated; /* datagrams longer than UDP_DATAGRAM_MAX; they are left out */
};

/* Takes what waits in the socket; never blocks. Returns the number of datagrams read, truncated
 * ones included; 0 when none waits. */
size_t udp_receive(struct udp_receiver *receiver, int fd, struct udp_batch *out);
/* Asks for a receive buffer; beyond the system's limit only with the privilege for it. */
void udp_set_receive_buffer(int fd, int64_t bytes);
/* Datagrams the kernel dropped at this socket since it was opened (mod 2^32). */
uint32_t udp_kernel_drops(int fd);

#endif
