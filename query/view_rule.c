/* view_rule: see the header.
 *
 *   stats . timers . api . *  . upper_90
 *   ^^^^^^^^^^^^^^   ^^^^^^^^   ^^^^^^^^
 *   prefix           name       statistic        -> {__name__=~"api\.[^.]*"} of histograms
 */
#include "query/view_rule.h"

#include <stdatomic.h>

#include "storage/base/clock.h"

#define REGEX_BYTES_MAX ((size_t)65536)

const struct view_rule view_rules[] = {
    {{SLICE_LIT("stats"), SLICE_LIT("counters")}, 2, SERIES_COUNTER, VIEW_COUNTER, ETSY_COUNT},
    {{SLICE_LIT("stats"), SLICE_LIT("timers")}, 2, SERIES_HISTOGRAM, VIEW_TIMER, ETSY_COUNT},
    {{SLICE_LIT("stats"), SLICE_LIT("gauges")}, 2, SERIES_GAUGE, VIEW_NONE, ETSY_COUNT},
    {{SLICE_LIT("stats"), SLICE_LIT("sets")}, 2, SERIES_SET, VIEW_SET, ETSY_COUNT},
    {{SLICE_LIT("stats")}, 1, SERIES_COUNTER, VIEW_NONE, ETSY_COUNT_PS},
    {{SLICE_LIT("stats_counts")}, 1, SERIES_COUNTER, VIEW_NONE, ETSY_COUNT},
    {{SLICE_LIT("")}, 0, SERIES_GAUGE, VIEW_NONE, ETSY_COUNT},
};
const size_t view_rule_count = sizeof view_rules / sizeof view_rules[0];

bool view_rule_takes(const struct view_rule *rule, const struct target *target,
                     const struct slice **nodes, size_t *count)
{
    if (target->count <= rule->prefix_count)
        return false;
    for (size_t i = 0; i < rule->prefix_count; i++)
        if (!target_matches(target->nodes[i], rule->prefix[i]))
            return false;
    *nodes = target->nodes + rule->prefix_count;
    *count = target->count - rule->prefix_count;
    return true;
}

static size_t match_names(const struct slice *names, size_t count, struct slice node,
                          struct view_statistic *out)
{
    size_t matched = 0;
    for (size_t i = 0; i < count && matched < VIEW_STATISTICS_MAX; i++)
        if (target_matches(node, names[i]) && etsy_find(names[i], &out[matched].value))
            out[matched++].name = names[i];
    return matched;
}

size_t view_statistics(const struct view_rule *rule, struct slice node,
                       struct view_statistic out[VIEW_STATISTICS_MAX])
{
    static const struct slice of_counters[] = {SLICE_LIT("rate"), SLICE_LIT("count")};
    static const struct slice of_sets[] = {SLICE_LIT("count")};
    const struct slice *of_timers;
    size_t timer_count = etsy_names(&of_timers), count = 0;
    switch (rule->suffix) {
    case VIEW_COUNTER:
        for (size_t i = 0; i < 2; i++)
            if (target_matches(node, of_counters[i])) {
                out[count].value =
                    (struct etsy_statistic){.measure = i ? ETSY_COUNT : ETSY_COUNT_PS};
                out[count++].name = of_counters[i];
            }
        return count;
    case VIEW_TIMER:
        if (target_is_glob(node))
            return match_names(of_timers, timer_count, node, out);
        out->name = node;
        return etsy_find(node, &out->value);
    case VIEW_SET:
        return match_names(of_sets, 1, node, out);
    case VIEW_NONE:
        break;
    }
    *out = (struct view_statistic){.value = {.measure = rule->measure}};
    return 1;
}

/* --- series --- */

struct watch {
    const struct view_request *request;
    struct error *err;
};

bool view_is_over(const struct view_request *request, struct error *err)
{
    if (request->cancelled && atomic_load(request->cancelled))
        error_set(err, ERROR_CANCELED, "the query was canceled");
    else if (clock_monotonic_ns() > request->deadline_ns)
        error_set(err, ERROR_TIMEOUT,
                  "the query took longer than limits.query_timeout; ask for a narrower path");
    else
        return false;
    return true;
}

static bool is_over(void *arg)
{
    const struct watch *watch = arg;
    return view_is_over(watch->request, watch->err);
}

static bool any_glob(const struct view_names *names)
{
    for (size_t i = 0; i < names->count; i++)
        if (target_is_glob(names->nodes[i]))
            return true;
    return names->which == VIEW_DEEPER;
}

static bool is_decrement(struct slice name)
{
    const struct slice end = VIEW_DECREMENT;
    return name.len > end.len && slice_equal(slice_skip(name, name.len - end.len), end);
}

static void sift(struct store_selection *selection, enum series_kind kind, bool no_decrements)
{
    size_t kept = 0;
    for (size_t i = 0; i < selection->count; i++) {
        const struct store_series *series = &selection->at[i];
        bool hidden = no_decrements && is_decrement(labels_get(series->labels, SLICE(LABEL_NAME)));
        if (series->kind == kind && !hidden)
            selection->at[kept++] = *series;
    }
    selection->count = kept;
}

/* The name itself, or an expression for names. */
static void write_pattern(const struct view_names *names, bool literal, struct buffer *out)
{
    for (size_t i = 0; i < names->count && literal; i++) {
        buffer_append_string(out, i ? "." : "");
        buffer_append_slice(out, names->nodes[i]);
    }
    if (!literal)
        target_write_regex(names->nodes, names->count, out);
    if (names->which == VIEW_DEEPER)
        buffer_append_string(out, "(?:\\..*)?");
    else if (names->which == VIEW_DECREMENTS)
        buffer_append_slice(out, VIEW_DECREMENT);
}

int view_select(const struct view_request *request, const struct view_names *names,
                struct arena *arena, struct store_selection *out, struct error *err)
{
    struct watch watch = {request, err};
    struct matcher matcher;
    struct buffer pattern;
    bool literal = !any_glob(names);
    if (view_is_over(request, err))
        return -1;
    buffer_init(&pattern, REGEX_BYTES_MAX);
    write_pattern(names, literal, &pattern);
    int status = matcher_init(&matcher, literal ? MATCH_EQUAL : MATCH_REGEX, SLICE(LABEL_NAME),
                              buffer_slice(&pattern), err);
    struct store_query query = {.matchers = &matcher,
                                .matcher_count = 1,
                                .start_ms = request->start_ms,
                                .end_ms = request->end_ms,
                                .stop = is_over,
                                .stop_arg = &watch};
    if (status == 0) {
        status = store_select(request->store, &query, arena, out, err);
        matcher_release(&matcher);
    }
    buffer_release(&pattern);
    if (status == 0)
        sift(out, names->kind, !literal && names->which != VIEW_DECREMENTS);
    return status;
}
