/* chunk: a run of samples of one series, sealed: compressed, checksummed, immutable.
 *
 * Lossless to the bit. The start time is not in the bytes but in the key (storage/key.h). Reading
 * is safe on any bytes. Pure functions; any thread.
 */
#ifndef STORAGE_CODE_CHUNK_H
#define STORAGE_CODE_CHUNK_H

#include "storage/code/column.h"
#include "storage/histogram.h"

#define CHUNK_SAMPLES_MAX COLUMN_COUNT_MAX
/* What makes a good chunk of a closed day: half a day at 10 s and some late samples. Twice as many
 * would take 1.3 % fewer bytes, and an hour of them twice as long to read. */
#define CHUNK_VALUES_MAX 4480
/* Four hours: a tick of one may take as much memory as an hour of values. */
#define CHUNK_HISTOGRAMS_MAX 1440
/* An hour of sketches, half a megabyte of dense ones: whoever wants one has to read them all. */
#define CHUNK_SKETCHES_MAX 360

/* Over the samples that are not stale markers. A counter rose by last - first + drop. */
struct chunk_summary {
    size_t count;
    double sum, min, max, first, last;
    double drop; /* sum of the values before each fall; NaN: not known, it falls too often */
};

/* An opened chunk; the slices point into its bytes. */
struct chunk {
    bool histograms;
    size_t count;
    int64_t start_ms, end_ms;     /* of the first and the last sample */
    struct slice times;           /* packed; empty when the samples are evenly spaced */
    bool times_dense;             /* by storage/code/dense.h */
    struct chunk_summary summary; /* values only */
    struct slice sketches;        /* of values of a set; empty: it has none */
    struct slice body;
};

/* Times ascend strictly; 1 <= count <= CHUNK_SAMPLES_MAX. */
void chunk_append_values(struct buffer *out, const int64_t *times, const double *values,
                         size_t count);
/* The same with the sketches (storage/sketch.h, codes) that some of the values are counts of: empty
 * entries are none. NULL: there are none at all. */
void chunk_append_set(struct buffer *out, const int64_t *times, const double *values,
                      const struct slice *sketches, size_t count);
/* NULL entries are stale markers. The rest must fit together: one schema, one zero threshold, and
 * not too many different buckets. One histogram alone always fits. */
MUST_USE bool chunk_histograms_fit(const struct histogram *const *histograms, size_t count);
void chunk_append_histograms(struct buffer *out, const int64_t *times,
                             const struct histogram *const *histograms, size_t count);

/* Checks version and checksum. False: these bytes are no sound chunk. */
MUST_USE bool chunk_open(struct slice bytes, int64_t start_ms, struct chunk *out);
/* Each writes chunk->count entries. */
MUST_USE bool chunk_times(const struct chunk *chunk, int64_t *out);
MUST_USE bool chunk_values(const struct chunk *chunk, double *out);
/* Codes, empty where there is none, in the chunk's own bytes. */
MUST_USE bool chunk_sketches(const struct chunk *chunk, struct slice *out);
/* The times within [start, end] come to the front of *out, which has room for all; *part says which
 * of the samples these are. */
MUST_USE bool chunk_times_within(const struct chunk *chunk, int64_t start_ms, int64_t end_ms,
                                 int64_t *out, struct part *part);
/* Those values alone. */
MUST_USE bool chunk_values_of(const struct chunk *chunk, struct part part, double *out);
/* The histograms live in the arena; false also when its limit is reached (arena->exhausted). */
MUST_USE bool chunk_histograms(const struct chunk *chunk, struct arena *arena,
                               const struct histogram **out);
MUST_USE bool chunk_histograms_of(const struct chunk *chunk, struct part part, struct arena *arena,
                                  const struct histogram **out);

/* For chunk_histogram.c: writes the frame up to the body, says where it began in *out; finish puts
 * the checksum in. */
size_t chunk_begin(struct buffer *out, bool histograms, const int64_t *times, size_t count);
void chunk_finish(struct buffer *out, size_t at);

#endif
