/* logrows: log records in memory, in the order they came: an open block.
 *
 * Thread: the writer changes it; others read the first `visible` rows under the store's lock.
 * It owns copies of all bytes.
 */
#ifndef STORAGE_LOG_LOGROWS_H
#define STORAGE_LOG_LOGROWS_H

#include "storage/base/arena.h"
#include "storage/base/table.h"
#include "storage/log/logblock.h"
#include "storage/record.h"

struct logrows {
    struct logblock_row *at;
    size_t count, capacity;
    size_t visible; /* rows of committed batches */
    size_t line_bytes;
    int64_t time_min_ns, time_max_ns; /* of all rows; meaningless when there are none */
    struct slice *streams;            /* canonical bytes, by the rows' stream number */
    size_t stream_capacity;
    struct table stream_numbers; /* canonical bytes -> number */
    struct arena lines;
    uint64_t hot_first, hot_end; /* sequences of the hot keys that hold the rows */
    int64_t opened_ms;           /* when maintenance first saw rows in it; 0 = not yet */
};

struct logrows *logrows_new(uint64_t hot_first);
/* NULL is fine. */
void logrows_free(struct logrows *rows);
/* Adds a row of this canonical stream; not visible yet. */
void logrows_append(struct logrows *rows, int64_t time_ns, struct slice stream, struct slice line);
/* Forgets the rows that are not visible, and gives back their memory. */
void logrows_truncate(struct logrows *rows);
bool logrows_is_full(const struct logrows *rows);
size_t logrows_stream_count(const struct logrows *rows);
/* Sorts by time; rows of one instant keep their order. */
void logrows_sort(struct logblock_row *at, size_t count);

/* A batch of records as the value of a hot key, and back. Appending stops at the first malformed
 * byte with false. */
void logrows_encode(const struct record *records, size_t count, struct buffer *out);
MUST_USE bool logrows_append_encoded(struct logrows *rows, struct slice bytes);

#endif
