/* promql_fixture: a store in a temporary directory, series written as in promqltest, and queries
 * checked as text. For the unit tests of the evaluator only.
 *
 *   fixture_load(f, 60, "up{job=\"a\"} 0+10x4 _ 7 stale")     one sample a minute from time 0
 *   fixture_check(f, "sum(up)", 240, "{} 40")                   seconds; series joined by "; "
 */
#ifndef TESTS_UNIT_PROMQL_FIXTURE_H
#define TESTS_UNIT_PROMQL_FIXTURE_H

#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "query/parse.h"
#include "query/promql.h"
#include "storage/base/log.h"
#include "storage/base/number.h"
#include "tests/unit/scratch_dir.h"

#define FIXTURE_ARENA ((size_t)512 << 20)

struct fixture {
    char path[SCRATCH_DIR_BYTES];
    struct store *store;
    struct store_batch *batch;
};

static inline void fixture_open(struct fixture *f)
{
    struct error err;
    struct store_options options = {
        .path = f->path, .series_max = 1000000, .retention_raw_ms = INT64_C(1) << 50};
    log_set_level(LOG_WARN);
    if (store_open(&options, &f->store, &err) != 0)
        fail_msg("%s", err.text);
    f->batch = store_batch_new(f->store);
}

static inline struct fixture *fixture_new(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_int_equal(scratch_dir_make(f->path, "promql_test"), 0);
    fixture_open(f);
    return f;
}

static inline void fixture_close(struct fixture *f)
{
    store_batch_free(f->batch);
    store_close(f->store);
}

static inline void fixture_free(struct fixture *f)
{
    fixture_close(f);
    assert_int_equal(scratch_dir_remove(f->path), 0);
    free(f);
}

static inline void fixture_commit(struct fixture *f)
{
    struct error err;
    if (store_commit(f->store, f->batch, false, &err) != 0)
        fail_msg("%s", err.text);
}

/* The id of a series named by a selector of equalities. */
static inline uint32_t fixture_series(struct fixture *f, struct slice text, enum series_kind kind)
{
    struct arena arena;
    struct error err;
    struct plan *plan;
    struct label pairs[LABELS_MAX];
    uint32_t id;
    arena_init(&arena, 1 << 20);
    if (parse_selector(text, &arena, &plan, &err) != 0)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < plan->selector.matcher_count; i++)
        pairs[i] =
            (struct label){plan->selector.matchers[i].name, plan->selector.matchers[i].value};
    labels_sort(pairs, plan->selector.matcher_count);
    struct labels labels = {pairs, plan->selector.matcher_count};
    if (store_batch_intern(f->batch, labels, kind, &id, &err) != 0)
        fail_msg("%s", err.text);
    plan_release(plan);
    arena_release(&arena);
    return id;
}

/* One item: "_", "stale", a number, "a+bxn" or "a-bxn" (n further values). */
static inline int fixture_item(struct fixture *f, uint32_t id, int64_t *at, int64_t step,
                               const char *item)
{
    char *end;
    if (strcmp(item, "_") == 0) {
        *at += step;
        return 0;
    }
    double value = strcmp(item, "stale") == 0 ? stale_nan() : strtod(item, &end), delta = 0;
    long more = 0;
    if (!is_stale_nan(value) && *end) {
        delta = strtod(end, &end);
        assert_int_equal(*end, 'x');
        more = strtol(end + 1, NULL, 10);
    }
    for (long i = 0; i <= more; i++, *at += step)
        store_batch_value(f->batch, id, *at, i ? value + delta * (double)i : value);
    return 0;
}

/* Commits too. */
static inline void fixture_load(struct fixture *f, int64_t step_s, const char *line)
{
    const char *end = strchr(line, '}');
    end = end ? end + 1 : strchr(line, ' ');
    uint32_t id = fixture_series(f, slice_make(line, (size_t)(end - line)), SERIES_GAUGE);
    char copy[4096], *rest = NULL;
    int64_t at = 0;
    snprintf(copy, sizeof copy, "%s", end);
    for (char *item = strtok_r(copy, " ", &rest); item; item = strtok_r(NULL, " ", &rest))
        fixture_item(f, id, &at, step_s * 1000, item);
    fixture_commit(f);
}

static inline void fixture_print_series(const struct promql_series *series, bool times,
                                        struct buffer *out)
{
    labels_print(series->labels, out);
    for (size_t i = 0; i < series->count; i++) {
        buffer_append_char(out, ' ');
        if (series->values)
            buffer_append_format(out, "%.12g", series->values[i]);
        else
            buffer_append_format(out, "h(%.12g,%.12g)", series->histograms[i]->count,
                                 series->histograms[i]->sum);
        if (times)
            buffer_append_format(out, "@%g", (double)series->times[i] / 1000);
    }
}

static inline void fixture_print(const struct promql_result *result, struct buffer *out)
{
    buffer_append_slice(out, result->string);
    for (size_t i = 0; i < result->count; i++) {
        if (i)
            buffer_append_string(out, "; ");
        fixture_print_series(&result->series[i], result->type == VALUE_MATRIX, out);
    }
}

/* Runs and prints; on failure prints "error: text". Seconds; step 0 = instant. */
static inline void fixture_run(struct fixture *f, const char *query, double start, double end,
                               double step, struct buffer *out)
{
    struct arena arena;
    struct error err;
    struct plan *plan = NULL;
    struct promql_result result;
    arena_init(&arena, FIXTURE_ARENA);
    if (parse_promql(slice_of_string(query), &arena, &plan, &err) != 0)
        fail_msg("%s: %s", query, err.text);
    struct promql_request request = {
        .plan = plan,
        .start_ms = (int64_t)(start * 1000),
        .end_ms = (int64_t)(end * 1000),
        .step_ms = (int64_t)(step * 1000),
    };
    if (promql_run(f->store, &request, &arena, &result, &err) != 0)
        buffer_append_format(out, "error: %s", err.text);
    else
        fixture_print(&result, out);
    plan_release(plan);
    arena_release(&arena);
}

static inline void fixture_expect(struct fixture *f, const char *query, double start, double end,
                                  double step, const char *expected)
{
    struct buffer out;
    buffer_init(&out, 1 << 20);
    fixture_run(f, query, start, end, step, &out);
    buffer_append_char(&out, 0);
    if (strcmp(out.at, expected) != 0)
        fail_msg("%s at %g:\n  is     %s\n  wanted %s", query, start, out.at, expected);
    buffer_release(&out);
}

static inline void fixture_check(struct fixture *f, const char *query, double at,
                                 const char *expected)
{
    fixture_expect(f, query, at, at, 0, expected);
}

/* One number from an instant query. */
static inline double fixture_number(struct fixture *f, const char *query, double at)
{
    struct buffer out;
    buffer_init(&out, 1 << 20);
    fixture_run(f, query, at, at, 0, &out);
    buffer_append_char(&out, 0);
    const char *space = strrchr(out.at, ' ');
    if (!space || strncmp(out.at, "error", 5) == 0)
        fail_msg("%s: %s", query, out.at);
    double value = strtod(space, NULL);
    buffer_release(&out);
    return value;
}

struct fixture_case {
    const char *query;
    double at; /* seconds */
    const char *expected;
};

static inline void fixture_cases(struct fixture *f, const struct fixture_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fixture_check(f, cases[i].query, cases[i].at, cases[i].expected);
}

/* The cases over a store of their own that holds the series (NULL-terminated, one sample a step). */
static inline void fixture_table(const struct fixture_case *cases, size_t count,
                                 const char *const *series, int64_t step_s)
{
    struct fixture *f = fixture_new();
    for (; *series; series++)
        fixture_load(f, step_s, *series);
    fixture_cases(f, cases, count);
    fixture_free(f);
}
#define RUN(cases, series, step) fixture_table(cases, sizeof(cases) / sizeof *(cases), series, step)

#endif
