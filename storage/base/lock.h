/* lock: a read-write lock that a stream of readers cannot keep the writer out of.
 *
 * glibc's default prefers readers: with queries that overlap all the time the one writer would
 * wait for ever. A reader must not take the lock twice.
 */
#ifndef STORAGE_BASE_LOCK_H
#define STORAGE_BASE_LOCK_H

#include <pthread.h>

static inline void lock_init(pthread_rwlock_t *lock)
{
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
}

#endif
