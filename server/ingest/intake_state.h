/* intake_state: what the files of the intake share.
 *
 *   intake.c        finds entries and adds to them: the hot path
 *   intake_table.c  makes entries, grows, swaps sides, evicts
 *   intake_fold.c   carries a side into the registry, on the writer thread
 *   intake_renew.c  replaces an intake when the rules change
 *
 * Nobody else includes it. Threads: see intake.h; the comment of a member says what is the writer's.
 */
#ifndef SERVER_INGEST_INTAKE_STATE_H
#define SERVER_INGEST_INTAKE_STATE_H

#include "server/ingest/intake.h"
#include "server/ingest/timer.h"
#include "storage/base/metric.h"
#include "storage/base/slabs.h"

#define INTAKE_OVERFLOW_TAGS SLICE("\n") /* no line can hold one */

enum {
    INTAKE_DROP_ENTRIES,
    INTAKE_DROP_KEY_BYTES,
    INTAKE_DROP_SKETCH_BYTES,
    INTAKE_DROP_LABELS,
    INTAKE_OVERFLOWS,
    INTAKE_ENTRIES,
    INTAKE_EVICTIONS,
    INTAKE_METRIC_COUNT,
};

extern struct metric intake_metrics[INTAKE_METRIC_COUNT];

union cell {
    double value;
    struct timer *timer;
    struct sketch *set;
};

/* There are as many as series, once a worker: every byte counts. */
struct entry {
    struct registry_ref ref; /* the writer's */
    union cell cells[2];
    uint32_t last_swap; /* when it was touched last */
    uint16_t name_len;
    uint16_t tags_len;
    uint16_t rule; /* of the mapping */
    uint8_t type;
    uint8_t dialect;
    bool touched[2];
    bool assigned[2]; /* gauges: set, not only moved */
    char key[];       /* name, then tags; of a total then its last reading, of a gauge its times */
};

/* When either side of a gauge was set last; behind its key, unaligned. */
struct gauge_times {
    uint32_t set_us[2];
};

#define SLOT_ADDRESS_BITS 48 /* as many as processes are given, on all machines there are */

struct slot {
    uint64_t word; /* 0 = empty; else the low bits of the hash, then the address of the entry */
};

struct side {
    struct entry **touched;
    size_t count, capacity;
    size_t released; /* sketch bytes that the writer freed, less those it took (mod 2^64) */
};

struct intake {
    struct intake_options options;
    struct slot *slots;
    size_t capacity;
    size_t count;
    size_t key_bytes;
    size_t sketch_bytes;
    size_t sweep;
    uint64_t seed;
    uint32_t swaps;
    uint32_t time_us; /* see intake_set_time; 0 = nobody said */
    unsigned active;
    _Atomic bool handed; /* the inactive side is the writer's */
    struct side sides[2];
    struct timer *full[INTAKE_BATCH_MAX]; /* timers that settle at the end of this batch */
    size_t full_count;
    struct slabs slabs; /* of entries and timers */
    struct arena arena; /* the writer's */
    /* What it replaced, the writer's to settle and free; NULL = nothing (any more). */
    struct intake *_Atomic before;
    int64_t settled_ms; /* the tick at which all of this one was folded; 0 = it is in use */
};

static inline struct entry *slot_entry(struct slot slot)
{
    return (struct entry *)(uintptr_t)(slot.word & (((uint64_t)1 << SLOT_ADDRESS_BITS) - 1));
}

/* False: the entry there has another hash, and need not be looked at. */
static inline bool slot_may_be(struct slot slot, uint64_t hash)
{
    return slot.word >> SLOT_ADDRESS_BITS == (hash & (UINT64_MAX >> SLOT_ADDRESS_BITS));
}

/* Where the slot of this hash would be if there were no others: the high half is its share of 2^32, of a capacity
 * that may be any number. */
static inline size_t intake_home(const struct intake *intake, uint64_t hash)
{
    return (size_t)((hash >> 32) * intake->capacity >> 32);
}

/* The place behind this one. */
static inline size_t intake_next(const struct intake *intake, size_t at)
{
    return at + 1 == intake->capacity ? 0 : at + 1;
}

uint64_t intake_hash(const struct intake *intake, const struct statsd_metric *metric);
/* Makes the entry of a metric that has none, in the free slot at this index. NULL when a limit is
 * reached; counted when not even the overflow has room. */
struct entry *intake_make(struct intake *intake, const struct statsd_metric *metric, size_t at,
                          uint64_t hash);
/* The metric that finds the entry; it borrows the key. */
struct statsd_metric intake_metric_of(const struct entry *entry);
/* Finds or makes the entry of the same name and tags, whose last reading is then that of `from`. */
void intake_copy_reading(struct intake *intake, const struct entry *from);
/* What the entry's series is called by a rule; false when it cannot be. */
MUST_USE bool intake_labels(const struct entry *entry, const struct mapping_rule *rule,
                            struct arena *arena, struct labels *out);

#endif
