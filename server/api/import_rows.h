/* import_rows: what an import has read and not yet written, sorted by series.
 *
 *   rows_add ...         until it says so, or the arena is exhausted
 *   rows_flush           one job of the writer; then the arena is empty again
 *
 * Thread: an HTTP worker; the writer only within rows_flush.
 */
#ifndef SERVER_API_IMPORT_ROWS_H
#define SERVER_API_IMPORT_ROWS_H

#include "server/writer.h"
#include "storage/base/table.h"

struct import_series;

struct import_rows {
    struct store *store;
    struct writer *writer;
    struct arena arena;  /* of the samples being gathered, and of what parsers make */
    struct table index;  /* canonical labels -> struct import_series, of the whole import */
    struct arena series; /* they lie here */
    struct import_series *first, *last; /* with samples to write */
    size_t pending;                     /* samples to write */
    struct buffer key;
    size_t samples, series_count, past_retention; /* of the whole import */
    size_t refused_series, refused_samples;
    size_t clashing_samples; /* of those: of series that exist as another kind */
    bool only_readings;      /* see reading_intern */
    struct error refusal;    /* of the first series that was refused */
};

/* Each of the two arenas may take memory_max bytes. */
void rows_init(struct import_rows *rows, struct store *store, struct writer *writer,
               size_t memory_max);
void rows_release(struct import_rows *rows);
/* Notes samples whose columns lie in rows->arena. -1: too many series. */
MUST_USE int rows_add(struct import_rows *rows, struct labels labels, enum series_kind kind,
                      const struct store_column *column, struct error *err);
/* True when it is time to flush. */
bool rows_are_many(const struct import_rows *rows);
/* Writes them; with `last` durably, together with all that was flushed before. */
MUST_USE int rows_flush(struct import_rows *rows, bool last, struct error *err);

#endif
