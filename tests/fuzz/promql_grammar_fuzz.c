/* Bytes choose productions of a grammar, so that every input is a valid query: it must parse, print
 * as text that parses to the same text, and be evaluated over a small store as a range query and,
 * for some steps of it, as an instant query, which must answer with the same series and values.
 *
 *   bytes  07 1c 02 ..  ->  "sum by (x) (%V)"  ->  "sum by (x) (rate(%M))"  ->  ..
 *
 * To the bit: whoever moves the range of a dashboard sees the same values, and rates and comparisons of
 * values make much of a last digit. `$` marks what means something else at each step of a range. */
#include "query/parse.h"
#include "storage/base/clock.h"
#include "tests/fuzz/promql_store.h"

#define MEMORY_BYTES ((size_t)8 << 20)
#define SAMPLES_MAX  200000
#define DEADLINE_NS  INT64_C(2000000000)
#define DEPTH_MAX    6
#define TEXT_MAX     3000 /* beyond it only terminals are chosen */
#define STEPS_MAX    12

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- the grammar: %V vector, %M range vector, %S scalar, %I selector, %N number, %D duration, %O offset
 * and @, %L names of labels, %G grouping, %K matching, %T string. The first alternative is a terminal. --- */

#define ALTERNATIVES(...)                                                                          \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static const struct {
    char symbol;
    const char *const *alternatives;
} grammar[] = {
    {'I', ALTERNATIVES("m", "n", "c", "b", "h", "w", "nosuch", "{x=\"a\"}", "m{x!=\"a\"}",
                       "c{y=~\"z|q\"}", "{__name__=~\"m|n\"}", "m{x=~\".*\",y=\"\"}",
                       "{\"c\",x!~\"b+\"}", "b{le=\"2\"}", "h{x=\"b\"}")},
    {'D', ALTERNATIVES("1m", "20s", "45s", "2m", "5m", "90", "1ms", "1h")},
    {'N', ALTERNATIVES("1", "0", "2", "0.5", "-3", "1e3", "Inf", "NaN", "0x1F", "1m")},
    {'T', ALTERNATIVES("\"x\"", "\"y\"", "'a'", "\"$1-$2\"", "\"(.)(.*)\"", "\"\"", "`new`")},
    {'L', ALTERNATIVES("x", "y", "le", "x, y", "", "nosuch")},
    {'G', ALTERNATIVES(" ", " by (%L) ", " without (%L) ")},
    {'K', ALTERNATIVES(" ", " on (%L) ", " ignoring (%L) ", " on (x) group_left () ",
                       " on (x) group_right (y) ", " ignoring (y) group_left (le) ", " on () ")},
    {'O', ALTERNATIVES("", " offset 30s", " offset -1m", " @ 200", " @ 90.5 offset 10s",
                       "$ @ start()", "$ @ end() offset 20s", " offset 5m")},
    {'M', ALTERNATIVES("%I[%D]", "%I[%D]%O", "(%V)[%D:10s]", "(%V)[%D:]%O", "(%V)[2m:7s]%O")},
    {'S', ALTERNATIVES("%N", "scalar(%V)", "time()", "pi()", "(%S + %S)", "-%S", "(%S * %S)",
                       "(%S > bool %S)", "%S ^ %S", "(%S % %S)")},
    {'V',
     ALTERNATIVES(
         "%I", "%I%O", "vector(%S)",
         /* aggregations */
         "sum%G(%V)", "avg%G(%V)", "min%G(%V)", "max%G(%V)", "count%G(%V)", "group%G(%V)",
         "stddev%G(%V)", "stdvar%G(%V)", "topk%G(%S, %V)", "bottomk%G(2, %V)", "quantile%G(%S, %V)",
         "count_values%G(\"v\", %V)", "limitk%G(%N, %V)", "limit_ratio%G(0.5, %V)",
         /* windows */
         "rate(%M)", "increase(%M)", "irate(%M)", "delta(%M)", "idelta(%M)", "changes(%M)",
         "resets(%M)", "deriv(%M)", "predict_linear(%M, %S)", "sum_over_time(%M)",
         "avg_over_time(%M)", "min_over_time(%M)", "max_over_time(%M)", "count_over_time(%M)",
         "last_over_time(%M)", "present_over_time(%M)", "absent_over_time(%M)",
         "quantile_over_time(%S, %M)", "stddev_over_time(%M)", "stdvar_over_time(%M)",
         "mad_over_time(%M)", "increase_exact(%M)", "double_exponential_smoothing(%M, 0.5, 0.25)",
         /* operators */
         "(%V) +%K(%V)", "(%V) -%K(%V)", "(%V) *%K(%V)", "(%V) /%K(%V)", "(%V) %%K(%V)",
         "(%V) ^%K(%V)", "(%V) atan2%K(%V)", "(%V) ==%K(%V)", "(%V) != bool%K(%V)", "(%V) >%K(%V)",
         "(%V) <= bool%K(%V)", "(%V) and on (%L) (%V)", "(%V) or (%V)",
         "(%V) unless ignoring (%L) (%V)", "%V > %S", "%S < bool %V", "%V * %S", "%S + %V",
         "%V / %S", "-(%V)", "((%V))",
         /* histograms */
         "histogram_quantile(%S, %V)", "histogram_fraction(%S, %S, %V)", "histogram_count(%V)",
         "histogram_sum(%V)", "histogram_avg(%V)", "histogram_stddev(%V)", "histogram_stdvar(%V)",
         "percentile(90, %M) by (%L)",
         /* labels, times, the rest */
         "label_replace(%V, \"x\", %T, \"y\", \"(.)(.*)\")",
         "label_replace(%V, \"le\", %T, \"x\", %T)", "label_join(%V, \"y\", %T, \"x\", \"le\")",
         "sort(%V)", "sort_desc(%V)", "sort_by_label(%V, \"x\")", "absent(%V)", "timestamp(%V)",
         "hour(%V)", "month()", "day_of_year(%V)", "days_in_month(%V)", "abs(%V)", "ceil(%V)",
         "floor(%V)", "round(%V, 0.5)", "exp(%V)", "ln(%V)", "sqrt(%V)", "sgn(%V)", "sin(%V)",
         "tanh(%V)", "clamp(%V, %S, %S)", "clamp_min(%V, %S)", "clamp_max(%V, %S)")},
};

/* --- expanding --- */

struct choices {
    struct slice bytes;
    struct buffer text;
    bool moving;
};

/* 0 once all bytes are used. */
static uint8_t choose(struct choices *choices)
{
    if (!choices->bytes.len)
        return 0;
    uint8_t byte = (uint8_t)choices->bytes.at[0];
    choices->bytes = slice_skip(choices->bytes, 1);
    return byte;
}

static const char *pick(struct choices *choices, char symbol, int depth)
{
    size_t row = 0, count = 0;
    while (grammar[row].symbol != symbol)
        row++;
    const char *const *alternatives = grammar[row].alternatives;
    if (depth > DEPTH_MAX || choices->text.len > TEXT_MAX)
        return alternatives[0];
    while (alternatives[count])
        count++;
    assert(count > 0);
    return alternatives[choose(choices) % count];
}

static void expand(struct choices *choices, const char *text, int depth)
{
    for (; *text; text++) {
        if (text[0] == '%' && text[1] >= 'A' && text[1] <= 'Z')
            expand(choices, pick(choices, *++text, depth), depth + 1);
        else if (*text == '$' && text[1] == ' ')
            choices->moving = true;
        else
            buffer_append_char(&choices->text, *text);
    }
}

/* --- evaluating --- */

/* By labels; what has numbers at some steps and histograms at others is two series, numbers first. */
static bool comes_before(const struct promql_series *a, const struct promql_series *b)
{
    int order = labels_compare(a->labels, b->labels);
    return order < 0 || (order == 0 && a->values && !b->values);
}

static int run(const struct plan *plan, struct promql_request request, struct arena *arena,
               struct promql_result *out)
{
    struct error err = {0};
    request.plan = plan;
    request.samples_max = SAMPLES_MAX;
    request.deadline_ns = clock_monotonic_ns() + DEADLINE_NS;
    if (promql_run(store, &request, arena, out, &err) != 0) {
        assert(err.kind != ERROR_NONE && err.kind != ERROR_INTERNAL);
        assert(err.text[0]);
        return -1;
    }
    for (size_t i = 0; i < out->count; i++)
        check_series(&out->series[i], &request);
    for (size_t i = 1; i < out->count && request.step_ms; i++)
        assert(comes_before(&out->series[i - 1], &out->series[i]));
    return 0;
}

static bool alike(double a, double b)
{
    return (isnan(a) && isnan(b)) || (a == b && signbit(a) == signbit(b));
}

static bool same_point(const struct promql_series *a, size_t i, const struct promql_series *b)
{
    if ((a->values == NULL) != (b->values == NULL))
        return false;
    if (a->values)
        return alike(a->values[i], b->values[0]);
    return alike(a->histograms[i]->count, b->histograms[0]->count) &&
           alike(a->histograms[i]->sum, b->histograms[0]->sum);
}

/* The point of the series with these labels at this time, floats or histograms. */
static bool find_point(const struct promql_result *range, int64_t time_ms,
                       const struct promql_series *of)
{
    for (size_t i = 0; i < range->count; i++) {
        const struct promql_series *series = &range->series[i];
        if (!labels_equal(series->labels, of->labels))
            continue;
        for (size_t k = 0; k < series->count; k++)
            if (series->times[k] == time_ms && same_point(series, k, of))
                return true;
    }
    return false;
}

static size_t points_at(const struct promql_result *range, int64_t time_ms)
{
    size_t count = 0;
    for (size_t i = 0; i < range->count; i++)
        for (size_t k = 0; k < range->series[i].count; k++)
            count += range->series[i].times[k] == time_ms;
    return count;
}

static void complain(const struct choices *choices, int64_t time_ms, struct promql_request range)
{
    fprintf(stderr, "%.*s\nat %lld, range %lld..%lld step %lld\n",
            SLICE_ARG(buffer_slice(&choices->text)), (long long)time_ms, (long long)range.start_ms,
            (long long)range.end_ms, (long long)range.step_ms);
    abort();
}

static void check_step(const struct choices *choices, const struct plan *plan,
                       const struct promql_result *range, struct promql_request request,
                       int64_t time_ms)
{
    struct arena arena;
    struct promql_result instant;
    struct promql_request at = {.start_ms = time_ms, .end_ms = time_ms};
    arena_init(&arena, MEMORY_BYTES);
    if (run(plan, at, &arena, &instant) == 0) {
        if (instant.type == VALUE_VECTOR && points_at(range, time_ms) != instant.count)
            complain(choices, time_ms, request);
        for (size_t i = 0; i < instant.count; i++)
            if (!find_point(range, time_ms, &instant.series[i]))
                complain(choices, time_ms, request);
    }
    arena_release(&arena);
}

static void evaluate(struct choices *choices, const struct plan *plan)
{
    struct arena arena;
    struct promql_result range;
    struct promql_request request = {.start_ms = choose(choices) * INT64_C(1700),
                                     .step_ms = 1000 + choose(choices) * INT64_C(290)};
    int steps = 1 + choose(choices) % STEPS_MAX;
    request.end_ms = request.start_ms + (steps - 1) * request.step_ms;
    arena_init(&arena, MEMORY_BYTES);
    if (run(plan, request, &arena, &range) == 0 && !choices->moving) {
        check_step(choices, plan, &range, request, request.start_ms);
        check_step(choices, plan, &range, request,
                   request.start_ms + choose(choices) % steps * request.step_ms);
    }
    arena_release(&arena);
}

/* --- the target --- */

static void parse(const struct choices *choices, struct arena *arena, struct slice text,
                  struct plan **plan)
{
    struct error err;
    if (parse_promql(text, arena, plan, &err) == 0)
        return;
    fprintf(stderr, "%.*s\nfrom %.*s\n%s\n", SLICE_ARG(text),
            SLICE_ARG(buffer_slice(&choices->text)), err.text);
    abort();
}

static void check_print(struct choices *choices, struct plan *plan)
{
    struct buffer first, second;
    struct arena arena;
    struct plan *again;
    arena_init(&arena, MEMORY_BYTES);
    buffer_init(&first, QUERY_TEXT_MAX);
    buffer_init(&second, QUERY_TEXT_MAX);
    plan_print(plan, &first);
    parse(choices, &arena, buffer_slice(&first), &again);
    plan_print(again, &second);
    assert(again->type == plan->type);
    assert(slice_equal(buffer_slice(&first), buffer_slice(&second)));
    plan_release(again);
    buffer_release(&first);
    buffer_release(&second);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct choices choices = {.bytes = slice_make(data, size)};
    struct arena arena;
    struct plan *plan;
    if (!store)
        open_store();
    arena_init(&arena, MEMORY_BYTES);
    buffer_init(&choices.text, QUERY_TEXT_MAX);
    expand(&choices, "%V", 0);
    parse(&choices, &arena, buffer_slice(&choices.text), &plan);
    check_print(&choices, plan);
    evaluate(&choices, plan);
    plan_release(plan);
    buffer_release(&choices.text);
    arena_release(&arena);
    return 0;
}
