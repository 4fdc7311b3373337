/* evaluate: query -> label sets -> states -> commit.
 *
 *   {route="/buy"} 7.2     result of the query, without its metric name
 *   + severity="page"      the rule's labels, templates expanded with this result
 *   + alertname="Slow"     = the alert's identity
 *
 * Two arenas: one is the query's memory budget, the other holds what the evaluation makes of the
 * result. Unlike Prometheus, a rule that exceeds its group's limit keeps its alerts as they were
 * instead of dropping them: dropping would resolve pages in the middle of the storm.
 */
#include "server/alert/evaluate.h"

#include <stdlib.h>

#include "query/promql.h"
#include "server/alert/builder.h"
#include "server/alert/template.h"
#include "storage/base/alloc.h"
#include "storage/base/clock.h"
#include "storage/base/log.h"
#include "storage/base/metric.h"

#define WORK_BYTES_MAX ((size_t)256 << 20)

enum { EVALUATIONS, EVALUATION_FAILURES, EVALUATIONS_MISSED, EVALUATION_SECONDS };
static struct metric evaluate_metrics[] = {
    [EVALUATIONS] = {"lapwing_alert_evaluations_total", METRIC_COUNTER, NULL, "Rules evaluated.", 0,
                     0},
    [EVALUATION_FAILURES] = {"lapwing_alert_evaluation_failures_total", METRIC_COUNTER, NULL,
                             "Rules whose evaluation failed.", 0, 0},
    [EVALUATIONS_MISSED] = {"lapwing_alert_iterations_missed_total", METRIC_COUNTER, NULL,
                            "Group iterations skipped because the one before took too long.", 0, 0},
    [EVALUATION_SECONDS] = {"lapwing_alert_evaluation_seconds_total", METRIC_COUNTER, NULL,
                            "Time spent evaluating rules.", 1e-9, 0},
};

/* One rule, one moment. */
struct evaluation {
    struct evaluator *evaluator;
    const struct group_run *group;
    struct rule_run *run;
    struct arena work;
    struct promql_result result;
    struct alert_commit commit;
    struct table seen; /* identities in this result */
};

static int out_of_memory(const struct evaluation *x, struct error *err)
{
    return error_set(err, ERROR_LIMIT,
                     "the result of " SLICE_FMT
                     " is too large to make alerts of; aggregate it more",
                     SLICE_ARG(slice_head(x->run->rule->name, 80)));
}

static double value_of(const struct promql_series *series)
{
    return series->values ? series->values[0] : 0;
}

/* What templates of the rule see of one series of the result. */
static struct template_data data_of(const struct evaluation *x, const struct promql_series *series)
{
    return (struct template_data){
        .labels = series->labels,
        .value = value_of(series),
        .external_labels = x->evaluator->external_labels,
        .external_url = slice_of_string(x->evaluator->committer.external_url),
    };
}

/* --- alerts --- */

/* The alert's labels for one series of the result, in work memory. */
static int build_labels(struct evaluation *x, const struct promql_series *series,
                        struct alert_change *change, struct error *err)
{
    const struct rule *rule = x->run->rule;
    struct template_data data = data_of(x, series);
    struct label_builder builder;
    struct buffer key;
    builder_init(&builder, series->labels);
    for (size_t i = 0; i < rule->labels.count; i++)
        builder_set(&builder, rule->labels.at[i].name,
                    template_expand(rule->labels.at[i].value, &data, &x->work));
    builder_set(&builder, SLICE("alertname"), rule->name);
    /* ALERTS needs two more. */
    if (builder.overflow || builder.count > LABELS_MAX - 2)
        return error_set(err, ERROR_LIMIT, "an alert has more than %d labels", LABELS_MAX - 2);
    change->labels = labels_copy(&x->work, builder_labels(&builder));
    buffer_init(&key, ALERT_LABELS_BYTES);
    labels_encode(change->labels, &key);
    change->key = arena_copy(&x->work, buffer_slice(&key));
    bool overflow = key.overflow;
    buffer_release(&key);
    if (overflow)
        return error_set(err, ERROR_LIMIT, "an alert's labels take more than %zu bytes",
                         ALERT_LABELS_BYTES);
    return 0;
}

static void build_annotations(struct evaluation *x, const struct promql_series *series,
                              struct alert_change *change)
{
    const struct labels *annotations = &x->run->rule->annotations;
    struct template_data data = data_of(x, series);
    struct buffer bytes;
    buffer_init(&bytes, (size_t)2 * RULE_LABELS_MAX * TEMPLATE_OUTPUT_MAX);
    for (size_t i = 0; i < annotations->count; i++) {
        buffer_append_prefixed(&bytes, annotations->at[i].name);
        buffer_append_prefixed(&bytes, template_expand(annotations->at[i].value, &data, &x->work));
    }
    change->annotations = arena_copy(&x->work, buffer_slice(&bytes));
    buffer_release(&bytes);
}

static int add_present(struct evaluation *x, const struct promql_series *series, struct error *err)
{
    const struct rule *rule = x->run->rule;
    struct alert_timing timing = {rule->for_ms, rule->keep_firing_for_ms};
    struct alert_change *change = &x->commit.changes[x->commit.count];
    bool fresh;
    *change = (struct alert_change){.present = true, .rule_id = rule->id};
    if (build_labels(x, series, change, err) < 0)
        return -1;
    if (!table_insert(&x->seen, change->key, &fresh))
        return out_of_memory(x, err);
    if (!fresh)
        return error_set(err, ERROR_EXECUTION,
                         "vector contains metrics with the same labelset after applying alert "
                         "labels");
    build_annotations(x, series, change);
    struct table_entry *e = table_find(&x->run->instances, change->key);
    change->instance = e ? e->value.pointer : NULL;
    if (change->instance)
        change->before = change->instance->state;
    change->after = alert_step(change->before, &timing, x->commit.now_ms, true);
    change->after.value = value_of(series);
    x->commit.count++;
    return x->work.exhausted ? out_of_memory(x, err) : 0;
}

static int add_missing(struct evaluation *x, const struct table_entry *e, struct error *err)
{
    struct alert_instance *instance = e->value.pointer;
    const struct rule *rule = x->run->rule;
    struct alert_timing timing = {rule ? rule->for_ms : 0, rule ? rule->keep_firing_for_ms : 0};
    struct alert_change *change = &x->commit.changes[x->commit.count];
    bool in_grace = rule && instance->restored && x->commit.now_ms < x->evaluator->grace_until_ms;
    *change = (struct alert_change){
        .instance = instance,
        .rule_id = instance->rule_id,
        .key = arena_copy(&x->work, table_key(e)),
        .annotations = arena_copy(&x->work, instance->annotations),
        .before = instance->state,
    };
    change->after =
        in_grace ? change->before : alert_step(change->before, &timing, x->commit.now_ms, false);
    if (!labels_decode(change->key, &x->work, &change->labels))
        return error_set(err, ERROR_LIMIT, "an alert's labels do not fit into memory");
    x->commit.count++;
    return 0;
}

static int add_all_missing(struct evaluation *x, struct error *err)
{
    size_t cursor = 0;
    for (struct table_entry *e; (e = table_next(&x->run->instances, &cursor));)
        if (!table_find(&x->seen, table_key(e)) && add_missing(x, e, err) < 0)
            return -1;
    return 0;
}

static int check_limit(const struct evaluation *x, struct error *err)
{
    int64_t limit = x->group->group->limit, active = (int64_t)x->commit.record_count;
    for (size_t i = 0; i < x->commit.count; i++)
        active += alert_is_active(x->commit.changes[i].after.phase);
    if (!limit || active <= limit)
        return 0;
    return error_set(err, ERROR_LIMIT, "exceeded limit of %lld with %lld %s", (long long)limit,
                     (long long)active, x->run->rule->recording ? "series" : "alerts");
}

static int collect_alerts(struct evaluation *x, struct error *err)
{
    if (x->result.count > ALERTS_PER_RULE)
        return error_set(err, ERROR_LIMIT, "the rule would give %zu alerts, more than %zu",
                         x->result.count, ALERTS_PER_RULE);
    x->commit.changes = arena_zeroed(&x->work, x->result.count + x->run->instances.count + 1,
                                     sizeof *x->commit.changes);
    if (!x->commit.changes)
        return out_of_memory(x, err);
    for (size_t i = 0; i < x->result.count; i++)
        if (x->result.series[i].count && add_present(x, &x->result.series[i], err) < 0)
            return -1;
    return add_all_missing(x, err);
}

/* --- recording --- */

static int add_record(struct evaluation *x, const struct promql_series *series, struct error *err)
{
    const struct rule *rule = x->run->rule;
    struct recorded_sample *sample = &x->commit.records[x->commit.record_count];
    struct label_builder builder;
    struct buffer key;
    bool fresh;
    builder_init(&builder, series->labels);
    for (size_t i = 0; i < rule->labels.count; i++)
        builder_set(&builder, rule->labels.at[i].name, rule->labels.at[i].value);
    builder_set(&builder, SLICE(LABEL_NAME), rule->name);
    if (builder.overflow)
        return error_set(err, ERROR_LIMIT, "a series has more than %d labels", LABELS_MAX);
    sample->labels = labels_copy(&x->work, builder_labels(&builder));
    sample->value = value_of(series);
    sample->histogram = series->values ? NULL : series->histograms[0];
    buffer_init(&key, ALERT_LABELS_BYTES);
    labels_encode(sample->labels, &key);
    struct table_entry *e = table_insert(&x->seen, buffer_slice(&key), &fresh);
    buffer_release(&key);
    if (!e || x->work.exhausted)
        return out_of_memory(x, err);
    if (!fresh)
        return error_set(err, ERROR_EXECUTION,
                         "vector contains metrics with the same labelset after applying rule "
                         "labels");
    x->commit.record_count++;
    return 0;
}

static int collect_records(struct evaluation *x, struct error *err)
{
    x->commit.records = arena_zeroed(&x->work, x->result.count + 1, sizeof *x->commit.records);
    if (!x->commit.records)
        return out_of_memory(x, err);
    for (size_t i = 0; i < x->result.count; i++)
        if (x->result.series[i].count && add_record(x, &x->result.series[i], err) < 0)
            return -1;
    return 0;
}

/* --- one rule --- */

static int run_query(struct evaluation *x, struct arena *arena, struct error *err)
{
    const struct evaluator *e = x->evaluator;
    struct promql_request request = {
        .plan = x->run->rule->plan,
        .start_ms = x->commit.sample_ms,
        .end_ms = x->commit.sample_ms,
        .subquery_step_ms = e->subquery_step_ms,
        .samples_max = e->query_samples_max,
        .deadline_ns = clock_monotonic_ns() + e->query_timeout_ms * 1000000,
        .cancelled = &e->cancelled,
    };
    return promql_run(e->committer.store, &request, arena, &x->result, err);
}

static int evaluate(struct evaluation *x, struct error *err)
{
    struct arena query;
    arena_init(&query, (size_t)x->evaluator->query_memory_bytes);
    int status = run_query(x, &query, err);
    if (status == 0)
        status = x->run->rule->recording ? collect_records(x, err) : collect_alerts(x, err);
    if (status == 0)
        status = check_limit(x, err);
    x->evaluator->committer.arena = &x->work;
    if (status == 0)
        status = commit_run(&x->evaluator->committer, &x->commit, err);
    if (status == 0 && x->commit.refused.kind != ERROR_NONE) {
        *err = x->commit.refused;
        status = error_wrap(err, "a series was not written");
    }
    arena_release(&query);
    return status;
}

static void note(struct evaluation *x, int status, const struct error *err, int64_t took_ns)
{
    struct rule_run *run = x->run;
    metric_add(&evaluate_metrics[EVALUATIONS], 1);
    metric_add(&evaluate_metrics[EVALUATION_SECONDS], took_ns);
    if (status < 0) {
        metric_add(&evaluate_metrics[EVALUATION_FAILURES], 1);
        log_warn("rule_failed", "rule=\"" SLICE_FMT "\" error=\"%s\"",
                 SLICE_ARG(slice_head(run->rule->name, 200)), err->text);
    }
    pthread_mutex_lock(&x->evaluator->committer.board->mutex);
    rule_run_set_problem(run, status < 0 ? err->text : NULL);
    run->evaluated_at_ms = x->commit.now_ms;
    run->evaluation_ns = took_ns;
    pthread_mutex_unlock(&x->evaluator->committer.board->mutex);
}

static void evaluate_rule(struct evaluator *evaluator, const struct group_run *group,
                          struct rule_run *run, int64_t now_ms)
{
    struct error err = {0};
    struct evaluation x = {.evaluator = evaluator, .group = group, .run = run};
    int64_t started_ns = clock_monotonic_ns();
    x.commit.run = run;
    x.commit.now_ms = now_ms;
    x.commit.sample_ms = now_ms - group->group->query_offset_ms;
    arena_init(&x.work, WORK_BYTES_MAX);
    table_init(&x.seen, 1 << 20);
    int status = evaluate(&x, &err);
    note(&x, status, &err, clock_monotonic_ns() - started_ns);
    table_release(&x.seen);
    arena_release(&x.work);
}

void evaluate_group(struct evaluator *evaluator, struct group_run *group, int64_t now_ms)
{
    int64_t started_ns = clock_monotonic_ns();
    for (size_t i = 0; i < group->group->count; i++)
        evaluate_rule(evaluator, group, &group->rules[i], now_ms);
    pthread_mutex_lock(&evaluator->committer.board->mutex);
    group->evaluated_at_ms = now_ms;
    group->evaluation_ns = clock_monotonic_ns() - started_ns;
    pthread_mutex_unlock(&evaluator->committer.board->mutex);
}

void evaluate_orphans(struct evaluator *evaluator, int64_t now_ms)
{
    struct error err = {0};
    struct evaluation x = {.evaluator = evaluator, .run = &evaluator->committer.board->orphans};
    if (!x.run->instances.count && !x.run->recorded_count)
        return;
    x.commit.run = x.run;
    x.commit.now_ms = x.commit.sample_ms = now_ms;
    arena_init(&x.work, WORK_BYTES_MAX);
    table_init(&x.seen, 1);
    x.commit.changes = arena_zeroed(&x.work, x.run->instances.count + 1, sizeof *x.commit.changes);
    evaluator->committer.arena = &x.work;
    if (!x.commit.changes || add_all_missing(&x, &err) < 0 ||
        commit_run(&evaluator->committer, &x.commit, &err) < 0)
        log_warn("orphans_failed", "error=\"%s\"", err.text);
    table_release(&x.seen);
    arena_release(&x.work);
}

void evaluate_count_missed(int64_t iterations)
{
    metric_add(&evaluate_metrics[EVALUATIONS_MISSED], iterations);
}

void evaluate_open(void)
{
    metric_register(evaluate_metrics, sizeof evaluate_metrics / sizeof *evaluate_metrics);
}
