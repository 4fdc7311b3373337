/* distinct and distinct_over_time: against the members themselves, in random windows, over time and over
 * series; and what they say of samples that have no members. */
#include "storage/base/clock.h"
#include "tests/unit/promql_fixture.h"

#define SERIES  3
#define TICKS   400
#define MEMBERS 4000
#define TICK_MS 10000

static bool seen[SERIES][TICKS][MEMBERS];

/* Few members, then many, then few again: exact windows, dense ones, and those between. */
static void write_ticks(struct fixture *f)
{
    char name[32];
    srand(7);
    for (int series = 0; series < SERIES; series++) {
        snprintf(name, sizeof name, "s{i=\"%d\",job=\"%s\"}", series, series == 1 ? "b" : "a");
        uint32_t id = fixture_series(f, slice_of_string(name), SERIES_SET);
        for (int tick = 0; tick < TICKS; tick++) {
            struct sketch sketch;
            int count = tick / 100 % 2 ? 100 : 3;
            if (tick % 5 == 4) /* a tick without members has no sample */
                continue;
            sketch_init(&sketch);
            while (count--) {
                uint32_t member = (uint32_t)(rand() % (tick < 200 ? MEMBERS : 50));
                seen[series][tick][member] = true;
                sketch_add(&sketch, slice_make(&member, sizeof member));
            }
            store_batch_sketch(f->batch, id, (int64_t)tick * TICK_MS, &sketch);
            sketch_release(&sketch);
        }
    }
    fixture_commit(f);
}

/* Members in (start, end] of the series in the mask; -1: there is no sample. */
static int truth(int64_t start_ms, int64_t end_ms, unsigned mask)
{
    int count = 0;
    bool any = false, met[MEMBERS] = {false};
    for (int tick = 0; tick < TICKS; tick++)
        for (int series = 0; series < SERIES; series++) {
            bool inside = (int64_t)tick * TICK_MS > start_ms && (int64_t)tick * TICK_MS <= end_ms;
            if (!inside || !(mask & 1u << series) || tick % 5 == 4)
                continue;
            any = true;
            for (int i = 0; i < MEMBERS; i++)
                met[i] |= seen[series][tick][i];
        }
    for (int i = 0; i < MEMBERS; i++)
        count += met[i];
    return any ? count : -1;
}

static unsigned mask_of(struct labels labels, bool grouped)
{
    struct slice i = labels_get(labels, SLICE("i")), job = labels_get(labels, SLICE("job"));
    if (!grouped)
        return 1u << (i.at[0] - '0');
    return job.len == 0 ? 7 : slice_equal_string(job, "a") ? 5 : 2;
}

static void check_series(const struct promql_series *series, int64_t range_ms, bool grouped,
                         size_t expected)
{
    size_t points = 0;
    unsigned mask = mask_of(series->labels, grouped);
    assert_int_equal(labels_get(series->labels, SLICE(LABEL_NAME)).len, 0);
    for (size_t i = 0; i < series->count; i++) {
        int want = truth(series->times[i] - range_ms, series->times[i], mask);
        assert_true(want >= 0);
        double off = fabs(series->values[i] - want);
        assert_true(want <= SKETCH_EXACT_MAX ? off == 0 : off < 0.07 * want);
        points++;
    }
    assert_true(points <= expected);
}

/* Every step that has samples in its window has a point. */
static size_t points_of(const struct promql_request *request, int64_t range_ms, unsigned mask)
{
    size_t points = 0;
    for (int64_t at = request->start_ms; at <= request->end_ms; at += request->step_ms)
        points += truth(at - range_ms, at, mask) >= 0;
    return points;
}

static void check_windows(struct fixture *f, const char *format, int64_t range_ms, int64_t step_ms)
{
    char text[128];
    struct arena arena;
    struct plan *plan = NULL;
    struct error err;
    struct promql_result result;
    bool grouped = strchr(format, '(') - format == 8;
    snprintf(text, sizeof text, "%s[%lldms])%s", format, (long long)range_ms,
             strstr(format, "distinct(") ? rand() % 2 ? " by (job)" : "" : "");
    arena_init(&arena, FIXTURE_ARENA);
    if (parse_promql(slice_of_string(text), &arena, &plan, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    struct promql_request request = {.plan = plan,
                                     .start_ms = rand() % 100000,
                                     .end_ms = (int64_t)TICKS * TICK_MS + 200000,
                                     .step_ms = step_ms};
    if (promql_run(f->store, &request, &arena, &result, &err) != 0)
        fail_msg("%s: %s", text, err.text);
    assert_int_equal(result.count, grouped ? strchr(text, 'y') ? 2 : 1 : SERIES);
    for (size_t i = 0; i < result.count; i++) {
        const struct promql_series *series = &result.series[i];
        size_t expected = points_of(&request, range_ms, mask_of(series->labels, grouped));
        check_series(series, range_ms, grouped, expected);
        assert_int_equal(series->count, expected);
    }
    plan_release(plan);
    arena_release(&arena);
}

static void counts_the_members(void **state)
{
    (void)state;
    static const int64_t ranges[] = {10000, 15000, 60000, 300000, 1000000, 9000000};
    static const int64_t steps[] = {7000, 10000, 60000, 400000};
    struct fixture *f = fixture_new();
    write_ticks(f);
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        int64_t step = steps[(size_t)rand() % (sizeof steps / sizeof *steps)];
        step = ranges[i] > 100000 && step < 60000 ? 60000 : step; /* the truth is slow */
        check_windows(f, "distinct_over_time(s", ranges[i], step);
        check_windows(f, "distinct(s", ranges[i], step);
    }
    fixture_free(f);
}

static void says_what_has_no_members(void **state)
{
    (void)state;
    struct fixture *f = fixture_new();
    struct histogram histogram;
    struct sketch sketch;
    sketch_init(&sketch);
    histogram_init(&histogram);
    uint32_t set = fixture_series(f, SLICE("mixed{}"), SERIES_SET);
    for (uint32_t i = 0; i < 9; i++)
        sketch_add(&sketch, slice_make(&i, sizeof i));
    store_batch_sketch(f->batch, set, 60000, &sketch);
    store_batch_value(f->batch, set, 120000, 20); /* before sketches were stored */
    store_batch_value(f->batch, set, 130000, stale_nan());
    store_batch_histogram(f->batch, fixture_series(f, SLICE("h{}"), SERIES_HISTOGRAM), 60000,
                          &histogram);
    fixture_commit(f);
    fixture_check(f, "mixed", 60, "mixed{} 9");
    fixture_check(f, "distinct_over_time(mixed[1m])", 60, "{} 9");
    fixture_check(f, "distinct_over_time(mixed[5m])", 130, "{} 20");
    fixture_check(f, "sum_over_time(mixed[5m])", 130, "{} 29");
    fixture_check(f, "distinct(mixed[5m])", 130, "{} 20");
    fixture_check(f, "distinct_over_time(mixed[5m:1m])", 120, "{} 20");
    fixture_check(f, "distinct_over_time(mixed[5m] offset 1m)", 130, "{} 9");
    fixture_check(f, "distinct_over_time(h[5m])", 130, "");
    fixture_check(f, "distinct by (x) (nothing[5m])", 130, "");
    histogram_release(&histogram);
    sketch_release(&sketch);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_the_members),
        cmocka_unit_test(says_what_has_no_members),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
