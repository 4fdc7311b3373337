/* parse: PromQL text -> plan, by recursive descent; see the header and query/parser.h.
 *
 *   expression := operand { operator [bool] [on|ignoring (..) [group_left|group_right [(..)]]]
 *                 operand }                  by precedence, climbing:
 *                 or  <  and unless  <  == != < <= > >=  <  + -  <  * / % atan2  <  ^ (right)
 *   operand    := {+|-} primary {suffix}     the sign binds looser than ^, tighter than *
 *   primary    := number | string | (expression) | call | aggregation | selector
 *
 * The lexer's errors arrive as TOKEN_ERROR, which fits nowhere, and come out through
 * parser_unexpected. Words of the language may be metric names wherever an operand is expected and
 * label names in every list. Types are checked afterwards (check.c), so a syntax error wins.
 */
#include <assert.h>

#include "query/function.h"
#include "query/literal.h"
#include "query/parser.h"

#define PRECEDENCE_LOWEST 1
#define PRECEDENCE_POWER  6

static const int precedence[] = {
    [TOKEN_OR] = 1,         [TOKEN_AND] = 2,        [TOKEN_UNLESS] = 2, [TOKEN_EQ] = 3,
    [TOKEN_NE] = 3,         [TOKEN_LT] = 3,         [TOKEN_LE] = 3,     [TOKEN_GT] = 3,
    [TOKEN_GE] = 3,         [TOKEN_ADD] = 4,        [TOKEN_SUB] = 4,    [TOKEN_MUL] = 5,
    [TOKEN_TRIM_UPPER] = 3, [TOKEN_TRIM_LOWER] = 3, [TOKEN_DIV] = 5,    [TOKEN_MOD] = 5,
    [TOKEN_ATAN2] = 5,      [TOKEN_POW] = 6,
};

static struct plan *parse_expression(struct parser *parser, int lowest);

/* --- the cursor --- */

void parser_advance(struct parser *parser)
{
    parser->end = parser->token.at + parser->token.text.len;
    if (lex_next(&parser->lexer, &parser->token, parser->err) < 0)
        assert(parser->token.kind == TOKEN_ERROR);
}

bool parser_accept(struct parser *parser, enum token_kind kind)
{
    if (parser->token.kind != kind)
        return false;
    parser_advance(parser);
    return true;
}

int parser_unexpected(struct parser *parser, const char *context, const char *expected)
{
    char token[300];
    if (parser->token.kind == TOKEN_ERROR)
        return -1; /* the lexer has said what is wrong */
    token_describe(&parser->token, token, sizeof token);
    if (!context && parser->aggregations)
        context = "aggregation";
    return lex_fail(parser->lexer.text, parser->token.at, parser->err, "unexpected %s%s%s%s%s",
                    token, context ? " in " : "", context ? context : "",
                    expected ? ", expected " : "", expected ? expected : "");
}

void *parser_alloc(struct parser *parser, size_t count, size_t size)
{
    void *at = arena_zeroed(parser->arena, count ? count : 1, size);
    if (!at)
        error_set(parser->err, ERROR_LIMIT,
                  "the query is too large for its memory limit; shorten it or raise "
                  "limits.query_memory");
    return at;
}

struct plan *parser_node(struct parser *parser, enum plan_kind kind, enum value_type type,
                         size_t start)
{
    struct plan *plan = parser_alloc(parser, 1, sizeof *plan);
    if (plan) {
        plan->kind = kind;
        plan->type = type;
        plan->start = start;
        plan->end = parser->end;
    }
    return plan;
}

/* Puts the position before a literal's bare reason. */
static int fail_literal(struct parser *parser, const struct error *reason)
{
    return lex_fail(parser->lexer.text, parser->token.at, parser->err, "%s", reason->text);
}

int parser_string(struct parser *parser, struct slice *out)
{
    struct error reason;
    if (literal_string(parser->token.text, parser->arena, out, &reason) < 0)
        return fail_literal(parser, &reason);
    parser_advance(parser);
    return 0;
}

int parser_number(struct parser *parser, double *out)
{
    struct error reason;
    int64_t ms;
    if (parser->token.kind == TOKEN_DURATION) {
        if (literal_duration(parser->token.text, &ms, &reason) < 0)
            return fail_literal(parser, &reason);
        *out = (double)ms / 1000;
    } else if (literal_number(parser->token.text, out, &reason) < 0) {
        return fail_literal(parser, &reason);
    }
    parser_advance(parser);
    return 0;
}

/* --- lists --- */

/* One label name of a list: a word of any kind, or a string. */
static int parse_label(struct parser *parser, struct slice *out)
{
    if (parser->token.kind == TOKEN_STRING) {
        if (parser_string(parser, out) < 0)
            return -1;
        return out->len ? 0
                        : lex_fail(parser->lexer.text, parser->end, parser->err,
                                   "a label name may not be empty");
    }
    if (!token_is_word(&parser->token))
        return parser_unexpected(parser, "grouping opts", "label");
    *out = parser->token.text;
    parser_advance(parser);
    return 0;
}

/* (a, b, ...), possibly empty, possibly with a comma at its end. */
static int parse_labels(struct parser *parser, struct plan_names *out)
{
    struct slice room[QUERY_LIST_MAX];
    size_t count = 0;
    if (!parser_accept(parser, TOKEN_LEFT_PAREN))
        return parser_unexpected(parser, "grouping opts", "\"(\"");
    while (!parser_accept(parser, TOKEN_RIGHT_PAREN)) {
        if (count == QUERY_LIST_MAX)
            return lex_fail(parser->lexer.text, parser->token.at, parser->err,
                            "a list may have at most %d labels", QUERY_LIST_MAX);
        if (parse_label(parser, &room[count++]) < 0)
            return -1;
        if (!parser_accept(parser, TOKEN_COMMA) && parser->token.kind != TOKEN_RIGHT_PAREN)
            return parser_unexpected(parser, "grouping opts", "\",\" or \")\"");
    }
    out->at = parser_alloc(parser, count, sizeof *out->at);
    if (!out->at)
        return -1;
    memcpy(out->at, room, count * sizeof *room);
    out->count = count;
    return 0;
}

/* Words that always mean themselves; all others may be metric names. */
static bool is_reserved(enum token_kind kind)
{
    return kind == TOKEN_BOOL || kind == TOKEN_ON || kind == TOKEN_IGNORING ||
           kind == TOKEN_GROUP_LEFT || kind == TOKEN_GROUP_RIGHT || kind == TOKEN_ATAN2;
}

static bool begins_operand(const struct parser *parser)
{
    enum token_kind kind = parser->token.kind;
    return kind == TOKEN_NUMBER || kind == TOKEN_DURATION || kind == TOKEN_STRING ||
           kind == TOKEN_LEFT_PAREN || kind == TOKEN_LEFT_BRACE || kind == TOKEN_METRIC ||
           kind == TOKEN_ADD || kind == TOKEN_SUB ||
           (token_is_word(&parser->token) && !is_reserved(kind));
}

struct argument_list {
    struct plan *at[QUERY_LIST_MAX];
    size_t count;
};

/* Behind the opening parenthesis, up to and including the closing one. */
static int parse_arguments(struct parser *parser, struct argument_list *out)
{
    out->count = 0;
    if (parser_accept(parser, TOKEN_RIGHT_PAREN))
        return 0;
    for (;;) {
        if (out->count == QUERY_LIST_MAX)
            return lex_fail(parser->lexer.text, parser->token.at, parser->err,
                            "a call may have at most %d arguments", QUERY_LIST_MAX);
        struct plan *argument = parse_expression(parser, PRECEDENCE_LOWEST);
        if (!argument)
            return -1;
        out->at[out->count++] = argument;
        if (parser_accept(parser, TOKEN_RIGHT_PAREN))
            return 0;
        size_t comma = parser->token.at;
        if (!parser_accept(parser, TOKEN_COMMA))
            return parser_unexpected(parser, NULL, NULL);
        if (parser->token.kind != TOKEN_ERROR && !begins_operand(parser))
            return lex_fail(parser->lexer.text, comma, parser->err,
                            "trailing commas not allowed in function call args");
    }
}

/* --- by and without --- */

struct grouping {
    bool found, without;
    struct plan_names names;
};

/* Finding none is fine, too. */
static int parse_grouping(struct parser *parser, struct grouping *out)
{
    bool without = parser->token.kind == TOKEN_WITHOUT;
    if (out->found || (!without && parser->token.kind != TOKEN_BY))
        return 0;
    parser_advance(parser);
    out->found = true;
    out->without = without;
    return parse_labels(parser, &out->names);
}

/* [by (..)] (arguments) [by (..)], for aggregations and calls that aggregate. */
static int parse_grouped_arguments(struct parser *parser, struct grouping *grouping,
                                   struct argument_list *list)
{
    *grouping = (struct grouping){0};
    list->count = 0;
    parser->aggregations++; /* what does not fit in one is said to be in it, however deep */
    if (parse_grouping(parser, grouping) < 0)
        return -1;
    if (!parser_accept(parser, TOKEN_LEFT_PAREN))
        return parser_unexpected(parser, NULL, NULL);
    if (parse_arguments(parser, list) < 0)
        return -1;
    parser->aggregations--;
    return parse_grouping(parser, grouping);
}

/* --- primaries --- */

/* The name is consumed; the parenthesis, or the grouping of an aggregating call, comes next. */
static struct plan *parse_call(struct parser *parser, struct slice name, size_t start)
{
    struct argument_list list;
    struct grouping grouping = {0};
    const struct query_function *function = function_find(name);
    if (function && function->groups) {
        if (parse_grouped_arguments(parser, &grouping, &list) < 0)
            return NULL;
    } else {
        parser_advance(parser); /* the parenthesis */
        if (parse_arguments(parser, &list) < 0)
            return NULL;
    }
    if (!function) {
        bool known = function_is_experimental(name);
        lex_fail(parser->lexer.text, start, parser->err, "%s \"" SLICE_FMT "\"%s",
                 known ? "function" : "unknown function with name",
                 SLICE_ARG(slice_head(name, 200)),
                 known ? " is not enabled; it is experimental" : "");
        return NULL;
    }
    struct plan *plan = parser_node(parser, PLAN_CALL, function->result, start);
    struct plan **args = parser_alloc(parser, list.count, sizeof *args);
    if (!plan || !args)
        return NULL;
    memcpy(args, list.at, list.count * sizeof *args);
    plan->call.function = function;
    plan->call.args = args;
    plan->call.arg_count = list.count;
    plan->call.without = grouping.without;
    plan->call.grouping = grouping.names;
    return plan;
}

static bool takes_parameter(enum aggregate_operator op)
{
    return op >= AGGREGATE_TOPK; /* the operators behind it all do */
}

static int set_aggregate_arguments(struct parser *parser, struct plan *plan,
                                   const struct argument_list *list)
{
    size_t wanted = takes_parameter(plan->aggregate.op) ? 2 : 1;
    if (list->count == 0)
        return lex_fail(parser->lexer.text, plan->start, parser->err,
                        "no arguments for aggregate expression provided");
    if (list->count != wanted)
        return lex_fail(parser->lexer.text, plan->start, parser->err,
                        "wrong number of arguments for aggregate expression provided, expected "
                        "%zu, got %zu",
                        wanted, list->count);
    plan->aggregate.param = wanted == 2 ? list->at[0] : NULL;
    plan->aggregate.child = list->at[wanted - 1];
    return 0;
}

/* The operator is consumed; by or without, or the parenthesis comes next. */
static struct plan *parse_aggregate(struct parser *parser, enum token_kind kind, size_t start)
{
    struct argument_list list;
    struct grouping grouping;
    struct plan *plan = parser_node(parser, PLAN_AGGREGATE, VALUE_VECTOR, start);
    if (!plan || parse_grouped_arguments(parser, &grouping, &list) < 0)
        return NULL;
    plan->aggregate.op = (enum aggregate_operator)(kind - TOKEN_SUM);
    plan->aggregate.without = grouping.without;
    plan->aggregate.grouping = grouping.names;
    plan->end = parser->end;
    return set_aggregate_arguments(parser, plan, &list) == 0 ? plan : NULL;
}

static struct plan *parse_number(struct parser *parser)
{
    size_t start = parser->token.at;
    bool duration = parser->token.kind == TOKEN_DURATION;
    double value;
    if (parser_number(parser, &value) < 0)
        return NULL;
    struct plan *plan = parser_node(parser, PLAN_NUMBER, VALUE_SCALAR, start);
    if (plan) {
        plan->number = value;
        plan->duration = duration;
    }
    return plan;
}

static struct plan *parse_string(struct parser *parser)
{
    size_t start = parser->token.at;
    struct slice value;
    if (parser_string(parser, &value) < 0)
        return NULL;
    struct plan *plan = parser_node(parser, PLAN_STRING, VALUE_STRING, start);
    if (plan)
        plan->string = value;
    return plan;
}

static struct plan *parse_paren(struct parser *parser)
{
    size_t start = parser->token.at;
    parser_advance(parser);
    struct plan *child = parse_expression(parser, PRECEDENCE_LOWEST);
    if (!child)
        return NULL;
    if (!parser_accept(parser, TOKEN_RIGHT_PAREN)) {
        parser_unexpected(parser, NULL, NULL);
        return NULL;
    }
    struct plan *plan = parser_node(parser, PLAN_PAREN, child->type, start);
    if (plan)
        plan->child = child;
    return plan;
}

static bool call_groups(struct slice name)
{
    const struct query_function *function = function_find(name);
    return function && function->groups;
}

/* A call, an aggregation or a selector: the token behind the word decides, so the lexer is copied
 * to look one further. */
static struct plan *parse_word(struct parser *parser)
{
    struct token word = parser->token, next;
    struct lexer ahead = parser->lexer;
    struct error ignored;
    if (lex_next(&ahead, &next, &ignored) < 0)
        next.kind = TOKEN_ERROR;
    bool paren = next.kind == TOKEN_LEFT_PAREN;
    bool grouping = next.kind == TOKEN_BY || next.kind == TOKEN_WITHOUT;
    if (token_is_aggregate(word.kind) && (paren || grouping)) {
        parser_advance(parser);
        return parse_aggregate(parser, word.kind, word.at);
    }
    if (word.kind == TOKEN_IDENTIFIER && (paren || (grouping && call_groups(word.text)))) {
        parser_advance(parser);
        return parse_call(parser, word.text, word.at);
    }
    return parse_vector_selector(parser);
}

static struct plan *parse_primary(struct parser *parser)
{
    enum token_kind kind = parser->token.kind;
    if (kind == TOKEN_NUMBER || kind == TOKEN_DURATION)
        return parse_number(parser);
    if (kind == TOKEN_STRING)
        return parse_string(parser);
    if (kind == TOKEN_LEFT_PAREN)
        return parse_paren(parser);
    if (kind == TOKEN_LEFT_BRACE || kind == TOKEN_METRIC)
        return parse_vector_selector(parser);
    if (token_is_word(&parser->token) && !is_reserved(kind))
        return parse_word(parser);
    parser_unexpected(parser, NULL, NULL);
    return NULL;
}

/* --- operators --- */

static struct plan *parse_sign(struct parser *parser)
{
    size_t start = parser->token.at;
    bool minus = parser->token.kind == TOKEN_SUB;
    parser_advance(parser);
    struct plan *child = parse_expression(parser, PRECEDENCE_POWER);
    if (!child)
        return NULL;
    if (child->kind == PLAN_NUMBER) {
        child->number = minus ? -child->number : child->number;
        child->start = start;
        return child;
    }
    if (child->type != VALUE_SCALAR && child->type != VALUE_VECTOR) {
        lex_fail(parser->lexer.text, start, parser->err,
                 "unary expression only allowed on expressions of type scalar or instant vector, "
                 "got \"%s\"",
                 value_type_name(child->type));
        return NULL;
    }
    if (!minus)
        return child;
    struct plan *plan = parser_node(parser, PLAN_UNARY, child->type, start);
    if (plan)
        plan->child = child;
    return plan;
}

static int parse_matching(struct parser *parser, struct plan *plan)
{
    plan->binary.return_bool = parser_accept(parser, TOKEN_BOOL);
    bool on = parser->token.kind == TOKEN_ON;
    if (!on && parser->token.kind != TOKEN_IGNORING)
        return 0;
    parser_advance(parser);
    plan->binary.on = on;
    if (parse_labels(parser, &plan->binary.matching) < 0)
        return -1;
    if (parser_accept(parser, TOKEN_GROUP_LEFT))
        plan->binary.cardinality = MATCH_MANY_TO_ONE;
    else if (parser_accept(parser, TOKEN_GROUP_RIGHT))
        plan->binary.cardinality = MATCH_ONE_TO_MANY;
    else
        return 0;
    if (parser->token.kind != TOKEN_LEFT_PAREN && begins_operand(parser))
        return 0;
    return parse_labels(parser, &plan->binary.include);
}

static bool is_set_operator(enum binary_operator op)
{
    return op == BINARY_AND || op == BINARY_OR || op == BINARY_UNLESS;
}

static struct plan *parse_binary(struct parser *parser, struct plan *left)
{
    enum token_kind kind = parser->token.kind;
    struct plan *plan = parser_node(parser, PLAN_BINARY, VALUE_SCALAR, left->start);
    if (!plan)
        return NULL;
    plan->binary.op = (enum binary_operator)(kind - TOKEN_ADD);
    plan->binary.left = left;
    parser_advance(parser);
    if (parse_matching(parser, plan) < 0)
        return NULL;
    int above = precedence[kind] + (kind == TOKEN_POW ? 0 : 1);
    plan->binary.right = parse_expression(parser, above);
    if (!plan->binary.right)
        return NULL;
    plan->end = parser->end;
    if (left->type == VALUE_VECTOR || plan->binary.right->type == VALUE_VECTOR)
        plan->type = VALUE_VECTOR;
    if (is_set_operator(plan->binary.op) && plan->binary.cardinality == MATCH_ONE_TO_ONE)
        plan->binary.cardinality = MATCH_MANY_TO_MANY;
    return plan;
}

static struct plan *parse_climbing(struct parser *parser, int lowest)
{
    bool sign = parser->token.kind == TOKEN_ADD || parser->token.kind == TOKEN_SUB;
    struct plan *left = sign ? parse_sign(parser) : parse_suffixes(parser, parse_primary(parser));
    while (left && token_is_operator(parser->token.kind) &&
           precedence[parser->token.kind] >= lowest)
        left = parse_binary(parser, left);
    return left;
}

/* An expression whose operators all bind at least as tightly as `lowest`. */
static struct plan *parse_expression(struct parser *parser, int lowest)
{
    if (parser->depth == QUERY_DEPTH_MAX) {
        lex_fail(parser->lexer.text, parser->token.at, parser->err,
                 "the expression nests deeper than %d levels", QUERY_DEPTH_MAX);
        return NULL;
    }
    parser->depth++;
    struct plan *plan = parse_climbing(parser, lowest);
    parser->depth--;
    return plan;
}

/* --- entry --- */

static int parser_init(struct parser *parser, struct slice text, struct arena *arena,
                       struct error *err)
{
    *parser = (struct parser){.arena = arena, .err = err};
    if (text.len > QUERY_TEXT_MAX)
        return error_set(err, ERROR_BAD_DATA,
                         "1:1: parse error: the query is %zu bytes long; at most %d are accepted",
                         text.len, QUERY_TEXT_MAX);
    lexer_init(&parser->lexer, text);
    parser_advance(parser);
    parser->end = 0;
    return 0;
}

/* Checks what was parsed; on any failure frees the regexes. */
static int parser_finish(struct parser *parser, struct plan *plan, struct plan **out)
{
    if (plan && parser->token.kind != TOKEN_END) {
        parser_unexpected(parser, NULL, NULL);
        plan = NULL;
    }
    if (plan && check_plan(parser, plan) == 0) {
        *out = plan;
        return 0;
    }
    for (struct selector_link *link = parser->selectors; link; link = link->next)
        plan_release(link->selector);
    return -1;
}

int parse_promql(struct slice text, struct arena *arena, struct plan **out, struct error *err)
{
    struct parser parser;
    struct error ignored;
    if (parser_init(&parser, text, arena, err ? err : &ignored) < 0)
        return -1;
    if (parser.token.kind == TOKEN_END)
        return lex_fail(text, 0, parser.err, "no expression found in input");
    return parser_finish(&parser, parse_expression(&parser, PRECEDENCE_LOWEST), out);
}

int parse_selector(struct slice text, struct arena *arena, struct plan **out, struct error *err)
{
    struct parser parser;
    struct error ignored;
    struct plan *plan = NULL;
    if (parser_init(&parser, text, arena, err ? err : &ignored) < 0)
        return -1;
    enum token_kind kind = parser.token.kind;
    if (kind == TOKEN_LEFT_BRACE || kind == TOKEN_METRIC ||
        (token_is_word(&parser.token) && !is_reserved(kind)))
        plan = parse_vector_selector(&parser);
    else
        parser_unexpected(&parser, NULL, NULL);
    return parser_finish(&parser, plan, out);
}
