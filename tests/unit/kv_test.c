/* kv: batches, iteration within bounds, dropping ranges, errors that a person can act on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/kv/kv.h"
#include "tests/unit/scratch_dir.h"

static char path[SCRATCH_DIR_BYTES];

static struct kv *open_kv(void)
{
    struct kv *kv = NULL;
    struct error err = {0};
    if (kv_open(path, &kv, &err))
        fail_msg("%s", err.text);
    return kv;
}

static int setup(void **state)
{
    (void)state;
    return scratch_dir_make(path, "kv_test");
}

static int teardown(void **state)
{
    (void)state;
    return scratch_dir_remove(path);
}

static void put_numbers(struct kv *kv, int count)
{
    struct kv_batch *batch = kv_batch_new();
    struct error err = {0};
    for (int i = 0; i < count; i++) {
        char key[16];
        snprintf(key, sizeof key, "k%03d", i);
        kv_batch_put(kv, batch, KV_DOCS, slice_of_string(key), slice_of_string(key + 1));
    }
    assert_int_equal(kv_write(kv, batch, true, &err), 0);
    assert_true(kv_batch_is_empty(batch));
    kv_batch_free(batch);
}

static size_t count_keys(struct kv *kv, struct slice from, struct slice to)
{
    struct error err = {0};
    size_t count = 0;
    struct kv_iterator *it = kv_iterate(kv, KV_DOCS, from, to);
    for (bool more = kv_seek_first(it); more; more = kv_next(it))
        count++;
    assert_int_equal(kv_iterator_check(it, &err), 0);
    kv_iterator_free(it);
    return count;
}

static void test_write_and_read(void **state)
{
    (void)state;
    struct error err = {0};
    struct buffer value;
    struct kv *kv = open_kv();
    put_numbers(kv, 100);
    kv_close(kv);
    kv = open_kv();
    buffer_init(&value, 100);
    assert_int_equal(kv_get(kv, KV_DOCS, SLICE("k042"), &value, &err), 1);
    assert_true(slice_equal_string(buffer_slice(&value), "042"));
    assert_int_equal(kv_get(kv, KV_DOCS, SLICE("nope"), &value, &err), 0);
    assert_int_equal(kv_get(kv, KV_CHUNK, SLICE("k042"), &value, &err), 0);
    assert_int_equal(count_keys(kv, SLICE("k010"), SLICE("k020")), 10);
    assert_int_equal(count_keys(kv, SLICE(""), SLICE("")), 100);

    struct kv_iterator *it = kv_iterate(kv, KV_DOCS, SLICE("k010"), SLICE("k020"));
    assert_true(kv_seek_last(it) && slice_equal_string(kv_key(it), "k019"));
    assert_true(kv_previous(it) && slice_equal_string(kv_key(it), "k018"));
    assert_true(kv_seek_before(it, SLICE("k0155")) && slice_equal_string(kv_key(it), "k015"));
    assert_true(kv_seek(it, SLICE("k0155")) && slice_equal_string(kv_value(it), "016"));
    kv_iterator_free(it);

    struct kv_range numbers = {.family = KV_DOCS, .from = SLICE("k000"), .to = SLICE("k090")};
    struct kv_batch *batch = kv_batch_new();
    kv_batch_put(kv, batch, KV_META, SLICE("with"), SLICE("it"));
    assert_int_equal(kv_drop_range(kv, &numbers, batch, &err), 0);
    assert_true(kv_batch_is_empty(batch));
    kv_batch_free(batch);
    assert_int_equal(count_keys(kv, SLICE(""), SLICE("")), 10);
    assert_int_equal(kv_get(kv, KV_META, SLICE("with"), &value, &err), 1);
    buffer_release(&value);
    kv_close(kv);
}

/* Wherever it stands and whatever went before, it finds what a seek finds. */
static void test_seek_near_is_a_seek(void **state)
{
    (void)state;
    static const int strides[] = {1, 2, 3, 5, 40, -3};
    struct kv *kv = open_kv();
    put_numbers(kv, 400);
    struct kv_iterator *near = kv_iterate(kv, KV_DOCS, SLICE("k010"), SLICE("k390"));
    struct kv_iterator *plain = kv_iterate(kv, KV_DOCS, SLICE("k010"), SLICE("k390"));
    for (size_t i = 0; i < sizeof strides / sizeof *strides; i++)
        for (int at = strides[i] > 0 ? 0 : 400; at >= 0 && at <= 400; at += strides[i]) {
            char key[16];
            snprintf(key, sizeof key, at % 7 ? "k%03d" : "k%03d5", at); /* some are not there */
            bool found = kv_seek(plain, slice_of_string(key));
            assert_int_equal(kv_seek_near(near, slice_of_string(key)), found);
            assert_true(!found || slice_equal(kv_key(near), kv_key(plain)));
            if (found && at % 5 == 0)
                (void)kv_next(near);
            if (found && at % 11 == 0)
                (void)kv_previous(near);
        }
    kv_iterator_free(near);
    kv_iterator_free(plain);
    kv_close(kv);
}

static void test_second_opener_is_told(void **state)
{
    (void)state;
    struct error err = {0};
    struct kv *kv = open_kv(), *second = NULL;
    assert_int_equal(kv_open(path, &second, &err), -1);
    assert_non_null(strstr(err.text, "in use by another process"));
    kv_close(kv);
}

static void test_unusable_directory_is_told(void **state)
{
    (void)state;
    struct error err = {0};
    struct kv *kv = NULL;
    assert_int_equal(kv_open("/proc/nope", &kv, &err), -1);
    assert_non_null(strstr(err.text, "cannot create the data directory /proc/nope"));
}

/* A path with "lock" in it, or a damaged block, is no other process. */
static void test_other_failures_are_not_blamed_on_a_lock(void **state)
{
    (void)state;
    struct error err = {0};
    struct kv *kv = NULL;
    char file[100];
    snprintf(file, sizeof file, "%s/clocks", path);
    fclose(fopen(file, "w"));
    assert_int_equal(kv_open(file, &kv, &err), -1);
    assert_non_null(strstr(err.text, "cannot open the data directory"));
    unlink(file);
}

static void test_prefix_end(void **state)
{
    (void)state;
    struct buffer end;
    buffer_init(&end, 100);
    kv_prefix_end(SLICE("ab\xff"), &end);
    assert_true(slice_equal_string(buffer_slice(&end), "ac"));
    buffer_reset(&end);
    kv_prefix_end(SLICE("\xff"), &end);
    assert_int_equal(end.len, 0);
    buffer_release(&end);
}

/* The database would abort in the middle of its recovery. */
static void opening_needs_room_for_the_log(void **state)
{
    (void)state;
    char log[100];
    struct kv *kv = NULL;
    struct error err = {0};
    kv_close(open_kv());
    snprintf(log, sizeof log, "%s/999999.log", path);
    FILE *file = fopen(log, "w");
    assert_non_null(file);
    assert_int_equal(ftruncate(fileno(file), (off_t)8 << 40), 0); /* all hole */
    fclose(file);
    assert_int_equal(kv_open(path, &kv, &err), -1);
    assert_non_null(strstr(err.text, "opening may need 8388612 MiB; free some"));
    assert_int_equal(unlink(log), 0);
    kv_close(open_kv());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_and_read),
        cmocka_unit_test(test_seek_near_is_a_seek),
        cmocka_unit_test(test_second_opener_is_told),
        cmocka_unit_test(test_unusable_directory_is_told),
        cmocka_unit_test(test_other_failures_are_not_blamed_on_a_lock),
        cmocka_unit_test(test_prefix_end),
        cmocka_unit_test(opening_needs_room_for_the_log),
    };
    return cmocka_run_group_tests_name("kv", tests, setup, teardown);
}
