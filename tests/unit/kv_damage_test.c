/* kv under damage: tables missing, cut off, with a flipped bit; a log torn or flipped; and opening
 * again after a failed write. Each time it opens, says what is wrong, and reads the rest. */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/base/log.h"
#include "storage/kv/kv.h"
#include "tests/unit/scratch_dir.h"

#define VALUE_BYTES     400
#define ROWS            1000
#define FILE_NAME_BYTES 512

static char path[SCRATCH_DIR_BYTES];

static int setup(void **state)
{
    (void)state;
    return scratch_dir_make(path, "kv_damage_test");
}

static int teardown(void **state)
{
    (void)state;
    return scratch_dir_remove(path);
}

static struct kv *open_kv(void)
{
    struct kv *kv = NULL;
    struct error err = {0};
    if (kv_open(path, &kv, &err))
        fail_msg("%s", err.text);
    return kv;
}

/* Incompressible rows, one batch each. */
static int put_rows(struct kv *kv, enum kv_family family, int from, int count)
{
    struct kv_batch *batch = kv_batch_new();
    struct error err = {0};
    char value[VALUE_BYTES], key[16];
    int status = 0;
    for (int i = from; i < from + count && !status; i++) {
        for (size_t j = 0; j < sizeof value; j++)
            value[j] = (char)rand();
        snprintf(key, sizeof key, "row%06d", i);
        kv_batch_put(kv, batch, family, slice_of_string(key), slice_make(value, sizeof value));
        status = kv_write(kv, batch, false, &err);
    }
    kv_batch_free(batch);
    return status;
}

static bool count_row(void *arg, struct slice key, struct slice value)
{
    (void)key;
    assert_int_equal(value.len, VALUE_BYTES);
    ++*(int *)arg;
    return true;
}

/* Rows that can be read; the places that cannot go to *places. */
static int count_rows(struct kv *kv, enum kv_family family, int *places)
{
    struct error err = {0};
    struct kv_range range = {.family = family};
    int rows = 0;
    *places = kv_each(kv, &range, count_row, &rows, &err);
    assert_true(*places >= 0);
    return rows;
}

/* The newest file that ends in this, or the oldest. */
static void find_file(const char *suffix, bool newest, char out[FILE_NAME_BYTES])
{
    char best[256] = "";
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        size_t len = strlen(entry->d_name);
        if (len < 4 || strcmp(entry->d_name + len - 4, suffix) != 0)
            continue;
        if (!*best || (strcmp(entry->d_name, best) > 0) == newest)
            snprintf(best, sizeof best, "%s", entry->d_name);
    }
    closedir(directory);
    assert_true(*best);
    snprintf(out, FILE_NAME_BYTES, "%s/%s", path, best);
}

static void flip(const char *name, long at)
{
    FILE *file = fopen(name, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
    fputc(byte ^ 0x20, file);
    fclose(file);
}

static void assert_told(struct kv *kv, const char *what)
{
    char text[DAMAGE_TEXT_BYTES];
    size_t i = 0;
    while (damages_get(kv_damages(kv), i, text) > i && !strstr(text, what))
        i++;
    if (!strstr(text, what))
        fail_msg("nobody says \"%s\"", what);
}

/* A table of ROWS documents at the bottom, and one of as many series. */
static void make_tables(void)
{
    struct error err = {0};
    struct kv *kv = open_kv();
    assert_int_equal(put_rows(kv, KV_DOCS, 0, ROWS), 0);
    assert_int_equal(put_rows(kv, KV_SERIES, 0, ROWS), 0);
    assert_int_equal(kv_compact(kv, &err), 0);
    kv_close(kv);
}

static void append_table(enum kv_family family, int from)
{
    struct kv *kv = open_kv();
    assert_int_equal(put_rows(kv, family, from, ROWS), 0);
    kv_close(kv);
    kv_close(open_kv()); /* the log becomes a table */
}

static void a_flipped_bit_costs_one_block(void **state)
{
    (void)state;
    char name[FILE_NAME_BYTES];
    int places;
    make_tables();
    append_table(KV_DOCS, 2 * ROWS);
    find_file(".sst", true, name);
    flip(name, 100000);
    struct kv *kv = open_kv();
    int rows = count_rows(kv, KV_DOCS, &places);
    assert_int_equal(places, 1);
    assert_in_range(rows, 2 * ROWS - 60, 2 * ROWS - 20);
    assert_told(kv, strrchr(name, '/') + 1);
    assert_int_equal(count_rows(kv, KV_SERIES, &places), ROWS);
    assert_int_equal(put_rows(kv, KV_DOCS, 0, 10), 0);
    kv_close(kv);
}

static void two_flipped_bits_are_two_places(void **state)
{
    (void)state;
    char name[FILE_NAME_BYTES];
    int places;
    make_tables();
    append_table(KV_DOCS, 2 * ROWS);
    find_file(".sst", true, name);
    flip(name, 100000);
    flip(name, 300000);
    struct kv *kv = open_kv();
    int rows = count_rows(kv, KV_DOCS, &places);
    assert_int_equal(places, 2);
    assert_in_range(rows, 2 * ROWS - 120, 2 * ROWS - 40);
    kv_close(kv);
}

static void remove_table(const char *name)
{
    assert_int_equal(unlink(name), 0);
}

static void cut_table(const char *name)
{
    assert_int_equal(truncate(name, 1000), 0);
}

static void flip_footer(const char *name)
{
    flip(name, -3);
}

static void make_unreadable(const char *name)
{
    assert_int_equal(unlink(name), 0);
    assert_int_equal(mkdir(name, 0700), 0);
}

/* What the table held is missing, all else is there, and the store goes on as a sound one. */
static void lose_table(void (*harm)(const char *name), bool newest)
{
    char name[FILE_NAME_BYTES];
    struct error err = {0};
    int places;
    make_tables();
    append_table(KV_DOCS, 2 * ROWS);
    find_file(".sst", newest, name);
    harm(name);
    struct kv *kv = open_kv();
    assert_told(kv, strrchr(name, '/') + 1);
    int docs = count_rows(kv, KV_DOCS, &places);
    int series = count_rows(kv, KV_SERIES, &places);
    assert_int_equal(docs + series, 2 * ROWS);
    assert_int_equal(put_rows(kv, KV_DOCS, 10 * ROWS, 10), 0);
    assert_int_equal(kv_compact(kv, &err), 0);
    assert_int_equal(count_rows(kv, KV_DOCS, &places), docs + 10);
    kv_close(kv);
    kv = open_kv();
    assert_int_equal(count_rows(kv, KV_DOCS, &places), docs + 10);
    assert_int_equal(count_rows(kv, KV_SERIES, &places), series);
    kv_close(kv);
}

static const struct {
    void (*harm)(const char *name);
    bool kept; /* in lost/ */
} harms[] = {
    {remove_table, false}, {cut_table, true}, {flip_footer, true}, {make_unreadable, true}};

static void an_unreadable_table_is_set_aside(void **state)
{
    for (size_t i = 0; i < sizeof harms / sizeof harms[0]; i++) {
        for (int newest = 0; newest < 2; newest++) {
            char lost[100];
            lose_table(harms[i].harm, newest);
            snprintf(lost, sizeof lost, "%s/lost", path);
            assert_int_equal(rmdir(lost) == 0, !harms[i].kept);
            struct kv *kv = open_kv();
            if (harms[i].kept)
                assert_told(kv, "set aside in");
            kv_close(kv);
            teardown(state);
            setup(state);
        }
    }
}

/* Rather a mount that is missing than damage: nothing is touched. */
static void many_missing_tables_are_not_replaced(void **state)
{
    (void)state;
    char name[FILE_NAME_BYTES];
    struct kv *kv = NULL;
    struct error err = {0};
    make_tables();
    append_table(KV_DOCS, 2 * ROWS);
    for (int i = 0; i < 2; i++) {
        find_file(".sst", true, name);
        assert_int_equal(unlink(name), 0);
    }
    assert_int_equal(kv_open(path, &kv, &err), -1);
    assert_non_null(strstr(err.text, ".sst"));
    assert_non_null(strstr(err.text, "restore a backup"));
}

static void a_missing_manifest_is_told(void **state)
{
    (void)state;
    char name[FILE_NAME_BYTES];
    struct kv *kv = NULL;
    struct error err = {0};
    make_tables();
    snprintf(name, sizeof name, "%s/CURRENT", path);
    FILE *file = fopen(name, "w");
    fputs("MANIFEST-009999\n", file);
    fclose(file);
    assert_int_equal(kv_open(path, &kv, &err), -1);
    assert_non_null(strstr(err.text, "MANIFEST-009999"));
    assert_non_null(strstr(err.text, "lapwing restore"));
}

/* Leaves rows in the log: those of the two families in turn. */
static void make_log(void)
{
    struct kv *kv = open_kv();
    for (int i = 0; i < 100; i++)
        assert_int_equal(put_rows(kv, i % 2 ? KV_DOCS : KV_SERIES, i * 10, 10), 0);
    kv_close(kv);
}

static int count_both(struct kv *kv)
{
    int places;
    int rows = count_rows(kv, KV_DOCS, &places);
    return rows + count_rows(kv, KV_SERIES, &places);
}

static void a_torn_log_loses_its_last_row(void **state)
{
    (void)state;
    char name[FILE_NAME_BYTES], text[DAMAGE_TEXT_BYTES];
    struct stat file;
    make_log();
    find_file(".log", true, name);
    assert_int_equal(stat(name, &file), 0);
    assert_int_equal(truncate(name, file.st_size - 10), 0);
    struct kv *kv = open_kv();
    assert_int_equal(count_both(kv), 999);
    assert_int_equal(damages_get(kv_damages(kv), 0, text), 0);
    kv_close(kv);
}

static void a_damaged_log_is_taken_up_to_the_damage(void **state)
{
    (void)state;
    char name[FILE_NAME_BYTES];
    make_log();
    find_file(".log", true, name);
    flip(name, 100000);
    struct kv *kv = open_kv();
    int rows = count_both(kv);
    assert_in_range(rows, 100000 / VALUE_BYTES - 40, 100000 / VALUE_BYTES);
    assert_told(kv, "write-ahead log");
    assert_int_equal(put_rows(kv, KV_DOCS, 5000, 10), 0);
    kv_close(kv);
    kv = open_kv();
    assert_int_equal(count_both(kv), rows + 10);
    assert_told(kv, "set aside in");
    kv_close(kv);
}

/* A compaction that meets a damaged block makes RocksDB refuse all writes. */
static void writing_goes_on_after_a_failed_compaction(void **state)
{
    (void)state;
    bool more;
    char name[FILE_NAME_BYTES];
    struct error err = {0};
    int places;
    append_table(KV_DOCS, 0);
    find_file(".sst", true, name);
    flip(name, 100000);
    struct kv *kv = open_kv();
    for (int i = 0; put_rows(kv, KV_DOCS, i, ROWS) == 0; i++) {
        assert_true(i < 100);
        kv_close(kv);
        kv = open_kv();
    }
    assert_int_equal(kv_check_writable(kv, &err), -1);
    assert_int_equal(kv_reopen(kv, &more, &err), 0);
    assert_told(kv, strrchr(name, '/') + 1);
    assert_int_equal(kv_check_writable(kv, &err), 0);
    assert_int_equal(put_rows(kv, KV_SERIES, 0, 5000), 0);
    assert_int_equal(put_rows(kv, KV_DOCS, 0, 5000), 0);
    assert_true(count_rows(kv, KV_DOCS, &places) > 4900);
    kv_close(kv);
}

/* --- opening again --- */

/* Files may not grow beyond this many bytes. */
static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void break_writing(struct kv *kv)
{
    struct error err = {0};
    limit_files(200000);
    assert_int_equal(put_rows(kv, KV_DOCS, ROWS, 10 * ROWS), -1);
    assert_int_equal(kv_check_writable(kv, &err), -1);
    assert_non_null(strstr(err.text, "File too large"));
    assert_int_equal(put_rows(kv, KV_DOCS, 0, 1), -1);
}

static void a_failed_write_is_over_after_reopening(void **state)
{
    (void)state;
    bool more;
    struct error err = {0};
    int places;
    struct kv *kv = open_kv();
    assert_int_equal(put_rows(kv, KV_DOCS, 0, 100), 0);
    break_writing(kv);
    assert_true(count_rows(kv, KV_DOCS, &places) >= 100); /* reading goes on */
    limit_files(RLIM_INFINITY);
    assert_int_equal(kv_reopen(kv, &more, &err), 0);
    assert_int_equal(kv_check_writable(kv, &err), 0);
    int rows = count_rows(kv, KV_DOCS, &places);
    assert_in_range(rows, 100, 1000);
    assert_int_equal(put_rows(kv, KV_DOCS, 100000, 10), 0);
    assert_int_equal(count_rows(kv, KV_DOCS, &places), rows + 10);
    kv_close(kv);
}

static void *reopen(void *arg)
{
    struct error err = {0};
    bool more;
    assert_int_equal(kv_reopen(arg, &more, &err), -1);
    return NULL;
}

static void readers_put_reopening_off(void **state)
{
    (void)state;
    bool more;
    struct error err = {0};
    struct kv *kv = open_kv();
    assert_int_equal(put_rows(kv, KV_DOCS, 0, 100), 0);
    break_writing(kv);
    limit_files(RLIM_INFINITY);
    struct kv_iterator *it = kv_iterate(kv, KV_DOCS, SLICE(""), SLICE(""));
    assert_true(kv_seek_first(it));
    /* From another thread, as the writer's would be. */
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, reopen, kv), 0);
    pthread_join(thread, NULL);
    assert_int_equal(kv_check_writable(kv, &err), -1);
    assert_true(kv_next(it));
    kv_iterator_free(it);
    assert_int_equal(kv_reopen(kv, &more, &err), 0);
    kv_close(kv);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_flipped_bit_costs_one_block),
        CASE(two_flipped_bits_are_two_places),
        CASE(an_unreadable_table_is_set_aside),
        CASE(many_missing_tables_are_not_replaced),
        CASE(a_missing_manifest_is_told),
        CASE(a_torn_log_loses_its_last_row),
        CASE(a_damaged_log_is_taken_up_to_the_damage),
        CASE(writing_goes_on_after_a_failed_compaction),
        CASE(a_failed_write_is_over_after_reopening),
        CASE(readers_put_reopening_off),
    };
    signal(SIGXFSZ, SIG_IGN);
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests_name("kv_damage", tests, NULL, NULL);
}
