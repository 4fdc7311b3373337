/* arena: bump memory for one batch, request, flush or query, released whole.
 *
 * Nothing is freed singly. The cap is the budget of whoever owns the arena: beyond it
 * arena_alloc returns NULL and the flag `exhausted` stays set, so that a parser may check once at
 * its end. One thread at a time.
 */
#ifndef STORAGE_BASE_ARENA_H
#define STORAGE_BASE_ARENA_H

#include "storage/base/slice.h"

struct arena_block;

struct arena {
    struct arena_block *blocks;
    char *next;
    size_t left;
    size_t used;  /* bytes handed out since init or reset; may pass the limit by its padding */
    size_t limit; /* bytes */
    bool exhausted;
};

void arena_init(struct arena *arena, size_t limit);
/* Forgets all allocations; keeps the newest block for the next round. */
void arena_reset(struct arena *arena);
void arena_release(struct arena *arena);

/* Bytes that may still be asked for. */
static inline size_t arena_left(const struct arena *arena)
{
    return arena->used < arena->limit ? arena->limit - arena->used : 0;
}
/* 16-byte aligned, not zeroed; NULL once the limit is reached. */
MUST_USE void *arena_alloc(struct arena *arena, size_t size);
/* Gives back what the newest allocation, `size` bytes at `at`, does not need beyond `kept`. */
void arena_shrink(struct arena *arena, void *at, size_t size, size_t kept);
/* count * size bytes, zeroed; NULL once the limit is reached. */
MUST_USE void *arena_zeroed(struct arena *arena, size_t count, size_t size);
/* A copy that lives as long as the arena; {NULL, 0} once the limit is reached. */
struct slice arena_copy(struct arena *arena, struct slice s);
/* The same with a NUL behind it (not counted in len). */
struct slice arena_copy_string(struct arena *arena, struct slice s);
struct slice arena_format(struct arena *arena, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
