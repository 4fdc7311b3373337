/* column: round trips of every shape of column, packed, dense and otherwise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bench/dataset.h"
#include "storage/code/dense.h"
#include "storage/code/pack.h"
#include "tests/unit/shape_fixture.h"

/* --- integers --- */

static size_t pack_round_trip(const int64_t *values, size_t count)
{
    static int64_t back[COLUMN_COUNT_MAX];
    struct buffer packed;
    buffer_init(&packed, SIZE_MAX);
    pack_append(&packed, values, count);
    struct slice rest = buffer_slice(&packed);
    size_t size = packed.len;
    assert_true(pack_cut(&rest, back, count));
    assert_int_equal(rest.len, 0);
    assert_memory_equal(values, back, count * sizeof *values);
    for (size_t cut = 0; cut < size; cut += 1 + size / 50) {
        rest = slice_make(packed.at, cut);
        if (pack_cut(&rest, back, count))
            assert_true(rest.len == 0); /* only whole bytes of padding may be missing */
    }
    buffer_release(&packed);
    return size;
}

static void integers_of_every_width_round_trip(void **state)
{
    (void)state;
    int64_t values[400];
    for (unsigned width = 0; width <= 64; width++) {
        for (int round = 0; round < 8; round++) {
            size_t count = 1 + (size_t)(lrand48() % 400);
            for (size_t i = 0; i < count; i++) {
                uint64_t x = width ? random_bits() >> (64 - width) : 0;
                bool outlier = round & 1 && lrand48() % 30 == 0;
                values[i] = (int64_t)(outlier ? random_bits() : x);
                if (round & 2 && i)
                    values[i] = (int64_t)((uint64_t)values[i] + (uint64_t)values[i - 1]);
                if (round & 4)
                    values[i] = -values[i] - 1;
            }
            pack_round_trip(values, count);
        }
    }
}

static void even_integers_cost_nothing(void **state)
{
    (void)state;
    int64_t values[360];
    for (size_t i = 0; i < 360; i++)
        values[i] = 1700000000000 + (int64_t)i * 10000;
    assert_true(pack_round_trip(values, 360) <= 12);
    for (size_t i = 0; i < 360; i++)
        values[i] = -7;
    assert_true(pack_round_trip(values, 360) <= 3);
    values[100] = 123456; /* one outlier on either side */
    values[200] = -1234567;
    assert_true(pack_round_trip(values, 360) <= 32);
}

/* --- long columns of integers --- */

/* A few values anywhere, the first ones and the last ones: what is read of them is what the whole has. */
static void dense_parts_round_trip(struct slice bytes, const int64_t *values, size_t count)
{
    static int64_t back[DENSE_COUNT_MAX];
    for (int i = 0; i < 6; i++) {
        struct slice rest = bytes;
        size_t width = (size_t)lrand48() % (count / (i & 1 ? 1 : 20) + 1);
        size_t most = count - width;
        size_t places[] = {0, most, (size_t)lrand48() % (most + 1)}, from = places[i / 2];
        struct part part = {count, from, from + width};
        assert_true(dense_cut_part(&rest, back, part));
        assert_int_equal(rest.len, 0);
        assert_memory_equal(values + from, back + from, width * sizeof *values);
    }
}

static size_t dense_round_trip(const int64_t *values, size_t count)
{
    static int64_t back[DENSE_COUNT_MAX];
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    dense_append(&bytes, values, count);
    struct slice rest = buffer_slice(&bytes);
    size_t size = bytes.len;
    assert_true(dense_cut(&rest, back, count));
    assert_int_equal(rest.len, 0);
    assert_memory_equal(values, back, count * sizeof *values);
    dense_parts_round_trip(buffer_slice(&bytes), values, count);
    for (size_t cut = 0; cut < size; cut += 1 + size / 10) {
        rest = slice_make(bytes.at, cut); /* only a byte of padding may be missing */
        assert_false(cut + 8 < size && dense_cut(&rest, back, count));
    }
    buffer_release(&bytes);
    return size;
}

enum walk { WALK_NOISE, WALK_SUMS, WALK_SUMS_OF_SUMS, WALK_HOLDS, WALK_DRIFT, WALKS };

static int64_t next_integer(enum walk walk, uint64_t noise, size_t i, int64_t last)
{
    switch (walk) {
    case WALK_NOISE:
        return (int64_t)noise;
    case WALK_SUMS:
    case WALK_SUMS_OF_SUMS:
        return (int64_t)((uint64_t)last + noise);
    case WALK_HOLDS:
        return lrand48() % 20 ? last : (int64_t)noise;
    case WALK_DRIFT:
    case WALKS:
        break;
    }
    return (int64_t)(noise + i * 7);
}

static void long_columns_round_trip(void **state)
{
    (void)state;
    static int64_t values[DENSE_COUNT_MAX];
    for (unsigned width = 0; width <= 64; width++) {
        for (int round = 0; round < WALKS * 2; round++) {
            size_t count = 1 + (size_t)(lrand48() % (width % 8 ? 1500 : DENSE_COUNT_MAX));
            enum walk walk = (enum walk)(round % WALKS);
            int64_t last = 0;
            for (size_t i = 0; i < count; i++) {
                bool outlier = round >= WALKS && lrand48() % 50 == 0;
                uint64_t noise = width ? random_bits() >> (64 - width) : 0;
                last = next_integer(walk, outlier ? random_bits() : noise, i, last);
                values[i] = round & 1 ? -last : last;
            }
            for (size_t i = 1; walk == WALK_SUMS_OF_SUMS && i < count; i++)
                values[i] = (int64_t)((uint64_t)values[i] + (uint64_t)values[i - 1]);
            dense_round_trip(values, count);
        }
    }
}

/* The sum of three dice has 3.6 bits. */
static void long_columns_are_near_their_entropy(void **state)
{
    (void)state;
    static int64_t values[8000];
    int64_t sum = 0;
    for (size_t i = 0; i < 8000; i++)
        values[i] = lrand48() % 6 + lrand48() % 6 + lrand48() % 6;
    assert_in_range(dense_round_trip(values, 8000), 3500, 3720);
    for (size_t i = 0; i < 8000; i++)
        values[i] = sum += values[i];
    assert_in_range(dense_round_trip(values, 8000), 3500, 3720);
    for (size_t i = 0; i < 8000; i++)
        values[i] = (int64_t)(i / 100) * 1000;
    assert_in_range(dense_round_trip(values, 8000), 1, 80);
}

/* --- doubles --- */

static void doubles_of_every_shape_round_trip(void **state)
{
    (void)state;
    double values[400], back[400];
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    for (int round = 0; round < 3000; round++) {
        size_t count = 1 + (size_t)(lrand48() % 400);
        fill(values, count, (enum shape)(round % SHAPES), round % 4 ? 1 << (round % 7 + 1) : 0);
        buffer_reset(&bytes);
        column_append(&bytes, values, count);
        struct slice rest = buffer_slice(&bytes);
        assert_true(column_cut(&rest, back, count));
        assert_int_equal(rest.len, 0);
        assert_memory_equal(values, back, count * sizeof *values);
        assert_true(bytes.len <= count * 10 + 16);
    }
    buffer_release(&bytes);
}

static void long_columns_of_doubles_round_trip(void **state)
{
    (void)state;
    static double values[COLUMN_COUNT_MAX], back[COLUMN_COUNT_MAX];
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    for (int round = 0; round < 200; round++) {
        size_t count = 1 + (size_t)(lrand48() % COLUMN_COUNT_MAX);
        fill(values, count, (enum shape)(round % SHAPES), round % 4 ? 1 << (round % 9 + 1) : 0);
        if (round >= 150)
            dataset_fill((size_t)round, values, count);
        buffer_reset(&bytes);
        column_append(&bytes, values, count);
        struct slice rest = buffer_slice(&bytes);
        assert_true(column_cut(&rest, back, count));
        assert_int_equal(rest.len, 0);
        assert_memory_equal(values, back, count * sizeof *values);
    }
    buffer_release(&bytes);
}

enum quotients { MEANS, SUMS_OF_DECIMALS, RATIOS, NO_QUOTIENTS, QUOTIENTS };

static double next_quotient(enum quotients kind)
{
    long total = 1 + lrand48() % 150;
    double sum = 0;
    switch (kind) {
    case MEANS: /* of milliseconds with three decimals, one sum */
        return (double)(lrand48() % 20000000) / 1000 / (double)total;
    case SUMS_OF_DECIMALS: /* the same, each addition rounding */
        for (long i = 0; i < total; i++)
            sum += (double)(lrand48() % 200000) / 1000;
        return sum / (double)total;
    case RATIOS:
        return (double)(lrand48() % (total + 1)) / (double)total * (lrand48() % 2 ? 1 : -1);
    case NO_QUOTIENTS:
    case QUOTIENTS:
        break;
    }
    return drand48() * 200;
}

static void quotients_are_half_as_long(void **state)
{
    (void)state;
    static const struct {
        size_t bytes_min, bytes_max; /* of 4,000 */
    } rows[QUOTIENTS] = {{13000, 19000}, {13000, 20000}, {5000, 10000}, {26000, 28000}};
    static double values[4000], back[4000];
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    for (int kind = 0; kind < QUOTIENTS; kind++) {
        for (int specials_too = 0; specials_too < 2; specials_too++) {
            for (size_t i = 0; i < 4000; i++) {
                values[i] = next_quotient((enum quotients)kind);
                if (specials_too && lrand48() % 100 == 0)
                    values[i] = special();
            }
            buffer_reset(&bytes);
            column_append(&bytes, values, 4000);
            struct slice rest = buffer_slice(&bytes);
            assert_true(column_cut(&rest, back, 4000) && rest.len == 0);
            assert_memory_equal(values, back, sizeof values);
            assert_in_range(bytes.len, rows[kind].bytes_min,
                            rows[kind].bytes_max + (specials_too ? 1000 : 0));
        }
    }
    buffer_release(&bytes);
}

static void exceptions_in_their_first_form_are_read(void **state)
{
    (void)state;
    static const char bytes[] = "\x10\x00\x04" /* three times 2, packed at width 0 */
                                "\x01\x01\x00\x00\x00\x00\x00\x00\xf0\x7f"; /* [1] = +Inf */
    struct slice rest = slice_make(bytes, sizeof bytes - 1);
    double values[3];
    assert_true(column_cut(&rest, values, 3) && rest.len == 0);
    assert_true(values[0] == 2 && values[1] == INFINITY && values[2] == 2);
    rest = slice_make("\x08\x00\x04", 3); /* no mode */
    assert_false(column_cut(&rest, values, 3));
}

static void numbers_round_trip(void **state)
{
    (void)state;
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    for (int round = 0; round < 20000; round++) {
        double known = next_value((enum shape)(lrand48() % SHAPES), 5), value = known, back;
        if (lrand48() % 3)
            value = lrand48() % 4 ? next_value((enum shape)(lrand48() % SHAPES), 9) : special();
        buffer_reset(&bytes);
        number_append(&bytes, value, known);
        struct slice rest = buffer_slice(&bytes);
        assert_true(number_cut(&rest, known, &back));
        assert_true(double_bits(back) == double_bits(value) && rest.len == 0);
    }
    buffer_release(&bytes);
}

int main(void)
{
    srand48(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers_of_every_width_round_trip),
        cmocka_unit_test(even_integers_cost_nothing),
        cmocka_unit_test(doubles_of_every_shape_round_trip),
        cmocka_unit_test(long_columns_round_trip),
        cmocka_unit_test(long_columns_are_near_their_entropy),
        cmocka_unit_test(long_columns_of_doubles_round_trip),
        cmocka_unit_test(quotients_are_half_as_long),
        cmocka_unit_test(exceptions_in_their_first_form_are_read),
        cmocka_unit_test(numbers_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
