/* memory: figures, and sealing under pressure.
 *
 *   entries, labels, postings   follow from the number of series, which limits.series bounds
 *   open samples                memory.head: beyond it series are sealed before their chunk is full
 *   late samples                late.h bounds them
 *   memtables, block cache      memory.memtables, memory.block_cache: RocksDB keeps to them
 *
 * A walk around the head seals the series that have at least as many open samples as the average
 * and something to free, until an eighth of the budget is free again; the next walk goes on where
 * this one stopped. So no series is sealed again before all others had their turn, and chunks become
 * as long as memory allows. They are short only for a day: the closing of a day joins them.
 */
#include "storage/memory.h"

#include <malloc.h>

#include "storage/base/clock.h"

#define MARKED_MAX    1000 /* series marked before they are sealed */
#define RELIEF_NS_MAX ((int64_t)500000000)
#define WALK_MS       60000
#define TRIM_MS       60000
#define HOLES_MIN     ((size_t)16 << 20) /* free bytes between others worth giving back, */
#define HOLES_SHARE   32                 /* and the share of those in use that they must be */

enum {
    MEMORY_HEAD,
    MEMORY_OPEN_SAMPLES,
    MEMORY_LATE,
    MEMORY_SERIES,
    MEMORY_POSTINGS,
    MEMORY_MEMTABLES,
    MEMORY_BLOCK_CACHE,
    MEMORY_HEAP_USED,
    MEMORY_HEAP_FREE,
    MEMORY_SEALED_EARLY,
    MEMORY_METRIC_COUNT,
};

#define BYTES(part, what)                                                                          \
    {                                                                                              \
        .name = "lapwing_" part "_bytes", .kind = METRIC_GAUGE, .help = (what)                     \
    }

static struct metric memory_metrics[MEMORY_METRIC_COUNT] = {
    [MEMORY_HEAD] = BYTES("store_head", "Memory of series being written, with open samples."),
    [MEMORY_OPEN_SAMPLES] = BYTES("store_open_samples", "Of that, what memory.head bounds."),
    [MEMORY_LATE] = BYTES("store_late", "Memory of late samples that are not merged yet."),
    [MEMORY_SERIES] = BYTES("store_series", "Memory of label sets and their index."),
    [MEMORY_POSTINGS] = BYTES("store_postings", "Memory of the index of labels, once a minute."),
    [MEMORY_MEMTABLES] = BYTES("store_memtable", "RocksDB's tables in memory."),
    [MEMORY_BLOCK_CACHE] = BYTES("store_block_cache", "RocksDB's cache of blocks."),
    [MEMORY_HEAP_USED] = BYTES("heap_used", "Memory taken from the allocator."),
    [MEMORY_HEAP_FREE] = BYTES("heap_free", "Memory the allocator keeps though it is free."),
    [MEMORY_SEALED_EARLY] = {.name = "lapwing_store_sealed_early_total",
                             .help = "Series sealed early because open samples reached "
                                     "memory.head."},
};

void memory_register(void)
{
    metric_register(memory_metrics, MEMORY_METRIC_COUNT);
}

static void set(int row, uint64_t bytes)
{
    metric_set(&memory_metrics[row], (int64_t)bytes);
}

static uint64_t memtable_bytes(struct store *store)
{
    uint64_t bytes = 0;
    for (int family = 0; family < KV_FAMILY_COUNT; family++)
        bytes += kv_property(store->kv, (enum kv_family)family, "rocksdb.cur-size-all-mem-tables");
    return bytes;
}

/* What a burst of series, or their end, leaves behind as holes between what is in use. The allocator
 * itself only ever gives back the end of a heap. */
static struct mallinfo2 measure_heap(struct store *store, int64_t now_ms)
{
    struct mallinfo2 heap = mallinfo2();
    size_t holes = heap.fordblks - heap.keepcost;
    if (holes < HOLES_MIN || holes < heap.uordblks / HOLES_SHARE ||
        (now_ms >= store->trimmed_ms && now_ms < store->trimmed_ms + TRIM_MS))
        return heap;
    store->trimmed_ms = now_ms;
    malloc_trim(heap.keepcost); /* what is free at the end was left there on purpose */
    return heap;
}

void memory_measure(struct store *store, int64_t now_ms)
{
    struct mallinfo2 heap = measure_heap(store, now_ms);
    set(MEMORY_HEAD, head_bytes(&store->head));
    set(MEMORY_OPEN_SAMPLES, head_sample_bytes(&store->head));
    set(MEMORY_LATE, store->late.bytes);
    set(MEMORY_SERIES, series_bytes(&store->series));
    set(MEMORY_MEMTABLES, memtable_bytes(store));
    set(MEMORY_BLOCK_CACHE, kv_property(store->kv, KV_CHUNK, "rocksdb.block-cache-usage"));
    set(MEMORY_HEAP_USED, heap.uordblks + heap.hblkhd);
    set(MEMORY_HEAP_FREE, heap.fordblks);
    if (now_ms >= store->walked_ms && now_ms < store->walked_ms + WALK_MS)
        return;
    store->walked_ms = now_ms;
    set(MEMORY_POSTINGS, postings_bytes(&store->postings));
}

/* --- relief --- */

static bool is_worth(const struct head *head, uint32_t id, bool any)
{
    const struct head_series *series = head_get(head, id);
    if (!series || series->due || series->count == 0)
        return false;
    if (head_has_sketches(head, id)) /* a hundred times what a number takes */
        return true;
    return head_holds_runs(series) && (any || series->count * head->series >= head->samples);
}

/* Marks some series on the way around, at most one round. Returns how many. */
static size_t mark_some(struct store *store, bool any)
{
    const struct head *head = &store->head;
    size_t marked = 0;
    for (uint32_t left = head->capacity; left && marked < MARKED_MAX; left--) {
        if (store->relieved >= head->capacity)
            store->relieved = 0;
        uint32_t id = store->relieved++;
        if (!is_worth(head, id, any))
            continue;
        store_make_due(store, id);
        marked++;
    }
    metric_add(&memory_metrics[MEMORY_SEALED_EARLY], (int64_t)marked);
    return marked;
}

int memory_relieve_head(struct store *store, struct error *err)
{
    size_t most = store->head_bytes_max;
    int64_t deadline = clock_monotonic_ns() + RELIEF_NS_MAX;
    if (head_sample_bytes(&store->head) <= most)
        return 0;
    while (head_sample_bytes(&store->head) > most - most / 8 && clock_monotonic_ns() < deadline) {
        if (!mark_some(store, false) && !mark_some(store, true))
            return 0;
        if (store_seal_due(store, err))
            return -1;
    }
    return 0;
}
