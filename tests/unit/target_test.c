/* Graphite's paths, and the times of its render API. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "query/target.h"
#include "server/wire/graphite_time.h"
#include "storage/base/regex.h"

static struct arena arena;

/* `paths`: nodes joined by dots, paths by spaces. */
static void expands(const char *text, const char *paths)
{
    struct target *targets;
    struct buffer shown;
    struct error err;
    size_t count;
    arena_reset(&arena);
    if (target_expand(slice_of_string(text), &arena, &targets, &count, &err))
        fail_msg("%s: %s", text, err.text);
    buffer_init(&shown, 65536);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < targets[i].count; k++)
            buffer_append_format(&shown, "%s" SLICE_FMT,
                                 k   ? "."
                                 : i ? " "
                                     : "",
                                 SLICE_ARG(targets[i].nodes[k]));
    if (!slice_equal_string(buffer_slice(&shown), paths))
        fail_msg("%s: %.*s", text, SLICE_ARG(buffer_slice(&shown)));
    buffer_release(&shown);
}

static void refuses(const char *text, const char *why)
{
    struct target *targets;
    struct error err;
    size_t count;
    arena_reset(&arena);
    assert_int_equal(target_expand(slice_of_string(text), &arena, &targets, &count, &err), -1);
    if (!strstr(err.text, why))
        fail_msg("%s: %s", text, err.text);
}

static void test_expand(void **state)
{
    (void)state;
    expands("a", "a");
    expands("a.b.c*", "a.b.c*");
    expands("a.{b,c}.d", "a.b.d a.c.d");
    expands("{a,b}{c,d}", "ac ad bc bd");
    expands("x.{a.b,c}", "x.a.b x.c");
    expands("a{,b}", "a ab");
    expands("a{b", "a{b");
    expands("a}b", "a}b");
    refuses("", "empty node");
    refuses("a..b", "empty node");
    refuses("a.", "empty node");
    refuses("a.{,b}", "empty node");
    refuses("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", "more than 256");
    refuses("a.b.c.d.e.f.g.h.a.b.c.d.e.f.g.h.a.b.c.d.e.f.g.h.a.b.c.d.e.f.g.h."
            "a.b.c.d.e.f.g.h.a.b.c.d.e.f.g.h.a.b.c.d.e.f.g.h.a.b.c.d.e.f.g.h.i",
            "at most 64 nodes");
}

/* The glob and the expression made of it say the same. */
static void matches(const char *glob, const char *text, bool expected)
{
    struct slice node = slice_of_string(glob);
    struct regex *regex;
    struct buffer pattern;
    struct error err;
    buffer_init(&pattern, 4096);
    target_write_regex(&node, 1, &pattern);
    if (regex_compile(buffer_slice(&pattern), REGEX_ANCHORED, &regex, &err))
        fail_msg("%s: %s", glob, err.text);
    if (target_matches(node, slice_of_string(text)) != expected)
        fail_msg("%s and %s", glob, text);
    if (regex_match(regex, slice_of_string(text)) != expected)
        fail_msg("%.*s and %s", SLICE_ARG(buffer_slice(&pattern)), text);
    regex_free(regex);
    buffer_release(&pattern);
}

static void test_matches(void **state)
{
    (void)state;
    matches("abc", "abc", true);
    matches("abc", "abcd", false);
    matches("abc", "ab", false);
    matches("*", "", true);
    matches("*", "abc", true);
    matches("a*c", "abbc", true);
    matches("a*c", "abbcd", false);
    matches("*a*b*", "xxaxxbxx", true);
    matches("*a*b*", "xxbxxaxx", false);
    matches("**x", "aax", true);
    matches("a?c", "abc", true);
    matches("a?c", "ac", false);
    matches("p[59]0", "p50", true);
    matches("p[59]0", "p70", false);
    matches("h[0-4x]", "h3", true);
    matches("h[0-4x]", "hx", true);
    matches("h[0-4x]", "h5", false);
    matches("[a-]", "-", true);
    matches("[]]", "]", true);
    matches("a[b", "a[b", true);
    matches("a+(b)|$^", "a+(b)|$^", true);
    matches("a\\*", "a\\x", true);
}

static void test_names(void **state)
{
    const struct slice nodes[] = {SLICE("api"), SLICE("*")};
    struct buffer pattern;
    (void)state;
    buffer_init(&pattern, 4096);
    target_write_regex(nodes, 2, &pattern);
    assert_true(slice_equal_string(buffer_slice(&pattern), "api\\.[^.]*"));
    buffer_release(&pattern);
    assert_true(target_is_glob(SLICE("a[bc]")) && target_is_glob(SLICE("?")));
    assert_false(target_is_glob(SLICE("a[bc")));
}

#define NOW ((int64_t)1656581400500)

static void time_is(const char *text, int64_t expected_ms)
{
    int64_t ms = 0;
    if (!graphite_time(slice_of_string(text), NOW, &ms))
        fail_msg("%s", text);
    assert_int_equal(ms, expected_ms);
}

static void test_times(void **state)
{
    static const char *const none[] = {"",
                                       "-",
                                       "-1",
                                       "-h",
                                       "x",
                                       "now-",
                                       "-1q",
                                       "noon20220630",
                                       "now1656581400",
                                       "25:00_20220630",
                                       "1656581400x",
                                       "20221399",
                                       "99999999999999999"};
    int64_t ms;
    (void)state;
    time_is("now", NOW);
    time_is("midnight", 1656547200000);
    time_is("noon-1d", 1656547200000 - 43200000);
    time_is("teatime+30min", 1656547200000 + 59400000);
    time_is("-1h", NOW - 3600000);
    time_is("now-90s", NOW - 90000);
    time_is("-1h30min", NOW - 5400000);
    time_is("-2days", NOW - 172800000);
    time_is("-1month", NOW - 2592000000);
    time_is("+5minutes", NOW + 300000);
    time_is("1656581400", 1656581400000);
    time_is("0", 0);
    time_is("20220630", 1656547200000);
    time_is("09:30_20220630", 1656581400000);
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        if (graphite_time(slice_of_string(none[i]), NOW, &ms))
            fail_msg("%s", none[i]);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 22);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expand),
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_times),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
