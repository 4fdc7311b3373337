/* buckets: summaries of a series over a range. */
#include <assert.h>

#include "storage/key.h"
#include "storage/rollup.h"
#include "storage/store_state.h"

static const int64_t tier_width_ms[STORE_TIER_COUNT] = {
    [STORE_5M] = STORE_5M_MS,
    [STORE_1H] = STORE_1H_MS,
};

static int exhausted(struct error *err)
{
    return error_set(err, ERROR_LIMIT,
                     "the query reads more buckets than its memory budget holds; use a shorter "
                     "range, a larger step or a narrower selector");
}

/* Folds the raw samples of (start, end] behind what is there. */
static int fold_raw(struct store_reader *reader, struct store_span span, struct arena *arena,
                    struct rollup *rollup, struct error *err)
{
    struct store_column column;
    span.start_ms++;
    if (store_read(reader, span, arena, &column, err))
        return -1;
    rollup_reset(rollup, column.histograms != NULL, rollup->width_ms);
    return rollup_add_column(rollup, &column, arena) ? 0 : exhausted(err);
}

static int read_folded(struct store_reader *reader, struct store_span span, int64_t width_ms,
                       struct arena *arena, struct store_buckets *out, struct error *err)
{
    struct rollup rollup;
    rollup_init(&rollup);
    rollup.width_ms = width_ms;
    int status = fold_raw(reader, span, arena, &rollup, err);
    if (!status && !rollup_copy(&rollup, arena, out))
        status = exhausted(err);
    out->tiers = 1u << STORE_RAW;
    rollup_release(&rollup);
    return status;
}

int store_read_buckets(struct store_reader *reader, struct store_span span, enum store_tier tier,
                       struct arena *arena, struct store_buckets *out, struct error *err)
{
    int64_t width_ms = tier_width_ms[tier];
    *out = (struct store_buckets){0};
    assert(width_ms && span.start_ms % width_ms == 0 && span.end_ms % width_ms == 0);
    return read_folded(reader, span, width_ms, arena, out, err);
}

/* One piece for each day. */
int store_read_pieces(struct store_reader *reader, struct store_span span, struct arena *arena,
                      struct store_buckets *out, struct error *err)
{
    *out = (struct store_buckets){0};
    if (read_folded(reader, span, PARTITION_MS, arena, out, err))
        return -1;
    out->end_ms = out->last_ms;
    return 0;
}

bool store_has_rollup(struct store *store, int64_t start_ms, int64_t end_ms)
{
    uint32_t from = bucket_day_of(start_ms), to = bucket_day_of(end_ms);
    bool found = false;
    pthread_rwlock_rdlock(&store->lock);
    for (size_t i = partitions_find(&store->partitions, from);
         i < store->partitions.count && store->partitions.at[i].day <= to && !found; i++)
        found = store->partitions.at[i].closed;
    pthread_rwlock_unlock(&store->lock);
    return found;
}
