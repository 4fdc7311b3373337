/* bulk: see the header.
 *
 *   batch   a a a a a a a | b | c | d d d d d d d d d
 *           '- long run -'         '--- long run ---'
 *
 *   one write, the batch's own:  KV_CHUNK     the runs, day by day
 *                                KV_POSTINGS  the days' lists
 *                                KV_HEADLOG   SEALED: how far the chunks of a series reach now
 *                                             MERGED: late samples that were merged on the way
 *                                             and what the rest of the batch puts there
 *
 * So a commit is there whole or not at all, as any other. The two records have lower sequences than
 * the batch's samples, because what they say is older.
 *
 * A run lies in the batch without a gap, and is the first of its series there: what comes later is
 * newer. Only what lies before the open samples goes; the rest stays in the batch. When chunks would
 * come to lie between those the head knows of and the open samples, these are sealed first. Where the day has
 * nothing in the run's range, its chunks are put beside those there are, and closing the day may join
 * them. Else the day is merged (storage/merge.c), the run over all that was there.
 */
#include "storage/bulk.h"

#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/code/chunk.h"
#include "storage/key.h"

#define RUN_MIN     ((size_t)120) /* shorter ones are better off in the head */
#define ARENA_BYTES ((size_t)1 << 30)

void bulk_init(struct bulk *bulk, struct store *store, struct kv_batch *batch)
{
    *bulk = (struct bulk){.store = store, .low_ms = INT64_MAX};
    merge_init(&bulk->merge, store, batch);
    arena_init(&bulk->arena, ARENA_BYTES);
}

void bulk_release(struct bulk *bulk)
{
    merge_release(&bulk->merge);
    arena_release(&bulk->arena);
    if (bulk->seen)
        roaring_bitmap_free(bulk->seen);
    free(bulk->ends.at);
    free(bulk->end_ms);
}

/* --- a run as columns --- */

struct row {
    int64_t time_ms;
    size_t place; /* in the batch */
};

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->time_ms != y->time_ms)
        return x->time_ms < y->time_ms ? -1 : 1;
    return x->place < y->place ? -1 : 1;
}

/* The rows in the order of time; of equal times the last one stays. Returns how many are left. */
static size_t sort_rows(struct row *rows, size_t count)
{
    size_t i = 1, kept = 0;
    while (i < count && rows[i].time_ms > rows[i - 1].time_ms)
        i++;
    if (i >= count)
        return count;
    qsort(rows, count, sizeof *rows, compare_rows);
    for (i = 0; i < count; i++) {
        if (kept && rows[kept - 1].time_ms == rows[i].time_ms)
            kept--;
        rows[kept++] = rows[i];
    }
    return kept;
}

static int too_large(struct error *err)
{
    return error_set(err, ERROR_LIMIT, "one run of samples does not fit into memory");
}

/* The samples of these rows. False when the arena is exhausted. */
static bool make_column(struct bulk *bulk, const struct sample *samples, const struct row *rows,
                        struct store_column *out)
{
    size_t count = out->count;
    uint32_t series = samples[rows[0].place].series;
    bool histograms = bulk->store->series.rows[series].kind == SERIES_HISTOGRAM;
    bool set = bulk->store->series.rows[series].kind == SERIES_SET;
    int64_t *times = arena_alloc(&bulk->arena, count * sizeof *times);
    const struct histogram **at = histograms ? arena_alloc(&bulk->arena, count * sizeof *at) : NULL;
    double *values = histograms ? NULL : arena_alloc(&bulk->arena, count * sizeof *values);
    struct slice *sketches = set ? arena_alloc(&bulk->arena, count * sizeof *sketches) : NULL;
    if (!times || (!at && !values) || (set && !sketches))
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct sample *sample = &samples[rows[i].place];
        times[i] = rows[i].time_ms;
        if (histograms)
            at[i] = sample->histogram;
        else
            values[i] = sample->value;
        if (set)
            sketches[i] = sample_sketch(sample, bulk->codes);
    }
    *out = (struct store_column){
        .count = count, .times = times, .values = values, .histograms = at, .sketches = sketches};
    return true;
}

/* --- a run into chunks --- */

/* True when no chunk of the series on that day meets the range, nor a late sample. */
static bool is_free(const struct store *store, struct rewrite_day at, int64_t start_ms,
                    int64_t end_ms)
{
    struct chunk_key key = {.partition = at.day, .series = at.series};
    struct key_bytes from = key_of_chunk(key);
    struct chunk chunk;
    if (late_overlaps(late_find(&store->late, at.series), start_ms, end_ms))
        return false;
    key.series++;
    struct key_bytes to = key_of_chunk(key);
    struct kv_iterator *it = kv_iterate(store->kv, KV_CHUNK, key_slice(&from), key_slice(&to));
    bool free = true;
    for (bool more = kv_seek_first(it); more && free; more = kv_next(it))
        free = key_parse_chunk(kv_key(it), &key) &&
               chunk_open(kv_value(it), chunk_key_time(key), &chunk) &&
               (chunk.end_ms < start_ms || chunk.start_ms > end_ms);
    struct error ignored;
    free = kv_iterator_check(it, &ignored) == 0 && free;
    kv_iterator_free(it);
    return free;
}

static struct store_column part_of(const struct store_column *column, size_t from, size_t count)
{
    return (struct store_column){.count = count,
                                 .times = column->times + from,
                                 .values = column->values ? column->values + from : NULL,
                                 .histograms =
                                     column->histograms ? column->histograms + from : NULL,
                                 .sketches = column->sketches ? column->sketches + from : NULL};
}

static void note_end(struct bulk *bulk, uint32_t series, int64_t time_ms)
{
    if (bulk->ends.count == bulk->end_capacity) {
        bulk->end_capacity = bulk->end_capacity ? bulk->end_capacity * 2 : 64;
        bulk->end_ms = alloc_resize(bulk->end_ms, bulk->end_capacity, sizeof *bulk->end_ms);
    }
    bulk->end_ms[bulk->ends.count] = time_ms;
    id_list_push(&bulk->ends, series);
    head_stage(&bulk->store->head, series, time_ms, 0);
}

static int take_run(struct bulk *bulk, uint32_t series, const struct store_column *run,
                    struct error *err)
{
    struct store *store = bulk->store;
    struct head_series *head = store_head_entry(store, series);
    int64_t newest_ms = store_newest_ms(store, series);
    bool newest = run->times[0] > newest_ms;
    int status = 0;
    for (size_t from = 0, to; from < run->count && !status; from = to) {
        struct rewrite_day at = {series, partition_of(run->times[from])};
        for (to = from; to < run->count && partition_of(run->times[to]) == at.day;)
            to++;
        struct store_column part = part_of(run, from, to - from);
        bool beside = newest || is_free(store, at, run->times[from], run->times[to - 1]);
        status = merge_day(&bulk->merge, at, &part, beside, err);
    }
    if (status)
        return -1;
    bulk->samples += run->count;
    if (run->times[0] < bulk->low_ms)
        bulk->low_ms = run->times[0];
    int64_t end_ms = run->times[run->count - 1];
    if (end_ms > newest_ms || (head->count == 0 && end_ms > head->sealed_ms))
        note_end(bulk, series, end_ms > newest_ms ? end_ms : newest_ms);
    return 0;
}

/* --- runs in a batch --- */

static size_t run_length(const struct sample *samples, size_t count)
{
    size_t n = 1;
    while (n < count && samples[n].series == samples[0].series)
        n++;
    return n;
}

static bool has_long_runs(const struct sample *samples, size_t count)
{
    for (size_t i = 0, n; i < count; i += n) {
        n = run_length(samples + i, count - i);
        if (n >= RUN_MIN)
            return true;
    }
    return false;
}

/* The samples of one series that are sound and lie before its open ones, as rows. */
static size_t choose_rows(struct bulk *bulk, const struct sample *samples, size_t count,
                          struct row *rows)
{
    const struct head_series *head = store_head_entry(bulk->store, samples[0].series);
    int64_t open_ms = head->count ? head->first_ms : INT64_MAX;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        enum store_metric verdict = sample_judge(bulk->store, &samples[i], bulk->oldest_ms);
        bool sound = verdict == STORE_SAMPLES || verdict == STORE_LATE_SAMPLES;
        if (sound && samples[i].time_ms < open_ms)
            rows[used++] = (struct row){samples[i].time_ms, i};
    }
    return used;
}

/* Moves the samples without a row to the front; returns how many. The rows are in their order. */
static size_t keep_others(struct sample *samples, size_t count, const struct row *rows, size_t used)
{
    size_t kept = 0, next = 0;
    for (size_t i = 0; i < count; i++) {
        if (next < used && rows[next].place == i)
            next++;
        else
            samples[kept++] = samples[i];
    }
    return kept;
}

/* Takes what it can of a run of one series. *left: how many samples are not taken, at the front. */
static int admit_run(struct bulk *bulk, struct sample *samples, size_t count, size_t *left,
                     struct error *err)
{
    uint32_t series = samples[0].series;
    struct row *rows = arena_alloc(&bulk->arena, count * sizeof *rows);
    struct row *sorted = arena_alloc(&bulk->arena, count * sizeof *sorted);
    struct store_column run = {.count = 0};
    *left = count;
    if (!rows || !sorted)
        return too_large(err);
    if (!series_row(&bulk->store->series, series))
        return 0;
    size_t used = choose_rows(bulk, samples, count, rows);
    if (used < RUN_MIN)
        return 0;
    memcpy(sorted, rows, used * sizeof *rows);
    run.count = sort_rows(sorted, used);
    if (!make_column(bulk, samples, sorted, &run))
        return too_large(err);
    /* Readers trust the head to know how far chunks reach, also after replay. */
    const struct head_series *head = store_head_entry(bulk->store, series);
    if (head->count && head->sealed_ms < run.times[run.count - 1] &&
        store_seal_one(bulk->store, series, err))
        return -1;
    if (take_run(bulk, series, &run, err))
        return -1;
    *left = keep_others(samples, count, rows, used);
    return 0;
}

int bulk_admit(struct bulk *bulk, struct sample *samples, size_t *count, int64_t oldest_ms,
               struct error *err)
{
    size_t kept = 0;
    bulk->oldest_ms = oldest_ms;
    if (!has_long_runs(samples, *count))
        return 0;
    bulk->seen = roaring_bitmap_create();
    for (size_t i = 0, n, left; i < *count; i += n) {
        left = n = run_length(samples + i, *count - i);
        bool first = roaring_bitmap_add_checked(bulk->seen, samples[i].series);
        arena_reset(&bulk->arena);
        if (first && n >= RUN_MIN && admit_run(bulk, samples + i, n, &left, err))
            return -1;
        memmove(samples + kept, samples + i, left * sizeof *samples);
        kept += left;
    }
    *count = kept;
    return 0;
}

/* --- with the batch --- */

uint64_t bulk_stage(struct bulk *bulk, uint64_t sequence)
{
    struct store *store = bulk->store;
    uint64_t records = merge_stage(&bulk->merge, sequence);
    struct buffer record;
    if (bulk->ends.count == 0)
        return records;
    struct key_bytes key = key_of_u64(sequence + records);
    buffer_init(&record, SIZE_MAX);
    headlog_append_sealed(&record, bulk->ends.at, bulk->end_ms, bulk->ends.count);
    kv_batch_put(store->kv, bulk->merge.batch, KV_HEADLOG, key_slice(&key), buffer_slice(&record));
    buffer_release(&record);
    return records + 1;
}

void bulk_publish(struct bulk *bulk)
{
    struct store *store = bulk->store;
    uint32_t now_s = (uint32_t)(clock_now_ms() / 1000);
    merge_publish(&bulk->merge);
    for (size_t i = 0; i < bulk->ends.count; i++) {
        struct head_series *head = head_get(&store->head, bulk->ends.at[i]);
        head->sealed_ms = bulk->end_ms[i];
        head->sealed_once = true;
        head->touched_s = now_s;
    }
    metric_add(&store_metrics[STORE_SAMPLES], (int64_t)bulk->samples);
    metric_add(&store_metrics[STORE_BULK_SAMPLES], (int64_t)bulk->samples);
}

void bulk_take_back(struct bulk *bulk)
{
    for (size_t i = 0; i < bulk->ends.count; i++)
        head_unstage(head_get(&bulk->store->head, bulk->ends.at[i]));
    if (bulk->merge.series.count)
        partitions_unstage(&bulk->store->partitions);
}
