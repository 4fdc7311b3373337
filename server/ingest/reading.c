/* reading: see the header. */
#include "server/ingest/reading.h"

#define LABELS_BYTES_MAX ((size_t)1 << 20)

int reading_intern(struct store *store, struct store_batch *batch, struct labels labels,
                   uint32_t *id, struct error *err)
{
    struct buffer key;
    enum series_kind kind = SERIES_GAUGE;
    buffer_init(&key, LABELS_BYTES_MAX);
    labels_encode(labels, &key);
    bool known = store_find(store, buffer_slice(&key), id, &kind);
    buffer_release(&key);
    if (known && kind != SERIES_GAUGE)
        return error_set(err, ERROR_BAD_DATA,
                         "the series exists as a %s and takes no readings; give one of them "
                         "another name or label",
                         series_kind_name(kind));
    return store_batch_intern(batch, labels, SERIES_GAUGE, id, err);
}
