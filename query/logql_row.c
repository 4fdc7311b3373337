/* logql_row: see the header. Rows have a few dozen labels, so everything is linear. */
#include "query/logql_row.h"

#include <stdlib.h>

#include "storage/base/alloc.h"

#define ROW_BYTES_MAX ((size_t)64 << 20)

struct logql_row *logql_row_new(void)
{
    struct logql_row *row = alloc_zeroed(1, sizeof *row);
    arena_init(&row->arena, ROW_BYTES_MAX);
    return row;
}

void logql_row_free(struct logql_row *row)
{
    if (!row)
        return;
    arena_release(&row->arena);
    json_parser_free(row->json);
    free(row);
}

struct label *logql_row_find(struct logql_row *row, struct slice name)
{
    for (size_t i = 0; i < row->count; i++)
        if (slice_equal(row->labels[i].name, name))
            return &row->labels[i];
    return NULL;
}

struct slice logql_label(struct labels labels, struct slice name)
{
    struct slice value = labels_get(labels, name);
    if (value.len == 0 && slice_equal(name, SLICE("detected_level")))
        return labels_get(labels, SLICE("level"));
    if (value.len == 0 && slice_equal(name, SLICE("service_name")))
        return labels_get(labels, SLICE("service"));
    return value;
}

struct slice logql_row_get(const struct logql_row *row, struct slice name)
{
    return logql_label((struct labels){row->labels, row->count}, name);
}

void logql_row_remove(struct logql_row *row, size_t index)
{
    if (index < row->stream_count)
        row->stream_count--;
    row->count--;
    memmove(row->labels + index, row->labels + index + 1,
            (row->count - index) * sizeof row->labels[0]);
}

void logql_row_set(struct logql_row *row, struct slice name, struct slice value)
{
    struct label *label = logql_row_find(row, name);
    if (label && value.len == 0)
        logql_row_remove(row, (size_t)(label - row->labels));
    else if (label)
        label->value = value;
    else if (value.len && row->count < LOGQL_LABELS_MAX)
        row->labels[row->count++] = (struct label){name, value};
}

void logql_row_fail(struct logql_row *row, struct slice kind)
{
    if (!logql_row_find(row, LOGQL_ERROR_LABEL))
        logql_row_set(row, LOGQL_ERROR_LABEL, kind);
}

void logql_row_extract(struct logql_row *row, struct slice name, struct slice value)
{
    struct label *label = logql_row_find(row, name);
    if (!label) {
        logql_row_set(row, name, value);
        return;
    }
    if ((size_t)(label - row->labels) >= row->stream_count || slice_equal(label->value, value))
        return;
    struct slice renamed = arena_format(&row->arena, SLICE_FMT "_extracted", SLICE_ARG(name));
    if (renamed.len && !logql_row_find(row, renamed))
        logql_row_set(row, renamed, value);
}
