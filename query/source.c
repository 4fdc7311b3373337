/* source: what the series of a selector are read as: samples, or summaries of the store.
 *
 *   step          |           |           |
 *   windows   (-----------]
 *                 (-----------]                 all ends, starts and so the steps between them
 *   buckets   |   |   |   |   |   |   |         lie on borders of buckets: exact
 *
 * Buckets are open on the left as windows are, so a window made of whole buckets holds exactly
 * their samples. The coarsest width that fits is taken; where the store has no rollup of that
 * width (the last day or two) it makes the same buckets from raw samples, so there is no seam. An
 * instant selector needs only its ends on borders: the newest sample of the newest bucket says
 * all. One long window at any alignment is read in pieces as large as the store has them. A series
 * whose buckets cannot answer the function (a histogram in stddev_over_time) is read as samples.
 *
 * Deliberately absent: windows of many steps that cut through buckets. They are read raw; what
 * becomes of them beyond the retention of raw samples is told in coarse.c.
 */
#include "query/source.h"

#include <stdio.h>

#define NAME_BYTES_MAX ((size_t)1 << 16) /* of a series, in a warning; cut off further on */
#define NAMES_SEEN     64
#define PIECES_MIN_MS  (2 * STORE_1H_MS) /* a shorter window is read as fast from its samples */

static bool on_borders(const struct source_windows *windows, int64_t width)
{
    bool one = windows->steps == 1 || windows->step_ms == 0;
    return windows->end_ms % width == 0 && (one || windows->step_ms % width == 0) &&
           (windows->instant || windows->start_ms % width == 0);
}

enum source source_choose(const struct source_windows *windows)
{
    if (on_borders(windows, STORE_1H_MS))
        return SOURCE_1H;
    if (on_borders(windows, STORE_5M_MS))
        return SOURCE_5M;
    bool one = windows->steps == 1 || windows->step_ms == 0;
    if (one && !windows->instant && windows->end_ms - windows->start_ms >= PIECES_MIN_MS)
        return SOURCE_PIECES;
    return SOURCE_SAMPLES;
}

/* Without the columns that nobody will look at. */
static int read_buckets(struct reading *reading, struct store_span span, struct store_buckets *out)
{
    struct eval *eval = reading->eval;
    struct arena *arena = &reading->scratch.arena;
    enum store_tier tier = reading->source == SOURCE_1H ? STORE_1H : STORE_5M;
    if (reading->source == SOURCE_PIECES)
        return store_read_pieces(eval->reader, span, arena, out, eval->err);
    span.start_ms = coarse_border(span.start_ms, tier == STORE_1H ? STORE_1H_MS : STORE_5M_MS);
    struct store_tier_span of = {span, tier, BUCKETS_ALL & ~BUCKETS_LAST};
    if (!reading->instant)
        of.without = reading->function->without;
    return store_read_buckets(eval->reader, of, arena, out, eval->err);
}

/* --- reading buckets --- */

/* An answer with a gap is better than none, as long as it says so. */
static void warn_damaged(struct eval *eval, struct labels labels, size_t chunks)
{
    struct buffer name;
    buffer_init(&name, NAME_BYTES_MAX);
    labels_print(labels, &name);
    eval_warn(eval, "%zu damaged chunks of " SLICE_FMT " were left out: restore a backup", chunks,
              SLICE_ARG(buffer_slice(&name)));
    buffer_release(&name);
}

static int read_failed(struct eval *eval)
{
    return eval->err->kind == ERROR_LIMIT ? eval_fail_memory(eval) : -1;
}

static int note_read(struct eval *eval, const struct store_series *series, size_t count,
                     size_t damaged)
{
    if (damaged)
        warn_damaged(eval, series->labels, damaged);
    return eval_count_samples(eval, count);
}

static struct store_span windows_span(const struct reading *reading, uint32_t id, int64_t range_ms)
{
    int64_t start = time_minus(reading->range.end_ms, range_ms + reading->before_ms);
    return (struct store_span){id, start, range_last(&reading->range, reading->grid)};
}

/* Whether the function knows buckets of that kind of series. */
static bool knows_buckets(const struct reading *reading, enum series_kind kind)
{
    const struct bucket_function *function = reading->function;
    return function && (kind == SERIES_HISTOGRAM ? function->histogram : function->number);
}

static bool buckets_fit(const struct reading *reading, const struct store_buckets *buckets)
{
    bool any = !reading->function || !reading->function->fits || buckets->first_histogram;
    return any || buckets->count == 0 || reading->function->fits(buckets);
}

/* 1: done, 0: it takes the samples, -1: failed. */
static int reading_buckets(struct reading *reading, const struct store_series *series)
{
    struct eval *eval = reading->eval;
    struct store_span span = windows_span(reading, series->id, reading->range.range_ms);
    struct store_buckets buckets;
    if (reading->source == SOURCE_SAMPLES ||
        (!reading->instant && !knows_buckets(reading, series->kind)))
        return 0;
    scratch_clear(eval, &reading->scratch);
    if (read_buckets(reading, span, &buckets) != 0)
        return read_failed(eval);
    bool whole = reading->source != SOURCE_5M || buckets.coarse_ms <= STORE_5M_MS;
    if (!whole || !buckets_fit(reading, &buckets))
        return 0;
    if (reading->source == SOURCE_PIECES && buckets.coarse_ms)
        coarse_note(eval, buckets.coarse_ms); /* at the edges */
    if (note_read(eval, series, buckets.count, buckets.damaged) != 0)
        return -1;
    eval->tiers |= buckets.tiers;
    if (buckets.count && reading->take_buckets(reading, series->labels, &buckets) != 0)
        return -1;
    return 1;
}

/* --- reading samples --- */

static int read_column(struct reading *reading, struct store_span span, struct store_column *out)
{
    span.start_ms++;
    scratch_clear(reading->eval, &reading->scratch);
    return store_read(reading->eval->reader, span, &reading->scratch.arena, out,
                      reading->eval->err);
}

/* Buckets as far as only they are left, and the samples after them. 1: done, 0: the function takes
 * samples, -1: failed. */
static int reading_coarse(struct reading *reading, const struct store_series *series,
                          const struct store_column *column)
{
    struct eval *eval = reading->eval;
    struct arena *arena = &reading->scratch.arena;
    struct coarse *coarse = &reading->coarse;
    struct store_span span = windows_span(reading, series->id, reading->range.range_ms);
    struct store_buckets buckets;
    enum store_tier tier = coarse->width_ms >= STORE_1H_MS ? STORE_1H : STORE_5M;
    if (!knows_buckets(reading, series->kind))
        return 0;
    span.start_ms = coarse_border(span.start_ms, coarse->width_ms);
    span.end_ms = coarse_border(span.end_ms + coarse->width_ms - 1, coarse->width_ms);
    if (span.end_ms > coarse->until_ms)
        span.end_ms = coarse->until_ms;
    if (store_read_buckets(eval->reader, (struct store_tier_span){span, .tier = tier}, arena,
                           &buckets, eval->err) != 0)
        return read_failed(eval);
    if (!buckets_fit(reading, &buckets))
        return 0;
    if (!coarse_append(arena, column, coarse->until_ms, &buckets))
        return eval_fail_memory(eval);
    if (buckets.count && reading->take_buckets(reading, series->labels, &buckets) != 0)
        return -1;
    return 1;
}

static int reading_samples(struct reading *reading, const struct store_series *series)
{
    struct eval *eval = reading->eval;
    struct store_span span = windows_span(reading, series->id, reading->range.range_ms);
    struct store_column column;
    if (read_column(reading, span, &column) != 0)
        return read_failed(eval);
    if (column.coarse_ms) {
        int64_t width = column.coarse_ms >= STORE_1H_MS ? STORE_1H_MS : STORE_5M_MS;
        int64_t until = coarse_border(column.coarse_until_ms + width - 1, width);
        reading->coarse = (struct coarse){width, until};
        coarse_note(eval, width);
        span =
            windows_span(reading, series->id,
                         coarse_lookback(&reading->coarse, span.start_ms, reading->range.range_ms));
        if (reading->instant && read_column(reading, span, &column) != 0)
            return read_failed(eval);
    }
    if (note_read(eval, series, column.count, column.damaged) != 0)
        return -1;
    if (column.count && column.times[column.count - 1] > column.coarse_until_ms)
        eval->tiers |= 1u << STORE_RAW;
    int done = column.coarse_ms ? reading_coarse(reading, series, &column) : 0;
    if (done != 0 || column.count == 0)
        return done < 0 ? -1 : 0;
    return reading->take(reading, series->labels, &column);
}

int reading_one(struct reading *reading, const struct store_series *series)
{
    if (eval_check(reading->eval) != 0)
        return -1;
    reading->coarse = (struct coarse){0};
    int done = reading_buckets(reading, series);
    if (done != 0)
        return done < 0 ? -1 : 0;
    return reading_samples(reading, series);
}

/* Rollups that are not stored would be made from the samples each time. */
static enum source choose_source(const struct reading *reading)
{
    const struct range *range = &reading->range;
    struct source_windows windows = {
        .start_ms = time_minus(range->end_ms, range->range_ms),
        .end_ms = range->end_ms,
        .step_ms = range->step_ms,
        .steps = reading->grid->steps,
        .instant = reading->instant,
    };
    enum source source = reading->take_buckets ? source_choose(&windows) : SOURCE_SAMPLES;
    enum store_tier tier = source == SOURCE_5M ? STORE_5M : STORE_1H;
    if (source == SOURCE_SAMPLES || !store_has_rollup(reading->eval->store, tier, windows.start_ms,
                                                      range_last(range, reading->grid)))
        return SOURCE_SAMPLES;
    /* A piece may lie across the start of the window, where the base ends. */
    return source == SOURCE_PIECES && reading->before_ms ? SOURCE_SAMPLES : source;
}

static bool is_over(void *arg)
{
    return eval_check(arg) != 0;
}

static bool has_counter_suffix(struct slice name)
{
    static const struct slice suffixes[] = {SLICE_LIT("_total"), SLICE_LIT("_sum"),
                                            SLICE_LIT("_count"), SLICE_LIT("_bucket")};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (name.len >= suffixes[i].len &&
            slice_equal(slice_skip(name, name.len - suffixes[i].len), suffixes[i]))
            return true;
    return false;
}

/* Names that are gauges for certain, where a rate is asked for. What other servers write comes without
 * a kind and counts as a gauge, hence a look at the name, too. */
static void note_gauges(struct eval *eval, const struct store_selection *selection,
                        const struct plan *plan)
{
    struct slice seen[NAMES_SEEN] = {{0}};
    for (size_t i = 0; i < selection->count; i++) {
        const struct store_series *series = &selection->at[i];
        struct slice name = labels_get(series->labels, SLICE(LABEL_NAME));
        bool gauge = series->kind == SERIES_GAUGE || series->kind == SERIES_SET;
        struct slice *last = &seen[slice_hash(name) % NAMES_SEEN];
        if (!gauge || slice_equal(name, *last) || has_counter_suffix(name))
            continue;
        *last = name;
        eval_info_at(eval, plan,
                     "PromQL info: metric might not be a counter, name does not end in "
                     "_total/_sum/_count/_bucket: \"" SLICE_FMT "\"",
                     SLICE_ARG(name));
    }
}

int reading_run(struct reading *reading, const struct plan *plan)
{
    struct eval *eval = reading->eval;
    struct store_selection selection;
    int64_t from =
        time_minus(reading->range.end_ms, reading->range.range_ms + reading->before_ms) + 1;
    struct store_query query = {.matchers = plan->selector.matchers,
                                .matcher_count = plan->selector.matcher_count,
                                .start_ms = from,
                                .end_ms = range_last(&reading->range, reading->grid),
                                .stop = is_over,
                                .stop_arg = eval,
                                .by_id = eval->ordered != plan};
    if (store_select(eval->store, &query, eval->arena, &selection, eval->err) != 0)
        return read_failed(eval);
    if (reading->of_counters || eval->counted == plan)
        note_gauges(eval, &selection, plan);
    reading->source = choose_source(reading);
    size_t done;
    int result = reading_parallel(reading, &selection, &done);
    store_reader_want_sketches(eval->reader, reading->sketches);
    scratch_open(eval, &reading->scratch);
    for (size_t i = done; i < selection.count && result == 0; i++)
        result = reading_one(reading, &selection.at[i]);
    scratch_close(eval, &reading->scratch);
    return result;
}
