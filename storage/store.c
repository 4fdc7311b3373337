/* store: opening, closing, documents and facts; see store_state.h for where the rest is.
 *
 *   batch --commit--> KV_HEADLOG + head --seal--> KV_CHUNK + KV_POSTINGS --retention--> nothing
 *     |-------------> KV_SERIES + postings
 *     |-------------> KV_LOGS (logstore)
 *     '-------------> KV_DOCS
 *
 *   KV_META   "format" -> u32le 1;  "headlog" -> u64le, the first sequence still needed
 *   KV_DOCS   the key and value as given
 *
 * One RocksDB batch a commit carries all four, so a batch is there whole or not at all. Samples
 * become visible to readers after the write, never before.
 */
#include "storage/store.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/statvfs.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/lock.h"
#include "storage/base/log.h"
#include "storage/code/chunk.h"
#include "storage/key.h"
#include "storage/memory.h"
#include "storage/merge.h"
#include "storage/store_state.h"

#define FORMAT_VERSION        1
#define CHUNK_SAMPLES_DEFAULT 360
#define HEAD_BYTES_DEFAULT    ((size_t)384 << 20)
#define FINE_AFTER_DEFAULT    ((int64_t)3 * 86400000)
#define DISK_RESERVE_DEFAULT  ((uint64_t)128 << 20) /* what memtables in flight may still need */
#define DISK_CHECK_NS         ((int64_t)1000000000)
#define WARM_NS_MAX           ((int64_t)500000000) /* a slow disk may not hold up the start for longer */
#define LABELS_BYTES_MAX      ((size_t)1 << 16)

#define DROPPED(why)                                                                               \
    {                                                                                              \
        .name = "lapwing_samples_dropped_total", .kind = METRIC_COUNTER,                           \
        .labels = "reason=\"" why "\"", .help = "Samples the store did not take, by reason."       \
    }
#define REFUSED(which)                                                                             \
    {                                                                                              \
        .name = "lapwing_series_refused_total", .kind = METRIC_COUNTER,                            \
        .labels = "limit=\"" which "\"", .help = "Asked for new series that a limit refused."      \
    }
#define COUNTER(text, what)                                                                        \
    {                                                                                              \
        .name = "lapwing_store_" text, .kind = METRIC_COUNTER, .help = (what)                      \
    }
#define GAUGE(text, what)                                                                          \
    {                                                                                              \
        .name = "lapwing_store_" text, .kind = METRIC_GAUGE, .help = (what)                        \
    }

struct metric store_metrics[STORE_METRIC_COUNT] = {
    [STORE_SAMPLES] = COUNTER("samples_total", "Samples committed."),
    [STORE_LATE_SAMPLES] =
        COUNTER("late_samples_total", "Committed samples that came out of order."),
    [STORE_BULK_SAMPLES] =
        COUNTER("bulk_samples_total", "Committed samples that went into chunks at once."),
    [STORE_LATE_MERGED] = COUNTER("late_samples_merged_total", "Late samples merged into chunks."),
    [STORE_DROPPED_TIME] = DROPPED("bad_time"),
    [STORE_DROPPED_SERIES] = DROPPED("unknown_series"),
    [STORE_DROPPED_KIND] = DROPPED("wrong_kind"),
    [STORE_DROPPED_RETENTION] = DROPPED("past_retention"),
    [STORE_DROPPED_UNWRITTEN] = DROPPED("not_written"),
    [STORE_CHUNKS] = COUNTER("chunks_sealed_total", "Chunks written."),
    [STORE_CHUNK_SAMPLES] = COUNTER("chunk_samples_total", "Samples in the chunks written."),
    [STORE_CHUNK_BYTES] = COUNTER("chunk_bytes_total", "Bytes of the chunks written."),
    [STORE_CHUNKS_DAMAGED] = COUNTER("chunks_damaged_total", "Chunks that failed their checksum."),
    [STORE_SEAL_SECONDS] = {.name = "lapwing_store_seal_seconds_total",
                            .kind = METRIC_COUNTER,
                            .help = "Time spent sealing chunks.",
                            .scale = 1e-9},
    [STORE_HEADLOG_BYTES] = COUNTER("headlog_bytes_total", "Bytes written to the head log."),
    [STORE_DAYS_CLOSED] =
        COUNTER("days_closed_total", "Times that all buckets of a day were brought up to date."),
    [STORE_SERIES_ROLLED] =
        COUNTER("series_rolled_total", "Times that the buckets of a series on a day were made."),
    [STORE_ROLLUP_BYTES] = COUNTER("rollup_bytes_total", "Bytes of the buckets written."),
    [STORE_CLOSE_SECONDS] = {.name = "lapwing_store_close_seconds_total",
                             .kind = METRIC_COUNTER,
                             .help = "Time spent making buckets and larger chunks.",
                             .scale = 1e-9},
    [STORE_PARTITIONS_DROPPED] = COUNTER("partitions_dropped_total", "Days past retention."),
    [STORE_SERIES_REMOVED] = COUNTER("series_removed_total", "Series without data, forgotten."),
    [STORE_REFUSED_TOTAL] = REFUSED("series"),
    [STORE_REFUSED_METRIC] = REFUSED("series_per_metric"),
    [STORE_REFUSED_PREFIX] = REFUSED("series_per_prefix"),
    [STORE_SERIES] = GAUGE("series", "Series known."),
    [STORE_HEAD_SERIES] = GAUGE("head_series", "Series being written."),
    [STORE_HEAD_SAMPLES] = GAUGE("head_samples", "Samples not sealed yet."),
    [STORE_LATE_OPEN] = GAUGE("late_samples", "Late samples not merged into chunks yet."),
    [STORE_DISK_FREE] = GAUGE("disk_free_bytes", "Disk space left for the store."),
};

void id_list_push(struct id_list *list, uint32_t id)
{
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 64;
        list->at = alloc_resize(list->at, list->capacity, sizeof *list->at);
    }
    list->at[list->count++] = id;
}

/* --- opening --- */

static int check_format(struct kv *kv, struct error *err)
{
    struct buffer value;
    struct kv_batch *batch = kv_batch_new();
    uint32_t version = 0;
    buffer_init(&value, 64);
    int status = kv_get(kv, KV_META, SLICE("format"), &value, err);
    if (status == 0) {
        buffer_append_u32le(&value, FORMAT_VERSION);
        kv_batch_put(kv, batch, KV_META, SLICE("format"), buffer_slice(&value));
        status = kv_write(kv, batch, true, err);
    } else if (status == 1) {
        struct slice rest = buffer_slice(&value);
        status = 0;
        if (!bytes_cut_u32le(&rest, &version) || version != FORMAT_VERSION)
            status = error_set(err, ERROR_BAD_DATA,
                               "the data directory has format %u, this lapwingd reads %u; use the "
                               "version that wrote it, or another directory",
                               version, FORMAT_VERSION);
    }
    kv_batch_free(batch);
    buffer_release(&value);
    return status;
}

static void build_postings(struct store *store)
{
    struct arena arena;
    struct labels labels;
    arena_init(&arena, LABELS_BYTES_MAX);
    for (uint32_t id = 0; id < store->series.count; id++) {
        const struct series_row *row = series_row(&store->series, id);
        arena_reset(&arena);
        if (!row)
            continue;
        if (labels_decode(series_labels(row), &arena, &labels))
            postings_add(&store->postings, id, labels);
        else
            damage_note(kv_damages(store->kv), DAMAGE_INDEX,
                        "the labels of series %u are malformed", id);
    }
    arena_release(&arena);
}

static bool any_buckets(void *arg)
{
    const struct store *store = arg;
    return store->rollups[STORE_5M].count || store->rollups[STORE_1H].count;
}

/* An unreadable key counts as there: what it holds must not be lost. */
static bool has_buckets(void *arg, uint32_t series, uint32_t day)
{
    struct store *store = arg;
    struct buffer value;
    struct error ignored;
    int status = 0;
    buffer_init(&value, SIZE_MAX);
    for (int tier = STORE_5M; tier < STORE_TIER_COUNT && status == 0; tier++) {
        struct rollup_key at = {store->rollups[tier].resolution, day, series};
        struct key_bytes key = key_of_rollup(at);
        status = kv_get(store->kv, KV_CHUNK, key_slice(&key), &value, &ignored);
    }
    buffer_release(&value);
    return status != 0;
}

static int load_days(struct store *store, struct partitions *partitions, struct error *err)
{
    int damaged = partitions_load(partitions, store->kv, err);
    if (damaged == 0 && !kv_is_doubtful(store->kv))
        return 0;
    return damaged < 0 ? -1 : partitions_rebuild(partitions, store->kv, err);
}

static int load_partitions(struct store *store, struct error *err)
{
    store->rollups[STORE_5M].resolution = RESOLUTION_5M;
    store->rollups[STORE_1H].resolution = RESOLUTION_1H;
    if (load_days(store, &store->partitions, err))
        return -1;
    for (int tier = STORE_5M; tier < STORE_TIER_COUNT; tier++)
        if (load_days(store, &store->rollups[tier], err))
            return -1;
    store->partitions.any_buckets = any_buckets;
    store->partitions.has_buckets = has_buckets;
    store->partitions.arg = store;
    return 0;
}

static int load(struct store *store, const struct store_options *options, struct error *err)
{
    struct logstore_options logs = {.retention_ms = options->retention_logs_ms};
    struct kv_options kv = {.path = options->path,
                            .block_cache_bytes = (size_t)options->block_cache_bytes,
                            .memtable_bytes = (size_t)options->memtable_bytes};
    if (kv_open_with(&kv, &store->kv, err) || check_format(store->kv, err) ||
        series_load(&store->series, store->kv, err) || load_partitions(store, err) ||
        tombstones_load(&store->tombstones, store->kv, err))
        return -1;
    build_postings(store);
    store->doubtful = roaring_bitmap_copy(store->postings.all);
    bool damaged;
    if (store_recover_head(store, &damaged, err) ||
        logstore_open(store->kv, &logs, &store->logs, err))
        return -1;
    if (damaged && store_seal(store, err))
        return -1;
    store_warm(store, WARM_NS_MAX);
    return 0;
}

int store_open(const struct store_options *options, struct store **out, struct error *err)
{
    struct store *store = alloc_zeroed(1, sizeof *store);
    int64_t start = clock_monotonic_ns();
    metric_register(store_metrics, STORE_METRIC_COUNT);
    store_reopen_init();
    memory_register();
    store->fine_after_ms =
        options->rollup_5m_after_ms ? options->rollup_5m_after_ms : FINE_AFTER_DEFAULT;
    store->keep.ms[STORE_RAW] = options->retention_raw_ms;
    store->retained_ms = INT64_MIN;
    store->chunk_samples =
        options->chunk_samples ? (size_t)options->chunk_samples : CHUNK_SAMPLES_DEFAULT;
    assert(store->chunk_samples > 1 && store->chunk_samples <= CHUNK_SAMPLES_MAX);
    store->head_bytes_max = options->head_bytes ? (size_t)options->head_bytes : HEAD_BYTES_DEFAULT;
    store->path = alloc_string(options->path);
    store->disk_reserve =
        options->disk_reserve_bytes ? (uint64_t)options->disk_reserve_bytes : DISK_RESERVE_DEFAULT;
    lock_init(&store->lock);
    series_init(&store->series, (size_t)options->series_max + LIMIT_OVERFLOW_SERIES);
    limit_init(&store->limit, options);
    postings_init(&store->postings, &store->series);
    late_init(&store->late);
    head_init(&store->head);
    buffer_init(&store->labels, SIZE_MAX);
    tombstones_init(&store->tombstones);
    store->held = roaring_bitmap_create();
    if (load(store, options, err)) {
        store_close(store);
        return error_wrap(err, "cannot open the store in %s", options->path);
    }
    log_info("store_open", "path=%s series=%zu head_samples=%llu took_ms=%.1f", options->path,
             series_live(&store->series), (unsigned long long)store->head.samples,
             (double)(clock_monotonic_ns() - start) / 1e6);
    *out = store;
    return 0;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    logstore_close(store->logs);
    head_release(&store->head);
    late_release(&store->late);
    partitions_release(&store->partitions);
    for (int tier = 0; tier < STORE_TIER_COUNT; tier++)
        partitions_release(&store->rollups[tier]);
    keep_release(&store->keep);
    limit_release(&store->limit);
    postings_release(&store->postings);
    tombstones_release(&store->tombstones);
    roaring_bitmap_free(store->held);
    if (store->doubtful)
        roaring_bitmap_free(store->doubtful);
    series_release(&store->series);
    buffer_release(&store->labels);
    free(store->due.at);
    free(store->path);
    kv_close(store->kv);
    pthread_rwlock_destroy(&store->lock);
    free(store);
}

/* --- looking after it --- */

int store_check_disk(struct store *store, struct error *err)
{
    int64_t now_ns = clock_monotonic_ns(), checked_ns = store->disk_checked_ns;
    uint64_t free_bytes = store->disk_free;
    struct statvfs disk;
    if (checked_ns == 0 || now_ns > checked_ns + DISK_CHECK_NS) {
        free_bytes = statvfs(store->path, &disk) ? UINT64_MAX : disk.f_bavail * disk.f_frsize;
        store->disk_free = free_bytes;
        store->disk_checked_ns = now_ns;
        metric_set(&store_metrics[STORE_DISK_FREE], (int64_t)free_bytes);
    }
    if (free_bytes >= store->disk_reserve)
        return kv_check_writable(store->kv, err);
    return error_set(err, ERROR_UNAVAILABLE,
                     "the disk of %s is nearly full: %llu MiB are left, %llu MiB are kept in "
                     "reserve; free some, and writing goes on by itself",
                     store->path, (unsigned long long)(free_bytes >> 20),
                     (unsigned long long)(store->disk_reserve >> 20));
}

int store_maintain(struct store *store, int64_t now_ms, struct error *err)
{
    if (store_reopen(store, err))
        return -1;
    /* Even on a full disk: it makes room, or room for what will make some. */
    if (store_retain(store, now_ms, err) || logstore_retain(store->logs, now_ms, err))
        return error_wrap(err, "cannot drop what is past retention");
    if (store_clean_tombstones(store, err) < 0)
        return -1;
    if (store->retention_waits &&
        (store_merge_some(store, err) < 0 || store_close_due(store, now_ms, err)))
        return error_wrap(err, "cannot roll up days that are to be dropped");
    if (store_check_disk(store, err))
        return -1;
    if (store_seal_due(store, err) || memory_relieve_head(store, err) ||
        store_merge_due(store, now_ms, err) || store_sweep(store, now_ms, err))
        return error_wrap(err, "cannot seal chunks");
    memory_measure(store, now_ms);
    if (store_close_due(store, now_ms, err))
        return error_wrap(err, "cannot roll up days that are over");
    metric_set(&store_metrics[STORE_SERIES], (int64_t)series_live(&store->series));
    metric_set(&store_metrics[STORE_HEAD_SERIES], (int64_t)store->head.series);
    metric_set(&store_metrics[STORE_HEAD_SAMPLES], (int64_t)store->head.samples);
    metric_set(&store_metrics[STORE_LATE_OPEN], (int64_t)store->late.samples);
    return logstore_seal(store->logs, now_ms, false, err);
}

void store_note_change(struct store *store, int64_t low_ms)
{
    pthread_rwlock_wrlock(&store->lock);
    changes_add(&store->changes, low_ms);
    pthread_rwlock_unlock(&store->lock);
}

int64_t store_changed_since(struct store *store, uint64_t *number)
{
    pthread_rwlock_rdlock(&store->lock);
    int64_t low_ms = changes_since(&store->changes, *number);
    *number = store->changes.last;
    pthread_rwlock_unlock(&store->lock);
    return low_ms;
}

bool store_try_changed_since(struct store *store, uint64_t number, int64_t *low_ms)
{
    if (pthread_rwlock_tryrdlock(&store->lock) != 0)
        return false;
    *low_ms = changes_since(&store->changes, number);
    pthread_rwlock_unlock(&store->lock);
    return true;
}

void store_note_damaged(struct store *store, struct chunk_key key)
{
    metric_add(&store_metrics[STORE_CHUNKS_DAMAGED], 1);
    damage_note(kv_damages(store->kv), DAMAGE_CHUNK,
                "the chunk of series %u, day %u, offset %u ms is damaged", key.series,
                key.partition, key.offset_ms);
}

size_t store_damage(struct store *store, size_t skip, char text[DAMAGE_TEXT_BYTES])
{
    return damages_get(kv_damages(store->kv), skip, text);
}

struct logstore *store_logs(struct store *store)
{
    return store->logs;
}

void store_stats(struct store *store, struct store_stats *out)
{
    *out = (struct store_stats){0};
    pthread_rwlock_rdlock(&store->lock);
    out->series = series_live(&store->series);
    out->head_samples = store->head.samples + store->late.samples;
    out->memory_bytes = head_bytes(&store->head) + store->late.bytes + series_bytes(&store->series);
    pthread_rwlock_unlock(&store->lock);
    for (int family = 0; family < KV_FAMILY_COUNT; family++) {
        out->disk_bytes +=
            kv_property(store->kv, (enum kv_family)family, "rocksdb.total-sst-files-size");
        out->memory_bytes +=
            kv_property(store->kv, (enum kv_family)family, "rocksdb.cur-size-all-mem-tables");
    }
    out->memory_bytes += kv_property(store->kv, KV_CHUNK, "rocksdb.block-cache-usage");
}

/* --- documents --- */

int store_get(struct store *store, struct slice key, struct buffer *out, struct error *err)
{
    return kv_get(store->kv, KV_DOCS, key, out, err);
}

/* Positions on the first key to visit. */
static bool scan_start(struct kv_iterator *it, const struct store_scan *scan)
{
    if (!scan->from.len)
        return scan->backward ? kv_seek_last(it) : kv_seek_first(it);
    return scan->backward ? kv_seek_before(it, scan->from) : kv_seek(it, scan->from);
}

int store_scan(struct store *store, const struct store_scan *scan,
               bool (*visit)(void *arg, struct slice key, struct slice value), void *arg,
               struct error *err)
{
    struct buffer end;
    buffer_init(&end, SIZE_MAX);
    kv_prefix_end(scan->prefix, &end);
    struct kv_iterator *it = kv_iterate(store->kv, KV_DOCS, scan->prefix, buffer_slice(&end));
    buffer_release(&end);
    bool more = scan_start(it, scan);
    while (more && visit(arg, kv_key(it), kv_value(it)))
        more = scan->backward ? kv_previous(it) : kv_next(it);
    int status = kv_iterator_check(it, err);
    kv_iterator_free(it);
    return status;
}
