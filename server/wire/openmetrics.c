/* openmetrics: see the header.
 *
 *   # TYPE http_requests counter
 *   http_requests_total{path="/a\"b",code="200"} 1027 1395066363.250 # {trace="x"} 1 1395066363
 *   ^^^^^^^^^^^^^^^^^^^ ^^^^^^^^^^^^^^^^^^^^^^^^ ^^^^ ^^^^^^^^^^^^^^ ^^^^^^^^^^^^^^^^^^^^^^^^^^^
 *   name                labels                   value time          exemplar, skipped
 *   {"http.requests","x.y"="z"} 5
 *    ^^^^^^^^^^^^^^^ a quoted name
 *
 * Of comments only TYPE matters: it says whether a sample counts up. Help, units, exemplars and the
 * order that OpenMetrics prescribes are read over. Buckets, sums and counts of histograms are
 * ordinary counters.
 */
#include "server/wire/openmetrics.h"

#include <ctype.h>
#include <math.h>

#include "storage/key.h"

static const struct {
    const char *name;
    const char *text;
} rejects[] = {
    [OPENMETRICS_OK] = {"ok", "fine"},
    [OPENMETRICS_LONG_LINE] = {"long_line", "the line is longer than 65536 bytes"},
    [OPENMETRICS_BAD_NAME] = {"bad_name",
                              "a line must start with a metric name, or with {\"name\"}"},
    [OPENMETRICS_BAD_LABELS] = {"bad_labels",
                                "labels must look like {a=\"b\",c=\"d\"}, each name once"},
    [OPENMETRICS_MANY_LABELS] = {"many_labels", "a series may have at most 64 labels"},
    [OPENMETRICS_BAD_VALUE] = {"bad_value", "the value must be a number, NaN, +Inf or -Inf"},
    [OPENMETRICS_BAD_TIME] = {"bad_time", "the timestamp must be milliseconds, or seconds in a "
                                          "text that ends with # EOF"},
    [OPENMETRICS_TRAILING] = {"trailing", "there is more behind the timestamp"},
    [OPENMETRICS_NO_MEMORY] = {"no_memory", "the text has too many labels for the memory allowed"},
};

const char *openmetrics_reject_name(enum openmetrics_reject reject)
{
    return rejects[reject].name;
}

const char *openmetrics_reject_text(enum openmetrics_reject reject)
{
    return rejects[reject].text;
}

void openmetrics_init(struct openmetrics *reader, struct slice text)
{
    struct slice eof = SLICE("# EOF");
    struct slice end = slice_trim(text);
    bool strict = end.len >= eof.len && slice_equal(slice_skip(end, end.len - eof.len), eof) &&
                  (end.len == eof.len || end.at[end.len - eof.len - 1] == '\n');
    *reader = (struct openmetrics){.rest = text,
                                   .dialect = strict ? OPENMETRICS_STRICT : OPENMETRICS_TEXT};
}

static void skip_blank(struct slice *line)
{
    while (line->len && (line->at[0] == ' ' || line->at[0] == '\t'))
        *line = slice_skip(*line, 1);
}

/* Up to the next blank. */
static struct slice cut_word(struct slice *line)
{
    size_t len = 0;
    skip_blank(line);
    while (len < line->len && line->at[len] != ' ' && line->at[len] != '\t')
        len++;
    struct slice word = slice_head(*line, len);
    *line = slice_skip(*line, len);
    return word;
}

static void read_comment(struct openmetrics *reader, struct slice line)
{
    line = slice_skip(line, 1);
    if (!slice_equal(cut_word(&line), SLICE("TYPE")))
        return;
    struct slice family = cut_word(&line);
    if (family.len > 1 && family.at[0] == '"')
        family = slice_make(family.at + 1, family.len - 2);
    reader->family = family;
    reader->family_type = cut_word(&line);
}

static enum openmetrics_type type_of(const struct openmetrics *reader, struct slice name)
{
    static const struct {
        struct slice type;
        struct slice suffix;
    } counters[] = {
        {SLICE_LIT("counter"), SLICE_LIT("")},          {SLICE_LIT("counter"), SLICE_LIT("_total")},
        {SLICE_LIT("histogram"), SLICE_LIT("_bucket")}, {SLICE_LIT("histogram"), SLICE_LIT("_sum")},
        {SLICE_LIT("histogram"), SLICE_LIT("_count")},  {SLICE_LIT("summary"), SLICE_LIT("_sum")},
        {SLICE_LIT("summary"), SLICE_LIT("_count")},
    };
    if (!slice_starts_with(name, reader->family))
        return OPENMETRICS_GAUGE;
    struct slice suffix = slice_skip(name, reader->family.len);
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        if (slice_equal(counters[i].type, reader->family_type) &&
            slice_equal(counters[i].suffix, suffix))
            return OPENMETRICS_COUNTER;
    return OPENMETRICS_GAUGE;
}

/* --- the parts of a sample --- */

static bool is_name_byte(char c, bool metric)
{
    return isalnum((unsigned char)c) || c == '_' || (metric && (c == ':' || c == '.'));
}

static struct slice cut_name(struct slice *line, bool metric)
{
    size_t len = 0;
    if (line->len && isdigit((unsigned char)line->at[0]))
        return SLICE("");
    while (len < line->len && is_name_byte(line->at[len], metric))
        len++;
    struct slice name = slice_head(*line, len);
    *line = slice_skip(*line, len);
    return name;
}

/* "text" with \\ \" \n; the value is copied only if it has escapes. */
static enum openmetrics_reject cut_quoted(struct slice *line, struct arena *arena,
                                          struct slice *out)
{
    size_t end = 1, used = 0;
    if (line->len == 0 || line->at[0] != '"')
        return OPENMETRICS_BAD_LABELS;
    while (end < line->len && line->at[end] != '"')
        end += line->at[end] == '\\' ? 2 : 1;
    if (end >= line->len)
        return OPENMETRICS_BAD_LABELS;
    struct slice text = slice_make(line->at + 1, end - 1);
    *line = slice_skip(*line, end + 1);
    *out = text;
    if (text.len == 0 || !memchr(text.at, '\\', text.len))
        return OPENMETRICS_OK;
    char *at = arena_alloc(arena, text.len);
    if (!at)
        return OPENMETRICS_NO_MEMORY;
    for (size_t i = 0; i < text.len; i++) {
        bool escape = text.at[i] == '\\' && i + 1 < text.len;
        char next = escape ? text.at[i + 1] : 0;
        if (escape && (next == '\\' || next == '"' || next == 'n')) {
            at[used++] = next == 'n' ? '\n' : next;
            i++;
        } else {
            at[used++] = text.at[i];
        }
    }
    *out = slice_make(at, used);
    return OPENMETRICS_OK;
}

struct pairs {
    struct label at[LABELS_MAX];
    size_t count;
    bool named;
};

static enum openmetrics_reject add_pair(struct pairs *pairs, struct slice name, struct slice value)
{
    for (size_t i = 0; i < pairs->count; i++)
        if (slice_equal(pairs->at[i].name, name))
            return OPENMETRICS_BAD_LABELS;
    if (value.len == 0)
        return OPENMETRICS_OK; /* the same as no label */
    if (pairs->count == LABELS_MAX)
        return OPENMETRICS_MANY_LABELS;
    pairs->at[pairs->count++] = (struct label){name, value};
    return OPENMETRICS_OK;
}

static enum openmetrics_reject add_name(struct pairs *pairs, struct slice name)
{
    if (pairs->named || name.len == 0)
        return OPENMETRICS_BAD_NAME;
    pairs->named = true;
    return add_pair(pairs, SLICE(LABEL_NAME), name);
}

/* name="value", or "metric name". */
static enum openmetrics_reject cut_pair(struct slice *line, struct arena *arena,
                                        struct pairs *pairs)
{
    struct slice name, value;
    enum openmetrics_reject reject;
    bool quoted = line->len && line->at[0] == '"';
    if (quoted) {
        reject = cut_quoted(line, arena, &name);
        if (reject != OPENMETRICS_OK)
            return reject;
    } else {
        name = cut_name(line, false);
    }
    skip_blank(line);
    if (quoted && line->len && (line->at[0] == ',' || line->at[0] == '}'))
        return add_name(pairs, name);
    if (name.len == 0 || line->len == 0 || line->at[0] != '=')
        return OPENMETRICS_BAD_LABELS;
    *line = slice_skip(*line, 1);
    skip_blank(line);
    reject = cut_quoted(line, arena, &value);
    return reject == OPENMETRICS_OK ? add_pair(pairs, name, value) : reject;
}

/* Behind the opening brace, up to and including the closing one. */
static enum openmetrics_reject cut_labels(struct slice *line, struct arena *arena,
                                          struct pairs *pairs)
{
    for (;;) {
        skip_blank(line);
        if (line->len && line->at[0] == '}') {
            *line = slice_skip(*line, 1);
            return OPENMETRICS_OK;
        }
        enum openmetrics_reject reject = cut_pair(line, arena, pairs);
        if (reject != OPENMETRICS_OK)
            return reject;
        skip_blank(line);
        if (line->len && line->at[0] == ',')
            *line = slice_skip(*line, 1);
        else if (line->len == 0 || line->at[0] != '}')
            return OPENMETRICS_BAD_LABELS;
    }
}

static bool read_value(struct slice word, double *out)
{
    bool negative = word.len && word.at[0] == '-';
    if (slice_to_double(word, out))
        return true;
    if (slice_equal_nocase(word, SLICE("nan"))) {
        *out = NAN;
        return true;
    }
    if (word.len && (word.at[0] == '+' || word.at[0] == '-'))
        word = slice_skip(word, 1);
    if (!slice_equal_nocase(word, SLICE("inf")) && !slice_equal_nocase(word, SLICE("infinity")))
        return false;
    *out = negative ? -INFINITY : INFINITY;
    return true;
}

static bool read_time(enum openmetrics_dialect dialect, struct slice word, int64_t *out_ms)
{
    double number;
    if (dialect == OPENMETRICS_TEXT)
        return slice_to_i64(word, out_ms) && *out_ms >= -TIME_MS_MAX && *out_ms <= TIME_MS_MAX;
    if (!slice_to_double(word, &number) || fabs(number) > (double)TIME_MS_MAX / 1000)
        return false;
    *out_ms = (int64_t)llround(number * 1000);
    return true;
}

/* Behind the labels: value [time] [# exemplar] */
static enum openmetrics_reject read_point(enum openmetrics_dialect dialect, struct slice line,
                                          struct openmetrics_sample *out)
{
    if (!read_value(cut_word(&line), &out->value))
        return OPENMETRICS_BAD_VALUE;
    skip_blank(&line);
    out->has_time = line.len && line.at[0] != '#';
    if (out->has_time && !read_time(dialect, cut_word(&line), &out->time_ms))
        return OPENMETRICS_BAD_TIME;
    skip_blank(&line);
    return line.len == 0 || line.at[0] == '#' ? OPENMETRICS_OK : OPENMETRICS_TRAILING;
}

static enum openmetrics_reject read_sample(const struct openmetrics *reader, struct slice line,
                                           struct arena *arena, struct openmetrics_sample *out)
{
    struct pairs pairs = {.count = 0};
    enum openmetrics_reject reject = OPENMETRICS_OK;
    *out = (struct openmetrics_sample){.type = OPENMETRICS_GAUGE};
    if (line.at[0] != '{')
        reject = add_name(&pairs, cut_name(&line, true));
    if (reject == OPENMETRICS_OK && line.len && line.at[0] == '{') {
        line = slice_skip(line, 1);
        reject = cut_labels(&line, arena, &pairs);
    }
    if (reject != OPENMETRICS_OK)
        return reject;
    if (!pairs.named)
        return OPENMETRICS_BAD_NAME;
    reject = read_point(reader->dialect, line, out);
    if (reject != OPENMETRICS_OK)
        return reject;
    labels_sort(pairs.at, pairs.count);
    struct label *at = arena_alloc(arena, pairs.count * sizeof *at);
    if (!at)
        return OPENMETRICS_NO_MEMORY;
    memcpy(at, pairs.at, pairs.count * sizeof *at);
    out->labels = (struct labels){at, pairs.count};
    out->type = type_of(reader, labels_get(out->labels, SLICE(LABEL_NAME)));
    return OPENMETRICS_OK;
}

bool openmetrics_next(struct openmetrics *reader, struct arena *arena,
                      struct openmetrics_sample *out, enum openmetrics_reject *reject)
{
    while (reader->rest.len) {
        struct slice line;
        slice_cut(&reader->rest, '\n', &line);
        reader->line++;
        line = slice_trim(line);
        if (line.len == 0)
            continue;
        if (line.len > OPENMETRICS_LINE_MAX) {
            *reject = OPENMETRICS_LONG_LINE;
            return true;
        }
        if (line.at[0] == '#') {
            read_comment(reader, line);
            continue;
        }
        *reject = read_sample(reader, line, arena, out);
        return true;
    }
    return false;
}
