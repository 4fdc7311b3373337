/* slide: windows that move on over a series answer as if each was looked at alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "query/call.h"
#include "query/slide.h"

#define COUNT_MAX 700

static uint64_t seed = 7;

static uint32_t chance(uint32_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % below;
}

/* --- data --- */

enum shape {
    SMOOTH,
    FEW_VALUES, /* many ties */
    COUNTER,    /* with resets */
    HUGE_STEPS, /* sums that cancel out */
    ODD,        /* NaN, infinities, both zeros */
    CONSTANT,
    FAR_OFF, /* a deviation that is small beside the value */
    SHAPES,
};

static double next_value(enum shape shape, double before)
{
    static const double odd[] = {NAN, INFINITY, -INFINITY, 0.0, -0.0, 1e308, -1e308, 5e-324};
    double u = (double)chance(1 << 24) / (1 << 24);
    switch (shape) {
    case SMOOTH:
        return before * 0.9 + u;
    case FEW_VALUES:
        return chance(5) - 2.0;
    case COUNTER:
        return chance(40) ? before + chance(9) : 0;
    case HUGE_STEPS:
        return chance(3) ? u : (chance(2) ? 1 : -1) * pow(10, 17 * chance(3));
    case ODD:
        return chance(6) ? u - 0.5 : odd[chance(sizeof odd / sizeof *odd)];
    case CONSTANT:
        return 0.1;
    case FAR_OFF:
        return 1e9 + u;
    case SHAPES:
        break;
    }
    return 0;
}

struct series {
    int64_t times[COUNT_MAX];
    double values[COUNT_MAX];
    struct samples samples;
};

static void series_make(struct series *series, enum shape shape)
{
    size_t count = 1 + chance(COUNT_MAX);
    int64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        at += chance(50) ? 10000 : 1 + chance(300000); /* gaps */
        series->times[i] = at;
        series->values[i] = next_value(shape, i ? series->values[i - 1] : 0);
    }
    series->samples =
        (struct samples){.times = series->times, .values = series->values, .count = count};
}

/* --- the model: each window alone --- */

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y))
        return isnan(y) - isnan(x);
    return (x > y) - (x < y);
}

static double model_quantile(double q, const double *values, size_t count)
{
    double sorted[COUNT_MAX];
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare);
    double rank = q * (double)(count - 1), weight = rank - floor(rank);
    size_t lower = (size_t)rank, upper = lower + 1 < count ? lower + 1 : lower;
    return sorted[lower] * (1 - weight) + sorted[upper] * weight;
}

static double model_mad(const double *values, size_t count)
{
    double distances[COUNT_MAX], median = model_quantile(0.5, values, count);
    for (size_t i = 0; i < count; i++)
        distances[i] = fabs(values[i] - median);
    return model_quantile(0.5, distances, count);
}

static double model_sum(const double *values, size_t count)
{
    double sum = 0, rest = 0;
    for (size_t i = 0; i < count; i++)
        sum_add(&sum, &rest, values[i]);
    return isinf(sum) ? sum : sum + rest;
}

static double model_variance(const double *values, size_t count)
{
    double mean = 0, mean_rest = 0, squares = 0, squares_rest = 0;
    for (size_t i = 0; i < count; i++) {
        double delta = values[i] - (mean + mean_rest);
        sum_add(&mean, &mean_rest, delta / (double)(i + 1));
        sum_add(&squares, &squares_rest, delta * (values[i] - (mean + mean_rest)));
    }
    return (squares + squares_rest) / (double)count;
}

static double model_extreme(double sign, const double *values, size_t count)
{
    double best = values[0];
    for (size_t i = 1; i < count; i++)
        if (sign * values[i] > sign * best || isnan(best))
            best = values[i];
    return best;
}

static double model_changes(const double *values, size_t count)
{
    double changes = 0;
    for (size_t i = 1; i < count; i++)
        changes += values[i] != values[i - 1] && !(isnan(values[i]) && isnan(values[i - 1]));
    return changes;
}

static double model_resets(const double *values, size_t count)
{
    double resets = 0;
    for (size_t i = 1; i < count; i++)
        resets += values[i] < values[i - 1];
    return resets;
}

/* Without extrapolation: the windows of this test begin and end at samples. */
static double model_increase(const double *values, size_t count)
{
    double rise = values[count - 1] - values[0];
    for (size_t i = 1; i < count; i++)
        if (values[i] < values[i - 1])
            rise += values[i - 1];
    return rise;
}

/* --- comparing --- */

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

/* What nearly cancels out in a line shows in its slope. */
static bool lines_agree(const struct window *window, double got, double wanted)
{
    double largest = fabs(wanted);
    for (size_t i = 0; i < window->count; i++)
        largest = fmax(largest, fabs(window->values[i]));
    return same(got, wanted) || fabs(got - wanted) <= 1e-10 * largest;
}

static bool close_to(double a, double b, double relative)
{
    return same(a, b) || fabs(a - b) <= relative * fabs(b);
}

typedef bool window_function(const struct window *window, struct point *out);

static double ask(window_function *function, struct window *window)
{
    struct point point = {0};
    assert_true(function(window, &point));
    return point.value;
}

static void check(const char *what, bool right, enum shape shape, const struct window *window)
{
    if (!right)
        fail_msg("%s of shape %d: samples %zu to %zu", what, (int)shape, window->first,
                 window->first + window->count);
}

struct question {
    const char *name;
    window_function *function;
    double (*model)(const double *values, size_t count);
    double tolerance; /* 0: the same to the bit */
};

static double model_min(const double *values, size_t count)
{
    return model_extreme(-1, values, count);
}

static double model_max(const double *values, size_t count)
{
    return model_extreme(1, values, count);
}

static double model_median(const double *values, size_t count)
{
    return model_quantile(0.5, values, count);
}

static double model_avg(const double *values, size_t count)
{
    return model_sum(values, count) / (double)count;
}

/* The rise itself, from an increase over a window that ends at its samples. */
static bool increase(const struct window *window, struct point *out)
{
    struct window exact = *window;
    exact.start_ms = window->times[0];
    exact.end_ms = window->times[window->count - 1];
    if (window->count < 2 || exact.start_ms == exact.end_ms)
        return true;
    return window_increase(&exact, out);
}

static const struct question questions[] = {
    {"sum", window_sum, model_sum, 1e-12},
    {"avg", window_avg, model_avg, 1e-12},
    {"stdvar", window_stdvar, model_variance, 1e-12},
    {"min", window_min, model_min, 0},
    {"max", window_max, model_max, 0},
    {"quantile", window_quantile, model_median, 0},
    {"mad", window_mad, model_mad, 0},
    {"changes", window_changes, model_changes, 0},
    {"resets", window_resets, model_resets, 0},
    {"increase", increase, model_increase, 0},
};

/* Windows of one length in time, moved on, as the walk does. Windows without samples are passed over. */
struct walker {
    const struct series *series;
    int64_t range, step, at;
    struct window window;
};

static bool walk_on(struct walker *walker)
{
    const int64_t *times = walker->series->times;
    struct window *window = &walker->window;
    size_t count = walker->series->samples.count, end = window->first + window->count;
    do {
        walker->at += walker->step;
        while (window->first < count && times[window->first] <= walker->at - walker->range)
            window->first++;
        end = end < window->first ? window->first : end;
        while (end < count && times[end] <= walker->at)
            end++;
    } while (window->first == end && end < count);
    window->count = end - window->first;
    window->times = times + window->first;
    window->values = walker->series->values + window->first;
    window->start_ms = walker->at - walker->range;
    window->end_ms = walker->at;
    window->now_ms = walker->at + 1000;
    return window->count > 0;
}

static struct walker walker_over(const struct series *series, double param)
{
    return (struct walker){.series = series,
                           .range = 1 + chance(chance(2) ? 40000 : 3000000),
                           .step = 1 + chance(200000),
                           .window.params = {param}};
}

/* An instant query, or a range query that begins here, says the same to the bit. */
static void check_anew(const char *name, window_function *function, const struct window *window,
                       enum shape shape)
{
    struct arena arena;
    struct point got = {0}, anew = {0};
    arena_init(&arena, 1 << 20);
    struct slide slide = {.series = window->slide->series, .arena = &arena, .overlap = 1};
    struct window alone = *window;
    alone.slide = &slide;
    alone.arena = &arena;
    bool any = function(window, &got);
    assert_int_equal(any, function(&alone, &anew));
    bool signs = signbit(got.value) == signbit(anew.value) || isnan(got.value);
    check(name, same(got.value, anew.value) && signs, shape, window);
    arena_release(&arena);
}

/* Against the same function without memory for anything but the window. */
static void check_line(window_function *function, const struct window *window, enum shape shape)
{
    struct arena none;
    arena_init(&none, 0);
    struct slide without = {.series = window->slide->series, .arena = &none};
    struct window plain = *window;
    struct point got = {0}, wanted = {0};
    plain.slide = &without;
    bool any = function(window, &got);
    assert_int_equal(any, function(&plain, &wanted));
    if (function == window_deriv)
        check("deriv", close_to(got.value, wanted.value, 1e-11), shape, window);
    else
        check("predict", lines_agree(window, got.value, wanted.value), shape, window);
    check_anew("line", function, window, shape);
    arena_release(&none);
}

static void test_lines(void **state)
{
    (void)state;
    static struct series series;
    for (int round = 0; round < 400; round++) {
        enum shape shape = (enum shape)(round % SHAPES);
        window_function *function = chance(2) ? window_predict_linear : window_deriv;
        struct arena arena;
        arena_init(&arena, 1 << 26);
        series_make(&series, shape);
        struct slide slide = {.series = &series.samples, .arena = &arena, .overlap = 100};
        struct walker walker = walker_over(&series, 60);
        walker.window.slide = &slide;
        walker.window.arena = &arena;
        while (walk_on(&walker))
            check_line(function, &walker.window, shape);
        arena_release(&arena);
    }
}

static void walk(const struct question *question, const struct series *series, enum shape shape,
                 double overlap)
{
    struct arena arena;
    arena_init(&arena, 1 << 24);
    struct slide slide = {.series = &series->samples, .arena = &arena, .overlap = overlap};
    struct walker walker = walker_over(series, 0.5);
    struct window *window = &walker.window;
    window->slide = &slide;
    window->arena = &arena;
    while (walk_on(&walker)) {
        double wanted = question->model(window->values, window->count);
        if (isinf(wanted) && question->function == window_avg)
            continue; /* a sum that overflows; the mean may be finite */
        double got = ask(question->function, window);
        bool right =
            question->tolerance ? close_to(got, wanted, question->tolerance) : same(got, wanted);
        check(question->name, right, shape, window);
        check_anew(question->name, question->function, window, shape);
    }
    arena_release(&arena);
}

static void test_sliding_is_looking_anew(void **state)
{
    (void)state;
    static struct series series;
    for (enum shape shape = 0; shape < SHAPES; shape++)
        for (int round = 0; round < 40; round++) {
            series_make(&series, shape);
            for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
                if (questions[i].function == increase && (shape == ODD || shape == HUGE_STEPS))
                    continue; /* of no counter; sums in another order */
                walk(&questions[i], &series, shape, 1);
                walk(&questions[i], &series, shape, 100);
            }
        }
}

/* --- all windows at once --- */

struct at_once {
    bool (*sweep)(const struct sweep *sweep);
    window_function *function;
};

/* What the window of the step alone gives. */
static double alone(const struct at_once *rises, const struct sweep *sweep, size_t step)
{
    const struct samples *series = sweep->series;
    struct slide slide = {.series = series, .arena = sweep->arena};
    struct window window = {.slide = &slide, .arena = sweep->arena};
    struct point point = {0};
    window.end_ms = sweep->range.end_ms + (int64_t)step * sweep->range.step_ms;
    window.start_ms = window.end_ms - sweep->range.range_ms;
    while (window.first < series->count && series->times[window.first] <= window.start_ms)
        window.first++;
    while (window.first + window.count < series->count &&
           series->times[window.first + window.count] <= window.end_ms)
        window.count++;
    window.times = series->times + window.first;
    window.values = series->values + window.first;
    bool any = window.count > 0 && rises->function(&window, &point);
    return any ? point.value : point_absent();
}

static void sweep_once(const struct at_once *rises, const struct series *series, struct range range)
{
    enum { STEPS = 60 };
    double out[STEPS];
    struct arena arena;
    arena_init(&arena, 1 << 24);
    struct sweep sweep = {
        .series = &series->samples, .range = range, .steps = STEPS, .out = out, .arena = &arena};
    for (size_t i = 0; i < STEPS; i++)
        out[i] = point_absent();
    assert_true(rises->sweep(&sweep));
    for (size_t i = 0; i < STEPS; i++) {
        double wanted = alone(rises, &sweep, i);
        assert_memory_equal(&out[i], &wanted, sizeof wanted);
    }
    arena_release(&arena);
}

/* To the bit: on and off the grid of the samples, in gaps, before the series and after it. */
static void test_rises_at_once(void **state)
{
    static const struct at_once all[] = {
        {sweep_rate, window_rate}, {sweep_increase, window_increase}, {sweep_delta, window_delta}};
    static struct series series;
    (void)state;
    for (int round = 0; round < 60 * SHAPES; round++) {
        series_make(&series, (enum shape)(round % SHAPES));
        int64_t last = series.times[series.samples.count - 1], on_grid = chance(2) ? 10000 : 1;
        struct range range = {.end_ms = chance((uint32_t)last + 1) / on_grid * on_grid,
                              .step_ms = (int64_t)chance(chance(2) ? 60 : 6) * 10000,
                              .range_ms = (1 + (int64_t)chance(60)) * 10000};
        sweep_once(&all[chance(3)], &series, range);
    }
}

/* Of two samples, where a window begins further before the first than the second is after it. */
static void test_rises_from_zero(void **state)
{
    static const struct at_once rate = {sweep_rate, window_rate};
    static struct series series;
    (void)state;
    for (int round = 0; round < 400; round++) {
        size_t count = 2 + chance(3);
        for (size_t i = 0; i < count; i++) {
            series.times[i] = 1000000 + (int64_t)i * 10000;
            series.values[i] = (i ? series.values[i - 1] : chance(4)) + chance(3);
        }
        series.samples =
            (struct samples){.times = series.times, .values = series.values, .count = count};
        sweep_once(&rate, &series,
                   (struct range){1000000, 1 + chance(9999), 10000 + chance(50000)});
    }
}

/* Which quantile is asked for may change from window to window, too. */
static void test_any_quantile(void **state)
{
    (void)state;
    static struct series series;
    for (int round = 0; round < 60; round++) {
        struct arena arena;
        arena_init(&arena, 1 << 24);
        series_make(&series, (enum shape)(round % SHAPES));
        struct slide slide = {.series = &series.samples, .arena = &arena, .overlap = 100};
        struct window window = {.slide = &slide, .arena = &arena};
        size_t first = 0, end = 0, count = series.samples.count;
        while (end < count) {
            end += 1 + chance(30);
            end = end < count ? end : count;
            first += chance(30);
            first = first < end ? first : end - 1;
            window.first = first;
            window.count = end - first;
            window.times = series.times + first;
            window.values = series.values + first;
            window.params[0] = chance(4) ? (double)chance(1001) / 1000 : chance(2);
            check("quantile",
                  same(ask(window_quantile, &window),
                       model_quantile(window.params[0], window.values, window.count)),
                  (enum shape)(round % SHAPES), &window);
        }
        arena_release(&arena);
    }
}

/* The same answers, whatever the memory; or a refusal. */
static void test_budget(void **state)
{
    (void)state;
    static struct series series;
    do
        series_make(&series, COUNTER);
    while (series.samples.count < 300);
    for (size_t limit = 0; limit < 20000; limit += 500)
        for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
            struct arena arena;
            struct point point = {0};
            arena_init(&arena, limit);
            struct slide slide = {.series = &series.samples, .arena = &arena, .overlap = 100};
            struct window window = {.params = {0.5},
                                    .slide = &slide,
                                    .arena = &arena,
                                    .first = 20,
                                    .count = 200,
                                    .start_ms = series.times[19],
                                    .end_ms = series.times[219],
                                    .times = series.times + 20,
                                    .values = series.values + 20};
            if (questions[i].function(&window, &point) && !arena.exhausted)
                check("budget",
                      close_to(point.value, questions[i].model(window.values, window.count), 1e-12),
                      COUNTER, &window);
            else
                assert_true(arena.exhausted);
            arena_release(&arena);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sliding_is_looking_anew),
        cmocka_unit_test(test_rises_at_once),
        cmocka_unit_test(test_rises_from_zero),
        cmocka_unit_test(test_any_quantile),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
