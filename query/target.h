/* target: Graphite's paths: nodes between dots, in which wildcards may stand.
 *
 *   servers.web-*.{cpu,mem}.p[59]0     * any text of a node, ? one character, [] one of these, {} alternatives
 *
 * Pure; any thread. Source: "Paths and Wildcards" in Graphite's documentation of the render API.
 */
#ifndef QUERY_TARGET_H
#define QUERY_TARGET_H

#include "storage/base/arena.h"
#include "storage/base/buffer.h"
#include "storage/base/error.h"

#define TARGET_NODES_MAX 64
#define TARGET_PATHS_MAX 256 /* that alternatives may expand to */
#define TARGET_BYTES_MAX 4096

/* A path without alternatives. */
struct target {
    struct slice nodes[TARGET_NODES_MAX];
    size_t count;
};

/* The paths that a text with alternatives means, in its order. ERROR_BAD_DATA for what is no path. */
MUST_USE int target_expand(struct slice text, struct arena *arena, struct target **out,
                           size_t *count, struct error *err);
/* Whether a node has wildcards, and what it matches. */
bool target_is_glob(struct slice node);
bool target_matches(struct slice node, struct slice text);
/* Appends a regular expression for names whose nodes match these, one by one. */
void target_write_regex(const struct slice *nodes, size_t count, struct buffer *out);
/* Cuts the next node of a name; false at the end. */
bool target_cut_node(struct slice *rest, struct slice *node);

#endif
