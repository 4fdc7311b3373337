/* moments: sums over windows that move on, without adding everything up again and without drift.
 *
 *                 base         mid          end
 *   samples  . . . [  front     |   back     ]
 *   window i        (-------------------]
 *   window i+1          (-------------------]
 *
 * A queue of two stacks. `front` holds for each of its samples the sum from there to `mid`, `back` is
 * the sum of what came since; a window is one of the first plus the second. Once the window has left
 * the front, all of it becomes the new front. So each sample is added twice, nothing is ever
 * subtracted, and what has left leaves no trace.
 *
 * Sums are compensated: the value, and beside it what rounding has lost. The magnitude (the sum of the
 * absolute values) tells when that is not enough: where it is 2^30 times the sum, or the sum not
 * finite, the caller adds up the window itself, in order.
 *
 * What is added up are terms of each sample: its value; or its distance from a value of the front and
 * the square of that, for the variance; or time, value and their products, for a line. The latter
 * two are differences in the end, and exact enough as long as little cancels out there; the same
 * refusal else.
 */
#include "query/slide.h"

#include <float.h>
#include <math.h>

#define OVERLAP_MIN     3      /* below, each window is added up; measured */
#define CANCELLED_MAX   0x1p30 /* of the magnitude to the sum */
#define OFF_CENTRE_MAX  1e3    /* of the squared distances to the variance */
#define DEVIATION_SHARE 1e-4   /* of the value: less is a matter of its last digits */
#define COVARIANCE_MIN  1e-3   /* of the sum of products */
#define FINITE_MAX      1e280  /* beyond, it depends on the origin what overflows */
#define TERMS_MAX       4

enum kind {
    VALUES,  /* value */
    SQUARES, /* distance, its square */
    LINE,    /* seconds, value, seconds * value, seconds * seconds */
};

static const size_t terms_of_kind[] = {[VALUES] = 1, [SQUARES] = 2, [LINE] = 4};

struct tally {
    double sum, rest, magnitude;
};

struct moments {
    enum kind kind;
    struct tally *front; /* terms_of_kind for each sample */
    struct tally back[TERMS_MAX];
    double origin; /* of distances */
    int64_t origin_ms;
    size_t base, mid, end;
};

/* --- tallies --- */

static inline void tally_add(struct tally *tally, double value)
{
    double sum = tally->sum + value, part = sum - tally->sum;
    tally->rest += (tally->sum - (sum - part)) + (value - part);
    tally->sum = sum;
    tally->magnitude += fabs(value);
}

/* The terms of sample i, added to `tallies`, where they are several. The kind is a constant where
 * this is called. */
static inline void add_terms(const struct moments *moments, const struct samples *series, size_t i,
                             enum kind kind, struct tally tallies[TERMS_MAX])
{
    double value = series->values[i];
    if (kind == SQUARES) {
        double distance = value - moments->origin;
        tally_add(&tallies[0], distance);
        tally_add(&tallies[1], distance * distance);
    } else {
        double seconds = (double)(series->times[i] - moments->origin_ms) / 1000;
        tally_add(&tallies[0], seconds);
        tally_add(&tallies[1], value);
        tally_add(&tallies[2], seconds * value);
        tally_add(&tallies[3], seconds * seconds);
    }
}

/* --- moving --- */

static struct moments *moments_of(struct slide *slide, enum kind kind)
{
    struct moments *moments = slide->moments;
    if (moments)
        return moments;
    moments = arena_zeroed(slide->arena, 1, sizeof *moments);
    if (!moments)
        return NULL;
    moments->kind = kind;
    moments->front = arena_alloc(slide->arena, slide->series->count * terms_of_kind[kind] *
                                                   sizeof *moments->front);
    return moments->front ? slide->moments = moments : NULL;
}

/* Of values alone: one tally stays in registers, an array goes through memory with each addition. */
static void fill_front_values(struct moments *moments, const double *values)
{
    struct tally sum = {0};
    for (size_t i = moments->end; i-- > moments->base;) {
        tally_add(&sum, values[i]);
        moments->front[i - moments->base] = sum;
    }
}

static void extend_back_values(struct moments *moments, const double *values, size_t end)
{
    struct tally sum = moments->back[0];
    for (size_t i = moments->end; i < end; i++)
        tally_add(&sum, values[i]);
    moments->back[0] = sum;
    moments->end = end;
}

static inline void fill_front(struct moments *moments, const struct samples *series, enum kind kind)
{
    struct tally sums[TERMS_MAX] = {{0}};
    size_t terms = terms_of_kind[kind];
    for (size_t i = moments->end; i-- > moments->base;) {
        add_terms(moments, series, i, kind, sums);
        memcpy(&moments->front[(i - moments->base) * terms], sums, terms * sizeof *sums);
    }
}

/* All of the window becomes the front. */
static void turn(struct moments *moments, const struct samples *series, size_t first, size_t end)
{
    moments->base = first;
    moments->mid = moments->end = end;
    memset(moments->back, 0, sizeof moments->back);
    moments->origin = series->values[first];
    moments->origin_ms = series->times[first];
    if (moments->kind == VALUES)
        fill_front_values(moments, series->values);
    else if (moments->kind == SQUARES)
        fill_front(moments, series, SQUARES);
    else
        fill_front(moments, series, LINE);
}

static inline void extend_back(struct moments *moments, const struct samples *series, size_t end,
                               enum kind kind)
{
    struct tally sums[TERMS_MAX];
    memcpy(sums, moments->back, sizeof sums);
    for (size_t i = moments->end; i < end; i++)
        add_terms(moments, series, i, kind, sums);
    memcpy(moments->back, sums, sizeof sums);
    moments->end = end;
}

/* The window begins in the front and ends in front or back then. */
static void move(struct moments *moments, const struct samples *series, size_t first, size_t end)
{
    if (first >= moments->mid)
        turn(moments, series, first, end);
    else if (moments->kind == VALUES)
        extend_back_values(moments, series->values, end);
    else if (moments->kind == SQUARES)
        extend_back(moments, series, end, SQUARES);
    else
        extend_back(moments, series, end, LINE);
}

/* Those of the window; NULL where adding it up is cheaper. */
static const struct moments *moments_at(const struct window *window, enum kind kind)
{
    struct slide *slide = window->slide;
    struct moments *moments = slide->overlap < OVERLAP_MIN ? NULL : moments_of(slide, kind);
    if (moments)
        move(moments, slide->series, window->first, window->first + window->count);
    return moments;
}

/* The sum of one term over the window. */
static inline struct tally term_of(const struct moments *moments, const struct window *window,
                                   size_t term)
{
    size_t terms = terms_of_kind[moments->kind];
    struct tally sum = moments->front[(window->first - moments->base) * terms + term];
    const struct tally *back = &moments->back[term];
    double magnitude = sum.magnitude + back->magnitude;
    tally_add(&sum, back->sum);
    sum.rest += back->rest;
    sum.magnitude = magnitude;
    return sum;
}

/* --- answers --- */

static double settled(const struct tally *tally)
{
    return tally->sum + tally->rest;
}

bool slide_sum(const struct window *window, double *out)
{
    const struct moments *moments = moments_at(window, VALUES);
    if (!moments)
        return false;
    struct tally sum = term_of(moments, window, 0);
    *out = settled(&sum);
    return fabs(*out) * CANCELLED_MAX >= sum.magnitude;
}

bool slide_squares(const struct window *window, double *out)
{
    const struct moments *moments = moments_at(window, SQUARES);
    struct tally sums[TERMS_MAX];
    if (!moments)
        return false;
    for (size_t i = 0; i < terms_of_kind[SQUARES]; i++)
        sums[i] = term_of(moments, window, i);
    double sum = settled(&sums[0]), all = settled(&sums[1]), count = (double)window->count;
    double least = moments->origin * DEVIATION_SHARE;
    *out = all - sum * sum / count;
    return all <= DBL_MAX &&
           (all == 0 || (*out * OFF_CENTRE_MAX >= all && *out >= count * least * least));
}

bool slide_line(const struct window *window, int64_t origin_ms, struct line *out)
{
    const struct moments *moments = moments_at(window, LINE);
    struct tally sums[TERMS_MAX];
    if (!moments)
        return false;
    for (size_t i = 0; i < terms_of_kind[LINE]; i++)
        sums[i] = term_of(moments, window, i);
    double n = (double)window->count, x = settled(&sums[0]), y = settled(&sums[1]);
    double covariance = settled(&sums[2]) - x * y / n, variance = settled(&sums[3]) - x * x / n;
    double shift = (double)(origin_ms - moments->origin_ms) / 1000;
    out->slope = covariance / variance;
    out->at_origin = y / n - out->slope * (x / n - shift);
    bool sound = sums[1].magnitude <= FINITE_MAX && sums[2].magnitude <= FINITE_MAX;
    return sound && sums[2].magnitude > 0 &&
           fabs(covariance) >= COVARIANCE_MIN * sums[2].magnitude &&
           variance >= COVARIANCE_MIN * sums[3].magnitude;
}
