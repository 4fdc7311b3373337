/* view_points: see the header.
 *
 *   samples    x   x   x   x   x   x   x   x       totals since the series began, one a tick
 *   windows  |       |       |       |       |     (t - step, t], on multiples of the step
 *   points           p       p       p       p     of what the total rose by since the window before
 *
 * A step that is a multiple of 5 minutes is read from rollups, of an hour from those. The total before
 * the first window is looked for an hour back; a series that begins within a window counts from its
 * own first sample, which is one of zero where statsd made it. A window without samples has no point.
 */
#include "query/view_points.h"

#include <math.h>

#include "query/histogram_math.h"
#include "query/promql.h"

#define WINDOW_BYTES ((size_t)1 << 20) /* of one histogram and what it is made of */
#define LOOK_BACK_MS ((int64_t)3600 * 1000)
#define NONE         SIZE_MAX

/* What was read of a series; stale markers are among it. */
struct track {
    size_t count;
    const int64_t *times;
    const double *values; /* of rollups the last ones of each bucket, ... */
    const struct histogram *const *histograms;
    const double *firsts; /* ... and these its first ones; of samples they are the same */
    const struct histogram *const *first_histograms;
    const struct slice *sketches;
    const double *min, *max; /* of rollups; else the histograms have them */
    const bool *ended;       /* of rollups: a stale marker follows the value */
    const uint32_t *counts;  /* of rollups: 0 where there is nothing but a marker */
};

/* --- reading --- */

static int read_samples(struct view_reading *r, struct store_span span, struct track *out)
{
    struct store_column column;
    if (store_read(r->reader, span, &r->scratch, &column, r->err))
        return -1;
    *out = (struct track){.count = column.count,
                          .times = column.times,
                          .values = column.values,
                          .histograms = column.histograms,
                          .firsts = column.values,
                          .first_histograms = column.histograms,
                          .sketches = column.sketches};
    return 0;
}

static int read_rollups(struct view_reading *r, struct store_span span, struct track *out)
{
    bool hours = r->request->step_ms % STORE_1H_MS == 0;
    int64_t width_ms = hours ? STORE_1H_MS : STORE_5M_MS;
    struct store_buckets buckets;
    span.start_ms -= span.start_ms % width_ms;
    struct store_tier_span of = {.span = span, .tier = hours ? STORE_1H : STORE_5M};
    if (store_read_buckets(r->reader, of, &r->scratch, &buckets, r->err))
        return -1;
    *out = (struct track){.count = buckets.count,
                          .times = buckets.end_ms,
                          .values = buckets.last,
                          .histograms = buckets.last_histogram,
                          .firsts = buckets.first,
                          .first_histograms = buckets.first_histogram,
                          .sketches = buckets.sketches,
                          .min = buckets.min,
                          .max = buckets.max,
                          .ended = buckets.ended,
                          .counts = buckets.counts};
    return 0;
}

static int read_track(struct view_reading *r, uint32_t series, struct track *out)
{
    const struct view_request *request = r->request;
    int64_t last_ms = r->first_ms + ((int64_t)r->points - 1) * request->step_ms;
    struct store_span span = {series, r->first_ms - request->step_ms - LOOK_BACK_MS, last_ms};
    bool rolled = request->step_ms % STORE_5M_MS == 0;
    if (span.start_ms < 0)
        span.start_ms = 0;
    arena_reset(&r->scratch);
    if (rolled ? read_rollups(r, span, out) : read_samples(r, span, out))
        return -1;
    r->samples_read += (int64_t)out->count;
    if (r->samples_read > request->samples_max)
        return error_set(r->err, ERROR_LIMIT,
                         "the query needs more samples than limits.query_samples; ask for a "
                         "narrower path or less time");
    return 0;
}

/* --- windows --- */

static bool is_live(const struct track *track, size_t i)
{
    if (track->counts)
        return track->counts[i] > 0;
    return track->histograms ? track->histograms[i] != NULL : !is_stale_nan(track->values[i]);
}

/* One window after the other. */
struct window {
    int64_t end_ms;
    size_t from, to;    /* its samples */
    size_t first, last; /* those of them that are no markers; NONE */
    size_t before;      /* the last such one before the window, or NONE */
};

static void begin_windows(const struct view_reading *r, const struct track *track,
                          struct window *out)
{
    *out = (struct window){
        .end_ms = r->first_ms - r->request->step_ms, .first = NONE, .last = NONE, .before = NONE};
    for (; out->to < track->count && track->times[out->to] <= out->end_ms; out->to++)
        if (is_live(track, out->to))
            out->last = out->to;
}

static void next_window(const struct view_reading *r, const struct track *track,
                        struct window *window)
{
    window->end_ms += r->request->step_ms;
    window->from = window->to;
    window->before = window->last != NONE ? window->last : window->before;
    window->first = window->last = NONE;
    for (; window->to < track->count && track->times[window->to] <= window->end_ms; window->to++) {
        if (!is_live(track, window->to))
            continue;
        window->first = window->first == NONE ? window->to : window->first;
        window->last = window->to;
    }
}

/* --- the kinds --- */

int view_add_rises(struct view_reading *r, uint32_t series, double sign, double *rises)
{
    struct window window;
    struct track track;
    if (read_track(r, series, &track))
        return -1;
    begin_windows(r, &track, &window);
    for (size_t i = 0; i < r->points; i++) {
        next_window(r, &track, &window);
        if (window.last == NONE)
            continue;
        double total = track.values[window.last];
        double rise = total - (window.before == NONE ? track.firsts[window.first]
                                                     : track.values[window.before]);
        rise = rise < 0 ? total : rise;
        rises[i] = (isnan(rises[i]) ? 0 : rises[i]) + sign * rise;
    }
    return 0;
}

/* The newest reading, unless it is too old to hold or its series has ended. */
static double reading_at(const struct view_reading *r, const struct track *track,
                         const struct window *window)
{
    int64_t step_ms = r->request->step_ms;
    int64_t holds_ms = step_ms > PROMQL_LOOKBACK_MS ? step_ms : PROMQL_LOOKBACK_MS;
    size_t newest = window->to - 1;
    if (window->to == 0 || !is_live(track, newest) || (track->ended && track->ended[newest]))
        return NAN;
    return track->times[newest] > window->end_ms - holds_ms ? track->values[newest] : NAN;
}

/* The members of all ticks in a window, each counted once. */
static double members_in(const struct track *track, const struct window *window)
{
    struct sketch all;
    double most = NAN;
    sketch_init(&all);
    for (size_t i = window->from; i < window->to; i++) {
        if (!is_live(track, i))
            continue;
        if (track->values && !(track->values[i] <= most))
            most = track->values[i];
        if (track->sketches && track->sketches[i].len &&
            !sketch_merge_code(&all, track->sketches[i]))
            continue; /* damaged: what it had until then counts */
    }
    double members = sketch_estimate(&all);
    sketch_release(&all);
    return members > 0 ? members : most;
}

/* What a timer got in a window; NULL: no memory. */
static struct histogram *histogram_in(const struct track *track, const struct window *window,
                                      struct arena *arena)
{
    const struct histogram *after = track->histograms[window->last];
    const struct histogram *base = window->before == NONE ? track->first_histograms[window->first]
                                                          : track->histograms[window->before];
    bool fell = histogram_fell(base, after);
    struct histogram *rise =
        fell ? histogram_copy(arena, after) : histogram_combine(arena, after, base, -1);
    if (!rise)
        return NULL;
    rise->min = rise->max = NAN;
    for (size_t i = window->from; i < window->to; i++) {
        if (!is_live(track, i))
            continue;
        double low = track->min ? track->min[i] : track->histograms[i]->min;
        double high = track->max ? track->max[i] : track->histograms[i]->max;
        rise->min = fmin(rise->min, low);
        rise->max = fmax(rise->max, high);
    }
    return rise;
}

int view_put_readings(struct view_reading *r, uint32_t series, double *out)
{
    struct window window;
    struct track track;
    if (read_track(r, series, &track))
        return -1;
    begin_windows(r, &track, &window);
    for (size_t i = 0; i < r->points; i++) {
        next_window(r, &track, &window);
        out[i] = reading_at(r, &track, &window);
    }
    return 0;
}

int view_put_members(struct view_reading *r, uint32_t series, double *out)
{
    struct window window;
    struct track track;
    if (read_track(r, series, &track))
        return -1;
    begin_windows(r, &track, &window);
    for (size_t i = 0; i < r->points; i++) {
        next_window(r, &track, &window);
        out[i] = members_in(&track, &window);
    }
    return 0;
}

int view_put_timers(struct view_reading *r, uint32_t series, const struct view_wanted *wanted,
                    size_t count)
{
    double seconds = (double)r->request->step_ms / 1000;
    struct window window;
    struct track track;
    int status = 0;
    if (read_track(r, series, &track))
        return -1;
    begin_windows(r, &track, &window);
    for (size_t i = 0; i < r->points && status == 0; i++) {
        next_window(r, &track, &window);
        if (window.last == NONE)
            continue;
        arena_reset(&r->window);
        const struct histogram *in = histogram_in(&track, &window, &r->window);
        if (!in)
            status = error_set(r->err, ERROR_LIMIT, "a window needs more than limits.query_memory");
        for (size_t k = 0; k < count && in; k++)
            wanted[k].values[i] = etsy_compute(in, wanted[k].statistic, seconds);
    }
    return status;
}

void view_reading_init(struct view_reading *r, const struct view_request *request,
                       struct error *err)
{
    *r = (struct view_reading){.request = request, .err = err};
    int64_t step_ms = request->step_ms;
    int64_t last_ms = request->end_ms - request->end_ms % step_ms;
    r->first_ms = request->start_ms - request->start_ms % step_ms + step_ms;
    r->points = last_ms < r->first_ms ? 0 : (size_t)((last_ms - r->first_ms) / step_ms) + 1;
    r->reader = store_reader_new(request->store);
    store_reader_want_sketches(r->reader, true);
    arena_init(&r->scratch, request->scratch_max);
    arena_init(&r->window, WINDOW_BYTES);
}

void view_reading_release(struct view_reading *r)
{
    store_reader_free(r->reader);
    arena_release(&r->scratch);
    arena_release(&r->window);
}
