/* scratch_dir: a directory below /tmp that one test makes and removes. */
#ifndef TESTS_UNIT_SCRATCH_DIR_H
#define TESTS_UNIT_SCRATCH_DIR_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#define SCRATCH_DIR_BYTES 64

/* /tmp/NAME.xxxxxx; 0, or -1 when it cannot be made: what a set-up function returns. */
static inline int scratch_dir_make(char path[SCRATCH_DIR_BYTES], const char *name)
{
    snprintf(path, SCRATCH_DIR_BYTES, "/tmp/%s.XXXXXX", name);
    return mkdtemp(path) ? 0 : -1;
}

static inline int scratch_dir_remove_entry(const char *path, const struct stat *status, int type,
                                           struct FTW *place)
{
    (void)status;
    (void)type;
    (void)place;
    return remove(path);
}

/* With all that is in it. */
static inline int scratch_dir_remove(const char *path)
{
    return nftw(path, scratch_dir_remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

#endif
