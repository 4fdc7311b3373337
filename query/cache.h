/* cache: answers of queries, kept so that a dashboard that asks again computes only what is new.
 *
 * An entry is the result of one key (the query's text and what else decides each step) at all steps of
 * a contiguous range. Whether its steps are still right is for query/cached.h to say: this file knows
 * neither plans nor the store. Beside the result there may be the text of a whole reply with it.
 * Bounded in bytes; what was not used for longest goes first.
 * Any thread: one mutex. Results and texts are copied in and out.
 */
#ifndef QUERY_CACHE_H
#define QUERY_CACHE_H

#include "query/promql.h"
#include "storage/base/buffer.h"

struct result_cache;

/* What an entry is worth. */
struct cached_facts {
    uint64_t change;           /* the newest change of the store that it knows of */
    int64_t first_ms, last_ms; /* the steps; both included */
    /* The latest sample times that it was read from: after each step, and whatever the step; INT64_MIN:
     * none. */
    int64_t ahead_ms, fixed_ms;
    uint64_t id; /* of the entry; never 0 */
    bool noted;  /* it has infos */
    bool has_text;
};

/* NULL when bytes_max is 0; all functions take that for an empty one. */
struct result_cache *result_cache_new(size_t bytes_max);
void result_cache_free(struct result_cache *cache);

bool result_cache_find(struct result_cache *cache, struct slice key, struct cached_facts *out);
/* The points of the steps [first_ms, last_ms], in the arena. False when the entry has gone since it was
 * found, or the arena is full. */
MUST_USE bool result_cache_copy(struct result_cache *cache, struct slice key,
                                const struct cached_facts *facts, struct arena *arena,
                                struct promql_result *out);
/* Takes the place of what the key had. What alone would fill a quarter of the cache is not kept. */
void result_cache_put(struct result_cache *cache, struct slice key,
                      const struct cached_facts *facts, const struct promql_result *result);

/* Appends the text of the entry; false when there is none, or another entry has come since it was found. */
MUST_USE bool result_cache_copy_text(struct result_cache *cache, struct slice key, uint64_t id,
                                     struct buffer *out);
/* All that in one, with the facts, of a text of at most bytes_max; false, too, while another thread is at the
 * cache. Never waits. */
MUST_USE bool result_cache_try_text(struct result_cache *cache, struct slice key, size_t bytes_max,
                                    struct cached_facts *facts, struct buffer *out);
/* Beside the result of that entry; unless the text is empty, the entry has gone, or the two together would
 * fill a quarter of the cache. */
void result_cache_put_text(struct result_cache *cache, struct slice key, uint64_t id,
                           struct slice text);

/* For the figures: what became of a query. */
enum cache_outcome { CACHE_HIT, CACHE_PART, CACHE_MISS, CACHE_OUTCOME_COUNT };
void result_cache_count(enum cache_outcome outcome);

#endif
