/* values: against an array of who has which value, with values of one series, a few and many. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/index/values.h"

#define IDS    6000
#define VALUES 2500

static int value_of[IDS]; /* of the series; -1 = removed */
static uint32_t id_count;
static uint32_t having[VALUES]; /* series */

/* Half of all series share three values, the others have one of some thousand. */
static int any_value(void)
{
    return (int)(lrand48() % 2 ? lrand48() % 3 : lrand48() % VALUES);
}

/* With other labels around it, one of them with the same bytes. */
static struct labels labels_of(struct label *pairs, char *text, size_t size, int value)
{
    snprintf(text, size, "value-%d", value);
    pairs[0] = (struct label){SLICE("a"), slice_of_string(text)};
    pairs[1] = (struct label){SLICE("host"), slice_of_string(text)};
    return (struct labels){pairs, 2};
}

static uint32_t add_series(struct series *series, uint32_t number, int value)
{
    struct label pairs[3];
    char text[32], unique[32];
    struct buffer bytes;
    uint32_t id;
    struct labels labels = labels_of(pairs, text, sizeof text, value);
    snprintf(unique, sizeof unique, "%u", number);
    pairs[labels.count++] = (struct label){SLICE("id"), slice_of_string(unique)};
    buffer_init(&bytes, SIZE_MAX);
    labels_encode(labels, &bytes);
    assert_true(series_add(series, buffer_slice(&bytes), SERIES_GAUGE, &id));
    buffer_release(&bytes);
    return id;
}

static void change(struct series *series, struct values *values)
{
    char text[32];
    struct label pairs[3];
    if (id_count < IDS && lrand48() % 3) {
        int value = any_value();
        uint32_t id = add_series(series, id_count, value);
        assert_int_equal(id, id_count);
        values_add(values, labels_of(pairs, text, sizeof text, value).at[1].value, id);
        value_of[id_count++] = value;
        having[value]++;
        return;
    }
    uint32_t id = id_count ? (uint32_t)lrand48() % id_count : 0;
    if (id_count == 0 || value_of[id] < 0)
        return;
    struct slice value = labels_of(pairs, text, sizeof text, value_of[id]).at[1].value;
    assert_int_equal(values_remove(values, value, id), having[value_of[id]] == 1);
    assert_false(having[value_of[id]] == 1 && values_remove(values, value, id)); /* it is gone */
    series_remove(series, id);
    having[value_of[id]]--;
    value_of[id] = -1;
}

static void check_set(struct idset set, int value)
{
    roaring_bitmap_t *ids = roaring_bitmap_create(), *others = roaring_bitmap_create();
    idset_collect(set, ids);
    roaring_bitmap_add_range(others, 0, IDS);
    roaring_bitmap_andnot_inplace(others, ids);
    assert_int_equal(idset_count(set), having[value]);
    assert_int_equal(roaring_bitmap_get_cardinality(ids), having[value]);
    assert_true(idset_meets(set, ids) && !idset_meets(set, others));
    assert_true(roaring_bitmap_contains(ids, idset_any(set)));
    for (uint32_t id = 0; id < id_count; id++)
        assert_int_equal(roaring_bitmap_contains(ids, id), value_of[id] == value);
    roaring_bitmap_free(ids);
    roaring_bitmap_free(others);
}

static void check(const struct values *values)
{
    struct label pairs[2];
    char text[32];
    struct idset set;
    size_t live = 0, cursor = 0, visited = 0;
    for (int value = 0; value < VALUES; value++) {
        struct slice wanted = labels_of(pairs, text, sizeof text, value).at[1].value;
        assert_int_equal(values_find(values, wanted, &set), having[value] > 0);
        if (!having[value])
            continue;
        live++;
        assert_true(slice_equal(values_text(values, set), wanted));
        if (value < 10 || value % 50 == 0)
            check_set(set, value);
    }
    assert_int_equal(values->slots.count, live);
    while (values_next(values, &cursor, &set)) {
        struct idset found;
        assert_true(values_find(values, values_text(values, set), &found));
        assert_int_equal(found.word, set.word);
        visited++;
    }
    assert_int_equal(visited, live);
    assert_true(values_bytes(values) >= live * 8);
}

static void values_come_and_go(void **state)
{
    (void)state;
    struct series series;
    struct values values;
    struct idset set;
    series_init(&series, SIZE_MAX);
    values_init(&values, &series, SLICE("host"));
    assert_false(values_find(&values, SLICE("x"), &set));
    assert_false(values_remove(&values, SLICE("x"), 0));
    for (int round = 0; round < 20; round++) {
        for (int n = 0; n < 600; n++)
            change(&series, &values);
        check(&values);
    }
    for (uint32_t n = 0; n < 100 * IDS; n++) /* most removals find nothing any more */
        change(&series, &values);
    check(&values);
    values_release(&values);
    series_release(&series);
}

int main(void)
{
    srand48(3);
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_come_and_go)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
