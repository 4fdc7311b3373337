/* graphite: Graphite's plaintext protocol as a feed. */
#include "server/wire/graphite.h"
#include "server/ingest/feed.h"

static struct metric graphite_metrics[FEED_REJECTS + GRAPHITE_REJECT_COUNT] = {
    FEED_ROWS("graphite"),
    FEED_REJECTED("graphite", GRAPHITE_OK, "none"), /* stays 0; keeps the rows in step */
    FEED_REJECTED("graphite", GRAPHITE_TOO_LONG, "too_long"),
    FEED_REJECTED("graphite", GRAPHITE_NO_VALUE, "no_value"),
    FEED_REJECTED("graphite", GRAPHITE_NO_TIME, "no_time"),
    FEED_REJECTED("graphite", GRAPHITE_TRAILING, "trailing"),
    FEED_REJECTED("graphite", GRAPHITE_EMPTY_NAME, "empty_name"),
    FEED_REJECTED("graphite", GRAPHITE_BAD_TAG, "bad_tag"),
    FEED_REJECTED("graphite", GRAPHITE_MANY_TAGS, "many_tags"),
    FEED_REJECTED("graphite", GRAPHITE_BAD_VALUE, "bad_value"),
    FEED_REJECTED("graphite", GRAPHITE_NOT_FINITE, "not_finite"),
    FEED_REJECTED("graphite", GRAPHITE_BAD_TIME, "bad_time"),
};

static bool read_line(struct slice *text, struct arena *arena, struct slice *line,
                      struct timed_line *out, int *reject)
{
    if (!graphite_cut_line(text, line))
        return false;
    *reject = (int)graphite_parse(*line, arena, out);
    return true;
}

const struct feed_format feed_graphite = {
    .name = "graphite",
    .line_max = GRAPHITE_LINE_MAX,
    .metrics = graphite_metrics,
    .metric_count = sizeof graphite_metrics / sizeof graphite_metrics[0],
    .read = read_line,
};
