/* file: the tables of keys, from the innermost mapping outwards.
 */
#include "server/ruletest/file.h"

#include <math.h>

#include "query/literal.h"

#define ROWS_OF(keys_, type) (&(const struct key_list){keys_, sizeof(type)})

/* --- scalars --- */

/* Unlike a rule's texts these may be empty: values of a series without samples. */
static int read_any_text(struct key_reader *r, const struct yaml_node *node, void *into,
                         struct error *err)
{
    if (node->kind != YAML_SCALAR)
        return keys_refuse(r, node, err, "expected a text here");
    *(struct slice *)into = node->text;
    return 0;
}

static int read_interval(struct key_reader *r, const struct yaml_node *node, void *into,
                         struct error *err)
{
    if (key_read_duration(r, node, into, err) < 0)
        return -1;
    return *(int64_t *)into > 0 ? 0 : keys_refuse(r, node, err, "the interval must not be 0");
}

static int read_bool(struct key_reader *r, const struct yaml_node *node, void *into,
                     struct error *err)
{
    bool yes = slice_equal_string(node->text, "true");
    if (node->kind != YAML_SCALAR || (!yes && !slice_equal_string(node->text, "false")))
        return keys_refuse(r, node, err, "expected true or false");
    *(bool *)into = yes;
    return 0;
}

/* A number of YAML (.inf, .nan) or of PromQL (Inf, NaN). */
static int read_value(struct key_reader *r, const struct yaml_node *node, void *into,
                      struct error *err)
{
    double *value = into;
    struct error ignored;
    struct slice text = node->text;
    bool negative = text.len && *text.at == '-';
    if (text.len && (negative || *text.at == '+'))
        text = slice_skip(text, 1);
    if (text.len == 4 && *text.at == '.')
        text = slice_skip(text, 1);
    if (node->kind != YAML_SCALAR || !text.len || literal_number(text, value, &ignored) < 0)
        return keys_refuse(r, node, err, "expected a number here");
    if (negative)
        *value = -*value;
    return 0;
}

static int read_texts(struct key_reader *r, const struct yaml_node *node, void *into,
                      struct error *err)
{
    struct key_rows *out = into;
    *out = (struct key_rows){NULL, 0};
    if (key_is_null(node))
        return 0;
    if (node->kind != YAML_LIST)
        return keys_refuse(r, node, err, "expected a list of texts here");
    struct slice *at = arena_zeroed(r->arena, node->count + 1, sizeof *at);
    if (!at)
        return keys_refuse(r, node, err, "the file is too large");
    for (size_t i = 0; i < node->count; i++)
        if (key_read_text(r, &node->children[i], &at[i], err) < 0)
            return -1;
    *out = (struct key_rows){at, node->count};
    return 0;
}

static int read_group_order(struct key_reader *r, const struct yaml_node *node, void *into,
                            struct error *err)
{
    struct key_rows *out = into;
    if (read_texts(r, node, into, err) < 0)
        return -1;
    const struct slice *names = out->at;
    for (size_t i = 0; i < out->count; i++)
        for (size_t j = 0; j < i; j++)
            if (slice_equal(names[i], names[j]))
                return keys_refuse(r, &node->children[i], err,
                                   "group name repeated in evaluation order");
    return 0;
}

/* --- mappings --- */

static const struct key sample_keys[] = {
    {"labels", read_any_text, offsetof(struct expected_sample, labels)},
    {"value", read_value, offsetof(struct expected_sample, value)},
    {"histogram", read_any_text, offsetof(struct expected_sample, histogram)},
    {0},
};

static int read_samples(struct key_reader *r, const struct yaml_node *node, void *into,
                        struct error *err)
{
    return keys_read_list(r, node, ROWS_OF(sample_keys, struct expected_sample), into, err);
}

static const struct key expr_keys[] = {
    {"expr", key_read_text, offsetof(struct expr_case, expr)},
    {"eval_time", key_read_duration, offsetof(struct expr_case, eval_ms)},
    {"exp_samples", read_samples, offsetof(struct expr_case, samples)},
    {0},
};

static int read_exprs(struct key_reader *r, const struct yaml_node *node, void *into,
                      struct error *err)
{
    return keys_read_list(r, node, ROWS_OF(expr_keys, struct expr_case), into, err);
}

static const struct key alert_keys[] = {
    {"exp_labels", key_read_pairs, offsetof(struct expected_alert, labels)},
    {"exp_annotations", key_read_pairs, offsetof(struct expected_alert, annotations)},
    {0},
};

static int read_expected_alerts(struct key_reader *r, const struct yaml_node *node, void *into,
                                struct error *err)
{
    return keys_read_list(r, node, ROWS_OF(alert_keys, struct expected_alert), into, err);
}

static const struct key case_keys[] = {
    {"eval_time", key_read_duration, offsetof(struct alert_case, eval_ms)},
    {"alertname", key_read_text, offsetof(struct alert_case, alert_name)},
    {"groupname", key_read_text, offsetof(struct alert_case, group_name)},
    {"exp_alerts", read_expected_alerts, offsetof(struct alert_case, alerts)},
    {0},
};

static int read_alert_cases(struct key_reader *r, const struct yaml_node *node, void *into,
                            struct error *err)
{
    struct key_rows *out = into;
    if (keys_read_list(r, node, ROWS_OF(case_keys, struct alert_case), into, err) < 0)
        return -1;
    for (size_t i = 0; i < out->count; i++)
        if (!((const struct alert_case *)out->at)[i].alert_name.len)
            return keys_refuse(r, &node->children[i], err, "the case names no `alertname`");
    return 0;
}

static const struct key series_keys[] = {
    {"series", key_read_text, offsetof(struct test_series, series)},
    {"values", read_any_text, offsetof(struct test_series, values)},
    {0},
};

static int read_series(struct key_reader *r, const struct yaml_node *node, void *into,
                       struct error *err)
{
    return keys_read_list(r, node, ROWS_OF(series_keys, struct test_series), into, err);
}

static const struct key group_keys[] = {
    {"name", read_any_text, offsetof(struct test_group, name)},
    {"interval", key_read_duration, offsetof(struct test_group, interval_ms)},
    {"input_series", read_series, offsetof(struct test_group, series)},
    {"alert_rule_test", read_alert_cases, offsetof(struct test_group, alerts)},
    {"promql_expr_test", read_exprs, offsetof(struct test_group, exprs)},
    {"external_labels", key_read_pairs, offsetof(struct test_group, external_labels)},
    {"external_url", read_any_text, offsetof(struct test_group, external_url)},
    {0},
};

static int read_groups(struct key_reader *r, const struct yaml_node *node, void *into,
                       struct error *err)
{
    return keys_read_list(r, node, ROWS_OF(group_keys, struct test_group), into, err);
}

static const struct key file_keys[] = {
    {"rule_files", read_texts, offsetof(struct test_file, rule_files)},
    {"evaluation_interval", read_interval, offsetof(struct test_file, evaluation_interval_ms)},
    {"group_eval_order", read_group_order, offsetof(struct test_file, group_order)},
    {"fuzzy_compare", read_bool, offsetof(struct test_file, fuzzy)},
    {"tests", read_groups, offsetof(struct test_file, tests)},
    {0},
};

int test_file_read(struct slice text, const char *name, struct arena *arena, struct test_file *out,
                   struct error *err)
{
    struct key_reader r = {name, arena};
    struct yaml_node *root;
    *out = (struct test_file){.evaluation_interval_ms = 60000};
    if (yaml_parse(text, name, arena, &root, err) < 0 ||
        keys_read(&r, root, file_keys, out, err) < 0)
        return -1;
    struct test_group *groups = out->tests.at;
    for (size_t i = 0; i < out->tests.count; i++)
        if (!groups[i].interval_ms)
            groups[i].interval_ms = out->evaluation_interval_ms;
    return 0;
}
