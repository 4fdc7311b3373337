/* rewrite: the sealed samples of one series on one day, taken out and put back.
 *
 * For whoever changes what is sealed (late samples, deletions) or lays it out anew (the closing of
 * days). Thread: writer.
 *
 *   rewrite_load          read it whole
 *   rewrite_stage         the day's chunks go, the samples given come: into one batch
 *   kv_write              with partitions_stage before it
 *   rewrite_publish       under the lock, so that readers renew their snapshots
 *
 * Damaged chunks stay where they are, as evidence, unless a new one begins at their very offset.
 */
#ifndef STORAGE_REWRITE_H
#define STORAGE_REWRITE_H

#include "storage/base/arena.h"
#include "storage/histogram.h"
#include "storage/kv/kv.h"

struct store;

struct day_samples {
    bool histograms;
    size_t count;
    int64_t *times;                 /* ms, ascending strictly, all on the day */
    double *values;                 /* or */
    const struct histogram **hists; /* NULL entries are stale markers */
    struct slice *sketches; /* beside values; empty entries are none; NULL: there are none */
    uint32_t *offsets;      /* of the chunks they came from, which rewriting deletes */
    size_t chunks;          /* sound ones */
    size_t bytes;           /* of all */
    size_t damaged;         /* chunks that could not be read */
};

struct rewrite_day {
    uint32_t series;
    uint32_t day;
};

/* Where to read: `chunks` is an iterator over KV_CHUNK, as new as the last write. One may serve many
 * days, best in the order of their keys. */
struct rewrite_source {
    struct store *store;
    struct kv_iterator *chunks;
    bool first_only; /* only the first chunk of the day */
};

/* All sealed samples of the day but the deleted ones, in the arena; where chunks overlap the one with the later start
 * wins. ERROR_LIMIT when the arena is too small. */
MUST_USE int rewrite_read(const struct rewrite_source *source, struct rewrite_day at,
                          struct arena *arena, struct day_samples *out, struct error *err);
/* The same with an iterator of its own. */
MUST_USE int rewrite_load(struct store *store, struct rewrite_day at, struct arena *arena,
                          struct day_samples *out, struct error *err);
/* Deletes the chunks at samples->offsets and puts the samples as chunks, as large as they may be
 * (none when count is 0). Marks the partitions; takes the lock for that. */
void rewrite_stage(struct store *store, struct kv_batch *batch, struct rewrite_day at,
                   const struct day_samples *samples);
/* The same where it saves more than 3 %, and for unchanged samples: buckets stay up to date. False
 * when nothing was staged. */
bool rewrite_stage_smaller(struct store *store, struct kv_batch *batch, struct rewrite_day at,
                           const struct day_samples *samples);
/* After the write, under the lock: readers whose snapshot is older take a new one. */
void rewrite_publish(struct store *store, const uint32_t *series, size_t count);

#endif
