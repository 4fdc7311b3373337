/* changes: from which sample time on answers may have changed since some moment in the past.
 *
 * Every change of what the store answers gets a number, and says the earliest sample time it touched.
 * An answer that was computed when the newest change had number n, and that read nothing from the
 * earliest time touched since then on, is still right, whatever came: late samples, deletions, drops.
 *
 * Plain data; the owner guards it.
 */
#ifndef STORAGE_CHANGES_H
#define STORAGE_CHANGES_H

#include "storage/base/slice.h"

#define CHANGES_MAX ((size_t)1024)

struct change {
    uint64_t number; /* of the newest change that it stands for */
    int64_t low_ms;  /* the earliest time touched by it, and by no change after it */
};

/* All zero to begin with. */
struct changes {
    uint64_t last;                 /* the number of the newest change */
    size_t count;                  /* of `at` */
    struct change at[CHANGES_MAX]; /* rising in number and in time */
};

void changes_add(struct changes *changes, int64_t low_ms);
/* The earliest time touched by any change after that number, or before it where so much came between
 * that not all is remembered; INT64_MAX: there was none. */
int64_t changes_since(const struct changes *changes, uint64_t number);

#endif
