/* pool: slabs cut from the front; a list through those given back.
 *
 *   slab  [ header 16 | up to the next cache line | thing | thing | thing | ......... ]   256 KiB
 *           <-- slab_left of them are not taken yet -->|
 */
#include "storage/base/pool.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/alloc.h"

#define SLAB_BYTES   ((size_t)256 << 10)
#define LINE_BYTES   64 /* things of this size are aligned to it */
#define HEADER_BYTES LINE_BYTES

struct pool_slab {
    struct pool_slab *next;
    size_t index; /* counts slabs from 1 */
};

void pool_init(struct pool *pool, size_t size)
{
    assert(size >= sizeof(void *) && size % 8 == 0 && size < SLAB_BYTES / 2);
    *pool = (struct pool){.size = size};
}

void pool_release(struct pool *pool)
{
    while (pool->slabs) {
        struct pool_slab *next = pool->slabs->next;
        free(pool->slabs);
        pool->slabs = next;
    }
    pool_init(pool, pool->size);
}

static void add_slab(struct pool *pool)
{
    struct pool_slab *slab = alloc_zeroed(1, SLAB_BYTES);
    slab->next = pool->slabs;
    slab->index = pool->slabs ? pool->slabs->index + 1 : 1;
    pool->slabs = slab;
    pool->slab_left = (SLAB_BYTES - HEADER_BYTES) / pool->size;
}

/* The heap gives multiples of 16, so there are 16 to 64 bytes before the next line. */
static char *first_of(struct pool_slab *slab)
{
    uintptr_t at = (uintptr_t)slab;
    return (char *)slab + (LINE_BYTES - at % LINE_BYTES);
}

void *pool_take(struct pool *pool)
{
    pool->used++;
    if (pool->unused) {
        void *at = pool->unused;
        memcpy(&pool->unused, at, sizeof pool->unused);
        return memset(at, 0, pool->size);
    }
    if (pool->slab_left == 0)
        add_slab(pool);
    pool->slab_left--;
    return first_of(pool->slabs) + pool->slab_left * pool->size;
}

void pool_give(struct pool *pool, void *owned)
{
    assert(pool->used > 0);
    pool->used--;
    memcpy(owned, &pool->unused, sizeof pool->unused);
    pool->unused = owned;
}

size_t pool_bytes(const struct pool *pool)
{
    return pool->slabs ? pool->slabs->index * SLAB_BYTES : 0;
}
