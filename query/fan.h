/* fan: a few threads of the process that help queries with their series.
 *
 * A task is a number of batches. Any thread makes one, the thread that runs the task takes what was
 * made in the order of the batches, so that nothing of an answer depends on how many threads there
 * were. That thread makes batches itself while it waits: a fan whose threads are busy elsewhere
 * costs nothing, and none is ever waited for but those that are in the midst of a batch.
 *
 * Knows nothing of queries. Inside, one mutex, which is held while neither making nor taking.
 */
#ifndef QUERY_FAN_H
#define QUERY_FAN_H

#include "storage/base/slice.h"

#define FAN_THREADS_MAX 8
/* Batches under way or made and not taken yet: enough that no thread waits for the others. */
#define FAN_SLOTS_MAX (2 * FAN_THREADS_MAX)

struct fan;

struct fan_task {
    size_t batches;
    void *arg;
    /* On any thread. The seat is the thread's alone until it returns, the slot the batch's alone until it
     * has been taken: seat < fan_seats, slot < fan_slots. */
    void (*make)(void *arg, size_t seat, size_t slot, size_t batch);
    /* On the same thread, when it gives the seat up after one or more batches. */
    void (*leave)(void *arg, size_t seat);
    /* On the thread that runs the task; false ends it. */
    bool (*take)(void *arg, size_t slot, size_t batch);
};

/* For work by `threads` at a time, the one that asks included: at least 1, at most FAN_THREADS_MAX. */
struct fan *fan_new(size_t threads);
/* No task may be running. NULL is fine. */
void fan_free(struct fan *fan);
size_t fan_seats(const struct fan *fan);
size_t fan_slots(const struct fan *fan);
/* Returns the number of batches taken with true: all of them, or where it ended. No thread is at work
 * for it any more. */
size_t fan_run(struct fan *fan, const struct fan_task *task);

#endif
