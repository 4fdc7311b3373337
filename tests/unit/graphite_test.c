/* Graphite's plaintext protocol: what a line becomes, and why a line is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/wire/graphite.h"

#define NOW (-1) /* the line has no time of its own */

static struct arena arena;

static enum graphite_reject read_one(struct slice line, struct timed_line *out)
{
    arena_reset(&arena);
    return graphite_parse(line, &arena, out);
}

static void accepts(const char *text, const char *labels, double value, int64_t time_ms)
{
    struct timed_line line;
    struct buffer shown;
    enum graphite_reject reject = read_one(slice_of_string(text), &line);
    if (reject)
        fail_msg("%s: refused with %d", text, (int)reject);
    buffer_init(&shown, 4096);
    labels_print(line.samples[0].labels, &shown);
    if (!slice_equal_string(buffer_slice(&shown), labels))
        fail_msg("%s: %.*s", text, SLICE_ARG(buffer_slice(&shown)));
    buffer_release(&shown);
    assert_int_equal(line.count, 1);
    assert_true(line.samples[0].value == value);
    assert_int_equal(line.has_time, time_ms != NOW);
    if (time_ms != NOW)
        assert_int_equal(line.time_ms, time_ms);
}

static void rejects(const char *text, enum graphite_reject expected)
{
    struct timed_line line;
    enum graphite_reject reject = read_one(slice_of_string(text), &line);
    if (reject != expected)
        fail_msg("%s: %d instead of %d", text, (int)reject, (int)expected);
}

static void test_accepts(void **state)
{
    (void)state;
    accepts("a.b.c 1 1656581400", "a.b.c{}", 1, 1656581400000);
    accepts("a.b.c -2.5e3 0", "a.b.c{}", -2500, 0);
    accepts("  a\t.5   1656581400.25 ", "a{}", 0.5, 1656581400250);
    accepts("a +7 1656581400.0004", "a{}", 7, 1656581400000);
    accepts("a.b/c-d:e 1 2", "a.b/c-d:e{}", 1, 2000);
}

static void test_now(void **state)
{
    (void)state;
    accepts("a 1 -1", "a{}", 1, NOW);
    accepts("a 1 -1.0", "a{}", 1, NOW);
    accepts("a 1 N", "a{}", 1, NOW);
}

static void test_tags(void **state)
{
    (void)state;
    accepts("disk;host=web-1;mount=/var 1 2", "disk{host=\"web-1\", mount=\"/var\"}", 1, 2000);
    accepts("disk;z=1;a=2;z=3 1 2", "disk{a=\"2\", z=\"3\"}", 1, 2000);
    accepts("disk;a=x=y 1 2", "disk{a=\"x=y\"}", 1, 2000);
    accepts("disk;__name__=x 1 2", "disk{exported__name__=\"x\"}", 1, 2000);
    accepts("caf\xc3\xa9\x01\xff 1 2", "caf\xc3\xa9_\xef\xbf\xbd{}", 1, 2000);
}

static void test_rejects(void **state)
{
    (void)state;
    rejects("a", GRAPHITE_NO_VALUE);
    rejects("a 1", GRAPHITE_NO_TIME);
    rejects("a 1 2 3", GRAPHITE_TRAILING);
    rejects("a x 2", GRAPHITE_BAD_VALUE);
    rejects("a 1,5 2", GRAPHITE_BAD_VALUE);
    rejects("a 1e999 2", GRAPHITE_BAD_VALUE);
    rejects("a nan 2", GRAPHITE_NOT_FINITE);
    rejects("a -NaN 2", GRAPHITE_NOT_FINITE);
    rejects("a Infinity 2", GRAPHITE_NOT_FINITE);
    rejects("a 1 -2", GRAPHITE_BAD_TIME);
    rejects("a 1 nan", GRAPHITE_BAD_TIME);
    rejects("a 1 n", GRAPHITE_BAD_TIME);
    rejects("a 1 1e300", GRAPHITE_BAD_TIME);
    rejects("a 1 1656581400000", GRAPHITE_BAD_TIME); /* milliseconds */
    rejects("a 1 253402300800", GRAPHITE_BAD_TIME);
    rejects(";a=b 1 2", GRAPHITE_EMPTY_NAME);
    rejects("a; 1 2", GRAPHITE_BAD_TAG);
    rejects("a;b 1 2", GRAPHITE_BAD_TAG);
    rejects("a;b= 1 2", GRAPHITE_BAD_TAG);
    rejects("a;=c 1 2", GRAPHITE_BAD_TAG);
    rejects("a;b=c; 1 2", GRAPHITE_BAD_TAG);
}

static void test_limits(void **state)
{
    char text[GRAPHITE_LINE_MAX + 2];
    struct timed_line line;
    size_t len = 1;
    (void)state;
    memset(text, 'a', sizeof text);
    assert_int_equal(read_one(slice_make(text, sizeof text), &line), GRAPHITE_TOO_LONG);
    for (int i = 0; i < LABELS_MAX; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, ";k%d=v", i);
    snprintf(text + len, sizeof text - len, " 1 2");
    rejects(text, GRAPHITE_MANY_TAGS);
}

static void test_lines(void **state)
{
    struct slice text = SLICE("\n a 1 2\r\n\r\n\nb 3 4"), line;
    (void)state;
    assert_true(graphite_cut_line(&text, &line));
    assert_true(slice_equal_string(line, "a 1 2"));
    assert_true(graphite_cut_line(&text, &line));
    assert_true(slice_equal_string(line, "b 3 4"));
    assert_false(graphite_cut_line(&text, &line));
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepts), cmocka_unit_test(test_now),    cmocka_unit_test(test_tags),
        cmocka_unit_test(test_rejects), cmocka_unit_test(test_limits), cmocka_unit_test(test_lines),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
