/* statsd_profile: the table of dialects, and the tags that some of them write into the name.
 *
 *   api.latency,route=/buy    api.latency#route=/buy    api[route=/buy].latency    api;route=/buy
 *              ^^^^^^^^^^^               ^^^^^^^^^^^       ^^^^^^^^^^^^                ^^^^^^^^^^^
 *   Influx                    Librato                   SignalFX                   Graphite
 *
 * What opens like tags but holds no `=` is part of the name, as it always was.
 */
#include "server/wire/statsd_profile.h"

const struct statsd_profile statsd_profiles[STATSD_DIALECT_COUNT] = {
    [STATSD_UNION] = {"union", STATSD_UNION,
                      STATSD_TAKES_PACKING | STATSD_TAKES_SEGMENTS | STATSD_TAKES_TAGS |
                          STATSD_TAKES_NAME_TAGS | STATSD_TAKES_TIME | STATSD_TAKES_NOTICES |
                          STATSD_TAKES_DELTAS},
    [STATSD_ETSY] = {"etsy", STATSD_ETSY,
                     STATSD_TAKES_SEGMENTS | STATSD_TAKES_TAGS | STATSD_TAKES_GRAPHITE |
                         STATSD_TAKES_DELTAS},
    [STATSD_DOGSTATSD] = {"dogstatsd", STATSD_DOGSTATSD,
                          STATSD_TAKES_PACKING | STATSD_TAKES_TAGS | STATSD_TAKES_TIME |
                              STATSD_TAKES_NOTICES},
    [STATSD_STATSITE] = {"statsite", STATSD_STATSITE, STATSD_TAKES_DELTAS | STATSD_FORGIVES_RATES},
};

static const struct style {
    unsigned bit;
    char opens, separates;
    char closes; /* 0: the end of the name */
} styles[] = {
    {STATSD_TAKES_INFLUX, ',', ',', 0},
    {STATSD_TAKES_LIBRATO, '#', ',', 0},
    {STATSD_TAKES_SIGNALFX, '[', ',', ']'},
    {STATSD_TAKES_GRAPHITE, ';', ';', 0},
};
#define STYLE_COUNT (sizeof styles / sizeof styles[0])

static const struct style *style_of(unsigned takes, char opener)
{
    for (size_t i = 0; i < STYLE_COUNT; i++)
        if (styles[i].opens == opener && takes & styles[i].bit)
            return &styles[i];
    return NULL;
}

struct statsd_name statsd_split_name(enum statsd_dialect dialect, struct slice raw)
{
    const struct statsd_name whole = {.head = raw};
    struct statsd_name out = whole;
    const struct style *style = NULL;
    unsigned takes = statsd_profiles[dialect].takes;
    size_t i = 0;
    while (i < raw.len && !(style = style_of(takes, raw.at[i])))
        i++;
    if (!style)
        return whole;
    out.head = slice_head(raw, i);
    out.tags = slice_skip(raw, i + 1);
    out.separator = style->separates;
    if (style->closes) {
        struct slice rest = out.tags;
        if (!slice_cut(&rest, style->closes, &out.tags))
            return whole;
        out.tail = rest;
    }
    bool has_pair = out.tags.len && memchr(out.tags.at, '=', out.tags.len);
    return has_pair && out.head.len + out.tail.len ? out : whole;
}
