/* stats: the daemon's figures about itself, as /metrics and as series in its own store.
 *
 * Every figure is a row of some module's metric table (storage/base/metric.h); this module adds the
 * rows about the process and the store, renders all of them, and feeds them to the registry.
 */
#ifndef SERVER_STATS_H
#define SERVER_STATS_H

#include "server/ingest/registry.h"
#include "storage/base/buffer.h"

struct stats;

/* Registers the process rows. The store must outlive it. */
struct stats *stats_new(struct store *store);
void stats_free(struct stats *stats);

/* Prometheus text format 0.0.4. Any thread. */
void stats_render(struct stats *stats, struct buffer *out);
/* Puts the present figures into the registry; once a tick. Thread: writer. */
void stats_feed(struct stats *stats, struct registry *registry);

/* Bytes of memory in RAM, now. */
int64_t stats_resident_bytes(void);

#endif
