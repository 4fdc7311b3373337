/* pattern: see the header.
 *
 *   api\.v1-.*     prefix "api.v1-", then anything
 *   web[0-9]+      prefix "web", then the regex
 *   abc|abd, (a)   no prefix: an alternative may begin otherwise, a group may be anything
 *   colou?r        prefix "colo": a quantifier belongs to the character before it, with all of its bytes
 *
 * A backslash makes punctuation literal; before letters and digits it means something else, and the prefix
 * ends there.
 */
#include "storage/pattern.h"

#include <ctype.h>

/* Cuts one literal character; false when something else is next. */
static bool cut_literal(struct slice *rest, char *out)
{
    if (rest->len == 0)
        return false;
    bool escaped = rest->at[0] == '\\';
    if (escaped && (rest->len < 2 || !ispunct((unsigned char)rest->at[1])))
        return false;
    if (!escaped && strchr("^$.[]()?*+{}|", rest->at[0]))
        return false;
    *out = rest->at[escaped];
    *rest = slice_skip(*rest, escaped ? 2 : 1);
    return true;
}

static bool is_quantified(struct slice rest)
{
    return rest.len && strchr("?*+{", rest.at[0]);
}

/* A byte of UTF-8 that is not the first of its character. */
static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static enum pattern_rest read_rest(struct slice rest)
{
    if (rest.len == 0)
        return PATTERN_NOTHING;
    if (slice_equal(rest, SLICE(".*")))
        return PATTERN_ANYTHING;
    return slice_equal(rest, SLICE(".+")) ? PATTERN_SOMETHING : PATTERN_REGEX;
}

void pattern_read(struct pattern *pattern, struct slice text)
{
    struct slice rest = text;
    char c;
    *pattern = (struct pattern){.rest = PATTERN_REGEX};
    if (memchr(text.at, '|', text.len) || memchr(text.at, 0, text.len))
        return;
    while (pattern->prefix_len < PATTERN_PREFIX_MAX) {
        struct slice before = rest;
        if (!cut_literal(&rest, &c))
            break;
        if (is_quantified(rest)) {
            rest = before;
            while (is_continuation(c) && pattern->prefix_len)
                c = pattern->prefix[--pattern->prefix_len];
            break;
        }
        pattern->prefix[pattern->prefix_len++] = c;
    }
    pattern->rest = read_rest(rest);
}

bool pattern_accepts(const struct pattern *pattern, const struct regex *regex, struct slice value)
{
    if (value.len < pattern->prefix_len ||
        memcmp(value.at, pattern->prefix, pattern->prefix_len) != 0)
        return false;
    switch (pattern->rest) {
    case PATTERN_NOTHING:
        return value.len == pattern->prefix_len;
    case PATTERN_ANYTHING:
        return true;
    case PATTERN_SOMETHING:
        return value.len > pattern->prefix_len;
    case PATTERN_REGEX:
        break;
    }
    return regex_match(regex, value);
}
