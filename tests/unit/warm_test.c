/* warm: what is asked for first is in memory once a store is open; only so much of it; and damage
 * there costs no more than it does elsewhere. */
#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "storage/key.h"
#include "storage/store_state.h"
#include "tests/unit/store_fixture.h"

#define DAYS        4
#define DAY_MS      PARTITION_MS
#define FIRST_DAY   partition_of(START_MS)
#define SERIES      4
#define STEP_MS     5000
#define DAY_SAMPLES (SERIES * DAY_MS / STEP_MS)
#define DAY_BYTES   (DAY_SAMPLES * 63 / 8) /* of values that nothing compresses */

#define BLOCK_BYTES ((uint64_t)16 << 10)

/* Any finite number: 63 bits that nothing compresses. */
static double noise(uint64_t *state)
{
    double value;
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    uint64_t bits = (*state ^ *state >> 29) & ~(1ull << 62);
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void write_day(struct store *store, uint32_t day)
{
    struct store_batch *batch = store_batch_new(store);
    uint64_t state = day;
    for (int series = 0; series < SERIES; series++) {
        uint32_t id = intern(batch, "m", series, SERIES_GAUGE);
        for (int64_t at = 1000; at < DAY_MS; at += STEP_MS)
            store_batch_value(batch, id, partition_start(day) + at, noise(&state));
    }
    commit(store, batch);
    store_batch_free(batch);
}

/* The same number of samples each day, all of them in one table. */
static void write_days(void)
{
    struct error err = {0};
    struct store *store = open_store();
    clock_set_ms(partition_start(FIRST_DAY + DAYS) + DAY_MS / 2);
    for (uint32_t day = 0; day < DAYS; day++)
        write_day(store, FIRST_DAY + day);
    assert_int_equal(store_compact(store, &err), 0);
    store_close(store);
}

static uint64_t cached(struct store *store)
{
    return kv_property(store->kv, KV_CHUNK, "rocksdb.block-cache-usage");
}

/* The samples of the n-th day that can be read; *damaged: the chunks that cannot. */
static size_t read_day(struct store *store, uint32_t n, size_t *damaged)
{
    int64_t start = partition_start(FIRST_DAY + n);
    size_t count = *damaged = 0;
    struct error err = {0};
    struct arena arena;
    arena_init(&arena, (size_t)16 << 20);
    struct store_reader *reader = store_reader_new(store);
    for (uint32_t id = 0; id < SERIES; id++) {
        struct store_span span = {id, start, start + DAY_MS - 1};
        struct store_column column;
        assert_int_equal(store_read(reader, span, &arena, &column, &err), 0);
        count += column.count;
        *damaged += column.damaged;
    }
    store_reader_free(reader);
    arena_release(&arena);
    return count;
}

/* However slow the machine. */
static struct store *open_warm(int64_t cache_bytes)
{
    struct store *store = open_with((struct store_options){.block_cache_bytes = cache_bytes});
    store_warm(store, INT64_MAX / 2);
    return store;
}

static void opening_reads_the_newest_day(void **state)
{
    (void)state;
    store_close(open_store());
    struct store *store = open_store();
    uint64_t empty = cached(store);
    store_close(store);
    write_days();
    store = open_store();
    assert_true(cached(store) > empty + BLOCK_BYTES);
    store_close(store);
}

static void what_fits_is_read(void **state)
{
    (void)state;
    size_t damaged;
    write_days();
    struct store *store = open_warm(0);
    uint64_t opened = cached(store);
    assert_true(opened > DAYS * DAY_BYTES);
    /* Before the first day samples might have left: reading it looks at buckets, too. */
    for (uint32_t day = 0; day < DAYS; day++)
        assert_int_equal(read_day(store, day, &damaged), DAY_SAMPLES);
    assert_int_equal(cached(store), opened);
    store_close(store);
}

static void only_whole_days_that_fit_are_read(void **state)
{
    (void)state;
    size_t damaged;
    write_days();
    /* A quarter of it has room for two days, and most of a third. */
    struct store *store = open_warm(11 * DAY_BYTES);
    uint64_t opened = cached(store);
    assert_true(opened > 2 * DAY_BYTES && opened < 3 * DAY_BYTES);
    assert_int_equal(read_day(store, DAYS - 1, &damaged), DAY_SAMPLES);
    assert_int_equal(read_day(store, DAYS - 2, &damaged), DAY_SAMPLES);
    assert_int_equal(cached(store), opened);
    assert_int_equal(read_day(store, DAYS - 3, &damaged), DAY_SAMPLES);
    assert_true(cached(store) > opened + DAY_BYTES / 2);
    store_close(store);
}

static void of_a_day_too_large_only_the_ends_are_read(void **state)
{
    (void)state;
    size_t damaged;
    write_days();
    struct store *store = open_warm(2 * DAY_BYTES);
    assert_true(cached(store) < DAY_BYTES);
    assert_int_equal(read_day(store, DAYS - 1, &damaged), DAY_SAMPLES);
    store_close(store);
}

/* --- damage --- */

/* The largest table: that of the chunks. */
static void find_chunks(char out[600])
{
    off_t largest = 0;
    struct stat info;
    DIR *directory = opendir(path);
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!strstr(entry->d_name, ".sst") ||
            fstatat(dirfd(directory), entry->d_name, &info, 0) != 0 || info.st_size <= largest)
            continue;
        largest = info.st_size;
        snprintf(out, 600, "%s/%s", path, entry->d_name);
    }
    closedir(directory);
    assert_true(largest > DAYS * DAY_BYTES);
}

static void flip(long at)
{
    char name[600] = "";
    find_chunks(name);
    FILE *file = fopen(name, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
    fputc(byte ^ 0x20, file);
    fclose(file);
}

static void damage_in_the_newest_day_is_told_and_costs_no_more(void **state)
{
    (void)state;
    char text[DAMAGE_TEXT_BYTES];
    size_t damaged;
    write_days();
    flip((long)((DAYS - 1) * DAY_BYTES + DAY_BYTES / 2)); /* days lie one behind the other */
    struct store *store = open_warm(0);
    assert_int_equal(store_damage(store, 0, text), 1);
    assert_non_null(strstr(text, "checksum"));
    for (uint32_t day = 0; day + 1 < DAYS; day++) {
        assert_int_equal(read_day(store, day, &damaged), DAY_SAMPLES);
        assert_int_equal(damaged, 0);
    }
    assert_true(read_day(store, DAYS - 1, &damaged) < DAY_SAMPLES);
    assert_true(damaged > 0);
    assert_int_equal(store_damage(store, 0, text), 1);
    write_day(store, FIRST_DAY + DAYS);
    assert_int_equal(read_day(store, DAYS, &damaged), DAY_SAMPLES);
    store_close(store);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(opening_reads_the_newest_day),
        CASE(what_fits_is_read),
        CASE(only_whole_days_that_fit_are_read),
        CASE(of_a_day_too_large_only_the_ends_are_read),
        CASE(damage_in_the_newest_day_is_told_and_costs_no_more),
    };
    return cmocka_run_group_tests_name("warm", tests, NULL, NULL);
}
