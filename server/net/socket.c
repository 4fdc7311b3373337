/* socket: getaddrinfo, socket, bind, listen, and an error sentence for each that fails. */
#include "server/net/socket.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 512

/* "127.0.0.1:8125", "[::1]:8125", ":8125" -> host and port, both NUL-terminated. */
static int split_address(const char *address, char *host, size_t host_size, const char **port)
{
    const char *colon = strrchr(address, ':');
    if (!colon)
        return -1;
    size_t len = (size_t)(colon - address);
    if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;
    }
    if (len >= host_size)
        return -1;
    memcpy(host, address, len);
    host[len] = 0;
    *port = colon + 1;
    return 0;
}

static int open_bound(const struct addrinfo *info, int type, bool shared)
{
    const int on = 1;
    int fd = socket(info->ai_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (type == SOCK_STREAM)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 &&
        (type != SOCK_STREAM || listen(fd, BACKLOG) == 0))
        return fd;
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int open_address(const char *address, int type, bool shared, int *fd, struct error *err)
{
    char host[256];
    const char *port;
    struct addrinfo *info, hints = {.ai_flags = AI_PASSIVE, .ai_socktype = type};
    if (split_address(address, host, sizeof host, &port))
        return error_set(err, ERROR_BAD_DATA, "\"%s\" is not an address; write host:port", address);
    int status = getaddrinfo(*host ? host : NULL, port, &hints, &info);
    if (status)
        return error_set(err, ERROR_BAD_DATA, "cannot resolve \"%s\": %s", address,
                         gai_strerror(status));
    *fd = open_bound(info, type, shared);
    int saved = errno;
    freeaddrinfo(info);
    if (*fd < 0)
        return error_set(err, ERROR_UNAVAILABLE, "cannot listen on %s %s: %s",
                         type == SOCK_STREAM ? "tcp" : "udp", address, strerror(saved));
    return 0;
}

int socket_open(const char *address, int type, int *fd, struct error *err)
{
    return open_address(address, type, true, fd, err);
}

int socket_open_alone(const char *address, int *fd, struct error *err)
{
    return open_address(address, SOCK_STREAM, false, fd, err);
}

int socket_open_unix(const char *path, int *fd, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat at_path;
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(err, ERROR_BAD_DATA, "the socket path %s is longer than %zu bytes", path,
                         sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (stat(path, &at_path) == 0 && S_ISSOCK(at_path.st_mode))
        unlink(path);
    *fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd >= 0 && bind(*fd, (const struct sockaddr *)&address, sizeof address) == 0)
        return 0;
    error_set(err, ERROR_UNAVAILABLE, "cannot listen on %s: %s", path, strerror(errno));
    if (*fd >= 0)
        close(*fd);
    return -1;
}

int socket_address(int fd, char out[SOCKET_ADDRESS_MAX])
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    char host[NI_MAXHOST], port[NI_MAXSERV];
    if (getsockname(fd, (struct sockaddr *)&address, &len) ||
        getnameinfo((struct sockaddr *)&address, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV))
        return -1;
    if (address.ss_family == AF_INET6)
        snprintf(out, SOCKET_ADDRESS_MAX, "[%.64s]:%.5s", host, port);
    else
        snprintf(out, SOCKET_ADDRESS_MAX, "%.64s:%.5s", host, port);
    return 0;
}

int socket_port(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
    } address;
    socklen_t len = sizeof address;
    if (getsockname(fd, &address.any, &len))
        return -1;
    if (address.any.sa_family == AF_INET6)
        return ntohs(address.ipv6.sin6_port);
    return address.any.sa_family == AF_INET ? ntohs(address.ipv4.sin_port) : -1;
}
