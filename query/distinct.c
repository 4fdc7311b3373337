/* distinct: how many different members sets have had in a window, over time and over series.
 *
 *   distinct_over_time(users[1d])             of each series
 *   distinct(users[1d]) by (region)           of all series of a group
 *
 * The sketches of the samples in the window are merged and the union is counted. Sketches can be
 * merged but not taken away again, so the windows of a grid are made from halves: all windows that
 * reach across one place are a part before it, grown backwards, and a part behind it, grown forwards.
 *
 *   samples     x  x  x  x  x  x | x  x  x  x
 *   windows        (-------------|----]            each sample is merged twice at most, however
 *                     (----------|-------]         many windows it is in
 *                           (----|----------]
 *
 * A sample of a set may be a number without a sketch (stores of before, remote writers). Its members
 * are not known; a window then counts at least the largest number in it. Buckets of the store hold the
 * unions of their samples and their largest number, so they answer the same.
 */
#include <math.h>

#include "query/call.h"
#include "query/groups.h"

#define MERGES_BETWEEN_CHECKS 256

/* What a window, or half of one, holds. */
struct part {
    struct sketch members; /* owned */
    double most;           /* the largest number */
    bool any;
};

struct group {
    struct labels labels;
    struct part *parts; /* one a step */
    struct group *next;
};

struct distinct {
    struct samples_sink sink;
    struct eval *eval;
    const struct plan *plan;
    const struct grid *grid;
    struct range range;
    struct sink *out;
    struct groups index;          /* -> struct group */
    struct group *groups, **last; /* in the order they came */
    size_t merges;
    size_t plain; /* samples without a sketch */
};

/* Samples, or buckets of them, in order. */
struct items {
    const int64_t *times;
    const double *numbers;
    const struct slice *sketches; /* or NULL */
    const uint32_t *counts;       /* NULL, or 0 where there is nothing */
    size_t count;
    const struct coarse *coarse; /* or NULL */
};

struct span {
    size_t first, end;
};

/* --- parts --- */

static void part_release(struct eval *eval, struct part *part)
{
    eval->owned_bytes -= sketch_bytes(&part->members);
    sketch_release(&part->members);
}

static void part_number(struct part *part, double number)
{
    part->most = part->any ? fmax(part->most, number) : number;
    part->any = true;
}

/* Adds b to a, which counts in the memory of the query. */
static int part_join(struct eval *eval, struct part *a, const struct part *b)
{
    if (!b->any)
        return 0;
    size_t before = sketch_bytes(&a->members);
    part_number(a, b->most);
    sketch_merge(&a->members, &b->members);
    eval->owned_bytes += sketch_bytes(&a->members) - before;
    return eval_memory_left(eval) ? 0 : eval_fail_memory(eval);
}

static int part_add(struct distinct *self, struct part *part, const struct items *items, size_t i)
{
    if (items->counts && !items->counts[i])
        return 0;
    struct slice code = items->sketches ? items->sketches[i] : SLICE("");
    part_number(part, items->numbers[i]);
    if (!code.len || !sketch_merge_code(&part->members, code))
        self->plain++;
    return ++self->merges % MERGES_BETWEEN_CHECKS ? 0 : eval_check(self->eval);
}

static double part_count(const struct part *part)
{
    return part->any ? fmax(sketch_estimate(&part->members), part->most) : point_absent();
}

/* --- the windows of one series --- */

static void find_spans(const struct distinct *self, const struct items *items, struct span *spans)
{
    struct span span = {0, 0};
    for (size_t i = 0; i < self->grid->steps; i++) {
        int64_t end = self->range.end_ms + (int64_t)i * self->range.step_ms;
        struct bounds bounds = {time_minus(end, self->range.range_ms), end};
        if (items->coarse)
            coarse_snap(items->coarse, &bounds);
        while (span.first < items->count && items->times[span.first] <= bounds.start_ms)
            span.first++;
        if (span.end < span.first)
            span.end = span.first;
        while (span.end < items->count && items->times[span.end] <= bounds.end_ms)
            span.end++;
        spans[i] = span;
    }
}

/* The parts of the windows [from, to) before `place`, the last window's first. */
static int add_before(struct distinct *self, const struct items *items, const struct span *spans,
                      struct span windows, struct part *parts)
{
    size_t place = spans[windows.first].end;
    struct part running = {.any = false};
    int result = 0;
    for (size_t i = windows.end; i-- > windows.first && result == 0;) {
        while (place > spans[i].first && result == 0)
            result = part_add(self, &running, items, --place);
        if (result == 0)
            result = part_join(self->eval, &parts[i], &running);
    }
    sketch_release(&running.members);
    return result;
}

/* And those behind it. */
static int add_behind(struct distinct *self, const struct items *items, const struct span *spans,
                      struct span windows, struct part *parts)
{
    size_t place = spans[windows.first].end;
    struct part running = {.any = false};
    int result = 0;
    for (size_t i = windows.first; i < windows.end && result == 0; i++) {
        while (place < spans[i].end && result == 0)
            result = part_add(self, &running, items, place++);
        if (result == 0)
            result = part_join(self->eval, &parts[i], &running);
    }
    sketch_release(&running.members);
    return result;
}

/* Adds what each window holds of the series to its part. */
static int add_series(struct distinct *self, const struct items *items, struct part *parts)
{
    struct scratch scratch;
    size_t steps = self->grid->steps;
    int result = 0;
    scratch_open(self->eval, &scratch);
    struct span *spans = arena_alloc(&scratch.arena, steps * sizeof *spans);
    if (!spans) {
        scratch_close(self->eval, &scratch);
        return eval_fail_memory(self->eval);
    }
    find_spans(self, items, spans);
    for (size_t i = 0, to; i < steps && result == 0; i = to) {
        for (to = i + 1; to < steps && spans[to].first < spans[i].end;)
            to++;
        result = add_before(self, items, spans, (struct span){i, to}, parts);
        if (result == 0)
            result = add_behind(self, items, spans, (struct span){i, to}, parts);
    }
    scratch_close(self->eval, &scratch);
    return result;
}

/* --- the answer --- */

/* Counts the parts and releases them. */
static int push(struct distinct *self, struct labels labels, struct part *parts)
{
    struct scratch scratch;
    struct row row;
    scratch_open(self->eval, &scratch);
    bool enough = row_make(&scratch.arena, self->grid, &row);
    for (size_t i = 0; i < self->grid->steps; i++) {
        if (enough)
            row.values[i] = part_count(&parts[i]);
        part_release(self->eval, &parts[i]);
    }
    row.labels = labels;
    int result = enough ? self->out->take(self->out, &row) : eval_fail_memory(self->eval);
    scratch_close(self->eval, &scratch);
    return result;
}

static struct group *group_of(struct distinct *self, struct labels labels)
{
    bool fresh;
    struct arena *arena = self->eval->arena;
    struct table_entry *entry = groups_entry(&self->index, labels, &fresh);
    if (!fresh)
        return entry->value.pointer;
    struct group *group = entry->value.pointer = arena_zeroed(arena, 1, sizeof *group);
    struct part *parts = arena_zeroed(arena, self->grid->steps, sizeof *parts);
    if (!group || !parts)
        return NULL;
    *group = (struct group){labels_project(arena, labels, self->index.names, self->index.keep),
                            parts, NULL};
    *self->last = group;
    self->last = &group->next;
    return group;
}

/* By itself or into its group, as the call says. */
static int take_items(struct distinct *self, struct labels labels, const struct items *items)
{
    struct eval *eval = self->eval;
    size_t plain = self->plain;
    struct group *group = NULL;
    struct scratch scratch;
    int result = 0;
    scratch_open(eval, &scratch);
    struct part *parts = NULL;
    if (self->plan->call.function->groups)
        parts = (group = group_of(self, labels)) ? group->parts : NULL;
    else
        parts = arena_zeroed(&scratch.arena, self->grid->steps, sizeof *parts);
    result = parts ? add_series(self, items, parts) : eval_fail_memory(eval);
    if (result == 0 && !group)
        result = push(self, labels_without_name(eval->arena, labels), parts);
    for (size_t i = 0; parts && result != 0 && !group && i < self->grid->steps; i++)
        part_release(eval, &parts[i]);
    scratch_close(eval, &scratch);
    if (self->plain > plain)
        eval_info(eval,
                  "PromQL info: %s() met samples that are numbers without members; a window counts "
                  "at least the largest of them",
                  self->plan->call.function->name);
    return result;
}

static void ignore_histograms(const struct distinct *self)
{
    eval_info(self->eval, "PromQL info: ignored histograms in %s()",
              self->plan->call.function->name);
}

static int take(struct samples_sink *sink, struct labels labels, const struct samples *samples)
{
    struct distinct *self = (struct distinct *)sink;
    struct items items = {samples->times, samples->values, samples->sketches,
                          NULL,           samples->count,  NULL};
    if (samples->histogram_count)
        ignore_histograms(self);
    return samples->count ? take_items(self, labels, &items) : 0;
}

static int take_buckets(struct samples_sink *sink, struct labels labels,
                        const struct store_buckets *buckets, const struct coarse *coarse)
{
    struct distinct *self = (struct distinct *)sink;
    struct items items = {buckets->end_ms, buckets->max,   buckets->sketches,
                          buckets->counts, buckets->count, coarse};
    if (!buckets->first_histogram)
        return take_items(self, labels, &items);
    ignore_histograms(self);
    return 0;
}

/* Releases all of them, also those that are not wanted any more. */
static int push_groups(struct distinct *self, int result)
{
    for (struct group *group = self->groups; group; group = group->next) {
        if (result == 0)
            result = push(self, group->labels, group->parts);
        for (size_t i = 0; i < self->grid->steps; i++)
            part_release(self->eval, &group->parts[i]);
    }
    return result;
}

int call_distinct(struct eval *eval, const struct plan *plan, const struct grid *grid,
                  struct sink *sink)
{
    const struct plan *samples = eval_unwrap(plan->call.args[0]);
    struct distinct self = {
        .sink = {.take = take,
                 .take_buckets = take_buckets,
                 .sketches = true,
                 .buckets = &buckets_max}, /* what of numbers is asked of buckets */
        .eval = eval,
        .plan = plan,
        .grid = grid,
        .range = range_of(eval, samples, grid),
        .out = sink,
    };
    self.last = &self.groups;
    groups_init(&self.index, &plan->call.grouping, !plan->call.without);
    int result = push_groups(&self, range_each(eval, samples, grid, &self.sink));
    groups_release(&self.index);
    return result;
}
