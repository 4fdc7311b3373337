/* parse: PromQL text -> plan. Pure; any thread.
 *
 * The grammar is that of Prometheus 3 (stable part) plus bare dotted metric names
 * (api.latency{...}). Errors are ERROR_BAD_DATA "line:column: parse error: ...", worded as in
 * Prometheus where its wording is known.
 */
#ifndef QUERY_PARSE_H
#define QUERY_PARSE_H

#include "query/plan.h"

#define QUERY_TEXT_MAX  65536 /* bytes */
#define QUERY_DEPTH_MAX 128   /* nesting of expressions */
#define QUERY_LIST_MAX  64    /* arguments, grouping labels, matchers */

/* On success *out lives in the arena; call plan_release before releasing the arena. */
MUST_USE int parse_promql(struct slice text, struct arena *arena, struct plan **out,
                          struct error *err);
/* Only a vector selector, as in match[]= and in LogQL-free places. */
MUST_USE int parse_selector(struct slice text, struct arena *arena, struct plan **out,
                            struct error *err);
/* The canonical text of a plan (Prometheus' format: `sum by (a) (foo)`). */
void plan_print(const struct plan *plan, struct buffer *out);
/* The same in lines of 100 bytes where it can be broken. */
void plan_print_pretty(const struct plan *plan, struct buffer *out);
/* The tree as JSON, as Prometheus' parse_query answers it. An aggregating call is shown as an
 * aggregation. */
void plan_print_tree(const struct plan *plan, struct buffer *out);

#endif
