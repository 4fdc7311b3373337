/* call: the code behind the rows of the function table.
 *
 * A row has exactly one of four shapes: `math` or `map` (a number from a number), `summary` (a
 * number from a histogram), `window` (a point from the samples of a window, with
 * `window_histogram` for histogram samples, `window_mixed` for both at once, `sweep` where all
 * windows of a grid are cheaper at once, and `buckets` where buckets of the store give the same
 * answer as their samples), `stream` or `scalar` (the call does it all itself).
 */
#ifndef QUERY_CALL_H
#define QUERY_CALL_H

#include "query/eval.h"

/* --- map.c: value and the scalar arguments at its step --- */
double map_sgn(double value);
double map_deg(double value);
double map_rad(double value);
double map_day_of_month(double seconds);
double map_day_of_week(double seconds);
double map_day_of_year(double seconds);
double map_days_in_month(double seconds);
double map_hour(double seconds);
double map_minute(double seconds);
double map_month(double seconds);
double map_year(double seconds);
double map_round(double value, const double *params, size_t count);
/* Absent where max < min. */
double map_clamp(double value, const double *params, size_t count);
double map_clamp_min(double value, const double *params, size_t count);
double map_clamp_max(double value, const double *params, size_t count);
double summary_avg(const struct histogram *histogram);
double summary_count(const struct histogram *histogram);
double summary_stddev(const struct histogram *histogram);
double summary_stdvar(const struct histogram *histogram);
double summary_sum(const struct histogram *histogram);

/* --- window.c: false = no point; called only with at least one float sample --- */
bool window_avg(const struct window *window, struct point *out);
bool window_changes(const struct window *window, struct point *out);
bool window_count(const struct window *window, struct point *out);
bool window_delta(const struct window *window, struct point *out);
bool window_deriv(const struct window *window, struct point *out);
bool window_idelta(const struct window *window, struct point *out);
bool window_increase(const struct window *window, struct point *out);
bool window_increase_exact(const struct window *window, struct point *out);
bool window_irate(const struct window *window, struct point *out);
bool window_last(const struct window *window, struct point *out);
bool window_mad(const struct window *window, struct point *out);
bool window_max(const struct window *window, struct point *out);
bool window_min(const struct window *window, struct point *out);
bool window_predict_linear(const struct window *window, struct point *out);
bool window_present(const struct window *window, struct point *out);
bool window_quantile(const struct window *window, struct point *out);
bool window_rate(const struct window *window, struct point *out);
bool window_resets(const struct window *window, struct point *out);
bool window_smoothing(const struct window *window, struct point *out);
bool window_stddev(const struct window *window, struct point *out);
bool window_stdvar(const struct window *window, struct point *out);
bool window_sum(const struct window *window, struct point *out);

/* --- sweep.c: all windows of a grid at once --- */
struct sweep {
    const struct samples *series; /* numbers alone; NULL where it is of buckets */
    struct range range;
    size_t steps;
    double *out; /* one a step; those of windows without a point are left as they are */
    struct arena *arena;
};
/* What window_... gives, to the bit. False when memory is out. */
MUST_USE bool sweep_delta(const struct sweep *sweep);
MUST_USE bool sweep_increase(const struct sweep *sweep);
MUST_USE bool sweep_rate(const struct sweep *sweep);
struct bounds sweep_bounds(const struct sweep *sweep, size_t step);

/* A rise seen between the first and the last of `count` samples in the window (start, end]. */
struct rise {
    int64_t start_ms, end_ms;
    int64_t first_ms, last_ms;
    size_t count;
    bool counter;
    double first, total; /* for counters: the first value, and the rise */
};
/* How far it stands for the whole window: the factor of rate, increase and delta. */
double rise_extrapolation(const struct rise *rise);
/* What the times of a window make of its rise, kept for the windows after it, whose times mostly say the
 * same. All zeros to begin with but `per_second`. */
struct rise_scale {
    bool per_second;
    size_t count;
    int64_t sampled_ms, to_start_ms, to_end_ms;
    double factor;
};
/* rise->total times rise_extrapolation: the increase or delta of the window, or its rate. */
double rise_scaled(struct rise_scale *scale, const struct rise *rise);

/* --- window_histogram.c: the same with at least one histogram sample and no float --- */
bool window_histogram_avg(const struct window *window, struct point *out);
bool window_histogram_changes(const struct window *window, struct point *out);
bool window_histogram_count(const struct window *window, struct point *out);
bool window_histogram_delta(const struct window *window, struct point *out);
bool window_histogram_idelta(const struct window *window, struct point *out);
bool window_histogram_increase(const struct window *window, struct point *out);
bool window_histogram_increase_exact(const struct window *window, struct point *out);
bool window_histogram_irate(const struct window *window, struct point *out);
bool window_histogram_last(const struct window *window, struct point *out);
bool window_histogram_max(const struct window *window, struct point *out);
bool window_histogram_min(const struct window *window, struct point *out);
bool window_histogram_quantile(const struct window *window, struct point *out);
bool window_histogram_rate(const struct window *window, struct point *out);
bool window_histogram_resets(const struct window *window, struct point *out);
bool window_histogram_sum(const struct window *window, struct point *out);
/* Of two samples of one series, one after the other. */
bool histograms_differ(const struct histogram *before, const struct histogram *now);

/* --- window_mixed.c: the same with samples of both kinds --- */
bool window_mixed_changes(const struct window *window, struct point *out);
bool window_mixed_count(const struct window *window, struct point *out);
bool window_mixed_last(const struct window *window, struct point *out);
bool window_mixed_resets(const struct window *window, struct point *out);
/* Forgets the samples of the other kind when the last two are of one. */
void window_mixed_narrow(struct window *window);

/* --- window_buckets.c --- */
/* A function over buckets: the same answer as over their samples. */
struct bucket_function {
    bool (*number)(const struct bucket_window *window,
                   struct point *out); /* NULL: it takes the samples */
    bool (*histogram)(const struct bucket_window *window,
                      struct point *out); /* the same for histogram series */
    /* `number` of all steps, where no window cuts through a bucket; NULL: one by one. */
    void (*sweep)(const struct bucket_window *buckets, const struct sweep *sweep);
    /* Whether `number` can do with these buckets; NULL = always. */
    bool (*fits)(const struct store_buckets *buckets);
    bool grows;       /* with the length of the window */
    unsigned without; /* columns that `number` does not look at: BUCKETS_... */
};
/* False when memory is out. */
MUST_USE bool bucket_window_make(struct arena *arena, const struct store_buckets *buckets,
                                 struct bucket_window *out);
extern const struct bucket_function buckets_avg, buckets_count, buckets_delta, buckets_increase,
    buckets_increase_exact, buckets_last, buckets_max, buckets_min, buckets_observed,
    buckets_present, buckets_quantile, buckets_rate, buckets_sum;

/* --- pool.c --- */
MUST_USE int call_percentile(struct eval *eval, const struct plan *plan, const struct grid *grid,
                             struct sink *sink);

/* --- distinct.c: of each series, or of groups of them --- */
MUST_USE int call_distinct(struct eval *eval, const struct plan *plan, const struct grid *grid,
                           struct sink *sink);

/* --- special.c, relabel.c, quantile.c --- */
MUST_USE int call_absent(struct eval *eval, const struct plan *plan, const struct grid *grid,
                         struct sink *sink);
MUST_USE int call_absent_over_time(struct eval *eval, const struct plan *plan,
                                   const struct grid *grid, struct sink *sink);
MUST_USE int call_sort(struct eval *eval, const struct plan *plan, const struct grid *grid,
                       struct sink *sink);
MUST_USE int call_sort_desc(struct eval *eval, const struct plan *plan, const struct grid *grid,
                            struct sink *sink);
MUST_USE int call_sort_by_label(struct eval *eval, const struct plan *plan, const struct grid *grid,
                                struct sink *sink);
MUST_USE int call_sort_by_label_desc(struct eval *eval, const struct plan *plan,
                                     const struct grid *grid, struct sink *sink);
MUST_USE int call_timestamp(struct eval *eval, const struct plan *plan, const struct grid *grid,
                            struct sink *sink);
MUST_USE int call_vector(struct eval *eval, const struct plan *plan, const struct grid *grid,
                         struct sink *sink);
MUST_USE int call_label_replace(struct eval *eval, const struct plan *plan, const struct grid *grid,
                                struct sink *sink);
MUST_USE int call_label_join(struct eval *eval, const struct plan *plan, const struct grid *grid,
                             struct sink *sink);
MUST_USE int call_histogram_quantile(struct eval *eval, const struct plan *plan,
                                     const struct grid *grid, struct sink *sink);
MUST_USE int call_histogram_fraction(struct eval *eval, const struct plan *plan,
                                     const struct grid *grid, struct sink *sink);
MUST_USE int call_pi(struct eval *eval, const struct plan *plan, const struct grid *grid,
                     double *out);
MUST_USE int call_scalar(struct eval *eval, const struct plan *plan, const struct grid *grid,
                         double *out);
MUST_USE int call_time(struct eval *eval, const struct plan *plan, const struct grid *grid,
                       double *out);

#endif
