/* series: label sets and ids against a plain array, with removals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/index/series.h"

#define SETS 20000

static uint32_t ids[SETS]; /* UINT32_MAX = not there */

/* Some are long, so that what is forgotten is worth a new copy of the rest. */
static struct slice labels_of(char *at, size_t size, size_t i)
{
    int len = snprintf(at, size, "labels-%zu-%*d", i, i % 10 == 0 ? 900 : 60, (int)i);
    return slice_make(at, (size_t)len);
}

static void check(const struct series *series)
{
    char text[1000];
    size_t live = 0;
    for (size_t i = 0; i < SETS; i++) {
        uint32_t id;
        struct slice labels = labels_of(text, sizeof text, i);
        bool found = series_find(series, labels, &id);
        assert_int_equal(found, ids[i] != UINT32_MAX);
        if (!found)
            continue;
        assert_int_equal(id, ids[i]);
        assert_true(slice_equal(series_labels(series_row(series, id)), labels));
        live++;
    }
    assert_int_equal(series_live(series), live);
}

static void sets_are_found_by_labels_and_by_id(void **state)
{
    (void)state;
    struct series series;
    char text[1000];
    series_init(&series, SETS);
    for (size_t i = 0; i < SETS; i++)
        ids[i] = UINT32_MAX;
    for (int round = 0; round < 6; round++) {
        for (size_t n = 0; n < 2 * SETS; n++) {
            size_t i = (size_t)lrand48() % SETS;
            bool wanted = lrand48() % 6 > round;
            if (wanted && ids[i] == UINT32_MAX)
                assert_true(
                    series_add(&series, labels_of(text, sizeof text, i), SERIES_GAUGE, &ids[i]));
            if (wanted || ids[i] == UINT32_MAX)
                continue;
            series_remove(&series, ids[i]);
            assert_null(series_row(&series, ids[i]));
            ids[i] = UINT32_MAX;
        }
        check(&series);
        assert_false(text_is_sparse(&series.text));
    }
    assert_in_range(series.text.bytes, 1, SETS * 200 / 2);
    series_release(&series);
}

static void the_limit_holds_and_ids_do_not_come_back(void **state)
{
    (void)state;
    struct series series;
    uint32_t id;
    series_init(&series, 2);
    assert_true(series_add(&series, SLICE("a"), SERIES_GAUGE, &id) && id == 0);
    assert_true(series_add(&series, SLICE("b"), SERIES_GAUGE, &id) && id == 1);
    assert_false(series_add(&series, SLICE("c"), SERIES_GAUGE, &id));
    series_remove(&series, 1);
    assert_true(series_add(&series, SLICE("c"), SERIES_GAUGE, &id) && id == 2);
    assert_false(series_find(&series, SLICE("b"), &id));
    series_release(&series);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_are_found_by_labels_and_by_id),
        cmocka_unit_test(the_limit_holds_and_ids_do_not_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
