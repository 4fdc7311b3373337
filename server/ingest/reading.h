/* reading: the series of what is measured elsewhere and only noted here.
 *
 * Thread: writer.
 */
#ifndef SERVER_INGEST_READING_H
#define SERVER_INGEST_READING_H

#include "storage/store.h"

/* The id of the gauge with these labels, made if new. Other than store_batch_intern it refuses, with
 * ERROR_BAD_DATA, labels that exist as another kind: a reading among the totals of a counter would
 * be a reset to everybody who asks for its rate. */
MUST_USE int reading_intern(struct store *store, struct store_batch *batch, struct labels labels,
                            uint32_t *id, struct error *err);

#endif
