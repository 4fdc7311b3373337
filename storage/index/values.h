/* values: the values of one label, and which series have each.
 *
 * The texts are not here: any series that has a value has its text. So a series must be in `series`
 * as long as it is in here. The owner guards it: many readers or one writer.
 */
#ifndef STORAGE_INDEX_VALUES_H
#define STORAGE_INDEX_VALUES_H

#include "storage/index/idset.h"
#include "storage/index/series.h"

struct values {
    const struct series *series;
    struct slice name;  /* of the label; the owner's */
    struct slots slots; /* of the values; for references see values.c */
    struct idset *sets; /* those of more than one id */
    uint32_t set_count, set_capacity;
    uint32_t set_unused; /* a list through those given back: index + 1; 0 = none */
};

void values_init(struct values *values, const struct series *series, struct slice name);
void values_release(struct values *values);

/* False when no series has the value. */
MUST_USE bool values_find(const struct values *values, struct slice value, struct idset *out);
/* The series with this id has this value. */
void values_add(struct values *values, struct slice value, uint32_t id);
/* Before it is removed from `series`. True when it was the last one with this value: other values may
 * have changed their places. */
bool values_remove(struct values *values, struct slice value, uint32_t id);

/* Visits all: start with *cursor = 0; false at the end. What is added meanwhile may be visited or not,
 * unless the capacity changes or values_remove was true, after which nothing is certain. */
bool values_next(const struct values *values, size_t *cursor, struct idset *out);
struct slice values_text(const struct values *values, struct idset set);
/* Bytes held. */
size_t values_bytes(const struct values *values);

#endif
