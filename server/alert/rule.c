/* rule: a table of keys for each kind of mapping; reading a mapping is looking its keys up.
 *
 *   file  -> groups
 *   group -> name interval query_offset limit labels rules
 *   rule  -> alert|record expr for keep_firing_for labels annotations
 *
 * Everything is checked while it is read, expressions and templates too, so that what can be wrong
 * with a rule file is said with its line when the file is loaded and never at three in the morning.
 * Unlike Prometheus, an expression that gives a range vector or a string is refused here already.
 */
#include "server/alert/rule.h"

#include <assert.h>
#include <glob.h>
#include <stdlib.h>

#include "query/parse.h"
#include "server/alert/template.h"
#include "storage/base/alloc.h"
#include "storage/base/log.h"
#include "storage/base/table.h"

#define ARENA_MAX ((size_t)64 << 20)

struct reader {
    struct key_reader base; /* first: the tables' functions are given this */
    struct rule_set *set;
    struct rule_group *group;
    struct labels group_labels;
    const struct yaml_node *expr;
    bool has_alert, has_record;
};

static struct reader *reader_of(struct key_reader *base)
{
    return (struct reader *)base;
}

static int read_interval(struct key_reader *r, const struct yaml_node *node, void *into,
                         struct error *err)
{
    if (key_read_duration(r, node, into, err) < 0)
        return -1;
    if (*(int64_t *)into < 1 || *(int64_t *)into > 86400000)
        return keys_refuse(r, node, err, "the interval must lie between 1ms and 1d");
    return 0;
}

static int read_count(struct key_reader *r, const struct yaml_node *node, void *into,
                      struct error *err)
{
    int64_t *count = into;
    if (node->kind != YAML_SCALAR || !slice_to_i64(node->text, count) || *count < 0)
        return keys_refuse(r, node, err, "expected a whole number, 0 for no limit");
    return 0;
}

/* {name: template}: the templates are checked. */
static int read_templates(struct key_reader *r, const struct yaml_node *node, void *into,
                          struct error *err)
{
    if (key_read_pairs(r, node, into, err) < 0)
        return -1;
    for (size_t i = 0; node->kind == YAML_MAP && i < node->count; i++) {
        const struct yaml_node *child = &node->children[i];
        if (template_check(child->text, err) < 0)
            return error_wrap(err, "%s:%d:%d: in the template of " SLICE_FMT, r->name, child->line,
                              child->column, SLICE_ARG(slice_head(child->key, 80)));
    }
    return 0;
}

static int read_labels(struct key_reader *r, const struct yaml_node *node, void *into,
                       struct error *err)
{
    if (read_templates(r, node, into, err) < 0)
        return -1;
    for (size_t i = 0; node->kind == YAML_MAP && i < node->count; i++) {
        struct slice key = node->children[i].key;
        if (!key.len || slice_equal(key, SLICE(LABEL_NAME)))
            return keys_refuse(r, &node->children[i], err,
                               "a label needs a name, and it cannot be __name__");
    }
    return 0;
}

/* --- a rule --- */

static int read_alert(struct key_reader *base, const struct yaml_node *node, void *into,
                      struct error *err)
{
    reader_of(base)->has_alert = true;
    return key_read_text(base, node, into, err);
}

static int read_record(struct key_reader *base, const struct yaml_node *node, void *into,
                       struct error *err)
{
    reader_of(base)->has_record = true;
    if (key_read_text(base, node, into, err) < 0)
        return -1;
    for (size_t i = 0; i < node->text.len; i++)
        if (strchr("{}\"'`, \t\n", node->text.at[i]))
            return keys_refuse(base, node, err,
                               "a recorded metric's name cannot hold braces, quotes or "
                               "spaces");
    return 0;
}

static int read_expr(struct key_reader *base, const struct yaml_node *node, void *into,
                     struct error *err)
{
    (void)into;
    reader_of(base)->expr = node;
    return node->kind == YAML_SCALAR ? 0 : keys_refuse(base, node, err, "expected a query here");
}

static const struct key rule_keys[] = {
    {"alert", read_alert, offsetof(struct rule, name)},
    {"record", read_record, offsetof(struct rule, name)},
    {"expr", read_expr, 0},
    {"for", key_read_duration, offsetof(struct rule, for_ms)},
    {"keep_firing_for", key_read_duration, offsetof(struct rule, keep_firing_for_ms)},
    {"labels", read_labels, offsetof(struct rule, labels)},
    {"annotations", read_templates, offsetof(struct rule, annotations)},
    {0},
};

static int parse_expr(struct reader *r, struct rule *rule, struct error *err)
{
    struct rule_set *set = r->set;
    if (parse_promql(r->expr->text, &set->arena, &rule->plan, err) < 0)
        return error_wrap(err, "%s:%d:%d: in the expression of " SLICE_FMT, r->base.name,
                          r->expr->line, r->expr->column, SLICE_ARG(slice_head(rule->name, 80)));
    if (rule->plan->type != VALUE_VECTOR && rule->plan->type != VALUE_SCALAR)
        return error_set(err, ERROR_BAD_DATA,
                         "%s:%d:%d: the expression of " SLICE_FMT
                         " gives a %s, but a rule needs an instant vector or a scalar",
                         r->base.name, r->expr->line, r->expr->column,
                         SLICE_ARG(slice_head(rule->name, 80)), value_type_name(rule->plan->type));
    struct buffer text;
    buffer_init(&text, (size_t)QUERY_TEXT_MAX * 4);
    plan_print(rule->plan, &text);
    rule->query = arena_copy(&set->arena, buffer_slice(&text));
    buffer_release(&text);
    return 0;
}

/* The rule's labels on top of the group's. */
static void merge_labels(struct reader *r, struct rule *rule)
{
    size_t count = 0;
    struct label *at =
        arena_zeroed(&r->set->arena, rule->labels.count + r->group_labels.count + 1, sizeof *at);
    for (size_t i = 0; at && i < rule->labels.count; i++)
        at[count++] = rule->labels.at[i];
    for (size_t i = 0; at && i < r->group_labels.count; i++) {
        size_t same = 0;
        while (same < rule->labels.count &&
               !slice_equal(rule->labels.at[same].name, r->group_labels.at[i].name))
            same++;
        if (same == rule->labels.count)
            at[count++] = r->group_labels.at[i];
    }
    labels_sort(at, count);
    rule->labels = (struct labels){at, count};
}

static bool id_is_taken(const struct rule_set *set, uint64_t id)
{
    for (size_t g = 0; g < set->count; g++)
        for (size_t i = 0; i < set->groups[g].count; i++)
            if (set->groups[g].rules[i].id == id)
                return true;
    return false;
}

/* Rules that agree in everything that makes the id are told apart by their order. */
static uint64_t rule_id(const struct rule_set *set, const struct rule_group *group,
                        const struct rule *rule)
{
    struct buffer bytes;
    buffer_init(&bytes, RULE_FILE_MAX);
    buffer_append_prefixed(&bytes, group->name);
    buffer_append_prefixed(&bytes, rule->name);
    labels_encode(rule->labels, &bytes);
    uint64_t id = slice_hash(buffer_slice(&bytes));
    while (id_is_taken(set, id)) {
        buffer_append_char(&bytes, '+');
        id = slice_hash(buffer_slice(&bytes));
    }
    buffer_release(&bytes);
    return id;
}

static int read_rule(struct reader *r, const struct yaml_node *node, struct rule *rule,
                     struct error *err)
{
    r->expr = NULL;
    r->has_alert = r->has_record = false;
    if (++r->set->rule_count > RULE_COUNT_MAX)
        return error_set(err, ERROR_BAD_DATA, "%s:%d:%d: there are more than %d rules in all",
                         r->base.name, node->line, node->column, RULE_COUNT_MAX);
    if (keys_read(&r->base, node, rule_keys, rule, err) < 0)
        return -1;
    if (r->has_alert == r->has_record)
        return keys_refuse(&r->base, node, err,
                           "a rule needs either `alert: NAME` or `record: METRIC`");
    if (!r->expr)
        return keys_refuse(&r->base, node, err, "the rule has no `expr`");
    rule->recording = r->has_record;
    if (rule->recording && (rule->for_ms || rule->keep_firing_for_ms || rule->annotations.count))
        return keys_refuse(
            &r->base, node, err,
            "for, keep_firing_for and annotations belong to alerts, not to `record`");
    if (parse_expr(r, rule, err) < 0)
        return -1;
    merge_labels(r, rule);
    rule->id = rule_id(r->set, r->group, rule);
    return 0;
}

/* --- groups --- */

static int read_rules(struct key_reader *base, const struct yaml_node *node, void *into,
                      struct error *err)
{
    struct reader *r = reader_of(base);
    (void)into;
    if (key_is_null(node))
        return 0;
    if (node->kind != YAML_LIST)
        return keys_refuse(base, node, err, "expected a list of rules here");
    r->group->rules = arena_zeroed(&r->set->arena, node->count + 1, sizeof *r->group->rules);
    return r->group->rules ? 0 : keys_refuse(base, node, err, "the rule files are too large");
}

static int read_group_labels(struct key_reader *base, const struct yaml_node *node, void *into,
                             struct error *err)
{
    (void)into;
    return read_labels(base, node, &reader_of(base)->group_labels, err);
}

static const struct key group_keys[] = {
    {"name", key_read_text, offsetof(struct rule_group, name)},
    {"interval", read_interval, offsetof(struct rule_group, interval_ms)},
    {"query_offset", key_read_duration, offsetof(struct rule_group, query_offset_ms)},
    {"limit", read_count, offsetof(struct rule_group, limit)},
    {"labels", read_group_labels, 0},
    {"rules", read_rules, 0},
    {0},
};

static struct rule_group *add_group(struct rule_set *set)
{
    if (set->count == set->capacity) {
        set->capacity = set->capacity ? 2 * set->capacity : 8;
        set->groups = alloc_resize(set->groups, set->capacity, sizeof *set->groups);
    }
    set->groups[set->count] = (struct rule_group){.interval_ms = set->interval_ms};
    return &set->groups[set->count++];
}

static int read_group(struct reader *r, const struct yaml_node *node, struct error *err)
{
    struct rule_group *group = r->group = add_group(r->set);
    r->group_labels = (struct labels){NULL, 0};
    group->file = arena_copy(&r->set->arena, slice_of_string(r->base.name));
    if (keys_read(&r->base, node, group_keys, group, err) < 0)
        return -1;
    if (!group->name.len)
        return keys_refuse(&r->base, node, err, "the group has no `name`");
    for (struct rule_group *g = r->set->groups; g < group; g++)
        if (slice_equal(g->name, group->name) && slice_equal(g->file, group->file))
            return keys_refuse(&r->base, node, err,
                               "a group of this name stands in this file already");
    const struct yaml_node *rules = yaml_get(node, "rules");
    /* count grows rule by rule: on a failure rule_set_free sees only what was begun. */
    for (size_t i = 0; group->rules && i < rules->count; i++) {
        group->count++;
        struct rule *rule = &group->rules[i];
        if (read_rule(r, &rules->children[i], rule, err) < 0)
            return -1;
    }
    return 0;
}

static int read_groups(struct key_reader *base, const struct yaml_node *node, void *into,
                       struct error *err)
{
    (void)into;
    if (key_is_null(node))
        return 0;
    if (node->kind != YAML_LIST)
        return keys_refuse(base, node, err, "expected a list of groups here");
    for (size_t i = 0; i < node->count; i++)
        if (read_group(reader_of(base), &node->children[i], err) < 0)
            return -1;
    return 0;
}

static const struct key file_keys[] = {{"groups", read_groups, 0}, {0}};

struct rule_set *rule_set_new(int64_t interval_ms)
{
    struct rule_set *set = alloc_zeroed(1, sizeof *set);
    set->interval_ms = interval_ms;
    arena_init(&set->arena, ARENA_MAX);
    return set;
}

int rule_set_add(struct rule_set *set, struct slice text, const char *name, struct error *err)
{
    struct reader r = {.base = {name, &set->arena}, .set = set};
    struct yaml_node *root;
    text = arena_copy(&set->arena, text);
    if (yaml_parse(text, name, &set->arena, &root, err) < 0 ||
        keys_read(&r.base, root, file_keys, set, err) < 0)
        return -1;
    if (set->arena.exhausted)
        return error_set(err, ERROR_BAD_DATA, "%s: the rule files are too large together", name);
    return 0;
}

static int load_file(struct rule_set *set, const char *path, struct error *err)
{
    struct arena arena;
    struct slice text;
    arena_init(&arena, RULE_FILE_MAX + 4096);
    int status = file_read(path, RULE_FILE_MAX, &arena, &text, err);
    if (status == 0)
        status = rule_set_add(set, text, path, err);
    arena_release(&arena);
    return status;
}

static int load_glob(struct rule_set *set, const char *pattern, struct error *err)
{
    glob_t found = {0};
    int status = glob(pattern, GLOB_NOCHECK, NULL, &found);
    if (status != 0)
        status = error_set(err, ERROR_BAD_DATA, "rule_files: \"%s\" cannot be searched", pattern);
    else if (found.gl_pathc > RULE_FILES_MAX)
        status =
            error_set(err, ERROR_BAD_DATA, "rule_files: \"%s\" matches %zu files, more than %d",
                      pattern, found.gl_pathc, RULE_FILES_MAX);
    bool wild = strpbrk(pattern, "*?[") != NULL;
    if (status == 0 && wild && found.gl_pathc == 1 && strcmp(found.gl_pathv[0], pattern) == 0) {
        log_warn("rules_none", "pattern=\"%s\"", pattern);
        found.gl_pathv[0][0] = 0;
    }
    for (size_t i = 0; status == 0 && i < found.gl_pathc; i++)
        if (found.gl_pathv[i][0])
            status = load_file(set, found.gl_pathv[i], err);
    globfree(&found);
    return status;
}

int rule_set_load(const struct option_list *globs, int64_t interval_ms, struct rule_set **out,
                  struct error *err)
{
    struct rule_set *set = rule_set_new(interval_ms);
    int status = 0;
    for (size_t i = 0; status == 0 && i < globs->count; i++)
        status = load_glob(set, globs->at[i], err);
    if (status < 0)
        rule_set_free(set);
    else
        *out = set;
    return status;
}

void rule_set_free(struct rule_set *set)
{
    if (!set)
        return;
    for (size_t g = 0; g < set->count; g++)
        for (size_t i = 0; i < set->groups[g].count; i++)
            plan_release(set->groups[g].rules[i].plan);
    free(set->groups);
    arena_release(&set->arena);
    free(set);
}
