/* queue: the one way between threads. Bounded, closable, many producers and consumers.
 *
 * Items are pointers; who pops one owns it. A consumer that lives in an event loop gives a wake
 * callback (called by the pushing thread after a push to an empty queue) and drains with
 * queue_try_pop.
 */
#ifndef STORAGE_BASE_QUEUE_H
#define STORAGE_BASE_QUEUE_H

#include "storage/base/slice.h"

struct queue;

/* count_max: items held at most. wake may be NULL. */
struct queue *queue_new(size_t count_max, void (*wake)(void *), void *wake_arg);
/* The queue must be empty or its items owned elsewhere. NULL is fine. */
void queue_free(struct queue *queue);

/* Waits for room; -1 when the queue is closed (the item stays the caller's). */
MUST_USE int queue_push(struct queue *queue, void *item);
/* -1 at once when full or closed. */
MUST_USE int queue_try_push(struct queue *queue, void *item);
/* Waits for an item; NULL once the queue is closed and empty. */
void *queue_pop(struct queue *queue);
/* Waits at most timeout_ms; NULL on timeout, or closed and empty. */
void *queue_pop_timeout(struct queue *queue, int64_t timeout_ms);
/* NULL when empty. */
void *queue_try_pop(struct queue *queue);
/* Refuses further pushes and wakes everybody; what is inside can still be popped. */
void queue_close(struct queue *queue);
bool queue_is_closed(struct queue *queue);

#endif
