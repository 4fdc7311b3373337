/* model: what the store must hold, in plain arrays: a sorted array of samples a series, the log lines
 * in order, the documents.
 *
 * Histograms are kept as a number from which they are made again. Deliberately absent: anything of
 * the store's own, encodings above all; the model must not share its mistakes.
 */
#include <math.h>
#include <stdlib.h>

#include "storage/base/alloc.h"
#include "tests/crash/crash.h"

void model_init(struct model *model)
{
    *model = (struct model){.now_ms = START_MS, .retained_ms = START_MS};
}

void model_copy(const struct model *model, struct model *out)
{
    *out = *model;
    for (int i = 0; i < SLOTS; i++) {
        struct slot *slot = &out->slots[i];
        slot->capacity = slot->count;
        slot->at = alloc_zeroed(slot->count + 1, sizeof *slot->at);
        if (slot->count)
            memcpy(slot->at, model->slots[i].at, slot->count * sizeof *slot->at);
    }
    out->doubt_capacity = out->doubt_count;
    out->doubts = alloc_zeroed(out->doubt_count + 1, sizeof *out->doubts);
    if (out->doubt_count)
        memcpy(out->doubts, model->doubts, out->doubt_count * sizeof *out->doubts);
    out->line_capacity = out->line_count;
    out->lines = alloc_zeroed(out->line_count + 1, sizeof *out->lines);
    if (out->line_count)
        memcpy(out->lines, model->lines, out->line_count * sizeof *out->lines);
}

void model_release(struct model *model)
{
    for (int i = 0; i < SLOTS; i++)
        free(model->slots[i].at);
    free(model->lines);
    free(model->doubts);
}

uint64_t random_next(uint64_t *state)
{
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545f4914f6cdd1dull;
}

int64_t random_below(uint64_t *state, int64_t n)
{
    return (int64_t)(random_next(state) % (uint64_t)n);
}

double bits_double(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint64_t double_bits_of(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

void model_histogram(uint64_t bits, struct histogram *out)
{
    uint64_t buckets = bits < 88 ? 1 + bits / 8 : 12;
    histogram_init(out);
    for (uint64_t i = 0; i < buckets; i++)
        histogram_add(out, exp((double)i / 3), (double)(bits * (i + 3)));
    if (bits >= 30)
        histogram_add(out, 0, (double)(bits / 3));
}

size_t slot_find(const struct slot *slot, int64_t time_ms)
{
    size_t low = 0, high = slot->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (slot->at[middle].time_ms < time_ms)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void slot_put(struct slot *slot, struct sample sample)
{
    size_t at = slot_find(slot, sample.time_ms);
    if (sample.time_ms > slot->newest_ms)
        slot->newest_ms = sample.time_ms;
    if (at < slot->count && slot->at[at].time_ms == sample.time_ms) {
        slot->at[at] = sample;
        return;
    }
    if (slot->count == slot->capacity) {
        slot->capacity = slot->capacity ? slot->capacity * 2 : 256;
        slot->at = alloc_resize(slot->at, slot->capacity, sizeof *slot->at);
    }
    memmove(slot->at + at + 1, slot->at + at, (slot->count - at) * sizeof *slot->at);
    slot->at[at] = sample;
    slot->count++;
}

static void slot_forget(struct slot *slot, int64_t before_ms)
{
    size_t count = slot_find(slot, before_ms);
    slot->count -= count;
    if (count)
        memmove(slot->at, slot->at + count, slot->count * sizeof *slot->at);
    if (slot->retired && slot->count == 0) {
        free(slot->at);
        *slot = (struct slot){0};
    }
}

static void put_line(struct model *model, struct line line)
{
    size_t at = model->line_count;
    if (at == model->line_capacity) {
        model->line_capacity = at ? at * 2 : 256;
        model->lines = alloc_resize(model->lines, model->line_capacity, sizeof line);
    }
    for (; at && model->lines[at - 1].time_ns > line.time_ns; at--)
        model->lines[at] = model->lines[at - 1];
    model->lines[at] = line;
    model->line_count++;
}

/* What lies further back than anything is kept. */
static void forget(struct model *model)
{
    int64_t before = model->now_ms - FORGET_DAYS * DAY_MS;
    size_t lines = 0, kept = 0;
    for (size_t i = 0; i < model->doubt_count; i++)
        if (model->doubts[i].end_ms >= before)
            model->doubts[kept++] = model->doubts[i];
    model->doubt_count = kept;
    for (int i = 0; i < SLOTS; i++)
        if (model->slots[i].serial)
            slot_forget(&model->slots[i], before);
    while (lines < model->line_count && model->lines[lines].time_ns < before * 1000000)
        lines++;
    if (lines == 0)
        return;
    model->line_count -= lines;
    memmove(model->lines, model->lines + lines, model->line_count * sizeof *model->lines);
}

void model_expect_retention(struct model *model, int64_t now_ms)
{
    if (now_ms > model->retained_ms)
        model->retained_ms = now_ms;
}

int64_t retention_days(uint32_t serial, enum store_tier tier)
{
    static const int64_t days[2][STORE_TIER_COUNT] = {{3, 6, 9}, {1, 4, 5}};
    return days[serial % GROUPS == SHORT_GROUP][tier];
}

int64_t model_exact_from(const struct model *model, uint32_t serial, enum store_tier tier)
{
    int64_t from = model->retained_ms - retention_days(serial, tier) * DAY_MS;
    return from - from % DAY_MS;
}

int64_t model_lines_from(const struct model *model)
{
    int64_t from = model->retained_ms - LINE_DAYS * DAY_MS;
    return from - from % DAY_MS;
}

const struct doubt *model_doubt(const struct model *model, uint32_t serial, int64_t start_ms,
                                int64_t end_ms)
{
    const struct doubt *found = NULL;
    for (size_t i = 0; i < model->doubt_count && (!found || found->deleted); i++)
        if (model->doubts[i].serial == serial && model->doubts[i].start_ms <= end_ms &&
            model->doubts[i].end_ms >= start_ms)
            found = &model->doubts[i];
    return found;
}

/* What changes at or before the midnight that raw samples begin with cannot reach buckets. */
static void doubt(struct model *model, struct doubt doubt)
{
    int64_t border = model_exact_from(model, doubt.serial, STORE_RAW);
    if (doubt.start_ms > border)
        return;
    if (model->doubt_count == model->doubt_capacity) {
        model->doubt_capacity = model->doubt_capacity ? model->doubt_capacity * 2 : 64;
        model->doubts = alloc_resize(model->doubts, model->doubt_capacity, sizeof *model->doubts);
    }
    if (doubt.end_ms > border)
        doubt.end_ms = border;
    model->doubts[model->doubt_count++] = doubt;
}

void model_sketch(struct sample sample, struct buffer *out)
{
    struct sketch sketch;
    bool many = sample.time_ms / 1000 % 97 == 0; /* more than are held one by one */
    if (sample.bits == STALE_NAN_BITS || sample.time_ms / 1000 % 5 == 0)
        return;
    sketch_init(&sketch);
    for (uint64_t i = 0; i < (uint64_t)bits_double(sample.bits) * (many ? 200 : 1); i++)
        sketch_add_hash(&sketch, ((uint64_t)sample.time_ms + i) * 0x9e3779b97f4a7c15ull);
    sketch_encode(&sketch, out);
    sketch_release(&sketch);
}

static void apply_birth(struct model *model, const struct birth *birth)
{
    struct slot *slot = &model->slots[birth->slot];
    *slot = (struct slot){.serial = birth->serial, .kind = birth->kind};
    model->serials = birth->serial;
}

static void apply_sample(struct model *model, const struct op *op, const struct op_sample *sample)
{
    struct slot *slot = &model->slots[sample->slot];
    if (sample->sample.time_ms < op->now_ms - retention_days(slot->serial, STORE_RAW) * DAY_MS)
        return; /* refused: past retention */
    int64_t time_ms = sample->sample.time_ms;
    doubt(model, (struct doubt){slot->serial, false, time_ms, time_ms});
    slot_put(slot, sample->sample);
    if (op->kind <= OP_LEAP)
        slot->retired = sample->sample.bits == STALE_NAN_BITS;
    if (sample->sample.bits != STALE_NAN_BITS)
        slot->level = slot->kind == SERIES_HISTOGRAM ? (double)sample->sample.bits
                                                     : bits_double(sample->sample.bits);
}

static void apply_deletion(struct model *model, const struct deletion *deletion)
{
    for (int i = 0; i < SLOTS; i++) {
        struct slot *slot = &model->slots[i];
        uint32_t number = deletion->group ? slot->serial % GROUPS : slot->serial;
        if (slot->serial == 0 || number != deletion->number)
            continue;
        doubt(model, (struct doubt){slot->serial, true, deletion->start_ms, deletion->end_ms});
        size_t from = slot_find(slot, deletion->start_ms);
        size_t to = slot_find(slot, deletion->end_ms + 1);
        if (from == to)
            continue;
        memmove(slot->at + from, slot->at + to, (slot->count - to) * sizeof *slot->at);
        slot->count -= to - from;
    }
}

void model_apply(struct model *model, const struct op *op)
{
    model->now_ms = op->now_ms;
    model->commits += op->commits;
    for (size_t i = 0; i < op->birth_count; i++)
        apply_birth(model, &op->births[i]);
    for (size_t i = 0; i < op->sample_count; i++)
        apply_sample(model, op, &op->samples[i]);
    for (size_t i = 0; i < op->line_count; i++)
        put_line(model, op->lines[i]);
    if (op->line_count)
        model->line_serials += (uint32_t)op->line_count;
    for (size_t i = 0; i < op->document_count; i++)
        model->documents[op->documents[i].key] = op->documents[i].seed;
    if (op->kind == OP_DELETE)
        apply_deletion(model, &op->deletion);
    model_expect_retention(model, op->now_ms);
    forget(model);
}
