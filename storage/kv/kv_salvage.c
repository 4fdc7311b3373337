/* kv_salvage: what is done when the directory does not open, or a table in it turns out damaged.
 *
 * Each failure has one measure, after which opening is tried again; all of them are noted as damage,
 * and nothing is deleted: what is taken out of the store lies in lost/ below the data directory.
 *
 *   log with a torn end     nothing: that write was never acknowledged as durable
 *   log damaged elsewhere   its copy goes to lost/; all up to the damage is taken (a state that once
 *                           was), or, where tables are already newer than that, all but the damage
 *   table missing, cut off, or without a readable index
 *                           it goes to lost/, and a table with nothing in it takes its place
 *   block of a table        found while compacting, which then ends all writes: the database is opened
 *                           again with automatic compaction of that family switched off
 *   anything else           opening fails, with a sentence: CURRENT or MANIFEST damaged, permissions,
 *                           or more tables gone than one disk error explains
 *
 * RocksDB has no call to forget a table at an arbitrary level, and its own repair drops what is only
 * in the log of families that have no table. Hence the empty table: the first part and the footer
 * of one made in a scratch directory, zeroes between them so that the size is that in the manifest.
 *
 *   | one deleted key | properties, index | 0 0 0 ... 0 | footer, 53 bytes |
 *
 * The key is the lost table's first and one byte more, which no key of ours is. RocksDB is told
 * (kv.c) not to compare the ids of tables with the manifest.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "storage/base/alloc.h"
#include "storage/kv/directory.h"
#include "storage/kv/kv_state.h"

#define LOST             "lost"
#define PATH_BYTES       (DIRECTORY_PATH_BYTES + 300)
#define FOOTER_BYTES     53
#define STUB_BYTES_MAX   65536
#define TABLES_LOST_MAX  8 /* more than these, or a quarter of all, is no damage to live with */
#define TABLES_LOST_PART 4
#define NO_INFO_LOG      4

/* A live table, as the manifest knows it. */
struct live_table {
    char name[32]; /* 000123.sst */
    uint64_t bytes;
    size_t tables; /* how many there are in all */
    enum kv_family family;
    struct buffer first_key;
};

/* "000123.sst" out of a message, which may say ".ldb" for it. */
static bool find_table_name(const char *message, char name[32])
{
    for (const char *at = message; (at = strpbrk(at, "0123456789")); at++) {
        size_t digits = strspn(at, "0123456789");
        if (digits >= 6 && digits < 20 &&
            (strncmp(at + digits, ".sst", 4) == 0 || strncmp(at + digits, ".ldb", 4) == 0)) {
            snprintf(name, 32, "%.*s.sst", (int)digits, at);
            return true;
        }
        at += digits - 1;
    }
    return false;
}

static enum kv_family family_of(const char *name)
{
    int family = KV_FAMILY_COUNT - 1;
    while (family > 0 && strcmp(kv_family_name((enum kv_family)family), name) != 0)
        family--;
    return (enum kv_family)family;
}

/* Finds what the manifest of the open database says of a table. */
static bool find_live(rocksdb_t *db, const char *name, struct live_table *out)
{
    const rocksdb_livefiles_t *files = rocksdb_livefiles(db);
    int count = rocksdb_livefiles_count(files);
    bool found = false;
    for (int i = 0; i < count && !found; i++) {
        const char *own = rocksdb_livefiles_name(files, i);
        found = strcmp(own + (own[0] == '/'), name) == 0;
        if (!found)
            continue;
        size_t len;
        const char *key = rocksdb_livefiles_smallestkey(files, i, &len);
        snprintf(out->name, sizeof out->name, "%s", name);
        out->bytes = rocksdb_livefiles_size(files, i);
        out->tables = (size_t)count;
        out->family = family_of(rocksdb_livefiles_column_family_name(files, i));
        buffer_append(&out->first_key, key, len);
    }
    rocksdb_livefiles_destroy(files);
    return found;
}

static int join(char out[PATH_BYTES], const struct kv *kv, const char *a, const char *b)
{
    return snprintf(out, PATH_BYTES, "%s/%s%s", kv->path, a, b) < PATH_BYTES ? 0 : -1;
}

static int make_lost(const struct kv *kv, struct error *err)
{
    char path[PATH_BYTES];
    if (join(path, kv, LOST, "") || (mkdir(path, 0750) && errno != EEXIST))
        return error_set(err, ERROR_INTERNAL, "cannot create %s: %s", path, strerror(errno));
    return 0;
}

bool kv_is_doubtful(const struct kv *kv)
{
    return kv->has_lost || kv->wal_care == KV_WAL_ANY;
}

void kv_note_lost(struct kv *kv)
{
    char path[PATH_BYTES];
    DIR *directory = join(path, kv, LOST, "") == 0 ? opendir(path) : NULL;
    size_t files = 0;
    kv->has_lost = directory != NULL;
    if (!directory)
        return;
    for (struct dirent *entry; (entry = readdir(directory));)
        files += entry->d_name[0] != '.';
    closedir(directory);
    if (files)
        damage_note(&kv->damages, DAMAGE_TABLE,
                    "%zu damaged files were set aside in %s; restore a backup, or remove that "
                    "directory to go on without what they held",
                    files, path);
}

/* --- an empty table --- */

static int make_scratch_table(const char *path, const struct buffer *key, struct error *err)
{
    rocksdb_options_t *options = rocksdb_options_create();
    rocksdb_writeoptions_t *write = rocksdb_writeoptions_create();
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    char *message = NULL;
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_info_log_level(options, NO_INFO_LOG);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_t *db = rocksdb_open(options, path, &message);
    if (!message)
        rocksdb_delete(db, write, key->at, key->len, &message);
    if (!message)
        rocksdb_flush(db, flush, &message);
    if (db)
        rocksdb_close(db);
    rocksdb_flushoptions_destroy(flush);
    rocksdb_writeoptions_destroy(write);
    rocksdb_options_destroy(options);
    return kv_check(message, "cannot make an empty table", err);
}

/* Reads the one table in the directory. */
static ssize_t read_scratch_table(const char *path, char *at, size_t room)
{
    char name[PATH_BYTES + 300] = "";
    DIR *directory = opendir(path);
    for (struct dirent *entry; directory && (entry = readdir(directory));)
        if (strstr(entry->d_name, ".sst"))
            snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    if (directory)
        closedir(directory);
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? -1 : read(fd, at, room);
    if (fd >= 0)
        close(fd);
    return len;
}

/* Writes the table's bytes, padded to `bytes`, to the new file `path`. */
static int write_padded(const char *path, const char *at, size_t len, uint64_t bytes,
                        struct error *err)
{
    size_t body = len - FOOTER_BYTES;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    bool done =
        fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 && pwrite(fd, at, body, 0) == (ssize_t)body &&
        pwrite(fd, at + body, FOOTER_BYTES, (off_t)(bytes - FOOTER_BYTES)) == FOOTER_BYTES &&
        fsync(fd) == 0;
    if (!done)
        error_set(err, ERROR_UNAVAILABLE, "cannot write %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return done ? 0 : -1;
}

static int put_empty_table(const struct kv *kv, const struct live_table *table, struct error *err)
{
    char scratch[PATH_BYTES], place[PATH_BYTES], *bytes;
    struct buffer key;
    if (join(scratch, kv, LOST "/", "scratch") || join(place, kv, table->name, "") ||
        directory_remove(scratch, err))
        return error_wrap(err, "cannot replace a table");
    buffer_init(&key, SIZE_MAX);
    buffer_append(&key, table->first_key.at, table->first_key.len);
    buffer_append_u8(&key, 0);
    bytes = alloc_zeroed(1, STUB_BYTES_MAX);
    int status = make_scratch_table(scratch, &key, err);
    ssize_t len = status ? -1 : read_scratch_table(scratch, bytes, STUB_BYTES_MAX);
    if (!status && (len < FOOTER_BYTES || (uint64_t)len > table->bytes))
        status = error_set(err, ERROR_INTERNAL, "%s is too small to be replaced", place);
    if (!status)
        status = write_padded(place, bytes, (size_t)len, table->bytes, err);
    if (!status)
        status = directory_remove(scratch, err);
    free(bytes);
    buffer_release(&key);
    return status;
}

/* --- measures --- */

/* Asks the manifest about a table, without minding what is damaged. */
static bool look_up(struct kv *kv, const char *name, struct live_table *out)
{
    char *message = NULL;
    rocksdb_column_family_handle_t *handles[KV_FAMILY_COUNT];
    rocksdb_t *db = kv_open_leniently(kv, handles, &message);
    if (message) {
        rocksdb_free(message);
        return false;
    }
    bool found = find_live(db, name, out);
    for (int i = 0; i < KV_FAMILY_COUNT; i++)
        rocksdb_column_family_handle_destroy(handles[i]);
    rocksdb_close(db);
    return found;
}

/* Too many to be the damage of one disk error: then the operator decides. */
static bool is_too_much(const struct kv *kv, const struct live_table *table)
{
    size_t lost = (size_t)kv->tables_lost + 1;
    return lost > TABLES_LOST_MAX || (lost > 1 && lost * TABLES_LOST_PART > table->tables);
}

/* 1: opening may work now. */
static int set_table_aside(struct kv *kv, const char *name, const char *why, struct error *err)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    struct live_table table = {.bytes = 0};
    int status = 0;
    buffer_init(&table.first_key, SIZE_MAX);
    if (join(from, kv, name, "") || join(to, kv, LOST "/", name) || !look_up(kv, name, &table) ||
        is_too_much(kv, &table))
        status = error_set(err, ERROR_INTERNAL,
                           "cannot read the table %s (%s), nor do without it; put the missing "
                           "files back, or restore a backup with lapwing restore",
                           from, why);
    if (!status)
        status = make_lost(kv, err);
    if (!status && rename(from, to) && errno != ENOENT)
        status =
            error_set(err, ERROR_INTERNAL, "cannot move %s to %s: %s", from, to, strerror(errno));
    if (!status)
        status = put_empty_table(kv, &table, err);
    if (!status) {
        kv->tables_lost++;
        damage_note(&kv->damages, DAMAGE_TABLE,
                    "table %s of the %s was unreadable and has been set aside: %s", from,
                    kv_family_name(table.family), why);
    }
    buffer_release(&table.first_key);
    return status ? -1 : 1;
}

/* Links the logs into lost/, where they stay when RocksDB is done with them. */
static int keep_logs(struct kv *kv, struct error *err)
{
    char from[PATH_BYTES], to[PATH_BYTES];
    if (make_lost(kv, err))
        return -1;
    DIR *directory = opendir(kv->path);
    for (struct dirent *entry; directory && (entry = readdir(directory));) {
        size_t len = strlen(entry->d_name);
        if (len < 5 || strcmp(entry->d_name + len - 4, ".log") != 0 ||
            join(from, kv, entry->d_name, "") || join(to, kv, LOST "/", entry->d_name))
            continue;
        if (link(from, to) && errno != EEXIST)
            damage_note(&kv->damages, DAMAGE_WAL, "%s could not be kept in " LOST ": %s", from,
                        strerror(errno));
    }
    if (directory)
        closedir(directory);
    return 0;
}

static int take_less_of_the_log(struct kv *kv, const char *why, struct error *err)
{
    static const char *const lost[] = {"all that was written behind the damage is lost",
                                       "the damaged records are lost, those behind them are taken"};
    if (kv->wal_care == KV_WAL_ANY)
        return 0;
    if (keep_logs(kv, err))
        return -1;
    damage_note(&kv->damages, DAMAGE_WAL, "the write-ahead log in %s is damaged (%s): %s", kv->path,
                why, lost[kv->wal_care]);
    kv->wal_care++;
    return 1;
}

int kv_salvage(struct kv *kv, const char *message, struct error *err)
{
    char name[32];
    if (kv->read_only || strstr(message, "Permission denied"))
        return 0;
    if (find_table_name(message, name))
        return set_table_aside(kv, name, message, err);
    if (strstr(message, "CURRENT") || strstr(message, "MANIFEST"))
        return 0;
    return strstr(message, "Corruption") ? take_less_of_the_log(kv, message, err) : 0;
}

void kv_freeze_damaged(struct kv *kv)
{
    char name[32];
    struct live_table table = {.bytes = 0};
    if (!kv->db || !find_table_name(kv->broken.text, name))
        return;
    buffer_init(&table.first_key, SIZE_MAX);
    if (find_live(kv->db, name, &table)) {
        kv->frozen[table.family] = true;
        damage_note(&kv->damages, DAMAGE_TABLE,
                    "%s; the %s is not compacted any more: restore a backup", kv->broken.text,
                    kv_family_name(table.family));
    }
    buffer_release(&table.first_key);
}
