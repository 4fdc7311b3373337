/* head: open samples in as few bytes as can be read and appended to at once.
 *
 *   evenly spaced, all equal     nothing beside the entry    (an idle counter; the 0 before its
 *                                                            first increment may differ)
 *   evenly spaced                a run of values             (most series: one flush grid)
 *   else                         a run of gaps too
 *   histograms                   one growing buffer of codes
 *   sketches of a set            another one beside the values, in a table of its own
 *
 * Runs (run.c) take a byte or two a sample. A run begins when the first sample differs, with the
 * number of those that did not.
 */
#include "storage/head.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/code/column.h"

void head_init(struct head *head)
{
    *head = (struct head){0};
    table_init(&head->sketches, SIZE_MAX);
    pool_init(&head->entries, sizeof(struct head_series));
    pool_init(&head->blocks, RUN_BLOCK_BYTES);
}

void head_release(struct head *head)
{
    for (uint32_t id = 0; id < head->capacity; id++)
        if (head->at[id])
            head_remove(head, id);
    free(head->at);
    table_release(&head->sketches);
    pool_release(&head->entries);
    pool_release(&head->blocks);
    head_init(head);
}

size_t head_sample_bytes(const struct head *head)
{
    return head->blocks.used * RUN_BLOCK_BYTES + head->code_bytes;
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
    series->sealed_ms = series->staged_ms = TIME_UNKNOWN;
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

static void free_samples(struct head *head, uint32_t id)
{
    struct head_series *series = head->at[id];
    free_sketches(head, id);
    run_free(&head->blocks, &series->times);
    run_free(&head->blocks, &series->values);
    series->from_zero = false;
    if (series->histograms) {
        head->code_bytes -= series->histograms->codes.len;
        buffer_release(&series->histograms->codes);
        histogram_release(&series->histograms->staged);
        free(series->histograms);
        series->histograms = NULL;
    }
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

void head_unstage(struct head_series *series)
{
    series->staged_count = 0;
    series->staged_ms = series->count ? series->last_ms : series->sealed_ms;
    if (series->histograms)
        series->histograms->code_full = true;
    else if (series->count)
        series->staged_bits = double_bits(head_last_value(series));
}

/* --- growing --- */

static void append_time(struct head *head, struct head_series *series, int64_t time_ms)
{
    int64_t gap = time_ms - series->last_ms;
    if (!series->times) {
        if (series->count == 1 && gap <= UINT32_MAX)
            series->step_ms = (uint32_t)gap;
        if (gap == series->step_ms)
            return;
        run_repeat(&head->blocks, &series->times, series->count - 1);
    }
    run_append_gap(&head->blocks, &series->times, gap - series->step_ms);
}

static void count_sample(struct head *head, struct head_series *series, int64_t time_ms)
{
    assert(series->count == 0 || time_ms > series->last_ms);
    if (series->count == 0) {
        series->first_ms = time_ms;
        series->step_ms = 0;
    } else {
        append_time(head, series, time_ms);
    }
    series->last_ms = time_ms;
    series->count++;
    head->samples++;
}

/* The values there are, from now on as a run. */
static void begin_values(struct head *head, struct head_series *series)
{
    struct pool *pool = &head->blocks;
    double last = series->last_value;
    if (series->from_zero)
        run_append_value(pool, &series->values, 0, 0);
    run_append_value(pool, &series->values, 0, last);
    run_repeat(pool, &series->values, (size_t)series->count - 1 - series->from_zero);
    series->from_zero = false;
}

void head_append_value(struct head *head, struct head_series *series, int64_t time_ms, double value)
{
    double last = series->last_value;
    bool same = series->count == 0 || double_bits(value) == double_bits(last);
    if (!series->values && !same) {
        if (series->count == 1 && double_bits(last) == 0)
            series->from_zero = true;
        else
            begin_values(head, series);
    }
    if (series->values)
        run_append_value(&head->blocks, &series->values, last, value);
    series->last_value = value;
    count_sample(head, series, time_ms);
}

void head_append_histogram(struct head *head, struct head_series *series, int64_t time_ms,
                           struct slice code)
{
    buffer_append_slice(&series->histograms->codes, code);
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
    return (struct run_grid){series->first_ms, series->step_ms};
}

size_t head_find(const struct head_series *series, int64_t time_ms)
{
    if (series->count == 0 || time_ms <= series->first_ms)
        return 0;
    if (time_ms > series->last_ms)
        return series->count;
    if (series->times)
        return run_find_time(series->times, grid_of(series), series->count, time_ms);
    int64_t behind = time_ms - series->first_ms;
    return (size_t)((behind + series->step_ms - 1) / series->step_ms);
}

void head_times(const struct head_series *series, size_t from, size_t count, int64_t *out)
{
    if (series->times) {
        run_times(series->times, grid_of(series), from, count, out);
        return;
    }
    int64_t start = series->first_ms + (int64_t)from * series->step_ms;
    for (size_t i = 0; i < count; i++)
        out[i] = start + (int64_t)i * series->step_ms;
}

void head_values(const struct head_series *series, size_t from, size_t count, double *out)
{
    if (series->values) {
        run_values(series->values, from, count, out);
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
    struct slice rest = buffer_slice(&series->histograms->codes);
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
