/* json: reading, finding faults, writing, and shortest numbers. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/base/json.h"

static struct json_parser *parser;

static int setup(void **state)
{
    (void)state;
    parser = json_parser_new(1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    json_parser_free(parser);
    return 0;
}

static void copies(const char *text, const char *expected)
{
    struct json value;
    struct error err = {0};
    struct buffer out;
    struct json_writer writer;
    assert_int_equal(json_parse(parser, slice_of_string(text), &value, &err), 0);
    buffer_init(&out, 1 << 20);
    json_writer_init(&writer, &out);
    json_put_value(&writer, value);
    if (!slice_equal_string(buffer_slice(&out), expected))
        fail_msg("%s: got " SLICE_FMT, text, SLICE_ARG(buffer_slice(&out)));
    buffer_release(&out);
}

static void test_copy(void **state)
{
    (void)state;
    copies("{}", "{}");
    copies(" [1, -2, 3.5,true,null, \"a\\u00e9\\n\" ] ", "[1,-2,3.5,true,null,\"a\xc3\xa9\\n\"]");
    copies("{\"a\":{\"b\":[{},[]]},\"c\":\"\"}", "{\"a\":{\"b\":[{},[]]},\"c\":\"\"}");
    copies("18446744073709551615", "18446744073709552000");
}

static void refuses(const char *text, const char *expected)
{
    struct json value;
    struct error err = {0};
    assert_int_equal(json_parse(parser, slice_of_string(text), &value, &err), -1);
    if (!strstr(err.text, expected))
        fail_msg("%s: got \"%s\", expected \"%s\"", text, err.text, expected);
}

static void test_faults(void **state)
{
    (void)state;
    refuses("", "the text ends too early at byte 1");
    refuses("{\"a\":1", "the text ends too early at byte 7");
    refuses("{a:1}", "a key in double quotes was expected at byte 2");
    refuses("{\"a\" 1}", "a colon was expected after the key at byte 6");
    refuses("[1 2]", "a comma or ] was expected at byte 4");
    refuses("[1,]", "a value was expected at byte 4");
    refuses("{} {}", "unexpected bytes after the value at byte 4");
    refuses("[\"\x01\"]", "a control character");
    char deep[201] = {0};
    memset(deep, '[', 200);
    refuses(deep, "nested too deeply at byte 6");
}

/* What clients send that is nearly JSON: cut emoji, other encodings, amounts in wei. */
static void test_repairs(void **state)
{
    static const struct {
        const char *text, *repaired, *reads;
    } cases[] = {
        {"[\"cut \\ud83d\",1]", "[\"cut \\ufffd\",1]", "[\"cut \xef\xbf\xbd\",1]"},
        {"[\"\\ude00\\ud83d\\ude00\"]", "[\"\\ufffd\\ud83d\\ude00\"]",
         "[\"\xef\xbf\xbd\xf0\x9f\x98\x80\"]"},
        {"[\"\\ud83d\\ud83d\\ude00\\\\ud83d\"]", "[\"\\ufffd\\ud83d\\ude00\\\\ud83d\"]",
         "[\"\xef\xbf\xbd\xf0\x9f\x98\x80\\\\ud83d\"]"},
        {"{\"caf\xe9\":\"\xc3\xa9\xff\"}", "{\"caf?\":\"\xc3\xa9?\"}", "{\"caf?\":\"\xc3\xa9?\"}"},
        {"[100000000000000000000,-9223372036854775809,18446744073709551615]",
         "[1000000000000000000e2,-92233720368547758e2,18446744073709551615]",
         "[100000000000000000000,-9223372036854776000,18446744073709552000]"},
        {"[1e999,-1.5E+999 ,\"1e999\",2]", "[null ,null      ,\"1e999\",2]",
         "[null,null,\"1e999\",2]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        copies(cases[i].text, cases[i].reads);
        assert_true(slice_equal_string(json_repaired(parser), cases[i].repaired));
    }
    copies("[1]", "[1]");
    assert_int_equal(json_repaired(parser).len, 0);
    refuses("[\"\xff\" 1]", "a comma or ] was expected at byte 6");
    refuses("[\"\xff\",1e]", "a value was expected at byte 6");
    refuses("[\"\\ud8", "the text ends too early");
}

static void test_lookup(void **state)
{
    (void)state;
    struct json value;
    struct error err = {0};
    int64_t whole;
    double number;
    bool flag;
    struct slice text;
    const char *const path[] = {"a", "b", NULL};
    const char *source = "{\"a\":{\"b\":7},\"c\":[1,2,3],\"d\":2.0,\"e\":true,\"f\":\"x\"}";
    assert_int_equal(json_parse(parser, slice_of_string(source), &value, &err), 0);
    assert_true(json_int(json_path(value, path), &whole) && whole == 7);
    assert_int_equal(json_count(json_get(value, "c")), 3);
    assert_true(json_int(json_get(value, "d"), &whole) && whole == 2);
    assert_true(json_number(json_get(value, "d"), &number) && number == 2);
    assert_true(json_bool(json_get(value, "e"), &flag) && flag);
    assert_true(json_string(json_get(value, "f"), &text) && slice_equal_string(text, "x"));
    assert_int_equal(json_type(json_get(value, "zz")), JSON_NONE);
    assert_int_equal(json_type(json_get(json_get(value, "zz"), "y")), JSON_NONE);
    assert_int_equal(json_count(json_get(value, "f")), 0);
}

static void test_quote_repairs_utf8(void **state)
{
    (void)state;
    struct buffer out;
    buffer_init(&out, 1000);
    json_append_quoted(&out, SLICE("a\xff\"\\\x01\xc3\xa9"));
    assert_true(slice_equal_string(buffer_slice(&out), "\"a\xef\xbf\xbd\\\"\\\\\\u0001\xc3\xa9\""));
    buffer_release(&out);
}

static const char *written(double value)
{
    static char text[400];
    struct buffer out;
    struct json_writer writer;
    buffer_init(&out, sizeof text);
    json_writer_init(&writer, &out);
    json_put_double(&writer, value);
    buffer_append_char(&out, 0);
    memcpy(text, out.at, out.len);
    buffer_release(&out);
    return text;
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } rows[] = {{0.1, "0.1"},    {1e21, "1e+21"},
                {1e-7, "1e-07"}, {123456789, "123456789"},
                {-0.0, "-0"},    {1e20, "100000000000000000000"},
                {320.5, "320.5"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_string_equal(written(rows[i].value), rows[i].text);
    assert_string_equal(written(NAN), "null");
    assert_string_equal(written(INFINITY), "null");
    for (int i = 0; i < 10000; i++) {
        double value = ldexp((double)rand() / 7, rand() % 600 - 300);
        assert_true(strtod(written(value), NULL) == value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copy),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_repairs),
        cmocka_unit_test(test_lookup),
        cmocka_unit_test(test_quote_repairs_utf8),
        cmocka_unit_test(test_numbers),
    };
    return cmocka_run_group_tests_name("json", tests, setup, teardown);
}
