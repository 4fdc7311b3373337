/* moments: sums over windows that move on, without adding everything up again, without drift, and the
 * same to the bit wherever the range of a query begins.
 *
 *                        pivot
 *   samples  . . . . . . . | . . . . . . . . | . .     pivots lie at the multiples of a window's length,
 *   window i       (-------|--------]        |         so that each window holds one
 *   window i+1         (---|------------]    |
 *                   [ front|  back      ]
 *
 * `front` holds for each of its samples the sum from there to the pivot, `back` is the sum of what came
 * since; a window is one of the first plus the second. So each sample is added twice, nothing is ever
 * subtracted, and what has left leaves no trace. Both are added up from the pivot outwards, which
 * depends on the window alone: an instant query, and every range query that has this window, say the same.
 * Where windows share little, nothing is kept: each is added up in the same order.
 *
 * Sums are compensated: the value, and beside it what rounding has lost. The magnitude (the sum of the
 * absolute values) tells when that is not enough: where it is 2^30 times the sum, or the sum not
 * finite, the caller adds up the window itself, in order.
 *
 * What is added up are terms of each sample: its value; or its distance from the value beside the pivot
 * and the square of that, for the variance; or time, value and their products, for a line. The latter
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

/* Both sides of a pivot, as the newest window has them. */
struct moments {
    int64_t pivot_ms;
    size_t base, mid, end;     /* samples: the first added, the first after the pivot, the next */
    const struct tally *front; /* of the newest window */
    struct tally back[TERMS_MAX];
    struct tally *kept; /* the front of each sample from `base` on, where windows share them */
    struct tally alone[TERMS_MAX]; /* the front where they do not */
};

static const struct tally nothing[TERMS_MAX];

/* --- tallies --- */

static inline void tally_add(struct tally *tally, double value)
{
    double sum = tally->sum + value, part = sum - tally->sum;
    tally->rest += (tally->sum - (sum - part)) + (value - part);
    tally->sum = sum;
    tally->magnitude += fabs(value);
}

struct origin {
    double value;
    int64_t time_ms;
};

/* The terms of sample i, added to `tallies`. The kind is a constant where this is called. */
static inline void add_terms(const struct samples *series, size_t i, enum kind kind,
                             struct origin origin, struct tally *tallies)
{
    double value = series->values[i];
    if (kind == SQUARES) {
        double distance = value - origin.value;
        tally_add(&tallies[0], distance);
        tally_add(&tallies[1], distance * distance);
    } else {
        double seconds = (double)(series->times[i] - origin.time_ms) / 1000;
        tally_add(&tallies[0], seconds);
        tally_add(&tallies[1], value);
        tally_add(&tallies[2], seconds * value);
        tally_add(&tallies[3], seconds * seconds);
    }
}

static inline struct origin origin_at(const struct moments *moments, const struct samples *series,
                                      size_t beside)
{
    return (struct origin){series->values[beside], moments->pivot_ms};
}

/* Of values alone: one tally stays in registers, an array goes through memory with each addition. */
static void add_front_values(struct moments *moments, const double *values)
{
    struct tally sum = {0}, *kept = moments->kept;
    size_t base = moments->base;
    for (size_t i = moments->mid; i-- > base;) {
        tally_add(&sum, values[i]);
        kept[i - base] = sum;
    }
}

static void add_back_values(struct moments *moments, const double *values, size_t end)
{
    struct tally sum = moments->back[0];
    for (size_t i = moments->end; i < end; i++)
        tally_add(&sum, values[i]);
    moments->back[0] = sum;
    moments->end = end;
}

/* From the pivot down to the first sample. */
static inline void add_front(struct moments *moments, const struct samples *series, enum kind kind)
{
    struct tally sums[TERMS_MAX] = {{0}}, *out = moments->kept ? moments->kept : moments->alone;
    size_t terms = terms_of_kind[kind], base = moments->base;
    moments->front = base < moments->mid ? out : nothing;
    if (kind == VALUES)
        add_front_values(moments, series->values);
    if (kind == VALUES || base == moments->mid)
        return;
    struct origin origin = origin_at(moments, series, moments->mid - 1);
    for (size_t i = moments->mid; i-- > base;) {
        add_terms(series, i, kind, origin, sums);
        if (moments->kept)
            memcpy(&out[(i - base) * terms], sums, terms * sizeof *sums);
    }
    memcpy(out, sums, terms * sizeof *sums);
}

static inline void add_back(struct moments *moments, const struct samples *series, size_t end,
                            enum kind kind)
{
    struct tally sums[TERMS_MAX];
    size_t terms = terms_of_kind[kind];
    if (kind == VALUES)
        add_back_values(moments, series->values, end);
    if (kind == VALUES || moments->end == end)
        return;
    struct origin origin = origin_at(moments, series, moments->mid);
    memcpy(sums, moments->back, terms * sizeof *sums);
    for (size_t i = moments->end; i < end; i++)
        add_terms(series, i, kind, origin, sums);
    memcpy(moments->back, sums, terms * sizeof *sums);
    moments->end = end;
}

/* --- moving --- */

static struct moments *moments_of(struct slide *slide, enum kind kind)
{
    struct moments *moments = slide->moments;
    size_t size = slide->series->count * terms_of_kind[kind] * sizeof *moments->kept;
    if (moments)
        return moments;
    moments = arena_zeroed(slide->arena, 1, sizeof *moments);
    if (moments && slide->overlap >= OVERLAP_MIN)
        moments->kept = arena_alloc(slide->arena, size);
    return slide->moments = moments;
}

/* The one multiple of the window's length in [start, end); most often it is the next one. */
static int64_t pivot_of(const struct window *window, int64_t last_ms)
{
    int64_t length = window->end_ms - window->start_ms, next = last_ms + length;
    if (next >= window->start_ms && next < window->end_ms)
        return next;
    int64_t over = (window->end_ms - 1) % length;
    return window->end_ms - 1 - (over < 0 ? over + length : over);
}

/* How many samples of the window are not after the pivot. */
static size_t count_until(const struct window *window, int64_t pivot_ms)
{
    size_t low = 0, high = window->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (window->times[middle] <= pivot_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* To another pivot. */
static inline void turn(struct moments *moments, const struct window *window, enum kind kind)
{
    moments->pivot_ms = pivot_of(window, moments->pivot_ms);
    moments->base = window->first;
    moments->mid = moments->end = window->first + count_until(window, moments->pivot_ms);
    memset(moments->back, 0, terms_of_kind[kind] * sizeof *moments->back);
    add_front(moments, window->slide->series, kind);
}

/* The front of a window that begins later. */
static inline void shorten(struct moments *moments, size_t first, enum kind kind)
{
    size_t place = (first - moments->base) * terms_of_kind[kind];
    moments->front = first < moments->mid ? &moments->kept[place] : nothing;
}

/* NULL when memory is out. The kind is a constant where this is called. */
static inline const struct moments *moments_at(const struct window *window, enum kind kind)
{
    struct moments *moments = moments_of(window->slide, kind);
    if (!moments)
        return NULL;
    if (moments->kept && moments->end && moments->pivot_ms >= window->start_ms)
        shorten(moments, window->first, kind);
    else
        turn(moments, window, kind);
    add_back(moments, window->slide->series, window->first + window->count, kind);
    return moments;
}

/* --- answers --- */

static double settled(const struct tally *tally)
{
    return tally->sum + tally->rest;
}

static struct tally tally_together(const struct tally *front, const struct tally *back)
{
    struct tally sum = *front;
    tally_add(&sum, back->sum);
    sum.rest += back->rest;
    sum.magnitude = front->magnitude + back->magnitude;
    return sum;
}

/* The sum of one term over the window. */
static struct tally term_of(const struct moments *moments, size_t term)
{
    return tally_together(&moments->front[term], &moments->back[term]);
}

/* The sum of a window that shares nothing worth keeping: the same, without going through memory. */
static struct tally sum_alone(struct moments *moments, const struct window *window)
{
    struct tally front = {0}, back = {0};
    moments->pivot_ms = pivot_of(window, moments->pivot_ms);
    size_t mid = count_until(window, moments->pivot_ms);
    for (size_t i = mid; i-- > 0;)
        tally_add(&front, window->values[i]);
    for (size_t i = mid; i < window->count; i++)
        tally_add(&back, window->values[i]);
    return tally_together(&front, &back);
}

bool slide_sum(const struct window *window, double *out)
{
    struct moments *moments = moments_of(window->slide, VALUES);
    if (!moments)
        return false;
    struct tally sum =
        moments->kept ? term_of(moments_at(window, VALUES), 0) : sum_alone(moments, window);
    *out = settled(&sum);
    return fabs(*out) * CANCELLED_MAX >= sum.magnitude;
}

/* Of `count` values: their mean, from the origin, and the squares of what they lie beside it. */
struct spread {
    double count, origin, mean, squares;
};

static struct spread spread_of(const struct tally sums[TERMS_MAX], size_t count, double origin)
{
    double sum = settled(&sums[0]), squares = settled(&sums[1]), n = (double)count;
    return (struct spread){n, origin, sum / n, squares - sum * sum / n};
}

/* Two spreads are one of all values and what lies between the means. */
static double squares_together(const struct moments *moments, const struct samples *series,
                               size_t first)
{
    size_t mid = moments->mid, end = moments->end;
    struct spread front = {0}, back = {0};
    if (first < mid)
        front = spread_of(moments->front, mid - first, series->values[mid - 1]);
    if (mid < end)
        back = spread_of(moments->back, end - mid, series->values[mid]);
    double between = (back.origin - front.origin) + (back.mean - front.mean);
    double share = front.count * back.count / (front.count + back.count);
    return front.squares + back.squares + between * between * share;
}

bool slide_squares(const struct window *window, double *out)
{
    const struct moments *moments = moments_at(window, SQUARES);
    if (!moments)
        return false;
    double all = moments->front[1].magnitude + moments->back[1].magnitude;
    double least = window->values[0] * DEVIATION_SHARE;
    *out = squares_together(moments, window->slide->series, window->first);
    if (all == 0 && *out == 0)
        return true;
    return *out <= DBL_MAX && *out * OFF_CENTRE_MAX >= all &&
           *out >= (double)window->count * least * least;
}

bool slide_line(const struct window *window, int64_t origin_ms, struct line *out)
{
    const struct moments *moments = moments_at(window, LINE);
    struct tally sums[TERMS_MAX];
    if (!moments)
        return false;
    for (size_t i = 0; i < terms_of_kind[LINE]; i++)
        sums[i] = term_of(moments, i);
    double n = (double)window->count, x = settled(&sums[0]), y = settled(&sums[1]);
    double covariance = settled(&sums[2]) - x * y / n, variance = settled(&sums[3]) - x * x / n;
    double shift = (double)(origin_ms - moments->pivot_ms) / 1000;
    out->slope = covariance / variance;
    out->at_origin = y / n - out->slope * (x / n - shift);
    bool sound = sums[1].magnitude <= FINITE_MAX && sums[2].magnitude <= FINITE_MAX;
    return sound && sums[2].magnitude > 0 &&
           fabs(covariance) >= COVARIANCE_MIN * sums[2].magnitude &&
           variance >= COVARIANCE_MIN * sums[3].magnitude;
}
