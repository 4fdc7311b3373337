/* fingerprint: from an event to the parts that group it, and their hash.
 *
 *   fingerprint sent by the client?   each entry: {{ default }} -> the parts below,
 *        |                            {{ variable }} -> its value, anything else -> itself
 *        | no, or only {{ default }}
 *   exceptions?                       outermost to innermost: type, then the keys of its frames
 *        |                            (in-app ones if there are any), newest first;
 *        |                            no usable frame: type and parameterised value
 *        | none, or only made up to carry a message
 *   logger and parameterised message  (the template with its placeholders when there is one)
 *
 *   parts:  "type:9:TypeError\n" "frame:23:app/cart|total|sum += x;\n" ...
 *           name, length, text: readable, and no two lists of parts read the same
 *   hash:   XXH3-128 over project, version and parts; the version changes when the rules do
 *
 * A frame's key is its module, or the file's base name, and the function, and for languages whose
 * SDKs send it the source line with its spaces collapsed. Never line numbers or directories: they
 * change with every deploy; build hashes in names ("main-8f3a9b2c.js") go for the same reason.
 * Frames that repeat one after another count once (recursion), as do exceptions of a chain.
 *
 * Absent: source maps (minified names still split issues by build), server-side rules, merging.
 */
#include "server/ingest/fingerprint.h"

#include "server/ingest/parameterise.h"

#include <xxhash.h>

#define FINGERPRINT_VERSION "v1"
#define NAME_MAX_BYTES      160 /* of a module, file or function */
#define CONTEXT_MAX_BYTES   120 /* longer source lines are minified or data */
#define CLIENT_ENTRY_MAX    256
#define TITLE_MAX_BYTES     200

static void add_part(struct buffer *parts, const char *name, struct slice text)
{
    buffer_append_format(parts, "%s:%zu:", name, text.len);
    buffer_append_slice(parts, text);
    buffer_append_char(parts, '\n');
}

static void add_message_part(struct buffer *parts, const char *name, struct slice message)
{
    struct buffer text;
    /* A placeholder is at most ten times as long as the digit it replaces. */
    buffer_init(&text, 10 * PARAMETERISE_BYTES_MAX + 16);
    parameterise(message, &text);
    add_part(parts, name, buffer_slice(&text));
    buffer_release(&text);
}

/* --- frames --- */

enum language { LANGUAGE_OTHER, LANGUAGE_JS, LANGUAGE_SCRIPT, LANGUAGE_JAVA };

static enum language language_of(struct slice platform)
{
    static const struct {
        const char *platform;
        enum language language;
    } table[] = {
        {"javascript", LANGUAGE_JS}, {"node", LANGUAGE_JS},     {"python", LANGUAGE_SCRIPT},
        {"php", LANGUAGE_SCRIPT},    {"ruby", LANGUAGE_SCRIPT}, {"java", LANGUAGE_JAVA},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (slice_equal_string(platform, table[i].platform))
            return table[i].language;
    return LANGUAGE_OTHER;
}

static bool is_hex_digit(char c)
{
    char lower = (char)(c | 0x20);
    return (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'f');
}

/* Length of a build hash at the front: 8 or more hex digits, one of them a digit, then no letter. */
static size_t build_hash_len(struct slice s)
{
    size_t len = 0, digits = 0;
    for (; len < s.len && is_hex_digit(s.at[len]); len++)
        digits += s.at[len] <= '9';
    bool ends = len == s.len || s.at[len] == '.' || s.at[len] == '-' || s.at[len] == '_';
    return len >= 8 && digits > 0 && ends ? len : 0;
}

/* Lower case, build hashes behind '.', '-' or '_' (or the whole first piece) left out. */
static void append_name(struct buffer *out, struct slice name)
{
    size_t start = out->len;
    for (struct slice rest = slice_head(name, NAME_MAX_BYTES); rest.len > 0;) {
        char c = rest.at[0];
        bool joint = c == '.' || c == '-' || c == '_';
        bool first = out->len == start;
        size_t hash = joint || first ? build_hash_len(slice_skip(rest, joint)) : 0;
        if (hash > 0) {
            rest = slice_skip(rest, hash + joint);
            if (first)
                buffer_append_string(out, "<hash>");
            continue;
        }
        buffer_append_char(out, c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c);
        rest = slice_skip(rest, 1);
    }
}

/* The file without directories and, for URLs, without the query. */
static struct slice base_name(struct slice path)
{
    struct slice end;
    if (slice_find(path, SLICE("://")) < path.len) {
        struct slice rest = path;
        slice_cut(&rest, '?', &end);
        rest = end;
        slice_cut(&rest, '#', &path);
    }
    for (size_t i = path.len; i > 0; i--)
        if (path.at[i - 1] == '/' || path.at[i - 1] == '\\')
            return slice_skip(path, i);
    return path;
}

static bool is_anonymous(struct slice function)
{
    static const char *const names[] = {"?",        "<anonymous>", "<anonymous function>",
                                        "*/<",      "{closure}",   "Anonymous function",
                                        "<lambda>", "<unknown>"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_equal_string(function, names[i]))
            return true;
    return false;
}

/* The part of a function's name that survives a rebuild; empty when nothing does. */
static struct slice function_name(struct slice function, enum language language)
{
    if (language == LANGUAGE_JS) {
        for (size_t i = function.len; i > 0; i--) {
            if (function.at[i - 1] == '.') {
                function = slice_skip(function, i);
                break;
            }
        }
    }
    if (language == LANGUAGE_JAVA) {
        /* Classes and methods made at run time carry counters: Foo$$Lambda$14, lambda$run$0. */
        size_t cut = slice_find(function, SLICE("$$"));
        function = slice_head(function, cut);
        if (slice_starts_with(function, SLICE("lambda$")))
            function = SLICE("lambda");
    }
    if (slice_starts_with(function, SLICE("block ")))
        function = SLICE("block");
    return is_anonymous(function) ? (struct slice){NULL, 0} : slice_head(function, NAME_MAX_BYTES);
}

static void append_collapsed(struct buffer *out, struct slice line)
{
    bool space = false;
    for (size_t i = 0; i < line.len; i++) {
        bool blank = line.at[i] == ' ' || line.at[i] == '\t';
        if (!blank && space)
            buffer_append_char(out, ' ');
        if (!blank)
            buffer_append_char(out, line.at[i]);
        space = blank;
    }
}

static bool is_native(const struct error_frame *frame)
{
    static const char *const paths[] = {"[native code]", "native code", "native", "eval code",
                                        "<anonymous>"};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++)
        if (slice_equal_string(frame->filename, paths[i]))
            return true;
    return slice_equal_string(frame->function, "eval");
}

/* Appends the frame's key; false, and nothing appended, when it says too little to group by. */
static bool append_frame_key(struct buffer *out, const struct error_frame *frame,
                             enum language language)
{
    struct slice function = function_name(frame->function, language);
    struct slice context = slice_trim(frame->context_line);
    if ((language != LANGUAGE_JS && language != LANGUAGE_SCRIPT) || context.len > CONTEXT_MAX_BYTES)
        context = (struct slice){NULL, 0};
    bool url = slice_find(frame->filename, SLICE("://")) < frame->filename.len;
    bool placed = frame->module.len > 0 || (frame->filename.len > 0 && !url);
    if (is_native(frame) || (function.len == 0 && context.len == 0 && !placed))
        return false;
    append_name(out, frame->module.len > 0 ? frame->module : base_name(frame->filename));
    buffer_append_char(out, '|');
    buffer_append_slice(out, function);
    buffer_append_char(out, '|');
    append_collapsed(out, context);
    return true;
}

static bool has_in_app(const struct error_exception *exception)
{
    for (size_t i = 0; i < exception->frame_count; i++)
        if (exception->frames[i].in_app)
            return true;
    return false;
}

/* Adds the newest contributing frames; returns how many there were. */
static size_t add_frames(struct buffer *parts, const struct error_exception *exception,
                         enum language language)
{
    struct buffer keys[2]; /* this frame's and the previous one's */
    size_t count = 0;
    bool only_app = has_in_app(exception);
    for (int i = 0; i < 2; i++)
        buffer_init(&keys[i], 4096);
    for (size_t i = exception->frame_count; i > 0 && count < FINGERPRINT_FRAMES_MAX; i--) {
        const struct error_frame *frame = &exception->frames[i - 1];
        struct buffer *key = &keys[count % 2];
        buffer_reset(key);
        if ((only_app && !frame->in_app) || !append_frame_key(key, frame, language))
            continue;
        if (count > 0 && slice_equal(buffer_slice(key), buffer_slice(&keys[(count + 1) % 2])))
            continue;
        add_part(parts, "frame", buffer_slice(key));
        count++;
    }
    for (int i = 0; i < 2; i++)
        buffer_release(&keys[i]);
    return count;
}

/* --- the default grouping --- */

static void add_exception(struct buffer *parts, const struct error_exception *exception,
                          enum language language)
{
    if (!exception->synthetic)
        add_part(parts, "type", slice_head(exception->type, NAME_MAX_BYTES));
    if (add_frames(parts, exception, language) == 0)
        add_message_part(parts, "value", exception->value);
}

static void add_exceptions(struct buffer *parts, const struct error_event *event)
{
    enum language language = language_of(event->platform);
    size_t starts[EVENT_EXCEPTIONS_MAX + 1], kept = 0;
    for (size_t i = event->exception_count; i > 0; i--) {
        starts[kept] = parts->len;
        add_exception(parts, &event->exceptions[i - 1], language);
        struct slice mine = slice_skip(buffer_slice(parts), starts[kept]);
        bool repeated = false;
        for (size_t k = 0; k < kept; k++)
            repeated |=
                slice_equal(mine, slice_make(parts->at + starts[k], starts[k + 1] - starts[k]));
        if (repeated)
            parts->len = starts[kept];
        else
            starts[++kept] = parts->len;
    }
}

static void add_default(struct buffer *parts, const struct error_event *event)
{
    if (error_event_main_exception(event)) {
        add_exceptions(parts, event);
        return;
    }
    add_part(parts, "logger", slice_head(event->logger, NAME_MAX_BYTES));
    struct slice message = event->template;
    if (message.len == 0 && event->exception_count > 0)
        message = event->exceptions[event->exception_count - 1].value;
    add_message_part(parts, "message", message);
}

const struct error_exception *error_event_main_exception(const struct error_event *event)
{
    for (size_t i = event->exception_count; i > 0; i--) {
        const struct error_exception *exception = &event->exceptions[i - 1];
        if (!exception->synthetic || exception->type.len > 0)
            return exception;
    }
    /* Made up, but nothing else is there: its stack still says where. */
    bool alone = event->template.len == 0 && event->exception_count > 0;
    return alone ? &event->exceptions[event->exception_count - 1] : NULL;
}

/* --- fingerprints from the client --- */

static const struct error_frame *newest_frame(const struct error_event *event)
{
    const struct error_exception *exception = error_event_main_exception(event);
    if (!exception || exception->frame_count == 0)
        return NULL;
    for (size_t i = exception->frame_count; i > 0; i--)
        if (exception->frames[i - 1].in_app)
            return &exception->frames[i - 1];
    return &exception->frames[exception->frame_count - 1];
}

static struct slice value_of_exception(const struct error_event *event, bool type)
{
    const struct error_exception *exception = error_event_main_exception(event);
    if (!exception)
        return (struct slice){NULL, 0};
    return type ? exception->type : exception->value;
}

static struct slice value_of_frame(const struct error_event *event, size_t offset)
{
    const struct error_frame *frame = newest_frame(event);
    struct slice value = {NULL, 0};
    if (frame)
        memcpy(&value, (const char *)frame + offset, sizeof value);
    return value;
}

/* The value of {{ name }}; false when it is no variable. */
static bool variable_value(const struct error_event *event, struct slice name, struct slice *out)
{
    static const struct {
        const char *name;
        size_t offset; /* of the slice in struct error_event */
    } fields[] = {
        {"transaction", offsetof(struct error_event, transaction)},
        {"message", offsetof(struct error_event, message)},
        {"logger", offsetof(struct error_event, logger)},
        {"release", offsetof(struct error_event, release)},
        {"environment", offsetof(struct error_event, environment)},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (slice_equal_string(name, fields[i].name)) {
            memcpy(out, (const char *)event + fields[i].offset, sizeof *out);
            return true;
        }
    }
    static const struct {
        const char *name;
        size_t offset; /* of the slice in struct error_frame */
    } frame_fields[] = {
        {"stack.function", offsetof(struct error_frame, function)},
        {"stack.module", offsetof(struct error_frame, module)},
        {"stack.abs_path", offsetof(struct error_frame, abs_path)},
    };
    for (size_t i = 0; i < sizeof frame_fields / sizeof *frame_fields; i++) {
        if (slice_equal_string(name, frame_fields[i].name)) {
            *out = value_of_frame(event, frame_fields[i].offset);
            return true;
        }
    }
    *out = (struct slice){NULL, 0};
    if (slice_equal_string(name, "level"))
        *out = slice_of_string(error_level_name(event->level));
    else if (slice_equal_string(name, "error.type"))
        *out = value_of_exception(event, true);
    else if (slice_equal_string(name, "error.value"))
        *out = value_of_exception(event, false);
    else if (!slice_starts_with(name, SLICE("tags.")))
        return false;
    for (size_t i = 0; i < event->tag_count; i++)
        if (slice_starts_with(name, SLICE("tags.")) &&
            slice_equal(slice_skip(name, 5), event->tags[i].key))
            *out = event->tags[i].value;
    return true;
}

/* The name inside {{ name }}; false when the entry is a literal. */
static bool cut_variable(struct slice entry, struct slice *name)
{
    entry = slice_trim(entry);
    if (entry.len < 4 || memcmp(entry.at, "{{", 2) != 0 ||
        memcmp(entry.at + entry.len - 2, "}}", 2) != 0)
        return false;
    *name = slice_trim(slice_make(entry.at + 2, entry.len - 4));
    return true;
}

static void add_client_entry(struct buffer *parts, const struct error_event *event,
                             struct slice entry)
{
    struct slice name, value;
    bool variable = cut_variable(entry, &name);
    if (variable && slice_equal_string(name, "default"))
        add_default(parts, event);
    else if (variable && variable_value(event, name, &value))
        add_part(parts, "variable", slice_head(value, CLIENT_ENTRY_MAX));
    else
        add_part(parts, "fixed", slice_head(entry, CLIENT_ENTRY_MAX));
}

void fingerprint_of(const struct error_event *event, struct slice project, struct buffer *parts,
                    uint8_t hash[FINGERPRINT_SIZE])
{
    size_t start = parts->len;
    add_part(parts, "project", project);
    add_part(parts, "rules", SLICE(FINGERPRINT_VERSION));
    for (size_t i = 0; i < event->fingerprint_count; i++)
        add_client_entry(parts, event, event->fingerprint[i]);
    if (event->fingerprint_count == 0)
        add_default(parts, event);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(parts->at + start, parts->len - start));
    memcpy(hash, canonical.digest, FINGERPRINT_SIZE);
}

/* --- words for people --- */

static struct slice first_line(struct slice text)
{
    struct slice line, rest = slice_trim(text);
    slice_cut(&rest, '\n', &line);
    return slice_head(slice_trim(line), TITLE_MAX_BYTES);
}

void error_event_title(const struct error_event *event, struct buffer *out)
{
    const struct error_exception *exception = error_event_main_exception(event);
    struct slice type = exception ? first_line(exception->type) : (struct slice){NULL, 0};
    struct slice value = first_line(exception ? exception->value : event->message);
    if (!exception && value.len == 0 && event->exception_count > 0)
        value = first_line(event->exceptions[event->exception_count - 1].value);
    buffer_append_slice(out, type);
    if (type.len > 0 && value.len > 0)
        buffer_append_string(out, ": ");
    buffer_append_slice(out, value);
    if (type.len == 0 && value.len == 0)
        buffer_append_string(out, "(no message)");
}

void error_event_culprit(const struct error_event *event, struct buffer *out)
{
    const struct error_frame *frame = newest_frame(event);
    if (event->transaction.len > 0) {
        buffer_append_slice(out, slice_head(event->transaction, TITLE_MAX_BYTES));
        return;
    }
    if (!frame)
        return;
    struct slice file = frame->module.len > 0 ? frame->module : base_name(frame->filename);
    bool named = frame->function.len > 0 && !is_anonymous(frame->function);
    if (named)
        buffer_append_slice(out, slice_head(frame->function, NAME_MAX_BYTES));
    if (file.len > 0)
        buffer_append_format(out, named ? " (" SLICE_FMT ")" : SLICE_FMT,
                             SLICE_ARG(slice_head(file, NAME_MAX_BYTES)));
}
