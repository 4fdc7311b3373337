/* logstore: random histories against a naive model, readers beside the writer, kill -9. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/log/logrows.h"
#include "storage/log/logstore.h"
#include "tests/unit/scratch_dir.h"

#define SECOND   ((int64_t)1000000000)
#define DAY_NS   (86400 * SECOND)
#define T0       (20000 * DAY_NS)
#define SERVICES 4

static char path[SCRATCH_DIR_BYTES];

static int setup(void **state)
{
    (void)state;
    return scratch_dir_make(path, "logstore_test");
}

static int teardown(void **state)
{
    (void)state;
    return scratch_dir_remove(path);
}

/* --- a store with its kv --- */

struct fixture {
    struct kv *kv;
    struct logstore *logs;
    struct kv_batch *batch;
};

static void check(int status, const struct error *err)
{
    if (status)
        fail_msg("%s", err->text);
}

static struct fixture fixture_open(int64_t retention_ms)
{
    struct fixture f = {.batch = kv_batch_new()};
    struct error err = {0};
    struct logstore_options options = {.retention_ms = retention_ms};
    check(kv_open(path, &f.kv, &err), &err);
    check(logstore_open(f.kv, &options, &f.logs, &err), &err);
    return f;
}

static void fixture_close(struct fixture *f)
{
    logstore_close(f->logs);
    kv_batch_free(f->batch);
    kv_close(f->kv);
}

static void append(struct fixture *f, const struct record *records, size_t count)
{
    struct error err = {0};
    logstore_stage(f->logs, f->batch, records, count);
    check(kv_write(f->kv, f->batch, false, &err), &err);
    logstore_publish(f->logs);
}

static const struct label service_labels[SERVICES][2] = {
    {{SLICE_LIT("level"), SLICE_LIT("info")}, {SLICE_LIT("service"), SLICE_LIT("api")}},
    {{SLICE_LIT("level"), SLICE_LIT("error")}, {SLICE_LIT("service"), SLICE_LIT("api")}},
    {{SLICE_LIT("level"), SLICE_LIT("info")}, {SLICE_LIT("service"), SLICE_LIT("web")}},
    {{SLICE_LIT("level"), SLICE_LIT("warn")}, {SLICE_LIT("service"), SLICE_LIT("job")}},
};

static struct labels service(size_t i)
{
    return (struct labels){service_labels[i], 2};
}

/* --- the model --- */

struct model_row {
    int64_t time_ns;
    size_t service;
    char line[200];
    size_t line_len;
};

struct model {
    struct model_row *rows;
    size_t count;
};

static size_t random_below(size_t n)
{
    return (size_t)rand() % n;
}

static void random_row(struct model_row *row, int64_t around_ns)
{
    static const char *const words[] = {"retry", "paid", "timeout", "GET /buy", "user_17"};
    int64_t late = random_below(10) == 0 ? (int64_t)random_below(3) * DAY_NS : 0;
    row->time_ns = around_ns + (int64_t)random_below(20) * SECOND - late;
    row->service = random_below(SERVICES);
    int len = snprintf(
        row->line, sizeof row->line, "{\"msg\":\"%s\",\"id\":\"%08x-%04x-4000-%08x\",\"n\":%zu}",
        words[random_below(5)], (unsigned)random_below(50) * 77777u, (unsigned)random_below(9),
        (unsigned)random_below(5) * 3333333u, random_below(1000));
    row->line_len = (size_t)len;
}

static struct slice row_line(const struct model_row *row)
{
    return slice_make(row->line, row->line_len);
}

static bool model_accepts(const struct model_row *row, const struct logstore_query *query)
{
    struct slice line = row_line(row);
    for (size_t i = 0; i < query->needle_count; i++)
        if (slice_find(line, query->needles[i]) == line.len)
            return false;
    return row->time_ns >= query->start_ns && row->time_ns < query->end_ns &&
           matchers_accept(query->matchers, query->matcher_count, service(row->service));
}

/* Stable insertion sort of the matching rows. */
static size_t model_scan(const struct model *model, const struct logstore_query *query,
                         const struct model_row **out)
{
    size_t count = 0;
    for (size_t i = 0; i < model->count; i++) {
        const struct model_row *row = &model->rows[i];
        if (!model_accepts(row, query))
            continue;
        size_t j = count++;
        for (; j > 0 && out[j - 1]->time_ns > row->time_ns; j--)
            out[j] = out[j - 1];
        out[j] = row;
    }
    return count;
}

struct comparison {
    const struct model_row **expected;
    size_t count, seen;
    bool backward, without_lines;
};

static bool compare_record(void *arg, const struct record *record)
{
    struct comparison *c = arg;
    assert_true(c->seen < c->count);
    const struct model_row *row = c->expected[c->backward ? c->count - 1 - c->seen : c->seen];
    c->seen++;
    assert_int_equal(record->time_ns, row->time_ns);
    assert_true(labels_equal(record->stream, service(row->service)));
    if (!c->without_lines)
        assert_true(slice_equal(record->line, row_line(row)));
    return true;
}

static void compare_streams(struct fixture *f, const struct logstore_query *query,
                            const struct comparison *c)
{
    struct arena arena;
    struct logstore_streams streams;
    struct error err = {0};
    arena_init(&arena, 1 << 20);
    check(logstore_streams(f->logs, query, &arena, &streams, &err), &err);
    for (size_t i = 0; i < c->count && query->needle_count == 0; i++) {
        bool found = false;
        for (size_t j = 0; j < streams.count; j++)
            found |= labels_equal(streams.at[j], service(c->expected[i]->service));
        assert_true(found);
    }
    for (size_t j = 1; j < streams.count; j++)
        assert_true(labels_compare(streams.at[j - 1], streams.at[j]) < 0);
    arena_release(&arena);
}

static void compare_query(struct fixture *f, const struct model *model,
                          const struct logstore_query *query)
{
    const struct model_row **expected = calloc(model->count + 1, sizeof(*expected));
    struct error err = {0};
    struct comparison c = {.expected = expected, .backward = query->backward};
    c.count = model_scan(model, query, expected);
    check(logstore_scan(f->logs, query, compare_record, &c, &err), &err);
    assert_int_equal(c.seen, c.count);
    compare_streams(f, query, &c);
    if (query->needle_count == 0) {
        struct logstore_query bare = *query;
        bare.without_lines = c.without_lines = true;
        c.seen = 0;
        check(logstore_scan(f->logs, &bare, compare_record, &c, &err), &err);
        assert_int_equal(c.seen, c.count);
    }
    free(expected);
}

static void random_query(struct fixture *f, const struct model *model, int64_t now_ns)
{
    static const struct slice needles[] = {
        SLICE_LIT("retry"),         SLICE_LIT("\"paid\""),  SLICE_LIT("imeou"),
        SLICE_LIT("-0003-4000-00"), SLICE_LIT("absent"),    SLICE_LIT("\"nowhere\""),
        SLICE_LIT("0032dcd5-4000"), SLICE_LIT("\"n\":7"),   SLICE_LIT(""),
        SLICE_LIT("GET /buy"),      SLICE_LIT("user_17\""), SLICE_LIT("4000-0065b9aa\""),
    };
    struct matcher matchers[2];
    struct error err = {0};
    struct slice chosen[2] = {needles[random_below(12)], needles[random_below(12)]};
    struct logstore_query query = {
        .matchers = matchers,
        .matcher_count = random_below(3),
        .start_ns = now_ns - (int64_t)random_below(3 * 86400) * SECOND,
        .backward = random_below(2),
        .needles = chosen,
        .needle_count = random_below(3),
    };
    query.end_ns = query.start_ns + (int64_t)random_below(2 * 86400) * SECOND;
    check(matcher_init(&matchers[0], random_below(2) ? MATCH_EQUAL : MATCH_NOT_EQUAL,
                       SLICE("service"), SLICE("api"), &err),
          &err);
    check(matcher_init(&matchers[1], MATCH_REGEX, SLICE("level"), SLICE("info|warn"), &err), &err);
    compare_query(f, model, &query);
    matcher_release(&matchers[1]);
}

static void append_random(struct fixture *f, struct model *model, int64_t now_ns)
{
    struct record records[64];
    size_t count = random_below(64);
    for (size_t i = 0; i < count; i++) {
        struct model_row *row = &model->rows[model->count + i];
        random_row(row, now_ns);
        records[i] = (struct record){row->time_ns, service(row->service), row_line(row)};
    }
    logstore_stage(f->logs, f->batch, records, count);
    struct error err = {0};
    if (random_below(10) == 0)
        check(logstore_seal(f->logs, now_ns / 1000000, true, &err), &err);
    if (random_below(10) == 0) { /* the write fails: nothing of it may show */
        kv_batch_clear(f->batch);
        logstore_discard(f->logs);
        return;
    }
    check(kv_write(f->kv, f->batch, false, &err), &err);
    logstore_publish(f->logs);
    model->count += count;
}

static void test_against_model(void **state)
{
    (void)state;
    struct fixture f = fixture_open(0);
    struct model model = {.rows = calloc(64 * 600, sizeof(struct model_row))};
    struct error err = {0};
    int64_t now_ns = T0;
    srand(7);
    for (int round = 0; round < 600; round++) {
        now_ns += (int64_t)random_below(600) * SECOND;
        append_random(&f, &model, now_ns);
        size_t dice = random_below(30);
        if (dice == 0)
            check(logstore_seal(f.logs, now_ns / 1000000, true, &err), &err);
        if (dice == 1)
            check(logstore_seal(f.logs, now_ns / 1000000, false, &err), &err);
        if (dice == 2) {
            fixture_close(&f);
            f = fixture_open(0);
        }
        if (dice > 24)
            random_query(&f, &model, now_ns);
    }
    for (int i = 0; i < 100; i++)
        random_query(&f, &model, now_ns);
    free(model.rows);
    fixture_close(&f);
}

/* --- a full block is sealed on the way, also when the write then fails --- */

static void append_numbered(struct fixture *f, size_t from, size_t count, size_t padding)
{
    struct record *records = calloc(count, sizeof *records);
    char *lines = calloc(count, padding + 32);
    for (size_t i = 0; i < count; i++) {
        char *line = lines + i * (padding + 32);
        int len = snprintf(line, 32, "%zu ", from + i);
        memset(line + len, 'x', padding);
        records[i] = (struct record){T0 + (int64_t)(from + i) * 1000, service((from + i) % 2),
                                     slice_make(line, (size_t)len + padding)};
    }
    append(f, records, count);
    free(lines);
    free(records);
}

struct numbers {
    size_t next;
};

/* Each number once, in order, and whole. */
static bool count_number(void *arg, const struct record *record)
{
    struct numbers *numbers = arg;
    struct slice rest = record->line, digits;
    uint64_t number = UINT64_MAX;
    assert_true(slice_cut(&rest, ' ', &digits) && slice_to_u64(digits, &number));
    assert_int_equal(number, numbers->next);
    assert_true(rest.len && rest.at[0] == 'x' && rest.at[rest.len - 1] == 'x');
    numbers->next++;
    return true;
}

static size_t count_all(struct logstore *logs)
{
    struct error err = {0};
    struct numbers numbers = {0};
    struct logstore_query query = {.start_ns = INT64_MIN, .end_ns = INT64_MAX};
    check(logstore_scan(logs, &query, count_number, &numbers, &err), &err);
    return numbers.next;
}

static void test_failed_write_while_sealing(void **state)
{
    (void)state;
    struct error err = {0};
    struct fixture f = fixture_open(0);
    append_numbered(&f, 0, 8192, 100);
    struct record more = {T0, service(0), SLICE("8192 x")};
    logstore_stage(f.logs, f.batch, &more, 1); /* seals the full block */
    assert_int_equal(count_all(f.logs), 8192);
    check(logstore_seal(f.logs, 1, true, &err), &err); /* in the midst of it */
    assert_int_equal(count_all(f.logs), 8192);
    kv_batch_clear(f.batch);
    logstore_discard(f.logs);
    assert_int_equal(count_all(f.logs), 8192);
    append_numbered(&f, 8192, 10, 100);
    assert_int_equal(count_all(f.logs), 8202);
    check(logstore_seal(f.logs, 1, true, &err), &err);
    assert_int_equal(count_all(f.logs), 8202);
    fixture_close(&f);
    f = fixture_open(0);
    assert_int_equal(count_all(f.logs), 8202);
    fixture_close(&f);
}

static void test_retention_drops_whole_days(void **state)
{
    (void)state;
    struct error err = {0};
    struct fixture f = fixture_open(2 * 86400000);
    for (int64_t day = 0; day < 5; day++) {
        struct record record = {T0 + day * DAY_NS, service(0), SLICE("a line")};
        append(&f, &record, 1);
    }
    check(logstore_seal(f.logs, (T0 + 4 * DAY_NS + SECOND) / 1000000, true, &err), &err);
    check(logstore_retain(f.logs, (T0 + 4 * DAY_NS + SECOND) / 1000000, &err), &err);
    struct model_row rows[3] = {{.line = "a line", .line_len = 6}};
    for (int64_t i = 0; i < 3; i++) {
        rows[i] = rows[0];
        rows[i].time_ns = T0 + (i + 2) * DAY_NS;
    }
    struct model model = {rows, 3};
    struct logstore_query query = {.start_ns = 0, .end_ns = INT64_MAX};
    compare_query(&f, &model, &query);
    fixture_close(&f);
    f = fixture_open(0);
    compare_query(&f, &model, &query);
    fixture_close(&f);
}

/* A disk that is full for hours must not fill the memory too. */
static void test_failed_writes_leave_no_memory_behind(void **state)
{
    (void)state;
    static char line[10000];
    struct logrows *rows = logrows_new(7);
    memset(line, 'x', sizeof line);
    logrows_append(rows, 1, SLICE("one stream"), SLICE("kept"));
    rows->visible = rows->count;
    for (int i = 0; i < 1000; i++) {
        char stream[32];
        snprintf(stream, sizeof stream, "stream %d", i);
        logrows_append(rows, i, slice_of_string(stream), slice_make(line, sizeof line));
        logrows_truncate(rows);
    }
    assert_in_range(rows->lines.used, 1, 1000);
    assert_int_equal(logrows_stream_count(rows), 1);
    assert_int_equal(rows->count, 1);
    assert_int_equal(rows->line_bytes, 4);
    assert_int_equal(rows->hot_first, 7);
    assert_true(slice_equal(rows->at[0].line, SLICE("kept")));
    logrows_free(rows);
}

/* --- limits --- */

static void test_limits(void **state)
{
    (void)state;
    struct error err = {0};
    struct numbers numbers = {0};
    struct logstore_stats stats = {0};
    struct fixture f = fixture_open(0);
    append_numbered(&f, 0, 20000, 200);
    check(logstore_seal(f.logs, 1, true, &err), &err);
    struct logstore_query query = {
        .start_ns = 0, .end_ns = INT64_MAX, .bytes_max = 1000000, .stats = &stats};
    assert_int_equal(logstore_scan(f.logs, &query, count_number, &numbers, &err), -1);
    assert_int_equal(err.kind, ERROR_LIMIT);
    query.bytes_max = 0;
    query.deadline_ns = 1;
    numbers.next = 0;
    assert_int_equal(logstore_scan(f.logs, &query, count_number, &numbers, &err), -1);
    assert_int_equal(err.kind, ERROR_TIMEOUT);
    /* A needle that no line holds skips the blocks unread. */
    struct slice needle = SLICE("{absent}");
    query = (struct logstore_query){
        .start_ns = 0, .end_ns = INT64_MAX, .needles = &needle, .needle_count = 1, .stats = &stats};
    stats = (struct logstore_stats){0};
    check(logstore_scan(f.logs, &query, count_number, &numbers, &err), &err);
    assert_true(stats.blocks >= 3 && stats.blocks_read == 0);
    fixture_close(&f);
}

/* --- a reader beside the writer sees a growing prefix --- */

struct race {
    struct logstore *logs;
    _Atomic bool done;
    size_t scans;
};

static void *race_reader(void *arg)
{
    struct race *race = arg;
    size_t last = 0;
    while (!race->done) {
        size_t now = count_all(race->logs);
        assert_true(now >= last);
        last = now;
        race->scans++;
    }
    return NULL;
}

static void test_reader_beside_writer(void **state)
{
    (void)state;
    struct error err = {0};
    struct fixture f = fixture_open(0);
    struct race race = {.logs = f.logs};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, race_reader, &race), 0);
    for (size_t i = 0; i < 300; i++) {
        append_numbered(&f, i * 50, 50, 2000);
        if (i % 40 == 0)
            check(logstore_seal(f.logs, 1, true, &err), &err);
    }
    race.done = true;
    pthread_join(thread, NULL);
    assert_true(race.scans > 0);
    assert_int_equal(count_all(f.logs), 15000);
    fixture_close(&f);
}

/* --- kill -9 --- */

/* The child is this program again (fork alone would inherit RocksDB without its threads):
 * logstore_test DIRECTORY DESCRIPTOR FROM. */
static int child_main(char **argv)
{
    snprintf(path, sizeof path, "%s", argv[1]);
    int acknowledgements = atoi(argv[2]);
    struct fixture f = fixture_open(0);
    for (size_t i = strtoul(argv[3], NULL, 10);; i += 7) {
        append_numbered(&f, i, 7, 20000); /* a block is full after 8 batches */
        size_t acknowledged = i + 7;
        if (write(acknowledgements, &acknowledged, sizeof acknowledged) < 0)
            return 1;
    }
}

static void exec_child(int acknowledgements, size_t from)
{
    char descriptor[16], number[24];
    snprintf(descriptor, sizeof descriptor, "%d", acknowledgements);
    snprintf(number, sizeof number, "%zu", from);
    execl("/proc/self/exe", "logstore_test", path, descriptor, number, (char *)NULL);
    _exit(1);
}

/* Lets a child write until it acknowledged `until` records, then kills it. */
static size_t run_and_kill(size_t from, size_t until)
{
    int ends[2];
    size_t acknowledged = from;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0)
        exec_child(ends[1], from);
    close(ends[1]);
    while (acknowledged < until)
        assert_int_equal(read(ends[0], &acknowledged, sizeof acknowledged), sizeof acknowledged);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    for (size_t last; read(ends[0], &last, sizeof last) == sizeof last;)
        acknowledged = last;
    close(ends[0]);
    return acknowledged;
}

static void test_kill(void **state)
{
    (void)state;
    size_t have = 0;
    srand(3);
    for (int round = 0; round < 12; round++) {
        size_t acknowledged = run_and_kill(have, have + 7 * (1 + random_below(20)));
        struct fixture f = fixture_open(0);
        have = count_all(f.logs);
        /* All that was acknowledged, exactly once; at most the batch in flight beyond. */
        assert_true(have == acknowledged || have == acknowledged + 7);
        fixture_close(&f);
    }
    assert_true(have > 100);
}

int main(int argc, char **argv)
{
    if (argc == 4)
        return child_main(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_kill, setup, teardown),
        cmocka_unit_test_setup_teardown(test_against_model, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failed_write_while_sealing, setup, teardown),
        cmocka_unit_test(test_failed_writes_leave_no_memory_behind),
        cmocka_unit_test_setup_teardown(test_retention_drops_whole_days, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reader_beside_writer, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
