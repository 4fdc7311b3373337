/* pool: many small things of one size, without a heap header each.
 *
 * What is given back is used again and never returned to the system before pool_release: the owner
 * bounds how many there are. One thread at a time.
 */
#ifndef STORAGE_BASE_POOL_H
#define STORAGE_BASE_POOL_H

#include <stddef.h>

struct pool {
    size_t size; /* of one, at least a pointer, a multiple of 8 */
    size_t used; /* taken and not given back */
    size_t slab_left;
    struct pool_slab *slabs; /* the newest first */
    void *unused;            /* those given back, each pointing to the next */
};

void pool_init(struct pool *pool, size_t size);
/* Frees everything, taken or not. */
void pool_release(struct pool *pool);
/* Zeroed. Never NULL. */
void *pool_take(struct pool *pool);
void pool_give(struct pool *pool, void *owned);
/* Bytes held, in use or not. */
size_t pool_bytes(const struct pool *pool);

#endif
