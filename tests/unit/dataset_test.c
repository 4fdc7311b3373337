/* dataset: what the benches feed to every store must not change unnoticed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <xxhash.h>

#include "bench/dataset.h"
#include "storage/code/column.h"

#define SAMPLES 3000

static double values[SAMPLES];

static void values_are_the_same_everywhere(void **state)
{
    (void)state;
    XXH3_state_t *digest = XXH3_createState();
    XXH3_64bits_reset(digest);
    for (size_t series = 0; series < 200; series++) {
        dataset_fill(series, values, SAMPLES);
        XXH3_64bits_update(digest, values, sizeof values);
    }
    assert_true(XXH3_64bits_digest(digest) == 0x5d35498cab87803c);
    XXH3_freeState(digest);
}

static void more_samples_only_add(void **state)
{
    (void)state;
    double few[100];
    for (size_t series = 0; series < 100; series++) {
        dataset_fill(series, values, SAMPLES);
        dataset_fill(series, few, 100);
        assert_memory_equal(few, values, sizeof few);
    }
}

/* The least exponent at which all are decimals; 7: none is. */
static int decimals(void)
{
    int most = 0;
    int64_t k;
    for (size_t i = 0; i < SAMPLES; i++) {
        int exponent = 0;
        while (exponent <= COLUMN_EXPONENT_MAX && !column_to_scaled(values[i], exponent, &k))
            exponent++;
        most = exponent > most ? exponent : most;
    }
    return most;
}

static void classes_are_what_they_say(void **state)
{
    (void)state;
    static const struct {
        size_t share;
        int decimals_min, decimals_max;
    } rows[DATASET_CLASS_COUNT] = {
        [DATASET_SPARSE_COUNTER] = {20, 0, 0}, [DATASET_BUSY_COUNTER] = {15, 0, 0},
        [DATASET_COUNT_GAUGE] = {15, 0, 0},    [DATASET_INT_GAUGE] = {15, 0, 0},
        [DATASET_CONSTANT] = {10, 0, 1},       [DATASET_DECIMAL_GAUGE] = {10, 1, 3},
        [DATASET_TIMER] = {12, 3, 3},          [DATASET_DOUBLE] = {3, 7, 7},
    };
    size_t counts[DATASET_CLASS_COUNT] = {0};
    for (size_t series = 0; series < 300; series++) {
        enum dataset_class class = dataset_class_of(series);
        counts[class]++;
        dataset_fill(series, values, SAMPLES);
        assert_in_range(decimals(), rows[class].decimals_min, rows[class].decimals_max);
        for (size_t i = 1; class == DATASET_SPARSE_COUNTER && i < SAMPLES; i++)
            assert_true(values[i] >= values[i - 1]);
    }
    for (size_t class = 0; class < DATASET_CLASS_COUNT; class ++)
        assert_int_equal(counts[class], rows[class].share * 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_the_same_everywhere),
        cmocka_unit_test(more_samples_only_add),
        cmocka_unit_test(classes_are_what_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
