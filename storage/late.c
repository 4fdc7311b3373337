/* late: see the header.
 *
 *   runs   series -> times  [ 10 | 30 | 35 ]      sorted, distinct
 *                    values [  1 |  7 |  2 ]    and codes, for a set; histograms: codes alone
 *
 * Most late samples come in order among themselves, so that putting one is appending it; the others
 * are moved in. Runs stay short, because storage/merge.c takes them away. Durable they are as head
 * log records of kind LATE (and MERGED, once they are in chunks): storage/headlog.h.
 */
#include "storage/late.h"

#include <assert.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/code/histogram_code.h"

#define RUN_CAPACITY_MIN ((size_t)8)
#define RUN_LONG         ((size_t)8192)
#define SAMPLE_BYTES     (sizeof(int64_t) + sizeof(double))

static struct slice key_of(const uint32_t *series)
{
    return slice_make((const char *)series, sizeof *series);
}

void late_init(struct late *late)
{
    *late = (struct late){0};
    table_init(&late->runs, SIZE_MAX);
}

static void free_run(struct late_run *run)
{
    for (size_t i = 0; run->codes && i < run->count; i++)
        free(run->codes[i].at);
    free(run->times);
    free(run->values);
    free(run->codes);
    free(run);
}

void late_release(struct late *late)
{
    size_t cursor = 0;
    for (struct late_run *run; (run = late_next(late, &cursor));)
        free_run(run);
    table_release(&late->runs);
    *late = (struct late){0};
}

struct late_run *late_find(const struct late *late, uint32_t series)
{
    struct table_entry *entry = late->samples ? table_find(&late->runs, key_of(&series)) : NULL;
    return entry ? entry->value.pointer : NULL;
}

struct late_run *late_next(const struct late *late, size_t *cursor)
{
    struct table_entry *entry = table_next(&late->runs, cursor);
    return entry ? entry->value.pointer : NULL;
}

/* --- putting and removing --- */

static struct late_run *make_run(struct late *late, const struct late_sample *sample)
{
    bool fresh;
    struct table_entry *entry = table_insert(&late->runs, key_of(&sample->series), &fresh);
    assert(entry);
    if (!fresh)
        return entry->value.pointer;
    struct late_run *run = alloc_zeroed(1, sizeof *run);
    run->series = sample->series;
    run->since_s = sample->now_s;
    run->first_sequence = sample->sequence;
    late->bytes += sizeof *run;
    entry->value.pointer = run;
    return run;
}

/* Opens a gap at `place`. */
static void make_gap(struct late_run *run, size_t place, bool histogram)
{
    size_t behind = run->count - place;
    if (run->count == run->capacity) {
        run->capacity = run->capacity ? run->capacity * 2 : RUN_CAPACITY_MIN;
        run->times = alloc_resize(run->times, run->capacity, sizeof *run->times);
        if (histogram || run->codes)
            run->codes = alloc_resize(run->codes, run->capacity, sizeof *run->codes);
        if (!histogram)
            run->values = alloc_resize(run->values, run->capacity, sizeof *run->values);
    }
    assert(histogram == !run->values);
    memmove(run->times + place + 1, run->times + place, behind * sizeof *run->times);
    if (run->codes)
        memmove(run->codes + place + 1, run->codes + place, behind * sizeof *run->codes);
    if (run->values)
        memmove(run->values + place + 1, run->values + place, behind * sizeof *run->values);
    run->count++;
}

/* Takes the place of what code there was; an empty one may need no place. */
static void put_code(struct late *late, struct late_run *run, size_t place, bool again,
                     struct slice code)
{
    if (!run->codes && code.len) {
        run->codes = alloc_zeroed(run->capacity, sizeof *run->codes);
        again = true;
    }
    if (!run->codes)
        return;
    if (again) {
        late->bytes -= run->codes[place].len;
        free(run->codes[place].at);
    }
    run->codes[place] = (struct late_code){NULL, (uint32_t)code.len};
    if (code.len == 0)
        return;
    run->codes[place].at = alloc_resize(NULL, code.len, 1);
    memcpy(run->codes[place].at, code.at, code.len);
    late->bytes += code.len;
}

void late_put(struct late *late, const struct late_sample *sample)
{
    struct late_run *run = make_run(late, sample);
    bool histogram = sample->code.len > 0 && !sample->sketch;
    size_t place = run->count && run->times[run->count - 1] < sample->time_ms
                       ? run->count
                       : late_lower_bound(run, sample->time_ms);
    bool again = place < run->count && run->times[place] == sample->time_ms;
    if (!again) {
        make_gap(run, place, histogram);
        run->times[place] = sample->time_ms;
        late->samples++;
        late->bytes += SAMPLE_BYTES;
        if (run->count >= RUN_LONG) {
            late->is_long = true;
            late->longest = sample->series;
        }
    }
    if (!histogram)
        run->values[place] = sample->value;
    put_code(late, run, place, again, sample->code);
}

int64_t late_remove(struct late *late, uint32_t series, int64_t from_ms, int64_t until_ms)
{
    struct late_run *run = late_find(late, series);
    if (!run)
        return INT64_MIN;
    size_t from = late_lower_bound(run, from_ms), to = late_lower_bound(run, until_ms + 1);
    if (from >= to)
        return INT64_MIN;
    int64_t newest = run->times[to - 1];
    for (size_t i = from; run->codes && i < to; i++) {
        late->bytes -= run->codes[i].len;
        free(run->codes[i].at);
    }
    size_t behind = run->count - to;
    memmove(run->times + from, run->times + to, behind * sizeof *run->times);
    if (run->codes)
        memmove(run->codes + from, run->codes + to, behind * sizeof *run->codes);
    if (run->values)
        memmove(run->values + from, run->values + to, behind * sizeof *run->values);
    run->count -= to - from;
    late->samples -= to - from;
    late->bytes -= (to - from) * SAMPLE_BYTES;
    if (run->count == 0) {
        late->bytes -= sizeof *run;
        table_remove(&late->runs, key_of(&series), NULL);
        free_run(run);
    }
    return newest;
}

/* --- reading --- */

size_t late_lower_bound(const struct late_run *run, int64_t time_ms)
{
    size_t low = 0, high = run->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (run->times[middle] < time_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool late_overlaps(const struct late_run *run, int64_t start_ms, int64_t end_ms)
{
    size_t place = run ? late_lower_bound(run, start_ms) : 0;
    return run && place < run->count && run->times[place] <= end_ms;
}

bool late_any_overlaps(const struct late *late, int64_t start_ms, int64_t end_ms)
{
    size_t cursor = 0;
    bool found = false;
    for (const struct late_run *run; !found && (run = late_next(late, &cursor));)
        found = late_overlaps(run, start_ms, end_ms);
    return found;
}

/* *out is NULL for a stale marker. False when the arena is exhausted. */
static bool copy_histogram(const struct late_code *code, struct arena *arena,
                           const struct histogram **out)
{
    struct slice rest = slice_make(code->at, code->len);
    struct histogram running;
    bool stale;
    histogram_init(&running);
    bool sound = histogram_code_cut(&rest, &running, &stale);
    assert(sound);
    *out = stale ? NULL : histogram_copy(arena, &running);
    histogram_release(&running);
    return stale || *out;
}

/* Of the samples from `from` on; NULL when the arena is exhausted. */
static const struct slice *copy_sketches(const struct late_run *run, size_t from, size_t count,
                                         struct arena *arena)
{
    struct slice *out = arena_alloc(arena, count * sizeof *out);
    for (size_t i = 0; out && i < count; i++) {
        const struct late_code *code = &run->codes[from + i];
        out[i] = code->len ? arena_copy(arena, slice_make(code->at, code->len)) : SLICE("");
        if (!out[i].at)
            return NULL;
    }
    return out;
}

bool late_copy(const struct late_run *run, const struct store_span *span, struct arena *arena,
               struct store_column *out)
{
    size_t from = late_lower_bound(run, span->start_ms);
    size_t to = span->end_ms == INT64_MAX ? run->count : late_lower_bound(run, span->end_ms + 1);
    size_t count = to > from ? to - from : 0;
    *out = (struct store_column){.count = count};
    if (count == 0)
        return true;
    int64_t *times = arena_alloc(arena, count * sizeof *times);
    const struct histogram **histograms =
        run->values ? NULL : arena_alloc(arena, count * sizeof *histograms);
    double *values = run->values ? arena_alloc(arena, count * sizeof *values) : NULL;
    if (!times || (!values && !histograms))
        return false;
    memcpy(times, run->times + from, count * sizeof *times);
    if (values)
        memcpy(values, run->values + from, count * sizeof *values);
    for (size_t i = 0; histograms && i < count; i++)
        if (!copy_histogram(&run->codes[from + i], arena, &histograms[i]))
            return false;
    out->times = times;
    out->values = values;
    out->histograms = histograms;
    if (values && run->codes)
        out->sketches = copy_sketches(run, from, count, arena);
    return !arena->exhausted;
}

bool column_overlay(const struct store_column *base, const struct store_column *over,
                    struct arena *arena, struct store_column *out)
{
    size_t most = base->count + over->count, count = 0;
    bool histogram = over->count ? over->histograms != NULL : base->histograms != NULL;
    int64_t *times = arena_alloc(arena, most * sizeof *times);
    const struct histogram **histograms =
        histogram ? arena_alloc(arena, most * sizeof *histograms) : NULL;
    double *values = histogram ? NULL : arena_alloc(arena, most * sizeof *values);
    bool any = base->sketches || over->sketches;
    struct slice *sketches = any ? arena_alloc(arena, most * sizeof *sketches) : NULL;
    if (!times || (!values && !histograms) || (any && !sketches))
        return false;
    for (size_t i = 0, k = 0; i < base->count || k < over->count; count++) {
        bool late = k < over->count && (i == base->count || over->times[k] <= base->times[i]);
        const struct store_column *from = late ? over : base;
        size_t place = late ? k++ : i++;
        times[count] = from->times[place];
        if (late && i < base->count && base->times[i] == times[count])
            i++;
        if (histogram)
            histograms[count] = from->histograms[place];
        else
            values[count] = from->values[place];
        if (any)
            sketches[count] = from->sketches ? from->sketches[place] : SLICE("");
    }
    out->count = count;
    out->times = times;
    out->values = values;
    out->histograms = histograms;
    out->sketches = sketches;
    return true;
}
