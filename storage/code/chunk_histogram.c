/* chunk_histogram: the body of a chunk of histograms, column by column.
 *
 *   stale count varint, gap varint each
 *   unless all are stale:
 *     schema i8 | zero threshold f64le
 *     columns of count, sum, zero count, min, max
 *     positive buckets varint, then (distance to the index before, zigzag varint; column) each
 *     negative buckets, the same
 *
 * Every column has an entry a sample; at stale markers it repeats its neighbour. Buckets are
 * columns of cumulative counts: packing their differences costs few bits a tick, and a bucket that
 * did not change in the whole chunk some bytes.
 */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "storage/code/chunk.h"

#define BUCKETS_MAX (2 * HISTOGRAM_BUCKETS_MAX) /* indexes of one side in one chunk */

static const size_t total_offsets[] = {
    offsetof(struct histogram, count), offsetof(struct histogram, sum),
    offsetof(struct histogram, zero_count), offsetof(struct histogram, min),
    offsetof(struct histogram, max)};
#define TOTALS (sizeof total_offsets / sizeof *total_offsets)

static double total_get(const struct histogram *histogram, size_t i)
{
    double value;
    memcpy(&value, (const char *)histogram + total_offsets[i], sizeof value);
    return value;
}

static void total_set(struct histogram *histogram, size_t i, double value)
{
    memcpy((char *)histogram + total_offsets[i], &value, sizeof value);
}

static const struct histogram_side *side_of(const struct histogram *histogram, bool negative)
{
    return negative ? &histogram->negative : &histogram->positive;
}

/* --- writing --- */

struct index_set {
    int32_t at[BUCKETS_MAX];
    size_t count;
};

/* Adds the indexes of one side; both are sorted. False when there are too many. */
static bool index_set_add(struct index_set *set, const struct histogram_side *side)
{
    size_t place = 0;
    for (size_t i = 0; i < side->count; i++) {
        while (place < set->count && set->at[place] < side->at[i].index)
            place++;
        if (place < set->count && set->at[place] == side->at[i].index)
            continue;
        if (set->count == BUCKETS_MAX)
            return false;
        memmove(&set->at[place + 1], &set->at[place], (set->count - place) * sizeof *set->at);
        set->at[place] = side->at[i].index;
        set->count++;
    }
    return true;
}

bool chunk_histograms_fit(const struct histogram *const *histograms, size_t count)
{
    struct index_set *set = alloc_resize(NULL, 1, sizeof *set);
    const struct histogram *first = NULL;
    bool fit = true;
    for (int negative = 0; fit && negative < 2; negative++) {
        set->count = 0;
        for (size_t i = 0; fit && i < count; i++) {
            if (!histograms[i])
                continue;
            first = first ? first : histograms[i];
            fit =
                histograms[i]->schema == first->schema &&
                double_bits(histograms[i]->zero_threshold) == double_bits(first->zero_threshold) &&
                index_set_add(set, side_of(histograms[i], negative));
        }
    }
    free(set);
    return fit;
}

/* At stale markers the column repeats its neighbour, which costs nothing. */
static void fill_gaps(double *column, const struct histogram *const *histograms, size_t count)
{
    size_t first = 0;
    while (!histograms[first])
        first++;
    for (size_t i = 0; i < first; i++)
        column[i] = column[first];
    for (size_t i = first + 1; i < count; i++)
        if (!histograms[i])
            column[i] = column[i - 1];
}

static void append_totals(struct buffer *out, const struct histogram *const *histograms,
                          size_t count)
{
    double column[CHUNK_SAMPLES_MAX];
    for (size_t total = 0; total < TOTALS; total++) {
        for (size_t i = 0; i < count; i++)
            column[i] = histograms[i] ? total_get(histograms[i], total) : 0;
        fill_gaps(column, histograms, count);
        column_append(out, column, count);
    }
}

static void append_side(struct buffer *out, const struct histogram *const *histograms, size_t count,
                        bool negative)
{
    double column[CHUNK_SAMPLES_MAX];
    uint32_t places[CHUNK_SAMPLES_MAX] = {0}; /* where each histogram's walk stands */
    struct index_set *set = alloc_resize(NULL, 1, sizeof *set);
    int64_t last = 0;
    set->count = 0;
    for (size_t i = 0; i < count; i++) {
        bool fits = !histograms[i] || index_set_add(set, side_of(histograms[i], negative));
        assert(fits);
    }
    buffer_append_varint(out, set->count);
    for (size_t b = 0; b < set->count; b++) {
        for (size_t i = 0; i < count; i++) {
            column[i] = 0;
            if (!histograms[i])
                continue;
            const struct histogram_side *side = side_of(histograms[i], negative);
            if (places[i] < side->count && side->at[places[i]].index == set->at[b])
                column[i] = side->at[places[i]++].count;
        }
        fill_gaps(column, histograms, count);
        buffer_append_varint_signed(out, set->at[b] - last);
        column_append(out, column, count);
        last = set->at[b];
    }
    free(set);
}

void chunk_append_histograms(struct buffer *out, const int64_t *times,
                             const struct histogram *const *histograms, size_t count)
{
    size_t at = chunk_begin(out, true, times, count), stale = 0, last = 0;
    const struct histogram *any = NULL;
    for (size_t i = 0; i < count; i++) {
        stale += !histograms[i];
        any = histograms[i] ? histograms[i] : any;
    }
    buffer_append_varint(out, stale);
    for (size_t i = 0; i < count; i++) {
        if (histograms[i])
            continue;
        buffer_append_varint(out, i - last);
        last = i;
    }
    if (any) {
        buffer_append_u8(out, (uint8_t)(int8_t)any->schema);
        buffer_append_u64le(out, double_bits(any->zero_threshold));
        append_totals(out, histograms, count);
        append_side(out, histograms, count, false);
        append_side(out, histograms, count, true);
    }
    chunk_finish(out, at);
}

/* --- reading --- */

/* Marks the stale entries with true. */
static bool cut_stale(struct slice *rest, bool *stale, size_t count, size_t *total)
{
    uint64_t entries, gap;
    size_t at = 0;
    memset(stale, 0, count * sizeof *stale);
    if (!bytes_cut_varint(rest, &entries) || entries > count)
        return false;
    for (uint64_t i = 0; i < entries; i++) {
        if (!bytes_cut_varint(rest, &gap) || gap >= count - at || (i && gap == 0))
            return false;
        at += (size_t)gap;
        stale[at] = true;
    }
    *total = (size_t)entries;
    return true;
}

/* What is being read: the rows [from, to) of `count` become histograms. */
struct reading {
    struct slice rest;
    struct arena *arena;
    struct histogram *all; /* to - from */
    struct part part;
};

/* One side of all histograms: bucket arrays of equal indexes, in the arena. */
static bool cut_side(struct reading *reading, bool negative)
{
    double column[CHUNK_SAMPLES_MAX];
    uint64_t buckets;
    int64_t gap, index = 0;
    size_t rows = reading->part.to - reading->part.from;
    struct slice *rest = &reading->rest;
    /* A bucket takes three bytes at least: what is allocated stays in proportion to the input. */
    if (!bytes_cut_varint(rest, &buckets) || buckets > BUCKETS_MAX || buckets > rest->len)
        return false;
    struct histogram_bucket *at = arena_alloc(reading->arena, (size_t)buckets * rows * sizeof *at);
    if (!at)
        return false;
    for (size_t i = 0; i < rows; i++) {
        struct histogram_side side = {.at = at + i * (size_t)buckets, .count = (uint32_t)buckets};
        *(negative ? &reading->all[i].negative : &reading->all[i].positive) = side;
    }
    for (size_t b = 0; b < buckets; b++) {
        if (!bytes_cut_varint_signed(rest, &gap) || (b && gap <= 0) || gap > UINT32_MAX ||
            gap < INT32_MIN || index + gap > INT32_MAX ||
            !column_cut_part(rest, column, reading->part))
            return false;
        index += gap;
        for (size_t i = 0; i < rows; i++)
            at[i * (size_t)buckets + b] = (struct histogram_bucket){(int32_t)index, column[i]};
    }
    return true;
}

static bool cut_totals(struct reading *reading)
{
    double column[CHUNK_SAMPLES_MAX];
    for (size_t total = 0; total < TOTALS; total++) {
        if (!column_cut_part(&reading->rest, column, reading->part))
            return false;
        for (size_t i = 0; i < reading->part.to - reading->part.from; i++)
            total_set(&reading->all[i], total, column[i]);
    }
    return true;
}

bool chunk_histograms_of(const struct chunk *chunk, struct part part, struct arena *arena,
                         const struct histogram **out)
{
    struct reading reading = {.rest = chunk->body, .arena = arena, .part = part};
    bool stale[CHUNK_SAMPLES_MAX];
    size_t stale_count, rows = part.to - part.from;
    uint8_t schema;
    uint64_t threshold;
    assert(part.from <= part.to && part.to <= part.count && part.count == chunk->count);
    memset(out, 0, rows * sizeof *out);
    if (!chunk->histograms || !cut_stale(&reading.rest, stale, part.count, &stale_count))
        return false;
    if (stale_count == part.count)
        return reading.rest.len == 0;
    reading.all = arena_alloc(arena, rows * sizeof *reading.all);
    if (!reading.all || !bytes_cut_u8(&reading.rest, &schema) ||
        !bytes_cut_u64le(&reading.rest, &threshold) || (int8_t)schema < HISTOGRAM_SCHEMA_MIN ||
        (int8_t)schema > HISTOGRAM_SCHEMA_MAX)
        return false;
    for (size_t i = 0; i < rows; i++) {
        reading.all[i] = (struct histogram){.schema = (int8_t)schema,
                                            .zero_threshold = double_of_bits(threshold)};
        out[i] = stale[part.from + i] ? NULL : &reading.all[i];
    }
    return cut_totals(&reading) && cut_side(&reading, false) && cut_side(&reading, true) &&
           reading.rest.len == 0;
}

bool chunk_histograms(const struct chunk *chunk, struct arena *arena, const struct histogram **out)
{
    return chunk_histograms_of(chunk, (struct part){chunk->count, 0, chunk->count}, arena, out);
}
