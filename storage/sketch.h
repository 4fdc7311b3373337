/* sketch: which members a set has seen, well enough to count those of any union of sets.
 *
 * A member is known by the upper half of its XXH3-64 (seed 0) over its bytes as received: the same on
 * every machine and after every restart, so that sketches of workers, ticks and series merge. Up to
 * SKETCH_EXACT_MAX members the sketch holds these 32 bits of each and counts exactly (two of 512
 * members share them once in 33,000 sets); beyond, it is a HyperLogLog of 2^12 registers with a
 * standard error of 1.6 % (up to some 10^8 members). It never takes more than 4 KiB.
 *
 * Merging is associative and commutative, and loses nothing against one sketch that saw all members.
 * Owned plain data; one thread at a time.
 */
#ifndef STORAGE_SKETCH_H
#define STORAGE_SKETCH_H

#include "storage/base/buffer.h"

#define SKETCH_EXACT_MAX  512
#define SKETCH_INDEX_BITS 12
#define SKETCH_REGISTERS  (1u << SKETCH_INDEX_BITS)
#define SKETCH_CODE_MAX   ((size_t)8192) /* bytes; what is longer is no code of a sketch */

struct sketch {
    uint32_t *slots; /* open addressing, 0 = empty; NULL once dense */
    uint32_t capacity;
    uint32_t count;
    uint8_t *registers; /* NULL while exact */
};

void sketch_init(struct sketch *sketch);
void sketch_release(struct sketch *sketch);
/* Forgets the members; keeps the memory of the exact form. */
void sketch_reset(struct sketch *sketch);
void sketch_add(struct sketch *sketch, struct slice member);
/* The same with the member's XXH3-64. */
void sketch_add_hash(struct sketch *sketch, uint64_t hash);
/* Adds the members of b to a. */
void sketch_merge(struct sketch *a, const struct sketch *b);
/* How many members: a whole number while exact. */
double sketch_estimate(const struct sketch *sketch);
/* Appends its code. Equal sketches have equal codes. */
void sketch_encode(const struct sketch *sketch, struct buffer *out);
/* Adds the members of a code. False on bytes that are none; what was added until then stays. */
MUST_USE bool sketch_merge_code(struct sketch *sketch, struct slice code);
/* Heap bytes held. */
size_t sketch_bytes(const struct sketch *sketch);

#endif
