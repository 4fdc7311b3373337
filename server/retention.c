/* retention: see the header. A rule that leaves a tier out has the general limit for it. */
#include "server/retention.h"

#include "query/parse.h"

#define RULES_BYTES_MAX ((size_t)16 << 20)

static int64_t or_else(int64_t own_ms, int64_t general_ms)
{
    return own_ms ? own_ms : general_ms;
}

static int read_rule(const struct config *config, size_t i, struct arena *arena, struct plan **plan,
                     struct store_retention_rule *out, struct error *err)
{
    const struct config_retention_rule *from = config->retention_rules.at;
    from += i;
    if (parse_selector(slice_of_string(from->match), arena, plan, err) < 0)
        return error_wrap(err, "retention_rules");
    out->matchers = (*plan)->selector.matchers;
    out->matcher_count = (*plan)->selector.matcher_count;
    out->ms[STORE_RAW] = or_else(from->raw_ms, config->retention.raw_ms);
    out->ms[STORE_5M] = or_else(from->rollup_5m_ms, config->retention.rollup_5m_ms);
    out->ms[STORE_1H] = or_else(from->rollup_1h_ms, config->retention.rollup_1h_ms);
    return 0;
}

int retention_apply(const struct config *config, struct store *store, struct error *err)
{
    size_t count = config->retention_rules.count, read = 0;
    struct arena arena;
    int status = 0;
    arena_init(&arena, RULES_BYTES_MAX);
    struct store_retention_rule *rules = arena_zeroed(&arena, count + 1, sizeof *rules);
    struct plan **plans = arena_zeroed(&arena, count + 1, sizeof *plans);
    struct store_retention retention = {.ms = {[STORE_RAW] = config->retention.raw_ms,
                                               [STORE_5M] = config->retention.rollup_5m_ms,
                                               [STORE_1H] = config->retention.rollup_1h_ms},
                                        .bytes = config->retention.bytes,
                                        .rules = rules,
                                        .rule_count = count};
    if (!rules || !plans)
        status = error_set(err, ERROR_TOO_LARGE, "retention_rules has too many entries");
    for (; !status && read < count; read++)
        status = read_rule(config, read, &arena, &plans[read], &rules[read], err);
    if (!status)
        status = store_set_retention(store, &retention, err);
    for (size_t i = 0; i < read; i++)
        plan_release(plans[i]);
    arena_release(&arena);
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
