/* offline: what lapwingd does with a data directory instead of serving it.
 *
 * Main thread, no server. Results go to stdout, one line each.
 */
#ifndef SERVER_OFFLINE_H
#define SERVER_OFFLINE_H

#include "storage/base/error.h"

struct offline {
    const char *data;
    const char *backup; /* restore: from here; NULL when not given */
    bool force;
};

/* The exit status: 0 sound, 1 damaged (both printed), -1 with *err: it could not be checked. */
MUST_USE int offline_check(const struct offline *offline, struct error *err);
/* 0, or -1 with *err. */
MUST_USE int offline_restore(const struct offline *offline, struct error *err);

#endif
