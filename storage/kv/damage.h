/* damage: what is known to be damaged in a store, for the log, the health page and /metrics.
 *
 * A list of distinct sentences, each of which names a file, series or day. Bounded: what does not
 * fit is counted. Any thread.
 */
#ifndef STORAGE_KV_DAMAGE_H
#define STORAGE_KV_DAMAGE_H

#include <pthread.h>

#include "storage/base/buffer.h"

enum damage_part {
    DAMAGE_TABLE, /* an SST file, or a block of one */
    DAMAGE_WAL,
    DAMAGE_HEADLOG,
    DAMAGE_CHUNK, /* chunks and rollups */
    DAMAGE_INDEX, /* rows of series, and lists of a day's series */
    DAMAGE_LOGS,
    DAMAGE_PART_COUNT,
};

#define DAMAGES_MAX       100
#define DAMAGE_TEXT_BYTES 400

struct damages {
    pthread_mutex_t lock;
    size_t count;
    size_t left_out;
    char at[DAMAGES_MAX][DAMAGE_TEXT_BYTES];
};

void damages_init(struct damages *damages);
void damages_release(struct damages *damages);
/* The sentence goes into the list, the log and the metric, unless it is known already. */
void damage_note(struct damages *damages, enum damage_part part, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* How many are known. Copies the first, or the one before which `skip` come, into text. */
size_t damages_get(struct damages *damages, size_t skip, char text[DAMAGE_TEXT_BYTES]);

#endif
