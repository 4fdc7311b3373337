/* peer: who sent something, in 20 bytes. Plain data, so that it can be kept beside every line that is.
 *
 * The same sender has the same bytes: an IPv4 address that came over an IPv6 socket is IPv4.
 */
#ifndef SERVER_NET_PEER_H
#define SERVER_NET_PEER_H

#include <sys/socket.h>

#include "storage/base/slice.h"

#define PEER_TEXT_MAX 64 /* bytes, with the NUL */

struct peer {
    uint8_t address[16]; /* IPv4: the first four */
    uint16_t port;       /* 0 = none */
    uint8_t family;      /* AF_INET, AF_INET6, AF_UNIX; 0 = not known */
    uint8_t zero;        /* always: no padding, so that the bytes are a key */
};

/* As the kernel filled it in; a family that is none of the three, or too few bytes: not known. */
struct peer peer_of(const struct sockaddr *address, socklen_t len);
/* The same without its port: programs come and go, their host stays. */
struct peer peer_host(struct peer peer);
/* From the address alone, as text, without a port: "127.0.0.1", "::1"; anything else is not known. */
struct peer peer_of_text(struct slice address);
/* "127.0.0.1:4242", "[::1]:4242", "192.0.2.1", "unix", "unknown". */
void peer_print(const struct peer *peer, char out[PEER_TEXT_MAX]);

#endif
