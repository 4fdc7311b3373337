/* remote_write: see the header.
 *
 *   WriteRequest   1: TimeSeries ...   3: metadata (passed over)
 *   TimeSeries     1: Label ...   2: Sample ...   3: exemplars (passed over)   4: Histogram ...
 *   Label          1: name   2: value
 *   Sample         1: value f64   2: time ms
 *   Histogram      1|2: count   3: sum f64   4: schema   5: zero threshold f64   6|7: zero count
 *                  8: spans   9: deltas | 10: counts       of the negative side
 *                  11: spans  12: deltas | 13: counts      of the positive side
 *                  15: time ms
 *   BucketSpan     1: gap to the span before (the first: its index)   2: length
 *
 * Integer histograms give each bucket's count as the difference to the bucket before; histograms
 * of floats give the counts themselves. A series is read twice: counted, then filled.
 */
#include "server/wire/remote_write.h"

#include <math.h>

#include "server/wire/protobuf.h"
#include "storage/store.h"

const char *remote_reject_text(enum remote_reject reject)
{
    static const char *const texts[REMOTE_REJECT_COUNT] = {
        [REMOTE_OK] = "it is fine",
        [REMOTE_MALFORMED] = "the body is no remote write request of version 1",
        [REMOTE_NO_NAME] = "the series has no __name__",
        [REMOTE_MANY_LABELS] = "the series has more than 64 labels",
        [REMOTE_LABELS] = "a label has no name, or comes twice",
        [REMOTE_SCHEMA] = "a histogram's schema is not in -4..8; custom buckets cannot be kept",
        [REMOTE_BUCKETS] = "a histogram's spans do not fit its counts, or hold over 1280 buckets",
        [REMOTE_COUNT] = "a histogram's count is not the sum of the counts of its buckets",
        [REMOTE_NO_MEMORY] = "the request is too large for limits.query_memory",
    };
    return texts[reject];
}

/* --- labels --- */

static bool read_label(struct slice message, struct label *out)
{
    struct protobuf_field field;
    int more;
    *out = (struct label){0};
    while ((more = protobuf_next(&message, &field)) > 0) {
        if (protobuf_is(&field, 1, PROTOBUF_BYTES))
            out->name = field.bytes;
        else if (protobuf_is(&field, 2, PROTOBUF_BYTES))
            out->value = field.bytes;
    }
    return more == 0;
}

/* Sorts; empty values are as good as no label. */
static enum remote_reject settle_labels(struct label *at, size_t count, struct labels *out)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (at[i].value.len)
            at[kept++] = at[i];
    labels_sort(at, kept);
    for (size_t i = 0; i < kept; i++)
        if (at[i].name.len == 0 || (i && slice_equal(at[i].name, at[i - 1].name)))
            return REMOTE_LABELS;
    *out = (struct labels){at, kept};
    return labels_get(*out, SLICE(LABEL_NAME)).len ? REMOTE_OK : REMOTE_NO_NAME;
}

/* --- histograms --- */

static bool read_span(struct slice message, int64_t *gap, uint64_t *length)
{
    struct protobuf_field field;
    int more;
    *gap = 0;
    *length = 0;
    while ((more = protobuf_next(&message, &field)) > 0) {
        if (protobuf_is(&field, 1, PROTOBUF_VARINT))
            *gap = protobuf_zigzag(field.value);
        else if (protobuf_is(&field, 2, PROTOBUF_VARINT))
            *length = field.value;
    }
    return more == 0;
}

/* Gives the buckets their indexes. -1: malformed; else how many there are. */
static int read_spans(struct slice message, uint64_t number, struct histogram_bucket *out)
{
    struct protobuf_field field;
    int64_t index = 0, gap;
    uint64_t length;
    int count = 0;
    while (protobuf_next(&message, &field) > 0) {
        if (!protobuf_is(&field, number, PROTOBUF_BYTES))
            continue;
        if (!read_span(field.bytes, &gap, &length) || gap < INT32_MIN || gap > INT32_MAX ||
            length > (uint64_t)(HISTOGRAM_BUCKETS_MAX - count) || (count && gap < 0))
            return -1;
        index += gap;
        for (; length; length--, index++) {
            if (index < INT32_MIN || index > INT32_MAX)
                return -1;
            out[count++].index = (int32_t)index;
        }
    }
    return count;
}

struct count_list {
    struct histogram_bucket *out;
    size_t capacity, count;
    int64_t last; /* of deltas */
    bool sound;
};

static void push_count(struct count_list *list, uint64_t raw, bool deltas)
{
    if (list->count == list->capacity) {
        list->sound = false;
        return;
    }
    if (deltas)
        list->last = (int64_t)((uint64_t)list->last + (uint64_t)protobuf_zigzag(raw));
    list->out[list->count++].count = deltas ? (double)list->last : protobuf_double(raw);
}

/* One field of a list: packed, or a single number. */
static void read_counts(struct count_list *list, const struct protobuf_field *field, bool deltas)
{
    struct slice packed = field->bytes;
    uint64_t raw;
    if (field->type != PROTOBUF_BYTES) {
        list->sound = list->sound && field->type == (deltas ? PROTOBUF_VARINT : PROTOBUF_FIXED64);
        push_count(list, field->value, deltas);
        return;
    }
    while (packed.len && list->sound) {
        list->sound = deltas ? bytes_cut_varint(&packed, &raw) : bytes_cut_u64le(&packed, &raw);
        if (list->sound)
            push_count(list, raw, deltas);
    }
}

/* Fields first: spans, + 1: deltas, + 2: counts. */
static enum remote_reject read_side(struct slice message, uint64_t first, struct arena *arena,
                                    struct histogram_side *out)
{
    struct histogram_bucket buckets[HISTOGRAM_BUCKETS_MAX];
    struct protobuf_field field;
    int count = read_spans(message, first, buckets);
    if (count < 0)
        return REMOTE_BUCKETS;
    struct count_list list = {.out = buckets, .capacity = (size_t)count, .sound = true};
    while (protobuf_next(&message, &field) > 0)
        if (field.number == first + 1 || field.number == first + 2)
            read_counts(&list, &field, field.number == first + 1);
    if (!list.sound || list.count != (size_t)count)
        return REMOTE_BUCKETS;
    if (count == 0)
        return REMOTE_OK;
    out->at = arena_alloc(arena, (size_t)count * sizeof *out->at);
    if (!out->at)
        return REMOTE_NO_MEMORY;
    for (size_t i = 0; i < (size_t)count; i++) {
        if (!(buckets[i].count >= 0)) /* NaN too */
            return REMOTE_BUCKETS;
        if (buckets[i].count > 0)
            out->at[out->count++] = buckets[i];
    }
    return REMOTE_OK;
}

/* True when it is a count that is an integer. */
static bool read_scalar(const struct protobuf_field *field, struct histogram *out)
{
    const struct {
        uint64_t number;
        enum protobuf_type type;
        double *out;
    } rows[] = {
        {1, PROTOBUF_VARINT, &out->count},      {2, PROTOBUF_FIXED64, &out->count},
        {3, PROTOBUF_FIXED64, &out->sum},       {5, PROTOBUF_FIXED64, &out->zero_threshold},
        {6, PROTOBUF_VARINT, &out->zero_count}, {7, PROTOBUF_FIXED64, &out->zero_count},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (protobuf_is(field, rows[i].number, rows[i].type))
            *rows[i].out = rows[i].type == PROTOBUF_VARINT ? (double)field->value
                                                           : protobuf_double(field->value);
    return protobuf_is(field, 1, PROTOBUF_VARINT);
}

static double side_count(const struct histogram_side *side)
{
    double count = 0;
    for (size_t i = 0; i < side->count; i++)
        count += side->at[i].count;
    return count;
}

/* Whether the count is that of the buckets. Observations of NaN are in the count alone, and make the sum
 * NaN; counts that are no integers may be off by their rounding, as Prometheus sees it, too. */
static bool counts_agree(const struct histogram *histogram, bool integers)
{
    double found =
        side_count(&histogram->negative) + side_count(&histogram->positive) + histogram->zero_count;
    if (!integers)
        return true;
    return isnan(histogram->sum) ? found <= histogram->count : found == histogram->count;
}

/* A sum with the stale marker's bits is a stale marker. */
static enum remote_reject read_histogram(struct slice message, struct arena *arena,
                                         struct remote_sample *out)
{
    struct protobuf_field field;
    struct slice rest = message;
    int64_t schema = 0;
    bool integers = false;
    int more;
    struct histogram *histogram = arena_zeroed(arena, 1, sizeof *histogram);
    if (!histogram)
        return REMOTE_NO_MEMORY;
    histogram_init(histogram);
    histogram->zero_threshold = 0;
    *out = (struct remote_sample){.value = stale_nan()};
    while ((more = protobuf_next(&rest, &field)) > 0)
        if (protobuf_is(&field, 4, PROTOBUF_VARINT))
            schema = protobuf_zigzag(field.value);
        else if (protobuf_is(&field, 15, PROTOBUF_VARINT))
            out->time_ms = (int64_t)field.value;
        else
            integers = read_scalar(&field, histogram) || integers;
    if (more < 0)
        return REMOTE_MALFORMED;
    if (is_stale_nan(histogram->sum))
        return REMOTE_OK;
    if (schema < HISTOGRAM_SCHEMA_MIN || schema > HISTOGRAM_SCHEMA_MAX)
        return REMOTE_SCHEMA;
    histogram->schema = (int)schema;
    if (!(histogram->count >= 0) || !(histogram->zero_count >= 0) ||
        !(histogram->zero_threshold >= 0))
        return REMOTE_BUCKETS;
    enum remote_reject reject = read_side(message, 8, arena, &histogram->negative);
    if (reject == REMOTE_OK)
        reject = read_side(message, 11, arena, &histogram->positive);
    if (reject == REMOTE_OK && !counts_agree(histogram, integers))
        reject = REMOTE_COUNT;
    out->histogram = histogram;
    return reject;
}

/* --- series --- */

static bool read_sample(struct slice message, struct remote_sample *out)
{
    struct protobuf_field field;
    int more;
    *out = (struct remote_sample){0};
    while ((more = protobuf_next(&message, &field)) > 0) {
        if (protobuf_is(&field, 1, PROTOBUF_FIXED64))
            out->value = protobuf_double(field.value);
        else if (protobuf_is(&field, 2, PROTOBUF_VARINT))
            out->time_ms = (int64_t)field.value;
    }
    return more == 0;
}

struct series_size {
    size_t labels, samples;
};

static bool measure(struct slice message, struct series_size *out)
{
    struct protobuf_field field;
    int more;
    *out = (struct series_size){0};
    while ((more = protobuf_next(&message, &field)) > 0) {
        out->labels += protobuf_is(&field, 1, PROTOBUF_BYTES);
        out->samples +=
            protobuf_is(&field, 2, PROTOBUF_BYTES) || protobuf_is(&field, 4, PROTOBUF_BYTES);
    }
    return more == 0;
}

/* The samples in the order of the message; those of a bad histogram are left out, and *out says
 * why. */
static enum remote_reject fill_samples(struct slice message, struct arena *arena,
                                       struct remote_series *out)
{
    struct protobuf_field field;
    enum remote_reject worst = REMOTE_OK;
    while (protobuf_next(&message, &field) > 0) {
        struct remote_sample *sample = &out->samples[out->count];
        enum remote_reject reject = REMOTE_OK;
        if (protobuf_is(&field, 2, PROTOBUF_BYTES))
            reject = read_sample(field.bytes, sample) ? REMOTE_OK : REMOTE_MALFORMED;
        else if (protobuf_is(&field, 4, PROTOBUF_BYTES))
            reject = read_histogram(field.bytes, arena, sample);
        else
            continue;
        if (reject == REMOTE_MALFORMED || reject == REMOTE_NO_MEMORY)
            return reject;
        out->histograms = out->histograms || field.number == 4;
        out->count += reject == REMOTE_OK;
        worst = reject == REMOTE_OK ? worst : reject;
    }
    return worst;
}

static enum remote_reject read_labels(struct slice message, size_t count, struct arena *arena,
                                      struct labels *out)
{
    struct protobuf_field field;
    size_t read = 0;
    if (count > LABELS_MAX)
        return REMOTE_MANY_LABELS;
    struct label *at = arena_alloc(arena, count * sizeof *at);
    if (!at)
        return REMOTE_NO_MEMORY;
    while (protobuf_next(&message, &field) > 0)
        if (protobuf_is(&field, 1, PROTOBUF_BYTES) && !read_label(field.bytes, &at[read++]))
            return REMOTE_MALFORMED;
    return settle_labels(at, count, out);
}

static enum remote_reject read_series(struct slice message, struct arena *arena,
                                      struct remote_series *out)
{
    struct series_size size;
    *out = (struct remote_series){0};
    if (!measure(message, &size))
        return REMOTE_MALFORMED;
    enum remote_reject reject = read_labels(message, size.labels, arena, &out->labels);
    if (reject != REMOTE_OK)
        return reject;
    out->samples = arena_alloc(arena, size.samples * sizeof *out->samples);
    return out->samples ? fill_samples(message, arena, out) : REMOTE_NO_MEMORY;
}

void remote_write_init(struct remote_write *reader, struct slice body)
{
    *reader = (struct remote_write){.rest = body};
}

bool remote_write_next(struct remote_write *reader, struct arena *arena, struct remote_series *out,
                       enum remote_reject *reject)
{
    struct protobuf_field field;
    int more;
    *out = (struct remote_series){0};
    *reject = REMOTE_OK;
    while ((more = protobuf_next(&reader->rest, &field)) > 0) {
        if (!protobuf_is(&field, 1, PROTOBUF_BYTES))
            continue;
        reader->number++;
        *reject = read_series(field.bytes, arena, out);
        if (*reject == REMOTE_MALFORMED || *reject == REMOTE_NO_MEMORY)
            reader->rest = slice_skip(reader->rest, reader->rest.len);
        return true;
    }
    if (more == 0)
        return false;
    reader->rest = slice_skip(reader->rest, reader->rest.len);
    *reject = REMOTE_MALFORMED;
    return true;
}
