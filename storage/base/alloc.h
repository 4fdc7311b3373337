/* alloc: allocation that ends the process instead of failing.
 *
 * Every size that comes from outside is bounded before it is allocated, so running out of memory
 * here is our own bug or a dead machine; RocksDB's bad_alloc would end the process as well.
 */
#ifndef STORAGE_BASE_ALLOC_H
#define STORAGE_BASE_ALLOC_H

#include <stddef.h>

/* Never NULL; zeroed. Release with free(). */
void *alloc_zeroed(size_t count, size_t size);
/* The same at a multiple of `alignment`, a power of two. */
void *alloc_aligned(size_t alignment, size_t size);
/* Never NULL for size > 0. */
void *alloc_resize(void *at, size_t count, size_t size);
char *alloc_string(const char *text);
/* So many bytes of the calling thread's heap have been used once and are free: what is allocated next
 * waits for no page. Fewer than are kept at the end of a heap (M_TRIM_THRESHOLD), or they are given back. */
void alloc_touch(size_t bytes);

#endif
