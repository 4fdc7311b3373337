/* prometheus_federate: /federate?match[]=..., the newest samples as text to be scraped.
 *
 *   # TYPE api_requests counter
 *   api_requests{instance="",route="/buy"} 17 1700000000000
 *
 * A sample is the newest within the look-back; a series that has ended is left out, and so are
 * histograms, which the text format cannot say. Names outside the old alphabet of Prometheus get
 * underscores, unless the scraper asks for UTF-8 names (`escaping=allow-utf-8` in Accept). An empty
 * instance label keeps the scraper from adding its own to samples that have none.
 * Source: Prometheus' "Federation" page and "Exposition formats".
 */
#include <stdlib.h>

#include "query/promql.h"
#include "server/api/prometheus_request.h"
#include "storage/base/clock.h"
#include "storage/base/number.h"

#define CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct federation {
    const struct prometheus_api *api;
    struct arena arena;   /* of the selection */
    struct arena scratch; /* of one series */
    struct store_reader *reader;
    struct api_selectors selectors;
    struct buffer *out;
    struct slice family; /* of the last line */
    struct promql_share share;
    int64_t now_ms;
    bool utf8;
};

/* --- text --- */

static bool is_plain(char c, bool first, bool label)
{
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    return letter || (c >= '0' && c <= '9' && !first) || (c == ':' && !label);
}

static bool is_plain_name(struct slice name, bool label)
{
    for (size_t i = 0; i < name.len; i++)
        if (!is_plain(name.at[i], i == 0, label))
            return false;
    return name.len > 0;
}

static void put_escaped(struct buffer *out, struct slice text)
{
    buffer_append_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        char c = text.at[i];
        if (c == '\\' || c == '"')
            buffer_append_char(out, '\\');
        if (c == '\n')
            buffer_append_string(out, "\\n");
        else
            buffer_append_char(out, c);
    }
    buffer_append_char(out, '"');
}

/* As it is where it may stand bare; else quoted or with underscores. */
static void put_name(const struct federation *self, struct slice name, bool label)
{
    if (self->utf8 && !is_plain_name(name, label)) {
        put_escaped(self->out, name);
        return;
    }
    for (size_t i = 0; i < name.len; i++)
        buffer_append_char(self->out, is_plain(name.at[i], i == 0, label) ? name.at[i] : '_');
}

static void put_type(struct federation *self, const struct store_series *series, struct slice name)
{
    if (slice_equal(name, self->family))
        return;
    self->family = name;
    buffer_append_string(self->out, "# TYPE ");
    put_name(self, name, false);
    buffer_append_format(self->out, " %s\n", series_kind_name(series->kind));
}

static void put_labels(const struct federation *self, struct labels labels)
{
    struct slice name = labels_get(labels, SLICE(LABEL_NAME));
    bool inside = self->utf8 && !is_plain_name(name, false);
    bool any = inside;
    if (!inside)
        put_name(self, name, false);
    buffer_append_char(self->out, '{');
    if (inside)
        put_escaped(self->out, name);
    if (labels_get(labels, SLICE("instance")).len == 0) {
        buffer_append_string(self->out, any ? ",instance=\"\"" : "instance=\"\"");
        any = true;
    }
    for (size_t i = 0; i < labels.count; i++) {
        if (slice_equal(labels.at[i].name, SLICE(LABEL_NAME)))
            continue;
        buffer_append_string(self->out, any ? "," : "");
        any = true;
        put_name(self, labels.at[i].name, true);
        buffer_append_char(self->out, '=');
        put_escaped(self->out, labels.at[i].value);
    }
    buffer_append_char(self->out, '}');
}

/* --- series --- */

static int put_series(struct federation *self, const struct store_series *series, struct error *err)
{
    struct store_column column;
    struct slice name = labels_get(series->labels, SLICE(LABEL_NAME));
    if (series->kind == SERIES_HISTOGRAM)
        return 0;
    arena_reset(&self->scratch);
    if (store_read(
            self->reader,
            (struct store_span){series->id, self->now_ms - PROMQL_LOOKBACK_MS + 1, self->now_ms},
            &self->scratch, &column, err) != 0)
        return -1;
    if (column.count == 0 || is_stale_nan(column.values[column.count - 1]))
        return 0;
    put_type(self, series, name);
    put_labels(self, series->labels);
    buffer_append_char(self->out, ' ');
    number_print(column.values[column.count - 1], NUMBER_TEXT, self->out);
    buffer_append_format(self->out, " %lld\n", (long long)column.times[column.count - 1]);
    return 0;
}

/* By name, so that a family's lines stand together. */
static int compare_families(const void *a, const void *b)
{
    const struct store_series *left = a, *right = b;
    int order = slice_compare(labels_get(left->labels, SLICE(LABEL_NAME)),
                              labels_get(right->labels, SLICE(LABEL_NAME)));
    return order ? order : labels_compare(left->labels, right->labels);
}

static size_t held(const struct federation *self)
{
    return self->arena.used + self->scratch.used + self->out->capacity;
}

static int federate(struct federation *self, struct error *err)
{
    struct store_selection series;
    struct api_selection selection = {&self->selectors, self->now_ms - PROMQL_LOOKBACK_MS,
                                      self->now_ms, api_deadline_ns(self->api)};
    if (self->selectors.count == 0) /* as Prometheus: nothing was asked for */
        return 0;
    if (api_select(self->api->store, &selection, &self->arena, &series, err) != 0)
        return -1;
    if (series.count)
        qsort(series.at, series.count, sizeof *series.at, compare_families);
    for (size_t i = 0; i < series.count; i++)
        if (put_series(self, &series.at[i], err) != 0 ||
            promql_share_check(&self->share, held(self), err) != 0)
            return -1;
    if (self->out->overflow)
        return error_set(err, ERROR_LIMIT, "the answer is too large; narrow match[]");
    return 0;
}

void api_get_federate(const struct http_request *request, struct http_reply *reply)
{
    struct federation self = {
        .api = request->context, .out = &reply->body, .now_ms = clock_now_ms()};
    self.share.pool = self.api->memory;
    struct slice accept;
    struct error err;
    size_t limit = (size_t)self.api->config->limits.query_memory_bytes;
    arena_init(&self.arena, limit);
    arena_init(&self.scratch, limit);
    self.reader = store_reader_new(self.api->store);
    self.utf8 = http_get_header(request, "Accept", &accept) &&
                slice_find(accept, SLICE("escaping=allow-utf-8")) < accept.len;
    reply->content_type = CONTENT_TYPE;
    if (api_selectors(request, &self.arena, &self.selectors, &err) != 0 ||
        federate(&self, &err) != 0) {
        buffer_reset(&reply->body);
        http_refuse_text(reply, &err);
    }
    store_reader_free(self.reader);
    api_selectors_release(&self.selectors);
    arena_release(&self.arena);
    arena_release(&self.scratch);
    promql_share_return(&self.share);
}
