/* logfilter: may a log block contain this text? A Bloom filter over pieces of its lines.
 *
 * A substring search skips every block whose filter says no; a "yes" may be wrong (about 1 %), a
 * "no" never is. Pure; used by storage/log/logblock.c while sealing and storage/log/logscan.c while reading.
 */
#ifndef STORAGE_LOG_LOGFILTER_H
#define STORAGE_LOG_LOGFILTER_H

#include "storage/base/buffer.h"

struct logfilter_builder {
    uint64_t *slots; /* a set of piece hashes; 0 = empty slot */
    size_t capacity; /* power of two, or 0 */
    size_t count;
    bool full; /* too many pieces: the filter will say yes to everything */
};

void logfilter_init(struct logfilter_builder *builder);
void logfilter_release(struct logfilter_builder *builder);
void logfilter_add_line(struct logfilter_builder *builder, struct slice line);
/* Appends the filter's bytes (none when the builder is full or empty of pieces). */
void logfilter_finish(const struct logfilter_builder *builder, struct buffer *out);

/* False only if no line that was added contains the needle. */
bool logfilter_may_contain(struct slice filter, struct slice needle);

#endif
