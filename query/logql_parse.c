/* logql_parse: the grammar of expressions, one rule a function; the stages of a pipeline are in
 * query/logql_parse_stage.c.
 *
 *   expr      operand (operator operand)*           by precedence, ^ binding to the right
 *   operand   "(" expr ")" | number | "vector(" number ")" | range | aggregate | log
 *   aggregate sum [by|without (names)] "(" [k ","] expr ")" [by|without (names)]
 *   range     rate "(" [quantile ","] log "[" 5m "]" [offset 1h] ")" [by|without (names)]
 *   log       "{" matcher, ... "}" stages          a range may also stand before the stages
 *
 * Absent: group_left and on(), subqueries, @, label_replace, absent_over_time.
 */
#include <math.h>
#include <stdlib.h>

#include "query/logql_parser.h"

#define MATCHERS_MAX LABELS_MAX
#define NAMES_MAX    LABELS_MAX

struct row {
    const char *name;
    int value;
};

static const struct row range_operators[] = {
    {"count_over_time", RANGE_COUNT},       {"rate", RANGE_RATE},
    {"bytes_over_time", RANGE_BYTES},       {"bytes_rate", RANGE_BYTES_RATE},
    {"sum_over_time", RANGE_SUM},           {"avg_over_time", RANGE_AVG},
    {"min_over_time", RANGE_MIN},           {"max_over_time", RANGE_MAX},
    {"first_over_time", RANGE_FIRST},       {"last_over_time", RANGE_LAST},
    {"quantile_over_time", RANGE_QUANTILE}, {"stddev_over_time", RANGE_STDDEV},
    {"stdvar_over_time", RANGE_STDVAR},     {NULL, 0},
};

static const struct row aggregates[] = {
    {"sum", LOGQL_SUM},     {"avg", LOGQL_AVG},   {"min", LOGQL_MIN},         {"max", LOGQL_MAX},
    {"count", LOGQL_COUNT}, {"topk", LOGQL_TOPK}, {"bottomk", LOGQL_BOTTOMK}, {NULL, 0},
};

static const struct operator_row {
    const char *sign;
    enum logql_binary_operator op;
    int precedence;
} operators[] = {
    {"or", LOGQL_OR, 1}, {"and", LOGQL_AND, 2}, {"unless", LOGQL_UNLESS, 2}, {"==", LOGQL_EQ, 3},
    {"!=", LOGQL_NE, 3}, {">", LOGQL_GT, 3},    {">=", LOGQL_GE, 3},         {"<", LOGQL_LT, 3},
    {"<=", LOGQL_LE, 3}, {"+", LOGQL_ADD, 4},   {"-", LOGQL_SUB, 4},         {"*", LOGQL_MUL, 5},
    {"/", LOGQL_DIV, 5}, {"%", LOGQL_MOD, 5},   {"^", LOGQL_POW, 6},
};

static const struct row *find_row(const struct row *rows, struct slice name)
{
    for (; rows->name; rows++)
        if (slice_equal_string(name, rows->name))
            return rows;
    return NULL;
}

static struct logql_expr *new_expr(struct logql_parser *parser, enum logql_kind kind)
{
    struct logql_expr *expr = arena_zeroed(parser->arena, 1, sizeof *expr);
    if (expr)
        expr->kind = kind;
    else
        logql_too_large(parser);
    return expr;
}

/* --- selectors --- */

int logql_compile(struct logql_parser *parser, struct slice pattern, unsigned flags,
                  struct regex **out)
{
    struct error why = {0};
    struct logql_regexes *node = arena_zeroed(parser->arena, 1, sizeof *node);
    if (!node)
        return logql_too_large(parser);
    if (regex_compile(pattern, flags, out, &why))
        return logql_fail(parser, "error parsing regexp: %s", why.text);
    *node = (struct logql_regexes){*out, parser->regexes};
    parser->regexes = node;
    return 0;
}

/* Names under which Loki's own clients ask for our stream labels. */
static struct slice stream_name(struct slice name)
{
    if (slice_equal(name, SLICE("service_name")))
        return SLICE("service");
    if (slice_equal(name, SLICE("detected_level")))
        return SLICE("level");
    return name;
}

int logql_parse_matcher(struct logql_parser *parser, struct matcher *out)
{
    static const struct row types[] = {{"=", MATCH_EQUAL},
                                       {"!=", MATCH_NOT_EQUAL},
                                       {"=~", MATCH_REGEX},
                                       {"!~", MATCH_NOT_REGEX},
                                       {NULL, 0}};
    struct slice name, value;
    if (logql_take_word(parser, &name))
        return -1;
    const struct row *type = find_row(types, parser->token.text);
    if (!type || parser->token.kind != LOGQL_TOKEN_SIGN)
        return logql_unexpected(parser, "one of = != =~ !~");
    if (logql_advance(parser))
        return -1;
    struct logql_token at = parser->token;
    if (logql_take_string(parser, &value))
        return -1;
    *out = (struct matcher){.type = (enum matcher_type)type->value, .name = name, .value = value};
    if (out->type != MATCH_REGEX && out->type != MATCH_NOT_REGEX)
        return 0;
    struct logql_token next = parser->token;
    parser->token = at; /* where an error points to */
    int status = logql_compile(parser, value, REGEX_ANCHORED, &out->regex);
    parser->token = next;
    return status;
}

static int parse_selector(struct logql_parser *parser, struct logql_pipeline *pipeline)
{
    if (logql_expect(parser, "{"))
        return -1;
    pipeline->matchers = arena_zeroed(parser->arena, MATCHERS_MAX, sizeof *pipeline->matchers);
    if (!pipeline->matchers)
        return logql_too_large(parser);
    while (!logql_is_sign(parser, "}")) {
        if (pipeline->matcher_count == MATCHERS_MAX)
            return logql_fail(parser, "more than %d matchers", MATCHERS_MAX);
        struct matcher *matcher = &pipeline->matchers[pipeline->matcher_count++];
        if (logql_parse_matcher(parser, matcher))
            return -1;
        matcher->name = stream_name(matcher->name);
        if (logql_is_sign(parser, "}"))
            break;
        if (!logql_is_sign(parser, ","))
            return logql_unexpected(parser, "`,` or `}`");
        if (logql_advance(parser))
            return -1;
    }
    return logql_advance(parser);
}

/* --- ranges --- */

static int take_duration(struct logql_parser *parser, int64_t *out_ns)
{
    double seconds;
    if (parser->token.kind != LOGQL_TOKEN_NUMBER || !logql_duration(parser->token.text, &seconds))
        return logql_unexpected(parser, "a duration such as 5m");
    if (!(seconds > 0) || seconds > 1e9)
        return logql_fail(parser, "a duration must be positive, and at most 30 years");
    *out_ns = (int64_t)(seconds * 1e9 + 0.5);
    return logql_advance(parser);
}

/* [5m] and what may follow it. */
static int parse_range(struct logql_parser *parser, struct logql_expr *expr)
{
    if (expr->range_ns)
        return logql_fail(parser, "a second range");
    if (logql_expect(parser, "[") || take_duration(parser, &expr->range_ns) ||
        logql_expect(parser, "]"))
        return -1;
    if (!logql_is_word(parser, "offset"))
        return 0;
    if (logql_advance(parser))
        return -1;
    bool negative = logql_is_sign(parser, "-");
    if (negative && logql_advance(parser))
        return -1;
    if (take_duration(parser, &expr->offset_ns))
        return -1;
    if (negative)
        expr->offset_ns = -expr->offset_ns;
    return 0;
}

/* {..} [5m] | stages, {..} | stages [5m], or ({..} | stages) [5m]; without `range` none is allowed. */
static int parse_log(struct logql_parser *parser, struct logql_expr *expr, bool range)
{
    bool paren = range && logql_is_sign(parser, "(");
    if (paren && logql_advance(parser))
        return -1;
    expr->pipeline = arena_zeroed(parser->arena, 1, sizeof *expr->pipeline);
    if (!expr->pipeline)
        return logql_too_large(parser);
    if (parse_selector(parser, expr->pipeline))
        return -1;
    if (range && logql_is_sign(parser, "[") && parse_range(parser, expr))
        return -1;
    if (logql_parse_stages(parser, expr->pipeline))
        return -1;
    if (range && logql_is_sign(parser, "[") && parse_range(parser, expr))
        return -1;
    if (paren && logql_expect(parser, ")"))
        return -1;
    if (paren && logql_is_sign(parser, "[") && parse_range(parser, expr))
        return -1;
    if (range && !expr->range_ns)
        return logql_unexpected(parser, "a range such as [5m]");
    return 0;
}

/* --- grouping, ranges over time, aggregations --- */

static int parse_grouping(struct logql_parser *parser, struct logql_grouping *out)
{
    bool without = logql_is_word(parser, "without");
    if (!without && !logql_is_word(parser, "by"))
        return 0;
    if (out->present)
        return logql_fail(parser, "a second grouping");
    *out = (struct logql_grouping){.present = true, .without = without};
    out->names = arena_zeroed(parser->arena, NAMES_MAX, sizeof *out->names);
    if (!out->names)
        return logql_too_large(parser);
    if (logql_advance(parser) || logql_expect(parser, "("))
        return -1;
    while (!logql_is_sign(parser, ")")) {
        if (out->count == NAMES_MAX)
            return logql_fail(parser, "more than %d labels", NAMES_MAX);
        if (logql_take_word(parser, &out->names[out->count++]))
            return -1;
        if (!logql_is_sign(parser, ")") && logql_expect(parser, ","))
            return -1;
    }
    return logql_advance(parser);
}

static bool needs_unwrap(enum logql_range_operator op)
{
    return op >= RANGE_SUM && op != RANGE_OPERATOR_COUNT;
}

static int parse_range_operator(struct logql_parser *parser, enum logql_range_operator op,
                                struct logql_expr **out)
{
    struct logql_expr *expr = *out = new_expr(parser, LOGQL_RANGE);
    struct logql_token name = parser->token;
    if (!expr || logql_advance(parser) || logql_expect(parser, "("))
        return -1;
    expr->range = op;
    if (op == RANGE_QUANTILE &&
        (logql_take_number(parser, &expr->param) || logql_expect(parser, ",")))
        return -1;
    if (parse_log(parser, expr, true) || logql_expect(parser, ")"))
        return -1;
    struct logql_token next = parser->token;
    bool unwrapped = expr->pipeline->unwrap != NULL;
    parser->token = name;
    if (needs_unwrap(op) && !unwrapped)
        return logql_fail(parser, SLICE_FMT " needs numbers: add `| unwrap LABEL` to the pipeline",
                          SLICE_ARG(name.text));
    if (unwrapped && !needs_unwrap(op) && op != RANGE_RATE)
        return logql_fail(parser, SLICE_FMT " counts lines: take `| unwrap` out",
                          SLICE_ARG(name.text));
    parser->token = next;
    if (needs_unwrap(op) && parse_grouping(parser, &expr->grouping))
        return -1;
    return 0;
}

static int parse_expr(struct logql_parser *parser, int precedence, struct logql_expr **out);

static int parse_aggregate(struct logql_parser *parser, enum logql_aggregate_operator op,
                           struct logql_expr **out)
{
    struct logql_expr *expr = *out = new_expr(parser, LOGQL_AGGREGATE);
    if (!expr || logql_advance(parser) || parse_grouping(parser, &expr->grouping) ||
        logql_expect(parser, "("))
        return -1;
    expr->aggregate = op;
    if (op == LOGQL_TOPK || op == LOGQL_BOTTOMK) {
        struct logql_token at = parser->token;
        if (logql_take_number(parser, &expr->param))
            return -1;
        if (!(expr->param >= 1) || expr->param != floor(expr->param) || expr->param > 1e6) {
            parser->token = at;
            return logql_fail(parser, "k must be a whole number from 1 on");
        }
        if (logql_expect(parser, ","))
            return -1;
    }
    struct logql_token at = parser->token;
    if (parse_expr(parser, 0, &expr->left))
        return -1;
    if (expr->left->kind == LOGQL_LOG || expr->left->kind == LOGQL_NUMBER) {
        parser->token = at;
        return logql_fail(parser, "an aggregation needs numbers over time, such as "
                                  "count_over_time({...}[5m])");
    }
    if (logql_expect(parser, ")"))
        return -1;
    return parse_grouping(parser, &expr->grouping);
}

/* --- operands and operators --- */

static int parse_vector(struct logql_parser *parser, struct logql_expr **out)
{
    struct logql_expr *expr = *out = new_expr(parser, LOGQL_VECTOR);
    if (!expr || logql_advance(parser) || logql_expect(parser, "(") ||
        logql_take_number(parser, &expr->number))
        return -1;
    return logql_expect(parser, ")");
}

static int parse_number(struct logql_parser *parser, struct logql_expr **out)
{
    *out = new_expr(parser, LOGQL_NUMBER);
    return *out ? logql_take_number(parser, &(*out)->number) : -1;
}

static int parse_operand(struct logql_parser *parser, struct logql_expr **out)
{
    if (logql_is_sign(parser, "(")) {
        if (logql_advance(parser) || parse_expr(parser, 0, out))
            return -1;
        return logql_expect(parser, ")");
    }
    if (logql_is_sign(parser, "{")) {
        *out = new_expr(parser, LOGQL_LOG);
        return *out ? parse_log(parser, *out, false) : -1;
    }
    if (parser->token.kind == LOGQL_TOKEN_NUMBER || logql_is_sign(parser, "-"))
        return parse_number(parser, out);
    if (parser->token.kind != LOGQL_TOKEN_WORD)
        return logql_unexpected(parser, "a selector such as {service=\"api\"}, or a function");
    const struct row *row = find_row(range_operators, parser->token.text);
    if (row)
        return parse_range_operator(parser, (enum logql_range_operator)row->value, out);
    row = find_row(aggregates, parser->token.text);
    if (row)
        return parse_aggregate(parser, (enum logql_aggregate_operator)row->value, out);
    if (logql_is_word(parser, "vector"))
        return parse_vector(parser, out);
    return logql_fail(parser, "there is no function `" SLICE_FMT "`",
                      SLICE_ARG(slice_head(parser->token.text, 40)));
}

static const struct operator_row *current_operator(const struct logql_parser *parser)
{
    if (parser->token.kind != LOGQL_TOKEN_SIGN && parser->token.kind != LOGQL_TOKEN_WORD)
        return NULL;
    for (size_t i = 0; i < sizeof operators / sizeof operators[0]; i++)
        if (slice_equal_string(parser->token.text, operators[i].sign))
            return &operators[i];
    return NULL;
}

static bool is_log(const struct logql_expr *expr)
{
    return expr->kind == LOGQL_LOG;
}

static int parse_binary(struct logql_parser *parser, const struct operator_row *row,
                        struct logql_expr **left)
{
    struct logql_token at = parser->token;
    struct logql_expr *expr = new_expr(parser, LOGQL_BINARY);
    if (!expr || logql_count_operator(parser) || logql_advance(parser))
        return -1;
    expr->binary = row->op;
    expr->left = *left;
    expr->return_bool = logql_is_word(parser, "bool");
    if (expr->return_bool && logql_advance(parser))
        return -1;
    if (logql_is_word(parser, "on") || logql_is_word(parser, "ignoring"))
        return logql_fail(parser, "on() and ignoring() are not supported; both sides must have the "
                                  "same labels");
    /* ^ binds to the right, the others to the left. */
    int above = row->op == LOGQL_POW ? row->precedence - 1 : row->precedence;
    if (parse_expr(parser, above, &expr->right))
        return -1;
    if (is_log(expr->left) || is_log(expr->right)) {
        parser->token = at;
        return logql_fail(parser, "operators need numbers on both sides, not log lines");
    }
    *left = expr;
    return 0;
}

/* Operators that bind tighter than `precedence`. */
static int parse_expr(struct logql_parser *parser, int precedence, struct logql_expr **out)
{
    if (++parser->depth > LOGQL_DEPTH_MAX)
        return logql_fail(parser, "more than %d levels of nesting", LOGQL_DEPTH_MAX);
    if (parse_operand(parser, out))
        return -1;
    for (;;) {
        const struct operator_row *row = current_operator(parser);
        if (!row || row->precedence <= precedence)
            break;
        if (parse_binary(parser, row, out))
            return -1;
    }
    parser->depth--;
    return 0;
}

static int parse_whole(struct logql_parser *parser, bool selector_only, struct logql_query *out)
{
    if (parser->text.len > LOGQL_TEXT_MAX)
        return error_set(parser->err, ERROR_BAD_DATA, "the query is longer than %d bytes",
                         LOGQL_TEXT_MAX);
    if (logql_advance(parser))
        return -1;
    if (selector_only) {
        out->root = new_expr(parser, LOGQL_LOG);
        if (!out->root || parse_log(parser, out->root, false))
            return -1;
    } else if (parse_expr(parser, 0, &out->root)) {
        return -1;
    }
    if (parser->token.kind != LOGQL_TOKEN_END)
        return logql_unexpected(parser, "the end of the query");
    return 0;
}

static int parse_text(struct slice text, bool selector_only, struct arena *arena,
                      struct logql_query *out, struct error *err)
{
    struct logql_parser parser = {.text = text, .rest = text, .arena = arena, .err = err};
    parser.token.text = slice_head(text, 0);
    *out = (struct logql_query){0};
    int status = parse_whole(&parser, selector_only, out);
    out->regexes = parser.regexes;
    if (status)
        logql_release(out);
    return status;
}

int logql_parse(struct slice text, struct arena *arena, struct logql_query *out, struct error *err)
{
    return parse_text(text, false, arena, out, err);
}

int logql_parse_selector(struct slice text, struct arena *arena, struct logql_query *out,
                         struct error *err)
{
    return parse_text(text, true, arena, out, err);
}

void logql_release(struct logql_query *query)
{
    for (struct logql_regexes *node = query->regexes; node; node = node->next)
        regex_free(node->regex);
    *query = (struct logql_query){0};
}
