/* directory: what backup and restore do with whole directories of the store.
 *
 * Flat: the store keeps files in one directory, and what lies in directories below it is not part of
 * it. Any thread. Errors name the file.
 */
#ifndef STORAGE_KV_DIRECTORY_H
#define STORAGE_KV_DIRECTORY_H

#include "storage/base/error.h"

#define DIRECTORY_PATH_BYTES 4096

/* 1: absent or empty, 0: there is something in it, -1: it cannot be looked at. */
MUST_USE int directory_is_free(const char *path, struct error *err);
/* Makes it, and those above it. */
MUST_USE int directory_make(const char *path, struct error *err);
/* With all that is in it; what is not there is fine. */
MUST_USE int directory_remove(const char *path, struct error *err);
/* Copies the files of `from`, but for `except`, into the new directory `to`, and syncs them. */
MUST_USE int directory_copy(const char *from, const char *to, const char *except,
                            struct error *err);
/* Renames, and syncs the directory above. */
MUST_USE int directory_rename(const char *from, const char *to, struct error *err);
/* Syncs a file or directory. */
MUST_USE int directory_sync(const char *path, struct error *err);
/* Bytes of the files in it; 0 when it cannot be read. */
uint64_t directory_bytes(const char *path);
/* Bytes free for it, or for the one it will be made in; UINT64_MAX when that cannot be told. */
uint64_t directory_room(const char *path);
/* Without slashes at its end. False: too long, or empty. */
MUST_USE bool directory_trim(const char *path, char out[DIRECTORY_PATH_BYTES]);
/* The directory above. */
void directory_parent(const char *path, char parent[DIRECTORY_PATH_BYTES]);

#endif
