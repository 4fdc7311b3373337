/* idset: one id, some, or many.
 *
 *   word    id << 1 | 1        one
 *           few * | 2          up to FEW_MAX, in any order
 *           bitmap *           more
 *
 * Most values of a label with many (a host, a path) belong to few series. A roaring bitmap would
 * spend some 60 bytes on an id that is alone in its range of 65,536.
 */
#include "storage/index/idset.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"

#define FEW_MAX 32
#define FEW_TAG ((uint64_t)2)

struct few {
    uint32_t count; /* > 0; there is room up to the next power of two */
    uint32_t ids[];
};

static bool is_few(struct idset set)
{
    return (set.word & 3) == FEW_TAG;
}

static struct few *few_of(struct idset set)
{
    return (struct few *)(uintptr_t)(set.word - FEW_TAG);
}

static struct idset of_few(struct few *owned)
{
    return (struct idset){(uint64_t)(uintptr_t)owned + FEW_TAG};
}

static roaring_bitmap_t *bitmap_of(struct idset set)
{
    return (roaring_bitmap_t *)(uintptr_t)set.word;
}

void idset_release(struct idset set)
{
    if (is_few(set))
        free(few_of(set));
    else if (!idset_is_single(set))
        roaring_bitmap_free(bitmap_of(set));
}

/* An array that is full becomes a bitmap. */
static void few_add(struct idset *set, uint32_t id)
{
    struct few *few = few_of(*set);
    if (few->count == FEW_MAX) {
        roaring_bitmap_t *bitmap = roaring_bitmap_of_ptr(few->count, few->ids);
        roaring_bitmap_add(bitmap, id);
        free(few);
        set->word = (uint64_t)(uintptr_t)bitmap;
        return;
    }
    if (few->count >= 2 && (few->count & (few->count - 1)) == 0) {
        few = alloc_resize(few, sizeof *few + 2 * few->count * sizeof few->ids[0], 1);
        *set = of_few(few);
    }
    few->ids[few->count++] = id;
}

void idset_add(struct idset *set, uint32_t id)
{
    if (idset_is_single(*set)) {
        struct few *few = alloc_resize(NULL, sizeof *few + 2 * sizeof few->ids[0], 1);
        few->count = 1;
        few->ids[0] = idset_single(*set);
        *set = of_few(few);
    }
    if (is_few(*set))
        few_add(set, id);
    else
        roaring_bitmap_add(bitmap_of(*set), id);
}

/* The room stays that of a larger count. */
static bool few_remove(struct few *few, uint32_t id)
{
    uint32_t place = 0;
    while (place < few->count && few->ids[place] != id)
        place++;
    if (place < few->count)
        few->ids[place] = few->ids[--few->count];
    return few->count == 0;
}

bool idset_remove(struct idset *set, uint32_t id)
{
    bool empty;
    if (idset_is_single(*set))
        return idset_single(*set) == id;
    if (is_few(*set)) {
        empty = few_remove(few_of(*set), id);
    } else {
        roaring_bitmap_remove(bitmap_of(*set), id);
        empty = roaring_bitmap_is_empty(bitmap_of(*set));
    }
    if (empty)
        idset_release(*set);
    return empty;
}

uint32_t idset_any(struct idset set)
{
    if (idset_is_single(set))
        return idset_single(set);
    return is_few(set) ? few_of(set)->ids[0] : roaring_bitmap_minimum(bitmap_of(set));
}

uint64_t idset_count(struct idset set)
{
    if (idset_is_single(set))
        return 1;
    return is_few(set) ? few_of(set)->count : roaring_bitmap_get_cardinality(bitmap_of(set));
}

void idset_collect(struct idset set, roaring_bitmap_t *into)
{
    if (idset_is_single(set))
        roaring_bitmap_add(into, idset_single(set));
    else if (is_few(set))
        roaring_bitmap_add_many(into, few_of(set)->count, few_of(set)->ids);
    else
        roaring_bitmap_or_inplace(into, bitmap_of(set));
}

static bool few_meet(const struct few *few, const roaring_bitmap_t *ids)
{
    for (uint32_t i = 0; i < few->count; i++)
        if (roaring_bitmap_contains(ids, few->ids[i]))
            return true;
    return false;
}

bool idset_meets(struct idset set, const roaring_bitmap_t *ids)
{
    if (idset_is_single(set))
        return roaring_bitmap_contains(ids, idset_single(set));
    return is_few(set) ? few_meet(few_of(set), ids) : roaring_bitmap_intersect(ids, bitmap_of(set));
}

size_t idset_bytes(struct idset set)
{
    if (idset_is_single(set))
        return 0;
    return is_few(set) ? sizeof(struct few) + few_of(set)->count * sizeof(uint32_t)
                       : roaring_bitmap_size_in_bytes(bitmap_of(set));
}
