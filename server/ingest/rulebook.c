/* rulebook: a pointer under a lock, which is taken once a tick and at a reload. */
#include "server/ingest/rulebook.h"

#include <pthread.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/log.h"

struct rulebook {
    pthread_mutex_t lock;
    struct mapping *mapping;
};

struct rulebook *rulebook_new(void)
{
    struct rulebook *book = alloc_zeroed(1, sizeof *book);
    pthread_mutex_init(&book->lock, NULL);
    return book;
}

void rulebook_free(struct rulebook *book)
{
    if (!book)
        return;
    mapping_free(book->mapping);
    pthread_mutex_destroy(&book->lock);
    free(book);
}

int rulebook_read(const char *path, struct mapping **out, struct error *err)
{
    *out = NULL;
    if (!*path)
        return 0;
    return mapping_load(path, out, err) == 0 ? 0 : error_wrap(err, "statsd.mapping_file");
}

static void log_mapping(const char *path, const struct mapping *mapping)
{
    struct buffer unused;
    buffer_init(&unused, 256);
    for (size_t i = 0; i < MAPPING_UNUSED_COUNT; i++)
        if (mapping->unused >> i & 1)
            buffer_append_format(&unused, "%s%s", unused.len ? ", " : "", mapping_unused_names[i]);
    log_info("mapping", "file=\"%s\" rules=%u", path, mapping->count);
    if (unused.len)
        log_info("mapping",
                 "ignored=\"%.*s\" reason=\"every timer is a histogram that needs no buckets and "
                 "answers any quantile, and metrics have no descriptions\"",
                 (int)unused.len, unused.at);
    buffer_release(&unused);
}

void rulebook_replace(struct rulebook *book, const char *path, struct mapping *owned)
{
    pthread_mutex_lock(&book->lock);
    struct mapping *before = book->mapping;
    book->mapping = owned;
    pthread_mutex_unlock(&book->lock);
    mapping_free(before);
    if (owned)
        log_mapping(path, owned);
}

struct mapping *rulebook_hold(struct rulebook *book)
{
    pthread_mutex_lock(&book->lock);
    struct mapping *mapping = mapping_hold(book->mapping);
    pthread_mutex_unlock(&book->lock);
    return mapping;
}
