/* eval: what the files of the PromQL evaluator share; nobody else includes it.
 *
 * An expression is evaluated over the whole step grid at once: its value is a set of rows, one a
 * label set, each with one place a step. Rows are pushed: a node hands each finished row to a
 * sink and forgets it, so that sum(rate(x[5m])) holds one series' samples at a time. Nodes that
 * need all rows together (join, topk, sort) collect them.
 *
 * Memory: labels, and rows that are collected, live in the query's arena; the values of a pushed
 * row live in the producer's scratch and are the sink's to change until take returns.
 * One thread a query; where parallel.c spreads the reading of a selector over more, sinks do not notice.
 */
#ifndef QUERY_EVAL_H
#define QUERY_EVAL_H

#include <math.h>

#include "query/function.h"
#include "query/promql.h"
#include "storage/base/table.h"

/* The time of step i is start_ms + i * step_ms. */
struct grid {
    int64_t start_ms;
    int64_t step_ms;
    size_t steps;
};

static inline int64_t grid_time(const struct grid *grid, size_t step)
{
    return grid->start_ms + (int64_t)step * grid->step_ms;
}

/* A place without a point holds the stale marker: no arithmetic yields its bits. */
static inline double point_absent(void)
{
    uint64_t bits = STALE_NAN_BITS;
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline bool point_is_absent(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits == STALE_NAN_BITS;
}

struct row {
    struct labels labels;
    double *values; /* one a step; absent where there is nothing or a histogram */
    const struct histogram **histograms; /* NULL, or one a step with NULL where there is none */
};

static inline const struct histogram *row_histogram(const struct row *row, size_t step)
{
    return row->histograms ? row->histograms[step] : NULL;
}

static inline bool row_has(const struct row *row, size_t step)
{
    return !point_is_absent(row->values[step]) || row_histogram(row, step);
}

struct sink {
    /* The row is the sink's until it returns. Negative stops the evaluation. */
    int (*take)(struct sink *self, struct row *row);
};

#define NOTES_MAX 10 /* shown, as in Prometheus */

struct notes {
    struct slice at[NOTES_MAX];
    size_t count;
    uint64_t *seen; /* hashes of all texts, those beyond NOTES_MAX too: a table in the arena */
    size_t seen_count, seen_capacity;
};

/* A second arena for what is needed only until the row has been taken. */
struct scratch {
    struct arena arena;
    struct scratch *outer;
};

struct eval {
    struct store *store;
    struct store_reader *reader;
    const struct promql_request *request;
    const struct plan *counted; /* the selector of a subquery that counters are asked of, or NULL */
    const struct plan *ordered; /* the selector whose series come in the order of labels, or NULL */
    struct arena *arena;
    struct error *err;
    struct scratch *scratches;  /* the innermost */
    struct promql_share *share; /* on the query's own thread; NULL: none */
    size_t owned_bytes;         /* histograms being summed, outside the arenas */
    int64_t lookback_ms;
    int64_t samples_read;
    unsigned tiers; /* 1 << store_tier of all that was read */
    struct notes warnings, infos;
};

/* --- eval.c --- */
MUST_USE int eval_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                       struct sink *sink);
/* Fills grid->steps numbers. */
MUST_USE int eval_scalar(struct eval *eval, const struct plan *plan, const struct grid *grid,
                         double *out);
/* The same in the arena of the query. NULL on failure. */
double *eval_scalar_new(struct eval *eval, const struct plan *plan, const struct grid *grid);
struct slice eval_string(const struct plan *plan);
const struct plan *eval_unwrap(const struct plan *plan);

/* --- budget.c --- */
/* -1 and ERROR_TIMEOUT once the deadline has passed. */
MUST_USE int eval_check(struct eval *eval);
/* Bytes the query may still allocate. */
size_t eval_memory_left(const struct eval *eval);
/* Always -1. */
int eval_fail_memory(struct eval *eval);
MUST_USE int eval_count_samples(struct eval *eval, size_t count);
void scratch_open(struct eval *eval, struct scratch *scratch);
void scratch_clear(struct eval *eval, struct scratch *scratch);
void scratch_close(struct eval *eval, struct scratch *scratch);
/* Each distinct text once; those beyond NOTES_MAX are counted. */
/* Counts what a thread that helped has seen; what it shows has been told already. */
void notes_count(struct eval *eval, struct notes *notes, const struct notes *more);
void eval_warn(struct eval *eval, const char *format, ...) __attribute__((format(printf, 2, 3)));
void eval_info(struct eval *eval, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with " (line:column)" of where the part of the query begins that it is about. */
void eval_warn_at(struct eval *eval, const struct plan *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void eval_info_at(struct eval *eval, const struct plan *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Warns of each value of a parameter, one a step, that is not in 0..max: of quantiles when max is 1,
 * of percentiles when it is 100. */
void eval_warn_outside(struct eval *eval, const struct plan *param, int max, const double *values,
                       size_t steps);

/* --- rows.c --- */
struct rows {
    struct row *at;
    size_t count;
    size_t capacity;
};

/* A row without points. False when memory is out. */
MUST_USE bool row_make(struct arena *arena, const struct grid *grid, struct row *out);
MUST_USE bool row_make_histograms(struct arena *arena, const struct grid *grid, struct row *row);
/* Copies the points of a pushed row to the arena of the query. */
MUST_USE int row_keep(struct eval *eval, const struct grid *grid, struct row *row);
MUST_USE int rows_append(struct eval *eval, struct rows *rows, const struct row *row);
/* All rows of an expression, copied to the arena of the query. */
MUST_USE int rows_collect(struct eval *eval, const struct plan *plan, const struct grid *grid,
                          struct rows *out);
MUST_USE int rows_push(struct rows *rows, struct sink *sink);
/* In the order of labels. */
void rows_sort(struct rows *rows);
/* {} when memory is out. */
struct labels labels_without_name(struct arena *arena, struct labels labels);
/* Any text in UTF-8, as in Prometheus 3, that is not empty. */
bool labels_name_is_valid(struct slice name);
bool names_contain(const struct plan_names *names, struct slice name);
/* by(names) / on(names) when keep; otherwise all but names and __name__. */
struct labels labels_project(struct arena *arena, struct labels labels,
                             const struct plan_names *names, bool keep);
/* The canonical bytes of that projection, without building it. */
void labels_project_key(struct labels labels, const struct plan_names *names, bool keep,
                        struct buffer *out);
/* `labels` with one pair set, or removed when value is empty. Name and value are borrowed.
 * False when memory or LABELS_MAX is out. */
MUST_USE bool labels_set(struct arena *arena, struct labels *labels, struct slice name,
                         struct slice value);

/* Rows by label set. Two rows of one label set become one when they never share a step. */
struct rowset {
    struct eval *eval;
    const struct grid *grid;
    struct table index;
    struct buffer key;
    struct rows rows;
};
void rowset_init(struct rowset *set, struct eval *eval, const struct grid *grid);
void rowset_release(struct rowset *set);
/* NULL on failure. The row of these labels, made empty when new. */
struct row *rowset_row(struct rowset *set, struct labels labels);
/* Adds the points of `row`; fails with `conflict` where both have one. */
MUST_USE int rowset_add(struct rowset *set, const struct row *row, const char *conflict);
#define ROWSET_CONFLICT "vector cannot contain metrics with the same labelset"

/* --- range.c --- */
/* The samples of one series, stale markers removed. */
struct samples {
    const int64_t *times;
    const double *values;
    const struct slice *sketches; /* codes, empty where there is none; NULL: none, or not wanted */
    size_t count;
    const int64_t *histogram_times;
    const struct histogram *const *histograms;
    size_t histogram_count;
};

/* Where samples have left and only buckets are kept, and a query cuts through them. */
struct coarse {
    int64_t width_ms; /* 0: nowhere */
    int64_t until_ms; /* up to here, a border of buckets */
};

struct samples_sink {
    int64_t before_ms; /* samples are wanted from that much before the first window on */
    bool sketches;     /* those of sets are wanted */
    bool of_counters;  /* says so in infos where a series is a gauge */
    int (*take)(struct samples_sink *self, struct labels labels, const struct samples *samples);
    /* Instead, where the store has buckets from which `buckets` gives the same answer; both NULL when
     * only samples will do. */
    int (*take_buckets)(struct samples_sink *self, struct labels labels,
                        const struct store_buckets *buckets, const struct coarse *coarse);
    const struct bucket_function *buckets;
    /* Where what is taken becomes rows of the same order: where they go, and a copy for another thread
     * that evaluates for itself and sends them to `rows`, until it is joined. NULL: one thread only. */
    struct sink *rows;
    struct samples_sink *(*fork)(const struct samples_sink *self, struct eval *eval,
                                 struct sink *rows);
    void (*join)(struct samples_sink *owned);
};

/* The window of step i is (end - range_ms, end], end = end_ms + i * step_ms (step 0 with @). */
struct range {
    int64_t end_ms;
    int64_t step_ms;
    int64_t range_ms;
};

/* The window of the last step ends here. */
static inline int64_t range_last(const struct range *range, const struct grid *grid)
{
    return range->end_ms + (int64_t)(grid->steps - 1) * range->step_ms;
}
/* a - b, kept within +-2^60: beyond every sample, and sums of two still fit. */
int64_t time_minus(int64_t a, int64_t b);
struct range range_of(const struct eval *eval, const struct plan *plan, const struct grid *grid);
/* Every series of a range selector or subquery, with all samples any window needs. */
MUST_USE int range_each(struct eval *eval, const struct plan *plan, const struct grid *grid,
                        struct samples_sink *sink);
/* Rows of an instant selector. With `sample_time` the value is the time of the sample, seconds. */
MUST_USE int selector_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                           bool sample_time, struct sink *sink);

/* (start, end] */
struct bounds {
    int64_t start_ms, end_ms;
};

static inline bool column_is_marker(const struct store_column *column, size_t sample)
{
    return column->histograms ? !column->histograms[sample]
                              : point_is_absent(column->values[sample]);
}

/* The first of some times, in order, that is after a border; the border moves on from step to step. */
struct edge {
    size_t at, stride;
};

/* Even steps over even samples pass as many of them each time: that is tried first. */
static inline void edge_move(struct edge *edge, const int64_t *times, size_t count,
                             int64_t border_ms)
{
    size_t at = edge->at + edge->stride;
    bool guessed = at > 0 && at < count && times[at - 1] <= border_ms && times[at] > border_ms;
    if (!guessed)
        for (at = edge->at; at < count && times[at] <= border_ms;)
            at++;
    edge->stride = at - edge->at;
    edge->at = at;
}

/* --- coarse.c --- */
/* Moves the bounds to borders where they cut buckets. Returns the length asked for in units of the
 * length answered. */
double coarse_snap(const struct coarse *coarse, struct bounds *bounds);

/* --- walk.c, window.c, window_histogram.c, window_buckets.c --- */
struct slide; /* query/slide.h */

struct window {
    const int64_t *times; /* floats */
    const double *values;
    size_t count;
    size_t first; /* the place of the first among all samples of the series */
    const int64_t *histogram_times;
    const struct histogram *const *histograms;
    size_t histogram_count;
    size_t histogram_first;
    int64_t start_ms, end_ms; /* (start, end] */
    int64_t now_ms;           /* the time of the step */
    int64_t base_ms;          /* how far before its start the window may take its base from */
    double params[2];         /* the scalar arguments */
    struct slide *slide;      /* what the windows before this one have left */
    struct arena *arena;      /* for histograms made here */
};

/* The window as buckets; made once a series, then moved along. */
struct bucket_window {
    struct store_buckets buckets;   /* of the series; each holds samples */
    const uint64_t *samples_before; /* the samples in buckets before i; one more entry at the end */
    const uint32_t *falls;          /* borders with resets, and buckets with resets, up to i */
    size_t first, end;              /* the buckets of the window, at least one */
    int64_t base_ms;                /* as of a window */
    int64_t start_ms, end_ms;
    double param;
    struct arena *arena;
};

struct point {
    double value;
    const struct histogram *histogram; /* NULL: a number */
};

MUST_USE int window_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                         struct sink *sink);

/* --- the other nodes --- */
MUST_USE int map_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                      struct sink *sink);
MUST_USE int aggregate_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                            struct sink *sink);
/* topk, bottomk, quantile, count_values. */
MUST_USE int rank_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                       struct sink *sink);
/* -1 when a k of topk, bottomk or limitk is no number or too large. */
MUST_USE int rank_check_count(struct eval *eval, const double *param, const struct grid *grid);
/* limitk, limit_ratio. */
MUST_USE int limit_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                        struct sink *sink);
MUST_USE int binary_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                         struct sink *sink);
MUST_USE int negate_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                         struct sink *sink);
MUST_USE int join_rows(struct eval *eval, const struct plan *plan, const struct grid *grid,
                       struct sink *sink);

/* --- arithmetic --- */
/* True where the comparison holds (the value is then left); arithmetic always holds. */
bool operator_apply(enum binary_operator op, double left, double right, double *out);
/* The same on points; false also where the pair is not defined, after a note. */
bool operator_apply_points(struct eval *eval, const struct plan *plan, struct point left,
                           struct point right, struct point *out);
bool operator_is_comparison(enum binary_operator op);
/* Neumaier's summation: the sum is *sum + *rest. */
static inline void sum_add(double *sum, double *rest, double value)
{
    double total = *sum + value;
    if (isinf(total))
        *rest = 0;
    else if (fabs(*sum) >= fabs(value))
        *rest += (*sum - total) + value;
    else
        *rest += (value - total) + *sum;
    *sum = total;
}
/* Two values side by side, for what goes over every sample; and what a comparison of such says of each:
 * 0 or -1. */
typedef double two_doubles __attribute__((vector_size(16)));
typedef int64_t two_marks __attribute__((vector_size(16)));
static inline two_doubles two_values(const double *values)
{
    two_doubles both;
    memcpy(&both, values, sizeof both);
    return both;
}
/* Sorts `values`; NaN first. */
double quantile_of(double q, double *values, size_t count);

#endif
