/* logql_row: one record on its way through a pipeline.
 *
 * Holds what the stages see and change; what they make lives in its arena until the next record.
 * One thread a row.
 */
#ifndef QUERY_LOGQL_ROW_H
#define QUERY_LOGQL_ROW_H

#include "storage/base/json.h"
#include "storage/record.h"

#define LOGQL_LABELS_MAX  256               /* of one row; what a parser finds beyond is left out */
#define LOGQL_LINE_MAX    ((size_t)8 << 20) /* what json reads, what a template makes */
#define LOGQL_ERROR_LABEL SLICE("__error__")

struct logql_row {
    int64_t time_ns;
    struct slice line;
    struct label labels[LOGQL_LABELS_MAX];
    size_t count;
    size_t stream_count; /* the first ones are those of the stream */
    double value;        /* of unwrap */
    struct arena arena;
    struct json_parser *json;
};

struct logql_row *logql_row_new(void);
void logql_row_free(struct logql_row *row);

/* The value of a label, empty when absent. detected_level and service_name stand for level and
 * service. */
struct slice logql_label(struct labels labels, struct slice name);
struct slice logql_row_get(const struct logql_row *row, struct slice name);
/* NULL when absent. */
struct label *logql_row_find(struct logql_row *row, struct slice name);
/* Sets or, with an empty value, removes. Name and value live as long as the row. */
void logql_row_set(struct logql_row *row, struct slice name, struct slice value);
void logql_row_remove(struct logql_row *row, size_t index);
/* What a parser found: the first of several of one name wins; NAME_extracted when the stream has
 * another value under that name. */
void logql_row_extract(struct logql_row *row, struct slice name, struct slice value);
/* Sets __error__ unless it is set. */
void logql_row_fail(struct logql_row *row, struct slice kind);

#endif
