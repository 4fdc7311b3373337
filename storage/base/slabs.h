/* slabs: many small things of a few sizes, without a heap header each, whose memory goes back when they do.
 *
 * Other than a pool: what is given back is returned to the heap once its neighbours are. One thread at
 * a time.
 */
#ifndef STORAGE_BASE_SLABS_H
#define STORAGE_BASE_SLABS_H

#include <stddef.h>

#define SLABS_CLASSES 40 /* of 8 bytes; larger things have a heap header */

struct slabs {
    struct slab *open[SLABS_CLASSES]; /* lists of those with room */
    size_t count;                     /* of slabs */
};

/* All zero is an empty one. Everything must have been given back. */
void slabs_release(struct slabs *slabs);
/* Zeroed, aligned to 8, or to 64 where the size is a multiple of that. Never NULL. */
void *slabs_take(struct slabs *slabs, size_t size);
/* The size is that of slabs_take. */
void slabs_give(struct slabs *slabs, void *owned, size_t size);

#endif
