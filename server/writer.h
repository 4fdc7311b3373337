/* writer: the one thread that changes the store.
 *
 * Others hand it jobs. It takes what is waiting, lets every job add its changes to one batch,
 * commits that batch once (group commit), and then tells each job how it went. State that is
 * read-modify-written (aggregation totals, issues, alert states) is only touched by jobs and so
 * needs no lock.
 */
#ifndef SERVER_WRITER_H
#define SERVER_WRITER_H

#include "storage/store.h"

struct writer;

struct writer_job {
    /* Writer thread. Adds changes to the batch. -1 with *err when refused; it must then have added
     * nothing (the other jobs of the group still commit). */
    int (*run)(struct writer_job *job, struct store_batch *batch, struct error *err);
    /* Writer thread, exactly once, after the commit: status 0 = durable; otherwise *err says why.
     * The job belongs to the callee again; must not block. */
    void (*done)(struct writer_job *job, int status, const struct error *err);
    bool sync; /* fsync the log before done */
};

/* queue_max: jobs waiting at most; beyond it submit blocks or refuses. */
struct writer *writer_start(struct store *store, size_t queue_max);
/* Finishes what is queued, then joins. NULL is fine. */
void writer_stop(struct writer *writer);

/* Asynchronous. Waits for room in the queue; -1 once the writer stops. */
MUST_USE int writer_submit(struct writer *writer, struct writer_job *job);
/* -1 at once when the queue is full or closed. */
MUST_USE int writer_try_submit(struct writer *writer, struct writer_job *job);

/* Runs `run` on the writer thread and waits for the commit. Never call it from the writer thread. */
MUST_USE int writer_call(struct writer *writer, bool sync,
                         int (*run)(void *arg, struct store_batch *batch, struct error *err),
                         void *arg, struct error *err);

/* Runs `run` on the writer thread between two groups, while no change is staged, and waits for it.
 * Even when commits fail. Never call it from the writer thread. */
MUST_USE int writer_tidy(struct writer *writer, int (*run)(void *arg, struct error *err), void *arg,
                         struct error *err);
/* The same for store_maintain. */
MUST_USE int writer_maintain(struct writer *writer, int64_t now_ms, struct error *err);

#endif
