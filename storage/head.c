/* head: open samples in as few bytes as plain arrays allow.
 *
 *   evenly spaced, all equal     no arrays at all           (an idle counter)
 *   evenly spaced                values[]                   (most series: one flush grid)
 *   else                         times[] and values[]
 *   histograms                   one growing buffer of codes
 *
 * Arrays grow 8, 16 ... 256, then by 128; the capacity follows from the count and is not stored.
 * Queries copy from here more than from anywhere else, so values lie ready as doubles.
 */
#include "storage/head.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/column.h"

#define ARRAY_MIN  ((size_t)8)
#define ARRAY_STEP ((size_t)128)

void head_release(struct head *head)
{
    for (uint32_t id = 0; id < head->capacity; id++)
        if (head->at[id])
            head_remove(head, id);
    free(head->at);
    *head = (struct head){0};
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
    struct head_series *series = alloc_zeroed(1, sizeof *series);
    series->sealed_ms = series->staged_ms = TIME_UNKNOWN;
    head->at[id] = series;
    head->series++;
    return series;
}

static void free_samples(struct head_series *series)
{
    free(series->times);
    free(series->values);
    series->times = NULL;
    series->values = NULL;
    if (series->histograms) {
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
    free_samples(series);
    free(series);
    head->at[id] = NULL;
}

void head_clear(struct head *head, struct head_series *series)
{
    head->samples -= series->count;
    series->sealed_ms = series->last_ms;
    series->sealed_once = true;
    series->count = 0;
    free_samples(series);
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

/* Room for this many entries, as a function of the count alone. */
static size_t capacity_of(size_t count)
{
    size_t capacity = ARRAY_MIN;
    while (capacity < count)
        capacity += capacity < 2 * ARRAY_STEP ? capacity : ARRAY_STEP;
    return capacity;
}

static bool at_capacity(size_t count)
{
    return count % ARRAY_STEP == 0 || (count >= ARRAY_MIN && (count & (count - 1)) == 0);
}

static void spread_times(struct head_series *series)
{
    series->times = alloc_resize(NULL, capacity_of(series->count + 1), sizeof *series->times);
    for (uint32_t i = 0; i < series->count; i++)
        series->times[i] = series->first_ms + (int64_t)i * series->step_ms;
}

static void append_time(struct head_series *series, int64_t time_ms)
{
    int64_t gap = time_ms - series->last_ms;
    if (!series->times) {
        if (series->count == 1 && gap <= UINT32_MAX)
            series->step_ms = (uint32_t)gap;
        if (gap == series->step_ms)
            return;
        spread_times(series);
    } else if (at_capacity(series->count)) {
        series->times =
            alloc_resize(series->times, capacity_of(series->count + 1), sizeof *series->times);
    }
    series->times[series->count] = time_ms;
}

static void count_sample(struct head *head, struct head_series *series, int64_t time_ms)
{
    assert(series->count == 0 || time_ms > series->last_ms);
    if (series->count == 0) {
        series->first_ms = time_ms;
        series->step_ms = 0;
    } else {
        append_time(series, time_ms);
    }
    series->last_ms = time_ms;
    series->count++;
    head->samples++;
}

void head_append_value(struct head *head, struct head_series *series, int64_t time_ms, double value)
{
    if (series->count == 0) {
        series->first_value = value;
    } else if (!series->values) {
        if (double_bits(value) != double_bits(series->first_value)) {
            series->values =
                alloc_resize(NULL, capacity_of(series->count + 1), sizeof *series->values);
            for (uint32_t i = 0; i < series->count; i++)
                series->values[i] = series->first_value;
        }
    } else if (at_capacity(series->count)) {
        series->values =
            alloc_resize(series->values, capacity_of(series->count + 1), sizeof *series->values);
    }
    if (series->values)
        series->values[series->count] = value;
    count_sample(head, series, time_ms);
}

void head_append_histogram(struct head *head, struct head_series *series, int64_t time_ms,
                           struct slice code)
{
    buffer_append_slice(&series->histograms->codes, code);
    count_sample(head, series, time_ms);
}

/* --- reading --- */

static int64_t time_at(const struct head_series *series, size_t i)
{
    return series->times ? series->times[i] : series->first_ms + (int64_t)i * series->step_ms;
}

size_t head_find(const struct head_series *series, int64_t time_ms)
{
    size_t low = 0, high = series->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (time_at(series, middle) < time_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void head_times(const struct head_series *series, size_t from, size_t count, int64_t *out)
{
    if (series->times) {
        memcpy(out, series->times + from, count * sizeof *out);
        return;
    }
    int64_t start = series->first_ms + (int64_t)from * series->step_ms;
    for (size_t i = 0; i < count; i++)
        out[i] = start + (int64_t)i * series->step_ms;
}

void head_values(const struct head_series *series, size_t from, size_t count, double *out)
{
    if (series->values) {
        memcpy(out, series->values + from, count * sizeof *out);
        return;
    }
    for (size_t i = 0; i < count; i++)
        out[i] = series->first_value;
}

double head_last_value(const struct head_series *series)
{
    assert(series->count);
    return series->values ? series->values[series->count - 1] : series->first_value;
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
