/* bulk: long runs of samples go into chunks at once, past the head log and the head.
 *
 * A part of a commit (storage/commit.c). Thread: writer.
 *
 *   bulk_init
 *   bulk_admit        takes long runs out of the samples of a batch
 *   bulk_stage        and the records that say so
 *   kv_write
 *   bulk_publish      under the lock; or bulk_take_back
 *   bulk_release
 */
#ifndef STORAGE_BULK_H
#define STORAGE_BULK_H

#include "storage/merge.h"

/* One sample of a batch. */
struct sample {
    int64_t time_ms;
    double value;
    uint32_t series;
    uint32_t
        sketch_at; /* 1 + where in the batch's codes the one it is the count of lies; 0: none */
    const struct histogram *histogram; /* in the batch's arena, or NULL */
};
/* The code of its sketch, in the batch's codes; empty when it has none. */
static inline struct slice sample_sketch(const struct sample *sample, struct slice codes)
{
    struct slice code = SLICE("");
    struct slice rest = slice_skip(codes, sample->sketch_at ? sample->sketch_at - 1 : codes.len);
    return bytes_cut_prefixed(&rest, &code) ? code : SLICE("");
}
/* commit.c: which drop reason applies; or STORE_SAMPLES, or STORE_LATE_SAMPLES. */
enum store_metric sample_judge(struct store *store, const struct sample *sample, int64_t oldest_ms);

struct bulk {
    struct store *store;
    struct merge merge;
    struct arena arena;     /* of the run at hand */
    roaring_bitmap_t *seen; /* series of the batch so far; NULL: there are no long runs */
    struct id_list ends;    /* series whose newest sample is now in a chunk, ... */
    int64_t *end_ms;        /* ... and its time */
    size_t end_capacity;
    size_t samples;
    int64_t low_ms;     /* the earliest of them; INT64_MAX: there are none */
    int64_t oldest_ms;  /* of what is within retention */
    struct slice codes; /* of the batch: its sketches */
};

void bulk_init(struct bulk *bulk, struct store *store, struct kv_batch *batch);
void bulk_release(struct bulk *bulk);
/* Of the samples those that it did not take are left, in their order; *count is how many. */
MUST_USE int bulk_admit(struct bulk *bulk, struct sample *samples, size_t *count, int64_t oldest_ms,
                        struct error *err);
/* Puts records from this sequence on into the batch; returns how many. */
uint64_t bulk_stage(struct bulk *bulk, uint64_t sequence);
void bulk_publish(struct bulk *bulk);
void bulk_take_back(struct bulk *bulk);

#endif
