/* split: codes and streams of symbols, columns in blocks; all of them whole, in part, and cut short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bench/dataset.h"
#include "storage/code/huffman.h"
#include "storage/code/split.h"

#define STREAMS_MAX 9
#define STREAM_MAX  300

/* --- codes --- */

/* Some symbols are far more frequent than others: 1, 1/2, 1/4 ... */
static uint8_t skewed_symbol(unsigned kinds)
{
    unsigned symbol = 0;
    while (symbol + 1 < kinds && lrand48() % 2)
        symbol++;
    return (uint8_t)(symbol * 37);
}

/* Appends streams of random lengths to `out`, each with its length in *streams. */
static size_t write_streams(struct buffer *out, const struct huffman_code *code,
                            const uint8_t *symbols, struct huffman_stream *streams, size_t *sizes)
{
    size_t count = 1 + (size_t)lrand48() % STREAMS_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t start = out->len;
        streams[i].count = streams[i].of = (size_t)lrand48() % (STREAM_MAX + 1);
        huffman_append(out, code, symbols + i * STREAM_MAX, streams[i].count);
        sizes[i] = out->len - start;
    }
    return count;
}

static void round_trip_streams(struct buffer *bytes, const uint8_t *symbols)
{
    static uint8_t back[STREAMS_MAX * STREAM_MAX];
    uint32_t counts[HUFFMAN_SYMBOLS] = {0};
    struct huffman_stream streams[STREAMS_MAX];
    size_t sizes[STREAMS_MAX];
    struct huffman_code code;
    struct huffman_table table;
    for (size_t i = 0; i < STREAMS_MAX * STREAM_MAX; i++)
        counts[symbols[i]]++;
    huffman_plan(counts, &code);
    buffer_reset(bytes);
    huffman_append_code(bytes, &code);
    size_t head = bytes->len, count = write_streams(bytes, &code, symbols, streams, sizes);
    struct slice rest = buffer_slice(bytes);
    assert_true(huffman_cut_table(&rest, &table));
    assert_int_equal(rest.len, bytes->len - head);
    for (size_t i = 0; i < count; i++) {
        streams[i].out = back + i * STREAM_MAX;
        assert_true(bytes_cut_slice(&rest, sizes[i], &streams[i].bytes));
    }
    assert_true(huffman_read(&table, streams, count));
    for (size_t i = 0; i < count; i++)
        assert_memory_equal(back + i * STREAM_MAX, symbols + i * STREAM_MAX, streams[i].count);
    size_t shortened = (size_t)lrand48() % count;
    if (streams[shortened].bytes.len == 0)
        return;
    streams[shortened].bytes.len--;
    assert_false(huffman_read(&table, streams, count));
}

static void streams_round_trip(void **state)
{
    (void)state;
    static uint8_t symbols[STREAMS_MAX * STREAM_MAX];
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    for (unsigned round = 0; round < 600; round++) {
        unsigned kinds = 1 + round % 60;
        for (size_t i = 0; i < sizeof symbols; i++)
            symbols[i] = (uint8_t)(round % 2 ? skewed_symbol(kinds) : lrand48() % (kinds * 4));
        round_trip_streams(&bytes, symbols);
    }
    buffer_release(&bytes);
}

/* Weights that double need a tree as deep as there are symbols; the code is no deeper than it may be, and
 * complete. */
static void deep_codes_are_made_flat(void **state)
{
    (void)state;
    uint32_t counts[HUFFMAN_SYMBOLS] = {0};
    struct huffman_code code;
    unsigned places = 0;
    for (unsigned i = 0; i < 30; i++)
        counts[i] = (uint32_t)1 << i;
    huffman_plan(counts, &code);
    for (unsigned i = 0; i < HUFFMAN_SYMBOLS; i++) {
        assert_in_range(code.lengths[i], i < 30 ? 1 : 0, i < 30 ? HUFFMAN_LENGTH_MAX : 0);
        if (code.lengths[i])
            places += 1u << (HUFFMAN_LENGTH_MAX - code.lengths[i]);
    }
    assert_int_equal(code.lengths[29], 1);
    assert_int_equal(places, 1u << HUFFMAN_LENGTH_MAX);
}

/* Among others it is read from the front, alone in quarters; only what lies behind its bytes is lost. */
static void assert_same_alone(const struct huffman_table *table, struct slice bytes, size_t count)
{
    static uint8_t alone[STREAM_MAX], among[4][STREAM_MAX];
    size_t of = count + (size_t)lrand48() % (STREAM_MAX - count + 1);
    struct huffman_stream streams[4], stream = {bytes, alone, count, of};
    for (size_t i = 0; i < 4; i++)
        streams[i] = (struct huffman_stream){bytes, among[i], count, of};
    bool sound = huffman_read(table, streams, 4);
    assert_int_equal(huffman_read(table, &stream, 1), sound);
    assert_memory_equal(alone, among[0], count);
}

/* Streams of their own code, cut off anywhere, and any bytes. */
static void a_stream_alone_is_read_as_among_others(void **state)
{
    (void)state;
    uint8_t symbols[STREAM_MAX], noise[STREAM_MAX];
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    for (unsigned round = 0; round < 2000; round++) {
        uint32_t counts[HUFFMAN_SYMBOLS] = {0};
        unsigned kinds = 1 + round % 40;
        struct huffman_code code;
        struct huffman_table table;
        for (size_t i = 0; i < STREAM_MAX; i++) {
            symbols[i] = (uint8_t)(round % 3 ? skewed_symbol(kinds) : lrand48() % kinds);
            noise[i] = (uint8_t)lrand48();
            counts[symbols[i]]++;
        }
        huffman_plan(counts, &code);
        buffer_reset(&bytes);
        huffman_append_code(&bytes, &code);
        huffman_append(&bytes, &code, symbols, STREAM_MAX);
        struct slice rest = buffer_slice(&bytes);
        assert_true(huffman_cut_table(&rest, &table));
        size_t count = (size_t)lrand48() % (STREAM_MAX + 1),
               cut = (size_t)lrand48() % (rest.len + 1);
        assert_same_alone(&table, rest, STREAM_MAX);
        assert_same_alone(&table, rest, count);
        assert_same_alone(&table, slice_make(rest.at, cut), count);
        assert_same_alone(&table, slice_make((const char *)noise, cut), count);
    }
    buffer_release(&bytes);
}

static void incomplete_codes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t len;
        bool sound;
    } rows[] = {
        {"\x05\x06\xc4\x00", 4, true},  /* two symbols of one bit */
        {"\x05\x05\xc4", 3, false},     /* one */
        {"\x05\x06\xc8\x00", 4, false}, /* two of two */
        {"\x05\x07\xc4\x00", 4, false}, /* three of one */
        {"\x06\x05\xc4\x00", 4, false}, /* none */
        {"\x05\x06\xc0\x00", 4, false}, /* length 0 */
        {"\x05\x06\xec\x00", 4, false}, /* length 11 */
        {"\x05\x0f\xc4", 3, false},     /* cut short */
        {"\x05", 1, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct huffman_table table;
        struct slice rest = slice_make(rows[i].bytes, rows[i].len);
        assert_int_equal(huffman_cut_table(&rest, &table), rows[i].sound);
    }
}

/* --- columns --- */

static void assert_part(struct slice bytes, const int64_t *values, struct part part)
{
    static int64_t back[SPLIT_COUNT_MAX];
    assert_true(split_cut(&bytes, back, part));
    assert_int_equal(bytes.len, 0);
    assert_memory_equal(back + part.from, values + part.from,
                        (part.to - part.from) * sizeof *values);
}

/* Counters, gauges, what rests: predictors of all kinds, frames and streams; outliers among them. */
static void fill_column(int64_t *values, size_t count, size_t series)
{
    static double samples[SPLIT_COUNT_MAX];
    dataset_fill(series, samples, count);
    for (size_t i = 0; i < count; i++) {
        values[i] = (int64_t)(samples[i] * 1000);
        if (series % 2 && lrand48() % 40 == 0)
            values[i] += (int64_t)mrand48() * (1 << series % 30);
    }
}

static void every_part_is_that_of_the_whole(void **state)
{
    (void)state;
    static int64_t values[SPLIT_COUNT_MAX];
    static const size_t counts[] = {3, 60, 409, 700};
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    for (size_t series = 0; series < 40; series++) {
        size_t count = counts[series % 4];
        fill_column(values, count, series);
        buffer_reset(&bytes);
        split_append(&bytes, values, count, series % 3 == 0);
        for (size_t from = 0; from <= count; from++) {
            assert_part(buffer_slice(&bytes), values, (struct part){count, from, count});
            assert_part(buffer_slice(&bytes), values, (struct part){count, 0, from});
            size_t to = from + (size_t)lrand48() % (count - from + 1);
            assert_part(buffer_slice(&bytes), values, (struct part){count, from, to});
        }
    }
    buffer_release(&bytes);
}

static void columns_of_every_length_round_trip(void **state)
{
    (void)state;
    static int64_t values[SPLIT_COUNT_MAX];
    struct buffer bytes;
    buffer_init(&bytes, SIZE_MAX);
    for (size_t round = 0; round < 150; round++) {
        size_t count = SPLIT_COUNT_MAX;
        if (round)
            count = SPLIT_COUNT_MIN + (size_t)lrand48() % (round % 5 ? 2000 : SPLIT_COUNT_MAX - 2);
        fill_column(values, count, round);
        buffer_reset(&bytes);
        split_append(&bytes, values, count, round % 3 == 0);
        assert_part(buffer_slice(&bytes), values, (struct part){count, 0, count});
        for (size_t cut = 0; cut < bytes.len; cut += 1 + bytes.len / 20) {
            static int64_t back[SPLIT_COUNT_MAX];
            struct slice rest = slice_make(bytes.at, cut);
            assert_false(split_cut(&rest, back, (struct part){count, 0, count}));
        }
    }
    buffer_release(&bytes);
}

int main(void)
{
    srand48(2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_round_trip),
        cmocka_unit_test(deep_codes_are_made_flat),
        cmocka_unit_test(a_stream_alone_is_read_as_among_others),
        cmocka_unit_test(incomplete_codes_are_refused),
        cmocka_unit_test(every_part_is_that_of_the_whole),
        cmocka_unit_test(columns_of_every_length_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
