/* late: samples that came after newer ones of their series, until they are merged into chunks.
 *
 * A sorted run of times a series, each with its value, of a set also the code of its sketch, or its
 * histogram as a code in full (histogram_code.h). Of two samples at one time the one put last stays. What is here goes before
 * what the head or a chunk has at the same time, because it was written later.
 * Thread: the writer changes it under the store's lock; readers hold the lock shared.
 */
#ifndef STORAGE_LATE_H
#define STORAGE_LATE_H

#include "storage/base/table.h"
#include "storage/store.h"

struct late_code {
    char *at; /* owned */
    uint32_t len;
};

struct late_run {
    uint32_t series;
    uint32_t since_s;        /* wall clock when its oldest sample came */
    uint64_t first_sequence; /* head log record that holds the oldest one */
    size_t count;            /* > 0 */
    size_t capacity;
    int64_t *times;          /* ascending */
    double *values;          /* NULL for histograms */
    struct late_code *codes; /* histograms, or sketches (len 0: none); else NULL */
};

struct late {
    struct table runs; /* series u32 -> struct late_run, owned */
    uint64_t samples;
    uint64_t bytes; /* roughly, in memory */
    bool is_long;   /* a run is longer than putting into it is cheap: */
    uint32_t longest;
};

/* One sample to put. */
struct late_sample {
    uint32_t series;
    int64_t time_ms;
    double value;
    struct slice code; /* of a histogram, or of a sketch; else empty */
    bool sketch;
    uint64_t sequence;
    uint32_t now_s;
};

void late_init(struct late *late);
void late_release(struct late *late);
/* The run of a series, or NULL. */
struct late_run *late_find(const struct late *late, uint32_t series);
/* Visits all runs: start with *cursor = 0; NULL at the end. No changes meanwhile. */
struct late_run *late_next(const struct late *late, size_t *cursor);
void late_put(struct late *late, const struct late_sample *sample);
/* Forgets the samples of a series in [from_ms, until_ms]; returns the newest one's time, INT64_MIN
 * when there was none. */
int64_t late_remove(struct late *late, uint32_t series, int64_t from_ms, int64_t until_ms);

/* The place of the first sample with a time >= this. */
size_t late_lower_bound(const struct late_run *run, int64_t time_ms);
/* True when it has samples in [start_ms, end_ms]. The run may be NULL. */
bool late_overlaps(const struct late_run *run, int64_t start_ms, int64_t end_ms);
/* The same of any series. */
bool late_any_overlaps(const struct late *late, int64_t start_ms, int64_t end_ms);
/* Copies the samples in [start_ms, end_ms], sketches included. False when the arena is exhausted. */
MUST_USE bool late_copy(const struct late_run *run, const struct store_span *span,
                        struct arena *arena, struct store_column *out);
/* Both columns as one; at equal times `over` stays. *out may be `base`. False when the arena is
 * exhausted. */
MUST_USE bool column_overlay(const struct store_column *base, const struct store_column *over,
                             struct arena *arena, struct store_column *out);

#endif
