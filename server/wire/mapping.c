/* mapping: a trie of globs, field by field, and a list of regular expressions.
 *
 *   a.b.*    1        root -a-> ( ) -b-> ( ) -*-> (1)
 *   a.*.c    2                      -*-> ( ) -c-> (2)
 *
 * A name goes down both the edge of its field and that of the star, so that the first rule in the
 * file is found wherever it is; each node knows the lowest number below it, and a branch that cannot
 * be earlier is left out. As the trie is a tree, no name costs more than its nodes. The fields
 * written out are tried first, which is the whole of "unordered": there the first hit counts.
 *
 * The captures of a glob are not gathered on the way, but by laying the name beside the rule that won.
 */
#include "server/wire/mapping.h"

#include <stdlib.h>

#include "storage/base/alloc.h"

#define TEXT_BYTES_MAX ((size_t)64 << 20)
#define EDGES_MAX      ((size_t)MAPPING_RULES_MAX * MAPPING_FIELDS_MAX)
#define FIELD_MAX      512
#define NO_RULE        UINT32_MAX

const char *const mapping_unused_names[MAPPING_UNUSED_COUNT] = {
    [MAPPING_UNUSED_OBSERVER_TYPE] = "observer_type",
    [MAPPING_UNUSED_BUCKETS] = "buckets",
    [MAPPING_UNUSED_QUANTILES] = "quantiles",
    [MAPPING_UNUSED_HELP] = "help",
};

/* --- fields --- */

/* What is left of a dotted text. It has a last field, which may be empty, until it has ended. */
struct fields {
    struct slice rest;
    bool ended;
};

static struct slice next_field(struct fields *fields)
{
    struct slice field;
    fields->ended = !slice_cut(&fields->rest, '.', &field);
    return field;
}

static bool is_star(struct slice field)
{
    return field.len == 1 && field.at[0] == '*';
}

bool mapping_glob_matches(struct slice glob, struct slice name)
{
    struct fields pattern = {glob, false}, given = {name, false};
    while (!pattern.ended && !given.ended) {
        struct slice want = next_field(&pattern), have = next_field(&given);
        if (!is_star(want) && !slice_equal(want, have))
            return false;
    }
    return pattern.ended && given.ended;
}

/* --- the trie --- */

static uint32_t node_new(struct mapping *mapping)
{
    if (mapping->node_count == mapping->node_capacity) {
        mapping->node_capacity = mapping->node_capacity ? mapping->node_capacity * 2 : 64;
        mapping->nodes =
            alloc_resize(mapping->nodes, mapping->node_capacity, sizeof *mapping->nodes);
    }
    struct mapping_node *node = &mapping->nodes[mapping->node_count];
    *node = (struct mapping_node){0};
    for (int type = 0; type < MAPPING_TYPE_COUNT; type++)
        node->first[type] = NO_RULE;
    return mapping->node_count++;
}

struct edge_key {
    char bytes[sizeof(uint32_t) + FIELD_MAX];
    struct slice slice;
};

/* False for a field that is longer than any in a rule. */
static bool edge_key(struct edge_key *key, uint32_t node, struct slice field)
{
    if (field.len > FIELD_MAX)
        return false;
    memcpy(key->bytes, &node, sizeof node);
    if (field.len)
        memcpy(key->bytes + sizeof node, field.at, field.len);
    key->slice = slice_make(key->bytes, sizeof node + field.len);
    return true;
}

static uint32_t child_of(struct mapping *mapping, uint32_t node, struct slice field)
{
    struct edge_key key;
    bool fresh;
    if (is_star(field)) {
        if (!mapping->nodes[node].star) {
            uint32_t child = node_new(mapping);
            mapping->nodes[node].star = child;
        }
        return mapping->nodes[node].star;
    }
    if (!edge_key(&key, node, field))
        abort(); /* the loader has looked at its length */
    struct table_entry *entry = table_insert(&mapping->edges, key.slice, &fresh);
    if (!entry)
        abort(); /* and at the number of fields */
    if (fresh)
        entry->value.number = node_new(mapping);
    return (uint32_t)entry->value.number;
}

static void pass_node(struct mapping_node *node, unsigned types, uint32_t number)
{
    for (int type = 0; type < MAPPING_TYPE_COUNT; type++)
        if (types >> type & 1 && number < node->first[type])
            node->first[type] = number;
}

static void add_glob(struct mapping *mapping, const struct mapping_rule *rule, uint32_t number)
{
    struct fields fields = {rule->match, false};
    uint32_t at = 0;
    while (!fields.ended) {
        pass_node(&mapping->nodes[at], rule->types, number);
        at = child_of(mapping, at, next_field(&fields));
    }
    struct mapping_node *last = &mapping->nodes[at];
    pass_node(last, rule->types, number);
    for (int type = 0; type < MAPPING_TYPE_COUNT; type++)
        if (rule->types >> type & 1 && !last->rule[type])
            last->rule[type] = number;
}

struct mapping *mapping_new(void)
{
    struct mapping *mapping = alloc_zeroed(1, sizeof *mapping);
    mapping->holders = 1;
    arena_init(&mapping->arena, TEXT_BYTES_MAX);
    table_init(&mapping->edges, EDGES_MAX);
    node_new(mapping);
    return mapping;
}

void mapping_add(struct mapping *mapping, const struct mapping_rule *rule)
{
    mapping->rules = alloc_resize(mapping->rules, mapping->count + 1, sizeof *mapping->rules);
    mapping->rules[mapping->count++] = *rule;
    if (!rule->regex)
        add_glob(mapping, rule, mapping->count);
}

struct mapping *mapping_hold(struct mapping *mapping)
{
    if (mapping)
        mapping->holders++;
    return mapping;
}

void mapping_free(struct mapping *mapping)
{
    if (!mapping || --mapping->holders)
        return;
    for (uint32_t i = 0; i < mapping->count; i++)
        regex_free(mapping->rules[i].regex);
    free(mapping->rules);
    free(mapping->nodes);
    table_release(&mapping->edges);
    arena_release(&mapping->arena);
    free(mapping);
}

/* --- finding --- */

static uint32_t find_glob(const struct mapping *mapping, struct slice name, enum mapping_type type)
{
    struct step {
        uint32_t node;
        struct fields fields;
    } stack[MAPPING_FIELDS_MAX + 2]; /* each step down leaves at most one behind */
    uint32_t best = NO_RULE;
    size_t depth = 0;
    stack[depth++] = (struct step){0, {name, false}};
    while (depth && !(mapping->unordered && best != NO_RULE)) {
        struct step at = stack[--depth];
        const struct mapping_node *node = &mapping->nodes[at.node];
        if (node->first[type] >= best)
            continue;
        if (at.fields.ended) {
            if (node->rule[type] && node->rule[type] < best)
                best = node->rule[type];
            continue;
        }
        struct edge_key key;
        struct slice field = next_field(&at.fields);
        if (node->star)
            stack[depth++] = (struct step){node->star, at.fields};
        const struct table_entry *edge =
            edge_key(&key, at.node, field) ? table_find(&mapping->edges, key.slice) : NULL;
        if (edge)
            stack[depth++] = (struct step){(uint32_t)edge->value.number, at.fields};
    }
    return best == NO_RULE ? 0 : best;
}

uint32_t mapping_find(const struct mapping *mapping, struct slice name, enum mapping_type type)
{
    uint32_t found = find_glob(mapping, name, type);
    for (uint32_t i = 0; !found && i < mapping->count; i++) {
        const struct mapping_rule *rule = &mapping->rules[i];
        if (rule->regex && rule->types >> type & 1 && regex_match(rule->regex, name))
            found = i + 1;
    }
    return found;
}

/* --- expanding --- */

struct captures {
    const struct mapping_rule *rule;
    struct slice at[MAPPING_FIELDS_MAX + 1]; /* at[0] is the whole */
    size_t count;
};

static void capture(const struct mapping_rule *rule, struct slice name, struct captures *out)
{
    out->rule = rule;
    out->count = 0;
    if (rule->regex) {
        out->count = regex_search(rule->regex, name, out->at, REGEX_GROUPS_MAX);
        return;
    }
    struct fields pattern = {rule->match, false}, given = {name, false};
    out->at[out->count++] = name;
    while (!pattern.ended && !given.ended) {
        struct slice field = next_field(&given);
        if (is_star(next_field(&pattern)))
            out->at[out->count++] = field;
    }
}

/* Cuts the number behind a '$': 1, {1}. False when there is none. */
static bool cut_reference(struct slice *rest, size_t *number)
{
    struct slice at = *rest;
    bool braces = at.len && at.at[0] == '{';
    size_t digits = 0;
    at = slice_skip(at, braces);
    *number = 0;
    for (; digits < at.len && at.at[digits] >= '0' && at.at[digits] <= '9'; digits++)
        if (*number <= MAPPING_FIELDS_MAX)
            *number = *number * 10 + (size_t)(at.at[digits] - '0');
    at = slice_skip(at, digits);
    if (!digits || (braces && (!at.len || at.at[0] != '}')))
        return false;
    *rest = slice_skip(at, braces);
    return true;
}

/* Of a glob. What refers to no star is empty. */
static void expand_glob(struct slice text, const struct captures *captures, struct buffer *out)
{
    while (text.len) {
        struct slice plain;
        size_t number;
        bool dollar = slice_cut(&text, '$', &plain);
        buffer_append_slice(out, plain);
        if (!dollar)
            return;
        if (!cut_reference(&text, &number))
            buffer_append_char(out, '$');
        else if (number && number < captures->count)
            buffer_append_slice(out, captures->at[number]);
    }
}

/* {NULL, 0} when it is too long. */
static struct slice expand(struct slice text, const struct captures *captures, struct arena *arena)
{
    struct buffer out;
    buffer_init(&out, MAPPING_EXPANSION_MAX);
    if (captures->rule->regex)
        regex_expand(captures->rule->regex, text, captures->at, captures->count, &out);
    else
        expand_glob(text, captures, &out);
    struct slice copy = out.overflow ? (struct slice){NULL, 0}
                                     : arena_copy_string(arena, slice_make(out.at, out.len));
    buffer_release(&out);
    return copy;
}

bool mapping_expand(const struct mapping_rule *rule, struct slice name, struct arena *arena,
                    struct mapped_name *out)
{
    struct captures captures;
    struct label *at = arena_zeroed(arena, rule->labels.count + 1, sizeof *at);
    size_t count = 0;
    if (!at)
        return false;
    capture(rule, name, &captures);
    out->name = expand(rule->name, &captures, arena);
    bool fits = out->name.at;
    if (!out->name.len)
        out->name = name;
    for (size_t i = 0; i < rule->labels.count; i++) {
        struct slice value = expand(rule->labels.at[i].value, &captures, arena);
        fits &= value.at != NULL;
        if (value.len)
            at[count++] = (struct label){rule->labels.at[i].name, value};
    }
    out->labels = (struct labels){at, count};
    return fits;
}
