/* logql_extract: text -> labels, four ways.
 *
 *   {"a":{"b":1},"c":[2]}    json      a_b="1"
 *   a=1 b="x y"              logfmt    a="1" b="x y"
 *   GET /buy 200             regexp    its named groups
 *                            pattern   its captures, cut at the texts between them
 *
 * What does not parse as JSON sets __error__; the others just find less.
 */
#include "query/logql_extract.h"

#include <ctype.h>

#include "storage/base/number.h"

#define NAME_MAX_LEN 256 /* of a flattened name */

/* Prefix_name with everything that is no label character replaced by _. */
static struct slice label_name(struct logql_row *row, struct slice prefix, struct slice name)
{
    size_t len = prefix.len + (prefix.len > 0) + name.len;
    char *at = len <= NAME_MAX_LEN ? arena_alloc(&row->arena, len + 1) : NULL;
    size_t i = 0;
    if (!at || name.len == 0)
        return SLICE("");
    if (prefix.len) {
        memcpy(at, prefix.at, prefix.len);
        i = prefix.len;
        at[i++] = '_';
    } else if (isdigit((unsigned char)name.at[0])) {
        at[i++] = '_';
    }
    for (size_t j = 0; j < name.len; j++)
        at[i++] = isalnum((unsigned char)name.at[j]) ? name.at[j] : '_';
    return slice_make(at, i);
}

/* --- json --- */

static struct slice print_number(struct logql_row *row, double value)
{
    struct buffer text;
    buffer_init(&text, NUMBER_TEXT_MAX);
    number_print(value, NUMBER_PLAIN, &text);
    struct slice copy = arena_copy(&row->arena, buffer_slice(&text));
    buffer_release(&text);
    return copy;
}

static struct slice print_json(struct logql_row *row, struct json value)
{
    struct buffer text;
    struct json_writer writer;
    buffer_init(&text, LOGQL_LINE_MAX);
    json_writer_init(&writer, &text);
    json_put_value(&writer, value);
    struct slice copy = arena_copy(&row->arena, buffer_slice(&text));
    buffer_release(&text);
    return copy;
}

/* Scalars as text. Strings stay in the parser's memory, valid until the next row. */
static struct slice scalar_text(struct logql_row *row, struct json value)
{
    struct slice text;
    int64_t whole;
    double number;
    bool yes;
    if (json_string(value, &text))
        return text;
    if (json_type(value) == JSON_INT && json_int(value, &whole))
        return arena_format(&row->arena, "%lld", (long long)whole);
    if (json_number(value, &number))
        return print_number(row, number);
    if (json_bool(value, &yes))
        return yes ? SLICE("true") : SLICE("false");
    return SLICE("");
}

/* Members of objects within objects become outer_inner; arrays and nulls are left out. The depth
 * is bounded by the JSON parser. */
static void flatten(struct logql_row *row, struct slice prefix, struct json object)
{
    for (struct json_iterator it = json_iterate(object); json_next(&it);) {
        struct slice name = label_name(row, prefix, it.key);
        enum json_type type = json_type(it.value);
        if (name.len == 0)
            continue;
        if (type == JSON_OBJECT)
            flatten(row, name, it.value);
        else if (type != JSON_ARRAY)
            logql_row_extract(row, name, scalar_text(row, it.value));
    }
}

/* One step of a path: .name, name, ["name"] or [0]. */
static bool cut_step(struct slice *path, struct slice *name, int64_t *index)
{
    size_t len = 0;
    *index = -1;
    if (path->at[0] == '.')
        *path = slice_skip(*path, 1);
    if (path->len && path->at[0] == '[') {
        struct slice inside;
        *path = slice_skip(*path, 1);
        if (!slice_cut(path, ']', &inside))
            return false;
        if (inside.len >= 2 && inside.at[0] == '"') {
            *name = slice_make(inside.at + 1, inside.len - 2);
            return true;
        }
        return slice_to_i64(inside, index) && *index >= 0;
    }
    while (len < path->len && path->at[len] != '.' && path->at[len] != '[')
        len++;
    *name = slice_head(*path, len);
    *path = slice_skip(*path, len);
    return len > 0;
}

static bool child_of(struct json parent, struct slice name, int64_t index, struct json *out)
{
    int64_t at = 0;
    for (struct json_iterator it = json_iterate(parent); json_next(&it); at++)
        if (index >= 0 ? at == index : slice_equal(it.key, name)) {
            *out = it.value;
            return true;
        }
    return false;
}

static struct slice json_at(struct logql_row *row, struct json value, struct slice path)
{
    while (path.len) {
        struct slice name = SLICE("");
        int64_t index;
        if (!cut_step(&path, &name, &index) || !child_of(value, name, index, &value))
            return SLICE("");
    }
    enum json_type type = json_type(value);
    return type == JSON_OBJECT || type == JSON_ARRAY ? print_json(row, value)
                                                     : scalar_text(row, value);
}

bool logql_run_json(const struct logql_stage *stage, struct logql_row *row)
{
    struct json value;
    struct error unused;
    if (!row->json)
        row->json = json_parser_new(LOGQL_LINE_MAX);
    /* The parser keeps one document: values of an earlier `| json` must not point into it. */
    for (size_t i = row->stream_count; i < row->count; i++)
        row->labels[i].value = arena_copy(&row->arena, row->labels[i].value);
    if (json_parse(row->json, row->line, &value, &unused) || json_type(value) != JSON_OBJECT) {
        logql_row_fail(row, SLICE("JSONParserErr"));
        return true;
    }
    if (stage->param_count == 0)
        flatten(row, SLICE(""), value);
    for (size_t i = 0; i < stage->param_count; i++)
        logql_row_extract(row, stage->params[i].name, json_at(row, value, stage->params[i].text));
    return true;
}

/* --- logfmt --- */

/* What slice_trim takes away, so that trimming always makes progress. */
static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* The value behind "key=", bare or quoted. */
static struct slice cut_logfmt_value(struct slice *rest)
{
    size_t len = 0;
    if (rest->len && rest->at[0] == '"') {
        for (len = 1; len < rest->len && rest->at[len] != '"'; len++)
            if (rest->at[len] == '\\')
                len++;
        if (len > rest->len)
            len = rest->len;
        struct slice value = slice_make(rest->at + 1, len - 1);
        *rest = slice_skip(*rest, len + 1);
        return value;
    }
    while (len < rest->len && !is_blank(rest->at[len]))
        len++;
    struct slice value = slice_head(*rest, len);
    *rest = slice_skip(*rest, len);
    return value;
}

static struct slice unescape(struct logql_row *row, struct slice text)
{
    if (slice_find(text, SLICE("\\")) == text.len)
        return text;
    char *at = arena_alloc(&row->arena, text.len);
    size_t len = 0;
    for (size_t i = 0; at && i < text.len; i++) {
        char c = text.at[i];
        if (c == '\\' && i + 1 < text.len) {
            c = text.at[++i];
            c = (char)(c == 'n' ? '\n' : c == 't' ? '\t' : c);
        }
        at[len++] = c;
    }
    return slice_make(at, len);
}

static bool cut_logfmt(struct slice *rest, struct slice *key, struct slice *value)
{
    size_t len = 0;
    *rest = slice_trim(*rest);
    if (rest->len == 0)
        return false;
    while (len < rest->len && rest->at[len] != '=' && !is_blank(rest->at[len]))
        len++;
    *key = slice_head(*rest, len);
    *value = SLICE("");
    *rest = slice_skip(*rest, len);
    if (rest->len && rest->at[0] == '=') {
        *rest = slice_skip(*rest, 1);
        *value = cut_logfmt_value(rest);
    }
    return true;
}

bool logql_run_logfmt(const struct logql_stage *stage, struct logql_row *row)
{
    struct slice rest = row->line, key, value;
    while (cut_logfmt(&rest, &key, &value)) {
        if (stage->param_count == 0) {
            struct slice name = label_name(row, SLICE(""), key);
            if (name.len)
                logql_row_extract(row, name, unescape(row, value));
            continue;
        }
        for (size_t i = 0; i < stage->param_count; i++)
            if (slice_equal(stage->params[i].text, key))
                logql_row_extract(row, stage->params[i].name, unescape(row, value));
    }
    return true;
}

/* --- regexp, pattern --- */

bool logql_run_regexp(const struct logql_stage *stage, struct logql_row *row)
{
    struct slice groups[REGEX_GROUPS_MAX];
    size_t count = regex_search(stage->regex, row->line, groups, REGEX_GROUPS_MAX);
    for (size_t i = 1; i < count; i++) {
        struct slice name = regex_group_name(stage->regex, i);
        if (name.len && groups[i].len)
            logql_row_extract(row, arena_copy(&row->arena, name), groups[i]);
    }
    return true;
}

bool logql_run_pattern(const struct logql_stage *stage, struct logql_row *row)
{
    struct slice rest = row->line, name = SLICE("");
    bool capturing = false;
    for (size_t i = 0; i < stage->piece_count; i++) {
        const struct logql_piece *piece = &stage->pieces[i];
        if (piece->function == TEMPLATE_FIELD) {
            capturing = true;
            name = piece->text;
            continue;
        }
        size_t at = slice_find(rest, piece->text);
        if (at == rest.len || (!capturing && at > 0))
            return true; /* no match from here on; what was captured stays */
        if (capturing && name.len)
            logql_row_extract(row, name, slice_head(rest, at));
        capturing = false;
        rest = slice_skip(rest, at + piece->text.len);
    }
    if (capturing && name.len)
        logql_row_extract(row, name, rest);
    return true;
}
