/* cache: answers of range queries, kept so that a dashboard that asks again computes only what is new.
 *
 * An entry is the result of one key (the query's text and what else decides each step) at all steps of
 * a contiguous range. Whether its steps are still right is for query/cached.h to say: this file knows
 * neither plans nor the store. Bounded in bytes; what was not used for longest goes first.
 * Any thread: one mutex. Results are copied in and out.
 */
#ifndef QUERY_CACHE_H
#define QUERY_CACHE_H

#include "query/promql.h"

struct result_cache;

/* What an entry is worth. */
struct cached_facts {
    uint64_t change;           /* the newest change of the store that it knows of */
    int64_t first_ms, last_ms; /* the steps; both included */
    uint64_t id;               /* of the entry; private */
    bool noted;                /* it has infos */
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

/* For the figures: what became of a query. */
enum cache_outcome { CACHE_HIT, CACHE_PART, CACHE_MISS, CACHE_OUTCOME_COUNT };
void result_cache_count(enum cache_outcome outcome);

#endif
