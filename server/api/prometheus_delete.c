/* prometheus_delete: samples go at a client's word.
 *
 *   POST/PUT /api/v1/admin/tsdb/delete_series      match[] (repeated), start, end   204
 *   POST/PUT /api/v1/admin/tsdb/clean_tombstones                                    204
 *
 * Without start or end the range is open on that side. What is deleted is gone from every answer
 * before the 204 is sent, and stays gone over kill -9; the space comes back by itself, or at once with
 * clean_tombstones. Both run on the writer thread, between two commits: the latter in short steps, so
 * that ticks and other writes come in between.
 */
#include "server/api/prometheus_request.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"

struct deletion {
    struct store *store;
    struct store_query queries[API_SELECTORS_MAX];
    size_t count;
    bool more; /* cleaning: not at its end */
};

static int delete_series(void *arg, struct error *err)
{
    struct deletion *deletion = arg;
    return store_delete_series(deletion->store, deletion->queries, deletion->count, err);
}

static int clean(void *arg, struct error *err)
{
    struct deletion *deletion = arg;
    int status = store_clean_tombstones(deletion->store, err);
    deletion->more = status == 1;
    return status < 0 ? -1 : 0;
}

static int read_deletion(const struct http_request *request, const struct api_selectors *selectors,
                         struct deletion *deletion, struct error *err)
{
    int64_t start_ms = -API_TIME_MAX_MS, end_ms = API_TIME_MAX_MS;
    if (selectors->count == 0)
        return error_set(err, ERROR_BAD_DATA, "no match[] parameter provided");
    if (api_optional_time(request, "start", &start_ms, err) < 0 ||
        api_optional_time(request, "end", &end_ms, err) < 0)
        return -1;
    if (end_ms < start_ms)
        return error_set(err, ERROR_BAD_DATA,
                         "invalid parameter \"end\": end timestamp must not be before start time");
    for (size_t i = 0; i < selectors->count; i++)
        deletion->queries[i] =
            (struct store_query){.matchers = selectors->at[i]->selector.matchers,
                                 .matcher_count = selectors->at[i]->selector.matcher_count,
                                 .start_ms = start_ms,
                                 .end_ms = end_ms};
    deletion->count = selectors->count;
    return 0;
}

void api_delete_series(const struct http_request *request, struct http_reply *reply)
{
    const struct prometheus_api *api = request->context;
    struct api_selectors selectors = {.count = 0};
    struct deletion deletion = {.store = api->store};
    struct error err = {0};
    if (api_selectors(request, request->arena, &selectors, &err) < 0 ||
        read_deletion(request, &selectors, &deletion, &err) < 0 ||
        writer_tidy(api->writer, delete_series, &deletion, &err) < 0)
        api_refuse(reply, &err);
    else
        reply->status = 204;
    api_selectors_release(&selectors);
}

void api_clean_tombstones(const struct http_request *request, struct http_reply *reply)
{
    const struct prometheus_api *api = request->context;
    struct deletion deletion = {.store = api->store, .more = true};
    struct error err = {0};
    while (deletion.more && !atomic_load(request->cancelled))
        if (writer_tidy(api->writer, clean, &deletion, &err) < 0) {
            api_refuse(reply, &err);
            return;
        }
    reply->status = 204;
}
