/* intake: an open-addressed index over entries that never move.
 *
 *   slots   [ hash 16 entry* 48 | ... ]                8 bytes each, 1/2 to 3/4 full
 *   entry   [ ref cell[0] cell[1] last name_len tags_len rule type dialect touched[2] assigned[2] |
 *             ^----------------------------------- 40 bytes -------------------------------------^
 *             name tags [reading] ]                                     the last one of a total
 *   cell    counter: sum      gauge: value      timer: timer*          set: sketch*
 *   touched [ entry* entry* ... ]                      one list a side, in order of first touch
 *
 * With 10k series and more, the cost of a metric is the cache misses of finding it. A batch is
 * therefore walked in stages (hash all, look at all slots, at all timers, add, settle the timers that
 * became full) with a prefetch between, so that the misses of one batch overlap.
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
 * release and acquire.
 */
#include <assert.h>
#include <math.h>
#include <stddef.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "server/ingest/intake_state.h"
#include "storage/base/alloc.h"

#define CACHE_LINE  64
#define TOUCHED_MIN 1024

static void fetch(const void *from, size_t bytes)
{
    const char *at = from;
    for (size_t i = 0; i < bytes; i += CACHE_LINE)
        __builtin_prefetch(at + i);
    __builtin_prefetch(at + bytes - 1);
}

/* --- finding --- */

/* What is known of a metric ahead of its turn. */
struct sought {
    uint64_t hash;
    struct entry *guess; /* the entry that is most often the right one; NULL = none */
};

uint64_t intake_hash(const struct intake *intake, const struct statsd_metric *metric)
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

/* What lies where this hash is first met; most often the right entry. NULL = there is none. */
static struct entry *guess(const struct intake *intake, uint64_t hash)
{
    size_t i = intake_home(intake, hash);
    while (intake->slots[i].word && !slot_may_be(intake->slots[i], hash))
        i = intake_next(intake, i);
    return slot_entry(intake->slots[i]);
}

static struct entry *find_or_make(struct intake *intake, const struct statsd_metric *metric,
                                  uint64_t hash)
{
    size_t i = intake_home(intake, hash);
    for (; intake->slots[i].word; i = intake_next(intake, i))
        if (slot_may_be(intake->slots[i], hash) && entry_is(slot_entry(intake->slots[i]), metric))
            return slot_entry(intake->slots[i]);
    return intake_make(intake, metric, i, hash);
}

/* Under the name alone, without the tags that may be in it. */
static struct entry *find_or_make_overflow(struct intake *intake,
                                           const struct statsd_metric *metric)
{
    char joined[STATSD_NAME_MAX];
    struct statsd_metric overflow = *metric;
    struct statsd_name name = statsd_split_name(metric->dialect, metric->name);
    overflow.tags = INTAKE_OVERFLOW_TAGS;
    overflow.name = name.head;
    if (name.tail.len) {
        assert(name.head.len + name.tail.len <= sizeof joined);
        if (name.head.len)
            memcpy(joined, name.head.at, name.head.len);
        memcpy(joined + name.head.len, name.tail.at, name.tail.len);
        overflow.name = slice_make(joined, name.head.len + name.tail.len);
    }
    struct entry *entry = find_or_make(intake, &overflow, intake_hash(intake, &overflow));
    if (entry)
        metric_add(&intake_metrics[INTAKE_OVERFLOWS], 1);
    return entry;
}

/* --- adding --- */

static void touch(struct intake *intake, struct entry *entry)
{
    struct side *side = &intake->sides[intake->active];
    if (side->count == side->capacity) {
        side->capacity = side->capacity ? side->capacity * 2 : TOUCHED_MIN;
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
    char *times = entry->key + entry->name_len + entry->tags_len;
    cell->value = metric->value;
    entry->assigned[intake->active] = true;
    memcpy(times + intake->active * sizeof(uint32_t), &intake->time_us, sizeof(uint32_t));
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

void intake_copy_reading(struct intake *intake, const struct entry *from)
{
    struct statsd_metric metric = intake_metric_of(from);
    size_t at = metric.name.len + metric.tags.len;
    struct entry *entry = find_or_make(intake, &metric, intake_hash(intake, &metric));
    if (entry)
        memcpy(entry->key + at, from->key + at, sizeof(double));
}

static void add_timer(struct intake *intake, union cell *cell, double value, double weight)
{
    if (!cell->timer) {
        cell->timer = timer_new(&intake->slabs);
        intake->sketch_bytes += timer_bytes(cell->timer);
    }
    intake->sketch_bytes += timer_add(cell->timer, value, weight);
    if (!timer_is_full(cell->timer) || intake->full_count == INTAKE_BATCH_MAX)
        return;
    fetch(&cell->timer->histogram, sizeof cell->timer->histogram);
    intake->full[intake->full_count++] = cell->timer;
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
                              const struct sought *sought)
{
    struct entry *entry = sought->guess;
    if (!entry || !entry_is(entry, metric))
        entry = find_or_make(intake, metric, sought->hash);
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
    const struct sought sought = {.hash = intake_hash(intake, &moved)};
    struct entry *entry = entry_of(intake, &moved, &sought);
    if (entry)
        add_value(intake, entry, &moved);
}

static void add_metric(struct intake *intake, struct statsd_metric *metric,
                       const struct sought *sought)
{
    bool sketch = metric->type == STATSD_TIMER || metric->type == STATSD_SET;
    if (sketch && intake->sketch_bytes > intake->options.sketch_bytes_max) {
        metric_add(&intake_metrics[INTAKE_DROP_SKETCH_BYTES], 1);
        return;
    }
    struct entry *entry = entry_of(intake, metric, sought);
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

/* --- a batch, in stages --- */

static void hash_all(const struct intake *intake, const struct statsd_metric *metrics,
                     struct sought *sought, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        sought[i].hash = intake_hash(intake, &metrics[i]);
        __builtin_prefetch(&intake->slots[intake_home(intake, sought[i].hash)]);
    }
}

/* With all of the key: it will be compared. */
static void fetch_entries(const struct intake *intake, const struct statsd_metric *metrics,
                          struct sought *sought, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct entry *entry = sought[i].guess = guess(intake, sought[i].hash);
        if (entry)
            fetch(entry, offsetof(struct entry, key) + metrics[i].name.len + metrics[i].tags.len);
    }
}

static void fetch_timers(const struct intake *intake, const struct statsd_metric *metrics,
                         const struct sought *sought, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct entry *entry = sought[i].guess;
        if (metrics[i].type != STATSD_TIMER || !entry || entry->type != STATSD_TIMER)
            continue;
        const struct timer *timer = entry->cells[intake->active].timer;
        if (timer)
            __builtin_prefetch(timer);
    }
}

/* Those that became full in this batch. */
static void settle_full(struct intake *intake)
{
    for (size_t i = 0; i < intake->full_count; i++) {
        const struct histogram_side *side = &intake->full[i]->histogram.positive;
        if (side->count)
            fetch(side->at, side->count * sizeof *side->at);
    }
    for (size_t i = 0; i < intake->full_count; i++)
        intake->sketch_bytes += timer_settle(intake->full[i]);
    intake->full_count = 0;
}

void intake_add(struct intake *intake, struct statsd_metric *metrics, size_t count)
{
    struct sought sought[INTAKE_BATCH_MAX];
    assert(count <= INTAKE_BATCH_MAX);
    hash_all(intake, metrics, sought, count);
    fetch_entries(intake, metrics, sought, count);
    fetch_timers(intake, metrics, sought, count);
    for (size_t i = 0; i < count; i++)
        add_metric(intake, &metrics[i], &sought[i]);
    settle_full(intake);
}
