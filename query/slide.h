/* slide: what the windows of one series leave for the next, so that all of them together cost about
 * what the samples of the series do.
 *
 * Made empty for each series; a function that needs something of it has it made, in the arena, when
 * it first asks. NULL and false then also mean that memory is out, which the arena says. Windows come
 * in order of time, and one function asks.
 */
#ifndef QUERY_SLIDE_H
#define QUERY_SLIDE_H

#include "query/eval.h"

struct moments;
struct ranking;

struct slide {
    const struct samples *series;
    struct arena *arena;
    double overlap; /* in how many windows a sample is, about */
    double *work;
    size_t *extremes;
    size_t extremes_first, extremes_end, extremes_seen;
    struct ranking *ranking;
    struct moments *moments;
    const uint32_t *falls, *histogram_falls, *changes;
    const uint32_t *fall_places;
    size_t fall_count;
};

/* Room for the values of any window. */
double *slide_work(struct slide *slide);

/* Lists the samples whose value is below the one before: fall_places. */
MUST_USE bool slide_find_falls(struct slide *slide);
/* at[i] - at[0] = how often the values fell between the first sample of the window and sample i. */
const uint32_t *slide_falls(const struct window *window);
const uint32_t *slide_histogram_falls(const struct window *window);
/* The same for changes of the value. */
const uint32_t *slide_changes(const struct window *window);
/* What was lost in the falls after the first `from` and up to `to` of the series, added to `rise` one
 * after the other. */
double slide_heal(const struct slide *slide, size_t from, size_t to, double rise);

/* The largest value of the window, or with sign -1 the least one. NaN counts only where there is
 * nothing else. */
bool slide_extreme(const struct window *window, double sign, double *out);
/* The window's values, ranked; NULL where sorting what is in each window is cheaper. */
struct ranking *slide_ranking(const struct window *window);

/* The sum, and what the variance is times the count: as exact as adding the values up with
 * compensation (1e-12), and the same to the bit whatever windows came before. False where that cannot
 * be promised: infinities, NaN, sums that nearly cancel out. All windows are of one length. */
bool slide_sum(const struct window *window, double *out);
bool slide_squares(const struct window *window, double *out);
/* The line of least squares, its origin of time at `origin_ms`; the same (1e-11). */
struct line {
    double slope, at_origin;
};
bool slide_line(const struct window *window, int64_t origin_ms, struct line *out);

#endif
