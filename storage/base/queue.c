/* queue: a ring of pointers under one mutex with two conditions. Crossings are rare (a batch of
 * packets, a tick, a request), so there is nothing cleverer here. */
#include "storage/base/queue.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "storage/base/alloc.h"

struct queue {
    pthread_mutex_t mutex;
    pthread_cond_t not_empty;
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
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_cond_init(&queue->not_empty, &attr);
    pthread_cond_init(&queue->not_full, &attr);
    pthread_condattr_destroy(&attr);
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
    pthread_cond_destroy(&queue->not_empty);
    pthread_cond_destroy(&queue->not_full);
    free(queue->ring);
    free(queue);
}

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
        pthread_cond_signal(&queue->not_empty);
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
    while (queue->count == 0 && !queue->closed)
        pthread_cond_wait(&queue->not_empty, &queue->mutex);
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
    while (queue->count == 0 && !queue->closed)
        if (pthread_cond_timedwait(&queue->not_empty, &queue->mutex, &until) == ETIMEDOUT)
            break;
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
    pthread_cond_broadcast(&queue->not_empty);
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
