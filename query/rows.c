/* rows: the values of expressions, label projections, and sets of rows by label set.
 *
 * A row set is how a node answers that may meet one label set twice: after the name is dropped,
 * after label_replace, after a join. Two such rows are one series as long as they never have a
 * point at the same step; where they do, the query is wrong and says so.
 */
#include "query/eval.h"

#include <assert.h>
#include <stdlib.h>

#define ROWS_CAPACITY_MIN 16

bool row_make(struct arena *arena, const struct grid *grid, struct row *out)
{
    out->values = arena_alloc(arena, grid->steps * sizeof *out->values);
    out->histograms = NULL;
    if (!out->values)
        return false;
    for (size_t i = 0; i < grid->steps; i++)
        out->values[i] = point_absent();
    return true;
}

bool row_make_histograms(struct arena *arena, const struct grid *grid, struct row *row)
{
    if (!row->histograms)
        row->histograms = arena_zeroed(arena, grid->steps, sizeof *row->histograms);
    return row->histograms != NULL;
}

int rows_append(struct eval *eval, struct rows *rows, const struct row *row)
{
    if (rows->count == rows->capacity) {
        size_t capacity = rows->capacity ? rows->capacity * 2 : ROWS_CAPACITY_MIN;
        struct row *at = arena_alloc(eval->arena, capacity * sizeof *at);
        if (!at)
            return eval_fail_memory(eval);
        if (rows->count)
            memcpy(at, rows->at, rows->count * sizeof *at);
        rows->at = at;
        rows->capacity = capacity;
    }
    rows->at[rows->count++] = *row;
    return 0;
}

struct collector {
    struct sink sink;
    struct eval *eval;
    const struct grid *grid;
    struct rows *rows;
};

int row_keep(struct eval *eval, const struct grid *grid, struct row *row)
{
    double *values = arena_alloc(eval->arena, grid->steps * sizeof *values);
    if (!values)
        return eval_fail_memory(eval);
    memcpy(values, row->values, grid->steps * sizeof *values);
    row->values = values;
    if (!row->histograms)
        return 0;
    const struct histogram **from = row->histograms;
    row->histograms = NULL;
    if (!row_make_histograms(eval->arena, grid, row))
        return eval_fail_memory(eval);
    for (size_t i = 0; i < grid->steps; i++) {
        if (!from[i])
            continue;
        row->histograms[i] = histogram_copy(eval->arena, from[i]);
        if (!row->histograms[i] || eval_memory_left(eval) == 0)
            return eval_fail_memory(eval);
    }
    return 0;
}

static bool row_is_empty(const struct grid *grid, const struct row *row)
{
    for (size_t i = 0; i < grid->steps; i++)
        if (row_has(row, i))
            return false;
    return true;
}

static int collector_take(struct sink *self, struct row *row)
{
    struct collector *collector = (struct collector *)self;
    struct row kept = *row;
    if (row_is_empty(collector->grid, row))
        return 0;
    if (row_keep(collector->eval, collector->grid, &kept) != 0)
        return -1;
    return rows_append(collector->eval, collector->rows, &kept);
}

int rows_collect(struct eval *eval, const struct plan *plan, const struct grid *grid,
                 struct rows *out)
{
    *out = (struct rows){0};
    struct collector collector = {{collector_take}, eval, grid, out};
    return eval_rows(eval, plan, grid, &collector.sink);
}

int rows_push(struct rows *rows, struct sink *sink)
{
    for (size_t i = 0; i < rows->count; i++)
        if (sink->take(sink, &rows->at[i]) != 0)
            return -1;
    return 0;
}

static int compare_rows(const void *a, const void *b)
{
    return labels_compare(((const struct row *)a)->labels, ((const struct row *)b)->labels);
}

/* Some are in order as they come: those of aggregations. */
void rows_sort(struct rows *rows)
{
    for (size_t i = 1; i < rows->count; i++)
        if (compare_rows(&rows->at[i - 1], &rows->at[i]) > 0) {
            qsort(rows->at, rows->count, sizeof *rows->at, compare_rows);
            return;
        }
}

bool labels_name_is_valid(struct slice name)
{
    return name.len && slice_is_utf8(name);
}

bool names_contain(const struct plan_names *names, struct slice name)
{
    for (size_t i = 0; i < names->count; i++)
        if (slice_equal(names->at[i], name))
            return true;
    return false;
}

static bool projected(struct slice name, const struct plan_names *names, bool keep)
{
    if (keep)
        return names_contain(names, name);
    return !slice_equal(name, SLICE(LABEL_NAME)) && !names_contain(names, name);
}

struct labels labels_project(struct arena *arena, struct labels labels,
                             const struct plan_names *names, bool keep)
{
    struct label *at = arena_alloc(arena, labels.count * sizeof *at);
    size_t count = 0;
    if (!at)
        return (struct labels){NULL, 0};
    for (size_t i = 0; i < labels.count; i++)
        if (projected(labels.at[i].name, names, keep))
            at[count++] = labels.at[i];
    return (struct labels){at, count};
}

void labels_project_key(struct labels labels, const struct plan_names *names, bool keep,
                        struct buffer *out)
{
    for (size_t i = 0; i < labels.count; i++) {
        if (!projected(labels.at[i].name, names, keep))
            continue;
        buffer_append_prefixed(out, labels.at[i].name);
        buffer_append_prefixed(out, labels.at[i].value);
    }
}

struct labels labels_without_name(struct arena *arena, struct labels labels)
{
    static const struct plan_names none = {NULL, 0};
    if (labels.count && slice_equal(labels.at[0].name, SLICE(LABEL_NAME)))
        return (struct labels){labels.at + 1, labels.count - 1}; /* nearly always */
    if (labels_get(labels, SLICE(LABEL_NAME)).len == 0)
        return labels;
    return labels_project(arena, labels, &none, false);
}

bool labels_set(struct arena *arena, struct labels *labels, struct slice name, struct slice value)
{
    struct label *at = arena_alloc(arena, (labels->count + 1) * sizeof *at);
    size_t count = 0;
    if (!at)
        return false;
    for (size_t i = 0; i < labels->count; i++)
        if (!slice_equal(labels->at[i].name, name))
            at[count++] = labels->at[i];
    if (value.len)
        at[count++] = (struct label){name, value};
    labels_sort(at, count);
    *labels = (struct labels){at, count};
    return count <= LABELS_MAX;
}

void rowset_init(struct rowset *set, struct eval *eval, const struct grid *grid)
{
    *set = (struct rowset){.eval = eval, .grid = grid};
    table_init(&set->index, SIZE_MAX);
    buffer_init(&set->key, SIZE_MAX);
}

void rowset_release(struct rowset *set)
{
    table_release(&set->index);
    buffer_release(&set->key);
}

struct row *rowset_row(struct rowset *set, struct labels labels)
{
    bool fresh;
    buffer_reset(&set->key);
    labels_encode(labels, &set->key);
    struct table_entry *entry = table_insert(&set->index, buffer_slice(&set->key), &fresh);
    assert(entry);
    if (!fresh)
        return &set->rows.at[entry->value.number];
    struct row row = {.labels = labels};
    entry->value.number = set->rows.count;
    if (!row_make(set->eval->arena, set->grid, &row)) {
        eval_fail_memory(set->eval);
        return NULL;
    }
    if (rows_append(set->eval, &set->rows, &row) != 0)
        return NULL;
    return &set->rows.at[set->rows.count - 1];
}

int rowset_add(struct rowset *set, const struct row *row, const char *conflict)
{
    struct eval *eval = set->eval;
    if (row_is_empty(set->grid, row))
        return 0;
    struct row *into = rowset_row(set, row->labels);
    if (!into)
        return -1;
    if (row->histograms && !row_make_histograms(eval->arena, set->grid, into))
        return eval_fail_memory(eval);
    for (size_t i = 0; i < set->grid->steps; i++) {
        if (!row_has(row, i))
            continue;
        if (row_has(into, i))
            return error_set(eval->err, ERROR_EXECUTION, "%s", conflict);
        into->values[i] = row->values[i];
        if (row_histogram(row, i) &&
            !(into->histograms[i] = histogram_copy(eval->arena, row->histograms[i])))
            return eval_fail_memory(eval);
    }
    return 0;
}
