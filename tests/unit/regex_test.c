/* regex: matching, refusal of what RE2 lacks, groups, expansion, and the effort limit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/base/regex.h"

static bool matches(const char *pattern, unsigned flags, const char *subject)
{
    struct regex *regex;
    struct error err = {0};
    if (regex_compile(slice_of_string(pattern), flags, &regex, &err))
        fail_msg("%s: %s", pattern, err.text);
    bool hit = regex_match(regex, slice_of_string(subject));
    regex_free(regex);
    return hit;
}

static void test_match(void **state)
{
    (void)state;
    assert_true(matches("a|bc", REGEX_ANCHORED, "bc"));
    assert_false(matches("a|bc", REGEX_ANCHORED, "abc"));
    assert_true(matches("a.c", REGEX_ANCHORED, "a\nc"));
    assert_true(matches("", REGEX_ANCHORED, ""));
    assert_false(matches("", REGEX_ANCHORED, "x"));
    assert_true(matches("ERR", REGEX_IGNORE_CASE, "an err here"));
    assert_true(matches("(?i)err", 0, "ERR"));
    assert_true(matches("(?i-s:A)(?P<n>b)(?<m>c)(?:d)(?sU)e+", REGEX_ANCHORED, "abcdee"));
    assert_true(matches("[+*+]+", REGEX_ANCHORED, "+*"));
    assert_true(matches("[]+(?=]+", REGEX_ANCHORED, "](?="));
    assert_true(matches("\\Qa+++b\\E", 0, "a+++b"));
}

/* To PCRE2, \v is a class and the vertical tab one of \s. */
static void test_white_space(void **state)
{
    (void)state;
    assert_true(matches("\\v", REGEX_ANCHORED, "\v"));
    assert_false(matches("\\v", REGEX_ANCHORED, "\n"));
    assert_true(matches("[\\v]", REGEX_ANCHORED, "\v"));
    assert_false(matches("[\\v]", REGEX_ANCHORED, "\r"));
    assert_true(matches("\\s+", REGEX_ANCHORED, " \t\n\f\r"));
    assert_false(matches("\\s", REGEX_ANCHORED, "\v"));
    assert_true(matches("\\S", REGEX_ANCHORED, "\v"));
    assert_false(matches("\\S", REGEX_ANCHORED, " "));
    assert_true(matches("[[:alpha:]\\s-z]+", REGEX_ANCHORED, "a -z"));
    assert_false(matches("[[:alpha:]\\s-z]", REGEX_ANCHORED, "0"));
    assert_true(matches("[\\S]", REGEX_ANCHORED, "\v"));
    assert_false(matches("[^\\s]", REGEX_ANCHORED, " "));
    assert_true(matches("[^\\s]", REGEX_ANCHORED, "\v"));
    assert_false(matches("[^\\S]", REGEX_ANCHORED, "\v"));
    assert_true(matches("[[:space:]]", REGEX_ANCHORED, "\v"));
    assert_true(matches("[]\\s[:]+", REGEX_ANCHORED, "] [:"));
    assert_true(matches("\\\\s\\Q\\s\\E", REGEX_ANCHORED, "\\s\\s"));
}

/* Characters, as RE2 has it; bytes where the subject is not UTF-8. */
static void test_characters(void **state)
{
    (void)state;
    assert_true(matches("...", REGEX_ANCHORED, "a\xc3\xa9\xe2\x82\xac")); /* aé€ */
    assert_false(matches("..", REGEX_ANCHORED, "a\xc3\xa9\xe2\x82\xac"));
    assert_true(matches("[\xc3\xa9x]", REGEX_ANCHORED, "\xc3\xa9"));
    assert_true(matches("[^x]", REGEX_ANCHORED, "\xc3\xa9"));
    assert_true(matches("\xc3\xa9{2}", REGEX_ANCHORED, "\xc3\xa9\xc3\xa9"));
    assert_true(matches("\xc3\xa9*", REGEX_ANCHORED, ""));
    assert_true(matches("\xc3\x89t\xc3\x89", REGEX_IGNORE_CASE, "\xc3\xa9T\xc3\xa9"));
    assert_true(matches("..", REGEX_ANCHORED, "a\xff"));
    assert_true(matches("a\xff", REGEX_ANCHORED, "a\xff"));
    assert_false(matches("a\xff", REGEX_ANCHORED, "\xc3\xa9"));
}

/* Long subjects are searched window by window; a window may begin inside a character. */
static void test_long_characters(void **state)
{
    (void)state;
    char text[6001];
    for (size_t i = 0; i < 6000; i += 3)
        memcpy(text + i, "\xe2\x82\xac", 3);
    text[6000] = 0;
    assert_false(matches("[^\xe2\x82\xac]", 0, text));
    memcpy(text + 5100, "abc", 3);
    assert_true(matches("\xe2\x82\xac.b", 0, text));
    assert_true(matches("[a-c]{3}.$|c.{299}$", 0, text));
}

/* Characters beyond a byte by their number, of subjects that are ASCII, UTF-8 or neither. */
static void test_code_points(void **state)
{
    (void)state;
    assert_true(matches("a\\x{2192}b", REGEX_ANCHORED,
                        "a\xe2\x86\x92"
                        "b"));
    assert_false(matches("a\\x{2192}b", REGEX_ANCHORED, "ab"));
    assert_true(matches("[^\\x{10FFFF}]+", REGEX_ANCHORED, "ab"));
    assert_true(matches("[\\x{e0}-\\x{10FFFF}]{2}", REGEX_ANCHORED, "\xc3\xa9\xe2\x86\x92"));
    assert_false(matches("[\\x{100}-\\x{10FFFF}]{2}", REGEX_ANCHORED, "\xc3\xa9\xe2\x86\x92"));
    assert_true(matches("b\\x{2192}", 0,
                        "\xff"
                        "b\xe2\x86\x92\xff"));
    assert_false(matches("\\x{2192}+c", 0,
                         "\xff"
                         "b\xe2\x86\x92\xff"));
    assert_true(matches("\\p{L}+\\x{2192}+", REGEX_ANCHORED, "ab\xe2\x86\x92"));
    assert_true(matches("\\Qa*\\E+", REGEX_ANCHORED, "a**"));
    assert_false(matches("a$", 0, "a\n"));
    assert_true(matches("(?m)a$", 0, "a\n"));
}

static void refuses(const char *pattern, const char *expected)
{
    struct regex *regex;
    struct error err = {0};
    assert_int_equal(regex_compile(slice_of_string(pattern), 0, &regex, &err), -1);
    if (!strstr(err.text, expected))
        fail_msg("%s: %s", pattern, err.text);
}

static void test_refusals(void **state)
{
    (void)state;
    refuses("a(", "at byte 3");
    refuses("(a)\\1", "backreferences");
    refuses("(?=a)", "look-around");
    refuses("(?<!a)b", "look-around");
    refuses("(?x)a b", "groups");
    refuses("(?^i:a)", "groups");
    refuses("(?'n'a)", "groups");
    refuses("(?P=n)", "groups");
    refuses("(*ANY)a", "groups");
    refuses("a++", "possessive");
    refuses("\\x{110000}", "too large");
    refuses("\\Ca", "escape sequences of other dialects are not supported (at byte 1)");
    refuses("a\\R", "escape sequences");
    refuses("[\\b]", "escape sequences");
    refuses("\\8", "backreferences");
}

/* What backtracking cannot decide in reasonable time is decided all the same. */
static void test_effort_is_limited(void **state)
{
    (void)state;
    assert_false(matches("(a+)+$", REGEX_ANCHORED, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab"));
    assert_true(matches("(a+)+b.*|.*c", REGEX_ANCHORED, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac"));
    /* What begins as it should must end so, too. */
    assert_false(matches("(a+)+c", REGEX_ANCHORED, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaacaab"));
    assert_true(
        matches("(a+)+c|(a+)+ca+b", REGEX_ANCHORED, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaacaab"));
    assert_true(matches("(x+x+)+y|x{40}z", 0, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxz"));
    assert_false(matches("(x+x+)+y", 0, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxz"));
}

static void test_long_subjects(void **state)
{
    static char subject[200000];
    (void)state;
    memset(subject, 'a', sizeof subject - 2);
    subject[sizeof subject - 2] = 'c';
    assert_true(matches("(a|b)+c", 0, subject));
    assert_true(matches("(a|b)*c", REGEX_ANCHORED, subject));
    assert_false(matches("(a|b)*d", REGEX_ANCHORED, subject));
    assert_true(matches("a.*c", 0, subject));
    assert_true(matches("\\Bc$", 0, subject)); /* a window's start is not the subject's */
    assert_true(matches("^a", 0, subject));
    assert_false(matches("[^a]a", 0, subject));
    assert_false(matches("^c", 0, subject));
    matches("(a|b)*$", 0, subject); /* quadratic: given up, or a minute would pass here */
}

static void test_expand(void **state)
{
    (void)state;
    struct regex *regex;
    struct error err = {0};
    struct slice groups[REGEX_GROUPS_MAX];
    struct buffer out;
    struct slice subject = SLICE("api-7.buy");
    assert_int_equal(
        regex_compile(SLICE("(\\w+)-(?P<n>\\d+)\\.(\\w+)(x)?"), REGEX_ANCHORED, &regex, &err), 0);
    size_t count = regex_search(regex, subject, groups, REGEX_GROUPS_MAX);
    assert_int_equal(count, 5);
    assert_null(groups[4].at);
    assert_int_equal(regex_group(regex, SLICE("n")), 2);
    assert_true(slice_equal_string(regex_group_name(regex, 2), "n"));
    buffer_init(&out, 1000);
    regex_expand(regex, SLICE("$1:${n}:$n:$$:$9:${3}z:$"), groups, count, &out);
    assert_true(slice_equal_string(buffer_slice(&out), "api:7:7:$::buyz:$"));
    buffer_release(&out);
    regex_free(regex);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_white_space),
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_long_characters),
        cmocka_unit_test(test_code_points),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_effort_is_limited),
        cmocka_unit_test(test_long_subjects),
        cmocka_unit_test(test_expand),
    };
    return cmocka_run_group_tests_name("regex", tests, NULL, NULL);
}
