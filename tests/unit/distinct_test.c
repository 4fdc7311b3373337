/* distinct: exact while small, within HyperLogLog's error beyond, and merging as if one set had
 * seen everything. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/ingest/distinct.h"

static void add_range(struct distinct *set, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        char member[32];
        int len = snprintf(member, sizeof member, "user-%u", i);
        distinct_add(set, slice_make(member, (size_t)len));
    }
}

static void counts_exactly_while_small(void **state)
{
    (void)state;
    struct distinct set;
    distinct_init(&set);
    assert_true(distinct_estimate(&set) == 0);
    for (unsigned n = 1; n <= DISTINCT_EXACT_MAX; n++) {
        add_range(&set, 0, n);
        assert_true(distinct_estimate(&set) == n);
    }
    distinct_release(&set);
}

static void counts_the_zero_hash(void **state)
{
    (void)state;
    struct distinct set;
    distinct_init(&set);
    distinct_add_hash(&set, 0);
    distinct_add_hash(&set, 0);
    assert_true(distinct_estimate(&set) == 1);
    distinct_release(&set);
}

static void estimates_within_three_percent_when_large(void **state)
{
    (void)state;
    static const unsigned sizes[] = {257, 1000, 5000, 20000, 100000, 1000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct distinct set;
        distinct_init(&set);
        add_range(&set, 0, sizes[i]);
        add_range(&set, 0, sizes[i] / 2);
        assert_true(fabs(distinct_estimate(&set) / sizes[i] - 1) < 0.03);
        assert_int_equal(distinct_bytes(&set), 1 << 14);
        distinct_release(&set);
    }
}

static void merges_as_one(void **state)
{
    (void)state;
    static const unsigned cuts[][2] = {{0, 10}, {5, 250}, {200, 400}, {0, 9000}, {8000, 30000}};
    struct distinct merged, seen;
    distinct_init(&merged);
    distinct_init(&seen);
    for (size_t i = 0; i < sizeof cuts / sizeof cuts[0]; i++) {
        struct distinct part;
        distinct_init(&part);
        add_range(&part, cuts[i][0], cuts[i][1]);
        add_range(&seen, cuts[i][0], cuts[i][1]);
        distinct_merge(&merged, &part);
        assert_true(distinct_estimate(&merged) == distinct_estimate(&seen));
        distinct_release(&part);
    }
    distinct_release(&merged);
    distinct_release(&seen);
}

static void survives_encoding(void **state)
{
    (void)state;
    static const unsigned sizes[] = {0, 1, 17, DISTINCT_EXACT_MAX, DISTINCT_EXACT_MAX + 1, 5000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct distinct set, back;
        struct buffer bytes;
        distinct_init(&set);
        buffer_init(&bytes, 1 << 16);
        add_range(&set, 0, sizes[i]);
        distinct_encode(&set, &bytes);
        assert_true(distinct_decode(buffer_slice(&bytes), &back));
        assert_true(distinct_estimate(&back) == distinct_estimate(&set));
        add_range(&back, 0, sizes[i]);
        assert_true(distinct_estimate(&back) == distinct_estimate(&set));
        distinct_release(&back);
        assert_false(distinct_decode(slice_head(buffer_slice(&bytes), bytes.len - 1), &back));
        distinct_release(&back);
        buffer_release(&bytes);
        distinct_release(&set);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_exactly_while_small),
        cmocka_unit_test(counts_the_zero_hash),
        cmocka_unit_test(estimates_within_three_percent_when_large),
        cmocka_unit_test(merges_as_one),
        cmocka_unit_test(survives_encoding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
