/* The store under damage: it opens, says what is damaged, answers the rest, and never a wrong value. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "storage/base/log.h"
#include "storage/key.h"
#include "storage/log/logkey.h"
#include "storage/scrub.h"
#include "storage/store_state.h"
#include "tests/unit/store_fixture.h"

#define SERIES   7
#define TICK_MS  1000
#define TICK_MAX 400

static const char *const told_none = NULL;

static void assert_told(struct store *store, const char *what)
{
    char text[DAMAGE_TEXT_BYTES];
    size_t count = store_damage(store, 0, text), i = 0;
    if (what == told_none) {
        if (count)
            fail_msg("told: %s", text);
        return;
    }
    while (store_damage(store, i, text) > i && !strstr(text, what))
        i++;
    if (!strstr(text, what))
        fail_msg("nobody says \"%s\"", what);
}

/* --- changing what is stored --- */

static struct kv *open_kv(void)
{
    struct kv *kv;
    struct error err = {0};
    if (kv_open(path, &kv, &err))
        fail_msg("%s", err.text);
    return kv;
}

/* An empty value deletes. */
static void put_raw(enum kv_family family, struct slice key, struct slice value)
{
    struct kv *kv = open_kv();
    struct error err = {0};
    struct kv_batch *batch = kv_batch_new();
    if (value.len)
        kv_batch_put(kv, batch, family, key, value);
    else
        kv_batch_delete(kv, batch, family, key);
    assert_int_equal(kv_write(kv, batch, true, &err), 0);
    kv_batch_free(batch);
    kv_close(kv);
}

/* The n-th key of a range, and how many there are. */
struct pick {
    struct buffer key, value;
    int n, count;
};

static bool pick_row(void *arg, struct slice key, struct slice value)
{
    struct pick *pick = arg;
    if (pick->count++ == pick->n) {
        buffer_append_slice(&pick->key, key);
        buffer_append_slice(&pick->value, value);
    }
    return true;
}

static int pick_raw(struct kv_range range, struct pick *pick)
{
    struct kv *kv = open_kv();
    struct error err = {0};
    buffer_init(&pick->key, 1 << 20);
    buffer_init(&pick->value, 1 << 20);
    pick->count = 0;
    assert_int_equal(kv_each(kv, &range, pick_row, pick, &err), 0);
    kv_close(kv);
    return pick->count;
}

static void pick_release(struct pick *pick)
{
    buffer_release(&pick->key);
    buffer_release(&pick->value);
}

/* Flips a bit of the n-th row of a range; one before its end for a negative n. */
static void flip_row(struct kv_range range, int n)
{
    struct pick pick = {.n = -1};
    int count = pick_raw(range, &pick);
    pick_release(&pick);
    assert_true(count > 0);
    pick.n = (n + count) % count;
    pick_raw(range, &pick);
    pick.value.at[pick.value.len / 2] ^= 4;
    put_raw(range.family, buffer_slice(&pick.key), buffer_slice(&pick.value));
    pick_release(&pick);
}

/* --- the head log --- */

/* What was committed: NaN where nothing was. */
struct model {
    double values[SERIES][TICK_MAX];
    uint32_t ids[SERIES];
    int ticks;
};

static void commit_tick(struct store *store, struct model *model)
{
    struct store_batch *batch = store_batch_new(store);
    struct error err = {0};
    int tick = model->ticks++;
    clock_set_ms(START_MS + tick * TICK_MS);
    for (int i = 0; i < SERIES; i++) {
        model->values[i][tick] = NAN;
        if (rand() % 4 == 0)
            continue;
        model->values[i][tick] = rand() % 2 ? rand() : drand48();
        model->ids[i] = intern(batch, "m", i, SERIES_GAUGE);
        store_batch_value(batch, model->ids[i], START_MS + tick * TICK_MS, model->values[i][tick]);
    }
    commit(store, batch);
    store_batch_free(batch);
    if (rand() % 3 == 0 && store_maintain(store, clock_now_ms(), &err))
        fail_msg("%s", err.text);
}

/* Every sample that is there is right. Returns how many are missing in [from, to). */
static int compare(struct store *store, const struct model *model, int from, int to)
{
    struct arena arena;
    struct error err = {0};
    struct store_reader *reader = store_reader_new(store);
    int missing = 0;
    arena_init(&arena, 8 << 20);
    for (int i = 0; i < SERIES; i++) {
        struct store_column column;
        size_t at = 0;
        struct store_span span = {model->ids[i], START_MS, INT64_MAX};
        arena_reset(&arena);
        assert_int_equal(store_read(reader, span, &arena, &column, &err), 0);
        for (int tick = 0; tick < model->ticks; tick++) {
            bool there = at < column.count && column.times[at] == START_MS + tick * TICK_MS;
            bool known = !isnan(model->values[i][tick]);
            if (there && (!known || column.values[at] != model->values[i][tick]))
                fail_msg("series %d has a wrong value at tick %d", i, tick);
            missing += known && !there && tick >= from && tick < to;
            at += there;
        }
        assert_int_equal(at, column.count);
    }
    store_reader_free(reader);
    arena_release(&arena);
    return missing;
}

/* One record of the head log is damaged or gone: what follows it may be lost, but nothing is wrong,
 * and after that the log is sound again. */
static void one_round(unsigned seed)
{
    struct model *model = test_calloc(1, sizeof *model);
    struct kv_range log = {.family = KV_HEADLOG};
    struct pick pick = {.n = 0};
    srand(seed);
    srand48(seed);
    struct store *store = open_store();
    int ticks = 20 + rand() % 200;
    while (model->ticks < ticks)
        commit_tick(store, model);
    store_close(store);
    store = open_store();
    assert_told(store, told_none);
    assert_int_equal(compare(store, model, 0, ticks), 0);
    store_close(store);

    int records = pick_raw(log, &pick);
    pick_release(&pick);
    int n = rand() % records;
    bool gone = rand() % 2;
    if (gone) {
        pick.n = n;
        pick_raw(log, &pick);
        put_raw(KV_HEADLOG, buffer_slice(&pick.key), SLICE(""));
        pick_release(&pick);
    } else {
        flip_row(log, n);
    }
    store = open_store();
    if (!gone || n < records - 1) /* nobody can miss the last one */
        assert_told(store, "of the head log");
    compare(store, model, 0, ticks);
    for (int i = 0; i < 30; i++)
        commit_tick(store, model);
    assert_int_equal(compare(store, model, ticks, model->ticks), 0);
    store_close(store);
    store = open_store();
    assert_told(store, told_none);
    assert_int_equal(compare(store, model, ticks, model->ticks), 0);
    store_close(store);
    test_free(model);
}

static void a_damaged_head_log_makes_no_wrong_value(void **state)
{
    for (unsigned seed = 1; seed <= 25; seed++) {
        one_round(seed);
        teardown(state);
        setup(state);
    }
}

/* A log that was never cut keeps all that lies before the damage. */
static void what_lies_before_the_damage_stays(void **state)
{
    (void)state;
    struct model *model = test_calloc(1, sizeof *model);
    struct store *store = open_with((struct store_options){.chunk_samples = 360});
    while (model->ticks < 100)
        commit_tick(store, model);
    store_close(store);
    flip_row((struct kv_range){.family = KV_HEADLOG}, 60);
    store = open_store();
    assert_told(store, "of the head log");
    assert_int_equal(compare(store, model, 0, 60), 0);
    store_close(store);
    test_free(model);
}

/* --- the index --- */

static void fill(struct model *model)
{
    struct error err = {0};
    struct store *store = open_store();
    while (model->ticks < 100)
        commit_tick(store, model);
    assert_int_equal(store_seal(store, &err), 0);
    store_close(store);
}

static void lists_of_series_are_rebuilt(void **state)
{
    (void)state;
    struct model *model = test_calloc(1, sizeof *model);
    fill(model);
    flip_row((struct kv_range){.family = KV_POSTINGS}, 0);
    struct store *store = open_store();
    assert_told(store, "list of the series of day");
    assert_int_equal(compare(store, model, 0, 100), 0);
    for (int i = 0; i < 50; i++)
        commit_tick(store, model);
    struct error err = {0};
    assert_int_equal(store_seal(store, &err), 0);
    store_close(store);
    store = open_store();
    assert_told(store, told_none);
    assert_int_equal(compare(store, model, 0, 150), 0);
    store_close(store);
    test_free(model);
}

static void a_damaged_series_costs_that_series(void **state)
{
    (void)state;
    struct model *model = test_calloc(1, sizeof *model);
    struct arena arena;
    struct store_selection selection;
    struct error err = {0};
    fill(model);
    struct key_bytes key = key_of_u32(model->ids[2]);
    put_raw(KV_SERIES, key_slice(&key), SLICE("\2what is this"));
    struct store *store = open_store();
    assert_told(store, "series");
    arena_init(&arena, 1 << 20);
    struct store_query all = {.start_ms = 0, .end_ms = INT64_MAX};
    assert_int_equal(store_select(store, &all, &arena, &selection, &err), 0);
    assert_int_equal(selection.count, SERIES - 1);
    arena_release(&arena);
    store_close(store);
    test_free(model);
}

/* --- logs --- */

static void append_lines(struct store *store, int from, int count)
{
    struct store_batch *batch = store_batch_new(store);
    for (int i = from; i < from + count; i++) {
        char line[32];
        snprintf(line, sizeof line, "line %d", i);
        struct record record = {.time_ns = START_MS * 1000000 + i, .line = slice_of_string(line)};
        store_batch_records(batch, &record, 1);
    }
    commit(store, batch);
    store_batch_free(batch);
}

static bool count_line(void *arg, const struct record *record)
{
    (void)record;
    ++*(int *)arg;
    return true;
}

static int count_lines(struct store *store, uint64_t *damaged)
{
    struct logstore_stats stats = {0};
    struct logstore_query query = {.start_ns = 0, .end_ns = INT64_MAX, .stats = &stats};
    struct error err = {0};
    int lines = 0;
    if (logstore_scan(store_logs(store), &query, count_line, &lines, &err))
        fail_msg("%s", err.text);
    *damaged = stats.damaged;
    return lines;
}

/* Three blocks of ten lines, and ten lines in hot batches of five. */
static void fill_logs(void)
{
    struct error err = {0};
    struct store *store = open_store();
    for (int i = 0; i < 3; i++) {
        append_lines(store, i * 10, 10);
        assert_int_equal(store_seal(store, &err), 0);
    }
    append_lines(store, 30, 5);
    append_lines(store, 35, 5);
    store_close(store);
}

static struct logkey bounds[4];

static struct kv_range log_range(int part)
{
    bounds[0] = logkey_hot_first();
    bounds[1] = logkey_header_day(LOGKEY_DAY_FIRST);
    bounds[2] = logkey_column_day(LOGKEY_DAY_FIRST);
    bounds[3] = logkey_column_day(LOGKEY_DAY_END);
    return (struct kv_range){.family = KV_LOGS,
                             .from = logkey_slice(&bounds[part]),
                             .to = logkey_slice(&bounds[part + 1])};
}

static void damaged_logs_cost_their_block(void **state)
{
    static const struct {
        int part, n; /* which row is flipped */
        int lines;
        uint64_t damaged;
        const char *told;
    } rows[] = {
        {0, 1, 35, 0, "batch"},       /* a hot batch */
        {1, 1, 30, 0, "is left out"}, /* a header */
        {2, 0, 30, 1, "log block"},   /* times */
        {2, 6, 30, 1, "log block"},   /* lines */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint64_t damaged;
        fill_logs();
        flip_row(log_range(rows[i].part), rows[i].n);
        struct store *store = open_store();
        int lines = count_lines(store, &damaged);
        assert_in_range(lines, rows[i].lines, rows[i].lines + 4);
        assert_int_equal(damaged, rows[i].damaged);
        assert_told(store, rows[i].told);
        append_lines(store, 100, 10);
        assert_int_equal(count_lines(store, &damaged), lines + 10);
        store_close(store);
        teardown(state);
        setup(state);
    }
}

/* --- scrubbing --- */

static int scrub(const char *what)
{
    char text[DAMAGE_TEXT_BYTES];
    struct kv *kv;
    struct error err = {0};
    struct scrub_report report;
    struct scrub_options options = {0};
    assert_int_equal(kv_open_read_only(path, &kv, &err), 0);
    assert_int_equal(scrub_run(kv, &options, &report, &err), 0);
    if (what && (!damages_get(kv_damages(kv), 0, text) || !strstr(text, what)))
        fail_msg("\"%s\" instead of \"%s\"", text, what);
    kv_close(kv);
    return (int)report.damaged;
}

static void scrubbing_finds_each_kind_of_damage(void **state)
{
    struct key_bytes rolled = key_of_rollups(RESOLUTION_5M, 0);
    const struct {
        struct kv_range range;
        const char *told;
    } rows[] = {
        {{.family = KV_SERIES}, "series"},
        {{.family = KV_POSTINGS}, "list of the series"},
        {{.family = KV_HEADLOG}, "head log"},
        {{.family = KV_CHUNK, .to = key_slice(&rolled)}, "chunk of series"},
        {{.family = KV_CHUNK, .from = key_slice(&rolled)}, "the buckets of series"},
        {log_range(0), "batch"},
        {log_range(1), "log block"},
        {log_range(2), "log block"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct model *model = test_calloc(1, sizeof *model);
        fill(model);
        fill_logs();
        struct store *store = open_store();
        clock_set_ms(START_MS + 10 * PARTITION_MS); /* the day is over, and gets its buckets */
        struct error err = {0};
        assert_int_equal(store_compact(store, &err), 0);
        clock_set_ms(START_MS);
        append_lines(store, 100, 5);
        commit_tick(store, model);
        store_close(store);
        assert_int_equal(scrub(NULL), 0);
        if (rows[i].range.family == KV_SERIES) {
            struct key_bytes key = key_of_u32(1);
            put_raw(KV_SERIES, key_slice(&key), SLICE("\2what"));
        } else if (rows[i].range.family == KV_LOGS) {
            flip_row(log_range(rows[i].told[0] == 'b' ? 0 : i == 6 ? 1 : 2), -1);
        } else {
            flip_row(rows[i].range, 0);
        }
        assert_int_equal(scrub(rows[i].told), 1);
        test_free(model);
        teardown(state);
        setup(state);
    }
}

/* --- a disk that fails and comes back --- */

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static int put_big(struct store *store, int n)
{
    static char value[20000];
    char key[16];
    struct error err = {0};
    struct store_batch *batch = store_batch_new(store);
    for (size_t i = 0; i < sizeof value; i++)
        value[i] = (char)rand();
    snprintf(key, sizeof key, "%06d", n);
    store_batch_put(batch, slice_of_string(key), slice_make(value, sizeof value));
    uint32_t id = intern(batch, "big", n, SERIES_GAUGE);
    store_batch_value(batch, id, START_MS + n, n);
    int status = store_commit(store, batch, false, &err);
    store_batch_free(batch);
    return status;
}

static void writing_goes_on_by_itself_when_the_disk_is_back(void **state)
{
    (void)state;
    struct error err = {0};
    struct buffer value;
    struct store *store = open_with((struct store_options){.disk_reserve_bytes = 1});
    int kept = 0;
    limit_files(300000);
    while (put_big(store, kept) == 0)
        kept++;
    assert_true(kept > 0 && kept < 100);
    assert_int_equal(store_check_disk(store, &err), -1);
    assert_int_equal(put_big(store, 1000), -1);
    limit_files(RLIM_INFINITY);
    assert_int_equal(store_maintain(store, START_MS, &err), 0);
    assert_int_equal(store_check_disk(store, &err), 0);
    assert_int_equal(put_big(store, 2000), 0);
    store_close(store);
    store = open_with((struct store_options){.disk_reserve_bytes = 1});
    assert_told(store, told_none);
    buffer_init(&value, 1 << 20);
    for (int i = 0; i < kept; i++) {
        char key[16];
        snprintf(key, sizeof key, "%06d", i);
        buffer_reset(&value);
        assert_int_equal(store_get(store, slice_of_string(key), &value, &err), 1);
    }
    assert_int_equal(store_get(store, SLICE("002000"), &value, &err), 1);
    buffer_release(&value);
    struct arena arena;
    struct store_selection selection;
    arena_init(&arena, 1 << 20);
    struct store_query all = {.start_ms = 0, .end_ms = INT64_MAX};
    assert_int_equal(store_select(store, &all, &arena, &selection, &err), 0);
    assert_in_range(selection.count, kept + 1, kept + 2); /* the failed one may be there */
    arena_release(&arena);
    store_close(store);
}

/* Not even reading: it says so, rather than that there is nothing; and comes back. */
static void a_disk_that_is_gone_is_no_empty_store(void **state)
{
    (void)state;
    struct error err = {0};
    struct arena arena;
    const struct histogram *histogram;
    struct buffer document;
    char away[SCRATCH_DIR_BYTES + 8];
    double value = 0;
    struct store *store = open_with((struct store_options){.disk_reserve_bytes = 1});
    arena_init(&arena, 1 << 20);
    buffer_init(&document, 1 << 20);
    assert_int_equal(put_big(store, 7), 0);
    uint32_t id = 0;
    assert_int_equal(store_seal(store, &err), 0);
    limit_files(100000);
    while (put_big(store, 8) == 0)
        ;
    limit_files(RLIM_INFINITY);
    snprintf(away, sizeof away, "%s.away", path);
    assert_int_equal(rename(path, away), 0);
    assert_int_equal(store_maintain(store, START_MS, &err), -1);
    assert_int_equal(store_get(store, SLICE("000007"), &document, &err), -1);
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
    assert_int_equal(store_last(store, id, &arena, &value, &histogram), -1);
    assert_int_equal(put_big(store, 9), -1);
    struct stat gone;
    assert_int_equal(stat(path, &gone), -1); /* no new store in its place */
    assert_int_equal(rename(away, path), 0);
    store->reopen_ns = 0; /* now, instead of in some seconds */
    assert_int_equal(store_maintain(store, START_MS, &err), 0);
    assert_int_equal(store_get(store, SLICE("000007"), &document, &err), 1);
    assert_int_equal(store_last(store, id, &arena, &value, &histogram), 1);
    assert_true(value == 7);
    assert_int_equal(put_big(store, 9), 0);
    arena_release(&arena);
    buffer_release(&document);
    store_close(store);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_damaged_head_log_makes_no_wrong_value),
        CASE(what_lies_before_the_damage_stays),
        CASE(lists_of_series_are_rebuilt),
        CASE(a_damaged_series_costs_that_series),
        CASE(damaged_logs_cost_their_block),
        CASE(scrubbing_finds_each_kind_of_damage),
        CASE(writing_goes_on_by_itself_when_the_disk_is_back),
        CASE(a_disk_that_is_gone_is_no_empty_store),
    };
    signal(SIGXFSZ, SIG_IGN);
    log_set_level(LOG_ERROR + 1);
    return cmocka_run_group_tests_name("store_damage", tests, NULL, NULL);
}
