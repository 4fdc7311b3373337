/* scrub: reads every row of a store and says which are damaged.
 *
 * RocksDB checks the checksum of every block on the way; what is in a row is checked by those who
 * wrote it: checksums, and that it decodes. Memory is bounded by one row. Any thread, also while
 * the store is in use: it sees one moment of each family.
 */
#ifndef STORAGE_SCRUB_H
#define STORAGE_SCRUB_H

#include "storage/kv/kv.h"

struct scrub_options {
    /* Called for each damaged place with a sentence; may be NULL. */
    void (*found)(void *arg, const char *text);
    void *arg;
    const _Atomic bool *cancelled; /* NULL: never */
};

struct scrub_report {
    uint64_t rows;
    uint64_t bytes;   /* of keys and values */
    uint64_t digest;  /* over all rows, in order; equal stores have equal ones */
    uint64_t damaged; /* places */
};

/* -1 only when it could not be carried through. */
MUST_USE int scrub_run(struct kv *kv, const struct scrub_options *options,
                       struct scrub_report *report, struct error *err);

#endif
