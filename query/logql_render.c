/* logql_render: see the header. Written by hand into the buffer, for answers are large. */
#include "query/logql_render.h"

#include "query/render.h"
#include "storage/base/json.h"
#include "storage/base/number.h"

#define NS_PER_MS 1000000

static void render_stream(const struct logql_stream *stream, struct buffer *out)
{
    buffer_append_string(out, "{\"stream\":");
    labels_print_json(stream->labels, out);
    buffer_append_string(out, ",\"values\":[");
    for (const struct logql_entry *entry = stream->first; entry; entry = entry->next) {
        buffer_append_format(out, "%s[\"%lld\",", entry == stream->first ? "" : ",",
                             (long long)entry->time_ns);
        json_append_quoted(out, entry->line);
        buffer_append_char(out, ']');
    }
    buffer_append_string(out, "]}");
}

/* [1795283795,"12"] */
static void render_point(const struct logql_result *result, const struct logql_series *series,
                         size_t step, struct buffer *out)
{
    int64_t time_ns = result->start_ns + (int64_t)step * result->step_ns;
    buffer_append_char(out, '[');
    render_time(time_ns / NS_PER_MS, out);
    buffer_append_string(out, ",\"");
    number_print(series->values[step], NUMBER_PLAIN, out);
    buffer_append_string(out, "\"]");
}

static void render_vector_item(const struct logql_result *result, const struct logql_series *series,
                               struct buffer *out)
{
    buffer_append_string(out, "{\"metric\":");
    labels_print_json(series->labels, out);
    buffer_append_string(out, ",\"value\":");
    render_point(result, series, 0, out);
    buffer_append_char(out, '}');
}

static void render_matrix_item(const struct logql_result *result, const struct logql_series *series,
                               struct buffer *out)
{
    bool any = false;
    buffer_append_string(out, "{\"metric\":");
    labels_print_json(series->labels, out);
    buffer_append_string(out, ",\"values\":[");
    for (size_t step = 0; step < result->steps; step++) {
        if (!series->present[step])
            continue;
        buffer_append_string(out, any ? "," : "");
        render_point(result, series, step, out);
        any = true;
    }
    buffer_append_string(out, "]}");
}

static void render_result(const struct logql_result *result, bool instant, struct buffer *out)
{
    if (result->type == LOGQL_RESULT_SCALAR && instant) {
        buffer_append_string(out, "\"scalar\",\"result\":");
        render_point(result, result->series, 0, out);
        return;
    }
    bool streams = result->type == LOGQL_RESULT_STREAMS;
    const char *type = streams ? "streams" : instant ? "vector" : "matrix";
    size_t count = streams ? result->stream_count : result->series_count;
    buffer_append_format(out, "\"%s\",\"result\":[", type);
    for (size_t i = 0; i < count; i++) {
        buffer_append_string(out, i ? "," : "");
        if (streams)
            render_stream(result->streams[i], out);
        else if (instant)
            render_vector_item(result, &result->series[i], out);
        else
            render_matrix_item(result, &result->series[i], out);
    }
    buffer_append_char(out, ']');
}

static void render_stats(const struct logql_result *result, int64_t took_ns, struct buffer *out)
{
    struct json_writer json;
    double seconds = (double)(took_ns > 0 ? took_ns : 1) / 1e9;
    json_writer_init(&json, out);
    json_begin_object(&json);
    json_key(&json, SLICE("summary"));
    json_begin_object(&json);
    json_field_int(&json, "bytesProcessedPerSecond",
                   (int64_t)((double)result->stats.bytes / seconds));
    json_field_int(&json, "linesProcessedPerSecond",
                   (int64_t)((double)result->stats.rows / seconds));
    json_field_int(&json, "totalBytesProcessed", (int64_t)result->stats.bytes);
    json_field_int(&json, "totalLinesProcessed", (int64_t)result->stats.rows);
    json_field_double(&json, "execTime", seconds);
    json_field_int(&json, "queueTime", 0);
    json_field_int(&json, "totalEntriesReturned", (int64_t)result->entry_count);
    json_field_int(&json, "totalBlocks", (int64_t)result->stats.blocks);
    json_field_int(&json, "readBlocks", (int64_t)result->stats.blocks_read);
    json_end_object(&json);
    json_end_object(&json);
}

void logql_render_data(const struct logql_result *result, bool instant, int64_t took_ns,
                       struct buffer *out)
{
    buffer_append_string(out, "{\"resultType\":");
    render_result(result, instant, out);
    buffer_append_string(out, ",\"stats\":");
    render_stats(result, took_ns, out);
    buffer_append_char(out, '}');
}
