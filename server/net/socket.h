/* socket: bound sockets from "host:port", all non-blocking and close-on-exec.
 *
 * An address belongs to whoever opened it, a second daemon is refused; but its owner may open more
 * sockets on it, over which the kernel spreads the senders. Any thread.
 */
#ifndef SERVER_NET_SOCKET_H
#define SERVER_NET_SOCKET_H

#include "storage/base/error.h"

/* type: SOCK_DGRAM, or SOCK_STREAM (then listening). A host name is resolved; port 0 = any. */
MUST_USE int socket_open(const char *address, int type, int *fd, struct error *err);
/* One more socket on the address of `fd`, which must be of the same type (SO_REUSEPORT). */
MUST_USE int socket_open_again(int fd, int type, int *out, struct error *err);
/* A socket at this path; type as above. What a process that has ended left there is removed; a socket
 * that somebody listens on, or a file of any other kind, is not. */
MUST_USE int socket_open_unix(const char *path, int type, int *fd, struct error *err);
/* For a stop without loss. From now on the kernel takes nothing more for this socket: datagrams are
 * refused (a connected sender is told so), a TCP sender keeps what it has. What the kernel holds
 * already can still be read, after socket_settle. */
void socket_shut(int fd);
/* Returns when what was on its way into a socket as that was shut waits there, or was refused. Some
 * 10 ms: once for all sockets. */
void socket_settle(void);
/* A TCP connection: closing it will reset it, so that its sender knows at once. */
void socket_reset_at_close(int fd);
/* The port it is bound to; -1 when it is no IP socket. */
int socket_port(int fd);

#endif
