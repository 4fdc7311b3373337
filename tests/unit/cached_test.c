/* cached: answers through the cache are those without it, whatever is written, deleted or dropped
 * meanwhile.
 *
 * Samples are whole numbers, so that no sum depends on the order of its parts.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "query/cached.h"
#include "query/parse.h"
#include "storage/base/log.h"
#include "storage/base/metric.h"
#include "tests/unit/store_fixture.h"

#define ARENA_BYTES ((size_t)64 << 20)
#define HOUR_MS     INT64_C(3600000)
#define DAY_MS      (24 * HOUR_MS)
#define TICK_MS     INT64_C(30000)
#define GAUGES      4
#define ROUNDS      1200

struct world {
    struct store *store;
    struct store_batch *batch;
    struct result_cache *cache;
    int64_t now_ms;
    uint32_t gauges[GAUGES], counter, timer;
    int64_t total;
    struct histogram histogram;
};

static int64_t below(int64_t n)
{
    return (int64_t)(((uint64_t)rand() << 31 | (uint64_t)rand()) % (uint64_t)n);
}

/* --- comparing --- */

/* Empty ones may be there or not. */
static size_t count_buckets(const struct histogram *histogram)
{
    size_t count = 0;
    for (size_t i = 0; i < histogram->positive.count; i++)
        count += histogram->positive.at[i].count != 0;
    return count;
}

static void print_result(const struct promql_result *result, struct buffer *out)
{
    for (size_t i = 0; i < result->count; i++) {
        const struct promql_series *series = &result->series[i];
        labels_print(series->labels, out);
        for (size_t k = 0; k < series->count; k++) {
            buffer_append_format(out, " %lld:", (long long)series->times[k]);
            if (series->values)
                buffer_append_format(out, "%.12g", series->values[k]);
            else
                buffer_append_format(out, "h(%.12g,%.12g,%zu)", series->histograms[k]->count,
                                     series->histograms[k]->sum,
                                     count_buckets(series->histograms[k]));
        }
        buffer_append_char(out, '\n');
    }
    for (size_t i = 0; i < result->warning_count; i++)
        buffer_append_format(out, "warning " SLICE_FMT "\n", SLICE_ARG(result->warnings[i]));
    for (size_t i = 0; i < result->info_count; i++) /* what was kept may have been read elsewhere */
        if (!slice_starts_with(result->infos[i], SLICE("read from rollups")))
            buffer_append_format(out, "info " SLICE_FMT "\n", SLICE_ARG(result->infos[i]));
}

static void print_and_keep(const struct promql_request *request, const struct promql_result *result,
                           struct buffer *out)
{
    print_result(result, out);
    cached_keep_text(request, result, buffer_slice(out));
}

static atomic_int texts; /* answers that were there as text */
static atomic_uint asked;

/* Every other time as the thread asks that must not wait. */
static bool is_known(struct store *store, const struct promql_request *request, struct buffer *out)
{
    if (atomic_fetch_add(&asked, 1) / 2 % 2)
        return cached_text(store, request, out);
    return cached_text_at_once(store, request, SIZE_MAX, out);
}

static void answer(struct world *world, struct result_cache *cache, struct promql_request request,
                   const char *query, struct buffer *out)
{
    struct arena arena;
    struct error err;
    struct plan *plan = NULL;
    struct promql_result result;
    arena_init(&arena, ARENA_BYTES);
    if (parse_promql(slice_of_string(query), &arena, &plan, &err) != 0)
        fail_msg("%s: %s", query, err.text);
    request.plan = plan;
    request.text = slice_of_string(query);
    request.cache = cache;
    if (is_known(world->store, &request, out))
        atomic_fetch_add(&texts, 1);
    else if (cached_run(world->store, &request, &arena, &result, &err) != 0)
        buffer_append_format(out, "error %s", err.text);
    else
        print_and_keep(&request, &result, out);
    plan_release(plan);
    arena_release(&arena);
}

/* Where samples have left, it depends on the range which summaries a query reads; so do its infos, and what is
 * approximate. */
static bool is_approximate(struct slice answer)
{
    return memmem(answer.at, answer.len, "samples of the range have left", 30) != NULL;
}

static void compare(struct world *world, struct promql_request request, const char *query)
{
    struct buffer with, without;
    buffer_init(&with, 1 << 24);
    buffer_init(&without, 1 << 24);
    answer(world, world->cache, request, query, &with);
    answer(world, NULL, request, query, &without);
    buffer_append(&with, "", 1);
    buffer_append(&without, "", 1);
    size_t same = 0;
    while (same < with.len && same < without.len && with.at[same] == without.at[same])
        same++;
    if ((same < with.len || same < without.len) && !is_approximate(buffer_slice(&without)))
        fail_msg("%s [%lld, %lld] by %lld, from byte %zu\ncached %.200s\nnot    %.200s", query,
                 (long long)request.start_ms, (long long)request.end_ms, (long long)request.step_ms,
                 same, with.at + same, without.at + same);
    buffer_release(&with);
    buffer_release(&without);
}

/* --- figures --- */

struct outcomes {
    int64_t of[CACHE_OUTCOME_COUNT];
};

static void add_outcome(const struct metric *metric, void *arg)
{
    static const char *const names[] = {"result=\"hit\"", "result=\"part\"", "result=\"miss\""};
    struct outcomes *outcomes = arg;
    for (int i = 0; i < CACHE_OUTCOME_COUNT; i++)
        if (strcmp(metric->name, "lapwing_query_cache_queries_total") == 0 &&
            strcmp(metric->labels, names[i]) == 0)
            outcomes->of[i] = (int64_t)metric_value(metric);
}

/* --- changes --- */

static void must(int status, const struct error *err)
{
    if (status < 0)
        fail_msg("%s", err->text);
}

static void put_all(struct world *world, int64_t time_ms)
{
    for (int i = 0; i < GAUGES; i++)
        if (below(10))
            store_batch_value(world->batch, world->gauges[i], time_ms,
                              below(60) ? (double)below(100) : stale_nan());
    world->total += below(50);
    store_batch_value(world->batch, world->counter, time_ms, (double)world->total);
    histogram_add(&world->histogram, (double)(1 + below(100)), 1);
    store_batch_histogram(world->batch, world->timer, time_ms, &world->histogram);
}

static void tick(struct world *world)
{
    world->now_ms += TICK_MS;
    clock_set_ms(world->now_ms);
    put_all(world, world->now_ms);
    commit(world->store, world->batch);
}

static void write_late(struct world *world)
{
    int64_t time_ms = world->now_ms - below(below(2) ? 2 * HOUR_MS : 3 * DAY_MS);
    for (int64_t n = 1 + below(4); n--;)
        store_batch_value(world->batch, world->gauges[below(GAUGES)], time_ms + n * 1000,
                          (double)below(100));
    commit(world->store, world->batch);
}

/* A run so long that it becomes chunks at once. */
static void write_bulk(struct world *world)
{
    int64_t time_ms = world->now_ms - below(2 * DAY_MS) - HOUR_MS;
    uint32_t series = world->gauges[below(GAUGES)];
    for (int i = 0; i < 150; i++)
        store_batch_value(world->batch, series, time_ms + i * 7000, (double)below(100));
    commit(world->store, world->batch);
}

static void delete_some(struct world *world)
{
    struct error err;
    struct matcher matchers[] = {
        {.name = SLICE_LIT("job"), .type = MATCH_EQUAL, .value = SLICE("even")}};
    int64_t start_ms = world->now_ms - below(2 * DAY_MS);
    struct store_query query = {.matchers = matchers,
                                .matcher_count = 1,
                                .start_ms = start_ms,
                                .end_ms = start_ms + below(3 * HOUR_MS)};
    must(store_delete_series(world->store, &query, 1, &err), &err);
}

static void maintain(struct world *world)
{
    struct error err;
    for (int i = 0; i < 3; i++)
        must(store_maintain(world->store, world->now_ms, &err), &err);
}

/* Days end, buckets are made, samples leave. */
static void pass_time(struct world *world)
{
    world->now_ms += below(DAY_MS);
    tick(world);
    for (int i = 0; i < 4; i++, world->now_ms += 61000) {
        clock_set_ms(world->now_ms);
        maintain(world);
    }
}

static void change(struct world *world)
{
    int64_t what = below(100);
    if (what < 75)
        tick(world);
    else if (what < 85)
        write_late(world);
    else if (what < 88)
        write_bulk(world);
    else if (what < 91)
        delete_some(world);
    else if (what < 98)
        maintain(world);
    else
        pass_time(world);
}

/* --- questions --- */

static const char *const queries[] = {
    "g",
    "sum by (job) (g)",
    "increase(c_total[10m])",
    "max_over_time(g[1h])",
    "sum_over_time(g[5m]) > 100",
    "g offset 30m",
    "g offset -10m",
    "max_over_time(sum(g)[20m:2m] offset -3m)",
    "count_over_time(g[30m:1m]) - count_over_time(g[30m:1m] offset 1h)",
    "topk(2, g)",
    "t",
    "histogram_count(increase(t[15m]))",
    "g or t",
    "absent(g{i=\"1\"})",
    "sum(g @ 1700000600)",
    "g - g @ end()",
    "g - scalar(g{i=\"2\"} @ start())",
    "count(last_over_time(g[10m] @ 1700090000 offset -5m)) + time()",
    "vector(time())",
    "scalar(g{i=\"3\"})",
    "g[3m]", /* samples, when asked for an instant */
    "topk(2, g) or bottomk(1, g offset 1h)",
    "sort_desc(g)",
    "max(t)",                                             /* with an info */
    "quantile(2, g)",                                     /* with a warning */
    "label_replace(g, \"i\", \"$1\", \"job\", \"(.*)\")", /* fails where two series meet */
};

#define QUERIES ((int64_t)(sizeof queries / sizeof *queries))

/* A board asks the same for a while: three queries at one step. */
struct board {
    int64_t first, step_ms, phase_ms, steps;
};

static struct board choose_board(void)
{
    static const int64_t steps[] = {15000, 60000, HOUR_MS / 2, HOUR_MS};
    int64_t step = steps[below(4)];
    return (struct board){below(QUERIES), step, below(4) ? 0 : step / 3, 30 + below(60)};
}

static void ask(struct world *world, const struct board *board)
{
    int64_t step = board->step_ms, steps = board->steps;
    int64_t end = world->now_ms / step * step + board->phase_ms;
    if (below(4) == 0)
        end -= below(steps) * step;
    if (below(4) == 0)
        steps = 1 + below(2 * steps);
    struct promql_request request = {.start_ms = end - (steps - 1) * step,
                                     .end_ms = end + below(2),
                                     .step_ms = step,
                                     .lookback_ms = below(10) ? 0 : 600000};
    compare(world, request, queries[(board->first + below(3)) % QUERIES]);
}

/* The same board with tables: a few times, again and again. */
static void ask_instant(struct world *world, const struct board *board)
{
    int64_t step = board->step_ms;
    int64_t time_ms = (world->now_ms / step - below(3)) * step + board->phase_ms;
    struct promql_request request = {
        .start_ms = time_ms, .end_ms = time_ms, .lookback_ms = below(20) ? 0 : 600000};
    for (int64_t n = 1 + below(3); n--;)
        compare(world, request, queries[(board->first + below(3)) % QUERIES]);
}

static void open_world(struct world *world, size_t cache_bytes)
{
    *world = (struct world){.now_ms = START_MS};
    world->store = open_with((struct store_options){.chunk_samples = 30});
    world->batch = store_batch_new(world->store);
    world->cache = result_cache_new(cache_bytes);
    for (int i = 0; i < GAUGES; i++)
        world->gauges[i] = intern(world->batch, "g", i, SERIES_GAUGE);
    world->counter = intern(world->batch, "c_total", 0, SERIES_COUNTER);
    world->timer = intern(world->batch, "t", 0, SERIES_HISTOGRAM);
    histogram_init(&world->histogram);
}

static void close_world(struct world *world)
{
    histogram_release(&world->histogram);
    result_cache_free(world->cache);
    store_batch_free(world->batch);
    store_close(world->store);
}

static void print_outcomes(void)
{
    struct outcomes all = {{0}};
    metric_each(add_outcome, &all);
    print_message("hit %lld, part %lld, miss %lld\n", (long long)all.of[CACHE_HIT],
                  (long long)all.of[CACHE_PART], (long long)all.of[CACHE_MISS]);
    assert_true(all.of[CACHE_HIT] > 500 && all.of[CACHE_PART] > 500);
}

static void run_world(const struct store_retention *retention)
{
    struct world world;
    struct board board;
    struct error err;
    open_world(&world, (size_t)1 << 20);
    must(store_set_retention(world.store, retention, &err), &err);
    for (int i = 0; i < 100; i++)
        tick(&world);
    for (int round = 0; round < ROUNDS; round++) {
        if (round % 20 == 0)
            board = choose_board();
        for (int64_t n = below(4); n--;)
            change(&world);
        for (int n = 0; n < 6; n++)
            if (below(3))
                ask(&world, &board);
            else
                ask_instant(&world, &board);
    }
    print_outcomes();
    assert_true(atomic_exchange(&texts, 0) > 100);
    close_world(&world);
}

static void test_same_as_without(void **state)
{
    (void)state;
    struct store_retention retention = {.ms = {2 * DAY_MS, 3 * DAY_MS, 5 * DAY_MS}};
    log_set_level(LOG_WARN);
    srand(2026);
    run_world(&retention);
}

/* Samples leave with their buckets. */
static void test_samples_leave(void **state)
{
    (void)state;
    struct store_retention retention = {.ms = {DAY_MS, DAY_MS, DAY_MS}};
    srand(2027);
    run_world(&retention);
}

/* --- when it is used --- */

static enum cache_outcome outcome_of(struct world *world, struct promql_request request,
                                     const char *query)
{
    struct outcomes before = {{0}}, after = {{0}};
    metric_each(add_outcome, &before);
    compare(world, request, query);
    metric_each(add_outcome, &after);
    for (int i = 0; i < CACHE_OUTCOME_COUNT; i++)
        if (after.of[i] != before.of[i])
            return (enum cache_outcome)i;
    return CACHE_OUTCOME_COUNT; /* not a query for the cache */
}

static void test_outcomes(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, (size_t)1 << 20);
    for (int i = 0; i < 200; i++)
        tick(&world);
    int64_t end = world.now_ms / 60000 * 60000;
    struct promql_request hour = {.start_ms = end - HOUR_MS, .end_ms = end, .step_ms = 60000};
    struct promql_request later = {
        .start_ms = hour.start_ms + 60000, .end_ms = end + 60000, .step_ms = 60000};
    struct promql_request past = {
        .start_ms = hour.start_ms, .end_ms = end - 10 * 60000, .step_ms = 60000};
    assert_int_equal(outcome_of(&world, hour, "sum(g)"), CACHE_MISS);
    assert_int_equal(outcome_of(&world, hour, "sum(g)"), CACHE_HIT);
    assert_int_equal(outcome_of(&world, hour, "sum ( g )"), CACHE_MISS); /* positions differ */
    assert_int_equal(outcome_of(&world, hour, "sum(t)"), CACHE_MISS);
    tick(&world);
    tick(&world);
    assert_int_equal(outcome_of(&world, later, "sum(g)"), CACHE_PART);
    assert_int_equal(outcome_of(&world, later, "sum(g)"), CACHE_HIT);
    tick(&world);
    assert_int_equal(outcome_of(&world, past, "sum(g)"), CACHE_PART); /* the first step is new */
    assert_int_equal(outcome_of(&world, later, "g @ end()"), CACHE_OUTCOME_COUNT);
    assert_int_equal(outcome_of(&world, later, "g @ 1700000000"), CACHE_MISS);
    tick(&world);
    assert_int_equal(outcome_of(&world, later, "g @ 1700000000"), CACHE_HIT);
    store_batch_value(world.batch, world.gauges[0], 1699999000000, 5); /* earlier than all */
    commit(world.store, world.batch);
    assert_int_equal(outcome_of(&world, past, "sum(g)"), CACHE_MISS);
    assert_int_equal(outcome_of(&world, later, "g @ 1700000000"), CACHE_MISS);
    /* With infos only the very same range, with warnings none. */
    assert_int_equal(outcome_of(&world, past, "max(t)"), CACHE_MISS);
    assert_int_equal(outcome_of(&world, past, "max(t)"), CACHE_HIT);
    past.start_ms += 60000;
    assert_int_equal(outcome_of(&world, past, "max(t)"), CACHE_MISS);
    assert_int_equal(outcome_of(&world, past, "quantile(2, g)"), CACHE_MISS);
    assert_int_equal(outcome_of(&world, past, "quantile(2, g)"), CACHE_MISS);
    close_world(&world);
}

static void test_instant(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, (size_t)1 << 20);
    for (int i = 0; i < 200; i++)
        tick(&world);
    struct promql_request now = {.start_ms = world.now_ms, .end_ms = world.now_ms};
    struct promql_request past = {.start_ms = world.now_ms - 60000, .end_ms = world.now_ms - 60000};
    static const char *const kept[] = {"sum(g)",
                                       "g @ end()",
                                       "max_over_time(g[5m])",
                                       "max(t)",
                                       "sum_over_time((g @ start())[5m:1m] @ 1700000600)",
                                       "scalar(g{i=\"3\"})"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        assert_int_equal(outcome_of(&world, past, kept[i]), CACHE_MISS);
        assert_int_equal(outcome_of(&world, past, kept[i]), CACHE_HIT);
        assert_int_equal(outcome_of(&world, now, kept[i]), CACHE_MISS); /* another time */
        assert_int_equal(outcome_of(&world, past, kept[i]), CACHE_MISS);
    }
    tick(&world);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        assert_int_equal(outcome_of(&world, past, kept[i]), CACHE_HIT);
    assert_int_equal(outcome_of(&world, past, "sum(g offset -1m)"), CACHE_MISS);
    assert_int_equal(outcome_of(&world, past, "sum(g offset -1m)"), CACHE_HIT);
    store_batch_value(world.batch, world.gauges[0], now.start_ms, 5);
    commit(world.store, world.batch);
    assert_int_equal(outcome_of(&world, past, "sum(g)"), CACHE_HIT);
    assert_int_equal(outcome_of(&world, past, "sum(g offset -1m)"), CACHE_MISS);
    store_batch_value(world.batch, world.gauges[0], past.start_ms, 5);
    commit(world.store, world.batch);
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        assert_int_equal(outcome_of(&world, past, kept[i]), CACHE_MISS);
    static const char *const others[] = {"g[3m]", "1 + time()", "\"text\"", "vector(1)"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_int_equal(outcome_of(&world, past, others[i]), CACHE_OUTCOME_COUNT);
    close_world(&world);
}

/* The third time of the same, and only that, is answered with the text of the second. */
static void test_text(void **state)
{
    (void)state;
    struct world world;
    open_world(&world, (size_t)1 << 20);
    for (int i = 0; i < 200; i++)
        tick(&world);
    int64_t end = world.now_ms / 60000 * 60000 - 60000;
    struct promql_request hour = {.start_ms = end - HOUR_MS, .end_ms = end, .step_ms = 60000};
    struct promql_request part = {.start_ms = end - HOUR_MS / 2, .end_ms = end, .step_ms = 60000};
    static const int expected[] = {0, 0, 1, 2};
    atomic_store(&texts, 0);
    for (int i = 0; i < 4; i++) {
        compare(&world, hour, "max(t) + on() sum(g)");
        assert_int_equal(atomic_load(&texts), expected[i]);
    }
    compare(&world, hour, "max( t ) + on() sum(g)"); /* the info is about another place */
    for (int i = 0; i < 4; i++)
        compare(&world, part, "sum(g)");
    assert_int_equal(atomic_load(&texts), 4);
    store_batch_value(world.batch, world.gauges[0], end, 5000);
    commit(world.store, world.batch);
    for (int i = 0; i < 3; i++)
        compare(&world, part, "sum(g)");
    assert_int_equal(atomic_load(&texts), 5);
    struct buffer out;
    buffer_init(&out, 1 << 20);
    buffer_append_string(&out, "before ");
    part.text = SLICE("sum(g)");
    part.cache = world.cache;
    assert_false(cached_text_at_once(world.store, &part, 10, &out));
    assert_int_equal(out.len, 7);
    assert_true(cached_text_at_once(world.store, &part, 1 << 20, &out));
    store_batch_value(world.batch, world.gauges[0], end, 5001);
    commit(world.store, world.batch);
    size_t len = out.len;
    assert_false(cached_text_at_once(world.store, &part, 1 << 20, &out));
    assert_int_equal(out.len, len);
    buffer_release(&out);
    close_world(&world);
}

/* --- threads --- */

static void *ask_for_long(void *arg)
{
    struct world *world = arg;
    for (int i = 0; i < 300; i++) {
        struct promql_request request = {.start_ms = START_MS + i % 7 * 60000,
                                         .end_ms = START_MS + HOUR_MS + i % 5 * 60000,
                                         .step_ms = 60000};
        compare(world, request, queries[(i + i / 7) % 10]);
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    struct world world;
    pthread_t threads[3];
    open_world(&world, (size_t)256 << 10);
    for (int i = 0; i < 200; i++)
        tick(&world);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_for_long, &world), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_as_without, setup, teardown),
        cmocka_unit_test_setup_teardown(test_samples_leave, setup, teardown),
        cmocka_unit_test_setup_teardown(test_outcomes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_instant, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text, setup, teardown),
        cmocka_unit_test_setup_teardown(test_threads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
