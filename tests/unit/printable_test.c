/* printable: what comes out can be shown by any terminal, says which bytes came in, and is as wide as told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "server/wire/printable.h"

static void prints(struct slice text, const char *expected, size_t width)
{
    struct buffer out;
    buffer_init(&out, 4096);
    printable_append(&out, text);
    if (!slice_equal_string(buffer_slice(&out), expected))
        fail_msg("%.*s is not %s", (int)out.len, out.at, expected);
    assert_int_equal(printable_width(text), width);
    buffer_release(&out);
}

static void table(void **state)
{
    (void)state;
    prints(SLICE(""), "", 0);
    prints(SLICE("api.latency:320|ms|#route:/buy"), "api.latency:320|ms|#route:/buy", 30);
    prints(SLICE("a\x1b[31mb\r\t\x7f"), "a\\x1b[31mb\\x0d\\x09\\x7f", 22);
    prints(SLICE("a\0b"), "a\\x00b", 6);
    prints(SLICE("\\x1b"), "\\\\x1b", 5);
    prints(SLICE("caf\xc3\xa9 \xe2\x82\xac"), "caf\xc3\xa9 \xe2\x82\xac", 6);
    prints(SLICE("\xc2\x9b"
                 "31m"),
           "\\xc2\\x9b31m", 11); /* C1's CSI */
    prints(SLICE("\xff\xc3"), "\\xff\\xc3", 8);
    prints(SLICE("\xed\xa0\x80"), "\\xed\\xa0\\x80", 12);
}

/* Of any bytes. */
static void no_byte_is_dangerous(void **state)
{
    (void)state;
    struct buffer out;
    buffer_init(&out, 1 << 16);
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            const unsigned char bytes[] = {(unsigned char)a, (unsigned char)b, 'x'};
            buffer_reset(&out);
            printable_append(&out, slice_make(bytes, sizeof bytes));
            struct slice rest = buffer_slice(&out);
            size_t width = 0;
            for (; rest.len; width++) {
                size_t len = slice_utf8_length(rest);
                assert_true(len > 0);
                assert_true((unsigned char)rest.at[0] >= ' ' && rest.at[0] != 0x7f);
                assert_false(len == 2 && (unsigned char)rest.at[0] == 0xc2 &&
                             (unsigned char)rest.at[1] < 0xa0);
                rest = slice_skip(rest, len);
            }
            assert_int_equal(width, printable_width(slice_make(bytes, sizeof bytes)));
        }
    buffer_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(no_byte_is_dangerous),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
