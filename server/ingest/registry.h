/* registry: the running state of every series that is pushed rather than read: cumulative totals
 * of counters, bases of gauges, cumulative histograms.
 *
 * Totals continue after a restart (the first touch of a series asks the store for its last value).
 * At each tick all live series are written to the batch, idle ones repeated until idle_timeout,
 * then ended with a stale marker and forgotten.
 * Thread: writer (call from writer jobs only).
 */
#ifndef SERVER_INGEST_REGISTRY_H
#define SERVER_INGEST_REGISTRY_H

#include "storage/store.h"

struct registry;

struct registry_options {
    int64_t idle_timeout_ms;
    int64_t series_per_metric_max;
    int64_t flush_interval_ms;
};

struct registry *registry_new(struct store *store, const struct registry_options *options);
void registry_free(struct registry *registry);

/* Adds n >= 0 to a counter. labels include __name__, sorted; they are copied if new. */
void registry_count(struct registry *registry, struct labels labels, double n);
void registry_gauge(struct registry *registry, struct labels labels, double value);
void registry_gauge_add(struct registry *registry, struct labels labels, double delta);
/* Adds the observations of one tick. */
void registry_histogram(struct registry *registry, struct labels labels,
                        const struct histogram *delta);
/* Distinct members seen in this tick. */
void registry_set(struct registry *registry, struct labels labels, double members);

/* Appends one sample a live series at tick_ms. */
MUST_USE int registry_flush(struct registry *registry, struct store_batch *batch, int64_t tick_ms,
                            struct error *err);
size_t registry_series_count(const struct registry *registry);

#endif
