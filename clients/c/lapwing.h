/* lapwing: a statsd client for lapwingd, or any other server of statsd. libc is all it needs.
 *
 *   struct lapwing *metrics = lapwing_open(NULL);
 *   lapwing_increment(metrics, "shop.orders", "country:nl");
 *   lapwing_timing(metrics, "shop.checkout", 12.5, NULL);
 *   lapwing_close(metrics);
 *
 * Metrics gather in one packet, which goes out when it is full, when a call finds it older than
 * max_delay_ms, at lapwing_flush and at lapwing_close. No call but lapwing_open waits for anything
 * or allocates; none fails, aborts or changes errno: what cannot be sent is dropped and counted.
 * A NULL client is legal everywhere and does nothing.
 *
 * Threads: a client may be shared; it holds one mutex, for a copy of one line or one send().
 * fork(): the child starts with an empty packet and figures at zero, the parent keeps its own.
 * Signal handlers: no.
 */
#ifndef LAPWING_H
#define LAPWING_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct lapwing;

/* Anything left 0 or NULL has its default. */
struct lapwing_options {
    /* "udp://host:port", "host:port" ("[::1]:8125" for IPv6), or "unix:///path" of a datagram
     * socket. Default: the environment's LAPWING_STATSD, without it 127.0.0.1:8125. */
    const char *address;
    const char *prefix;  /* stands before every name as it is: "shop." */
    const char *tags;    /* "env:prod,canary": on every line; those of a call win over them */
    int max_delay_ms;    /* default 1,000; negative: every metric is sent at once */
    size_t packet_bytes; /* 600 to 8,192; default 1,432 over UDP (what Ethernet carries whole),
                          * 8,192 over unix sockets */
};

/* Resolves a host name, the one thing that may take time. NULL with errno when the address is none
 * or memory is short. That nobody listens (yet) is no failure. options may be NULL. */
struct lapwing *lapwing_open(const struct lapwing_options *options);
void lapwing_flush(struct lapwing *client);
/* Flushes first. No other thread may use the client any more. */
void lapwing_close(struct lapwing *client);

/* tags: "key:value,key:value,bare", or NULL. What a name or a tag must not hold becomes '_'. */
void lapwing_increment(struct lapwing *client, const char *name, const char *tags);
void lapwing_add(struct lapwing *client, const char *name, double count, const char *tags);
void lapwing_gauge(struct lapwing *client, const char *name, double value, const char *tags);
void lapwing_adjust(struct lapwing *client, const char *name, double change, const char *tags);
void lapwing_timing(struct lapwing *client, const char *name, double ms, const char *tags);
void lapwing_histogram(struct lapwing *client, const char *name, double value, const char *tags);
void lapwing_distribution(struct lapwing *client, const char *name, double value, const char *tags);
void lapwing_set(struct lapwing *client, const char *name, const char *member, const char *tags);

enum lapwing_type {
    LAPWING_COUNT,
    LAPWING_GAUGE,
    LAPWING_ADJUST, /* a gauge by so much */
    LAPWING_TIMING, /* milliseconds */
    LAPWING_HISTOGRAM,
    LAPWING_DISTRIBUTION,
    LAPWING_SET
};

struct lapwing_tag {
    const char *key;
    const char *value; /* NULL: a bare tag; "": no tag */
};

/* All that a metric can say; the functions above are short for it. */
struct lapwing_metric {
    enum lapwing_type type;
    const char *name;
    double value;       /* not of sets */
    const char *member; /* of sets */
    double sample_rate; /* below 1: sends this share of the calls, and says so. Otherwise, 0
                         * included: all. Of counts and timings; others are never sampled. */
    const char *tags;
    const struct lapwing_tag *tag_list; /* tag_count of them, behind tags */
    size_t tag_count;
};
void lapwing_send(struct lapwing *client, const struct lapwing_metric *metric);

/* An event; alert is "error", "warning", "info", "success" or NULL. text may be NULL. */
void lapwing_event(struct lapwing *client, const char *title, const char *text, const char *alert,
                   const char *tags);
/* A service check; status is 0 ok, 1 warning, 2 critical, 3 unknown. message may be NULL. */
void lapwing_check(struct lapwing *client, const char *name, int status, const char *message,
                   const char *tags);

/* Measures by the monotonic clock. name and tags are kept as pointers. */
struct lapwing_timer {
    struct lapwing *client;
    const char *name;
    const char *tags;
    int64_t start_ns;
};
struct lapwing_timer lapwing_timer_start(struct lapwing *client, const char *name,
                                         const char *tags);
/* Sends the milliseconds since the start, the first time it is called. */
void lapwing_timer_stop(struct lapwing_timer *timer);

#ifdef __GNUC__
#define LAPWING_JOIN_(a, b) a##b
#define LAPWING_JOIN(a, b)  LAPWING_JOIN_(a, b)
/* A declaration: the time from here to the end of the enclosing block, however that is left. */
#define LAPWING_TIME_SCOPE(client, name, tags)                                                     \
    __attribute__((cleanup(lapwing_timer_stop))) struct lapwing_timer LAPWING_JOIN(                \
        lapwing_timer_, __LINE__) = lapwing_timer_start(client, name, tags)
#endif

enum lapwing_drop {
    LAPWING_DROP_INVALID,  /* no name, no member, or a value that is no finite number */
    LAPWING_DROP_TOO_LONG, /* for a packet, whatever tags it goes without */
    LAPWING_DROP_FULL,     /* the kernel's buffers were full: EAGAIN, ENOBUFS, ENOMEM */
    LAPWING_DROP_REFUSED,  /* nobody listens: ECONNREFUSED, no such socket file ... */
    LAPWING_DROP_OTHER,
    LAPWING_DROP_COUNT
};

/* Calls that were not sampled out = sent + buffered + all drops. */
struct lapwing_stats {
    uint64_t sent; /* metrics given to the kernel, without those that it reported as refused */
    uint64_t buffered;
    uint64_t dropped[LAPWING_DROP_COUNT];
    uint64_t truncated; /* with a name cut to 512 bytes or without tags that did not fit */
    uint64_t packets;   /* given to the kernel, as are */
    uint64_t bytes;
};
struct lapwing_stats lapwing_stats(struct lapwing *client);

#ifdef __cplusplus
}
#endif

#endif
