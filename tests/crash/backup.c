/* backup: one while everything goes on, opened and compared like a store that was killed.
 *
 * A backup must be what the store was at some instant between its beginning and its end: all
 * operations that were acknowledged before it began, then some of those that came meanwhile, in
 * order. It is opened in this process, beside the store it was made of.
 */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "storage/backup.h"
#include "storage/base/clock.h"
#include "tests/crash/crash.h"
#include "tests/unit/scratch_dir.h"

static struct {
    pthread_t thread;
    bool running;
    _Atomic bool finished;
    struct store *store;
    char path[PATH_MAX];
    struct model model; /* as of the beginning */
    size_t from;        /* operations done then */
    struct prefix prefix;
    int status;
    struct error err;
} backup;

static void *run(void *arg)
{
    struct scrub_report report = {0};
    int64_t start_ns = clock_monotonic_ns();
    (void)arg;
    backup.status = backup_create(backup.store, backup.path, &report, &backup.err);
    backup.prefix.count = shared->begun - backup.from;
    backup.prefix.now_ms = shared->now_ms;
    phase_note(PHASE_BACKUP, (clock_monotonic_ns() - start_ns) / 1000, 100);
    atomic_store(&backup.finished, true);
    atomic_store(&shared->backing_up, false);
    return NULL;
}

void backup_start(struct store *store, const char *path, const struct model *model)
{
    if (backup.running)
        return;
    scratch_dir_remove(path);
    backup.running = true;
    backup.finished = false;
    backup.store = store;
    snprintf(backup.path, sizeof backup.path, "%s", path);
    backup.from = shared->begun;
    backup.prefix = (struct prefix){.at = shared->journal + backup.from};
    model_copy(model, &backup.model);
    phase_enter(PHASE_BACKUP);
    atomic_store(&shared->backing_up, true);
    if (pthread_create(&backup.thread, NULL, run, NULL))
        _exit(1);
}

static int compare_backup(struct error *err)
{
    struct store *store;
    struct store_options options = {.path = backup.path, .series_max = 10000, .chunk_samples = 12};
    if (store_open(&options, &store, err))
        return -1;
    int64_t kept = compare_prefix(&backup.model, store, &backup.prefix, err);
    store_close(store);
    return kept < 0 ? -1 : 0;
}

int backup_look(struct error *err)
{
    if (!backup.running || !backup.finished)
        return 0;
    pthread_join(backup.thread, NULL);
    backup.running = false;
    *err = backup.err;
    if (backup.status || compare_backup(err))
        return error_wrap(err, "a backup of operations %zu to %zu", backup.from,
                          backup.from + backup.prefix.count);
    shared->backups++;
    model_release(&backup.model);
    return 0;
}
