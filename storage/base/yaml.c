/* yaml: libyaml's events, read into a tree of nodes with their places; the only includer of yaml.h.
 *
 *     http:                 MAP ── key "http" MAP ── key "listen" SCALAR 2:11
 *       listen: "x"                            └─ key "workers" SCALAR 3:12
 *       workers: 4
 *
 * Nodes pile up on a stack while their collection is open; when it ends, those above its mark move
 * to the arena as the children of one node. So every child array is contiguous and nothing is
 * counted beforehand.
 *
 * Deliberately absent: anchors, aliases, tags, merge keys and several documents. A file that a
 * person edits at three in the morning should read as what it says, and aliases are how a small
 * file becomes a large one.
 */
#include "storage/base/yaml.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#include "storage/base/alloc.h"
#include "storage/base/buffer.h"
#include "storage/base/table.h"

#define DEPTH_MAX  32
#define TEXT_MAX   ((size_t)1 << 20)
#define VALUES_MAX ((size_t)1 << 16)

struct reader {
    yaml_parser_t parser;
    struct slice text;
    const char *name;
    struct arena *arena;
    struct error *err;
    struct yaml_node *stack; /* finished nodes of the collections still open */
    size_t count, capacity;
    size_t total; /* nodes made so far */
};

static int fail_at(struct reader *reader, yaml_mark_t mark, const char *sentence)
{
    return error_set(reader->err, ERROR_BAD_DATA, "%s:%zu:%zu: %s", reader->name, mark.line + 1,
                     mark.column + 1, sentence);
}

/* The mark of a byte offset; for errors below the scanner, which have only an offset. */
static yaml_mark_t mark_of_offset(struct slice text, size_t offset)
{
    yaml_mark_t mark = {0};
    for (size_t i = 0; i < offset && i < text.len; i++) {
        mark.column++;
        if (text.at[i] == '\n') {
            mark.line++;
            mark.column = 0;
        }
    }
    return mark;
}

static int fail_syntax(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem ? parser->problem : "it cannot be parsed";
    yaml_mark_t mark = parser->problem_mark;
    char sentence[512];
    if (parser->error == YAML_READER_ERROR) {
        mark = mark_of_offset(reader->text, parser->problem_offset);
        snprintf(sentence, sizeof sentence, "the text is not valid UTF-8 (%s)", problem);
        return fail_at(reader, mark, sentence);
    }
    bool tab = mark.index < reader->text.len && reader->text.at[mark.index] == '\t';
    snprintf(sentence, sizeof sentence, "this is not valid YAML: %s%s%s%s", problem,
             parser->context ? " " : "", parser->context ? parser->context : "",
             tab ? "; indent with spaces instead of tabs" : "");
    return fail_at(reader, mark, sentence);
}

static int next_event(struct reader *reader, yaml_event_t *event)
{
    return yaml_parser_parse(&reader->parser, event) ? 0 : fail_syntax(reader);
}

static int push(struct reader *reader, const struct yaml_node *node, yaml_mark_t mark)
{
    if (++reader->total > VALUES_MAX)
        return fail_at(reader, mark, "the file holds too many values; split it");
    if (reader->count == reader->capacity) {
        reader->capacity = reader->capacity ? reader->capacity * 2 : 64;
        reader->stack = alloc_resize(reader->stack, reader->capacity, sizeof *reader->stack);
    }
    reader->stack[reader->count++] = *node;
    return 0;
}

/* Moves the nodes above `mark` into the arena as the children of *parent. */
static int adopt(struct reader *reader, size_t mark, struct yaml_node *parent)
{
    parent->count = reader->count - mark;
    parent->children = arena_zeroed(reader->arena, parent->count, sizeof *parent->children);
    if (!parent->children)
        return error_set(reader->err, ERROR_TOO_LARGE, "%s is too large; split it", reader->name);
    if (parent->count)
        memcpy(parent->children, reader->stack + mark, parent->count * sizeof *parent->children);
    reader->count = mark;
    return 0;
}

static int copy_scalar(struct reader *reader, const yaml_event_t *event, struct slice *out)
{
    struct slice value = slice_make(event->data.scalar.value, event->data.scalar.length);
    *out = arena_copy_string(reader->arena, value);
    if (!out->at)
        return error_set(reader->err, ERROR_TOO_LARGE, "%s is too large; split it", reader->name);
    return 0;
}

static bool has_decoration(const yaml_event_t *event)
{
    if (event->type == YAML_SCALAR_EVENT)
        return event->data.scalar.anchor || event->data.scalar.tag;
    if (event->type == YAML_SEQUENCE_START_EVENT)
        return event->data.sequence_start.anchor || event->data.sequence_start.tag;
    if (event->type == YAML_MAPPING_START_EVENT)
        return event->data.mapping_start.anchor || event->data.mapping_start.tag;
    return false;
}

static int read_value(struct reader *reader, const yaml_event_t *event, int depth,
                      struct yaml_node *node);

/* list = value*  */
static int read_list(struct reader *reader, int depth, struct yaml_node *list)
{
    size_t mark = reader->count;
    for (;;) {
        yaml_event_t event;
        if (next_event(reader, &event) != 0)
            return -1;
        bool end = event.type == YAML_SEQUENCE_END_EVENT;
        struct yaml_node node = {0};
        int status = end ? 0 : read_value(reader, &event, depth, &node);
        if (!end && status == 0)
            status = push(reader, &node, event.start_mark);
        yaml_event_delete(&event);
        if (status != 0)
            return -1;
        if (end)
            return adopt(reader, mark, list);
    }
}

static int read_key(struct reader *reader, const yaml_event_t *event, struct table *seen,
                    struct yaml_node *node)
{
    bool fresh;
    if (event->type == YAML_ALIAS_EVENT || has_decoration(event))
        return fail_at(reader, event->start_mark, "anchors, aliases and tags are not supported");
    if (event->type != YAML_SCALAR_EVENT)
        return fail_at(reader, event->start_mark, "a key must be a plain word");
    if (copy_scalar(reader, event, &node->key) != 0)
        return -1;
    node->key_line = (int)event->start_mark.line + 1;
    node->key_column = (int)event->start_mark.column + 1;
    struct table_entry *entry = table_insert(seen, node->key, &fresh);
    assert(entry);
    if (!fresh)
        return error_set(reader->err, ERROR_BAD_DATA,
                         "%s:%d:%d: the key \"" SLICE_FMT
                         "\" stands twice in this map (first in line %llu); remove one",
                         reader->name, node->key_line, node->key_column, SLICE_ARG(node->key),
                         (unsigned long long)entry->value.number);
    entry->value.number = (uint64_t)node->key_line;
    return 0;
}

/* One `key: value`; *end when the map is over instead. */
static int read_member(struct reader *reader, int depth, struct table *seen, bool *end)
{
    yaml_event_t event;
    struct yaml_node node = {0};
    if (next_event(reader, &event) != 0)
        return -1;
    *end = event.type == YAML_MAPPING_END_EVENT;
    int status = *end ? 0 : read_key(reader, &event, seen, &node);
    yaml_event_delete(&event);
    if (status != 0 || *end)
        return status;
    if (next_event(reader, &event) != 0)
        return -1;
    status = read_value(reader, &event, depth, &node);
    if (status == 0)
        status = push(reader, &node, event.start_mark);
    yaml_event_delete(&event);
    return status;
}

/* map = (key value)*  */
static int read_map(struct reader *reader, int depth, struct yaml_node *map)
{
    size_t mark = reader->count;
    struct table seen;
    bool end = false;
    int status = 0;
    table_init(&seen, VALUES_MAX + 1);
    while (status == 0 && !end)
        status = read_member(reader, depth, &seen, &end);
    table_release(&seen);
    return status == 0 ? adopt(reader, mark, map) : -1;
}

/* value = scalar | list | map; `event` is its first event. Keeps node->key. */
static int read_value(struct reader *reader, const yaml_event_t *event, int depth,
                      struct yaml_node *node)
{
    node->line = (int)event->start_mark.line + 1;
    node->column = (int)event->start_mark.column + 1;
    if (event->type == YAML_ALIAS_EVENT || has_decoration(event))
        return fail_at(reader, event->start_mark, "anchors, aliases and tags are not supported");
    if (event->type == YAML_SCALAR_EVENT) {
        node->kind = YAML_SCALAR;
        node->quoted = event->data.scalar.style != YAML_PLAIN_SCALAR_STYLE;
        return copy_scalar(reader, event, &node->text);
    }
    if (depth >= DEPTH_MAX)
        return fail_at(reader, event->start_mark, "values are nested too deeply (32 levels)");
    if (event->type == YAML_SEQUENCE_START_EVENT) {
        node->kind = YAML_LIST;
        return read_list(reader, depth + 1, node);
    }
    assert(event->type == YAML_MAPPING_START_EVENT);
    node->kind = YAML_MAP;
    return read_map(reader, depth + 1, node);
}

/* Reads events up to and including one of `wanted` or of `other`; the caller deletes *event. */
static int skip_to(struct reader *reader, yaml_event_type_t wanted, yaml_event_type_t other,
                   yaml_event_t *event)
{
    for (;;) {
        if (next_event(reader, event) != 0)
            return -1;
        if (event->type == wanted || event->type == other)
            return 0;
        yaml_event_delete(event);
    }
}

/* stream = [document]; whatever follows the first document is an error. */
static int read_stream(struct reader *reader, struct yaml_node *root)
{
    yaml_event_t event;
    root->kind = YAML_MAP;
    root->line = root->column = 1;
    if (skip_to(reader, YAML_DOCUMENT_START_EVENT, YAML_STREAM_END_EVENT, &event) != 0)
        return -1;
    bool empty = event.type == YAML_STREAM_END_EVENT;
    yaml_event_delete(&event);
    if (empty)
        return 0;
    if (next_event(reader, &event) != 0)
        return -1;
    int status = read_value(reader, &event, 0, root);
    yaml_event_delete(&event);
    if (status != 0)
        return -1;
    if (skip_to(reader, YAML_DOCUMENT_START_EVENT, YAML_STREAM_END_EVENT, &event) != 0)
        return -1;
    if (event.type == YAML_DOCUMENT_START_EVENT)
        status = fail_at(reader, event.start_mark, "a second document starts here; keep one");
    yaml_event_delete(&event);
    return status;
}

int yaml_parse(struct slice text, const char *name, struct arena *arena, struct yaml_node **out,
               struct error *err)
{
    struct reader reader = {.text = text, .name = name, .arena = arena, .err = err};
    if (text.len > TEXT_MAX)
        return error_set(err, ERROR_TOO_LARGE, "%s is larger than 1 MiB; split it", name);
    struct yaml_node *root = arena_zeroed(arena, 1, sizeof *root);
    if (!root)
        return error_set(err, ERROR_TOO_LARGE, "%s is too large; split it", name);
    int initialized = yaml_parser_initialize(&reader.parser);
    assert(initialized);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)(text.len ? text.at : ""),
                                 text.len);
    int status = read_stream(&reader, root);
    yaml_parser_delete(&reader.parser);
    free(reader.stack);
    if (status == 0)
        *out = root;
    return status;
}

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    if (!map || map->kind != YAML_MAP)
        return NULL;
    for (size_t i = 0; i < map->count; i++)
        if (slice_equal_string(map->children[i].key, key))
            return &map->children[i];
    return NULL;
}

int file_read(const char *path, size_t size_max, struct arena *arena, struct slice *out,
              struct error *err)
{
    FILE *file = fopen(path, "rbe");
    if (!file)
        return error_set(err, ERROR_NOT_FOUND, "cannot read %s: %s", path, strerror(errno));
    struct buffer text;
    char chunk[4096];
    buffer_init(&text, size_max);
    for (size_t got; !text.overflow && (got = fread(chunk, 1, sizeof chunk, file)) > 0;)
        buffer_append(&text, chunk, got);
    int status = 0;
    if (ferror(file))
        status = error_set(err, ERROR_INTERNAL, "cannot read %s: %s", path, strerror(errno));
    else if (text.overflow)
        status = error_set(err, ERROR_TOO_LARGE, "%s is larger than %zu bytes", path, size_max);
    fclose(file);
    *out = status == 0 ? arena_copy_string(arena, buffer_slice(&text)) : (struct slice){0};
    buffer_release(&text);
    if (status == 0 && !out->at)
        status = error_set(err, ERROR_TOO_LARGE, "%s does not fit into memory set aside", path);
    return status;
}
