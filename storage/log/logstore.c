/* logstore: the open block, the list of sealed ones, and the moment a row moves between them.
 *
 *   stage ---> hot key in the batch, row in `open` (not visible)
 *   commit, publish ---> visible
 *   `open` full ---> the next stage also puts its columns into its batch and deletes its hot keys;
 *                    until publish the rows are in `sealing` and still read from there
 *
 * So one atomic write moves rows from hot keys to columns, and one step under the lock moves them
 * from memory to the list of blocks: a crash or a reader sees each row in exactly one place.
 * A reader takes the list and copies of the matching rows in memory under the lock, and reads the
 * blocks, which never change, after it.
 *
 * A block holds rows of one UTC day, so that retention can drop days by key range, at most
 * LOGBLOCK_ROWS_MAX rows and about LOGBLOCK_BYTES of lines. Late records make blocks that overlap
 * in time; they are merged while reading and never rewritten.
 */
#include "storage/log/logstore.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/lock.h"
#include "storage/base/log.h"
#include "storage/base/metric.h"
#include "storage/log/logscan.h"

#define OPEN_MS_MAX   ((int64_t)30 * 60000) /* an open block is sealed after this time */
#define DAY_MS        ((int64_t)86400000)
#define DAY_NS        (DAY_MS * 1000000)
#define BATCH_MAX     ((size_t)1 << 30) /* bytes of a hot batch; callers' limits are far below */
#define STREAMS_MAX   100000            /* in an answer of logstore_streams */
#define ORDER_SEALING (UINT64_MAX - 1)
#define ORDER_OPEN    UINT64_MAX

enum { BLOCKS_SEALED, ROWS_SEALED, LINE_BYTES_SEALED, STORED_BYTES_SEALED, BLOCKS, OPEN_ROWS };
static struct metric logstore_metrics[] = {
    [BLOCKS_SEALED] = {"lapwing_log_blocks_sealed_total", METRIC_COUNTER, NULL,
                       "Log blocks written."},
    [ROWS_SEALED] = {"lapwing_log_rows_sealed_total", METRIC_COUNTER, NULL,
                     "Log records moved to blocks."},
    [LINE_BYTES_SEALED] = {"lapwing_log_line_bytes_sealed_total", METRIC_COUNTER, NULL,
                           "Bytes of the lines moved to blocks, before compression."},
    [STORED_BYTES_SEALED] = {"lapwing_log_stored_bytes_sealed_total", METRIC_COUNTER, NULL,
                             "Bytes of the blocks written, headers and filters included."},
    [BLOCKS] = {"lapwing_log_blocks", METRIC_GAUGE, NULL, "Log blocks kept."},
    [OPEN_ROWS] = {"lapwing_log_open_rows", METRIC_GAUGE, NULL, "Log records not yet in a block."},
};

struct entries {
    struct logentry *at;
    size_t count, capacity;
};

struct logstore {
    struct kv *kv;
    struct logstore_options options;
    pthread_rwlock_t lock;   /* writer thread changes, under it, what readers see: */
    struct logrows *open;    /* its visible rows */
    struct logrows *sealing; /* rows whose block is in the batch being written, or NULL */
    struct entries blocks;   /* sorted by time_min, id */
    /* Writer only. */
    struct entries pending; /* the blocks `sealing` becomes */
    uint64_t next_hot;
    uint64_t next_block;
};

/* --- the list of blocks --- */

static void entries_insert(struct entries *entries, const struct logentry *entry)
{
    if (entries->count == entries->capacity) {
        entries->capacity = entries->capacity ? entries->capacity * 2 : 64;
        entries->at = alloc_resize(entries->at, entries->capacity, sizeof *entries->at);
    }
    size_t i = entries->count;
    while (i > 0 && entries->at[i - 1].time_min_ns > entry->time_min_ns)
        i--;
    memmove(entries->at + i + 1, entries->at + i, (entries->count - i) * sizeof *entries->at);
    entries->at[i] = *entry;
    entries->count++;
}

/* The first entry that may hold rows at or after time_ns: a block spans less than a day. */
static size_t entries_lower_bound(const struct entries *entries, int64_t time_ns)
{
    int64_t from = time_ns < INT64_MIN + DAY_NS ? INT64_MIN : time_ns - DAY_NS;
    size_t low = 0, high = entries->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (entries->at[middle].time_min_ns < from)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct entries entries_overlapping(const struct entries *all, int64_t start_ns,
                                          int64_t end_ns)
{
    struct entries out = {NULL, 0, 0};
    size_t i = entries_lower_bound(all, start_ns);
    for (; i < all->count && all->at[i].time_min_ns < end_ns; i++)
        if (all->at[i].time_max_ns >= start_ns)
            entries_insert(&out, &all->at[i]);
    return out;
}

static void show_sizes(const struct logstore *logs)
{
    metric_set(&logstore_metrics[BLOCKS], (int64_t)logs->blocks.count);
    metric_set(&logstore_metrics[OPEN_ROWS], (int64_t)logs->open->visible);
}

/* --- sealing --- */

static void put_block(struct logstore *logs, struct kv_batch *batch,
                      const struct logblock_source *source)
{
    struct logentry entry = {source->rows[0].time_ns, source->rows[source->row_count - 1].time_ns,
                             logs->next_block++};
    struct buffer header, columns[LOGBLOCK_COLUMN_COUNT];
    buffer_init(&header, BATCH_MAX);
    for (size_t i = 0; i < LOGBLOCK_COLUMN_COUNT; i++)
        buffer_init(&columns[i], BATCH_MAX);
    logblock_encode(source, &header, columns);
    assert(!header.overflow);

    struct logkey key = logkey_header(&entry);
    size_t bytes = header.len;
    kv_batch_put(logs->kv, batch, KV_LOGS, logkey_slice(&key), buffer_slice(&header));
    for (unsigned i = 0; i < LOGBLOCK_COLUMN_COUNT; i++) {
        key = logkey_column(&entry, i);
        kv_batch_put(logs->kv, batch, KV_LOGS, logkey_slice(&key), buffer_slice(&columns[i]));
        bytes += columns[i].len;
        buffer_release(&columns[i]);
    }
    buffer_release(&header);
    entries_insert(&logs->pending, &entry);
    metric_add(&logstore_metrics[BLOCKS_SEALED], 1);
    metric_add(&logstore_metrics[ROWS_SEALED], (int64_t)source->row_count);
    metric_add(&logstore_metrics[STORED_BYTES_SEALED], (int64_t)bytes);
}

/* How many of the sorted rows make the next block. */
static size_t next_block_rows(const struct logblock_row *rows, size_t count)
{
    int64_t day = logkey_day(rows[0].time_ns);
    size_t bytes = 0, i = 0;
    while (i < count && i < LOGBLOCK_ROWS_MAX && bytes < LOGBLOCK_BYTES &&
           logkey_day(rows[i].time_ns) == day)
        bytes += rows[i++].line.len;
    metric_add(&logstore_metrics[LINE_BYTES_SEALED], (int64_t)bytes);
    return i;
}

/* Puts the open block into the batch. All its rows must be visible. */
static void seal(struct logstore *logs, struct kv_batch *batch)
{
    struct logrows *rows = logs->open;
    assert(!logs->sealing && rows->visible == rows->count);
    struct logblock_row *sorted = alloc_resize(NULL, rows->count, sizeof *sorted);
    memcpy(sorted, rows->at, rows->count * sizeof *sorted);
    logrows_sort(sorted, rows->count);
    for (size_t i = 0; i < rows->count;) {
        struct logblock_source source = {
            .rows = sorted + i,
            .row_count = next_block_rows(sorted + i, rows->count - i),
            .streams = rows->streams,
            .stream_count = logrows_stream_count(rows),
        };
        put_block(logs, batch, &source);
        i += source.row_count;
    }
    free(sorted);
    struct logkey from = logkey_hot(rows->hot_first), to = logkey_hot(rows->hot_end);
    kv_batch_delete_range(logs->kv, batch, KV_LOGS, logkey_slice(&from), logkey_slice(&to));

    pthread_rwlock_wrlock(&logs->lock);
    logs->sealing = rows;
    logs->open = logrows_new(logs->next_hot);
    pthread_rwlock_unlock(&logs->lock);
}

/* --- writing --- */

void logstore_stage(struct logstore *logs, struct kv_batch *batch, const struct record *records,
                    size_t count)
{
    if (count == 0)
        return;
    bool staged = logs->open->count > logs->open->visible;
    if (!logs->sealing && !staged && logrows_is_full(logs->open))
        seal(logs, batch);
    struct buffer bytes;
    buffer_init(&bytes, BATCH_MAX);
    logrows_encode(records, count, &bytes);
    assert(!bytes.overflow);
    struct logkey key = logkey_hot(logs->next_hot++);
    kv_batch_put(logs->kv, batch, KV_LOGS, logkey_slice(&key), buffer_slice(&bytes));

    pthread_rwlock_wrlock(&logs->lock);
    bool ok = logrows_append_encoded(logs->open, buffer_slice(&bytes));
    pthread_rwlock_unlock(&logs->lock);
    assert(ok);
    logs->open->hot_end = logs->next_hot;
    buffer_release(&bytes);
}

void logstore_publish(struct logstore *logs)
{
    struct logrows *sealed = logs->sealing;
    pthread_rwlock_wrlock(&logs->lock);
    for (size_t i = 0; i < logs->pending.count; i++)
        entries_insert(&logs->blocks, &logs->pending.at[i]);
    logs->pending.count = 0;
    logs->sealing = NULL;
    logs->open->visible = logs->open->count;
    pthread_rwlock_unlock(&logs->lock);
    logrows_free(sealed);
    show_sizes(logs);
}

void logstore_discard(struct logstore *logs)
{
    struct logrows *dropped = NULL;
    pthread_rwlock_wrlock(&logs->lock);
    if (logs->sealing) {
        dropped = logs->open; /* opened by this batch: holds nothing else */
        logs->open = logs->sealing;
        logs->sealing = NULL;
    } else {
        logrows_truncate(logs->open);
    }
    logs->pending.count = 0;
    pthread_rwlock_unlock(&logs->lock);
    logrows_free(dropped);
}

int logstore_retain(struct logstore *logs, int64_t now_ms, struct error *err)
{
    if (logs->options.retention_ms == 0)
        return 0;
    int64_t end_ms = now_ms - logs->options.retention_ms;
    int64_t end_day = end_ms / DAY_MS - (end_ms % DAY_MS < 0);
    size_t old = 0;
    while (old < logs->blocks.count && logkey_day(logs->blocks.at[old].time_min_ns) < end_day)
        old++;
    if (old == 0)
        return 0;
    pthread_rwlock_wrlock(&logs->lock);
    logs->blocks.count -= old;
    memmove(logs->blocks.at, logs->blocks.at + old, logs->blocks.count * sizeof *logs->blocks.at);
    pthread_rwlock_unlock(&logs->lock);
    show_sizes(logs);
    log_info("logs_expired", "blocks=%zu", old);

    struct logkey header = logkey_header_day(LOGKEY_DAY_FIRST);
    struct logkey header_end = logkey_header_day(end_day);
    struct logkey column = logkey_column_day(LOGKEY_DAY_FIRST);
    struct logkey column_end = logkey_column_day(end_day);
    struct kv_range headers = {KV_LOGS, logkey_slice(&header), logkey_slice(&header_end), NULL};
    struct kv_range columns = {KV_LOGS, logkey_slice(&column), logkey_slice(&column_end), NULL};
    struct kv_batch *batch = kv_batch_new();
    int status = kv_drop_range(logs->kv, &headers, batch, err) ||
                 kv_drop_range(logs->kv, &columns, batch, err);
    kv_batch_free(batch);
    return status ? error_wrap(err, "dropping logs past their retention") : 0;
}

/* Is it time, and possible? While a batch is being put together its rows must stay where they are;
 * full blocks are sealed along with the next batch anyway. */
static bool is_due(struct logstore *logs, int64_t now_ms, bool always)
{
    struct logrows *open = logs->open;
    if (logs->sealing || open->visible != open->count || open->count == 0)
        return false;
    if (open->opened_ms == 0)
        open->opened_ms = now_ms;
    return always || now_ms - open->opened_ms >= OPEN_MS_MAX || logrows_is_full(open);
}

int logstore_seal(struct logstore *logs, int64_t now_ms, bool always, struct error *err)
{
    if (!is_due(logs, now_ms, always))
        return 0;
    struct kv_batch *batch = kv_batch_new();
    seal(logs, batch);
    int status = kv_write(logs->kv, batch, false, err);
    kv_batch_free(batch);
    if (status) {
        logstore_discard(logs);
        return error_wrap(err, "sealing a log block");
    }
    logstore_publish(logs);
    return 0;
}

/* --- opening --- */

/* What is damaged is noted and left out. */
struct loading {
    struct logstore *logs;
    struct arena arena;
};

static bool load_header(void *arg, struct slice key, struct slice value)
{
    struct loading *loading = arg;
    struct logstore *logs = loading->logs;
    struct logentry entry = {.id = 0};
    struct logblock block;
    struct error err = {0};
    arena_reset(&loading->arena);
    if (!logkey_read_header(key, &entry) ||
        logblock_decode_header(value, &loading->arena, &block, &err)) {
        damage_note(kv_damages(logs->kv), DAMAGE_LOGS,
                    "log block %llu, which begins at %lld ns, is left out: %s",
                    (unsigned long long)entry.id, (long long)entry.time_min_ns, err.text);
        return true;
    }
    entry.time_max_ns = block.time_max_ns;
    entries_insert(&logs->blocks, &entry);
    if (entry.id >= logs->next_block)
        logs->next_block = entry.id + 1;
    return true;
}

static bool load_batch(void *arg, struct slice key, struct slice value)
{
    struct loading *loading = arg;
    struct logstore *logs = loading->logs;
    uint64_t sequence = logs->next_hot;
    if (!logkey_read_hot(key, &sequence) || !logrows_append_encoded(logs->open, value))
        damage_note(kv_damages(logs->kv), DAMAGE_LOGS,
                    "batch %llu of recent log records is damaged", (unsigned long long)sequence);
    logs->next_hot = sequence + 1;
    return true;
}

static int load(struct logstore *logs, struct error *err)
{
    struct logkey hot = logkey_hot_first(), header = logkey_header_day(LOGKEY_DAY_FIRST),
                  end = logkey_header_day(LOGKEY_DAY_END);
    struct kv_range headers = {
        .family = KV_LOGS, .from = logkey_slice(&header), .to = logkey_slice(&end)};
    struct kv_range batches = {
        .family = KV_LOGS, .from = logkey_slice(&hot), .to = logkey_slice(&header)};
    struct loading loading = {.logs = logs};
    arena_init(&loading.arena, (size_t)64 << 20);
    int status = kv_each(logs->kv, &headers, load_header, &loading, err) < 0 ||
                         kv_each(logs->kv, &batches, load_batch, &loading, err) < 0
                     ? -1
                     : 0;
    arena_release(&loading.arena);
    logs->open->hot_end = logs->next_hot;
    logs->open->visible = logs->open->count;
    return status;
}

int logstore_open(struct kv *kv, const struct logstore_options *options, struct logstore **out,
                  struct error *err)
{
    struct logstore *logs = alloc_zeroed(1, sizeof *logs);
    logs->kv = kv;
    logs->options = *options;
    logs->open = logrows_new(0);
    lock_init(&logs->lock);
    metric_register(logstore_metrics, sizeof logstore_metrics / sizeof logstore_metrics[0]);
    if (load(logs, err)) {
        logstore_close(logs);
        return error_wrap(err, "opening the logs");
    }
    show_sizes(logs);
    *out = logs;
    return 0;
}

void logstore_close(struct logstore *logs)
{
    if (!logs)
        return;
    logrows_free(logs->open);
    logrows_free(logs->sealing);
    free(logs->blocks.at);
    free(logs->pending.at);
    pthread_rwlock_destroy(&logs->lock);
    free(logs);
}

/* --- reading --- */

int logstore_scan(struct logstore *logs, const struct logstore_query *query,
                  bool (*visit)(void *arg, const struct record *record), void *arg,
                  struct error *err)
{
    assert(!query->without_lines || query->needle_count == 0);
    struct logstore_stats unused = {0};
    struct logstore_query own = *query;
    if (!own.stats)
        own.stats = &unused;
    struct logrun *runs[2];
    pthread_rwlock_rdlock(&logs->lock);
    struct entries entries = entries_overlapping(&logs->blocks, own.start_ns, own.end_ns);
    runs[0] = logrun_of_rows(logs->sealing, &own, ORDER_SEALING);
    runs[1] = logrun_of_rows(logs->open, &own, ORDER_OPEN);
    pthread_rwlock_unlock(&logs->lock);

    struct logscan scan = {logs->kv, &own, entries.at, entries.count, runs, 2};
    int status = logscan_run(&scan, visit, arg, err);
    free(entries.at);
    return status;
}

static int streams_to_arena(const struct table *set, struct arena *arena,
                            struct logstore_streams *out, struct error *err)
{
    size_t cursor = 0;
    out->at = arena_alloc(arena, set->count * sizeof *out->at);
    out->count = 0;
    for (struct table_entry *entry; (entry = table_next(set, &cursor));) {
        struct slice bytes = arena_copy(arena, table_key(entry));
        if (!out->at || arena->exhausted || !labels_decode(bytes, arena, &out->at[out->count]))
            return error_set(err, ERROR_LIMIT,
                             "the streams do not fit into the memory of one query; narrow the "
                             "time range or the selector");
        out->count++;
    }
    return 0;
}

static int compare_streams(const void *a, const void *b)
{
    return labels_compare(*(const struct labels *)a, *(const struct labels *)b);
}

int logstore_streams(struct logstore *logs, const struct logstore_query *query, struct arena *arena,
                     struct logstore_streams *out, struct error *err)
{
    struct table set;
    struct logstore_stats unused = {0};
    struct logstore_query own = *query;
    own.stats = own.stats ? own.stats : &unused;
    own.without_lines = true;
    own.needle_count = 0;
    table_init(&set, STREAMS_MAX);
    pthread_rwlock_rdlock(&logs->lock);
    struct entries entries = entries_overlapping(&logs->blocks, own.start_ns, own.end_ns);
    int status = logrun_row_streams(logs->sealing, &own, &set, err);
    if (status == 0)
        status = logrun_row_streams(logs->open, &own, &set, err);
    pthread_rwlock_unlock(&logs->lock);

    struct logrun_source source = {.kv = logs->kv, .query = &own};
    arena_init(&source.scratch, LOGRUN_SCRATCH_MAX);
    for (size_t i = 0; status == 0 && i < entries.count; i++)
        status = logrun_block_streams(&source, &entries.at[i], &set, err);
    arena_release(&source.scratch);
    free(entries.at);
    if (status == 0)
        status = streams_to_arena(&set, arena, out, err);
    if (status == 0 && out->count)
        qsort(out->at, out->count, sizeof *out->at, compare_streams);
    table_release(&set);
    return status;
}
