/* schedule: random operations that make days pass quickly and everything happen often.
 *
 * Time moves by seconds, minutes, sometimes hours or a day; one step in ten goes to a border of five
 * minutes, and a midnight in the way is met exactly every other time, because that is where samples
 * change chunk, day and bucket. Series are born, write, and retire with a stale marker; their values
 * are of all shapes that have an encoding of their own.
 */
#include <math.h>
#include <stdio.h>

#include "tests/crash/crash.h"

static const int weights[OP_KINDS] = {
    [OP_TICK] = 1000, [OP_LEAP] = 3,    [OP_DOCUMENT] = 60,  [OP_RECORD] = 100,
    [OP_LATE] = 60,   [OP_BULK] = 10,   [OP_MAINTAIN] = 240, [OP_SEAL] = 6,
    [OP_COMPACT] = 2, [OP_DELETE] = 14, [OP_CLEAN] = 4,      [OP_BACKUP] = 6,
};

enum op_kind op_choose(uint64_t *random, enum op_kind favourite)
{
    int total = 0;
    for (int i = 0; i < OP_KINDS; i++)
        total += weights[i];
    if (favourite != OP_TICK && random_below(random, 12) == 0)
        return favourite;
    int64_t left = random_below(random, total);
    enum op_kind kind = OP_TICK;
    while (left >= weights[kind])
        left -= weights[kind++];
    return kind;
}

static int64_t next_time(const struct model *model, uint64_t *random)
{
    int64_t now = model->now_ms, dice = random_below(random, 100);
    int64_t midnight = now - now % DAY_MS + DAY_MS;
    int64_t next = dice < 70   ? now + 1 + random_below(random, 30000)
                   : dice < 95 ? now + random_below(random, 10 * MINUTE_MS)
                   : dice < 99 ? now + random_below(random, 3 * 60 * MINUTE_MS)
                               : now + random_below(random, 20 * 60 * MINUTE_MS);
    if (random_below(random, 10) == 0)
        next += 5 * MINUTE_MS - next % (5 * MINUTE_MS);
    return next > midnight && random_below(random, 2) ? midnight : next;
}

/* --- samples --- */

static uint64_t next_bits(const struct slot *slot, uint64_t *random)
{
    double level = isfinite(slot->level) ? slot->level : 0;
    if (random_below(random, 800) == 0)
        return STALE_NAN_BITS;
    if (slot->kind == SERIES_HISTOGRAM)
        return random_below(random, 60) == 0 ? 1
                                             : (uint64_t)level + (uint64_t)random_below(random, 9);
    if (slot->kind == SERIES_COUNTER)
        return double_bits_of(random_below(random, 60) == 0
                                  ? 0
                                  : level +
                                        (double)random_below(random, slot->serial % 2 ? 3 : 1000));
    if (slot->kind == SERIES_SET)
        return double_bits_of((double)(slot->serial % 3 ? random_below(random, 5) : 7));
    if (random_below(random, 100) == 0)
        return double_bits_of(-0.0);
    return double_bits_of(slot->serial % 2
                              ? (double)random_below(random, 100000) / 100
                              : (double)(random_next(random) >> 11) / (double)(1ull << 40));
}

static void push(struct op *op, int slot, int64_t time_ms, uint64_t bits)
{
    if (op->sample_count < OP_SAMPLES)
        op->samples[op->sample_count++] = (struct op_sample){slot, {time_ms, bits}};
}

/* A series takes a place that is free. */
static void give_birth(const struct model *model, uint64_t *random, struct op *op)
{
    static const enum series_kind kinds[] = {SERIES_COUNTER, SERIES_GAUGE,   SERIES_HISTOGRAM,
                                             SERIES_SET,     SERIES_COUNTER, SERIES_GAUGE};
    int place = (int)random_below(random, SLOTS);
    if (model->slots[place].serial)
        return;
    for (size_t i = 0; i < op->birth_count; i++)
        if (op->births[i].slot == place)
            return;
    uint32_t serial = model->serials + (uint32_t)op->birth_count + 1;
    op->births[op->birth_count++] = (struct birth){place, serial, kinds[serial % 6]};
    push(op, place, op->now_ms, kinds[serial % 6] == SERIES_HISTOGRAM ? 3 : double_bits_of(1));
}

static void make_tick(const struct model *model, uint64_t *random, struct op *op)
{
    for (int i = 0; i < OP_BIRTHS && (i == 0 || model->serials < SLOTS); i++)
        give_birth(model, random, op);
    for (int i = 0; i < SLOTS; i++) {
        const struct slot *slot = &model->slots[i];
        struct slot moving = *slot;
        if (slot->serial == 0 || random_below(random, 8) < slot->serial % 3 ||
            (slot->retired && random_below(random, 300)))
            continue;
        for (int64_t n = slot->serial % 7 ? 1 : 3, time; n--;) {
            time = op->now_ms - n * 1000 - (slot->serial % 5 ? 0 : random_below(random, 900));
            uint64_t bits = next_bits(&moving, random);
            if (time <= slot->newest_ms || (bits == STALE_NAN_BITS && n))
                continue;
            push(op, i, time, bits);
            if (bits != STALE_NAN_BITS)
                moving.level = slot->kind == SERIES_HISTOGRAM ? (double)bits : bits_double(bits);
        }
    }
}

/* --- the others --- */

/* A slot in use, or -1. */
static int any_slot(const struct model *model, uint64_t *random)
{
    int place = (int)random_below(random, SLOTS);
    return model->slots[place].serial ? place : -1;
}

/* Anywhere from a little past retention to now; often the time of a sample that is there. */
static int64_t late_time(const struct model *model, const struct slot *slot, uint64_t *random)
{
    int64_t dice = random_below(random, 10);
    if (dice < 4 && slot->count)
        return slot->at[random_below(random, (int64_t)slot->count)].time_ms;
    if (dice < 8)
        return model->now_ms - random_below(random, 3 * 60 * MINUTE_MS);
    int64_t time =
        model->now_ms -
        random_below(random, retention_days(slot->serial, STORE_RAW) * DAY_MS + DAY_MS / 10);
    return dice == 9 ? time - time % (5 * MINUTE_MS) : time;
}

static void make_late(const struct model *model, uint64_t *random, struct op *op)
{
    for (int64_t series = 1 + random_below(random, 4); series--;) {
        int place = any_slot(model, random);
        for (int64_t n = place < 0 ? 0 : 1 + random_below(random, 20); n--;)
            push(op, place, late_time(model, &model->slots[place], random),
                 next_bits(&model->slots[place], random));
    }
}

/* A run of one series: behind what it has, or across it. */
static void make_bulk(const struct model *model, uint64_t *random, struct op *op)
{
    int place = any_slot(model, random);
    if (place < 0)
        return;
    struct slot moving = model->slots[place];
    int64_t count = 100 + random_below(random, 1400), step = 1 + random_below(random, 120) * 1000;
    int64_t time = late_time(model, &moving, random);
    if (random_below(random, 3) == 0)
        time = moving.newest_ms + 1;
    for (; count-- && time <= model->now_ms; time += step) {
        push(op, place, time, next_bits(&moving, random));
        uint64_t bits = op->samples[op->sample_count - 1].sample.bits;
        moving.level = moving.kind == SERIES_HISTOGRAM ? (double)bits : bits_double(bits);
        if (bits == STALE_NAN_BITS)
            moving.level = 1;
    }
}

/* One series or a quarter of all; for ever, or a range, often a small one about a sample. */
static void make_deletion(const struct model *model, uint64_t *random, struct op *op)
{
    struct deletion *deletion = &op->deletion;
    int place = any_slot(model, random);
    const struct slot *slot = &model->slots[place < 0 ? 0 : place];
    deletion->group = random_below(random, 6) == 0;
    deletion->number = deletion->group ? slot->serial % GROUPS : slot->serial;
    int64_t dice = random_below(random, 4);
    deletion->start_ms = late_time(model, slot, random);
    deletion->end_ms =
        deletion->start_ms + random_below(random, dice ? 20 * MINUTE_MS : 2 * DAY_MS);
    if (dice == 1)
        deletion->end_ms = random_below(random, 2) ? EVER_MS : model->now_ms + DAY_MS;
    if (dice == 1 && random_below(random, 2) == 0)
        deletion->start_ms = 0;
}

static void make_documents(uint64_t *random, struct op *op)
{
    op->document_count = (size_t)(1 + random_below(random, OP_DOCUMENTS));
    for (size_t i = 0; i < op->document_count; i++)
        op->documents[i] =
            (struct op_document){(int)random_below(random, DOCUMENTS),
                                 random_below(random, 4) ? random_next(random) | 1 : 0};
}

static void make_lines(const struct model *model, uint64_t *random, struct op *op)
{
    op->line_count = (size_t)(1 + random_below(random, OP_RECORDS));
    for (size_t i = 0; i < op->line_count; i++)
        op->lines[i] = (struct line){(op->now_ms - random_below(random, 5000)) * 1000000,
                                     model->line_serials + (uint32_t)i + 1};
}

void op_make(const struct model *model, enum op_kind kind, uint64_t seed, struct op *op)
{
    uint64_t random = seed | 1;
    op->kind = kind;
    op->birth_count = op->sample_count = op->line_count = op->document_count = 0;
    op->commits = kind < OP_MAINTAIN;
    op->now_ms = kind == OP_TICK ? next_time(model, &random) : model->now_ms;
    if (kind == OP_LEAP)
        op->now_ms += DAY_MS - op->now_ms % DAY_MS + random_below(&random, 90 * MINUTE_MS);
    op->sync = op->commits && random_below(&random, 25) == 0;
    if (kind <= OP_LEAP)
        make_tick(model, &random, op);
    if (kind == OP_LATE)
        make_late(model, &random, op);
    op->sync |= kind == OP_DELETE; /* it promises that */
    if (kind == OP_DELETE)
        make_deletion(model, &random, op);
    if (kind == OP_BULK)
        make_bulk(model, &random, op);
    if (kind == OP_RECORD)
        make_lines(model, &random, op);
    if (kind == OP_DOCUMENT || (op->commits && random_below(&random, 5) == 0))
        make_documents(&random, op);
}

void document_text(uint64_t seed, char text[DOCUMENT_SIZE], size_t *len)
{
    uint64_t random = seed;
    *len = (size_t)random_below(&random, DOCUMENT_SIZE);
    for (size_t i = 0; i < *len; i++)
        text[i] = (char)('a' + random_below(&random, 26));
}
