/* Tokens, literals and number texts: tables of text and what it must become. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "query/lex.h"
#include "query/literal.h"
#include "storage/base/number.h"

/* The kinds of all tokens, the terminating TOKEN_END left out. */
static size_t kinds_of(const char *text, enum token_kind *out, size_t max)
{
    struct lexer lexer;
    struct token token;
    struct error err;
    size_t count = 0;
    lexer_init(&lexer, slice_of_string(text));
    while (lex_next(&lexer, &token, &err) == 0 && token.kind != TOKEN_END && count < max)
        out[count++] = token.kind;
    return count;
}

static void test_tokens(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum token_kind kinds[12];
    } rows[] = {
        {"foo", {TOKEN_IDENTIFIER}},
        {"api.latency", {TOKEN_METRIC}},
        {"api.2xx.count", {TOKEN_METRIC}},
        {"a:b", {TOKEN_METRIC}},
        {"SUM By wiThout", {TOKEN_SUM, TOKEN_BY, TOKEN_WITHOUT}},
        {"sum.x", {TOKEN_METRIC}},
        {"1 1.5 .5 5. 1e-3 0x1F",
         {TOKEN_NUMBER, TOKEN_NUMBER, TOKEN_NUMBER, TOKEN_NUMBER, TOKEN_NUMBER, TOKEN_NUMBER}},
        {"0x_53_AB 1_000 .5_5", {TOKEN_NUMBER, TOKEN_NUMBER, TOKEN_NUMBER}},
        {"inf NaN", {TOKEN_NUMBER, TOKEN_NUMBER}},
        {"1h30m 5ms", {TOKEN_DURATION, TOKEN_DURATION}},
        {"'a' \"b\\\"\" `c\\`", {TOKEN_STRING, TOKEN_STRING, TOKEN_STRING}},
        {"{sum=~\"x\"}",
         {TOKEN_LEFT_BRACE, TOKEN_IDENTIFIER, TOKEN_MATCH_REGEX, TOKEN_STRING, TOKEN_RIGHT_BRACE}},
        {"[5m:1m]",
         {TOKEN_LEFT_BRACKET, TOKEN_DURATION, TOKEN_COLON, TOKEN_DURATION, TOKEN_RIGHT_BRACKET}},
        {"a # b\n+c", {TOKEN_IDENTIFIER, TOKEN_ADD, TOKEN_IDENTIFIER}},
        {"== != <= >= < >", {TOKEN_EQ, TOKEN_NE, TOKEN_LE, TOKEN_GE, TOKEN_LT, TOKEN_GT}},
        {"", {0}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum token_kind kinds[12];
        size_t count = kinds_of(rows[i].text, kinds, 12);
        for (size_t k = 0; k < count; k++)
            if (kinds[k] != rows[i].kinds[k])
                fail_msg("%s: token %zu is %d", rows[i].text, k, (int)kinds[k]);
        assert_true(count == 12 || rows[i].kinds[count] == 0);
    }
}

static void test_broken_text(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *error;
    } rows[] = {
        {"(", "1:2: parse error: unclosed left parenthesis"},
        {"{", "1:2: parse error: unexpected end of input inside braces"},
        {"[1", "1:3: parse error: unclosed left bracket"},
        {"[", "1:2: parse error: unexpected end of input in duration expression"},
        {"a)", "1:3: parse error: unexpected right parenthesis ')'"},
        {"a]", "1:2: parse error: unexpected right bracket ']'"},
        {"\n\n a }", "3:4: parse error: unexpected character: '}'"},
        {"{{", "1:2: parse error: unexpected left brace '{'"},
        {"{a<", "1:3: parse error: unexpected character inside braces: '<'"},
        {"\"a", "1:1: parse error: unterminated quoted string"},
        {"\"a\n\"", "1:1: parse error: unterminated quoted string"},
        {"\"a\\", "1:1: parse error: unterminated quoted string"},
        {"`a", "1:1: parse error: unterminated raw string"},
        {"1h30", "1:1: parse error: bad number or duration syntax: \"1h30\""},
        {"!a", "1:1: parse error: unexpected character after '!': 'a'"},
        {"a =~ b", "1:3: parse error: unexpected character after '=': '~'"},
        {"\xc3\xa9", "1:1: parse error: unexpected character: '\xc3\xa9'"},
        {"\xc2\xa0", "1:1: parse error: unexpected character: '\\u00a0'"},
        {"\xe2\x80\x8b", "1:1: parse error: unexpected character: '\\u200b'"},
        {"\xf3\xa0\x80\x81", "1:1: parse error: unexpected character: '\\U000e0001'"},
        {"\x01", "1:1: parse error: unexpected character: '\\x01'"},
        {"\\", "1:1: parse error: unexpected character: '\\\\'"},
        {"{\v}", "1:2: parse error: unexpected character inside braces: '\\v'"},
        {"\xff", "1:1: parse error: unexpected character: '\xef\xbf\xbd'"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct lexer lexer;
        struct token token;
        struct error err = {0};
        lexer_init(&lexer, slice_of_string(rows[i].text));
        while (lex_next(&lexer, &token, &err) == 0)
            assert_int_not_equal(token.kind, TOKEN_END);
        assert_int_equal(token.kind, TOKEN_ERROR);
        assert_string_equal(err.text, rows[i].error);
    }
}

static void test_strings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        struct slice value;
    } rows[] = {
        {"\"a\"", SLICE_LIT("a")},
        {"'a\"'", SLICE_LIT("a\"")},
        {"`a\\n`", SLICE_LIT("a\\n")},
        {"\"\\a\\b\\f\\n\\r\\t\\v\\\\\\\"\"", SLICE_LIT("\a\b\f\n\r\t\v\\\"")},
        {"'\\''", SLICE_LIT("'")},
        {"\"\\x41\\101\\u00e9\\U0001F600\\x00\"", SLICE_LIT("AA\xc3\xa9\xf0\x9f\x98\x80\0")},
    };
    struct arena arena;
    arena_init(&arena, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice value;
        struct error err;
        assert_int_equal(literal_string(slice_of_string(rows[i].text), &arena, &value, &err), 0);
        assert_true(slice_equal(value, rows[i].value));
        /* Its canonical text reads back equal. */
        struct buffer text;
        buffer_init(&text, 4096);
        literal_print_string(value, &text);
        assert_int_equal(literal_string(buffer_slice(&text), &arena, &value, &err), 0);
        assert_true(slice_equal(value, rows[i].value));
        buffer_release(&text);
    }
    static const char *const bad[] = {"\"\\d\"",     "\"\\'\"",   "'\\\"'",         "\"\\x4\"",
                                      "\"\\ud800\"", "\"\\400\"", "\"\\U00110000\""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct slice value;
        struct error err;
        assert_int_equal(literal_string(slice_of_string(bad[i]), &arena, &value, &err), -1);
    }
    arena_release(&arena);
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms; /* -1: refused */
        const char *canonical;
    } rows[] = {
        {"1h30m", 5400000, "1h30m"}, {"90m", 5400000, "1h30m"},
        {"5ms", 5, "5ms"},           {"1y2w3d4h5m6s7ms", 33019506007, "382d4h5m6s7ms"},
        {"14d", 1209600000, "2w"},   {"10d", 864000000, "10d"},
        {"365d", 31536000000, "1y"}, {"0s", 0, "0s"},
        {"1m1h", -1, NULL},          {"1h1h", -1, NULL},
        {"300y", -1, NULL},          {"99999999999999999999s", -1, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ms;
        struct error err;
        int status = literal_duration(slice_of_string(rows[i].text), &ms, &err);
        assert_int_equal(status, rows[i].ms < 0 ? -1 : 0);
        if (status < 0)
            continue;
        assert_int_equal(ms, rows[i].ms);
        struct buffer text;
        buffer_init(&text, 100);
        literal_print_duration(ms, &text);
        assert_true(slice_equal_string(buffer_slice(&text), rows[i].canonical));
        buffer_release(&text);
    }
}

static void test_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } rows[] = {
        {"1", 1},  {"0x1F", 31}, {"1e3", 1000},     {".5", 0.5},       {"5.", 5},      {"010", 8},
        {"08", 8}, {"0", 0},     {"Inf", INFINITY}, {"inf", INFINITY}, {"1e-7", 1e-7}, {"0.1", 0.1},
    };
    struct error err;
    double value;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(literal_number(slice_of_string(rows[i].text), &value, &err), 0);
        assert_true(value == rows[i].value);
    }
    assert_int_equal(literal_number(SLICE("NaN"), &value, &err), 0);
    assert_true(isnan(value));
    assert_int_equal(literal_number(SLICE("1e400"), &value, &err), -1);
    assert_int_equal(literal_number(SLICE("1e"), &value, &err), -1);
    assert_int_equal(literal_number(SLICE("0x"), &value, &err), -1);
}

static void assert_prints(double value, enum number_style style, const char *expected)
{
    struct buffer text;
    buffer_init(&text, NUMBER_TEXT_MAX);
    number_print(value, style, &text);
    assert_false(text.overflow);
    if (!slice_equal_string(buffer_slice(&text), expected))
        fail_msg("%.*s, not %s", SLICE_ARG(buffer_slice(&text)), expected);
    buffer_release(&text);
}

static void test_number_text(void **state)
{
    (void)state;
    assert_prints(0, NUMBER_API, "0");
    assert_prints(-0.0, NUMBER_API, "-0");
    assert_prints(320, NUMBER_API, "320");
    assert_prints(0.1, NUMBER_API, "0.1");
    assert_prints(1.0 / 3, NUMBER_API, "0.3333333333333333");
    assert_prints(-2.5e-3, NUMBER_API, "-0.0025");
    assert_prints(1e-6, NUMBER_API, "0.000001");
    assert_prints(1e-7, NUMBER_API, "1e-07");
    assert_prints(1.5e-7, NUMBER_API, "1.5e-07");
    assert_prints(1e20, NUMBER_API, "100000000000000000000");
    assert_prints(1.2345678901234567e20, NUMBER_API, "123456789012345670000");
    assert_prints(1e21, NUMBER_API, "1e+21");
    assert_prints(1e300, NUMBER_API, "1e+300");
    assert_prints(NAN, NUMBER_API, "NaN");
    assert_prints(INFINITY, NUMBER_API, "+Inf");
    assert_prints(-INFINITY, NUMBER_API, "-Inf");
    assert_prints(-0.05, NUMBER_API, "-0.05");
    assert_prints(0.0001, NUMBER_TEXT, "0.0001");
    assert_prints(123456.000001, NUMBER_API, "123456.000001");
    assert_prints(9007199254740993.5, NUMBER_API, "9007199254740994");
    assert_prints(4503599627370495.5, NUMBER_API, "4503599627370495.5");
    assert_prints(1e-5, NUMBER_TEXT, "1e-05");
    assert_prints(1e-4, NUMBER_TEXT, "0.0001");
    assert_prints(999999, NUMBER_TEXT, "999999");
    assert_prints(123456.7, NUMBER_TEXT, "123456.7");
    assert_prints(1e6, NUMBER_TEXT, "1e+06");
    assert_prints(-1234567, NUMBER_TEXT, "-1.234567e+06");
    assert_prints(1234567.5, NUMBER_TEXT, "1.2345675e+06");
    assert_prints(1e-5, NUMBER_API, "0.00001");
    assert_prints(1e21, NUMBER_PLAIN, "1000000000000000000000");
    assert_prints(1e-9, NUMBER_PLAIN, "0.000000001");
    struct buffer text;
    buffer_init(&text, NUMBER_TEXT_MAX);
    number_print(5e-324, NUMBER_PLAIN, &text);
    number_print(-1.7976931348623157e308, NUMBER_PLAIN, &text);
    assert_true(text.overflow); /* together; each alone fits */
    buffer_release(&text);
}

static void test_number_text_reads_back(void **state)
{
    (void)state;
    uint64_t bits = 88172645463325252ull;
    struct buffer text;
    buffer_init(&text, NUMBER_TEXT_MAX);
    for (int i = 0; i < 20000; i++) {
        double value;
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        buffer_reset(&text);
        number_print(value, (enum number_style)(i % 3), &text);
        buffer_append_char(&text, 0);
        assert_true(strtod(text.at, NULL) == value);
        /* Decimals of a few places: the text they were made from. */
        char expected[40];
        int places = i % 7;
        snprintf(expected, sizeof expected, "%.*f1", places, (double)(bits % 1000000000) / 1000);
        if (places == 0)
            continue;
        buffer_reset(&text);
        number_print(strtod(expected, NULL), NUMBER_API, &text);
        assert_true(slice_equal_string(buffer_slice(&text), expected));
    }
    buffer_release(&text);
}

/* The text by the book: the shortest digits, written out or with an exponent. */
static size_t number_by_the_book(double value, enum number_style style, char out[NUMBER_TEXT_MAX])
{
    char digits[NUMBER_DIGITS_MAX];
    int exponent, smallest = style == NUMBER_API ? -6 : -4, largest = style == NUMBER_API ? 20 : 5;
    size_t len = 0;
    if (signbit(value))
        out[len++] = '-';
    if (value == 0) {
        out[len++] = '0';
        return len;
    }
    int count = (int)number_digits(fabs(value), digits, &exponent);
    if (style != NUMBER_PLAIN && (exponent < smallest || exponent > largest))
        return len + (size_t)sprintf(out + len, "%c%s%.*se%c%02d", digits[0], count > 1 ? "." : "",
                                     count - 1, digits + 1, exponent < 0 ? '-' : '+',
                                     abs(exponent));
    int last = exponent - count + 1; /* the place of the last digit; 0 are the ones */
    for (int place = exponent > 0 ? exponent : 0; place >= (last < 0 ? last : 0); place--) {
        int digit = exponent - place;
        if (place == -1)
            out[len++] = '.';
        out[len++] = digit < 0 || digit >= count ? '0' : digits[digit];
    }
    return len;
}

/* Numbers of every shape, those near the borders between the ways of printing among them. */
static double number_of_shape(unsigned shape, uint64_t bits)
{
    static const double powers[] = {1e1, 1e2, 1e3, 1e5, 1e9, 1e10, 1e15, 1e16};
    double value, whole = (double)(bits % 1000000000000000);
    double power = powers[bits >> 61];
    switch (shape % 8) {
    case 0: /* any bits */
        memcpy(&value, &bits, sizeof value);
        return value;
    case 1: /* decimals of fifteen digits and less */
        return whole / power;
    case 2: /* few digits */
        return (double)(bits % 10000) / power;
    case 3: /* beside a decimal */
        return nextafter((double)(bits % 1000000) / power, bits & 1 << 30 ? 0 : INFINITY);
    case 4: /* a fraction of anything */
        return (double)(bits >> 11) * 0x1p-53 * power;
    case 5: /* whole, around 2^53 */
        return (double)(bits >> 8);
    case 6: /* an exponent is near */
        return (double)(bits >> 11) * 0x1p-53 * (bits & 1 ? 1e-3 : 1e22);
    default: /* sixteen and seventeen digits */
        return (double)(bits % 100000000000000000) / power;
    }
}

static void test_number_text_is_by_the_book(void **state)
{
    (void)state;
    uint64_t bits = 88172645463325252ull;
    for (unsigned i = 0; i < 3000000; i++) {
        bits ^= bits << 13;
        bits ^= bits >> 7;
        bits ^= bits << 17;
        enum number_style style = (enum number_style)(i / 8 % 3);
        double value = number_of_shape(i, bits);
        char expected[NUMBER_TEXT_MAX + 64], got[NUMBER_TEXT_MAX];
        if (!isfinite(value))
            continue;
        size_t len = (size_t)(number_put(got, value, style) - got);
        size_t expected_len = number_by_the_book(value, style, expected);
        if (len != expected_len || memcmp(got, expected, len))
            fail_msg("%.*s, not %.*s", (int)len, got, (int)expected_len, expected);
        assert_true(style != NUMBER_API || len <= NUMBER_API_MAX);
    }
}

static void test_path_names(void **state)
{
    static const char *const rows[][2] = {
        {"job", "job"},
        {"", ""},
        {"U__", ""},
        {"U__a_2e_b__c", "a.b_c"},
        {"U__é_2F_", "é/"},
        {"U___e9_", "é"},
        {"U___1f600_", "😀"},
        {"U__a_", "U__a_"},
        {"U__a_x_", "U__a_x_"},
        {"U__a_110000_", "U__a_110000_"},
        {"U_a_2e_", "U_a_2e_"},
    };
    (void)state;
    struct arena arena;
    arena_init(&arena, 1 << 16);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice name = literal_path_name(slice_of_string(rows[i][0]), &arena);
        if (!slice_equal_string(name, rows[i][1]))
            fail_msg("%s: " SLICE_FMT, rows[i][0], SLICE_ARG(name));
    }
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_path_names),
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_broken_text),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_number_text),
        cmocka_unit_test(test_number_text_reads_back),
        cmocka_unit_test(test_number_text_is_by_the_book),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
