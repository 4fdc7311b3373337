/* aggregate: an open-addressed index over entries that never move.
 *
 *   slots   [ hash entry* | hash entry* | ... ]        16 bytes each, at most 3/4 full
 *   entry   [ hash ref last name_len tags_len kind touched[2] | cell[0] | cell[1] | name tags ]
 *             ^----------------------- 64 bytes, one cache line ------------------^
 *   cell    counter: sum      gauge: value, how      timer: histogram*      set: distinct*
 *   touched [ entry* entry* ... ]                      one list a side, in order of first touch
 *
 * With 10k series and more, the cost of a metric is the cache misses of finding it. A batch is
 * therefore walked in stages (hash all, look at all slots, then add) with a prefetch between, so
 * that the misses of one batch overlap.
 *
 * The two cells of an entry belong to the two sides. `handed` says who may touch the inactive
 * side: the worker swaps only when it is false, the writer clears it after the fold; both with
 * release and acquire. Entries idle for a while are evicted by the worker inside swap, a part of
 * the table each time, when the writer holds nothing.
 */
#include "server/ingest/aggregate.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <sys/random.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "storage/base/alloc.h"
#include "storage/base/metric.h"

#define CAPACITY_MIN 1024
/* Swaps after which an untouched entry may go; fewer when the table is half full. */
#define IDLE_SWAPS         30
#define IDLE_SWAPS_CROWDED 2
#define SWEEP_PARTS        8 /* of the table are swept at each swap */
#define LABEL_SCRATCH_MAX  65536
#define FOLD_AHEAD         8

enum {
    AGGREGATE_DROP_ENTRIES,
    AGGREGATE_DROP_KEY_BYTES,
    AGGREGATE_DROP_SKETCH_BYTES,
    AGGREGATE_DROP_LABELS,
    AGGREGATE_EVICTIONS,
    AGGREGATE_METRIC_COUNT,
};

static struct metric aggregate_metrics[AGGREGATE_METRIC_COUNT] = {
    [AGGREGATE_DROP_ENTRIES] = {.name = "lapwing_statsd_drops_total",
                                .labels = "reason=\"series\"",
                                .help = "Well-formed metrics dropped at a limit."},
    [AGGREGATE_DROP_KEY_BYTES] = {.name = "lapwing_statsd_drops_total",
                                  .labels = "reason=\"key_bytes\"",
                                  .help = "Well-formed metrics dropped at a limit."},
    [AGGREGATE_DROP_SKETCH_BYTES] = {.name = "lapwing_statsd_drops_total",
                                     .labels = "reason=\"sketch_bytes\"",
                                     .help = "Well-formed metrics dropped at a limit."},
    [AGGREGATE_DROP_LABELS] = {.name = "lapwing_statsd_drops_total",
                               .labels = "reason=\"too_many_tags\"",
                               .help = "Well-formed metrics dropped at a limit."},
    [AGGREGATE_EVICTIONS] = {.name = "lapwing_statsd_evictions_total",
                             .help = "Idle raw names dropped from the workers' tables."},
};

enum gauge_how { GAUGE_MOVED = 0, GAUGE_ASSIGNED = 1 };

struct cell {
    double value;
    union {
        enum gauge_how gauge;
        struct histogram *histogram;
        struct distinct *set;
    };
};

struct entry {
    uint64_t hash;
    struct registry_ref ref; /* the writer's */
    uint32_t last_swap;      /* when it was touched last */
    uint16_t name_len;
    uint16_t tags_len;
    uint8_t type;
    bool touched[2];
    struct cell cells[2];
    char key[]; /* name, then tags */
};

struct slot {
    uint64_t hash;
    struct entry *entry;
};

struct side {
    struct entry **touched;
    size_t count, capacity;
    size_t released; /* sketch bytes the writer freed while it had this side */
};

struct aggregate {
    struct aggregate_options options;
    struct slot *slots;
    size_t capacity;
    size_t count;
    size_t key_bytes;
    size_t sketch_bytes;
    size_t sweep;
    uint64_t seed;
    uint32_t swaps;
    unsigned active;
    _Atomic bool handed; /* the inactive side is the writer's */
    struct side sides[2];
    struct arena arena; /* the writer's */
};

_Static_assert(offsetof(struct entry, key) == 64, "an entry's head is one cache line");

struct aggregate *aggregate_new(const struct aggregate_options *options)
{
    metric_register(aggregate_metrics, AGGREGATE_METRIC_COUNT);
    struct aggregate *aggregate = alloc_zeroed(1, sizeof *aggregate);
    aggregate->options = *options;
    aggregate->capacity = CAPACITY_MIN;
    aggregate->slots = alloc_zeroed(CAPACITY_MIN, sizeof *aggregate->slots);
    /* Names come from outside: a secret seed keeps chosen collisions from slowing the table. */
    if (getrandom(&aggregate->seed, sizeof aggregate->seed, 0) != sizeof aggregate->seed)
        abort();
    arena_init(&aggregate->arena, LABEL_SCRATCH_MAX);
    return aggregate;
}

static size_t sketch_bytes(const struct entry *entry)
{
    size_t bytes = 0;
    for (int i = 0; i < 2; i++) {
        const struct cell *cell = &entry->cells[i];
        if (entry->type == STATSD_TIMER && cell->histogram)
            bytes += sizeof *cell->histogram +
                     (cell->histogram->positive.capacity + cell->histogram->negative.capacity) *
                         sizeof(struct histogram_bucket);
        if (entry->type == STATSD_SET && cell->set)
            bytes += sizeof *cell->set + distinct_bytes(cell->set);
    }
    return bytes;
}

static void entry_free(struct entry *entry)
{
    for (int i = 0; i < 2; i++) {
        struct cell *cell = &entry->cells[i];
        if (entry->type == STATSD_TIMER && cell->histogram) {
            histogram_release(cell->histogram);
            free(cell->histogram);
        }
        if (entry->type == STATSD_SET && cell->set) {
            distinct_release(cell->set);
            free(cell->set);
        }
    }
    free(entry);
}

void aggregate_free(struct aggregate *aggregate)
{
    if (!aggregate)
        return;
    for (size_t i = 0; i < aggregate->capacity; i++)
        if (aggregate->slots[i].entry)
            entry_free(aggregate->slots[i].entry);
    free(aggregate->slots);
    free(aggregate->sides[0].touched);
    free(aggregate->sides[1].touched);
    arena_release(&aggregate->arena);
    free(aggregate);
}

/* --- the index --- */

static uint64_t metric_hash(const struct aggregate *aggregate, const struct statsd_metric *metric)
{
    uint64_t hash = XXH3_64bits_withSeed(metric->name.at, metric->name.len,
                                         aggregate->seed + (uint64_t)metric->type);
    if (metric->tags.len)
        hash = XXH3_64bits_withSeed(metric->tags.at, metric->tags.len, hash);
    return hash;
}

static bool entry_is(const struct entry *entry, const struct statsd_metric *metric)
{
    return entry->type == metric->type && entry->name_len == metric->name.len &&
           entry->tags_len == metric->tags.len &&
           memcmp(entry->key, metric->name.at, metric->name.len) == 0 &&
           (metric->tags.len == 0 ||
            memcmp(entry->key + entry->name_len, metric->tags.at, metric->tags.len) == 0);
}

static void grow(struct aggregate *aggregate)
{
    struct slot *old = aggregate->slots;
    size_t old_capacity = aggregate->capacity;
    aggregate->capacity *= 2;
    aggregate->slots = alloc_zeroed(aggregate->capacity, sizeof *aggregate->slots);
    size_t mask = aggregate->capacity - 1;
    for (size_t i = 0; i < old_capacity; i++) {
        if (!old[i].entry)
            continue;
        size_t at = old[i].hash & mask;
        while (aggregate->slots[at].entry)
            at = (at + 1) & mask;
        aggregate->slots[at] = old[i];
    }
    free(old);
}

/* NULL, counted, when a limit is reached. */
static struct entry *entry_new(struct aggregate *aggregate, const struct statsd_metric *metric,
                               uint64_t hash)
{
    size_t key_len = metric->name.len + metric->tags.len;
    if (aggregate->count >= aggregate->options.entries_max) {
        metric_add(&aggregate_metrics[AGGREGATE_DROP_ENTRIES], 1);
        return NULL;
    }
    if (aggregate->key_bytes + key_len > aggregate->options.key_bytes_max) {
        metric_add(&aggregate_metrics[AGGREGATE_DROP_KEY_BYTES], 1);
        return NULL;
    }
    struct entry *entry = alloc_zeroed(1, sizeof *entry + key_len);
    entry->hash = hash;
    entry->name_len = (uint16_t)metric->name.len;
    entry->tags_len = (uint16_t)metric->tags.len;
    entry->type = (uint8_t)metric->type;
    memcpy(entry->key, metric->name.at, metric->name.len);
    if (metric->tags.len)
        memcpy(entry->key + metric->name.len, metric->tags.at, metric->tags.len);
    aggregate->count++;
    aggregate->key_bytes += key_len;
    return entry;
}

static struct entry *find_or_make(struct aggregate *aggregate, const struct statsd_metric *metric,
                                  uint64_t hash)
{
    size_t mask = aggregate->capacity - 1, i = hash & mask;
    for (; aggregate->slots[i].entry; i = (i + 1) & mask)
        if (aggregate->slots[i].hash == hash && entry_is(aggregate->slots[i].entry, metric))
            return aggregate->slots[i].entry;
    struct entry *entry = entry_new(aggregate, metric, hash);
    if (!entry)
        return NULL;
    aggregate->slots[i] = (struct slot){hash, entry};
    if (aggregate->count * 4 > aggregate->capacity * 3)
        grow(aggregate);
    return entry;
}

/* --- adding --- */

static void touch(struct aggregate *aggregate, struct entry *entry)
{
    struct side *side = &aggregate->sides[aggregate->active];
    if (side->count == side->capacity) {
        side->capacity = side->capacity ? side->capacity * 2 : CAPACITY_MIN;
        side->touched = alloc_resize(side->touched, side->capacity, sizeof *side->touched);
    }
    side->touched[side->count++] = entry;
    entry->touched[aggregate->active] = true;
    entry->last_swap = aggregate->swaps;
}

static void add_gauge(const struct aggregate *aggregate, struct cell *cell,
                      const struct statsd_metric *metric)
{
    if (metric->is_signed && aggregate->options.gauge_delta) {
        cell->value += metric->value;
        return;
    }
    cell->value = metric->value;
    cell->gauge = GAUGE_ASSIGNED;
}

static void add_timer(struct aggregate *aggregate, struct cell *cell, double value, double weight)
{
    if (!cell->histogram) {
        cell->histogram = alloc_zeroed(1, sizeof *cell->histogram);
        histogram_init(cell->histogram);
        aggregate->sketch_bytes += sizeof *cell->histogram;
    }
    size_t before = cell->histogram->positive.capacity + cell->histogram->negative.capacity;
    histogram_add(cell->histogram, value, weight);
    size_t after = cell->histogram->positive.capacity + cell->histogram->negative.capacity;
    aggregate->sketch_bytes += (after - before) * sizeof(struct histogram_bucket);
}

static void add_member(struct aggregate *aggregate, struct cell *cell, struct slice member)
{
    if (!cell->set) {
        cell->set = alloc_zeroed(1, sizeof *cell->set);
        distinct_init(cell->set);
        aggregate->sketch_bytes += sizeof *cell->set;
    }
    size_t before = distinct_bytes(cell->set);
    distinct_add(cell->set, member);
    aggregate->sketch_bytes += distinct_bytes(cell->set) - before;
}

static void add_value(struct aggregate *aggregate, struct cell *cell,
                      const struct statsd_metric *metric)
{
    switch (metric->type) {
    case STATSD_COUNTER:
        cell->value += metric->value * metric->weight;
        break;
    case STATSD_GAUGE:
        add_gauge(aggregate, cell, metric);
        break;
    case STATSD_TIMER:
        add_timer(aggregate, cell, metric->value, metric->weight);
        break;
    case STATSD_SET:
        add_member(aggregate, cell, metric->member);
        break;
    }
}

static void add_metric(struct aggregate *aggregate, struct statsd_metric *metric, uint64_t hash)
{
    bool sketch = metric->type == STATSD_TIMER || metric->type == STATSD_SET;
    if (sketch && aggregate->sketch_bytes > aggregate->options.sketch_bytes_max) {
        metric_add(&aggregate_metrics[AGGREGATE_DROP_SKETCH_BYTES], 1);
        return;
    }
    struct entry *entry = find_or_make(aggregate, metric, hash);
    if (!entry)
        return;
    if (!entry->touched[aggregate->active])
        touch(aggregate, entry);
    struct cell *cell = &entry->cells[aggregate->active];
    do {
        add_value(aggregate, cell, metric);
    } while (statsd_cut_value(metric));
}

void aggregate_add(struct aggregate *aggregate, struct statsd_metric *metrics, size_t count)
{
    assert(count <= AGGREGATE_BATCH_MAX);
    uint64_t hashes[AGGREGATE_BATCH_MAX];
    size_t mask = aggregate->capacity - 1;
    for (size_t i = 0; i < count; i++) {
        hashes[i] = metric_hash(aggregate, &metrics[i]);
        __builtin_prefetch(&aggregate->slots[hashes[i] & mask]);
    }
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = aggregate->slots[hashes[i] & mask].entry;
        __builtin_prefetch(entry);
        if (entry)
            __builtin_prefetch(entry->key);
    }
    for (size_t i = 0; i < count; i++)
        add_metric(aggregate, &metrics[i], hashes[i]);
}

/* --- ticks --- */

static void remove_slot(struct aggregate *aggregate, size_t hole)
{
    struct entry *entry = aggregate->slots[hole].entry;
    aggregate->count--;
    aggregate->key_bytes -= (size_t)entry->name_len + entry->tags_len;
    aggregate->sketch_bytes -= sketch_bytes(entry);
    entry_free(entry);
    aggregate->slots[hole].entry = NULL;
    size_t mask = aggregate->capacity - 1;
    for (size_t i = (hole + 1) & mask; aggregate->slots[i].entry; i = (i + 1) & mask) {
        size_t home = aggregate->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* already between its home and the hole */
        aggregate->slots[hole] = aggregate->slots[i];
        aggregate->slots[i].entry = NULL;
        hole = i;
    }
}

static void sweep(struct aggregate *aggregate)
{
    bool crowded = aggregate->count * 2 > aggregate->options.entries_max ||
                   aggregate->key_bytes * 2 > aggregate->options.key_bytes_max ||
                   aggregate->sketch_bytes * 2 > aggregate->options.sketch_bytes_max;
    uint32_t idle = crowded ? IDLE_SWAPS_CROWDED : IDLE_SWAPS;
    for (size_t left = aggregate->capacity / SWEEP_PARTS; left; left--) {
        size_t i = aggregate->sweep++ & (aggregate->capacity - 1);
        const struct entry *entry = aggregate->slots[i].entry;
        if (!entry || entry->touched[0] || entry->touched[1] ||
            aggregate->swaps - entry->last_swap <= idle)
            continue;
        remove_slot(aggregate, i);
        aggregate->sweep--; /* another entry may have moved here */
        metric_add(&aggregate_metrics[AGGREGATE_EVICTIONS], 1);
    }
}

bool aggregate_swap(struct aggregate *aggregate)
{
    if (atomic_load_explicit(&aggregate->handed, memory_order_acquire))
        return false;
    struct side *back = &aggregate->sides[aggregate->active ^ 1];
    aggregate->sketch_bytes -= back->released;
    back->released = 0;
    sweep(aggregate);
    aggregate->swaps++;
    aggregate->active ^= 1;
    atomic_store_explicit(&aggregate->handed, true, memory_order_release);
    return true;
}

/* Returns the sketch bytes it freed. */
static size_t fold_cell(struct entry *entry, struct cell *cell, struct registry *registry)
{
    size_t released = 0;
    switch ((enum statsd_type)entry->type) {
    case STATSD_COUNTER:
        registry_count_at(registry, entry->ref, cell->value);
        break;
    case STATSD_GAUGE:
        if (cell->gauge == GAUGE_ASSIGNED)
            registry_gauge_at(registry, entry->ref, cell->value);
        else
            registry_gauge_add_at(registry, entry->ref, cell->value);
        cell->gauge = GAUGE_MOVED;
        break;
    case STATSD_TIMER:
        registry_histogram_at(registry, entry->ref, cell->histogram);
        histogram_reset(cell->histogram);
        break;
    case STATSD_SET:
        registry_set_at(registry, entry->ref, cell->set);
        released = distinct_bytes(cell->set);
        distinct_release(cell->set);
        break;
    }
    cell->value = 0;
    return released;
}

static struct registry_ref resolve(struct aggregate *aggregate, const struct entry *entry,
                                   struct registry *registry)
{
    static const enum series_kind kinds[] = {
        [STATSD_COUNTER] = SERIES_COUNTER,
        [STATSD_GAUGE] = SERIES_GAUGE,
        [STATSD_TIMER] = SERIES_HISTOGRAM,
        [STATSD_SET] = SERIES_SET,
    };
    struct labels labels;
    arena_reset(&aggregate->arena);
    if (statsd_labels(slice_make(entry->key, entry->name_len),
                      slice_make(entry->key + entry->name_len, entry->tags_len), &aggregate->arena,
                      &labels))
        return registry_lookup(registry, labels, kinds[entry->type]);
    metric_add(&aggregate_metrics[AGGREGATE_DROP_LABELS], 1);
    return (struct registry_ref){0};
}

void aggregate_fold(struct aggregate *aggregate, struct registry *registry)
{
    if (!atomic_load_explicit(&aggregate->handed, memory_order_acquire))
        return;
    unsigned inactive = aggregate->active ^ 1;
    struct side *side = &aggregate->sides[inactive];
    for (size_t i = 0; i < side->count; i++) {
        struct entry *entry = side->touched[i];
        if (i + FOLD_AHEAD < side->count)
            __builtin_prefetch(side->touched[i + FOLD_AHEAD]);
        if (!registry_holds(registry, entry->ref))
            entry->ref = resolve(aggregate, entry, registry);
        side->released += fold_cell(entry, &entry->cells[inactive], registry);
        entry->touched[inactive] = false;
    }
    side->count = 0;
    atomic_store_explicit(&aggregate->handed, false, memory_order_release);
}

size_t aggregate_entry_count(const struct aggregate *aggregate)
{
    return aggregate->count;
}
