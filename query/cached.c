/* cached: see the header.
 *
 *   asked     |------------------------------|
 *   cached        |---------------------|             computed before, maybe by another range
 *   touched                         x                 by changes since then, from here on
 *   answer    |hhh|cccccccccccccccc|tttttttttt|       head and tail computed now
 *
 * The parts are joined by labels. Infos are kept with an entry, but say nothing of the steps they are
 * about: an entry with infos answers only the very range it was made for, and a part with infos makes
 * the query be computed whole. That covers most answers which are approximate where samples have left:
 * they depend on the whole range, and say so in infos. Which tiers were read is not an info here, but
 * the union of all parts.
 *
 * Texts are of whole replies; like infos they are for the very range of their entry. To know one again takes
 * no plan: what the plan reads stands in the entry.
 */
#include "query/cached.h"

#include "query/eval.h"
#include "query/parse.h"

#define KEY_BYTES_MAX ((size_t)1 << 20)
#define TIME_FAR_MS   ((int64_t)1 << 60)

/* --- what a step reads --- */

/* The latest sample times that a plan reads: relative to the step, and whatever the step. */
struct reach {
    int64_t ahead_ms, fixed_ms; /* INT64_MIN: it reads none */
    bool grid;                  /* it depends on the ends of the range */
};

/* Where the times of a node lie: `ms` after the step, or at a fixed time. */
struct anchor {
    int64_t ms;
    bool fixed;
};

/* The anchor after the @ and the offset of a selector or subquery. Both ends of an instant query are its
 * one step; what they are of a range does not matter, as it is not kept. */
static struct anchor anchor_of(const struct plan *plan, struct anchor outer, struct reach *reach)
{
    bool ends = plan->at == AT_START || plan->at == AT_END;
    struct anchor anchor = plan->at == AT_TIME ? (struct anchor){plan->at_ms, true}
                           : ends              ? (struct anchor){0, false}
                                               : outer;
    reach->grid |= ends;
    anchor.ms = time_minus(anchor.ms, plan->offset_ms);
    return anchor;
}

static void add_selector(const struct plan *plan, struct anchor outer, struct reach *reach)
{
    struct anchor anchor = anchor_of(plan, outer, reach);
    int64_t *latest = anchor.fixed ? &reach->fixed_ms : &reach->ahead_ms;
    if (anchor.ms > *latest)
        *latest = anchor.ms;
}

static void add_reach(const struct plan *plan, struct anchor outer, struct reach *reach)
{
    if (!plan)
        return;
    switch (plan->kind) {
    case PLAN_NUMBER:
    case PLAN_STRING:
        return;
    case PLAN_SELECTOR:
        add_selector(plan, outer, reach);
        return;
    case PLAN_SUBQUERY:
        add_reach(plan->subquery.child, anchor_of(plan, outer, reach), reach);
        return;
    case PLAN_CALL:
        for (size_t i = 0; i < plan->call.arg_count; i++)
            add_reach(plan->call.args[i], outer, reach);
        return;
    case PLAN_AGGREGATE:
        add_reach(plan->aggregate.param, outer, reach);
        add_reach(plan->aggregate.child, outer, reach);
        return;
    case PLAN_BINARY:
        add_reach(plan->binary.left, outer, reach);
        add_reach(plan->binary.right, outer, reach);
        return;
    case PLAN_UNARY:
    case PLAN_PAREN:
        add_reach(plan->child, outer, reach);
        return;
    }
}

/* --- one query --- */

struct cached {
    struct result_cache *cache;
    struct store *store;
    const struct promql_request *request;
    struct arena *arena;
    struct error *err;
    struct reach reach;
    struct buffer key;
    int64_t first_ms, last_ms; /* the steps asked for */
    size_t steps;
    const int64_t *grid_times;
    struct cached_facts facts; /* of the entry; then of the part of it that is used */
    bool all;                  /* the entry is just what was asked for, and all of it is right */
    uint64_t change;           /* what the answer knows of, at least */
};

/* What decides the value at a step: the query, and the grid but for its ends. The query as it was asked:
 * infos say where in the text they belong, and a text that is known need not be parsed. */
static void put_key(const struct promql_request *request, struct buffer *out)
{
    int64_t lookback = request->lookback_ms ? request->lookback_ms : PROMQL_LOOKBACK_MS;
    int64_t phase = request->step_ms ? request->start_ms % request->step_ms : 0;
    buffer_append_varint_signed(out, request->step_ms);
    buffer_append_varint_signed(out, lookback);
    buffer_append_varint_signed(out, phase < 0 ? phase + request->step_ms : phase);
    buffer_append_slice(out, request->text);
}

/* The last step that reads only what lies before `low_ms`; whole steps of the entry. */
static int64_t last_untouched(const struct cached *cached, int64_t low_ms)
{
    int64_t last = cached->facts.last_ms, step = cached->request->step_ms;
    if (cached->facts.fixed_ms >= low_ms)
        return INT64_MIN;
    if (cached->facts.ahead_ms == INT64_MIN || low_ms > TIME_FAR_MS)
        return last;
    int64_t end = time_minus(low_ms, cached->facts.ahead_ms); /* steps before this time */
    if (last < end)
        return last;
    if (end <= cached->facts.first_ms)
        return INT64_MIN;
    return cached->facts.first_ms + (end - 1 - cached->facts.first_ms) / step * step;
}

static bool is_whole(const struct cached *cached)
{
    return cached->facts.first_ms == cached->first_ms && cached->facts.last_ms == cached->last_ms;
}

/* Narrows the facts to the steps that are right and asked for. False: there are none. */
static bool choose_steps(struct cached *cached, int64_t low_ms)
{
    struct cached_facts *facts = &cached->facts;
    struct cached_facts had = *facts;
    facts->last_ms = last_untouched(cached, low_ms);
    if (facts->last_ms > cached->last_ms)
        facts->last_ms = cached->last_ms;
    if (facts->first_ms < cached->first_ms)
        facts->first_ms = cached->first_ms;
    cached->all =
        is_whole(cached) && facts->first_ms == had.first_ms && facts->last_ms == had.last_ms;
    return facts->first_ms <= facts->last_ms && (!had.noted || cached->all);
}

/* --- joining parts --- */

struct parts {
    struct promql_result at[3]; /* in the order of time */
    size_t count;
    size_t next[3]; /* the series of each that comes next */
};

/* By labels, numbers before histograms: the order of results. */
static int compare(const struct promql_series *a, const struct promql_series *b)
{
    int order = labels_compare(a->labels, b->labels);
    return order ? order : (a->values == NULL) - (b->values == NULL);
}

/* The series that comes next in any part; NULL at the end. */
static const struct promql_series *first_of(const struct parts *parts)
{
    const struct promql_series *first = NULL;
    for (size_t i = 0; i < parts->count; i++) {
        if (parts->next[i] == parts->at[i].count)
            continue;
        const struct promql_series *series = &parts->at[i].series[parts->next[i]];
        if (!first || compare(series, first) < 0)
            first = series;
    }
    return first;
}

/* Takes the pieces of one series from all parts; returns how many there are. */
static size_t take_pieces(struct parts *parts, const struct promql_series *first,
                          const struct promql_series *pieces[3])
{
    size_t count = 0;
    for (size_t i = 0; i < parts->count; i++) {
        if (parts->next[i] == parts->at[i].count)
            continue;
        const struct promql_series *series = &parts->at[i].series[parts->next[i]];
        if (series == first || compare(series, first) == 0) {
            pieces[count++] = series;
            parts->next[i]++;
        }
    }
    return count;
}

/* Makes the pieces one series. With a point at every step it shares its times with its like. */
static bool join_pieces(const struct cached *cached, const struct promql_series *pieces[3],
                        size_t count, struct promql_series *out)
{
    struct arena *arena = cached->arena;
    size_t total = 0, at = 0;
    bool numbers = pieces[0]->values != NULL;
    for (size_t i = 0; i < count; i++)
        total += pieces[i]->count;
    int64_t *times = total < cached->steps ? arena_alloc(arena, total * sizeof *times) : NULL;
    double *values = numbers ? arena_alloc(arena, total * sizeof *values) : NULL;
    const struct histogram **histograms =
        numbers ? NULL : arena_alloc(arena, total * sizeof *histograms);
    if ((!times && total < cached->steps) || (!values && !histograms))
        return false;
    for (size_t i = 0; i < count; at += pieces[i++]->count) {
        size_t n = pieces[i]->count;
        if (times)
            memcpy(times + at, pieces[i]->times, n * sizeof *times);
        if (numbers)
            memcpy(values + at, pieces[i]->values, n * sizeof *values);
        else
            memcpy(histograms + at, pieces[i]->histograms, n * sizeof *histograms);
    }
    *out = (struct promql_series){.labels = pieces[0]->labels,
                                  .count = total,
                                  .times = times ? times : cached->grid_times,
                                  .values = values,
                                  .histograms = histograms};
    return true;
}

static bool join(struct cached *cached, struct parts *parts, struct promql_result *out)
{
    const struct promql_series *first, *pieces[3];
    size_t most = 0;
    *out = (struct promql_result){.type = VALUE_MATRIX};
    int64_t *times = arena_alloc(cached->arena, cached->steps * sizeof *times);
    for (size_t i = 0; times && i < cached->steps; i++)
        times[i] = cached->first_ms + (int64_t)i * cached->request->step_ms;
    cached->grid_times = times;
    for (size_t i = 0; i < parts->count; i++) {
        most += parts->at[i].count;
        out->tiers |= parts->at[i].tiers;
        out->samples_read += parts->at[i].samples_read;
    }
    out->series = arena_alloc(cached->arena, most * sizeof *out->series);
    if (!times || !out->series)
        return false;
    while ((first = first_of(parts)))
        if (!join_pieces(cached, pieces, take_pieces(parts, first, pieces),
                         &out->series[out->count++]))
            return false;
    return true;
}

/* --- running --- */

static int run_steps(const struct cached *cached, int64_t first_ms, int64_t last_ms,
                     struct promql_result *out)
{
    struct promql_request request = *cached->request;
    request.start_ms = first_ms;
    request.end_ms = last_ms;
    return promql_evaluate(cached->store, &request, cached->arena, out, cached->err);
}

static int add_part(const struct cached *cached, int64_t first_ms, int64_t last_ms,
                    struct parts *parts)
{
    if (first_ms > last_ms)
        return 0;
    return run_steps(cached, first_ms, last_ms, &parts->at[parts->count++]);
}

static bool any_noted(const struct parts *parts)
{
    bool noted = false;
    for (size_t i = 0; i < parts->count; i++)
        noted |= parts->at[i].info_count || parts->at[i].warning_count;
    return noted;
}

/* From the cache and around it. 1: done, 0: it has to be computed whole, -1: failed. */
static int run_around(struct cached *cached, struct promql_result *out)
{
    const struct cached_facts *facts = &cached->facts;
    int64_t step = cached->request->step_ms;
    struct promql_result had;
    struct parts parts = {.count = 0};
    if (!result_cache_copy(cached->cache, buffer_slice(&cached->key), facts, cached->arena, &had))
        return 0;
    if (is_whole(cached)) {
        *out = had;
        out->cached = cached->all ? facts->id : 0;
        return 1;
    }
    if (add_part(cached, cached->first_ms, facts->first_ms - step, &parts) != 0)
        return -1;
    parts.at[parts.count++] = had;
    if (add_part(cached, facts->last_ms + step, cached->last_ms, &parts) != 0)
        return -1;
    if (any_noted(&parts))
        return 0;
    if (join(cached, &parts, out))
        return 1;
    return error_set(cached->err, ERROR_LIMIT,
                     "the answer would need more than %zu bytes of memory; narrow the range or the "
                     "selectors, or raise limits.query_memory",
                     cached->arena->limit);
}

/* A range much shorter than that of the entry takes its place only when little of the entry is left: two
 * dashboards may ask for the same. */
static bool is_worth_keeping(const struct cached *cached, const struct cached_facts *had)
{
    int64_t asked = cached->last_ms - cached->first_ms;
    int64_t used = cached->facts.last_ms - cached->facts.first_ms;
    return asked >= (had->last_ms - had->first_ms) / 2 || used < asked / 2;
}

static void keep(const struct cached *cached, const struct promql_result *result)
{
    struct cached_facts facts = {.change = cached->change,
                                 .first_ms = cached->first_ms,
                                 .last_ms = cached->last_ms,
                                 .ahead_ms = cached->reach.ahead_ms,
                                 .fixed_ms = cached->reach.fixed_ms};
    if (result->warning_count == 0)
        result_cache_put(cached->cache, buffer_slice(&cached->key), &facts, result);
}

/* Whether the cache has steps that are right. The entry as it is goes to *had. */
static bool look_up(struct cached *cached, struct cached_facts *had)
{
    bool found = result_cache_find(cached->cache, buffer_slice(&cached->key), &cached->facts);
    *had = cached->facts;
    cached->change = found ? had->change : 0;
    int64_t low_ms = store_changed_since(cached->store, &cached->change);
    return found && choose_steps(cached, low_ms);
}

static int run(struct cached *cached, struct promql_result *out)
{
    struct cached_facts had;
    bool usable = look_up(cached, &had);
    int status = usable ? run_around(cached, out) : 0;
    if (status < 0)
        return -1;
    bool whole = is_whole(cached);
    result_cache_count(status == 0 ? CACHE_MISS : whole ? CACHE_HIT : CACHE_PART);
    if (status == 0 && run_steps(cached, cached->first_ms, cached->last_ms, out) != 0)
        return -1;
    if (status == 0 ? !usable || is_worth_keeping(cached, &had)
                    : !whole && is_worth_keeping(cached, &had))
        keep(cached, out);
    return 0;
}

/* Requests that make sense, as far as that shows without the plan. */
static bool is_sensible(const struct promql_request *request)
{
    int64_t start = request->start_ms, end = request->end_ms, step = request->step_ms;
    return request->cache && request->text.len && start > -TIME_FAR_MS && end < TIME_FAR_MS &&
           (step == 0 ? start == end
                      : step > 0 && start <= end && (end - start) / step <= PROMQL_POINTS_MAX);
}

/* Plans whose steps do not depend on each other, and make rows. An instant query that reads nothing is not
 * worth a place. */
static bool is_cacheable(const struct promql_request *request, struct reach *reach)
{
    *reach = (struct reach){.ahead_ms = INT64_MIN, .fixed_ms = INT64_MIN};
    add_reach(request->plan, (struct anchor){0, false}, reach);
    bool reads = reach->ahead_ms != INT64_MIN || reach->fixed_ms != INT64_MIN;
    return (request->plan->type == VALUE_SCALAR || request->plan->type == VALUE_VECTOR) &&
           (request->step_ms ? !reach->grid : reads);
}

/* Of a sensible request. The key is to be released. */
static struct cached open_cached(struct store *store, const struct promql_request *request)
{
    int64_t start = request->start_ms, step = request->step_ms;
    int64_t steps = step ? (request->end_ms - start) / step + 1 : 1;
    struct cached cached = {.cache = request->cache,
                            .store = store,
                            .request = request,
                            .first_ms = start,
                            .last_ms = start + (steps - 1) * step,
                            .steps = (size_t)steps};
    buffer_init(&cached.key, KEY_BYTES_MAX);
    put_key(request, &cached.key);
    return cached;
}

int cached_run(struct store *store, const struct promql_request *request, struct arena *arena,
               struct promql_result *out, struct error *err)
{
    struct error ignored;
    struct reach reach;
    if (!is_sensible(request) || !is_cacheable(request, &reach))
        return promql_run(store, request, arena, out, err);
    struct cached cached = open_cached(store, request);
    cached.arena = arena;
    cached.err = err ? err : &ignored;
    cached.reach = reach;
    int status = cached.key.overflow ? promql_evaluate(store, request, arena, out, cached.err)
                                     : run(&cached, out);
    buffer_release(&cached.key);
    if (status == 0)
        promql_note_tiers(out, arena);
    return status;
}

bool cached_text(struct store *store, const struct promql_request *request, struct buffer *out)
{
    if (!is_sensible(request))
        return false;
    struct cached_facts had;
    struct cached cached = open_cached(store, request);
    bool taken = !cached.key.overflow && look_up(&cached, &had) && cached.all && had.has_text &&
                 result_cache_copy_text(cached.cache, buffer_slice(&cached.key), had.id, out);
    buffer_release(&cached.key);
    if (taken)
        result_cache_count(CACHE_HIT);
    return taken;
}

bool cached_text_at_once(struct store *store, const struct promql_request *request,
                         size_t bytes_max, struct buffer *out)
{
    if (!is_sensible(request))
        return false;
    struct cached cached = open_cached(store, request);
    size_t before = out->len;
    int64_t low_ms;
    bool taken =
        !cached.key.overflow && result_cache_try_text(cached.cache, buffer_slice(&cached.key),
                                                      bytes_max, &cached.facts, out);
    bool right = taken && store_try_changed_since(store, cached.facts.change, &low_ms) &&
                 choose_steps(&cached, low_ms) && cached.all;
    buffer_release(&cached.key);
    if (right)
        result_cache_count(CACHE_HIT);
    else
        out->len = before;
    return right;
}

void cached_keep_text(const struct promql_request *request, const struct promql_result *result,
                      struct slice text)
{
    if (!result->cached)
        return;
    struct cached cached = open_cached(NULL, request);
    result_cache_put_text(request->cache, buffer_slice(&cached.key), result->cached, text);
    buffer_release(&cached.key);
}
