/* print: a plan as its canonical text, the form Prometheus prints.
 *
 *   sum(rate(foo{b!="x"}[300s] offset 1m)) by(a)  ->  sum by (a) (rate(foo{b!="x"}[5m] offset 1m))
 *
 * Parsing the text again gives an equal plan, so whatever could not stand bare is quoted: metric
 * names that are words of the language or hold odd bytes, label names likewise. Parentheses are
 * nodes of the plan and need no thought here.
 */

#include "query/function.h"
#include "query/lex.h"
#include "query/literal.h"
#include "query/parse.h"
#include "storage/base/number.h"

static void print_label(struct slice name, struct buffer *out)
{
    if (name_is_label(name))
        buffer_append_slice(out, name);
    else
        literal_print_string(name, out);
}

/* " by (a, b)" with the word given. */
static void print_names(const char *word, const struct plan_names *names, struct buffer *out)
{
    buffer_append_format(out, " %s (", word);
    for (size_t i = 0; i < names->count; i++) {
        buffer_append_string(out, i ? ", " : "");
        print_label(names->at[i], out);
    }
    buffer_append_char(out, ')');
}

/* The index of the matcher that is the metric's name, or the count when none can be. */
static size_t find_name(const struct plan *plan)
{
    size_t count = plan->selector.matcher_count, found = count;
    for (size_t i = 0; i < count; i++) {
        const struct matcher *matcher = &plan->selector.matchers[i];
        if (!slice_equal(matcher->name, SLICE(LABEL_NAME)))
            continue;
        if (found < count || matcher->type != MATCH_EQUAL || matcher->value.len == 0)
            return count; /* a second condition on the name: both stay in the braces */
        found = i;
    }
    return found;
}

static void print_matchers(const struct plan *plan, struct buffer *out)
{
    size_t count = plan->selector.matcher_count, name = find_name(plan), printed = 0;
    bool bare = name < count && name_is_bare_metric(plan->selector.matchers[name].value);
    if (name < count && bare) {
        buffer_append_slice(out, plan->selector.matchers[name].value);
        if (count == 1)
            return;
    }
    buffer_append_char(out, '{');
    if (name < count && !bare) {
        literal_print_string(plan->selector.matchers[name].value, out);
        printed++;
    }
    for (size_t i = 0; i < count; i++) {
        const struct matcher *matcher = &plan->selector.matchers[i];
        if (i == name)
            continue;
        buffer_append_string(out, printed++ ? "," : "");
        print_label(matcher->name, out);
        buffer_append_string(out, matcher_operator(matcher->type));
        literal_print_string(matcher->value, out);
    }
    buffer_append_char(out, '}');
}

/* " @ 5.000 offset -1h" */
static void print_modifiers(const struct plan *plan, struct buffer *out)
{
    if (plan->at == AT_TIME)
        buffer_append_format(out, " @ %.3f", (double)plan->at_ms / 1000);
    else if (plan->at != AT_NONE)
        buffer_append_string(out, plan->at == AT_START ? " @ start()" : " @ end()");
    if (plan->offset_ms) {
        buffer_append_string(out, plan->offset_ms < 0 ? " offset -" : " offset ");
        literal_print_duration(plan->offset_ms < 0 ? -plan->offset_ms : plan->offset_ms, out);
    }
}

static void print_selector(const struct plan *plan, struct buffer *out)
{
    print_matchers(plan, out);
    if (plan->selector.range_ms) {
        buffer_append_char(out, '[');
        literal_print_duration(plan->selector.range_ms, out);
        buffer_append_char(out, ']');
    }
    print_modifiers(plan, out);
}

static void print_subquery(const struct plan *plan, struct buffer *out)
{
    plan_print(plan->subquery.child, out);
    buffer_append_char(out, '[');
    literal_print_duration(plan->subquery.range_ms, out);
    buffer_append_char(out, ':');
    if (plan->subquery.step_ms)
        literal_print_duration(plan->subquery.step_ms, out);
    buffer_append_char(out, ']');
    print_modifiers(plan, out);
}

/* What stands between the name and the parenthesis: nothing, or " by (a, b) ". */
static void print_grouping(bool without, const struct plan_names *grouping, struct buffer *out)
{
    if (!without && grouping->count == 0)
        return;
    print_names(without ? "without" : "by", grouping, out);
    buffer_append_char(out, ' ');
}

static void print_call(const struct plan *plan, struct buffer *out)
{
    buffer_append_string(out, plan->call.function->name);
    print_grouping(plan->call.without, &plan->call.grouping, out);
    buffer_append_char(out, '(');
    for (size_t i = 0; i < plan->call.arg_count; i++) {
        buffer_append_string(out, i ? ", " : "");
        plan_print(plan->call.args[i], out);
    }
    buffer_append_char(out, ')');
}

static void print_aggregate(const struct plan *plan, struct buffer *out)
{
    buffer_append_string(out, aggregate_operator_name(plan->aggregate.op));
    print_grouping(plan->aggregate.without, &plan->aggregate.grouping, out);
    buffer_append_char(out, '(');
    if (plan->aggregate.param) {
        plan_print(plan->aggregate.param, out);
        buffer_append_string(out, ", ");
    }
    plan_print(plan->aggregate.child, out);
    buffer_append_char(out, ')');
}

static void print_binary(const struct plan *plan, struct buffer *out)
{
    enum match_cardinality cardinality = plan->binary.cardinality;
    bool grouped = cardinality == MATCH_MANY_TO_ONE || cardinality == MATCH_ONE_TO_MANY;
    plan_print(plan->binary.left, out);
    buffer_append_format(out, " %s%s", binary_operator_name(plan->binary.op),
                         plan->binary.return_bool ? " bool" : "");
    if (plan->binary.on || plan->binary.matching.count || grouped)
        print_names(plan->binary.on ? "on" : "ignoring", &plan->binary.matching, out);
    if (grouped)
        print_names(cardinality == MATCH_MANY_TO_ONE ? "group_left" : "group_right",
                    &plan->binary.include, out);
    buffer_append_char(out, ' ');
    plan_print(plan->binary.right, out);
}

void plan_print(const struct plan *plan, struct buffer *out)
{
    switch (plan->kind) {
    case PLAN_NUMBER:
        number_print(plan->number, NUMBER_TEXT, out);
        return;
    case PLAN_STRING:
        literal_print_string(plan->string, out);
        return;
    case PLAN_SELECTOR:
        print_selector(plan, out);
        return;
    case PLAN_SUBQUERY:
        print_subquery(plan, out);
        return;
    case PLAN_CALL:
        print_call(plan, out);
        return;
    case PLAN_AGGREGATE:
        print_aggregate(plan, out);
        return;
    case PLAN_BINARY:
        print_binary(plan, out);
        return;
    case PLAN_UNARY:
        buffer_append_char(out, '-');
        plan_print(plan->child, out);
        return;
    case PLAN_PAREN:
        buffer_append_char(out, '(');
        plan_print(plan->child, out);
        buffer_append_char(out, ')');
        return;
    }
}
