/* peer: sockaddrs cut down to what tells senders apart. */
#include "server/net/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static struct peer of_ipv4(const struct sockaddr_in *address)
{
    struct peer peer = {.family = AF_INET, .port = ntohs(address->sin_port)};
    memcpy(peer.address, &address->sin_addr, sizeof address->sin_addr);
    return peer;
}

static struct peer of_ipv6(const struct sockaddr_in6 *address)
{
    struct peer peer = {.family = AF_INET6, .port = ntohs(address->sin6_port)};
    if (IN6_IS_ADDR_V4MAPPED(&address->sin6_addr)) {
        peer.family = AF_INET;
        memcpy(peer.address, address->sin6_addr.s6_addr + 12, 4);
    } else {
        memcpy(peer.address, &address->sin6_addr, sizeof address->sin6_addr);
    }
    return peer;
}

struct peer peer_of(const struct sockaddr *address, socklen_t len)
{
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
    if (len >= sizeof ipv6 && address->sa_family == AF_INET6) {
        memcpy(&ipv6, address, sizeof ipv6);
        return of_ipv6(&ipv6);
    }
    if (len >= sizeof ipv4 && address->sa_family == AF_INET) {
        memcpy(&ipv4, address, sizeof ipv4);
        return of_ipv4(&ipv4);
    }
    if (len >= sizeof address->sa_family && address->sa_family == AF_UNIX)
        return (struct peer){.family = AF_UNIX};
    return (struct peer){.family = 0};
}

struct peer peer_host(struct peer peer)
{
    peer.port = 0;
    return peer;
}

struct peer peer_of_text(struct slice address)
{
    char text[INET6_ADDRSTRLEN];
    struct sockaddr_in ipv4 = {.sin_family = AF_INET};
    struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6};
    if (address.len >= sizeof text)
        return (struct peer){.family = 0};
    snprintf(text, sizeof text, "%.*s", SLICE_ARG(address));
    if (inet_pton(AF_INET, text, &ipv4.sin_addr) == 1)
        return of_ipv4(&ipv4);
    if (inet_pton(AF_INET6, text, &ipv6.sin6_addr) == 1)
        return of_ipv6(&ipv6);
    return (struct peer){.family = 0};
}

void peer_print(const struct peer *peer, char out[PEER_TEXT_MAX])
{
    char host[INET6_ADDRSTRLEN];
    if (peer->family != AF_INET && peer->family != AF_INET6) {
        snprintf(out, PEER_TEXT_MAX, peer->family == AF_UNIX ? "unix" : "unknown");
        return;
    }
    inet_ntop(peer->family, peer->address, host, sizeof host);
    if (!peer->port)
        snprintf(out, PEER_TEXT_MAX, "%s", host);
    else
        snprintf(out, PEER_TEXT_MAX, peer->family == AF_INET6 ? "[%s]:%u" : "%s:%u", host,
                 peer->port);
}
