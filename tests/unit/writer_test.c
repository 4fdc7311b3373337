/* writer: groups of jobs, refusals inside them, and tidying between them. */
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include "server/writer.h"
#include "tests/unit/store_fixture.h"

struct test_job {
    struct writer_job job; /* first: the job is the test's */
    const char *key;       /* put into the store; NULL = refuse */
    int status;            /* as told to done; 1 = not yet */
    char why[100];
};

static sem_t entered, released, finished;

static int run(struct writer_job *job, struct store_batch *batch, struct error *err)
{
    struct test_job *test = (struct test_job *)job;
    if (!test->key)
        return error_set(err, ERROR_LIMIT, "too much of it");
    store_batch_put(batch, slice_of_string(test->key), SLICE("value"));
    return 0;
}

/* Keeps the writer busy until the others are queued, so that they become one group. */
static int run_gate(struct writer_job *job, struct store_batch *batch, struct error *err)
{
    (void)job, (void)batch, (void)err;
    sem_post(&entered);
    sem_wait(&released);
    return 0;
}

static void done(struct writer_job *job, int status, const struct error *err)
{
    struct test_job *test = (struct test_job *)job;
    test->status = status;
    if (status)
        snprintf(test->why, sizeof test->why, "%.90s", err->text);
    sem_post(&finished);
}

static bool has(struct store *store, const char *key)
{
    struct buffer value;
    struct error err = {0};
    buffer_init(&value, 100);
    int found = store_get(store, slice_of_string(key), &value, &err);
    buffer_release(&value);
    return found == 1;
}

static void submit(struct writer *writer, struct test_job *test)
{
    test->status = 1;
    test->job.done = done;
    if (!test->job.run)
        test->job.run = run;
    assert_int_equal(writer_submit(writer, &test->job), 0);
}

static void a_refused_job_leaves_its_group(void **state)
{
    (void)state;
    struct store *store = open_store();
    struct writer *writer = writer_start(store, 16);
    struct test_job gate = {.job.run = run_gate};
    struct test_job jobs[] = {{.key = NULL}, {.key = "a"}, {.key = NULL}, {.key = "b"}};
    sem_init(&entered, 0, 0);
    sem_init(&released, 0, 0);
    sem_init(&finished, 0, 0);
    submit(writer, &gate);
    sem_wait(&entered);
    for (size_t i = 0; i < 4; i++)
        submit(writer, &jobs[i]);
    sem_post(&released);
    for (size_t i = 0; i < 5; i++)
        sem_wait(&finished);
    assert_int_equal(gate.status, 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(jobs[i].status, jobs[i].key ? 0 : -1);
        assert_string_equal(jobs[i].why, jobs[i].key ? "" : "too much of it");
    }
    assert_true(has(store, "a") && has(store, "b"));
    writer_stop(writer);
    store_close(store);
}

static int put_now(void *arg, struct store_batch *batch, struct error *err)
{
    (void)arg, (void)err;
    store_batch_put(batch, SLICE("now"), SLICE("value"));
    return 0;
}

static void what_is_queued_is_finished_at_a_stop(void **state)
{
    (void)state;
    struct store *store = open_store();
    struct writer *writer = writer_start(store, 16);
    struct error err = {0};
    struct test_job gate = {.job.run = run_gate}, late = {.key = "late"};
    sem_init(&entered, 0, 0);
    sem_init(&released, 0, 1);
    sem_init(&finished, 0, 0);
    submit(writer, &gate);
    submit(writer, &late);
    assert_int_equal(writer_call(writer, true, put_now, NULL, &err), 0);
    assert_int_equal(writer_maintain(writer, START_MS, &err), 0);
    writer_stop(writer);
    assert_int_equal(late.status, 0);
    assert_true(has(store, "late") && has(store, "now"));
    store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_refused_job_leaves_its_group, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_queued_is_finished_at_a_stop, setup, teardown),
    };
    return cmocka_run_group_tests_name("writer", tests, NULL, NULL);
}
