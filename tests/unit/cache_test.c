/* cache: bounds, the order of leaving, copies, texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "query/cache.h"

#define ARENA_BYTES ((size_t)64 << 20)

static struct slice key_of(int i, char text[16])
{
    snprintf(text, 16, "key-%d", i);
    return slice_of_string(text);
}

static void put_numbered(struct result_cache *cache, int i, size_t points)
{
    char text[16];
    int64_t times[1000];
    double values[1000];
    for (size_t k = 0; k < points; k++) {
        times[k] = (int64_t)k * 10;
        values[k] = i + (double)k;
    }
    struct promql_series series = {.count = points, .times = times, .values = values};
    struct promql_result result = {.type = VALUE_MATRIX, .series = &series, .count = 1};
    struct cached_facts facts = {.change = (uint64_t)i, .last_ms = (int64_t)points * 10};
    result_cache_put(cache, key_of(i, text), &facts, &result);
}

static void test_bounds(void **state)
{
    (void)state;
    struct result_cache *cache = result_cache_new((size_t)100 << 10);
    struct cached_facts facts;
    struct promql_result result;
    struct arena arena;
    char text[16];
    int kept = 0;
    arena_init(&arena, ARENA_BYTES);
    for (int i = 0; i < 100; i++) {
        put_numbered(cache, i, 500);
        if (i && result_cache_find(cache, key_of(0, text), &facts)) /* used, so it stays */
            assert_true(result_cache_copy(cache, key_of(0, text), &facts, &arena, &result));
    }
    for (int i = 0; i < 100; i++) {
        bool found = result_cache_find(cache, key_of(i, text), &facts);
        assert_true(!found || facts.change == (uint64_t)i);
        assert_true(found || (i > 0 && i < 99));
        kept += found;
    }
    assert_in_range(kept, 5, 13); /* of 8 KB each */
    put_numbered(cache, 7, 1000);
    put_numbered(cache, 8, 1000);
    assert_true(result_cache_find(cache, key_of(7, text), &facts));
    facts.first_ms = 55;
    facts.last_ms = 80;
    assert_true(result_cache_copy(cache, key_of(7, text), &facts, &arena, &result));
    assert_int_equal(result.series[0].count, 3);
    assert_int_equal(result.series[0].times[0], 60);
    assert_true(result.series[0].values[2] == 15);
    facts.id++; /* another one has taken its place */
    assert_false(result_cache_copy(cache, key_of(7, text), &facts, &arena, &result));
    result_cache_free(cache);
    cache = result_cache_new(10000);
    put_numbered(cache, 1, 1000);
    assert_false(result_cache_find(cache, key_of(1, text), &facts));
    result_cache_free(cache);
    assert_null(result_cache_new(0));
    arena_release(&arena);
}

static void test_texts(void **state)
{
    (void)state;
    struct result_cache *cache = result_cache_new((size_t)100 << 10);
    struct cached_facts facts, again;
    struct buffer out;
    char text[16], large[20000];
    memset(large, 'x', sizeof large);
    struct slice key = key_of(1, text);
    buffer_init(&out, sizeof large);
    put_numbered(cache, 1, 100);
    assert_true(result_cache_find(cache, key, &facts));
    assert_false(facts.has_text);
    assert_false(result_cache_copy_text(cache, key, facts.id, &out));
    result_cache_put_text(cache, key, facts.id + 1, SLICE("of another entry"));
    assert_false(result_cache_copy_text(cache, key, facts.id, &out));
    result_cache_put_text(cache, key, facts.id, slice_make(large, sizeof large));
    result_cache_put_text(cache, key, facts.id, SLICE("too late"));
    assert_true(result_cache_find(cache, key, &facts) && facts.has_text);
    assert_true(result_cache_copy_text(cache, key, facts.id, &out));
    assert_true(slice_equal(buffer_slice(&out), slice_make(large, sizeof large)));
    put_numbered(cache, 1, 100); /* its text goes with it */
    assert_false(result_cache_copy_text(cache, key, facts.id, &out));
    assert_true(result_cache_find(cache, key, &again) && !again.has_text && again.id != facts.id);
    put_numbered(cache, 1, 600); /* 10 KB, which leave no room for the text in a quarter of 100 */
    assert_true(result_cache_find(cache, key, &facts));
    result_cache_put_text(cache, key, facts.id, slice_make(large, sizeof large));
    assert_false(result_cache_copy_text(cache, key, facts.id, &out));
    buffer_release(&out);
    result_cache_free(cache);
}

/* Texts take the room of others. */
static void test_texts_are_counted(void **state)
{
    (void)state;
    struct result_cache *cache = result_cache_new((size_t)100 << 10);
    struct cached_facts facts;
    char text[16], large[15000];
    int kept = 0;
    memset(large, 'x', sizeof large);
    for (int i = 0; i < 20; i++) {
        put_numbered(cache, i, 10);
        assert_true(result_cache_find(cache, key_of(i, text), &facts));
        result_cache_put_text(cache, key_of(i, text), facts.id, slice_make(large, sizeof large));
    }
    for (int i = 0; i < 20; i++)
        kept += result_cache_find(cache, key_of(i, text), &facts);
    assert_in_range(kept, 4, 6);
    assert_true(result_cache_find(cache, key_of(19, text), &facts) && facts.has_text);
    result_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_texts_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
