/* registry_state: what registry.c (lookup, changes) and registry_flush.c (ticks) share.
 *
 * Nobody else includes it. Thread: writer.
 */
#ifndef SERVER_INGEST_REGISTRY_STATE_H
#define SERVER_INGEST_REGISTRY_STATE_H

#include "server/ingest/registry.h"
#include "storage/base/metric.h"
#include "storage/base/table.h"

enum {
    REGISTRY_SERIES,
    REGISTRY_CLASHES,
    REGISTRY_OVERFLOW_METRIC,
    REGISTRY_OVERFLOW_PREFIX,
    REGISTRY_OVERFLOW_TOTAL,
    REGISTRY_DROP_LIMIT,
    REGISTRY_DROP_KIND,
    REGISTRY_DROP_NOT_FINITE,
    REGISTRY_DROP_STORE,
    REGISTRY_PUT_OFF,
    REGISTRY_METRIC_COUNT,
};

extern struct metric registry_metrics[REGISTRY_METRIC_COUNT];

#define TTLS_MAX       255 /* different ones */
#define OVERFLOW_LABEL "__overflow__"

#define TOUCHED_BITS 48 /* of ms since 1970: until the year 10889 */

struct series {
    union {
        double value; /* counter, gauge */
        struct histogram *histogram;
        struct sketch *members; /* of a set, in this tick */
    };
    uint32_t generation;                /* 0 = free slot */
    uint32_t id;                        /* in the store, which has the labels */
    uint64_t touched_ms : TOUCHED_BITS; /* the last tick that brought something */
    uint64_t kind : 3;                  /* enum series_kind */
    uint64_t ttl : 8;                   /* which of the registry's ttls_ms */
    bool fresh : 1;                     /* to be admitted by the next flush */
    bool joined : 1;                    /* what the store remembered is in the value */
    bool touched : 1;
    bool assigned : 1; /* gauge: set, not only moved */
    bool silent : 1;   /* a gauge that has only had readings of the past: none to repeat */
};

_Static_assert(sizeof(struct series) == 24, "there are as many as series");

struct registry {
    struct store *store;
    struct registry_options options;
    int64_t ttls_ms[TTLS_MAX]; /* [0] is the idle timeout */
    uint8_t ttl_count;
    uint32_t *slot_of; /* by id of the store; 0 = none */
    uint32_t id_capacity;
    struct table warned;  /* metrics whose limit the log has spoken of */
    struct series *slots; /* slot 0 stays unused */
    uint32_t slot_count, slot_capacity;
    size_t live;
    uint32_t *free_slots;
    size_t free_count, free_capacity;
    uint32_t *set_times; /* of gauges, by slot; see registry_gauge_set_at */
    uint32_t set_times_capacity;
    bool set_times_used; /* in this tick */
    bool refusal_told;   /* by the log, since the last tick */
    uint32_t *fresh;     /* slots; first those that the last flush admitted, begun_count of them */
    size_t fresh_count, fresh_capacity, begun_count;
    struct dated *dated; /* what waits to be written; see registry_dated.c */
    size_t dated_count, dated_capacity;
    uint32_t dated_number;
    uint32_t next_generation;
    int64_t last_tick_ms;
    struct buffer key;
    struct arena arena;
};

/* Adds n unless the sum would leave the range of doubles and so poison a total for ever. */
void registry_add_finite(double *total, double n);
/* Registers its metrics. */
void registry_dated_init(void);
/* The labels and the extra one that sets the second type apart. */
struct labels registry_set_apart(struct labels labels, enum series_kind kind,
                                 struct label pairs[LABELS_MAX]);
/* Made when absent. */
struct histogram *registry_histogram_of(struct series *series);
/* Frees the slot and ends all refs to it. */
void registry_forget(struct registry *registry, uint32_t slot);
/* Says in the log which label of the metric has the most values among the live series. */
void registry_warn_limit(const struct registry *registry, struct slice name);

#endif
