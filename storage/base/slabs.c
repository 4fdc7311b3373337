/* slabs: each has things of one size, and is found by the address of any of them.
 *
 *   32 KiB boundary                                                            32 KiB boundary
 *   | slab: header 64 | thing | thing | (given back) | thing | (never taken) ... | 64 left to the heap |
 *
 * The heap puts a header of its own before each slab; the bytes left at the end are room for that of the next
 * one, so that slabs can lie side by side. One empty slab of a size is kept.
 */
#include "storage/base/slabs.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/alloc.h"

#define SLAB_ALIGNMENT ((size_t)32 << 10)
#define SLAB_BYTES     (SLAB_ALIGNMENT - 64)
#define HEADER_BYTES   64
#define UNIT_BYTES     8

struct slab {
    struct slab *next, *before; /* in the list of those with room; before is NULL for the first */
    void *unused;               /* those given back, each pointing to the next */
    uint32_t used;
    uint16_t fresh;    /* never taken, */
    uint16_t fresh_at; /* from here on */
};

static size_t class_of(size_t size)
{
    return (size + UNIT_BYTES - 1) / UNIT_BYTES;
}

static bool is_full(const struct slab *slab)
{
    return !slab->unused && !slab->fresh;
}

static void link_slab(struct slabs *slabs, size_t kind, struct slab *slab)
{
    slab->before = NULL;
    slab->next = slabs->open[kind];
    if (slab->next)
        slab->next->before = slab;
    slabs->open[kind] = slab;
}

static void unlink_slab(struct slabs *slabs, size_t kind, struct slab *slab)
{
    if (slab->next)
        slab->next->before = slab->before;
    if (slab->before)
        slab->before->next = slab->next;
    else
        slabs->open[kind] = slab->next;
}

static struct slab *add_slab(struct slabs *slabs, size_t kind)
{
    struct slab *slab = alloc_aligned(SLAB_ALIGNMENT, SLAB_BYTES);
    *slab = (struct slab){
        .fresh = (uint16_t)((SLAB_BYTES - HEADER_BYTES) / (kind * UNIT_BYTES)),
        .fresh_at = HEADER_BYTES,
    };
    link_slab(slabs, kind, slab);
    slabs->count++;
    return slab;
}

static void free_slab(struct slabs *slabs, size_t kind, struct slab *slab)
{
    assert(slab->used == 0);
    unlink_slab(slabs, kind, slab);
    free(slab);
    slabs->count--;
}

void slabs_release(struct slabs *slabs)
{
    for (size_t kind = 0; kind < SLABS_CLASSES; kind++)
        if (slabs->open[kind])
            free_slab(slabs, kind, slabs->open[kind]);
    assert(slabs->count == 0);
}

void *slabs_take(struct slabs *slabs, size_t size)
{
    size_t kind = class_of(size);
    if (kind == 0 || kind >= SLABS_CLASSES)
        return alloc_zeroed(1, size);
    struct slab *slab = slabs->open[kind] ? slabs->open[kind] : add_slab(slabs, kind);
    void *thing = slab->unused;
    if (thing) {
        memcpy(&slab->unused, thing, sizeof slab->unused);
    } else {
        thing = (char *)slab + slab->fresh_at;
        slab->fresh_at = (uint16_t)(slab->fresh_at + kind * UNIT_BYTES);
        slab->fresh--;
    }
    slab->used++;
    if (is_full(slab))
        unlink_slab(slabs, kind, slab);
    return memset(thing, 0, kind * UNIT_BYTES);
}

void slabs_give(struct slabs *slabs, void *owned, size_t size)
{
    size_t kind = class_of(size);
    if (kind == 0 || kind >= SLABS_CLASSES) {
        free(owned);
        return;
    }
    struct slab *slab = (struct slab *)(void *)((char *)owned - (uintptr_t)owned % SLAB_ALIGNMENT);
    assert(slab->used > 0);
    if (is_full(slab))
        link_slab(slabs, kind, slab);
    memcpy(owned, &slab->unused, sizeof slab->unused);
    slab->unused = owned;
    slab->used--;
    if (slab->used == 0 && (slab->next || slab->before))
        free_slab(slabs, kind, slab);
}
