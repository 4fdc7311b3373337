/* mapping_file: statsd_exporter's YAML -> rules, by tables of keys.
 *
 * What has no meaning here is read, checked as far as its keys go, and noted in mapping.unused:
 * buckets, quantiles and the kind of an observer, because timers are histograms that need neither,
 * and help, because metrics have no descriptions.
 */
#include "server/keys.h"
#include "server/wire/mapping.h"

#define FILE_BYTES_MAX ((size_t)4 << 20)
#define FIELD_MAX      512

struct defaults {
    bool regex, unordered;
    int64_t ttl_ms;
};

struct file {
    struct key_reader reader; /* first: the functions of the tables get it */
    struct mapping *mapping;
    struct defaults defaults;
    const struct yaml_node *mappings;
};

struct draft {
    struct mapping_rule rule;
    const struct yaml_node *match; /* NULL while there is none */
    bool regex;
};

/* --- values --- */

/* The index of the text among the names, of which the last is NULL; `expected` lists them. */
static int read_choice(const struct file *file, const struct yaml_node *node,
                       const char *const *names, const char *expected, struct error *err)
{
    for (int i = 0; node->kind == YAML_SCALAR && names[i]; i++)
        if (slice_equal_string(node->text, names[i]))
            return i;
    return keys_refuse(&file->reader, node, err, expected);
}

static const struct file *file_of(const struct key_reader *reader)
{
    return (const struct file *)reader;
}

static int read_match_type(struct key_reader *r, const struct yaml_node *node, void *into,
                           struct error *err)
{
    static const char *const names[] = {"glob", "regex", NULL};
    int choice = read_choice(file_of(r), node, names, "expected glob or regex", err);
    *(bool *)into = choice == 1;
    return choice < 0 ? -1 : 0;
}

static int read_action(struct key_reader *r, const struct yaml_node *node, void *into,
                       struct error *err)
{
    static const char *const names[] = {"map", "drop", NULL};
    int choice = read_choice(file_of(r), node, names, "expected map or drop", err);
    *(bool *)into = choice == 1;
    return choice < 0 ? -1 : 0;
}

static int read_metric_type(struct key_reader *r, const struct yaml_node *node, void *into,
                            struct error *err)
{
    static const char *const names[] = {[MAPPING_COUNTER] = "counter",
                                        [MAPPING_GAUGE] = "gauge",
                                        [MAPPING_OBSERVER] = "observer",
                                        [MAPPING_SET] = "set",
                                        "timer",
                                        NULL};
    int choice = read_choice(file_of(r), node, names,
                             "expected counter, gauge, observer, timer or set", err);
    if (choice < 0)
        return -1;
    *(unsigned *)into = 1u << (choice == MAPPING_TYPE_COUNT ? MAPPING_OBSERVER : choice);
    return 0;
}

static int read_bool(struct key_reader *r, const struct yaml_node *node, void *into,
                     struct error *err)
{
    static const char *const names[] = {"false", "true", NULL};
    int choice = read_choice(file_of(r), node, names, "expected true or false", err);
    *(bool *)into = choice == 1;
    return choice < 0 ? -1 : 0;
}

static int read_scale(struct key_reader *r, const struct yaml_node *node, void *into,
                      struct error *err)
{
    double *scale = into;
    if (node->kind != YAML_SCALAR || !slice_to_double(node->text, scale) || !(*scale > 0))
        return keys_refuse(r, node, err, "expected a number above zero");
    return 0;
}

static bool is_label_name(struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.at[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i && c >= '0' && c <= '9'))
            return false;
    }
    return name.len && !slice_starts_with(name, SLICE("__"));
}

static int read_labels(struct key_reader *r, const struct yaml_node *node, void *into,
                       struct error *err)
{
    for (size_t i = 0; node->kind == YAML_MAP && i < node->count; i++) {
        const struct yaml_node *pair = &node->children[i];
        if (!is_label_name(pair->key))
            return error_set(err, ERROR_BAD_DATA,
                             "%s:%d:%d: \"" SLICE_FMT "\" is no name for a label: letters, digits "
                             "and _ may be in it, no digit and no __ before them",
                             r->name, pair->key_line, pair->key_column,
                             SLICE_ARG(slice_head(pair->key, 80)));
    }
    return key_read_pairs(r, node, into, err);
}

static int read_match(struct key_reader *r, const struct yaml_node *node, void *into,
                      struct error *err)
{
    struct draft *draft = into;
    draft->match = node;
    return key_read_text(r, node, &draft->rule.match, err);
}

/* --- what has no effect --- */

static int note(const struct key_reader *r, enum mapping_unused what)
{
    file_of(r)->mapping->unused |= 1u << what;
    return 0;
}

static int read_observer_type(struct key_reader *r, const struct yaml_node *node, void *into,
                              struct error *err)
{
    static const char *const names[] = {"summary", "histogram", NULL};
    (void)into;
    if (read_choice(file_of(r), node, names, "expected summary or histogram", err) < 0)
        return -1;
    return note(r, MAPPING_UNUSED_OBSERVER_TYPE);
}

static int read_buckets(struct key_reader *r, const struct yaml_node *node, void *into,
                        struct error *err)
{
    (void)into;
    if (node->kind != YAML_LIST && !key_is_null(node))
        return keys_refuse(r, node, err, "expected a list here");
    return note(r, MAPPING_UNUSED_BUCKETS);
}

static int read_quantiles(struct key_reader *r, const struct yaml_node *node, void *into,
                          struct error *err)
{
    (void)into;
    if (node->kind != YAML_LIST && !key_is_null(node))
        return keys_refuse(r, node, err, "expected a list here");
    return note(r, MAPPING_UNUSED_QUANTILES);
}

static int read_buckets_detail(struct key_reader *r, const struct yaml_node *node, void *into,
                               struct error *err)
{
    (void)into;
    if (node->kind != YAML_SCALAR)
        return keys_refuse(r, node, err, "expected a number here");
    return note(r, MAPPING_UNUSED_BUCKETS);
}

static int read_quantiles_detail(struct key_reader *r, const struct yaml_node *node, void *into,
                                 struct error *err)
{
    (void)into;
    if (node->kind != YAML_SCALAR)
        return keys_refuse(r, node, err, "expected a number or a duration here");
    return note(r, MAPPING_UNUSED_QUANTILES);
}

static int read_help(struct key_reader *r, const struct yaml_node *node, void *into,
                     struct error *err)
{
    (void)into;
    if (node->kind != YAML_SCALAR)
        return keys_refuse(r, node, err, "expected a text here");
    return note(r, MAPPING_UNUSED_HELP);
}

static int read_histogram_options(struct key_reader *r, const struct yaml_node *node, void *into,
                                  struct error *err)
{
    static const struct key keys[] = {
        {"buckets", read_buckets, 0},
        {"native_histogram_bucket_factor", read_buckets_detail, 0},
        {"native_histogram_max_buckets", read_buckets_detail, 0},
        {0},
    };
    return key_is_null(node) ? 0 : keys_read(r, node, keys, into, err);
}

static int read_summary_options(struct key_reader *r, const struct yaml_node *node, void *into,
                                struct error *err)
{
    static const struct key keys[] = {
        {"quantiles", read_quantiles, 0},
        {"max_age", read_quantiles_detail, 0},
        {"age_buckets", read_quantiles_detail, 0},
        {"buf_cap", read_quantiles_detail, 0},
        {0},
    };
    return key_is_null(node) ? 0 : keys_read(r, node, keys, into, err);
}

/* --- the tables --- */

#define UNUSED_KEYS                                                                                \
    {"observer_type", read_observer_type, 0}, {"timer_type", read_observer_type, 0},               \
        {"histogram_options", read_histogram_options, 0},                                          \
        {"summary_options", read_summary_options, 0}, {"buckets", read_buckets, 0},                \
    {                                                                                              \
        "quantiles", read_quantiles, 0                                                             \
    }

static const struct key rule_keys[] = {
    {"match", read_match, 0},
    {"match_type", read_match_type, offsetof(struct draft, regex)},
    {"match_metric_type", read_metric_type, offsetof(struct draft, rule.types)},
    {"name", key_read_text, offsetof(struct draft, rule.name)},
    {"labels", read_labels, offsetof(struct draft, rule.labels)},
    {"honor_labels", read_bool, offsetof(struct draft, rule.honor_labels)},
    {"action", read_action, offsetof(struct draft, rule.drop)},
    {"scale", read_scale, offsetof(struct draft, rule.scale)},
    {"ttl", key_read_duration, offsetof(struct draft, rule.ttl_ms)},
    {"help", read_help, 0},
    UNUSED_KEYS,
    {0},
};

static const struct key default_keys[] = {
    {"match_type", read_match_type, offsetof(struct defaults, regex)},
    {"glob_disable_ordering", read_bool, offsetof(struct defaults, unordered)},
    {"ttl", key_read_duration, offsetof(struct defaults, ttl_ms)},
    UNUSED_KEYS,
    {0},
};

static int read_defaults(struct key_reader *r, const struct yaml_node *node, void *into,
                         struct error *err)
{
    struct file *file = into;
    return key_is_null(node) ? 0 : keys_read(r, node, default_keys, &file->defaults, err);
}

/* They are read after the defaults, wherever those stand. */
static int read_mappings(struct key_reader *r, const struct yaml_node *node, void *into,
                         struct error *err)
{
    struct file *file = into;
    if (key_is_null(node))
        return 0;
    if (node->kind != YAML_LIST)
        return keys_refuse(r, node, err, "expected a list here");
    if (node->count > MAPPING_RULES_MAX)
        return keys_refuse(r, node, err, "there are too many rules");
    file->mappings = node;
    return 0;
}

static const struct key file_keys[] = {
    {"defaults", read_defaults, 0},
    {"mappings", read_mappings, 0},
    {0},
};

/* --- rules --- */

static bool has_space(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.at[i] <= ' ' || s.at[i] == 0x7f)
            return true;
    return false;
}

static int check_glob(const struct file *file, const struct draft *draft, struct error *err)
{
    struct slice rest = draft->rule.match, field;
    size_t count = 0;
    for (bool more = true; more;) {
        more = slice_cut(&rest, '.', &field);
        bool plain = field.len && field.len <= FIELD_MAX && !memchr(field.at, '*', field.len);
        if (!plain && !slice_equal_string(field, "*"))
            return keys_refuse(&file->reader, draft->match, err,
                               "in a glob, what stands between dots is either * or a text "
                               "without it; match_type: regex can do more");
        if (++count > MAPPING_FIELDS_MAX)
            return keys_refuse(&file->reader, draft->match, err,
                               "a glob has 64 fields between dots at most");
    }
    if (has_space(draft->rule.match))
        return keys_refuse(&file->reader, draft->match, err,
                           "no name has whitespace in it, so nothing can match");
    return 0;
}

static int compile_regex(const struct file *file, struct draft *draft, struct error *err)
{
    if (regex_compile(draft->rule.match, 0, &draft->rule.regex, err) == 0)
        return 0;
    return error_wrap(err, "%s:%d:%d", file->reader.name, draft->match->line, draft->match->column);
}

static int read_rule(struct file *file, const struct yaml_node *node, struct error *err)
{
    struct draft draft = {
        .rule = {.types = MAPPING_ANY_TYPE, .scale = 1, .ttl_ms = file->defaults.ttl_ms},
        .regex = file->defaults.regex,
    };
    if (keys_read(&file->reader, node, rule_keys, &draft, err) < 0)
        return -1;
    if (!draft.match)
        return keys_refuse(&file->reader, node, err, "this rule has no match");
    if (!draft.rule.name.len && !draft.rule.drop)
        return keys_refuse(&file->reader, node, err, "this rule has no name");
    if (has_space(draft.rule.name))
        return keys_refuse(&file->reader, node, err, "the name of this rule has whitespace in it");
    if (draft.regex ? compile_regex(file, &draft, err) : check_glob(file, &draft, err))
        return -1;
    mapping_add(file->mapping, &draft.rule);
    return 0;
}

static int read_file(struct slice text, struct file *file, struct error *err)
{
    struct yaml_node *root;
    if (yaml_parse(text, file->reader.name, file->reader.arena, &root, err) < 0 ||
        keys_read(&file->reader, root, file_keys, file, err) < 0)
        return -1;
    file->mapping->unordered = file->defaults.unordered;
    for (size_t i = 0; file->mappings && i < file->mappings->count; i++)
        if (read_rule(file, &file->mappings->children[i], err) < 0)
            return -1;
    return 0;
}

static int parse_into(struct slice text, const char *name, struct mapping *mapping,
                      struct error *err)
{
    struct file file = {.reader = {name, &mapping->arena}, .mapping = mapping};
    return read_file(text, &file, err);
}

int mapping_parse(struct slice text, const char *name, struct mapping **out, struct error *err)
{
    struct mapping *mapping = mapping_new();
    if (parse_into(text, name, mapping, err) < 0) {
        mapping_free(mapping);
        return -1;
    }
    *out = mapping;
    return 0;
}

int mapping_load(const char *path, struct mapping **out, struct error *err)
{
    struct mapping *mapping = mapping_new();
    struct slice text;
    if (file_read(path, FILE_BYTES_MAX, &mapping->arena, &text, err) < 0 ||
        parse_into(text, path, mapping, err) < 0) {
        mapping_free(mapping);
        return -1;
    }
    *out = mapping;
    return 0;
}
