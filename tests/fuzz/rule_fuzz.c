/* Fuzz: a rule file. What is refused has a sentence with the file's name; of what is accepted every
 * query parses again from its canonical text, and every template expands within its bounds. */
#include <assert.h>

#include "query/parse.h"
#include "server/alert/rule.h"
#include "server/alert/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_templates(struct labels templates, struct arena *arena)
{
    static const struct label pairs[] = {{SLICE_LIT("job"), SLICE_LIT("x")},
                                         {SLICE_LIT("n"), SLICE_LIT("1e300")}};
    struct template_data given = {{pairs, 2}, -1.5e-7, {pairs, 2}, SLICE("http://x")};
    for (size_t i = 0; i < templates.count; i++) {
        struct slice text = template_expand(templates.at[i].value, &given, arena);
        assert(text.len <= TEMPLATE_OUTPUT_MAX || text.at == templates.at[i].value.at);
    }
}

static void check_rule(const struct rule *rule)
{
    struct arena arena;
    struct plan *plan;
    struct error err = {0};
    arena_init(&arena, 64 << 20);
    assert(rule->name.len && rule->plan && rule->id);
    int status = parse_promql(rule->query, &arena, &plan, &err);
    assert(status == 0);
    plan_release(plan);
    check_templates(rule->labels, &arena);
    check_templates(rule->annotations, &arena);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rule_set *set = rule_set_new(60000);
    struct error err = {0};
    if (rule_set_add(set, slice_make(data, size), "fuzz.yaml", &err) < 0) {
        assert(err.kind != ERROR_NONE && strncmp(err.text, "fuzz.yaml", 9) == 0);
    } else {
        for (size_t g = 0; g < set->count; g++)
            for (size_t i = 0; i < set->groups[g].count; i++)
                check_rule(&set->groups[g].rules[i]);
    }
    rule_set_free(set);
    return 0;
}
