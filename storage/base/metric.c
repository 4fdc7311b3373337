/* metric: the list of registered tables. It only grows; modules register while they open, when the
 * writer may be feeding the figures of those before them already.
 */
#include "storage/base/metric.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>

#define TABLES_MAX 64

static struct {
    struct metric *rows;
    size_t count;
} tables[TABLES_MAX];
static size_t table_count;
static pthread_mutex_t tables_mutex = PTHREAD_MUTEX_INITIALIZER;

void metric_register(struct metric *rows, size_t count)
{
    pthread_mutex_lock(&tables_mutex);
    size_t i = 0;
    while (i < table_count && tables[i].rows != rows)
        i++;
    if (i == table_count) {
        assert(table_count < TABLES_MAX);
        tables[table_count].rows = rows;
        tables[table_count].count = count;
        table_count++;
    }
    pthread_mutex_unlock(&tables_mutex);
}

/* The index-th table; false past the last. */
static bool find_table(size_t index, struct metric **rows, size_t *count)
{
    pthread_mutex_lock(&tables_mutex);
    bool found = index < table_count;
    *rows = found ? tables[index].rows : NULL;
    *count = found ? tables[index].count : 0;
    pthread_mutex_unlock(&tables_mutex);
    return found;
}

void metric_each(void (*visit)(const struct metric *metric, void *arg), void *arg)
{
    struct metric *rows;
    size_t count;
    for (size_t t = 0; find_table(t, &rows, &count); t++)
        for (size_t i = 0; i < count; i++)
            visit(&rows[i], arg);
}
