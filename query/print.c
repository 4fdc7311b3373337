/* print: a plan as its canonical text, the form Prometheus prints.
 *
 *   sum(rate(foo{b!="x"}[300s] offset 1m)) by(a)  ->  sum by (a) (rate(foo{b!="x"}[5m] offset 1m))
 *
 * Parsing the text again gives an equal plan, so whatever could not stand bare is quoted: metric
 * names that are words of the language or hold odd bytes, label names likewise. Parentheses are
 * nodes of the plan and need no thought here.
 *
 * Laid out for reading, what is longer than a line is broken at its outermost node, the parts
 * indented below it, each of them broken again if it must:
 *
 *   sum by (route) (                      left
 *     rate(...)                        +
 *   )                                     right
 */

#include <ctype.h>
#include <math.h>
#include <stdlib.h>

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

static void print_matcher(const struct matcher *matcher, struct buffer *out)
{
    print_label(matcher->name, out);
    buffer_append_string(out, matcher_operator(matcher->type));
    literal_print_string(matcher->value, out);
}

static int compare_texts(const void *a, const void *b)
{
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* All but the one that is the name, in the order of their texts: what means the same looks the
 * same. */
static void print_conditions(const struct plan *plan, size_t name, bool comma, struct buffer *out)
{
    struct buffer texts;
    struct slice sorted[QUERY_LIST_MAX];
    size_t ends[QUERY_LIST_MAX], count = 0, start = 0;
    buffer_init(&texts, SIZE_MAX);
    for (size_t i = 0; i < plan->selector.matcher_count; i++) {
        if (i == name)
            continue;
        print_matcher(&plan->selector.matchers[i], &texts);
        ends[count++] = texts.len;
    }
    for (size_t i = 0; i < count; start = ends[i++])
        sorted[i] = slice_make(texts.at + start, ends[i] - start);
    if (count)
        qsort(sorted, count, sizeof *sorted, compare_texts);
    for (size_t i = 0; i < count; i++) {
        buffer_append_string(out, comma || i ? "," : "");
        buffer_append_slice(out, sorted[i]);
    }
    buffer_release(&texts);
}

static void print_matchers(const struct plan *plan, struct buffer *out)
{
    size_t count = plan->selector.matcher_count, name = find_name(plan);
    bool bare = name < count && name_is_bare_metric(plan->selector.matchers[name].value);
    if (name < count && bare) {
        buffer_append_slice(out, plan->selector.matchers[name].value);
        if (count == 1)
            return;
    }
    buffer_append_char(out, '{');
    if (name < count && !bare)
        literal_print_string(plan->selector.matchers[name].value, out);
    print_conditions(plan, name, name < count && !bare, out);
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

/* "[1h:5m] offset 1d" */
static void print_subquery_suffix(const struct plan *plan, struct buffer *out)
{
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

/* "rate(", "percentile by (route) (" */
static void print_call_head(const struct plan *plan, struct buffer *out)
{
    buffer_append_string(out, plan->call.function->name);
    print_grouping(plan->call.without, &plan->call.grouping, out);
    buffer_append_char(out, '(');
}

static void print_call(const struct plan *plan, struct buffer *out)
{
    print_call_head(plan, out);
    for (size_t i = 0; i < plan->call.arg_count; i++) {
        buffer_append_string(out, i ? ", " : "");
        plan_print(plan->call.args[i], out);
    }
    buffer_append_char(out, ')');
}

static void print_aggregate_head(const struct plan *plan, struct buffer *out)
{
    buffer_append_string(out, aggregate_operator_name(plan->aggregate.op));
    print_grouping(plan->aggregate.without, &plan->aggregate.grouping, out);
    buffer_append_char(out, '(');
}

static void print_aggregate(const struct plan *plan, struct buffer *out)
{
    print_aggregate_head(plan, out);
    if (plan->aggregate.param) {
        plan_print(plan->aggregate.param, out);
        buffer_append_string(out, ", ");
    }
    plan_print(plan->aggregate.child, out);
    buffer_append_char(out, ')');
}

/* "== bool on (a) group_left (b)" */
static void print_operator(const struct plan *plan, struct buffer *out)
{
    enum match_cardinality cardinality = plan->binary.cardinality;
    bool grouped = cardinality == MATCH_MANY_TO_ONE || cardinality == MATCH_ONE_TO_MANY;
    buffer_append_string(out, binary_operator_name(plan->binary.op));
    buffer_append_string(out, plan->binary.return_bool ? " bool" : "");
    if (plan->binary.on || plan->binary.matching.count || grouped)
        print_names(plan->binary.on ? "on" : "ignoring", &plan->binary.matching, out);
    if (grouped)
        print_names(cardinality == MATCH_MANY_TO_ONE ? "group_left" : "group_right",
                    &plan->binary.include, out);
}

static void print_number(const struct plan *plan, struct buffer *out)
{
    if (!plan->duration) {
        number_print(plan->number, NUMBER_PLAIN, out);
        return;
    }
    buffer_append_string(out, signbit(plan->number) ? "-" : "");
    literal_print_duration(llround(fabs(plan->number) * 1000), out);
}

void plan_print(const struct plan *plan, struct buffer *out)
{
    switch (plan->kind) {
    case PLAN_NUMBER:
        print_number(plan, out);
        return;
    case PLAN_STRING:
        literal_print_string(plan->string, out);
        return;
    case PLAN_SELECTOR:
        print_selector(plan, out);
        return;
    case PLAN_SUBQUERY:
        plan_print(plan->subquery.child, out);
        print_subquery_suffix(plan, out);
        return;
    case PLAN_CALL:
        print_call(plan, out);
        return;
    case PLAN_AGGREGATE:
        print_aggregate(plan, out);
        return;
    case PLAN_BINARY:
        plan_print(plan->binary.left, out);
        buffer_append_char(out, ' ');
        print_operator(plan, out);
        buffer_append_char(out, ' ');
        plan_print(plan->binary.right, out);
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

/* --- laid out in lines --- */

#define LINE_MAX_BYTES 100

static void pretty(const struct plan *plan, size_t level, struct buffer *out);

static void indent(size_t level, struct buffer *out)
{
    for (size_t i = 0; i < level; i++)
        buffer_append_string(out, "  ");
}

static bool fits_line(const struct plan *plan)
{
    struct buffer text;
    buffer_init(&text, SIZE_MAX);
    plan_print(plan, &text);
    bool fits = text.len <= LINE_MAX_BYTES;
    buffer_release(&text);
    return fits;
}

/* What stands between parentheses, whose opening one is printed. */
static void pretty_parts(const struct plan *const *parts, size_t count, size_t level,
                         struct buffer *out)
{
    for (size_t i = 0; i < count; i++) {
        buffer_append_string(out, i ? ",\n" : "\n");
        pretty(parts[i], level + 1, out);
    }
    buffer_append_char(out, '\n');
    indent(level, out);
    buffer_append_char(out, ')');
}

static void pretty_aggregate(const struct plan *plan, size_t level, struct buffer *out)
{
    const struct plan *parts[] = {plan->aggregate.param, plan->aggregate.child};
    bool param = plan->aggregate.param;
    print_aggregate_head(plan, out);
    pretty_parts(parts + !param, 1 + param, level, out);
}

static void pretty_binary(const struct plan *plan, size_t level, struct buffer *out)
{
    pretty(plan->binary.left, level + 1, out);
    buffer_append_char(out, '\n');
    indent(level, out);
    print_operator(plan, out);
    buffer_append_char(out, '\n');
    pretty(plan->binary.right, level + 1, out);
}

/* The child's own indentation is taken off it: the sign stands before it. */
static void pretty_minus(const struct plan *plan, size_t level, struct buffer *out)
{
    struct buffer child;
    buffer_init(&child, SIZE_MAX);
    pretty(plan->child, level, &child);
    struct slice text = buffer_slice(&child);
    while (text.len && isspace((unsigned char)*text.at))
        text = slice_skip(text, 1);
    indent(level, out);
    buffer_append_char(out, '-');
    buffer_append_slice(out, text);
    buffer_release(&child);
}

static void pretty(const struct plan *plan, size_t level, struct buffer *out)
{
    bool whole = plan->kind == PLAN_NUMBER || plan->kind == PLAN_STRING ||
                 plan->kind == PLAN_SELECTOR || fits_line(plan);
    if (plan->kind == PLAN_UNARY && !whole) {
        pretty_minus(plan, level, out);
        return;
    }
    if (plan->kind == PLAN_SUBQUERY && !whole) {
        pretty(plan->subquery.child, level, out);
        print_subquery_suffix(plan, out);
        return;
    }
    if (plan->kind == PLAN_BINARY && !whole) {
        pretty_binary(plan, level, out);
        return;
    }
    indent(level, out);
    if (whole) {
        plan_print(plan, out);
    } else if (plan->kind == PLAN_AGGREGATE) {
        pretty_aggregate(plan, level, out);
    } else if (plan->kind == PLAN_CALL) {
        print_call_head(plan, out);
        pretty_parts((const struct plan *const *)plan->call.args, plan->call.arg_count, level, out);
    } else {
        const struct plan *part = plan->child;
        buffer_append_char(out, '(');
        pretty_parts(&part, 1, level, out);
    }
}

void plan_print_pretty(const struct plan *plan, struct buffer *out)
{
    pretty(plan, 0, out);
}
