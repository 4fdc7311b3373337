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
 * The variance comes from sums of the distances from a sample of the front, and of their squares,
 * which is exact enough as long as that sample is not far from the mean and the values not nearly
 * equal; the same refusal else.
 */
#include "query/slide.h"

#include <float.h>
#include <math.h>

#define OVERLAP_MIN     3      /* below, each window is added up; measured */
#define CANCELLED_MAX   0x1p30 /* of the magnitude to the sum */
#define OFF_CENTRE_MAX  1e3    /* of the squared distances to the variance */
#define DEVIATION_SHARE 1e-4   /* of the value: less is a matter of its last digits */

struct tally {
    double sum, rest, magnitude;
};

struct pair {
    struct tally values, squares;
};

struct moments {
    struct tally *front;   /* or NULL */
    struct pair *distance; /* the same where squares are asked for */
    struct pair back;
    double origin; /* of distances */
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

static struct tally tally_both(const struct tally *a, const struct tally *b)
{
    struct tally both = *a;
    tally_add(&both, b->sum);
    both.rest += b->rest;
    both.magnitude = a->magnitude + b->magnitude;
    return both;
}

static inline void pair_add(struct pair *pair, double distance)
{
    tally_add(&pair->values, distance);
    tally_add(&pair->squares, distance * distance);
}

/* --- moving --- */

static struct moments *moments_of(struct slide *slide, bool squares)
{
    struct moments *moments = slide->moments;
    size_t count = slide->series->count;
    if (moments)
        return moments;
    moments = arena_zeroed(slide->arena, 1, sizeof *moments);
    if (!moments)
        return NULL;
    if (squares)
        moments->distance = arena_alloc(slide->arena, count * sizeof *moments->distance);
    else
        moments->front = arena_alloc(slide->arena, count * sizeof *moments->front);
    if (!moments->distance && !moments->front)
        return NULL;
    return slide->moments = moments;
}

/* All of the window becomes the front. */
static void turn(struct moments *moments, const double *all, size_t first, size_t end)
{
    struct pair sum = {0};
    moments->base = first;
    moments->mid = moments->end = end;
    moments->back = sum;
    moments->origin = all[first];
    for (size_t i = end; i-- > first;) {
        if (moments->front) {
            tally_add(&sum.values, all[i]);
            moments->front[i - first] = sum.values;
        } else {
            pair_add(&sum, all[i] - moments->origin);
            moments->distance[i - first] = sum;
        }
    }
}

/* The window lies in front and back then, and begins in front. */
static void move(struct moments *moments, const double *all, size_t first, size_t end)
{
    if (first >= moments->mid) {
        turn(moments, all, first, end);
        return;
    }
    for (size_t i = moments->end; i < end; i++) {
        if (moments->front)
            tally_add(&moments->back.values, all[i]);
        else
            pair_add(&moments->back, all[i] - moments->origin);
    }
    moments->end = end;
}

static struct moments *moments_at(const struct window *window, bool squares)
{
    struct slide *slide = window->slide;
    if (slide->overlap < OVERLAP_MIN)
        return NULL;
    struct moments *moments = moments_of(slide, squares);
    if (moments)
        move(moments, slide->series->values, window->first, window->first + window->count);
    return moments;
}

/* --- answers --- */

bool slide_sum(const struct window *window, double *out)
{
    const struct moments *moments = moments_at(window, false);
    if (!moments)
        return false;
    struct tally sum =
        tally_both(&moments->front[window->first - moments->base], &moments->back.values);
    *out = sum.sum + sum.rest;
    return fabs(*out) * CANCELLED_MAX >= sum.magnitude;
}

bool slide_squares(const struct window *window, double *out)
{
    const struct moments *moments = moments_at(window, true);
    if (!moments)
        return false;
    const struct pair *front = &moments->distance[window->first - moments->base];
    struct tally values = tally_both(&front->values, &moments->back.values);
    struct tally squares = tally_both(&front->squares, &moments->back.squares);
    double sum = values.sum + values.rest, all = squares.sum + squares.rest;
    double count = (double)window->count, least = moments->origin * DEVIATION_SHARE;
    *out = all - sum * sum / count;
    return all <= DBL_MAX &&
           (all == 0 || (*out * OFF_CENTRE_MAX >= all && *out >= count * least * least));
}
