/* frequent: the keys that came most often lately, out of any number, in fixed memory.
 *
 * A count is never too low for a key that is there, and too high by at most its `error`. What
 * comes often is there: a key is displaced by others of its set only (see frequent.c).
 * "Lately" is the present period of FREQUENT_PERIOD_MS and the one before it.
 * One thread at a time.
 */
#ifndef SERVER_INGEST_FREQUENT_H
#define SERVER_INGEST_FREQUENT_H

#include "storage/base/slice.h"

#define FREQUENT_PERIOD_MS ((int64_t)10000)
#define FREQUENT_KEY_MAX   96 /* bytes kept of a key; longer ones are told apart all the same */

struct frequent;

/* set_count: a power of two; it keeps eight times as many keys a period. */
struct frequent *frequent_new(size_t set_count);
void frequent_free(struct frequent *frequent);

/* Begins a new period when the clock says so; periods of several lists begin together. Before the
 * first use, then as often as it gets. */
void frequent_tick(struct frequent *frequent, int64_t now_ms);
void frequent_add(struct frequent *frequent, struct slice key, uint64_t count);

struct frequent_key {
    uint64_t hash; /* of the whole key */
    uint64_t count, error;
    uint8_t len; /* of what is kept */
    char text[FREQUENT_KEY_MAX];
};
/* Both periods: a key may come twice. Writes up to `room` keys and returns how many. */
size_t frequent_list(const struct frequent *frequent, struct frequent_key *out, size_t room);
/* How long the periods that frequent_list gives have lasted so far. */
int64_t frequent_span_ms(const struct frequent *frequent, int64_t now_ms);

/* Joins equal keys of several lists, sorts by count, the most first, and returns how many are left. */
size_t frequent_merge(struct frequent_key *keys, size_t count);

#endif
