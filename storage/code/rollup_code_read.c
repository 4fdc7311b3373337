/* rollup_code_read: the way back. What a reader does without is stepped over, at the cost of its head. */
#include "storage/code/rollup_code.h"

#include <assert.h>
#include <endian.h>
#include <math.h>

#include "storage/code/column.h"
#include "storage/code/histogram_code.h"
#include "storage/code/pack.h"
#include "storage/code/rollup_format.h"

static bool cut_doubles_part(struct slice *rest, double *out, struct part part)
{
    struct slice bytes;
    uint8_t plain;
    if (!bytes_cut_u8(rest, &plain) || plain > 1)
        return false;
    if (!plain)
        return column_cut_part(rest, out, part);
    if (!bytes_cut_slice(rest, part.count * sizeof *out, &bytes))
        return false;
    for (size_t i = 0; i < part.to; i++) {
        uint64_t bits;
        memcpy(&bits, bytes.at + i * sizeof bits, sizeof bits);
        out[i] = double_of_bits(le64toh(bits));
    }
    return true;
}

static bool cut_doubles(struct slice *rest, double *out, size_t count)
{
    return cut_doubles_part(rest, out, (struct part){count, 0, count});
}

/* The entries from `at` on of a rollup that has room for them. */
struct target {
    struct rollup *rollup;
    struct arena *arena;
    size_t at;
    size_t count;
    int64_t start_ms;
    unsigned wanted; /* BUCKETS_...; the other columns are passed over */
};

/* All of a column, or nothing. */
static struct part part_of(const struct target *target, unsigned column)
{
    return (struct part){target->count, 0, target->wanted & column ? target->count : 0};
}

static bool cut_ends(struct slice *rest, const struct target *target)
{
    int64_t width = target->rollup->width_ms, most = PARTITION_MS / width;
    int64_t *ends = target->rollup->end_ms + target->at;
    if (!pack_cut(rest, ends, target->count))
        return false;
    for (size_t i = 0; i < target->count; i++) {
        if (ends[i] < 0 || ends[i] > most)
            return false;
        ends[i] = target->start_ms + ends[i] * width;
        if (i && ends[i] <= ends[i - 1])
            return false;
    }
    return true;
}

/* Those of the first and the last samples, where they are wanted. */
static bool cut_edges(struct slice *rest, const struct target *target)
{
    int64_t column[BUCKETS_MAX], width = target->rollup->width_ms;
    const int64_t *ends = target->rollup->end_ms + target->at;
    int64_t *first = target->rollup->first_ms + target->at;
    int64_t *last = target->rollup->last_ms + target->at;
    struct part firsts = part_of(target, BUCKETS_FIRST), lasts = part_of(target, BUCKETS_LAST);
    if (!pack_cut_part(rest, column, firsts))
        return false;
    for (size_t i = 0; i < firsts.to; i++) {
        first[i] = (int64_t)((uint64_t)column[i] + (uint64_t)(ends[i] - width));
        if (first[i] <= ends[i] - width || first[i] > ends[i])
            return false;
    }
    if (!pack_cut_part(rest, column, lasts))
        return false;
    for (size_t i = 0; i < lasts.to; i++) {
        last[i] = (int64_t)((uint64_t)ends[i] - (uint64_t)column[i]);
        if (last[i] > ends[i] || last[i] <= ends[i] - width || (firsts.to && last[i] < first[i]))
            return false;
    }
    return true;
}

static bool cut_times(struct slice *rest, const struct target *target)
{
    int64_t column[BUCKETS_MAX];
    if (!cut_ends(rest, target) || !pack_cut(rest, column, target->count))
        return false;
    for (size_t i = 0; i < target->count; i++) {
        if (column[i] < 0 || column[i] > UINT32_MAX)
            return false;
        target->rollup->counts[target->at + i] = (uint32_t)column[i];
    }
    return cut_edges(rest, target);
}

static bool cut_ended(struct slice *rest, bool *ended, size_t count)
{
    struct slice bits;
    if (!bytes_cut_slice(rest, (count + 7) / 8, &bits))
        return false;
    for (size_t i = 0; i < count; i++)
        ended[i] = (unsigned char)bits.at[i / 8] >> (i % 8) & 1;
    return true;
}

/* The block of sketches, or none. Those that nobody wants are stepped over. */
static bool cut_sketches(struct slice *rest, const struct target *target, bool there)
{
    struct slice *out = target->rollup->sketches + target->at, block, code;
    for (size_t i = 0; i < target->count; i++)
        out[i] = SLICE("");
    if (!there)
        return true;
    if (!bytes_cut_prefixed(rest, &block))
        return false;
    for (size_t i = 0; target->rollup->sketched && i < target->count; i++) {
        if (!bytes_cut_prefixed(&block, &code) || code.len > SKETCH_CODE_MAX)
            return false;
        if (code.len)
            out[i] = arena_copy(target->arena, code);
    }
    return !target->arena->exhausted && (block.len == 0 || !target->rollup->sketched);
}

static void unscale(double *out, const int64_t *k, size_t count, int exponent)
{
    if (exponent == 0)
        for (size_t i = 0; i < count; i++)
            out[i] = (double)k[i];
    else
        for (size_t i = 0; i < count; i++)
            out[i] = column_of_scaled(k[i], exponent);
}

static bool cut_first(struct slice *rest, const struct target *target, uint8_t exponent,
                      int64_t *first)
{
    double *out = target->rollup->first + target->at;
    struct part part = part_of(target, BUCKETS_FIRST);
    if (exponent == EXPONENT_RAW)
        return cut_doubles_part(rest, out, part);
    if (exponent > COLUMN_EXPONENT_MAX || !pack_cut(rest, first, target->count))
        return false;
    unscale(out, first, part.to, exponent);
    return true;
}

/* A column that is written as what it is more than `first`, or less. */
struct beside {
    double *out;
    unsigned column;
    bool less;
};

static bool cut_beside(struct slice *rest, const struct target *target, uint8_t exponent,
                       const int64_t *first, struct beside beside)
{
    int64_t k[BUCKETS_MAX];
    struct part part = part_of(target, beside.column);
    if (exponent == EXPONENT_RAW)
        return cut_doubles_part(rest, beside.out + target->at, part);
    if (!pack_cut_part(rest, k, part))
        return false;
    for (size_t i = 0; i < part.to; i++) {
        uint64_t by = beside.less ? -(uint64_t)k[i] : (uint64_t)k[i];
        k[i] = (int64_t)((uint64_t)first[i] + by);
    }
    unscale(beside.out + target->at, k, part.to, exponent);
    return true;
}

static bool cut_sum(struct slice *rest, const struct target *target, uint8_t exponent,
                    const int64_t *first)
{
    struct rollup *rollup = target->rollup;
    int64_t k[BUCKETS_MAX];
    struct part part = part_of(target, BUCKETS_SUM);
    uint8_t how;
    if (!bytes_cut_u8(rest, &how))
        return false;
    if (how == HOW_DOUBLES)
        return cut_doubles_part(rest, rollup->sum + target->at, part);
    if (how != HOW_SCALED || exponent == EXPONENT_RAW || !pack_cut_part(rest, k, part))
        return false;
    for (size_t i = 0; i < part.to; i++)
        k[i] = (int64_t)((uint64_t)k[i] + (uint64_t)first[i] * rollup->counts[target->at + i]);
    unscale(rollup->sum + target->at, k, part.to, exponent);
    return true;
}

static bool cut_drop(struct slice *rest, const struct target *target, uint8_t exponent)
{
    double *drop = target->rollup->drop + target->at;
    int64_t k[BUCKETS_MAX];
    uint8_t how;
    if (!bytes_cut_u8(rest, &how))
        return false;
    if (how == HOW_DOUBLES)
        return cut_doubles(rest, drop, target->count);
    if (how == HOW_SCALED) {
        if (exponent == EXPONENT_RAW || !pack_cut(rest, k, target->count))
            return false;
        unscale(drop, k, target->count, exponent);
        return true;
    }
    memset(drop, 0, target->count * sizeof *drop);
    return how == HOW_ZERO;
}

/* Reads as far as there is something wanted. */
static bool cut_numbers(struct slice *rest, const struct target *target, bool drop)
{
    struct rollup *rollup = target->rollup;
    struct beside last = {rollup->last, BUCKETS_LAST, false};
    struct beside min = {rollup->min, BUCKETS_EXTREMES, true};
    struct beside max = {rollup->max, BUCKETS_EXTREMES, false};
    int64_t first[BUCKETS_MAX];
    uint8_t exponent;
    if (target->wanted == 0)
        return true;
    if (!bytes_cut_u8(rest, &exponent) || !cut_first(rest, target, exponent, first) ||
        !cut_beside(rest, target, exponent, first, last))
        return false;
    if (target->wanted == BUCKETS_LAST)
        return true;
    if (!cut_beside(rest, target, exponent, first, min) ||
        !cut_beside(rest, target, exponent, first, max) || !cut_sum(rest, target, exponent, first))
        return false;
    if (target->wanted & BUCKETS_FIRST && drop && !cut_drop(rest, target, exponent))
        return false;
    for (size_t i = target->at; i < target->at + target->count; i++)
        if (rollup->counts[i] == 0)
            rollup->min[i] = rollup->max[i] = NAN;
    return true;
}

/* Cuts a code; *out is a copy of what *running then is. */
static bool cut_histogram(struct slice *rest, struct arena *arena, struct histogram *running,
                          const struct histogram **out)
{
    bool stale;
    if (!histogram_code_cut(rest, running, &stale) || stale)
        return false;
    *out = histogram_copy(arena, running);
    return *out != NULL;
}

static bool cut_drops(struct slice *rest, const struct target *target, struct histogram *running)
{
    const struct histogram **drops = target->rollup->drop_histogram + target->at;
    uint64_t count, gap;
    size_t at = 0;
    memset(drops, 0, target->count * sizeof *drops);
    if (!bytes_cut_varint(rest, &count) || count > target->count)
        return false;
    for (uint64_t i = 0; i < count; i++) {
        if (!bytes_cut_varint(rest, &gap) || gap >= target->count - at || (i && gap == 0))
            return false;
        at += (size_t)gap;
        if (!cut_histogram(rest, target->arena, running, &drops[at]))
            return false;
    }
    return true;
}

static bool cut_firsts_and_lasts(struct slice *rest, const struct target *target,
                                 struct histogram *running)
{
    struct rollup *rollup = target->rollup;
    for (size_t i = target->at; i < target->at + target->count; i++) {
        rollup->first_histogram[i] = rollup->last_histogram[i] = NULL;
        if (rollup->counts[i] == 0)
            continue;
        if (!cut_histogram(rest, target->arena, running, &rollup->first_histogram[i]))
            return false;
        rollup->last_histogram[i] = rollup->first_histogram[i];
        if (rollup->counts[i] > 1 &&
            !cut_histogram(rest, target->arena, running, &rollup->last_histogram[i]))
            return false;
    }
    return true;
}

static bool cut_histograms(struct slice *rest, const struct target *target)
{
    struct rollup *rollup = target->rollup;
    struct histogram running;
    histogram_init(&running);
    bool sound = cut_doubles(rest, rollup->min + target->at, target->count) &&
                 cut_doubles(rest, rollup->max + target->at, target->count) &&
                 cut_firsts_and_lasts(rest, target, &running) && cut_drops(rest, target, &running);
    histogram_release(&running);
    return sound;
}

bool rollup_code_read(struct slice bytes, int64_t start_ms, struct rollup *rollup,
                      struct arena *arena)
{
    struct target target = {
        .rollup = rollup, .arena = arena, .at = rollup->count, .start_ms = start_ms};
    uint8_t version, type;
    uint32_t sum;
    uint64_t count, damaged = 0;
    if (!bytes_cut_u8(&bytes, &version) || version != VERSION || !bytes_cut_u8(&bytes, &type) ||
        type > TYPE_MAX || (type & TYPE_HISTOGRAM) != (rollup->histograms ? TYPE_HISTOGRAM : 0) ||
        !bytes_cut_u32le(&bytes, &sum) || sum != rollup_checksum(bytes, type) ||
        !bytes_cut_varint(&bytes, &count) || count > BUCKETS_MAX ||
        ((type & TYPE_DAMAGED) && !bytes_cut_varint(&bytes, &damaged)))
        return false;
    target.count = (size_t)count;
    target.wanted = BUCKETS_ALL & ~(rollup->histograms ? 0 : rollup->without);
    rollup_reserve(rollup, target.count);
    bool *ended = rollup->ended + target.at;
    memset(ended, 0, target.count * sizeof *ended);
    if (!cut_times(&bytes, &target) ||
        ((type & TYPE_ENDED) && !cut_ended(&bytes, ended, target.count)))
        return false;
    if (!cut_sketches(&bytes, &target, type & TYPE_SKETCHES))
        return false;
    bool drop = !(type & TYPE_NO_DROP);
    if (rollup->histograms ? !cut_histograms(&bytes, &target) : !cut_numbers(&bytes, &target, drop))
        return false;
    if (bytes.len && target.wanted == BUCKETS_ALL)
        return false;
    rollup->has_drop &= drop;
    rollup->count += target.count;
    rollup->damaged += (size_t)damaged;
    return true;
}
