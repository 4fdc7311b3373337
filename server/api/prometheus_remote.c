/* prometheus_remote: POST /api/v1/read, the samples that another Prometheus asks for.
 *
 *   snappy( ReadRequest )  ->  select, read  ->  snappy( ReadResponse )
 *
 * The whole answer is built in memory, within limits.query_memory, limits.query_samples and what
 * limits.query_memory_total leaves.
 * Deliberately absent: answers streamed as chunks, which readers ask for but do not need.
 */
#include "query/promql.h"
#include "server/api/prometheus_request.h"
#include "server/net/encoding.h"
#include "server/wire/protobuf.h"
#include "server/wire/remote_read.h"

struct remote_reading {
    const struct prometheus_api *api;
    const struct http_request *request;
    struct store_reader *reader;
    struct arena arena; /* of the request and the selections */
    struct arena scratch;
    struct remote_queries queries;
    struct buffer answer, result, series;
    struct promql_share share;
    int64_t samples;
};

static size_t held(const struct remote_reading *self)
{
    return self->arena.used + self->scratch.used + self->answer.capacity + self->result.capacity +
           self->series.capacity;
}

static int too_large(struct error *err)
{
    return error_set(err, ERROR_LIMIT,
                     "the answer needs more memory than limits.query_memory allows; read a shorter "
                     "range or raise the limit");
}

static int read_series(struct remote_reading *self, const struct store_query *query,
                       const struct store_series *series, struct error *err)
{
    struct store_column column;
    struct store_span span = {series->id, query->start_ms, query->end_ms};
    arena_reset(&self->scratch);
    if (*self->request->cancelled)
        return error_set(err, ERROR_CANCELED, "the client went away");
    if (store_read(self->reader, span, &self->scratch, &column, err) != 0)
        return -1;
    self->samples += (int64_t)column.count;
    if (self->samples > self->api->config->limits.query_samples)
        return error_set(err, ERROR_LIMIT,
                         "the request reads more samples than limits.query_samples allows; read a "
                         "shorter range or raise the limit");
    if (column.count)
        remote_put_series(&self->result, &self->series, series->labels, &column);
    return promql_share_check(&self->share, held(self), err);
}

static int read_query(struct remote_reading *self, const struct store_query *query,
                      struct error *err)
{
    struct store_selection selection;
    buffer_reset(&self->result);
    if (store_select(self->api->store, query, &self->arena, &selection, err) != 0)
        return -1;
    for (size_t i = 0; i < selection.count; i++)
        if (read_series(self, query, &selection.at[i], err) != 0)
            return -1;
    protobuf_put_bytes(&self->answer, 1, buffer_slice(&self->result));
    return self->result.overflow || self->series.overflow || self->answer.overflow ? too_large(err)
                                                                                   : 0;
}

static int answer(struct remote_reading *self, struct http_reply *reply, struct error *err)
{
    if (remote_read_parse(self->request->body, &self->arena, &self->queries, err) != 0)
        return -1;
    for (size_t i = 0; i < self->queries.count; i++)
        if (read_query(self, &self->queries.at[i], err) != 0)
            return -1;
    if (promql_share_check(&self->share, held(self) + self->answer.len, err) != 0)
        return -1;
    if (!encoding_snappy(buffer_slice(&self->answer), &reply->body))
        return too_large(err);
    reply->content_type = "application/x-protobuf";
    reply->headers[reply->header_count++] =
        (struct http_param){SLICE("Content-Encoding"), SLICE("snappy")};
    return 0;
}

void api_remote_read(const struct http_request *request, struct http_reply *reply)
{
    struct remote_reading self = {.api = request->context, .request = request};
    size_t limit = (size_t)self.api->config->limits.query_memory_bytes;
    struct error err;
    self.share.pool = self.api->memory;
    self.reader = store_reader_new(self.api->store);
    arena_init(&self.arena, limit);
    arena_init(&self.scratch, limit);
    buffer_init(&self.answer, limit);
    buffer_init(&self.result, limit);
    buffer_init(&self.series, limit);
    if (answer(&self, reply, &err) != 0) {
        buffer_reset(&reply->body);
        http_refuse_text(reply, &err);
    }
    buffer_release(&self.answer);
    buffer_release(&self.result);
    buffer_release(&self.series);
    remote_queries_release(&self.queries);
    store_reader_free(self.reader);
    arena_release(&self.arena);
    arena_release(&self.scratch);
    promql_share_return(&self.share);
}
