/* view: see the header. Target by rule by series by statistic; view_points has the values. */
#include "query/view.h"

#include <math.h>

#include "query/promql.h"
#include "query/view_points.h"
#include "query/view_rule.h"
#include "storage/base/table.h"

#define DECREMENTS_MAX 1000000
#define KEY_BYTES_MAX  ((size_t)1 << 20)

struct rendering {
    struct view_reading reading;
    const struct view_rule *rule;
    struct view_statistic statistics[VIEW_STATISTICS_MAX];
    size_t statistic_count;
    /* Canonical labels of a counter -> the id of what gathers its counts below zero. */
    struct table decrements;
    struct buffer key;
    struct arena *arena; /* of results */
    struct view_result *out;
    struct error *err;
};

static int no_memory(struct error *err)
{
    return error_set(err, ERROR_LIMIT,
                     "the query needs more than limits.query_memory; ask for a narrower path or "
                     "fewer points");
}

/* --- results --- */

static struct slice path_of(const struct rendering *r, struct slice name, struct slice statistic)
{
    const struct view_rule *rule = r->rule;
    struct slice path = name;
    for (size_t i = rule->prefix_count; i-- > 0;)
        path = arena_format(r->arena, SLICE_FMT "." SLICE_FMT, SLICE_ARG(rule->prefix[i]),
                            SLICE_ARG(path));
    if (statistic.len)
        path =
            arena_format(r->arena, SLICE_FMT "." SLICE_FMT, SLICE_ARG(path), SLICE_ARG(statistic));
    return path;
}

static bool make_room(struct rendering *r, size_t more)
{
    struct view_result *out = r->out;
    if (out->count + more <= out->capacity)
        return true;
    size_t capacity = 2 * (out->count + more);
    struct view_series *at = arena_alloc(r->arena, capacity * sizeof *at);
    if (!at)
        return false;
    if (out->count)
        memcpy(at, out->at, out->count * sizeof *at);
    out->at = at;
    out->capacity = capacity;
    return true;
}

/* A result for each statistic of a series; NULL: no memory. */
static struct view_series *push(struct rendering *r, const struct store_series *series)
{
    struct slice name = labels_get(series->labels, SLICE(LABEL_NAME));
    size_t points = r->reading.points;
    if (!make_room(r, r->statistic_count))
        return NULL;
    struct view_series *first = &r->out->at[r->out->count];
    for (size_t k = 0; k < r->statistic_count; k++) {
        double *values = arena_alloc(r->arena, (points + 1) * sizeof *values);
        if (!values)
            return NULL;
        for (size_t i = 0; i < points; i++)
            values[i] = NAN;
        first[k] =
            (struct view_series){path_of(r, name, r->statistics[k].name), series->labels, values};
    }
    r->out->count += r->statistic_count;
    return r->arena->exhausted ? NULL : first;
}

/* --- counts below zero --- */

static void encode_base(struct rendering *r, struct labels labels)
{
    struct label pairs[LABELS_MAX];
    const struct slice end = VIEW_DECREMENT;
    for (size_t i = 0; i < labels.count; i++) {
        pairs[i] = labels.at[i];
        if (slice_equal(pairs[i].name, SLICE(LABEL_NAME)))
            pairs[i].value = slice_head(pairs[i].value, pairs[i].value.len - end.len);
    }
    buffer_reset(&r->key);
    labels_encode((struct labels){pairs, labels.count}, &r->key);
}

static int find_decrements(struct rendering *r, const struct view_names *names)
{
    const struct view_names below = {names->kind, names->nodes, names->count, VIEW_DECREMENTS};
    struct store_selection found;
    bool fresh;
    if (view_select(r->reading.request, &below, r->arena, &found, r->err))
        return -1;
    for (size_t i = 0; i < found.count; i++) {
        encode_base(r, found.at[i].labels);
        struct table_entry *entry = table_insert(&r->decrements, buffer_slice(&r->key), &fresh);
        if (entry)
            entry->value.number = found.at[i].id;
    }
    return 0;
}

static int subtract_decrements(struct rendering *r, struct labels labels, double *rises)
{
    buffer_reset(&r->key);
    labels_encode(labels, &r->key);
    const struct table_entry *entry = table_find(&r->decrements, buffer_slice(&r->key));
    return entry ? view_add_rises(&r->reading, (uint32_t)entry->value.number, -1, rises) : 0;
}

/* --- series --- */

static int put_counter(struct rendering *r, const struct store_series *series,
                       struct view_series *results)
{
    double seconds = (double)r->reading.request->step_ms / 1000;
    double *rises = results[0].values;
    if (view_add_rises(&r->reading, series->id, 1, rises) ||
        subtract_decrements(r, series->labels, rises))
        return -1;
    for (size_t k = r->statistic_count; k-- > 0;) { /* the first, which has the rises, last */
        bool rate = r->statistics[k].value.measure == ETSY_COUNT_PS;
        for (size_t i = 0; i < r->reading.points; i++)
            results[k].values[i] = rate ? rises[i] / seconds : rises[i];
    }
    return 0;
}

static int put_timer(struct rendering *r, const struct store_series *series,
                     const struct view_series *results)
{
    struct view_wanted wanted[VIEW_STATISTICS_MAX];
    for (size_t k = 0; k < r->statistic_count; k++)
        wanted[k] = (struct view_wanted){r->statistics[k].value, results[k].values};
    return view_put_timers(&r->reading, series->id, wanted, r->statistic_count);
}

static int render_series(struct rendering *r, const struct store_series *series)
{
    struct view_series *results = push(r, series);
    if (!results)
        return no_memory(r->err);
    switch (series->kind) {
    case SERIES_COUNTER:
        return put_counter(r, series, results);
    case SERIES_HISTOGRAM:
        return put_timer(r, series, results);
    case SERIES_SET:
        return view_put_members(&r->reading, series->id, results->values);
    case SERIES_GAUGE:
        break;
    }
    return view_put_readings(&r->reading, series->id, results->values);
}

/* Whether all queries together may hold what this one does. */
static int check_share(struct rendering *r)
{
    struct promql_share *share = r->reading.request->share;
    size_t held = r->arena->used + r->reading.scratch.used;
    return share ? promql_share_check(share, held, r->err) : 0;
}

static int render_rule(struct rendering *r, const struct target *target)
{
    struct view_names names = {.kind = r->rule->kind, .which = VIEW_EXACT};
    struct store_selection series;
    if (!view_rule_takes(r->rule, target, &names.nodes, &names.count))
        return 0;
    bool suffix = r->rule->suffix != VIEW_NONE;
    if (suffix && names.count < 2)
        return 0;
    names.count -= suffix;
    r->statistic_count =
        view_statistics(r->rule, names.nodes[names.count - !suffix], r->statistics);
    if (r->statistic_count == 0)
        return 0;
    if (view_select(r->reading.request, &names, r->arena, &series, r->err))
        return -1;
    if (series.count && r->rule->kind == SERIES_COUNTER && find_decrements(r, &names))
        return -1;
    for (size_t i = 0; i < series.count; i++)
        if (view_is_over(r->reading.request, r->err) || render_series(r, &series.at[i]) ||
            check_share(r))
            return -1;
    return 0;
}

int view_render(const struct view_request *request, const struct target *target,
                struct arena *arena, struct view_result *out, struct error *err)
{
    struct rendering r = {.arena = arena, .out = out, .err = err};
    int status = 0;
    view_reading_init(&r.reading, request, err);
    r.reading.samples_read = out->samples_read;
    out->first_ms = r.reading.first_ms;
    out->points = r.reading.points;
    table_init(&r.decrements, DECREMENTS_MAX);
    buffer_init(&r.key, KEY_BYTES_MAX);
    for (size_t i = 0; i < view_rule_count && status == 0 && out->points; i++) {
        r.rule = &view_rules[i];
        status = render_rule(&r, target);
    }
    out->samples_read = r.reading.samples_read;
    table_release(&r.decrements);
    buffer_release(&r.key);
    view_reading_release(&r.reading);
    return status;
}
