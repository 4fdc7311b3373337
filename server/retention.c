/* retention: see the header. A rule that leaves a tier out has the general limit for it. */
#include "server/retention.h"

#include "query/parse.h"

#define RULES_BYTES_MAX ((size_t)16 << 20)

static int64_t or_else(int64_t own_ms, int64_t general_ms)
{
    return own_ms ? own_ms : general_ms;
}

/* The rules as the store takes them. */
struct rules {
    struct arena arena;
    struct store_retention_rule *at;
    struct plan **plans; /* own the matchers */
    size_t count;
};

static int read_rule(struct rules *rules, const struct config *config, struct error *err)
{
    const struct config_retention_rule *from = config->retention_rules.at;
    struct store_retention_rule *rule = &rules->at[rules->count];
    struct plan **plan = &rules->plans[rules->count];
    from += rules->count;
    if (parse_selector(slice_of_string(from->match), &rules->arena, plan, err) < 0)
        return error_wrap(err, "retention_rules");
    rules->count++;
    rule->matchers = (*plan)->selector.matchers;
    rule->matcher_count = (*plan)->selector.matcher_count;
    rule->ms[STORE_RAW] = or_else(from->raw_ms, config->retention.raw_ms);
    rule->ms[STORE_5M] = or_else(from->rollup_5m_ms, config->retention.rollup_5m_ms);
    rule->ms[STORE_1H] = or_else(from->rollup_1h_ms, config->retention.rollup_1h_ms);
    return 0;
}

static int read_rules(struct rules *rules, const struct config *config, struct error *err)
{
    size_t count = config->retention_rules.count;
    rules->at = arena_zeroed(&rules->arena, count + 1, sizeof *rules->at);
    rules->plans = arena_zeroed(&rules->arena, count + 1, sizeof(struct plan *));
    if (!rules->at || !rules->plans)
        return error_set(err, ERROR_TOO_LARGE, "retention_rules has too many entries");
    while (rules->count < count)
        if (read_rule(rules, config, err))
            return -1;
    return 0;
}

int retention_apply(const struct config *config, struct store *store, struct error *err)
{
    struct rules rules = {.count = 0};
    arena_init(&rules.arena, RULES_BYTES_MAX);
    int status = read_rules(&rules, config, err);
    struct store_retention retention = {.ms = {[STORE_RAW] = config->retention.raw_ms,
                                               [STORE_5M] = config->retention.rollup_5m_ms,
                                               [STORE_1H] = config->retention.rollup_1h_ms},
                                        .bytes = config->retention.bytes,
                                        .rules = rules.at,
                                        .rule_count = rules.count};
    if (!status)
        status = store_set_retention(store, &retention, err);
    for (size_t i = 0; i < rules.count; i++)
        plan_release(rules.plans[i]);
    arena_release(&rules.arena);
    return status;
}

struct reload {
    const struct config *config;
    struct store *store;
};

static int reload(void *arg, struct error *err)
{
    const struct reload *work = arg;
    return retention_apply(work->config, work->store, err);
}

int retention_reload(const struct config *config, struct store *store, struct writer *writer,
                     struct error *err)
{
    struct reload work = {config, store};
    return writer_tidy(writer, reload, &work, err);
}
