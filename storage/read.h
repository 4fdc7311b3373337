/* read: what the readers of samples and of buckets share; nobody outside storage/ includes it.
 *
 * Thread: that of the reader.
 */
#ifndef STORAGE_READ_H
#define STORAGE_READ_H

#include "storage/code/chunk.h"
#include "storage/store_state.h"

struct bucket_reader; /* buckets.c */

/* A chunk of values that lies whole in the range, told by its footer. */
struct chunk_piece {
    size_t at; /* how many samples of the column come before it */
    int64_t start_ms, end_ms;
    struct chunk_summary summary;
};

struct store_reader {
    struct store *store;
    struct kv_iterator *chunks; /* made when first needed */
    uint64_t seal_count;        /* when it was made */
    /* sealed samples of the series being read */
    int64_t *times;
    double *values;
    const struct histogram **histograms;
    struct slice *sketches; /* in the arena of the read */
    size_t count;
    size_t capacity;
    size_t sketch_capacity; /* of sketches, which few readers want: */
    bool sketched;
    size_t damaged; /* chunks passed over */
    struct day {
        uint32_t day;
        uint32_t longest_ms; /* see partition.h */
    } * days;                /* that have chunks of it */
    size_t day_count;
    size_t day_capacity;
    struct time_ranges deleted;    /* of it, but still in chunks */
    struct bucket_reader *buckets; /* see read.h */
    struct chunk_piece *pieces;    /* chunks that were not decoded */
    size_t piece_count;
    size_t piece_capacity;
};

struct summed {
    struct store_column column;       /* the other samples */
    const struct chunk_piece *pieces; /* valid until the next read */
    size_t count;
};
/* As store_read, but decodes no chunk of which the footer says enough. */
MUST_USE int reader_read_summed(struct store_reader *reader, struct store_span span,
                                struct arena *arena, struct summed *out, struct error *err);

/* --- read_sketch.c: nothing unless sketches are wanted; false when the arena is exhausted --- */
/* Room for that many in all. */
void reader_sketch_room(struct store_reader *reader, size_t count);
/* Those from `from` on leave the bytes of their chunk. */
MUST_USE bool reader_keep_sketches(struct store_reader *reader, size_t from, struct arena *arena);
/* Of the open samples from `from` on; under the lock. */
MUST_USE bool reader_open_sketches(const struct store_reader *reader, uint32_t id, size_t from,
                                   struct arena *arena, struct store_column *open);
/* Sealed ones, then the open ones. */
MUST_USE bool reader_join_sketches(const struct store_reader *reader,
                                   const struct store_column *open, struct arena *arena,
                                   struct store_column *out);

/* --- left.c, under the lock --- */
/* True when the series has buckets, of either tier, within the same 32 days. */
bool left_has_buckets(const struct store *store, uint32_t series, uint32_t day);
/* True when the samples that fall into buckets of the day have left. */
bool left_samples(const struct store *store, uint32_t series, uint32_t day);
/* True when there may be such days in the range. */
bool left_in_range(const struct store *store, struct store_span span);
/* Adds the series for which that may be so. */
void left_add_series(const struct store *store, struct time_range range, roaring_bitmap_t *ids);

/* --- buckets.c --- */
void bucket_reader_free(struct bucket_reader *buckets);
/* The first and the last sample of each bucket there, and a stale marker where it ended. */
MUST_USE int buckets_read_thin(struct store_reader *reader, struct store_span span,
                               struct arena *arena, struct store_column *out, struct error *err);

#endif
