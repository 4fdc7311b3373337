/* function: the table of PromQL functions; the parser reads signatures, the evaluator the code.
 */
#ifndef QUERY_FUNCTION_H
#define QUERY_FUNCTION_H

#include "query/plan.h"

#define FUNCTION_ARGS_MAX 8

struct eval;
struct grid;
struct histogram;
struct point;
struct bucket_function;
struct sink;
struct sweep;
struct window;

struct query_function {
    const char *name;
    enum value_type args[FUNCTION_ARGS_MAX];
    int arg_count; /* declared arguments */
    /* How many of the last arguments are optional; -1 = the last one repeats (label_join). */
    int optional;
    enum value_type result;
    bool keeps_name; /* of the metric */
    bool uses_time;  /* the answer depends on the step even when the samples do not */
    bool groups; /* an aggregating call: by and without may stand on either side of the arguments;
                        `stream` finds them in plan->call, and call_group_rows helps it */
    bool takes_base;     /* reads lookback further than its window, for the sample before it */
    bool of_counters;    /* has no meaning for gauges */
    bool sorts;          /* the order of its rows is what it is for */
    bool of_gauges;      /* a histogram of the store is none: said in a warning */
    bool of_last_two;    /* looks at no more than the last two samples of a window */
    bool prefers_floats; /* passes over the histograms of a window that has floats, too */
    /* What the evaluator runs; the shapes are told in query/call.h. */
    double (*math)(double value);
    double (*map)(double value, const double *params, size_t count);
    double (*summary)(const struct histogram *histogram);
    bool (*window)(const struct window *window, struct point *out);
    bool (*window_histogram)(const struct window *window, struct point *out);
    /* Of windows with both kinds of samples; NULL: see walk.c. */
    bool (*window_mixed)(const struct window *window, struct point *out);
    bool (*sweep)(const struct sweep *sweep); /* `window` of all steps; NULL: one by one */
    const struct bucket_function
        *buckets; /* the same from buckets; NULL when it takes the samples */
    int (*stream)(struct eval *eval, const struct plan *plan, const struct grid *grid,
                  struct sink *sink);
    int (*scalar)(struct eval *eval, const struct plan *plan, const struct grid *grid, double *out);
};

/* Known to Prometheus 3 behind its flag for experimental functions, and not here. */
bool function_is_experimental(struct slice name);
/* NULL when there is none of that name. */
const struct query_function *function_find(struct slice name);

#endif
