/* kv_care: compaction, checkpoints and facts.
 *
 * Compacting by hand rewrites every family down to its last level, so that deleted data is gone and
 * what remains has the bottom's compression. The C API reports no errors of it, hence the
 * comparison of the lists of tables before and after. A table that an automatic compaction moves
 * meanwhile can be passed over, so only what two passes leave is called stuck.
 */
#include "storage/kv/kv_state.h"

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

static rocksdb_compactoptions_t *make_compact_options(void)
{
    rocksdb_compactoptions_t *options = rocksdb_compactoptions_create();
    /* Else automatic compactions would wait until this one is done, and writers for them. */
    rocksdb_compactoptions_set_exclusive_manual_compaction(options, 0);
    rocksdb_compactoptions_set_bottommost_level_compaction(options, FORCE_OPTIMIZED);
    return options;
}

static bool is_live(const rocksdb_livefiles_t *files, const char *name)
{
    int count = rocksdb_livefiles_count(files);
    for (int i = 0; i < count; i++)
        if (strcmp(rocksdb_livefiles_name(files, i), name) == 0)
            return true;
    return false;
}

/* Every table that was there before must have been replaced. */
static int check_compacted(const struct kv *kv, const rocksdb_livefiles_t *before,
                           struct error *err)
{
    const rocksdb_livefiles_t *after = rocksdb_livefiles(kv->db);
    int count = rocksdb_livefiles_count(before), left = 0, one = 0;
    for (int i = 0; i < count; i++) {
        if (!is_live(after, rocksdb_livefiles_name(before, i)))
            continue;
        one = i;
        left++;
    }
    if (left)
        error_set(err, ERROR_INTERNAL,
                  "%d tables could not be compacted, such as %s%s: run lapwing check-data to see "
                  "which are damaged, and look at the free disk space",
                  left, kv->path, rocksdb_livefiles_name(before, one));
    rocksdb_livefiles_destroy(after);
    return left ? -1 : 0;
}

static int compact_families(struct kv *kv, const rocksdb_livefiles_t *before,
                            rocksdb_compactoptions_t *options, struct error *err)
{
    for (int i = 0; i < KV_FAMILY_COUNT && !atomic_load(&kv->hurried); i++)
        rocksdb_compact_range_cf_opt(kv->db, kv->handles[i], options, NULL, 0, NULL, 0);
    if (atomic_load(&kv->hurried))
        return error_set(err, ERROR_CANCELED, "the server is shutting down; compact it later");
    return check_compacted(kv, before, err);
}

int kv_compact(struct kv *kv, struct error *err)
{
    struct error first;
    if (kv_enter(kv, err))
        return -1;
    rocksdb_compactoptions_t *options = make_compact_options();
    const rocksdb_livefiles_t *before = rocksdb_livefiles(kv->db);
    int status = compact_families(kv, before, options, &first);
    if (status)
        status = compact_families(kv, before, options, err);
    rocksdb_livefiles_destroy(before);
    rocksdb_compactoptions_destroy(options);
    kv_leave(kv);
    return status;
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
