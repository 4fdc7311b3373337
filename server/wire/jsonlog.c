/* jsonlog: one pass over the members of an object.
 *
 *   {"time":"2026-01-02T03:04:05Z","level":"WARNING","service":"api","msg":"slow","ms":1200}
 *    ^^^^^^ time                   ^^^^^^^ level: warn ^^^^^^^^^ service
 *
 * Each key is looked up in one table that says which role it plays and how much it is trusted (the
 * first alias wins over the later ones, wherever they stand). Everything else stays in the line,
 * typed as it was sent; queries take it apart (`| json`). The message is not needed here: it is
 * part of the line.
 *
 * A time that cannot be read does not cost the record: it gets the time of its arrival.
 */
#include "server/wire/jsonlog.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/wire/timestamp.h"
#include "storage/base/alloc.h"
#include "storage/base/json.h"

#define LEVEL_MAX   32
#define NS_PER_DAY  ((int64_t)86400 * 1000000000)
#define INDENTATION " \t\r\n"

/* --- roles of keys --- */

enum role { ROLE_ENVIRONMENT, ROLE_HOST, ROLE_LEVEL, ROLE_SERVICE, ROLE_TIME, ROLE_COUNT };

/* The label of a role, in the order of the enum, which is that of the names. */
static const struct slice label_names[] = {
    [ROLE_ENVIRONMENT] = SLICE_LIT("environment"),
    [ROLE_HOST] = SLICE_LIT("host"),
    [ROLE_LEVEL] = SLICE_LIT("level"),
    [ROLE_SERVICE] = SLICE_LIT("service"),
};
#define LABEL_COUNT (sizeof label_names / sizeof label_names[0])

/* Of one role the row that stands first wins. */
static const struct alias {
    struct slice key;
    enum role role;
} aliases[] = {
    {SLICE_LIT("@timestamp"), ROLE_TIME},
    {SLICE_LIT("timestamp"), ROLE_TIME},
    {SLICE_LIT("time"), ROLE_TIME},
    {SLICE_LIT("ts"), ROLE_TIME},
    {SLICE_LIT("level"), ROLE_LEVEL},
    {SLICE_LIT("severity"), ROLE_LEVEL},
    {SLICE_LIT("lvl"), ROLE_LEVEL},
    {SLICE_LIT("log.level"), ROLE_LEVEL},
    {SLICE_LIT("service"), ROLE_SERVICE},
    {SLICE_LIT("app"), ROLE_SERVICE},
    {SLICE_LIT("service_name"), ROLE_SERVICE},
    {SLICE_LIT("service.name"), ROLE_SERVICE},
    {SLICE_LIT("host"), ROLE_HOST},
    {SLICE_LIT("hostname"), ROLE_HOST},
    {SLICE_LIT("host.name"), ROLE_HOST},
    {SLICE_LIT("environment"), ROLE_ENVIRONMENT},
    {SLICE_LIT("env"), ROLE_ENVIRONMENT},
};
#define ALIAS_COUNT (sizeof aliases / sizeof aliases[0])

struct roles {
    struct json value[ROLE_COUNT];
    size_t rank[ROLE_COUNT]; /* of the alias it came from; ALIAS_COUNT = none */
};

static void find_roles(struct json object, struct roles *roles)
{
    for (size_t i = 0; i < ROLE_COUNT; i++)
        roles->rank[i] = ALIAS_COUNT;
    for (struct json_iterator it = json_iterate(object); json_next(&it);)
        for (size_t i = 0; i < ALIAS_COUNT; i++) {
            enum role role = aliases[i].role;
            if (slice_equal(aliases[i].key, it.key) && i < roles->rank[role]) {
                roles->rank[role] = i;
                roles->value[role] = it.value;
            }
        }
}

/* --- levels --- */

static const struct {
    const char *name;
    struct slice level;
} level_names[] = {
    {"trace", SLICE_LIT("trace")},        {"silly", SLICE_LIT("trace")},
    {"finest", SLICE_LIT("trace")},       {"debug", SLICE_LIT("debug")},
    {"verbose", SLICE_LIT("debug")},      {"fine", SLICE_LIT("debug")},
    {"info", SLICE_LIT("info")},          {"information", SLICE_LIT("info")},
    {"informational", SLICE_LIT("info")}, {"notice", SLICE_LIT("info")},
    {"log", SLICE_LIT("info")},           {"warn", SLICE_LIT("warn")},
    {"warning", SLICE_LIT("warn")},       {"error", SLICE_LIT("error")},
    {"err", SLICE_LIT("error")},          {"severe", SLICE_LIT("error")},
    {"fatal", SLICE_LIT("fatal")},        {"critical", SLICE_LIT("fatal")},
    {"crit", SLICE_LIT("fatal")},         {"alert", SLICE_LIT("fatal")},
    {"emerg", SLICE_LIT("fatal")},        {"emergency", SLICE_LIT("fatal")},
    {"panic", SLICE_LIT("fatal")},        {"dpanic", SLICE_LIT("fatal")},
};

/* pino and bunyan count 10 trace ... 60 fatal, syslog 0 emergency ... 7 debug. */
static struct slice level_of_number(double number)
{
    static const struct {
        double up_to;
        struct slice level;
    } levels[] = {
        {2, SLICE_LIT("fatal")},  {3, SLICE_LIT("error")},   {4, SLICE_LIT("warn")},
        {6, SLICE_LIT("info")},   {7, SLICE_LIT("debug")},   {10, SLICE_LIT("trace")},
        {20, SLICE_LIT("debug")}, {30, SLICE_LIT("info")},   {40, SLICE_LIT("warn")},
        {50, SLICE_LIT("error")}, {1e9, SLICE_LIT("fatal")},
    };
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++)
        if (number <= levels[i].up_to)
            return levels[i].level;
    return SLICE("");
}

struct slice jsonlog_level(struct slice text, struct arena *arena)
{
    double number;
    text = slice_trim(text);
    if (slice_to_double(text, &number))
        return level_of_number(number);
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++)
        if (slice_equal_nocase(text, slice_of_string(level_names[i].name)))
            return level_names[i].level;
    char *lower = arena_alloc(arena, LEVEL_MAX);
    text = slice_head(text, LEVEL_MAX);
    if (!lower)
        return SLICE("");
    for (size_t i = 0; i < text.len; i++)
        lower[i] = (char)tolower((unsigned char)text.at[i]);
    return slice_make(lower, text.len);
}

/* --- values --- */

/* At most `max` bytes, not ending inside a UTF-8 character. */
static struct slice cut_text(struct slice text, size_t max)
{
    if (text.len <= max)
        return text;
    while (max > 0 && ((unsigned char)text.at[max] & 0xc0) == 0x80)
        max--;
    return slice_head(text, max);
}

/* Strings, numbers and booleans as text; empty for the rest. */
static struct slice value_text(struct json value, struct arena *arena)
{
    struct slice text;
    int64_t whole;
    double number;
    bool yes;
    if (json_string(value, &text))
        return arena_copy(arena, cut_text(slice_trim(text), JSONLOG_LABEL_MAX));
    if (json_int(value, &whole))
        return arena_format(arena, "%lld", (long long)whole);
    if (json_number(value, &number))
        return arena_format(arena, "%.17g", number);
    if (json_bool(value, &yes))
        return yes ? SLICE("true") : SLICE("false");
    return SLICE("");
}

static int64_t value_time(struct json value, int64_t otherwise)
{
    struct slice text;
    int64_t whole, ns;
    double number;
    if (json_string(value, &text) && timestamp_from_text(text, &ns))
        return ns;
    if (json_type(value) == JSON_INT && json_int(value, &whole) &&
        timestamp_from_integer(whole, &ns))
        return ns;
    if (json_type(value) == JSON_DOUBLE && json_number(value, &number) &&
        timestamp_from_double(number, &ns))
        return ns;
    return otherwise;
}

static struct labels stream_of(const struct roles *roles, struct arena *arena)
{
    struct label *at = arena_alloc(arena, LABEL_COUNT * sizeof *at);
    size_t count = 0;
    for (size_t role = 0; at && role < LABEL_COUNT; role++) {
        if (roles->rank[role] == ALIAS_COUNT)
            continue;
        struct slice value = value_text(roles->value[role], arena);
        if (role == ROLE_LEVEL)
            value = jsonlog_level(value, arena);
        if (value.len)
            at[count++] = (struct label){label_names[role], value};
    }
    return (struct labels){at, count};
}

/* --- one line --- */

struct jsonlog {
    struct json_parser *parser;
    size_t line_max;
    struct jsonlog_window window;
};

struct jsonlog *jsonlog_new(size_t line_max)
{
    struct jsonlog *jsonlog = alloc_zeroed(1, sizeof *jsonlog);
    jsonlog->parser = json_parser_new(line_max);
    jsonlog->line_max = line_max;
    jsonlog->window = (struct jsonlog_window){0, INT64_MIN, INT64_MAX};
    return jsonlog;
}

void jsonlog_set_window(struct jsonlog *jsonlog, const struct jsonlog_window *window)
{
    jsonlog->window = *window;
}

void jsonlog_free(struct jsonlog *jsonlog)
{
    if (!jsonlog)
        return;
    json_parser_free(jsonlog->parser);
    free(jsonlog);
}

static enum jsonlog_status refuse(enum jsonlog_status status, struct error *why, const char *text)
{
    error_set(why, ERROR_BAD_DATA, "%s", text);
    return status;
}

static enum jsonlog_status refuse_text(struct error *why)
{
    return refuse(JSONLOG_NOT_JSON, why,
                  "it is not JSON; send one JSON object a line, such as {\"level\":\"info\","
                  "\"service\":\"api\",\"message\":\"...\"}");
}

static enum jsonlog_status check_time(int64_t time_ns, const struct jsonlog_window *window,
                                      struct error *why)
{
    if (time_ns < window->oldest_ns)
        return refuse(JSONLOG_TOO_OLD, why,
                      "its time is older than logs are kept; send it earlier or raise "
                      "retention.logs");
    if (time_ns >= window->newest_ns)
        return refuse(JSONLOG_TOO_NEW, why,
                      "its time lies more than a day in the future; check the sender's clock and "
                      "the unit of the time");
    return JSONLOG_OK;
}

enum jsonlog_status jsonlog_parse(struct jsonlog *jsonlog, struct slice line, struct arena *arena,
                                  struct record *out, struct error *why)
{
    struct json object;
    struct roles roles;
    line = slice_trim(line);
    if (line.len > jsonlog->line_max) {
        error_set(why, ERROR_BAD_DATA,
                  "it has %zu bytes, the limit is %zu; shorten it or raise logs.line_max", line.len,
                  jsonlog->line_max);
        return JSONLOG_TOO_LONG;
    }
    if (line.len == 0)
        return refuse_text(why);
    if (json_parse(jsonlog->parser, line, &object, why)) {
        if (line.at[0] != '{')
            return refuse_text(why);
        error_wrap(why, "it is broken JSON");
        return JSONLOG_MALFORMED;
    }
    if (json_type(object) != JSON_OBJECT)
        return refuse(JSONLOG_NOT_OBJECT, why,
                      "it is JSON, but no object; send one JSON object a line");
    find_roles(object, &roles);
    out->line = line;
    out->time_ns = jsonlog->window.now_ns;
    if (roles.rank[ROLE_TIME] != ALIAS_COUNT)
        out->time_ns = value_time(roles.value[ROLE_TIME], out->time_ns);
    enum jsonlog_status status = check_time(out->time_ns, &jsonlog->window, why);
    if (status == JSONLOG_OK) /* what is refused takes nothing from the arena */
        out->stream = stream_of(&roles, arena);
    return status;
}

/* --- bodies --- */

static void skip_blank(struct slice *rest)
{
    while (rest->len && rest->at[0] && strchr(INDENTATION, rest->at[0]))
        *rest = slice_skip(*rest, 1);
}

/* Index of the quote that ends the string opened at `i`. */
static size_t string_end(struct slice text, size_t i)
{
    for (i++; i < text.len && text.at[i] != '"'; i++)
        if (text.at[i] == '\\')
            i++;
    return i;
}

/* Length of the JSON value at the front, by brackets and quotes alone: up to the place where a
 * comma or a closing bracket of the list around it stands. */
static size_t value_length(struct slice text)
{
    size_t depth = 0, i = 0;
    for (; i < text.len; i++) {
        char c = text.at[i];
        if (c == '"')
            i = string_end(text, i);
        else if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && depth > 0)
            depth--;
        else if (depth == 0 && (c == ',' || c == ']'))
            return i;
    }
    return text.len;
}

/* Length of the one object at the front; beyond the text when it does not end. */
static size_t object_length(struct slice text)
{
    size_t depth = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '"')
            i = string_end(text, i);
        else if (c == '{')
            depth++;
        else if (c == '}' && --depth == 0)
            return i + 1;
    }
    return text.len + 1;
}

void jsonlog_body_init(struct jsonlog_body *body, struct slice text)
{
    *body = (struct jsonlog_body){.shape = JSONLOG_LINES};
    text = slice_trim(text);
    if (text.len && text.at[0] == '[') {
        body->shape = JSONLOG_LIST;
        text = slice_skip(text, 1);
    } else if (text.len && text.at[0] == '{' && object_length(text) == text.len) {
        body->shape = JSONLOG_SINGLE;
    }
    body->rest = text;
}

static bool next_item(struct jsonlog_body *body, struct slice *out)
{
    skip_blank(&body->rest);
    if (body->rest.len == 0 || body->rest.at[0] == ']') {
        body->broken = body->rest.len != 1;
        return false;
    }
    size_t len = value_length(body->rest);
    *out = slice_trim(slice_head(body->rest, len));
    body->rest = slice_skip(body->rest, len);
    if (body->rest.len && body->rest.at[0] == ',')
        body->rest = slice_skip(body->rest, 1);
    body->number++;
    return true;
}

static bool next_line(struct jsonlog_body *body, struct slice *out)
{
    while (body->rest.len) {
        slice_cut(&body->rest, '\n', out);
        *out = slice_trim(*out);
        body->number++;
        if (out->len)
            return true;
    }
    return false;
}

bool jsonlog_body_next(struct jsonlog_body *body, struct slice *out)
{
    if (body->shape == JSONLOG_LIST)
        return next_item(body, out);
    if (body->shape == JSONLOG_LINES)
        return next_line(body, out);
    *out = body->rest;
    body->rest = slice_skip(body->rest, body->rest.len);
    body->number++;
    return out->len > 0;
}
