/* backup: a copy of the whole store in a directory of its own, and the way back.
 *
 * A backup is a store like any other, plus a file BACKUP that says how many rows there are and
 * what their digest is. It may be copied, archived and moved with ordinary tools.
 */
#ifndef STORAGE_BACKUP_H
#define STORAGE_BACKUP_H

#include "storage/kv/directory.h"
#include "storage/scrub.h"

struct store;

/* Any thread; writes and queries go on. `path` is absolute, absent or an empty directory; it gets
 * its name only once the copy has been read and found sound. Fails, leaving nothing behind, when it
 * cannot be written, does not fit, or the store is damaged. */
MUST_USE int backup_create(struct store *store, const char *path, struct scrub_report *report,
                           struct error *err);
/* Any thread: scrub_run on the store as it is now. */
MUST_USE int store_check(struct store *store, const struct scrub_options *options,
                         struct scrub_report *report, struct error *err);
/* Offline. Copies a backup to `data`, checks the copy against its BACKUP file, and puts it in place in
 * one step. A `data` that holds something is refused or, with `force`, kept under another name, which
 * is returned in `kept` (else that is empty). */
struct backup_restore {
    const char *path, *data;
    bool force;
    char kept[DIRECTORY_PATH_BYTES];
};
MUST_USE int backup_restore(struct backup_restore *restore, struct scrub_report *report,
                            struct error *err);
/* Offline: what scrub_run finds in a data directory or a backup; a backup's digest is compared too.
 * Refuses a directory that a process has open. */
MUST_USE int backup_check(const char *path, const struct scrub_options *options,
                          struct scrub_report *report, struct error *err);

#endif
