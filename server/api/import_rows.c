/* import_rows: see the header.
 *
 *   series[0] {labels} -> run of samples -> run
 *   series[1] {labels} -> run
 *
 * A job of the writer takes some BATCH_SAMPLES, so that a large import neither makes a huge batch
 * nor keeps others waiting; long runs of one series are what the store writes fastest.
 */
#include "server/api/import_rows.h"

#include <assert.h>

#include "server/ingest/reading.h"

#define BATCH_SAMPLES 200000
#define SERIES_MAX    1000000 /* in one import */
#define RUN_SAMPLES   64      /* room in a run made of single samples */

struct import_run {
    struct store_column column;
    int64_t *times; /* of the column while single samples may be added */
    double *values;
    struct import_run *next;
};

struct import_series {
    struct labels labels;
    enum series_kind kind;
    bool refused;
    struct import_run *first, *last;
    struct import_series *next; /* with samples to write */
};

void rows_init(struct import_rows *rows, struct store *store, struct writer *writer,
               size_t memory_max)
{
    *rows = (struct import_rows){.store = store, .writer = writer};
    arena_init(&rows->arena, memory_max);
    arena_init(&rows->series, memory_max);
    table_init(&rows->index, SERIES_MAX);
    buffer_init(&rows->key, SIZE_MAX);
}

void rows_release(struct import_rows *rows)
{
    arena_release(&rows->arena);
    arena_release(&rows->series);
    table_release(&rows->index);
    buffer_release(&rows->key);
}

static struct import_series *find_series(struct import_rows *rows, struct labels labels,
                                         enum series_kind kind)
{
    bool fresh;
    buffer_reset(&rows->key);
    labels_encode(labels, &rows->key);
    struct table_entry *entry = table_insert(&rows->index, buffer_slice(&rows->key), &fresh);
    if (!entry || !fresh)
        return entry ? entry->value.pointer : NULL;
    struct import_series *series = arena_zeroed(&rows->series, 1, sizeof *series);
    entry->value.pointer = series;
    if (!series)
        return NULL;
    series->labels = labels_copy(&rows->series, labels);
    series->kind = kind;
    rows->series_count++;
    return series->labels.at ? series : NULL;
}

static struct import_run *push_run(struct import_rows *rows, struct import_series *series)
{
    struct import_run *run = arena_zeroed(&rows->arena, 1, sizeof *run);
    if (!run)
        return NULL;
    if (!series->first) {
        if (rows->last)
            rows->last->next = series;
        else
            rows->first = series;
        rows->last = series;
        series->first = run;
    } else {
        assert(series->last);
        series->last->next = run;
    }
    series->last = run;
    return run;
}

/* One more sample, where others of its series have left room. */
static bool add_value(struct import_rows *rows, struct import_series *series, int64_t time_ms,
                      double value)
{
    struct import_run *run = series->last;
    if (!run || !run->times || run->column.count == RUN_SAMPLES) {
        run = push_run(rows, series);
        if (!run)
            return false;
        run->times = arena_alloc(&rows->arena, RUN_SAMPLES * sizeof *run->times);
        run->values = arena_alloc(&rows->arena, RUN_SAMPLES * sizeof *run->values);
        if (!run->times || !run->values)
            return false;
        run->column = (struct store_column){.times = run->times, .values = run->values};
    }
    run->times[run->column.count] = time_ms;
    run->values[run->column.count++] = value;
    return true;
}

int rows_add(struct import_rows *rows, struct labels labels, enum series_kind kind,
             const struct store_column *column, struct error *err)
{
    struct import_series *series = find_series(rows, labels, kind);
    if (!series)
        return error_set(err, ERROR_LIMIT, "the import has too many series; send it in parts");
    bool single = column->count == 1 && !column->histograms && !column->sketches;
    struct import_run *run = single ? NULL : push_run(rows, series);
    bool enough =
        single ? add_value(rows, series, column->times[0], column->values[0]) : run != NULL;
    if (run)
        run->column = *column;
    rows->pending += column->count;
    return enough ? 0
                  : error_set(err, ERROR_LIMIT, "the import needs more than limits.query_memory");
}

bool rows_are_many(const struct import_rows *rows)
{
    return rows->pending >= BATCH_SAMPLES || rows->arena.used > rows->arena.limit / 2;
}

/* --- on the writer --- */

static void write_run(struct import_rows *rows, struct store_batch *batch, uint32_t id,
                      const struct store_column *column)
{
    int64_t oldest_ms = store_oldest_taken(rows->store, id);
    for (size_t i = 0; i < column->count; i++) {
        if (column->times[i] < oldest_ms) {
            rows->past_retention++;
            continue;
        }
        rows->samples++;
        if (column->histograms && column->histograms[i])
            store_batch_histogram(batch, id, column->times[i], column->histograms[i]);
        else if (column->sketches && column->values && column->sketches[i].len)
            store_batch_set(batch, id, column->times[i], column->values[i], column->sketches[i]);
        else
            store_batch_value(batch, id, column->times[i],
                              column->values ? column->values[i] : stale_nan());
    }
}

static int intern(struct import_rows *rows, struct store_batch *batch,
                  const struct import_series *series, uint32_t *id, struct error *err)
{
    return rows->only_readings ? reading_intern(rows->store, batch, series->labels, id, err)
                               : store_batch_intern(batch, series->labels, series->kind, id, err);
}

static void write_series(struct import_rows *rows, struct store_batch *batch,
                         struct import_series *series)
{
    struct error err;
    uint32_t id;
    bool refused = intern(rows, batch, series, &id, &err) < 0;
    if (refused && !series->refused && rows->refused_series++ == 0)
        rows->refusal = err;
    series->refused |= refused;
    for (struct import_run *run = series->first; run; run = run->next) {
        if (refused)
            rows->refused_samples += run->column.count;
        else
            write_run(rows, batch, id, &run->column);
        if (refused && err.kind != ERROR_LIMIT)
            rows->clashing_samples += run->column.count;
    }
}

static int write_rows(void *arg, struct store_batch *batch, struct error *err)
{
    struct import_rows *rows = arg;
    (void)err;
    for (struct import_series *series = rows->first; series; series = series->next)
        write_series(rows, batch, series);
    return 0;
}

int rows_flush(struct import_rows *rows, bool last, struct error *err)
{
    size_t written = rows->samples;
    if (writer_call(rows->writer, last, write_rows, rows, err)) {
        rows->samples = written;
        return error_wrap(err, "%zu samples were written before", written);
    }
    for (struct import_series *series = rows->first, *next; series; series = next) {
        next = series->next;
        series->first = series->last = NULL;
        series->next = NULL;
    }
    rows->first = rows->last = NULL;
    rows->pending = 0;
    arena_reset(&rows->arena);
    return 0;
}
