/* keep: see the header. A handful of rules, walked in order. */
#include "storage/keep.h"

#define RULES_BYTES_MAX ((size_t)4 << 20)

static void release_rules(struct keep_rule *rules, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < rules[i].count; k++)
            matcher_release(&rules[i].matchers[k]);
}

static int too_large(struct error *err)
{
    return error_set(err, ERROR_TOO_LARGE, "the rules of retention are too large");
}

static int copy_rule(struct arena *arena, const struct store_retention_rule *from,
                     struct keep_rule *rule, struct error *err)
{
    memcpy(rule->ms, from->ms, sizeof rule->ms);
    rule->matchers = arena_zeroed(arena, from->matcher_count + 1, sizeof *rule->matchers);
    if (!rule->matchers)
        return too_large(err);
    for (; rule->count < from->matcher_count; rule->count++) {
        const struct matcher *matcher = &from->matchers[rule->count];
        struct slice name = arena_copy(arena, matcher->name);
        struct slice value = arena_copy(arena, matcher->value);
        if (arena->exhausted)
            return too_large(err);
        if (matcher_init(&rule->matchers[rule->count], matcher->type, name, value, err))
            return -1;
    }
    return 0;
}

int keep_set(struct keep *keep, const struct store_retention *from, struct error *err)
{
    struct keep fresh = {.bytes = from->bytes};
    int status = 0;
    memcpy(fresh.ms, from->ms, sizeof fresh.ms);
    arena_init(&fresh.arena, RULES_BYTES_MAX);
    fresh.rules = arena_zeroed(&fresh.arena, from->rule_count + 1, sizeof *fresh.rules);
    if (!fresh.rules)
        return too_large(err);
    for (; !status && fresh.rule_count < from->rule_count; fresh.rule_count++)
        status = copy_rule(&fresh.arena, &from->rules[fresh.rule_count],
                           &fresh.rules[fresh.rule_count], err);
    if (status) {
        keep_release(&fresh);
        return -1;
    }
    keep_release(keep);
    *keep = fresh;
    return 0;
}

void keep_release(struct keep *keep)
{
    release_rules(keep->rules, keep->rule_count);
    arena_release(&keep->arena);
    *keep = (struct keep){.bytes = 0};
}

int64_t keep_limit(const struct keep *keep, struct labels labels, enum store_tier tier)
{
    for (size_t i = 0; i < keep->rule_count; i++)
        if (matchers_accept(keep->rules[i].matchers, keep->rules[i].count, labels))
            return keep->rules[i].ms[tier];
    return keep->ms[tier];
}

int64_t keep_shortest(const struct keep *keep, enum store_tier tier)
{
    int64_t shortest = keep->ms[tier];
    for (size_t i = 0; i < keep->rule_count; i++)
        if (keep_is_longer(shortest, keep->rules[i].ms[tier]))
            shortest = keep->rules[i].ms[tier];
    return shortest;
}
