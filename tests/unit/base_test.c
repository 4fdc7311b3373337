/* base: slices, numbers, buffers, arena, table and queue. */
#include <endian.h>
#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "storage/base/alloc.h"
#include "storage/base/arena.h"
#include "storage/base/buffer.h"
#include "storage/base/error.h"
#include "storage/base/queue.h"
#include "storage/base/table.h"

static void reads_double(const char *text, double expected)
{
    double value = NAN;
    if (!slice_to_double(slice_of_string(text), &value) || value != expected)
        fail_msg("%s: got %g", text, value);
}

static void test_numbers(void **state)
{
    (void)state;
    double value;
    int64_t whole;
    static const char *const bad[] = {"",     "+",  ".",   "1e",    "nan",   "inf",
                                      "0x10", "1 ", "--1", "1e999", "1.2.3", "1_0"};
    reads_double("0", 0);
    reads_double("-0.5", -0.5);
    reads_double("+3.25", 3.25);
    reads_double(".5", 0.5);
    reads_double("5.", 5);
    reads_double("1e3", 1000);
    reads_double("0.1", 0.1);
    reads_double("123456789012345678", 123456789012345678.0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        if (slice_to_double(slice_of_string(bad[i]), &value))
            fail_msg("accepted \"%s\"", bad[i]);
    assert_true(slice_to_i64(SLICE("-9223372036854775807"), &whole));
    assert_false(slice_to_i64(SLICE("9223372036854775808"), &whole));
    for (int i = 0; i < 20000; i++) {
        char text[64];
        double sent = ldexp((double)rand() * (rand() % 2 ? 1 : -1), rand() % 120 - 60);
        snprintf(text, sizeof text, "%.*g", rand() % 17 + 1, sent);
        reads_double(text, strtod(text, NULL));
    }
}

static void test_durations(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } rows[] = {
        {"0", 0}, {"250ms", 250}, {"1h30m", 5400000}, {"30d", 2592000000}, {"1y", 31536000000}};
    static const char *const bad[] = {"", "10", "s", "5x", "-1s", "1.5s", "10s "};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t ms = -1;
        assert_true(slice_to_duration_ms(slice_of_string(rows[i].text), &ms));
        assert_int_equal(ms, rows[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int64_t ms;
        assert_false(slice_to_duration_ms(slice_of_string(bad[i]), &ms));
    }
}

static void test_buffer_codecs(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 127, 128, 300, UINT32_MAX, UINT64_MAX, 1ull << 63};
    struct buffer buffer;
    buffer_init(&buffer, 4096);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        buffer_append_varint(&buffer, values[i]);
        buffer_append_varint_signed(&buffer, -(int64_t)(values[i] >> 1));
        uint64_t value_be = htobe64(values[i]);
        uint32_t low_be = htobe32((uint32_t)values[i]);
        buffer_append(&buffer, &value_be, sizeof value_be);
        buffer_append_u64le(&buffer, values[i]);
        buffer_append(&buffer, &low_be, sizeof low_be);
        buffer_append_u32le(&buffer, (uint32_t)values[i]);
    }
    struct slice rest = buffer_slice(&buffer);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        uint64_t u, be, le;
        int64_t s;
        uint32_t be32, le32;
        assert_true(bytes_cut_varint(&rest, &u) && u == values[i]);
        assert_true(bytes_cut_varint_signed(&rest, &s) && s == -(int64_t)(values[i] >> 1));
        assert_true(bytes_cut_u64be(&rest, &be) && be == values[i]);
        assert_true(bytes_cut_u64le(&rest, &le) && le == values[i]);
        assert_true(bytes_cut_u32be(&rest, &be32) && be32 == (uint32_t)values[i]);
        assert_true(bytes_cut_u32le(&rest, &le32) && le32 == (uint32_t)values[i]);
    }
    assert_int_equal(rest.len, 0);
    uint64_t none;
    rest = SLICE("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");
    assert_false(bytes_cut_varint(&rest, &none));
    buffer_release(&buffer);
}

/* Each length, with any number of any bytes behind it, and cut off. */
static void test_varints_of_each_length(void **state)
{
    (void)state;
    struct buffer buffer;
    buffer_init(&buffer, 64);
    for (unsigned bits = 0; bits <= 64; bits++)
        for (size_t behind = 0; behind < 12; behind++)
            for (unsigned fill = 0; fill <= 0xff; fill += fill ? 0x80 : 0x7f) {
                uint64_t value = bits ? 0xa5a5a5a5a5a5a5a5 >> (64 - bits) : 0, got;
                buffer_reset(&buffer);
                buffer_append_varint(&buffer, value);
                size_t len = buffer.len;
                for (size_t i = 0; i < behind; i++)
                    buffer_append_u8(&buffer, (uint8_t)fill);
                struct slice rest = buffer_slice(&buffer), cut = slice_head(rest, len - 1);
                assert_true(bytes_cut_varint(&rest, &got) && got == value);
                assert_int_equal(rest.len, behind);
                assert_false(bytes_cut_varint(&cut, &got));
            }
    buffer_release(&buffer);
}

static void test_limits_hold(void **state)
{
    (void)state;
    struct buffer buffer;
    struct arena arena;
    buffer_init(&buffer, 8);
    buffer_append_string(&buffer, "12345678");
    assert_false(buffer.overflow);
    buffer_append_char(&buffer, '9');
    assert_true(buffer.overflow);
    assert_int_equal(buffer.len, 8);
    buffer_release(&buffer);
    buffer_init(&buffer, 300); /* less than twice what it begins with */
    for (size_t i = 0; i < 301; i++) {
        assert_true(buffer.overflow == false && buffer.len == i);
        buffer_append_char(&buffer, 'x');
    }
    assert_true(buffer.overflow);
    buffer_release(&buffer);
    buffer_init(&buffer, 0);
    assert_non_null(buffer_reserve(&buffer, 0));
    buffer_append_char(&buffer, 'x');
    assert_true(buffer.overflow);
    buffer_release(&buffer);
    arena_init(&arena, 10000);
    assert_non_null(arena_alloc(&arena, 9000));
    assert_null(arena_alloc(&arena, 2000));
    assert_true(arena.exhausted);
    arena_reset(&arena);
    assert_non_null(arena_alloc(&arena, 2000));
    arena_release(&arena);
}

/* What is given back is handed out next, and counts as free. */
static void test_arena_shrink(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 10000);
    char *at = arena_alloc(&arena, 9000);
    assert_non_null(at);
    arena_shrink(&arena, at, 9000, 100);
    assert_int_equal(arena.used, 112);
    assert_ptr_equal(arena_alloc(&arena, 8000), at + 112);
    at = arena_alloc(&arena, 0);
    arena_shrink(&arena, at, 0, 0);
    assert_ptr_equal(arena_alloc(&arena, 1), at + 16);
    arena_release(&arena);
}

/* Random inserts and removes against an array of flags. */
static void test_table_against_model(void **state)
{
    (void)state;
    enum { KEYS = 500 };
    bool present[KEYS] = {false};
    struct table table;
    table_init(&table, KEYS);
    for (int step = 0; step < 50000; step++) {
        char text[16];
        int key = rand() % KEYS;
        snprintf(text, sizeof text, "k%d", key);
        if (rand() % 2) {
            bool fresh;
            struct table_entry *entry = table_insert(&table, slice_of_string(text), &fresh);
            assert_non_null(entry);
            assert_int_equal(fresh, !present[key]);
            entry->value.number = (uint64_t)key;
            present[key] = true;
        } else {
            assert_int_equal(table_remove(&table, slice_of_string(text), NULL), present[key]);
            present[key] = false;
        }
    }
    size_t count = 0, cursor = 0;
    for (struct table_entry *entry; (entry = table_next(&table, &cursor)); count++)
        assert_true(present[entry->value.number]);
    assert_int_equal(count, table.count);
    for (int key = 0; key < KEYS; key++) {
        char text[16];
        snprintf(text, sizeof text, "k%d", key);
        assert_int_equal(table_find(&table, slice_of_string(text)) != NULL, present[key]);
    }
    table_release(&table);
}

#define QUEUE_ITEMS 20000

static void *produce(void *arg)
{
    static char item;
    for (int i = 0; i < QUEUE_ITEMS; i++)
        if (queue_push(arg, &item))
            return NULL;
    return NULL;
}

static void test_queue(void **state)
{
    (void)state;
    struct queue *queue = queue_new(7, NULL, NULL);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, produce, queue), 0);
    for (int i = 0; i < 2 * QUEUE_ITEMS; i++)
        assert_non_null(queue_pop(queue));
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_null(queue_try_pop(queue));
    assert_null(queue_pop_timeout(queue, 1));
    queue_close(queue);
    assert_int_equal(queue_push(queue, &queue), -1);
    assert_null(queue_pop(queue));
    queue_free(queue);
}

/* Now patient, now not, until the queue is closed. */
static void *consume(void *arg)
{
    uintptr_t got = 0;
    for (int i = 0; !queue_is_closed(arg); i++)
        got += (i % 3 ? queue_pop_timeout(arg, i % 3 - 1) : queue_pop(arg)) != NULL;
    while (queue_try_pop(arg))
        got++;
    return (void *)got; /* NOLINT(performance-no-int-to-ptr) */
}

static void test_queue_of_many(void **state)
{
    (void)state;
    struct queue *queue = queue_new(3, NULL, NULL);
    pthread_t producers[2], consumers[5];
    uintptr_t total = 0;
    for (int i = 0; i < 5; i++)
        assert_int_equal(pthread_create(&consumers[i], NULL, consume, queue), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&producers[i], NULL, produce, queue), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(producers[i], NULL);
    queue_close(queue);
    for (int i = 0; i < 5; i++) {
        void *got;
        pthread_join(consumers[i], &got);
        total += (uintptr_t)got;
    }
    assert_int_equal(total, 2 * QUEUE_ITEMS);
    queue_free(queue);
}

static void test_error_wraps(void **state)
{
    (void)state;
    struct error err = {0};
    error_set(&err, ERROR_BAD_DATA, "no %s", "colon");
    error_wrap(&err, "line %d", 3);
    assert_string_equal(err.text, "line 3: no colon");
    assert_int_equal(err.kind, ERROR_BAD_DATA);
}

static size_t distance(const char *a, const char *b)
{
    return slice_distance(slice_of_string(a), slice_of_string(b));
}

static void distances_count_edits(void **state)
{
    (void)state;
    char text[SLICE_DISTANCE_MAX + 1] = {0};
    memset(text, 'a', SLICE_DISTANCE_MAX - 1);
    assert_int_equal(distance("", ""), 0);
    assert_int_equal(distance("", "abc"), 3);
    assert_int_equal(distance("kitten", "sitting"), 3);
    assert_int_equal(distance("retention", "retentoin"), 2);
    assert_int_equal(distance(text, ""), SLICE_DISTANCE_MAX - 1);
    text[SLICE_DISTANCE_MAX - 1] = 'a';
    assert_int_equal(distance(text, text), SLICE_DISTANCE_MAX);
}

/* Sanitizers have allocators of their own. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define HEAP_TOUCHED ((size_t)1 << 20)

static long faults(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_minflt;
}

/* As the daemon's allocator is told to. */
static void *allocate_what_was_touched(void *arg)
{
    long *taken = arg;
    alloc_touch(HEAP_TOUCHED);
    long before = faults();
    char *at = alloc_resize(NULL, HEAP_TOUCHED / 2, 1);
    memset(at, 1, HEAP_TOUCHED / 2);
    *taken = faults() - before;
    assert_int_equal(at[HEAP_TOUCHED / 4], 1);
    free(at);
    return NULL;
}

static void test_touched_heap_has_no_faults(void **state)
{
    (void)state;
    pthread_t thread;
    long taken = 0;
    mallopt(M_TRIM_THRESHOLD, 16 << 20);
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
    allocate_what_was_touched(&taken);
    assert_true(taken < 16); /* of 128 pages */
    assert_int_equal(pthread_create(&thread, NULL, allocate_what_was_touched, &taken), 0);
    pthread_join(thread, NULL);
    assert_true(taken < 16);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_buffer_codecs),
        cmocka_unit_test(test_varints_of_each_length),
        cmocka_unit_test(test_limits_hold),
        cmocka_unit_test(test_arena_shrink),
        cmocka_unit_test(test_table_against_model),
        cmocka_unit_test(test_queue),
        cmocka_unit_test(test_queue_of_many),
        cmocka_unit_test(test_error_wraps),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
        cmocka_unit_test(test_touched_heap_has_no_faults),
#endif
        cmocka_unit_test(distances_count_edits),
    };
    return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
