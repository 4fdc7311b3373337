/* render: see the header. The shapes:
 *
 *   scalar, string  {"resultType":"scalar","result":[1700050000.5,"1"]}
 *   vector          {"resultType":"vector","result":[{"metric":{..},"value":[T,"V"]},
 *                                                    {"metric":{..},"histogram":[T,{..}]}]}
 *   matrix          {"resultType":"matrix","result":[{"metric":{..},"values":[[T,"V"],..]},
 *                                                    {"metric":{..},"histograms":[[T,{..}],..]}]}
 *
 * A scalar's time is a Go float and its value never has an exponent; both differ from what stands
 * in vectors. Points are put by hand, with room for many reserved at once: this is the loop that
 * large answers spend their time in.
 */
#include "query/render.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/json.h"
#include "storage/base/number.h"

#define POINTS_AT_ONCE 64
#define TIME_TEXT_MAX  18 /* -9007199254740.992 */
#define POINT_TEXT_MAX (TIME_TEXT_MAX + NUMBER_API_MAX + 8)

static void put_value(double value, struct buffer *out)
{
    buffer_append_char(out, '"');
    number_print(value, NUMBER_API, out);
    buffer_append_char(out, '"');
}

static char *put_time(char *at, int64_t time_ms)
{
    uint64_t magnitude = time_ms < 0 ? 0 - (uint64_t)time_ms : (uint64_t)time_ms;
    unsigned ms = (unsigned)(magnitude % 1000);
    if (time_ms < 0)
        *at++ = '-';
    at = number_put_integer(at, magnitude / 1000);
    if (ms == 0)
        return at;
    *at++ = '.';
    *at++ = (char)('0' + ms / 100);
    *at++ = (char)('0' + ms / 10 % 10);
    *at++ = (char)('0' + ms % 10);
    return at;
}

void render_time(int64_t time_ms, struct buffer *out)
{
    char text[32];
    buffer_append(out, text, (size_t)(put_time(text, time_ms) - text));
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

/* --- points --- */

/* [T," of a point, with a comma before it. */
struct render_stamp {
    char text[31];
    unsigned char len;
};

static void put_stamp(struct render_stamp *stamp, int64_t time_ms)
{
    char *at = stamp->text;
    *at++ = ',';
    *at++ = '[';
    at = put_time(at, time_ms);
    *at++ = ',';
    *at++ = '"';
    stamp->len = (unsigned char)(at - stamp->text);
}

/* The stamps of all points, when the next series has the same times: those of rows without a gap are
 * one array. NULL: not worth it. */
static const struct render_stamp *stamps_of(struct render *render,
                                            const struct promql_series *series)
{
    const struct promql_result *result = render->result;
    bool known = render->stamps && render->stamped == series->times;
    if (known && series->count <= render->stamp_count)
        return render->stamps;
    bool last = series + 1 == result->series + result->count;
    if (last || series[1].times != series->times)
        return NULL;
    free(render->stamps);
    render->stamps = alloc_zeroed(series->count, sizeof *render->stamps);
    render->stamped = series->times;
    render->stamp_count = series->count;
    for (size_t i = 0; i < series->count; i++)
        put_stamp(&render->stamps[i], series->times[i]);
    return render->stamps;
}

/* The next points, with commas between all points of the series. */
static void put_floats(struct render *render, const struct promql_series *series, size_t count,
                       struct buffer *out)
{
    const struct render_stamp *stamps = stamps_of(render, series);
    char *begin = buffer_reserve(out, count * POINT_TEXT_MAX), *at = begin;
    if (!begin)
        return;
    for (size_t i = render->point; i < render->point + count; i++) {
        struct render_stamp own;
        const struct render_stamp *stamp = &own;
        if (stamps)
            stamp = &stamps[i];
        else
            put_stamp(&own, series->times[i]);
        size_t skip = i == 0; /* the comma */
        memcpy(at, stamp->text + skip, sizeof stamp->text - 1);
        at = number_put(at + stamp->len - skip, series->values[i], NUMBER_API);
        memcpy(at, "\"]", 2);
        at += 2;
    }
    out->len += (size_t)(at - begin);
}

static void put_histogram(const struct promql_series *series, size_t i, struct buffer *out)
{
    buffer_append_string(out, i ? ",[" : "[");
    render_time(series->times[i], out);
    buffer_append_char(out, ',');
    render_histogram(series->histograms[i], out);
    buffer_append_char(out, ']');
}

/* --- series --- */

static void open_series(const struct render *render, const struct promql_series *series,
                        struct buffer *out)
{
    static const char *const keys[2][2] = {{",\"histogram\":", ",\"value\":"},
                                           {",\"histograms\":[", ",\"values\":["}};
    buffer_append_string(out, render->printed ? ",{\"metric\":" : "{\"metric\":");
    labels_print_json(series->labels, out);
    buffer_append_string(out, keys[render->result->type == VALUE_MATRIX][series->values != NULL]);
}

/* Goes on where the last piece ended; true when the series is done. */
static bool put_series(struct render *render, const struct promql_series *series, size_t room,
                       struct buffer *out)
{
    if (render->point == 0)
        open_series(render, series, out);
    while (render->point < series->count && !out->overflow) {
        size_t left = series->count - render->point;
        size_t count = !series->values ? 1 : left < POINTS_AT_ONCE ? left : POINTS_AT_ONCE;
        if (series->values)
            put_floats(render, series, count, out);
        else
            put_histogram(series, render->point, out);
        render->point += count;
        if (count < left && out->len >= room)
            return false;
    }
    buffer_append_string(out, render->result->type == VALUE_MATRIX ? "]}" : "}");
    render->point = 0;
    render->printed++;
    return true;
}

/* True when all are there. */
static bool put_series_list(struct render *render, size_t room, struct buffer *out)
{
    const struct promql_result *result = render->result;
    for (; render->series < result->count; render->series++) {
        const struct promql_series *series = &result->series[render->series];
        if ((render->limit && render->printed == render->limit) || out->overflow)
            break;
        if (series->count && (out->len >= room || !put_series(render, series, room, out)))
            return false;
    }
    buffer_append_char(out, ']');
    return true;
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

static void open_data(const struct render *render, struct buffer *out)
{
    static const char *const names[] = {
        [VALUE_SCALAR] = "scalar",
        [VALUE_STRING] = "string",
        [VALUE_VECTOR] = "vector",
        [VALUE_MATRIX] = "matrix",
    };
    buffer_append_format(out, "{\"resultType\":\"%s\",\"result\":", names[render->result->type]);
}

bool render_some(struct render *render, size_t bytes, struct buffer *out)
{
    const struct promql_result *result = render->result;
    size_t room = out->len + bytes < bytes ? SIZE_MAX : out->len + bytes;
    bool single = result->type == VALUE_SCALAR || result->type == VALUE_STRING;
    if (!render->begun) {
        open_data(render, out);
        render->begun = true;
        if (single)
            put_single(result, render->time_ms, out);
        else
            buffer_append_char(out, '[');
    }
    if (!single && !put_series_list(render, room, out))
        return true;
    buffer_append_char(out, '}');
    return false;
}

void render_release(struct render *render)
{
    free(render->stamps);
    render->stamps = NULL;
}

void render_data(const struct promql_result *result, int64_t time_ms, size_t limit,
                 struct buffer *out)
{
    struct render render = {.result = result, .time_ms = time_ms, .limit = limit};
    bool more = render_some(&render, SIZE_MAX, out);
    assert(!more);
    render_release(&render);
}
