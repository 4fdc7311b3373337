/* json: reading with simdjson behind a C face, and writing into a buffer.
 *
 * Reading: a parser owns the memory of the one document it parsed last; values, and the slices
 * taken from them, are valid until the next json_parse or json_parser_free. One thread a parser.
 * Writing: the writer puts commas and escapes; invalid UTF-8 becomes U+FFFD.
 */
#ifndef STORAGE_BASE_JSON_H
#define STORAGE_BASE_JSON_H

#include "storage/base/buffer.h"
#include "storage/base/error.h"

enum json_type {
    JSON_NONE, /* absent: what lookups give for a missing key */
    JSON_NULL,
    JSON_BOOL,
    JSON_INT,  /* fits int64 */
    JSON_UINT, /* fits uint64 only */
    JSON_DOUBLE,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT,
};

/* A place in a parsed document; plain data, copy freely. */
struct json {
    const void *document;
    size_t index;
};

struct json_parser;

/* document_max: the largest text accepted, in bytes. Nesting beyond 64 levels is refused. */
struct json_parser *json_parser_new(size_t document_max);
void json_parser_free(struct json_parser *parser);
/* The text is copied (the library needs padding), so it may go away at once. The error says what
 * is wrong and at which byte. Exactly one document: trailing bytes are an error. Three faults of
 * real clients are forgiven (json_repair.c): lone surrogates, bytes that are not UTF-8, and numbers
 * beyond 64 bits (doubles) or all doubles (null). */
MUST_USE int json_parse(struct json_parser *parser, struct slice text, struct json *out,
                        struct error *err);
/* The text of the last json_parse when it had to be repaired, else {NULL, 0}. Lives as the values. */
struct slice json_repaired(const struct json_parser *parser);

enum json_type json_type(struct json value);
/* Key of an object; JSON_NONE when absent or `value` is no object. Linear; first match. */
struct json json_get(struct json value, const char *key);
/* json_get along "a.b.c" keys, NULL-terminated list. */
struct json json_path(struct json value, const char *const *keys);
/* Strings only; false otherwise. Unescaped UTF-8, may hold NUL bytes. */
bool json_string(struct json value, struct slice *out);
/* Any number. */
bool json_number(struct json value, double *out);
/* JSON_INT, or a JSON_DOUBLE that is a whole number within int64. */
bool json_int(struct json value, int64_t *out);
bool json_bool(struct json value, bool *out);
/* Elements of an array or members of an object; 0 for everything else. */
size_t json_count(struct json value);

/* for (struct json_iterator it = json_iterate(v); json_next(&it);) ... it.key, it.value
 * Objects and arrays (key empty then); nothing for other types. */
struct json_iterator {
    struct json next;
    size_t end;
    bool object;
    struct slice key;
    struct json value;
};
struct json_iterator json_iterate(struct json value);
bool json_next(struct json_iterator *it);

/* --- writing --- */
#define JSON_DEPTH_MAX 64
struct json_writer {
    struct buffer *out;
    unsigned depth;
    bool need_comma[JSON_DEPTH_MAX];
};

void json_writer_init(struct json_writer *writer, struct buffer *out);
void json_begin_object(struct json_writer *writer);
void json_end_object(struct json_writer *writer);
void json_begin_array(struct json_writer *writer);
void json_end_array(struct json_writer *writer);
void json_key(struct json_writer *writer, struct slice key);
void json_put_string(struct json_writer *writer, struct slice value);
void json_put_int(struct json_writer *writer, int64_t value);
/* Shortest digits that read back equal; NaN and infinities become null (JSON has none). */
void json_put_double(struct json_writer *writer, double value);
void json_put_bool(struct json_writer *writer, bool value);
void json_put_null(struct json_writer *writer);
/* Bytes that are JSON already. */
void json_put_raw(struct json_writer *writer, struct slice value);
/* Copies a parsed value. */
void json_put_value(struct json_writer *writer, struct json value);
/* key and value at once. */
void json_field_string(struct json_writer *writer, const char *key, struct slice value);
void json_field_int(struct json_writer *writer, const char *key, int64_t value);
void json_field_double(struct json_writer *writer, const char *key, double value);
void json_field_bool(struct json_writer *writer, const char *key, bool value);
/* Only the quoted, escaped string; no commas. */
void json_append_quoted(struct buffer *out, struct slice value);

#endif
