/* headlog: the records that make open samples durable.
 *
 * Pure functions on bytes; storage/commit.c writes them, storage/recover.c replays them.
 */
#ifndef STORAGE_HEADLOG_H
#define STORAGE_HEADLOG_H

#include "storage/base/buffer.h"

enum headlog_kind { HEADLOG_SAMPLES = 1, HEADLOG_SEALED = 2 };

/* One staged sample. */
struct headlog_row {
    int64_t time_ms;
    uint64_t bits;  /* of the value; coded as XOR with `known` */
    uint64_t known; /* bits of the series' open sample before, or 0 */
    uint32_t series;
    uint32_t code_at;  /* histograms: where in `codes` its code lies */
    uint32_t code_len; /* 0: a value */
};

/* Appends a record of samples. */
void headlog_append_samples(struct buffer *out, int64_t wall_ms, const struct headlog_row *rows,
                            size_t count, struct slice codes);
/* Appends a record saying that all samples of these series up to these times are sealed. */
void headlog_append_sealed(struct buffer *out, const uint32_t *series, const int64_t *sealed_ms,
                           size_t count);

/* What a record holds, cut one by one. */
struct headlog_reader {
    enum headlog_kind kind;
    int64_t wall_ms;
    size_t count;
    size_t next;
    int64_t *series; /* owned */
    int64_t *times;  /* owned; of the samples, or sealed up to */
    struct slice values;
};

/* Without checking anything; a record too short for one counts as SAMPLES. */
enum headlog_kind headlog_kind_of(struct slice record);
/* Checks checksum and columns. False: damaged. Release it either way. */
MUST_USE bool headlog_open(struct headlog_reader *reader, struct slice record);
void headlog_release(struct headlog_reader *reader);
/* Cuts the value or histogram code of row `next` and moves on. For a value *xor is to be applied to
 * the bits of the open sample before; for a histogram code->len > 0. */
MUST_USE bool headlog_next(struct headlog_reader *reader, uint64_t *xor_bits, struct slice *code);

#endif
