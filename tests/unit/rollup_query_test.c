/* rollups in queries: what they answer equals what the samples answer, and which of them is read.
 *
 * Stores hold the same random data: one as it was written, one with its days closed, one whose first
 * days have only buckets left. Random expressions over all must agree: bit for bit, but for sums of
 * fractions, which are added in another order.
 */
#include "storage/base/clock.h"
#include "tests/unit/promql_fixture.h"

#define DAY_MS    INT64_C(86400000)
#define START_MS  (19000 * DAY_MS)
#define DAYS      8 /* the last one is open */
#define NOW_MS    (START_MS + 7 * DAY_MS + DAY_MS / 2)
#define SERIES    2 /* of each kind */
#define QUERIES   800
#define QUERY_MAX 256
#define SLACK     1e-12

/* --- random data --- */

static uint64_t seed;

static uint32_t draw(uint32_t below)
{
    seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)((seed >> 33) % below);
}

/* What one kind of series holds next; *state is the value before. */
static double next_integer(double *state)
{
    if (draw(300) == 0)
        *state = draw(50); /* a reset */
    return *state += draw(20);
}

static double next_fraction(double *state)
{
    return *state = (double)draw(1000000) / 997 - 300;
}

static double next_wild(double *state)
{
    static const double values[] = {NAN, INFINITY, -INFINITY, 0, -1, 1e6};
    return *state = draw(40) ? (double)draw(100) : values[draw(6)];
}

static const struct {
    const char *name;
    enum series_kind kind;
    double (*next)(double *state);
} kinds[] = {
    {"c", SERIES_COUNTER, next_integer},
    {"g", SERIES_GAUGE, next_integer}, /* no drops are kept for it */
    {"f", SERIES_GAUGE, next_fraction},
    {"w", SERIES_GAUGE, next_wild},
    {"h", SERIES_HISTOGRAM, NULL},
    {"s", SERIES_SET, NULL},
};
#define KINDS (sizeof kinds / sizeof *kinds)

static void add_histogram(struct store_batch *batch, uint32_t id, int64_t at,
                          struct histogram *histogram)
{
    if (draw(150) == 0)
        histogram_reset(histogram);
    for (uint32_t n = draw(4); n--;)
        histogram_add(histogram, (double)(1 + draw(200)), 1 + draw(3));
    store_batch_histogram(batch, id, at, histogram);
}

/* Some of a few thousand members: mostly few, now and then many; or a number without them. */
static void add_members(struct store_batch *batch, uint32_t id, int64_t at)
{
    struct sketch sketch;
    sketch_init(&sketch);
    for (uint32_t n = draw(100) ? draw(6) : 700; n--;)
        sketch_add(&sketch, slice_make(&(uint32_t){draw(4000)}, sizeof n));
    if (draw(20) == 0)
        store_batch_value(batch, id, at, sketch_estimate(&sketch));
    else
        store_batch_sketch(batch, id, at, &sketch);
    sketch_release(&sketch);
}

/* Most samples a minute apart on a grid that meets the borders of buckets, some
 * anywhere, with gaps of hours and stale markers. */
static int64_t next_time(int64_t at)
{
    if (draw(200) == 0)
        return at + draw(5 * 3600) * 1000;
    if (draw(30) == 0)
        return at + 1 + draw(400000);
    return (at / 60000 + 1 + draw(3)) * 60000;
}

static void write_series(struct fixture *f, size_t kind, int number)
{
    char text[64];
    double state = 0;
    struct histogram histogram;
    histogram_init(&histogram);
    snprintf(text, sizeof text, "%s{i=\"%d\",job=\"%s\"}", kinds[kind].name, number,
             number % 2 ? "odd" : "even");
    seed = kind * 1000 + (uint64_t)number + 1;
    uint32_t id = fixture_series(f, slice_of_string(text), kinds[kind].kind);
    int64_t end = START_MS + DAYS * DAY_MS;
    for (int64_t at = next_time(START_MS + draw(3600) * 1000); at < end; at = next_time(at)) {
        if (draw(80) == 0)
            store_batch_value(f->batch, id, at, stale_nan());
        else if (kinds[kind].next)
            store_batch_value(f->batch, id, at, kinds[kind].next(&state));
        else if (kinds[kind].kind == SERIES_SET)
            add_members(f->batch, id, at);
        else
            add_histogram(f->batch, id, at, &histogram);
    }
    fixture_commit(f);
    histogram_release(&histogram);
}

static struct fixture *random_store(void)
{
    struct fixture *f = fixture_new();
    for (size_t kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < SERIES; i++)
            write_series(f, kind, i);
    return f;
}

/* The same data with all days but the last closed. */
static struct fixture *closed_store(void)
{
    struct fixture *f = random_store();
    struct error err;
    clock_set_ms(NOW_MS);
    if (store_compact(f->store, &err) != 0)
        fail_msg("%s", err.text);
    clock_set_ms(0);
    return f;
}

/* Closed, and the samples of the first three days have left. */
static struct fixture *expired_store(void)
{
    struct fixture *f = closed_store();
    struct error err;
    struct store_options options = {
        .path = f->path, .series_max = 1000000, .retention_raw_ms = 4 * DAY_MS};
    fixture_close(f);
    clock_set_ms(NOW_MS);
    if (store_open(&options, &f->store, &err) != 0)
        fail_msg("%s", err.text);
    f->batch = store_batch_new(f->store);
    if (store_compact(f->store, &err) != 0)
        fail_msg("%s", err.text);
    clock_set_ms(0);
    return f;
}

/* Samples that come late: the buckets they fall into are out of date. */
static void write_late(struct fixture *f)
{
    uint32_t id = fixture_series(f, SLICE("c{i=\"0\",job=\"even\"}"), SERIES_COUNTER);
    for (int hour = 0; hour < 7 * 24; hour += 7)
        store_batch_value(f->batch, id, START_MS + hour * 3600000 + 30007, hour);
    fixture_commit(f);
}

/* --- random questions --- */

/* Bits of the kinds. */
#define ALL     0x3f
#define NUMBERS 0x2f
#define COUNTED 0x11 /* whose resets are kept */
#define TIMERS  0x10
#define SETS    0x20

static const struct {
    const char *text; /* %s: selector with its range */
    bool sums;        /* of fractions: the order of additions shows */
    unsigned buckets; /* kinds for which buckets say all */
} functions[] = {
    {"count_over_time(%s)", false, ALL},
    {"sum_over_time(%s)", true, NUMBERS},
    {"avg_over_time(%s)", true, NUMBERS},
    {"min_over_time(%s)", false, ALL},
    {"max_over_time(%s)", false, ALL},
    {"last_over_time(%s)", false, ALL},
    {"present_over_time(%s)", false, ALL},
    {"absent_over_time(%s)", false, ALL},
    {"rate(%s)", true, COUNTED},
    {"increase(%s)", true, COUNTED},
    {"increase_exact(%s)", true, COUNTED},
    {"delta(%s)", false, ALL},
    {"quantile_over_time(0.9, %s)", false, TIMERS},
    {"percentile(90, %s) by (job)", false, TIMERS},
    {"distinct_over_time(%s)", false, SETS},
    {"distinct(%s) by (job)", false, SETS},
    {"changes(%s)", false, 0},
};

/* In the first places those that meet the borders of buckets. */
static const char *const ranges[] = {"5m", "10m", "1h",   "2h", "6h",
                                     "1d", "25h", "100y", "7m", "100m"};
static const char *const offsets[] = {
    "",           "",           "",           " offset 1h", " offset 5m", " offset -1h",
    " offset 1d", " offset 3m", " @ start()", " @ end()"};
static const int64_t steps[] = {300000, 600000, 3600000, 7200000, 21600000, DAY_MS, 420000};
static const int64_t grains[] = {3600000, 3600000, 300000, 60000, 7};
#define WHOLE_RANGES       8
#define WHOLE_OFFSETS      7
#define WHOLE_STEPS        6
#define WHOLE_GRAINS       3
#define COUNT(array)       (sizeof(array) / sizeof *(array))
#define PICK(array, first) ((array)[draw(whole ? (first) : COUNT(array))])

static const char *const wrappers[] = {"%s",      "%s",        "sum(%s)",     "sum by (job) (%s)",
                                       "max(%s)", "count(%s)", "topk(2, %s)", "avg(%s)"};
static const char *const instants[] = {"%s", "timestamp(%s)", "sum by (job) (%s)", "absent(%s)"};

struct question {
    char text[QUERY_MAX];
    int64_t start_ms, end_ms, step_ms;
    size_t kind;
    bool sums;
};

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
/* With `whole` one that buckets can answer. */
static void ask(bool whole, struct question *out)
{
    char selector[64], inner[128];
    out->kind = draw(KINDS);
    const char *name = kinds[out->kind].name, *offset = PICK(offsets, WHOLE_OFFSETS), *wrapper;
    if (draw(4) == 0) {
        snprintf(inner, sizeof inner, "%s%s", name, offset);
        wrapper = instants[draw(COUNT(instants))];
        out->sums = true;
    } else {
        size_t i = draw(COUNT(functions));
        while (whole && !(functions[i].buckets & 1u << out->kind))
            i = draw(COUNT(functions));
        snprintf(selector, sizeof selector, "%s[%s]%s", name, PICK(ranges, WHOLE_RANGES), offset);
        snprintf(inner, sizeof inner, functions[i].text, selector);
        out->sums = functions[i].sums;
        wrapper = wrappers[draw(COUNT(wrappers))];
    }
    snprintf(out->text, sizeof out->text, wrapper, inner);
    out->step_ms = draw(4) ? PICK(steps, WHOLE_STEPS) : 0;
    int64_t grain = PICK(grains, WHOLE_GRAINS);
    out->start_ms = START_MS + (int64_t)draw((uint32_t)(DAYS * DAY_MS / grain)) * grain;
    out->end_ms = out->step_ms ? out->start_ms + draw(2 * (uint32_t)DAY_MS) : out->start_ms;
}
#pragma GCC diagnostic pop

/* --- equality --- */

static bool same_number(double a, double b, bool slack)
{
    if (a == b || (isnan(a) && isnan(b)))
        return true;
    return slack && fabs(a - b) <= SLACK * fmax(1000, fmax(fabs(a), fabs(b)));
}

/* Buckets that hold nothing may be there or not. */
static size_t skip_empty(const struct histogram_side *side, size_t i)
{
    while (i < side->count && side->at[i].count == 0)
        i++;
    return i;
}

static bool same_side(const struct histogram_side *a, const struct histogram_side *b)
{
    size_t i = skip_empty(a, 0), j = skip_empty(b, 0);
    while (i < a->count && j < b->count) {
        if (a->at[i].index != b->at[j].index || a->at[i].count != b->at[j].count)
            return false;
        i = skip_empty(a, i + 1);
        j = skip_empty(b, j + 1);
    }
    return i == a->count && j == b->count;
}

static bool same_histogram(const struct histogram *a, const struct histogram *b)
{
    return a->schema == b->schema && a->count == b->count && a->zero_count == b->zero_count &&
           same_number(a->sum, b->sum, true) && same_number(a->min, b->min, false) &&
           same_number(a->max, b->max, false) && same_side(&a->positive, &b->positive) &&
           same_side(&a->negative, &b->negative);
}

static bool same_point(const struct promql_series *a, const struct promql_series *b, size_t i,
                       bool slack)
{
    if (a->times[i] != b->times[i] || !a->values != !b->values)
        return false;
    return a->values ? same_number(a->values[i], b->values[i], slack)
                     : same_histogram(a->histograms[i], b->histograms[i]);
}

/* The first point that differs; the count when none does. */
static size_t first_difference(const struct promql_series *a, const struct promql_series *b,
                               bool slack)
{
    size_t i = 0;
    if (labels_compare(a->labels, b->labels) != 0)
        return 0;
    while (i < a->count && i < b->count && same_point(a, b, i, slack))
        i++;
    return i;
}

static void print_point(const struct promql_series *series, size_t i, struct buffer *out)
{
    struct promql_series point = *series;
    if (i >= series->count) {
        buffer_append_string(out, "nothing");
        return;
    }
    point.count = 1;
    point.times += i;
    point.values += series->values ? i : 0;
    point.histograms += series->histograms ? i : 0;
    fixture_print_series(&point, false, out);
    buffer_append_format(out, " at %lld", (long long)(point.times[0] - START_MS));
}

static int by_labels(const void *a, const void *b)
{
    return labels_compare(((const struct promql_series *)a)->labels,
                          ((const struct promql_series *)b)->labels);
}

/* False where memory ends: sums of timers over years. Sorted by labels: an instant answer has the order in which its groups were
 * met. */
static bool answer(struct fixture *f, const struct question *question, struct arena *arena,
                   struct promql_result *out)
{
    struct plan *plan = NULL;
    struct error err;
    if (parse_promql(slice_of_string(question->text), arena, &plan, &err) != 0)
        fail_msg("%s: %s", question->text, err.text);
    struct promql_request request = {.plan = plan,
                                     .start_ms = question->start_ms,
                                     .end_ms = question->end_ms,
                                     .step_ms = question->step_ms};
    bool enough = promql_run(f->store, &request, arena, out, &err) == 0;
    if (!enough && err.kind != ERROR_LIMIT)
        fail_msg("%s: %s", question->text, err.text);
    if (enough && out->count)
        qsort(out->series, out->count, sizeof *out->series, by_labels);
    plan_release(plan);
    return enough;
}

static bool used_rollups(const struct promql_result *result)
{
    for (size_t i = 0; i < result->info_count; i++)
        if (slice_starts_with(result->infos[i], SLICE("read from rollups: ")))
            return true;
    return false;
}

static void fail_at(const struct question *question, const struct promql_series *wanted,
                    const struct promql_series *is, size_t i)
{
    struct buffer text;
    buffer_init(&text, 1 << 20);
    print_point(wanted, i, &text);
    buffer_append_string(&text, "\n  over rollups: ");
    print_point(is, i, &text);
    fail_msg("%s, %lld to %lld step %lld ms:\n  raw: " SLICE_FMT, question->text,
             (long long)(question->start_ms - START_MS), (long long)(question->end_ms - START_MS),
             (long long)question->step_ms, SLICE_ARG(buffer_slice(&text)));
}

/* Returns whether buckets were read. */
static bool compare(struct fixture *raw, struct fixture *closed, const struct question *question)
{
    struct arena arena;
    struct promql_result wanted, is;
    bool slack = question->sums && kinds[question->kind].next != next_integer;
    arena_init(&arena, FIXTURE_ARENA);
    if (!answer(raw, question, &arena, &wanted)) {
        arena_release(&arena);
        return false;
    }
    assert_true(answer(closed, question, &arena, &is));
    if (wanted.type != is.type || wanted.count != is.count)
        fail_msg("%s from %lld: %zu series, wanted %zu", question->text,
                 (long long)(question->start_ms - START_MS), is.count, wanted.count);
    for (size_t i = 0; i < wanted.count; i++) {
        size_t at = first_difference(&wanted.series[i], &is.series[i], slack);
        if (at != wanted.series[i].count || at != is.series[i].count)
            fail_at(question, &wanted.series[i], &is.series[i], at);
    }
    assert_false(used_rollups(&wanted));
    bool used = is.samples_read < wanted.samples_read;
    arena_release(&arena);
    return used;
}

#define MIN  INT64_C(60000)
#define HOUR (60 * MIN)

/* --- equal to raw --- */

static void compare_many(struct fixture *raw, struct fixture *other, bool whole)
{
    int used = 0;
    for (uint64_t i = 0; i < QUERIES; i++) {
        struct question question;
        seed = i * UINT64_C(0x9e3779b97f4a7c15);
        ask(whole, &question);
        used += compare(raw, other, &question);
    }
    assert_true(used > QUERIES / 4);
}

static void test_closed(void **state)
{
    (void)state;
    struct fixture *raw = random_store(), *closed = closed_store();
    compare_many(raw, closed, false);
    write_late(raw);
    write_late(closed);
    compare_many(raw, closed, true);
    fixture_free(raw);
    fixture_free(closed);
}

static void test_expired(void **state)
{
    (void)state;
    struct fixture *raw = random_store(), *expired = expired_store();
    compare_many(raw, expired, true);
    fixture_free(raw);
    fixture_free(expired);
}

/* --- close to raw, where windows cut buckets of samples that have left --- */

/* The sum of all points. */
static double total(struct fixture *f, const char *query, int64_t step_ms, bool *approximate)
{
    struct arena arena;
    struct promql_result result;
    struct question question = {.start_ms = START_MS + 26 * HOUR + 3 * MIN,
                                .end_ms = START_MS + 70 * HOUR,
                                .step_ms = step_ms};
    double sum = 0;
    snprintf(question.text, sizeof question.text, "%s", query);
    arena_init(&arena, FIXTURE_ARENA);
    assert_true(answer(f, &question, &arena, &result));
    for (size_t i = 0; i < result.count; i++)
        for (size_t k = 0; k < result.series[i].count; k++)
            sum += result.series[i].values[k];
    *approximate = false;
    for (size_t i = 0; i < result.info_count; i++)
        *approximate |= slice_find(result.infos[i], SLICE("approximate")) < result.infos[i].len;
    arena_release(&arena);
    return sum;
}

static void test_close_to_raw(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        int64_t step_ms;
        double slack; /* relative */
    } cases[] = {
        {"count_over_time(c[97m])", 7 * MIN, 0.002},
        {"sum_over_time(c[97m])", 7 * MIN, 0.002},
        {"avg_over_time(c[97m])", 7 * MIN, 0.01},
        {"max_over_time(f[97m])", 7 * MIN, 0.005},
        {"increase(c[97m])", 7 * MIN, 0.005},
        {"rate(c[61m])", HOUR, 0.01},
        {"rate(c[1d])", 7 * MIN, 0.002},
        {"histogram_count(increase(h[97m]))", 7 * MIN, 0.005},
        {"count_over_time(c[3m])", 7 * MIN, 0.02},
        {"count(c)", 7 * MIN, 0.01},
        {"avg(timestamp(c))", 7 * MIN, 0.01},
        {"stddev_over_time(f[3h])", 7 * MIN, 0.05},
    };
    struct fixture *raw = random_store(), *expired = expired_store();
    for (size_t i = 0; i < COUNT(cases); i++) {
        bool approximate;
        double wanted = total(raw, cases[i].query, cases[i].step_ms, &approximate);
        assert_false(approximate);
        double is = total(expired, cases[i].query, cases[i].step_ms, &approximate);
        if (!approximate || !(fabs(is - wanted) <= cases[i].slack * wanted))
            fail_msg("%s: %g, wanted %g%s", cases[i].query, is, wanted,
                     approximate ? "" : "; it does not say that it is approximate");
    }
    fixture_free(raw);
    fixture_free(expired);
}

/* --- which tiers are read --- */

static void test_tiers(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        int64_t start_h, end_h, step_ms;
        const char *wanted;
    } cases[] = {
        {"rate(c[1h])", 1, 48, HOUR, "read from rollups: 1h"},
        {"rate(c[1h])", 1, 180, HOUR, "read from rollups: 1h, raw"},
        {"rate(c[1h])", 170, 180, HOUR, ""},
        {"sum(c)", 1, 48, 2 * HOUR, "read from rollups: 1h"},
        {"timestamp(c)", 1, 48, 2 * HOUR, "read from rollups: 1h"},
        /* days 0 to 3 are old enough for buckets of 5 minutes */
        {"rate(c[5m])", 1, 24, 5 * MIN, "read from rollups: 5m"},
        {"rate(c[5m])", 1, 108, 5 * MIN, "read from rollups: 5m, raw"},
        {"rate(c[5m])", 100, 110, 5 * MIN, ""},
        {"rate(c[5m]) / rate(c[1h])", 2, 24, HOUR, "read from rollups: 1h, 5m"},
        {"max_over_time(rate(c[5m])[1h:5m])", 2, 24, MIN, "read from rollups: 5m"},
        /* nothing but samples will do */
        {"rate(c[7m])", 1, 24, 5 * MIN, ""},
        {"rate(c[1h])", 1, 24, 7 * MIN, ""},
        {"irate(c[1h])", 1, 24, HOUR, ""},
        {"stddev_over_time(c[1h])", 1, 24, HOUR, ""},
        {"sum_over_time(h[1h])", 1, 24, HOUR, ""},
        {"rate(g[1h])", 1, 24, HOUR,
         "PromQL info: metric might not be a counter, name does not end in "
         "_total/_sum/_count/_bucket: \"g\""},
        {"rate(c[1h]) + irate(c[1h])", 1, 24, HOUR, "read from rollups: 1h, raw"},
        {"quantile_over_time(0.9, c[1h])", 1, 24, HOUR, ""},
        {"quantile_over_time(0.9, h[1h])", 1, 24, HOUR, "read from rollups: 1h"},
        /* one long window */
        {"increase(c[40h])", 48, 48, 0, "read from rollups: 1h"},
        {"increase(c[40h] offset 7m)", 48, 48, 0, "read from rollups: 1h, 5m, raw"},
    };
    struct fixture *f = closed_store();
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct arena arena;
        struct promql_result result;
        struct question question = {.start_ms = START_MS + cases[i].start_h * HOUR,
                                    .end_ms = START_MS + cases[i].end_h * HOUR,
                                    .step_ms = cases[i].step_ms};
        snprintf(question.text, sizeof question.text, "%s", cases[i].query);
        arena_init(&arena, FIXTURE_ARENA);
        assert_true(answer(f, &question, &arena, &result));
        struct slice is = result.info_count ? result.infos[0] : SLICE("");
        if (!slice_equal_string(is, cases[i].wanted))
            fail_msg("%s: \"" SLICE_FMT "\"", cases[i].query, SLICE_ARG(is));
        assert_true(result.count > 0);
        arena_release(&arena);
    }
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_close_to_raw),
        cmocka_unit_test(test_tiers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
