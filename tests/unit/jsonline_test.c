/* jsonline: JSON lines of samples, and that printing loses nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/wire/jsonline.h"
#include "storage/code/column.h"

static struct json_parser *parser;
static struct arena arena;

static int set_up(void **state)
{
    (void)state;
    parser = json_parser_new(1 << 20);
    arena_init(&arena, (size_t)1 << 26);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    json_parser_free(parser);
    arena_release(&arena);
    return 0;
}

static void refuses(const char *text, enum jsonline_reject reject)
{
    struct jsonline line;
    struct error err = {0};
    assert_int_equal(jsonline_parse(parser, slice_of_string(text), &arena, &line, &err), reject);
    assert_true(err.text[0]);
}

static struct jsonline accepts(const char *text)
{
    struct jsonline line;
    struct error err = {0};
    if (jsonline_parse(parser, slice_of_string(text), &arena, &line, &err))
        fail_msg("%s: %s", text, err.text);
    return line;
}

static void lines_are_read(void **state)
{
    (void)state;
    struct jsonline line = accepts("{\"metric\":{\"l\":\"v\",\"__name__\":\"x\",\"e\":\"\"},"
                                   "\"values\":[1,2.5],\"timestamps\":[1000,2000]}");
    assert_int_equal(line.labels.count, 2);
    assert_true(slice_equal(line.labels.at[0].name, SLICE("__name__")));
    assert_int_equal(line.kind, SERIES_GAUGE);
    assert_int_equal(line.column.count, 2);
    assert_true(line.column.times[1] == 2000 && line.column.values[1] == 2.5);
    line =
        accepts("{\"timestamps\":[1],\"values\":[1],\"type\":\"counter\",\"metric\":{\"a\":\"b\"},"
                "\"more\":{}}");
    assert_int_equal(line.kind, SERIES_COUNTER);
}

static void words_stand_for_what_json_lacks(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t bits;
    } rows[] = {
        {"null", 0x7ff8000000000000},         {"\"NaN\"", 0x7ff8000000000000},
        {"\"StaleNaN\"", STALE_NAN_BITS},     {"\"NaN:fff8000000000123\"", 0xfff8000000000123},
        {"\"Infinity\"", 0x7ff0000000000000}, {"\"-Infinity\"", 0xfff0000000000000},
        {"\"+Inf\"", 0x7ff0000000000000},     {"\"-inf\"", 0xfff0000000000000},
        {"-0.0", 0x8000000000000000},         {"1e300", 0x7e37e43c8800759c},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[128];
        snprintf(text, sizeof text, "{\"metric\":{\"a\":\"b\"},\"values\":[%s],\"timestamps\":[1]}",
                 rows[i].text);
        assert_true(double_bits(accepts(text).column.values[0]) == rows[i].bits);
    }
}

static void faults_have_names(void **state)
{
    (void)state;
    refuses("{\"metric\":", JSONLINE_BAD_JSON);
    refuses("[]", JSONLINE_BAD_VALUE);
    refuses("{\"metric\":{},\"values\":[1],\"timestamps\":[1]}", JSONLINE_BAD_LABELS);
    refuses("{\"metric\":{\"a\":1},\"values\":[1],\"timestamps\":[1]}", JSONLINE_BAD_LABELS);
    refuses("{\"metric\":{\"a\":\"b\",\"a\":\"c\"},\"values\":[1],\"timestamps\":[1]}",
            JSONLINE_BAD_LABELS);
    refuses("{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[1,2]}", JSONLINE_BAD_TIME);
    refuses("{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[1.5]}", JSONLINE_BAD_TIME);
    refuses("{\"metric\":{\"a\":\"b\"},\"values\":[1],\"timestamps\":[-1]}", JSONLINE_BAD_TIME);
    refuses("{\"metric\":{\"a\":\"b\"},\"values\":[\"x\"],\"timestamps\":[1]}", JSONLINE_BAD_VALUE);
    refuses("{\"metric\":{\"a\":\"b\"},\"values\":[true],\"timestamps\":[1]}", JSONLINE_BAD_VALUE);
    refuses("{\"metric\":{\"a\":\"b\"},\"values\":[\"NaN:3ff0000000000000\"],\"timestamps\":[1]}",
            JSONLINE_BAD_VALUE);
    refuses("{\"metric\":{\"a\":\"b\"},\"values\":[1],\"histograms\":[{}],\"timestamps\":[1]}",
            JSONLINE_BAD_VALUE);
    refuses("{\"metric\":{\"a\":\"b\"},\"type\":\"histogram\",\"values\":[1],\"timestamps\":[1]}",
            JSONLINE_BAD_TYPE);
    refuses("{\"metric\":{\"a\":\"b\"},\"histograms\":[{\"schema\":99}],\"timestamps\":[1]}",
            JSONLINE_BAD_HISTOGRAM);
    refuses("{\"metric\":{\"a\":\"b\"},\"histograms\":[{\"schema\":1,\"count\":1,\"sum\":1,"
            "\"zero_count\":0,\"zero_threshold\":0,\"min\":1,\"max\":1,"
            "\"positive\":[[2,1],[1,1]]}],\"timestamps\":[1]}",
            JSONLINE_BAD_HISTOGRAM);
    refuses("{\"metric\":{\"a\":\"b\"},\"values\":[1],\"sketches\":[null],\"timestamps\":[1]}",
            JSONLINE_BAD_SKETCH); /* of a gauge */
    refuses("{\"metric\":{\"a\":\"b\"},\"type\":\"set\",\"values\":[1],\"sketches\":[],"
            "\"timestamps\":[1]}",
            JSONLINE_BAD_SKETCH);
    refuses("{\"metric\":{\"a\":\"b\"},\"type\":\"set\",\"values\":[1],\"sketches\":[\"0x\"],"
            "\"timestamps\":[1]}",
            JSONLINE_BAD_SKETCH);
    refuses("{\"metric\":{\"a\":\"b\"},\"type\":\"set\",\"values\":[1],"
            "\"sketches\":[\"010100\"],\"timestamps\":[1]}",
            JSONLINE_BAD_SKETCH);
}

static void json_is_told_from_text(void **state)
{
    (void)state;
    assert_true(jsonline_starts(SLICE("{\"metric\":{}}")));
    assert_true(jsonline_starts(SLICE("\n { \"metric\" :")));
    assert_false(jsonline_starts(SLICE("{\"metric\"} 1 1")));
    assert_false(jsonline_starts(SLICE("{\"metric\",a=\"b\"} 1 1")));
    assert_false(jsonline_starts(SLICE("metric 1")));
    assert_false(jsonline_starts(SLICE("{\"")));
    assert_false(jsonline_starts(SLICE("")));
}

/* Any bits, with many that are special or short. */
static double any_double(void)
{
    static const double special[] = {0.0, -0.0, INFINITY, -INFINITY, 1e15, 1e22, 0.1, 5e-324};
    switch (lrand48() % 5) {
    case 0:
        return special[lrand48() % 8];
    case 1:
        return double_of_bits((uint64_t)0x7ff << 52 | (uint64_t)(lrand48() % 3));
    case 2:
        return (double)mrand48() / 100;
    case 3:
        return ldexp(drand48() - 0.5, (int)(lrand48() % 140) - 70);
    }
    return double_of_bits((uint64_t)mrand48() << 32 | (uint32_t)mrand48());
}

static struct histogram any_histogram(void)
{
    struct histogram h = {.schema = (int)(lrand48() % 13) - 4,
                          .zero_threshold = HISTOGRAM_ZERO_THRESHOLD,
                          .zero_count = any_double(),
                          .count = any_double(),
                          .sum = any_double(),
                          .min = NAN,
                          .max = any_double()};
    struct histogram_side *sides[] = {&h.positive, &h.negative};
    for (int side = 0; side < 2; side++) {
        uint32_t count = (uint32_t)lrand48() % 5;
        sides[side]->at = arena_zeroed(&arena, count, sizeof *sides[side]->at);
        for (uint32_t i = 0; i < count; i++)
            sides[side]->at[i] = (struct histogram_bucket){
                (int32_t)(i * 3) - 7, 5e-324 + fabs(ldexp(drand48(), (int)(lrand48() % 99)))};
        sides[side]->count = count;
    }
    return h;
}

/* Of no, few or many members, or none. */
static struct slice any_sketch(void)
{
    static const size_t members[] = {0, 1, 5, 512, 3000};
    struct sketch sketch;
    struct buffer code;
    if (lrand48() % 3 == 0)
        return SLICE("");
    sketch_init(&sketch);
    buffer_init(&code, SKETCH_CODE_MAX);
    for (size_t n = members[lrand48() % 5]; n--;)
        sketch_add_hash(&sketch, (uint64_t)lrand48() << 33 | (uint64_t)lrand48() << 3);
    sketch_encode(&sketch, &code);
    struct slice out = arena_copy(&arena, buffer_slice(&code));
    buffer_release(&code);
    sketch_release(&sketch);
    return out;
}

static void assert_same_bits(double a, double b)
{
    assert_true(double_bits(a) == double_bits(b));
}

static void assert_same_histogram(const struct histogram *a, const struct histogram *b)
{
    assert_int_equal(a->schema, b->schema);
    assert_same_bits(a->zero_threshold, b->zero_threshold);
    assert_same_bits(a->zero_count, b->zero_count);
    assert_same_bits(a->count, b->count);
    assert_same_bits(a->sum, b->sum);
    assert_same_bits(a->min, b->min);
    assert_same_bits(a->max, b->max);
    const struct histogram_side *left[] = {&a->positive, &a->negative};
    const struct histogram_side *right[] = {&b->positive, &b->negative};
    for (int side = 0; side < 2; side++) {
        assert_int_equal(left[side]->count, right[side]->count);
        for (size_t i = 0; i < left[side]->count; i++) {
            assert_int_equal(left[side]->at[i].index, right[side]->at[i].index);
            assert_same_bits(left[side]->at[i].count, right[side]->at[i].count);
        }
    }
}

static void what_is_printed_reads_back_bit_for_bit(void **state)
{
    (void)state;
    struct buffer text;
    struct error err = {0};
    struct label labels[] = {{SLICE(LABEL_NAME), SLICE("a \"b\"\n\xc3\xa9")},
                             {SLICE("l"), SLICE("v")}};
    buffer_init(&text, SIZE_MAX);
    for (int round = 0; round < 500; round++) {
        struct jsonline in = {.labels = {labels, 2}, .kind = (enum series_kind)(1 + round % 4)};
        struct jsonline out;
        double values[20];
        int64_t times[20];
        struct histogram made[20];
        const struct histogram *histograms[20];
        struct slice sketches[20];
        bool sketched = false;
        arena_reset(&arena);
        in.column.count = 1 + (size_t)lrand48() % 20;
        for (size_t i = 0; i < in.column.count; i++) {
            times[i] = lrand48() * 1000;
            values[i] = any_double();
            made[i] = any_histogram();
            histograms[i] = lrand48() % 4 ? &made[i] : NULL;
            sketches[i] = any_sketch();
            sketched |= in.kind == SERIES_SET && sketches[i].len;
        }
        in.column.times = times;
        in.column.values = in.kind == SERIES_HISTOGRAM ? NULL : values;
        in.column.histograms = in.kind == SERIES_HISTOGRAM ? histograms : NULL;
        in.column.sketches = in.kind == SERIES_SET ? sketches : NULL;
        buffer_reset(&text);
        jsonline_print(&in, &text);
        if (jsonline_parse(parser, buffer_slice(&text), &arena, &out, &err))
            fail_msg("%s", err.text);
        assert_true(labels_equal(out.labels, in.labels) && out.kind == in.kind);
        assert_int_equal(out.column.count, in.column.count);
        assert_true(sketched == (out.column.sketches != NULL));
        for (size_t i = 0; i < in.column.count; i++) {
            assert_true(out.column.times[i] == times[i]);
            assert_true(!sketched || slice_equal(out.column.sketches[i], sketches[i]));
            if (in.kind != SERIES_HISTOGRAM)
                assert_same_bits(out.column.values[i], values[i]);
            else if (!histograms[i])
                assert_null(out.column.histograms[i]);
            else
                assert_same_histogram(out.column.histograms[i], histograms[i]);
        }
    }
    buffer_release(&text);
}

int main(void)
{
    srand48(11);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(words_stand_for_what_json_lacks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(faults_have_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(json_is_told_from_text, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_printed_reads_back_bit_for_bit, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
