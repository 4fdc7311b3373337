/* statsd_load: an open-loop statsd sender.
 *
 *   statsd_load --port 8125 --rate 200000 --seconds 5 --bytes 0 --series 10000 --tags 3 --type c
 *               [--metrics 1000000] [--sample 0.1] [--wide] [--tcp]
 *
 * Open loop: datagrams leave when they are due, whether or not the receiver keeps up, so that
 * losses show instead of slowing the sender; --rate 0 sends as fast as the kernel takes them. All
 * datagrams are made beforehand and sent round and round from several source ports (the kernel
 * spreads source ports over a server's sockets). --bytes 0 puts one metric into a datagram,
 * --bytes 1400 as many as fit. It ends after --seconds, or --metrics if that is earlier. Over TCP
 * the same bytes go through one connection, and it waits until the server has closed it, that is,
 * has read all. Prints one line:
 *
 *   datagrams=1000000 metrics=1000000 seconds=5.000 refused=0
 */
#include <arpa/inet.h>
#include <getopt.h>
#include <stdarg.h>
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
#define SLEEP_NS     80000   /* further ahead than this: sleep, else spin */
#define METRICS_MIN  65536   /* made beforehand at least, so that the values of a series vary */
#define SERIES_MAX   4000000 /* one metric each is held in memory */

static struct {
    int port;
    double rate; /* metrics a second; 0 = all there is time for */
    double seconds;
    int64_t metrics; /* at most so many */
    int bytes;
    int series;
    int tags;
    const char *type;
    const char *sample; /* the rate behind the @ */
    int tcp;
    int wide; /* counts are as large as other values, instead of 1 */
} options = {
    .port = 8125,
    .rate = 100000,
    .seconds = 5,
    .metrics = INT64_MAX,
    .series = 1000,
    .type = "c",
};

struct datagram {
    char *at;
    size_t len;
    int metrics;
};

struct text {
    char *at;
    size_t size, len;
};

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    text->len += (size_t)vsnprintf(text->at + text->len, text->size - text->len, format, arguments);
    va_end(arguments);
    if (text->len >= text->size)
        abort();
}

/* The first three tags tell series apart, the others are what every line of a host says. */
static void add_tags(struct text *line, int series)
{
    static const char *const routes[] = {"/", "/buy", "/cart", "/search", "/login"};
    static const char *const others[] = {
        "env:production", "region:eu-west-1", "service:checkout", "version:2.14.3",
        "zone:b",         "team:payments",    "canary:false",
    };
    if (options.tags > 0)
        add(line, "|#host:web-%03d", series / 100 % 1000);
    if (options.tags > 1)
        add(line, ",route:%s", routes[series % 5]);
    if (options.tags > 2)
        add(line, ",shard:%d", series / 100000);
    for (int i = 3; i < options.tags; i++)
        add(line, ",%s", others[i - 3]);
}

/* The line of one series. Values depend on the round, so that histograms and sets have width. */
static size_t print_line(char *out, size_t size, int series, int round)
{
    struct text line = {out, size, 0};
    unsigned value = 1 + ((unsigned)series * 7919 + (unsigned)round * 104729) % 2000;
    bool counter = strcmp(options.type, "c") == 0 && !options.wide;
    add(&line, "bench.requests.%05d:%u|%s", options.tags ? series % 100 : series,
        counter ? 1 : value, options.type);
    if (options.sample)
        add(&line, "|@%s", options.sample);
    add_tags(&line, series);
    return line.len;
}

/* One metric after the other, into as few datagrams as they fit. Over TCP each ends its line. */
static struct datagram *make_datagrams(size_t *count)
{
    int rounds = options.series < METRICS_MIN ? METRICS_MIN / options.series + 1 : 1;
    int wanted = options.series * rounds;
    struct datagram *all = calloc((size_t)wanted, sizeof *all);
    char line[512];
    *count = 0;
    for (int i = 0; i < wanted;) {
        char text[DATAGRAM_MAX + sizeof line];
        struct datagram *datagram = &all[(*count)++];
        do {
            /* A stride through the series: neighbours in time are no neighbours in memory. */
            int series = (int)((int64_t)i * 7919 % options.series);
            size_t len = print_line(line, sizeof line, series, i / options.series);
            if (datagram->len + len + 1 > (size_t)options.bytes && datagram->metrics)
                break;
            if (datagram->metrics && !options.tcp)
                text[datagram->len++] = '\n';
            memcpy(text + datagram->len, line, len);
            datagram->len += len;
            if (options.tcp)
                text[datagram->len++] = '\n';
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

static void fail(void)
{
    perror("statsd_load");
    exit(1);
}

static void open_sockets(int *fds, int count)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)options.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int i = 0; i < count; i++) {
        fds[i] = socket(AF_INET, options.tcp ? SOCK_STREAM : SOCK_DGRAM, 0);
        if (fds[i] < 0 || connect(fds[i], (const struct sockaddr *)&to, sizeof to))
            fail();
    }
}

/* Returns whether the kernel took it; over TCP it waits until there is room. */
static bool send_one(int fd, const struct datagram *datagram)
{
    size_t sent = 0;
    while (sent < datagram->len) {
        ssize_t n = send(fd, datagram->at + sent, datagram->len - sent, MSG_NOSIGNAL);
        if (n < 0 && options.tcp)
            fail();
        if (n < 0)
            return false;
        sent += (size_t)n;
    }
    return true;
}

static void finish_stream(int fd)
{
    char byte;
    shutdown(fd, SHUT_WR);
    if (read(fd, &byte, 1) != 0)
        fail();
}

static void send_all(const struct datagram *all, size_t count)
{
    int fds[SOURCES], sources = options.tcp ? 1 : SOURCES;
    open_sockets(fds, sources);
    int64_t start = now_ns(), end = start + (int64_t)(options.seconds * 1e9);
    int64_t datagrams = 0, metrics = 0, refused = 0;
    double ns_per_metric = options.rate > 0 ? 1e9 / options.rate : 0;
    for (size_t i = 0; metrics < options.metrics; i = i + 1 < count ? i + 1 : 0) {
        int64_t due = start + (int64_t)((double)metrics * ns_per_metric);
        if (due >= end || (options.rate <= 0 && now_ns() >= end))
            break;
        wait_until(due);
        refused += !send_one(fds[datagrams % sources], &all[i]);
        datagrams++;
        metrics += all[i].metrics;
    }
    if (options.tcp)
        finish_stream(fds[0]);
    printf("datagrams=%lld metrics=%lld seconds=%.3f refused=%lld\n", (long long)datagrams,
           (long long)metrics, (double)(now_ns() - start) / 1e9, (long long)refused);
}

static void read_option(int c)
{
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
    case 'm':
        options.metrics = atoll(optarg);
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
    case 'a':
        options.sample = optarg;
        break;
    case 0: /* a flag */
        break;
    default:
        exit(2);
    }
}

static void read_options(int argc, char **argv)
{
    static const struct option names[] = {
        {"port", required_argument, NULL, 'p'},    {"rate", required_argument, NULL, 'r'},
        {"seconds", required_argument, NULL, 's'}, {"metrics", required_argument, NULL, 'm'},
        {"bytes", required_argument, NULL, 'b'},   {"series", required_argument, NULL, 'n'},
        {"tags", required_argument, NULL, 't'},    {"type", required_argument, NULL, 'y'},
        {"sample", required_argument, NULL, 'a'},  {"tcp", no_argument, &options.tcp, 1},
        {"wide", no_argument, &options.wide, 1},   {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;)
        read_option(c);
    if (options.series < 1 || options.series > SERIES_MAX || options.bytes > DATAGRAM_MAX ||
        options.tags > 10) {
        fprintf(stderr,
                "statsd_load: at least 1 and at most %d series, at most %d bytes, 10 tags\n",
                SERIES_MAX, DATAGRAM_MAX);
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
