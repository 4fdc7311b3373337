/* logscan: a merge of runs, each the matching rows of one block, opened as late as possible.
 *
 *   blocks by time    [====]   [=====]     [====]        a block is opened when the merge reaches
 *                          [======]    [=]               its first row, so only blocks that overlap
 *   rows in memory                            [====]     in time are in memory together
 *
 * The runs stand in a heap by (time, order); going backward everything is mirrored. Rows of one
 * instant come out in the order they were sent, because a block holds rows that came before those
 * of any later block and sorting within it is stable. Should too many blocks overlap, the scan
 * ends with an error rather than without memory.
 */
#include "storage/log/logscan.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"

#define SCAN_BYTES_MAX ((size_t)256 << 20) /* of all runs that are open at once */

struct merge {
    struct logscan *scan;
    struct logrun **heap;
    size_t count, capacity;
    size_t next_entry;
    size_t bytes; /* of all runs in the heap */
    struct logrun_source source;
};

static const struct logblock_row *run_top(const struct logrun *run, bool backward)
{
    return &run->rows[backward ? run->count - 1 - run->next : run->next];
}

static bool run_before(const struct logrun *a, const struct logrun *b, bool backward)
{
    int64_t x = run_top(a, backward)->time_ns, y = run_top(b, backward)->time_ns;
    bool less = x != y ? x < y : a->order < b->order;
    return less != backward;
}

static void heap_swap(struct merge *merge, size_t i, size_t j)
{
    struct logrun *run = merge->heap[i];
    merge->heap[i] = merge->heap[j];
    merge->heap[j] = run;
}

static void heap_push(struct merge *merge, struct logrun *run)
{
    bool backward = merge->scan->query->backward;
    if (merge->count == merge->capacity) {
        merge->capacity = merge->capacity ? merge->capacity * 2 : 16;
        merge->heap = alloc_resize(merge->heap, merge->capacity, sizeof(struct logrun *));
    }
    merge->bytes += run->arena.used;
    merge->heap[merge->count++] = run;
    for (size_t i = merge->count - 1; i > 0; i = (i - 1) / 2) {
        if (!run_before(merge->heap[i], merge->heap[(i - 1) / 2], backward))
            break;
        heap_swap(merge, i, (i - 1) / 2);
    }
}

/* After the top run moved on. */
static void heap_sink(struct merge *merge)
{
    bool backward = merge->scan->query->backward;
    for (size_t i = 0;;) {
        size_t best = i;
        for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < merge->count; child++)
            if (run_before(merge->heap[child], merge->heap[best], backward))
                best = child;
        if (best == i)
            return;
        heap_swap(merge, i, best);
        i = best;
    }
}

static void heap_advance(struct merge *merge)
{
    struct logrun *run = merge->heap[0];
    if (++run->next == run->count) {
        merge->bytes -= run->arena.used;
        logrun_free(run);
        merge->heap[0] = merge->heap[--merge->count];
    }
    if (merge->count)
        heap_sink(merge);
}

static int check_limits(const struct merge *merge, struct error *err)
{
    const struct logstore_query *query = merge->scan->query;
    if (query->cancelled && atomic_load(query->cancelled))
        return error_set(err, ERROR_CANCELED, "the query was cancelled: nobody waits for it");
    if (query->deadline_ns && clock_monotonic_ns() > query->deadline_ns)
        return error_set(err, ERROR_TIMEOUT,
                         "the query ran out of time; narrow the time range or the selector, or "
                         "raise limits.query_timeout");
    if (query->bytes_max && query->stats->bytes > query->bytes_max)
        return error_set(err, ERROR_LIMIT,
                         "the query read more than %llu bytes of log lines; narrow the time range "
                         "or the selector",
                         (unsigned long long)query->bytes_max);
    if (merge->bytes > SCAN_BYTES_MAX)
        return error_set(err, ERROR_LIMIT,
                         "the matching lines of one stretch of time need more than %zu MB; narrow "
                         "the selector or add a line filter",
                         SCAN_BYTES_MAX >> 20);
    return 0;
}

static int open_next(struct merge *merge, struct error *err)
{
    struct logrun *run = NULL;
    struct logscan *scan = merge->scan;
    const struct logentry *entry = &scan->entries[merge->next_entry++];
    int opened = logrun_of_block(&merge->source, entry, &run, err);
    if (opened < 0)
        return -1;
    if (opened == 1)
        heap_push(merge, run);
    return check_limits(merge, err);
}

/* Could the next block hold a row that comes before the top of the heap? */
static bool next_is_due(const struct merge *merge)
{
    const struct logscan *scan = merge->scan;
    if (merge->next_entry == scan->entry_count)
        return false;
    if (merge->count == 0)
        return true;
    const struct logentry *entry = &scan->entries[merge->next_entry];
    int64_t top = run_top(merge->heap[0], scan->query->backward)->time_ns;
    return scan->query->backward ? entry->time_max_ns >= top : entry->time_min_ns <= top;
}

static int run_merge(struct merge *merge, bool (*visit)(void *arg, const struct record *record),
                     void *arg, struct error *err)
{
    for (;;) {
        while (next_is_due(merge))
            if (open_next(merge, err))
                return -1;
        if (merge->count == 0)
            return 0;
        const struct logrun *run = merge->heap[0];
        const struct logblock_row *row = run_top(run, merge->scan->query->backward);
        struct record record = {row->time_ns, run->streams[row->stream], row->line};
        merge->scan->query->stats->rows++;
        if (!visit(arg, &record))
            return 0;
        heap_advance(merge);
    }
}

static int compare_first(const void *a, const void *b)
{
    const struct logentry *x = a, *y = b;
    return (x->time_min_ns > y->time_min_ns) - (x->time_min_ns < y->time_min_ns);
}

static int compare_last(const void *a, const void *b)
{
    const struct logentry *x = a, *y = b;
    return (x->time_max_ns < y->time_max_ns) - (x->time_max_ns > y->time_max_ns);
}

int logscan_run(struct logscan *scan, bool (*visit)(void *arg, const struct record *record),
                void *arg, struct error *err)
{
    struct merge merge = {.scan = scan, .source = {.kv = scan->kv, .query = scan->query}};
    arena_init(&merge.source.scratch, LOGRUN_SCRATCH_MAX);
    if (scan->entry_count)
        qsort(scan->entries, scan->entry_count, sizeof *scan->entries,
              scan->query->backward ? compare_last : compare_first);
    for (size_t i = 0; i < scan->run_count; i++)
        if (scan->runs[i])
            heap_push(&merge, scan->runs[i]);
    int status = run_merge(&merge, visit, arg, err);
    while (merge.count)
        logrun_free(merge.heap[--merge.count]);
    free(merge.heap);
    arena_release(&merge.source.scratch);
    return status;
}
