/* template: actions are cut out of the text and evaluated while they are parsed.
 *
 *   Errors at {{ $value | humanizePercentage }} on {{- .Labels.host -}} !
 *             ^^-------------action----------^^
 *
 *   pipeline := command { "|" command }          the value before | is the last argument
 *   command  := name { operand } | operand
 *   operand  := variable | string | number | "(" pipeline ")"
 *   variable := "$value" | "$labels" [ "." name ] | "$externalLabels" [ "." name ] | "$externalURL"
 *             or the same as .Value .Labels .ExternalLabels .ExternalURL
 *
 * Checking is expanding with nothing to say: `dry` silences the conversions, whose outcome hangs
 * on the data. Absent on purpose: if/range/with, := and the functions that query; template_check
 * refuses them when the rule file is read.
 */
#include "server/alert/template.h"

#include <ctype.h>
#include <math.h>

#include "server/alert/template_function.h"

#define TEMPLATE_ARGS_MAX 8
#define NAME_CHARS        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

struct expansion {
    const struct template_data *data;
    struct arena *arena;
    struct slice rest; /* of the action */
    unsigned depth;
    bool dry;
    struct error problem; /* of the action at hand */
};

static int pipeline(struct expansion *x, struct template_value *out);

static int refuse(struct expansion *x, const char *what, struct slice at)
{
    return error_set(&x->problem, ERROR_BAD_DATA, "%s \"" SLICE_FMT "\"", what,
                     SLICE_ARG(slice_head(at, 80)));
}

static void skip_space(struct expansion *x)
{
    while (x->rest.len && isspace((unsigned char)*x->rest.at))
        x->rest = slice_skip(x->rest, 1);
}

static bool cut_prefix(struct expansion *x, const char *prefix)
{
    if (!slice_starts_with(x->rest, slice_of_string(prefix)))
        return false;
    x->rest = slice_skip(x->rest, strlen(prefix));
    return true;
}

static struct slice cut_name(struct expansion *x)
{
    size_t len = 0;
    while (len < x->rest.len && x->rest.at[len] && strchr(NAME_CHARS, x->rest.at[len]))
        len++;
    struct slice name = slice_head(x->rest, len);
    x->rest = slice_skip(x->rest, len);
    return name;
}

/* Behind $labels and its like: the whole map, or one field of it. */
static int labels_operand(struct expansion *x, struct labels labels, struct template_value *out)
{
    *out = (struct template_value){.type = TEMPLATE_LABELS, .labels = labels};
    if (!cut_prefix(x, "."))
        return 0;
    struct slice name = cut_name(x);
    if (!name.len)
        return refuse(x, "a label name is missing before", x->rest);
    out->type = TEMPLATE_STRING;
    out->string = labels_get(labels, name);
    return 0;
}

static int string_operand(struct expansion *x, struct template_value *out)
{
    struct slice whole = x->rest;
    char quote = *whole.at;
    struct buffer text;
    buffer_init(&text, TEMPLATE_OUTPUT_MAX);
    size_t i = 1;
    for (; i < whole.len && whole.at[i] != quote; i++) {
        char c = whole.at[i];
        if (quote == '"' && c == '\\' && i + 1 < whole.len) {
            c = whole.at[++i];
            c = c == 'n' ? '\n' : c == 't' ? '\t' : c;
        }
        buffer_append_char(&text, c);
    }
    *out = (struct template_value){.type = TEMPLATE_STRING};
    out->string = arena_copy(x->arena, buffer_slice(&text));
    buffer_release(&text);
    if (i >= whole.len)
        return refuse(x, "the string is not closed:", whole);
    x->rest = slice_skip(whole, i + 1);
    return 0;
}

static int number_operand(struct expansion *x, struct template_value *out)
{
    size_t len = 0;
    while (len < x->rest.len && x->rest.at[len] && strchr("0123456789.eE+-", x->rest.at[len]))
        len++;
    *out = (struct template_value){.type = TEMPLATE_NUMBER};
    if (!slice_to_double(slice_head(x->rest, len), &out->number))
        return refuse(x, "expected a number instead of", x->rest);
    x->rest = slice_skip(x->rest, len);
    return 0;
}

static int group_operand(struct expansion *x, struct template_value *out)
{
    if (++x->depth > TEMPLATE_DEPTH_MAX)
        return refuse(x, "parentheses are nested too deeply at", x->rest);
    x->rest = slice_skip(x->rest, 1);
    if (pipeline(x, out) < 0)
        return -1;
    x->depth--;
    return cut_prefix(x, ")") ? 0 : refuse(x, "a closing parenthesis is missing before", x->rest);
}

static int variable_operand(struct expansion *x, struct template_value *out)
{
    static const char *const names[][2] = {{"value", "Value"},
                                           {"labels", "Labels"},
                                           {"externalLabels", "ExternalLabels"},
                                           {"externalURL", "ExternalURL"}};
    struct slice whole = x->rest;
    x->rest = slice_skip(x->rest, 1);
    struct slice name = cut_name(x);
    size_t i = 0, count = sizeof names / sizeof *names;
    while (i < count && !slice_equal_string(name, names[i][*whole.at == '.']))
        i++;
    if (i == count)
        return refuse(x,
                      "only $value, $labels, $externalLabels, $externalURL and .Value, .Labels ... "
                      "are known here, not",
                      whole);
    if (i == 1 || i == 2)
        return labels_operand(x, i == 1 ? x->data->labels : x->data->external_labels, out);
    *out = i == 0
               ? (struct template_value){.type = TEMPLATE_NUMBER, .number = x->data->value}
               : (struct template_value){.type = TEMPLATE_STRING, .string = x->data->external_url};
    return 0;
}

static int operand(struct expansion *x, struct template_value *out)
{
    char c = x->rest.len ? *x->rest.at : 0;
    if (c == '$' || c == '.')
        return variable_operand(x, out);
    if (c == '"' || c == '`')
        return string_operand(x, out);
    if (c == '(')
        return group_operand(x, out);
    if (c && strchr("0123456789+-", c))
        return number_operand(x, out);
    return refuse(x, "expected a value instead of", x->rest);
}

static bool is_command_end(const struct expansion *x)
{
    return !x->rest.len || *x->rest.at == '|' || *x->rest.at == ')';
}

static int call(struct expansion *x, const struct template_function *function,
                const struct template_value *piped, struct template_value *out)
{
    struct template_value args[TEMPLATE_ARGS_MAX];
    int count = 0;
    for (skip_space(x); !is_command_end(x); skip_space(x)) {
        if (count == TEMPLATE_ARGS_MAX - 1)
            return refuse(x, "too many arguments at", x->rest);
        if (operand(x, &args[count]) < 0)
            return -1;
        count++;
    }
    if (piped)
        args[count++] = *piped;
    if (count < function->args_min || count > function->args_max)
        return error_set(&x->problem, ERROR_BAD_DATA, "%s takes %d to %d arguments, not %d",
                         function->name, function->args_min, function->args_max, count);
    *out = (struct template_value){.type = TEMPLATE_STRING, .string = SLICE("")};
    return x->dry ? 0 : function->apply(x->arena, args, count, out, &x->problem);
}

static int command(struct expansion *x, const struct template_value *piped,
                   struct template_value *out)
{
    skip_space(x);
    struct slice at = x->rest;
    char c = at.len ? *at.at : 0;
    if (isalpha((unsigned char)c)) {
        struct slice name = cut_name(x);
        const struct template_function *function = template_function_find(name);
        if (!function)
            return error_set(&x->problem, ERROR_BAD_DATA,
                             "function \"" SLICE_FMT "\" is not known here; there are %s",
                             SLICE_ARG(slice_head(name, 80)), template_function_names());
        return call(x, function, piped, out);
    }
    if (piped)
        return refuse(x, "expected a function after | instead of", at);
    if (operand(x, out) < 0)
        return -1;
    skip_space(x);
    return is_command_end(x) ? 0 : refuse(x, "expected | or the end before", x->rest);
}

static int pipeline(struct expansion *x, struct template_value *out)
{
    struct template_value value;
    if (command(x, NULL, &value) < 0)
        return -1;
    while (skip_space(x), cut_prefix(x, "|")) {
        struct template_value piped = value;
        if (command(x, &piped, &value) < 0)
            return -1;
    }
    *out = value;
    return 0;
}

/* One action, without its braces. */
static int action(struct expansion *x, struct slice text, struct buffer *out)
{
    x->rest = slice_trim(text);
    x->depth = 0;
    if (slice_starts_with(x->rest, SLICE("/*")))
        return 0;
    struct template_value value;
    if (pipeline(x, &value) < 0)
        return -1;
    if (x->rest.len)
        return refuse(x, "expected the end of the action before", x->rest);
    template_value_append(&value, out);
    return 0;
}

/* The end of the action that starts at text: the place of "}}" outside strings, or text.len. */
static size_t action_end(struct slice text)
{
    char quote = 0;
    for (size_t i = 0; i + 1 < text.len; i++) {
        char c = text.at[i];
        if (quote == '"' && c == '\\')
            i++;
        else if (quote)
            quote = c == quote ? 0 : quote;
        else if (c == '"' || c == '`')
            quote = c;
        else if (c == '}' && text.at[i + 1] == '}')
            return i;
    }
    return text.len;
}

static void trim_end(struct buffer *out)
{
    while (out->len && isspace((unsigned char)out->at[out->len - 1]))
        out->len--;
}

/* Takes "{{ ... }}" from the front of *rest, expanding it to *out. */
static int next_action(struct expansion *x, struct slice *rest, struct buffer *out)
{
    struct slice inner = slice_skip(*rest, 2);
    size_t end = action_end(inner);
    if (end == inner.len) {
        struct slice from = *rest;
        *rest = slice_skip(*rest, rest->len);
        return refuse(x, "there is no }} for", from);
    }
    *rest = slice_skip(inner, end + 2);
    inner = slice_head(inner, end);
    if (inner.len > 1 && inner.at[0] == '-' && isspace((unsigned char)inner.at[1])) {
        trim_end(out);
        inner = slice_skip(inner, 1);
    }
    size_t len = inner.len;
    if (len > 1 && inner.at[len - 1] == '-' && isspace((unsigned char)inner.at[len - 2])) {
        inner.len--;
        while (rest->len && isspace((unsigned char)*rest->at))
            *rest = slice_skip(*rest, 1);
    }
    return action(x, inner, out);
}

/* Expands all of `rest`; -1 and *first from the first action that failed. */
static int expand(struct expansion *x, struct slice rest, struct buffer *out, struct error *first)
{
    int status = 0;
    while (rest.len) {
        size_t text = slice_find(rest, SLICE("{{"));
        buffer_append_slice(out, slice_head(rest, text));
        rest = slice_skip(rest, text);
        if (!rest.len || next_action(x, &rest, out) == 0)
            continue;
        buffer_append_format(out, "<error expanding template: %s>", x->problem.text);
        if (status == 0)
            status = error_set(first, x->problem.kind, "%s", x->problem.text);
    }
    return status;
}

int template_check(struct slice text, struct error *err)
{
    struct template_data nothing = {.value = 0};
    struct buffer out;
    struct arena arena;
    buffer_init(&out, TEMPLATE_OUTPUT_MAX);
    arena_init(&arena, (size_t)16 * TEMPLATE_OUTPUT_MAX);
    struct expansion x = {.data = &nothing, .arena = &arena, .dry = true};
    int status = expand(&x, text, &out, err);
    arena_release(&arena);
    buffer_release(&out);
    return status;
}

struct slice template_expand(struct slice text, const struct template_data *data,
                             struct arena *arena)
{
    if (slice_find(text, SLICE("{{")) == text.len)
        return text;
    struct buffer out;
    buffer_init(&out, TEMPLATE_OUTPUT_MAX);
    struct expansion x = {.data = data, .arena = arena};
    int status = expand(&x, text, &out, NULL);
    (void)status; /* the text says it */
    struct slice expanded = arena_copy(arena, buffer_slice(&out));
    buffer_release(&out);
    return expanded;
}
