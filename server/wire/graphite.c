/* graphite: see the header.
 *
 *   disk.used;host=web-1;mount=/var 17.25 1656581400
 *   ^^^^^^^^^ ^^^^^^^^^^^^^^^^^^^^^ ^^^^^ ^^^^^^^^^^
 *   name      tags                  value seconds since 1970, with a fraction or not; -1 and N are now
 *
 * A line without its time is refused, since one that was cut short looks the same. So is a value
 * that is not finite: carbon passes over nan in silence, here it is counted.
 */
#include "server/wire/graphite.h"

#include <math.h>

#include "server/wire/statsd.h"

bool graphite_cut_line(struct slice *rest, struct slice *line)
{
    while (rest->len) {
        slice_cut(rest, '\n', line);
        *line = slice_trim(*line);
        if (line->len)
            return true;
    }
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Up to the next blank. */
static struct slice cut_word(struct slice *line)
{
    size_t len = 0;
    while (line->len && is_blank(line->at[0]))
        *line = slice_skip(*line, 1);
    while (len < line->len && !is_blank(line->at[len]))
        len++;
    struct slice word = slice_head(*line, len);
    *line = slice_skip(*line, len);
    return word;
}

/* The words that say what no number is, as Python reads them: nan, inf, infinity. */
static bool names_no_number(struct slice text)
{
    static const struct slice words[] = {
        SLICE_LIT("nan"),
        SLICE_LIT("inf"),
        SLICE_LIT("infinity"),
    };
    if (text.len && (text.at[0] == '-' || text.at[0] == '+'))
        text = slice_skip(text, 1);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (slice_equal_nocase(text, words[i]))
            return true;
    return false;
}

static enum graphite_reject read_time(struct slice text, struct timed_line *out)
{
    double seconds;
    out->has_time = false;
    if (slice_equal(text, SLICE("N")))
        return GRAPHITE_OK;
    if (!slice_to_double(text, &seconds))
        return GRAPHITE_BAD_TIME;
    if (seconds == -1)
        return GRAPHITE_OK;
    double ms = floor(seconds * 1000 + 0.5);
    if (ms < 0 || ms > (double)TIMED_MS_MAX)
        return GRAPHITE_BAD_TIME;
    out->has_time = true;
    out->time_ms = (int64_t)ms;
    return GRAPHITE_OK;
}

/* Every tag has a key and a value. */
static bool tags_are_whole(struct slice tags)
{
    while (tags.len) {
        struct slice tag, key;
        bool more = slice_cut(&tags, ';', &tag);
        if (!slice_cut(&tag, '=', &key) || key.len == 0 || tag.len == 0 || (more && !tags.len))
            return false;
    }
    return true;
}

static enum graphite_reject read_path(struct slice path, struct arena *arena,
                                      struct timed_sample *out)
{
    struct statsd_name name = {.separator = ';', .tags = path};
    bool tagged = slice_cut(&name.tags, ';', &name.head);
    if (name.head.len == 0)
        return GRAPHITE_EMPTY_NAME;
    if ((tagged && name.tags.len == 0) || !tags_are_whole(name.tags))
        return GRAPHITE_BAD_TAG;
    return statsd_labels(name, SLICE(""), arena, &out->labels) ? GRAPHITE_OK : GRAPHITE_MANY_TAGS;
}

enum graphite_reject graphite_parse(struct slice line, struct arena *arena, struct timed_line *out)
{
    if (line.len > GRAPHITE_LINE_MAX)
        return GRAPHITE_TOO_LONG;
    struct slice path = cut_word(&line), value = cut_word(&line), time = cut_word(&line);
    *out = (struct timed_line){.samples = arena_alloc(arena, sizeof *out->samples), .count = 1};
    if (!out->samples)
        return GRAPHITE_MANY_TAGS;
    if (value.len == 0)
        return GRAPHITE_NO_VALUE;
    if (time.len == 0)
        return GRAPHITE_NO_TIME;
    if (cut_word(&line).len)
        return GRAPHITE_TRAILING;
    if (names_no_number(value))
        return GRAPHITE_NOT_FINITE;
    if (!slice_to_double(value, &out->samples->value))
        return GRAPHITE_BAD_VALUE;
    enum graphite_reject reject = read_time(time, out);
    return reject ? reject : read_path(path, arena, out->samples);
}
