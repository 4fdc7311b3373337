/* buckets: summaries of a series over a range, from what is cheapest.
 *
 *   bucket days    | raw gone | closed  | closed, stale | open    | head
 *   read from      | rollup   | rollup  | samples       | samples | samples
 *
 * Each day of buckets, (midnight, next midnight], is read from one source, chosen under the lock;
 * days in a row that are read from samples are read at once. A closed day whose value is missing (5m
 * buckets are made later than 1h ones) is read from samples.
 *
 * The iterator over rollups is another one than that over chunks, so that either keeps its place.
 * Like that it is renewed, under the lock, when the series was rolled or rewritten after it was
 * made: a day that is not stale then has its present buckets in the snapshot.
 *
 * Where samples have left before their buckets, reading samples answers with the first and the last
 * one of each bucket, from the finest tier there is: fewer, but real ones. A stale marker lies between
 * the last sample and the border; it is taken to follow the sample at once.
 */
#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/base/log.h"
#include "storage/code/rollup_code.h"
#include "storage/key.h"
#include "storage/read.h"

enum source {
    SOURCE_NONE,   /* no samples */
    SOURCE_RAW,    /* samples */
    SOURCE_EITHER, /* buckets that are up to date; samples too */
    SOURCE_ROLLUP, /* buckets only */
};

struct bucket_reader {
    struct kv_iterator *it; /* over KV_CHUNK; made when first needed */
    uint64_t seal_count;    /* when it was made */
    struct rollup rollup, pieces;
    struct bucket_reader *thin; /* for samples that have left: their read may be part of another */
    uint8_t *sources;           /* enum source of each day from first_day on */
    uint32_t first_day;
    size_t days;
    size_t capacity;
    struct time_ranges deleted; /* of the series being read */
};

/* One read under way. */
struct bucket_read {
    struct store_reader *reader;
    struct bucket_reader *buckets;
    struct store_span span; /* (start, end] */
    enum store_tier tier;
    unsigned without;
    struct arena *arena;
    bool thin;      /* only days whose samples have left */
    bool within;    /* less than whole buckets: only samples will do */
    bool in_pieces; /* each chunk may be one */
    bool histograms;
    enum store_tier placed; /* of what the iterator was asked for last; STORE_RAW: of nothing */
    bool more;              /* it stands on a key */
    int64_t raw_from, raw_until; /* days to be read from samples, (from, until]; none when equal */
    unsigned tiers;
    int64_t coarse_ms, coarse_until_ms;
};

void bucket_reader_free(struct bucket_reader *buckets)
{
    if (!buckets)
        return;
    bucket_reader_free(buckets->thin);
    kv_iterator_free(buckets->it);
    rollup_release(&buckets->rollup);
    rollup_release(&buckets->pieces);
    free(buckets->sources);
    time_ranges_release(&buckets->deleted);
    free(buckets);
}

static struct bucket_reader *made(struct bucket_reader **at)
{
    if (!*at) {
        *at = alloc_zeroed(1, sizeof **at);
        rollup_init(&(*at)->rollup);
        rollup_init(&(*at)->pieces);
    }
    return *at;
}

static int exhausted(struct error *err)
{
    return error_set(err, ERROR_LIMIT,
                     "the query reads more buckets than its memory budget holds; use a shorter "
                     "range, a larger step or a narrower selector");
}

/* --- which days from where (under the lock) --- */

static enum source source_of(const struct store *store, uint32_t series, uint32_t day)
{
    const struct head_series *head = head_get(&store->head, series);
    const struct partition *partition = partitions_get(&store->partitions, day);
    int64_t from_ms = partition_start(day) + (day > 0), to_ms = partition_start(day + 1);
    if ((head && head->count && head->first_ms <= to_ms && head->last_ms >= from_ms) ||
        late_overlaps(late_find(&store->late, series), from_ms, to_ms))
        return SOURCE_RAW;
    bool active = partition && roaring_bitmap_contains(partition->active, series);
    if (left_samples(store, series, day))
        return active ? SOURCE_EITHER : SOURCE_ROLLUP;
    if (!partition)
        return SOURCE_NONE;
    if (!partition_is_current(partition, series))
        return active || roaring_bitmap_contains(partition->stale, series) ? SOURCE_RAW
                                                                           : SOURCE_NONE;
    if (active)
        return SOURCE_EITHER;
    return left_has_buckets(store, series, day) ? SOURCE_ROLLUP : SOURCE_NONE;
}

struct day_range {
    uint32_t from, to; /* both included; none when from > to */
};

static void widen(struct day_range *range, uint32_t from, uint32_t to)
{
    range->from = from < range->from ? from : range->from;
    range->to = to > range->to ? to : range->to;
}

/* The days of buckets that may have anything of the series. */
static struct day_range known_days(const struct store *store, uint32_t series)
{
    struct day_range range = {UINT32_MAX, 0};
    const struct partitions *days = &store->partitions;
    const struct head_series *head = head_get(&store->head, series);
    const struct late_run *late = late_find(&store->late, series);
    if (days->count)
        widen(&range, days->at[0].day, days->at[days->count - 1].day);
    for (int tier = STORE_RAW + 1; tier < STORE_TIER_COUNT; tier++) {
        const struct partitions *months = &store->rollups[tier];
        if (months->count)
            widen(&range, months->at[0].day * ROLLUP_DAYS,
                  months->at[months->count - 1].day * ROLLUP_DAYS + ROLLUP_DAYS - 1);
    }
    if (head && head->count)
        widen(&range, bucket_day_of(head->first_ms), bucket_day_of(head->last_ms));
    if (late)
        widen(&range, bucket_day_of(late->times[0]), bucket_day_of(late->times[late->count - 1]));
    return range;
}

static enum source source_in(const struct bucket_read *read, uint32_t day)
{
    const struct store *store = read->reader->store;
    if (!read->thin)
        return source_of(store, read->span.series, day);
    return left_samples(store, read->span.series, day) ? SOURCE_ROLLUP : SOURCE_NONE;
}

static void choose_sources(struct bucket_read *read)
{
    struct bucket_reader *buckets = read->buckets;
    const struct store *store = read->reader->store;
    struct day_range range = known_days(store, read->span.series);
    uint32_t from = bucket_day_of(read->span.start_ms + 1), to = bucket_day_of(read->span.end_ms);
    range.from = from > range.from ? from : range.from;
    range.to = to < range.to ? to : range.to;
    buckets->first_day = range.from;
    buckets->days = range.from <= range.to ? range.to - range.from + 1 : 0;
    if (buckets->days > buckets->capacity) {
        buckets->capacity = buckets->days;
        buckets->sources = alloc_resize(buckets->sources, buckets->capacity, 1);
    }
    for (size_t i = 0; i < buckets->days; i++)
        buckets->sources[i] = (uint8_t)source_in(read, range.from + (uint32_t)i);
}

/* Makes sure that the snapshot has what is known of this series. */
static void refresh_snapshot(struct bucket_read *read)
{
    struct bucket_reader *buckets = read->buckets;
    struct store *store = read->reader->store;
    const struct head_series *head = head_get(&store->head, read->span.series);
    uint64_t changed_at = head ? head->sealed_at : store->seal_count;
    if (buckets->it && changed_at <= buckets->seal_count)
        return;
    kv_iterator_free(buckets->it);
    buckets->it = kv_iterate(store->kv, KV_CHUNK, SLICE(""), SLICE(""));
    buckets->seal_count = store->seal_count;
}

static void begin(struct bucket_read *read)
{
    struct store *store = read->reader->store;
    bool rollups = false;
    read->buckets = made(&read->reader->buckets);
    if (read->thin)
        read->buckets = made(&read->buckets->thin);
    read->buckets->rollup.sketched = read->buckets->pieces.sketched = read->reader->sketched;
    pthread_rwlock_rdlock(&store->lock);
    const struct series_row *row = series_row(&store->series, read->span.series);
    read->histograms = row && row->kind == SERIES_HISTOGRAM;
    choose_sources(read);
    tombstones_of(&store->tombstones, read->span.series,
                  (struct time_range){read->span.start_ms, read->span.end_ms},
                  &read->buckets->deleted);
    for (size_t i = 0; i < read->buckets->days && !rollups; i++)
        rollups = read->buckets->sources[i] >= SOURCE_EITHER;
    if (rollups)
        refresh_snapshot(read);
    pthread_rwlock_unlock(&store->lock);
}

/* --- one day from a rollup --- */

/* Moves the iterator to that day's value. Within a read, days of one tier are asked for in order. */
static bool find_day(struct bucket_read *read, enum store_tier tier, uint32_t day)
{
    struct kv_iterator *it = read->buckets->it;
    struct key_bytes key = key_of_rollup(
        (struct rollup_key){read->reader->store->rollups[tier].resolution, day, read->span.series});
    bool placed = read->placed == tier;
    if (!placed || (read->more && slice_compare(kv_key(it), key_slice(&key)) < 0))
        read->more = kv_seek_near(it, key_slice(&key));
    read->placed = tier;
    return read->more && slice_compare(kv_key(it), key_slice(&key)) == 0;
}

/* Takes the buckets from `at` on that are not in the span away again. */
static void keep_in_span(const struct bucket_read *read, struct rollup *rollup, size_t at)
{
    size_t from = at;
    while (from < rollup->count && rollup->end_ms[from] <= read->span.start_ms)
        from++;
    while (rollup->count > from && rollup->end_ms[rollup->count - 1] > read->span.end_ms)
        rollup->count--;
    rollup_remove(rollup, at, from - at);
}

/* Appends the day's buckets of that tier. 1: done, 0: there is no readable value, -1: failed. */
static int read_day(struct bucket_read *read, enum store_tier tier, uint32_t day,
                    struct rollup *rollup, struct error *err)
{
    if (!find_day(read, tier, day)) {
        int unreadable = kv_iterator_damage(read->buckets->it, err);
        if (unreadable > 0)
            read->placed = STORE_RAW; /* the iterator has lost its place */
        return unreadable < 0 ? -1 : 0;
    }
    size_t before = rollup->count;
    if (rollup_code_read(kv_value(read->buckets->it), partition_start(day), rollup, read->arena)) {
        /* Where there are samples, buckets that a deletion meets are made again without them. */
        if (read->buckets->sources[day - read->buckets->first_day] == SOURCE_ROLLUP)
            rollup_strike(rollup, before, &read->buckets->deleted);
        read->tiers |= 1u << tier;
        return 1;
    }
    if (read->arena->exhausted)
        return exhausted(err);
    metric_add(&store_metrics[STORE_CHUNKS_DAMAGED], 1);
    damage_note(kv_damages(read->reader->store->kv), DAMAGE_CHUNK,
                "the buckets of series %u, day %u, tier %d are damaged", read->span.series, day,
                (int)tier);
    return 0;
}

/* --- samples that have left --- */

/* What is left of them, in order. */
struct thin {
    struct arena *arena;
    struct store_span span; /* both included */
    struct sample_arrays to;
    size_t count;
};

static void thin_push(struct thin *thin, int64_t time_ms, double value,
                      const struct histogram *histogram, struct slice sketch)
{
    if (time_ms < thin->span.start_ms || time_ms > thin->span.end_ms)
        return;
    thin->to.times[thin->count] = time_ms;
    if (thin->to.sketches)
        thin->to.sketches[thin->count] = sketch;
    if (thin->to.histograms)
        thin->to.histograms[thin->count] = histogram;
    if (thin->to.values)
        thin->to.values[thin->count] = value;
    thin->count++;
}

/* Of a set the last sample stands for the members of all. */
static void thin_bucket(struct thin *thin, const struct rollup *of, size_t i)
{
    int64_t first_ms = of->first_ms[i], last_ms = of->last_ms[i];
    struct slice none = SLICE(""), all = of->sketches[i];
    bool any = of->counts[i] > 0, more = any && last_ms > first_ms;
    if (any)
        thin_push(thin, first_ms, of->first[i], of->first_histogram[i], more ? none : all);
    if (more)
        thin_push(thin, last_ms, of->last[i], of->last_histogram[i], all);
    if (of->ended[i])
        thin_push(thin, any ? last_ms + 1 : last_ms, stale_nan(), NULL, none);
}

static bool thin_rollup(struct thin *thin, const struct rollup *rollup)
{
    size_t most = rollup->count * 3;
    *thin = (struct thin){.arena = thin->arena, .span = thin->span};
    thin->to.times = arena_alloc(thin->arena, most * sizeof *thin->to.times);
    if (rollup->sketched)
        thin->to.sketches = arena_alloc(thin->arena, most * sizeof *thin->to.sketches);
    if (rollup->histograms)
        thin->to.histograms = arena_alloc(thin->arena, most * sizeof *thin->to.histograms);
    else
        thin->to.values = arena_alloc(thin->arena, most * sizeof *thin->to.values);
    if (thin->arena->exhausted)
        return false;
    for (size_t i = 0; i < rollup->count; i++)
        thin_bucket(thin, rollup, i);
    return true;
}

/* Appends the buckets that the tier has of the days, which then are done with. */
static int read_left(struct bucket_read *read, enum store_tier tier, struct rollup *rollup,
                     struct error *err)
{
    struct bucket_reader *buckets = read->buckets;
    rollup_reset(rollup, read->histograms, rollup_tier_ms[tier]);
    for (size_t i = 0; i < buckets->days; i++) {
        if (buckets->sources[i] == SOURCE_NONE)
            continue;
        int status = read_day(read, tier, buckets->first_day + (uint32_t)i, rollup, err);
        if (status < 0)
            return -1;
        if (status == 0)
            continue;
        int64_t until_ms = partition_start(buckets->first_day + (uint32_t)i + 1);
        if (read->coarse_until_ms < until_ms)
            read->coarse_until_ms = until_ms;
        buckets->sources[i] = SOURCE_NONE;
    }
    return 0;
}

/* Lays what the tier has left over *out. */
static int overlay_left(struct bucket_read *read, struct thin *thin, enum store_tier tier,
                        struct store_column *out, struct error *err)
{
    struct rollup *rollup = &read->buckets->rollup;
    struct store_column under = *out;
    if (read_left(read, tier, rollup, err))
        return -1;
    if (rollup->count == 0)
        return 0;
    if (!thin_rollup(thin, rollup))
        return exhausted(err);
    struct store_column over = {.count = thin->count,
                                .times = thin->to.times,
                                .values = thin->to.values,
                                .histograms = thin->to.histograms,
                                .sketches = thin->to.sketches};
    if (!column_overlay(&under, &over, read->arena, out))
        return exhausted(err);
    out->damaged += rollup->damaged;
    out->coarse_ms = rollup_tier_ms[tier];
    out->coarse_until_ms = read->coarse_until_ms;
    return 0;
}

int buckets_read_thin(struct store_reader *reader, struct store_span span, struct arena *arena,
                      struct store_column *out, struct error *err)
{
    struct bucket_read read = {.reader = reader, .span = span, .arena = arena, .thin = true};
    read.span.start_ms = span.start_ms > 0 ? span.start_ms - 1 : 0;
    begin(&read);
    struct thin thin = {.arena = arena, .span = span};
    *out = (struct store_column){0};
    return overlay_left(&read, &thin, STORE_5M, out, err) ||
                   overlay_left(&read, &thin, STORE_1H, out, err)
               ? -1
               : 0;
}

/* --- buckets of a range --- */

/* Moves what is in buckets->rollup to the pieces. */
static int move_to_pieces(struct bucket_read *read, struct error *err)
{
    struct rollup *pieces = &read->buckets->pieces, *part = &read->buckets->rollup;
    if (pieces->count == 0)
        pieces->histograms = part->histograms;
    pieces->damaged += part->damaged;
    for (size_t i = 0; i < part->count; i++)
        if (!rollup_add_bucket(pieces, part, i, read->arena))
            return exhausted(err);
    part->count = part->damaged = 0;
    return 0;
}

/* Chunks by their footers, and the samples between them folded. */
static int flush_summed(struct bucket_read *read, struct store_span span, struct error *err)
{
    struct rollup *part = &read->buckets->rollup;
    struct summed summed;
    size_t from = 0;
    if (move_to_pieces(read, err) ||
        reader_read_summed(read->reader, span, read->arena, &summed, err))
        return -1;
    for (size_t i = 0; i < summed.count; i++) {
        const struct chunk_piece *piece = &summed.pieces[i];
        if (piece->at > from)
            rollup_add_values(part, summed.column.times + from, summed.column.values + from,
                              piece->at - from);
        from = piece->at;
        if (move_to_pieces(read, err))
            return -1;
        rollup_add_summary(&read->buckets->pieces, piece->start_ms, piece->end_ms, &piece->summary);
    }
    struct store_column *rest = &summed.column;
    if (rest->coarse_ms > read->coarse_ms)
        read->coarse_ms = rest->coarse_ms;
    rest->times += from;
    rest->values = rest->values ? rest->values + from : NULL;
    rest->count -= from;
    return rollup_add_column(part, rest, read->arena) ? 0 : exhausted(err);
}

/* Folds the samples that are waiting to be read. */
static int flush_raw(struct bucket_read *read, struct error *err)
{
    struct store_column column;
    struct store_span span = {read->span.series, read->raw_from + 1, read->raw_until};
    if (read->raw_from == read->raw_until)
        return 0;
    read->raw_from = read->raw_until;
    read->tiers |= 1u << STORE_RAW;
    if (read->in_pieces)
        return flush_summed(read, span, err);
    if (store_read(read->reader, span, read->arena, &column, err))
        return -1;
    if (column.coarse_ms > read->coarse_ms)
        read->coarse_ms = column.coarse_ms;
    return rollup_add_column(&read->buckets->rollup, &column, read->arena) ? 0 : exhausted(err);
}

/* The day's samples are to be read, together with those before if they border on them. */
static int want_raw(struct bucket_read *read, uint32_t day, struct error *err)
{
    int64_t from = partition_start(day), until = partition_start(day + 1);
    if (day == 0)
        from = -1;
    if (from < read->span.start_ms)
        from = read->span.start_ms;
    if (until > read->span.end_ms)
        until = read->span.end_ms;
    if (read->raw_from == read->raw_until) {
        read->raw_from = from;
    } else if (read->raw_until != from) {
        if (flush_raw(read, err))
            return -1;
        read->raw_from = from;
    }
    read->raw_until = until;
    return 0;
}

/* Where not even the tier asked for is left: samples in their place, from a wider one. */
static int read_coarser(struct bucket_read *read, uint32_t day, struct error *err)
{
    if (read->tier == STORE_1H)
        return 0;
    read->placed = STORE_RAW;
    return want_raw(read, day, err) || flush_raw(read, err) ? -1 : 0;
}

static int read_bucket_day(struct bucket_read *read, size_t i, struct error *err)
{
    struct bucket_reader *buckets = read->buckets;
    uint32_t day = buckets->first_day + (uint32_t)i;
    enum source source = (enum source)buckets->sources[i];
    if (source == SOURCE_NONE)
        return 0;
    if (source == SOURCE_RAW || read->within)
        return want_raw(read, day, err);
    bool there = find_day(read, read->tier, day);
    if (there && flush_raw(read, err))
        return -1;
    size_t at = buckets->rollup.count;
    int status = read_day(read, read->tier, day, &buckets->rollup, err);
    if (status == 1)
        keep_in_span(read, &buckets->rollup, at);
    if (status)
        return status < 0 ? -1 : 0;
    if (source == SOURCE_EITHER)
        return want_raw(read, day, err);
    if (there)
        buckets->rollup.damaged++;
    return flush_raw(read, err) || read_coarser(read, day, err) ? -1 : 0;
}

/* Reads the buckets of (start, end] into buckets->rollup. */
static int read_buckets(struct bucket_read *read, struct error *err)
{
    begin(read);
    read->raw_from = read->raw_until = 0;
    read->placed = STORE_RAW;
    rollup_reset(&read->buckets->rollup, read->histograms, rollup_tier_ms[read->tier]);
    read->buckets->rollup.without = read->without;
    for (size_t i = 0; i < read->buckets->days; i++)
        if (read_bucket_day(read, i, err))
            return -1;
    return flush_raw(read, err);
}

int store_read_buckets(struct store_reader *reader, struct store_tier_span of, struct arena *arena,
                       struct store_buckets *out, struct error *err)
{
    struct bucket_read read = {
        .reader = reader, .span = of.span, .tier = of.tier, .without = of.without, .arena = arena};
    assert(of.tier != STORE_RAW && of.span.start_ms % rollup_tier_ms[of.tier] == 0 &&
           of.span.end_ms % rollup_tier_ms[of.tier] == 0);
    *out = (struct store_buckets){0};
    if (read_buckets(&read, err))
        return -1;
    rollup_view(&read.buckets->rollup, out);
    out->tiers = read.tiers;
    out->coarse_ms = read.coarse_ms;
    return 0;
}

/* --- one long window --- */

/* Appends the buckets of (start, end] as pieces. */
static int read_part(struct bucket_read *read, enum store_tier tier, int64_t start_ms,
                     int64_t end_ms, struct error *err)
{
    if (start_ms >= end_ms)
        return 0;
    read->tier = tier;
    read->within = start_ms % rollup_tier_ms[tier] || end_ms % rollup_tier_ms[tier];
    read->span.start_ms = start_ms;
    read->span.end_ms = end_ms;
    if (read_buckets(read, err))
        return -1;
    return move_to_pieces(read, err);
}

static int64_t clamp(int64_t at, int64_t low, int64_t high)
{
    return at < low ? low : at > high ? high : at;
}

/* Samples | 5m | 1h buckets | 5m | samples: each as far as whole buckets reach. */
int store_read_pieces(struct store_reader *reader, struct store_span span, struct arena *arena,
                      struct store_buckets *out, struct error *err)
{
    struct bucket_read read = {.reader = reader, .span = span, .arena = arena, .in_pieces = true};
    int64_t start = clamp(span.start_ms, -1, TIME_MS_MAX);
    int64_t end = clamp(span.end_ms, start, TIME_MS_MAX);
    int64_t first_5m = clamp(bucket_end(start, STORE_5M_MS), start, end);
    int64_t last_5m = clamp(end / STORE_5M_MS * STORE_5M_MS, first_5m, end);
    int64_t first_1h = clamp(bucket_end(start, STORE_1H_MS), first_5m, last_5m);
    int64_t last_1h = clamp(end / STORE_1H_MS * STORE_1H_MS, first_1h, last_5m);
    struct rollup *pieces = &made(&reader->buckets)->pieces;
    rollup_reset(pieces, false, 1);
    *out = (struct store_buckets){0};
    if (read_part(&read, STORE_5M, start, first_5m, err) ||
        read_part(&read, STORE_5M, first_5m, first_1h, err) ||
        read_part(&read, STORE_1H, first_1h, last_1h, err) ||
        read_part(&read, STORE_5M, last_1h, last_5m, err) ||
        read_part(&read, STORE_5M, last_5m, end, err))
        return -1;
    rollup_view(pieces, out);
    out->end_ms = out->last_ms;
    out->tiers = read.tiers;
    out->coarse_ms = read.coarse_ms;
    return 0;
}
