/* plan: a parsed PromQL expression; data only.
 *
 * A tree of nodes in the arena of the parse. Slices point into the query text or that arena.
 * `start` and `end` are byte offsets in the query text, for positioned errors.
 */
#ifndef QUERY_PLAN_H
#define QUERY_PLAN_H

#include "storage/matcher.h"

enum value_type { VALUE_SCALAR, VALUE_STRING, VALUE_VECTOR, VALUE_MATRIX };
/* "scalar", "string", "instant vector", "range vector": the wording of Prometheus' errors. */
const char *value_type_name(enum value_type type);

enum plan_kind {
    PLAN_NUMBER,
    PLAN_STRING,
    PLAN_SELECTOR, /* instant, or range when range_ms > 0 */
    PLAN_SUBQUERY, /* child[range:step] */
    PLAN_CALL,
    PLAN_AGGREGATE,
    PLAN_BINARY,
    PLAN_UNARY, /* minus; plus leaves no node */
    PLAN_PAREN,
};

enum plan_at { AT_NONE, AT_TIME, AT_START, AT_END }; /* the @ modifier */

enum binary_operator {
    BINARY_ADD,
    BINARY_SUB,
    BINARY_MUL,
    BINARY_DIV,
    BINARY_MOD,
    BINARY_POW,
    BINARY_ATAN2,
    BINARY_TRIM_UPPER, /* </ keeps what was observed below a threshold */
    BINARY_TRIM_LOWER, /* >/ and what was observed above it */
    BINARY_EQ,
    BINARY_NE,
    BINARY_LT,
    BINARY_LE,
    BINARY_GT,
    BINARY_GE,
    BINARY_AND,
    BINARY_OR,
    BINARY_UNLESS,
};

enum aggregate_operator {
    AGGREGATE_SUM,
    AGGREGATE_AVG,
    AGGREGATE_MIN,
    AGGREGATE_MAX,
    AGGREGATE_COUNT,
    AGGREGATE_GROUP,
    AGGREGATE_STDDEV,
    AGGREGATE_STDVAR,
    AGGREGATE_TOPK,
    AGGREGATE_BOTTOMK,
    AGGREGATE_QUANTILE,
    AGGREGATE_COUNT_VALUES,
    AGGREGATE_LIMITK,
    AGGREGATE_LIMIT_RATIO,
};

enum match_cardinality {
    MATCH_ONE_TO_ONE,
    MATCH_MANY_TO_ONE,
    MATCH_ONE_TO_MANY,
    MATCH_MANY_TO_MANY
};

struct plan_names { /* label names of by, without, on, ignoring, group_left, group_right */
    struct slice *at;
    size_t count;
};

struct query_function; /* a row of the function table, query/function.h */

struct plan {
    enum plan_kind kind;
    enum value_type type;
    size_t start, end;
    union {
        double number;
        struct slice string;
        struct {
            struct matcher *matchers; /* __name__ included; regexes freed by plan_release */
            size_t matcher_count;
            int64_t range_ms; /* 0 = instant */
        } selector;
        struct {
            struct plan *child;
            int64_t range_ms;
            int64_t step_ms; /* 0 = the default resolution */
        } subquery;
        struct {
            const struct query_function *function;
            struct plan **args;
            size_t arg_count;
            bool without; /* of an aggregating call: percentile(99, h[5m]) by (route) */
            struct plan_names grouping;
        } call;
        struct {
            enum aggregate_operator op;
            struct plan *param; /* k, quantile, label name; or NULL */
            struct plan *child;
            bool without;
            struct plan_names grouping;
        } aggregate;
        struct {
            enum binary_operator op;
            struct plan *left, *right;
            bool return_bool;
            bool on; /* on(names); otherwise ignoring(names) */
            enum match_cardinality cardinality;
            struct plan_names matching;
            struct plan_names include; /* group_left(...) / group_right(...) */
        } binary;
        struct plan *child; /* PLAN_UNARY, PLAN_PAREN */
    };
    /* Selectors and subqueries. */
    int64_t offset_ms;
    enum plan_at at;
    int64_t at_ms;
    bool duration; /* a number that was written as one: 5m */
};

/* "sum", "+" and so on. */
const char *aggregate_operator_name(enum aggregate_operator op);
/* topk and its kind: the answer is some of the series put in, labels and all. */
bool aggregate_keeps_series(enum aggregate_operator op);
/* True when the rows of an instant query come in an order that means something: that of sort or topk, also
 * behind what takes them one by one. */
bool plan_orders_series(const struct plan *plan);
const char *binary_operator_name(enum binary_operator op);
/* Frees the regexes of all selectors (nodes belong to the arena). NULL is fine. */
void plan_release(struct plan *plan);

#endif
