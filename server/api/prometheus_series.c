/* prometheus_series: what exists: series, label names, label values, metric types.
 *
 *   /api/v1/series?match[]=..   [{"__name__":"up",..}, ..]
 *   /api/v1/labels              ["__name__","job", ..]
 *   /api/v1/label/job/values    ["api","web"]
 *   /api/v1/metadata            {"up":[{"type":"gauge","help":"","unit":""}]}
 *
 * Several match[] are a union. Series honour start and end; names and values are those of all kept
 * series, whatever the time, which is also all that Prometheus promises. A metric's type is what
 * its series were sent as; help and unit are never known.
 */
#include "query/literal.h"
#include "query/render.h"
#include "server/api/prometheus_request.h"
#include "storage/base/clock.h"
#include "storage/base/json.h"

#define NS_PER_MS ((int64_t)1000000)
#define TRUNCATED "results truncated due to limit"

struct listing {
    const struct prometheus_api *api;
    int64_t deadline_ns;
    struct arena arena;
    struct api_selectors selectors;
    size_t limit, limit_per_metric;
};

/* --- time --- */

int64_t api_deadline_ns(const struct prometheus_api *api)
{
    return clock_monotonic_ns() + api->config->limits.query_timeout_ms * NS_PER_MS;
}

struct deadline {
    int64_t at_ns;
    struct error *err;
};

/* For store_query.stop. */
static bool is_late(void *arg)
{
    const struct deadline *deadline = arg;
    if (clock_monotonic_ns() < deadline->at_ns)
        return false;
    error_set(deadline->err, ERROR_TIMEOUT,
              "looking for series took too long; narrow match[], or raise limits.query_timeout");
    return true;
}

/* --- requests --- */

static void with_listing(const struct http_request *request, struct http_reply *reply,
                         int (*run)(const struct http_request *, struct http_reply *,
                                    struct listing *, struct error *))
{
    struct listing listing = {.api = request->context,
                              .deadline_ns = api_deadline_ns(request->context)};
    struct error err;
    arena_init(&listing.arena, (size_t)listing.api->config->limits.query_memory_bytes);
    if (api_selectors(request, &listing.arena, &listing.selectors, &err) < 0 ||
        run(request, reply, &listing, &err) < 0)
        api_refuse(reply, &err);
    api_selectors_release(&listing.selectors);
    arena_release(&listing.arena);
}

static int no_memory(struct error *err)
{
    return error_set(err, ERROR_LIMIT,
                     "the answer needs more memory than limits.query_memory allows; narrow "
                     "match[] or raise the limit");
}

/* --- series --- */

static int merge_selections(struct arena *arena, struct store_selection *all,
                            const struct store_selection *more, struct error *err)
{
    struct store_series *merged = arena_alloc(arena, (all->count + more->count) * sizeof *merged);
    size_t i = 0, j = 0, count = 0;
    if (!merged)
        return no_memory(err);
    while (i < all->count || j < more->count) {
        int order = i == all->count    ? 1
                    : j == more->count ? -1
                                       : labels_compare(all->at[i].labels, more->at[j].labels);
        merged[count++] = order <= 0 ? all->at[i] : more->at[j];
        i += order <= 0;
        j += order >= 0;
    }
    *all = (struct store_selection){merged, count};
    return 0;
}

int api_select(struct store *store, const struct api_selection *selection, struct arena *arena,
               struct store_selection *out, struct error *err)
{
    struct store_selection one;
    struct deadline deadline = {selection->deadline_ns, err};
    *out = (struct store_selection){NULL, 0};
    if (selection->selectors->count == 0)
        return error_set(err, ERROR_BAD_DATA, "no match[] parameter provided");
    for (size_t i = 0; i < selection->selectors->count; i++) {
        const struct plan *plan = selection->selectors->at[i];
        struct store_query query = {.matchers = plan->selector.matchers,
                                    .matcher_count = plan->selector.matcher_count,
                                    .start_ms = selection->start_ms,
                                    .end_ms = selection->end_ms,
                                    .stop = is_late,
                                    .stop_arg = &deadline};
        if (store_select(store, &query, arena, &one, err) < 0 ||
            merge_selections(arena, out, &one, err) < 0)
            return -1;
    }
    return 0;
}

static int list_series(const struct http_request *request, struct http_reply *reply,
                       struct listing *listing, struct error *err)
{
    struct api_selection range = {&listing->selectors, -API_TIME_MAX_MS, API_TIME_MAX_MS,
                                  listing->deadline_ns};
    struct store_selection all;
    if (api_limit(request, "limit", &listing->limit, err) < 0 ||
        api_optional_time(request, "start", &range.start_ms, err) < 0 ||
        api_optional_time(request, "end", &range.end_ms, err) < 0 ||
        api_select(listing->api->store, &range, &listing->arena, &all, err) < 0)
        return -1;
    bool cut = listing->limit && all.count > listing->limit;
    api_begin(reply);
    buffer_append_char(&reply->body, '[');
    for (size_t i = 0; i < (cut ? listing->limit : all.count); i++) {
        buffer_append_string(&reply->body, i ? "," : "");
        labels_print_json(all.at[i].labels, &reply->body);
    }
    buffer_append_char(&reply->body, ']');
    api_end(reply, cut ? TRUNCATED : NULL);
    return 0;
}

/* --- names and values --- */

static int merge_lists(struct arena *arena, struct slice_list *all, const struct slice_list *more,
                       struct error *err)
{
    struct slice *merged = arena_alloc(arena, (all->count + more->count) * sizeof *merged);
    size_t i = 0, j = 0, count = 0;
    if (!merged)
        return no_memory(err);
    while (i < all->count || j < more->count) {
        int order = i == all->count    ? 1
                    : j == more->count ? -1
                                       : slice_compare(all->at[i], more->at[j]);
        merged[count++] = order <= 0 ? all->at[i] : more->at[j];
        i += order <= 0;
        j += order >= 0;
    }
    *all = (struct slice_list){merged, count};
    return 0;
}

/* name.len == 0: the label names; otherwise the values of that label. */
static int read_list(struct listing *listing, struct slice name, const struct plan *plan,
                     struct slice_list *out, struct error *err)
{
    struct deadline deadline = {listing->deadline_ns, err};
    struct store_query query = {.matchers = plan ? plan->selector.matchers : NULL,
                                .matcher_count = plan ? plan->selector.matcher_count : 0,
                                .stop = is_late,
                                .stop_arg = &deadline,
                                .label = name};
    if (name.len == 0)
        return store_label_names(listing->api->store, &query, &listing->arena, out, err);
    return store_label_values(listing->api->store, &query, &listing->arena, out, err);
}

static int put_list(struct http_reply *reply, struct listing *listing, struct slice name,
                    struct error *err)
{
    struct slice_list all = {NULL, 0}, one;
    if (listing->selectors.count == 0 && read_list(listing, name, NULL, &all, err) < 0)
        return -1;
    for (size_t i = 0; i < listing->selectors.count; i++)
        if (read_list(listing, name, listing->selectors.at[i], &one, err) < 0 ||
            merge_lists(&listing->arena, &all, &one, err) < 0)
            return -1;
    bool cut = listing->limit && all.count > listing->limit;
    api_begin(reply);
    buffer_append_char(&reply->body, '[');
    for (size_t i = 0; i < (cut ? listing->limit : all.count); i++) {
        buffer_append_string(&reply->body, i ? "," : "");
        json_append_quoted(&reply->body, all.at[i]);
    }
    buffer_append_char(&reply->body, ']');
    api_end(reply, cut ? TRUNCATED : NULL);
    return 0;
}

/* start and end are checked, though every kept series counts. */
static int check_times(const struct http_request *request, struct error *err)
{
    int64_t ignored;
    if (api_optional_time(request, "start", &ignored, err) < 0)
        return -1;
    return api_optional_time(request, "end", &ignored, err);
}

static int list_names(const struct http_request *request, struct http_reply *reply,
                      struct listing *listing, struct error *err)
{
    if (check_times(request, err) < 0 || api_limit(request, "limit", &listing->limit, err) < 0)
        return -1;
    return put_list(reply, listing, SLICE(""), err);
}

static int list_values(const struct http_request *request, struct http_reply *reply,
                       struct listing *listing, struct error *err)
{
    struct slice name = literal_path_name(http_get_segment(request, "name"), &listing->arena);
    if (name.len == 0)
        return error_set(err, ERROR_BAD_DATA, "invalid label name: \"\"");
    if (check_times(request, err) < 0 || api_limit(request, "limit", &listing->limit, err) < 0)
        return -1;
    return put_list(reply, listing, name, err);
}

/* --- metadata --- */

/* [{"type":..},..]: one entry a kind among the series of this name. */
static int put_kinds(struct listing *listing, struct slice name, struct arena *arena,
                     struct buffer *out, struct error *err)
{
    struct deadline deadline = {listing->deadline_ns, err};
    struct matcher matcher = {MATCH_EQUAL, SLICE(LABEL_NAME), name, NULL};
    struct store_query query = {.matchers = &matcher,
                                .matcher_count = 1,
                                .start_ms = -API_TIME_MAX_MS,
                                .end_ms = API_TIME_MAX_MS,
                                .stop = is_late,
                                .stop_arg = &deadline};
    struct store_selection series;
    bool seen[SERIES_SET + 1] = {false};
    size_t printed = 0;
    if (store_select(listing->api->store, &query, arena, &series, err) < 0)
        return -1;
    buffer_append_char(out, '[');
    for (size_t i = 0; i < series.count; i++) {
        enum series_kind kind = series.at[i].kind == SERIES_SET ? SERIES_GAUGE : series.at[i].kind;
        if (seen[kind] || (listing->limit_per_metric && printed == listing->limit_per_metric))
            continue;
        seen[kind] = true;
        buffer_append_format(out, "%s{\"type\":\"%s\",\"help\":\"\",\"unit\":\"\"}",
                             printed++ ? "," : "", series_kind_name(kind));
    }
    buffer_append_char(out, ']');
    return 0;
}

/* Here, and nowhere else, any number is taken; below zero it is none. */
static int metadata_limit(const struct http_request *request, const char *name, int64_t *out,
                          struct error *err)
{
    struct slice value;
    *out = -1;
    if (!http_get_param(request, name, &value) || value.len == 0 || slice_to_i64(value, out))
        return 0;
    return error_set(err, ERROR_BAD_DATA, "%s must be a number", name);
}

static int list_metadata(const struct http_request *request, struct http_reply *reply,
                         struct listing *listing, struct error *err)
{
    struct slice_list names = {NULL, 0};
    struct slice wanted = SLICE("");
    struct arena scratch;
    int64_t limit, limit_per_metric, printed = 0;
    int status = 0;
    http_get_param(request, "metric", &wanted);
    if (metadata_limit(request, "limit", &limit, err) < 0 ||
        metadata_limit(request, "limit_per_metric", &limit_per_metric, err) < 0 ||
        read_list(listing, SLICE(LABEL_NAME), NULL, &names, err) < 0)
        return -1;
    listing->limit_per_metric = limit_per_metric > 0 ? (size_t)limit_per_metric : 0;
    arena_init(&scratch, listing->arena.limit);
    api_begin(reply);
    buffer_append_char(&reply->body, '{');
    for (size_t i = 0; i < names.count && status == 0; i++) {
        if ((wanted.len && !slice_equal(names.at[i], wanted)) || printed == limit)
            continue;
        buffer_append_string(&reply->body, printed++ ? "," : "");
        json_append_quoted(&reply->body, names.at[i]);
        buffer_append_char(&reply->body, ':');
        arena_reset(&scratch);
        status = put_kinds(listing, names.at[i], &scratch, &reply->body, err);
    }
    buffer_append_char(&reply->body, '}');
    api_end(reply, NULL);
    arena_release(&scratch);
    return status;
}

void api_get_series(const struct http_request *request, struct http_reply *reply)
{
    with_listing(request, reply, list_series);
}

void api_get_labels(const struct http_request *request, struct http_reply *reply)
{
    with_listing(request, reply, list_names);
}

void api_get_label_values(const struct http_request *request, struct http_reply *reply)
{
    with_listing(request, reply, list_values);
}

void api_get_metadata(const struct http_request *request, struct http_reply *reply)
{
    with_listing(request, reply, list_metadata);
}
