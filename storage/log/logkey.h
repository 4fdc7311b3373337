/* logkey: where log records lie in the KV_LOGS family. Pure. */
#ifndef STORAGE_LOG_LOGKEY_H
#define STORAGE_LOG_LOGKEY_H

#include "storage/base/buffer.h"

#define LOGKEY_BYTES_MAX 32

/* One sealed block, as the store's index knows it. All its rows are of one UTC day. */
struct logentry {
    int64_t time_min_ns, time_max_ns;
    uint64_t id; /* unique, ascending in the order of sealing */
};

struct logkey {
    char at[LOGKEY_BYTES_MAX];
    size_t len;
};

static inline struct slice logkey_slice(const struct logkey *key)
{
    return slice_make(key->at, key->len);
}

/* Days since 1970, rounded down. */
int64_t logkey_day(int64_t time_ns);

struct logkey logkey_hot(uint64_t sequence);
/* False when it is no hot key. */
MUST_USE bool logkey_read_hot(struct slice key, uint64_t *sequence);
struct logkey logkey_header(const struct logentry *entry);
struct logkey logkey_column(const struct logentry *entry, unsigned column);
/* time_min_ns and id of a header's key; false when it is none. */
MUST_USE bool logkey_read_header(struct slice key, struct logentry *out);

/* Bounds of ranges: hot keys are [logkey_hot_first, logkey_header_day(LOGKEY_DAY_FIRST)); headers
 * (columns alike) of the days a..b-1 are [logkey_header_day(a), logkey_header_day(b)). */
struct logkey logkey_hot_first(void);
struct logkey logkey_header_day(int64_t day);
struct logkey logkey_column_day(int64_t day);
/* Beyond all times that fit int64 nanoseconds. */
#define LOGKEY_DAY_FIRST (-200000)
#define LOGKEY_DAY_END   200000

#endif
