/* influx: see the header.
 *
 *   disk\ io,host=web-1,path=/var used=17.25,free=3i,full=f,note="a b" 1656581400000000000
 *   ^^^^^^^^ ^^^^^^^^^^^^^^^^^^^^ ^^^^^^^^^^ ^^^^^^^ ^^^^^^ ^^^^^^^^^^ ^^^^^^^^^^^^^^^^^^^
 *   measurement  tags            a number   integer bool   a string   time, or none: now
 *
 *   -> disk_io_used{host="web-1", path="/var"} 17.25, disk_io_free{...} 3, disk_io_full{...} 0
 *
 * A backslash that stands before one of the bytes that would end a word makes it part of the word; before
 * any other byte it is itself. A line is taken whole or not at all.
 */
#include "server/wire/influx.h"

#include "server/wire/statsd.h"

static const char *const reject_texts[INFLUX_REJECT_COUNT] = {
    [INFLUX_OK] = "fine",
    [INFLUX_TOO_LONG] = "the line is longer than 65536 bytes",
    [INFLUX_NO_MEASUREMENT] = "missing measurement",
    [INFLUX_BAD_TAG] = "every tag must look like key=value, neither of them empty",
    [INFLUX_DUPLICATE_TAG] = "duplicate tags",
    [INFLUX_MANY_TAGS] = "a line may have at most 62 tags",
    [INFLUX_NO_FIELDS] = "missing fields",
    [INFLUX_BAD_FIELD] = "every field must look like key=value, neither of them empty",
    [INFLUX_MANY_FIELDS] = "a line may have at most 1024 fields",
    [INFLUX_BAD_VALUE] = "a field's value must be a number, 1i, 1u, true, false or \"text\"",
    [INFLUX_OPEN_STRING] = "unbalanced quotes",
    [INFLUX_BAD_TIME] = "bad timestamp: it must be a whole number in the precision of the request",
    [INFLUX_NO_MEMORY] = "the body has too many samples for the memory allowed",
};

const char *influx_reject_text(enum influx_reject reject)
{
    return reject_texts[reject];
}

bool influx_find_precision(struct slice word, enum influx_precision *out)
{
    static const struct {
        struct slice word;
        enum influx_precision precision;
    } words[] = {
        {SLICE_LIT("ns"), INFLUX_NS}, {SLICE_LIT("n"), INFLUX_NS},  {SLICE_LIT("us"), INFLUX_US},
        {SLICE_LIT("u"), INFLUX_US},  {SLICE_LIT("ms"), INFLUX_MS}, {SLICE_LIT("s"), INFLUX_S},
        {SLICE_LIT("m"), INFLUX_M},   {SLICE_LIT("h"), INFLUX_H},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (slice_equal(words[i].word, word)) {
            *out = words[i].precision;
            return true;
        }
    return false;
}

/* --- lines --- */

/* Behind the quote that closes the string whose first byte is text.at[from]; 0: none does, within a
 * line's length. */
static size_t string_end(struct slice text, size_t from)
{
    size_t max = text.len < INFLUX_LINE_MAX ? text.len : INFLUX_LINE_MAX;
    for (size_t i = from; i < max; i++) {
        if (text.at[i] == '\\')
            i++;
        else if (text.at[i] == '"')
            return i + 1;
    }
    return 0;
}

/* The line feed that ends the first line, or the end. A string begins behind the `=` of a field. */
static size_t line_end(struct slice text)
{
    bool fields = false;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '\n')
            return i;
        if (c == '\\' && i + 1 < text.len && text.at[i + 1] != '\n')
            i++;
        else if (c == ' ')
            fields = true;
        else if (c == '"' && fields && text.at[i - 1] == '=') {
            size_t end = string_end(text, i + 1);
            i = end ? end - 1 : i;
        }
    }
    return text.len;
}

bool influx_cut_line(struct influx_lines *lines, struct slice *line)
{
    while (lines->rest.len) {
        struct slice within, raw = slice_head(lines->rest, line_end(lines->rest));
        if (lines->rest.at[0] == '#') /* a comment ends where its line does, whatever it quotes */
            slice_cut(&lines->rest, '\n', &raw);
        else
            lines->rest = slice_skip(lines->rest, raw.len + 1);
        *line = slice_trim(raw);
        lines->number = ++lines->read;
        while (slice_cut(&raw, '\n', &within))
            lines->read++;
        if (line->len && line->at[0] != '#')
            return true;
    }
    return false;
}

/* --- words --- */

static bool is_one_of(char c, struct slice set)
{
    return set.len && memchr(set.at, c, set.len);
}

/* Without the backslashes that made bytes of `special` part of the word. */
static struct slice unescape(struct slice word, struct slice special, struct arena *arena)
{
    char *at = arena_alloc(arena, word.len);
    size_t len = 0;
    if (!at)
        return (struct slice){NULL, 0};
    for (size_t i = 0; i < word.len; i++) {
        bool escape = word.at[i] == '\\' && i + 1 < word.len && is_one_of(word.at[i + 1], special);
        at[len++] = word.at[i += escape];
    }
    return slice_make(at, len);
}

/* Up to the first byte of `stops`, which stays, that no backslash stands before. */
static struct slice cut_word(struct slice *line, struct slice stops, struct slice special,
                             struct arena *arena)
{
    size_t len = 0;
    bool escaped = false;
    while (len < line->len && !is_one_of(line->at[len], stops)) {
        bool escape =
            line->at[len] == '\\' && len + 1 < line->len && is_one_of(line->at[len + 1], special);
        escaped |= escape;
        len += escape ? 2 : 1;
    }
    struct slice word = slice_head(*line, len);
    *line = slice_skip(*line, len);
    return escaped ? unescape(word, special, arena) : word;
}

static struct slice cut_key(struct slice *line, struct arena *arena)
{
    return cut_word(line, SLICE(",= "), SLICE(",= "), arena);
}

static bool cut_byte(struct slice *line, char byte)
{
    if (line->len == 0 || line->at[0] != byte)
        return false;
    *line = slice_skip(*line, 1);
    return true;
}

static void skip_spaces(struct slice *line)
{
    while (cut_byte(line, ' '))
        continue;
}

/* --- tags --- */

/* The labels of a line while it is read. Of each series' label set one is its name. */
struct reading {
    const struct influx_options *options;
    struct arena *arena;
    struct slice measurement;
    struct label labels[LABELS_MAX];
    size_t count;
};

static bool has_label(const struct reading *reading, struct slice name)
{
    return labels_get((struct labels){reading->labels, reading->count}, name).len;
}

static enum influx_reject read_tag(struct slice *line, struct reading *reading)
{
    struct slice key = cut_key(line, reading->arena);
    if (key.len == 0 || !cut_byte(line, '='))
        return INFLUX_BAD_TAG;
    struct slice value = cut_word(line, SLICE(", "), SLICE(",= "), reading->arena);
    if (value.len == 0)
        return INFLUX_BAD_TAG;
    key = statsd_clean(key, false, reading->arena);
    if (slice_starts_with(key, SLICE("__")))
        key = arena_format(reading->arena, "exported" SLICE_FMT, SLICE_ARG(key));
    if (has_label(reading, key))
        return INFLUX_DUPLICATE_TAG;
    if (reading->count == LABELS_MAX - 2) /* the name and the extra one have room */
        return INFLUX_MANY_TAGS;
    reading->labels[reading->count++] =
        (struct label){key, statsd_clean(value, true, reading->arena)};
    return INFLUX_OK;
}

/* The measurement and its tags; a place for the name is among the labels, which are sorted. */
static enum influx_reject read_head(struct slice *line, struct reading *reading)
{
    struct label extra = reading->options->extra;
    struct slice measurement = cut_word(line, SLICE(", "), SLICE(", "), reading->arena);
    if (measurement.len == 0)
        return INFLUX_NO_MEASUREMENT;
    reading->measurement = statsd_clean(measurement, false, reading->arena);
    while (cut_byte(line, ',')) {
        enum influx_reject reject = read_tag(line, reading);
        if (reject)
            return reject;
    }
    if (extra.value.len && !has_label(reading, extra.name))
        reading->labels[reading->count++] = extra;
    reading->labels[reading->count++] = (struct label){SLICE(LABEL_NAME), reading->measurement};
    labels_sort(reading->labels, reading->count);
    return INFLUX_OK;
}

/* --- fields --- */

/* False for a word that is no number and no boolean. */
static bool read_value(struct slice word, double *out)
{
    static const struct slice truths[] = {
        SLICE_LIT("f"), SLICE_LIT("F"), SLICE_LIT("false"), SLICE_LIT("False"), SLICE_LIT("FALSE"),
        SLICE_LIT("t"), SLICE_LIT("T"), SLICE_LIT("true"),  SLICE_LIT("True"),  SLICE_LIT("TRUE"),
    };
    const size_t truth_count = sizeof truths / sizeof truths[0];
    struct slice digits = slice_head(word, word.len - 1);
    char kind = word.at[word.len - 1];
    int64_t whole;
    uint64_t natural;
    for (size_t i = 0; i < truth_count; i++)
        if (slice_equal(word, truths[i])) {
            *out = i >= truth_count / 2;
            return true;
        }
    if (kind == 'i' && slice_to_i64(digits, &whole))
        *out = (double)whole;
    else if (kind == 'u' && slice_to_u64(digits, &natural))
        *out = (double)natural;
    else
        return kind != 'i' && kind != 'u' && slice_to_double(word, out);
    return true;
}

/* The labels of a field's series. */
static struct labels name_series(const struct reading *reading, struct slice field)
{
    struct label *at = arena_alloc(reading->arena, reading->count * sizeof *at);
    if (!at)
        return (struct labels){NULL, 0};
    for (size_t i = 0; i < reading->count; i++) {
        at[i] = reading->labels[i];
        if (slice_equal(at[i].name, SLICE(LABEL_NAME)))
            at[i].value = arena_format(reading->arena, SLICE_FMT "_" SLICE_FMT,
                                       SLICE_ARG(reading->measurement), SLICE_ARG(field));
    }
    return (struct labels){at, reading->count};
}

static enum influx_reject read_field(struct slice *line, const struct reading *reading,
                                     struct timed_line *out)
{
    struct timed_sample *sample = &out->samples[out->count];
    struct slice key = cut_key(line, reading->arena);
    if (key.len == 0 || !cut_byte(line, '='))
        return INFLUX_BAD_FIELD;
    if (line->len && line->at[0] == '"') {
        size_t end = string_end(*line, 1);
        out->unsupported++;
        *line = slice_skip(*line, end);
        return end ? INFLUX_OK : INFLUX_OPEN_STRING;
    }
    struct slice word = cut_word(line, SLICE(", "), SLICE(""), reading->arena);
    if (word.len == 0)
        return INFLUX_BAD_FIELD;
    if (!read_value(word, &sample->value))
        return INFLUX_BAD_VALUE;
    sample->labels = name_series(reading, statsd_clean(key, false, reading->arena));
    out->count++;
    return INFLUX_OK;
}

static size_t count_commas(struct slice text)
{
    size_t commas = 0;
    for (size_t i = 0; i < text.len; i++)
        commas += text.at[i] == ',';
    return commas;
}

static enum influx_reject read_fields(struct slice *line, const struct reading *reading,
                                      struct timed_line *out)
{
    size_t room = 1 + count_commas(*line);
    if (room > INFLUX_FIELDS_MAX)
        room = INFLUX_FIELDS_MAX;
    *out = (struct timed_line){.samples = arena_alloc(reading->arena, room * sizeof *out->samples)};
    if (!out->samples)
        return INFLUX_NO_MEMORY;
    do {
        if (out->count == room)
            return INFLUX_MANY_FIELDS;
        enum influx_reject reject = read_field(line, reading, out);
        if (reject)
            return reject;
    } while (cut_byte(line, ','));
    return line->len && line->at[0] != ' ' ? INFLUX_BAD_VALUE : INFLUX_OK;
}

/* --- times --- */

/* Floors, so that readings stay in order. */
static bool to_ms(int64_t time, enum influx_precision precision, int64_t *out)
{
    static const int64_t per_ms[] = {[INFLUX_NS] = 1000000, [INFLUX_US] = 1000};
    static const int64_t ms_per[] = {
        [INFLUX_MS] = 1, [INFLUX_S] = 1000, [INFLUX_M] = 60000, [INFLUX_H] = 3600000};
    if (precision < INFLUX_MS) {
        int64_t unit = per_ms[precision];
        *out = time / unit - (time % unit < 0);
        return true;
    }
    return !__builtin_mul_overflow(time, ms_per[precision], out) && *out >= -TIMED_MS_MAX &&
           *out <= TIMED_MS_MAX;
}

static enum influx_reject read_time(struct slice text, enum influx_precision precision,
                                    struct timed_line *out)
{
    int64_t time;
    out->has_time = text.len > 0;
    if (text.len && (!slice_to_i64(text, &time) || !to_ms(time, precision, &out->time_ms)))
        return INFLUX_BAD_TIME;
    return INFLUX_OK;
}

static enum influx_reject read_line(struct slice line, struct reading *reading,
                                    struct timed_line *out)
{
    enum influx_reject reject = read_head(&line, reading);
    if (reject)
        return reject;
    skip_spaces(&line);
    if (line.len == 0)
        return INFLUX_NO_FIELDS;
    if ((reject = read_fields(&line, reading, out)))
        return reject;
    return read_time(slice_trim(line), reading->options->precision, out);
}

enum influx_reject influx_parse(struct slice line, const struct influx_options *options,
                                struct arena *arena, struct timed_line *out)
{
    struct reading reading = {.options = options, .arena = arena};
    if (line.len > INFLUX_LINE_MAX)
        return INFLUX_TOO_LONG;
    enum influx_reject reject = read_line(line, &reading, out);
    return arena->exhausted ? INFLUX_NO_MEMORY : reject;
}
