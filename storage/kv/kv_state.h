/* kv_state: what the files of kv share; nobody else includes it.
 *
 *   kv.c        open, close, options              kv_write.c   batches, dropping ranges
 *   kv_gate.c   who is inside; opening it again   kv_read.c    gets and iterators
 *   kv_salvage.c   what to do when it does not open
 *   kv_each.c   all readable rows              kv_care.c    compaction, checkpoints, properties
 *
 * Whoever uses the database from another thread than the writer's is inside between kv_enter and
 * kv_leave, so that the writer can close it and open it again when nobody is.
 */
#ifndef STORAGE_KV_KV_STATE_H
#define STORAGE_KV_KV_STATE_H

#include <pthread.h>
#include <rocksdb/c.h>
#include <stdatomic.h>

#include "storage/kv/kv.h"

/* How much of a damaged log is taken; see kv_salvage.c. */
enum kv_wal_care { KV_WAL_SOUND, KV_WAL_PREFIX, KV_WAL_ANY };

struct kv {
    rocksdb_t *db; /* NULL while it could not be opened again */
    rocksdb_options_t *options[KV_FAMILY_COUNT];
    rocksdb_column_family_handle_t *handles[KV_FAMILY_COUNT];
    rocksdb_cache_t *cache;
    rocksdb_readoptions_t *read;
    rocksdb_writeoptions_t *write;
    rocksdb_writeoptions_t *write_sync;
    char *path;
    bool read_only;
    bool exists; /* it has been open: never made anew where a disk is not mounted any more */
    struct damages damages;
    size_t memtable_bytes;
    bool frozen[KV_FAMILY_COUNT]; /* not compacted by itself: a table of it is damaged */
    int wal_care;                 /* enum kv_wal_care */
    int tables_lost;              /* set aside since it was opened */
    bool has_lost;                /* there is a lost/ */

    pthread_mutex_t gate;
    pthread_cond_t gate_changed; /* on the monotonic clock */
    size_t inside;
    bool closing;         /* nobody new gets in */
    _Atomic bool hurried; /* see kv_hurry */

    /* The first failed write since the database was opened, by the writer thread; then true, for
     * any thread. */
    struct error broken;
    _Atomic bool is_broken;
    uint64_t acknowledged; /* RocksDB's sequence number after the last write that succeeded */
};

/* kv.c: opens kv->path into kv->db and kv->handles. */
MUST_USE int kv_open_database(struct kv *kv, struct error *err);
void kv_close_database(struct kv *kv);
/* Turns RocksDB's message into ours and frees it. 0 when there was none. */
MUST_USE int kv_check(char *message, const char *doing, struct error *err);

const char *kv_family_name(enum kv_family family);
/* Read-only and whatever is damaged; NULL with *message. */
rocksdb_t *kv_open_leniently(struct kv *kv, rocksdb_column_family_handle_t **handles,
                             char **message);

/* kv_salvage.c */
/* After a failure to open: 1, try again; 0, nothing can be done; -1, and that failed. */
MUST_USE int kv_salvage(struct kv *kv, const char *message, struct error *err);
/* After a failed write: keeps families with damaged tables from being compacted once reopened. */
void kv_freeze_damaged(struct kv *kv);
/* What lies in lost/ goes into the damages. */
void kv_note_lost(struct kv *kv);

/* kv_gate.c */
void kv_gate_init(struct kv *kv);
void kv_gate_release(struct kv *kv);
/* Waits while the database is being opened again. -1: it cannot be used now. A thread that is
 * inside already never waits. Each 0 is answered by a kv_leave of the same thread. */
MUST_USE int kv_enter(struct kv *kv, struct error *err);
void kv_leave(struct kv *kv);

/* kv_read.c: -1 with the reason when the gate kept the iterator out: nothing can be read now. */
MUST_USE int kv_iterator_refused(const struct kv_iterator *it, struct error *err);
/* Makes it anew, without a position: one that has failed does not always say so again. */
void kv_iterator_renew(struct kv_iterator *it);

#endif
