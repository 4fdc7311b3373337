/* keys: see the header. Everything is checked while it is read, so that a mistake is said with its
 * line and column.
 */
#include "server/keys.h"

int keys_refuse(const struct key_reader *r, const struct yaml_node *node, struct error *err,
                const char *what)
{
    return error_set(err, ERROR_BAD_DATA, "%s:%d:%d: %s", r->name, node->line, node->column, what);
}

bool key_is_null(const struct yaml_node *node)
{
    return node->kind == YAML_SCALAR && !node->quoted &&
           (!node->text.len || slice_equal_string(node->text, "null") ||
            slice_equal_string(node->text, "~"));
}

/* --- scalars --- */

int key_read_text(struct key_reader *r, const struct yaml_node *node, void *into, struct error *err)
{
    if (node->kind != YAML_SCALAR || !node->text.len)
        return keys_refuse(r, node, err, "expected a text here");
    *(struct slice *)into = node->text;
    return 0;
}

int key_read_duration(struct key_reader *r, const struct yaml_node *node, void *into,
                      struct error *err)
{
    int64_t *ms = into;
    if (node->kind != YAML_SCALAR || !slice_to_duration_ms(node->text, ms) || *ms < 0)
        return keys_refuse(r, node, err, "expected a duration such as 30s, 5m or 1h30m");
    return 0;
}

int key_read_pairs(struct key_reader *r, const struct yaml_node *node, void *into,
                   struct error *err)
{
    struct labels *out = into;
    *out = (struct labels){NULL, 0};
    if (key_is_null(node))
        return 0;
    if (node->kind != YAML_MAP)
        return keys_refuse(r, node, err, "expected a mapping of names to texts");
    if (node->count > KEYS_PAIRS_MAX)
        return error_set(err, ERROR_BAD_DATA, "%s:%d:%d: at most %d pairs are allowed here",
                         r->name, node->line, node->column, KEYS_PAIRS_MAX);
    struct label *at = arena_zeroed(r->arena, node->count + 1, sizeof *at);
    if (!at)
        return keys_refuse(r, node, err, "the file is too large");
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *child = &node->children[i];
        if (child->kind != YAML_SCALAR)
            return keys_refuse(r, child, err, "expected a text here");
        at[i] = (struct label){child->key, child->text};
    }
    labels_sort(at, node->count);
    *out = (struct labels){at, node->count};
    return 0;
}

/* --- mappings --- */

static int refuse_key(const struct key_reader *r, const struct yaml_node *node,
                      const struct key *keys, struct error *err)
{
    const struct key *nearest = keys;
    for (const struct key *k = keys; k->name; k++)
        if (slice_distance(node->key, slice_of_string(k->name)) <
            slice_distance(node->key, slice_of_string(nearest->name)))
            nearest = k;
    return error_set(err, ERROR_BAD_DATA,
                     "%s:%d:%d: unknown key \"" SLICE_FMT "\"; did you mean \"%s\"?", r->name,
                     node->key_line, node->key_column, SLICE_ARG(slice_head(node->key, 80)),
                     nearest->name);
}

int keys_read(struct key_reader *r, const struct yaml_node *node, const struct key *keys,
              void *into, struct error *err)
{
    if (node->kind != YAML_MAP)
        return keys_refuse(r, node, err, "expected a mapping here");
    for (size_t i = 0; i < node->count; i++) {
        const struct key *k = keys;
        while (k->name && !slice_equal_string(node->children[i].key, k->name))
            k++;
        if (!k->name)
            return refuse_key(r, &node->children[i], keys, err);
        if (k->read(r, &node->children[i], (char *)into + k->offset, err) < 0)
            return -1;
    }
    return 0;
}

int keys_read_list(struct key_reader *r, const struct yaml_node *node, const struct key_list *list,
                   struct key_rows *out, struct error *err)
{
    *out = (struct key_rows){NULL, 0};
    if (key_is_null(node))
        return 0;
    if (node->kind != YAML_LIST)
        return keys_refuse(r, node, err, "expected a list here");
    out->at = arena_zeroed(r->arena, node->count + 1, list->size);
    if (!out->at)
        return keys_refuse(r, node, err, "the file is too large");
    for (size_t i = 0; i < node->count; i++) {
        char *into = (char *)out->at + i * list->size;
        if (keys_read(r, &node->children[i], list->keys, into, err) < 0)
            return -1;
        out->count++;
    }
    return 0;
}
