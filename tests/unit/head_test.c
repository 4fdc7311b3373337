/* head, headlog, key: open samples against plain arrays; records and keys round trip. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <assert.h>
#include <cmocka.h>
#include <stdlib.h>

#include "storage/code/column.h"
#include "storage/head.h"
#include "storage/headlog.h"
#include "storage/key.h"

#define SAMPLES 1200

static int64_t times[SAMPLES], times_back[SAMPLES];
static double values[SAMPLES], values_back[SAMPLES];

/* Makes some gap longer or shorter than it was, sometimes as short as can be. */
static void move_gap(size_t count)
{
    size_t at = (size_t)lrand48() % (lrand48() % 4 ? count : count < 4 ? count : 4);
    int64_t by = at == 0              ? 0
                 : lrand48() % 8 == 0 ? 1 - (times[at] - times[at - 1])
                                      : lrand48() % 50000 - (times[at] - times[at - 1]) / 2;
    for (size_t i = at; i < count; i++)
        times[i] += by;
}

/* shape bit 0: uneven times from some point on; bit 1: values differ from some point on; bit 2: wide
 * gaps; bit 3: the first value is 0; bits 4 and 5: so many odd gaps. */
static void fill(size_t count, int shape)
{
    size_t uneven = shape & 1 ? (size_t)lrand48() % count : count;
    size_t differ = shape & 2 ? (size_t)lrand48() % count : count;
    for (size_t i = 0; i < count; i++) {
        times[i] = i ? times[i - 1] + (i >= uneven ? 1 + lrand48() % 20000 : 10000) : 1000;
        values[i] = i >= differ ? (double)(lrand48() % 10) : 3;
    }
    if (shape & 4 && count > 1) /* a gap too wide for 32 bits */
        for (size_t i = 1; i < count; i++)
            times[i] += (int64_t)1 << 33;
    if (shape & 8)
        values[0] = 0;
    for (int odd = shape >> 4 & 3; odd; odd--)
        move_gap(count);
}

static void open_samples_read_back(void **state)
{
    (void)state;
    for (int round = 0; round < 1600; round++) {
        struct head head;
        head_init(&head);
        struct head_series *series = head_make(&head, 7);
        size_t count = 1 + (size_t)lrand48() % (round % 5 == 0   ? SAMPLES
                                                : round % 5 == 1 ? 6
                                                                 : 300);
        assert(count > 0);
        fill(count, round % 64);
        for (size_t i = 0; i < count; i++)
            head_append_value(&head, series, times[i], values[i]);
        assert_int_equal(head.samples, count);
        assert_true(series->last_ms == times[count - 1] && series->first_ms == times[0]);
        assert_true(head_last_value(series) == values[count - 1]);
        size_t from = (size_t)lrand48() % count, length = (size_t)lrand48() % (count - from + 1);
        head_times(series, from, length, times_back);
        head_values(series, from, length, values_back);
        assert_memory_equal(times_back, times + from, length * sizeof *times);
        assert_memory_equal(values_back, values + from, length * sizeof *values);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(head_find(series, times[i]), i);
        assert_int_equal(head_find(series, times[from] - 1),
                         from && times[from - 1] == times[from] - 1 ? from - 1 : from);
        assert_int_equal(head_find(series, times[count - 1] + 1), count);
        head_clear(&head, 7);
        assert_true(head.samples == 0 && series->sealed_ms == times[count - 1]);
        head_release(&head);
    }
}

static void even_and_equal_samples_take_no_arrays(void **state)
{
    (void)state;
    struct head head;
    head_init(&head);
    struct head_series *series = head_make(&head, 0);
    for (int i = 0; i < 360; i++)
        head_append_value(&head, series, i * 10000, i ? 5 : 0); /* as a new counter has it */
    assert_false(head_holds_runs(series));
    assert_int_equal(head_sample_bytes(&head), 0);
    head_append_value(&head, series, 3600000, 6);
    assert_true(head_holds_runs(series) && !series->is_uneven);
    assert_in_range(head_sample_bytes(&head), 24, 88);
    head_append_value(&head, series, 3600001, 6); /* an odd gap, */
    assert_false(series->is_uneven);
    head_append_value(&head, series, 3600003, 6); /* and another */
    assert_true(series->is_uneven);
    head_clear(&head, 0);
    assert_false(head_holds_runs(series));
    assert_int_equal(head_sample_bytes(&head), 0);
    head_release(&head);
}

/* With gaps of 10 s but for those given; how many bytes beside the entry. */
static size_t bytes_with_gaps(size_t count, size_t odd_at, int64_t odd_ms, size_t second_at)
{
    struct head head;
    head_init(&head);
    struct head_series *series = head_make(&head, 0);
    for (size_t i = 0; i < count; i++) {
        int64_t gap = i == odd_at ? odd_ms : i == second_at ? 1 : 10000;
        times[i] = i ? times[i - 1] + gap : 0;
        head_append_value(&head, series, times[i], 5);
    }
    head_times(series, 0, count, times_back);
    assert_memory_equal(times_back, times, count * sizeof *times);
    for (size_t i = 1; i < count; i++) {
        assert_int_equal(head_find(series, times[i]), i);
        assert_int_equal(head_find(series, times[i - 1] + 1), i);
    }
    size_t bytes = head_sample_bytes(&head);
    assert_true(head_holds_runs(series) == (bytes > 0));
    head_release(&head);
    return bytes;
}

static void one_odd_gap_takes_nothing_beside_the_entry(void **state)
{
    (void)state;
    static const int64_t gaps_ms[] = {1, 9999, 20000, 3600000, (1 << 24) - 1};
    for (size_t at = 1; at < 12; at++)
        for (size_t i = 0; i < sizeof gaps_ms / sizeof *gaps_ms; i++) {
            assert_int_equal(bytes_with_gaps(12, at, gaps_ms[i], 0), 0);
            assert_int_equal(bytes_with_gaps(at + 1, at, gaps_ms[i], 0), 0);
        }
    assert_int_equal(bytes_with_gaps(12, 5, 1 << 24, 0), 48);
    assert_int_equal(bytes_with_gaps(12, 1, 1 << 24, 0), 48 + 64);
    assert_int_equal(bytes_with_gaps(12, 3, 20000, 5), 48);
    assert_int_equal(bytes_with_gaps(12, 3, 20000, 4), 48);
    assert_int_equal(bytes_with_gaps(12, 3, 1, 5), 48);
}

/* A count for each sample, NULL every now and then, at times that become uneven somewhere. */
static void open_histograms_read_back(void **state)
{
    (void)state;
    struct arena arena;
    struct buffer code;
    const struct histogram *back[300];
    buffer_init(&code, SIZE_MAX);
    arena_init(&arena, (size_t)1 << 24);
    for (int round = 0; round < 60; round++) {
        struct head head;
        struct histogram histogram;
        head_init(&head);
        histogram_init(&histogram);
        struct head_series *series = head_make(&head, 1);
        size_t count = 1 + (size_t)lrand48() % 300;
        fill(count, round % 64);
        assert_null(head_histograms(series));
        struct head_histograms *histograms = head_make_histograms(series);
        assert_ptr_equal(head_make_histograms(series), histograms);
        for (size_t i = 0; i < count; i++) {
            buffer_reset(&code);
            histogram_add(&histogram, values[i], 1);
            if (i % 7 == 5)
                histogram_code_append_stale(&code);
            else
                histogram_code_append(&code, &histogram, NULL);
            head_append_histogram(&head, series, times[i], buffer_slice(&code));
        }
        assert_ptr_equal(head_histograms(series), histograms);
        assert_int_equal(head.code_bytes, histograms->codes.len);
        head_times(series, 0, count, times_back);
        assert_memory_equal(times_back, times, count * sizeof *times);
        arena_reset(&arena);
        assert_true(head_read_histograms(series, 0, count, &arena, back));
        for (size_t i = 0; i < count; i++)
            assert_true(i % 7 == 5 ? !back[i] : back[i]->count == (double)i + 1);
        head_clear(&head, 1);
        assert_null(head_histograms(series));
        assert_int_equal(head_sample_bytes(&head), 0);
        histogram_release(&histogram);
        head_release(&head);
    }
    arena_release(&arena);
    buffer_release(&code);
}

static void what_is_staged_is_known_until_the_end(void **state)
{
    (void)state;
    struct head head;
    head_init(&head);
    assert_null(head_staged(&head, 3));
    (void)head_make(&head, 3);
    head_stage(&head, 3, 0, 5);
    (void)head_make(&head, 5000); /* beyond what there was room for */
    head_stage(&head, 5000, 10, 6);
    head_stage(&head, 5000, 20, 7);
    assert_true(head_staged(&head, 3)->after_ms == 1 && head_staged(&head, 3)->bits == 5);
    assert_true(head_staged(&head, 5000)->after_ms == 21 && head_staged(&head, 5000)->bits == 7);
    assert_null(head_staged(&head, 4));
    assert_null(head_staged(&head, 1 << 30));
    head_end_staging(&head);
    assert_null(head_staged(&head, 3));
    head_stage(&head, 3, 1, 1); /* left by a batch that nobody ended */
    head_release(&head);
}

static void records_round_trip(void **state)
{
    (void)state;
    struct headlog_row rows[200];
    struct buffer record;
    struct headlog_reader reader;
    buffer_init(&record, SIZE_MAX);
    for (int round = 0; round < 300; round++) {
        size_t count = 1 + (size_t)lrand48() % 200;
        char codes[200];
        for (size_t i = 0; i < count; i++) {
            codes[i] = (char)lrand48();
            rows[i] = (struct headlog_row){
                .time_ms = 1700000000000 + lrand48() % 10,
                .bits = (uint64_t)mrand48() << (lrand48() % 40),
                .known = lrand48() % 2 ? (uint64_t)mrand48() : 0,
                .series = (uint32_t)lrand48(),
                .code_at = (uint32_t)i,
                .code_len = lrand48() % 5 == 0,
            };
            if (lrand48() % 3 == 0)
                rows[i].known = rows[i].bits;
        }
        buffer_reset(&record);
        struct headlog_rows all = {rows, count, slice_make(codes, count)};
        enum headlog_kind kind = lrand48() % 2 ? HEADLOG_SAMPLES : HEADLOG_LATE;
        headlog_append_samples(&record, kind, 1700000000123, &all);
        assert_int_equal(headlog_kind_of(buffer_slice(&record)), kind);
        assert_true(headlog_open(&reader, buffer_slice(&record)));
        assert_true(reader.count == count && reader.wall_ms == 1700000000123);
        for (size_t i = 0; i < count; i++) {
            uint64_t bits;
            struct slice code;
            assert_true(headlog_next(&reader, &bits, &code));
            assert_int_equal(reader.series[i], rows[i].series);
            assert_true(reader.times[i] == rows[i].time_ms);
            assert_int_equal(code.len, rows[i].code_len);
            assert_true(code.len ? code.at[0] == codes[i] : (bits ^ rows[i].known) == rows[i].bits);
        }
        headlog_release(&reader);
        record.at[record.len - 1] ^= 1;
        assert_false(headlog_open(&reader, buffer_slice(&record)));
        headlog_release(&reader);
    }
    uint32_t ids[] = {5, 1, 9};
    int64_t until[] = {100, TIME_MS_MAX, 0};
    buffer_reset(&record);
    headlog_append_sealed(&record, ids, until, 3);
    assert_int_equal(headlog_kind_of(buffer_slice(&record)), HEADLOG_SEALED);
    assert_true(headlog_open(&reader, buffer_slice(&record)));
    for (int i = 0; i < 3; i++)
        assert_true(reader.series[i] == ids[i] && reader.times[i] == until[i]);
    headlog_release(&reader);
    struct headlog_range ranges[] = {{7, 0, TIME_MS_MAX}, {3, 100, 100}};
    buffer_reset(&record);
    headlog_append_merged(&record, ranges, 2);
    assert_int_equal(headlog_kind_of(buffer_slice(&record)), HEADLOG_MERGED);
    assert_true(headlog_open(&reader, buffer_slice(&record)));
    for (int i = 0; i < 2; i++)
        assert_true(reader.series[i] == ranges[i].series && reader.times[i] == ranges[i].from_ms &&
                    reader.until[i] == ranges[i].until_ms);
    headlog_release(&reader);
    buffer_release(&record);
}

static void keys_sort_by_day_series_and_time(void **state)
{
    (void)state;
    static const struct chunk_key keys[] = {
        {0, 0, 0},   {0, 0, 86399999}, {0, 1, 0},       {1, 0, 5},
        {255, 7, 1}, {256, 0, 0},      {19675, 300, 9},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        struct chunk_key back;
        struct key_bytes key = key_of_chunk(keys[i]);
        assert_true(key_parse_chunk(key_slice(&key), &back));
        assert_memory_equal(&back, &keys[i], sizeof back);
        assert_true(partition_of(chunk_key_time(back)) == keys[i].partition);
        if (i) {
            struct key_bytes before = key_of_chunk(keys[i - 1]);
            assert_true(slice_compare(key_slice(&before), key_slice(&key)) < 0);
        }
        struct key_bytes low = key_of_chunks(keys[i].partition);
        struct key_bytes high = key_of_chunks(keys[i].partition + 1);
        assert_true(slice_compare(key_slice(&low), key_slice(&key)) < 0);
        assert_true(slice_compare(key_slice(&high), key_slice(&key)) > 0);
        assert_false(key_parse_chunk(slice_head(key_slice(&key), 12), &back));
    }
}

int main(void)
{
    srand48(6);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(open_samples_read_back),
        cmocka_unit_test(even_and_equal_samples_take_no_arrays),
        cmocka_unit_test(one_odd_gap_takes_nothing_beside_the_entry),
        cmocka_unit_test(open_histograms_read_back),
        cmocka_unit_test(what_is_staged_is_known_until_the_end),
        cmocka_unit_test(records_round_trip),
        cmocka_unit_test(keys_sort_by_day_series_and_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
