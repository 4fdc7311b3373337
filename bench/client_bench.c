/* client_bench: what a call of the C client costs its caller, in CPU time.
 *
 *   client_bench [CALLS]
 *
 * Packets go to a UDP socket that nobody reads: the kernel takes each, and drops it when the
 * socket's buffer is full, which costs the sender the same. "call" is the whole; "packet" what of
 * it is one send() of 1,432 bytes, measured apart.
 */
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "clients/c/lapwing.h"

#define PACKET_BYTES 1432

static double cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int open_receiver(char *address, size_t size)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) ||
        getsockname(fd, (struct sockaddr *)&at, &len)) {
        perror("client_bench");
        exit(1);
    }
    snprintf(address, size, "udp://127.0.0.1:%d", ntohs(at.sin_port));
    return fd;
}

static double packet_ns(int receiver, long count)
{
    char packet[PACKET_BYTES] = {0};
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (getsockname(receiver, (struct sockaddr *)&at, &len) ||
        connect(fd, (const struct sockaddr *)&at, len)) {
        perror("client_bench");
        exit(1);
    }
    double start = cpu_ns();
    for (long i = 0; i < count; i++)
        if (send(fd, packet, sizeof packet, MSG_DONTWAIT) < 0)
            break;
    return (cpu_ns() - start) / (double)count;
}

static const struct lapwing_tag two_tags[] = {{"route", "/buy"}, {"country", "nl"}};

static const struct row {
    const char *what;
    struct lapwing_metric metric;
} rows[] = {
    {"counter", {.type = LAPWING_COUNT, .name = "shop.orders", .value = 1}},
    {"counter, two tags as text",
     {.type = LAPWING_COUNT, .name = "shop.orders", .value = 1, .tags = "route:/buy,country:nl"}},
    {"counter, two tags as an array",
     {.type = LAPWING_COUNT,
      .name = "shop.orders",
      .value = 1,
      .tag_list = two_tags,
      .tag_count = 2}},
    {"timing of 12.345 ms", {.type = LAPWING_TIMING, .name = "shop.checkout", .value = 12.345}},
    {"timing of 1/3 ms", {.type = LAPWING_TIMING, .name = "shop.checkout", .value = 1.0 / 3}},
    {"counter, one in ten sampled",
     {.type = LAPWING_COUNT, .name = "shop.orders", .value = 1, .sample_rate = 0.1}},
};

int main(int argc, char **argv)
{
    char address[64];
    long calls = argc > 1 ? strtol(argv[1], NULL, 10) : 2000000;
    int receiver = open_receiver(address, sizeof address);
    const struct lapwing_options options = {.address = address, .prefix = "app."};
    struct lapwing *client = lapwing_open(&options);
    double packet = packet_ns(receiver, 20000);
    printf("C client: CPU ns a call (a packet of %d bytes: %.0f ns)\n", PACKET_BYTES, packet);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t packets = lapwing_stats(client).packets;
        double start = cpu_ns();
        for (long call = 0; call < calls; call++)
            lapwing_send(client, &rows[i].metric);
        double all = cpu_ns() - start;
        double sends = (double)(lapwing_stats(client).packets - packets) * packet;
        printf("  %-32s %6.1f, without the packets' send() %6.1f\n", rows[i].what,
               all / (double)calls, (all - sends) / (double)calls);
    }
    lapwing_close(client);
    return 0;
}
