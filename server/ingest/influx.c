/* influx: InfluxDB's line protocol as a feed. Timestamps are in nanoseconds, as there is nobody to say
 * otherwise. The same figures count what comes by HTTP (server/api/influx.c). */
#include "server/wire/influx.h"
#include "server/ingest/feed.h"

static struct metric influx_metrics[FEED_REJECTS + INFLUX_REJECT_COUNT] = {
    FEED_ROWS("influx"),
    FEED_REJECTED("influx", INFLUX_OK, "none"), /* stays 0; keeps the rows in step */
    FEED_REJECTED("influx", INFLUX_TOO_LONG, "too_long"),
    FEED_REJECTED("influx", INFLUX_NO_MEASUREMENT, "no_measurement"),
    FEED_REJECTED("influx", INFLUX_BAD_TAG, "bad_tag"),
    FEED_REJECTED("influx", INFLUX_DUPLICATE_TAG, "duplicate_tag"),
    FEED_REJECTED("influx", INFLUX_MANY_TAGS, "many_tags"),
    FEED_REJECTED("influx", INFLUX_NO_FIELDS, "no_fields"),
    FEED_REJECTED("influx", INFLUX_BAD_FIELD, "bad_field"),
    FEED_REJECTED("influx", INFLUX_MANY_FIELDS, "many_fields"),
    FEED_REJECTED("influx", INFLUX_BAD_VALUE, "bad_value"),
    FEED_REJECTED("influx", INFLUX_OPEN_STRING, "open_string"),
    FEED_REJECTED("influx", INFLUX_BAD_TIME, "bad_time"),
    FEED_REJECTED("influx", INFLUX_NO_MEMORY, "no_memory"),
};

static bool read_line(struct slice *text, struct arena *arena, struct slice *line,
                      struct timed_line *out, int *reject)
{
    const struct influx_options options = {.precision = INFLUX_NS};
    struct influx_lines lines = {.rest = *text};
    if (!influx_cut_line(&lines, line))
        return false;
    *text = lines.rest;
    *reject = (int)influx_parse(*line, &options, arena, out);
    return true;
}

const struct feed_format feed_influx = {
    .name = "influx",
    .line_max = INFLUX_LINE_MAX,
    .metrics = influx_metrics,
    .metric_count = sizeof influx_metrics / sizeof influx_metrics[0],
    .read = read_line,
};
