/* intake_table: entries come, move sides and go.
 *
 * A full table makes no entries but those of __overflow__ series. Entries idle for a while are
 * evicted by the worker inside a swap, a part of the table each time, when the writer holds
 * nothing. Removal closes the gap at once: there are no tombstones to walk over.
 */
#include <assert.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/random.h>

#include "server/ingest/intake_state.h"
#include "storage/base/alloc.h"

#define CAPACITY_MIN 1024
/* Swaps after which an untouched entry may go; fewer when the table is half full. */
#define IDLE_SWAPS         30
#define IDLE_SWAPS_CROWDED 2
#define SWEEP_PARTS        8 /* of the table are swept at each swap */
#define SPARSE             8 /* slots an entry: the table is too large */
#define LABEL_SCRATCH_MAX  65536
#define OVERFLOW_ENTRIES   10000 /* above entries_max */
#define RESIZE_AHEAD       16    /* slots between prefetch and use */

struct metric intake_metrics[INTAKE_METRIC_COUNT] = {
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

struct intake *intake_new(const struct intake_options *options)
{
    metric_register(intake_metrics, INTAKE_METRIC_COUNT);
    mapped_init();
    struct intake *intake = alloc_zeroed(1, sizeof *intake);
    intake->options = *options;
    mapping_hold(intake->options.mapping);
    intake->capacity = CAPACITY_MIN;
    intake->slots = alloc_zeroed(CAPACITY_MIN, sizeof *intake->slots);
    /* Names come from outside: a secret seed keeps chosen collisions from slowing the table. */
    if (getrandom(&intake->seed, sizeof intake->seed, 0) != sizeof intake->seed)
        abort();
    arena_init(&intake->arena, LABEL_SCRATCH_MAX);
    return intake;
}

void intake_set_time(struct intake *intake, uint32_t time_us)
{
    intake->time_us = time_us;
}

static size_t entry_sketch_bytes(const struct entry *entry)
{
    size_t bytes = 0;
    for (int i = 0; i < 2; i++) {
        const union cell *cell = &entry->cells[i];
        if (entry->type == STATSD_TIMER && cell->timer)
            bytes += timer_bytes(cell->timer);
        if (entry->type == STATSD_SET && cell->set)
            bytes += sizeof *cell->set + sketch_bytes(cell->set);
    }
    return bytes;
}

static size_t entry_size(size_t key_len, enum statsd_type type)
{
    size_t extra = type == STATSD_TOTAL   ? sizeof(double)
                   : type == STATSD_GAUGE ? sizeof(struct gauge_times)
                                          : 0;
    size_t size = offsetof(struct entry, key) + key_len + extra;
    return size > sizeof(struct entry) ? size : sizeof(struct entry);
}

static void entry_free(struct intake *intake, struct entry *entry)
{
    size_t key_len = (size_t)entry->name_len + entry->tags_len;
    for (int i = 0; i < 2; i++) {
        union cell *cell = &entry->cells[i];
        if (entry->type == STATSD_TIMER)
            timer_free(&intake->slabs, cell->timer);
        if (entry->type == STATSD_SET && cell->set) {
            sketch_release(cell->set);
            free(cell->set);
        }
    }
    slabs_give(&intake->slabs, entry, entry_size(key_len, entry->type));
}

void intake_free(struct intake *intake)
{
    if (!intake)
        return;
    intake_free(intake->before);
    metric_add(&intake_metrics[INTAKE_ENTRIES], -(int64_t)intake->count);
    for (size_t i = 0; i < intake->capacity; i++)
        if (intake->slots[i].word)
            entry_free(intake, slot_entry(intake->slots[i]));
    slabs_release(&intake->slabs);
    free(intake->slots);
    free(intake->sides[0].touched);
    free(intake->sides[1].touched);
    arena_release(&intake->arena);
    mapping_free(intake->options.mapping);
    free(intake);
}

/* --- entries --- */

static uint64_t hash_of(const struct intake *intake, const struct entry *entry)
{
    struct statsd_metric metric = intake_metric_of(entry);
    return intake_hash(intake, &metric);
}

static struct slot slot_of(struct entry *entry, uint64_t hash)
{
    uintptr_t address = (uintptr_t)entry;
    assert(address >> SLOT_ADDRESS_BITS == 0);
    return (struct slot){hash << SLOT_ADDRESS_BITS | address};
}

static void prefetch_key(const struct entry *entry)
{
    if (!entry)
        return;
    __builtin_prefetch(entry);
    __builtin_prefetch(entry + 1);
}

/* A slot has not all of the hash: every entry's key is read. */
static void resize(struct intake *intake, size_t capacity)
{
    struct slot *old = intake->slots;
    size_t old_capacity = intake->capacity;
    intake->capacity = capacity;
    intake->slots = alloc_zeroed(capacity, sizeof *intake->slots);
    for (size_t i = 0; i < old_capacity; i++) {
        if (i + RESIZE_AHEAD < old_capacity)
            prefetch_key(slot_entry(old[i + RESIZE_AHEAD]));
        if (!old[i].word)
            continue;
        size_t at = intake_home(intake, hash_of(intake, slot_entry(old[i])));
        while (intake->slots[at].word)
            at = intake_next(intake, at);
        intake->slots[at] = old[i];
    }
    free(old);
}

static struct entry *entry_new(struct intake *intake, const struct statsd_metric *metric)
{
    size_t key_len = metric->name.len + metric->tags.len;
    bool overflow = slice_equal(metric->tags, INTAKE_OVERFLOW_TAGS);
    size_t spare = overflow ? OVERFLOW_ENTRIES : 0;
    size_t spare_bytes = spare * (STATSD_NAME_MAX + INTAKE_OVERFLOW_TAGS.len);
    if (intake->count >= intake->options.entries_max + spare) {
        metric_add(&intake_metrics[INTAKE_DROP_ENTRIES], overflow);
        return NULL;
    }
    if (intake->key_bytes + key_len > intake->options.key_bytes_max + spare_bytes) {
        metric_add(&intake_metrics[INTAKE_DROP_KEY_BYTES], overflow);
        return NULL;
    }
    const double reading = NAN;
    struct entry *entry = slabs_take(&intake->slabs, entry_size(key_len, metric->type));
    entry->name_len = (uint16_t)metric->name.len;
    entry->tags_len = (uint16_t)metric->tags.len;
    entry->rule = mapped_rule(intake->options.mapping, metric);
    entry->type = (uint8_t)metric->type;
    entry->dialect = (uint8_t)metric->dialect;
    if (metric->type == STATSD_TOTAL)
        memcpy(entry->key + key_len, &reading, sizeof reading);
    memcpy(entry->key, metric->name.at, metric->name.len);
    if (metric->tags.len)
        memcpy(entry->key + metric->name.len, metric->tags.at, metric->tags.len);
    metric_add(&intake_metrics[INTAKE_ENTRIES], 1);
    intake->count++;
    intake->key_bytes += key_len;
    return entry;
}

struct statsd_metric intake_metric_of(const struct entry *entry)
{
    return (struct statsd_metric){
        .name = slice_make(entry->key, entry->name_len),
        .tags = slice_make(entry->key + entry->name_len, entry->tags_len),
        .weight = 1,
        .type = entry->type,
        .dialect = entry->dialect,
    };
}

struct entry *intake_make(struct intake *intake, const struct statsd_metric *metric, size_t at,
                          uint64_t hash)
{
    struct entry *entry = entry_new(intake, metric);
    if (!entry)
        return NULL;
    intake->slots[at] = slot_of(entry, hash);
    if (intake->count * 4 > intake->capacity * 3)
        resize(intake, intake->capacity + intake->capacity / 2);
    return entry;
}

/* --- ticks --- */

/* From one place on to another. */
static size_t steps(const struct intake *intake, size_t from, size_t to)
{
    return to >= from ? to - from : to + intake->capacity - from;
}

static void remove_slot(struct intake *intake, size_t hole)
{
    struct entry *entry = slot_entry(intake->slots[hole]);
    metric_add(&intake_metrics[INTAKE_ENTRIES], -1);
    intake->count--;
    intake->key_bytes -= (size_t)entry->name_len + entry->tags_len;
    intake->sketch_bytes -= entry_sketch_bytes(entry);
    entry_free(intake, entry);
    intake->slots[hole] = (struct slot){0};
    for (size_t i = intake_next(intake, hole); intake->slots[i].word; i = intake_next(intake, i)) {
        size_t home = intake_home(intake, hash_of(intake, slot_entry(intake->slots[i])));
        if (steps(intake, home, i) < steps(intake, hole, i))
            continue; /* already between its home and the hole */
        intake->slots[hole] = intake->slots[i];
        intake->slots[i] = (struct slot){0};
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
        size_t i = intake->sweep < intake->capacity ? intake->sweep : 0;
        const struct entry *entry = slot_entry(intake->slots[i]);
        intake->sweep = i + 1;
        if (!entry || entry->touched[0] || entry->touched[1] ||
            intake->swaps - entry->last_swap <= idle ||
            (entry->type == STATSD_TOTAL && !crowded)) /* its reading would be lost */
            continue;
        remove_slot(intake, i);
        intake->sweep = i; /* another entry may have moved here */
        metric_add(&intake_metrics[INTAKE_EVICTIONS], 1);
    }
    if (intake->capacity / 2 >= CAPACITY_MIN && intake->count * SPARSE < intake->capacity)
        resize(intake, intake->capacity / 2);
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
