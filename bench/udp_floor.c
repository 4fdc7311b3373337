/* udp_floor: the least a UDP server can do: recvmmsg in a loop, bytes unread.
 *
 *   udp_floor RECEIVE_BUFFER_BYTES      prints "port=N", then on SIGTERM "datagrams=N"
 *
 * Blocking, 64 datagrams a call, buffers as far apart as the server's. What the server needs more
 * CPU than this for the same datagrams is its own.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define BATCH  64
#define STRIDE 65600

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static int open_socket(int buffer_bytes)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer_bytes, sizeof buffer_bytes))
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) ||
        getsockname(fd, (struct sockaddr *)&address, &len)) {
        perror("udp_floor");
        exit(1);
    }
    printf("port=%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

int main(int argc, char **argv)
{
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH];
    const struct sigaction action = {.sa_handler = on_signal};
    int64_t datagrams = 0;
    char *memory = calloc(BATCH, STRIDE);
    sigaction(SIGTERM, &action, NULL);
    int fd = open_socket(argc > 1 ? atoi(argv[1]) : 4 << 20);
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){memory + (size_t)i * STRIDE, 65536};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    while (!stopped) {
        int received = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
        datagrams += received > 0 ? received : 0;
    }
    printf("datagrams=%lld\n", (long long)datagrams);
    return 0;
}
