/* distinct: how many different members a statsd set has seen.
 *
 * Exact up to DISTINCT_EXACT_MAX members, then a HyperLogLog of 2^14 registers (standard error
 * 0.81 %, 16 KiB). Two of them merge without loss against having seen both streams.
 * Owned plain data; one thread at a time.
 */
#ifndef SERVER_INGEST_DISTINCT_H
#define SERVER_INGEST_DISTINCT_H

#include "storage/base/buffer.h"

#define DISTINCT_EXACT_MAX 256

struct distinct {
    uint64_t *hashes; /* open addressing, 0 = empty slot; NULL once dense */
    uint32_t capacity;
    uint32_t count;
    uint8_t *registers; /* NULL while exact */
};

void distinct_init(struct distinct *set);
void distinct_release(struct distinct *set);
void distinct_add(struct distinct *set, struct slice member);
/* The same with the member's hash. */
void distinct_add_hash(struct distinct *set, uint64_t hash);
/* Adds the members of b to a. */
void distinct_merge(struct distinct *a, const struct distinct *b);
/* The number of members, a whole number while exact. */
double distinct_estimate(const struct distinct *set);
/* The state as bytes, and back (set is initialised by it); false on bytes that are none. */
void distinct_encode(const struct distinct *set, struct buffer *out);
MUST_USE bool distinct_decode(struct slice bytes, struct distinct *set);
/* Heap bytes held. */
size_t distinct_bytes(const struct distinct *set);

#endif
