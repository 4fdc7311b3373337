/* view_find: the tree of paths, a level at a time.
 *
 *   stats.timers.api.*          stats . timers . api . latency . upper_90
 *                                                       ^^^^^^^  of every series below it one node
 *
 * Within a rule's prefix the nodes are its own. Behind it a series gives the node of its name at that
 * depth, and at its end those of its statistics.
 */
#include "query/view_rule.h"

#include <stdlib.h>

#include "storage/base/table.h"

#define NODES_MAX 100000

struct finding {
    const struct view_request *request;
    const struct view_rule *rule;
    const struct target *target;
    struct arena *arena;
    struct table *known; /* path -> index + 1 in out */
    struct view_nodes *out;
    struct error *err;
};

static int no_room(struct error *err)
{
    return error_set(err, ERROR_LIMIT, "the path has too many nodes; ask for a narrower one");
}

/* parent: what stands before the node, ending in a dot, or empty. */
static int add(struct finding *f, struct slice parent, struct slice node, bool leaf)
{
    struct view_nodes *out = f->out;
    struct slice path =
        arena_format(f->arena, SLICE_FMT SLICE_FMT, SLICE_ARG(parent), SLICE_ARG(node));
    bool fresh;
    struct table_entry *entry = table_insert(f->known, path, &fresh);
    if (!entry || f->arena->exhausted)
        return no_room(f->err);
    if (fresh && out->count == out->capacity) {
        size_t capacity = out->capacity ? 2 * out->capacity : 64;
        struct view_node *at = arena_alloc(f->arena, capacity * sizeof *at);
        if (!at)
            return no_room(f->err);
        if (out->count)
            memcpy(at, out->at, out->count * sizeof *at);
        out->at = at;
        out->capacity = capacity;
    }
    if (fresh) {
        out->at[out->count] = (struct view_node){.path = path};
        entry->value.number = ++out->count;
    }
    struct view_node *known = &out->at[entry->value.number - 1];
    known->leaf |= leaf;
    known->expandable |= !leaf;
    return 0;
}

/* The rule's prefix up to `count` nodes, with a dot behind each. */
static struct slice prefix_path(const struct finding *f, size_t count)
{
    struct slice path = SLICE("");
    for (size_t i = 0; i < count; i++)
        path = arena_format(f->arena, SLICE_FMT SLICE_FMT ".", SLICE_ARG(path),
                            SLICE_ARG(f->rule->prefix[i]));
    return path;
}

static int find_in_prefix(struct finding *f)
{
    const struct target *target = f->target;
    for (size_t i = 0; i < target->count; i++)
        if (!target_matches(target->nodes[i], f->rule->prefix[i]))
            return 0;
    return add(f, prefix_path(f, target->count - 1), f->rule->prefix[target->count - 1], false);
}

/* The part of a name up to its node `count` (from 1), and that node. False when it has fewer. */
static bool cut_name(struct slice name, size_t count, struct slice *parent, struct slice *node,
                     struct slice *rest)
{
    *rest = *node = name;
    for (size_t i = 0; i < count; i++)
        if (!target_cut_node(rest, node))
            return false;
    *parent = slice_make(name.at, (size_t)(node->at - name.at));
    return true;
}

/* Names, whose last node asked for is the target's last. */
static int find_names(struct finding *f, const struct view_names *names)
{
    struct store_selection series;
    if (view_select(f->request, names, f->arena, &series, f->err))
        return -1;
    struct slice prefix = prefix_path(f, f->rule->prefix_count), parent, node, rest, last = {0};
    for (size_t i = 0; i < series.count; i++) {
        struct slice name = labels_get(series.at[i].labels, SLICE(LABEL_NAME));
        if (slice_equal(name, last) || !cut_name(name, names->count, &parent, &node, &rest))
            continue;
        last = name;
        parent = arena_format(f->arena, SLICE_FMT SLICE_FMT, SLICE_ARG(prefix), SLICE_ARG(parent));
        bool ends = rest.len == 0;
        if (add(f, parent, node, ends && f->rule->suffix == VIEW_NONE))
            return -1;
    }
    return 0;
}

/* The statistics of names that end before the target's last node. */
static int find_statistics(struct finding *f, const struct view_names *deeper)
{
    const struct view_names names = {deeper->kind, deeper->nodes, deeper->count - 1, VIEW_EXACT};
    struct view_statistic statistics[VIEW_STATISTICS_MAX];
    struct store_selection series;
    struct slice last = {0};
    size_t count = view_statistics(f->rule, deeper->nodes[deeper->count - 1], statistics);
    if (count == 0 || names.count == 0)
        return 0;
    if (view_select(f->request, &names, f->arena, &series, f->err))
        return -1;
    struct slice prefix = prefix_path(f, f->rule->prefix_count);
    for (size_t i = 0; i < series.count; i++) {
        struct slice name = labels_get(series.at[i].labels, SLICE(LABEL_NAME));
        if (slice_equal(name, last))
            continue;
        last = name;
        struct slice parent =
            arena_format(f->arena, SLICE_FMT SLICE_FMT ".", SLICE_ARG(prefix), SLICE_ARG(name));
        for (size_t k = 0; k < count; k++)
            if (add(f, parent, statistics[k].name, true))
                return -1;
    }
    return 0;
}

static int find_by_rule(struct finding *f)
{
    struct view_names names = {.kind = f->rule->kind, .which = VIEW_DEEPER};
    if (f->target->count <= f->rule->prefix_count)
        return find_in_prefix(f);
    if (!view_rule_takes(f->rule, f->target, &names.nodes, &names.count))
        return 0;
    if (f->rule->suffix != VIEW_NONE && find_statistics(f, &names))
        return -1;
    return find_names(f, &names);
}

static int compare(const void *left, const void *right)
{
    const struct view_node *a = left, *b = right;
    return slice_compare(a->path, b->path);
}

int view_find(const struct view_request *request, const struct target *target, struct arena *arena,
              struct view_nodes *out, struct error *err)
{
    struct table known;
    struct finding f = {.request = request,
                        .target = target,
                        .arena = arena,
                        .known = &known,
                        .out = out,
                        .err = err};
    int status = 0;
    table_init(&known, NODES_MAX);
    for (size_t i = 0; i < out->count; i++) {
        bool fresh;
        struct table_entry *entry = table_insert(&known, out->at[i].path, &fresh);
        if (entry)
            entry->value.number = i + 1;
    }
    for (size_t i = 0; i < view_rule_count && status == 0; i++) {
        f.rule = &view_rules[i];
        status = find_by_rule(&f);
    }
    table_release(&known);
    if (status == 0 && out->count)
        qsort(out->at, out->count, sizeof *out->at, compare);
    return status;
}
