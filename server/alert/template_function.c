/* template_function: humanize and its relatives, case, index, printf.
 *
 *   humanize            1234567  -> 1.235M        humanizePercentage  0.4567 -> 45.67%
 *   humanize1024        2048     -> 2ki           humanizeDuration    3725   -> 1h 2m 5s
 *   humanizeTimestamp   0        -> 1970-01-01 00:00:00 +0000 UTC
 *
 * A number printed as it is looks as Go prints it: 5e+06, so that promtool's tests hold. printf takes Go's verbs v s d f e g q x with width, precision and the flags - + 0. Each verb has
 * a C format of its own here: a format from a rule file is never handed to libc.
 */
#include "server/alert/template_function.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "storage/base/number.h"

#define PRINTF_WIDTH_MAX 200
#define PRINTF_MAX       4096 /* bytes */
#define NUMBER_MAX       400  /* bytes of one formatted number */

static void labels_append(struct labels labels, struct buffer *out)
{
    buffer_append_string(out, "map[");
    for (size_t i = 0; i < labels.count; i++)
        buffer_append_format(out, "%s" SLICE_FMT ":" SLICE_FMT, i ? " " : "",
                             SLICE_ARG(labels.at[i].name), SLICE_ARG(labels.at[i].value));
    buffer_append_char(out, ']');
}

void template_value_append(const struct template_value *value, struct buffer *out)
{
    if (value->type == TEMPLATE_NUMBER)
        number_print(value->number, NUMBER_TEXT, out);
    else if (value->type == TEMPLATE_STRING)
        buffer_append_slice(out, value->string);
    else
        labels_append(value->labels, out);
}

static int to_number(const struct template_value *value, double *out, struct error *err)
{
    if (value->type == TEMPLATE_NUMBER) {
        *out = value->number;
        return 0;
    }
    if (value->type == TEMPLATE_STRING && slice_to_double(value->string, out))
        return 0;
    return error_set(err, ERROR_EXECUTION, "\"" SLICE_FMT "\" is not a number",
                     SLICE_ARG(slice_head(value->string, 80)));
}

static struct slice to_string(struct arena *arena, const struct template_value *value)
{
    struct buffer text;
    buffer_init(&text, PRINTF_MAX);
    template_value_append(value, &text);
    struct slice copy = arena_copy(arena, buffer_slice(&text));
    buffer_release(&text);
    return copy;
}

/* Divides or multiplies by `base` until the value is readable, then prints "%.4g" and the prefix. */
static struct slice with_prefix(struct arena *arena, double value, double base, const char *unit)
{
    static const char *const big[] = {"", "k", "M", "G", "T", "P", "E", "Z", "Y"};
    static const char *const small[] = {"", "m", "u", "n", "p", "f", "a", "z", "y"};
    size_t i = 0;
    if (value == 0 || !isfinite(value))
        return arena_format(arena, "%.4g%s", value, unit);
    if (fabs(value) >= 1) {
        for (; i < 8 && fabs(value) >= base; i++)
            value /= base;
        return arena_format(arena, "%.4g%s%s%s", value, big[i], i && base > 1000 ? "i" : "", unit);
    }
    for (; i < 8 && base <= 1000 && fabs(value) < 1; i++)
        value *= base;
    return arena_format(arena, "%.4g%s%s", value, small[i], unit);
}

static int humanize(struct arena *arena, const struct template_value *args, int count,
                    struct template_value *out, struct error *err)
{
    (void)count;
    double value = 0;
    if (to_number(&args[0], &value, err) < 0)
        return -1;
    out->string = with_prefix(arena, value, 1000, "");
    return 0;
}

static int humanize_1024(struct arena *arena, const struct template_value *args, int count,
                         struct template_value *out, struct error *err)
{
    (void)count;
    double value = 0;
    if (to_number(&args[0], &value, err) < 0)
        return -1;
    out->string = with_prefix(arena, value, 1024, "");
    return 0;
}

static int humanize_duration(struct arena *arena, const struct template_value *args, int count,
                             struct template_value *out, struct error *err)
{
    (void)count;
    double value = 0;
    if (to_number(&args[0], &value, err) < 0)
        return -1;
    const char *sign = value < 0 ? "-" : "";
    double size = fabs(value);
    if (!(size >= 60) || size > 1e15) {
        out->string =
            size >= 1 ? arena_format(arena, "%.4gs", value) : with_prefix(arena, value, 1000, "s");
        return 0;
    }
    int64_t whole = (int64_t)size;
    long long days = whole / 86400, hours = whole / 3600 % 24, minutes = whole / 60 % 60,
              seconds = whole % 60;
    if (days)
        out->string =
            arena_format(arena, "%s%lldd %lldh %lldm %llds", sign, days, hours, minutes, seconds);
    else if (hours)
        out->string = arena_format(arena, "%s%lldh %lldm %llds", sign, hours, minutes, seconds);
    else
        out->string = arena_format(arena, "%s%lldm %llds", sign, minutes, seconds);
    return 0;
}

static int humanize_percentage(struct arena *arena, const struct template_value *args, int count,
                               struct template_value *out, struct error *err)
{
    (void)count;
    double value = 0;
    if (to_number(&args[0], &value, err) < 0)
        return -1;
    out->string = arena_format(arena, "%.4g%%", value * 100);
    return 0;
}

static int humanize_timestamp(struct arena *arena, const struct template_value *args, int count,
                              struct template_value *out, struct error *err)
{
    (void)count;
    double value = 0;
    struct tm parts;
    if (to_number(&args[0], &value, err) < 0)
        return -1;
    if (!(fabs(value) < 1e11)) {
        out->string = arena_format(arena, "%.4g", value);
        return 0;
    }
    int64_t ms = llround(value * 1000), fraction = (ms % 1000 + 1000) % 1000;
    time_t seconds = (time_t)((ms - fraction) / 1000);
    char text[64], decimals[16] = "";
    if (!gmtime_r(&seconds, &parts))
        return error_set(err, ERROR_EXECUTION, "the time is out of range");
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &parts);
    if (fraction) {
        int len = snprintf(decimals, sizeof decimals, ".%03d", (int)fraction);
        while (decimals[len - 1] == '0')
            decimals[--len] = 0;
    }
    out->string = arena_format(arena, "%s%s +0000 UTC", text, decimals);
    return 0;
}

static struct slice change_case(struct arena *arena, struct slice text, int (*change)(int))
{
    char *copy = arena_alloc(arena, text.len + 1);
    for (size_t i = 0; copy && i < text.len; i++)
        copy[i] = (char)change((unsigned char)text.at[i]);
    return slice_make(copy, copy ? text.len : 0);
}

static int to_upper(struct arena *arena, const struct template_value *args, int count,
                    struct template_value *out, struct error *err)
{
    (void)count, (void)err;
    out->string = change_case(arena, to_string(arena, &args[0]), toupper);
    return 0;
}

static int to_lower(struct arena *arena, const struct template_value *args, int count,
                    struct template_value *out, struct error *err)
{
    (void)count, (void)err;
    out->string = change_case(arena, to_string(arena, &args[0]), tolower);
    return 0;
}

static int index_labels(struct arena *arena, const struct template_value *args, int count,
                        struct template_value *out, struct error *err)
{
    (void)arena, (void)count;
    if (args[0].type != TEMPLATE_LABELS || args[1].type != TEMPLATE_STRING)
        return error_set(err, ERROR_EXECUTION, "index takes $labels and a label name in quotes");
    out->string = labels_get(args[0].labels, args[1].string);
    return 0;
}

struct verb {
    bool left, plus, zero;
    int width;
    int precision; /* -1 = not given */
    char letter;
};

static int cut_decimal(struct slice *rest, int none)
{
    int value = none;
    while (rest->len && isdigit((unsigned char)*rest->at)) {
        value = (value < 0 ? 0 : value) * 10 + (*rest->at - '0');
        value = value > PRINTF_WIDTH_MAX ? PRINTF_WIDTH_MAX : value;
        *rest = slice_skip(*rest, 1);
    }
    return value;
}

static struct verb cut_verb(struct slice *rest)
{
    struct verb verb = {.precision = -1};
    for (; rest->len && strchr("-+0 #", *rest->at) && *rest->at; *rest = slice_skip(*rest, 1)) {
        verb.left |= *rest->at == '-';
        verb.plus |= *rest->at == '+';
        verb.zero |= *rest->at == '0';
    }
    verb.width = cut_decimal(rest, 0);
    if (rest->len && *rest->at == '.') {
        *rest = slice_skip(*rest, 1);
        verb.precision = cut_decimal(rest, 0);
    }
    verb.letter = rest->len ? *rest->at : 0;
    *rest = slice_skip(*rest, 1);
    return verb;
}

static void pad(const struct verb *verb, const char *text, size_t len, struct buffer *out)
{
    size_t missing = (size_t)verb->width > len ? (size_t)verb->width - len : 0;
    bool zero = verb->zero && !verb->left && verb->letter != 's' && verb->letter != 'q';
    if (zero && len && strchr("+-", *text)) {
        buffer_append_char(out, *text++);
        len--;
    }
    for (size_t i = 0; !verb->left && i < missing; i++)
        buffer_append_char(out, zero ? '0' : ' ');
    buffer_append(out, text, len);
    for (size_t i = 0; verb->left && i < missing; i++)
        buffer_append_char(out, ' ');
}

static int print_number(const struct verb *verb, double value, struct buffer *out)
{
    char text[NUMBER_MAX + PRINTF_WIDTH_MAX + 8];
    struct buffer plain;
    int precision = verb->precision < 0 ? 6 : verb->precision;
    int len = -1;
    if (verb->letter == 'd' && fabs(value) < 9e18)
        len = snprintf(text, sizeof text, "%+lld", (long long)value);
    else if (verb->letter == 'x' && value >= 0 && value < 9e18)
        len = snprintf(text, sizeof text, "+%llx", (unsigned long long)value);
    else if (verb->letter == 'f' || verb->letter == 'F')
        len = snprintf(text, sizeof text, "%+.*f", precision, value);
    else if (verb->letter == 'e')
        len = snprintf(text, sizeof text, "%+.*e", precision, value);
    else if (verb->precision >= 0)
        len = snprintf(text, sizeof text, "%+.*g", precision, value);
    if (len < 0) {
        buffer_init(&plain, sizeof text);
        number_print(value, NUMBER_TEXT, &plain);
        len = snprintf(text, sizeof text, "%s" SLICE_FMT, value < 0 || isinf(value) ? "" : "+",
                       SLICE_ARG(buffer_slice(&plain)));
        buffer_release(&plain);
    }
    bool keeps_sign = verb->plus || *text == '-';
    pad(verb, text + !keeps_sign, (size_t)len - !keeps_sign, out);
    return 0;
}

static int print_verb(struct arena *arena, const struct verb *verb,
                      const struct template_value *arg, struct buffer *out)
{
    if (arg->type == TEMPLATE_NUMBER)
        return print_number(verb, arg->number, out);
    struct slice text = to_string(arena, arg);
    double number;
    if (strchr("feg", verb->letter) && slice_to_double(text, &number))
        return print_number(verb, number, out);
    if (verb->precision >= 0)
        text = slice_head(text, (size_t)verb->precision);
    if (verb->letter == 'q')
        text = arena_format(arena, "\"" SLICE_FMT "\"", SLICE_ARG(text));
    pad(verb, text.at, text.len, out);
    return 0;
}

static int print_format(struct arena *arena, const struct template_value *args, int count,
                        struct buffer *out, struct error *err)
{
    struct slice rest = args[0].string;
    int next = 1;
    while (rest.len) {
        struct slice text;
        if (slice_cut(&rest, '%', &text), buffer_append_slice(out, text), !rest.len)
            break;
        struct verb verb = cut_verb(&rest);
        if (verb.letter == '%') {
            buffer_append_char(out, '%');
            continue;
        }
        if (!verb.letter || !strchr("vsdfFegqx", verb.letter))
            return error_set(err, ERROR_EXECUTION,
                             "printf knows the verbs v s d f e g q x and %%%%, not %%%c",
                             isprint((unsigned char)verb.letter) ? verb.letter : '?');
        if (next >= count)
            return error_set(err, ERROR_EXECUTION, "printf has more verbs than arguments");
        print_verb(arena, &verb, &args[next++], out);
    }
    return 0;
}

static int print_formatted(struct arena *arena, const struct template_value *args, int count,
                           struct template_value *out, struct error *err)
{
    if (args[0].type != TEMPLATE_STRING)
        return error_set(err, ERROR_EXECUTION, "printf needs a format in quotes first");
    struct buffer text;
    buffer_init(&text, PRINTF_MAX);
    int status = print_format(arena, args, count, &text, err);
    out->string = arena_copy(arena, buffer_slice(&text));
    buffer_release(&text);
    return status;
}

static const struct template_function functions[] = {
    {"humanize", 1, 1, humanize},
    {"humanize1024", 1, 1, humanize_1024},
    {"humanizeDuration", 1, 1, humanize_duration},
    {"humanizePercentage", 1, 1, humanize_percentage},
    {"humanizeTimestamp", 1, 1, humanize_timestamp},
    {"index", 2, 2, index_labels},
    {"printf", 1, 8, print_formatted},
    {"toLower", 1, 1, to_lower},
    {"toUpper", 1, 1, to_upper},
};

const struct template_function *template_function_find(struct slice name)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (slice_equal_string(name, functions[i].name))
            return &functions[i];
    return NULL;
}

const char *template_function_names(void)
{
    return "humanize, humanize1024, humanizeDuration, humanizePercentage, humanizeTimestamp, "
           "index, printf, toLower and toUpper";
}
