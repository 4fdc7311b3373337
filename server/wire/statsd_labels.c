/* statsd_labels: raw name and tag bytes -> a label set, once per new series.
 *
 *   api.latency;zone=a + route:/buy,canary,route:/sell
 *   -> __name__="api.latency", canary="true", route="/sell", zone="a"
 *
 * Bytes that need no change are not copied; the slices then point into the input.
 */
#include "server/wire/statsd.h"

static bool is_whitespace(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_clean(struct slice s, bool spaces_allowed)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.at[i];
        if (c >= 0x7f || c < ' ' || (c == ' ' && !spaces_allowed))
            return false;
    }
    return true;
}

struct slice statsd_clean(struct slice s, bool spaces_allowed, struct arena *arena)
{
    static const char replacement[] = "\xef\xbf\xbd";
    if (is_clean(s, spaces_allowed))
        return s;
    char *at = arena_alloc(arena, s.len * 3);
    if (!at)
        return (struct slice){NULL, 0};
    size_t len = 0;
    while (s.len) {
        unsigned char c = (unsigned char)s.at[0];
        size_t step = slice_utf8_length(s);
        if (step == 0) {
            memcpy(at + len, replacement, 3);
            len += 3;
        } else if (step == 1 && (c < ' ' || c == 0x7f || (is_whitespace(c) && !spaces_allowed))) {
            at[len++] = '_';
        } else {
            memcpy(at + len, s.at, step);
            len += step;
        }
        s = slice_skip(s, step ? step : 1);
    }
    return slice_make(at, len);
}

/* False for a tag that makes no label. */
static bool read_tag(struct slice tag, char equals, struct arena *arena, struct label *out)
{
    struct slice key, value = tag;
    if (value.len && value.at[0] == '#') /* the PHP client repeats it before every tag */
        value = slice_skip(value, 1);
    if (!slice_cut(&value, equals, &key))
        value = SLICE("true");
    if (key.len == 0 || value.len == 0)
        return false;
    out->name = statsd_clean(key, false, arena);
    out->value = statsd_clean(value, true, arena);
    if (slice_starts_with(out->name, SLICE("__")))
        out->name = arena_format(arena, "exported" SLICE_FMT, SLICE_ARG(out->name));
    return true;
}

/* How tags are written: a;k=v;k=v or #k:v,k:v. */
struct tag_form {
    char separates, equals;
};

/* Appends the labels of the tags to `count` ones; false when there is no room. */
static bool read_tags(struct slice tags, struct tag_form form, struct arena *arena,
                      struct label *at, size_t *count)
{
    while (tags.len) {
        struct slice tag;
        slice_cut(&tags, form.separates, &tag);
        /* Room stays for one label more: the registry may add statsd_type. */
        if (*count == LABELS_MAX - 1)
            return false;
        *count += read_tag(tag, form.equals, arena, &at[*count]);
    }
    return true;
}

/* Equal names stand together, in the order they came: keep the last of each. */
static size_t drop_duplicates(struct label *at, size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (kept && slice_equal(at[kept - 1].name, at[i].name))
            at[kept - 1] = at[i];
        else
            at[kept++] = at[i];
    }
    return kept;
}

bool statsd_labels(struct statsd_name name, struct slice tags, struct arena *arena,
                   struct labels *out)
{
    struct label *at = arena_alloc(arena, LABELS_MAX * sizeof *at);
    if (!at)
        return false;
    struct slice whole = statsd_clean(name.head, false, arena);
    if (name.tail.len + name.suffix.len)
        whole =
            arena_format(arena, SLICE_FMT SLICE_FMT SLICE_FMT, SLICE_ARG(whole),
                         SLICE_ARG(statsd_clean(name.tail, false, arena)), SLICE_ARG(name.suffix));
    size_t count = 0;
    at[count++] = (struct label){SLICE(LABEL_NAME), whole};
    if (!read_tags(name.tags, (struct tag_form){name.separator, '='}, arena, at, &count) ||
        !read_tags(tags, (struct tag_form){',', ':'}, arena, at, &count))
        return false;
    labels_sort(at, count);
    *out = (struct labels){at, drop_duplicates(at, count)};
    return !arena->exhausted;
}
