/* execute: carries an operation out on the store, and announces meanwhile what it is inside of.
 *
 * Nothing here may fail: the disk has room, the labels are few. What fails ends the process with a
 * sentence, which the parent takes for a failure of the round.
 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "storage/base/clock.h"
#include "tests/crash/crash.h"

const char *const phase_names[PHASE_COUNT] = {
    [PHASE_OPEN] = "open",
    [PHASE_COMPARE] = "reading",
    [PHASE_READY] = "between",
    [PHASE_COMMIT] = "commit",
    [PHASE_LATE] = "late commit",
    [PHASE_BULK] = "bulk commit",
    [PHASE_MAINTAIN] = "maintain",
    [PHASE_RETENTION] = "retention",
    [PHASE_CLOSING] = "closing a day",
    [PHASE_SEAL] = "seal",
    [PHASE_COMPACT] = "compact",
    [PHASE_DELETE] = "delete",
    [PHASE_CLEAN] = "carrying out",
    [PHASE_BACKUP] = "backup",
    [PHASE_STOP] = "stop",
};

const char *const op_names[OP_KINDS] = {
    [OP_TICK] = "tick",         [OP_LEAP] = "leap",   [OP_DOCUMENT] = "document",
    [OP_RECORD] = "record",     [OP_LATE] = "late",   [OP_BULK] = "bulk",
    [OP_MAINTAIN] = "maintain", [OP_SEAL] = "seal",   [OP_COMPACT] = "compact",
    [OP_DELETE] = "delete",     [OP_CLEAN] = "clean", [OP_BACKUP] = "backup",
};

static void must(int status, const struct error *err, const char *what)
{
    if (status == 0)
        return;
    fprintf(stderr, "crash: %s failed: %s\n", what, err->text);
    _exit(1);
}

struct labels series_labels_of(const struct slot *slot, struct series_name *name)
{
    snprintf(name->number, sizeof name->number, "%u", slot->serial);
    snprintf(name->group, sizeof name->group, "%u", slot->serial % GROUPS);
    name->at[0] = (struct label){SLICE(LABEL_NAME), SLICE("m")};
    name->at[1] = (struct label){SLICE("group"), slice_of_string(name->group)};
    name->at[2] = (struct label){SLICE("kind"), slice_of_string(series_kind_name(slot->kind))};
    name->at[3] = (struct label){SLICE("n"), slice_of_string(name->number)};
    return (struct labels){name->at, LABELS_OF_SERIES};
}

struct labels stream_labels(uint32_t serial, struct label at[2])
{
    static const char *const hosts[] = {"a", "b", "c"};
    at[0] = (struct label){SLICE("host"), slice_of_string(hosts[serial % 3])};
    at[1] = (struct label){SLICE("service"), SLICE("crash")};
    return (struct labels){at, 2};
}

void line_text(uint32_t serial, char text[128])
{
    snprintf(text, 128, "line %u of the crash harness, padded by %u", serial, serial * 2654435761u);
}

/* --- batches --- */

static void add_set(struct store_batch *batch, uint32_t id, struct sample sample)
{
    struct buffer code;
    buffer_init(&code, SKETCH_CODE_MAX);
    model_sketch(sample, &code);
    if (code.len)
        store_batch_set(batch, id, sample.time_ms, bits_double(sample.bits), buffer_slice(&code));
    else
        store_batch_value(batch, id, sample.time_ms, bits_double(sample.bits));
    buffer_release(&code);
}

static void add_samples(struct store_batch *batch, const struct model *model, const struct op *op)
{
    uint32_t ids[SLOTS];
    bool known[SLOTS] = {false};
    struct error err = {0};
    for (size_t i = 0; i < op->sample_count; i++) {
        int place = op->samples[i].slot;
        struct sample sample = op->samples[i].sample;
        struct slot slot = model->slots[place];
        for (size_t j = 0; j < op->birth_count; j++)
            if (op->births[j].slot == place)
                slot = (struct slot){.serial = op->births[j].serial, .kind = op->births[j].kind};
        struct series_name name;
        if (!known[place])
            must(store_batch_intern(batch, series_labels_of(&slot, &name), slot.kind, &ids[place],
                                    &err),
                 &err, "naming a series");
        known[place] = true;
        if (slot.kind == SERIES_HISTOGRAM && sample.bits != STALE_NAN_BITS) {
            struct histogram histogram;
            model_histogram(sample.bits, &histogram);
            store_batch_histogram(batch, ids[place], sample.time_ms, &histogram);
            histogram_release(&histogram);
        } else if (slot.kind == SERIES_SET) {
            add_set(batch, ids[place], sample);
        } else {
            store_batch_value(batch, ids[place], sample.time_ms, bits_double(sample.bits));
        }
    }
}

static void add_lines(struct store_batch *batch, const struct op *op)
{
    for (size_t i = 0; i < op->line_count; i++) {
        struct label at[2];
        char text[128];
        line_text(op->lines[i].serial, text);
        struct record record = {op->lines[i].time_ns, stream_labels(op->lines[i].serial, at),
                                slice_of_string(text)};
        store_batch_records(batch, &record, 1);
    }
}

static void add_documents(struct store_batch *batch, const struct op *op)
{
    for (size_t i = 0; i < op->document_count; i++) {
        char key[16], text[DOCUMENT_SIZE];
        size_t len;
        snprintf(key, sizeof key, "d/%02d", op->documents[i].key);
        if (op->documents[i].seed == 0) {
            store_batch_delete(batch, slice_of_string(key));
            continue;
        }
        document_text(op->documents[i].seed, text, &len);
        store_batch_put(batch, slice_of_string(key), slice_make(text, len));
    }
}

static void commit(struct store *store, const struct model *model, const struct op *op,
                   enum phase phase)
{
    struct store_batch *batch = store_batch_new(store);
    struct error err = {0};
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)model->commits + 1);
    add_samples(batch, model, op);
    add_lines(batch, op);
    add_documents(batch, op);
    store_batch_put(batch, SLICE("commits"), slice_of_string(number));
    phase_enter(phase);
    must(store_commit(store, batch, op->sync, &err), &err, "a commit");
    store_batch_free(batch);
}

/* --- deletions --- */

static void delete_series(struct store *store, const struct deletion *deletion)
{
    struct error err = {0};
    struct matcher matcher;
    char number[16];
    snprintf(number, sizeof number, "%u", deletion->number);
    must(matcher_init(&matcher, MATCH_EQUAL, deletion->group ? SLICE("group") : SLICE("n"),
                      slice_of_string(number), &err),
         &err, "a matcher");
    struct store_query query = {.matchers = &matcher,
                                .matcher_count = 1,
                                .start_ms = deletion->start_ms,
                                .end_ms = deletion->end_ms};
    phase_enter(PHASE_DELETE);
    must(store_delete_series(store, &query, 1, &err), &err, "deleting series");
    matcher_release(&matcher);
}

static void clean_tombstones(struct store *store)
{
    struct error err = {0};
    int status = 1;
    phase_enter(PHASE_CLEAN);
    while (status == 1)
        status = store_clean_tombstones(store, &err);
    must(status, &err, "carrying deletions out");
}

/* --- maintenance --- */

/* What maintaining will be busy with, as far as can be told from outside. */
static enum phase maintain_phase(const struct model *model)
{
    static int64_t retained_day, closed_day;
    int64_t retained = (model->now_ms - retention_days(0, STORE_RAW) * DAY_MS) / DAY_MS;
    int64_t closed = (model->now_ms - 60 * MINUTE_MS) / DAY_MS;
    enum phase phase = retained != retained_day ? PHASE_RETENTION
                       : closed != closed_day   ? PHASE_CLOSING
                                                : PHASE_MAINTAIN;
    retained_day = phase == PHASE_RETENTION ? retained : retained_day;
    closed_day = phase == PHASE_CLOSING ? closed : closed_day;
    return phase;
}

void op_execute(struct store *store, const struct model *model, const struct op *op)
{
    struct error err = {0};
    clock_set_ms(op->now_ms);
    switch (op->kind) {
    case OP_TICK:
    case OP_LEAP:
    case OP_DOCUMENT:
    case OP_RECORD:
        commit(store, model, op, PHASE_COMMIT);
        break;
    case OP_LATE:
        commit(store, model, op, PHASE_LATE);
        break;
    case OP_BULK:
        commit(store, model, op, PHASE_BULK);
        break;
    case OP_MAINTAIN:
        phase_enter(maintain_phase(model));
        must(store_maintain(store, op->now_ms, &err), &err, "maintaining");
        break;
    case OP_SEAL:
        phase_enter(PHASE_SEAL);
        must(store_seal(store, &err), &err, "sealing");
        break;
    case OP_COMPACT:
        phase_enter(PHASE_COMPACT);
        must(store_compact(store, &err), &err, "compacting");
        break;
    case OP_DELETE:
        delete_series(store, &op->deletion);
        break;
    case OP_CLEAN:
        clean_tombstones(store);
        break;
    case OP_BACKUP: /* the caller's */
    case OP_KINDS:
        break;
    }
}

enum op_kind op_of_phase(enum phase phase)
{
    static const enum op_kind kinds[PHASE_COUNT] = {
        [PHASE_LATE] = OP_LATE,       [PHASE_BULK] = OP_BULK,     [PHASE_MAINTAIN] = OP_MAINTAIN,
        [PHASE_RETENTION] = OP_LEAP,  [PHASE_CLOSING] = OP_LEAP,  [PHASE_SEAL] = OP_SEAL,
        [PHASE_COMPACT] = OP_COMPACT, [PHASE_DELETE] = OP_DELETE, [PHASE_CLEAN] = OP_CLEAN,
        [PHASE_BACKUP] = OP_BACKUP,
    };
    return kinds[phase];
}
