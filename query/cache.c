/* cache: see the header.
 *
 *   table: key -> entry            newest <-> ... <-> oldest, which is the next to go
 *
 * An entry lies in an arena of its own, but for its text, which comes later. Series of full rows share one array of times, in the entry and
 * in every copy of it.
 */
#include "query/cache.h"

#include <pthread.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/metric.h"
#include "storage/base/table.h"

#define ENTRIES_MAX ((size_t)1 << 20)

enum {
    METRIC_BYTES = CACHE_OUTCOME_COUNT,
    METRIC_ENTRIES,
    METRIC_EVICTED,
    METRIC_ROWS,
};

#define OUTCOME_ROW(outcome)                                                                       \
    {                                                                                              \
        "lapwing_query_cache_queries_total", METRIC_COUNTER, "result=\"" outcome "\"",             \
            "Queries by what the results cache had of them.", 0, 0                                 \
    }

static struct metric cache_metrics[METRIC_ROWS] = {
    [CACHE_HIT] = OUTCOME_ROW("hit"),
    [CACHE_PART] = OUTCOME_ROW("part"),
    [CACHE_MISS] = OUTCOME_ROW("miss"),
    [METRIC_BYTES] = {"lapwing_query_cache_bytes", METRIC_GAUGE, NULL,
                      "Memory of the results cache.", 0, 0},
    [METRIC_ENTRIES] = {"lapwing_query_cache_entries", METRIC_GAUGE, NULL,
                        "Results in the results cache.", 0, 0},
    [METRIC_EVICTED] = {"lapwing_query_cache_evicted_total", METRIC_COUNTER, NULL,
                        "Results that made room for others.", 0, 0},
};

struct entry {
    struct entry *newer, *older;
    struct arena arena;
    struct slice key;
    struct cached_facts facts;
    struct promql_result result;
    char *text; /* NULL: none */
    size_t text_bytes;
    size_t bytes;
};

struct result_cache {
    pthread_mutex_t mutex;
    size_t bytes_max, bytes;
    uint64_t last_id;
    struct table table;
    struct entry *newest, *oldest;
};

void result_cache_count(enum cache_outcome outcome)
{
    metric_add(&cache_metrics[outcome], 1);
}

/* --- copies of results --- */

/* The steps [first, last] of a result, on the way into an arena. */
struct copying {
    struct arena *arena;
    int64_t first_ms, last_ms;
    const int64_t *from; /* the array of times that was copied last, and its copy */
    const int64_t *to;
    size_t count;
};

/* The first point at or after that time. */
static size_t place_of(const struct promql_series *series, int64_t time_ms)
{
    size_t from = 0, to = series->count;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (series->times[middle] < time_ms)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static const int64_t *copy_times(struct copying *copying, const int64_t *times, size_t count)
{
    if (copying->from == times && copying->count == count)
        return copying->to;
    int64_t *to = arena_alloc(copying->arena, count * sizeof *to);
    if (!to)
        return NULL;
    memcpy(to, times, count * sizeof *to);
    copying->from = times;
    copying->to = to;
    copying->count = count;
    return to;
}

static const struct histogram *const *
copy_histograms(struct arena *arena, const struct histogram *const *from, size_t count)
{
    const struct histogram **to = arena_alloc(arena, count * sizeof *to);
    for (size_t i = 0; to && i < count; i++)
        if (!(to[i] = histogram_copy(arena, from[i])))
            return NULL;
    return to;
}

/* Leaves *to without points where the series has none among the steps. */
static bool copy_series(struct copying *copying, const struct promql_series *from,
                        struct promql_series *to)
{
    struct arena *arena = copying->arena;
    size_t first = place_of(from, copying->first_ms);
    size_t count = place_of(from, copying->last_ms + 1) - first;
    *to = (struct promql_series){.count = count};
    if (count == 0)
        return true;
    to->labels = labels_copy(arena, from->labels);
    to->times = copy_times(copying, from->times + first, count);
    if (from->values) {
        double *values = arena_alloc(arena, count * sizeof *values);
        if (values)
            memcpy(values, from->values + first, count * sizeof *values);
        to->values = values;
    } else {
        to->histograms = copy_histograms(arena, from->histograms + first, count);
    }
    return to->times && (to->values || to->histograms);
}

static bool copy_infos(struct arena *arena, const struct promql_result *from,
                       struct promql_result *to)
{
    struct slice *infos = arena_alloc(arena, from->info_count * sizeof *infos);
    for (size_t i = 0; infos && i < from->info_count; i++)
        infos[i] = arena_copy(arena, from->infos[i]);
    to->infos = infos;
    to->info_count = from->info_count;
    return infos != NULL;
}

static bool copy_result(struct copying *copying, const struct promql_result *from,
                        struct promql_result *to)
{
    *to = (struct promql_result){.type = from->type, .tiers = from->tiers};
    to->series = arena_alloc(copying->arena, from->count * sizeof *to->series);
    if (!to->series || !copy_infos(copying->arena, from, to))
        return false;
    for (size_t i = 0; i < from->count; i++) {
        if (!copy_series(copying, &from->series[i], &to->series[to->count]))
            return false;
        to->count += to->series[to->count].count > 0;
    }
    return !copying->arena->exhausted;
}

/* --- entries --- */

static void entry_free(struct entry *entry)
{
    arena_release(&entry->arena);
    free(entry->text);
    free(entry);
}

/* NULL when it would take more than that many bytes. */
static struct entry *entry_new(struct slice key, const struct cached_facts *facts,
                               const struct promql_result *result, size_t bytes_max)
{
    struct entry *entry = alloc_zeroed(1, sizeof *entry);
    arena_init(&entry->arena, bytes_max);
    struct copying copying = {
        .arena = &entry->arena, .first_ms = facts->first_ms, .last_ms = facts->last_ms};
    entry->facts = *facts;
    entry->facts.noted = result->info_count > 0;
    entry->facts.has_text = false;
    entry->key = arena_copy(&entry->arena, key);
    if (!copy_result(&copying, result, &entry->result) || !entry->key.at) {
        entry_free(entry);
        return NULL;
    }
    entry->bytes = sizeof *entry + sizeof(struct table_entry) + key.len + entry->arena.used +
                   entry->arena.left;
    return entry;
}

static void link_newest(struct result_cache *cache, struct entry *entry)
{
    entry->newer = NULL;
    entry->older = cache->newest;
    if (cache->newest)
        cache->newest->newer = entry;
    else
        cache->oldest = entry;
    cache->newest = entry;
}

static void unlink_entry(struct result_cache *cache, struct entry *entry)
{
    if (entry->newer)
        entry->newer->older = entry->older;
    else
        cache->newest = entry->older;
    if (entry->older)
        entry->older->newer = entry->newer;
    else
        cache->oldest = entry->newer;
}

static struct entry *find(struct result_cache *cache, struct slice key)
{
    const struct table_entry *found = table_find(&cache->table, key);
    return found ? found->value.pointer : NULL;
}

static void drop(struct result_cache *cache, struct entry *entry)
{
    unlink_entry(cache, entry);
    table_remove(&cache->table, entry->key, NULL);
    cache->bytes -= entry->bytes;
    entry_free(entry);
}

static void make_room(struct result_cache *cache)
{
    while (cache->bytes > cache->bytes_max) {
        drop(cache, cache->oldest);
        metric_add(&cache_metrics[METRIC_EVICTED], 1);
    }
}

static void keep(struct result_cache *cache, struct entry *entry)
{
    bool fresh;
    struct table_entry *place = table_insert(&cache->table, entry->key, &fresh);
    if (!place) {
        entry_free(entry);
        return;
    }
    place->value.pointer = entry;
    entry->facts.id = ++cache->last_id;
    cache->bytes += entry->bytes;
    link_newest(cache, entry);
    make_room(cache);
}

static void touch(struct result_cache *cache, struct entry *entry)
{
    unlink_entry(cache, entry);
    link_newest(cache, entry);
}

/* The entry, unless another has taken its place. */
static struct entry *find_same(struct result_cache *cache, struct slice key, uint64_t id)
{
    struct entry *entry = find(cache, key);
    return entry && entry->facts.id == id ? entry : NULL;
}

static void show_size(const struct result_cache *cache)
{
    metric_set(&cache_metrics[METRIC_BYTES], (int64_t)cache->bytes);
    metric_set(&cache_metrics[METRIC_ENTRIES], (int64_t)cache->table.count);
}

/* --- the cache --- */

struct result_cache *result_cache_new(size_t bytes_max)
{
    metric_register(cache_metrics, METRIC_ROWS);
    if (bytes_max == 0)
        return NULL;
    struct result_cache *cache = alloc_zeroed(1, sizeof *cache);
    pthread_mutex_init(&cache->mutex, NULL);
    cache->bytes_max = bytes_max;
    table_init(&cache->table, ENTRIES_MAX);
    return cache;
}

void result_cache_free(struct result_cache *cache)
{
    if (!cache)
        return;
    while (cache->oldest)
        drop(cache, cache->oldest);
    table_release(&cache->table);
    pthread_mutex_destroy(&cache->mutex);
    free(cache);
}

bool result_cache_find(struct result_cache *cache, struct slice key, struct cached_facts *out)
{
    if (!cache)
        return false;
    pthread_mutex_lock(&cache->mutex);
    const struct entry *entry = find(cache, key);
    if (entry)
        *out = entry->facts;
    pthread_mutex_unlock(&cache->mutex);
    return entry != NULL;
}

bool result_cache_copy(struct result_cache *cache, struct slice key,
                       const struct cached_facts *facts, struct arena *arena,
                       struct promql_result *out)
{
    struct copying copying = {
        .arena = arena, .first_ms = facts->first_ms, .last_ms = facts->last_ms};
    pthread_mutex_lock(&cache->mutex);
    struct entry *entry = find_same(cache, key, facts->id);
    bool copied = entry && copy_result(&copying, &entry->result, out);
    if (copied)
        touch(cache, entry);
    pthread_mutex_unlock(&cache->mutex);
    return copied;
}

void result_cache_put(struct result_cache *cache, struct slice key,
                      const struct cached_facts *facts, const struct promql_result *result)
{
    if (!cache)
        return;
    struct entry *entry = entry_new(key, facts, result, cache->bytes_max / 4);
    pthread_mutex_lock(&cache->mutex);
    struct entry *before = find(cache, key);
    if (before)
        drop(cache, before);
    if (entry)
        keep(cache, entry);
    show_size(cache);
    pthread_mutex_unlock(&cache->mutex);
}

bool result_cache_copy_text(struct result_cache *cache, struct slice key, uint64_t id,
                            struct buffer *out)
{
    pthread_mutex_lock(&cache->mutex);
    struct entry *entry = find_same(cache, key, id);
    bool found = entry && entry->facts.has_text;
    if (found) {
        buffer_append(out, entry->text, entry->text_bytes);
        touch(cache, entry);
    }
    pthread_mutex_unlock(&cache->mutex);
    return found;
}

bool result_cache_try_text(struct result_cache *cache, struct slice key, size_t bytes_max,
                           struct cached_facts *facts, struct buffer *out)
{
    if (!cache || pthread_mutex_trylock(&cache->mutex) != 0)
        return false;
    struct entry *entry = find(cache, key);
    bool found = entry && entry->facts.has_text && entry->text_bytes <= bytes_max;
    if (found) {
        *facts = entry->facts;
        buffer_append(out, entry->text, entry->text_bytes);
        touch(cache, entry);
    }
    pthread_mutex_unlock(&cache->mutex);
    return found;
}

void result_cache_put_text(struct result_cache *cache, struct slice key, uint64_t id,
                           struct slice text)
{
    pthread_mutex_lock(&cache->mutex);
    struct entry *entry = find_same(cache, key, id);
    bool fits = entry && text.len + entry->bytes <= cache->bytes_max / 4;
    if (fits && !entry->facts.has_text && text.len) {
        entry->text = alloc_resize(NULL, text.len, 1);
        memcpy(entry->text, text.at, text.len);
        entry->text_bytes = text.len;
        entry->facts.has_text = true;
        entry->bytes += text.len;
        cache->bytes += text.len;
        touch(cache, entry);
        make_room(cache);
        show_size(cache);
    }
    pthread_mutex_unlock(&cache->mutex);
}
