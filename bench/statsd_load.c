/* statsd_load: an open-loop statsd sender.
 *
 *   statsd_load --port 8125 --rate 200000 --seconds 5 --bytes 0 --series 10000 --tags 3 --type c
 *
 * Open loop: datagrams leave when they are due, whether or not the receiver keeps up, so that
 * losses show instead of slowing the sender. All datagrams are made beforehand and sent round and
 * round from several source ports (the kernel spreads source ports over a server's sockets).
 * --bytes 0 puts one metric into a datagram, --bytes 1400 as many as fit. Prints one line:
 *
 *   datagrams=1000000 metrics=1000000 seconds=5.000 refused=0
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SOURCES      8
#define DATAGRAM_MAX 1472
#define SLEEP_NS     80000 /* further ahead than this: sleep, else spin */

static struct {
    int port;
    double rate; /* metrics a second */
    double seconds;
    int bytes;
    int series;
    int tags;
    const char *type;
} options = {.port = 8125, .rate = 100000, .seconds = 5, .series = 1000, .type = "c"};

struct datagram {
    char *at;
    size_t len;
    int metrics;
};

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* The line of one series; a timer's value depends on the round, so that its histogram has width. */
static int print_line(char *out, size_t size, int series, int round)
{
    static const char *const routes[] = {"/", "/buy", "/cart", "/search", "/login"};
    bool timer = strcmp(options.type, "ms") == 0;
    int value = timer ? 1 + (series * 7919 + round * 104729) % 2000 : 1;
    int len = snprintf(out, size, "bench.requests.%05d:%d|%s", options.tags ? series % 100 : series,
                       value, options.type);
    if (options.tags > 0)
        len += snprintf(out + len, size - (size_t)len, "|#host:web-%03d", series / 100 % 1000);
    if (options.tags > 1)
        len += snprintf(out + len, size - (size_t)len, ",route:%s", routes[series % 5]);
    if (options.tags > 2)
        len += snprintf(out + len, size - (size_t)len, ",shard:%d", series / 100000);
    return len;
}

/* Enough datagrams to name every series, and at least some thousand metrics. */
static struct datagram *make_datagrams(size_t *count)
{
    int wanted =
        options.series < 4096 ? options.series * (4096 / options.series + 1) : options.series;
    struct datagram *all = calloc((size_t)wanted, sizeof *all);
    char line[256];
    *count = 0;
    for (int i = 0; i < wanted;) {
        char text[DATAGRAM_MAX];
        struct datagram *datagram = &all[(*count)++];
        do {
            /* A stride through the series: neighbours in time are no neighbours in memory. */
            int series = (int)((int64_t)i * 7919 % options.series);
            int len = print_line(line, sizeof line, series, i / options.series);
            if (datagram->len + (size_t)len + 1 > (size_t)options.bytes && datagram->metrics)
                break;
            if (datagram->metrics)
                text[datagram->len++] = '\n';
            memcpy(text + datagram->len, line, (size_t)len);
            datagram->len += (size_t)len;
            datagram->metrics++;
            i++;
        } while (i < wanted && options.bytes > 0);
        datagram->at = malloc(datagram->len);
        memcpy(datagram->at, text, datagram->len);
    }
    return all;
}

static void wait_until(int64_t due_ns)
{
    for (;;) {
        int64_t left = due_ns - now_ns();
        if (left <= 0)
            return;
        if (left > SLEEP_NS) {
            struct timespec nap = {.tv_nsec = left - SLEEP_NS / 2};
            if (left > 500000000)
                nap.tv_nsec = 500000000;
            nanosleep(&nap, NULL);
        }
    }
}

static void send_all(const struct datagram *all, size_t count)
{
    int fds[SOURCES];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < SOURCES; i++) {
        fds[i] = socket(AF_INET, SOCK_DGRAM, 0);
        if (fds[i] < 0 || connect(fds[i], (const struct sockaddr *)&to, sizeof to)) {
            perror("statsd_load");
            exit(1);
        }
    }
    int64_t start = now_ns(), end = start + (int64_t)(options.seconds * 1e9);
    int64_t datagrams = 0, metrics = 0, refused = 0;
    double ns_per_metric = 1e9 / options.rate;
    for (size_t i = 0;; i = i + 1 < count ? i + 1 : 0) {
        int64_t due = start + (int64_t)((double)metrics * ns_per_metric);
        if (due >= end)
            break;
        wait_until(due);
        refused += send(fds[datagrams % SOURCES], all[i].at, all[i].len, 0) < 0;
        datagrams++;
        metrics += all[i].metrics;
    }
    printf("datagrams=%lld metrics=%lld seconds=%.3f refused=%lld\n", (long long)datagrams,
           (long long)metrics, (double)(now_ns() - start) / 1e9, (long long)refused);
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},    {"rate", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'}, {"bytes", required_argument, NULL, 'b'},
        {"series", required_argument, NULL, 'n'},  {"tags", required_argument, NULL, 't'},
        {"type", required_argument, NULL, 'y'},    {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        switch (c) {
        case 'p':
            options.port = atoi(optarg);
            break;
        case 'r':
            options.rate = atof(optarg);
            break;
        case 's':
            options.seconds = atof(optarg);
            break;
        case 'b':
            options.bytes = atoi(optarg);
            break;
        case 'n':
            options.series = atoi(optarg);
            break;
        case 't':
            options.tags = atoi(optarg);
            break;
        case 'y':
            options.type = optarg;
            break;
        default:
            exit(2);
        }
    }
    if (options.series < 1 || options.rate <= 0 || options.bytes > DATAGRAM_MAX) {
        fprintf(stderr, "statsd_load: series and rate are positive, bytes at most %d\n",
                DATAGRAM_MAX);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    size_t count;
    read_options(argc, argv);
    const struct datagram *all = make_datagrams(&count);
    send_all(all, count);
    return 0;
}
