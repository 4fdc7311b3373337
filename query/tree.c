/* tree: a plan as JSON, for the tree view of Prometheus' own interface and what reads as it does.
 *
 *   {"type":"aggregation","op":"sum","expr":{...},"param":null,"grouping":["job"],"without":false}
 *
 * Every node is an object with a "type". Written by hand rather than by the JSON writer: trees are
 * deeper than what that keeps account of, and no text here needs more than quoting.
 */
#include "query/function.h"
#include "query/parse.h"
#include "storage/base/json.h"
#include "storage/base/number.h"

static void append_names(const struct plan_names *names, struct buffer *out)
{
    buffer_append_char(out, '[');
    for (size_t i = 0; i < names->count; i++) {
        buffer_append_string(out, i ? "," : "");
        json_append_quoted(out, names->at[i]);
    }
    buffer_append_char(out, ']');
}

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

/* --- leaves --- */

static void append_number(const struct plan *plan, struct buffer *out)
{
    buffer_append_string(out, "{\"type\":\"numberLiteral\",\"val\":\"");
    number_print(plan->number, NUMBER_PLAIN, out);
    buffer_append_string(out, "\"}");
}

/* What selectors and subqueries share: the modifiers. */
static void append_modifiers(const struct plan *plan, struct buffer *out)
{
    buffer_append_format(out, ",\"offset\":%lld", (long long)plan->offset_ms);
    if (plan->at == AT_TIME)
        buffer_append_format(out, ",\"timestamp\":%lld", (long long)plan->at_ms);
    else
        buffer_append_string(out, ",\"timestamp\":null");
    buffer_append_format(out, ",\"startOrEnd\":%s",
                         plan->at == AT_START ? "\"start\""
                         : plan->at == AT_END ? "\"end\""
                                              : "null");
}

static void append_matchers(const struct plan *plan, struct buffer *out)
{
    buffer_append_string(out, ",\"matchers\":[");
    for (size_t i = 0; i < plan->selector.matcher_count; i++) {
        const struct matcher *matcher = &plan->selector.matchers[i];
        buffer_append_string(out, i ? ",{\"name\":" : "{\"name\":");
        json_append_quoted(out, matcher->name);
        buffer_append_string(out, ",\"value\":");
        json_append_quoted(out, matcher->value);
        buffer_append_format(out, ",\"type\":\"%s\"}", matcher_operator(matcher->type));
    }
    buffer_append_char(out, ']');
}

static struct slice metric_name(const struct plan *plan)
{
    const struct matcher *first = plan->selector.matchers;
    bool named = plan->selector.matcher_count && first->type == MATCH_EQUAL &&
                 slice_equal(first->name, SLICE(LABEL_NAME));
    return named ? first->value : SLICE("");
}

static void append_selector(const struct plan *plan, struct buffer *out)
{
    bool matrix = plan->selector.range_ms > 0;
    buffer_append_format(
        out, "{\"type\":\"%s\",\"name\":", matrix ? "matrixSelector" : "vectorSelector");
    json_append_quoted(out, metric_name(plan));
    if (matrix)
        buffer_append_format(out, ",\"range\":%lld", (long long)plan->selector.range_ms);
    append_modifiers(plan, out);
    append_matchers(plan, out);
    buffer_append_string(out, ",\"anchored\":false,\"smoothed\":false}");
}

/* --- nodes --- */

static void append_subquery(const struct plan *plan, struct buffer *out)
{
    buffer_append_string(out, "{\"type\":\"subquery\",\"expr\":");
    plan_print_tree(plan->subquery.child, out);
    buffer_append_format(out, ",\"range\":%lld,\"step\":%lld", (long long)plan->subquery.range_ms,
                         (long long)plan->subquery.step_ms);
    append_modifiers(plan, out);
    buffer_append_char(out, '}');
}

static const char *type_name(enum value_type type)
{
    static const char *const names[] = {
        [VALUE_SCALAR] = "scalar",
        [VALUE_STRING] = "string",
        [VALUE_VECTOR] = "vector",
        [VALUE_MATRIX] = "matrix",
    };
    return names[type];
}

static void append_function(const struct query_function *function, struct buffer *out)
{
    buffer_append_format(out, "{\"name\":\"%s\",\"argTypes\":[", function->name);
    for (int i = 0; i < function->arg_count; i++)
        buffer_append_format(out, "%s\"%s\"", i ? "," : "", type_name(function->args[i]));
    buffer_append_format(out, "],\"variadic\":%d,\"returnType\":\"%s\"}", function->optional,
                         type_name(function->result));
}

static void append_aggregation(const char *name, const struct plan *param, const struct plan *child,
                               struct buffer *out)
{
    buffer_append_format(out, "{\"type\":\"aggregation\",\"op\":\"%s\",\"expr\":", name);
    plan_print_tree(child, out);
    buffer_append_string(out, ",\"param\":");
    if (param)
        plan_print_tree(param, out);
    else
        buffer_append_string(out, "null");
}

static void append_grouping(const struct plan_names *grouping, bool without, struct buffer *out)
{
    buffer_append_string(out, ",\"grouping\":");
    append_names(grouping, out);
    buffer_append_format(out, ",\"without\":%s}", truth(without));
}

static void append_call(const struct plan *plan, struct buffer *out)
{
    const struct query_function *function = plan->call.function;
    size_t count = plan->call.arg_count;
    if (function->groups) { /* the last argument is what is aggregated */
        append_aggregation(function->name, count > 1 ? plan->call.args[0] : NULL,
                           plan->call.args[count - 1], out);
        append_grouping(&plan->call.grouping, plan->call.without, out);
        return;
    }
    buffer_append_string(out, "{\"type\":\"call\",\"func\":");
    append_function(function, out);
    buffer_append_string(out, ",\"args\":[");
    for (size_t i = 0; i < count; i++) {
        buffer_append_string(out, i ? "," : "");
        plan_print_tree(plan->call.args[i], out);
    }
    buffer_append_string(out, "]}");
}

static void append_matching(const struct plan *plan, struct buffer *out)
{
    static const char *const cards[] = {
        [MATCH_ONE_TO_ONE] = "one-to-one",
        [MATCH_MANY_TO_ONE] = "many-to-one",
        [MATCH_ONE_TO_MANY] = "one-to-many",
        [MATCH_MANY_TO_MANY] = "many-to-many",
    };
    if (plan->binary.left->type != VALUE_VECTOR || plan->binary.right->type != VALUE_VECTOR) {
        buffer_append_string(out, "null");
        return;
    }
    buffer_append_format(out, "{\"card\":\"%s\",\"labels\":", cards[plan->binary.cardinality]);
    append_names(&plan->binary.matching, out);
    buffer_append_format(out, ",\"on\":%s,\"include\":", truth(plan->binary.on));
    append_names(&plan->binary.include, out);
    buffer_append_string(out, ",\"fillValues\":{\"lhs\":null,\"rhs\":null}}");
}

static void append_binary(const struct plan *plan, struct buffer *out)
{
    buffer_append_format(out, "{\"type\":\"binaryExpr\",\"op\":\"%s\",\"lhs\":",
                         binary_operator_name(plan->binary.op));
    plan_print_tree(plan->binary.left, out);
    buffer_append_string(out, ",\"rhs\":");
    plan_print_tree(plan->binary.right, out);
    buffer_append_string(out, ",\"matching\":");
    append_matching(plan, out);
    buffer_append_format(out, ",\"bool\":%s}", truth(plan->binary.return_bool));
}

/* An object of nothing but a child. */
static void append_around(const char *head, const struct plan *child, struct buffer *out)
{
    buffer_append_format(out, "{%s,\"expr\":", head);
    plan_print_tree(child, out);
    buffer_append_char(out, '}');
}

void plan_print_tree(const struct plan *plan, struct buffer *out)
{
    switch (plan->kind) {
    case PLAN_NUMBER:
        append_number(plan, out);
        return;
    case PLAN_STRING:
        buffer_append_string(out, "{\"type\":\"stringLiteral\",\"val\":");
        json_append_quoted(out, plan->string);
        buffer_append_char(out, '}');
        return;
    case PLAN_SELECTOR:
        append_selector(plan, out);
        return;
    case PLAN_SUBQUERY:
        append_subquery(plan, out);
        return;
    case PLAN_CALL:
        append_call(plan, out);
        return;
    case PLAN_AGGREGATE:
        append_aggregation(aggregate_operator_name(plan->aggregate.op), plan->aggregate.param,
                           plan->aggregate.child, out);
        append_grouping(&plan->aggregate.grouping, plan->aggregate.without, out);
        return;
    case PLAN_BINARY:
        append_binary(plan, out);
        return;
    case PLAN_UNARY:
        append_around("\"type\":\"unaryExpr\",\"op\":\"-\"", plan->child, out);
        return;
    case PLAN_PAREN:
        append_around("\"type\":\"parenExpr\"", plan->child, out);
        return;
    }
}
