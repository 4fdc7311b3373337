/* yaml: a YAML text as a tree of nodes that know their place (libyaml underneath).
 *
 * Used for the configuration and rule files. One document, no anchors or tags; duplicate keys and
 * nesting beyond 32 levels are errors. All nodes live in the arena.
 */
#ifndef STORAGE_BASE_YAML_H
#define STORAGE_BASE_YAML_H

#include "storage/base/arena.h"
#include "storage/base/error.h"

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    int line; /* from 1 */
    int column;
    struct slice text; /* YAML_SCALAR: the value, NUL-terminated behind its end */
    bool quoted;       /* YAML_SCALAR: '' or "" or block: never null, number or bool */
    struct slice key;  /* when the parent is a map */
    int key_line, key_column;
    size_t count; /* children */
    struct yaml_node *children;
};

/* `name` (a file name) stands in error texts: "name:3:7: ...". An empty text gives an empty map. */
MUST_USE int yaml_parse(struct slice text, const char *name, struct arena *arena,
                        struct yaml_node **out, struct error *err);
/* The child of a map with this key, or NULL. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);
/* Reads a whole file of at most size_max bytes into the arena. */
MUST_USE int file_read(const char *path, size_t size_max, struct arena *arena, struct slice *out,
                       struct error *err);

#endif
