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
        char *values; /* owned; what reader.values points into */
    } records[REPLAY_RECORDS_MAX];
    size_t count;
    size_t rows;     /* of all records held */
    uint64_t failed; /* sequence of the record that a function refused */
};

/* Takes over an opened record of kind SAMPLES. False: one cannot be applied, see `failed`. */
MUST_USE bool replay_add(struct replay *replay, struct headlog_reader *owned, uint64_t sequence);
/* Applies what is held. */
MUST_USE bool replay_flush(struct replay *replay);
/* Forgets what is held. */
void replay_release(struct replay *replay);

#endif
