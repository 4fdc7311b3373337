/* template: {{ $value }} and {{ $labels.x }} in rule labels and annotations.
 *
 * The part of Go's text/template that alert rules use: fields, pipes, parentheses, literals and
 * the formatting functions of Prometheus (table in template.c). No control flow, no variables of
 * one's own, no queries. Pure; any thread.
 */
#ifndef SERVER_ALERT_TEMPLATE_H
#define SERVER_ALERT_TEMPLATE_H

#include "storage/base/error.h"
#include "storage/labels.h"

#define TEMPLATE_OUTPUT_MAX 4096 /* bytes of one expanded text */
#define TEMPLATE_DEPTH_MAX  16   /* nested parentheses */

struct template_data {
    struct labels labels; /* of the query result */
    double value;
    struct labels external_labels;
    struct slice external_url;
};

/* Syntax, names and numbers of arguments. The error says what is not understood. */
MUST_USE int template_check(struct slice text, struct error *err);
/* Never fails: an action that cannot be expanded leaves `<error expanding template: why>` in its
 * place. The result is in the arena (a text without actions is returned as it is), complete up to
 * TEMPLATE_OUTPUT_MAX. */
struct slice template_expand(struct slice text, const struct template_data *data,
                             struct arena *arena);

#endif
