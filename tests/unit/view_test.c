/* Paths of statsd over stored series: windows of every width give what came in, and trees list it. */
#include <math.h>

#include "query/view.h"
#include "tests/unit/store_fixture.h"

#define TICK  ((int64_t)10000)
#define FIRST ((int64_t)1700002800000) /* a whole hour */
#define HOUR  ((int64_t)3600000)

static struct arena arena;

struct totals {
    double count;
    struct histogram timer;
};

/* Tick number i brings i % 7 counts, takes 1 back when that is zero, sets a gauge to i and gives a timer the values i and
 * 2 i. */
static void write_ticks(struct store *store, size_t ticks)
{
    struct store_batch *batch = store_batch_new(store);
    struct totals totals = {.count = 0};
    uint32_t hits = intern(batch, "hits", 1, SERIES_COUNTER);
    uint32_t below = intern(batch, "hits_decrements", 1, SERIES_COUNTER);
    uint32_t timer = intern(batch, "api.latency", 1, SERIES_HISTOGRAM);
    uint32_t gauge = intern(batch, "temp", 1, SERIES_GAUGE);
    double taken = 0;
    histogram_init(&totals.timer);
    store_batch_value(batch, hits, FIRST, 0);
    store_batch_histogram(batch, timer, FIRST, &totals.timer);
    for (size_t i = 1; i <= ticks; i++) {
        int64_t time_ms = FIRST + (int64_t)i * TICK;
        totals.count += (double)(i % 7);
        taken += i % 7 == 0;
        histogram_add(&totals.timer, (double)i, 1);
        histogram_add(&totals.timer, 2 * (double)i, 1);
        totals.timer.min = (double)i;
        totals.timer.max = 2 * (double)i;
        store_batch_value(batch, hits, time_ms, totals.count);
        if (taken > 0)
            store_batch_value(batch, below, time_ms, taken);
        store_batch_value(batch, gauge, time_ms, (double)i);
        store_batch_histogram(batch, timer, time_ms, &totals.timer);
    }
    store_batch_value(batch, gauge, FIRST + (int64_t)(ticks + 1) * TICK, stale_nan());
    commit(store, batch);
    store_batch_free(batch);
    histogram_release(&totals.timer);
}

static struct view_request request_of(struct store *store, int64_t step_ms, int64_t end_ms)
{
    return (struct view_request){.store = store,
                                 .start_ms = FIRST,
                                 .end_ms = end_ms,
                                 .step_ms = step_ms,
                                 .samples_max = 1000000,
                                 .scratch_max = 64 << 20,
                                 .deadline_ns = INT64_MAX};
}

static struct view_result render(const struct view_request *request, const char *text)
{
    struct view_result result = {.count = 0};
    struct target *targets;
    struct error err;
    size_t count;
    if (target_expand(slice_of_string(text), &arena, &targets, &count, &err))
        fail_msg("%s: %s", text, err.text);
    for (size_t i = 0; i < count; i++)
        if (view_render(request, &targets[i], &arena, &result, &err))
            fail_msg("%s: %s", text, err.text);
    return result;
}

/* The values of the only series. */
static const double *values_of(const struct view_request *request, const char *text, size_t *points)
{
    struct view_result result = render(request, text);
    if (result.count != 1)
        fail_msg("%s: %zu series", text, result.count);
    assert_true(slice_equal_string(result.at[0].path, text));
    assert_int_equal(result.first_ms, FIRST + request->step_ms);
    *points = result.points;
    return result.at[0].values;
}

static void check_width(struct store *store, int64_t step_ms, size_t ticks)
{
    struct view_request request = request_of(store, step_ms, FIRST + (int64_t)ticks * TICK);
    size_t points, width = (size_t)(step_ms / TICK);
    const double *counts = values_of(&request, "stats.counters.hits.count", &points);
    const double *rates = values_of(&request, "stats.hits", &points);
    const double *lower = values_of(&request, "stats.timers.api.latency.lower", &points);
    const double *upper = values_of(&request, "stats.timers.api.latency.upper", &points);
    const double *sum = values_of(&request, "stats.timers.api.latency.sum", &points);
    const double *number = values_of(&request, "stats.timers.api.latency.count", &points);
    const double *gauge = values_of(&request, "stats.gauges.temp", &points);
    assert_int_equal(points, ticks / width);
    for (size_t k = 0; k < points; k++) {
        double counted = 0, summed = 0;
        for (size_t i = k * width + 1; i <= (k + 1) * width; i++) {
            counted += i % 7 ? (double)(i % 7) : -1;
            /* The first sample of what is taken back is a 1: nobody knows of what it rose from. */
            counted += i == 7;
            summed += 3 * (double)i;
        }
        assert_true(counts[k] == counted);
        assert_true(fabs(rates[k] - counted / (double)step_ms * 1000) < 1e-9);
        assert_true(number[k] == 2 * (double)width);
        assert_true(sum[k] == summed);
        assert_true(lower[k] == (double)(k * width + 1));
        assert_true(upper[k] == 2 * (double)((k + 1) * width));
        assert_true(gauge[k] == (double)((k + 1) * width));
    }
}

static void test_widths(void **state)
{
    struct store *store = open_store();
    (void)state;
    write_ticks(store, 1080);
    check_width(store, TICK, 1080);
    check_width(store, 6 * TICK, 1080);
    check_width(store, 30 * TICK, 1080);
    check_width(store, HOUR, 1080);
    store_close(store);
}

/* Nothing before, nothing behind, and a gauge holds until it has ended. */
static void test_edges(void **state)
{
    struct store *store = open_store();
    (void)state;
    write_ticks(store, 10);
    struct view_request request = request_of(store, TICK, FIRST + 20 * TICK);
    size_t points;
    const double *counts = values_of(&request, "stats_counts.hits", &points);
    const double *gauge = values_of(&request, "temp", &points);
    assert_int_equal(points, 20);
    assert_true(counts[9] == 3 && isnan(counts[10]));
    assert_true(gauge[9] == 10 && isnan(gauge[10]) && isnan(gauge[19]));
    request.start_ms = FIRST - 2 * TICK - 1;
    struct view_result result = render(&request, "stats.counters.hits.count");
    assert_int_equal(result.first_ms, FIRST - 2 * TICK);
    assert_true(isnan(result.at[0].values[0]) && isnan(result.at[0].values[1]));
    assert_true(result.at[0].values[2] == 0 && result.at[0].values[3] == 1);
    store_close(store);
}

static void test_limits(void **state)
{
    struct store *store = open_store();
    struct view_result result = {.count = 0};
    _Atomic bool cancelled = true;
    struct error err;
    (void)state;
    write_ticks(store, 100);
    struct view_request request = request_of(store, TICK, FIRST + 100 * TICK);
    const struct target target = {{SLICE("temp")}, 1};
    request.samples_max = 10;
    assert_int_equal(view_render(&request, &target, &arena, &result, &err), -1);
    assert_int_equal(err.kind, ERROR_LIMIT);
    request.deadline_ns = 0;
    assert_int_equal(view_render(&request, &target, &arena, &result, &err), -1);
    assert_int_equal(err.kind, ERROR_TIMEOUT);
    request.cancelled = &cancelled;
    assert_int_equal(view_render(&request, &target, &arena, &result, &err), -1);
    assert_int_equal(err.kind, ERROR_CANCELED);
    store_close(store);
}

/* Paths; < behind those with more below them, = behind leaves. */
static void finds(struct store *store, const char *text, const char *expected)
{
    struct view_request request = request_of(store, TICK, FIRST + HOUR);
    struct view_nodes nodes = {.count = 0};
    struct target *targets;
    struct buffer shown;
    struct error err;
    size_t count;
    request.start_ms = 0;
    assert_int_equal(target_expand(slice_of_string(text), &arena, &targets, &count, &err), 0);
    for (size_t i = 0; i < count; i++)
        if (view_find(&request, &targets[i], &arena, &nodes, &err))
            fail_msg("%s: %s", text, err.text);
    buffer_init(&shown, 65536);
    for (size_t i = 0; i < nodes.count; i++)
        buffer_append_format(&shown, "%s" SLICE_FMT "%s%s", i ? " " : "",
                             SLICE_ARG(nodes.at[i].path), nodes.at[i].expandable ? "<" : "",
                             nodes.at[i].leaf ? "=" : "");
    if (!slice_equal_string(buffer_slice(&shown), expected))
        fail_msg("%s: %.*s", text, SLICE_ARG(buffer_slice(&shown)));
    buffer_release(&shown);
}

static void test_find(void **state)
{
    struct store *store = open_store();
    struct store_batch *batch;
    (void)state;
    write_ticks(store, 10);
    batch = store_batch_new(store);
    store_batch_value(batch, intern(batch, "temp.in", 1, SERIES_GAUGE), FIRST, 1);
    store_batch_value(batch, intern(batch, "temp.in", 2, SERIES_GAUGE), FIRST, 1);
    store_batch_value(batch, intern(batch, "users", 1, SERIES_SET), FIRST, 1);
    commit(store, batch);
    store_batch_free(batch);
    finds(store, "*", "stats< stats_counts< temp<=");
    finds(store, "temp.*", "temp.in=");
    finds(store, "{te*,stats}", "stats< temp<=");
    finds(store, "stats.*", "stats.counters< stats.gauges< stats.hits= stats.sets< stats.timers<");
    finds(store, "stats.counters.*", "stats.counters.hits<");
    finds(store, "stats.counters.hits.*", "stats.counters.hits.count= stats.counters.hits.rate=");
    finds(store, "stats.timers.*", "stats.timers.api<");
    finds(store, "stats.timers.api.*", "stats.timers.api.latency<");
    finds(store, "stats.timers.*.*.up*",
          "stats.timers.api.latency.upper= stats.timers.api.latency.upper_90= "
          "stats.timers.api.latency.upper_95= stats.timers.api.latency.upper_99=");
    finds(store, "stats.timers.api.latency.upper_99_9", "stats.timers.api.latency.upper_99_9=");
    finds(store, "stats.gauges.*", "stats.gauges.temp<=");
    finds(store, "stats.sets.users.*", "stats.sets.users.count=");
    finds(store, "nothing.*", "");
    store_close(store);
}

static int set_up(void **state)
{
    arena_init(&arena, 64 << 20);
    return setup(state);
}

static int tear_down(void **state)
{
    arena_release(&arena);
    return teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_widths, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_edges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_find, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
