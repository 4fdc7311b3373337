/* file: promtool's unit-test YAML as structs.
 *
 *   rule_files: [ rules.yaml ]        relative to the test file
 *   evaluation_interval: 1m
 *   group_eval_order: [ first, second ]
 *   tests:
 *     - name: what it shows
 *       interval: 1m                      of the samples below
 *       input_series:     [ { series: 'up{job="a"}', values: '1x5 0x5' } ]
 *       alert_rule_test:  [ { eval_time: 7m, alertname: Down, exp_alerts: [ { exp_labels: {...} } ] } ]
 *       promql_expr_test: [ { expr: up, eval_time: 7m, exp_samples: [ { labels: up, value: 0 } ] } ]
 *
 * Read whole and checked before anything runs; unknown keys are errors with line and column. Pure;
 * all of it lives in the arena.
 */
#ifndef SERVER_RULETEST_FILE_H
#define SERVER_RULETEST_FILE_H

#include "server/keys.h"

struct test_series {
    struct slice series, values; /* query/notation.h */
};

struct expected_alert {
    struct labels labels; /* without the alertname, as in promtool */
    struct labels annotations;
};

struct alert_case {
    int64_t eval_ms;
    struct slice alert_name;
    struct slice group_name; /* empty = of all groups */
    struct key_rows alerts;  /* struct expected_alert */
};

struct expected_sample {
    struct slice labels; /* query/notation.h */
    double value;
    struct slice histogram; /* "{{...}}"; empty = it is a number */
};

struct expr_case {
    struct slice expr;
    int64_t eval_ms;
    struct key_rows samples; /* struct expected_sample */
};

struct test_group {
    struct slice name;
    int64_t interval_ms;    /* 0 = the file's evaluation_interval */
    struct key_rows series; /* struct test_series */
    struct key_rows alerts; /* struct alert_case */
    struct key_rows exprs;  /* struct expr_case */
    struct labels external_labels;
    struct slice external_url;
};

struct test_file {
    struct key_rows rule_files;  /* struct slice */
    struct key_rows group_order; /* struct slice */
    struct key_rows tests;       /* struct test_group */
    int64_t evaluation_interval_ms;
    bool fuzzy; /* numbers may differ by a unit in the last place */
};

/* `name` stands in error texts. */
MUST_USE int test_file_read(struct slice text, const char *name, struct arena *arena,
                            struct test_file *out, struct error *err);

#endif
