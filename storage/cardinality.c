/* cardinality: what there is most of in the index, without a copy of it.
 *
 * One walk over the values under the shared lock: counts only, against the least of the rows kept so far.
 * A million values take some tens of milliseconds, in which the writer waits.
 */
#include <stdlib.h>

#include "storage/store_state.h"

#define NEWEST_LOOKED_AT 20000 /* ids, for those that match */

struct ranking {
    struct store_count *at; /* the most first */
    size_t count;
    size_t limit;
};

struct census {
    struct ranking metrics, values, bytes, pairs;
    uint64_t label_pairs;
};

static bool comes_before(const struct store_count *a, const struct store_count *b)
{
    if (a->count != b->count)
        return a->count > b->count;
    int order = slice_compare(a->name, b->name);
    return order ? order < 0 : slice_compare(a->value, b->value) < 0;
}

static void rank(struct ranking *ranking, struct store_count row)
{
    size_t place = ranking->count;
    if (place == ranking->limit && !comes_before(&row, &ranking->at[place - 1]))
        return;
    if (place < ranking->limit)
        ranking->count++;
    else
        place--;
    for (; place && comes_before(&row, &ranking->at[place - 1]); place--)
        ranking->at[place] = ranking->at[place - 1];
    ranking->at[place] = row;
}

static void note_value(void *arg, const struct postings_count *count)
{
    struct census *census = arg;
    rank(&census->pairs, (struct store_count){count->name, count->value, count->series});
    if (slice_equal(count->name, SLICE(LABEL_NAME)))
        rank(&census->metrics, (struct store_count){count->value, SLICE(""), count->series});
}

static void note_label(void *arg, const struct postings_count *count)
{
    struct census *census = arg;
    census->label_pairs += count->series;
    rank(&census->values, (struct store_count){count->name, SLICE(""), count->series});
    rank(&census->bytes, (struct store_count){count->name, SLICE(""), count->bytes});
}

static bool keep_texts(struct ranking *ranking, struct arena *arena, struct store_counts *out)
{
    for (size_t i = 0; i < ranking->count; i++) {
        ranking->at[i].name = arena_copy(arena, ranking->at[i].name);
        ranking->at[i].value = arena_copy(arena, ranking->at[i].value);
    }
    *out = (struct store_counts){ranking->at, ranking->count};
    return !arena->exhausted;
}

static bool make_room(struct ranking *ranking, struct arena *arena, size_t limit)
{
    ranking->limit = limit;
    ranking->at = arena_zeroed(arena, limit, sizeof *ranking->at);
    return ranking->at;
}

int store_cardinality(struct store *store, size_t limit, struct arena *arena,
                      struct store_cardinality *out, struct error *err)
{
    struct census census = {.label_pairs = 0};
    struct postings_visitor visitor = {note_label, note_value, &census};
    bool enough = make_room(&census.metrics, arena, limit) &&
                  make_room(&census.values, arena, limit) &&
                  make_room(&census.bytes, arena, limit) && make_room(&census.pairs, arena, limit);
    if (enough) {
        pthread_rwlock_rdlock(&store->lock);
        postings_census(&store->postings, &visitor);
        enough = keep_texts(&census.metrics, arena, &out->metrics) &&
                 keep_texts(&census.values, arena, &out->values) &&
                 keep_texts(&census.bytes, arena, &out->bytes) &&
                 keep_texts(&census.pairs, arena, &out->pairs);
        out->series = series_live(&store->series);
        out->open_chunks = store->head.series;
        pthread_rwlock_unlock(&store->lock);
    }
    out->label_pairs = census.label_pairs;
    return enough
               ? 0
               : error_set(err, ERROR_LIMIT,
                           "the answer needs more memory than limits.query_memory allows; give a "
                           "smaller limit");
}

/* --- what came last --- */

bool store_newest_series(struct store *store, const struct store_query *query, size_t limit,
                         struct arena *arena, struct store_selection *out)
{
    struct store_series *at = arena_zeroed(arena, limit, sizeof *at);
    size_t count = 0;
    if (!at)
        return false;
    pthread_rwlock_rdlock(&store->lock);
    uint32_t end = store->series.count;
    uint32_t first = end > NEWEST_LOOKED_AT ? end - NEWEST_LOOKED_AT : 0;
    for (uint32_t id = end; id > first && count < limit; id--) {
        const struct series_row *row = series_row(&store->series, id - 1);
        struct store_series *series = &at[count];
        if (!row)
            continue;
        struct slice labels = arena_copy(arena, series_labels(row));
        if (!labels.at || !labels_decode(labels, arena, &series->labels))
            break;
        series->id = id - 1;
        series->kind = (enum series_kind)row->kind;
        count += matchers_accept(query->matchers, query->matcher_count, series->labels);
    }
    pthread_rwlock_unlock(&store->lock);
    *out = (struct store_selection){at, count};
    return !arena->exhausted;
}
