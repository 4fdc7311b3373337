/* keys: YAML mappings read by tables, one row a key; rule files, their tests and the mappings of statsd
 * names are made of them.
 *
 * A row names the key, the function that reads its value, and where in the struct it goes. What is not in
 * the table is refused with its place and the nearest key. Pure.
 */
#ifndef SERVER_KEYS_H
#define SERVER_KEYS_H

#include "storage/base/yaml.h"
#include "storage/labels.h"

#define KEYS_PAIRS_MAX 32 /* of one mapping of names to texts */

/* What all the functions of a table are given; often the first member of a larger struct. */
struct key_reader {
    const char *name; /* of the file, for error texts */
    struct arena *arena;
};

struct key {
    const char *name;
    int (*read)(struct key_reader *r, const struct yaml_node *node, void *into, struct error *err);
    size_t offset;
};

/* Hands each key of the mapping to its row; the table ends with an empty row. */
MUST_USE int keys_read(struct key_reader *r, const struct yaml_node *node, const struct key *keys,
                       void *into, struct error *err);
/* A list of mappings as an array of structs; nothing behind the key is an empty list. */
struct key_rows {
    void *at;
    size_t count;
};
struct key_list {
    const struct key *keys;
    size_t size; /* of an element */
};
MUST_USE int keys_read_list(struct key_reader *r, const struct yaml_node *node,
                            const struct key_list *list, struct key_rows *out, struct error *err);
/* "file:3:7: what"; -1. */
int keys_refuse(const struct key_reader *r, const struct yaml_node *node, struct error *err,
                const char *what);
/* Nothing was written behind the key, or null. */
bool key_is_null(const struct yaml_node *node);

/* --- for the tables --- */
/* struct slice, not empty */
int key_read_text(struct key_reader *r, const struct yaml_node *node, void *into,
                  struct error *err);
/* int64_t, ms >= 0 */
int key_read_duration(struct key_reader *r, const struct yaml_node *node, void *into,
                      struct error *err);
/* struct labels, sorted; values may be empty */
int key_read_pairs(struct key_reader *r, const struct yaml_node *node, void *into,
                   struct error *err);

#endif
