/* issue, when the store refuses: what was not committed never happened, in memory either.
 *
 * The store below is a sorted list in memory whose commits and reads fail on demand; the real one
 * is what issue_test uses.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/ingest/issue_state.h"
#include "storage/base/alloc.h"

/* --- a store that fails on demand --- */

#define DOCUMENTS_MAX 10000

struct document {
    char *key;
    struct slice value; /* owned */
};

struct store {
    struct document documents[DOCUMENTS_MAX];
    size_t count;
    bool fail_commit;
    bool fail_read;
};

struct store_batch {
    struct document puts[DOCUMENTS_MAX]; /* value.at NULL = delete */
    size_t count;
};

static struct store the_store;
static double series_total;

struct store_batch *store_batch_new(struct store *store)
{
    (void)store;
    return alloc_zeroed(1, sizeof(struct store_batch));
}

void store_batch_free(struct store_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        free(batch->puts[i].key);
        free((void *)(uintptr_t)batch->puts[i].value.at);
    }
    free(batch);
}

bool store_batch_is_empty(const struct store_batch *batch)
{
    return batch->count == 0;
}

static void add_change(struct store_batch *batch, struct slice key, struct slice value)
{
    struct document *put = &batch->puts[batch->count++];
    put->key = alloc_zeroed(1, key.len + 1);
    memcpy(put->key, key.at, key.len);
    if (value.at) {
        char *copy = alloc_zeroed(1, value.len + 1);
        memcpy(copy, value.at, value.len);
        put->value = slice_make(copy, value.len);
    }
}

void store_batch_put(struct store_batch *batch, struct slice key, struct slice value)
{
    add_change(batch, key, value);
}

void store_batch_delete(struct store_batch *batch, struct slice key)
{
    add_change(batch, key, (struct slice){NULL, 0});
}

/* Place of the key, or where it would stand. */
static size_t place_of(const char *key, bool *found)
{
    size_t i = 0;
    while (i < the_store.count && strcmp(the_store.documents[i].key, key) < 0)
        i++;
    *found = i < the_store.count && strcmp(the_store.documents[i].key, key) == 0;
    return i;
}

static void apply(struct document *put)
{
    bool found;
    size_t at = place_of(put->key, &found);
    struct document *document = &the_store.documents[at];
    size_t behind = the_store.count - at;
    if (found) {
        free(document->key);
        free((void *)(uintptr_t)document->value.at);
        memmove(document, document + 1, (behind - 1) * sizeof *document);
        the_store.count--;
        behind--;
    }
    if (put->value.at) {
        memmove(document + 1, document, behind * sizeof *document);
        *document = *put;
        the_store.count++;
    } else {
        free(put->key);
    }
}

int store_commit(struct store *store, struct store_batch *batch, bool sync, struct error *err)
{
    (void)sync;
    if (store->fail_commit)
        return error_set(err, ERROR_UNAVAILABLE, "the disk is full");
    for (size_t i = 0; i < batch->count; i++)
        apply(&batch->puts[i]);
    batch->count = 0;
    return 0;
}

int store_get(struct store *store, struct slice key, struct buffer *out, struct error *err)
{
    bool found;
    char text[512];
    if (store->fail_read)
        return error_set(err, ERROR_INTERNAL, "the disk is broken");
    snprintf(text, sizeof text, SLICE_FMT, SLICE_ARG(key));
    size_t at = place_of(text, &found);
    if (found)
        buffer_append_slice(out, store->documents[at].value);
    return found;
}

int store_scan(struct store *store, const struct store_scan *scan,
               bool (*visit)(void *arg, struct slice key, struct slice value), void *arg,
               struct error *err)
{
    (void)err;
    for (size_t i = 0; i < store->count; i++) {
        struct document *at = &store->documents[scan->backward ? store->count - 1 - i : i];
        struct slice key = slice_of_string(at->key);
        if (slice_starts_with(key, scan->prefix) && !visit(arg, key, at->value))
            break;
    }
    return 0;
}

int store_maintain(struct store *store, int64_t now_ms, struct error *err)
{
    (void)store, (void)now_ms, (void)err;
    return 0;
}

void registry_count(struct registry *registry, struct labels labels, double n)
{
    (void)registry;
    assert_true(labels.count >= 3);
    series_total += n;
}

/* --- tests --- */

struct fixture {
    struct writer *writer;
    struct issues *issues;
};

static void open_issues(struct fixture *fixture, size_t issues_max)
{
    struct issues_options options = {
        .retention_ms = ISSUE_DAY_MS, .issues_max = issues_max, .cache_max = 2};
    struct error err = {0};
    fixture->writer = writer_start(&the_store, 100);
    options.store = &the_store;
    options.writer = fixture->writer;
    if (issues_open(&options, &fixture->issues, &err) < 0)
        fail_msg("%s", err.text);
}

static void close_issues(struct fixture *fixture)
{
    writer_stop(fixture->writer);
    issues_close(fixture->issues);
}

static int set_up(void **state)
{
    struct fixture *fixture = alloc_zeroed(1, sizeof *fixture);
    series_total = 0;
    open_issues(fixture, 1000);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    close_issues(*state);
    free(*state);
    for (size_t i = 0; i < the_store.count; i++) {
        free(the_store.documents[i].key);
        free((void *)(uintptr_t)the_store.documents[i].value.at);
    }
    memset(&the_store, 0, sizeof the_store);
    return 0;
}

static struct issue_event make_event(unsigned problem, unsigned number)
{
    struct issue_event event = {
        .project = SLICE("web"),
        .level = LEVEL_ERROR,
        .time_ms = 1000 * ISSUE_DAY_MS,
        .received_ms = 1000 * ISSUE_DAY_MS,
        .user = number + 1,
        .title = SLICE("title"),
        .body = SLICE("{}"),
    };
    event.hash[0] = (uint8_t)(problem >> 8);
    event.hash[1] = (uint8_t)problem;
    snprintf(event.id, sizeof event.id, "%016x%016x", problem, number);
    return event;
}

static int record(struct fixture *fixture, unsigned problem, unsigned number, struct error *err)
{
    struct issue_event event = make_event(problem, number);
    int status = issues_record(fixture->issues, &event, 1, err);
    return status < 0 ? status : event.duplicate;
}

static void add_count(void *arg, const struct issue *issue)
{
    *(uint64_t *)arg += issue->count;
}

static uint64_t total(struct fixture *fixture)
{
    struct issue_filter filter = {.level = -1, .status = -1, .limit = ISSUES_LIMIT_MAX};
    struct error err = {0};
    uint64_t count = 0;
    assert_int_equal(issues_list(fixture->issues, &filter, add_count, &count, &err), 0);
    return count;
}

static void a_failed_commit_never_happened(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    assert_int_equal(record(fixture, 1, 1, &err), 0);
    the_store.fail_commit = true;
    assert_int_equal(record(fixture, 1, 2, &err), -1);
    assert_int_equal(err.kind, ERROR_UNAVAILABLE);
    assert_string_equal(err.text, "the disk is full");
    assert_int_equal(record(fixture, 2, 1, &err), -1);
    the_store.fail_commit = false;
    assert_int_equal(total(fixture), 1);
    /* The same ids are welcome later: they are no duplicates. */
    assert_int_equal(record(fixture, 1, 2, &err), 0);
    assert_int_equal(record(fixture, 2, 1, &err), 0);
    assert_int_equal(record(fixture, 2, 1, &err), 1);
    assert_int_equal(total(fixture), 3);
    assert_true(series_total == 3);
}

static void a_failed_read_refuses_the_whole_request(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    assert_int_equal(record(fixture, 1, 1, &err), 0);
    the_store.fail_read = true;
    struct issue_event events[] = {make_event(1, 2), make_event(2, 2)};
    assert_int_equal(issues_record(fixture->issues, events, 2, &err), -1);
    the_store.fail_read = false;
    assert_int_equal(total(fixture), 1);
    assert_int_equal(issues_record(fixture->issues, events, 2, &err), 0);
    assert_int_equal(total(fixture), 3);
}

struct request {
    struct fixture *fixture;
    unsigned number;
    int status;
};

static void *request_main(void *arg)
{
    struct request *request = arg;
    struct error err = {0};
    request->status = record(request->fixture, 7, request->number / 2, &err);
    return NULL;
}

/* Eight requests at a time, two of each id: four count, or none. */
static void run_together(struct fixture *fixture, bool fail, int expected_new, int expected_old)
{
    struct request requests[8];
    pthread_t threads[8];
    int fresh = 0, old = 0;
    the_store.fail_commit = fail;
    for (unsigned i = 0; i < 8; i++) {
        requests[i] = (struct request){.fixture = fixture, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, request_main, &requests[i]), 0);
    }
    for (unsigned i = 0; i < 8; i++) {
        pthread_join(threads[i], NULL);
        fresh += requests[i].status == 0;
        old += requests[i].status == 1;
    }
    the_store.fail_commit = false;
    assert_int_equal(fresh, expected_new);
    assert_int_equal(old, expected_old);
}

static void requests_at_a_time_count_each_id_once(void **state)
{
    struct fixture *fixture = *state;
    run_together(fixture, true, 0, 0);
    assert_int_equal(total(fixture), 0);
    run_together(fixture, false, 4, 4);
    assert_int_equal(total(fixture), 4);
    run_together(fixture, false, 0, 8);
    assert_int_equal(total(fixture), 4);
}

/* One request may carry the same event twice: the second is known before the first is committed. */
static void a_request_counts_each_id_once(void **state)
{
    struct fixture *fixture = *state;
    struct issue_event events[] = {make_event(1, 1), make_event(1, 2), make_event(1, 1)};
    struct error err = {0};
    the_store.fail_commit = true;
    assert_int_equal(issues_record(fixture->issues, events, 3, &err), -1);
    the_store.fail_commit = false;
    assert_int_equal(issues_record(fixture->issues, events, 3, &err), 0);
    assert_false(events[0].duplicate || events[1].duplicate);
    assert_true(events[2].duplicate);
    assert_int_equal(total(fixture), 2);
}

static void beyond_the_limit_one_issue_takes_the_rest(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    close_issues(fixture);
    open_issues(fixture, 3);
    for (unsigned problem = 0; problem < 10; problem++)
        assert_int_equal(record(fixture, problem, 1, &err), 0);
    assert_int_equal(record(fixture, 2, 2, &err), 0);
    assert_int_equal(total(fixture), 11);
    assert_int_equal(fixture->issues->index.count, 4);
    close_issues(fixture);
    open_issues(fixture, 3);
    assert_int_equal(record(fixture, 11, 1, &err), 0);
    assert_int_equal(total(fixture), 12);
}

static void an_unreadable_document_is_named_at_start(void **state)
{
    struct fixture *fixture = *state;
    struct error err = {0};
    assert_int_equal(record(fixture, 1, 1, &err), 0);
    close_issues(fixture);
    bool found;
    struct document *document = &the_store.documents[place_of("issue/0001000000000000", &found)];
    size_t len = document->value.len;
    assert_true(found);
    document->value.len = len / 2;
    struct issues_options options = {
        .store = &the_store, .retention_ms = 1, .issues_max = 10, .cache_max = 2};
    struct issues *issues;
    assert_int_equal(issues_open(&options, &issues, &err), -1);
    assert_string_equal(err.text, "reading the error issues: the document issue/0001000000000000 "
                                  "is unreadable; restore a backup");
    document->value.len = len;
    open_issues(fixture, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_failed_commit_never_happened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_read_refuses_the_whole_request, set_up, tear_down),
        cmocka_unit_test_setup_teardown(requests_at_a_time_count_each_id_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_request_counts_each_id_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(beyond_the_limit_one_issue_takes_the_rest, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(an_unreadable_document_is_named_at_start, set_up,
                                        tear_down),
    };
    return cmocka_run_group_tests_name("issue_failure", tests, NULL, NULL);
}
