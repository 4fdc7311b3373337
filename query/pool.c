/* pool: aggregating calls, which look at the windows of all series of a group as one.
 *
 *   percentile(99, latency[5m]) by (route)
 *
 * Of histogram series each window's own distribution (increase_exact) is merged over the group, and
 * the percentile taken from the sum. Of number series all samples in the window are the
 * observations: they are set aside once, a run for each series, and each step picks out its window
 * by two indexes that move along every run.
 *
 *   runs of a group   x  x  x [x  x  x] x      [..] the window of this step
 *                       x   x  [x   x]  x
 *
 * The first pass goes through window_rows, where series are read the fastest; only when it meets
 * numbers there is a second one for them, which nearly no query needs.
 */
#include <assert.h>
#include <math.h>

#include "query/call.h"
#include "query/groups.h"
#include "query/histogram_math.h"

#define STEPS_BETWEEN_CHECKS 256

struct run { /* the samples of one series */
    const int64_t *times;
    const double *values;
    size_t count;
    size_t first, end; /* of the window under way */
    struct run *next;
};

struct group {
    struct labels labels;
    struct histogram *sums; /* NULL, or one a step, owned */
    bool *summed;           /* the steps that have one */
    struct run *runs;
    size_t sample_count;
};

struct pool {
    struct sink sink; /* of the first pass */
    struct eval *eval;
    const struct plan *plan;
    const struct grid *grid;
    struct groups index;
    struct group *groups;
    size_t count, capacity;
    bool numbers; /* there are series of numbers, too */
};

struct number_sink {
    struct samples_sink sink;
    struct pool *pool;
};

/* --- groups --- */

static struct group *group_new(struct pool *self, struct labels labels)
{
    struct arena *arena = self->eval->arena;
    if (self->count == self->capacity) {
        size_t capacity = self->capacity ? self->capacity * 2 : 16;
        struct group *at = arena_alloc(arena, capacity * sizeof *at);
        if (!at)
            return NULL;
        if (self->count)
            memcpy(at, self->groups, self->count * sizeof *at);
        self->groups = at;
        self->capacity = capacity;
    }
    struct group *group = &self->groups[self->count++];
    *group = (struct group){
        .labels =
            labels_project(arena, labels, &self->plan->call.grouping, !self->plan->call.without),
    };
    return group;
}

static struct group *group_of(struct pool *self, struct labels labels)
{
    size_t number = groups_number(&self->index, labels);
    if (number < self->count)
        return &self->groups[number];
    struct group *group = group_new(self, labels);
    if (!group)
        eval_fail_memory(self->eval);
    return group;
}

/* --- histograms --- */

static int add_histogram(struct eval *eval, struct group *group, size_t step,
                         const struct histogram *histogram)
{
    struct histogram *sum = &group->sums[step];
    eval->owned_bytes -= histogram_bytes(sum);
    if (!group->summed[step])
        *sum = (struct histogram){.schema = histogram->schema,
                                  .zero_threshold = histogram->zero_threshold,
                                  .min = NAN,
                                  .max = NAN};
    group->summed[step] = true;
    histogram_merge(sum, histogram);
    eval->owned_bytes += histogram_bytes(sum);
    return eval_memory_left(eval) ? 0 : eval_fail_memory(eval);
}

static int take_histograms(struct sink *sink, struct row *row)
{
    struct pool *self = (struct pool *)sink;
    struct eval *eval = self->eval;
    size_t steps = self->grid->steps;
    for (size_t i = 0; i < steps && !self->numbers; i++)
        self->numbers = !point_is_absent(row->values[i]);
    if (!row->histograms)
        return 0;
    struct group *group = group_of(self, row->labels);
    if (!group)
        return -1;
    if (!group->sums) {
        group->summed = arena_zeroed(eval->arena, steps, sizeof *group->summed);
        group->sums = arena_zeroed(eval->arena, steps, sizeof *group->sums);
        if (!group->sums || !group->summed)
            return eval_fail_memory(eval);
    }
    for (size_t i = 0; i < steps; i++)
        if (row->histograms[i] && add_histogram(eval, group, i, row->histograms[i]) != 0)
            return -1;
    return 0;
}

/* What the first pass makes of windows: 1 of numbers, the rise of histograms. */
static const struct query_function observed = {
    .name = "percentile",
    .keeps_name = true, /* the grouping decides */
    .takes_base = true,
    .window = window_present,
    .window_histogram = window_histogram_increase_exact,
    .buckets = &buckets_observed,
};

static int read_histograms(struct pool *self)
{
    struct plan plan = *self->plan;
    plan.call.function = &observed;
    return window_rows(self->eval, &plan, self->grid, &self->sink);
}

/* --- numbers --- */

static int take_numbers(struct samples_sink *sink, struct labels labels,
                        const struct samples *samples)
{
    struct pool *self = ((struct number_sink *)sink)->pool;
    struct arena *arena = self->eval->arena;
    if (samples->count == 0)
        return 0;
    struct group *group = group_of(self, labels);
    if (!group)
        return -1;
    struct run *run = arena_zeroed(arena, 1, sizeof *run);
    int64_t *times = arena_alloc(arena, samples->count * sizeof *times);
    double *values = arena_alloc(arena, samples->count * sizeof *values);
    if (!run || !times || !values)
        return eval_fail_memory(self->eval);
    memcpy(times, samples->times, samples->count * sizeof *times);
    memcpy(values, samples->values, samples->count * sizeof *values);
    *run = (struct run){times, values, samples->count, 0, 0, group->runs};
    group->runs = run;
    group->sample_count += samples->count;
    return 0;
}

/* Copies what the window (start, end] of all runs holds to `out`; windows come in order. */
static size_t gather(struct group *group, struct bounds bounds, double *out)
{
    size_t count = 0;
    for (struct run *run = group->runs; run; run = run->next) {
        while (run->first < run->count && run->times[run->first] <= bounds.start_ms)
            run->first++;
        if (run->end < run->first)
            run->end = run->first;
        while (run->end < run->count && run->times[run->end] <= bounds.end_ms)
            run->end++;
        memcpy(out + count, run->values + run->first, (run->end - run->first) * sizeof *out);
        count += run->end - run->first;
    }
    return count;
}

/* --- the answer --- */

struct answer {
    struct row row;
    double *work; /* room for all numbers of the group */
    struct range range;
    const double *percent;
};

static void finish_step(struct pool *self, struct group *group, struct answer *answer, size_t step)
{
    int64_t end = answer->range.end_ms + (int64_t)step * answer->range.step_ms;
    struct bounds bounds = {time_minus(end, answer->range.range_ms), end};
    size_t numbers = gather(group, bounds, answer->work);
    bool histogram = group->sums && group->summed[step];
    double q = answer->percent[step] / 100;
    assert(answer->row.values);
    if (histogram && numbers)
        eval_warn_at(self->eval, self->plan->call.args[1],
                     "PromQL warning: encountered a mix of histograms and floats for aggregation");
    else if (numbers)
        answer->row.values[step] = quantile_of(q, answer->work, numbers);
    else if (histogram && group->sums[step].count > 0)
        answer->row.values[step] = histogram_quantile(q, &group->sums[step]);
}

static int push_group(struct pool *self, struct group *group, struct answer *answer,
                      struct sink *out)
{
    struct eval *eval = self->eval;
    struct scratch scratch;
    int result = 0;
    scratch_open(eval, &scratch);
    answer->row.labels = group->labels;
    answer->work = arena_alloc(&scratch.arena, group->sample_count * sizeof *answer->work);
    if (!answer->work || !row_make(&scratch.arena, self->grid, &answer->row))
        result = eval_fail_memory(eval);
    for (size_t i = 0; i < self->grid->steps && result == 0; i++) {
        finish_step(self, group, answer, i);
        if (i % STEPS_BETWEEN_CHECKS == 0)
            result = eval_check(eval);
    }
    if (result == 0)
        result = out->take(out, &answer->row);
    scratch_close(eval, &scratch);
    return result;
}

static int run(struct pool *self, struct sink *out)
{
    const struct plan *samples = eval_unwrap(self->plan->call.args[1]);
    struct answer answer = {.range = range_of(self->eval, samples, self->grid)};
    answer.percent = eval_scalar_new(self->eval, self->plan->call.args[0], self->grid);
    if (!answer.percent)
        return -1;
    eval_warn_outside(self->eval, self->plan->call.args[0], 100, answer.percent, self->grid->steps);
    if (read_histograms(self) != 0)
        return -1;
    struct number_sink numbers = {{.take = take_numbers}, self};
    if (self->numbers && range_each(self->eval, samples, self->grid, &numbers.sink) != 0)
        return -1;
    for (size_t i = 0; i < self->count; i++)
        if (push_group(self, &self->groups[i], &answer, out) != 0)
            return -1;
    return 0;
}

static void pool_release(struct pool *self)
{
    for (size_t i = 0; i < self->count; i++) {
        struct histogram *sums = self->groups[i].sums;
        for (size_t step = 0; sums && step < self->grid->steps; step++) {
            self->eval->owned_bytes -= histogram_bytes(&sums[step]);
            histogram_release(&sums[step]);
        }
    }
    groups_release(&self->index);
}

int call_percentile(struct eval *eval, const struct plan *plan, const struct grid *grid,
                    struct sink *sink)
{
    struct pool self = {.sink = {take_histograms}, .eval = eval, .plan = plan, .grid = grid};
    groups_init(&self.index, &plan->call.grouping, !plan->call.without);
    int result = run(&self, sink);
    pool_release(&self);
    return result;
}
