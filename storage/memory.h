/* memory: what the store holds in memory, part by part, and the budget of open samples.
 *
 * Thread: writer.
 */
#ifndef STORAGE_MEMORY_H
#define STORAGE_MEMORY_H

#include "storage/store_state.h"

/* Registers the figures of this file. */
void memory_register(void);
/* Looks at what the parts hold. Cheap, but for the postings, which are walked once a minute. */
void memory_measure(struct store *store, int64_t now_ms);
/* Seals series early while open samples take more than head_bytes_max. Bounded; what is left over
 * is for the next tick. */
MUST_USE int memory_relieve_head(struct store *store, struct error *err);

#endif
