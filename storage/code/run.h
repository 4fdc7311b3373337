/* run: numbers that are appended one by one and take about a byte each while they are held.
 *
 * The open samples of a series: a run of doubles, exact to the last bit, and, where its times are
 * uneven, a run of gaps. Made for appending at once and reading from the front; nothing is changed
 * or removed. The caller knows how many numbers a run has and guards it: many readers or one writer.
 */
#ifndef STORAGE_CODE_RUN_H
#define STORAGE_CODE_RUN_H

#include <stdint.h>

#include "storage/base/pool.h"

/* Where runs take their blocks from: small first ones, larger ones behind. */
struct run_pool {
    struct pool first, more;
};

void run_pool_init(struct run_pool *pool);
/* Frees all runs. */
void run_pool_release(struct run_pool *pool);
/* Of the runs there are. */
size_t run_pool_used_bytes(const struct run_pool *pool);

/* A run is known by its last block; NULL is an empty one. */
struct run_block;

void run_free(struct run_pool *pool, struct run_block **run);

/* Appends a double; `last` is the one appended before (ignored for the first). */
void run_append_value(struct run_pool *pool, struct run_block **run, double last, double value);
/* Appends a gap. */
void run_append_gap(struct run_pool *pool, struct run_block **run, int64_t gap);
/* Appends the last double again, or the gap 0, `count` times. */
void run_repeat(struct run_pool *pool, struct run_block **run, size_t count);

/* Doubles [from, from + count), which must be there. */
void run_values(const struct run_block *run, size_t from, size_t count, double *out);
/* Times [from, from + count), where time 0 is `first` and each gap g adds step + g. */
struct run_grid {
    int64_t first, step;
};
void run_times(const struct run_block *run, struct run_grid grid, size_t from, size_t count,
               int64_t *out);
/* How many of the `count` times are below `time`. */
size_t run_find_time(const struct run_block *run, struct run_grid grid, size_t count, int64_t time);

#endif
