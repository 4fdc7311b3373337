/* socket: getaddrinfo, socket, bind, listen, and an error sentence for each that fails. */
#include "server/net/socket.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/membarrier.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
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

static int fail_closed(int fd)
{
    int saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

static int open_bound(const struct sockaddr *address, socklen_t len, int type, bool shared)
{
    const int on = 1;
    int fd = socket(address->sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (type == SOCK_STREAM && address->sa_family != AF_UNIX)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (shared)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    if (bind(fd, address, len) || (type == SOCK_STREAM && listen(fd, BACKLOG)))
        return fail_closed(fd);
    return fd;
}

int socket_open(const char *address, int type, int *fd, struct error *err)
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
    *fd = open_bound(info->ai_addr, info->ai_addrlen, type, false);
    int saved = errno;
    freeaddrinfo(info);
    if (*fd < 0)
        return error_set(err, ERROR_UNAVAILABLE, "cannot listen on %s %s: %s",
                         type == SOCK_STREAM ? "tcp" : "udp", address, strerror(saved));
    return 0;
}

union ip_address {
    struct sockaddr any;
    struct sockaddr_in ipv4;
    struct sockaddr_in6 ipv6;
};

int socket_open_again(int fd, int type, int *out, struct error *err)
{
    const int on = 1;
    union ip_address address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t len = sizeof address;
    /* Only after its bind may others join the first socket: its bind was exclusive. */
    *out = -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0 &&
        getsockname(fd, &address.any, &len) == 0)
        *out = open_bound(&address.any, len, type, true);
    if (*out < 0)
        return error_set(err, ERROR_UNAVAILABLE, "cannot open another socket on port %d: %s",
                         socket_port(fd), strerror(errno));
    return 0;
}

/* True when nothing is at the path, or a socket that nobody has open any more, which is removed. */
static bool clear_path(const struct sockaddr_un *address, int type)
{
    struct stat at_path;
    if (lstat(address->sun_path, &at_path))
        return errno == ENOENT;
    errno = EEXIST;
    if (!S_ISSOCK(at_path.st_mode))
        return false;
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool stale = connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
                 errno == ECONNREFUSED;
    close(fd);
    errno = EADDRINUSE;
    return stale && unlink(address->sun_path) == 0;
}

int socket_open_unix(const char *path, int type, int *fd, struct error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *fd = -1;
    if (strlen(path) >= sizeof address.sun_path)
        return error_set(err, ERROR_BAD_DATA, "the socket path %s is longer than %zu bytes", path,
                         sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (clear_path(&address, type))
        *fd = open_bound((const struct sockaddr *)&address, sizeof address, type, false);
    if (*fd < 0)
        return error_set(err, ERROR_UNAVAILABLE, "cannot listen on %s: %s", path, strerror(errno));
    return 0;
}

static int option(int fd, int name)
{
    int value = 0;
    socklen_t len = sizeof value;
    return getsockopt(fd, SOL_SOCKET, name, &value, &len) == 0 ? value : -1;
}

/* Connected to itself, a datagram socket is found by nobody else's datagrams any more. */
static int connect_to_itself(int fd)
{
    union ip_address address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t len = sizeof address;
    return getsockname(fd, &address.any, &len) == 0 ? connect(fd, &address.any, len) : -1;
}

void socket_shut(int fd)
{
    struct sock_filter drop_all = BPF_STMT(BPF_RET | BPF_K, 0);
    const struct sock_fprog program = {1, &drop_all};
    if (option(fd, SO_DOMAIN) == AF_UNIX)
        shutdown(fd, SHUT_RD);
    else if (option(fd, SO_TYPE) == SOCK_STREAM || connect_to_itself(fd))
        setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

/* A datagram finds its socket, and a segment passes its filter, inside one RCU section of the
 * kernel; this barrier returns when all sections that had begun have ended. */
void socket_settle(void)
{
    syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
}

void socket_reset_at_close(int fd)
{
    const struct linger at_once = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

int socket_port(int fd)
{
    union ip_address address = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t len = sizeof address;
    if (getsockname(fd, &address.any, &len))
        return -1;
    if (address.any.sa_family == AF_INET6)
        return ntohs(address.ipv6.sin6_port);
    return address.any.sa_family == AF_INET ? ntohs(address.ipv4.sin_port) : -1;
}
