/* sketch: exact while small, within HyperLogLog's error beyond, and merging as if one set had seen
 * everything, whatever the forms and the order. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "storage/sketch.h"

#define STANDARD_ERROR 0.01625 /* 1.04 / sqrt(2^12) */

static uint64_t random_state = 0x9e3779b97f4a7c15ull;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state * 0x2545f4914f6cdd1dull;
}

static void add_range(struct sketch *sketch, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        char member[32];
        int len = snprintf(member, sizeof member, "user-%u", i);
        sketch_add(sketch, slice_make(member, (size_t)len));
    }
}

static struct buffer code_of(const struct sketch *sketch)
{
    struct buffer code;
    buffer_init(&code, SKETCH_CODE_MAX);
    sketch_encode(sketch, &code);
    assert_false(code.overflow);
    return code;
}

/* By their codes: equal sketches have equal ones. */
static void assert_equal(const struct sketch *a, const struct sketch *b)
{
    struct buffer x = code_of(a), y = code_of(b);
    assert_int_equal(x.len, y.len);
    assert_memory_equal(x.at, y.at, x.len);
    buffer_release(&x);
    buffer_release(&y);
}

static void counts_exactly_while_small(void **state)
{
    (void)state;
    struct sketch sketch;
    sketch_init(&sketch);
    assert_true(sketch_estimate(&sketch) == 0);
    for (unsigned n = 1; n <= SKETCH_EXACT_MAX; n++) {
        add_range(&sketch, 0, n);
        assert_true(sketch_estimate(&sketch) == n);
        assert_true(sketch_bytes(&sketch) <= SKETCH_REGISTERS);
    }
    sketch_release(&sketch);
}

static void counts_the_zero_prefix(void **state)
{
    (void)state;
    struct sketch sketch;
    sketch_init(&sketch);
    sketch_add_hash(&sketch, 0);
    sketch_add_hash(&sketch, 7);
    assert_true(sketch_estimate(&sketch) == 1);
    sketch_release(&sketch);
}

/* The hash is part of the format: stores, exports and machines must agree on it. */
static void hashes_as_it_always_did(void **state)
{
    (void)state;
    struct sketch sketch;
    sketch_init(&sketch);
    sketch_add(&sketch, SLICE("ann"));
    struct buffer code = code_of(&sketch);
    static const unsigned char expected[] = {1, 1, 0, 0x90, 0xa5, 0xe4, 0x82, 0x09};
    assert_int_equal(code.len, sizeof expected);
    assert_memory_equal(code.at, expected, sizeof expected);
    buffer_release(&code);
    sketch_release(&sketch);
}

/* Over many sets of one size: no bias, and the error that 2^12 registers have. Beyond the exact form,
 * just beyond it, where the registers fill, and far beyond. */
static void estimates_without_bias(void **state)
{
    (void)state;
    static const struct {
        unsigned members, sets;
    } rows[] = {{1, 20},     {10, 20},    {100, 20},    {513, 400},   {700, 400},
                {1000, 400}, {3000, 300}, {10000, 200}, {100000, 40}, {1000000, 8}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double bias = 0, square = 0, sets = rows[i].sets;
        for (unsigned set = 0; set < rows[i].sets; set++) {
            struct sketch sketch;
            sketch_init(&sketch);
            for (unsigned k = 0; k < rows[i].members; k++)
                sketch_add_hash(&sketch, random_next());
            double off = sketch_estimate(&sketch) / rows[i].members - 1;
            bias += off / sets;
            square += off * off / sets;
            sketch_release(&sketch);
        }
        if (rows[i].members <= SKETCH_EXACT_MAX) {
            assert_true(square == 0);
            continue;
        }
        assert_true(fabs(bias) < 4 * STANDARD_ERROR / sqrt(sets));
        assert_true(sqrt(square) < STANDARD_ERROR * (1 + 3 / sqrt(2 * sets)));
    }
}

/* A random range of members in a random form. */
static void fill(struct sketch *sketch)
{
    static const unsigned sizes[] = {0, 1, 20, 300, 512, 513, 4000};
    unsigned from = (unsigned)(random_next() % 3000);
    add_range(sketch, from, from + sizes[random_next() % (sizeof sizes / sizeof *sizes)]);
}

static void merges_as_a_union(void **state)
{
    (void)state;
    for (int round = 0; round < 300; round++) {
        struct sketch at[3], left, right, seen;
        uint64_t before = random_state;
        sketch_init(&left);
        sketch_init(&right);
        sketch_init(&seen);
        for (int i = 0; i < 3; i++) {
            sketch_init(&at[i]);
            fill(&at[i]);
        }
        random_state = before; /* the same members, into one */
        for (int i = 0; i < 3; i++)
            fill(&seen);
        for (int i = 0; i < 3; i++)
            sketch_merge(&left, &at[i]); /* (a + b) + c */
        sketch_merge(&at[2], &at[1]);
        for (int i = 0; i < 2; i++) { /* (c + b) + a, through codes */
            struct buffer code = code_of(&at[i ? 0 : 2]);
            assert_true(sketch_merge_code(&right, buffer_slice(&code)));
            buffer_release(&code);
        }
        assert_equal(&left, &seen);
        assert_equal(&right, &seen);
        for (int i = 0; i < 3; i++)
            sketch_release(&at[i]);
        sketch_release(&left);
        sketch_release(&right);
        sketch_release(&seen);
    }
}

static void survives_its_code(void **state)
{
    (void)state;
    static const unsigned sizes[] = {0, 1, 17, SKETCH_EXACT_MAX, SKETCH_EXACT_MAX + 1, 200000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct sketch sketch, back;
        sketch_init(&sketch);
        sketch_init(&back);
        add_range(&sketch, 0, sizes[i]);
        struct buffer code = code_of(&sketch);
        assert_true(sketch_merge_code(&back, buffer_slice(&code)));
        assert_equal(&back, &sketch);
        add_range(&back, 0, sizes[i]);
        assert_equal(&back, &sketch);
        for (size_t len = 0; len < code.len; len += 1 + len / 16)
            assert_false(sketch_merge_code(&back, slice_head(buffer_slice(&code), len)));
        buffer_release(&code);
        sketch_release(&back);
        sketch_release(&sketch);
    }
}

static void refuses_other_bytes(void **state)
{
    (void)state;
    static const struct slice rows[] = {
        SLICE_LIT(""),                     /* nothing */
        SLICE_LIT("\x03\x00"),             /* no such form */
        SLICE_LIT("\x01\x81\x04\x00\x00"), /* 513 prefixes */
        SLICE_LIT("\x01\x02\x00\x04"),     /* two equal ones */
        SLICE_LIT("\x01\x01\x00\x00"),     /* the prefix 0 */
        SLICE_LIT("\x01\x01\x00\x04\x00"), /* more than it says */
        SLICE_LIT("\x02\x00\x2c"),         /* ranks of 22 */
        SLICE_LIT("\x02\x00\x01"),         /* ranks below 0 */
    };
    struct sketch sketch;
    sketch_init(&sketch);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        assert_false(sketch_merge_code(&sketch, rows[i]));
    sketch_release(&sketch);
}

static void forgets_when_reset(void **state)
{
    (void)state;
    static const unsigned sizes[] = {3, 400, 5000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct sketch sketch, none;
        sketch_init(&sketch);
        sketch_init(&none);
        add_range(&sketch, 0, sizes[i]);
        sketch_reset(&sketch);
        assert_equal(&sketch, &none);
        add_range(&sketch, 0, 5);
        assert_true(sketch_estimate(&sketch) == 5);
        sketch_release(&sketch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_exactly_while_small), cmocka_unit_test(counts_the_zero_prefix),
        cmocka_unit_test(hashes_as_it_always_did),    cmocka_unit_test(estimates_without_bias),
        cmocka_unit_test(merges_as_a_union),          cmocka_unit_test(survives_its_code),
        cmocka_unit_test(refuses_other_bytes),        cmocka_unit_test(forgets_when_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
