/* headlog: the records that make open samples durable.
 *
 * Pure functions on bytes; storage/commit.c writes them, storage/recover.c replays them.
 */
#ifndef STORAGE_HEADLOG_H
#define STORAGE_HEADLOG_H

#include "storage/base/buffer.h"

enum headlog_kind {
    HEADLOG_SAMPLES = 1, /* open samples, each series in time order */
    HEADLOG_SEALED = 2,  /* open samples up to these times are in chunks */
    HEADLOG_LATE = 3,    /* late samples, in any order */
    HEADLOG_MERGED = 4,  /* late samples of earlier records in these ranges are in chunks */
};

/* One staged sample. */
struct headlog_row {
    int64_t time_ms;
    uint64_t bits;  /* of the value; coded as XOR with `known` */
    uint64_t known; /* bits of the series' open sample before; 0 for its first and late ones */
    uint32_t series;
    uint32_t code_at;  /* histograms and sketches: where in `codes` its code lies */
    uint32_t code_len; /* 0: a value */
    bool sketch;       /* the code is that of a sketch, beside the value */
};

/* What a record of samples is made from. */
struct headlog_rows {
    const struct headlog_row *at;
    size_t count;
    struct slice codes;
};

/* Samples of one series in [from_ms, until_ms]. */
struct headlog_range {
    uint32_t series;
    int64_t from_ms, until_ms;
};

/* Appends a record of samples, of kind SAMPLES or LATE. */
void headlog_append_samples(struct buffer *out, enum headlog_kind kind, int64_t wall_ms,
                            const struct headlog_rows *rows);
/* Appends a record saying that all samples of these series up to these times are sealed. */
void headlog_append_sealed(struct buffer *out, const uint32_t *series, const int64_t *sealed_ms,
                           size_t count);
/* Appends a record saying that the late samples of these ranges are in chunks. */
void headlog_append_merged(struct buffer *out, const struct headlog_range *ranges, size_t count);

/* What a record holds, cut one by one. */
struct headlog_reader {
    enum headlog_kind kind;
    int64_t wall_ms;
    size_t count;
    size_t next;
    int64_t *series; /* owned */
    int64_t *times;  /* owned; of the samples, or sealed up to, or merged from */
    int64_t *until;  /* owned; merged up to; NULL in other records */
    struct slice values;
};

/* Is its checksum right? */
MUST_USE bool headlog_check(struct slice record);
/* Without checking anything; a record too short for one counts as SAMPLES. */
enum headlog_kind headlog_kind_of(struct slice record);
/* Checks checksum and columns. False: damaged. Release it either way. */
MUST_USE bool headlog_open(struct headlog_reader *reader, struct slice record);
void headlog_release(struct headlog_reader *reader);
/* Cuts the value or histogram code of row `next` and moves on. For a value *xor is to be applied to
 * the bits of the open sample before; for a histogram code->len > 0; for a value of a set both, where
 * it has a sketch. */
MUST_USE bool headlog_next(struct headlog_reader *reader, uint64_t *xor_bits, struct slice *code);

#endif
