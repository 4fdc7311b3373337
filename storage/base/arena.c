/* arena: a list of growing blocks; allocation is a pointer bump.
 *
 *   blocks -> [ header | used ......... next | left ]  -> older block -> ...
 *
 * Blocks double from 4 KiB to 1 MiB, so that a small request costs one small block and a large
 * query few large ones. A request larger than the next block gets a block of its own size.
 */
#include "storage/base/arena.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/base/alloc.h"

#define BLOCK_BYTES_MIN ((size_t)4096)
#define BLOCK_BYTES_MAX ((size_t)1 << 20)
#define ALIGNMENT       ((size_t)16)

struct arena_block {
    struct arena_block *older;
    size_t size;
    _Alignas(16) char bytes[];
};

void arena_init(struct arena *arena, size_t limit)
{
    *arena = (struct arena){.limit = limit};
}

static void arena_free_after(struct arena_block *block)
{
    while (block) {
        struct arena_block *older = block->older;
        free(block);
        block = older;
    }
}

void arena_reset(struct arena *arena)
{
    struct arena_block *keep = arena->blocks;
    if (keep) {
        arena_free_after(keep->older);
        keep->older = NULL;
        arena->next = keep->bytes;
        arena->left = keep->size;
    }
    arena->used = 0;
    arena->exhausted = false;
}

void arena_release(struct arena *arena)
{
    arena_free_after(arena->blocks);
    *arena = (struct arena){.limit = arena->limit};
}

static void arena_grow(struct arena *arena, size_t need)
{
    size_t size = arena->blocks ? arena->blocks->size * 2 : BLOCK_BYTES_MIN;
    if (size > BLOCK_BYTES_MAX)
        size = BLOCK_BYTES_MAX;
    if (size < need)
        size = need;
    struct arena_block *block = alloc_resize(NULL, 1, sizeof *block + size);
    block->older = arena->blocks;
    block->size = size;
    arena->blocks = block;
    arena->next = block->bytes;
    arena->left = size;
}

/* What an allocation takes. */
static size_t padded(size_t size)
{
    return size ? (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1) : ALIGNMENT;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    if (size > arena->limit || arena->used > arena->limit - size) {
        arena->exhausted = true;
        return NULL;
    }
    size = padded(size);
    if (size > arena->left)
        arena_grow(arena, size);
    void *at = arena->next;
    arena->next += size;
    arena->left -= size;
    arena->used += size;
    return at;
}

void arena_shrink(struct arena *arena, void *at, size_t size, size_t kept)
{
    assert(kept <= size);
    assert((char *)at + padded(size) == arena->next);
    size_t spare = padded(size) - padded(kept);
    arena->next -= spare;
    arena->left += spare;
    arena->used -= spare;
}

void *arena_zeroed(struct arena *arena, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        arena->exhausted = true;
        return NULL;
    }
    void *at = arena_alloc(arena, bytes);
    return at ? memset(at, 0, bytes) : NULL;
}

struct slice arena_copy(struct arena *arena, struct slice s)
{
    char *at = arena_alloc(arena, s.len);
    if (!at)
        return (struct slice){NULL, 0};
    if (s.len)
        memcpy(at, s.at, s.len);
    return slice_make(at, s.len);
}

struct slice arena_copy_string(struct arena *arena, struct slice s)
{
    char *at = arena_alloc(arena, s.len + 1);
    if (!at)
        return (struct slice){NULL, 0};
    if (s.len)
        memcpy(at, s.at, s.len);
    at[s.len] = 0;
    return slice_make(at, s.len);
}

struct slice arena_format(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    assert(len >= 0);
    char *at = arena_alloc(arena, (size_t)len + 1);
    if (at)
        vsnprintf(at, (size_t)len + 1, format, again);
    va_end(again);
    return at ? slice_make(at, (size_t)len) : (struct slice){NULL, 0};
}
