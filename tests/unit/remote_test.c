/* Remote write and remote read: what a message becomes, and why a series is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/wire/remote_read.h"
#include "server/wire/remote_write.h"
#include "storage/store.h"

/* --- writing messages --- */

static void put_varint(struct buffer *out, unsigned number, uint64_t value)
{
    buffer_append_varint(out, (uint64_t)number << 3);
    buffer_append_varint(out, value);
}

static void put_double(struct buffer *out, unsigned number, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    buffer_append_varint(out, (uint64_t)number << 3 | 1);
    buffer_append_u64le(out, bits);
}

static void put_bytes(struct buffer *out, unsigned number, struct slice bytes)
{
    buffer_append_varint(out, (uint64_t)number << 3 | 2);
    buffer_append_prefixed(out, bytes);
}

/* Closes a message that was built in `message`. */
static void put_message(struct buffer *out, unsigned number, struct buffer *message)
{
    put_bytes(out, number, buffer_slice(message));
    buffer_release(message);
}

static struct buffer fresh(void)
{
    struct buffer buffer;
    buffer_init(&buffer, 1 << 20);
    return buffer;
}

static void put_label(struct buffer *series, const char *name, const char *value)
{
    struct buffer label = fresh();
    put_bytes(&label, 1, slice_of_string(name));
    put_bytes(&label, 2, slice_of_string(value));
    put_message(series, 1, &label);
}

static void put_sample(struct buffer *series, double value, int64_t time_ms)
{
    struct buffer sample = fresh();
    put_double(&sample, 1, value);
    put_varint(&sample, 2, (uint64_t)time_ms);
    put_message(series, 2, &sample);
}

static uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
}

static void put_span(struct buffer *histogram, unsigned number, int64_t gap, uint64_t length)
{
    struct buffer span = fresh();
    put_varint(&span, 1, zigzag(gap));
    put_varint(&span, 2, length);
    put_message(histogram, number, &span);
}

static void put_list(struct buffer *histogram, unsigned number, const int64_t *deltas, size_t count)
{
    struct buffer list = fresh();
    for (size_t i = 0; i < count; i++)
        buffer_append_varint_signed(&list, deltas[i]);
    put_message(histogram, number, &list);
}

/* --- reading --- */

static struct arena arena;

static enum remote_reject read_one(const struct buffer *series, struct remote_series *out)
{
    struct buffer body = fresh();
    struct remote_write reader;
    enum remote_reject reject, end;
    struct remote_series none;
    put_bytes(&body, 3, SLICE("metadata is passed over"));
    put_bytes(&body, 1, buffer_slice(series));
    arena_reset(&arena);
    struct slice copy = arena_copy(&arena, buffer_slice(&body));
    buffer_release(&body);
    remote_write_init(&reader, copy);
    assert_true(remote_write_next(&reader, &arena, out, &reject));
    assert_int_equal(reader.number, 1);
    assert_false(remote_write_next(&reader, &arena, &none, &end));
    return reject;
}

static void test_samples(void **state)
{
    (void)state;
    struct buffer series = fresh();
    struct remote_series out;
    put_label(&series, "job", "api");
    put_label(&series, "__name__", "http_requests_total");
    put_label(&series, "empty", "");
    put_sample(&series, 1.5, 1000);
    put_sample(&series, stale_nan(), -5);
    put_bytes(&series, 3, SLICE("an exemplar"));
    assert_int_equal(read_one(&series, &out), REMOTE_OK);
    assert_int_equal(out.labels.count, 2);
    assert_true(slice_equal_string(labels_get(out.labels, SLICE("job")), "api"));
    assert_int_equal(out.count, 2);
    assert_false(out.histograms);
    assert_true(out.samples[0].value == 1.5 && out.samples[0].time_ms == 1000);
    assert_true(is_stale_nan(out.samples[1].value) && out.samples[1].time_ms == -5);
    buffer_release(&series);
}

static void put_counted(struct buffer *series, uint64_t count, int64_t schema, int64_t time_ms)
{
    static const int64_t positive[] = {3, -1, 0, -2}, negative[] = {4};
    struct buffer histogram = fresh();
    put_varint(&histogram, 1, count);
    put_double(&histogram, 3, count == 15 ? NAN : 12.5);
    put_varint(&histogram, 4, zigzag(schema));
    put_double(&histogram, 5, 0.001);
    put_varint(&histogram, 6, 3);
    put_span(&histogram, 8, 7, 1);
    put_list(&histogram, 9, negative, 1);
    put_span(&histogram, 11, -3, 2);
    put_span(&histogram, 11, 5, 2);
    put_list(&histogram, 12, positive, 4);
    put_varint(&histogram, 15, (uint64_t)time_ms);
    put_message(series, 4, &histogram);
}

static void put_histogram(struct buffer *series, int64_t schema, int64_t time_ms)
{
    put_counted(series, 14, schema, time_ms);
}

/* Buckets of 14: a count of 13 or 16 is none of theirs, of 15 is where one observation was NaN. */
static void test_counts_of_buckets(void **state)
{
    (void)state;
    struct buffer series = fresh();
    struct remote_series out;
    put_label(&series, "__name__", "latency");
    put_counted(&series, 13, 3, 1000);
    put_counted(&series, 14, 3, 2000);
    put_counted(&series, 15, 3, 3000);
    put_counted(&series, 16, 3, 4000);
    assert_int_equal(read_one(&series, &out), REMOTE_COUNT);
    assert_int_equal(out.count, 2);
    assert_int_equal(out.samples[0].time_ms, 2000);
    assert_int_equal(out.samples[1].time_ms, 3000);
    buffer_release(&series);
}

static void test_histograms(void **state)
{
    (void)state;
    struct buffer series = fresh();
    struct remote_series out;
    put_label(&series, "__name__", "latency");
    put_histogram(&series, 3, 2000);
    put_histogram(&series, -53, 3000); /* custom buckets */
    put_sample(&series, 1, 4000);
    assert_int_equal(read_one(&series, &out), REMOTE_SCHEMA);
    assert_int_equal(out.count, 2);
    assert_true(out.histograms);
    const struct histogram *h = out.samples[0].histogram;
    assert_non_null(h);
    assert_int_equal(out.samples[0].time_ms, 2000);
    assert_int_equal(h->schema, 3);
    assert_true(h->count == 14 && h->sum == 12.5 && h->zero_count == 3);
    assert_true(h->zero_threshold == 0.001);
    /* counts 3 2 2 0 at -3 -2 4 5: the empty one is left out */
    assert_int_equal(h->positive.count, 3);
    assert_int_equal(h->positive.at[0].index, -3);
    assert_int_equal(h->positive.at[2].index, 4);
    assert_true(h->positive.at[2].count == 2);
    assert_int_equal(h->negative.count, 1);
    assert_int_equal(h->negative.at[0].index, 7);
    assert_null(out.samples[1].histogram);
    assert_int_equal(out.samples[1].time_ms, 4000);
    buffer_release(&series);
}

static void test_float_histograms_and_stale_ones(void **state)
{
    (void)state;
    struct buffer series = fresh(), histogram = fresh(), stale = fresh(), counts = fresh();
    struct remote_series out;
    double count = 2.5;
    uint64_t bits;
    memcpy(&bits, &count, sizeof bits);
    buffer_append_u64le(&counts, bits);
    put_double(&histogram, 2, 2.5);
    put_span(&histogram, 11, 0, 1);
    put_message(&histogram, 13, &counts);
    put_label(&series, "__name__", "latency");
    put_message(&series, 4, &histogram);
    put_double(&stale, 3, stale_nan());
    put_varint(&stale, 15, 7);
    put_message(&series, 4, &stale);
    assert_int_equal(read_one(&series, &out), REMOTE_OK);
    assert_int_equal(out.count, 2);
    assert_true(out.samples[0].histogram->positive.at[0].count == 2.5);
    assert_null(out.samples[1].histogram);
    assert_true(is_stale_nan(out.samples[1].value) && out.samples[1].time_ms == 7);
    buffer_release(&series);
}

static void refuses(struct buffer *series, enum remote_reject wanted)
{
    struct remote_series out;
    enum remote_reject reject = read_one(series, &out);
    if (reject != wanted)
        fail_msg("%s instead of %s", remote_reject_text(reject), remote_reject_text(wanted));
    assert_int_equal(out.count, 0);
    buffer_release(series);
}

static void test_refusals(void **state)
{
    (void)state;
    struct buffer series = fresh();
    put_label(&series, "job", "api");
    refuses(&series, REMOTE_NO_NAME);
    series = fresh();
    put_label(&series, "__name__", "x");
    put_label(&series, "", "y");
    refuses(&series, REMOTE_LABELS);
    series = fresh();
    put_label(&series, "__name__", "x");
    put_label(&series, "a", "1");
    put_label(&series, "a", "2");
    refuses(&series, REMOTE_LABELS);
    series = fresh();
    for (int i = 0; i <= LABELS_MAX; i++)
        put_label(&series, "a", "1");
    refuses(&series, REMOTE_MANY_LABELS);
    series = fresh();
    buffer_append_string(&series, "\x0a\xff\xff");
    refuses(&series, REMOTE_MALFORMED);
}

/* A histogram of these positive spans, one delta 1 a bucket `counts` times. */
static void refuses_buckets(int64_t gap, uint64_t length, int64_t second_gap, size_t counts)
{
    struct buffer series = fresh(), histogram = fresh();
    int64_t *deltas = calloc(counts + 1, sizeof *deltas);
    assert_non_null(deltas);
    deltas[0] = 1;
    put_span(&histogram, 11, gap, length);
    put_span(&histogram, 11, second_gap, 1);
    put_list(&histogram, 12, deltas, counts);
    put_label(&series, "__name__", "x");
    put_message(&series, 4, &histogram);
    refuses(&series, REMOTE_BUCKETS);
    free(deltas);
}

static void test_buckets_that_do_not_fit(void **state)
{
    (void)state;
    refuses_buckets(0, 1, 0, 1);                        /* fewer counts than places */
    refuses_buckets(0, 1, 0, 3);                        /* more */
    refuses_buckets(0, 1, -1, 2);                       /* spans that overlap */
    refuses_buckets(INT32_MAX, 1, INT32_MAX, 2);        /* indexes beyond 32 bits */
    refuses_buckets(0, HISTOGRAM_BUCKETS_MAX, 0, 1281); /* too many */
    refuses_buckets(0, (uint64_t)1 << 60, 0, 2);        /* far too many */
}

static void test_reading_ends_at_a_broken_message(void **state)
{
    (void)state;
    struct buffer body = fresh(), series = fresh();
    struct remote_write reader;
    struct remote_series out;
    enum remote_reject reject;
    put_label(&series, "__name__", "x");
    put_sample(&series, 1, 1);
    put_message(&body, 1, &series);
    buffer_append_string(&body, "\x0a\x7f short");
    remote_write_init(&reader, buffer_slice(&body));
    arena_reset(&arena);
    assert_true(remote_write_next(&reader, &arena, &out, &reject));
    assert_int_equal(reject, REMOTE_OK);
    assert_true(remote_write_next(&reader, &arena, &out, &reject));
    assert_int_equal(reject, REMOTE_MALFORMED);
    assert_false(remote_write_next(&reader, &arena, &out, &reject));
    buffer_release(&body);
}

/* --- remote read --- */

static void test_read_request(void **state)
{
    (void)state;
    struct buffer body = fresh(), query = fresh(), matcher = fresh();
    struct remote_queries queries = {.count = 0};
    struct error err;
    put_varint(&matcher, 1, 3);
    put_bytes(&matcher, 2, SLICE("job"));
    put_bytes(&matcher, 3, SLICE("a.*"));
    put_varint(&query, 1, 1000);
    put_varint(&query, 2, 2000);
    put_message(&query, 3, &matcher);
    put_message(&body, 1, &query);
    arena_reset(&arena);
    assert_int_equal(remote_read_parse(buffer_slice(&body), &arena, &queries, &err), 0);
    assert_int_equal(queries.count, 1);
    assert_int_equal(queries.at[0].start_ms, 1000);
    assert_int_equal(queries.at[0].end_ms, 2000);
    assert_int_equal(queries.at[0].matcher_count, 1);
    assert_false(matcher_accepts(&queries.at[0].matchers[0], SLICE("api")));
    remote_queries_release(&queries);
    assert_int_equal(remote_read_parse(SLICE("\x0a\x03"), &arena, &queries, &err), -1);
    assert_int_equal(err.kind, ERROR_BAD_DATA);
    remote_queries_release(&queries);
    buffer_release(&body);
}

static void random_side(struct histogram_side *side, struct histogram_bucket *at, bool whole)
{
    int32_t index = rand() % 40 - 20;
    side->at = at;
    side->count = (uint32_t)rand() % 12;
    for (size_t i = 0; i < side->count; i++) {
        at[i] = (struct histogram_bucket){index, rand() % 1000 + (whole ? 1 : 0.5)};
        index += 1 + (rand() % 3 ? 0 : rand() % 50);
    }
}

static void same_side(const struct histogram_side *a, const struct histogram_side *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->at[i].index, b->at[i].index);
        assert_true(a->at[i].count == b->at[i].count);
    }
}

/* What is answered reads back as what is written: both sides speak of the same TimeSeries. */
static double side_sum(const struct histogram_side *side)
{
    double sum = 0;
    for (size_t i = 0; i < side->count; i++)
        sum += side->at[i].count;
    return sum;
}

static void test_answers_read_back(void **state)
{
    (void)state;
    srand(7);
    for (int round = 0; round < 200; round++) {
        bool whole = round % 2;
        struct histogram_bucket positive[12], negative[12];
        struct histogram histogram = {.schema = rand() % 13 - 4,
                                      .count = 2.25,
                                      .sum = -3.5,
                                      .zero_count = whole ? 7 : 0.25,
                                      .zero_threshold = 1e-9};
        random_side(&histogram.positive, positive, whole);
        random_side(&histogram.negative, negative, whole);
        if (whole)
            histogram.count = 7 + side_sum(&histogram.positive) + side_sum(&histogram.negative);
        const struct histogram *at[] = {&histogram, NULL};
        const int64_t times[] = {5, 6};
        struct store_column column = {.count = 2, .times = times, .histograms = at};
        struct label labels[] = {{SLICE(LABEL_NAME), SLICE("h")}, {SLICE("x"), SLICE("y")}};
        struct buffer out = fresh(), scratch = fresh();
        struct remote_write reader;
        struct remote_series series;
        enum remote_reject reject;
        remote_put_series(&out, &scratch, (struct labels){labels, 2}, &column);
        arena_reset(&arena);
        remote_write_init(&reader, buffer_slice(&out));
        assert_true(remote_write_next(&reader, &arena, &series, &reject));
        assert_int_equal(reject, REMOTE_OK);
        assert_int_equal(series.count, 2);
        const struct histogram *back = series.samples[0].histogram;
        assert_int_equal(back->schema, histogram.schema);
        assert_true(back->count == histogram.count && back->sum == histogram.sum);
        assert_true(back->zero_count == histogram.zero_count);
        same_side(&back->positive, &histogram.positive);
        same_side(&back->negative, &histogram.negative);
        assert_true(series.samples[0].time_ms == 5 && series.samples[1].time_ms == 6);
        assert_true(is_stale_nan(series.samples[1].value));
        buffer_release(&out);
        buffer_release(&scratch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_samples),
        cmocka_unit_test(test_histograms),
        cmocka_unit_test(test_counts_of_buckets),
        cmocka_unit_test(test_float_histograms_and_stale_ones),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_buckets_that_do_not_fit),
        cmocka_unit_test(test_reading_ends_at_a_broken_message),
        cmocka_unit_test(test_read_request),
        cmocka_unit_test(test_answers_read_back),
    };
    arena_init(&arena, 1 << 20);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return failed;
}
