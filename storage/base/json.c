/* json: the writing half of json.h, and finding where a text stops being JSON.
 *
 * The library that parses says only that a text is broken. json_find_fault runs after such a
 * failure, so it may be slow: a plain recursive-descent walk that stops at the first byte the
 * grammar (RFC 8259) does not allow, for the error message.
 */
#include "storage/base/json.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

#include "storage/base/number.h"

#define WALK_DEPTH_MAX 64

size_t json_find_fault(struct slice text, const char **what);

/* --- finding a fault --- */

struct walk {
    struct slice text;
    size_t at;
    const char *what; /* set at the first fault */
};

static int peek(const struct walk *walk)
{
    return walk->at < walk->text.len ? (unsigned char)walk->text.at[walk->at] : -1;
}

static void skip_space(struct walk *walk)
{
    while (peek(walk) >= 0 && strchr(" \t\r\n", peek(walk)) && peek(walk) != 0)
        walk->at++;
}

static bool fault(struct walk *walk, const char *what)
{
    walk->what = peek(walk) < 0 ? "the text ends too early" : what;
    return false;
}

static bool walk_string(struct walk *walk)
{
    for (walk->at++; peek(walk) != '"'; walk->at++) {
        if (peek(walk) < 0x20)
            return fault(walk, "a control character in a string (escape it as \\u00XX)");
        if (peek(walk) != '\\')
            continue;
        walk->at++;
        if (peek(walk) < 0 || !strchr("\"\\/bfnrtu", peek(walk)))
            return fault(walk, "an unknown escape in a string");
    }
    walk->at++;
    return true;
}

static bool walk_word(struct walk *walk)
{
    static const char *const words[] = {"true", "false", "null"};
    struct slice rest = slice_skip(walk->text, walk->at);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (slice_starts_with(rest, slice_of_string(words[i]))) {
            walk->at += strlen(words[i]);
            return true;
        }
    }
    size_t len = 0;
    while (len < rest.len && rest.at[len] && strchr("+-.eE0123456789", rest.at[len]))
        len++;
    double number;
    if (!slice_to_double(slice_head(rest, len), &number))
        return fault(walk, "a value was expected");
    walk->at += len;
    return true;
}

static bool walk_value(struct walk *walk, unsigned depth);

static bool walk_members(struct walk *walk, unsigned depth, char close)
{
    walk->at++;
    skip_space(walk);
    if (peek(walk) == close) {
        walk->at++;
        return true;
    }
    for (;;) {
        skip_space(walk);
        if (close == '}') {
            if (peek(walk) != '"')
                return fault(walk, "a key in double quotes was expected");
            if (!walk_string(walk))
                return false;
            skip_space(walk);
            if (peek(walk) != ':')
                return fault(walk, "a colon was expected after the key");
            walk->at++;
        }
        if (!walk_value(walk, depth + 1))
            return false;
        skip_space(walk);
        if (peek(walk) == close) {
            walk->at++;
            return true;
        }
        if (peek(walk) != ',')
            return fault(walk,
                         close == '}' ? "a comma or } was expected" : "a comma or ] was expected");
        walk->at++;
    }
}

static bool walk_value(struct walk *walk, unsigned depth)
{
    if (depth > WALK_DEPTH_MAX) {
        walk->what = "nested too deeply";
        return false;
    }
    skip_space(walk);
    switch (peek(walk)) {
    case '{':
        return walk_members(walk, depth, '}');
    case '[':
        return walk_members(walk, depth, ']');
    case '"':
        return walk_string(walk);
    default:
        return walk_word(walk);
    }
}

/* Byte offset of the first fault; *what stays NULL when this walk sees none (bad UTF-8, say). */
size_t json_find_fault(struct slice text, const char **what)
{
    struct walk walk = {.text = text};
    if (walk_value(&walk, 0)) {
        skip_space(&walk);
        if (peek(&walk) >= 0)
            walk.what = "unexpected bytes after the value";
    }
    *what = walk.what;
    return walk.at;
}

/* --- reading helpers that need no library --- */

struct json json_path(struct json value, const char *const *keys)
{
    for (; *keys; keys++)
        value = json_get(value, *keys);
    return value;
}

/* --- writing --- */

static void append_escaped(struct buffer *out, unsigned char c)
{
    static const char from[] = "\"\\\b\f\n\r\t";
    static const char to[] = "\"\\bfnrt";
    const char *hit = c ? strchr(from, c) : NULL;
    if (hit)
        buffer_append_format(out, "\\%c", to[hit - from]);
    else
        buffer_append_format(out, "\\u%04x", c);
}

void json_append_quoted(struct buffer *out, struct slice value)
{
    size_t plain = 0; /* bytes at the front of value that go out as they are */
    buffer_append_char(out, '"');
    while (plain < value.len) {
        unsigned char c = (unsigned char)value.at[plain];
        bool escape = c < 0x20 || c == '"' || c == '\\';
        size_t len = escape ? 0 : c < 0x80 ? 1 : slice_utf8_length(slice_skip(value, plain));
        if (len) {
            plain += len;
            continue;
        }
        buffer_append(out, value.at, plain);
        if (escape)
            append_escaped(out, c);
        else
            buffer_append_string(out, "\xef\xbf\xbd");
        value = slice_skip(value, plain + 1);
        plain = 0;
    }
    buffer_append_slice(out, value);
    buffer_append_char(out, '"');
}

void json_writer_init(struct json_writer *writer, struct buffer *out)
{
    *writer = (struct json_writer){.out = out};
}

/* A comma where one is due before the next value or key. */
static void separate(struct json_writer *writer)
{
    if (writer->need_comma[writer->depth])
        buffer_append_char(writer->out, ',');
    writer->need_comma[writer->depth] = true;
}

static void begin(struct json_writer *writer, char open)
{
    separate(writer);
    assert(writer->depth + 1 < JSON_DEPTH_MAX);
    writer->need_comma[++writer->depth] = false;
    buffer_append_char(writer->out, open);
}

static void end(struct json_writer *writer, char close)
{
    assert(writer->depth > 0);
    writer->depth--;
    buffer_append_char(writer->out, close);
}

void json_begin_object(struct json_writer *writer)
{
    begin(writer, '{');
}

void json_end_object(struct json_writer *writer)
{
    end(writer, '}');
}

void json_begin_array(struct json_writer *writer)
{
    begin(writer, '[');
}

void json_end_array(struct json_writer *writer)
{
    end(writer, ']');
}

void json_key(struct json_writer *writer, struct slice key)
{
    separate(writer);
    json_append_quoted(writer->out, key);
    buffer_append_char(writer->out, ':');
    writer->need_comma[writer->depth] = false; /* none between key and value */
}

void json_put_string(struct json_writer *writer, struct slice value)
{
    separate(writer);
    json_append_quoted(writer->out, value);
}

void json_put_int(struct json_writer *writer, int64_t value)
{
    separate(writer);
    buffer_append_format(writer->out, "%lld", (long long)value);
}

void json_put_double(struct json_writer *writer, double value)
{
    if (!isfinite(value)) {
        json_put_null(writer);
        return;
    }
    separate(writer);
    number_print(value, NUMBER_API, writer->out);
}

void json_put_bool(struct json_writer *writer, bool value)
{
    separate(writer);
    buffer_append_string(writer->out, value ? "true" : "false");
}

void json_put_null(struct json_writer *writer)
{
    separate(writer);
    buffer_append_string(writer->out, "null");
}

void json_put_raw(struct json_writer *writer, struct slice value)
{
    separate(writer);
    buffer_append_slice(writer->out, value);
}

static void put_scalar(struct json_writer *writer, struct json value)
{
    struct slice text;
    int64_t whole;
    double number = NAN;
    bool flag;
    if (json_string(value, &text))
        json_put_string(writer, text);
    else if (json_type(value) == JSON_INT && json_int(value, &whole))
        json_put_int(writer, whole);
    else if (json_number(value, &number)) /* integers above int64 lose digits here */
        json_put_double(writer, number);
    else if (json_bool(value, &flag))
        json_put_bool(writer, flag);
    else
        json_put_null(writer);
}

void json_put_value(struct json_writer *writer, struct json value)
{
    enum json_type type = json_type(value);
    if (type != JSON_OBJECT && type != JSON_ARRAY) {
        put_scalar(writer, value);
        return;
    }
    begin(writer, type == JSON_OBJECT ? '{' : '[');
    for (struct json_iterator it = json_iterate(value); json_next(&it);) {
        if (it.object)
            json_key(writer, it.key);
        json_put_value(writer, it.value);
    }
    end(writer, type == JSON_OBJECT ? '}' : ']');
}

void json_field_string(struct json_writer *writer, const char *key, struct slice value)
{
    json_key(writer, slice_of_string(key));
    json_put_string(writer, value);
}

void json_field_int(struct json_writer *writer, const char *key, int64_t value)
{
    json_key(writer, slice_of_string(key));
    json_put_int(writer, value);
}

void json_field_double(struct json_writer *writer, const char *key, double value)
{
    json_key(writer, slice_of_string(key));
    json_put_double(writer, value);
}

void json_field_bool(struct json_writer *writer, const char *key, bool value)
{
    json_key(writer, slice_of_string(key));
    json_put_bool(writer, value);
}
