/* issue, on the real store: counting against a naive model through restarts, listing, kept bodies,
 * users, expiry. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/ingest/issue_document.h"
#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "tests/unit/scratch_dir.h"

#define DAY_ZERO (20000 * ISSUE_DAY_MS)

struct fixture {
    char path[SCRATCH_DIR_BYTES];
    struct store *store;
    struct writer *writer;
    struct registry *registry;
    struct issues *issues;
};

static void open_all(struct fixture *fixture)
{
    struct store_options store = {.path = fixture->path,
                                  .series_max = 1000,
                                  .retention_raw_ms = 30 * ISSUE_DAY_MS,
                                  .retention_logs_ms = 30 * ISSUE_DAY_MS};
    struct registry_options registry = {
        .idle_timeout_ms = 3600000, .series_max = 1000, .flush_interval_ms = 10000};
    struct issues_options options = {
        .retention_ms = 10 * ISSUE_DAY_MS, .issues_max = 1000, .cache_max = 3};
    struct error err = {0};
    if (store_open(&store, &fixture->store, &err) < 0)
        fail_msg("%s", err.text);
    fixture->writer = writer_start(fixture->store, 100);
    fixture->registry = registry_new(fixture->store, &registry);
    options.store = fixture->store;
    options.writer = fixture->writer;
    options.registry = fixture->registry;
    if (issues_open(&options, &fixture->issues, &err) < 0)
        fail_msg("%s", err.text);
}

static void close_all(struct fixture *fixture)
{
    writer_stop(fixture->writer);
    issues_close(fixture->issues);
    registry_free(fixture->registry);
    store_close(fixture->store);
}

static int set_up(void **state)
{
    struct fixture *fixture = alloc_zeroed(1, sizeof *fixture);
    assert_int_equal(scratch_dir_make(fixture->path, "issue_test"), 0);
    clock_set_ms(DAY_ZERO);
    open_all(fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    close_all(fixture);
    assert_int_equal(scratch_dir_remove(fixture->path), 0);
    clock_set_ms(0);
    free(fixture);
    return 0;
}

static struct issue_event make_event(const char *project, unsigned problem, unsigned number)
{
    static const char *const titles[] = {"TypeError: no foo", "Timeout", "user not found"};
    struct issue_event event = {
        .project = slice_of_string(project),
        .level = (enum error_level)(problem % LEVEL_COUNT),
        .time_ms = DAY_ZERO,
        .received_ms = DAY_ZERO,
        .title = slice_of_string(titles[problem % 3]),
        .culprit = SLICE("f (a.js)"),
        .release = SLICE("web@1"),
        .environment = SLICE("production"),
        .platform = SLICE("node"),
        .body = SLICE("{\"message\":\"m\"}"),
    };
    event.hash[0] = (uint8_t)project[0];
    event.hash[1] = (uint8_t)problem;
    snprintf(event.id, sizeof event.id, "%032x", number);
    return event;
}

static void record(struct fixture *fixture, struct issue_event *event)
{
    struct error err = {0};
    if (issues_record(fixture->issues, event, 1, &err) < 0)
        fail_msg("%s", err.text);
}

struct listing {
    struct issue at[ISSUES_LIMIT_MAX];
    size_t count;
};

static void keep_issue(void *arg, const struct issue *issue)
{
    struct listing *listing = arg;
    listing->at[listing->count++] = *issue;
}

static struct listing *list(struct fixture *fixture, struct issue_filter filter)
{
    struct listing *listing = alloc_zeroed(1, sizeof *listing);
    struct error err = {0};
    if (issues_list(fixture->issues, &filter, keep_issue, listing, &err) < 0)
        fail_msg("%s", err.text);
    return listing;
}

static size_t list_count(struct fixture *fixture, struct issue_filter filter)
{
    struct listing *listing = list(fixture, filter);
    size_t count = listing->count;
    free(listing);
    return count;
}

/* --- against a model --- */

#define MODEL_PROBLEMS 12
#define MODEL_IDS      3000

struct model {
    uint64_t count, users;
    int64_t first, last;
    bool user_seen[64];
};

static void check_model(struct fixture *fixture, const struct model *model)
{
    struct issue_filter all = {.level = -1, .status = -1, .limit = 100};
    struct listing *listing = list(fixture, all);
    size_t expected = 0;
    for (unsigned problem = 0; problem < MODEL_PROBLEMS; problem++)
        expected += model[problem].count > 0;
    assert_int_equal(listing->count, expected);
    for (size_t i = 0; i < listing->count; i++) {
        const struct issue *issue = &listing->at[i];
        const struct model *wanted = &model[issue->hash[1]];
        assert_int_equal(issue->count, wanted->count);
        assert_int_equal(issue->users, wanted->users);
        assert_int_equal(issue->first_seen_ms, wanted->first);
        assert_int_equal(issue->last_seen_ms, wanted->last);
        if (i > 0)
            assert_true(issue->last_seen_ms <= listing->at[i - 1].last_seen_ms);
    }
    free(listing);
}

static void counts_like_the_model_through_restarts(void **state)
{
    struct fixture *fixture = *state;
    struct model model[MODEL_PROBLEMS] = {0};
    bool *id_seen = alloc_zeroed(MODEL_IDS, sizeof *id_seen);
    srand(11);
    for (int i = 0; i < 3000; i++) {
        unsigned number = (unsigned)rand() % MODEL_IDS;
        unsigned problem = number % MODEL_PROBLEMS;
        struct issue_event event = make_event("web", problem, number);
        unsigned user = (unsigned)rand() % 64;
        event.user = (user + 1) * 0x9e3779b97f4a7c15ull; /* a hash */
        event.time_ms = DAY_ZERO - rand() % 1000000;
        record(fixture, &event);
        assert_int_equal(event.duplicate, id_seen[number]);
        struct model *wanted = &model[problem];
        if (!id_seen[number]) {
            wanted->first =
                wanted->count && wanted->first < event.time_ms ? wanted->first : event.time_ms;
            wanted->last =
                wanted->count && wanted->last > event.time_ms ? wanted->last : event.time_ms;
            wanted->count++;
            wanted->users += !wanted->user_seen[user];
            wanted->user_seen[user] = true;
        }
        id_seen[number] = true;
        if (i % 500 == 499) {
            check_model(fixture, model);
            close_all(fixture);
            open_all(fixture);
            check_model(fixture, model);
        }
    }
    free(id_seen);
}

/* --- listing --- */

static void lists_what_matches(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned i = 0; i < 30; i++) {
        struct issue_event event = make_event(i % 2 ? "web" : "api", i, i);
        event.time_ms = DAY_ZERO + i * 1000;
        record(fixture, &event);
    }
    struct issue_filter filter = {.level = -1, .status = -1, .limit = 100};
    assert_int_equal(list_count(fixture, filter), 30);
    filter.project = SLICE("api");
    assert_int_equal(list_count(fixture, filter), 15);
    filter.project = SLICE("ap");
    assert_int_equal(list_count(fixture, filter), 0);
    filter.project = SLICE("");
    filter.query = SLICE("NOT f");
    assert_int_equal(list_count(fixture, filter), 10);
    filter.query = SLICE("webTimeout"); /* the project is no part of the title */
    assert_int_equal(list_count(fixture, filter), 0);
    filter.query = SLICE("");
    filter.level = LEVEL_FATAL;
    assert_int_equal(list_count(fixture, filter), 6);
    filter.level = -1;
    filter.status = ISSUE_UNRESOLVED;
    filter.limit = 7;
    struct listing *listing = list(fixture, filter);
    assert_int_equal(listing->count, 7);
    for (unsigned i = 0; i < 7; i++)
        assert_int_equal(listing->at[i].last_seen_ms, DAY_ZERO + (29 - i) * 1000);
    free(listing);
    filter.limit = 0;
    assert_int_equal(list_count(fixture, filter), 0);
}

static void shows_one_issue(void **state)
{
    struct fixture *fixture = *state;
    struct issue_event event = make_event("web", 0, 1);
    struct issue issue;
    struct error err = {0};
    record(fixture, &event);
    event = make_event("web", 0, 2);
    event.title = SLICE("another title");
    event.release = SLICE("web@2");
    record(fixture, &event);
    assert_int_equal(issues_get(fixture->issues, SLICE("7700000000000000"), &issue, &err), 1);
    assert_string_equal(issue.id, "7700000000000000");
    assert_string_equal(issue.project, "web");
    assert_string_equal(issue.title, "TypeError: no foo");
    assert_string_equal(issue.first_release, "web@1");
    assert_string_equal(issue.release, "web@2");
    assert_string_equal(issue.last_event, "00000000000000000000000000000002");
    assert_int_equal(issue.count, 2);
    static const char *const absent[] = {"7700000000000001", "", "77", "../../issue",
                                         "770000000000000g"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        assert_int_equal(issues_get(fixture->issues, slice_of_string(absent[i]), &issue, &err), 0);
}

/* --- bodies --- */

struct bodies {
    size_t count;
    char newest[EVENT_ID_LEN + 1];
    char oldest[EVENT_ID_LEN + 1];
};

static bool keep_body(void *arg, const struct issue_body *body)
{
    struct bodies *bodies = arg;
    assert_int_equal(body->event_id.len, EVENT_ID_LEN);
    assert_true(slice_equal_string(body->body, "{\"message\":\"m\"}"));
    memcpy(bodies->count++ ? bodies->oldest : bodies->newest, body->event_id.at, EVENT_ID_LEN);
    return true;
}

static struct bodies read_bodies(struct fixture *fixture, const char *id)
{
    struct bodies bodies = {0};
    struct error err = {0};
    assert_int_equal(issues_events(fixture->issues, slice_of_string(id), keep_body, &bodies, &err),
                     0);
    return bodies;
}

static void keeps_a_sample_of_bodies_and_counts_all(void **state)
{
    struct fixture *fixture = *state;
    struct issue issue;
    struct error err = {0};
    for (unsigned i = 1; i <= 450; i++) {
        struct issue_event event = make_event("web", 0, i);
        record(fixture, &event);
    }
    assert_int_equal(issues_get(fixture->issues, SLICE("7700000000000000"), &issue, &err), 1);
    assert_int_equal(issue.count, 450);
    /* 100, then 50 of the next 100, 50 of the next 200, 6 of the next 50. */
    assert_int_equal(issue.stored, 206);
    struct bodies bodies = read_bodies(fixture, "7700000000000000");
    assert_int_equal(bodies.count, 206);
    assert_string_equal(bodies.newest, "000000000000000000000000000001c0");
    assert_string_equal(bodies.oldest, "00000000000000000000000000000001");
}

static void counts_many_users_within_two_percent(void **state)
{
    struct fixture *fixture = *state;
    struct issue issue;
    struct error err = {0};
    uint64_t hash = 1;
    for (unsigned i = 1; i <= 3000; i++) {
        struct issue_event event = make_event("web", 0, i);
        hash = hash * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        event.user = hash ^ (hash >> 29);
        record(fixture, &event);
        if (i == 200 || i == 2000) {
            close_all(fixture);
            open_all(fixture);
        }
    }
    assert_int_equal(issues_get(fixture->issues, SLICE("7700000000000000"), &issue, &err), 1);
    assert_in_range(issue.users, 2940, 3060);
}

static int put_old_users(void *arg, struct store_batch *batch, struct error *err)
{
    (void)err;
    store_batch_put(batch, SLICE("issue-users/7700000000000000"),
                    buffer_slice((const struct buffer *)arg));
    return 0;
}

/* Documents of stores of before: 64-bit hashes, ... */
static void append_old_hashes(struct buffer *out)
{
    buffer_append_char(out, 'e');
    for (uint64_t i = 0; i < 100; i++)
        buffer_append_u64le(out, i << 50 | 1);
}

/* ... or 2^14 registers that have seen 2,000 users. */
static void append_old_registers(struct buffer *out)
{
    unsigned char registers[1 << 14] = {0};
    uint64_t hash = 1;
    for (int i = 0; i < 2000; i++) {
        hash = hash * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t user = hash ^ (hash >> 29), rest = user << 14 | 1 << 13;
        unsigned char rank = (unsigned char)(__builtin_clzll(rest) + 1);
        if (registers[user >> 50] < rank)
            registers[user >> 50] = rank;
    }
    buffer_append_char(out, 'd');
    buffer_append(out, registers, sizeof registers);
}

static void reads_users_of_old_stores(void **state)
{
    struct fixture *fixture = *state;
    static void (*const forms[])(struct buffer *) = {append_old_hashes, append_old_registers};
    static const uint64_t expected[][2] = {{101, 101}, {1900, 2100}};
    struct issue_event event = make_event("web", 0, 0);
    record(fixture, &event);
    for (unsigned i = 0; i < 2; i++) {
        struct buffer old;
        struct issue issue;
        struct error err = {0};
        buffer_init(&old, 1 << 15);
        forms[i](&old);
        if (writer_call(fixture->writer, false, put_old_users, &old, &err) < 0)
            fail_msg("%s", err.text);
        close_all(fixture);
        open_all(fixture);
        event = make_event("web", 0, i + 1);
        event.user = UINT64_C(5) << 60;
        record(fixture, &event);
        assert_int_equal(issues_get(fixture->issues, SLICE("7700000000000000"), &issue, &err), 1);
        assert_in_range(issue.users, expected[i][0], expected[i][1]);
        buffer_release(&old);
    }
}

/* --- forgetting --- */

static int run_maintain(void *arg, struct store_batch *batch, struct error *err)
{
    struct fixture *fixture = arg;
    return issues_maintain(fixture->issues, batch, clock_now_ms(), err);
}

static void maintain(struct fixture *fixture, int64_t now_ms)
{
    struct error err = {0};
    clock_set_ms(now_ms);
    if (writer_call(fixture->writer, false, run_maintain, fixture, &err) < 0)
        fail_msg("%s", err.text);
}

static bool count_key(void *arg, struct slice key, struct slice value)
{
    (void)key;
    (void)value;
    (*(size_t *)arg)++;
    return true;
}

static size_t documents(struct fixture *fixture)
{
    struct store_scan scan = {.prefix = SLICE("issue")};
    struct error err = {0};
    size_t count = 0;
    assert_int_equal(store_scan(fixture->store, &scan, count_key, &count, &err), 0);
    return count;
}

static void forgets_what_is_past_retention(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned day = 0; day < 8; day++) {
        struct issue_event event = make_event("web", 0, day);
        event.time_ms = event.received_ms = DAY_ZERO + day * ISSUE_DAY_MS;
        event.user = day + 1;
        record(fixture, &event);
    }
    struct issue_event event = make_event("web", 1, 100);
    record(fixture, &event);
    /* 2 issues, 1 user set, 9 bodies, 9 seen ids. */
    assert_int_equal(documents(fixture), 21);
    /* Day 8: ids before yesterday go. */
    maintain(fixture, DAY_ZERO + 8 * ISSUE_DAY_MS);
    assert_int_equal(documents(fixture), 13);
    /* Day 12: what came on the days 0 and 1 goes, and the issue that only had such events. */
    maintain(fixture, DAY_ZERO + 12 * ISSUE_DAY_MS);
    assert_int_equal(read_bodies(fixture, "7700000000000000").count, 6);
    struct issue_filter all = {.level = -1, .status = -1, .limit = 100};
    assert_int_equal(list_count(fixture, all), 1);
    assert_int_equal(documents(fixture), 8);
    maintain(fixture, DAY_ZERO + 40 * ISSUE_DAY_MS);
    assert_int_equal(list_count(fixture, all), 0);
    assert_int_equal(documents(fixture), 0);
    /* The same problem again is a new issue. */
    record(fixture, &event);
    assert_int_equal(list_count(fixture, all), 1);
}

static void knows_an_id_for_a_day_at_least(void **state)
{
    struct fixture *fixture = *state;
    struct issue_event event = make_event("web", 0, 1);
    record(fixture, &event);
    event.received_ms = DAY_ZERO + 2 * ISSUE_DAY_MS - 1;
    record(fixture, &event);
    assert_true(event.duplicate);
    struct issue_event other = make_event("api", 0, 1);
    record(fixture, &other);
    assert_false(other.duplicate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts_like_the_model_through_restarts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lists_what_matches, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shows_one_issue, set_up, tear_down),
        cmocka_unit_test_setup_teardown(keeps_a_sample_of_bodies_and_counts_all, set_up, tear_down),
        cmocka_unit_test_setup_teardown(counts_many_users_within_two_percent, set_up, tear_down),
        cmocka_unit_test_setup_teardown(reads_users_of_old_stores, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forgets_what_is_past_retention, set_up, tear_down),
        cmocka_unit_test_setup_teardown(knows_an_id_for_a_day_at_least, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("issue", tests, NULL, NULL);
}
