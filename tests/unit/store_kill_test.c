/* store_kill: kill -9 at random instants, or a full disk, loses nothing that was committed and
 * doubles nothing.
 *
 * One child commits ticks and reports each through a pipe after its commit; the parent kills it.
 * Another child reopens the store and compares. The parent itself never opens a store, because
 * RocksDB's threads do not survive a fork.
 *
 * What tick k writes to each series, stamped:
 *
 *   time       k-20  k-7+1/2   k
 *   stamp     k+10^6    k      k      one again, one late, one in order
 *
 * After every fifth tick one is left out, so that the gaps between open samples are not all alike.
 * Every tenth writes a long run of stamp k into days before the first tick, too.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/store.h"
#include "tests/unit/scratch_dir.h"

#define START_MS ((int64_t)1700000000000)
#define SERIES   30
#define ROUNDS   15
#define TICK_MS  10000
#define IN_A_ROW 5 /* ticks before one is left out */
#define LATE     7 /* ticks */
#define AGAIN    20
#define RENEWED  1000000
#define RUN      130 /* samples, a second apart */
#define RUN_GAP  200000
#define RUN_MS   (START_MS - 30 * (int64_t)86400000)

static char path[SCRATCH_DIR_BYTES];

static int setup(void **state)
{
    (void)state;
    log_set_level(LOG_WARN);
    return scratch_dir_make(path, "store_kill_test");
}

static int teardown(void **state)
{
    (void)state;
    return scratch_dir_remove(path);
}

/* In the children a failure is an exit status, never an assertion of the test's. */
static void check(bool sound, const char *what)
{
    if (sound)
        return;
    fprintf(stderr, "store_kill_test: %s\n", what);
    _exit(1);
}

static struct store *open_store(void)
{
    struct store_options options = {.path = path, .series_max = 100, .chunk_samples = 8};
    struct store *store = NULL;
    struct error err = {0};
    check(store_open(&options, &store, &err) == 0, err.text);
    return store;
}

static uint32_t intern(struct store_batch *batch, int i)
{
    char text[16];
    uint32_t id;
    struct error err = {0};
    snprintf(text, sizeof text, "%d", i);
    struct label label = {SLICE("i"), slice_of_string(text)};
    check(store_batch_intern(batch, (struct labels){&label, 1},
                             i % 5 ? SERIES_COUNTER : SERIES_HISTOGRAM, &id, &err) == 0,
          err.text);
    return id;
}

/* Samples a second apart that tell their stamp, in every series. */
static void add_run(struct store_batch *batch, const uint32_t *ids, int64_t time_ms, int64_t stamp,
                    int count)
{
    struct histogram histogram;
    histogram_init(&histogram);
    histogram_add(&histogram, 5, (double)(stamp + 1));
    for (int i = 0; i < SERIES * count; i++) {
        int series = i / count;
        int64_t at_ms = time_ms + i % count * 1000;
        if (series % 5)
            store_batch_value(batch, ids[series], at_ms, (double)(stamp * series));
        else
            store_batch_histogram(batch, ids[series], at_ms, &histogram);
    }
    histogram_release(&histogram);
}

static void add_stamp(struct store_batch *batch, const uint32_t *ids, int64_t time_ms,
                      int64_t stamp)
{
    add_run(batch, ids, time_ms, stamp, 1);
}

static int64_t time_of(int64_t tick)
{
    return START_MS + (tick + tick / IN_A_ROW) * TICK_MS;
}

/* The tick at this time, or the one before it. */
static int64_t tick_at(int64_t time_ms)
{
    int64_t place = (time_ms - START_MS) / TICK_MS;
    return place - place / (IN_A_ROW + 1);
}

static void add_tick(struct store_batch *batch, const uint32_t *ids, int64_t tick)
{
    if (tick % 10 == 0)
        add_run(batch, ids, RUN_MS + tick / 10 * RUN_GAP, tick, RUN);
    if (tick >= AGAIN)
        add_stamp(batch, ids, time_of(tick - AGAIN), tick + RENEWED);
    add_stamp(batch, ids, time_of(tick), tick);
    if (tick >= LATE)
        add_stamp(batch, ids, time_of(tick - LATE) + TICK_MS / 2, tick);
}

/* A child: commits ticks for ever, and reports each. */
static void commit_for_ever(int report, int64_t tick)
{
    struct error err = {0};
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    uint32_t ids[SERIES];
    for (int i = 0; i < SERIES; i++)
        ids[i] = intern(batch, i);
    for (;; tick++) {
        clock_set_ms(time_of(tick));
        add_tick(batch, ids, tick);
        check(store_commit(store, batch, false, &err) == 0, err.text);
        check(write(report, &tick, sizeof tick) == sizeof tick, "cannot report");
        check(store_maintain(store, clock_now_ms(), &err) == 0, err.text);
    }
}

/* Kills the child after a random number of reports. Returns the last tick reported. */
static int64_t run_and_kill(int64_t first)
{
    int ends[2], status;
    int64_t last = first - 1, stop = first + lrand48() % 60;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(ends[0]);
        commit_for_ever(ends[1], first);
    }
    close(ends[1]);
    while (last < stop && read(ends[0], &last, sizeof last) == sizeof last)
        ;
    usleep((useconds_t)(lrand48() % 3000)); /* anywhere: in a commit, in a seal */
    kill(child, SIGKILL);
    while (read(ends[0], &last, sizeof last) == sizeof last)
        ; /* what it reported before it died was committed, too */
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    return last;
}

static bool is_stamp(const struct store_column *column, size_t at, int i, int64_t stamp)
{
    return i % 5 ? column->values[at] == (double)(stamp * i)
                 : column->histograms[at]->count == (double)(stamp + 1);
}

/* How many ticks the column holds; each must be whole. */
static int64_t check_ticks(const struct store_column *column, int i)
{
    int64_t ticks = 0, late = 0, early = 0;
    for (size_t at = 0; at < column->count; at++)
        ticks += column->times[at] >= START_MS && (column->times[at] - START_MS) % TICK_MS == 0;
    for (size_t at = 0; at < column->count; at++) {
        int64_t tick = tick_at(column->times[at]), stamp = tick;
        if (column->times[at] < START_MS)
            early++, stamp = (column->times[at] - RUN_MS) / RUN_GAP * 10;
        else if ((column->times[at] - START_MS) % TICK_MS)
            late++, stamp += LATE;
        else if (tick + AGAIN < ticks)
            stamp += AGAIN + RENEWED;
        check(tick < ticks && is_stamp(column, at, i, stamp), "a sample is missing or wrong");
        check(at == 0 || column->times[at] > column->times[at - 1], "a sample is doubled");
    }
    check(early == (ticks + 9) / 10 * RUN, "samples of runs are missing");
    check(late == (ticks > LATE ? ticks - LATE : 0), "late samples are missing");
    return ticks;
}

/* A child: every reported tick is there exactly once, and at most one that was not reported. */
static void compare(int report, int64_t reported)
{
    struct error err = {0};
    struct arena arena;
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    struct store_reader *reader = store_reader_new(store);
    int64_t ticks = 0;
    arena_init(&arena, (size_t)1 << 28);
    for (int i = 0; i < SERIES; i++) {
        struct store_column column;
        uint32_t id = intern(batch, i);
        check(store_read(reader, (struct store_span){id, 0, INT64_MAX}, &arena, &column, &err) == 0,
              err.text);
        int64_t found = check_ticks(&column, i);
        ticks = i ? ticks : found;
        check(found == ticks, "a commit is there in part");
    }
    check(ticks == reported + 1 || ticks == reported + 2, "ticks are missing");
    check(write(report, &ticks, sizeof ticks) == sizeof ticks, "cannot report");
    store_batch_free(batch);
    store_reader_free(reader);
    arena_release(&arena);
    store_close(store);
    _exit(0);
}

/* Returns the number of ticks found. */
static int64_t reopen_and_compare(int64_t reported)
{
    int ends[2], status;
    int64_t ticks = 0;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        compare(ends[1], reported);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(read(ends[0], &ticks, sizeof ticks), sizeof ticks);
    close(ends[0]);
    close(ends[1]);
    return ticks;
}

static void nothing_committed_is_lost_or_doubled(void **state)
{
    (void)state;
    int64_t next = 0;
    for (int round = 0; round < ROUNDS; round++)
        next = reopen_and_compare(run_and_kill(next));
    assert_true(next > ROUNDS);
}

/* --- a disk that is full --- */

/* A child: commits until files may not grow any more; what was refused must not be visible. */
static void commit_until_full(int report)
{
    struct rlimit limit = {.rlim_cur = 100000, .rlim_max = 100000};
    struct error err = {0};
    struct arena arena;
    struct store *store = open_store();
    struct store_batch *batch = store_batch_new(store);
    uint32_t ids[SERIES];
    int64_t tick = 0;
    for (int i = 0; i < SERIES; i++)
        ids[i] = intern(batch, i);
    signal(SIGXFSZ, SIG_IGN);
    check(setrlimit(RLIMIT_FSIZE, &limit) == 0, "cannot limit the size of files");
    for (;; tick++) {
        add_tick(batch, ids, tick);
        if (store_commit(store, batch, false, &err))
            break;
    }
    check(tick > 0 && err.text[0] && store_batch_is_empty(batch), "no error, or a full batch");
    add_tick(batch, ids, tick + 1); /* refused as well, or taken whole */
    tick += store_commit(store, batch, false, &err) == 0;
    arena_init(&arena, (size_t)1 << 28);
    struct store_reader *reader = store_reader_new(store);
    for (int i = 0; i < SERIES; i++) {
        struct store_column column;
        check(store_read(reader, (struct store_span){ids[i], 0, INT64_MAX}, &arena, &column,
                         &err) == 0,
              err.text);
        check(check_ticks(&column, i) == tick, "a refused commit is visible");
    }
    tick--;
    check(write(report, &tick, sizeof tick) == sizeof tick, "cannot report");
    _exit(0); /* the database refuses to close cleanly on a full disk */
}

static void a_full_disk_loses_nothing_committed(void **state)
{
    (void)state;
    int ends[2], status;
    int64_t last = -1;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        commit_until_full(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(read(ends[0], &last, sizeof last), sizeof last);
    close(ends[0]);
    close(ends[1]);
    reopen_and_compare(last);
}

int main(void)
{
    srand48(5);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_committed_is_lost_or_doubled, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_loses_nothing_committed, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
