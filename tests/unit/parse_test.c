/* PromQL text: what it prints as, what is refused and with which words. The sentences marked by
 * nothing are Prometheus' own (compared with 2.42); the few of ours say what to change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "query/function.h"
#include "query/parse.h"

static struct arena arena;
static struct error err;

static struct plan *parse(const char *text)
{
    struct plan *plan = NULL;
    arena_reset(&arena);
    memset(&err, 0, sizeof err);
    return parse_promql(slice_of_string(text), &arena, &plan, &err) == 0 ? plan : NULL;
}

static void prints(const char *text, const char *expected)
{
    struct buffer out;
    buffer_init(&out, QUERY_TEXT_MAX * 4);
    for (int round = 0; round < 2; round++) { /* the canonical text is its own canonical text */
        struct plan *plan = parse(round ? expected : text);
        if (!plan)
            fail_msg("%s: %s", text, err.text);
        buffer_reset(&out);
        plan_print(plan, &out);
        plan_release(plan);
        if (!slice_equal_string(buffer_slice(&out), expected))
            fail_msg("%s: %.*s", text, SLICE_ARG(buffer_slice(&out)));
    }
    buffer_release(&out);
}

static void refuses(const char *text, const char *expected)
{
    struct plan *plan = parse(text);
    if (plan)
        fail_msg("%s: accepted", text);
    assert_int_equal(err.kind, ERROR_BAD_DATA);
    if (strcmp(err.text, expected) != 0)
        fail_msg("%s:\n  %s\n  %s", text, err.text, expected);
}

static const char *const printed[][2] = {
    {"sum(foo)by(a)", "sum by (a) (foo)"},
    {"topk(1,foo)without(a,b)", "topk without (a, b) (1, foo)"},
    {"sum without() (foo)", "sum without () (foo)"},
    {"sum by() (foo)", "sum(foo)"},
    {"sum by (a,) (foo)", "sum by (a) (foo)"},
    {"sum by (sum, on, bool) (foo)", "sum by (sum, on, bool) (foo)"},
    {"sum by (\"l.x\", \"ok\") (foo)", "sum by (\"l.x\", ok) (foo)"},
    {"foo+on(a)group_left bar", "foo + on (a) group_left () bar"},
    {"foo+on(a)group_left(b,c) bar", "foo + on (a) group_left (b, c) bar"},
    {"foo + ignoring() bar", "foo + bar"},
    {"foo + ignoring() group_right bar", "foo + ignoring () group_right () bar"},
    {"foo == bool 1", "foo == bool 1"},
    {"foo + on() bar", "foo + on () bar"},
    {"foo{a=\"b\",c!~'d'}", "foo{a=\"b\",c!~\"d\"}"},
    {"foo{a=\"b\",}", "foo{a=\"b\"}"},
    {"{__name__=\"foo\"}", "foo"},
    {"{__name__=\"foo\",__name__=~\"f.*\"}", "{__name__=\"foo\",__name__=~\"f.*\"}"},
    {"{\"foo\",__name__!=\"bar\"}", "{__name__!=\"bar\",__name__=\"foo\"}"},
    {"{__name__=\"sum\"}", "{\"sum\"}"},
    {"{\"my metric\", \"l.x\"=\"v\", a='b'}", "{\"my metric\",\"l.x\"=\"v\",a=\"b\"}"},
    {"{a='b', \"foo\"}", "foo{a=\"b\"}"},
    {"api.latency{route=\"/buy\"}[5m]", "api.latency{route=\"/buy\"}[5m]"},
    {"{\"api.latency\"}", "api.latency"},
    {"api.2xx.count", "api.2xx.count"},
    {"foo:bar", "foo:bar"},
    {"foo[90s]", "foo[1m30s]"},
    {"foo[300]", "foo[5m]"},
    {"foo[1.5]", "foo[1s500ms]"},
    {"foo[90s:] offset -1h @ 5", "foo[1m30s:] @ 5.000 offset -1h"},
    {"foo @ 1.5 offset 90m", "foo @ 1.500 offset 1h30m"},
    {"foo offset 60 @ -1", "foo @ -1.000 offset 1m"},
    {"foo[1h:30s] @ start()", "foo[1h:30s] @ start()"},
    {"foo @ end()", "foo @ end()"},
    {"-foo^2", "-foo ^ 2"},
    {"2^3^2", "2 ^ 3 ^ 2"},
    {"--foo", "--foo"},
    {"--1", "1"},
    {"+foo", "foo"},
    {"1 - -1", "1 - -1"},
    {"(foo)", "(foo)"},
    {"1e30", "1000000000000000000000000000000"},
    {"1e80", "100000000000000000000000000000000000000000000000000000000000000000000000000000000"},
    {"1e6 + 999999", "1000000 + 999999"},
    {"foo{b=\"1\",a!~\"2\",a=\"1\",a1=\"3\"}", "foo{a!~\"2\",a1=\"3\",a=\"1\",b=\"1\"}"},
    {"0.00001", "0.00001"},
    {"-inf", "-Inf"},
    {"NaN", "NaN"},
    {"0x1F + 010", "31 + 8"},
    {"1_000 + 0x1_F + 1_0.5_0 + 1e1_0", "1000 + 31 + 10.5 + 10000000000"},
    {"foo </ 5 >/ bar > 1", "foo </ 5 >/ bar > 1"},
    {"1h", "1h"},
    {"-90s * -(250ms)", "-1m30s * -(250ms)"},
    {"--1m", "1m"},
    {"'a\"b\\n'", "\"a\\\"b\\n\""},
    {"label_replace(foo,'a','$1','b','(.*)')",
     "label_replace(foo, \"a\", \"$1\", \"b\", \"(.*)\")"},
    {"time()", "time()"},
    {"percentile(99,h[5m])by(a,b)", "percentile by (a, b) (99, h[5m])"},
    {"percentile without (a) (99,h[5m])", "percentile without (a) (99, h[5m])"},
    {"percentile(99,h[5m])", "percentile(99, h[5m])"},
    {"percentile", "percentile"},
    {"percentile{a='b'}", "percentile{a=\"b\"}"},
    {"sum", "{\"sum\"}"},
    {"and and and", "{\"and\"} and {\"and\"}"},
    {"offset offset 5m", "{\"offset\"} offset 5m"},
    {"foo * on(a) group_left (bar) baz", "foo * on (a) group_left (bar) baz"},
    {"a # comment\n + # another\nb", "a + b"},
    {"histogram_quantile(0.99, sum(rate(api.latency[1m])))",
     "histogram_quantile(0.99, sum(rate(api.latency[1m])))"},
};

static void test_prints(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof printed / sizeof printed[0]; i++)
        prints(printed[i][0], printed[i][1]);
}

/* Where operators bind, shown with every operation in parentheses. */
static void print_grouped(const struct plan *plan, struct buffer *out)
{
    if (plan->kind == PLAN_BINARY) {
        buffer_append_char(out, '(');
        print_grouped(plan->binary.left, out);
        buffer_append_string(out, binary_operator_name(plan->binary.op));
        print_grouped(plan->binary.right, out);
        buffer_append_char(out, ')');
    } else if (plan->kind == PLAN_UNARY) {
        buffer_append_string(out, "(-");
        print_grouped(plan->child, out);
        buffer_append_char(out, ')');
    } else {
        plan_print(plan, out);
    }
}

static void test_precedence(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"a + b * c", "(a+(b*c))"},
        {"a * b + c", "((a*b)+c)"},
        {"a - b - c", "((a-b)-c)"},
        {"a ^ b ^ c", "(a^(b^c))"},
        {"-a ^ b", "(-(a^b))"},
        {"-a * b", "((-a)*b)"},
        {"a ^ -b * c", "((a^(-b))*c)"},
        {"a or b and c unless d", "(aor((bandc)unlessd))"},
        {"a == b + c", "(a==(b+c))"},
        {"a > b == c", "((a>b)==c)"},
        {"a % b atan2 c / d", "(((a%b)atan2c)/d)"},
        {"a + b offset 5m", "(a+b offset 5m)"},
        {"a and b == c", "(aand(b==c))"},
    };
    struct buffer out;
    buffer_init(&out, 1000);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct plan *plan = parse(rows[i][0]);
        assert_non_null(plan);
        buffer_reset(&out);
        print_grouped(plan, &out);
        plan_release(plan);
        if (!slice_equal_string(buffer_slice(&out), rows[i][1]))
            fail_msg("%s: %.*s", rows[i][0], SLICE_ARG(buffer_slice(&out)));
    }
    buffer_release(&out);
}

static const char *const syntax_errors[][2] = {
    {"", "1:1: parse error: no expression found in input"},
    {"# only a comment", "1:1: parse error: no expression found in input"},
    {"sum(", "1:5: parse error: unclosed left parenthesis"},
    {"sum(foo", "1:8: parse error: unclosed left parenthesis"},
    {"foo{a=", "1:7: parse error: unexpected end of input inside braces"},
    {"foo{,}",
     "1:5: parse error: unexpected \",\" in label matching, expected identifier or \"}\""},
    {"foo{a=\"b\" c=\"d\"}",
     "1:11: parse error: unexpected identifier \"c\" in label matching, expected \",\" or \"}\""},
    {"foo{a \"b\"}",
     "1:7: parse error: unexpected string \"\\\"b\\\"\" in label matching, expected "
     "label matching operator"},
    {"foo{a}", "1:6: parse error: unexpected \"}\" in label matching, expected label matching "
               "operator"},
    {"foo{a=b}",
     "1:7: parse error: unexpected identifier \"b\" in label matching, expected string"},
    {"{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"},
    {"{a=~\".*\"}",
     "1:1: parse error: vector selector must contain at least one non-empty matcher"},
    {"{a!=\"x\"}", "1:1: parse error: vector selector must contain at least one non-empty matcher"},
    {"foo{__name__=\"bar\"}",
     "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\""},
    {"{\"foo\",\"bar\"}",
     "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\""},
    {"{__name__=\"foo\",a=\"b\",__name__=\"foo\"}",
     "1:1: parse error: metric name must not be set twice: \"foo\" or \"foo\""},
    {"foo{__name__=~\"f.*\"}",
     "1:1: parse error: metric name must not be set twice: \"foo\" or \"f.*\""},
    {"{} foo", "1:4: parse error: unexpected identifier \"foo\""},
    {"foo[5m", "1:7: parse error: unclosed left bracket"},
    {"rate(foo[5m", "1:12: parse error: unclosed left parenthesis"},
    {"foo[", "1:5: parse error: unexpected end of input in duration expression"},
    {"foo[$x]", "1:5: parse error: unexpected character in duration expression: '$'"},
    {"foo[x]", "1:5: parse error: unexpected character in duration expression: 'x'"},
    {"foo[:1m]", "1:5: parse error: unexpected colon before duration in duration expression"},
    {"foo[5m and]", "1:8: parse error: unexpected character: 'a', expected ':'"},
    {"foo[5m:1m:1m]", "1:10: parse error: unexpected colon ':'"},
    {"foo[]", "1:5: parse error: unexpected \"]\" in subquery or range selector, expected number "
              "or duration"},
    {"foo[0m]", "1:5: parse error: duration must be greater than 0"},
    {"foo[5m 1m]",
     "1:8: parse error: unexpected duration \"1m\" in subquery or range, expected \":\" or \"]\""},
    {"foo[5m:0s]", "1:8: parse error: duration must be greater than 0"},
    {"foo[1m1h]", "1:5: parse error: not a valid duration string: \"1m1h\""},
    {"foo[99999999999999999y]", "1:5: parse error: duration out of range"},
    {"foo[5m][5m]", "1:8: parse error: ranges only allowed for vector selectors"},
    {"(foo)[5m]", "1:6: parse error: ranges only allowed for vector selectors"},
    {"foo offset 1m[5m]", "1:14: parse error: no offset modifiers allowed before range"},
    {"foo @ 1 [5m]", "1:9: parse error: no @ modifiers allowed before range"},
    {"foo offset", "1:11: parse error: unexpected end of input in offset, expected number or "
                   "duration"},
    {"foo offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"},
    {"(foo) offset 5m", "1:1: parse error: offset modifier must be preceded by an instant vector "
                        "selector or range vector selector or a subquery"},
    {"sum(foo) @ 5", "1:1: parse error: @ modifier must be preceded by an instant vector selector "
                     "or range vector selector or a subquery"},
    {"foo @", "1:6: parse error: unexpected end of input in @, expected timestamp"},
    {"foo @ bar()", "1:7: parse error: unexpected identifier \"bar\" in @, expected timestamp"},
    {"foo @ 1 @ 4", "1:1: parse error: @ <timestamp> may not be set multiple times"},
    {"foo @ inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"},
    {"1 + foo @ -inf", "1:5: parse error: timestamp out of bounds for @ modifier: -Inf"},
    {"foo @ nan", "1:1: parse error: timestamp out of bounds for @ modifier: NaN"},
    {"foo @ 1e18", "1:1: parse error: timestamp out of bounds for @ modifier: "
                   "1000000000000000000.000000"},
    {"foo @ start", "1:12: parse error: unexpected end of input in @, expected timestamp"},
    {"foo bar", "1:5: parse error: unexpected identifier \"bar\""},
    {"foo sum", "1:5: parse error: unexpected <aggr:sum>"},
    {"foo by (a)", "1:5: parse error: unexpected <by>"},
    {"1 + * 2", "1:5: parse error: unexpected <op:*>"},
    {"foo \"abcdefghijklmnop\"", "1:5: parse error: unexpected string \"\\\"abcdefghi\"..."},
    {"foo)", "1:5: parse error: unexpected right parenthesis ')'"},
    {"foo and", "1:8: parse error: unexpected end of input"},
    {"bool", "1:1: parse error: unexpected <bool>"},
    {"on", "1:1: parse error: unexpected <on>"},
    {"foo + on", "1:9: parse error: unexpected end of input in grouping opts, expected \"(\""},
    {"foo + group_left bar", "1:7: parse error: unexpected <group_left>"},
    {"sum by a (foo)", "1:8: parse error: unexpected identifier \"a\" in grouping opts, expected "
                       "\"(\""},
    {"sum by (1) (foo)", "1:9: parse error: unexpected number \"1\" in grouping opts, expected "
                         "label"},
    {"sum by (a:b) (foo)", "1:9: parse error: unexpected metric identifier \"a:b\" in grouping "
                           "opts, expected label"},
    {"sum by (a b) (foo)", "1:11: parse error: unexpected identifier \"b\" in grouping opts, "
                           "expected \",\" or \")\""},
    {"topk by (a) 5", "1:13: parse error: unexpected number \"5\" in aggregation"},
    {"sum(rate(foo[5m]) bar)", "1:19: parse error: unexpected identifier \"bar\" in aggregation"},
    {"sum(foo) bar", "1:10: parse error: unexpected identifier \"bar\""},
    {"sum by (nan) (foo)", "1:9: parse error: unexpected number \"nan\" in grouping opts, expected "
                           "label"},
    {"foo + on(a) group_left on(b) bar", "1:24: parse error: unexpected <on> in grouping opts, "
                                         "expected \"(\""},
    {"topk(1, * foo)", "1:7: parse error: trailing commas not allowed in function call args"},
    {"foo end()", "1:5: parse error: unexpected \"end\""},
    {"foo{a==~\"b\"}", "1:7: parse error: unexpected <op:=~> in label matching, expected string"},
    {"sum(foo,)", "1:8: parse error: trailing commas not allowed in function call args"},
    {"rate(foo[5m],,)", "1:13: parse error: trailing commas not allowed in function call args"},
    {"rate(,)", "1:6: parse error: unexpected \",\""},
    {"()", "1:2: parse error: unexpected \")\""},
    {"start()", "1:6: parse error: unexpected \"(\""},
    {"\"\\d\"", "1:1: parse error: unknown escape sequence U+0064 'd'"},
    {"foo{a=~\"\\d\"}", "1:8: parse error: unknown escape sequence U+0064 'd'"},
    {"\"\\xg\"", "1:1: parse error: illegal character U+0067 'g' in escape sequence"},
    {"\"\\x4\"", "1:1: parse error: illegal character U+0022 '\"' in escape sequence"},
    {"\"\\400\"", "1:1: parse error: escape sequence is an invalid Unicode code point"},
    {"\"\\\xc3\xa9\"", "1:1: parse error: unknown escape sequence U+00E9 '\xc3\xa9'"},
    {"0x", "1:1: parse error: error parsing number: \"0x\" is malformed or out of range"},
    {"1__0", "1:1: parse error: bad number or duration syntax: \"1__\""},
    {"1_", "1:1: parse error: bad number or duration syntax: \"1_\""},
    {"2up", "1:1: parse error: bad number or duration syntax: \"2\""},
    {"5x", "1:1: parse error: bad number or duration syntax: \"5\""},
    {"1.5h", "1:1: parse error: not a valid duration string: \"1.5h\""},
    {"foo[5hs]", "1:5: parse error: not a valid duration string: \"5hs\""},
    {"1d1y", "1:1: parse error: bad number or duration syntax: \"1d1\""},
    {"5mx", "1:1: parse error: bad number or duration syntax: \"5mx\""},
    {"5m5", "1:1: parse error: bad number or duration syntax: \"5m5\""},
    {"1e_5", "1:1: parse error: bad number or duration syntax: \"1e_\""},
    {"foo{a!\"b\"}", "1:6: parse error: unexpected character after '!' inside braces: '\"'"},
    {"1 = 2", "1:3: parse error: unexpected \"=\""},
};

static const char *const type_errors[][2] = {
    {"info(foo)", "1:1: parse error: function \"info\" is not enabled; it is experimental"},
    {"nosuch(foo)", "1:1: parse error: unknown function with name \"nosuch\""},
    {"rate(foo)", "1:6: parse error: expected type range vector in call to function \"rate\", got "
                  "instant vector"},
    {"rate(foo[5m], 1)", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2"},
    {"rate()", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 0"},
    {"round(foo, 1, 2)", "1:1: parse error: expected at most 2 argument(s) in call to \"round\", "
                         "got 3"},
    {"label_replace(foo)", "1:1: parse error: expected 5 argument(s) in call to \"label_replace\", "
                           "got 1"},
    {"histogram_quantile(foo, 1)", "1:20: parse error: expected type scalar in call to function "
                                   "\"histogram_quantile\", got instant vector"},
    {"sum(foo[5m])", "1:5: parse error: expected type instant vector in aggregation expression, "
                     "got range vector"},
    {"sum()", "1:1: parse error: no arguments for aggregate expression provided"},
    {"topk(foo)", "1:1: parse error: wrong number of arguments for aggregate expression provided, "
                  "expected 2, got 1"},
    {"topk(foo, bar)", "1:6: parse error: expected type scalar in aggregation parameter, got "
                       "instant vector"},
    {"count_values(1, foo)", "1:14: parse error: expected type string in aggregation parameter, "
                             "got scalar"},
    {"1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"},
    {"1 + bool 1", "1:3: parse error: bool modifier can only be used on comparison operators"},
    {"foo and 1", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"},
    {"foo and on(a) group_left bar", "1:1: parse error: no grouping allowed for \"and\" operation"},
    {"foo + on(a) group_left(a) bar",
     "1:5: parse error: label \"a\" must not occur in ON and GROUP clause at once"},
    {"1 + on(a) foo", "1:1: parse error: vector matching only allowed between instant vectors"},
    {"\"a\" + 1", "1:1: parse error: binary expression must contain only scalar and instant vector "
                  "types"},
    {"-foo[5m]", "1:1: parse error: unary expression only allowed on expressions of type scalar or "
                 "instant vector, got \"range vector\""},
    {"+\"a\"", "1:1: parse error: unary expression only allowed on expressions of type scalar or "
               "instant vector, got \"string\""},
    {"1 </ 2", "1:3: parse error: operator \"</\" not allowed for Scalar operations"},
    {"foo </ bool 2", "1:5: parse error: bool modifier can only be used on comparison operators"},
    {"foo[5m][5m:]",
     "1:1: parse error: subquery is only allowed on instant vector, got matrix instead"},
    {"1[5m:]", "1:1: parse error: subquery is only allowed on instant vector, got scalar instead"},
};

static void test_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof syntax_errors / sizeof syntax_errors[0]; i++)
        refuses(syntax_errors[i][0], syntax_errors[i][1]);
    for (size_t i = 0; i < sizeof type_errors / sizeof type_errors[0]; i++)
        refuses(type_errors[i][0], type_errors[i][1]);
}

static void test_bad_regex_is_positioned(void **state)
{
    (void)state;
    assert_null(parse("foo{b=~\"x\",a=~\"(\"}"));
    assert_ptr_equal(strstr(err.text, "1:12: parse error: error parsing regexp: "), err.text);
}

static void test_bounds(void **state)
{
    (void)state;
    static char text[QUERY_TEXT_MAX + 100];
    memset(text, '(', 1000);
    text[1000] = 0;
    assert_null(parse(text));
    assert_non_null(strstr(err.text, "nests deeper than"));
    memset(text, '-', 60000);
    text[60000] = 0;
    assert_null(parse(text));
    assert_non_null(strstr(err.text, "nests deeper than"));
    for (size_t i = 0; i + 2 < 60000; i += 2)
        memcpy(text + i, "a+", 3);
    assert_null(parse(text));
    for (size_t i = 0; i < 400; i += 2) /* 200 terms are ordinary */
        memcpy(text + i, i < 398 ? "a+" : "a", i < 398 ? 3 : 2);
    struct plan *plan = parse(text);
    assert_non_null(plan);
    plan_release(plan);
    memset(text, 'a', QUERY_TEXT_MAX + 1);
    text[QUERY_TEXT_MAX + 1] = 0;
    assert_null(parse(text));
    assert_non_null(strstr(err.text, "bytes long"));
    struct arena small;
    arena_init(&small, 64);
    assert_int_equal(parse_promql(SLICE("sum(a)"), &small, &plan, &err), -1);
    assert_int_equal(err.kind, ERROR_LIMIT);
    arena_release(&small);
}

static void test_selector_only(void **state)
{
    (void)state;
    struct plan *plan;
    arena_reset(&arena);
    assert_int_equal(parse_selector(SLICE("foo{a=~\"b|c\"}"), &arena, &plan, &err), 0);
    assert_int_equal(plan->kind, PLAN_SELECTOR);
    assert_int_equal(plan->selector.matcher_count, 2);
    plan_release(plan);
    static const char *const bad[] = {"foo[5m]", "sum(foo)", "1", "foo offset 5m", "{}", ""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(parse_selector(slice_of_string(bad[i]), &arena, &plan, &err), -1);
}

static void test_types(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum value_type type;
    } rows[] = {
        {"1", VALUE_SCALAR},       {"'a'", VALUE_STRING},       {"foo", VALUE_VECTOR},
        {"foo[5m]", VALUE_MATRIX}, {"foo[5m:]", VALUE_MATRIX},  {"1 + 1", VALUE_SCALAR},
        {"1 + foo", VALUE_VECTOR}, {"-foo", VALUE_VECTOR},      {"(1)", VALUE_SCALAR},
        {"time()", VALUE_SCALAR},  {"vector(1)", VALUE_VECTOR}, {"1 == bool 2", VALUE_SCALAR},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct plan *plan = parse(rows[i].text);
        assert_non_null(plan);
        assert_int_equal(plan->type, rows[i].type);
        plan_release(plan);
    }
    struct plan *plan = parse("foo unless on (a) bar");
    assert_int_equal(plan->binary.cardinality, MATCH_MANY_TO_MANY);
    plan_release(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prints),  cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_refuses), cmocka_unit_test(test_bad_regex_is_positioned),
        cmocka_unit_test(test_bounds),  cmocka_unit_test(test_selector_only),
        cmocka_unit_test(test_types),
    };
    arena_init(&arena, 1 << 22);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    arena_release(&arena);
    return failed;
}
