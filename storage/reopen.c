/* reopen: the way back after a failed write, without a restart.
 *
 * RocksDB refuses all writes after one has failed. Once a tick, at growing distances, the database is
 * opened again beneath the store (kv_gate.c). Nothing in memory changes: what was acknowledged is
 * there, and the batch that failed has been taken back.
 *
 * But that batch may be on the disk after all: written, and only its sync failed. Then, so that memory
 * and disk agree again:
 *
 *   head log     records from the next sequence on are deleted; else one of them could stay behind
 *                the next, shorter batch
 *   series       all rows are written again with the next commits: the batch may have deleted some
 *   postings     all lists are written again with the next chunks
 *   log records, documents
 *                stay as the batch left them: who was told that it failed knows that it may have been
 *                carried out
 */
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/key.h"
#include "storage/store_state.h"

#define WAIT_MIN_NS ((int64_t)2000000000)
#define WAIT_MAX_NS ((int64_t)300000000000)

static struct metric reopen_metrics[] = {
    {"lapwing_store_reopened_total", METRIC_COUNTER, NULL,
     "Times the database was opened again after a failed write.", 0, 0},
    {"lapwing_store_reopen_failures_total", METRIC_COUNTER, NULL, "Times that was tried in vain.",
     0, 0},
};

void store_reopen_init(void)
{
    metric_register(reopen_metrics, sizeof reopen_metrics / sizeof reopen_metrics[0]);
}

static void mark_dirty(struct partitions *partitions)
{
    for (size_t i = 0; i < partitions->count; i++)
        partitions->at[i].dirty = true;
}

static int agree(struct store *store, struct error *err)
{
    struct kv_batch *batch = kv_batch_new();
    struct key_bytes from = key_of_u64(store->headlog_next), to = key_of_u64(UINT64_MAX);
    kv_batch_delete_range(store->kv, batch, KV_HEADLOG, key_slice(&from), key_slice(&to));
    int status = kv_write(store->kv, batch, true, err);
    kv_batch_free(batch);
    store->series.saved = 0;
    mark_dirty(&store->partitions);
    for (int tier = STORE_RAW + 1; tier < STORE_TIER_COUNT; tier++)
        mark_dirty(&store->rollups[tier]);
    return status;
}

int store_reopen(struct store *store, struct error *err)
{
    int64_t now_ns = clock_monotonic_ns();
    bool more = false;
    if (kv_check_writable(store->kv, err) == 0)
        return 0;
    if (now_ns < store->reopen_ns)
        return -1;
    log_warn("store_reopen", "error=\"%s\"", err->text);
    int status = kv_reopen(store->kv, &more, err);
    if (!status && more)
        status = agree(store, err);
    metric_add(&reopen_metrics[status ? 1 : 0], 1);
    store->reopen_wait_ns = !status || !store->reopen_wait_ns     ? WAIT_MIN_NS
                            : store->reopen_wait_ns < WAIT_MAX_NS ? 2 * store->reopen_wait_ns
                                                                  : store->reopen_wait_ns;
    store->reopen_ns = clock_monotonic_ns() + store->reopen_wait_ns;
    if (status)
        log_error("store_reopen", "error=\"%s\" again_in_s=%lld", err->text,
                  (long long)(store->reopen_wait_ns / 1000000000));
    else
        log_info("store_reopen", "result=ok");
    return status;
}
