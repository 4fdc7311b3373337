/* check: the types of a parsed tree, with Prometheus' sentences and positions.
 *
 * Children first, left to right, so that the innermost mistake is the one reported. The walk also
 * holds the tree to QUERY_TREE_MAX levels: after it, everybody else may recurse.
 */
#include <ctype.h>
#include <stdio.h>

#include "query/function.h"
#include "query/parser.h"

static int check_node(struct parser *parser, const struct plan *plan, int depth);

static int fail_at(struct parser *parser, size_t at, const char *text)
{
    return lex_fail(parser->lexer.text, at, parser->err, "%s", text);
}

static int expect_type(struct parser *parser, const struct plan *plan, enum value_type wanted,
                       const char *where)
{
    if (plan->type == wanted)
        return 0;
    return lex_fail(parser->lexer.text, plan->start, parser->err, "expected type %s in %s, got %s",
                    value_type_name(wanted), where, value_type_name(plan->type));
}

static int check_aggregate(struct parser *parser, const struct plan *plan, int depth)
{
    const struct plan *param = plan->aggregate.param;
    bool text = plan->aggregate.op == AGGREGATE_COUNT_VALUES;
    if (check_node(parser, plan->aggregate.child, depth) < 0 ||
        expect_type(parser, plan->aggregate.child, VALUE_VECTOR, "aggregation expression") < 0)
        return -1;
    if (!param)
        return 0;
    if (check_node(parser, param, depth) < 0)
        return -1;
    return expect_type(parser, param, text ? VALUE_STRING : VALUE_SCALAR, "aggregation parameter");
}

static int check_argument_count(struct parser *parser, const struct plan *plan)
{
    const struct query_function *function = plan->call.function;
    int got = (int)plan->call.arg_count;
    int most = function->arg_count;
    int least = most - (function->optional < 0 ? 1 : function->optional);
    const char *how = function->optional == 0 ? "" : got < least ? "at least " : "at most ";
    if (got >= least && (got <= most || function->optional < 0))
        return 0;
    return lex_fail(parser->lexer.text, plan->start, parser->err,
                    "expected %s%d argument(s) in call to \"%s\", got %d", how,
                    got < least ? least : most, function->name, got);
}

static int check_call(struct parser *parser, const struct plan *plan, int depth)
{
    const struct query_function *function = plan->call.function;
    char where[100];
    if (check_argument_count(parser, plan) < 0)
        return -1;
    snprintf(where, sizeof where, "call to function \"%s\"", function->name);
    for (size_t i = 0; i < plan->call.arg_count; i++) {
        size_t declared = (size_t)function->arg_count;
        enum value_type wanted = function->args[i < declared ? i : declared - 1];
        if (check_node(parser, plan->call.args[i], depth) < 0 ||
            expect_type(parser, plan->call.args[i], wanted, where) < 0)
            return -1;
    }
    return 0;
}

static bool is_trim(enum binary_operator op)
{
    return op == BINARY_TRIM_UPPER || op == BINARY_TRIM_LOWER;
}

static bool is_comparison(enum binary_operator op)
{
    return op >= BINARY_EQ && op <= BINARY_GE;
}

/* Where the operator stands: behind the left operand and the blanks. */
static size_t operator_at(const struct parser *parser, const struct plan *plan)
{
    size_t at = plan->binary.left->end;
    while (at < parser->lexer.text.len && isspace((unsigned char)parser->lexer.text.at[at]))
        at++;
    return at;
}

static int check_group_labels(struct parser *parser, const struct plan *plan)
{
    const struct plan_names *include = &plan->binary.include;
    for (size_t i = 0; plan->binary.on && i < plan->binary.matching.count; i++) {
        struct slice label = plan->binary.matching.at[i];
        for (size_t j = 0; j < include->count; j++)
            if (slice_equal(label, include->at[j]))
                return lex_fail(parser->lexer.text, operator_at(parser, plan), parser->err,
                                "label \"" SLICE_FMT
                                "\" must not occur in ON and GROUP clause at once",
                                SLICE_ARG(slice_head(label, 200)));
    }
    return 0;
}

static int check_vector_matching(struct parser *parser, const struct plan *plan)
{
    enum binary_operator op = plan->binary.op;
    bool set = op >= BINARY_AND;
    bool vectors =
        plan->binary.left->type == VALUE_VECTOR && plan->binary.right->type == VALUE_VECTOR;
    if (!vectors && plan->binary.matching.count)
        return fail_at(parser, plan->start, "vector matching only allowed between instant vectors");
    if (set && !vectors)
        return lex_fail(parser->lexer.text, plan->start, parser->err,
                        "set operator \"%s\" not allowed in binary scalar expression",
                        binary_operator_name(op));
    if (set && plan->binary.cardinality != MATCH_MANY_TO_MANY)
        return lex_fail(parser->lexer.text, plan->start, parser->err,
                        "no grouping allowed for \"%s\" operation", binary_operator_name(op));
    return 0;
}

static int check_binary(struct parser *parser, const struct plan *plan, int depth)
{
    const struct plan *left = plan->binary.left, *right = plan->binary.right;
    const struct plan *sides[] = {left, right};
    bool comparison = is_comparison(plan->binary.op);
    if (check_node(parser, left, depth) < 0 || check_node(parser, right, depth) < 0)
        return -1;
    if (plan->binary.return_bool && !comparison)
        return fail_at(parser, operator_at(parser, plan),
                       "bool modifier can only be used on comparison operators");
    if (comparison && !plan->binary.return_bool && left->type == VALUE_SCALAR &&
        right->type == VALUE_SCALAR)
        return fail_at(parser, operator_at(parser, plan),
                       "comparisons between scalars must use BOOL modifier");
    if (is_trim(plan->binary.op) && left->type == VALUE_SCALAR && right->type == VALUE_SCALAR)
        return lex_fail(parser->lexer.text, operator_at(parser, plan), parser->err,
                        "operator \"%s\" not allowed for Scalar operations",
                        binary_operator_name(plan->binary.op));
    if (check_group_labels(parser, plan) < 0)
        return -1;
    for (int i = 0; i < 2; i++)
        if (sides[i]->type != VALUE_SCALAR && sides[i]->type != VALUE_VECTOR)
            return fail_at(parser, sides[i]->start,
                           "binary expression must contain only scalar and instant vector types");
    return check_vector_matching(parser, plan);
}

static int check_subquery(struct parser *parser, const struct plan *plan, int depth)
{
    const struct plan *child = plan->subquery.child;
    if (check_node(parser, child, depth) < 0)
        return -1;
    if (child->type == VALUE_VECTOR)
        return 0;
    return lex_fail(parser->lexer.text, plan->start, parser->err,
                    "subquery is only allowed on instant vector, got %s instead",
                    child->type == VALUE_MATRIX ? "matrix" : value_type_name(child->type));
}

/* A name before the braces allows no other matcher of names, one inside no other by =. */
static int check_name(struct parser *parser, const struct plan *plan)
{
    const struct matcher *first = NULL;
    bool outside = parser->lexer.text.at[plan->start] != '{';
    for (size_t i = 0; i < plan->selector.matcher_count; i++) {
        const struct matcher *matcher = &plan->selector.matchers[i];
        bool fixed = matcher->type == MATCH_EQUAL || (outside && first);
        if (!fixed || !slice_equal(matcher->name, SLICE(LABEL_NAME)))
            continue;
        if (first)
            return lex_fail(parser->lexer.text, plan->start, parser->err,
                            "metric name must not be set twice: \"" SLICE_FMT "\" or \"" SLICE_FMT
                            "\"",
                            SLICE_ARG(slice_head(first->value, 200)),
                            SLICE_ARG(slice_head(matcher->value, 200)));
        first = matcher;
    }
    return 0;
}

static int check_selector(struct parser *parser, const struct plan *plan)
{
    if (check_name(parser, plan) < 0)
        return -1;
    for (size_t i = 0; i < plan->selector.matcher_count; i++)
        if (!matcher_accepts(&plan->selector.matchers[i], SLICE("")))
            return 0;
    return fail_at(parser, plan->start,
                   "vector selector must contain at least one non-empty matcher");
}

static int check_node(struct parser *parser, const struct plan *plan, int depth)
{
    if (depth == QUERY_TREE_MAX)
        return lex_fail(parser->lexer.text, plan->start, parser->err,
                        "the expression nests deeper than %d levels", QUERY_TREE_MAX);
    switch (plan->kind) {
    case PLAN_NUMBER:
    case PLAN_STRING:
        return 0;
    case PLAN_SELECTOR:
        return check_selector(parser, plan);
    case PLAN_SUBQUERY:
        return check_subquery(parser, plan, depth + 1);
    case PLAN_CALL:
        return check_call(parser, plan, depth + 1);
    case PLAN_AGGREGATE:
        return check_aggregate(parser, plan, depth + 1);
    case PLAN_BINARY:
        return check_binary(parser, plan, depth + 1);
    case PLAN_UNARY:
    case PLAN_PAREN:
        return check_node(parser, plan->child, depth + 1);
    }
    return 0;
}

int check_plan(struct parser *parser, const struct plan *root)
{
    return check_node(parser, root, 0);
}
