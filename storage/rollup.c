/* rollup: the fold, one pass over the samples.
 *
 *   samples   . . .|. x . . .|     |. . .|      x stale marker, | borders
 *   buckets       b0        b1          b3      b2 is empty and not there
 *
 * `drop` sums the values before each fall inside the bucket. So the rise of a counter over one bucket
 * is last - first + drop, and over two the rises and what it rose or fell between them: a fall
 * between a.last and b.first adds a.last. Values are told to fall, and histograms to begin anew, by
 * the very comparisons that the range functions make.
 *
 * Sums are compensated (Neumaier), as those of the range functions are: folding in pieces then
 * comes as close to the true sum as folding at once.
 *
 * Columns lie in separate arrays because readers hand them on as such. One table says which there
 * are; growing and copying walk it.
 */
#include "storage/rollup.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "storage/base/alloc.h"

#define CAPACITY_MIN 64

const int64_t rollup_tier_ms[STORE_TIER_COUNT] = {
    [STORE_5M] = STORE_5M_MS,
    [STORE_1H] = STORE_1H_MS,
};

/* Every array of a rollup, by its place and the size of an entry. */
static const struct array {
    size_t offset;
    size_t size;
} arrays[] = {
    {offsetof(struct rollup, end_ms), sizeof(int64_t)},
    {offsetof(struct rollup, counts), sizeof(uint32_t)},
    {offsetof(struct rollup, first_ms), sizeof(int64_t)},
    {offsetof(struct rollup, last_ms), sizeof(int64_t)},
    {offsetof(struct rollup, first), sizeof(double)},
    {offsetof(struct rollup, last), sizeof(double)},
    {offsetof(struct rollup, sum), sizeof(double)},
    {offsetof(struct rollup, min), sizeof(double)},
    {offsetof(struct rollup, max), sizeof(double)},
    {offsetof(struct rollup, drop), sizeof(double)},
    {offsetof(struct rollup, ended), sizeof(bool)},
    {offsetof(struct rollup, first_histogram), sizeof(struct histogram *)},
    {offsetof(struct rollup, last_histogram), sizeof(struct histogram *)},
    {offsetof(struct rollup, drop_histogram), sizeof(struct histogram *)},
    {offsetof(struct rollup, sketches), sizeof(struct slice)},
};
#define ARRAYS (sizeof arrays / sizeof *arrays)

static void *array_get(const struct rollup *rollup, size_t i)
{
    void *at;
    memcpy(&at, (const char *)rollup + arrays[i].offset, sizeof at);
    return at;
}

static void array_set(struct rollup *rollup, size_t i, void *at)
{
    memcpy((char *)rollup + arrays[i].offset, &at, sizeof at);
}

void rollup_init(struct rollup *rollup)
{
    *rollup = (struct rollup){.has_drop = true};
}

void rollup_release(struct rollup *rollup)
{
    for (size_t i = 0; i < ARRAYS; i++)
        free(array_get(rollup, i));
    *rollup = (struct rollup){.count = 0};
}

void rollup_reset(struct rollup *rollup, bool histograms, int64_t width_ms)
{
    assert(width_ms > 0);
    rollup->histograms = histograms;
    rollup->has_drop = true;
    rollup->count = rollup->damaged = 0;
    rollup->without = 0;
    rollup->width_ms = width_ms;
}

void rollup_reserve(struct rollup *rollup, size_t count)
{
    size_t need = rollup->count + count;
    if (need <= rollup->capacity)
        return;
    rollup->capacity = rollup->capacity ? rollup->capacity : CAPACITY_MIN;
    while (rollup->capacity < need)
        rollup->capacity *= 2;
    for (size_t i = 0; i < ARRAYS; i++)
        array_set(rollup, i, alloc_resize(array_get(rollup, i), rollup->capacity, arrays[i].size));
}

/* The place of the bucket that this time falls into: the last one, or a new one. */
static size_t bucket_at(struct rollup *rollup, int64_t time_ms)
{
    int64_t end = bucket_end(time_ms, rollup->width_ms);
    if (rollup->count && rollup->end_ms[rollup->count - 1] == end)
        return rollup->count - 1;
    rollup_reserve(rollup, 1);
    size_t i = rollup->count++;
    rollup->end_ms[i] = end;
    rollup->counts[i] = 0;
    rollup->first_ms[i] = rollup->last_ms[i] = time_ms;
    rollup->first[i] = rollup->last[i] = rollup->sum[i] = rollup->drop[i] = 0;
    rollup->min[i] = rollup->max[i] = NAN;
    rollup->ended[i] = false;
    rollup->first_histogram[i] = rollup->last_histogram[i] = rollup->drop_histogram[i] = NULL;
    rollup->sketches[i] = SLICE("");
    return i;
}

static void note_extremes(struct rollup *rollup, size_t i, double min, double max)
{
    if (min < rollup->min[i] || isnan(rollup->min[i]))
        rollup->min[i] = min;
    if (max > rollup->max[i] || isnan(rollup->max[i]))
        rollup->max[i] = max;
}

static void note_time(struct rollup *rollup, size_t i, int64_t first_ms, int64_t last_ms)
{
    if (rollup->counts[i] == 0)
        rollup->first_ms[i] = first_ms;
    rollup->last_ms[i] = last_ms;
    rollup->ended[i] = false;
}

/* --- values --- */

struct sum {
    double total, carry;
};

static void sum_add(struct sum *sum, double value)
{
    double total = sum->total + value;
    if (isinf(total))
        sum->carry = 0;
    else if (fabs(sum->total) >= fabs(value))
        sum->carry += sum->total - total + value;
    else
        sum->carry += value - total + sum->total;
    sum->total = total;
}

static double sum_of(const struct sum *sum)
{
    return isinf(sum->total) ? sum->total : sum->total + sum->carry;
}

/* Folds the first of the samples that fall into one bucket; returns how many. */
static size_t fold_values(struct rollup *rollup, const int64_t *times, const double *values,
                          size_t count)
{
    size_t b = bucket_at(rollup, times[0]), i = 0;
    struct sum sum = {rollup->sum[b], 0};
    for (; i < count && times[i] <= rollup->end_ms[b]; i++) {
        double value = values[i];
        if (is_stale_nan(value)) {
            rollup->ended[b] = true;
            continue;
        }
        note_time(rollup, b, times[i], times[i]);
        if (rollup->counts[b] == 0)
            rollup->first[b] = value;
        else if (value < rollup->last[b])
            rollup->drop[b] += rollup->last[b];
        rollup->counts[b]++;
        rollup->last[b] = value;
        note_extremes(rollup, b, value, value);
        sum_add(&sum, value);
    }
    rollup->sum[b] = sum_of(&sum);
    return i;
}

void rollup_add_values(struct rollup *rollup, const int64_t *times, const double *values,
                       size_t count)
{
    for (size_t from = 0; from < count;)
        from += fold_values(rollup, times + from, values + from, count - from);
}

/* --- histograms --- */

/* The sum of both, either of which may be NULL. NULL too when the arena is exhausted. */
static const struct histogram *add(const struct histogram *a, const struct histogram *b,
                                   struct arena *arena)
{
    if (!a || !b)
        return a ? a : b;
    struct histogram sum = *a;
    sum.positive.capacity = sum.negative.capacity = 0; /* borrowed: merging copies them */
    histogram_merge(&sum, b);
    const struct histogram *out = histogram_copy(arena, &sum);
    histogram_release(&sum);
    return out;
}

/* The bucket's last histogram is followed by `next`. */
static bool note_fall(struct rollup *rollup, size_t i, const struct histogram *next,
                      struct arena *arena)
{
    const struct histogram *last = rollup->last_histogram[i];
    if (histogram_fell(last, next))
        rollup->drop_histogram[i] = add(rollup->drop_histogram[i], last, arena);
    return !arena->exhausted;
}

bool rollup_add_histograms(struct rollup *rollup, const int64_t *times,
                           const struct histogram *const *histograms, size_t count,
                           struct arena *arena)
{
    for (size_t i = 0; i < count; i++) {
        const struct histogram *next = histograms[i];
        size_t b = bucket_at(rollup, times[i]);
        if (!next) {
            rollup->ended[b] = true;
            continue;
        }
        note_time(rollup, b, times[i], times[i]);
        if (rollup->counts[b] == 0)
            rollup->first_histogram[b] = next;
        else if (!note_fall(rollup, b, next, arena))
            return false;
        rollup->counts[b]++;
        rollup->last_histogram[b] = next;
        note_extremes(rollup, b, next->min, next->max);
    }
    return true;
}

/* --- sketches --- */

/* The union of the codes, in the arena; {NULL, 0} when it is exhausted. One that is damaged counts
 * as none. */
static struct slice unite(const struct slice *codes, size_t count, struct arena *arena)
{
    struct sketch all;
    struct buffer code;
    sketch_init(&all);
    buffer_init(&code, SKETCH_CODE_MAX);
    for (size_t i = 0; i < count; i++) {
        bool sound = codes[i].len == 0 || sketch_merge_code(&all, codes[i]);
        (void)sound;
    }
    sketch_encode(&all, &code);
    struct slice out = arena_copy(arena, buffer_slice(&code));
    buffer_release(&code);
    sketch_release(&all);
    return out;
}

/* Puts the union of the codes into the bucket; most often it has one sample. */
static bool join_sketches(struct rollup *rollup, size_t b, const struct slice *codes, size_t count,
                          struct arena *arena)
{
    struct slice both[2] = {rollup->sketches[b],
                            count == 1 ? codes[0] : unite(codes, count, arena)};
    if (both[0].len == 0)
        rollup->sketches[b] = both[1];
    else if (both[1].len)
        rollup->sketches[b] = unite(both, 2, arena);
    return !arena->exhausted;
}

static bool any_sketch(const struct slice *codes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (codes[i].len)
            return true;
    return false;
}

/* Into the buckets that their samples are folded into. */
static bool add_sketches(struct rollup *rollup, const struct store_column *column,
                         struct arena *arena)
{
    size_t b = rollup->count;
    int64_t first = column->count ? bucket_end(column->times[0], rollup->width_ms) : 0;
    while (b && rollup->end_ms[b - 1] >= first)
        b--;
    for (size_t i = 0, n; i < column->count; i += n, b++) {
        for (n = 1; i + n < column->count && column->times[i + n] <= rollup->end_ms[b];)
            n++;
        if (any_sketch(column->sketches + i, n) &&
            !join_sketches(rollup, b, column->sketches + i, n, arena))
            return false;
    }
    return true;
}

bool rollup_add_column(struct rollup *rollup, const struct store_column *column,
                       struct arena *arena)
{
    rollup->damaged += column->damaged;
    if (column->histograms)
        return rollup_add_histograms(rollup, column->times, column->histograms, column->count,
                                     arena);
    rollup_add_values(rollup, column->times, column->values, column->count);
    return !column->sketches || add_sketches(rollup, column, arena);
}

/* --- buckets --- */

static void join_values(struct rollup *to, size_t b, const struct rollup *from, size_t i)
{
    struct sum sum = {to->sum[b], 0};
    if (to->counts[b] == 0)
        to->first[b] = from->first[i];
    else if (from->first[i] < to->last[b])
        to->drop[b] += to->last[b];
    to->drop[b] += from->drop[i];
    to->last[b] = from->last[i];
    sum_add(&sum, from->sum[i]);
    to->sum[b] = sum_of(&sum);
}

void rollup_add_summary(struct rollup *rollup, int64_t start_ms, int64_t end_ms,
                        const struct chunk_summary *summary)
{
    double first = summary->first, last = summary->last, sum = summary->sum, drop = summary->drop;
    const struct rollup from = {.first = &first, .last = &last, .sum = &sum, .drop = &drop};
    size_t b = bucket_at(rollup, end_ms);
    rollup->has_drop &= !isnan(drop);
    note_time(rollup, b, start_ms, end_ms);
    join_values(rollup, b, &from, 0);
    rollup->counts[b] += (uint32_t)summary->count;
    note_extremes(rollup, b, summary->min, summary->max);
}

static bool join_histograms(struct rollup *to, size_t b, const struct rollup *from, size_t i,
                            struct arena *arena)
{
    if (to->counts[b] == 0)
        to->first_histogram[b] = from->first_histogram[i];
    else if (!note_fall(to, b, from->first_histogram[i], arena))
        return false;
    to->drop_histogram[b] = add(to->drop_histogram[b], from->drop_histogram[i], arena);
    to->last_histogram[b] = from->last_histogram[i];
    return !arena->exhausted;
}

bool rollup_add_bucket(struct rollup *rollup, const struct rollup *finer, size_t i,
                       struct arena *arena)
{
    size_t b = bucket_at(rollup, finer->end_ms[i]);
    rollup->has_drop &= finer->has_drop;
    if (finer->counts[i] == 0) {
        if (rollup->counts[b] == 0)
            rollup->first_ms[b] = rollup->last_ms[b] = finer->last_ms[i];
        rollup->ended[b] = true;
        return true;
    }
    note_time(rollup, b, finer->first_ms[i], finer->last_ms[i]);
    bool enough = true;
    if (rollup->histograms)
        enough = join_histograms(rollup, b, finer, i, arena);
    else
        join_values(rollup, b, finer, i);
    if (finer->sketches[i].len)
        enough = join_sketches(rollup, b, &finer->sketches[i], 1, arena);
    rollup->counts[b] += finer->counts[i];
    note_extremes(rollup, b, finer->min[i], finer->max[i]);
    rollup->ended[b] = finer->ended[i];
    return enough;
}

void rollup_remove(struct rollup *rollup, size_t at, size_t count)
{
    rollup->count -= count;
    for (size_t i = 0; i < ARRAYS && count; i++) {
        char *array = array_get(rollup, i);
        memmove(array + at * arrays[i].size, array + (at + count) * arrays[i].size,
                (rollup->count - at) * arrays[i].size);
    }
}

void rollup_view(const struct rollup *rollup, struct store_buckets *out)
{
    bool values = !rollup->histograms;
    unsigned has = BUCKETS_ALL & ~(values ? rollup->without : 0);
    *out = (struct store_buckets){
        .count = rollup->count,
        .end_ms = rollup->end_ms,
        .counts = rollup->counts,
        .first_ms = has & BUCKETS_FIRST ? rollup->first_ms : NULL,
        .last_ms = has & BUCKETS_LAST ? rollup->last_ms : NULL,
        .first = values && has & BUCKETS_FIRST ? rollup->first : NULL,
        .last = values && has & BUCKETS_LAST ? rollup->last : NULL,
        .sum = values && has & BUCKETS_SUM ? rollup->sum : NULL,
        .min = has & BUCKETS_EXTREMES ? rollup->min : NULL,
        .max = has & BUCKETS_EXTREMES ? rollup->max : NULL,
        .drop = values && has & BUCKETS_FIRST && rollup->has_drop ? rollup->drop : NULL,
        .ended = rollup->ended,
        .first_histogram = values ? NULL : rollup->first_histogram,
        .last_histogram = values ? NULL : rollup->last_histogram,
        .drop_histogram = values ? NULL : rollup->drop_histogram,
        .sketches = rollup->sketched ? rollup->sketches : NULL,
        .damaged = rollup->damaged,
    };
}

void rollup_strike(struct rollup *rollup, size_t at, const struct time_ranges *ranges)
{
    for (size_t i = at; ranges->count && i < rollup->count;) {
        int64_t end_ms = rollup->end_ms[i];
        if (time_ranges_meet(ranges, (struct time_range){end_ms - rollup->width_ms + 1, end_ms}))
            rollup_remove(rollup, i, 1);
        else
            i++;
    }
}
