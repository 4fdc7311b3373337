/* sentry: reads the fields of an event that grouping, counting and listing need.
 *
 *   {"event_id":"9ec7...","timestamp":1795283795.95 | "2026-11-21T18:04:37Z","level":"error",
 *    "exception":{"values":[{"type","value","mechanism":{"synthetic"},
 *                            "stacktrace":{"frames":[{...oldest}, ... {...newest}]}}]},
 *    "message":"..." | "logentry":{"message":"user %s failed","params":[42],"formatted":"..."},
 *    "tags":{"k":"v"} | [["k","v"]], "user":{"id"|"email"|"username"|"ip_address"},
 *    "fingerprint":["{{ default }}","x"], "platform","release","environment","transaction",...}
 *
 * Be liberal: `exception` may be {"values":[..]}, a list, or one object; a field of the wrong type
 * is as good as absent. The only refusal is a body that is no JSON object.
 *
 * Absent: breadcrumbs, contexts, request, threads: they stay in the stored body, unread.
 */
#include "server/wire/sentry.h"

#include "server/wire/timestamp.h"

#include <math.h>

static const char *const level_names[LEVEL_COUNT] = {
    [LEVEL_DEBUG] = "debug", [LEVEL_INFO] = "info",   [LEVEL_WARNING] = "warning",
    [LEVEL_ERROR] = "error", [LEVEL_FATAL] = "fatal",
};

static const struct {
    const char *name;
    enum error_level level;
} level_aliases[] = {
    {"warn", LEVEL_WARNING},
    {"log", LEVEL_INFO},
    {"critical", LEVEL_FATAL},
};

const char *error_level_name(enum error_level level)
{
    return level_names[level];
}

bool error_level_parse(struct slice text, enum error_level *out)
{
    for (unsigned i = 0; i < LEVEL_COUNT; i++) {
        if (slice_equal_string(text, level_names[i])) {
            *out = (enum error_level)i;
            return true;
        }
    }
    for (size_t i = 0; i < sizeof level_aliases / sizeof *level_aliases; i++) {
        if (slice_equal_string(text, level_aliases[i].name)) {
            *out = level_aliases[i].level;
            return true;
        }
    }
    return false;
}

static struct slice string_or_empty(struct json value)
{
    struct slice text = {NULL, 0};
    return json_string(value, &text) ? text : (struct slice){NULL, 0};
}

static struct slice field(struct json object, const char *key)
{
    return string_or_empty(json_get(object, key));
}

/* A string, or the text of a number or a boolean (ids and tags come as either). */
static struct slice scalar_text(struct json value, struct arena *arena)
{
    int64_t number;
    double real;
    bool truth;
    if (json_int(value, &number))
        return arena_format(arena, "%lld", (long long)number);
    if (json_number(value, &real))
        return arena_format(arena, "%.17g", real);
    if (json_bool(value, &truth))
        return truth ? SLICE("true") : SLICE("false");
    return string_or_empty(value);
}

/* Seconds since 1970 (milliseconds when that would be after the year 5000), or RFC 3339. */
static int64_t time_of(struct json value)
{
    struct slice text;
    double seconds;
    int64_t time_ms;
    if (json_string(value, &text)) {
        if (timestamp_parse(text, &time_ms))
            return time_ms;
        if (!slice_to_double(slice_trim(text), &seconds))
            return 0;
    } else if (!json_number(value, &seconds)) {
        return 0;
    }
    if (seconds > 1e11)
        seconds /= 1000;
    return seconds > 0 && seconds < 1e11 ? (int64_t)llround(seconds * 1000) : 0;
}

/* SDKs mark frames of the application; for those that do not, a guess from the path. */
static bool guess_in_app(const struct error_frame *frame)
{
    static const char *const foreign[] = {"node_modules/",  "node:",        "site-packages/",
                                          "dist-packages/", "/vendor/",     "internal/",
                                          "<anonymous>",    "[native code]"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (slice_find(frame->filename, slice_of_string(foreign[i])) < frame->filename.len)
            return false;
    return true;
}

static void read_frame(struct json value, struct error_frame *frame)
{
    frame->abs_path = field(value, "abs_path");
    frame->filename = field(value, "filename");
    if (frame->filename.len == 0)
        frame->filename = frame->abs_path;
    frame->module = field(value, "module");
    frame->function = field(value, "function");
    frame->context_line = field(value, "context_line");
    if (!json_bool(json_get(value, "in_app"), &frame->in_app))
        frame->in_app = guess_in_app(frame);
}

static void read_frames(struct json list, struct arena *arena, struct error_exception *out)
{
    size_t count = json_count(list);
    size_t skip = count > EVENT_FRAMES_MAX ? count - EVENT_FRAMES_MAX : 0;
    if (json_type(list) != JSON_ARRAY || count == 0)
        return;
    out->frames = arena_zeroed(arena, count - skip, sizeof *out->frames);
    if (!out->frames)
        return;
    for (struct json_iterator it = json_iterate(list); json_next(&it);) {
        if (skip > 0)
            skip--;
        else
            read_frame(it.value, &out->frames[out->frame_count++]);
    }
}

static void read_exception(struct json value, struct arena *arena, struct error_exception *out)
{
    static const char *const synthetic[] = {"mechanism", "synthetic", NULL};
    static const char *const frames[] = {"stacktrace", "frames", NULL};
    out->type = field(value, "type");
    out->value = scalar_text(json_get(value, "value"), arena);
    if (!json_bool(json_path(value, synthetic), &out->synthetic))
        out->synthetic = false;
    read_frames(json_path(value, frames), arena, out);
}

static void read_exceptions(struct json value, struct arena *arena, struct error_event *out)
{
    struct json values = json_get(value, "values");
    struct json list = json_type(values) == JSON_NONE ? value : values;
    bool single = json_type(list) == JSON_OBJECT;
    size_t count = single ? 1 : json_type(list) == JSON_ARRAY ? json_count(list) : 0;
    if (count == 0)
        return;
    size_t skip = count > EVENT_EXCEPTIONS_MAX ? count - EVENT_EXCEPTIONS_MAX : 0;
    out->exceptions = arena_zeroed(arena, count - skip, sizeof *out->exceptions);
    if (!out->exceptions)
        return;
    if (single) {
        read_exception(list, arena, &out->exceptions[out->exception_count++]);
        return;
    }
    for (struct json_iterator it = json_iterate(list); json_next(&it);) {
        if (skip > 0)
            skip--;
        else if (json_type(it.value) == JSON_OBJECT)
            read_exception(it.value, arena, &out->exceptions[out->exception_count++]);
    }
}

/* "message" may be a string or an object like logentry; logentry wins. */
static void read_message(struct json event, struct error_event *out)
{
    struct json entry = json_get(event, "logentry");
    if (json_type(entry) != JSON_OBJECT)
        entry = json_get(event, "message");
    struct slice text =
        json_type(entry) == JSON_OBJECT ? field(entry, "message") : string_or_empty(entry);
    struct slice formatted = field(entry, "formatted");
    if (text.len == 0 && formatted.len == 0)
        text = field(event, "message");
    out->template = text.len ? text : formatted;
    out->message = formatted.len ? formatted : text;
}

static void read_tag(struct slice key, struct json value, struct arena *arena,
                     struct error_event *out)
{
    if (key.len > 0 && out->tag_count < EVENT_TAGS_MAX)
        out->tags[out->tag_count++] = (struct event_tag){key, scalar_text(value, arena)};
}

static void read_tags(struct json tags, struct arena *arena, struct error_event *out)
{
    if (json_count(tags) == 0)
        return;
    out->tags = arena_zeroed(arena, EVENT_TAGS_MAX, sizeof *out->tags);
    if (!out->tags)
        return;
    bool pairs = json_type(tags) == JSON_ARRAY;
    for (struct json_iterator it = json_iterate(tags); json_next(&it);) {
        struct json_iterator pair = json_iterate(it.value);
        if (!pairs) {
            read_tag(it.key, it.value, arena, out);
        } else if (json_next(&pair)) {
            struct slice key = string_or_empty(pair.value);
            if (json_next(&pair))
                read_tag(key, pair.value, arena, out);
        }
    }
}

static void read_user(struct json user, struct arena *arena, struct error_event *out)
{
    static const char *const keys[] = {"id", "email", "username", "ip_address"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys && out->user.len == 0; i++) {
        struct slice text = scalar_text(json_get(user, keys[i]), arena);
        if (!slice_equal_string(text, "{{auto}}"))
            out->user = text;
    }
}

static void read_fingerprint(struct json list, struct arena *arena, struct error_event *out)
{
    if (json_type(list) != JSON_ARRAY || json_count(list) == 0)
        return;
    out->fingerprint = arena_zeroed(arena, EVENT_FINGERPRINT_MAX, sizeof *out->fingerprint);
    if (!out->fingerprint)
        return;
    for (struct json_iterator it = json_iterate(list);
         json_next(&it) && out->fingerprint_count < EVENT_FINGERPRINT_MAX;)
        out->fingerprint[out->fingerprint_count++] = scalar_text(it.value, arena);
}

int error_event_parse(struct slice text, struct json_parser *parser, struct arena *arena,
                      struct error_event *out, enum sentry_drop *drop)
{
    struct json event;
    *out = (struct error_event){.level = LEVEL_ERROR};
    *drop = SENTRY_EVENT_SIZE;
    if (text.len > EVENT_BYTES_MAX)
        return -1;
    *drop = SENTRY_EVENT_JSON;
    if (json_parse(parser, text, &event, NULL) < 0 || json_type(event) != JSON_OBJECT)
        return -1;
    *drop = SENTRY_KEPT;
    if (!event_id_parse(field(event, "event_id"), out->id))
        out->id[0] = '\0';
    out->time_ms = time_of(json_get(event, "timestamp"));
    if (!error_level_parse(field(event, "level"), &out->level))
        out->level = LEVEL_ERROR;
    out->platform = field(event, "platform");
    out->logger = field(event, "logger");
    out->release = field(event, "release");
    out->environment = field(event, "environment");
    out->transaction = field(event, "transaction");
    read_message(event, out);
    read_exceptions(json_get(event, "exception"), arena, out);
    read_tags(json_get(event, "tags"), arena, out);
    read_user(json_get(event, "user"), arena, out);
    read_fingerprint(json_get(event, "fingerprint"), arena, out);
    return 0;
}
