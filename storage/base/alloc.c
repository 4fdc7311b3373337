/* alloc: see the header. The only place that calls the libc allocator's failing functions. */
#include "storage/base/alloc.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void die(size_t count, size_t size)
{
    fprintf(stderr, "lapwing: out of memory asking for %zu x %zu bytes\n", count, size);
    abort();
}

void *alloc_zeroed(size_t count, size_t size)
{
    void *at = calloc(count ? count : 1, size ? size : 1);
    if (!at)
        die(count, size);
    return at;
}

void *alloc_aligned(size_t alignment, size_t size)
{
    void *at;
    if (posix_memalign(&at, alignment, size))
        die(1, size);
    return memset(at, 0, size);
}

void *alloc_resize(void *at, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes))
        die(count, size);
    void *grown = realloc(at, bytes ? bytes : 1);
    if (!grown)
        die(count, size);
    return grown;
}

char *alloc_string(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        die(1, strlen(text) + 1);
    return copy;
}

/* One after the other: threads that share a heap then touch the same bytes of it. */
void alloc_touch(size_t bytes)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    void *at = alloc_resize(NULL, bytes, 1);
    explicit_bzero(at, bytes); /* memset before free would be left out */
    free(at);
    pthread_mutex_unlock(&lock);
}
