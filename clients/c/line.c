/* line: one pass over a call's strings, each byte once.
 *
 *   shop.orders:1|c|@0.1|#env:prod,country:nl        _e{6,5}:Deploy|v 7.1|t:info|#env:prod
 *   ^^^^^^^^^^^ ^ ^ ^^^^ ^^^^^^^^^^^^^^^^^^^^           ^ ^  ^^^^^^ ^^^^^
 *   prefix+name      rate constant tags, then the call's   lengths in bytes
 *
 * Whatever a name or a tag holds, no byte of it can end the line or the field: bytes that would
 * become '_'. A tag that does not fit is left out whole, and those behind it are still tried.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* strnlen, also where a project compiles with -std=c99 */
#endif
#include "line.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES_MAX 512 /* lapwingd's limits */
#define TAG_COUNT_MAX  62

/* --- text --- */

/* Where a byte of 0x20 and above must not stand; control bytes may stand nowhere. */
enum {
    NAME = 1,
    KEY = 2,
    VALUE = 4,  /* of a tag */
    MEMBER = 8, /* of a set, or the text of a check */
    PROSE = 16, /* of an event: its lengths are in bytes, so bars are no matter */
};
#define ANYWHERE (NAME | KEY | VALUE | MEMBER | PROSE)
static const unsigned char illegal_in[128] = {
    [' '] = NAME | KEY, ['#'] = NAME | KEY,
    [':'] = NAME | KEY, [','] = NAME | KEY | VALUE,
    [';'] = NAME,       ['|'] = NAME | KEY | VALUE | MEMBER,
    ['['] = NAME,       [0x7f] = ANYWHERE,
    ['{'] = NAME,
};

static void put_bytes(struct lapwing_line *out, const char *at, size_t len)
{
    if (out->full || len > out->room - out->len) {
        out->full = true;
        return;
    }
    memcpy(out->at + out->len, at, len);
    out->len += len;
}

static void put_string(struct lapwing_line *out, const char *text)
{
    put_bytes(out, text, strlen(text));
}

static void put_clean(struct lapwing_line *out, const char *at, size_t len, unsigned place)
{
    if (out->full || len > out->room - out->len) {
        out->full = true;
        return;
    }
    char *to = out->at + out->len;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)at[i];
        to[i] = c < ' ' || (c < sizeof illegal_in && illegal_in[c] & place) ? '_' : at[i];
    }
    out->len += len;
}

/* A decimal of at most `decimals` digits behind the point: digits / 10^decimals. */
static void put_decimal(struct lapwing_line *out, int64_t digits, int decimals)
{
    char reversed[32], forward[32];
    size_t count = 0, len = 0;
    uint64_t rest = digits < 0 ? (uint64_t)-digits : (uint64_t)digits;
    for (int place = 0; rest || place <= decimals; place++) {
        if (place == decimals && place)
            reversed[count++] = '.';
        reversed[count++] = (char)('0' + rest % 10);
        rest /= 10;
    }
    if (digits < 0)
        forward[len++] = '-';
    while (count)
        forward[len++] = reversed[--count];
    put_bytes(out, forward, len);
}

/* printf's point is the locale's, and may be several bytes. */
static void put_printed(struct lapwing_line *out, const char *printed)
{
    for (const char *at = printed; *at; at++) {
        if (strchr("0123456789+-e", *at))
            put_bytes(out, at, 1);
        else if (at == printed || strchr("0123456789+-e", at[-1]))
            put_bytes(out, ".", 1);
    }
}

/* The fewest digits that read back as the same number. */
static void put_number(struct lapwing_line *out, double value)
{
    double scale = 1;
    for (int decimals = 0; decimals <= 6; decimals++, scale *= 10) {
        double digits = value * scale + (value < 0 ? -0.5 : 0.5);
        if (!(digits > -1e15 && digits < 1e15))
            break;
        if ((double)(int64_t)digits / scale == value) {
            put_decimal(out, (int64_t)digits, decimals);
            return;
        }
    }
    char printed[40];
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(printed, sizeof printed, "%.*g", precision, value);
        if (strtod(printed, NULL) == value)
            break;
    }
    put_printed(out, printed);
}

/* At most `max` bytes of a string, not ending within a character of UTF-8. */
static size_t bounded_length(const char *text, size_t max)
{
    size_t len = strnlen(text, max + 1);
    if (len <= max)
        return len;
    for (len = max; len && ((unsigned char)text[len] & 0xc0) == 0x80;)
        len--;
    return len;
}

/* --- tags --- */

/* One tag whole, or none of it. value NULL: a bare one. */
static void put_tag(struct lapwing_line *out, struct lapwing_tag tag, size_t key_len,
                    size_t value_len)
{
    struct lapwing_line before = *out;
    if (key_len == 0 || (tag.value && value_len == 0))
        return;
    put_string(out, out->tags ? "," : "|#");
    put_clean(out, tag.key, key_len, KEY);
    if (tag.value) {
        put_bytes(out, ":", 1);
        put_clean(out, tag.value, value_len, VALUE);
    }
    out->tags++;
    if (out->full || out->tags > TAG_COUNT_MAX) {
        *out = before;
        out->cut = true;
    }
}

/* "key:value,bare" */
static void put_tag_text(struct lapwing_line *out, const char *tags)
{
    while (tags && *tags) {
        size_t len = strcspn(tags, ","), key_len = strcspn(tags, ":,");
        bool bare = key_len == len;
        struct lapwing_tag tag = {tags, bare ? NULL : tags + key_len + 1};
        put_tag(out, tag, key_len, bare ? 0 : len - key_len - 1);
        tags += len + (tags[len] == ',');
    }
}

static void put_constant_tags(struct lapwing_line *out, const struct lapwing_constants *constants)
{
    struct lapwing_line before = *out;
    if (constants->tags_len == 0)
        return;
    put_string(out, "|#");
    put_bytes(out, constants->tags, constants->tags_len);
    out->tags = constants->tag_count;
    if (out->full) {
        *out = before;
        out->cut = true;
    }
}

/* --- lines --- */

static const char *const type_names[] = {
    [LAPWING_COUNT] = "c",   [LAPWING_GAUGE] = "g",     [LAPWING_ADJUST] = "g",
    [LAPWING_TIMING] = "ms", [LAPWING_HISTOGRAM] = "h", [LAPWING_DISTRIBUTION] = "d",
    [LAPWING_SET] = "s",
};
#define TYPE_COUNT (sizeof type_names / sizeof type_names[0])

static void put_name(struct lapwing_line *out, const struct lapwing_constants *constants,
                     const char *name)
{
    size_t len = bounded_length(name, NAME_BYTES_MAX - constants->prefix_len);
    put_bytes(out, constants->prefix, constants->prefix_len);
    put_clean(out, name, len, NAME);
    out->cut |= name[len] != '\0' || constants->cut;
}

static void put_line(struct lapwing_line *out, const struct lapwing_constants *constants,
                     const struct lapwing_metric *metric, double value)
{
    out->tags = 0;
    put_name(out, constants, metric->name);
    put_bytes(out, ":", 1);
    if (metric->type == LAPWING_ADJUST && value >= 0)
        put_bytes(out, "+", 1);
    if (metric->type == LAPWING_SET)
        put_clean(out, metric->member, strlen(metric->member), MEMBER);
    else
        put_number(out, value);
    put_bytes(out, "|", 1);
    put_string(out, type_names[metric->type]);
    if (metric->sample_rate < 1) {
        put_string(out, "|@");
        put_number(out, metric->sample_rate);
    }
    if (out->full)
        return;
    put_constant_tags(out, constants);
    put_tag_text(out, metric->tags);
    for (size_t i = 0; metric->tag_list && i < metric->tag_count; i++) {
        struct lapwing_tag tag = metric->tag_list[i];
        put_tag(out, tag, tag.key ? strlen(tag.key) : 0, tag.value ? strlen(tag.value) : 0);
    }
}

static bool is_valid(const struct lapwing_metric *metric)
{
    if (!metric->name || !*metric->name || (unsigned)metric->type >= TYPE_COUNT)
        return false;
    if (metric->type == LAPWING_SET)
        return metric->member && *metric->member;
    return isfinite(metric->value * (1 / metric->sample_rate));
}

/* A sign in front moves a gauge, so what is below zero is set by way of zero. */
bool lapwing_line_metric(struct lapwing_line *out, const struct lapwing_constants *constants,
                         const struct lapwing_metric *metric)
{
    if (!is_valid(metric))
        return false;
    if (metric->type == LAPWING_GAUGE && metric->value < 0) {
        put_line(out, constants, metric, 0);
        put_bytes(out, "\n", 1);
    }
    put_line(out, constants, metric, metric->value);
    return true;
}

/* --- events and service checks --- */

static void put_all_tags(struct lapwing_line *out, const struct lapwing_constants *constants,
                         const char *tags)
{
    put_constant_tags(out, constants);
    put_tag_text(out, tags);
    out->cut |= constants->cut;
}

/* Bytes that a line feed of `text` takes two of: the letter n behind a backslash. */
static size_t escaped_length(const char *text)
{
    size_t len = 0;
    for (const char *at = text; *at; at++)
        len += *at == '\n' ? 2 : 1;
    return len;
}

static void put_escaped(struct lapwing_line *out, const char *text)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        put_clean(out, text, len, PROSE);
        text += len;
        if (*text == '\n') {
            put_string(out, "\\n");
            text++;
        }
    }
}

bool lapwing_line_event(struct lapwing_line *out, const struct lapwing_constants *constants,
                        const struct lapwing_notice *event)
{
    const char *text = event->text ? event->text : "";
    char lengths[64];
    if (!event->title || !*event->title)
        return false;
    snprintf(lengths, sizeof lengths, "_e{%zu,%zu}:", escaped_length(event->title),
             escaped_length(text));
    put_string(out, lengths);
    put_escaped(out, event->title);
    put_bytes(out, "|", 1);
    put_escaped(out, text);
    if (event->alert) {
        put_string(out, "|t:");
        put_clean(out, event->alert, strlen(event->alert), MEMBER);
    }
    if (!out->full)
        put_all_tags(out, constants, event->tags);
    return true;
}

/* The message goes last: some servers take all that follows it for a part of it. */
bool lapwing_line_check(struct lapwing_line *out, const struct lapwing_constants *constants,
                        const struct lapwing_notice *check)
{
    if (!check->title || !*check->title || check->status < 0 || check->status > 3)
        return false;
    size_t len = bounded_length(check->title, NAME_BYTES_MAX);
    const char status[] = {'|', (char)('0' + check->status)};
    put_string(out, "_sc|");
    put_clean(out, check->title, len, NAME);
    put_bytes(out, status, sizeof status);
    out->cut |= check->title[len] != '\0';
    size_t message_len = check->text ? strlen(check->text) : 0, room = out->room;
    if (message_len) { /* tags must leave room for it */
        if (message_len + 3 > room - out->len)
            out->full = true;
        else
            out->room = room - message_len - 3;
    }
    if (!out->full)
        put_all_tags(out, constants, check->tags);
    out->room = room;
    if (message_len) {
        put_string(out, "|m:");
        put_clean(out, check->text, message_len, MEMBER);
    }
    return true;
}

/* --- constants --- */

void lapwing_constants_init(struct lapwing_constants *constants, const char *prefix,
                            const char *tags)
{
    char text[2 + LAPWING_CONSTANT_MAX]; /* with "|#" */
    struct lapwing_line tag_line = {.at = text, .room = sizeof text};
    struct lapwing_line name = {.at = constants->prefix, .room = sizeof constants->prefix};
    if (prefix) {
        size_t len = bounded_length(prefix, sizeof constants->prefix);
        put_clean(&name, prefix, len, NAME);
        name.cut = prefix[len] != '\0';
    }
    put_tag_text(&tag_line, tags);
    constants->prefix_len = name.len;
    constants->tag_count = tag_line.tags;
    constants->tags_len = tag_line.tags ? tag_line.len - 2 : 0;
    memcpy(constants->tags, text + 2, constants->tags_len);
    constants->cut = name.cut || tag_line.cut;
}
