/* socket: bound sockets from "host:port", all non-blocking and close-on-exec.
 *
 * Several sockets may share one address (SO_REUSEPORT): the kernel then spreads senders over them.
 * Any thread.
 */
#ifndef SERVER_NET_SOCKET_H
#define SERVER_NET_SOCKET_H

#include "storage/base/error.h"

#define SOCKET_ADDRESS_MAX 80 /* bytes of "[ipv6%scope]:port" with its NUL */

/* type: SOCK_DGRAM, or SOCK_STREAM (then listening). A host name is resolved; port 0 = any. */
MUST_USE int socket_open(const char *address, int type, int *fd, struct error *err);
/* A listening TCP socket that shares its address with nobody, so that a second daemon notices. */
MUST_USE int socket_open_alone(const char *address, int *fd, struct error *err);
/* A datagram socket at this path; a stale file in its place is removed. */
MUST_USE int socket_open_unix(const char *path, int *fd, struct error *err);
/* "host:port" as bound; -1 when it is no IP socket. */
MUST_USE int socket_address(int fd, char out[SOCKET_ADDRESS_MAX]);
int socket_port(int fd);

#endif
