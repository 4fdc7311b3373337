/* metric: the list of registered tables. Registration happens at start, before other threads. */
#include "storage/base/metric.h"

#include <assert.h>
#include <pthread.h>

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

void metric_each(void (*visit)(const struct metric *metric, void *arg), void *arg)
{
    for (size_t t = 0; t < table_count; t++)
        for (size_t i = 0; i < tables[t].count; i++)
            visit(&tables[t].rows[i], arg);
}
