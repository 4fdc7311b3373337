/* kv_care: compaction, checkpoints and facts.
 *
 * Compacting by hand rewrites every family down to its last level, so that deleted data is gone and
 * what remains has the bottom's compression. The C API reports no errors of it; RocksDB counts them.
 */
#include "storage/kv_state.h"

#define FORCE_OPTIMIZED 3 /* BottommostLevelCompaction: also files that are at the bottom already */

void kv_hurry(struct kv *kv)
{
    struct error unused;
    atomic_store(&kv->hurried, true);
    if (kv_enter(kv, &unused))
        return;
    rocksdb_disable_manual_compaction(kv->db);
    kv_leave(kv);
}

const _Atomic bool *kv_hurried(const struct kv *kv)
{
    return &kv->hurried;
}

int kv_compact(struct kv *kv, struct error *err)
{
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    uint64_t errors = kv_property(kv, KV_DEFAULT, "rocksdb.background-errors");
    /* Else automatic compactions would wait until this one is done, and writers for them. */
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
    rocksdb_compactoptions_set_bottommost_level_compaction(options, FORCE_OPTIMIZED);
    int status = kv_enter(kv, err);
    for (int i = 0; !status && i < KV_FAMILY_COUNT && !atomic_load(&kv->hurried); i++)
        rocksdb_compact_range_cf_opt(kv->db, kv->handles[i], options, NULL, 0, NULL, 0);
    if (!status)
        kv_leave(kv);
    rocksdb_compactoptions_destroy(options);
    if (!status && atomic_load(&kv->hurried))
        return error_set(err, ERROR_CANCELED, "the server is shutting down; compact it later");
    if (status || kv_property(kv, KV_DEFAULT, "rocksdb.background-errors") == errors)
        return status;
    return error_set(err, ERROR_INTERNAL,
                     "RocksDB could not compact all tables; run lapwing check-data to see which "
                     "are damaged, and look at the free disk space");
}

struct damages *kv_damages(struct kv *kv)
{
    return &kv->damages;
}

int kv_checkpoint(struct kv *kv, const char *path, struct error *err)
{
    char *message = NULL;
    if (kv_enter(kv, err))
        return -1;
    rocksdb_checkpoint_t *checkpoint = rocksdb_checkpoint_object_create(kv->db, &message);
    if (!message) {
        /* 0: memtables become tables first, so that no log has to be copied. */
        rocksdb_checkpoint_create(checkpoint, path, 0, &message);
        rocksdb_checkpoint_object_destroy(checkpoint);
    }
    kv_leave(kv);
    return kv_check(message, "cannot copy the tables", err);
}

uint64_t kv_range_bytes(struct kv *kv, enum kv_family family, struct slice from, struct slice to)
{
    uint64_t bytes = 0;
    struct error unused;
    char *message = NULL;
    if (kv_enter(kv, &unused))
        return 0;
    rocksdb_approximate_sizes_cf(kv->db, kv->handles[family], 1, &from.at, &from.len, &to.at,
                                 &to.len, &bytes, &message);
    kv_leave(kv);
    return kv_check(message, "cannot measure the tables", &unused) ? 0 : bytes;
}

uint64_t kv_property(struct kv *kv, enum kv_family family, const char *name)
{
    uint64_t value = 0;
    struct error unused;
    if (kv_enter(kv, &unused))
        return 0;
    if (rocksdb_property_int_cf(kv->db, kv->handles[family], name, &value) != 0)
        value = 0;
    kv_leave(kv);
    return value;
}

void kv_prefix_end(struct slice prefix, struct buffer *out)
{
    size_t len = prefix.len;
    while (len && (unsigned char)prefix.at[len - 1] == 0xff)
        len--;
    buffer_append(out, prefix.at, len);
    if (len)
        out->at[out->len - 1] = (char)(out->at[out->len - 1] + 1);
}
