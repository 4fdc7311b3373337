/* registry: the running state of every series that is pushed rather than read: cumulative totals
 * of counters, bases of gauges, cumulative histograms.
 *
 * Totals continue after a restart (the first flush of a series asks the store for its last value).
 * At each tick all live series are written to the batch, idle ones repeated until idle_timeout,
 * then ended with a stale marker and forgotten. A series is known by its labels; the same labels
 * under a second kind get the extra label statsd_type. Beyond the limits a metric's new series
 * share its {__overflow__="true"} series, so that totals stay right.
 * Thread: writer (call from writer jobs only).
 */
#ifndef SERVER_INGEST_REGISTRY_H
#define SERVER_INGEST_REGISTRY_H

#include "storage/sketch.h"
#include "storage/store.h"

struct registry;

struct registry_options {
    int64_t idle_timeout_ms;
    int64_t series_max;
    int64_t flush_interval_ms;
};

struct registry *registry_new(struct store *store, const struct registry_options *options);
void registry_free(struct registry *registry);

/* Adds n >= 0 to a counter. labels include __name__, sorted; they are copied if new. */
void registry_count(struct registry *registry, struct labels labels, double n);
void registry_gauge(struct registry *registry, struct labels labels, double value);

/* A remembered lookup, for callers that keep one per source of samples. All zero = none. */
struct registry_ref {
    uint32_t slot;
    uint32_t generation;
};
/* False once the series has been forgotten (or the ref is none): look it up again. */
bool registry_holds(const struct registry *registry, struct registry_ref ref);
/* Finds or makes the series. None when even the overflow series has no room (counted). */
struct registry_ref registry_lookup(struct registry *registry, struct labels labels,
                                    enum series_kind kind);
/* The metric's series for what found no room: {__overflow__="true"}. */
struct registry_ref registry_lookup_overflow(struct registry *registry, struct slice name,
                                             enum series_kind kind);
/* An idle timeout of this series' own, for as long as it is held; 0: that of the options. A ref of none is
 * ignored, and so are the last of more than 254 different timeouts. */
void registry_set_ttl(struct registry *registry, struct registry_ref ref, int64_t ttl_ms);
/* Changes through a ref. A ref of none is ignored; a kind mismatch is a bug. */
void registry_count_at(struct registry *registry, struct registry_ref ref, double n);
void registry_gauge_at(struct registry *registry, struct registry_ref ref, double value);
/* The same from one of several who gathered since the last flush: the value with the latest time wins, in
 * whatever order they come. Times may wrap, but not within a tick; 0: in the order of the calls. */
void registry_gauge_set_at(struct registry *registry, struct registry_ref ref, double value,
                           uint32_t time);
void registry_gauge_add_at(struct registry *registry, struct registry_ref ref, double delta);
/* Adds the observations of one tick. */
void registry_histogram_at(struct registry *registry, struct registry_ref ref,
                           const struct histogram *delta);
/* Adds members seen in this tick. */
void registry_set_at(struct registry *registry, struct registry_ref ref,
                     const struct sketch *members);

/* A count or a reading of the past. It becomes part of the series once the tick that follows it is
 * flushed: registry_dated_write in a batch of its own, then registry_dated_done. */
void registry_dated(struct registry *registry, struct labels labels, enum series_kind kind,
                    int64_t time_ms, double value);
/* Counts one that did not even get there. Any thread. */
enum dated_drop { DATED_BUSY, DATED_TAGS, DATED_FULL, DATED_TIME, DATED_SERIES, DATED_DROP_COUNT };
void registry_dated_drop(enum dated_drop reason, size_t count);
/* Adds those that are due to the batch; `last`: also says goodbye to those of the future. */
void registry_dated_write(struct registry *registry, struct store_batch *batch, bool last);
/* Whether the batch of the last write was stored; otherwise it comes again. */
void registry_dated_done(struct registry *registry, bool stored);

/* What is in memory of a series that has been flushed. */
struct registry_view {
    struct registry_ref ref;
    enum series_kind kind;
    struct slice labels; /* canonical; until the visit ends */
    double value;        /* counter, gauge */
};
typedef void registry_visit(void *arg, const struct registry_view *view);
void registry_each(const struct registry *registry, registry_visit *visit, void *arg);
/* What counters and histograms got in the interval that was flushed last. */
struct registry_interval {
    enum series_kind kind;
    struct slice labels; /* canonical; until the visit ends */
    double count;        /* of a counter: what it rose by */
    double sum, lower, upper;
};
typedef void registry_visit_interval(void *arg, const struct registry_interval *interval);
/* Reads the last samples of each from the store, so it is for a person who asks. */
void registry_each_interval(struct registry *registry, enum series_kind kind,
                            registry_visit_interval *visit, void *arg);
/* What would become of a metric with these labels, if it came now; nothing is changed. */
enum registry_fate {
    REGISTRY_FATE_KNOWN, /* its series goes on */
    REGISTRY_FATE_NEW,
    REGISTRY_FATE_METRIC_FULL, /* counted in an overflow series, as there are too many of the metric, */
    REGISTRY_FATE_PREFIX_FULL, /* of its prefix, */
    REGISTRY_FATE_FULL,        /* or in all */
    REGISTRY_FATE_DROPPED,     /* even the labels with statsd_type belong to another kind */
};
struct registry_outlook {
    enum registry_fate fate;
    enum series_kind
        clash; /* the kind that has the labels, so that this one gets statsd_type; 0 = none */
    struct labels labels; /* of the series it would go to; in the arena */
    struct store_room room;
};
void registry_foresee(struct registry *registry, struct labels labels, enum series_kind kind,
                      struct arena *arena, struct registry_outlook *out);
/* The next flush ends the series with a stale marker, unless something came for it since the last one. */
void registry_end(struct registry *registry, struct registry_ref ref);

/* Appends one sample a live series at tick_ms, which must rise from call to call. */
void registry_flush(struct registry *registry, struct store_batch *batch, int64_t tick_ms);
/* The batch of the last flush was not committed: what began in it begins again in the next. */
void registry_flush_failed(struct registry *registry);

#endif
