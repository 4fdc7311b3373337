/* partition: who was active when, whose buckets are stale, and that all of it survives reopening. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/index/partition.h"
#include "storage/key.h"
#include "tests/unit/scratch_dir.h"

#define DAY 19000

static char path[SCRATCH_DIR_BYTES];

static int setup(void **state)
{
    (void)state;
    return scratch_dir_make(path, "partition_test");
}

static int teardown(void **state)
{
    (void)state;
    return scratch_dir_remove(path);
}

static int64_t at(uint32_t day, int64_t offset_ms)
{
    return partition_start(day) + offset_ms;
}

static void partitions_know_who_was_active(void **state)
{
    (void)state;
    struct partitions partitions = {0};
    static const uint32_t days[] = {19000, 19002, 18999, 19001, 19000};
    for (uint32_t i = 0; i < 5; i++)
        partitions_mark(&partitions, i, at(days[i], 5), at(days[i], 5 + 10 * i));
    assert_int_equal(partitions.count, 4);
    assert_int_equal(partitions.at[1].longest_ms, 40);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(partitions.at[i].day, 18999 + i);
    roaring_bitmap_t *ids = partitions_union(&partitions, 19000, 19001);
    assert_int_equal(roaring_bitmap_get_cardinality(ids), 3);
    assert_true(roaring_bitmap_contains(ids, 0) && roaring_bitmap_contains(ids, 3) &&
                roaring_bitmap_contains(ids, 4));
    roaring_bitmap_free(ids);
    partitions_forget(&partitions, 0);
    partitions_forget(&partitions, 0);
    assert_int_equal(partitions.at[0].day, 19001);
    assert_int_equal(partitions_find(&partitions, 19003), 2);
    partitions_release(&partitions);
}

static void a_closed_day_notes_what_changes(void **state)
{
    (void)state;
    struct partitions partitions = {0};
    for (uint32_t day = DAY; day < DAY + 3; day++)
        for (uint32_t series = 0; series < 9; series++)
            partitions_mark(&partitions, series, at(day, 1000), at(day, 2000));
    struct partition *first = partitions_get(&partitions, DAY);
    struct partition *second = partitions_get(&partitions, DAY + 1);
    assert_false(partition_is_current(first, 1));
    partitions_touch(&partitions, 1, at(DAY, 0), at(DAY + 2, 0));
    assert_true(roaring_bitmap_is_empty(first->stale)); /* an open day has nothing to lose */
    first->closed = second->closed = true;
    assert_true(partition_is_current(first, 1));
    partitions_mark(&partitions, 1, at(DAY, 5000), at(DAY, 6000));
    assert_false(partition_is_current(first, 1));
    assert_true(partition_is_current(second, 1));
    /* midnight is in the last bucket of the day before */
    partitions_mark(&partitions, 2, at(DAY + 1, 0), at(DAY + 1, 0));
    assert_false(partition_is_current(first, 2));
    assert_true(partition_is_current(second, 2));
    partitions_mark(&partitions, 3, at(DAY + 1, 0), at(DAY + 1, 1));
    assert_false(partition_is_current(first, 3));
    assert_false(partition_is_current(second, 3));
    partitions_touch(&partitions, 4, at(DAY + 1, 1), at(DAY + 1, 9));
    assert_true(partition_is_current(first, 4));
    assert_false(partition_is_current(second, 4));
    partitions_release(&partitions);
}

static void midnight_alone_makes_the_day_before(void **state)
{
    (void)state;
    struct partitions partitions = {0};
    partitions_mark(&partitions, 7, at(DAY, 0), at(DAY, 10));
    assert_int_equal(partitions.count, 2);
    struct partition *before = partitions_get(&partitions, DAY - 1);
    assert_non_null(before);
    assert_true(roaring_bitmap_is_empty(before->active));
    assert_true(roaring_bitmap_contains(before->stale, 7));
    assert_null(partitions_get(&partitions, DAY + 1));
    partitions_release(&partitions);
}

static void save(struct partitions *partitions, struct kv *kv)
{
    struct error err;
    struct kv_batch *batch = kv_batch_new();
    partitions_stage(partitions, kv, batch);
    assert_int_equal(kv_write(kv, batch, false, &err), 0);
    kv_batch_free(batch);
}

static void assert_same(const struct partitions *a, const struct partitions *b)
{
    assert_int_equal(a->count, b->count);
    for (size_t i = 0; i < a->count; i++) {
        assert_int_equal(a->at[i].day, b->at[i].day);
        assert_int_equal(a->at[i].longest_ms, b->at[i].longest_ms);
        assert_int_equal(a->at[i].closed, b->at[i].closed);
        assert_int_equal(a->at[i].fine, b->at[i].fine);
        assert_true(roaring_bitmap_equals(a->at[i].active, b->at[i].active));
        assert_true(roaring_bitmap_equals(a->at[i].stale, b->at[i].stale));
        assert_true(roaring_bitmap_equals(a->at[i].thinned, b->at[i].thinned));
    }
}

static void all_of_it_is_durable(void **state)
{
    (void)state;
    struct error err;
    struct kv *kv = NULL;
    struct partitions partitions = {0}, rollups = {.resolution = RESOLUTION_1H};
    assert_int_equal(kv_open(path, &kv, &err), 0);
    for (uint32_t series = 0; series < 3000; series++)
        partitions_mark(&partitions, series * 7, at(DAY + series % 3, 1 + series),
                        at(DAY + series % 3, 2 * series + 1));
    partitions_mark(&partitions, 5, at(DAY, 0), at(DAY, 0));
    partitions_get(&partitions, DAY)->closed = true;
    partitions_get(&partitions, DAY + 1)->closed = partitions_get(&partitions, DAY + 1)->fine =
        true;
    roaring_bitmap_add_range(partitions_get(&partitions, DAY)->stale, 100, 700);
    roaring_bitmap_add(partitions_get(&partitions, DAY + 2)->thinned, 9);
    partitions_mark_rollup(&rollups, DAY / ROLLUP_DAYS, 11);
    save(&rollups, kv);
    for (int round = 0; round < 3; round++) {
        /* what a write takes out of `stale` leaves it on disk with the write, in memory after it */
        partition_roll(partitions_get(&partitions, DAY), 100 + (uint32_t)round);
        if (round == 1)
            partitions_unstage(&partitions);
        save(&partitions, kv);
        assert_true(roaring_bitmap_contains(partitions.at[1].stale, 100 + (uint32_t)round));
        partitions_saved(&partitions);
        assert_true(roaring_bitmap_contains(partitions.at[1].stale, 100 + (uint32_t)round) ==
                    (round == 1));
        struct partitions again = {0}, other = {.resolution = RESOLUTION_1H};
        assert_int_equal(partitions_load(&again, kv, &err), 0);
        assert_int_equal(partitions_load(&other, kv, &err), 0);
        assert_same(&again, &partitions);
        assert_same(&other, &rollups);
        partitions_release(&again);
        partitions_release(&other);
    }
    partitions_release(&partitions);
    partitions_release(&rollups);
    kv_close(kv);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(partitions_know_who_was_active),
        cmocka_unit_test(a_closed_day_notes_what_changes),
        cmocka_unit_test(midnight_alone_makes_the_day_before),
        cmocka_unit_test_setup_teardown(all_of_it_is_durable, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
