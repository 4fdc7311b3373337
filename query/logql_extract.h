/* logql_extract: the parser stages of a pipeline: json, logfmt, regexp, pattern.
 *
 * Each adds labels to the row and returns true: no row is lost because it does not parse.
 */
#ifndef QUERY_LOGQL_EXTRACT_H
#define QUERY_LOGQL_EXTRACT_H

#include "query/logql.h"
#include "query/logql_row.h"

bool logql_run_json(const struct logql_stage *stage, struct logql_row *row);
bool logql_run_logfmt(const struct logql_stage *stage, struct logql_row *row);
bool logql_run_regexp(const struct logql_stage *stage, struct logql_row *row);
bool logql_run_pattern(const struct logql_stage *stage, struct logql_row *row);

#endif
