/* fan: threads that look for a task with a batch to make.
 *
 *   batches   0  1  2  3 | 4  5  6  7  8 | 9 ...
 *             taken      | made, or      | not begun
 *                        | being made    |
 *                        ^ taken         ^ next
 *
 * The slots are a ring, batch b lies in slot b % slots; a batch is begun only while its slot is free,
 * which bounds what is held. The tasks that may need help are a list: helpers serve the first one
 * that has batches to give, and stay with it while it has. One whose slots are full they leave (its
 * sink may be slow), to come back when half of them are free: taking a seat is not for nothing.
 */
#include "query/fan.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "storage/base/alloc.h"

/* A task under way, on the stack of its thread. */
struct job {
    const struct fan_task *task;
    struct job *newer;
    size_t next, taken;
    size_t helpers;
    bool ended; /* no batch is begun any more */
    bool made[FAN_SLOTS_MAX];
    bool seated[FAN_THREADS_MAX];
    pthread_cond_t changed; /* a batch was made, or a helper has left */
};

struct fan {
    pthread_mutex_t lock;
    pthread_cond_t work; /* there may be a batch to make */
    struct job *oldest;
    bool closing;
    size_t threads; /* helpers and the one who asks */
    pthread_t helpers[FAN_THREADS_MAX];
};

size_t fan_seats(const struct fan *fan)
{
    return fan->threads;
}

size_t fan_slots(const struct fan *fan)
{
    return 2 * fan->threads;
}

static bool has_batch(const struct fan *fan, const struct job *job)
{
    return !job->ended && job->next < job->task->batches && job->next - job->taken < fan_slots(fan);
}

/* Under the lock, which is given up while the batch is made. */
static void make_next(struct fan *fan, struct job *job, size_t seat)
{
    size_t batch = job->next++, slot = batch % fan_slots(fan);
    pthread_mutex_unlock(&fan->lock);
    job->task->make(job->task->arg, seat, slot, batch);
    pthread_mutex_lock(&fan->lock);
    job->made[slot] = true;
}

/* --- helpers --- */

static bool wants_help(const struct fan *fan, const struct job *job)
{
    return has_batch(fan, job) && job->next - job->taken <= fan_slots(fan) / 2;
}

static struct job *job_to_help(const struct fan *fan)
{
    struct job *job = fan->oldest;
    while (job && !wants_help(fan, job))
        job = job->newer;
    return job;
}

/* Seat 0 is that of the thread that asks; there is one for every helper. */
static size_t free_seat(const struct job *job)
{
    size_t seat = 1;
    while (job->seated[seat])
        seat++;
    return seat;
}

static void help(struct fan *fan, struct job *job)
{
    size_t seat = free_seat(job);
    job->seated[seat] = true;
    job->helpers++;
    while (has_batch(fan, job)) {
        make_next(fan, job, seat);
        pthread_cond_signal(&job->changed);
    }
    pthread_mutex_unlock(&fan->lock);
    job->task->leave(job->task->arg, seat);
    pthread_mutex_lock(&fan->lock);
    job->seated[seat] = false;
    job->helpers--;
    pthread_cond_signal(&job->changed);
}

static void *helper_main(void *arg)
{
    struct fan *fan = arg;
    pthread_mutex_lock(&fan->lock);
    while (!fan->closing) {
        struct job *job = job_to_help(fan);
        if (job)
            help(fan, job);
        else
            pthread_cond_wait(&fan->work, &fan->lock);
    }
    pthread_mutex_unlock(&fan->lock);
    return NULL;
}

struct fan *fan_new(size_t threads)
{
    struct fan *fan = alloc_zeroed(1, sizeof *fan);
    fan->threads = threads < 1 ? 1 : threads > FAN_THREADS_MAX ? FAN_THREADS_MAX : threads;
    pthread_mutex_init(&fan->lock, NULL);
    pthread_cond_init(&fan->work, NULL);
    for (size_t i = 1; i < fan->threads; i++) {
        char name[] = "query-fan-0";
        int status = pthread_create(&fan->helpers[i], NULL, helper_main, fan);
        assert(status == 0);
        name[sizeof name - 2] = (char)('0' + i);
        pthread_setname_np(fan->helpers[i], name);
    }
    return fan;
}

void fan_free(struct fan *fan)
{
    if (!fan)
        return;
    pthread_mutex_lock(&fan->lock);
    assert(!fan->oldest);
    fan->closing = true;
    pthread_cond_broadcast(&fan->work);
    pthread_mutex_unlock(&fan->lock);
    for (size_t i = 1; i < fan->threads; i++)
        pthread_join(fan->helpers[i], NULL);
    pthread_cond_destroy(&fan->work);
    pthread_mutex_destroy(&fan->lock);
    free(fan);
}

/* --- the thread that asks --- */

static void list_job(struct fan *fan, struct job *job)
{
    struct job **at = &fan->oldest;
    while (*at)
        at = &(*at)->newer;
    *at = job;
    pthread_cond_broadcast(&fan->work);
}

static void unlist_job(struct fan *fan, struct job *job)
{
    struct job **at = &fan->oldest;
    while (*at != job)
        at = &(*at)->newer;
    *at = job->newer;
}

/* Under the lock, which is given up while the batch is taken. */
static void take_next(struct fan *fan, struct job *job)
{
    size_t batch = job->taken, slot = batch % fan_slots(fan);
    pthread_mutex_unlock(&fan->lock);
    bool more = job->task->take(job->task->arg, slot, batch);
    pthread_mutex_lock(&fan->lock);
    job->made[slot] = false;
    job->ended = !more;
    job->taken += more;
    if (wants_help(fan, job))
        pthread_cond_signal(&fan->work);
}

size_t fan_run(struct fan *fan, const struct fan_task *task)
{
    struct job job = {.task = task};
    pthread_cond_init(&job.changed, NULL);
    pthread_mutex_lock(&fan->lock);
    list_job(fan, &job);
    while (!job.ended && job.taken < task->batches) {
        if (job.made[job.taken % fan_slots(fan)])
            take_next(fan, &job);
        else if (has_batch(fan, &job))
            make_next(fan, &job, 0);
        else
            pthread_cond_wait(&job.changed, &fan->lock);
    }
    job.ended = true;
    while (job.helpers)
        pthread_cond_wait(&job.changed, &fan->lock);
    unlist_job(fan, &job);
    pthread_mutex_unlock(&fan->lock);
    pthread_cond_destroy(&job.changed);
    task->leave(task->arg, 0);
    return job.taken;
}
