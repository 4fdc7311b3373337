/* histogram: bounds against the definition, adds and merges against a naive model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "storage/histogram.h"

static void index_follows_the_definition(void **state)
{
    (void)state;
    static const struct {
        int schema;
        double value;
        int32_t index;
    } rows[] = {
        {0, 1, 0},
        {0, 1.5, 1},
        {0, 2, 1},
        {0, 2.1, 2},
        {0, 0.5, -1},
        {1, 1.4, 1},
        {1, 1.5, 2},
        {-1, 4, 1},
        {-1, 4.5, 2},
        {-4, 65536, 1},
        {6, 1, 0},
        {6, 2, 64},
        {6, 1024, 640},
        {8, 2, 256},
        {0, DBL_MAX, 1024},
        {0, 0x1p-1074, -1074},
        {6, nextafter(1, 2), 1},
        {6, nextafter(2, 1), 64},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_int_equal(histogram_index(rows[i].schema, rows[i].value), rows[i].index);
}

static double random_value(void)
{
    return ldexp(1 + drand48(), (int)(lrand48() % 80) - 40);
}

static void every_value_lies_in_its_bucket(void **state)
{
    (void)state;
    for (int i = 0; i < 100000; i++) {
        int schema = (int)(lrand48() % 13) - 4;
        double value = i % 2 ? random_value() : histogram_bound(schema, (int32_t)(lrand48() % 50));
        int32_t index = histogram_index(schema, value);
        assert_true(value <= histogram_bound(schema, index));
        assert_true(value > histogram_bound(schema, index - 1));
    }
}

static void bounds_grow_and_end(void **state)
{
    (void)state;
    assert_true(histogram_bound(0, 0) == 1);
    assert_true(histogram_bound(6, 64) == 2);
    assert_true(histogram_bound(6, 1024 * 64) == DBL_MAX);
    assert_true(histogram_bound(6, 1024 * 64 + 1) == INFINITY);
    assert_true(histogram_bound(6, INT32_MIN) == 0);
    assert_true(fabs(histogram_bound(6, 1) - exp2(1.0 / 64)) < 1e-15);
}

/* The naive model: a plain list of what went in. */
struct model {
    double values[20000];
    double weights[20000];
    size_t count;
};

static double model_between(const struct model *model, double low, double high)
{
    double sum = 0;
    for (size_t i = 0; i < model->count; i++)
        if (model->values[i] > low && model->values[i] <= high)
            sum += model->weights[i];
    return sum;
}

static void assert_agrees(const struct histogram *histogram, const struct model *model)
{
    double total = 0, sum = 0, min = NAN, max = NAN, zero = 0;
    for (size_t i = 0; i < model->count; i++) {
        total += model->weights[i];
        sum += model->weights[i] * model->values[i];
        min = fmin(min, model->values[i]);
        max = fmax(max, model->values[i]);
        if (fabs(model->values[i]) <= histogram->zero_threshold)
            zero += model->weights[i];
    }
    assert_true(histogram->count == total);
    assert_true(fabs(histogram->sum - sum) <= 1e-9 * (1 + fabs(sum)));
    assert_true(model->count == 0 ? isnan(histogram->min) : histogram->min == min);
    assert_true(model->count == 0 ? isnan(histogram->max) : histogram->max == max);
    assert_true(histogram->zero_count == zero);
    double buckets = zero;
    for (size_t i = 0; i < histogram->positive.count; i++) {
        int32_t index = histogram->positive.at[i].index;
        buckets += histogram->positive.at[i].count;
        assert_true(i == 0 || histogram->positive.at[i - 1].index < index);
        if (i % 7 == 0)
            assert_true(histogram->positive.at[i].count ==
                        model_between(model, histogram_bound(histogram->schema, index - 1),
                                      histogram_bound(histogram->schema, index)));
    }
    for (size_t i = 0; i < histogram->negative.count; i++)
        buckets += histogram->negative.at[i].count;
    assert_true(buckets == total);
}

static void model_add(struct model *model, struct histogram *histogram, double value)
{
    double weight = 1 + (double)(lrand48() % 3);
    histogram_add(histogram, value, weight);
    model->values[model->count] = value;
    model->weights[model->count++] = weight;
}

static void adds_agree_with_a_list(void **state)
{
    (void)state;
    struct model *model = calloc(1, sizeof *model);
    assert_non_null(model);
    struct histogram histogram;
    histogram_init(&histogram);
    assert_agrees(&histogram, model);
    for (int i = 0; i < 3000; i++) {
        double value = i % 50 == 0 ? 0 : 100 * drand48();
        model_add(model, &histogram, i % 3 == 0 ? -value : value);
    }
    assert_int_equal(histogram.schema, HISTOGRAM_SCHEMA);
    assert_agrees(&histogram, model);
    for (int i = 0; i < 10000; i++)
        model_add(model, &histogram, random_value());
    assert_true(histogram.schema < HISTOGRAM_SCHEMA);
    assert_true(histogram.positive.count <= HISTOGRAM_BUCKETS_MAX);
    assert_agrees(&histogram, model);
    histogram_reset(&histogram);
    model->count = 0;
    assert_agrees(&histogram, model);
    histogram_release(&histogram);
    free(model);
}

static void merge_equals_adding_all(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct histogram a, b, all;
        histogram_init(&a);
        histogram_init(&b);
        histogram_init(&all);
        a.schema = (int)(lrand48() % 13) - 4;
        b.schema = (int)(lrand48() % 13) - 4;
        all.schema = a.schema < b.schema ? a.schema : b.schema;
        for (int i = 0; i < 300; i++) {
            double value = floor(random_value() * 16) / 16 * (i % 4 ? 1 : -1);
            histogram_add(i % 2 ? &a : &b, value, 2);
            histogram_add(&all, value, 2);
        }
        a.sum = b.sum = all.sum = 0; /* the order of additions differs */
        histogram_merge(&a, &b);
        assert_true(histogram_equal(&a, &all));
        histogram_release(&a);
        histogram_release(&b);
        histogram_release(&all);
    }
}

static void merge_widens_the_zero_bucket(void **state)
{
    (void)state;
    struct histogram a, b;
    histogram_init(&a);
    histogram_init(&b);
    b.schema = a.schema = 0;
    b.zero_threshold = 3; /* cuts (2, 4] in two: becomes 4 because a has values there */
    histogram_add(&a, 1, 1);
    histogram_add(&a, 3.5, 1);
    histogram_add(&a, 5, 1);
    histogram_add(&b, 2, 1);
    histogram_add(&b, 100, 1);
    histogram_merge(&a, &b);
    assert_true(a.zero_threshold == 4);
    assert_true(a.zero_count == 3);
    assert_int_equal(a.positive.count, 2);
    assert_true(a.count == 5);
    histogram_release(&a);
    histogram_release(&b);
}

static void copies_live_in_the_arena(void **state)
{
    (void)state;
    struct arena arena;
    struct histogram histogram;
    arena_init(&arena, 1 << 20);
    histogram_init(&histogram);
    for (int i = 1; i < 100; i++)
        histogram_add(&histogram, i % 2 ? i : -i, 1);
    struct histogram *copy = histogram_copy(&arena, &histogram);
    assert_non_null(copy);
    assert_true(histogram_equal(copy, &histogram));
    struct histogram owned = *copy; /* changing a borrowed array makes it its own first */
    histogram_add(&owned, 7, 1);
    assert_false(histogram_equal(&owned, copy));
    assert_true(histogram_equal(copy, &histogram));
    histogram_release(&owned);
    histogram_release(&histogram);
    arena_release(&arena);
    arena_init(&arena, 8);
    assert_null(histogram_copy(&arena, &histogram));
    arena_release(&arena);
}

int main(void)
{
    srand48(1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(index_follows_the_definition),
        cmocka_unit_test(every_value_lies_in_its_bucket),
        cmocka_unit_test(bounds_grow_and_end),
        cmocka_unit_test(adds_agree_with_a_list),
        cmocka_unit_test(merge_equals_adding_all),
        cmocka_unit_test(merge_widens_the_zero_bucket),
        cmocka_unit_test(copies_live_in_the_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
