/* replay: what records of open samples held becomes the head again.
 *
 * Records are given in the order they were written, but applied some at a time: see replay.c.
 * Thread: whoever opens the store.
 */
#ifndef STORAGE_REPLAY_H
#define STORAGE_REPLAY_H

#include "storage/store_state.h"

#define REPLAY_RECORDS_MAX 64

struct replay {
    struct store *store;
    struct replay_record {
        struct headlog_reader reader;
        uint64_t sequence;
        uint64_t gap; /* sequence of the last lost record before it; GAP_NONE */
        char *values; /* owned; what reader.values points into */
    } records[REPLAY_RECORDS_MAX];
    size_t count;
    size_t rows; /* of all records held */
    /* What is lost of the log; see recover.c. GAP_NONE: nothing. */
    uint64_t gap;       /* the last lost record before the next one to be added */
    uint64_t lost_seal; /* the last lost one that may have been of kind SEALED */
    uint64_t dropped;   /* samples that could not be made out for that */
};
#define GAP_NONE UINT64_MAX

/* Whether a sample of a series of that kind may come with that code: histograms must, sets may. */
static inline bool replay_fits(enum series_kind kind, struct slice code)
{
    return kind == SERIES_SET || (code.len > 0) == (kind == SERIES_HISTOGRAM);
}

/* Takes over an opened record of kind SAMPLES. One that cannot be applied becomes a gap. */
void replay_add(struct replay *replay, struct headlog_reader *owned, uint64_t sequence);
/* Applies what is held. */
void replay_flush(struct replay *replay);
/* Forgets what is held. */
void replay_release(struct replay *replay);

#endif
