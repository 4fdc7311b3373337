/* text: pages filled from the front; a string larger than a page gets one of its own. */
#include "storage/base/text.h"

#include <stdlib.h>

#include "storage/base/alloc.h"

#define PAGE_BYTES   ((size_t)256 << 10)
#define SPARSE_BYTES ((size_t)1 << 20)

struct text_page {
    struct text_page *next;
    size_t used;
    char bytes[];
};

void text_release(struct text *text)
{
    while (text->pages) {
        struct text_page *next = text->pages->next;
        free(text->pages);
        text->pages = next;
    }
    *text = (struct text){0};
}

const char *text_add(struct text *text, struct slice s)
{
    if (text->left < s.len || !text->pages) {
        size_t room = PAGE_BYTES - sizeof(struct text_page);
        size_t size = s.len < room ? room : s.len;
        struct text_page *page = alloc_zeroed(1, sizeof *page + size);
        page->next = text->pages;
        text->pages = page;
        text->left = size;
    }
    char *at = text->pages->bytes + text->pages->used;
    if (s.len)
        memcpy(at, s.at, s.len);
    text->pages->used += s.len;
    text->left -= s.len;
    text->bytes += s.len;
    return at;
}

void text_forget(struct text *text, struct slice s)
{
    text->forgotten += s.len;
}

bool text_is_sparse(const struct text *text)
{
    return text->forgotten > SPARSE_BYTES && text->forgotten > text->bytes / 2;
}
