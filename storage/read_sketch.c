/* read_sketch: sketches along with the samples of a set, for the few readers that want them.
 *
 *   reader->times     [ t0 t1 t2 | open ]
 *   reader->values    [  3  7  2 | .... ]
 *   reader->sketches  [  s  -  s | .... ]      codes; empty where a sample is only a number
 *
 * Numbers are read from a chunk without looking at its sketches, so readers that do not want them do
 * without all of this.
 */
#include "storage/base/alloc.h"
#include "storage/read.h"

void store_reader_want_sketches(struct store_reader *reader, bool wanted)
{
    reader->sketched = wanted;
}

void reader_sketch_room(struct store_reader *reader, size_t count)
{
    if (!reader->sketched || count <= reader->sketch_capacity)
        return;
    reader->sketch_capacity = 2 * count;
    reader->sketches =
        alloc_resize(reader->sketches, reader->sketch_capacity, sizeof *reader->sketches);
}

bool reader_keep_sketches(struct store_reader *reader, size_t from, struct arena *arena)
{
    for (size_t i = from; reader->sketched && i < reader->count; i++)
        if (reader->sketches[i].len)
            reader->sketches[i] = arena_copy(arena, reader->sketches[i]);
    return !arena->exhausted;
}

bool reader_open_sketches(const struct store_reader *reader, uint32_t id, size_t from,
                          struct arena *arena, struct store_column *open)
{
    const struct head *head = &reader->store->head;
    if (!reader->sketched || !head_has_sketches(head, id))
        return true;
    open->sketches = head_read_sketches(head, id, from, open->count, arena);
    return open->sketches;
}

bool reader_join_sketches(const struct store_reader *reader, const struct store_column *open,
                          struct arena *arena, struct store_column *out)
{
    size_t sealed = reader->count;
    if (!reader->sketched)
        return true;
    struct slice *all = arena_alloc(arena, (sealed + open->count) * sizeof *all);
    out->sketches = all;
    if (!all)
        return false;
    memcpy(all, reader->sketches, sealed * sizeof *all);
    for (size_t i = 0; i < open->count; i++)
        all[sealed + i] = open->sketches ? open->sketches[i] : SLICE("");
    return true;
}
