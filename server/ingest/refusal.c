/* refusal: an array under a lock, which only bad lines and those who ask for them take. */
#include "server/ingest/refusal.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"

struct refusals {
    pthread_mutex_t lock;
    unsigned count;
    struct refusal at[];
};

struct refusals *refusals_new(unsigned reasons)
{
    struct refusals *refusals =
        alloc_zeroed(1, sizeof *refusals + reasons * sizeof refusals->at[0]);
    pthread_mutex_init(&refusals->lock, NULL);
    refusals->count = reasons;
    return refusals;
}

void refusals_free(struct refusals *refusals)
{
    if (!refusals)
        return;
    pthread_mutex_destroy(&refusals->lock);
    free(refusals);
}

void refusals_note(struct refusals *refusals, unsigned reason, const char *transport,
                   const struct peer *peer, struct slice line)
{
    struct refusal *refusal = &refusals->at[reason];
    struct slice kept = slice_head(line, REFUSAL_LINE_MAX);
    assert(reason < refusals->count);
    pthread_mutex_lock(&refusals->lock);
    refusal->time_ms = clock_now_ms();
    refusal->transport = transport;
    refusal->peer = *peer;
    refusal->bytes = line.len;
    if (kept.len)
        memcpy(refusal->line, kept.at, kept.len);
    pthread_mutex_unlock(&refusals->lock);
}

void refusals_last(struct refusals *refusals, unsigned reason, struct refusal *out)
{
    assert(reason < refusals->count);
    pthread_mutex_lock(&refusals->lock);
    *out = refusals->at[reason];
    pthread_mutex_unlock(&refusals->lock);
}
