/* logql_pipeline: run the stages of a pipeline over one record.
 */
#ifndef QUERY_LOGQL_PIPELINE_H
#define QUERY_LOGQL_PIPELINE_H

#include "query/logql.h"
#include "query/logql_row.h"

/* Fills the row; false when it is filtered out. Failures of parsers are in the label __error__. */
bool logql_pipeline_run(const struct logql_pipeline *pipeline, const struct record *record,
                        struct logql_row *row);

#endif
