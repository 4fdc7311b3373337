/* relabel: label_replace and label_join.
 *
 * Points pass through untouched; only label sets change. Two series may become one label set, so
 * everything goes through a row set. New values live in the arena of the query.
 */
#include "query/call.h"

#define VALUE_BYTES_MAX ((size_t)1 << 20)

struct relabel {
    struct sink sink;
    struct eval *eval;
    const struct plan *plan;
    struct regex *regex;
    struct buffer value;
    struct rowset rows;
};

static struct slice argument(const struct plan *plan, size_t index)
{
    return eval_string(plan->call.args[index]);
}

/* Sets the destination to what stands in self->value and keeps the row. */
static int relabel_keep(struct relabel *self, struct row *row)
{
    struct eval *eval = self->eval;
    struct slice target = argument(self->plan, 1);
    struct slice value = arena_copy(eval->arena, buffer_slice(&self->value));
    if (self->value.overflow)
        return error_set(eval->err, ERROR_EXECUTION, "%s(): a label value would be too long",
                         self->plan->call.function->name);
    if (!labels_set(eval->arena, &row->labels, target, value))
        return eval->arena->exhausted
                   ? eval_fail_memory(eval)
                   : error_set(eval->err, ERROR_EXECUTION, "%s(): more than %d labels",
                               self->plan->call.function->name, LABELS_MAX);
    return rowset_add(&self->rows, row, ROWSET_CONFLICT);
}

static int replace_take(struct sink *sink, struct row *row)
{
    struct relabel *self = (struct relabel *)sink;
    struct slice groups[REGEX_GROUPS_MAX];
    struct slice source = labels_get(row->labels, argument(self->plan, 3));
    size_t count = regex_search(self->regex, source, groups, REGEX_GROUPS_MAX);
    if (count == 0)
        return rowset_add(&self->rows, row, ROWSET_CONFLICT);
    buffer_reset(&self->value);
    regex_expand(self->regex, argument(self->plan, 2), groups, count, &self->value);
    return relabel_keep(self, row);
}

static int join_take(struct sink *sink, struct row *row)
{
    struct relabel *self = (struct relabel *)sink;
    buffer_reset(&self->value);
    for (size_t i = 3; i < self->plan->call.arg_count; i++) {
        if (i > 3)
            buffer_append_slice(&self->value, argument(self->plan, 2));
        buffer_append_slice(&self->value, labels_get(row->labels, argument(self->plan, i)));
    }
    return relabel_keep(self, row);
}

static int check_name(const struct relabel *self, const char *which, struct slice name)
{
    if (labels_name_is_valid(name))
        return 0;
    return error_set(self->eval->err, ERROR_EXECUTION, "invalid %s label name in %s(): " SLICE_FMT,
                     which, self->plan->call.function->name,
                     SLICE_ARG(name.len ? name : SLICE("it is empty")));
}

static int relabel_run(struct relabel *self, const struct grid *grid, struct sink *sink)
{
    struct eval *eval = self->eval;
    if (check_name(self, "destination", argument(self->plan, 1)) != 0)
        return -1;
    rowset_init(&self->rows, eval, grid);
    buffer_init(&self->value, VALUE_BYTES_MAX);
    int result = eval_rows(eval, self->plan->call.args[0], grid, &self->sink);
    if (result == 0)
        result = rows_push(&self->rows.rows, sink);
    buffer_release(&self->value);
    rowset_release(&self->rows);
    return result;
}

int call_label_replace(struct eval *eval, const struct plan *plan, const struct grid *grid,
                       struct sink *sink)
{
    struct relabel self = {.sink = {replace_take}, .eval = eval, .plan = plan};
    struct slice pattern = argument(plan, 4);
    if (regex_compile(pattern, REGEX_ANCHORED, &self.regex, eval->err) != 0) {
        if (eval->err)
            eval->err->kind = ERROR_EXECUTION;
        return error_wrap(eval->err, "invalid regular expression in label_replace()");
    }
    int result = relabel_run(&self, grid, sink);
    regex_free(self.regex);
    return result;
}

int call_label_join(struct eval *eval, const struct plan *plan, const struct grid *grid,
                    struct sink *sink)
{
    struct relabel self = {.sink = {join_take}, .eval = eval, .plan = plan};
    for (size_t i = 3; i < plan->call.arg_count; i++)
        if (check_name(&self, "source", argument(plan, i)) != 0)
            return -1;
    return relabel_run(&self, grid, sink);
}
