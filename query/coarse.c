/* coarse: beyond the retention of raw samples, where a query does not ask for whole buckets.
 *
 *                      until
 *   buckets  |    |    |. .. . . . ...   samples
 *   window     (-----------]                 asked for
 *            (-------------]                 answered
 *
 * The store gives the first and the last sample of each bucket there. For functions that know
 * buckets this file does better: the buckets themselves, with the samples after them as buckets of
 * one sample each; ends of windows that would cut a bucket move to the border before. What grows
 * with the length of the window is scaled back to the length that was asked for. A window inside a
 * single bucket is answered from that bucket, so that no query is suddenly empty.
 */
#include "query/source.h"

#include <math.h>

void coarse_note(struct eval *eval, int64_t width_ms)
{
    const char *name = width_ms >= STORE_1H_MS ? "1h" : "5m";
    eval->tiers |= 1u << (width_ms >= STORE_1H_MS ? STORE_1H : STORE_5M);
    eval_info(eval,
              "the oldest samples of the range have left, of them only buckets of %s are kept: the "
              "answer is approximate there unless times, step and range are multiples of %s",
              name, name);
}

int64_t coarse_border(int64_t time_ms, int64_t width_ms)
{
    int64_t over = time_ms % width_ms;
    return time_ms - (over < 0 ? over + width_ms : over);
}

int64_t coarse_lookback(const struct coarse *coarse, int64_t now_ms, int64_t lookback_ms)
{
    bool wider = now_ms <= coarse->until_ms && coarse->width_ms > lookback_ms;
    return wider ? coarse->width_ms : lookback_ms;
}

double coarse_snap(const struct coarse *coarse, struct bounds *bounds)
{
    struct bounds asked = *bounds;
    int64_t width = coarse->width_ms, until = coarse->until_ms;
    if (width == 0 || asked.start_ms >= until)
        return 1;
    bounds->start_ms = coarse_border(asked.start_ms, width);
    if (asked.end_ms < until)
        bounds->end_ms = coarse_border(asked.end_ms, width);
    if (bounds->end_ms == bounds->start_ms)
        bounds->end_ms += width;
    return (double)(asked.end_ms - asked.start_ms) / (double)(bounds->end_ms - bounds->start_ms);
}

/* --- buckets and samples in one --- */

/* The buckets' array with room for the samples behind it. */
static void *extend(struct arena *arena, const void *older, size_t count, size_t total, size_t size)
{
    void *out = arena_zeroed(arena, total, size);
    if (out && older && count)
        memcpy(out, older, count * size);
    return out;
}
#define EXTEND(array) extend(arena, older.array, older.count, total, sizeof *older.array)

static bool append_values(struct arena *arena, const struct store_column *column, size_t from,
                          struct store_buckets *buckets)
{
    const struct store_buckets older = *buckets;
    size_t count = column->count - from, total = older.count + count;
    double *first = EXTEND(first), *last = EXTEND(last), *sum = EXTEND(sum);
    double *min = EXTEND(min), *max = EXTEND(max), *drop = EXTEND(drop);
    struct slice *sketches = column->sketches || older.sketches ? EXTEND(sketches) : NULL;
    if (arena->exhausted)
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t at = older.count + i;
        first[at] = last[at] = sum[at] = min[at] = max[at] = column->values[from + i];
        if (column->sketches)
            sketches[at] = column->sketches[from + i];
    }
    buckets->sketches = sketches;
    buckets->first = first;
    buckets->last = last;
    buckets->sum = sum;
    buckets->min = min;
    buckets->max = max;
    buckets->drop = older.count && !older.drop ? NULL : drop;
    return true;
}

static bool append_histograms(struct arena *arena, const struct store_column *column, size_t from,
                              struct store_buckets *buckets)
{
    const struct store_buckets older = *buckets;
    size_t count = column->count - from, total = older.count + count;
    const struct histogram **first = EXTEND(first_histogram), **last = EXTEND(last_histogram);
    const struct histogram **drop = EXTEND(drop_histogram);
    double *min = EXTEND(min), *max = EXTEND(max);
    if (!first || !last || !drop || !min || !max)
        return false;
    for (size_t i = 0; i < count; i++) {
        const struct histogram *histogram = column->histograms[from + i];
        size_t at = older.count + i;
        first[at] = last[at] = histogram;
        min[at] = histogram ? histogram->min : NAN;
        max[at] = histogram ? histogram->max : NAN;
    }
    buckets->first_histogram = first;
    buckets->last_histogram = last;
    buckets->drop_histogram = drop;
    buckets->min = min;
    buckets->max = max;
    return true;
}

static bool append_times(struct arena *arena, const struct store_column *column, size_t from,
                         struct store_buckets *buckets)
{
    const struct store_buckets older = *buckets;
    size_t count = column->count - from, total = older.count + count;
    int64_t *end = EXTEND(end_ms), *first = EXTEND(first_ms), *last = EXTEND(last_ms);
    uint32_t *counts = EXTEND(counts);
    bool *ended = EXTEND(ended);
    if (!end || !first || !last || !counts || !ended)
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t at = older.count + i;
        end[at] = first[at] = last[at] = column->times[from + i];
        ended[at] = column_is_marker(column, from + i);
        counts[at] = !ended[at];
    }
    buckets->count = total;
    buckets->end_ms = end;
    buckets->first_ms = first;
    buckets->last_ms = last;
    buckets->counts = counts;
    buckets->ended = ended;
    return true;
}

bool coarse_append(struct arena *arena, const struct store_column *column, int64_t after_ms,
                   struct store_buckets *buckets)
{
    size_t from = 0;
    while (from < column->count && column->times[from] <= after_ms)
        from++;
    bool enough = column->histograms ? append_histograms(arena, column, from, buckets)
                                     : append_values(arena, column, from, buckets);
    return enough && append_times(arena, column, from, buckets);
}
