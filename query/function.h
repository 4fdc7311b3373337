/* function: the table of PromQL functions; the parser reads signatures, the evaluator the code.
 */
#ifndef QUERY_FUNCTION_H
#define QUERY_FUNCTION_H

#include "query/plan.h"

#define FUNCTION_ARGS_MAX 8

struct query_function {
    const char *name;
    enum value_type args[FUNCTION_ARGS_MAX];
    int arg_count; /* declared arguments */
    /* How many of the last arguments are optional; -1 = the last one repeats (label_join). */
    int optional;
    enum value_type result;
};

/* NULL when there is none of that name. */
const struct query_function *function_find(struct slice name);

#endif
