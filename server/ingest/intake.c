/* intake: an open-addressed index over entries that never move.
 *
 *   slots   [ hash entry* | hash entry* | ... ]        16 bytes each, at most 3/4 full
 *   entry   [ ref cell[0] cell[1] last name_len tags_len rule type dialect touched[2] assigned[2] |
 *             ^----------------------------------- 40 bytes -------------------------------------^
 *             name tags [reading] ]                                     the last one of a total
 *   cell    counter: sum      gauge: value      timer: histogram*      set: sketch*
 *   touched [ entry* entry* ... ]                      one list a side, in order of first touch
 *
 * With 10k series and more, the cost of a metric is the cache misses of finding it. A batch is
 * therefore walked in stages (hash all, look at all slots, then add) with a prefetch between, so
 * that the misses of one batch overlap.
 *
 * A full table makes no entries but one a name, whose tags are a line feed (no line can hold one):
 * the metric's __overflow__ series, so that totals stay right while one metric's labels explode.
 *
 * A counter never falls, so counts below zero are gathered, as positive numbers, under the name
 * with "_decrements" behind it; the two series together say all that was sent. Of a sender's own
 * running total the rises are counted: from the first reading on, and from zero after a fall.
 *
 * The two cells of an entry belong to the two sides. `handed` says who may touch the inactive
 * side: the worker swaps only when it is false, the writer clears it after the fold; both with
 * release and acquire. Entries idle for a while are evicted by the worker inside swap, a part of
 * the table each time, when the writer holds nothing.
 */
#include "server/ingest/intake.h"

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
#define OVERFLOW_TAGS      SLICE("\n")
#define OVERFLOW_ENTRIES   10000 /* above entries_max */

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

static struct metric intake_metrics[INTAKE_METRIC_COUNT] = {
    [INTAKE_DROP_ENTRIES] = {.name = "lapwing_statsd_drops_total",
                             .labels = "reason=\"series\"",
                             .help = "Well-formed metrics dropped at a limit."},
    [INTAKE_DROP_KEY_BYTES] = {.name = "lapwing_statsd_drops_total",
                               .labels = "reason=\"key_bytes\"",
                               .help = "Well-formed metrics dropped at a limit."},
    [INTAKE_DROP_SKETCH_BYTES] = {.name = "lapwing_statsd_drops_total",
                                  .labels = "reason=\"sketch_bytes\"",
                                  .help = "Well-formed metrics dropped at a limit."},
    [INTAKE_DROP_LABELS] = {.name = "lapwing_statsd_drops_total",
                            .labels = "reason=\"too_many_tags\"",
                            .help = "Well-formed metrics dropped at a limit."},
    [INTAKE_OVERFLOWS] = {.name = "lapwing_statsd_overflow_total",
                          .help = "Metrics counted in their name's __overflow__ series because the "
                                  "worker's table was full."},
    [INTAKE_ENTRIES] = {.name = "lapwing_statsd_entries",
                        .kind = METRIC_GAUGE,
                        .help = "Raw names held in the workers' tables."},
    [INTAKE_EVICTIONS] = {.name = "lapwing_statsd_evictions_total",
                          .help = "Idle raw names dropped from the workers' tables."},
};

union cell {
    double value;
    struct histogram *histogram;
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
    char key[];       /* name, then tags; of a total then its last reading */
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
    unsigned active;
    _Atomic bool handed; /* the inactive side is the writer's */
    struct side sides[2];
    struct arena arena; /* the writer's */
};

struct intake *intake_new(const struct intake_options *options)
{
    metric_register(intake_metrics, INTAKE_METRIC_COUNT);
    mapped_init();
    struct intake *intake = alloc_zeroed(1, sizeof *intake);
    intake->options = *options;
    intake->capacity = CAPACITY_MIN;
    intake->slots = alloc_zeroed(CAPACITY_MIN, sizeof *intake->slots);
    /* Names come from outside: a secret seed keeps chosen collisions from slowing the table. */
    if (getrandom(&intake->seed, sizeof intake->seed, 0) != sizeof intake->seed)
        abort();
    arena_init(&intake->arena, LABEL_SCRATCH_MAX);
    return intake;
}

static size_t entry_sketch_bytes(const struct entry *entry)
{
    size_t bytes = 0;
    for (int i = 0; i < 2; i++) {
        const union cell *cell = &entry->cells[i];
        if (entry->type == STATSD_TIMER && cell->histogram)
            bytes += sizeof *cell->histogram +
                     (cell->histogram->positive.capacity + cell->histogram->negative.capacity) *
                         sizeof(struct histogram_bucket);
        if (entry->type == STATSD_SET && cell->set)
            bytes += sizeof *cell->set + sketch_bytes(cell->set);
    }
    return bytes;
}

static void entry_free(struct entry *entry)
{
    for (int i = 0; i < 2; i++) {
        union cell *cell = &entry->cells[i];
        if (entry->type == STATSD_TIMER && cell->histogram) {
            histogram_release(cell->histogram);
            free(cell->histogram);
        }
        if (entry->type == STATSD_SET && cell->set) {
            sketch_release(cell->set);
            free(cell->set);
        }
    }
    free(entry);
}

void intake_free(struct intake *intake)
{
    if (!intake)
        return;
    metric_add(&intake_metrics[INTAKE_ENTRIES], -(int64_t)intake->count);
    for (size_t i = 0; i < intake->capacity; i++)
        if (intake->slots[i].entry)
            entry_free(intake->slots[i].entry);
    free(intake->slots);
    free(intake->sides[0].touched);
    free(intake->sides[1].touched);
    arena_release(&intake->arena);
    free(intake);
}

/* --- the index --- */

static uint64_t metric_hash(const struct intake *intake, const struct statsd_metric *metric)
{
    uint64_t kind = (uint64_t)metric->type | (uint64_t)metric->dialect << 8;
    uint64_t hash = XXH3_64bits_withSeed(metric->name.at, metric->name.len, intake->seed + kind);
    if (metric->tags.len)
        hash = XXH3_64bits_withSeed(metric->tags.at, metric->tags.len, hash);
    return hash;
}

static bool entry_is(const struct entry *entry, const struct statsd_metric *metric)
{
    return entry->type == metric->type && entry->dialect == metric->dialect &&
           entry->name_len == metric->name.len && entry->tags_len == metric->tags.len &&
           memcmp(entry->key, metric->name.at, metric->name.len) == 0 &&
           (metric->tags.len == 0 ||
            memcmp(entry->key + entry->name_len, metric->tags.at, metric->tags.len) == 0);
}

static void grow(struct intake *intake)
{
    struct slot *old = intake->slots;
    size_t old_capacity = intake->capacity;
    intake->capacity *= 2;
    intake->slots = alloc_zeroed(intake->capacity, sizeof *intake->slots);
    size_t mask = intake->capacity - 1;
    for (size_t i = 0; i < old_capacity; i++) {
        if (!old[i].entry)
            continue;
        size_t at = old[i].hash & mask;
        while (intake->slots[at].entry)
            at = (at + 1) & mask;
        intake->slots[at] = old[i];
    }
    free(old);
}

/* NULL when a limit is reached; counted when not even the overflow has room. */
static struct entry *entry_new(struct intake *intake, const struct statsd_metric *metric)
{
    size_t key_len = metric->name.len + metric->tags.len;
    bool overflow = slice_equal(metric->tags, OVERFLOW_TAGS);
    size_t spare = overflow ? OVERFLOW_ENTRIES : 0;
    size_t spare_bytes = spare * (STATSD_NAME_MAX + OVERFLOW_TAGS.len);
    if (intake->count >= intake->options.entries_max + spare) {
        metric_add(&intake_metrics[INTAKE_DROP_ENTRIES], overflow);
        return NULL;
    }
    if (intake->key_bytes + key_len > intake->options.key_bytes_max + spare_bytes) {
        metric_add(&intake_metrics[INTAKE_DROP_KEY_BYTES], overflow);
        return NULL;
    }
    double reading = NAN;
    size_t extra = metric->type == STATSD_TOTAL ? sizeof reading : 0;
    size_t size = offsetof(struct entry, key) + key_len + extra;
    struct entry *entry = alloc_zeroed(1, size > sizeof *entry ? size : sizeof *entry);
    entry->name_len = (uint16_t)metric->name.len;
    entry->tags_len = (uint16_t)metric->tags.len;
    entry->rule = mapped_rule(intake->options.mapping, metric);
    entry->type = (uint8_t)metric->type;
    entry->dialect = (uint8_t)metric->dialect;
    memcpy(entry->key + key_len, &reading, extra);
    memcpy(entry->key, metric->name.at, metric->name.len);
    if (metric->tags.len)
        memcpy(entry->key + metric->name.len, metric->tags.at, metric->tags.len);
    metric_add(&intake_metrics[INTAKE_ENTRIES], 1);
    intake->count++;
    intake->key_bytes += key_len;
    return entry;
}

static struct entry *find_or_make(struct intake *intake, const struct statsd_metric *metric,
                                  uint64_t hash)
{
    size_t mask = intake->capacity - 1, i = hash & mask;
    for (; intake->slots[i].entry; i = (i + 1) & mask)
        if (intake->slots[i].hash == hash && entry_is(intake->slots[i].entry, metric))
            return intake->slots[i].entry;
    struct entry *entry = entry_new(intake, metric);
    if (!entry)
        return NULL;
    intake->slots[i] = (struct slot){hash, entry};
    if (intake->count * 4 > intake->capacity * 3)
        grow(intake);
    return entry;
}

/* Under the name alone, without the tags that may be in it. */
static struct entry *find_or_make_overflow(struct intake *intake,
                                           const struct statsd_metric *metric)
{
    char joined[STATSD_NAME_MAX];
    struct statsd_metric overflow = *metric;
    struct statsd_name name = statsd_split_name(metric->dialect, metric->name);
    overflow.tags = OVERFLOW_TAGS;
    overflow.name = name.head;
    if (name.tail.len) {
        assert(name.head.len + name.tail.len <= sizeof joined);
        if (name.head.len)
            memcpy(joined, name.head.at, name.head.len);
        memcpy(joined + name.head.len, name.tail.at, name.tail.len);
        overflow.name = slice_make(joined, name.head.len + name.tail.len);
    }
    struct entry *entry = find_or_make(intake, &overflow, metric_hash(intake, &overflow));
    if (entry)
        metric_add(&intake_metrics[INTAKE_OVERFLOWS], 1);
    return entry;
}

/* --- adding --- */

static void touch(struct intake *intake, struct entry *entry)
{
    struct side *side = &intake->sides[intake->active];
    if (side->count == side->capacity) {
        side->capacity = side->capacity ? side->capacity * 2 : CAPACITY_MIN;
        side->touched = alloc_resize(side->touched, side->capacity, sizeof *side->touched);
    }
    side->touched[side->count++] = entry;
    entry->touched[intake->active] = true;
    entry->last_swap = intake->swaps;
}

static void add_gauge(const struct intake *intake, struct entry *entry,
                      const struct statsd_metric *metric)
{
    union cell *cell = &entry->cells[intake->active];
    if (metric->is_delta) {
        cell->value += metric->value;
        return;
    }
    cell->value = metric->value;
    entry->assigned[intake->active] = true;
}

static void add_reading(struct entry *entry, union cell *cell, double value)
{
    char *at = entry->key + entry->name_len + entry->tags_len;
    double before;
    memcpy(&before, at, sizeof before);
    memcpy(at, &value, sizeof value);
    if (!isnan(before))
        cell->value += value >= before ? value - before : value;
}

static void add_timer(struct intake *intake, union cell *cell, double value, double weight)
{
    if (!cell->histogram) {
        cell->histogram = alloc_zeroed(1, sizeof *cell->histogram);
        histogram_init(cell->histogram);
        intake->sketch_bytes += sizeof *cell->histogram;
    }
    size_t before = cell->histogram->positive.capacity + cell->histogram->negative.capacity;
    histogram_add(cell->histogram, value, weight);
    size_t after = cell->histogram->positive.capacity + cell->histogram->negative.capacity;
    intake->sketch_bytes += (after - before) * sizeof(struct histogram_bucket);
}

static void add_member(struct intake *intake, union cell *cell, struct slice member)
{
    if (!cell->set) {
        cell->set = alloc_zeroed(1, sizeof *cell->set);
        sketch_init(cell->set);
        intake->sketch_bytes += sizeof *cell->set;
    }
    size_t before = sketch_bytes(cell->set);
    sketch_add(cell->set, member);
    intake->sketch_bytes += sketch_bytes(cell->set) - before;
}

static void add_value(struct intake *intake, struct entry *entry,
                      const struct statsd_metric *metric)
{
    union cell *cell = &entry->cells[intake->active];
    switch (metric->type) {
    case STATSD_COUNTER:
    case STATSD_DECREMENT:
        cell->value += metric->value * metric->weight;
        break;
    case STATSD_TOTAL:
        add_reading(entry, cell, metric->value);
        break;
    case STATSD_GAUGE:
        add_gauge(intake, entry, metric);
        break;
    case STATSD_TIMER:
        add_timer(intake, cell, metric->value, metric->weight);
        break;
    case STATSD_SET:
        add_member(intake, cell, metric->member);
        break;
    case STATSD_TYPE_COUNT:
        assert(!"no type");
    }
}

/* Where the metric belongs, marked as touched; NULL when there is no room or a rule drops it. */
static struct entry *entry_of(struct intake *intake, const struct statsd_metric *metric,
                              uint64_t hash)
{
    struct entry *entry = find_or_make(intake, metric, hash);
    if (!entry)
        entry = find_or_make_overflow(intake, metric);
    if (entry && entry->rule && mapped_drops(intake->options.mapping, entry->rule)) {
        entry->last_swap = intake->swaps;
        return NULL;
    }
    if (entry && !entry->touched[intake->active])
        touch(intake, entry);
    return entry;
}

static void add_decrement(struct intake *intake, const struct statsd_metric *metric)
{
    struct statsd_metric moved = *metric;
    moved.type = STATSD_DECREMENT;
    moved.value = -metric->value;
    struct entry *entry = entry_of(intake, &moved, metric_hash(intake, &moved));
    if (entry)
        add_value(intake, entry, &moved);
}

static void add_metric(struct intake *intake, struct statsd_metric *metric, uint64_t hash)
{
    bool sketch = metric->type == STATSD_TIMER || metric->type == STATSD_SET;
    if (sketch && intake->sketch_bytes > intake->options.sketch_bytes_max) {
        metric_add(&intake_metrics[INTAKE_DROP_SKETCH_BYTES], 1);
        return;
    }
    struct entry *entry = entry_of(intake, metric, hash);
    if (!entry)
        return;
    do {
        if (entry->rule && !mapped_scale(intake->options.mapping, entry->rule, metric))
            continue;
        if (metric->type == STATSD_COUNTER && metric->value < 0)
            add_decrement(intake, metric);
        else
            add_value(intake, entry, metric);
    } while (statsd_cut_value(metric));
}

void intake_add(struct intake *intake, struct statsd_metric *metrics, size_t count)
{
    assert(count <= INTAKE_BATCH_MAX);
    uint64_t hashes[INTAKE_BATCH_MAX];
    size_t mask = intake->capacity - 1;
    for (size_t i = 0; i < count; i++) {
        hashes[i] = metric_hash(intake, &metrics[i]);
        __builtin_prefetch(&intake->slots[hashes[i] & mask]);
    }
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = intake->slots[hashes[i] & mask].entry;
        __builtin_prefetch(entry);
        if (entry)
            __builtin_prefetch(entry->key);
    }
    for (size_t i = 0; i < count; i++)
        add_metric(intake, &metrics[i], hashes[i]);
}

/* --- ticks --- */

static void remove_slot(struct intake *intake, size_t hole)
{
    struct entry *entry = intake->slots[hole].entry;
    metric_add(&intake_metrics[INTAKE_ENTRIES], -1);
    intake->count--;
    intake->key_bytes -= (size_t)entry->name_len + entry->tags_len;
    intake->sketch_bytes -= entry_sketch_bytes(entry);
    entry_free(entry);
    intake->slots[hole].entry = NULL;
    size_t mask = intake->capacity - 1;
    for (size_t i = (hole + 1) & mask; intake->slots[i].entry; i = (i + 1) & mask) {
        size_t home = intake->slots[i].hash & mask;
        if (((i - home) & mask) < ((i - hole) & mask))
            continue; /* already between its home and the hole */
        intake->slots[hole] = intake->slots[i];
        intake->slots[i].entry = NULL;
        hole = i;
    }
}

static void sweep(struct intake *intake)
{
    bool crowded = intake->count * 2 > intake->options.entries_max ||
                   intake->key_bytes * 2 > intake->options.key_bytes_max ||
                   intake->sketch_bytes * 2 > intake->options.sketch_bytes_max;
    uint32_t idle = crowded ? IDLE_SWAPS_CROWDED : IDLE_SWAPS;
    for (size_t left = intake->capacity / SWEEP_PARTS; left; left--) {
        size_t i = intake->sweep++ & (intake->capacity - 1);
        const struct entry *entry = intake->slots[i].entry;
        if (!entry || entry->touched[0] || entry->touched[1] ||
            intake->swaps - entry->last_swap <= idle ||
            (entry->type == STATSD_TOTAL && !crowded)) /* its reading would be lost */
            continue;
        remove_slot(intake, i);
        intake->sweep--; /* another entry may have moved here */
        metric_add(&intake_metrics[INTAKE_EVICTIONS], 1);
    }
}

bool intake_swap(struct intake *intake)
{
    if (atomic_load_explicit(&intake->handed, memory_order_acquire))
        return false;
    struct side *back = &intake->sides[intake->active ^ 1];
    intake->sketch_bytes -= back->released;
    back->released = 0;
    sweep(intake);
    intake->swaps++;
    intake->active ^= 1;
    atomic_store_explicit(&intake->handed, true, memory_order_release);
    return true;
}

static void fold_gauge(struct registry *registry, const struct entry *entry, double value,
                       bool assigned)
{
    if (assigned)
        registry_gauge_at(registry, entry->ref, value);
    else
        registry_gauge_add_at(registry, entry->ref, value);
}

/* Returns the sketch bytes it freed. */
static size_t fold_cell(struct entry *entry, unsigned side, struct registry *registry)
{
    union cell *cell = &entry->cells[side];
    size_t released = 0;
    switch ((enum statsd_type)entry->type) {
    case STATSD_COUNTER:
    case STATSD_DECREMENT:
    case STATSD_TOTAL:
        registry_count_at(registry, entry->ref, cell->value);
        cell->value = 0;
        break;
    case STATSD_GAUGE:
        fold_gauge(registry, entry, cell->value, entry->assigned[side]);
        entry->assigned[side] = false;
        cell->value = 0;
        break;
    case STATSD_TIMER:
        registry_histogram_at(registry, entry->ref, cell->histogram);
        histogram_reset(cell->histogram);
        break;
    case STATSD_SET:
        registry_set_at(registry, entry->ref, cell->set);
        released = sketch_bytes(cell->set);
        sketch_release(cell->set);
        break;
    case STATSD_TYPE_COUNT:
        assert(!"no type");
    }
    return released;
}

static struct registry_ref resolve(struct intake *intake, const struct entry *entry,
                                   struct registry *registry)
{
    static const enum series_kind kinds[] = {
        [STATSD_COUNTER] = SERIES_COUNTER, [STATSD_GAUGE] = SERIES_GAUGE,
        [STATSD_TIMER] = SERIES_HISTOGRAM, [STATSD_SET] = SERIES_SET,
        [STATSD_TOTAL] = SERIES_COUNTER,   [STATSD_DECREMENT] = SERIES_COUNTER,
    };
    struct labels labels;
    struct slice tags = slice_make(entry->key + entry->name_len, entry->tags_len);
    bool overflow = slice_equal(tags, OVERFLOW_TAGS);
    struct statsd_name name =
        statsd_split_name(entry->dialect, slice_make(entry->key, entry->name_len));
    arena_reset(&intake->arena);
    if (entry->type == STATSD_DECREMENT)
        name.suffix = STATSD_DECREMENTS;
    const struct mapping_rule *rule = mapped_at(intake->options.mapping, entry->rule);
    if (!mapped_labels(rule, name, overflow ? SLICE("") : tags, &intake->arena, &labels)) {
        metric_add(&intake_metrics[INTAKE_DROP_LABELS], 1);
        return (struct registry_ref){0};
    }
    enum series_kind kind = kinds[entry->type];
    struct registry_ref ref =
        overflow ? registry_lookup_overflow(registry, labels_get(labels, SLICE(LABEL_NAME)), kind)
                 : registry_lookup(registry, labels, kind);
    if (rule && rule->ttl_ms)
        registry_set_ttl(registry, ref, rule->ttl_ms);
    return ref;
}

void intake_fold(struct intake *intake, struct registry *registry)
{
    if (!atomic_load_explicit(&intake->handed, memory_order_acquire))
        return;
    unsigned inactive = intake->active ^ 1;
    struct side *side = &intake->sides[inactive];
    for (size_t i = 0; i < side->count; i++) {
        struct entry *entry = side->touched[i];
        if (i + FOLD_AHEAD < side->count)
            __builtin_prefetch(side->touched[i + FOLD_AHEAD]);
        if (!registry_holds(registry, entry->ref))
            entry->ref = resolve(intake, entry, registry);
        side->released += fold_cell(entry, inactive, registry);
        entry->touched[inactive] = false;
    }
    side->count = 0;
    atomic_store_explicit(&intake->handed, false, memory_order_release);
}
