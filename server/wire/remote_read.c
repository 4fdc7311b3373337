/* remote_read: see the header.
 *
 *   ReadRequest    1: Query ...   2: accepted kinds of answer (passed over)
 *   Query          1: start ms   2: end ms   3: LabelMatcher ...   4: hints (passed over)
 *   LabelMatcher   1: type (= != =~ !~)   2: name   3: value
 *
 *   ReadResponse   1: QueryResult ...      QueryResult   1: TimeSeries ...
 *   TimeSeries, Sample, Histogram: as in server/wire/remote_write.c
 *
 * Histograms whose counts are all whole go out as integers, others as floats.
 */
#include "server/wire/remote_read.h"

#include <math.h>

#include "server/wire/protobuf.h"

#define SPAN_BYTES_MAX  32
#define COUNT_WHOLE_MAX 0x1p53
#define GAP_MAX         2 /* empty buckets that are cheaper written than skipped by a new span */

/* --- the request --- */

static int malformed(struct error *err)
{
    return error_set(err, ERROR_BAD_DATA,
                     "the body is no remote read request (snappy-packed protocol buffer)");
}

static int read_matcher(struct slice message, struct matcher *out, struct error *err)
{
    static const enum matcher_type types[] = {MATCH_EQUAL, MATCH_NOT_EQUAL, MATCH_REGEX,
                                              MATCH_NOT_REGEX};
    struct protobuf_field field;
    struct slice name = {"", 0}, value = {"", 0};
    uint64_t type = 0;
    int more;
    while ((more = protobuf_next(&message, &field)) > 0) {
        if (protobuf_is(&field, 1, PROTOBUF_VARINT))
            type = field.value;
        else if (protobuf_is(&field, 2, PROTOBUF_BYTES))
            name = field.bytes;
        else if (protobuf_is(&field, 3, PROTOBUF_BYTES))
            value = field.bytes;
    }
    if (more < 0 || type >= sizeof types / sizeof types[0])
        return malformed(err);
    return matcher_init(out, types[type], name, value, err);
}

static int read_query(struct slice message, struct arena *arena, struct store_query *out,
                      struct error *err)
{
    struct protobuf_field field;
    struct matcher *matchers = arena_zeroed(arena, REMOTE_MATCHERS_MAX, sizeof *matchers);
    int more;
    *out = (struct store_query){.matchers = matchers};
    if (!matchers)
        return error_set(err, ERROR_LIMIT, "the request needs more than limits.query_memory");
    while ((more = protobuf_next(&message, &field)) > 0) {
        if (protobuf_is(&field, 1, PROTOBUF_VARINT))
            out->start_ms = (int64_t)field.value;
        else if (protobuf_is(&field, 2, PROTOBUF_VARINT))
            out->end_ms = (int64_t)field.value;
        if (!protobuf_is(&field, 3, PROTOBUF_BYTES))
            continue;
        if (out->matcher_count == REMOTE_MATCHERS_MAX)
            return error_set(err, ERROR_BAD_DATA, "a query may have at most %d matchers",
                             REMOTE_MATCHERS_MAX);
        if (read_matcher(field.bytes, &matchers[out->matcher_count], err) != 0)
            return -1;
        out->matcher_count++;
    }
    return more == 0 ? 0 : malformed(err);
}

int remote_read_parse(struct slice body, struct arena *arena, struct remote_queries *out,
                      struct error *err)
{
    struct protobuf_field field;
    int more;
    out->count = 0;
    while ((more = protobuf_next(&body, &field)) > 0) {
        if (!protobuf_is(&field, 1, PROTOBUF_BYTES))
            continue;
        if (out->count == REMOTE_QUERIES_MAX)
            return error_set(err, ERROR_BAD_DATA, "a request may have at most %d queries",
                             REMOTE_QUERIES_MAX);
        if (read_query(field.bytes, arena, &out->at[out->count++], err) != 0)
            return -1;
    }
    return more == 0 ? 0 : malformed(err);
}

void remote_queries_release(struct remote_queries *queries)
{
    for (size_t i = 0; i < queries->count; i++)
        for (size_t k = 0; k < queries->at[i].matcher_count; k++) {
            struct matcher matcher = queries->at[i].matchers[k];
            matcher_release(&matcher);
        }
    queries->count = 0;
}

/* --- histograms --- */

static bool is_whole(double count)
{
    return count >= 0 && count < COUNT_WHOLE_MAX && count == floor(count);
}

static bool side_is_whole(const struct histogram_side *side)
{
    for (size_t i = 0; i < side->count; i++)
        if (!is_whole(side->at[i].count))
            return false;
    return true;
}

static bool histogram_is_whole(const struct histogram *histogram)
{
    return is_whole(histogram->count) && is_whole(histogram->zero_count) &&
           side_is_whole(&histogram->positive) && side_is_whole(&histogram->negative);
}

static void put_count(struct buffer *out, uint64_t number, double count, bool whole)
{
    if (whole)
        protobuf_put_varint(out, number, (uint64_t)count);
    else
        protobuf_put_double(out, number + 1, count);
}

/* A run of neighbours, small gaps filled with empty buckets. */
struct span {
    int64_t from;         /* index of its first bucket */
    size_t first, places; /* of the side's buckets; buckets with those filled in */
};

static struct span span_at(const struct histogram_side *side, size_t first)
{
    struct span span = {side->at[first].index, first, 1};
    for (size_t i = first + 1; i < side->count; i++) {
        int64_t gap = (int64_t)side->at[i].index - side->at[i - 1].index;
        if (gap > GAP_MAX + 1)
            break;
        span.places += (size_t)gap;
    }
    return span;
}

static void put_span(struct buffer *out, uint64_t number, int64_t gap, size_t length)
{
    struct buffer message;
    buffer_init(&message, SPAN_BYTES_MAX);
    protobuf_put_varint(&message, 1, protobuf_unzigzag(gap));
    protobuf_put_varint(&message, 2, length);
    protobuf_put_bytes(out, number, buffer_slice(&message));
    buffer_release(&message);
}

/* The counts of one span, into the packed list; *last carries the count before for deltas. */
static size_t put_counts(struct buffer *list, const struct histogram_side *side,
                         const struct span *span, int64_t *last)
{
    size_t at = span->first;
    for (size_t place = 0; place < span->places; place++) {
        bool filled = side->at[at].index == span->from + (int64_t)place;
        double count = filled ? side->at[at++].count : 0;
        if (last) {
            buffer_append_varint_signed(list, (int64_t)count - *last);
            *last = (int64_t)count;
        } else {
            uint64_t bits;
            memcpy(&bits, &count, sizeof bits);
            buffer_append_u64le(list, bits);
        }
    }
    return at;
}

/* Fields first: spans, + 1: deltas, + 2: counts. */
static void put_side(struct buffer *out, uint64_t first, const struct histogram_side *side,
                     bool whole)
{
    struct buffer list;
    int64_t before = 0, last = 0;
    if (side->count == 0)
        return;
    buffer_init(&list, SIZE_MAX);
    for (size_t at = 0; at < side->count;) {
        struct span span = span_at(side, at);
        put_span(out, first, span.from - before, span.places);
        before = span.from + (int64_t)span.places;
        at = put_counts(&list, side, &span, whole ? &last : NULL);
    }
    protobuf_put_bytes(out, whole ? first + 1 : first + 2, buffer_slice(&list));
    buffer_release(&list);
}

static void put_histogram(struct buffer *out, const struct histogram *histogram, int64_t time_ms)
{
    if (!histogram) {
        protobuf_put_double(out, 3, stale_nan());
        protobuf_put_varint(out, 15, (uint64_t)time_ms);
        return;
    }
    bool whole = histogram_is_whole(histogram);
    put_count(out, 1, histogram->count, whole);
    protobuf_put_double(out, 3, histogram->sum);
    protobuf_put_varint(out, 4, protobuf_unzigzag(histogram->schema));
    protobuf_put_double(out, 5, histogram->zero_threshold);
    put_count(out, 6, histogram->zero_count, whole);
    put_side(out, 8, &histogram->negative, whole);
    put_side(out, 11, &histogram->positive, whole);
    protobuf_put_varint(out, 15, (uint64_t)time_ms);
}

/* --- the answer --- */

static void put_label(struct buffer *out, struct label label)
{
    struct buffer message;
    buffer_init(&message, SIZE_MAX);
    protobuf_put_bytes(&message, 1, label.name);
    protobuf_put_bytes(&message, 2, label.value);
    protobuf_put_bytes(out, 1, buffer_slice(&message));
    buffer_release(&message);
}

void remote_put_series(struct buffer *out, struct buffer *scratch, struct labels labels,
                       const struct store_column *column)
{
    struct buffer message;
    buffer_init(&message, SIZE_MAX);
    buffer_reset(scratch);
    for (size_t i = 0; i < labels.count; i++)
        put_label(scratch, labels.at[i]);
    for (size_t i = 0; i < column->count; i++) {
        buffer_reset(&message);
        if (column->histograms) {
            put_histogram(&message, column->histograms[i], column->times[i]);
        } else {
            protobuf_put_double(&message, 1, column->values[i]);
            protobuf_put_varint(&message, 2, (uint64_t)column->times[i]);
        }
        protobuf_put_bytes(scratch, column->histograms ? 4 : 2, buffer_slice(&message));
    }
    protobuf_put_bytes(out, 1, buffer_slice(scratch));
    buffer_release(&message);
}
