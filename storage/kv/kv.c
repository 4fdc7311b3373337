/* kv: see the header. RocksDB 7.8 through its C API.
 *
 * What is set and why:
 *  - one LRU block cache for all families, index and filter blocks inside it, so that memory has
 *    one bound; small memtables (a monitoring box has better uses for RAM), a global cap on them.
 *  - LZ4 for young levels, zstd for the bottom; log columns are compressed by us, so KV_LOGS has
 *    none; chunks are nearly incompressible and cheap to decompress with LZ4.
 *  - few background jobs: 7.8 may misorder updates with many parallel flushes (fixed in 7.9).
 *  - WAL tracking in the manifest stays off (false "Missing WAL" in 7.8, fixed in 7.10).
 * Deliberately absent: merge operators, TTL, compaction filters. Retention is a range delete.
 *
 * Debian's build asserts: an iterator that outlives the database ends the process at close, and so
 * does a write after a failed one, be it to its own LOG. Hence that file gets nothing but its header,
 * and the first failure is remembered and answers all later writes, until the database has been
 * opened again (kv_gate.c); reads go on.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "storage/base/alloc.h"
#include "storage/kv/kv_state.h"

#define BLOCK_CACHE_BYTES   ((size_t)64 << 20)
#define MEMTABLE_BYTES_ALL  ((size_t)64 << 20)
#define MEMTABLE_PARTS      4 /* one family's memtable is full at this part of all */
#define WAL_BYTES_ALL       ((uint64_t)128 << 20)
#define OPEN_BYTES_MIN      ((uint64_t)4 << 20)
#define BLOCK_BYTES         ((size_t)16 << 10)
#define OPEN_FILES_MAX      512
#define BACKGROUND_JOBS_MAX 3
#define INFO_LOG_FATAL      4
#define PATH_BYTES_MAX      4096

static const struct family_row {
    const char *name;
    int compression;        /* young levels */
    int bottom_compression; /* the last level */
} families[KV_FAMILY_COUNT] = {
    [KV_DEFAULT] = {"default", rocksdb_no_compression, rocksdb_no_compression},
    [KV_META] = {"meta", rocksdb_lz4_compression, rocksdb_lz4_compression},
    [KV_SERIES] = {"series", rocksdb_lz4_compression, rocksdb_zstd_compression},
    [KV_POSTINGS] = {"postings", rocksdb_lz4_compression, rocksdb_zstd_compression},
    [KV_HEADLOG] = {"headlog", rocksdb_lz4_compression, rocksdb_lz4_compression},
    [KV_CHUNK] = {"chunk", rocksdb_lz4_compression, rocksdb_zstd_compression},
    [KV_LOGS] = {"logs", rocksdb_no_compression, rocksdb_no_compression},
    [KV_DOCS] = {"docs", rocksdb_lz4_compression, rocksdb_zstd_compression},
};

int kv_check(char *message, const char *doing, struct error *err)
{
    if (!message)
        return 0;
    error_set(err, ERROR_INTERNAL, "%s: %s", doing, message);
    rocksdb_free(message);
    return -1;
}

static int make_directories(const char *path, struct error *err)
{
    char part[PATH_BYTES_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return error_set(err, ERROR_BAD_DATA,
                         "the data directory \"%s\" is empty or too long; set data_dir", path);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0750) != 0 && errno != EEXIST)
            return error_set(err, ERROR_INTERNAL,
                             "cannot create the data directory %s: %s; check data_dir and its "
                             "permissions",
                             part, strerror(errno));
    }
    return 0;
}

/* Bytes of the logs, which opening rewrites as tables. */
static uint64_t log_bytes(const char *path)
{
    uint64_t bytes = 0;
    struct stat file;
    DIR *directory = opendir(path);
    if (!directory)
        return 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        size_t len = strlen(entry->d_name);
        if (len > 4 && strcmp(entry->d_name + len - 4, ".log") == 0 &&
            fstatat(dirfd(directory), entry->d_name, &file, 0) == 0)
            bytes += (uint64_t)file.st_size;
    }
    closedir(directory);
    return bytes;
}

/* A disk that fills up while the database recovers would end the process by an assertion of its. */
static int check_room(const char *path, struct error *err)
{
    struct statvfs disk;
    uint64_t needed = log_bytes(path) + OPEN_BYTES_MIN;
    if (statvfs(path, &disk) || disk.f_bavail * disk.f_frsize >= needed)
        return 0;
    return error_set(err, ERROR_UNAVAILABLE,
                     "the disk of %s has %llu MiB left, and opening may need %llu MiB; free some "
                     "and start again, nothing is lost",
                     path, (unsigned long long)(disk.f_bavail * disk.f_frsize >> 20),
                     (unsigned long long)(needed >> 20));
}

static void set_table_options(const struct kv *kv, rocksdb_options_t *options)
{
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_block_cache(table, kv->cache);
    rocksdb_block_based_options_set_block_size(table, BLOCK_BYTES);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks(table, 1);
    rocksdb_block_based_options_set_cache_index_and_filter_blocks_with_high_priority(table, 1);
    rocksdb_block_based_options_set_pin_l0_filter_and_index_blocks_in_cache(table, 1);
    rocksdb_block_based_options_set_format_version(table, 5);
    rocksdb_options_set_block_based_table_factory(options, table);
    rocksdb_block_based_options_destroy(table);
}

/* Ids are not compared: where kv_salvage.c has put an empty table in the place of another, they do
 * not match. */
static rocksdb_options_t *create_options(void)
{
    rocksdb_options_t *base = rocksdb_options_create(), *options = rocksdb_options_create();
    char *message = NULL;
    rocksdb_get_options_from_string(base, "verify_sst_unique_id_in_manifest=false", options,
                                    &message);
    assert(!message);
    rocksdb_options_destroy(base);
    return options;
}

static rocksdb_options_t *make_options(const struct kv *kv, enum kv_family family)
{
    static const int wal_modes[] = {
        [KV_WAL_SOUND] = rocksdb_tolerate_corrupted_tail_records_recovery,
        [KV_WAL_PREFIX] = rocksdb_point_in_time_recovery,
        [KV_WAL_ANY] = rocksdb_skip_any_corrupted_records_recovery,
    };
    rocksdb_options_t *options = create_options();
    set_table_options(kv, options);
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_create_missing_column_families(options, 1);
    rocksdb_options_set_max_background_jobs(options, BACKGROUND_JOBS_MAX);
    rocksdb_options_set_max_open_files(options, OPEN_FILES_MAX);
    rocksdb_options_set_db_write_buffer_size(options, kv->memtable_bytes);
    rocksdb_options_set_write_buffer_size(options, kv->memtable_bytes / MEMTABLE_PARTS);
    rocksdb_options_set_max_write_buffer_number(options, 2);
    rocksdb_options_set_max_total_wal_size(options, WAL_BYTES_ALL);
    rocksdb_options_set_level_compaction_dynamic_level_bytes(options, 1);
    rocksdb_options_set_compression(options, families[family].compression);
    rocksdb_options_set_bottommost_compression(options, families[family].bottom_compression);
    rocksdb_options_set_disable_auto_compactions(options, kv->frozen[family]);
    rocksdb_options_set_info_log_level(options, INFO_LOG_FATAL);
    rocksdb_options_set_keep_log_file_num(options, 2);
    rocksdb_options_set_max_log_file_size(options, (size_t)4 << 20);
    rocksdb_options_set_wal_recovery_mode(options, wal_modes[kv->wal_care]);
    return options;
}

static void free_options(struct kv *kv)
{
    for (int i = 0; i < KV_FAMILY_COUNT; i++) {
        if (kv->options[i])
            rocksdb_options_destroy(kv->options[i]);
        kv->options[i] = NULL;
    }
}

static void free_kv(struct kv *kv)
{
    kv_gate_release(kv);
    damages_release(&kv->damages);
    free(kv->path);
    free_options(kv);
    rocksdb_cache_destroy(kv->cache);
    rocksdb_readoptions_destroy(kv->read);
    rocksdb_writeoptions_destroy(kv->write);
    rocksdb_writeoptions_destroy(kv->write_sync);
    free(kv);
}

static int explain_open_failure(const char *path, const char *message, struct error *err)
{
    if (strstr(message, "/LOCK: "))
        return error_set(err, ERROR_UNAVAILABLE,
                         "the data directory %s is in use by another process; stop it or choose "
                         "another one with --data",
                         path);
    if (strstr(message, "Permission denied"))
        return error_set(err, ERROR_INTERNAL,
                         "cannot open the data directory %s: %s; give the user lapwingd runs as "
                         "access to it",
                         path, message);
    return error_set(err, ERROR_INTERNAL,
                     "cannot open the data directory %s: %s; put the files back, or restore a "
                     "backup with lapwing restore",
                     path, message);
}

const char *kv_family_name(enum kv_family family)
{
    return families[family].name;
}

static void list_families(const struct kv *kv, const char **names,
                          const rocksdb_options_t **options)
{
    for (int i = 0; i < KV_FAMILY_COUNT; i++) {
        names[i] = families[i].name;
        options[i] = kv->options[i];
    }
}

rocksdb_t *kv_open_leniently(struct kv *kv, rocksdb_column_family_handle_t **handles,
                             char **message)
{
    const char *names[KV_FAMILY_COUNT];
    const rocksdb_options_t *options[KV_FAMILY_COUNT];
    list_families(kv, names, options);
    rocksdb_options_set_paranoid_checks(kv->options[KV_DEFAULT], 0);
    return rocksdb_open_for_read_only_column_families(
        kv->options[KV_DEFAULT], kv->path, KV_FAMILY_COUNT, names, options, handles, 0, message);
}

static rocksdb_t *open_strictly(struct kv *kv, char **message)
{
    const char *names[KV_FAMILY_COUNT];
    const rocksdb_options_t *options[KV_FAMILY_COUNT];
    list_families(kv, names, options);
    if (kv->read_only)
        return rocksdb_open_for_read_only_column_families(kv->options[KV_DEFAULT], kv->path,
                                                          KV_FAMILY_COUNT, names, options,
                                                          kv->handles, 0, message);
    return rocksdb_open_column_families(kv->options[KV_DEFAULT], kv->path, KV_FAMILY_COUNT, names,
                                        options, kv->handles, message);
}

/* 1: opened; 0: worth another try; -1. */
static int try_to_open(struct kv *kv, struct error *err)
{
    char *message = NULL;
    free_options(kv);
    for (int i = 0; i < KV_FAMILY_COUNT; i++)
        kv->options[i] = make_options(kv, (enum kv_family)i);
    kv->db = open_strictly(kv, &message);
    if (!message)
        return 1;
    kv->db = NULL;
    int measure = kv_salvage(kv, message, err);
    if (measure == 0 && kv->read_only) {
        damage_note(&kv->damages, DAMAGE_TABLE, "%s", message);
        rocksdb_free(message);
        message = NULL;
        kv->db = kv_open_leniently(kv, kv->handles, &message);
        if (!message)
            return 1;
        kv->db = NULL;
    }
    if (measure == 0)
        measure = explain_open_failure(kv->path, message, err);
    rocksdb_free(message);
    return measure < 0 ? -1 : 0;
}

/* RocksDB would begin a new database, say, below a mount point whose disk is gone. */
static int check_still_there(const struct kv *kv, struct error *err)
{
    struct stat directory;
    char current[PATH_BYTES_MAX];
    int len = snprintf(current, sizeof current, "%s/CURRENT", kv->path);
    if (!kv->exists || (len < (int)sizeof current && stat(current, &directory) == 0))
        return 0;
    return error_set(err, ERROR_UNAVAILABLE,
                     "the data directory %s is gone (%s); is its disk still mounted?", kv->path,
                     strerror(errno));
}

int kv_open_database(struct kv *kv, struct error *err)
{
    if (check_still_there(kv, err) || (!kv->read_only && check_room(kv->path, err)))
        return -1;
    kv->wal_care = KV_WAL_SOUND;
    kv->tables_lost = 0;
    int opened;
    do
        opened = try_to_open(kv, err);
    while (opened == 0);
    if (opened < 0)
        return -1;
    kv->exists = true;
    kv_note_lost(kv);
    return 0;
}

int kv_open_with(const struct kv_options *options, struct kv **out, struct error *err)
{
    size_t cache = options->block_cache_bytes ? options->block_cache_bytes : BLOCK_CACHE_BYTES;
    if (!options->read_only && make_directories(options->path, err))
        return -1;
    struct kv *kv = alloc_zeroed(1, sizeof *kv);
    kv_gate_init(kv);
    damages_init(&kv->damages);
    kv->path = alloc_string(options->path);
    kv->read_only = options->read_only;
    kv->memtable_bytes = options->memtable_bytes ? options->memtable_bytes : MEMTABLE_BYTES_ALL;
    kv->cache = rocksdb_cache_create_lru(cache);
    kv->read = rocksdb_readoptions_create();
    kv->write = rocksdb_writeoptions_create();
    kv->write_sync = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(kv->write_sync, 1);
    if (kv_open_database(kv, err)) {
        free_kv(kv);
        return -1;
    }
    kv->acknowledged = rocksdb_get_latest_sequence_number(kv->db);
    *out = kv;
    return 0;
}

int kv_open(const char *path, struct kv **out, struct error *err)
{
    return kv_open_with(&(struct kv_options){.path = path}, out, err);
}

int kv_open_read_only(const char *path, struct kv **out, struct error *err)
{
    return kv_open_with(&(struct kv_options){.path = path, .read_only = true}, out, err);
}

void kv_close_database(struct kv *kv)
{
    if (!kv->db)
        return;
    for (int i = 0; i < KV_FAMILY_COUNT; i++)
        rocksdb_column_family_handle_destroy(kv->handles[i]);
    rocksdb_close(kv->db);
    kv->db = NULL;
}

void kv_close(struct kv *kv)
{
    if (!kv)
        return;
    kv_close_database(kv);
    free_kv(kv);
}
