/* print, tree: plans laid out in lines, and as JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "query/parse.h"

static void shows(const char *text, void (*print)(const struct plan *, struct buffer *),
                  const char *expected)
{
    struct arena arena;
    struct error err;
    struct plan *plan = NULL;
    struct buffer out;
    arena_init(&arena, 1 << 20);
    buffer_init(&out, 1 << 16);
    if (parse_promql(slice_of_string(text), &arena, &plan, &err) < 0)
        fail_msg("%s: %s", text, err.text);
    print(plan, &out);
    plan_release(plan);
    if (!slice_equal_string(buffer_slice(&out), expected))
        fail_msg("%s:\n%.*s\n%s", text, SLICE_ARG(buffer_slice(&out)), expected);
    buffer_release(&out);
    arena_release(&arena);
}

#define LONG "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffff"
/* clang-format off: laid out as what is tested */
static const char *const layouts[][2] = {
    {"sum(rate(foo{l=\"x\"}[5m]))by(a)", "sum by (a) (rate(foo{l=\"x\"}[5m]))"},
    {"sum(rate(foo{l=\"" LONG "\",m=\"yyyyyyyyyyyyyyyy\"}[5m]))by(a)",
     "sum by (a) (\n"
     "  rate(foo{l=\"" LONG "\",m=\"yyyyyyyyyyyyyyyy\"}[5m])\n"
     ")"},
    {"rate(foo{l=\"" LONG "\"}[5m]) / on(a) group_left(b) rate(foo{l=\"" LONG "\"}[5m])",
     "  rate(foo{l=\"" LONG "\"}[5m])\n"
     "/ on (a) group_left (b)\n"
     "  rate(foo{l=\"" LONG "\"}[5m])"},
    {"topk(5, (foo{l=\"" LONG "\"} or bar{l=\"" LONG "\"}))", "topk(\n"
                                                              "  5,\n"
                                                              "  (\n"
                                                              "      foo{l=\"" LONG "\"}\n"
                                                              "    or\n"
                                                              "      bar{l=\"" LONG "\"}\n"
                                                              "  )\n"
                                                              ")"},
    {"-sum(foo{l=\"" LONG LONG "\"})", "-sum(\n"
                                       "  foo{l=\"" LONG LONG "\"}\n"
                                       ")"},
    {"max_over_time(sum(foo{l=\"" LONG LONG "\"})[1h:5m] offset 1d)",
     "max_over_time(\n"
     "  sum(\n"
     "    foo{l=\"" LONG LONG "\"}\n"
     "  )[1h:5m] offset 1d\n"
     ")"},
    {"percentile(99, foo{l=\"" LONG LONG "\"}[5m]) by (a)", "percentile by (a) (\n"
                                                            "  99,\n"
                                                            "  foo{l=\"" LONG LONG "\"}[5m]\n"
                                                            ")"},
    {"foo{l=\"" LONG LONG "\"}", "foo{l=\"" LONG LONG "\"}"},
};
/* clang-format on */

static void test_lines(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++)
        shows(layouts[i][0], plan_print_pretty, layouts[i][1]);
}

#define SELECTOR(name, more)                                                                       \
    "{\"type\":\"vectorSelector\",\"name\":\"" name "\",\"offset\":0,\"timestamp\":null,"          \
    "\"startOrEnd\":null,\"matchers\":[{\"name\":\"__name__\",\"value\":\"" name                   \
    "\",\"type\":\"=\"}" more "],\"anchored\":false,\"smoothed\":false}"
#define FOO         SELECTOR("foo", "")
#define NUMBER(val) "{\"type\":\"numberLiteral\",\"val\":\"" val "\"}"

static const char *const trees[][2] = {
    {"foo", FOO},
    {"{x!~'y',\"foo\"}", SELECTOR("foo", ",{\"name\":\"x\",\"value\":\"y\",\"type\":\"!~\"}")},
    {"(foo)", "{\"type\":\"parenExpr\",\"expr\":" FOO "}"},
    {"-foo", "{\"type\":\"unaryExpr\",\"op\":\"-\",\"expr\":" FOO "}"},
    {"foo[5m:1m] offset -1m",
     "{\"type\":\"subquery\",\"expr\":" FOO ",\"range\":300000,\"step\":60000,\"offset\":-60000,"
     "\"timestamp\":null,\"startOrEnd\":null}"},
    {"round(foo, 1e6)",
     "{\"type\":\"call\",\"func\":{\"name\":\"round\",\"argTypes\":[\"vector\",\"scalar\"],"
     "\"variadic\":1,\"returnType\":\"vector\"},\"args\":[" FOO "," NUMBER("1000000") "]}"},
    {"count_values without (\"a b\") (\"x\\n\", foo)",
     "{\"type\":\"aggregation\",\"op\":\"count_values\",\"expr\":" FOO ",\"param\":{\"type\":"
     "\"stringLiteral\",\"val\":\"x\\n\"},\"grouping\":[\"a b\"],\"without\":true}"},
    {"percentile(9, foo[1m:]) by (r)",
     "{\"type\":\"aggregation\",\"op\":\"percentile\",\"expr\":{\"type\":\"subquery\",\"expr\":" FOO
     ",\"range\":60000,\"step\":0,\"offset\":0,\"timestamp\":null,\"startOrEnd\":null},"
     "\"param\":" NUMBER("9") ",\"grouping\":[\"r\"],\"without\":false}"},
    {"foo[1m] @ 5", "{\"type\":\"matrixSelector\",\"name\":\"foo\",\"range\":60000,\"offset\":0,"
                    "\"timestamp\":5000,\"startOrEnd\":null,\"matchers\":[{\"name\":\"__name__\","
                    "\"value\":\"foo\",\"type\":\"=\"}],\"anchored\":false,\"smoothed\":false}"},
    {"1 < bool foo", "{\"type\":\"binaryExpr\",\"op\":\"<\",\"lhs\":" NUMBER(
                         "1") ",\"rhs\":" FOO ",\"matching\":null,\"bool\":true}"},
    {"foo * on(a) group_left(b) foo",
     "{\"type\":\"binaryExpr\",\"op\":\"*\",\"lhs\":" FOO ",\"rhs\":" FOO ",\"matching\":{"
     "\"card\":\"many-to-one\",\"labels\":[\"a\"],\"on\":true,\"include\":[\"b\"],"
     "\"fillValues\":{\"lhs\":null,\"rhs\":null}},\"bool\":false}"},
};

static void test_trees(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof trees / sizeof trees[0]; i++)
        shows(trees[i][0], plan_print_tree, trees[i][1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
