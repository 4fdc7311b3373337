/* keep: for how long which samples are kept.
 *
 * A limit for each tier, and rules for the series that match: the first that does decides. Limits
 * are in ms; 0 = for ever. Owned by the store; writer thread.
 */
#ifndef STORAGE_KEEP_H
#define STORAGE_KEEP_H

#include "storage/store.h"

struct keep_rule {
    struct matcher *matchers;
    size_t count;
    int64_t ms[STORE_TIER_COUNT];
};

struct keep {
    int64_t ms[STORE_TIER_COUNT];
    int64_t bytes; /* of samples and buckets; 0 = any */
    struct keep_rule *rules;
    size_t rule_count;
    struct arena arena; /* all of the rules */
};

/* Copies; on failure *keep is as it was. */
MUST_USE int keep_set(struct keep *keep, const struct store_retention *from, struct error *err);
void keep_release(struct keep *keep);
/* The limit for a series of these labels. */
int64_t keep_limit(const struct keep *keep, struct labels labels, enum store_tier tier);
/* The shortest of all limits of a tier. */
int64_t keep_shortest(const struct keep *keep, enum store_tier tier);
/* True when a is the longer limit. */
static inline bool keep_is_longer(int64_t a, int64_t b)
{
    return b != 0 && (a == 0 || a > b);
}

#endif
