/* mapping: a mapping file, and behind its first NUL byte names, one a line. What is refused has a
 * sentence with the file's name; of a name the trie finds the rule that a walk through the globs
 * finds, and what the rule makes of it is a sorted, bounded set of labels. */
#include <assert.h>
#include <stdio.h>

#include "server/ingest/mapped.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NAMES_MAX 64

static const char kinds[STATSD_TYPE_COUNT][4] = {"c", "g", "ms", "s", "C", "c"};

static void check_found(const struct mapping *mapping, uint32_t found, struct slice name,
                        enum mapping_type type)
{
    for (uint32_t i = 0; i < mapping->count; i++) {
        const struct mapping_rule *rule = &mapping->rules[i];
        bool fits =
            !rule->regex && rule->types >> type & 1 && mapping_glob_matches(rule->match, name);
        if (!fits)
            continue;
        assert(found && !mapping->rules[found - 1].regex);
        assert(mapping->unordered || found == i + 1);
        assert(mapping_glob_matches(mapping->rules[found - 1].match, name));
        return;
    }
    assert(!found || mapping->rules[found - 1].regex);
}

static void check_labels(const struct mapping *mapping, const struct statsd_metric *metric)
{
    struct arena arena;
    struct labels labels;
    uint16_t rule = mapped_rule(mapping, metric);
    struct statsd_name name = statsd_split_name(metric->dialect, metric->name);
    arena_init(&arena, 1 << 20);
    if (mapped_labels(mapped_at(mapping, rule), name, metric->tags, &arena, &labels)) {
        assert(labels.count >= 1 && labels.count < LABELS_MAX);
        assert(labels_get(labels, SLICE(LABEL_NAME)).len > 0);
        for (size_t i = 0; i < labels.count; i++) {
            assert(labels.at[i].name.len && labels.at[i].value.len);
            assert(i == 0 || slice_compare(labels.at[i - 1].name, labels.at[i].name) < 0);
        }
    }
    arena_release(&arena);
}

static void check_name(const struct mapping *mapping, struct slice name)
{
    for (int type = 0; type < MAPPING_TYPE_COUNT; type++) {
        enum mapping_type as = (enum mapping_type)type;
        check_found(mapping, mapping_find(mapping, name, as), name, as);
    }
    char line[256];
    struct slice head = slice_head(name, 200);
    for (size_t type = 0; type < STATSD_TYPE_COUNT; type++) {
        struct statsd_metric metric;
        int len =
            snprintf(line, sizeof line, SLICE_FMT ":1|%s|#env:x", SLICE_ARG(head), kinds[type]);
        if (statsd_parse(&statsd_profiles[STATSD_UNION], slice_make(line, (size_t)len), &metric) ==
            STATSD_ACCEPTED)
            check_labels(mapping, &metric);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice names = slice_make(data, size), text, name;
    struct mapping *mapping;
    struct error err = {0};
    slice_cut(&names, '\0', &text);
    if (mapping_parse(text, "fuzz.yaml", &mapping, &err) < 0) {
        assert(err.kind != ERROR_NONE && strncmp(err.text, "fuzz.yaml", 9) == 0);
        return 0;
    }
    for (int i = 0; i < NAMES_MAX && names.len; i++) {
        slice_cut(&names, '\n', &name);
        check_name(mapping, name);
    }
    mapping_free(mapping);
    return 0;
}
