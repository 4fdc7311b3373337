/* kv_write: batches and dropping ranges, by the writer thread alone.
 *
 * A batch names families by number, so one that was filled before the database was opened again is
 * still good after it. What is put while there is no database is lost, and the write that was to
 * carry it is refused.
 */
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/kv/kv_state.h"

struct kv_batch {
    rocksdb_writebatch_t *batch;
};

struct kv_batch *kv_batch_new(void)
{
    struct kv_batch *batch = alloc_zeroed(1, sizeof *batch);
    batch->batch = rocksdb_writebatch_create();
    return batch;
}

void kv_batch_free(struct kv_batch *batch)
{
    if (!batch)
        return;
    rocksdb_writebatch_destroy(batch->batch);
    free(batch);
}

void kv_batch_clear(struct kv_batch *batch)
{
    rocksdb_writebatch_clear(batch->batch);
}

bool kv_batch_is_empty(const struct kv_batch *batch)
{
    return rocksdb_writebatch_count(batch->batch) == 0;
}

void kv_batch_put(struct kv *kv, struct kv_batch *batch, enum kv_family family, struct slice key,
                  struct slice value)
{
    if (!kv->db)
        return; /* kv_write refuses it */
    rocksdb_writebatch_put_cf(batch->batch, kv->handles[family], key.at, key.len,
                              value.len ? value.at : "", value.len);
}

void kv_batch_delete(struct kv *kv, struct kv_batch *batch, enum kv_family family, struct slice key)
{
    if (!kv->db)
        return;
    rocksdb_writebatch_delete_cf(batch->batch, kv->handles[family], key.at, key.len);
}

void kv_batch_delete_range(struct kv *kv, struct kv_batch *batch, enum kv_family family,
                           struct slice from, struct slice to)
{
    if (!kv->db)
        return;
    rocksdb_writebatch_delete_range_cf(batch->batch, kv->handles[family], from.at, from.len, to.at,
                                       to.len);
}

int kv_check_writable(const struct kv *kv, struct error *err)
{
    if (!atomic_load(&kv->is_broken))
        return 0;
    return error_set(
        err, ERROR_UNAVAILABLE,
        "%.800s; nothing is written until the store could be opened again, which is tried every "
        "few seconds: free disk space, check the disk",
        kv->broken.text);
}

/* Remembers the first failure; -1. */
static int break_down(struct kv *kv, char *message, const char *doing, struct error *err)
{
    if (kv_check(message, doing, &kv->broken))
        atomic_store(&kv->is_broken, true);
    return kv_check_writable(kv, err);
}

int kv_write(struct kv *kv, struct kv_batch *batch, bool sync, struct error *err)
{
    char *message = NULL;
    if (kv_check_writable(kv, err))
        return -1;
    rocksdb_write(kv->db, sync ? kv->write_sync : kv->write, batch->batch, &message);
    if (message)
        return break_down(kv, message, "cannot write to the data directory", err);
    rocksdb_writebatch_clear(batch->batch);
    kv->acknowledged = rocksdb_get_latest_sequence_number(kv->db);
    return 0;
}

/* A file that goes may hold the deletes of keys whose older values stay in another file: level 0 and
 * files across a border are passed over. So the range must be deleted before, and durably, because
 * files go at once and for good, whatever a loss of power leaves of the log. The limit of the file
 * delete is inclusive, hence `to` must never be a real key. */
int kv_drop_range(struct kv *kv, const struct kv_range *range, struct kv_batch *batch,
                  struct error *err)
{
    char *message = NULL;
    kv_batch_delete_range(kv, batch, range->family, range->from, range->to);
    if (kv_write(kv, batch, true, err))
        return -1;
    rocksdb_delete_file_in_range_cf(kv->db, kv->handles[range->family], range->from.at,
                                    range->from.len, range->to.at, range->to.len, &message);
    return message ? break_down(kv, message, "cannot drop old files", err) : 0;
}
