/* config_rows: the tables of options whose values are lists of maps; config.c says where they stand. */
#include <stddef.h>

#include "query/parse.h"
#include "server/config_options.h"

#define SELECTOR_BYTES_MAX ((size_t)1 << 22)

/* The error of a selector that does not parse. */
static int check_selector(struct slice text, struct error *err)
{
    struct plan *plan = NULL;
    struct arena arena;
    arena_init(&arena, SELECTOR_BYTES_MAX);
    int status = parse_selector(text, &arena, &plan, err);
    plan_release(plan);
    arena_release(&arena);
    return status;
}

#define RULE_AT(member) offsetof(struct config_retention_rule, member)

/* One map of retention_rules. */
const struct option config_retention_options[CONFIG_RETENTION_OPTIONS] = {
    {
        .path = "match",
        .type = OPTION_STRING,
        .offset = RULE_AT(match),
        .fallback = "",
        .required = true,
        .check = check_selector,
        .reloadable = true,
        .help = "Which series: a selector like `{env=\"dev\"}`.",
    },
    {
        .path = "raw",
        .type = OPTION_DURATION,
        .offset = RULE_AT(raw_ms),
        .min = HOUR,
        .max = 36500 * DAY,
        .reloadable = true,
        .help = "Instead of `retention.raw`.",
    },
    {
        .path = "5m",
        .type = OPTION_DURATION,
        .offset = RULE_AT(rollup_5m_ms),
        .min = HOUR,
        .max = 36500 * DAY,
        .reloadable = true,
        .help = "Instead of `retention.5m`.",
    },
    {
        .path = "1h",
        .type = OPTION_DURATION,
        .offset = RULE_AT(rollup_1h_ms),
        .min = HOUR,
        .max = 36500 * DAY,
        .reloadable = true,
        .help = "Instead of `retention.1h`.",
    },
};

#define PREFIX_AT(member) offsetof(struct config_prefix_limit, member)

static int check_prefix(struct slice text, struct error *err)
{
    for (struct slice rest = text; rest.len; rest = slice_skip(rest, slice_utf8_length(rest)))
        if (slice_utf8_length(rest) == 0)
            return error_set(err, ERROR_BAD_DATA, "a prefix must be UTF-8");
    return text.len ? 0 : error_set(err, ERROR_BAD_DATA, "a prefix must not be empty");
}

/* One map of limits.series_per_prefix. */
const struct option config_prefix_options[CONFIG_PREFIX_OPTIONS] = {
    {
        .path = "prefix",
        .type = OPTION_STRING,
        .offset = PREFIX_AT(prefix),
        .fallback = "",
        .required = true,
        .check = check_prefix,
        .help = "Which metrics: those whose names begin so, like `api.`.",
    },
    {
        .path = "series",
        .type = OPTION_INT,
        .offset = PREFIX_AT(series),
        .fallback = "1",
        .required = true,
        .min = 1,
        .max = 100000000,
        .help = "Live series they may have together.",
    },
};
