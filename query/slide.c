/* slide: extremes, falls and rankings of windows that move on over one series.
 *
 * Extremes are a queue of the samples that may still become one, in order of time and of value: each
 * sample enters and leaves once. Falls and changes are counted up to each sample, so that a window's
 * number of them is a difference, and the places of falls are listed, because there are few.
 */
#include "query/slide.h"

#include <math.h>

#include "query/histogram_math.h"
#include "query/ranking.h"

/* Below, selecting from each window anew is cheaper than sorting the series; measured. */
#define RANKING_OVERLAP_MIN 3
#define RANKING_COUNT_MIN   8

double *slide_work(struct slide *slide)
{
    if (!slide->work)
        slide->work = arena_alloc(slide->arena, slide->series->count * sizeof *slide->work);
    return slide->work;
}

/* --- falls and changes --- */

/* How many values are below the one before. Two at a time, since every sample of a rate is looked at. */
static size_t falls_among(const double *values, size_t count)
{
    two_marks falls = {0}; /* -1 each */
    size_t i = 1;
    for (; i + 2 <= count; i += 2)
        falls += two_values(&values[i]) < two_values(&values[i - 1]);
    return (size_t) - (falls[0] + falls[1]) + (i < count && values[i] < values[i - 1]);
}

bool slide_find_falls(struct slide *slide)
{
    const struct samples *series = slide->series;
    if (slide->fall_places)
        return true;
    size_t count = falls_among(series->values, series->count), found = 0;
    uint32_t *places = arena_alloc(slide->arena, count * sizeof *places);
    for (size_t i = 1; places && found < count; i++)
        if (series->values[i] < series->values[i - 1])
            places[found++] = (uint32_t)i;
    slide->fall_places = places;
    slide->fall_count = count;
    return places != NULL;
}

static const uint32_t *count_falls(struct slide *slide)
{
    size_t count = slide->series->count;
    uint32_t seen = 0;
    uint32_t *falls =
        slide_find_falls(slide) ? arena_alloc(slide->arena, count * sizeof *falls) : NULL;
    for (size_t i = 0; falls && i < count; i++) {
        seen += seen < slide->fall_count && slide->fall_places[seen] == i;
        falls[i] = seen;
    }
    return falls;
}

const uint32_t *slide_falls(const struct window *window)
{
    struct slide *slide = window->slide;
    if (!slide->falls)
        slide->falls = count_falls(slide);
    return slide->falls ? slide->falls + window->first : NULL;
}

double slide_heal(const struct slide *slide, size_t from, size_t to, double rise)
{
    for (size_t i = from; i < to; i++)
        rise += slide->series->values[slide->fall_places[i] - 1];
    return rise;
}

const uint32_t *slide_histogram_falls(const struct window *window)
{
    struct slide *slide = window->slide;
    const struct samples *series = slide->series;
    if (!slide->histogram_falls) {
        size_t count = series->histogram_count;
        uint32_t *falls = arena_alloc(slide->arena, count * sizeof *falls), seen = 0;
        for (size_t i = 0; falls && i < count; i++) {
            seen += i > 0 && histogram_fell(series->histograms[i - 1], series->histograms[i]);
            falls[i] = seen;
        }
        slide->histogram_falls = falls;
    }
    return slide->histogram_falls ? slide->histogram_falls + window->histogram_first : NULL;
}

static bool differ(double a, double b)
{
    return a != b && !(isnan(a) && isnan(b));
}

const uint32_t *slide_changes(const struct window *window)
{
    struct slide *slide = window->slide;
    const struct samples *series = slide->series;
    if (!slide->changes) {
        uint32_t *changes = arena_alloc(slide->arena, series->count * sizeof *changes), seen = 0;
        for (size_t i = 0; changes && i < series->count; i++) {
            seen += i > 0 && differ(series->values[i], series->values[i - 1]);
            changes[i] = seen;
        }
        slide->changes = changes;
    }
    return slide->changes ? slide->changes + window->first : NULL;
}

/* --- extremes --- */

bool slide_extreme(const struct window *window, double sign, double *out)
{
    struct slide *slide = window->slide;
    const double *all = slide->series->values;
    size_t first = window->first, end = first + window->count, seen = slide->extremes_seen;
    if (!slide->extremes)
        slide->extremes = arena_alloc(slide->arena, slide->series->count * sizeof *slide->extremes);
    size_t *queue = slide->extremes, head = slide->extremes_first, tail = slide->extremes_end;
    if (!queue)
        return false;
    for (size_t i = seen > first ? seen : first; i < end; i++) {
        if (isnan(all[i]))
            continue;
        while (tail > head && sign * all[i] > sign * all[queue[tail - 1]])
            tail--;
        queue[tail++] = i;
    }
    while (head < tail && queue[head] < first)
        head++;
    slide->extremes_first = head;
    slide->extremes_end = tail;
    slide->extremes_seen = end;
    *out = head < tail ? all[queue[head]] : all[end - 1];
    return true;
}

/* --- ranking --- */

struct ranking *slide_ranking(const struct window *window)
{
    struct slide *slide = window->slide;
    if (slide->overlap < RANKING_OVERLAP_MIN || window->count < RANKING_COUNT_MIN)
        return NULL;
    if (!slide->ranking) {
        struct ranking *ranking = arena_alloc(slide->arena, sizeof *ranking);
        const struct samples *series = slide->series;
        if (!ranking || !ranking_make(slide->arena, series->values, series->count, ranking))
            return NULL;
        slide->ranking = ranking;
    }
    ranking_move(slide->ranking, window->first, window->first + window->count);
    return slide->ranking;
}
