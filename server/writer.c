/* writer: see the header.
 *
 *   producers --> queue --> [ job job job ] --run--> one batch --commit--> done done done
 *
 * A group is what happens to wait, at most GROUP_JOBS_MAX: under load commits get larger instead
 * of more frequent. After each group that asked for it the log is fsynced once.
 */
#include "server/writer.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/base/metric.h"
#include "storage/base/queue.h"

#define GROUP_JOBS_MAX 256

enum { WRITER_COMMITS, WRITER_JOBS, WRITER_FAILURES, WRITER_COMMIT_SECONDS, WRITER_METRIC_COUNT };

static struct metric writer_metrics[WRITER_METRIC_COUNT] = {
    [WRITER_COMMITS] = {.name = "lapwing_store_commits_total",
                        .kind = METRIC_COUNTER,
                        .help = "Batches committed to the store."},
    [WRITER_JOBS] = {.name = "lapwing_store_jobs_total",
                     .kind = METRIC_COUNTER,
                     .help = "Writer jobs whose changes were committed."},
    [WRITER_FAILURES] = {.name = "lapwing_store_commit_failures_total",
                         .kind = METRIC_COUNTER,
                         .help = "Batches the store refused."},
    [WRITER_COMMIT_SECONDS] = {.name = "lapwing_store_commit_seconds_total",
                               .kind = METRIC_COUNTER,
                               .help = "Time spent committing.",
                               .scale = 1e-9},
};

struct writer {
    struct store *store;
    struct queue *queue;
    pthread_t thread;
};

/* Runs every job; what a job refuses is told at once and leaves the group. */
static size_t run_group(struct writer_job **jobs, size_t count, struct store_batch *batch,
                        bool *sync)
{
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        struct error err = {0};
        bool empty = store_batch_is_empty(batch);
        if (jobs[i]->run(jobs[i], batch, &err)) {
            assert(!empty || store_batch_is_empty(batch)); /* refused: it has added nothing */
            jobs[i]->done(jobs[i], -1, &err);
            continue;
        }
        *sync |= jobs[i]->sync;
        jobs[kept++] = jobs[i];
    }
    return kept;
}

static int commit(struct writer *writer, struct store_batch *batch, bool sync, struct error *err)
{
    if (store_batch_is_empty(batch))
        return 0;
    int64_t start = clock_monotonic_ns();
    int status = store_commit(writer->store, batch, sync, err);
    metric_add(&writer_metrics[WRITER_COMMIT_SECONDS], clock_monotonic_ns() - start);
    metric_add(&writer_metrics[status ? WRITER_FAILURES : WRITER_COMMITS], 1);
    if (status)
        log_error("commit", "error=\"%s\"", err->text);
    return status;
}

static void *writer_main(void *arg)
{
    struct writer *writer = arg;
    struct writer_job *jobs[GROUP_JOBS_MAX];
    pthread_setname_np(pthread_self(), "writer");
    while ((jobs[0] = queue_pop(writer->queue))) {
        size_t count = 1;
        while (count < GROUP_JOBS_MAX && (jobs[count] = queue_try_pop(writer->queue)))
            count++;
        /* A fresh batch a group: one that failed to commit is dropped whole. */
        struct store_batch *batch = store_batch_new(writer->store);
        struct error err = {0};
        bool sync = false;
        count = run_group(jobs, count, batch, &sync);
        int status = commit(writer, batch, sync, &err);
        store_batch_free(batch);
        if (!status)
            metric_add(&writer_metrics[WRITER_JOBS], (int64_t)count);
        for (size_t i = 0; i < count; i++)
            jobs[i]->done(jobs[i], status, &err);
    }
    return NULL;
}

struct writer *writer_start(struct store *store, size_t queue_max)
{
    struct writer *writer = alloc_zeroed(1, sizeof *writer);
    metric_register(writer_metrics, WRITER_METRIC_COUNT);
    writer->store = store;
    writer->queue = queue_new(queue_max, NULL, NULL);
    if (pthread_create(&writer->thread, NULL, writer_main, writer) != 0)
        abort();
    return writer;
}

void writer_stop(struct writer *writer)
{
    if (!writer)
        return;
    queue_close(writer->queue);
    pthread_join(writer->thread, NULL);
    queue_free(writer->queue);
    free(writer);
}

int writer_submit(struct writer *writer, struct writer_job *job)
{
    return queue_push(writer->queue, job);
}

int writer_try_submit(struct writer *writer, struct writer_job *job)
{
    return queue_try_push(writer->queue, job);
}

/* --- waiting --- */

struct call {
    struct writer_job job; /* first: the job is the call */
    int (*run)(void *arg, struct store_batch *batch, struct error *err);
    void *arg;
    struct error *err;
    int status;
    struct queue *finished; /* one item: the call itself */
};

static void finish(struct call *call, int status, const struct error *err)
{
    call->status = status;
    if (status && call->err)
        *call->err = *err;
    int pushed = queue_push(call->finished, call);
    (void)pushed; /* room for one, and nobody closes it */
}

static int wait_for(struct writer *writer, struct call *call)
{
    call->finished = queue_new(1, NULL, NULL);
    if (writer_submit(writer, &call->job) == 0)
        (void)queue_pop(call->finished);
    else
        call->status =
            error_set(call->err, ERROR_UNAVAILABLE, "the server is shutting down; send it again");
    queue_free(call->finished);
    return call->status;
}

static int call_run(struct writer_job *job, struct store_batch *batch, struct error *err)
{
    struct call *call = (struct call *)job;
    return call->run(call->arg, batch, err);
}

static void call_done(struct writer_job *job, int status, const struct error *err)
{
    finish((struct call *)job, status, err);
}

int writer_call(struct writer *writer, bool sync,
                int (*run)(void *arg, struct store_batch *batch, struct error *err), void *arg,
                struct error *err)
{
    struct call call = {.job = {.run = call_run, .done = call_done, .sync = sync},
                        .run = run,
                        .arg = arg,
                        .err = err};
    return wait_for(writer, &call);
}

/* --- tidying: a job without changes, whose work is done once its group is committed --- */

struct tidying {
    struct call call; /* first: see struct call */
    int (*run)(void *arg, struct error *err);
    void *arg;
};

static int add_nothing(struct writer_job *job, struct store_batch *batch, struct error *err)
{
    (void)job;
    (void)batch;
    (void)err;
    return 0;
}

/* The status of the commit is that of other jobs: tidying goes on after a failed one, because on a
 * full disk it is what makes room. */
static void tidy(struct writer_job *job, int status, const struct error *err)
{
    struct tidying *tidying = (struct tidying *)job;
    struct error fault = {0};
    (void)err;
    status = tidying->run(tidying->arg, &fault);
    finish(&tidying->call, status, &fault);
}

int writer_tidy(struct writer *writer, int (*run)(void *arg, struct error *err), void *arg,
                struct error *err)
{
    struct tidying tidying = {
        .call = {.job = {.run = add_nothing, .done = tidy}, .err = err}, .run = run, .arg = arg};
    return wait_for(writer, &tidying.call);
}

struct maintenance {
    struct store *store;
    int64_t now_ms;
};

static int maintain(void *arg, struct error *err)
{
    const struct maintenance *maintenance = arg;
    return store_maintain(maintenance->store, maintenance->now_ms, err);
}

int writer_maintain(struct writer *writer, int64_t now_ms, struct error *err)
{
    struct maintenance maintenance = {writer->store, now_ms};
    return writer_tidy(writer, maintain, &maintenance, err);
}
