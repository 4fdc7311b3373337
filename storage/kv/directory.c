/* directory: see the header. Copies with copy_file_range, which shares blocks where the file system
 * can, in pieces, so that an error tells how far it came.
 */
#include "storage/kv/directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t)8 << 20)
#define OPEN_DEPTH  16

static int fail(const char *doing, const char *path, struct error *err)
{
    int code = errno;
    return error_set(err, code == ENOSPC ? ERROR_UNAVAILABLE : ERROR_BAD_DATA, "cannot %s %s: %s",
                     doing, path, strerror(code));
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

int directory_is_free(const char *path, struct error *err)
{
    DIR *directory = opendir(path);
    bool empty = true;
    if (!directory)
        return errno == ENOENT ? 1 : fail("look into", path, err);
    for (struct dirent *entry; empty && (entry = readdir(directory));)
        empty = is_dots(entry->d_name);
    closedir(directory);
    return empty;
}

bool directory_trim(const char *path, char out[DIRECTORY_PATH_BYTES])
{
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/')
        len--;
    if (len == 0 || len >= DIRECTORY_PATH_BYTES)
        return false;
    memcpy(out, path, len);
    out[len] = 0;
    return true;
}

void directory_parent(const char *path, char parent[DIRECTORY_PATH_BYTES])
{
    if (!directory_trim(path, parent))
        parent[0] = 0;
    char *slash = strrchr(parent, '/');
    if (!slash)
        memcpy(parent, ".", 2);
    else
        slash[slash == parent] = 0;
}

int directory_make(const char *path, struct error *err)
{
    char part[DIRECTORY_PATH_BYTES];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return error_set(err, ERROR_BAD_DATA, "the directory's name is empty or too long");
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0750) != 0 && errno != EEXIST)
            return fail("create the directory", part, err);
    }
    return 0;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
    (void)status, (void)type, (void)place;
    return remove(path);
}

int directory_remove(const char *path, struct error *err)
{
    if (nftw(path, remove_entry, OPEN_DEPTH, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT)
        return 0;
    return fail("remove", path, err);
}

int directory_sync(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return fail("open", path, err);
    int status = fsync(fd) ? fail("write", path, err) : 0;
    close(fd);
    return status;
}

static int copy_bytes(int from, int to)
{
    for (;;) {
        ssize_t copied = copy_file_range(from, NULL, to, NULL, PIECE_BYTES, 0);
        if (copied == 0)
            return 0;
        if (copied < 0 && errno != EINTR)
            return -1;
    }
}

/* Reads and writes, where the kernel cannot copy between the two file systems. */
static int pump_bytes(int from, int to)
{
    char piece[65536];
    for (;;) {
        ssize_t got = read(from, piece, sizeof piece), put = 0;
        if (got == 0)
            return 0;
        while (got > 0 && put < got) {
            ssize_t written = write(to, piece + put, (size_t)(got - put));
            if (written < 0 && errno != EINTR)
                return -1;
            put += written > 0 ? written : 0;
        }
        if (got < 0 && errno != EINTR)
            return -1;
    }
}

static int copy_file(const char *from, const char *to, struct error *err)
{
    int source = open(from, O_RDONLY | O_CLOEXEC), status = 0;
    if (source < 0)
        return fail("read", from, err);
    int target = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (target < 0) {
        status = fail("create", to, err);
        close(source);
        return status;
    }
    if (copy_bytes(source, target) &&
        ((errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS) ||
         pump_bytes(source, target)))
        status = error_wrap(fail("copy", from, err) ? err : NULL, "to %s", to);
    if (!status && fsync(target))
        status = fail("write", to, err);
    close(source);
    if (close(target) && !status)
        status = fail("write", to, err);
    return status;
}

int directory_copy(const char *from, const char *to, const char *except, struct error *err)
{
    char source[DIRECTORY_PATH_BYTES], target[DIRECTORY_PATH_BYTES];
    struct stat file;
    int status = 0;
    if (mkdir(to, 0750))
        return fail("create the directory", to, err);
    DIR *directory = opendir(from);
    if (!directory)
        return fail("look into", from, err);
    for (struct dirent *entry; !status && (entry = readdir(directory));) {
        int fits = snprintf(source, sizeof source, "%s/%s", from, entry->d_name);
        int target_fits = snprintf(target, sizeof target, "%s/%s", to, entry->d_name);
        if (fits >= (int)sizeof source || target_fits >= (int)sizeof target)
            status = error_set(err, ERROR_BAD_DATA, "the name of %s is too long", from);
        else if (lstat(source, &file) == 0 && S_ISREG(file.st_mode) &&
                 strcmp(entry->d_name, except) != 0)
            status = copy_file(source, target, err);
    }
    closedir(directory);
    return status ? -1 : directory_sync(to, err);
}

int directory_rename(const char *from, const char *to, struct error *err)
{
    char parent[DIRECTORY_PATH_BYTES];
    if (rename(from, to))
        return fail("rename the finished directory to", to, err);
    directory_parent(to, parent);
    return directory_sync(parent, err);
}

uint64_t directory_bytes(const char *path)
{
    uint64_t bytes = 0;
    struct stat file;
    DIR *directory = opendir(path);
    if (!directory)
        return 0;
    for (struct dirent *entry; (entry = readdir(directory));)
        if (fstatat(dirfd(directory), entry->d_name, &file, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(file.st_mode))
            bytes += (uint64_t)file.st_size;
    closedir(directory);
    return bytes;
}

uint64_t directory_room(const char *path)
{
    struct statvfs disk;
    char parent[DIRECTORY_PATH_BYTES];
    if (statvfs(path, &disk) == 0)
        return disk.f_bavail * disk.f_frsize;
    directory_parent(path, parent);
    return statvfs(parent, &disk) ? UINT64_MAX : disk.f_bavail * disk.f_frsize;
}
