/* bits: integers of every width against single bits, in bytes that end with the last one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "storage/code/bits.h"

#define COUNT_MAX 40

static uint64_t naive(struct slice bytes, size_t bit, unsigned width)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++, bit++)
        value |= (uint64_t)((unsigned char)bytes.at[bit / 8] >> (bit & 7) & 1) << i;
    return value;
}

static void every_width_is_read_as_single_bits_are(void **state)
{
    (void)state;
    for (unsigned width = 1; width <= 64; width++)
        for (size_t count = 1; count <= COUNT_MAX; count++) {
            size_t size = (count * width + 7) / 8;
            char *at = malloc(size); /* so that a byte too far is seen */
            for (size_t i = 0; i < size; i++)
                at[i] = (char)lrand48();
            struct slice bytes = slice_make(at, size);
            size_t inside = bits_count_inside(bytes, width);
            for (size_t i = 0, bit = 0; i < count; i++, bit += width) {
                uint64_t value = naive(bytes, bit, width);
                assert_int_equal(bits_read(bytes, bit, width), value);
                if (i < inside)
                    assert_int_equal(bits_inside(bytes, bit, width), value);
            }
            free(at);
        }
}

/* All but those that begin in the last seven bytes. */
static void few_are_not_inside(void **state)
{
    (void)state;
    char bytes[100] = {0};
    assert_int_equal(bits_count_inside(slice_make(bytes, 100), 8), 93);
    assert_int_equal(bits_count_inside(slice_make(bytes, 8), 8), 1);
    assert_int_equal(bits_count_inside(slice_make(bytes, 8), 1), 8);
    assert_int_equal(bits_count_inside(slice_make(bytes, 7), 8), 0);
    assert_int_equal(bits_count_inside(slice_make(bytes, 100), 0), 0);
    assert_int_equal(bits_count_inside(slice_make(bytes, 100), BITS_AT_ONCE + 1), 0);
}

int main(void)
{
    srand48(4);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_width_is_read_as_single_bits_are),
        cmocka_unit_test(few_are_not_inside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
