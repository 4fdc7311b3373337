/* statsd_profile: what a dialect of statsd takes, as data.
 *
 * There is one parser; a profile tells it which forms are legal, so that the same bytes can mean
 * what their sender meant (`g:-5|g` moves a gauge in statsd and sets it in DogStatsD). The types
 * of a dialect are in the type table of statsd.c. docs/STATSD.md is this table in words.
 */
#ifndef SERVER_WIRE_STATSD_PROFILE_H
#define SERVER_WIRE_STATSD_PROFILE_H

#include "storage/base/slice.h"

enum statsd_dialect {
    STATSD_UNION, /* all that does not contradict itself */
    STATSD_ETSY,
    STATSD_DOGSTATSD,
    STATSD_STATSITE,
    STATSD_DIALECT_COUNT,
};

/* Bits of statsd_profile.takes. */
enum {
    STATSD_TAKES_PACKING = 1 << 0,   /* a:1:2|c: several values */
    STATSD_TAKES_SEGMENTS = 1 << 1,  /* a:1|c:2|ms: several values with a type each */
    STATSD_TAKES_TAGS = 1 << 2,      /* |#k:v,bare */
    STATSD_TAKES_INFLUX = 1 << 3,    /* a,k=v:1|c */
    STATSD_TAKES_LIBRATO = 1 << 4,   /* a#k=v,k=v:1|c */
    STATSD_TAKES_SIGNALFX = 1 << 5,  /* a[k=v,k=v]:1|c */
    STATSD_TAKES_GRAPHITE = 1 << 6,  /* a;k=v;k=v:1|c */
    STATSD_TAKES_TIME = 1 << 7,      /* |T1656581400 */
    STATSD_TAKES_NOTICES = 1 << 8,   /* _e{5,4}:title|text and _sc|name|0 */
    STATSD_TAKES_DELTAS = 1 << 9,    /* +1 and -1 move a gauge; otherwise they set it */
    STATSD_FORGIVES_RATES = 1 << 10, /* a rate out of range counts as 1 */
    STATSD_TAKES_NAME_TAGS =
        STATSD_TAKES_INFLUX | STATSD_TAKES_LIBRATO | STATSD_TAKES_SIGNALFX | STATSD_TAKES_GRAPHITE,
};

struct statsd_profile {
    const char *name;
    enum statsd_dialect dialect;
    unsigned takes;
};

extern const struct statsd_profile statsd_profiles[STATSD_DIALECT_COUNT];

/* A raw name taken apart: the name is head + tail, the tags are key=value between separators. Who
 * wants another name by it sets a suffix. */
struct statsd_name {
    struct slice head, tail, suffix;
    struct slice tags;
    char separator;
};
struct statsd_name statsd_split_name(enum statsd_dialect dialect, struct slice raw);

#endif
