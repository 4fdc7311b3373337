/* head: open samples in as few bytes as can be read and appended to at once.
 *
 *   evenly spaced, all equal     nothing beside the entry    (an idle counter; the 0 before its
 *                                                            first increment may differ)
 *   evenly spaced                a run of values             (most series: one flush grid)
 *   but for one gap              that in the entry           (a tick was left out)
 *   else                         a run of gaps too
 *   histograms                   one growing buffer of codes
 *   sketches of a set            another one beside the values, in a table of its own
 *
 * Runs (run.c) take a byte or two a sample. A run begins when the first sample differs, with the
 * number of those that did not.
 *
 *   entry -> values | histograms
 *   entry -> uneven -> gaps
 *                   -> values | histograms
 *
 * What a batch stages is kept by id beside the entries, in an array that is there only while there is
 * a batch that needs it.
 */
#include "storage/head.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/code/column.h"
#include "storage/key.h"

#define COUNT_MAX   ((1u << 29) - 1) /* samples of a series; a chunk takes the first few hundred */
#define ODD_AT_MAX  ((1u << ODD_AT_BITS) - 1)
#define ODD_GAP_MAX ((1u << ODD_GAP_BITS) - 1) /* four hours and a half */
#define TIME_MASK   (((int64_t)1 << TIME_BITS) - 1)

_Static_assert(TIME_MS_MAX <= TIME_MASK, "first_ms holds all of them");

struct head_uneven {
    struct run_block *gaps;
    int64_t step_ms; /* the usual gap */
    union {
        struct run_block *values;
        struct head_histograms *histograms;
    };
};

void head_init(struct head *head)
{
    *head = (struct head){0};
    table_init(&head->sketches, SIZE_MAX);
    pool_init(&head->entries, sizeof(struct head_series));
    pool_init(&head->uneven, sizeof(struct head_uneven));
    run_pool_init(&head->blocks);
}

void head_release(struct head *head)
{
    for (uint32_t id = 0; id < head->capacity; id++)
        if (head->at[id])
            head_remove(head, id);
    free(head->at);
    free(head->staged);
    table_release(&head->sketches);
    pool_release(&head->entries);
    pool_release(&head->uneven);
    run_pool_release(&head->blocks);
    head_init(head);
}

size_t head_sample_bytes(const struct head *head)
{
    return run_pool_used_bytes(&head->blocks) + head->uneven.used * sizeof(struct head_uneven) +
           head->code_bytes;
}

size_t head_bytes(const struct head *head)
{
    return head->entries.used * sizeof(struct head_series) + head_sample_bytes(head) +
           head->capacity * sizeof *head->at;
}

struct head_series *head_make(struct head *head, uint32_t id)
{
    if (id >= head->capacity) {
        uint32_t capacity = head->capacity ? head->capacity : 64;
        while (capacity <= id)
            capacity *= 2;
        head->at = alloc_resize(head->at, capacity, sizeof *head->at);
        memset(head->at + head->capacity, 0, (capacity - head->capacity) * sizeof *head->at);
        head->capacity = capacity;
    }
    if (head->at[id])
        return head->at[id];
    struct head_series *series = pool_take(&head->entries);
    series->sealed_ms = TIME_UNKNOWN;
    head->at[id] = series;
    head->series++;
    return series;
}

static struct slice key_of(const uint32_t *id)
{
    return slice_make((const char *)id, sizeof *id);
}

static void free_sketches(struct head *head, uint32_t id)
{
    struct table_entry removed;
    if (head->sketches.count == 0 || !table_remove(&head->sketches, key_of(&id), &removed))
        return;
    struct head_sketches *sketches = removed.value.pointer;
    head->code_bytes -= sketches->codes.len;
    buffer_release(&sketches->codes);
    free(sketches);
}

/* --- what an entry points to --- */

static struct run_block **values_of(struct head_series *series)
{
    return series->is_uneven ? &series->open.uneven->values : &series->open.values;
}

/* NULL while there is none. */
static const struct run_block *run_of(const struct head_series *series)
{
    if (series->has_histograms)
        return NULL;
    return series->is_uneven ? series->open.uneven->values : series->open.values;
}

struct head_histograms *head_histograms(const struct head_series *series)
{
    if (!series->has_histograms)
        return NULL;
    return series->is_uneven ? series->open.uneven->histograms : series->open.histograms;
}

struct head_histograms *head_make_histograms(struct head_series *series)
{
    if (series->has_histograms)
        return head_histograms(series);
    assert(!run_of(series));
    struct head_histograms *histograms = alloc_zeroed(1, sizeof *histograms);
    buffer_init(&histograms->codes, SIZE_MAX);
    histogram_init(&histograms->staged);
    histograms->code_full = true;
    if (series->is_uneven)
        series->open.uneven->histograms = histograms;
    else
        series->open.histograms = histograms;
    series->has_histograms = true;
    return histograms;
}

bool head_holds_runs(const struct head_series *series)
{
    return series->has_histograms || series->is_uneven || series->open.values;
}

/* How many gaps are alike, where times are not uneven. */
static int64_t alike(const struct head_series *series)
{
    return (int64_t)series->count - 1 - (series->odd_gap_ms ? 1 : 0);
}

/* What these come to. */
static int64_t alike_ms(const struct head_series *series)
{
    return series->last_ms - series->first_ms - (int64_t)series->odd_gap_ms;
}

/* The gap between samples, but for the odd one. */
static int64_t step_of(const struct head_series *series)
{
    if (series->is_uneven)
        return series->open.uneven->step_ms;
    return alike(series) > 0 ? alike_ms(series) / alike(series) : 0;
}

/* The gaps there are, as a run. */
static void begin_gaps(struct run_pool *pool, const struct head_series *series,
                       struct head_uneven *uneven)
{
    size_t gaps = (size_t)series->count - 1, before = gaps;
    if (series->odd_gap_ms)
        before = (size_t)series->odd_at - 1;
    run_repeat(pool, &uneven->gaps, before);
    if (before == gaps)
        return;
    run_append_gap(pool, &uneven->gaps, (int64_t)series->odd_gap_ms - uneven->step_ms);
    run_repeat(pool, &uneven->gaps, gaps - before - 1);
}

static void make_uneven(struct head *head, struct head_series *series)
{
    struct head_uneven *uneven = pool_take(&head->uneven);
    uneven->step_ms = step_of(series);
    if (series->has_histograms)
        uneven->histograms = series->open.histograms;
    else
        uneven->values = series->open.values;
    begin_gaps(&head->blocks, series, uneven);
    series->odd_gap_ms = 0;
    series->open.uneven = uneven;
    series->is_uneven = true;
}

static void free_histograms(struct head *head, struct head_histograms *owned)
{
    head->code_bytes -= owned->codes.len;
    buffer_release(&owned->codes);
    histogram_release(&owned->staged);
    free(owned);
}

static void free_samples(struct head *head, uint32_t id)
{
    struct head_series *series = head->at[id];
    free_sketches(head, id);
    if (series->has_histograms)
        free_histograms(head, head_histograms(series));
    else
        run_free(&head->blocks, values_of(series));
    if (series->is_uneven) {
        run_free(&head->blocks, &series->open.uneven->gaps);
        pool_give(&head->uneven, series->open.uneven);
    }
    series->open.values = NULL;
    series->is_uneven = series->has_histograms = series->from_zero = false;
    series->odd_gap_ms = 0;
}

void head_remove(struct head *head, uint32_t id)
{
    struct head_series *series = head->at[id];
    head->samples -= series->count;
    head->series--;
    free_samples(head, id);
    pool_give(&head->entries, series);
    head->at[id] = NULL;
}

void head_clear(struct head *head, uint32_t id)
{
    struct head_series *series = head->at[id];
    head->samples -= series->count;
    series->sealed_ms = series->last_ms;
    series->sealed_once = true;
    series->count = 0;
    free_samples(head, id);
}

/* --- staging --- */

void head_stage(struct head *head, uint32_t id, int64_t time_ms, uint64_t bits)
{
    if (id >= head->staged_capacity) {
        struct head_staged *grown = alloc_zeroed(head->capacity, sizeof *grown);
        if (head->staged)
            memcpy(grown, head->staged, head->staged_capacity * sizeof *grown);
        free(head->staged);
        head->staged = grown;
        head->staged_capacity = head->capacity;
    }
    head->staged[id] = (struct head_staged){time_ms + 1, bits};
}

void head_end_staging(struct head *head)
{
    free(head->staged);
    head->staged = NULL;
    head->staged_capacity = 0;
}

void head_unstage(struct head_series *series)
{
    if (series->has_histograms)
        head_histograms(series)->code_full = true;
}

/* --- growing --- */

/* Is the gap what all others are, but for the odd one? The first is, whatever it be. */
static bool is_even(const struct head_series *series, int64_t gap)
{
    int64_t sum;
    return !__builtin_mul_overflow(gap, alike(series), &sum) && sum == alike_ms(series);
}

static void set_odd(struct head_series *series, uint32_t at, int64_t gap)
{
    series->odd_at = at & ODD_AT_MAX;
    series->odd_gap_ms = (uint64_t)gap & ODD_GAP_MAX;
}

/* Makes this gap the odd one; or, where it is the third and like the second, the first. False: there are two
 * odd ones, or the entry has no room for one so long or so late. */
static bool take_odd(struct head_series *series, int64_t gap)
{
    int64_t step = step_of(series);
    if (!series->odd_gap_ms && gap <= ODD_GAP_MAX && series->count <= ODD_AT_MAX) {
        set_odd(series, series->count, gap);
        return true;
    }
    if (series->count != 3 || gap != series->odd_gap_ms || step > ODD_GAP_MAX)
        return false;
    set_odd(series, 1, step);
    return true;
}

static void append_time(struct head *head, struct head_series *series, int64_t time_ms)
{
    int64_t gap = time_ms - series->last_ms;
    if (!series->is_uneven) {
        if (is_even(series, gap) || take_odd(series, gap))
            return;
        make_uneven(head, series);
    }
    struct head_uneven *uneven = series->open.uneven;
    run_append_gap(&head->blocks, &uneven->gaps, gap - uneven->step_ms);
}

static void count_sample(struct head *head, struct head_series *series, int64_t time_ms)
{
    assert(series->count == 0 || time_ms > series->last_ms);
    assert(time_ms >= 0 && time_ms <= TIME_MS_MAX);
    if (series->count == 0)
        series->first_ms = time_ms & TIME_MASK;
    else
        append_time(head, series, time_ms);
    series->last_ms = time_ms;
    assert(series->count < COUNT_MAX);
    series->count = (series->count + 1) & COUNT_MAX;
    head->samples++;
}

/* The values there are, from now on as a run. */
static void begin_values(struct head *head, struct head_series *series)
{
    struct run_pool *pool = &head->blocks;
    struct run_block **values = values_of(series);
    double last = series->last_value;
    if (series->from_zero)
        run_append_value(pool, values, 0, 0);
    run_append_value(pool, values, 0, last);
    run_repeat(pool, values, (size_t)series->count - 1 - series->from_zero);
    series->from_zero = false;
}

void head_append_value(struct head *head, struct head_series *series, int64_t time_ms, double value)
{
    double last = series->last_value;
    bool same = series->count == 0 || double_bits(value) == double_bits(last);
    assert(!series->has_histograms);
    if (!same && !run_of(series)) {
        if (series->count == 1 && double_bits(last) == 0)
            series->from_zero = true;
        else
            begin_values(head, series);
    }
    if (run_of(series))
        run_append_value(&head->blocks, values_of(series), last, value);
    series->last_value = value;
    count_sample(head, series, time_ms);
}

void head_append_histogram(struct head *head, struct head_series *series, int64_t time_ms,
                           struct slice code)
{
    buffer_append_slice(&head_histograms(series)->codes, code);
    head->code_bytes += code.len;
    count_sample(head, series, time_ms);
}

void head_append_sketch(struct head *head, uint32_t id, struct slice code)
{
    bool fresh;
    struct table_entry *entry = table_insert(&head->sketches, key_of(&id), &fresh);
    assert(entry && head->at[id]->count);
    if (fresh) {
        entry->value.pointer = alloc_zeroed(1, sizeof(struct head_sketches));
        buffer_init(&((struct head_sketches *)entry->value.pointer)->codes, SIZE_MAX);
    }
    struct head_sketches *sketches = entry->value.pointer;
    size_t before = sketches->codes.len;
    buffer_append_varint(&sketches->codes, head->at[id]->count - 1 - sketches->next);
    buffer_append_prefixed(&sketches->codes, code);
    sketches->next = head->at[id]->count;
    head->code_bytes += sketches->codes.len - before;
}

/* --- reading --- */

static struct run_grid grid_of(const struct head_series *series)
{
    return (struct run_grid){series->first_ms, step_of(series)};
}

/* Of the first sample behind the odd gap. */
static int64_t time_behind_odd(const struct head_series *series, int64_t step)
{
    return series->first_ms + ((int64_t)series->odd_at - 1) * step + (int64_t)series->odd_gap_ms;
}

size_t head_find(const struct head_series *series, int64_t time_ms)
{
    if (series->count == 0 || time_ms <= series->first_ms)
        return 0;
    if (time_ms > series->last_ms)
        return series->count;
    if (series->is_uneven)
        return run_find_time(series->open.uneven->gaps, grid_of(series), series->count, time_ms);
    int64_t behind = time_ms - series->first_ms, step = step_of(series);
    size_t from = 0;
    assert(step > 0); /* two samples at least, or there would be no time between them */
    if (series->odd_gap_ms && behind > ((int64_t)series->odd_at - 1) * step) {
        from = series->odd_at;
        behind = time_ms - time_behind_odd(series, step);
    }
    return behind > 0 ? from + (size_t)((behind + step - 1) / step) : from;
}

void head_times(const struct head_series *series, size_t from, size_t count, int64_t *out)
{
    struct run_grid grid = grid_of(series);
    if (series->is_uneven) {
        run_times(series->open.uneven->gaps, grid, from, count, out);
        return;
    }
    size_t end = from + count, odd = series->odd_gap_ms ? series->odd_at : end, i = from;
    for (; i < end && i < odd; i++)
        *out++ = grid.first + (int64_t)i * grid.step;
    for (int64_t start = time_behind_odd(series, grid.step); i < end; i++)
        *out++ = start + (int64_t)(i - odd) * grid.step;
}

void head_values(const struct head_series *series, size_t from, size_t count, double *out)
{
    if (run_of(series)) {
        run_values(run_of(series), from, count, out);
        return;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = series->last_value;
    if (series->from_zero && from == 0 && count)
        out[0] = 0;
}

double head_last_value(const struct head_series *series)
{
    assert(series->count);
    return series->last_value;
}

static const struct head_sketches *find_sketches(const struct head *head, uint32_t id)
{
    struct table_entry *entry =
        head->sketches.count ? table_find(&head->sketches, key_of(&id)) : NULL;
    return entry ? entry->value.pointer : NULL;
}

bool head_has_sketches(const struct head *head, uint32_t id)
{
    return find_sketches(head, id);
}

struct slice *head_read_sketches(const struct head *head, uint32_t id, size_t from, size_t count,
                                 struct arena *arena)
{
    struct slice *out = arena_alloc(arena, count * sizeof *out);
    const struct head_sketches *sketches = find_sketches(head, id);
    struct slice rest = sketches ? buffer_slice(&sketches->codes) : SLICE(""), code;
    uint64_t gap;
    for (size_t i = 0; out && i < count; i++)
        out[i] = SLICE("");
    for (size_t i = 0; out && rest.len; i++) {
        bool sound = bytes_cut_varint(&rest, &gap) && bytes_cut_prefixed(&rest, &code);
        assert(sound);
        i += (size_t)gap;
        if (i >= from + count)
            break;
        if (i < from)
            continue;
        out[i - from] = arena_copy(arena, code);
        if (!out[i - from].at)
            return NULL;
    }
    return out;
}

bool head_read_histograms(const struct head_series *series, size_t from, size_t count,
                          struct arena *arena, const struct histogram **out)
{
    struct slice rest = buffer_slice(&head_histograms(series)->codes);
    struct histogram running;
    bool stale, enough = true;
    histogram_init(&running);
    for (size_t i = 0; enough && i < from + count; i++) {
        bool sound = histogram_code_cut(&rest, &running, &stale);
        assert(sound);
        if (i < from)
            continue;
        out[i - from] = stale ? NULL : histogram_copy(arena, &running);
        enough = stale || out[i - from];
    }
    histogram_release(&running);
    return enough;
}
