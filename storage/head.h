/* head: the samples of each series that are not sealed yet.
 *
 * Thread: one writer changes it under the store's lock; readers hold the lock shared. What is staged
 * belongs to the writer alone and may run ahead of what is published.
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

/* Of series whose open samples are not evenly spaced. */
struct head_uneven;

#define SEQUENCE_BITS   56
#define TIME_BITS       48 /* of times that samples can have, key.h */
#define ODD_AT_BITS     15
#define ODD_GAP_BITS    24
#define SEAL_COUNT_BITS 40

/* A cache line a series that is being written; runs only where samples are uneven or differ. */
struct head_series {
    int64_t first_ms : TIME_BITS + 1; /* of the open samples; count > 0 */
    uint64_t odd_at : ODD_AT_BITS;    /* the sample behind the odd gap, see odd_gap_ms */
    int64_t last_ms;
    int64_t sealed_ms;                    /* newest sealed sample, or TIME_UNKNOWN, TIME_NONE */
    uint64_t sealed_at : SEAL_COUNT_BITS; /* the store's seal count when it was sealed last */
    uint64_t odd_gap_ms : ODD_GAP_BITS; /* the only gap unlike the others, 0 = none; is_uneven: 0 */
    double last_value;                  /* of the open samples */
    union {
        struct run_block *values; /* NULL while all (see from_zero) equal last_value */
        struct head_histograms *histograms;
        struct head_uneven *uneven;
    } open;
    uint32_t count : 29;     /* open samples */
    bool from_zero : 1;      /* the first open sample is 0, unlike the others; not while values */
    bool is_uneven : 1;      /* which of `open` it is */
    bool has_histograms : 1; /* there or behind is_uneven, instead of values */
    /* The rest is the writer's, who need not hold the lock for it. */
    uint32_t touched_s; /* wall clock when the open samples began, or the last were sealed */
    uint64_t first_sequence : SEQUENCE_BITS; /* head log record that has the first open sample */
    bool due : 1;                            /* waits to be sealed */
    bool sealed_once : 1;
};

_Static_assert(sizeof(struct head_series) == 64, "there are as many as series being written");

/* What a batch has been given of a series last. */
struct head_staged {
    int64_t after_ms; /* its time + 1; 0 = nothing */
    uint64_t bits;    /* its value */
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
    struct pool uneven;
    struct run_pool blocks;
    struct head_staged *staged; /* by series id; NULL = nothing is */
    uint32_t staged_capacity;
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

/* The next sample is the first open one: it is in this record, and it is now. */
static inline void head_begin(struct head_series *series, uint64_t sequence, uint32_t now_s)
{
    series->first_sequence = sequence & (((uint64_t)1 << SEQUENCE_BITS) - 1);
    series->touched_s = now_s;
}
/* What is stored of the series has changed with this seal. */
static inline void head_note_seal(struct head_series *series, uint64_t seal_count)
{
    series->sealed_at = seal_count & (((uint64_t)1 << SEAL_COUNT_BITS) - 1);
}
/* Times must ascend. */
void head_append_value(struct head *head, struct head_series *series, int64_t time_ms,
                       double value);
void head_append_histogram(struct head *head, struct head_series *series, int64_t time_ms,
                           struct slice code);
/* The sketch that the newest open sample is the count of. */
void head_append_sketch(struct head *head, uint32_t id, struct slice code);
/* The samples of the series are sealed now: drops them. */
void head_clear(struct head *head, uint32_t id);

/* What is staged of the series, NULL = nothing. */
static inline const struct head_staged *head_staged(const struct head *head, uint32_t id)
{
    return id < head->staged_capacity && head->staged[id].after_ms ? &head->staged[id] : NULL;
}
/* The series has an entry. */
void head_stage(struct head *head, uint32_t id, int64_t time_ms, uint64_t bits);
/* All of it is published, or given up. */
void head_end_staging(struct head *head);
/* What was staged of the series is given up. */
void head_unstage(struct head_series *series);

/* The place of the first open sample with a time >= this. */
size_t head_find(const struct head_series *series, int64_t time_ms);
void head_times(const struct head_series *series, size_t from, size_t count, int64_t *out);
void head_values(const struct head_series *series, size_t from, size_t count, double *out);
double head_last_value(const struct head_series *series);
/* NULL where the series has none yet. */
struct head_histograms *head_histograms(const struct head_series *series);
/* The same, made if need be; not of a series with open values. */
struct head_histograms *head_make_histograms(struct head_series *series);
/* True when sealing the open samples would free memory. */
bool head_holds_runs(const struct head_series *series);
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
