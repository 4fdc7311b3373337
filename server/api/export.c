/* export: GET /api/v1/export, JSON lines of the series that match, while they are sent.
 *
 *   series 1: | window | window | window |   series 2: | window | ...
 *             '- a line -'                    a part of the reply is some PART_BYTES of lines
 *
 * Windows widen where samples are sparse and narrow where they are dense, so that a line has some
 * thousands of samples and the memory is that of one window, whatever the range. Each window is
 * read as it is then: samples that come or go meanwhile are there or not, one by one.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "server/api/import.h"
#include "server/api/prometheus_request.h"
#include "server/wire/jsonline.h"
#include "storage/base/alloc.h"

#define PART_BYTES    ((size_t)256 << 10)
#define WINDOW_MIN_MS ((int64_t)60000)
#define WINDOW_MS     ((int64_t)86400000) /* to begin with */
#define COUNT_LOW     4000  /* samples in a window: below, the next is twice as wide */
#define COUNT_HIGH    16000 /* above: half */
#define READ_MEMORY   ((size_t)64 << 20)

struct export
{
    struct store *store;
    const _Atomic bool *cancelled;
    struct arena selection_arena;
    struct store_selection all;
    struct arena arena; /* of one window */
    size_t series;      /* the next one */
    int64_t start_ms, end_ms;
    int64_t at_ms; /* the next window of it */
    int64_t window_ms;
};

static void export_free(void *arg)
{
    struct export *export = arg;
    arena_release(&export->selection_arena);
    arena_release(&export->arena);
    free(export);
}

/* One window: 0, or -1 when it does not fit into memory. */
static int read_window(struct export *export, struct store_reader *reader, struct jsonline *line,
                       int64_t *until_ms)
{
    struct error err;
    for (;; export->window_ms /= 2) {
        int64_t left = export->end_ms - export->at_ms;
        *until_ms =
            left < export->window_ms ? export->end_ms : export->at_ms + export->window_ms - 1;
        struct store_span span = {export->all.at[export->series].id, export->at_ms, *until_ms};
        arena_reset(&export->arena);
        export->arena.exhausted = false;
        if (store_read(reader, span, &export->arena, &line->column, &err) == 0)
            return 0;
        if (export->window_ms <= WINDOW_MIN_MS || err.kind != ERROR_LIMIT)
            return -1;
    }
}

static int export_window(struct export *export, struct store_reader *reader, struct buffer *out)
{
    const struct store_series *series = &export->all.at[export->series];
    struct jsonline line = {.labels = series->labels, .kind = series->kind};
    int64_t until_ms;
    if (read_window(export, reader, &line, &until_ms))
        return -1;
    if (line.column.count)
        jsonline_print(&line, out);
    if (line.column.count < COUNT_LOW && export->window_ms < API_TIME_MAX_MS)
        export->window_ms *= 2;
    else if (line.column.count > COUNT_HIGH && export->window_ms > WINDOW_MIN_MS)
        export->window_ms /= 2;
    export->at_ms = until_ms + 1;
    if (until_ms == export->end_ms) {
        export->series++;
        export->at_ms = export->start_ms;
        export->window_ms = WINDOW_MS;
    }
    return 0;
}

static int next_part(void *arg, struct buffer *out)
{
    struct export *export = arg;
    /* A new one each time: an iterator would hold what is deleted while the client reads. */
    struct store_reader *reader = store_reader_new(export->store);
    int status = 0;
    store_reader_want_sketches(reader, true);
    while (!status && export->series < export->all.count && out->len < PART_BYTES)
        status = atomic_load(export->cancelled) ? -1 : export_window(export, reader, out);
    store_reader_free(reader);
    return status ? -1 : export->series < export->all.count;
}

/* --- what to export --- */

static int too_many(struct error *err)
{
    return error_set(err, ERROR_LIMIT,
                     "the series need more memory than limits.query_memory allows; narrow match[]");
}

/* The union, each series once: sorted by labels, as selections are. */
static int add_selection(struct export *export, const struct store_query *query, struct error *err)
{
    struct store_selection one, *all = &export->all;
    if (store_select(export->store, query, &export->selection_arena, &one, err))
        return -1;
    size_t most = all->count + one.count, count = 0;
    struct store_series *merged = arena_zeroed(&export->selection_arena, most, sizeof *merged);
    if (!merged)
        return too_many(err);
    for (size_t i = 0, k = 0; i < all->count || k < one.count;) {
        int order = i == all->count  ? 1
                    : k == one.count ? -1
                                     : labels_compare(all->at[i].labels, one.at[k].labels);
        merged[count++] = order <= 0 ? all->at[i] : one.at[k];
        i += order <= 0;
        k += order >= 0;
    }
    *all = (struct store_selection){merged, count};
    return 0;
}

static int select_series(struct export *export, const struct api_selectors *selectors,
                         struct error *err)
{
    for (size_t i = 0; i < selectors->count; i++) {
        const struct plan *plan = selectors->at[i];
        struct store_query query = {.matchers = plan->selector.matchers,
                                    .matcher_count = plan->selector.matcher_count,
                                    .start_ms = export->start_ms,
                                    .end_ms = export->end_ms};
        if (add_selection(export, &query, err))
            return -1;
    }
    return 0;
}

static int begin(const struct http_request *request, struct export *export,
                 struct api_selectors *selectors, struct error *err)
{
    int64_t oldest, newest;
    store_extent(export->store, &oldest, &newest);
    export->start_ms = oldest;
    export->end_ms = newest;
    if (api_selectors(request, &export->selection_arena, selectors, err) ||
        api_optional_time(request, "start", &export->start_ms, err) ||
        api_optional_time(request, "end", &export->end_ms, err))
        return -1;
    if (selectors->count == 0)
        return error_set(err, ERROR_BAD_DATA,
                         "no match[] parameter provided; match[]={__name__!=\"\"} is everything");
    if (export->start_ms < oldest)
        export->start_ms = oldest;
    if (export->end_ms > newest)
        export->end_ms = newest;
    export->at_ms = export->start_ms;
    export->window_ms = WINDOW_MS;
    return export->start_ms > export->end_ms ? 0 : select_series(export, selectors, err);
}

void export_handle(const struct http_request *request, struct http_reply *reply)
{
    const struct import_api *api = request->context;
    struct export *export = alloc_zeroed(1, sizeof *export);
    struct api_selectors selectors = {.count = 0};
    struct error err;
    *export = (struct export){.store = api->store, .cancelled = request->cancelled};
    arena_init(&export->selection_arena, (size_t)api->config->limits.query_memory_bytes);
    arena_init(&export->arena, READ_MEMORY);
    int status = begin(request, export, &selectors, &err);
    api_selectors_release(&selectors);
    if (status) {
        export_free(export);
        api_refuse(reply, &err);
        return;
    }
    reply->content_type = "application/stream+json";
    reply->stream = (struct http_stream){next_part, export_free, export};
}
