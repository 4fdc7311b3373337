/* read: what the readers of samples and of buckets share; nobody outside storage/ includes it.
 *
 * Thread: that of the reader.
 */
#ifndef STORAGE_READ_H
#define STORAGE_READ_H

#include "storage/store_state.h"

struct bucket_reader; /* buckets.c */

struct store *reader_store(const struct store_reader *reader);
/* Where buckets.c keeps what it needs; NULL until it does. */
struct bucket_reader **reader_buckets(struct store_reader *reader);

/* --- buckets.c --- */
void bucket_reader_free(struct bucket_reader *buckets);
/* Under the lock: true when the range has days whose samples of the series have left, and buckets
 * took their place. */
bool buckets_replace(const struct store *store, struct store_span span);
/* Under the lock: adds the series that may have buckets in place of samples there. */
void buckets_add_series(const struct store *store, struct time_range range, roaring_bitmap_t *ids);
/* The first and the last sample of each bucket there, and a stale marker where it ended. */
MUST_USE int buckets_read_thin(struct store_reader *reader, struct store_span span,
                               struct arena *arena, struct store_column *out, struct error *err);

#endif
