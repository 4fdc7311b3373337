/* template_function: the values templates compute with, and the functions they may call.
 *
 * A row a function; wording of results as in Prometheus. Pure; any thread.
 */
#ifndef SERVER_ALERT_TEMPLATE_FUNCTION_H
#define SERVER_ALERT_TEMPLATE_FUNCTION_H

#include "storage/base/error.h"
#include "storage/labels.h"

enum template_type { TEMPLATE_NUMBER, TEMPLATE_STRING, TEMPLATE_LABELS };

struct template_value {
    enum template_type type;
    double number;
    struct slice string; /* borrowed, or in the arena */
    struct labels labels;
};

struct template_function {
    const char *name;
    int args_min, args_max;
    int (*apply)(struct arena *arena, const struct template_value *args, int count,
                 struct template_value *out, struct error *err);
};

/* NULL when there is none. */
const struct template_function *template_function_find(struct slice name);
/* "humanize, humanize1024, ..." */
const char *template_function_names(void);
/* As {{ value }} prints it. */
void template_value_append(const struct template_value *value, struct buffer *out);

#endif
