/* backup: RocksDB's checkpoint, read again from end to end before it gets its name.
 *
 *   DIR.partial   checkpoint: links to the tables (copies on another disk), a log of its own
 *                 read whole by scrub.c: every block, every row
 *                 BACKUP written and synced
 *   DIR           by rename
 *
 *   BACKUP   "lapwing backup 1\nrows N\nbytes N\ndigest HEX\n"
 *
 * So a directory of that name is a whole backup, and a crash leaves a DIR.partial (or RocksDB's
 * DIR.partial.tmp) that the next backup of that name removes. Restoring goes the same way backwards:
 * copy to DATA.restoring, read it whole, compare the digest, rename. A live store's directory is never
 * touched before the last step.
 *
 * Tables never change once written, so links are as good as copies until the disk itself fails;
 * a backup against that has to lie on another one.
 */
#include "storage/backup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "storage/store_state.h"

#define NAME_BACKUP  "BACKUP"
#define MARGIN_BYTES ((uint64_t)16 << 20)

/* path, without slashes at its end, and `rest` behind it. */
static int join(char out[DIRECTORY_PATH_BYTES], const char *path, const char *rest,
                struct error *err)
{
    if (directory_trim(path, out) && strlen(out) + strlen(rest) < DIRECTORY_PATH_BYTES) {
        memcpy(out + strlen(out), rest, strlen(rest) + 1);
        return 0;
    }
    return error_set(err, ERROR_BAD_DATA, "the name of a directory is empty or too long");
}

/* --- the BACKUP file --- */

static int write_note(const char *path, const struct scrub_report *report, struct error *err)
{
    char name[DIRECTORY_PATH_BYTES];
    if (join(name, path, "/" NAME_BACKUP, err))
        return -1;
    FILE *file = fopen(name, "wxe");
    if (!file)
        return error_set(err, ERROR_BAD_DATA, "cannot create %s: %s", name, strerror(errno));
    fprintf(file, "lapwing backup 1\nrows %" PRIu64 "\nbytes %" PRIu64 "\ndigest %016" PRIx64 "\n",
            report->rows, report->bytes, report->digest);
    bool failed = fflush(file) || fsync(fileno(file));
    if (fclose(file) || failed)
        return error_set(err, ERROR_UNAVAILABLE, "cannot write %s: %s", name, strerror(errno));
    return directory_sync(path, err);
}

/* A line "name number". */
static bool read_field(FILE *file, const char *name, int base, uint64_t *out)
{
    char line[128], *end;
    size_t len = strlen(name);
    if (!fgets(line, sizeof line, file) || strncmp(line, name, len) != 0 || line[len] != ' ')
        return false;
    errno = 0;
    *out = strtoull(line + len + 1, &end, base);
    return errno == 0 && *end == '\n';
}

/* 1 read, 0 there is none, -1 it is malformed. */
static int read_note(const char *path, struct scrub_report *report, struct error *err)
{
    char name[DIRECTORY_PATH_BYTES];
    if (join(name, path, "/" NAME_BACKUP, err))
        return -1;
    FILE *file = fopen(name, "re");
    if (!file)
        return errno == ENOENT
                   ? 0
                   : error_set(err, ERROR_BAD_DATA, "cannot read %s: %s", name, strerror(errno));
    uint64_t version = 0;
    bool read = read_field(file, "lapwing backup", 10, &version) && version == 1 &&
                read_field(file, "rows", 10, &report->rows) &&
                read_field(file, "bytes", 10, &report->bytes) &&
                read_field(file, "digest", 16, &report->digest);
    fclose(file);
    if (read)
        return 1;
    return error_set(err, ERROR_BAD_DATA, "%s is no description of a backup; is %s one?", name,
                     path);
}

/* --- making one --- */

static int check_target(const char *path, struct error *err)
{
    if (path[0] != '/')
        return error_set(err, ERROR_BAD_DATA,
                         "the directory of a backup must be absolute, not \"%s\"", path);
    int is_free = directory_is_free(path, err);
    if (is_free == 0)
        return error_set(err, ERROR_BAD_DATA,
                         "%s is not empty; name a directory that does not exist yet", path);
    return is_free < 0 ? -1 : 0;
}

/* Links cost nothing; on another disk every table is copied. */
static int check_room(const struct store *store, const char *path, struct error *err)
{
    struct stat ours, theirs;
    char parent[DIRECTORY_PATH_BYTES];
    uint64_t needed = MARGIN_BYTES;
    directory_parent(path, parent);
    if (stat(store->path, &ours) == 0 && stat(parent, &theirs) == 0 && ours.st_dev != theirs.st_dev)
        needed += directory_bytes(store->path);
    uint64_t room = directory_room(parent);
    if (room >= needed)
        return 0;
    return error_set(
        err, ERROR_UNAVAILABLE,
        "a backup needs about %llu MiB, the disk of %s has %llu MiB left; free some or "
        "choose another disk",
        (unsigned long long)(needed >> 20), path, (unsigned long long)(room >> 20));
}

static int check_copy(const char *path, const struct scrub_options *options,
                      struct scrub_report *report, struct error *err)
{
    struct kv *kv;
    if (kv_open_read_only(path, &kv, err))
        return -1;
    char text[DAMAGE_TEXT_BYTES];
    size_t known = damages_get(kv_damages(kv), 0, text); /* by opening it */
    int status = scrub_run(kv, options, report, err);
    for (size_t i = 0; i < known && damages_get(kv_damages(kv), i, text) > i; i++) {
        report->damaged++;
        if (options->found)
            options->found(options->arg, text);
    }
    kv_close(kv);
    return status;
}

/* The first sentence is kept: a backup must not be made of a damaged store without anybody knowing. */
static void keep_first(void *arg, const char *text)
{
    char *first = arg;
    if (!*first)
        snprintf(first, DAMAGE_TEXT_BYTES, "%s", text);
}

static int fill(struct store *store, const char *partial, struct scrub_report *report,
                struct error *err)
{
    char first[DAMAGE_TEXT_BYTES] = "";
    struct scrub_options options = {
        .found = keep_first, .arg = first, .cancelled = kv_hurried(store->kv)};
    if (kv_checkpoint(store->kv, partial, err) || check_copy(partial, &options, report, err))
        return -1;
    if (report->damaged)
        return error_set(err, ERROR_INTERNAL,
                         "the backup was not made: the store is damaged in %llu places (%s); run "
                         "lapwing check-data",
                         (unsigned long long)report->damaged, first);
    return write_note(partial, report, err);
}

int backup_create(struct store *store, const char *path, struct scrub_report *report,
                  struct error *err)
{
    char partial[DIRECTORY_PATH_BYTES], parent[DIRECTORY_PATH_BYTES];
    struct error unused;
    directory_parent(path, parent);
    if (check_target(path, err) || join(partial, path, ".partial", err) ||
        directory_make(parent, err) || check_room(store, path, err) ||
        directory_remove(partial, err))
        return error_wrap(err, "backup");
    int status = fill(store, partial, report, err);
    if (!status)
        status = directory_rename(partial, path, err);
    if (!status)
        return 0;
    if (directory_remove(partial, &unused))
        error_wrap(err, "(%s could not be removed)", partial);
    return error_wrap(err, "backup");
}

int store_check(struct store *store, const struct scrub_options *options,
                struct scrub_report *report, struct error *err)
{
    return scrub_run(store->kv, options, report, err);
}

/* --- and back --- */

/* RocksDB holds a lock on this file while a process has the directory open. */
static int check_unused(const char *path, struct error *err)
{
    char name[DIRECTORY_PATH_BYTES];
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (join(name, path, "/LOCK", err))
        return -1;
    int fd = open(name, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return 0;
    bool held = fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
    close(fd);
    return held ? error_set(err, ERROR_UNAVAILABLE,
                            "process %d has %s open; stop lapwingd first, or ask it with lapwing "
                            "check-data and lapwing backup",
                            (int)lock.l_pid, path)
                : 0;
}

static int compare(const struct scrub_report *note, const struct scrub_report *found,
                   const char *path, struct error *err)
{
    if (note->rows == found->rows && note->digest == found->digest)
        return 0;
    return error_set(err, ERROR_INTERNAL,
                     "%s is not what the backup was: %" PRIu64 " rows with digest %016" PRIx64
                     " instead of %" PRIu64 " with %016" PRIx64 "; use another backup",
                     path, found->rows, found->digest, note->rows, note->digest);
}

static int require_store(const char *path, struct error *err)
{
    char name[DIRECTORY_PATH_BYTES];
    if (join(name, path, "/CURRENT", err))
        return -1;
    if (access(name, F_OK) == 0)
        return 0;
    return error_set(err, ERROR_BAD_DATA, "%s holds no store: there is no readable %s", path, name);
}

int backup_check(const char *path, const struct scrub_options *options, struct scrub_report *report,
                 struct error *err)
{
    struct scrub_report note = {0};
    if (require_store(path, err) || check_unused(path, err))
        return -1;
    int noted = read_note(path, &note, err);
    if (noted < 0 || check_copy(path, options, report, err))
        return -1;
    if (noted && report->damaged == 0 && compare(&note, report, path, err)) {
        report->damaged++;
        if (options->found)
            options->found(options->arg, err->text);
    }
    return 0;
}

/* Makes way at restore->data. */
static int clear_target(struct backup_restore *restore, struct error *err)
{
    int is_free = directory_is_free(restore->data, err);
    restore->kept[0] = 0;
    if (is_free < 0)
        return -1;
    if (is_free)
        return rmdir(restore->data) && errno != ENOENT
                   ? error_set(err, ERROR_BAD_DATA, "cannot replace %s: %s; restore beside it",
                               restore->data, strerror(errno))
                   : 0;
    char suffix[32];
    snprintf(suffix, sizeof suffix, ".before-%lld", (long long)time(NULL));
    if (join(restore->kept, restore->data, suffix, err))
        return -1;
    return directory_rename(restore->data, restore->kept, err);
}

static int fetch(const struct backup_restore *restore, const char *partial,
                 struct scrub_report *report, struct error *err)
{
    struct scrub_report note = {0};
    struct scrub_options options = {0};
    uint64_t needed = directory_bytes(restore->path) + MARGIN_BYTES;
    int noted = read_note(restore->path, &note, err);
    if (noted < 0)
        return -1;
    if (!noted)
        return error_set(err, ERROR_BAD_DATA, "%s is no backup: it has no file %s", restore->path,
                         NAME_BACKUP);
    if (directory_room(partial) < needed)
        return error_set(err, ERROR_UNAVAILABLE,
                         "the restored data need %llu MiB, which the disk of %s does not have",
                         (unsigned long long)(needed >> 20), restore->data);
    if (directory_copy(restore->path, partial, NAME_BACKUP, err) ||
        check_copy(partial, &options, report, err))
        return -1;
    return compare(&note, report, restore->path, err);
}

int backup_restore(struct backup_restore *restore, struct scrub_report *report, struct error *err)
{
    char partial[DIRECTORY_PATH_BYTES], parent[DIRECTORY_PATH_BYTES];
    struct error unused;
    directory_parent(restore->data, parent);
    if (check_unused(restore->data, err) || check_unused(restore->path, err) ||
        join(partial, restore->data, ".restoring", err) || directory_make(parent, err))
        return -1;
    int is_free = directory_is_free(restore->data, err);
    if (is_free == 0 && !restore->force)
        return error_set(err, ERROR_BAD_DATA,
                         "%s is not empty; name another directory, or give --force to have it kept "
                         "aside",
                         restore->data);
    if (is_free < 0 || directory_remove(partial, err))
        return -1;
    int status = fetch(restore, partial, report, err);
    if (!status)
        status = clear_target(restore, err);
    if (!status)
        status = directory_rename(partial, restore->data, err);
    if (status && directory_remove(partial, &unused))
        error_wrap(err, "(%s could not be removed)", partial);
    return status;
}
