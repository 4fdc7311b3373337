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

/* --- left.c, under the lock --- */
/* True when the series has 1h buckets within the same 32 days. */
bool left_has_buckets(const struct store *store, uint32_t series, uint32_t day);
/* True when the samples that fall into buckets of the day have left. */
bool left_samples(const struct store *store, uint32_t series, uint32_t day);
/* True when there may be such days in the range. */
bool left_in_range(const struct store *store, struct store_span span);
/* Adds the series for which that may be so. */
void left_add_series(const struct store *store, struct time_range range, roaring_bitmap_t *ids);

/* --- buckets.c --- */
void bucket_reader_free(struct bucket_reader *buckets);
/* The first and the last sample of each bucket there, and a stale marker where it ended. */
MUST_USE int buckets_read_thin(struct store_reader *reader, struct store_span span,
                               struct arena *arena, struct store_column *out, struct error *err);

#endif
