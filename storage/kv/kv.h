/* kv: RocksDB behind a small C face; the only place that knows it.
 *
 * Ordered bytes -> bytes in a handful of column families, atomic batches, iterators over a
 * snapshot. Everything above speaks in slices. Reads: any thread. Writes: the writer thread.
 */
#ifndef STORAGE_KV_KV_H
#define STORAGE_KV_KV_H

#include "storage/base/buffer.h"
#include "storage/base/error.h"
#include "storage/kv/damage.h"

enum kv_family {
    KV_DEFAULT,  /* unused; RocksDB insists on it */
    KV_META,     /* format version, small states of the store itself */
    KV_SERIES,   /* series id -> labels and kind */
    KV_POSTINGS, /* partition -> bitmap of the series that have data in it */
    KV_HEADLOG,  /* one columnar record a flush tick, until its samples are sealed */
    KV_CHUNK,    /* sealed chunks, see storage/code/chunk.h */
    KV_LOGS,     /* hot batches and sealed column blocks of log records */
    KV_DOCS,     /* small documents: issues, alert states, outbox ... */
    KV_FAMILY_COUNT,
};

struct kv;
struct kv_batch;
struct kv_iterator;

/* Creates the directory (parents too) and missing families. */
MUST_USE int kv_open(const char *path, struct kv **out, struct error *err);
/* For looking at a directory that no process has open; changes nothing in it, and writing fails. */
MUST_USE int kv_open_read_only(const char *path, struct kv **out, struct error *err);
struct kv_options {
    const char *path;
    bool read_only;
    size_t block_cache_bytes; /* 0 = 64 MiB */
    size_t memtable_bytes;    /* of all families; 0 = 64 MiB */
};
MUST_USE int kv_open_with(const struct kv_options *options, struct kv **out, struct error *err);
void kv_close(struct kv *kv);

/* --- writing --- */
struct kv_batch *kv_batch_new(void);
void kv_batch_free(struct kv_batch *batch);
void kv_batch_clear(struct kv_batch *batch);
bool kv_batch_is_empty(const struct kv_batch *batch);
void kv_batch_put(struct kv *kv, struct kv_batch *batch, enum kv_family family, struct slice key,
                  struct slice value);
void kv_batch_delete(struct kv *kv, struct kv_batch *batch, enum kv_family family,
                     struct slice key);
/* Deletes [from, to). */
void kv_batch_delete_range(struct kv *kv, struct kv_batch *batch, enum kv_family family,
                           struct slice from, struct slice to);
/* Atomic. Without sync: survives kill -9; with sync: survives power loss. Clears the batch on
 * success and leaves it alone on failure. After the first failure all writes are refused until
 * kv_reopen. */
MUST_USE int kv_write(struct kv *kv, struct kv_batch *batch, bool sync, struct error *err);
/* Any thread. -1 with the reason once a write has failed. */
MUST_USE int kv_check_writable(const struct kv *kv, struct error *err);

/* --- reading --- */
/* Appends the value to *out. 1 found, 0 absent, -1 error. */
MUST_USE int kv_get(struct kv *kv, enum kv_family family, struct slice key, struct buffer *out,
                    struct error *err);
/* Sees the state at its creation, keys in [from, to); an empty `to` means to the end. The bounds
 * are copied. Never NULL; position it with seek. */
struct kv_iterator *kv_iterate(struct kv *kv, enum kv_family family, struct slice from,
                               struct slice to);
void kv_iterator_free(struct kv_iterator *it);
/* The first key >= key. True when there is one in bounds. */
bool kv_seek(struct kv_iterator *it, struct slice key);
/* The same, for keys that may be a few steps ahead of where it stands, as of those who go through a
 * table in order: takes these as long as that leads there as a rule. A step is a third of a seek. */
bool kv_seek_near(struct kv_iterator *it, struct slice key);
/* The last key <= key. */
bool kv_seek_before(struct kv_iterator *it, struct slice key);
bool kv_seek_first(struct kv_iterator *it);
bool kv_seek_last(struct kv_iterator *it);
bool kv_next(struct kv_iterator *it);
bool kv_previous(struct kv_iterator *it);
/* Valid until the iterator moves. */
struct slice kv_key(const struct kv_iterator *it);
struct slice kv_value(const struct kv_iterator *it);
/* -1 when iteration stopped on an error rather than at the end. */
MUST_USE int kv_iterator_check(const struct kv_iterator *it, struct error *err);
/* The same for those who would rather go on. 0: it stopped at the end; 1: on something unreadable,
 * which is noted now (kv_damages), and the iterator is as new; -1: nothing can be read now. */
MUST_USE int kv_iterator_damage(struct kv_iterator *it, struct error *err);

/* Visits the readable rows of [from, to) in order; a visitor that returns false ends it. Damaged
 * blocks are noted (kv_damages) or told, and passed over. Returns how many there were; -1: nothing can be
 * read now. */
struct kv_range {
    enum kv_family family;
    struct slice from, to; /* empty: from the beginning, to the end */
    /* Called for each damaged place with visit's arg; NULL: it is noted. */
    void (*on_damage)(void *arg, const struct error *err);
};
MUST_USE int kv_each(struct kv *kv, const struct kv_range *range,
                     bool (*visit)(void *arg, struct slice key, struct slice value), void *arg,
                     struct error *err);
/* Deletes [from, to) together with what is in the batch, which it clears, and then drops the files
 * that have nothing else. Only for ranges that no longer receive writes; waits for the disk. */
MUST_USE int kv_drop_range(struct kv *kv, const struct kv_range *range, struct kv_batch *batch,
                           struct error *err);

/* --- looking after it --- */
/* True while something has been set aside, or left out of a damaged log: then what refers to other
 * rows may be wrong. */
bool kv_is_doubtful(const struct kv *kv);
/* What is known to be damaged; for readers to add to. */
struct damages *kv_damages(struct kv *kv);
/* Any thread: a copy of the state now, made of links where the disk is the same, in a directory
 * that must not exist. */
MUST_USE int kv_checkpoint(struct kv *kv, const char *path, struct error *err);
/* Writer thread, holding no iterator: opens the database again after a failed write. Waits some
 * seconds for readers to end; new ones wait for it. -1: refused as before; try again later. *more:
 * the failed write is there after all. */
MUST_USE int kv_reopen(struct kv *kv, bool *more, struct error *err);
/* Any thread; takes as long as rewriting all tables does. Reads and writes go on meanwhile. */
MUST_USE int kv_compact(struct kv *kv, struct error *err);
/* Any thread: ends a kv_compact under way soon, and all to come at once. */
void kv_hurry(struct kv *kv);
/* True from then on. */
const _Atomic bool *kv_hurried(const struct kv *kv);
/* What the tables take for [from, to), about; deleted data counts until it is compacted. */
uint64_t kv_range_bytes(struct kv *kv, enum kv_family family, struct slice from, struct slice to);
/* RocksDB's integer property, 0 when it has none of that name. */
uint64_t kv_property(struct kv *kv, enum kv_family family, const char *name);
/* The smallest byte string above every string that starts with `prefix`. */
void kv_prefix_end(struct slice prefix, struct buffer *out);

#endif
