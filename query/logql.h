/* logql: a parsed LogQL query; data only, and its parser.
 *
 * A tree in the arena of the parse; slices point into the query text or the arena. The subset:
 * selectors, line filters, the parsers json, logfmt, regexp and pattern, label filters, line_format
 * and label_format, keep, drop, decolorize, unwrap; range aggregations; sum avg min max count topk
 * bottomk; arithmetic and comparison between vectors with equal labels, and with numbers.
 */
#ifndef QUERY_LOGQL_H
#define QUERY_LOGQL_H

#include "storage/matcher.h"

#define LOGQL_TEXT_MAX  65536 /* bytes */
#define LOGQL_DEPTH_MAX 64    /* nesting */
/* Operators in all: a + b + c ... and a=1, b=2 ... nest without parentheses. */
#define LOGQL_OPERATORS_MAX 512

/* --- a pipeline --- */

enum logql_compare { COMPARE_EQ, COMPARE_NE, COMPARE_GT, COMPARE_GE, COMPARE_LT, COMPARE_LE };

/* A label filter: a leaf compares one label, AND and OR have two children. */
enum logql_condition_kind {
    CONDITION_AND,
    CONDITION_OR,
    CONDITION_STRING,   /* matcher */
    CONDITION_NUMBER,   /* the label, read as a number, compared with value */
    CONDITION_DURATION, /* read as a duration, in seconds */
    CONDITION_BYTES,    /* read as a size, in bytes */
};
struct logql_condition {
    enum logql_condition_kind kind;
    struct logql_condition *left, *right;
    struct matcher matcher; /* its name names the label of every leaf */
    enum logql_compare compare;
    double value;
};

/* One of several texts of a line filter. */
struct logql_needle {
    struct slice text;
    struct regex *regex; /* for |~ and !~ */
};

/* `name="expression"` of json, logfmt, label_format, keep and drop. */
struct logql_param {
    struct slice name;
    struct slice text;                /* path, source label or template */
    const struct logql_piece *pieces; /* label_format with a template */
    size_t piece_count;
    const struct matcher *matcher; /* keep, drop: only when it matches; or NULL */
};

enum logql_function {
    TEMPLATE_TEXT,  /* literal */
    TEMPLATE_FIELD, /* the value of a label; empty name: the line */
    TEMPLATE_LOWER,
    TEMPLATE_UPPER,
    TEMPLATE_TRIM,
    TEMPLATE_TRUNC,   /* number: length */
    TEMPLATE_REPLACE, /* text: what, to: with what */
    TEMPLATE_DEFAULT, /* text: when empty */
};
/* A template is a list of pieces; those after TEXT and FIELD change the piece before. */
struct logql_piece {
    enum logql_function function;
    struct slice text, to;
    size_t number;
};

enum logql_stage_kind {
    STAGE_LINE_FILTER,
    STAGE_LABEL_FILTER,
    STAGE_JSON,
    STAGE_LOGFMT,
    STAGE_REGEXP,
    STAGE_PATTERN,
    STAGE_LINE_FORMAT,
    STAGE_LABEL_FORMAT,
    STAGE_KEEP,
    STAGE_DROP,
    STAGE_DECOLORIZE,
    STAGE_UNWRAP,
};
enum logql_unwrap { UNWRAP_NUMBER, UNWRAP_DURATION, UNWRAP_BYTES };

struct logql_stage {
    enum logql_stage_kind kind;
    struct logql_stage *next;
    bool negative;                      /* LINE_FILTER: != and !~ */
    const struct logql_needle *needles; /* LINE_FILTER: any of them */
    size_t needle_count;
    const struct logql_condition *condition;
    const struct logql_param *params;
    size_t param_count;
    const struct regex *regex; /* REGEXP */
    /* LINE_FORMAT: the template. PATTERN: TEXT and FIELD pieces (an empty name captures nothing). */
    const struct logql_piece *pieces;
    size_t piece_count;
    struct slice label; /* UNWRAP */
    enum logql_unwrap unwrap;
};

struct logql_pipeline {
    struct matcher *matchers; /* on stream labels */
    size_t matcher_count;
    struct logql_stage *stages;
    struct logql_stage *unwrap; /* the stage of that kind, or NULL */
};

/* --- an expression --- */

enum logql_kind {
    LOGQL_LOG,
    LOGQL_NUMBER,
    LOGQL_VECTOR, /* vector(number) */
    LOGQL_RANGE,
    LOGQL_AGGREGATE,
    LOGQL_BINARY,
};

enum logql_range_operator {
    RANGE_COUNT,
    RANGE_RATE,
    RANGE_BYTES,
    RANGE_BYTES_RATE,
    RANGE_SUM,
    RANGE_AVG,
    RANGE_MIN,
    RANGE_MAX,
    RANGE_FIRST,
    RANGE_LAST,
    RANGE_QUANTILE,
    RANGE_STDDEV,
    RANGE_STDVAR,
    RANGE_OPERATOR_COUNT,
};

enum logql_aggregate_operator {
    LOGQL_SUM,
    LOGQL_AVG,
    LOGQL_MIN,
    LOGQL_MAX,
    LOGQL_COUNT,
    LOGQL_TOPK,
    LOGQL_BOTTOMK,
    LOGQL_AGGREGATE_COUNT,
};

enum logql_binary_operator {
    LOGQL_ADD,
    LOGQL_SUB,
    LOGQL_MUL,
    LOGQL_DIV,
    LOGQL_MOD,
    LOGQL_POW,
    LOGQL_EQ,
    LOGQL_NE,
    LOGQL_GT,
    LOGQL_GE,
    LOGQL_LT,
    LOGQL_LE,
    LOGQL_AND,
    LOGQL_OR,
    LOGQL_UNLESS,
    LOGQL_BINARY_COUNT,
};

struct logql_grouping {
    bool present;
    bool without;
    struct slice *names;
    size_t count;
};

struct logql_expr {
    enum logql_kind kind;
    double number;                   /* NUMBER, VECTOR */
    struct logql_pipeline *pipeline; /* LOG, RANGE */
    enum logql_range_operator range;
    int64_t range_ns, offset_ns;
    double param;                   /* the quantile; k */
    struct logql_grouping grouping; /* AGGREGATE; RANGE over an unwrap */
    enum logql_aggregate_operator aggregate;
    enum logql_binary_operator binary;
    bool return_bool;
    struct logql_expr *left, *right; /* BINARY; AGGREGATE uses left */
};

struct logql_query {
    struct logql_expr *root;
    struct logql_regexes *regexes; /* all that the tree uses; owned */
};

/* The query lives in the arena but for its regexes. Errors: ERROR_BAD_DATA "parse error at line 1,
 * col 12: ...". On failure there is nothing to release. */
MUST_USE int logql_parse(struct slice text, struct arena *arena, struct logql_query *out,
                         struct error *err);
/* {a="b"} alone, as in match[]. */
MUST_USE int logql_parse_selector(struct slice text, struct arena *arena, struct logql_query *out,
                                  struct error *err);
void logql_release(struct logql_query *query);

/* "10ms", "1.5h", "1h30m" -> seconds; "5KB", "1.5MiB" -> bytes. */
MUST_USE bool logql_duration(struct slice text, double *out);
MUST_USE bool logql_bytes(struct slice text, double *out);

#endif
