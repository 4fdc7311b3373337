/* text: many byte strings that stay where they are, without a heap header each.
 *
 * They cannot be freed one by one: the owner says what it no longer needs, and makes a new set of
 * what is left once text_is_sparse. One thread at a time.
 */
#ifndef STORAGE_BASE_TEXT_H
#define STORAGE_BASE_TEXT_H

#include "storage/base/slice.h"

struct text {
    struct text_page *pages; /* the newest first */
    size_t left;             /* bytes free in it */
    size_t bytes;            /* of all strings added */
    size_t forgotten;        /* of those no longer needed */
};

/* All zero is an empty one. */
void text_release(struct text *text);
/* A copy that stays until text_release. */
const char *text_add(struct text *text, struct slice s);
void text_forget(struct text *text, struct slice s);
/* True when more than half is forgotten, and enough to bother. */
bool text_is_sparse(const struct text *text);

#endif
