/* kv_gate: opening the database again beneath those who use it.
 *
 *   readers ──enter──▶ inside ──leave──▶        writer: closing = true, waits until inside == 0,
 *   new ones wait at the gate meanwhile                 closes, opens, closing = false
 *
 * RocksDB's C API has no Resume(): after a failed write the only way out is to close and open. Its
 * log then tells what of the failed batch is there: nothing, or all of it (reopen.c).
 *
 * What must not happen is that less is there than was acknowledged (a disk that lost pages after an
 * fsync had failed): memory would go on from rows that do not exist. RocksDB's sequence number tells;
 * then writing stays refused and only a restart, which reads everything again, helps.
 *
 * Both waits are bounded: a query that holds an iterator for long puts the reopening off until the
 * next try, and a reader at the gate gets an error rather than a hanging request. A thread that is
 * inside already (an iterator is open) never waits, else it and the writer would wait for each other.
 */
#include <assert.h>
#include <time.h>

#include "storage/base/log.h"
#include "storage/kv/kv_state.h"

#define DRAIN_SECONDS 2
#define ENTER_SECONDS 10

static _Thread_local size_t depth; /* how often this thread is inside of any database */

static struct timespec deadline_in(time_t seconds)
{
    struct timespec deadline;
    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += seconds;
    return deadline;
}

void kv_gate_init(struct kv *kv)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&kv->gate_changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&kv->gate, NULL);
}

void kv_gate_release(struct kv *kv)
{
    assert(kv->inside == 0);
    pthread_cond_destroy(&kv->gate_changed);
    pthread_mutex_destroy(&kv->gate);
}

int kv_enter(struct kv *kv, struct error *err)
{
    pthread_mutex_lock(&kv->gate);
    if (kv->closing && depth == 0) {
        struct timespec deadline = deadline_in(ENTER_SECONDS);
        while (kv->closing && pthread_cond_timedwait(&kv->gate_changed, &kv->gate, &deadline) == 0)
            ;
    }
    bool open = kv->db && (!kv->closing || depth);
    if (open) {
        kv->inside++;
        depth++;
    }
    pthread_mutex_unlock(&kv->gate);
    if (open)
        return 0;
    return error_set(err, ERROR_UNAVAILABLE,
                     "the store is being opened again after a write error; try again soon");
}

void kv_leave(struct kv *kv)
{
    assert(depth > 0); /* by the thread that entered */
    depth--;
    pthread_mutex_lock(&kv->gate);
    if (--kv->inside == 0 && kv->closing)
        pthread_cond_broadcast(&kv->gate_changed);
    pthread_mutex_unlock(&kv->gate);
}

/* False: some stayed inside for too long. */
static bool close_gate(struct kv *kv)
{
    struct timespec deadline = deadline_in(DRAIN_SECONDS);
    assert(depth == 0);
    pthread_mutex_lock(&kv->gate);
    kv->closing = true;
    while (kv->inside && pthread_cond_timedwait(&kv->gate_changed, &kv->gate, &deadline) == 0)
        ;
    bool empty = kv->inside == 0;
    pthread_mutex_unlock(&kv->gate);
    return empty;
}

static void open_gate(struct kv *kv)
{
    pthread_mutex_lock(&kv->gate);
    kv->closing = false;
    pthread_cond_broadcast(&kv->gate_changed);
    pthread_mutex_unlock(&kv->gate);
}

static int open_again(struct kv *kv, bool *more, struct error *err)
{
    kv_freeze_damaged(kv);
    kv_close_database(kv);
    if (kv_open_database(kv, err))
        return -1;
    uint64_t found = rocksdb_get_latest_sequence_number(kv->db);
    *more = found > kv->acknowledged;
    if (found >= kv->acknowledged)
        return 0;
    error_set(&kv->broken, ERROR_UNAVAILABLE,
              "the disk has lost %llu changes that it had taken; check the disk, then restart "
              "lapwingd",
              (unsigned long long)(kv->acknowledged - found));
    *err = kv->broken;
    return -1;
}

int kv_reopen(struct kv *kv, bool *more, struct error *err)
{
    int status = -1;
    if (!close_gate(kv))
        error_set(err, ERROR_UNAVAILABLE, "the store cannot be opened again while queries run");
    else if ((status = open_again(kv, more, err)) == 0)
        atomic_store(&kv->is_broken, false);
    open_gate(kv);
    return status;
}
