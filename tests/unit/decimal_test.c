/* decimal: equal to strtod bit by bit, at any place in memory, and no byte outside is read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/wire/decimal.h"

/* What a digits-and-point parser has to take, slowly. */
static bool is_decimal(struct slice s)
{
    size_t digits = 0, points = 0;
    for (size_t i = 0; i < s.len; i++) {
        digits += s.at[i] >= '0' && s.at[i] <= '9';
        points += s.at[i] == '.';
    }
    return s.len <= DECIMAL_MAX && digits > 0 && points <= 1 && digits + points == s.len;
}

/* With `before` readable bytes in front, in memory that ends with the number. */
static void check(struct slice text, size_t before)
{
    double value = -1, naive = -1;
    char *memory = malloc(before + text.len + 1);
    assert_non_null(memory);
    memset(memory, '7', before);
    memcpy(memory + before, text.at, text.len);
    memory[before + text.len] = 0;
    if (is_decimal(text))
        naive = strtod(memory + before, NULL);
    char *fitting = malloc(before + text.len + !(before + text.len));
    assert_non_null(fitting);
    memcpy(fitting, memory, before + text.len);
    bool taken = decimal_read(slice_make(fitting + before, text.len), fitting, &value);
    if (taken != is_decimal(text) || value != naive)
        fail_msg("'%s' with %zu bytes before it: %d, %.17g", memory + before, before, taken, value);
    free(memory);
    free(fitting);
}

static void check_everywhere(struct slice text)
{
    for (size_t before = 0; before <= 9; before++)
        check(text, before);
}

static void reads_what_strtod_reads(void **state)
{
    static const char *const texts[] = {
        "",
        "0",
        "7",
        ".",
        "5.",
        ".5",
        "..",
        "1.2.3",
        "12345678",
        "1234567.",
        ".1234567",
        "123456789",
        "12345678.",
        ".12345678",
        "1.2345678",
        "1.2345678.",
        "0.0000001",
        "1:2345678",
        "12345678:",
        "00000000000001",
        "99999999999999",
        "9999999999999.9",
        "999999999999999",
        "1234567890123456",
        "0.1",
        "-1",
        "+1",
        "1e5",
        " 1",
        "1 ",
        "0x10",
        "nan",
        "\xb1",
        "1\xae",
        "/",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        check_everywhere(slice_of_string(texts[i]));
}

/* Digits, mostly: each length, the point at each place, and now and then a byte that does not belong. */
static void any_bytes(void **state)
{
    static const char bytes[] = "0123456789012345678901234567890123456789......:|-+e/\x80\xff";
    char text[DECIMAL_MAX + 2];
    (void)state;
    srand(3);
    for (int round = 0; round < 200000; round++) {
        size_t len = (size_t)rand() % sizeof text, kinds = round % 2 ? 40 : sizeof bytes - 1;
        for (size_t i = 0; i < len; i++)
            text[i] = bytes[(size_t)rand() % kinds];
        if (len && round % 4 == 1)
            text[(size_t)rand() % len] = '.';
        check(slice_make(text, len), (size_t)rand() % 10);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_strtod_reads),
        cmocka_unit_test(any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
