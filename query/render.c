/* render: see the header. The shapes:
 *
 *   scalar, string  {"resultType":"scalar","result":[1700050000.5,"1"]}
 *   vector          {"resultType":"vector","result":[{"metric":{..},"value":[T,"V"]},
 *                                                    {"metric":{..},"histogram":[T,{..}]}]}
 *   matrix          {"resultType":"matrix","result":[{"metric":{..},"values":[[T,"V"],..]},
 *                                                    {"metric":{..},"histograms":[[T,{..}],..]}]}
 *
 * A scalar's time is a Go float and its value never has an exponent; both differ from what stands
 * in vectors. Commas are put by hand: this is the loop that large answers spend their time in.
 */
#include "query/render.h"

#include "storage/base/json.h"
#include "storage/base/number.h"

static void put_value(double value, struct buffer *out)
{
    buffer_append_char(out, '"');
    number_print(value, NUMBER_API, out);
    buffer_append_char(out, '"');
}

void render_time(int64_t time_ms, struct buffer *out)
{
    uint64_t magnitude = time_ms < 0 ? 0 - (uint64_t)time_ms : (uint64_t)time_ms;
    unsigned ms = (unsigned)(magnitude % 1000);
    char fraction[4] = {'.', (char)('0' + ms / 100), (char)('0' + ms / 10 % 10),
                        (char)('0' + ms % 10)};
    buffer_append_string(out, time_ms < 0 ? "-" : "");
    number_print_integer(magnitude / 1000, out);
    if (ms)
        buffer_append(out, fraction, sizeof fraction);
}

static void put_bucket(int rule, double lower, double upper, double count, struct buffer *out)
{
    buffer_append_format(out, "[%d,", rule);
    put_value(lower, out);
    buffer_append_char(out, ',');
    put_value(upper, out);
    buffer_append_char(out, ',');
    put_value(count, out);
    buffer_append_char(out, ']');
}

/* Before each bucket: the key in front of the first, a comma in front of the others. */
static void separate(size_t *printed, struct buffer *out)
{
    buffer_append_string(out, (*printed)++ ? "," : ",\"buckets\":[");
}

/* In the order of the values: negative buckets from the largest index down, zero, positive. */
void render_histogram(const struct histogram *histogram, struct buffer *out)
{
    int schema = histogram->schema;
    size_t printed = 0;
    buffer_append_string(out, "{\"count\":");
    put_value(histogram->count, out);
    buffer_append_string(out, ",\"sum\":");
    put_value(histogram->sum, out);
    for (size_t i = histogram->negative.count; i-- > 0;) {
        const struct histogram_bucket *bucket = &histogram->negative.at[i];
        if (bucket->count == 0)
            continue;
        separate(&printed, out);
        put_bucket(1, -histogram_bound(schema, bucket->index),
                   -histogram_bound(schema, bucket->index - 1), bucket->count, out);
    }
    if (histogram->zero_count != 0) {
        separate(&printed, out);
        put_bucket(3, -histogram->zero_threshold, histogram->zero_threshold, histogram->zero_count,
                   out);
    }
    for (size_t i = 0; i < histogram->positive.count; i++) {
        const struct histogram_bucket *bucket = &histogram->positive.at[i];
        if (bucket->count == 0)
            continue;
        separate(&printed, out);
        put_bucket(0, histogram_bound(schema, bucket->index - 1),
                   histogram_bound(schema, bucket->index), bucket->count, out);
    }
    buffer_append_string(out, printed ? "]}" : "}");
}

static void put_point(const struct promql_series *series, size_t i, struct buffer *out)
{
    buffer_append_char(out, '[');
    render_time(series->times[i], out);
    buffer_append_char(out, ',');
    if (series->values)
        put_value(series->values[i], out);
    else
        render_histogram(series->histograms[i], out);
    buffer_append_char(out, ']');
}

static void put_instant_series(const struct promql_series *series, struct buffer *out)
{
    buffer_append_string(out, "{\"metric\":");
    labels_print_json(series->labels, out);
    buffer_append_string(out, series->values ? ",\"value\":" : ",\"histogram\":");
    put_point(series, 0, out);
    buffer_append_char(out, '}');
}

static void put_range_series(const struct promql_series *series, struct buffer *out)
{
    buffer_append_string(out, "{\"metric\":");
    labels_print_json(series->labels, out);
    buffer_append_string(out, series->values ? ",\"values\":[" : ",\"histograms\":[");
    for (size_t i = 0; i < series->count; i++) {
        buffer_append_string(out, i ? "," : "");
        put_point(series, i, out);
    }
    buffer_append_string(out, "]}");
}

static void put_series_list(const struct promql_result *result, size_t limit, struct buffer *out)
{
    size_t printed = 0;
    buffer_append_char(out, '[');
    for (size_t i = 0; i < result->count && (limit == 0 || printed < limit); i++) {
        if (result->series[i].count == 0)
            continue;
        buffer_append_string(out, printed++ ? "," : "");
        if (result->type == VALUE_VECTOR)
            put_instant_series(&result->series[i], out);
        else
            put_range_series(&result->series[i], out);
    }
    buffer_append_char(out, ']');
}

/* [1700050000.5,"value"] */
static void put_single(const struct promql_result *result, int64_t time_ms, struct buffer *out)
{
    const struct promql_series *series = result->series;
    buffer_append_char(out, '[');
    number_print((double)time_ms / 1000, NUMBER_PLAIN, out);
    buffer_append_char(out, ',');
    if (result->type == VALUE_STRING) {
        json_append_quoted(out, result->string);
    } else {
        buffer_append_char(out, '"');
        number_print(series->values[0], NUMBER_PLAIN, out);
        buffer_append_char(out, '"');
    }
    buffer_append_char(out, ']');
}

void render_data(const struct promql_result *result, int64_t time_ms, size_t limit,
                 struct buffer *out)
{
    static const char *const names[] = {
        [VALUE_SCALAR] = "scalar",
        [VALUE_STRING] = "string",
        [VALUE_VECTOR] = "vector",
        [VALUE_MATRIX] = "matrix",
    };
    buffer_append_format(out, "{\"resultType\":\"%s\",\"result\":", names[result->type]);
    if (result->type == VALUE_SCALAR || result->type == VALUE_STRING)
        put_single(result, time_ms, out);
    else
        put_series_list(result, limit, out);
    buffer_append_char(out, '}');
}
