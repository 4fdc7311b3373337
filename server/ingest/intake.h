/* intake: what one ingest worker has gathered since the last tick.
 *
 * A table keyed by raw bytes (name, tags as sent, type) with two sides. The worker adds to the
 * active side; at a tick it swaps, and the writer folds the other side into the registry while
 * the worker goes on. Entries outlive ticks and remember the registry's series, so that tags are
 * parsed once per new series. Nothing is locked and nothing is shared while metrics arrive.
 *
 * Threads: add, swap: the ingest worker. fold: the writer, between a swap and the end of the fold.
 * new, free: when neither runs.
 */
#ifndef SERVER_INGEST_INTAKE_H
#define SERVER_INGEST_INTAKE_H

#include "server/ingest/mapped.h"
#include "server/ingest/registry.h"

#define INTAKE_BATCH_MAX 64

struct intake;

struct intake_options {
    size_t entries_max;      /* series in the table */
    size_t key_bytes_max;    /* of all entries */
    size_t sketch_bytes_max; /* histograms and sets */
    struct mapping *mapping; /* held by the intake; NULL = none */
};

struct intake *intake_new(const struct intake_options *options);
void intake_free(struct intake *intake);

/* When the metrics of the next adds came, in about microseconds of any clock that all intakes share; not
 * 0. It decides between values that several of them got for one gauge. */
void intake_set_time(struct intake *intake, uint32_t time_us);
/* Adds up to INTAKE_BATCH_MAX parsed metrics; they may be used up (packed values are cut). What
 * finds no room goes to its name's __overflow__ series, or else is dropped; both are counted. */
void intake_add(struct intake *intake, struct statsd_metric *metrics, size_t count);
/* Hands the active side to the writer. False while the writer still holds the other one. */
bool intake_swap(struct intake *intake);
/* Adds the side handed over, if any, to the registry, and gives it back empty. */
void intake_fold(struct intake *intake, struct registry *registry);

/* What takes the place of an intake when other rules are in force: empty, but for the last readings of
 * running totals. The old one belongs to it from then on. NULL when the rules are the same, or the
 * writer is not done yet with what was replaced before. Worker, instead of an add or a swap. */
struct intake *intake_renew(struct intake *old, struct mapping *mapping);
/* Adds what is left of the one that was replaced; at a later tick it ends the series that its names do not
 * stand for any more, and is freed. `flushed`: all that was added before this tick is stored. Writer,
 * before the fold. */
void intake_settle(struct intake *intake, struct registry *registry, int64_t tick_ms, bool flushed);

#endif
