/* head: the samples of each series that are not sealed yet.
 *
 * Thread: one writer changes it under the store's lock; readers hold the lock shared. The fields
 * named staged_* belong to the writer alone and may run ahead of what is published.
 */
#ifndef STORAGE_HEAD_H
#define STORAGE_HEAD_H

#include "storage/base/table.h"
#include "storage/code/histogram_code.h"
#include "storage/code/run.h"

#define TIME_UNKNOWN INT64_MIN       /* to be looked up among the sealed chunks */
#define TIME_NONE    (INT64_MIN + 1) /* there is none */

struct head_histograms {
    struct buffer codes;     /* one code a sample, histogram_code.h; the first is in full */
    struct histogram staged; /* the newest sample, to code the next one against */
    bool code_full;          /* staged is not what the last published code led to */
};

/* 104 bytes a series that is being written; runs only where samples are uneven or differ. */
struct head_series {
    int64_t first_ms; /* of the open samples; count > 0 */
    int64_t last_ms;
    int64_t sealed_ms;       /* newest sealed sample, or TIME_UNKNOWN, TIME_NONE */
    int64_t staged_ms;       /* newest sample that a batch has been given, or as above */
    uint64_t staged_bits;    /* its value */
    uint64_t first_sequence; /* head log record that holds the first open sample */
    uint64_t sealed_at;      /* the store's seal count when it was sealed last */
    double last_value;       /* of the open samples */
    uint32_t count : 31;     /* open samples */
    bool from_zero : 1;      /* the first of them is 0, unlike the others; not while values */
    uint32_t step_ms;        /* the first gap, and all others while times is NULL */
    /* The writer's alone, hence apart from the bits above, which readers look at meanwhile. */
    uint32_t staged_count : 30;
    bool due : 1; /* waits to be sealed */
    bool sealed_once : 1;
    uint32_t touched_s;       /* wall clock when the open samples began, or the last were sealed */
    struct run_block *times;  /* NULL while evenly spaced */
    struct run_block *values; /* NULL while all (see from_zero) equal last_value */
    struct head_histograms *histograms; /* histogram series instead of values */
};

/* Sketches of the open samples of a set: (gap to the sample before that has one, varint; varint
 * length, code) each. */
struct head_sketches {
    struct buffer codes;
    uint32_t next; /* place of the last sample that has one, plus one */
};

struct head {
    struct head_series **at; /* by series id; NULL = nothing open */
    uint32_t capacity;
    uint64_t samples; /* open in all */
    uint64_t series;  /* that have an entry */
    struct pool entries;
    struct pool blocks;  /* of runs */
    uint64_t code_bytes; /* of histograms and sketches in all */
    struct table
        sketches; /* series u32 -> struct head_sketches, owned; of sets that have open ones */
};

void head_init(struct head *head);
void head_release(struct head *head);
/* Bytes of entries, runs and codes in use. */
size_t head_bytes(const struct head *head);
/* Of that, those that sealing frees: runs and codes. */
size_t head_sample_bytes(const struct head *head);
static inline struct head_series *head_get(const struct head *head, uint32_t id)
{
    return id < head->capacity ? head->at[id] : NULL;
}
/* The entry, made if need be: what is sealed of the series is then TIME_UNKNOWN. */
struct head_series *head_make(struct head *head, uint32_t id);
void head_remove(struct head *head, uint32_t id);

/* Times must ascend. */
void head_append_value(struct head *head, struct head_series *series, int64_t time_ms,
                       double value);
void head_append_histogram(struct head *head, struct head_series *series, int64_t time_ms,
                           struct slice code);
/* The sketch that the newest open sample is the count of. */
void head_append_sketch(struct head *head, uint32_t id, struct slice code);
/* The samples of the series are sealed now: drops them. */
void head_clear(struct head *head, uint32_t id);
/* Forgets what was staged but not published. */
void head_unstage(struct head_series *series);

/* The place of the first open sample with a time >= this. */
size_t head_find(const struct head_series *series, int64_t time_ms);
void head_times(const struct head_series *series, size_t from, size_t count, int64_t *out);
void head_values(const struct head_series *series, size_t from, size_t count, double *out);
double head_last_value(const struct head_series *series);
/* True when some open sample of the series has a sketch. */
bool head_has_sketches(const struct head *head, uint32_t id);
/* Copies of the codes of [from, from + count), empty where there is none. NULL when the arena is
 * exhausted. */
struct slice *head_read_sketches(const struct head *head, uint32_t id, size_t from, size_t count,
                                 struct arena *arena);
/* Histograms [from, from + count); NULL = stale marker. False when the arena is exhausted. */
MUST_USE bool head_read_histograms(const struct head_series *series, size_t from, size_t count,
                                   struct arena *arena, const struct histogram **out);

#endif
