/* option: one table drives loading, checking, printing and documenting a configuration struct.
 *
 * A row's dotted path is the only description of the file's shape: "http.listen" says that `http`
 * is a map with a key `listen`. Loading first writes every fallback through the same reader that
 * values take, so a fallback cannot be illegal, then walks the map. A path that is no row and no
 * prefix of one is an unknown option; the nearest row is looked for among all rows and all their
 * prefixes, by edit distance, then by its last word (`flush_interval` -> `statsd.flush_interval`).
 *
 * An option of type ROWS is a list of maps, each loaded by a table of its own into one element of an
 * array.
 *
 * ${NAME} and ${NAME:-default} expand in every scalar; $${ stands for a plain ${. What is printed and
 * documented: option_print.c.
 */
#include "storage/base/option_state.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define PATH_MAX_BYTES   256
#define SCALAR_MAX_BYTES ((size_t)64 << 10)

struct loader {
    const struct option *table;
    size_t count;
    const char *name;
    struct arena *arena;
    char *config;
    int *line_of_row; /* where a row was set; 0 = not yet */
    struct error *err;
};

/* --- values --- */

static bool parse_bytes(struct slice text, int64_t *out)
{
    size_t digits = 0;
    while (digits < text.len && isdigit((unsigned char)text.at[digits]))
        digits++;
    int64_t number;
    if (!slice_to_i64(slice_head(text, digits), &number))
        return false;
    struct slice suffix = slice_trim(slice_skip(text, digits));
    for (size_t i = 0; i < OPTION_BYTE_UNITS; i++)
        if (slice_equal_string(suffix, option_byte_units[i].suffix))
            return !__builtin_mul_overflow(number, option_byte_units[i].unit, out);
    return false;
}

static bool bounded(const struct option *row, int64_t value)
{
    return (row->min == 0 && row->max == 0) || (value >= row->min && value <= row->max);
}

/* host:port or [v6]:port with a port from 0 to 65535; names are resolved by whoever binds. */
static bool address_is_valid(struct slice text)
{
    uint64_t port;
    size_t colon = text.len;
    while (colon > 0 && text.at[colon - 1] != ':')
        colon--;
    if (colon < 2 || !slice_to_u64(slice_skip(text, colon), &port) || port > 65535)
        return false;
    struct slice host = slice_head(text, colon - 1);
    bool bracketed = host.len > 2 && host.at[0] == '[' && host.at[host.len - 1] == ']';
    if (bracketed)
        host = slice_make(host.at + 1, host.len - 2);
    for (size_t i = 0; i < host.len; i++) {
        char c = host.at[i];
        if (!isalnum((unsigned char)c) && !strchr(bracketed ? ":.%-_" : ".-_", c))
            return false;
    }
    return true;
}

static bool parse_choice(const struct option *row, struct slice text, int64_t *out)
{
    for (size_t i = 0; row->choices[i]; i++)
        if (slice_equal_string(text, row->choices[i])) {
            *out = (int64_t)i;
            return true;
        }
    return false;
}

static bool parse_number(const struct option *row, struct slice text, int64_t *out)
{
    switch (row->type) {
    case OPTION_INT:
        return slice_to_i64(text, out) && bounded(row, *out);
    case OPTION_DURATION:
        return slice_to_duration_ms(text, out) && bounded(row, *out);
    case OPTION_BYTES:
        return parse_bytes(text, out) && bounded(row, *out);
    case OPTION_CHOICE:
        return parse_choice(row, text, out);
    case OPTION_STRING:
    case OPTION_ADDRESS:
    case OPTION_BOOL:
    case OPTION_LIST:
    case OPTION_ROWS:
        break;
    }
    return false;
}

/* Writes one scalar into the struct; false when the row does not allow it. */
static bool set_scalar(struct loader *loader, const struct option *row, struct slice text)
{
    char *at = loader->config + row->offset;
    int64_t number;
    if (row->type == OPTION_BOOL) {
        bool value = slice_equal(text, SLICE("true"));
        memcpy(at, &value, sizeof value);
        return value || slice_equal(text, SLICE("false"));
    }
    if (row->type == OPTION_STRING || row->type == OPTION_ADDRESS) {
        if (row->type == OPTION_ADDRESS && text.len && !address_is_valid(text))
            return false;
        struct slice copy = arena_copy_string(loader->arena, text);
        memcpy(at, &copy.at, sizeof copy.at);
        return copy.at && memchr(copy.at, 0, copy.len) == NULL;
    }
    if (!parse_number(row, text, &number))
        return false;
    memcpy(at, &number, sizeof number);
    return true;
}

/* --- environment --- */

static int fail_node(struct loader *loader, const struct yaml_node *node, const char *sentence)
{
    return error_set(loader->err, ERROR_BAD_DATA, "%s:%d:%d: %s", loader->name, node->line,
                     node->column, sentence);
}

/* `inside` stands between ${ and }. */
static int expand_variable(struct loader *loader, const struct yaml_node *node, struct slice inside,
                           struct buffer *out)
{
    size_t mark = slice_find(inside, SLICE(":-"));
    char name[128];
    snprintf(name, sizeof name, SLICE_FMT, SLICE_ARG(slice_head(inside, mark)));
    const char *value = getenv(name);
    bool has_default = mark < inside.len;
    if (value && (*value || !has_default)) {
        buffer_append_string(out, value);
        return 0;
    }
    if (has_default) {
        buffer_append_slice(out, slice_skip(inside, mark + 2));
        return 0;
    }
    return error_set(loader->err, ERROR_BAD_DATA,
                     "%s:%d:%d: the environment variable %s is not set; set it, or give a default "
                     "as in ${%s:-default}",
                     loader->name, node->line, node->column, name, name);
}

static int expand(struct loader *loader, const struct yaml_node *node, struct buffer *out)
{
    struct slice rest = node->text;
    while (rest.len) {
        size_t hit = slice_find(rest, SLICE("${"));
        bool escaped = hit > 0 && hit < rest.len && rest.at[hit - 1] == '$';
        buffer_append_slice(out, slice_head(rest, escaped ? hit - 1 : hit));
        rest = slice_skip(rest, hit);
        if (!rest.len)
            break;
        if (escaped) {
            buffer_append_string(out, "${");
            rest = slice_skip(rest, 2);
            continue;
        }
        struct slice inside;
        rest = slice_skip(rest, 2);
        if (!slice_cut(&rest, '}', &inside))
            return fail_node(loader, node, "a ${ here has no closing }; write $${ for a plain ${");
        if (expand_variable(loader, node, inside, out) != 0)
            return -1;
    }
    return out->overflow ? fail_node(loader, node, "the value is longer than 64 KiB") : 0;
}

/* The scalar's text, expanded, in the arena. */
static int scalar_text(struct loader *loader, const struct yaml_node *node, struct slice *out)
{
    struct buffer text;
    buffer_init(&text, SCALAR_MAX_BYTES);
    int status = expand(loader, node, &text);
    *out = arena_copy_string(loader->arena, buffer_slice(&text));
    buffer_release(&text);
    if (status == 0 && !out->at)
        status = error_set(loader->err, ERROR_TOO_LARGE, "%s is too large", loader->name);
    return status;
}

/* --- loading --- */

static int fail_value(struct loader *loader, const struct option *row, const struct yaml_node *node,
                      struct slice text)
{
    struct buffer allowed;
    buffer_init(&allowed, SCALAR_MAX_BYTES);
    option_describe(row, &allowed);
    if (node->kind == YAML_SCALAR)
        error_set(loader->err, ERROR_BAD_DATA, "%s:%d:%d: %s must be " SLICE_FMT ", not \"%.*s\"",
                  loader->name, node->line, node->column, row->path,
                  SLICE_ARG(buffer_slice(&allowed)), (int)(text.len < 80 ? text.len : 80), text.at);
    else
        error_set(loader->err, ERROR_BAD_DATA, "%s:%d:%d: %s must be " SLICE_FMT ", not a %s",
                  loader->name, node->line, node->column, row->path,
                  SLICE_ARG(buffer_slice(&allowed)), node->kind == YAML_MAP ? "map" : "list");
    buffer_release(&allowed);
    return -1;
}

static int set_list(struct loader *loader, const struct option *row, const struct yaml_node *node)
{
    struct option_list list = {.count = node->count};
    list.at = arena_zeroed(loader->arena, node->count, sizeof *list.at);
    if (node->kind != YAML_LIST || !list.at)
        return fail_value(loader, row, node, node->text);
    for (size_t i = 0; i < node->count; i++) {
        struct slice text;
        if (node->children[i].kind != YAML_SCALAR)
            return fail_value(loader, row, &node->children[i], node->text);
        if (scalar_text(loader, &node->children[i], &text) != 0)
            return -1;
        if (memchr(text.at, 0, text.len) || text.len == 0)
            return fail_node(loader, &node->children[i], "an entry of a list must not be empty");
        list.at[i] = text.at;
    }
    memcpy(loader->config + row->offset, &list, sizeof list);
    return 0;
}

static int load_rows(struct loader *loader, const struct option *row, const struct yaml_node *node);

static int set_row(struct loader *loader, const struct option *row, const struct yaml_node *node)
{
    struct slice text;
    int *line = &loader->line_of_row[row - loader->table];
    if (*line)
        return error_set(loader->err, ERROR_BAD_DATA, "%s:%d:%d: %s is already set in line %d",
                         loader->name, node->key_line, node->key_column, row->path, *line);
    *line = node->key_line;
    if (node->kind == YAML_SCALAR && !node->quoted && node->text.len == 0)
        return error_set(loader->err, ERROR_BAD_DATA,
                         "%s:%d:%d: %s has no value; give one, or remove the line for the default",
                         loader->name, node->key_line, node->key_column, row->path);
    if (row->type == OPTION_LIST)
        return set_list(loader, row, node);
    if (row->type == OPTION_ROWS)
        return load_rows(loader, row, node);
    if (node->kind != YAML_SCALAR)
        return fail_value(loader, row, node, node->text);
    if (scalar_text(loader, node, &text) != 0)
        return -1;
    if (!set_scalar(loader, row, text))
        return fail_value(loader, row, node, text);
    if (!row->check || row->check(text, loader->err) == 0)
        return 0;
    return error_wrap(loader->err, "%s:%d:%d: %s", loader->name, node->line, node->column,
                      row->path);
}

static struct slice last_word(struct slice path)
{
    struct slice word;
    while (slice_cut(&path, '.', &word))
        ;
    return word;
}

/* The row, or section, that the writer most likely meant; empty when nothing is near. */
static struct slice nearest(const struct loader *loader, struct slice unknown)
{
    struct slice best = {"", 0};
    size_t least = unknown.len / 3 + 1;
    for (size_t i = 0; i < loader->count; i++) {
        struct slice path = slice_of_string(loader->table[i].path);
        for (size_t len = 1; len <= path.len; len++) {
            size_t edits = least + 1;
            if (len == path.len || path.at[len] == '.')
                edits = slice_distance(unknown, slice_head(path, len));
            if (edits < least || (edits == least && !best.len)) {
                least = edits;
                best = slice_head(path, len);
            }
        }
    }
    for (size_t i = 0; i < loader->count && !best.len; i++) {
        struct slice path = slice_of_string(loader->table[i].path);
        if (slice_equal(last_word(path), last_word(unknown)))
            best = path;
    }
    return best;
}

static int fail_unknown(struct loader *loader, const struct yaml_node *node, struct slice path)
{
    struct slice near = nearest(loader, path);
    if (near.len == 0)
        return error_set(loader->err, ERROR_BAD_DATA, "%s:%d:%d: unknown option \"" SLICE_FMT "\"",
                         loader->name, node->key_line, node->key_column, SLICE_ARG(path));
    return error_set(loader->err, ERROR_BAD_DATA,
                     "%s:%d:%d: unknown option \"" SLICE_FMT "\"; did you mean \"" SLICE_FMT "\"?",
                     loader->name, node->key_line, node->key_column, SLICE_ARG(path),
                     SLICE_ARG(near));
}

/* path holds no NUL. */
static bool is_section(const struct loader *loader, struct slice path)
{
    for (size_t i = 0; i < loader->count; i++) {
        const char *row = loader->table[i].path;
        if (strncmp(row, path.at, path.len) == 0 && row[path.len] == '.')
            return true;
    }
    return false;
}

static const struct option *find_row(const struct loader *loader, struct slice path)
{
    for (size_t i = 0; i < loader->count; i++)
        if (slice_equal_string(path, loader->table[i].path))
            return &loader->table[i];
    return NULL;
}

/* Nesting is bounded by the table: only sections are entered. */
static int load_map(struct loader *loader, const struct yaml_node *map, struct slice prefix)
{
    char room[PATH_MAX_BYTES];
    for (size_t i = 0; i < map->count; i++) {
        const struct yaml_node *node = &map->children[i];
        int len = snprintf(room, sizeof room, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(prefix),
                           prefix.len ? "." : "", SLICE_ARG(node->key));
        struct slice path = slice_make(room, len < PATH_MAX_BYTES ? (size_t)len : sizeof room - 1);
        const struct option *row = find_row(loader, path);
        bool is_null = node->kind == YAML_SCALAR && !node->quoted && node->text.len == 0;
        if (row && set_row(loader, row, node) != 0)
            return -1;
        if (row)
            continue;
        if (!is_section(loader, path))
            return fail_unknown(loader, node, path);
        if (node->kind != YAML_MAP && !is_null)
            return error_set(loader->err, ERROR_BAD_DATA,
                             "%s:%d:%d: " SLICE_FMT " is a section; write its options below it",
                             loader->name, node->line, node->column, SLICE_ARG(path));
        if (!is_null && load_map(loader, node, path) != 0)
            return -1;
    }
    return 0;
}

static void set_fallback(struct loader *loader, const struct option *row)
{
    if (row->type == OPTION_LIST || row->type == OPTION_ROWS) {
        memset(loader->config + row->offset, 0,
               row->type == OPTION_LIST ? sizeof(struct option_list) : sizeof(struct option_rows));
        return;
    }
    if (!row->fallback)
        return; /* of a list of maps: left out is zero */
    bool legal = set_scalar(loader, row, slice_of_string(row->fallback));
    assert(legal);
}

/* One map of a list; `config` is zeroed. */
static int load_element(struct loader *loader, const struct yaml_node *node)
{
    loader->line_of_row = arena_zeroed(loader->arena, loader->count, sizeof *loader->line_of_row);
    if (!loader->line_of_row)
        return error_set(loader->err, ERROR_TOO_LARGE, "%s is too large", loader->name);
    for (size_t i = 0; i < loader->count; i++)
        set_fallback(loader, &loader->table[i]);
    if (load_map(loader, node, (struct slice){"", 0}) != 0)
        return -1;
    for (size_t i = 0; i < loader->count; i++)
        if (loader->table[i].required && !loader->line_of_row[i])
            return error_set(loader->err, ERROR_BAD_DATA, "%s:%d:%d: an entry without %s; add it",
                             loader->name, node->line, node->column, loader->table[i].path);
    return 0;
}

static int load_rows(struct loader *loader, const struct option *row, const struct yaml_node *node)
{
    struct option_rows rows = {.count = node->count};
    char *at = arena_zeroed(loader->arena, node->count + 1, row->row_size);
    if (node->kind != YAML_LIST || !at)
        return fail_value(loader, row, node, node->text);
    for (size_t i = 0; i < node->count; i++) {
        struct loader element = *loader;
        element.table = row->rows;
        element.count = row->row_count;
        element.config = at + i * row->row_size;
        if (node->children[i].kind != YAML_MAP)
            return fail_value(loader, row, &node->children[i], node->children[i].text);
        if (load_element(&element, &node->children[i]) != 0)
            return -1;
    }
    rows.at = at;
    memcpy(loader->config + row->offset, &rows, sizeof rows);
    return 0;
}

int option_load(const struct option *table, size_t count, const struct option_source *source,
                void *config, struct error *err)
{
    struct loader loader = {.table = table,
                            .count = count,
                            .name = source->name,
                            .arena = source->arena,
                            .config = config,
                            .err = err};
    loader.line_of_row = arena_zeroed(source->arena, count, sizeof *loader.line_of_row);
    if (!loader.line_of_row)
        return error_set(err, ERROR_TOO_LARGE, "%s is too large", source->name);
    for (size_t i = 0; i < count; i++)
        set_fallback(&loader, &table[i]);
    if (!source->map)
        return 0;
    if (source->map->kind != YAML_MAP)
        return fail_node(&loader, source->map,
                         "the file must be a map of options, as in `data_dir: ./data`");
    return load_map(&loader, source->map, (struct slice){"", 0});
}
