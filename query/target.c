/* target: see the header.
 *
 *   a.{b,c}.d   ->   a.b.d   a.c.d      the first braces are written out until there are none; braces may
 *                                       hold dots, but no braces
 *
 * A bracket that is never closed is itself. So is every other byte.
 */
#include "query/target.h"

#include <string.h>

bool target_cut_node(struct slice *rest, struct slice *node)
{
    if (rest->len == 0)
        return false;
    slice_cut(rest, '.', node);
    return true;
}

/* --- alternatives --- */

struct expansion {
    struct arena *arena;
    struct slice texts[TARGET_PATHS_MAX];
    size_t count;
};

static bool push(struct expansion *all, struct slice text)
{
    if (all->count == TARGET_PATHS_MAX)
        return false;
    all->texts[all->count++] = text;
    return true;
}

/* The place of `byte` at or after `from`, text.len when there is none. */
static size_t find(struct slice text, size_t from, char byte)
{
    const char *hit =
        from < text.len ? (const char *)memchr(text.at + from, byte, text.len - from) : NULL;
    return hit ? (size_t)(hit - text.at) : text.len;
}

/* Appends the texts that the first braces of one make; one without braces as it is. */
static bool open_braces(struct expansion *to, struct slice text, bool *opened)
{
    size_t open = find(text, 0, '{'), close = find(text, open, '}');
    struct slice head = slice_head(text, open), tail = slice_skip(text, close + 1), part;
    if (close == text.len)
        return push(to, text);
    struct slice parts = slice_make(text.at + open + 1, close - open - 1);
    *opened = true;
    bool more = true;
    while (more) {
        more = slice_cut(&parts, ',', &part);
        struct slice whole = arena_format(to->arena, SLICE_FMT SLICE_FMT SLICE_FMT, SLICE_ARG(head),
                                          SLICE_ARG(part), SLICE_ARG(tail));
        if (!push(to, whole))
            return false;
    }
    return true;
}

static bool expand_all(struct expansion *all)
{
    bool opened = true;
    while (opened) {
        struct expansion before = *all;
        opened = false;
        all->count = 0;
        for (size_t i = 0; i < before.count; i++)
            if (!open_braces(all, before.texts[i], &opened))
                return false;
    }
    return true;
}

static int read_path(struct slice text, struct target *out, struct error *err)
{
    struct slice rest = text;
    out->count = 0;
    for (bool more = true; more; out->count++) {
        if (out->count == TARGET_NODES_MAX)
            return error_set(err, ERROR_BAD_DATA, "a path may have at most %d nodes",
                             TARGET_NODES_MAX);
        more = slice_cut(&rest, '.', &out->nodes[out->count]);
        if (out->nodes[out->count].len == 0)
            return error_set(err, ERROR_BAD_DATA, "the path \"" SLICE_FMT "\" has an empty node",
                             SLICE_ARG(slice_head(text, 200)));
    }
    return 0;
}

int target_expand(struct slice text, struct arena *arena, struct target **out, size_t *count,
                  struct error *err)
{
    struct expansion *all = arena_alloc(arena, sizeof *all);
    if (text.len > TARGET_BYTES_MAX)
        return error_set(err, ERROR_BAD_DATA, "a path may have at most %d bytes", TARGET_BYTES_MAX);
    if (!all)
        return error_set(err, ERROR_LIMIT, "the path needs more than limits.query_memory");
    *all = (struct expansion){.arena = arena, .texts = {text}, .count = 1};
    if (!expand_all(all))
        return error_set(err, ERROR_BAD_DATA, "the alternatives of a path are more than %d",
                         TARGET_PATHS_MAX);
    *out = arena_zeroed(arena, all->count, sizeof **out);
    if (!*out || arena->exhausted)
        return error_set(err, ERROR_LIMIT, "the path needs more than limits.query_memory");
    *count = all->count;
    for (size_t i = 0; i < all->count; i++)
        if (read_path(all->texts[i], &(*out)[i], err))
            return -1;
    return 0;
}

/* --- wildcards --- */

/* The class at the front of a glob: [abc], [a-z]. Its length, 0 when there is none. */
static size_t class_length(struct slice glob)
{
    size_t end = glob.len && glob.at[0] == '[' ? find(glob, 2, ']') : glob.len;
    return end < glob.len ? end + 1 : 0;
}

static bool class_has(struct slice class, char c)
{
    struct slice inner = slice_make(class.at + 1, class.len - 2);
    for (size_t i = 0; i < inner.len; i++) {
        bool range = i + 2 < inner.len && inner.at[i + 1] == '-';
        if (range ? c >= inner.at[i] && c <= inner.at[i + 2] : c == inner.at[i])
            return true;
        i += range ? 2 : 0;
    }
    return false;
}

bool target_is_glob(struct slice node)
{
    for (size_t i = 0; i < node.len; i++)
        if (node.at[i] == '*' || node.at[i] == '?' || class_length(slice_skip(node, i)))
            return true;
    return false;
}

/* The length of the glob's first piece that is no star, if it matches c; 0: it does not. */
static size_t match_one(struct slice glob, char c)
{
    size_t class = class_length(glob);
    if (glob.len == 0)
        return 0;
    if (class)
        return class_has(slice_head(glob, class), c) ? class : 0;
    return glob.at[0] == '?' || glob.at[0] == c ? 1 : 0;
}

bool target_matches(struct slice node, struct slice text)
{
    struct slice after_star = {NULL, 0}, from = {NULL, 0}; /* where the last star goes on */
    while (text.len) {
        size_t piece = node.len && node.at[0] == '*' ? 0 : match_one(node, text.at[0]);
        if (node.len && node.at[0] == '*') {
            after_star = node = slice_skip(node, 1);
            from = text;
        } else if (piece) {
            node = slice_skip(node, piece);
            text = slice_skip(text, 1);
        } else if (from.at) { /* the star takes a byte more */
            node = after_star;
            text = from = slice_skip(from, 1);
        } else {
            return false;
        }
    }
    while (node.len && node.at[0] == '*')
        node = slice_skip(node, 1);
    return node.len == 0;
}

/* --- as a regular expression --- */

static void write_literal(char c, struct buffer *out)
{
    if (strchr("\\^$.[]|()?*+{}-", c) && c)
        buffer_append_char(out, '\\');
    buffer_append_char(out, c);
}

static void write_class(struct slice class, struct buffer *out)
{
    buffer_append_char(out, '[');
    for (size_t i = 1; i + 1 < class.len; i++)
        if (class.at[i] == '-')
            buffer_append_char(out, '-');
        else
            write_literal(class.at[i], out);
    buffer_append_char(out, ']');
}

static void write_node(struct slice node, struct buffer *out)
{
    while (node.len) {
        size_t class = class_length(node);
        if (class)
            write_class(slice_head(node, class), out);
        else if (node.at[0] == '*')
            buffer_append_string(out, "[^.]*");
        else if (node.at[0] == '?')
            buffer_append_string(out, "[^.]");
        else
            write_literal(node.at[0], out);
        bool star = !class && node.at[0] == '*';
        do
            node = slice_skip(node, class ? class : 1);
        while (star && node.len && node.at[0] == '*'); /* many are one */
    }
}

void target_write_regex(const struct slice *nodes, size_t count, struct buffer *out)
{
    for (size_t i = 0; i < count; i++) {
        if (i)
            buffer_append_string(out, "\\.");
        write_node(nodes[i], out);
    }
}
