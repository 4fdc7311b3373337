/* jsonline: see the header.
 *
 *   {"metric":{..},"type":"..","values":[..],"timestamps":[..]}
 *             ^^^^        ^^            ^^^^              ^^^^
 *             labels      kind          values, or        times
 *                                       "histograms", and "sketches" beside values of a set
 *
 * A line is taken whole or refused whole. Doubles are printed with the fewest digits that read back
 * equal, so what is exported and imported again is the same bit for bit.
 */
#include "server/wire/jsonline.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/base/number.h"
#include "storage/code/column.h"
#include "storage/key.h"

#define LABEL_BYTES_MAX 65536 /* all names and values of a series */
#define PLAIN_MAX       1e15  /* larger numbers are printed with an exponent */
#define NAN_BITS        0x7ff8000000000000ull

static const struct slice kinds[] = {
    [SERIES_COUNTER] = SLICE_LIT("counter"),
    [SERIES_GAUGE] = SLICE_LIT("gauge"),
    [SERIES_HISTOGRAM] = SLICE_LIT("histogram"),
    [SERIES_SET] = SLICE_LIT("set"),
};

bool jsonline_starts(struct slice text)
{
    text = slice_trim(text);
    if (text.len < 2 || text.at[0] != '{')
        return false;
    text = slice_trim(slice_skip(text, 1));
    const char *quote =
        text.len && text.at[0] == '"' ? memchr(text.at + 1, '"', text.len - 1) : NULL;
    if (!quote)
        return false;
    text = slice_trim(slice_skip(text, (size_t)(quote + 1 - text.at)));
    return text.len && text.at[0] == ':';
}

/* --- reading --- */

struct parsing {
    struct arena *arena;
    struct jsonline *out;
    struct error *err;
};

static enum jsonline_reject refuse(const struct parsing *p, enum jsonline_reject reject,
                                   const char *sentence)
{
    error_set(p->err, ERROR_BAD_DATA, "%s", sentence);
    return reject;
}

static enum jsonline_reject no_memory(const struct parsing *p)
{
    return refuse(p, JSONLINE_NO_MEMORY,
                  "the line needs more than limits.query_memory; write it as several shorter ones");
}

static enum jsonline_reject read_labels(const struct parsing *p, struct json metric)
{
    size_t count = json_count(metric), bytes = 0, used = 0;
    struct label at[LABELS_MAX];
    if (json_type(metric) != JSON_OBJECT || count == 0)
        return refuse(p, JSONLINE_BAD_LABELS, "\"metric\" must be an object of labels");
    if (count > LABELS_MAX)
        return refuse(p, JSONLINE_BAD_LABELS, "\"metric\" has too many labels");
    for (struct json_iterator it = json_iterate(metric); json_next(&it);) {
        struct label label = {.name = it.key};
        if (!json_string(it.value, &label.value) || label.name.len == 0)
            return refuse(p, JSONLINE_BAD_LABELS, "a label's name or value is no string");
        bytes += label.name.len + label.value.len;
        if (label.value.len) /* an empty label is none */
            at[used++] = label;
    }
    labels_sort(at, used);
    for (size_t i = 1; i < used; i++)
        if (slice_equal(at[i].name, at[i - 1].name))
            return refuse(p, JSONLINE_BAD_LABELS, "\"metric\" has a label twice");
    if (used == 0 || bytes > LABEL_BYTES_MAX)
        return refuse(p, JSONLINE_BAD_LABELS, "the labels are empty, or longer than 64 KiB");
    p->out->labels = labels_copy(p->arena, (struct labels){at, used});
    return p->out->labels.at ? JSONLINE_OK : no_memory(p);
}

static enum jsonline_reject read_kind(const struct parsing *p, struct json type, bool histograms)
{
    struct slice name;
    p->out->kind = histograms ? SERIES_HISTOGRAM : SERIES_GAUGE;
    if (json_type(type) == JSON_NONE)
        return JSONLINE_OK;
    if (!json_string(type, &name))
        return refuse(p, JSONLINE_BAD_TYPE, "\"type\" must be a string");
    for (size_t i = SERIES_COUNTER; i < sizeof kinds / sizeof kinds[0]; i++)
        if (slice_equal(name, kinds[i]) && (i == SERIES_HISTOGRAM) == histograms) {
            p->out->kind = (enum series_kind)i;
            return JSONLINE_OK;
        }
    return refuse(p, JSONLINE_BAD_TYPE,
                  "\"type\" must be counter, gauge or set, or histogram where there are "
                  "\"histograms\"");
}

/* 16 hexadecimal digits. */
static bool read_bits(struct slice text, double *out)
{
    uint64_t bits = 0;
    if (text.len != 16)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        int c = tolower((unsigned char)text.at[i]);
        if (!isxdigit(c))
            return false;
        bits = bits << 4 | (uint64_t)(isdigit(c) ? c - '0' : c - 'a' + 10);
    }
    *out = double_of_bits(bits);
    return isnan(*out);
}

static bool read_word(struct slice word, double *out)
{
    if (slice_starts_with(word, SLICE("NaN:")))
        return read_bits(slice_skip(word, 4), out);
    if (slice_equal_nocase(word, SLICE("StaleNaN"))) {
        *out = stale_nan();
        return true;
    }
    bool minus = word.len && word.at[0] == '-';
    if (minus || (word.len && word.at[0] == '+'))
        word = slice_skip(word, 1);
    *out = minus ? -INFINITY : INFINITY;
    if (slice_equal_nocase(word, SLICE("inf")) || slice_equal_nocase(word, SLICE("infinity")))
        return true;
    *out = double_of_bits(NAN_BITS);
    return !minus && slice_equal_nocase(word, SLICE("nan"));
}

static bool read_value(struct json value, double *out)
{
    struct slice word;
    if (json_number(value, out))
        return true;
    if (json_string(value, &word))
        return read_word(word, out);
    *out = double_of_bits(NAN_BITS);
    return json_type(value) == JSON_NULL;
}

static enum jsonline_reject read_values(const struct parsing *p, struct json list)
{
    size_t count = json_count(list), i = 0;
    double *values = arena_alloc(p->arena, count * sizeof *values);
    if (!values)
        return no_memory(p);
    for (struct json_iterator it = json_iterate(list); json_next(&it);)
        if (!read_value(it.value, &values[i++]))
            return refuse(p, JSONLINE_BAD_VALUE,
                          "a value is no number; use null, \"NaN:\" and 16 hex digits, "
                          "\"StaleNaN\", \"Infinity\" or \"-Infinity\" for what JSON lacks");
    p->out->column.values = values;
    p->out->column.count = count;
    return JSONLINE_OK;
}

static enum jsonline_reject read_times(const struct parsing *p, struct json list)
{
    size_t count = json_count(list), i = 0;
    int64_t *times = arena_alloc(p->arena, count * sizeof *times);
    if (json_type(list) != JSON_ARRAY || count != p->out->column.count)
        return refuse(p, JSONLINE_BAD_TIME, "\"timestamps\" must be a list as long as the values");
    if (!times)
        return no_memory(p);
    for (struct json_iterator it = json_iterate(list); json_next(&it); i++)
        if (!json_int(it.value, &times[i]) || times[i] < 0 || times[i] > TIME_MS_MAX)
            return refuse(p, JSONLINE_BAD_TIME,
                          "a timestamp is no whole number of milliseconds since 1970");
    p->out->column.times = times;
    return JSONLINE_OK;
}

static bool read_side(struct arena *arena, struct json list, struct histogram_side *out)
{
    size_t count = json_count(list);
    int64_t last = (int64_t)INT32_MIN - 1;
    if (json_type(list) == JSON_NONE || (json_type(list) == JSON_ARRAY && count == 0))
        return true;
    if (json_type(list) != JSON_ARRAY || count > HISTOGRAM_BUCKETS_MAX)
        return false;
    out->at = arena_alloc(arena, count * sizeof *out->at);
    if (!out->at)
        return false;
    for (struct json_iterator it = json_iterate(list); json_next(&it);) {
        struct json_iterator pair = json_iterate(it.value);
        struct histogram_bucket *bucket = &out->at[out->count];
        int64_t index;
        if (json_count(it.value) != 2 || !json_next(&pair) || !json_int(pair.value, &index) ||
            index <= last || index > INT32_MAX || !json_next(&pair) ||
            !json_number(pair.value, &bucket->count) || bucket->count < 0)
            return false;
        bucket->index = (int32_t)index;
        last = index;
        out->count += bucket->count > 0; /* an empty one is none */
    }
    return true;
}

/* NULL: it is none, or the arena is exhausted. */
static const struct histogram *read_histogram(struct arena *arena, struct json value)
{
    struct histogram *histogram = arena_zeroed(arena, 1, sizeof *histogram);
    if (!histogram || json_type(value) != JSON_OBJECT)
        return NULL;
    const struct {
        const char *key;
        double *out;
    } numbers[] = {{"zero_threshold", &histogram->zero_threshold},
                   {"zero_count", &histogram->zero_count},
                   {"count", &histogram->count},
                   {"sum", &histogram->sum},
                   {"min", &histogram->min},
                   {"max", &histogram->max}};
    int64_t schema;
    if (!json_int(json_get(value, "schema"), &schema) || schema < HISTOGRAM_SCHEMA_MIN ||
        schema > HISTOGRAM_SCHEMA_MAX)
        return NULL;
    histogram->schema = (int)schema;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (!read_value(json_get(value, numbers[i].key), numbers[i].out))
            return NULL;
    return read_side(arena, json_get(value, "positive"), &histogram->positive) &&
                   read_side(arena, json_get(value, "negative"), &histogram->negative)
               ? histogram
               : NULL;
}

static enum jsonline_reject read_histograms(const struct parsing *p, struct json list)
{
    size_t count = json_count(list), i = 0;
    const struct histogram **at = arena_zeroed(p->arena, count, sizeof *at);
    if (!at)
        return no_memory(p);
    for (struct json_iterator it = json_iterate(list); json_next(&it); i++) {
        struct slice word;
        if (json_string(it.value, &word) && slice_equal_nocase(word, SLICE("StaleNaN")))
            continue;
        at[i] = read_histogram(p->arena, it.value);
        if (p->arena->exhausted)
            return no_memory(p);
        if (!at[i])
            return refuse(p, JSONLINE_BAD_HISTOGRAM,
                          "a histogram must be \"StaleNaN\", or an object with schema (-4 to 8), "
                          "zero_threshold, zero_count, count, sum, min, max, and positive and "
                          "negative as lists of [index, count >= 0] in order");
    }
    p->out->column.histograms = at;
    p->out->column.count = count;
    return JSONLINE_OK;
}

static int hex_digit(char c)
{
    return isdigit((unsigned char)c)         ? c - '0'
           : isxdigit((unsigned char)c) != 0 ? tolower((unsigned char)c) - 'a' + 10
                                             : -1;
}

/* A code, or nothing for null. False: it is none, or the arena is exhausted. */
static bool read_sketch(struct arena *arena, struct json value, struct slice *out)
{
    struct slice text;
    struct sketch sketch;
    *out = SLICE("");
    if (json_type(value) == JSON_NULL)
        return true;
    if (!json_string(value, &text) || text.len % 2 || text.len / 2 > SKETCH_CODE_MAX)
        return false;
    char *code = arena_alloc(arena, text.len / 2);
    for (size_t i = 0; code && i < text.len; i += 2) {
        int high = hex_digit(text.at[i]), low = hex_digit(text.at[i + 1]);
        if (high < 0 || low < 0)
            return false;
        code[i / 2] = (char)(high << 4 | low);
    }
    *out = slice_make(code, code ? text.len / 2 : 0);
    sketch_init(&sketch);
    bool sound = code && sketch_merge_code(&sketch, *out);
    sketch_release(&sketch);
    return sound;
}

static enum jsonline_reject read_sketches(const struct parsing *p, struct json list)
{
    size_t count = json_count(list), i = 0;
    struct slice *at = arena_alloc(p->arena, count * sizeof *at);
    if (json_type(list) == JSON_NONE)
        return JSONLINE_OK;
    if (json_type(list) != JSON_ARRAY || p->out->kind != SERIES_SET ||
        count != p->out->column.count)
        return refuse(p, JSONLINE_BAD_SKETCH,
                      "\"sketches\" must be a list as long as the values of a set");
    for (struct json_iterator it = json_iterate(list); at && json_next(&it);)
        if (!read_sketch(p->arena, it.value, &at[i++]))
            return p->arena->exhausted
                       ? no_memory(p)
                       : refuse(p, JSONLINE_BAD_SKETCH,
                                "a sketch must be null or the hexadecimal digits of its code");
    p->out->column.sketches = at;
    return at ? JSONLINE_OK : no_memory(p);
}

enum jsonline_reject jsonline_parse(struct json_parser *parser, struct slice line,
                                    struct arena *arena, struct jsonline *out, struct error *err)
{
    struct parsing p = {arena, out, err};
    struct json all;
    *out = (struct jsonline){.kind = SERIES_GAUGE};
    if (json_parse(parser, line, &all, err))
        return JSONLINE_BAD_JSON;
    struct json values = json_get(all, "values"), histograms = json_get(all, "histograms");
    bool has_values = json_type(values) == JSON_ARRAY && json_count(values);
    bool has_histograms = json_type(histograms) == JSON_ARRAY && json_count(histograms);
    if (has_values == has_histograms)
        return refuse(&p, JSONLINE_BAD_VALUE, "the line needs \"values\" or \"histograms\"");
    enum jsonline_reject reject = read_labels(&p, json_get(all, "metric"));
    if (!reject)
        reject = read_kind(&p, json_get(all, "type"), has_histograms);
    if (!reject)
        reject = has_values ? read_values(&p, values) : read_histograms(&p, histograms);
    if (!reject)
        reject = read_sketches(&p, json_get(all, "sketches"));
    return reject ? reject : read_times(&p, json_get(all, "timestamps"));
}

/* --- printing --- */

static void print_word(double value, struct buffer *out)
{
    uint64_t bits = double_bits(value);
    if (isinf(value))
        buffer_append_string(out, value < 0 ? "\"-Infinity\"" : "\"Infinity\"");
    else if (bits == STALE_NAN_BITS)
        buffer_append_string(out, "\"StaleNaN\"");
    else if (bits == NAN_BITS)
        buffer_append_string(out, "null");
    else
        buffer_append_format(out, "\"NaN:%016llx\"", (unsigned long long)bits);
}

/* d.ddde+dd: readers may take long whole numbers for integers, and stumble. */
static void print_exponent(double value, struct buffer *out)
{
    char digits[NUMBER_DIGITS_MAX];
    int exponent;
    size_t count = number_digits(fabs(value), digits, &exponent);
    buffer_append_string(out, value < 0 ? "-" : "");
    buffer_append_char(out, digits[0]);
    if (count > 1)
        buffer_append_char(out, '.');
    buffer_append(out, digits + 1, count - 1);
    buffer_append_format(out, "e%d", exponent);
}

static void print_value(double value, struct buffer *out)
{
    if (!isfinite(value))
        print_word(value, out);
    else if (value == 0)
        buffer_append_string(out, signbit(value) ? "-0.0" : "0");
    else if (fabs(value) >= PLAIN_MAX)
        print_exponent(value, out);
    else
        number_print(value, NUMBER_API, out);
}

static void print_side(const char *name, const struct histogram_side *side, struct buffer *out)
{
    buffer_append_format(out, ",\"%s\":[", name);
    for (size_t i = 0; i < side->count; i++) {
        buffer_append_format(out, "%s[%d,", i ? "," : "", side->at[i].index);
        print_value(side->at[i].count, out);
        buffer_append_char(out, ']');
    }
    buffer_append_char(out, ']');
}

static void print_histogram(const struct histogram *histogram, struct buffer *out)
{
    if (!histogram) {
        buffer_append_string(out, "\"StaleNaN\"");
        return;
    }
    const struct {
        const char *key;
        double value;
    } numbers[] = {{"zero_threshold", histogram->zero_threshold},
                   {"zero_count", histogram->zero_count},
                   {"count", histogram->count},
                   {"sum", histogram->sum},
                   {"min", histogram->min},
                   {"max", histogram->max}};
    buffer_append_format(out, "{\"schema\":%d", histogram->schema);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        buffer_append_format(out, ",\"%s\":", numbers[i].key);
        print_value(numbers[i].value, out);
    }
    print_side("positive", &histogram->positive, out);
    print_side("negative", &histogram->negative, out);
    buffer_append_char(out, '}');
}

static void print_sketches(const struct store_column *column, struct buffer *out)
{
    static const char digits[] = "0123456789abcdef";
    buffer_append_string(out, "],\"sketches\":[");
    for (size_t i = 0; i < column->count; i++) {
        struct slice code = column->sketches[i];
        buffer_append_string(out, i ? "," : "");
        buffer_append_string(out, code.len ? "\"" : "null");
        for (size_t k = 0; k < code.len; k++) {
            buffer_append_char(out, digits[(unsigned char)code.at[k] >> 4]);
            buffer_append_char(out, digits[code.at[k] & 15]);
        }
        buffer_append_string(out, code.len ? "\"" : "");
    }
}

static bool any_sketch(const struct store_column *column)
{
    for (size_t i = 0; column->sketches && i < column->count; i++)
        if (column->sketches[i].len)
            return true;
    return false;
}

void jsonline_print(const struct jsonline *line, struct buffer *out)
{
    const struct store_column *column = &line->column;
    buffer_append_string(out, "{\"metric\":");
    labels_print_json(line->labels, out);
    buffer_append_format(out, ",\"type\":\"" SLICE_FMT "\",\"%s\":[", SLICE_ARG(kinds[line->kind]),
                         column->histograms ? "histograms" : "values");
    for (size_t i = 0; i < column->count; i++) {
        if (i)
            buffer_append_char(out, ',');
        if (column->histograms)
            print_histogram(column->histograms[i], out);
        else
            print_value(column->values[i], out);
    }
    if (any_sketch(column))
        print_sketches(column, out);
    buffer_append_string(out, "],\"timestamps\":[");
    for (size_t i = 0; i < column->count; i++) {
        if (i)
            buffer_append_char(out, ',');
        number_print_integer((uint64_t)column->times[i], out);
    }
    buffer_append_string(out, "]}\n");
}
