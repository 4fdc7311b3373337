/* record: one log line on its way into the store.
 *
 * The stream labels (service, host, environment, level ...) say where it comes from; the line is
 * kept as it was sent. Plain data; slices are borrowed from the parser's input or arena.
 */
#ifndef STORAGE_RECORD_H
#define STORAGE_RECORD_H

#include "storage/labels.h"

struct record {
    int64_t time_ns; /* since 1970, UTC */
    struct labels stream;
    struct slice line;
};

#endif
