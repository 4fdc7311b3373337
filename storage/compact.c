/* compact: everything that maintenance would do in the course of days, now.
 *
 *   retention | seal | merge | deletions | close | retention | sweep | logs    writer, in bounded steps
 *   tables                                                                   any thread: RocksDB
 *
 * The steps leave the writer free in between, so flush ticks stay punctual. Nothing here is needed
 * for correctness: a crash or an error at any point leaves what maintenance would leave.
 *
 * To add one: a row in phases[]. Its order matters: what seals comes before what rewrites.
 * Retention comes first, as on a full disk it makes room, and again for what was sealed since.
 */
#include "storage/base/clock.h"
#include "storage/merge.h"
#include "storage/store_state.h"

static int retain(struct store *store, int64_t now_ms, struct error *err)
{
    int status = store_retain_some(store, now_ms, err);
    if (status)
        return status;
    return logstore_retain(store->logs, now_ms, err);
}

static int mark_open(struct store *store, int64_t now_ms, struct error *err)
{
    (void)now_ms, (void)err;
    store_mark_due(store);
    return 0;
}

static int seal_some(struct store *store, int64_t now_ms, struct error *err)
{
    (void)now_ms;
    return store_seal_due(store, err) ? -1 : store->due.count > 0;
}

static int merge_late(struct store *store, int64_t now_ms, struct error *err)
{
    (void)now_ms;
    return store_merge_some(store, err);
}

static int carry_out(struct store *store, int64_t now_ms, struct error *err)
{
    (void)now_ms;
    return store_clean_tombstones(store, err);
}

static int close_again(struct store *store, int64_t now_ms, struct error *err)
{
    (void)now_ms, (void)err;
    store_close_again(store);
    return 0;
}

static int cut_headlog(struct store *store, int64_t now_ms, struct error *err)
{
    return store_sweep_now(store, now_ms, err);
}

static int seal_logs(struct store *store, int64_t now_ms, struct error *err)
{
    return logstore_seal(store->logs, now_ms, true, err);
}

/* Each is called until it returns 0; 1: there is more to do; -1: failed. Bounded. */
static int (*const phases[])(struct store *store, int64_t now_ms, struct error *err) = {
    retain,      mark_open,        seal_some, merge_late,  carry_out,
    close_again, store_close_some, retain,    cut_headlog, seal_logs,
};
#define PHASE_COUNT (sizeof phases / sizeof phases[0])

int store_compact_step(struct store *store, size_t *phase, struct error *err)
{
    if (*phase == PHASE_COUNT)
        return 0;
    int status = phases[*phase](store, clock_now_ms(), err);
    if (status < 0)
        return error_wrap(err, "cannot compact the store");
    if (status == 0)
        ++*phase;
    return *phase < PHASE_COUNT;
}

int store_compact_tables(struct store *store, struct error *err)
{
    return kv_compact(store->kv, err);
}

int store_compact(struct store *store, struct error *err)
{
    size_t phase = 0;
    int status;
    do
        status = store_compact_step(store, &phase, err);
    while (status == 1);
    return status ? -1 : store_compact_tables(store, err);
}

void store_hurry(struct store *store)
{
    kv_hurry(store->kv);
}
