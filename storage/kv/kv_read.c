/* kv_read: gets and iterators, by any thread; each is inside the gate for as long as it lives.
 *
 * An iterator that was refused at the gate is empty, and its check says why: so callers need no
 * second way to fail.
 */
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/kv/kv_state.h"

#define STEPS_MAX    3
#define MISSTEP      2 /* its steps and a seek */
#define MISSTEPS_MAX 6

struct kv_iterator {
    struct kv *kv;
    enum kv_family family;
    rocksdb_iterator_t *it; /* NULL: refused */
    struct error refused;
    rocksdb_readoptions_t *read;
    struct buffer from; /* RocksDB keeps pointers to the bounds */
    struct buffer to;
    int missteps; /* of kv_seek_near, less those that led somewhere */
};

int kv_get(struct kv *kv, enum kv_family family, struct slice key, struct buffer *out,
           struct error *err)
{
    char *message = NULL;
    size_t len = 0;
    if (kv_enter(kv, err))
        return -1;
    rocksdb_pinnableslice_t *pinned =
        rocksdb_get_pinned_cf(kv->db, kv->read, kv->handles[family], key.at, key.len, &message);
    if (pinned) {
        const char *at = rocksdb_pinnableslice_value(pinned, &len);
        buffer_append(out, at, len);
        rocksdb_pinnableslice_destroy(pinned);
    }
    kv_leave(kv);
    if (kv_check(message, "cannot read from the data directory", err))
        return -1;
    if (!pinned)
        return 0;
    if (out->overflow)
        return error_set(err, ERROR_TOO_LARGE, "a stored value of %zu bytes exceeds its limit",
                         len);
    return 1;
}

struct kv_iterator *kv_iterate(struct kv *kv, enum kv_family family, struct slice from,
                               struct slice to)
{
    struct kv_iterator *it = alloc_zeroed(1, sizeof *it);
    it->read = rocksdb_readoptions_create();
    it->kv = kv;
    it->family = family;
    buffer_init(&it->from, SIZE_MAX);
    buffer_init(&it->to, SIZE_MAX);
    if (from.len) {
        buffer_append_slice(&it->from, from);
        rocksdb_readoptions_set_iterate_lower_bound(it->read, it->from.at, it->from.len);
    }
    if (to.len) {
        buffer_append_slice(&it->to, to);
        rocksdb_readoptions_set_iterate_upper_bound(it->read, it->to.at, it->to.len);
    }
    if (kv_enter(kv, &it->refused) == 0)
        it->it = rocksdb_create_iterator_cf(kv->db, it->read, kv->handles[family]);
    return it;
}

void kv_iterator_free(struct kv_iterator *it)
{
    if (!it)
        return;
    if (it->it) {
        rocksdb_iter_destroy(it->it);
        kv_leave(it->kv);
    }
    rocksdb_readoptions_destroy(it->read);
    buffer_release(&it->from);
    buffer_release(&it->to);
    free(it);
}

bool kv_seek(struct kv_iterator *it, struct slice key)
{
    if (!it->it)
        return false;
    rocksdb_iter_seek(it->it, key.at, key.len);
    return rocksdb_iter_valid(it->it);
}

/* From a key before `key` to the first one at or behind it. False: it is not that near. */
static bool step_to(struct kv_iterator *it, struct slice key)
{
    for (int step = 0; step < STEPS_MAX && kv_next(it); step++)
        if (slice_compare(kv_key(it), key) >= 0)
            return true;
    return false;
}

bool kv_seek_near(struct kv_iterator *it, struct slice key)
{
    /* Behind the key there may be others before where it stands. */
    bool ahead = it->it && it->missteps < MISSTEPS_MAX && rocksdb_iter_valid(it->it) &&
                 slice_compare(kv_key(it), key) < 0;
    if (!ahead)
        return kv_seek(it, key);
    if (step_to(it, key)) {
        it->missteps -= it->missteps > 0;
        return true;
    }
    it->missteps += MISSTEP;
    return kv_seek(it, key);
}

bool kv_seek_before(struct kv_iterator *it, struct slice key)
{
    if (!it->it)
        return false;
    rocksdb_iter_seek_for_prev(it->it, key.at, key.len);
    return rocksdb_iter_valid(it->it);
}

bool kv_seek_first(struct kv_iterator *it)
{
    if (!it->it)
        return false;
    rocksdb_iter_seek_to_first(it->it);
    return rocksdb_iter_valid(it->it);
}

bool kv_seek_last(struct kv_iterator *it)
{
    if (!it->it)
        return false;
    rocksdb_iter_seek_to_last(it->it);
    return rocksdb_iter_valid(it->it);
}

bool kv_next(struct kv_iterator *it)
{
    rocksdb_iter_next(it->it);
    return rocksdb_iter_valid(it->it);
}

bool kv_previous(struct kv_iterator *it)
{
    rocksdb_iter_prev(it->it);
    return rocksdb_iter_valid(it->it);
}

struct slice kv_key(const struct kv_iterator *it)
{
    size_t len;
    const char *at = rocksdb_iter_key(it->it, &len);
    return slice_make(at, len);
}

struct slice kv_value(const struct kv_iterator *it)
{
    size_t len;
    const char *at = rocksdb_iter_value(it->it, &len);
    return slice_make(at, len);
}

int kv_iterator_refused(const struct kv_iterator *it, struct error *err)
{
    if (it->it)
        return 0;
    *err = it->refused;
    return -1;
}

void kv_iterator_renew(struct kv_iterator *it)
{
    if (!it->it)
        return;
    rocksdb_iter_destroy(it->it);
    it->it = rocksdb_create_iterator_cf(it->kv->db, it->read, it->kv->handles[it->family]);
}

int kv_iterator_damage(struct kv_iterator *it, struct error *err)
{
    struct error fault = {0};
    if (kv_iterator_refused(it, err))
        return -1;
    if (kv_iterator_check(it, &fault) == 0)
        return 0;
    damage_note(&it->kv->damages, DAMAGE_TABLE, "%s", fault.text);
    kv_iterator_renew(it);
    return 1;
}

int kv_iterator_check(const struct kv_iterator *it, struct error *err)
{
    char *message = NULL;
    if (kv_iterator_refused(it, err))
        return -1;
    rocksdb_iter_get_error(it->it, &message);
    return kv_check(message, "cannot read from the data directory", err);
}
