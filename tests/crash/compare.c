/* compare: reads everything back and compares it with the model.
 *
 *   series      found by their labels, each once, of the right kind
 *   samples     whole series and random windows: the same times, the same bits, histograms equal
 *   newest      of each series
 *   buckets     of five minutes and of an hour, and pieces of long windows (buckets.c)
 *   lines       all, in order
 *   documents   all, and none besides
 *
 * Every sentence starts with what it is: lost, wrong or doubled. Raw samples and lines that retention
 * may have dropped may be missing, but what is there of them must be right.
 */
#include <stdio.h>
#include <stdlib.h>

#include "storage/base/clock.h"
#include "storage/log/logstore.h"
#include "tests/crash/crash.h"

#define ARENA_BYTES ((size_t)1 << 28)

int differs(const struct comparison *c, const char *kind, const struct slot *slot, int64_t time_ms,
            const char *what)
{
    return error_set(c->err, ERROR_INTERNAL, "%s: series %u (%s) at %lld (day %lld + %lld ms): %s",
                     kind, slot->serial, series_kind_name(slot->kind), (long long)time_ms,
                     (long long)(time_ms / DAY_MS), (long long)(time_ms % DAY_MS), what);
}

/* --- samples --- */

static bool same_value(const struct slot *slot, struct sample sample,
                       const struct store_column *column, size_t i)
{
    if (slot->kind != SERIES_HISTOGRAM)
        return double_bits_of(column->values[i]) == sample.bits;
    if (!column->histograms[i] || sample.bits == STALE_NAN_BITS)
        return !column->histograms[i] && sample.bits == STALE_NAN_BITS;
    struct histogram want;
    model_histogram(sample.bits, &want);
    struct histogram got = *column->histograms[i];
    bool same = histogram_equal(&want, &got);
    histogram_release(&want);
    return same;
}

static bool same_sketch(const struct slot *slot, struct sample sample,
                        const struct store_column *column, size_t i)
{
    struct buffer want;
    buffer_init(&want, SKETCH_CODE_MAX);
    if (slot->kind == SERIES_SET)
        model_sketch(sample, &want);
    struct slice got = column->sketches ? column->sketches[i] : SLICE("");
    bool same = slice_equal(got, buffer_slice(&want));
    buffer_release(&want);
    return same;
}

/* A stale marker behind the last sample of a bucket stands for one that was anywhere after it. */
static bool is_ended(const struct slot *slot, const struct store_column *column, size_t i)
{
    bool stale =
        slot->kind == SERIES_HISTOGRAM ? !column->histograms[i] : is_stale_nan(column->values[i]);
    size_t next = slot_find(slot, column->times[i]);
    return stale && next < slot->count && slot->at[next].bits == STALE_NAN_BITS;
}

/* What retention may have dropped: some of it may be there, as the first and last of buckets. */
static int compare_old(const struct comparison *c, const struct slot *slot,
                       const struct store_column *column, size_t count)
{
    int64_t known = c->model->now_ms - FORGET_DAYS * DAY_MS;
    for (size_t i = 0; i < count; i++) {
        int64_t time = column->times[i];
        size_t at = slot_find(slot, time);
        if (i && time <= column->times[i - 1])
            return differs(c, "doubled", slot, time, "an old sample is there twice");
        if (time < known || is_ended(slot, column, i))
            continue;
        if (at == slot->count || slot->at[at].time_ms != time)
            return differs(c, "wrong", slot, time, "an old sample that nobody wrote, or deleted");
        if (!same_value(slot, slot->at[at], column, i))
            return differs(c, "wrong", slot, time, "another value than was written");
    }
    return 0;
}

static int compare_column(const struct comparison *c, const struct slot *slot,
                          const struct store_column *column, int64_t start_ms, int64_t end_ms)
{
    size_t got = 0;
    int64_t exact_from = model_exact_from(c->model, slot->serial, STORE_RAW);
    if (column->damaged)
        return differs(c, "lost", slot, start_ms, "a chunk is damaged");
    while (got < column->count && column->times[got] <= exact_from)
        got++;
    if (compare_old(c, slot, column, got))
        return -1;
    if (start_ms <= exact_from)
        start_ms = exact_from + 1; /* that of midnight may come from the bucket it ends */
    size_t want = slot_find(slot, start_ms), first = got;
    for (; want < slot->count && slot->at[want].time_ms <= end_ms; want++, got++) {
        struct sample sample = slot->at[want];
        if (got == column->count || column->times[got] > sample.time_ms)
            return differs(c, "lost", slot, sample.time_ms, "the sample is missing");
        if (column->times[got] < sample.time_ms)
            break;
        if (!same_value(slot, sample, column, got))
            return differs(c, "wrong", slot, sample.time_ms, "another value than was written");
        if (!same_sketch(slot, sample, column, got))
            return differs(c, "wrong", slot, sample.time_ms, "another sketch than was written");
    }
    if (got < column->count)
        return got > first && column->times[got] == column->times[got - 1]
                   ? differs(c, "doubled", slot, column->times[got], "the sample is there twice")
                   : differs(c, "wrong", slot, column->times[got],
                             "a sample that nobody wrote, or that was deleted");
    shared->samples += got - first;
    return 0;
}

static int compare_span(struct comparison *c, const struct slot *slot, struct store_span span)
{
    struct store_column column;
    arena_reset(&c->arena);
    store_reader_want_sketches(c->reader, slot->kind == SERIES_SET);
    int status = store_read(c->reader, span, &c->arena, &column, c->err);
    store_reader_want_sketches(c->reader, false);
    return status ? -1 : compare_column(c, slot, &column, span.start_ms, span.end_ms);
}

static int compare_newest(struct comparison *c, const struct slot *slot, uint32_t id)
{
    double value = 0;
    const struct histogram *histogram = NULL;
    size_t i = slot->count;
    while (i && slot->at[i - 1].bits == STALE_NAN_BITS)
        i--;
    if (i == 0 || slot->at[i - 1].time_ms <= model_exact_from(c->model, slot->serial, STORE_RAW))
        return 0;
    struct store_column column = {.values = &value, .histograms = &histogram};
    arena_reset(&c->arena);
    if (!store_last(c->store, id, &c->arena, &value, &histogram))
        return differs(c, "lost", slot, slot->at[i - 1].time_ms, "no newest sample");
    if (!same_value(slot, slot->at[i - 1], &column, 0))
        return differs(c, "wrong", slot, slot->at[i - 1].time_ms, "another newest sample");
    return 0;
}

/* --- series --- */

static int compare_series(struct comparison *c, const struct slot *slot, uint32_t id)
{
    if (compare_span(c, slot, (struct store_span){id, INT64_MIN, INT64_MAX}))
        return -1;
    for (int i = 0; i < 2 && slot->count; i++) {
        int64_t start = slot->at[random_below(&c->random, (int64_t)slot->count)].time_ms;
        int64_t end = start + random_below(&c->random, DAY_MS);
        start -= random_below(&c->random, 2);
        if (compare_span(c, slot, (struct store_span){id, start, end}))
            return -1;
    }
    return compare_newest(c, slot, id) || compare_buckets(c, slot, id) ? -1 : 0;
}

/* A series of which all samples are past retention, and which the model has forgotten. */
static int compare_forgotten(struct comparison *c, uint32_t serial,
                             const struct store_series *series)
{
    struct slot nothing = {.serial = serial, .kind = series->kind};
    if (serial == 0 || serial > c->model->serials)
        return error_set(c->err, ERROR_INTERNAL, "wrong: series %u that nobody made", serial);
    return compare_span(c, &nothing, (struct store_span){series->id, INT64_MIN, INT64_MAX});
}

static int compare_found(struct comparison *c, const struct store_series *series, bool *found)
{
    struct slice number = labels_get(series->labels, SLICE("n"));
    uint32_t serial = 0;
    for (size_t i = 0; i < number.len; i++)
        serial = serial * 10 + (uint32_t)(number.at[i] - '0');
    for (int i = 0; i < SLOTS; i++) {
        const struct slot *slot = &c->model->slots[i];
        struct series_name name;
        if (slot->serial != serial)
            continue;
        if (!labels_equal(series->labels, series_labels_of(slot, &name)) ||
            series->kind != slot->kind)
            return differs(c, "wrong", slot, 0, "other labels, or another kind");
        if (found[i])
            return differs(c, "doubled", slot, 0, "the series is there twice");
        found[i] = true;
        return compare_series(c, slot, series->id);
    }
    return compare_forgotten(c, serial, series);
}

/* One that the store does not know, or of which it says that nothing is left. */
static int compare_missing(const struct comparison *c, const struct slot *slot)
{
    if (slot->count &&
        slot->at[slot->count - 1].time_ms > model_exact_from(c->model, slot->serial, STORE_RAW))
        return differs(c, "lost", slot, slot->at[slot->count - 1].time_ms, "the series is missing");
    return compare_no_buckets(c, slot);
}

static int compare_samples(struct comparison *c)
{
    struct arena arena;
    struct store_selection all;
    struct store_query query = {.start_ms = 0, .end_ms = INT64_MAX};
    bool found[SLOTS] = {false};
    arena_init(&arena, ARENA_BYTES);
    int status = store_select(c->store, &query, &arena, &all, c->err);
    for (size_t i = 0; !status && i < all.count; i++)
        status = compare_found(c, &all.at[i], found);
    for (int i = 0; !status && i < SLOTS; i++)
        if (!found[i])
            status = compare_missing(c, &c->model->slots[i]);
    arena_release(&arena);
    return status;
}

/* --- lines --- */

struct line_scan {
    const struct comparison *c;
    size_t next;
    int status;
};

static bool compare_line(void *arg, const struct record *record)
{
    struct line_scan *scan = arg;
    const struct model *model = scan->c->model;
    const struct line *line = &model->lines[scan->next];
    struct label at[2];
    char text[128] = "";
    if (record->time_ns < model_lines_from(model) * 1000000)
        return true;
    if (scan->next < model->line_count)
        line_text(line->serial, text);
    if (scan->next == model->line_count || record->time_ns < line->time_ns) {
        scan->status = error_set(scan->c->err, ERROR_INTERNAL,
                                 "doubled or wrong: the log line \"" SLICE_FMT "\" is one too many",
                                 SLICE_ARG(record->line));
    } else if (record->time_ns > line->time_ns || !slice_equal_string(record->line, text) ||
               !labels_equal(record->stream, stream_labels(line->serial, at))) {
        scan->status = error_set(scan->c->err, ERROR_INTERNAL,
                                 "lost: the log line \"%s\"; in its place is \"" SLICE_FMT "\"",
                                 text, SLICE_ARG(record->line));
    }
    scan->next++;
    shared->lines++;
    return scan->status == 0;
}

static int compare_lines(const struct comparison *c)
{
    struct line_scan scan = {.c = c};
    const struct model *model = c->model;
    struct logstore_query query = {.start_ns = 0, .end_ns = INT64_MAX};
    while (scan.next < model->line_count &&
           model->lines[scan.next].time_ns < model_lines_from(model) * 1000000)
        scan.next++;
    if (logstore_scan(store_logs(c->store), &query, compare_line, &scan, c->err))
        return -1;
    if (scan.status)
        return -1;
    return scan.next == model->line_count
               ? 0
               : error_set(c->err, ERROR_INTERNAL, "lost: the last %zu log lines",
                           model->line_count - scan.next);
}

/* --- documents --- */

struct document_scan {
    const struct comparison *c;
    bool found[DOCUMENTS];
    int status;
};

static bool compare_document(void *arg, struct slice key, struct slice value)
{
    struct document_scan *scan = arg;
    char text[DOCUMENT_SIZE];
    size_t len = 0;
    int number = key.len == 4 ? (key.at[2] - '0') * 10 + key.at[3] - '0' : DOCUMENTS;
    if (number < 0 || number >= DOCUMENTS || !scan->c->model->documents[number]) {
        scan->status = error_set(
            scan->c->err, ERROR_INTERNAL,
            "wrong: document " SLICE_FMT " is there, though deleted or never made", SLICE_ARG(key));
        return false;
    }
    document_text(scan->c->model->documents[number], text, &len);
    if (!slice_equal(value, slice_make(text, len)))
        scan->status = error_set(scan->c->err, ERROR_INTERNAL,
                                 "wrong: document " SLICE_FMT " has another value", SLICE_ARG(key));
    scan->found[number] = true;
    return scan->status == 0;
}

static int compare_documents(const struct comparison *c)
{
    struct document_scan scan = {.c = c};
    struct store_scan range = {.prefix = SLICE("d/")};
    if (store_scan(c->store, &range, compare_document, &scan, c->err) || scan.status)
        return -1;
    for (int i = 0; i < DOCUMENTS; i++)
        if (c->model->documents[i] && !scan.found[i])
            return error_set(c->err, ERROR_INTERNAL, "lost: document d/%02d", i);
    return 0;
}

int compare(const struct model *model, struct store *store, struct error *err)
{
    struct comparison c = {.model = model,
                           .store = store,
                           .reader = store_reader_new(store),
                           .random = model->commits * 2 + 1,
                           .err = err};
    arena_init(&c.arena, ARENA_BYTES);
    clock_set_ms(model->now_ms);
    int status = compare_samples(&c) || compare_lines(&c) || compare_documents(&c) ? -1 : 0;
    arena_release(&c.arena);
    store_reader_free(c.reader);
    return status;
}
