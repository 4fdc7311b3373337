/* queue: a ring of pointers under one mutex. Crossings are rare (a batch of packets, a tick, a request), so
 * there is nothing cleverer here than whom an item wakes: of those who wait for one, the last that came.
 * Its stack and its heap are still in the processor's caches, those of the others may rest. */
#include "storage/base/queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "storage/base/alloc.h"

/* A consumer that waits, on its stack. */
struct waiter {
    struct waiter *earlier;
    pthread_cond_t woken;
    bool waits; /* it is in the list */
};

struct queue {
    pthread_mutex_t mutex;
    struct waiter *latest;
    pthread_cond_t not_full;
    void (*wake)(void *);
    void *wake_arg;
    void **ring;
    size_t capacity;
    size_t head;
    size_t count;
    bool closed;
};

struct queue *queue_new(size_t count_max, void (*wake)(void *), void *wake_arg)
{
    assert(count_max > 0);
    struct queue *queue = alloc_zeroed(1, sizeof *queue);
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_cond_init(&queue->not_full, NULL);
    queue->ring = alloc_zeroed(count_max, sizeof *queue->ring);
    queue->capacity = count_max;
    queue->wake = wake;
    queue->wake_arg = wake_arg;
    return queue;
}

void queue_free(struct queue *queue)
{
    if (!queue)
        return;
    pthread_mutex_destroy(&queue->mutex);
    pthread_cond_destroy(&queue->not_full);
    free(queue->ring);
    free(queue);
}

/* --- who waits for an item; all under the mutex --- */

static void wake_latest(struct queue *queue)
{
    struct waiter *waiter = queue->latest;
    if (!waiter)
        return;
    queue->latest = waiter->earlier;
    waiter->waits = false;
    pthread_cond_signal(&waiter->woken);
}

static void leave_list(struct queue *queue, const struct waiter *waiter)
{
    struct waiter **at = &queue->latest;
    while (*at != waiter)
        at = &(*at)->earlier;
    *at = waiter->earlier;
}

/* Until there is an item, the queue is closed, or that time (NULL: for ever). */
static void await_item(struct queue *queue, const struct timespec *until)
{
    struct waiter waiter = {.waits = false};
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&waiter.woken, &attr);
    pthread_condattr_destroy(&attr);
    for (int status = 0; queue->count == 0 && !queue->closed && status != ETIMEDOUT;) {
        if (!waiter.waits) {
            waiter.waits = true;
            waiter.earlier = queue->latest;
            queue->latest = &waiter;
        }
        status = until ? pthread_cond_timedwait(&waiter.woken, &queue->mutex, until)
                       : pthread_cond_wait(&waiter.woken, &queue->mutex);
    }
    if (waiter.waits)
        leave_list(queue, &waiter);
    pthread_cond_destroy(&waiter.woken);
}

/* --- items --- */

static int push(struct queue *queue, void *item, bool wait)
{
    assert(item);
    pthread_mutex_lock(&queue->mutex);
    while (wait && !queue->closed && queue->count == queue->capacity)
        pthread_cond_wait(&queue->not_full, &queue->mutex);
    bool admitted = !queue->closed && queue->count < queue->capacity;
    /* Read under the mutex: once the item is visible its consumer may free the queue. */
    void (*wake)(void *) = admitted && queue->count == 0 ? queue->wake : NULL;
    void *wake_arg = queue->wake_arg;
    if (admitted) {
        queue->ring[(queue->head + queue->count) % queue->capacity] = item;
        queue->count++;
        wake_latest(queue);
    }
    pthread_mutex_unlock(&queue->mutex);
    if (wake)
        wake(wake_arg);
    return admitted ? 0 : -1;
}

int queue_push(struct queue *queue, void *item)
{
    return push(queue, item, true);
}

int queue_try_push(struct queue *queue, void *item)
{
    return push(queue, item, false);
}

/* Under the mutex; NULL when empty. */
static void *take(struct queue *queue)
{
    if (queue->count == 0)
        return NULL;
    void *item = queue->ring[queue->head];
    queue->head = (queue->head + 1) % queue->capacity;
    queue->count--;
    pthread_cond_signal(&queue->not_full);
    return item;
}

void *queue_pop(struct queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    await_item(queue, NULL);
    void *item = take(queue);
    pthread_mutex_unlock(&queue->mutex);
    return item;
}

void *queue_pop_timeout(struct queue *queue, int64_t timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t ns = until.tv_nsec + (timeout_ms % 1000) * 1000000;
    until.tv_sec += timeout_ms / 1000 + ns / 1000000000;
    until.tv_nsec = ns % 1000000000;
    pthread_mutex_lock(&queue->mutex);
    await_item(queue, &until);
    void *item = take(queue);
    pthread_mutex_unlock(&queue->mutex);
    return item;
}

void *queue_try_pop(struct queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    void *item = take(queue);
    pthread_mutex_unlock(&queue->mutex);
    return item;
}

void queue_close(struct queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->closed = true;
    while (queue->latest)
        wake_latest(queue);
    pthread_cond_broadcast(&queue->not_full);
    pthread_mutex_unlock(&queue->mutex);
    if (queue->wake)
        queue->wake(queue->wake_arg);
}

bool queue_is_closed(struct queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    bool closed = queue->closed;
    pthread_mutex_unlock(&queue->mutex);
    return closed;
}
