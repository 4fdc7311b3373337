/* fan and parallel: batches come in order whoever makes them, and queries answer the same to the bit
 * with one thread and with many. */
#include "tests/unit/promql_fixture.h"

#include <pthread.h>

#include "query/fan.h"

/* --- the fan alone --- */

struct counting {
    struct fan *fan;
    size_t made[FAN_SLOTS_MAX]; /* the batch that lies in each slot */
    _Atomic int seated[FAN_THREADS_MAX];
    size_t end_at; /* the batch whose take ends it */
    size_t next;   /* to take */
};

static void count_make(void *arg, size_t seat, size_t slot, size_t batch)
{
    struct counting *counting = arg;
    assert_true(seat < fan_seats(counting->fan));
    assert_int_equal(counting->seated[seat]++, 0); /* nobody else sits there */
    counting->made[slot] = batch;
    for (volatile int i = 0; i < (int)(batch * 7919 % 3000); i++)
        ;
    counting->seated[seat]--;
}

static void count_leave(void *arg, size_t seat)
{
    assert_int_equal(((struct counting *)arg)->seated[seat], 0);
}

static bool count_take(void *arg, size_t slot, size_t batch)
{
    struct counting *counting = arg;
    assert_int_equal(batch, counting->next++);
    assert_int_equal(counting->made[slot], batch);
    return batch != counting->end_at;
}

static void count_batches(struct fan *fan, size_t batches, size_t end_at)
{
    struct counting counting = {.fan = fan, .end_at = end_at};
    struct fan_task task = {batches, &counting, count_make, count_leave, count_take};
    size_t wanted = end_at < batches ? end_at : batches;
    assert_int_equal(fan_run(fan, &task), wanted);
}

static void test_batches_come_in_order(void **state)
{
    (void)state;
    for (size_t threads = 1; threads <= FAN_THREADS_MAX; threads += threads < 4 ? 1 : 2) {
        struct fan *fan = fan_new(threads);
        assert_int_equal(fan_seats(fan), threads);
        count_batches(fan, 0, SIZE_MAX);
        count_batches(fan, 1, SIZE_MAX);
        count_batches(fan, 500, SIZE_MAX);
        count_batches(fan, 500, 0);
        count_batches(fan, 500, 250);
        fan_free(fan);
    }
    fan_free(NULL);
}

static void *ask_often(void *arg)
{
    for (size_t i = 0; i < 40; i++)
        count_batches(arg, 1 + i * 3, i % 5 ? SIZE_MAX : i);
    return NULL;
}

/* More askers than helpers: each has its own batches, and nobody waits for ever. */
static void test_many_ask_at_once(void **state)
{
    (void)state;
    pthread_t askers[6];
    struct fan *fan = fan_new(3);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&askers[i], NULL, ask_often, fan), 0);
    for (size_t i = 0; i < 6; i++)
        pthread_join(askers[i], NULL);
    fan_free(fan);
}

/* --- queries --- */

#define SERIES          150
#define TICKS           400
#define TICK_MS         10000
#define HISTOGRAM_TICKS 40

static void load_histograms(struct fixture *f, size_t series)
{
    char text[64];
    struct histogram histogram;
    snprintf(text, sizeof text, "t{i=\"%zu\",Upper=\"1\"}", series);
    uint32_t id = fixture_series(f, slice_of_string(text), SERIES_HISTOGRAM);
    histogram_init(&histogram);
    for (size_t tick = 0; tick < HISTOGRAM_TICKS; tick++) {
        histogram_add(&histogram, (double)((tick * 31 + series * 17) % 97) + 1, 1);
        store_batch_histogram(f->batch, id, (int64_t)tick * TICK_MS, &histogram);
    }
    histogram_release(&histogram);
}

static void load_numbers(struct fixture *f, size_t series)
{
    char text[64];
    snprintf(text, sizeof text, "m{Upper=\"%zu\",g=\"%zu\"}", series, series % 7);
    uint32_t id = fixture_series(f, slice_of_string(text), SERIES_COUNTER);
    double value = 0;
    for (size_t tick = 0; tick < TICKS; tick++) {
        size_t odd = (tick * 131 + series * 7) % 211;
        value = odd == 0 ? 0 : value + (double)odd / 3;
        double stored = odd == 1 ? stale_nan() : odd == 2 ? NAN : value;
        if (odd > 5 || odd < 3)
            store_batch_value(f->batch, id, (int64_t)tick * TICK_MS, stored);
    }
}

static struct fixture *load(void)
{
    struct fixture *f = fixture_new();
    struct error err;
    for (size_t i = 0; i < SERIES; i++) {
        load_numbers(f, i);
        load_histograms(f, i);
    }
    fixture_commit(f);
    assert_int_equal(store_seal(f->store, &err), 0);
    return f;
}

/* All of an answer or a refusal, as bytes. */
static void run(struct fixture *f, struct promql_request request, const char *query, size_t memory,
                struct buffer *out)
{
    struct arena arena;
    struct plan *plan = NULL;
    struct promql_result result;
    struct error err = {0};
    arena_init(&arena, memory);
    buffer_reset(out);
    if (parse_promql(slice_of_string(query), &arena, &plan, &err) != 0)
        fail_msg("%s: %s", query, err.text);
    request.plan = plan;
    if (promql_run(f->store, &request, &arena, &result, &err) != 0) {
        buffer_append_format(out, "%d %s", (int)err.kind, err.text);
    } else {
        buffer_append_format(out, "%lld samples\n", (long long)result.samples_read);
        for (size_t i = 0; i < result.warning_count; i++)
            buffer_append_format(out, "w " SLICE_FMT "\n", SLICE_ARG(result.warnings[i]));
        for (size_t i = 0; i < result.info_count; i++)
            buffer_append_format(out, "i " SLICE_FMT "\n", SLICE_ARG(result.infos[i]));
        for (size_t i = 0; i < result.count; i++) {
            const struct promql_series *series = &result.series[i];
            labels_encode(series->labels, out);
            buffer_append(out, series->times, series->count * sizeof *series->times);
            if (series->values)
                buffer_append(out, series->values, series->count * sizeof *series->values);
            for (size_t k = 0; series->histograms && k < series->count; k++)
                buffer_append_format(out, "%a %a %u ", series->histograms[k]->count,
                                     series->histograms[k]->sum,
                                     series->histograms[k]->positive.count);
        }
    }
    plan_release(plan);
    arena_release(&arena);
}

static const char *const queries[] = {
    "m",
    "{__name__=~\"m|t\"}",
    "sum by (g) (rate(m[5m]))",
    "rate(m[5m])",
    "increase_exact(t[5m])",
    "quantile_over_time(0.9, m[10m])",
    "avg_over_time({__name__=~\"m|t\",g!=\"3\"}[10m])",
    "histogram_quantile(0.9, sum(rate(t[5m])))",
    "stddev_over_time({__name__=~\"m|t\"}[5m]) * 2",
    "topk(3, m) + on(Upper) max_over_time(m[1m])",
    "max_over_time(rate(m[2m])[10m:1m])",
    "quantile_over_time(2, m[5m])",
    "timestamp(m)",
    "percentile(90, t[5m]) by (Upper)",
    "last_over_time(m[5m] @ end())",
    "m / 0 > 1 or on() vector(1)",
};
#define QUERIES (sizeof queries / sizeof *queries)

static const struct promql_request whole = {
    .start_ms = 0, .end_ms = TICKS * TICK_MS, .step_ms = 3 * TICK_MS};

static void expect_same(struct fixture *f, struct promql_request request, size_t memory)
{
    static const size_t threads[] = {2, 5};
    struct buffer alone, together;
    buffer_init(&alone, SIZE_MAX);
    buffer_init(&together, SIZE_MAX);
    for (size_t i = 0; i < QUERIES; i++) {
        request.fan = NULL;
        run(f, request, queries[i], memory, &alone);
        for (size_t n = 0; n < sizeof threads / sizeof *threads; n++) {
            request.fan = fan_new(threads[n]);
            run(f, request, queries[i], memory, &together);
            fan_free(request.fan);
            if (!slice_equal(buffer_slice(&alone), buffer_slice(&together)))
                fail_msg("%s differs with %zu threads: %.60s, not %.60s", queries[i], threads[n],
                         together.at, alone.at);
        }
    }
    buffer_release(&alone);
    buffer_release(&together);
}

static void test_answers_do_not_depend_on_threads(void **state)
{
    (void)state;
    struct fixture *f = load();
    expect_same(f, whole, FIXTURE_ARENA);
    fixture_free(f);
}

static void test_budgets_hold_for_all_threads(void **state)
{
    (void)state;
    struct fixture *f = load();
    const _Atomic bool cancelled = true;
    struct promql_request few = whole, late = whole, gone = whole;
    few.samples_max = 20000;
    late.deadline_ns = 1;
    gone.cancelled = &cancelled;
    expect_same(f, few, FIXTURE_ARENA);
    expect_same(f, late, FIXTURE_ARENA);
    expect_same(f, gone, FIXTURE_ARENA);
    expect_same(f, whole, 100000); /* too little for anybody */
    fixture_free(f);
}

/* Whatever the memory: a right answer, or a refusal that names the limit. */
static void test_any_memory(void **state)
{
    (void)state;
    struct fixture *f = load();
    struct buffer alone, together;
    struct promql_request request = whole;
    buffer_init(&alone, SIZE_MAX);
    buffer_init(&together, SIZE_MAX);
    for (size_t memory = 200000; memory < 4000000; memory *= 3) {
        for (size_t i = 0; i < QUERIES; i++) {
            request.fan = NULL;
            run(f, request, queries[i], FIXTURE_ARENA, &alone);
            request.fan = fan_new(4);
            run(f, request, queries[i], memory, &together);
            fan_free(request.fan);
            if (!slice_equal(buffer_slice(&alone), buffer_slice(&together)) &&
                !strstr(together.at, "limits.query_memory"))
                fail_msg("%s with %zu bytes: %.80s", queries[i], memory, together.at);
        }
    }
    buffer_release(&alone);
    buffer_release(&together);
    fixture_free(f);
}

struct asker {
    struct fixture *f;
    struct fan *fan;
    size_t offset;
};

static void *query_often(void *arg)
{
    const struct asker *asker = arg;
    struct buffer alone, together;
    struct promql_request request = whole;
    buffer_init(&alone, SIZE_MAX);
    buffer_init(&together, SIZE_MAX);
    for (size_t i = 0; i < QUERIES; i += 2) {
        const char *query = queries[(i + asker->offset) % QUERIES];
        request.fan = asker->fan;
        run(asker->f, request, query, FIXTURE_ARENA, &together);
        request.fan = NULL;
        run(asker->f, request, query, FIXTURE_ARENA, &alone);
        assert_true(slice_equal(buffer_slice(&alone), buffer_slice(&together)));
    }
    buffer_release(&alone);
    buffer_release(&together);
    return NULL;
}

static void test_queries_share_the_helpers(void **state)
{
    (void)state;
    struct fixture *f = load();
    struct fan *fan = fan_new(3);
    struct asker askers[3];
    pthread_t threads[3];
    for (size_t i = 0; i < 3; i++) {
        askers[i] = (struct asker){f, fan, i * 5};
        assert_int_equal(pthread_create(&threads[i], NULL, query_often, &askers[i]), 0);
    }
    for (size_t i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    fan_free(fan);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batches_come_in_order),
        cmocka_unit_test(test_many_ask_at_once),
        cmocka_unit_test(test_answers_do_not_depend_on_threads),
        cmocka_unit_test(test_budgets_hold_for_all_threads),
        cmocka_unit_test(test_any_memory),
        cmocka_unit_test(test_queries_share_the_helpers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
