/* run: a file is a list of tests, a test is a world of its own and a walk through its time.
 *
 *   time    0        1m       2m       3m ...                 every evaluation_interval, up to the last eval_time
 *           samples  samples  samples
 *           rules    rules    rules
 *           alerts of the cases whose eval_time lies before the next evaluation
 *                                        then the expressions, each at its own time
 *
 * A rule that cannot be evaluated ends the test. As in promtool, samples behind the last evaluation
 * are not there yet when expressions run.
 */
#include "server/ruletest/run.h"

#include <stdio.h>
#include <stdlib.h>

#include "query/literal.h"
#include "query/notation.h"
#include "server/ruletest/load.h"
#include "server/ruletest/report.h"
#include "server/ruletest/world.h"
#include "storage/base/alloc.h"
#include "storage/base/log.h"

#define FILE_BYTES_MAX  ((size_t)16 << 20)
#define ARENA_BYTES_MAX ((size_t)1 << 30)
#define TEXT_BYTES_MAX  ((size_t)64 << 20)

struct failures {
    struct buffer text;
    size_t count;
};

struct run {
    const struct test_file *file;
    const struct test_group *group;
    struct world *world;
    struct arena *arena;
    struct failures *failures; /* of the file */
};

/* --- failures --- */

static void put_duration(int64_t ms, struct buffer *out)
{
    literal_print_duration(ms, out);
}

/* Go's time.Duration, which always says the smaller units, too: 1h0m0s. */
static void put_go_duration(int64_t ms, struct buffer *out)
{
    int64_t seconds = ms / 1000;
    if (seconds >= 3600)
        buffer_append_format(out, "%lldh", (long long)(seconds / 3600));
    if (seconds >= 60)
        buffer_append_format(out, "%lldm", (long long)(seconds / 60 % 60));
    buffer_append_format(out, "%lld", (long long)(seconds % 60));
    if (ms % 1000)
        buffer_append_format(out, ".%03lld", (long long)(ms % 1000));
    buffer_append_char(out, 's');
}

/* One more: where to say what. */
static struct buffer *fail(struct run *run)
{
    run->failures->count++;
    return &run->failures->text;
}

static struct buffer *begin_expr_failure(struct run *run, const struct expr_case *expr)
{
    struct buffer *out = fail(run);
    buffer_append_string(out, "    expr: ");
    literal_print_string(expr->expr, out);
    buffer_append_string(out, ", time: ");
    put_duration(expr->eval_ms, out);
    buffer_append_char(out, ',');
    return out;
}

static void fail_expr(struct run *run, const struct expr_case *expr, const char *why)
{
    buffer_append_format(begin_expr_failure(run, expr), " err: %s\n", why);
}

static void fail_plain(struct run *run, const struct error *err)
{
    buffer_append_format(fail(run), "%s\n", err->text);
}

/* --- alerts --- */

static struct labels without_empty(struct arena *arena, struct labels labels)
{
    struct label *at = arena_zeroed(arena, labels.count + 1, sizeof *at);
    size_t count = 0;
    for (size_t i = 0; at && i < labels.count; i++)
        if (labels.at[i].value.len)
            at[count++] = labels.at[i];
    return (struct labels){at, count};
}

/* With the alertname, which the user leaves out. */
static struct labels with_name(struct arena *arena, struct labels labels, struct slice name)
{
    struct label *at = arena_zeroed(arena, labels.count + 1, sizeof *at);
    size_t count = 0;
    if (!at)
        return labels;
    for (size_t i = 0; i < labels.count; i++)
        if (!slice_equal(labels.at[i].name, SLICE("alertname")) && labels.at[i].value.len)
            at[count++] = labels.at[i];
    at[count++] = (struct label){SLICE("alertname"), name};
    labels_sort(at, count);
    return (struct labels){at, count};
}

static struct alert_list expected_alerts(struct arena *arena, const struct alert_case *test)
{
    const struct expected_alert *expected = test->alerts.at;
    struct alert_list list = {arena_zeroed(arena, test->alerts.count + 1, sizeof *list.at), 0};
    for (size_t i = 0; list.at && i < test->alerts.count; i++)
        list.at[list.count++] =
            (struct described_alert){with_name(arena, expected[i].labels, test->alert_name),
                                     without_empty(arena, expected[i].annotations)};
    alert_list_sort(&list);
    return list;
}

static void add_firing(struct arena *arena, const struct rule_run *rule, struct alert_list *list)
{
    size_t cursor = 0;
    for (struct table_entry *e; (e = table_next(&rule->instances, &cursor));) {
        const struct alert_instance *instance = e->value.pointer;
        struct described_alert alert;
        if (instance->state.phase != ALERT_FIRING ||
            !labels_decode(table_key(e), arena, &alert.labels) ||
            !labels_decode(instance->annotations, arena, &alert.annotations))
            continue;
        alert.annotations = without_empty(arena, alert.annotations);
        list->at[list->count++] = alert;
    }
}

static bool is_meant(const struct alert_case *test, const struct rule_group *group,
                     const struct rule *rule)
{
    return !rule->recording && slice_equal(rule->name, test->alert_name) &&
           (!test->group_name.len || slice_equal(group->name, test->group_name));
}

static struct alert_list firing_alerts(struct arena *arena, const struct alert_board *board,
                                       const struct alert_case *test)
{
    struct alert_list list = {NULL, 0};
    for (size_t pass = 0, room = 0; pass < 2; pass++) {
        if (pass && !(list.at = arena_zeroed(arena, room + 1, sizeof *list.at)))
            return list;
        for (size_t g = 0; g < board->count; g++)
            for (size_t i = 0; i < board->groups[g].group->count; i++) {
                const struct rule_run *rule = &board->groups[g].rules[i];
                if (!is_meant(test, board->groups[g].group, rule->rule))
                    continue;
                if (pass)
                    add_firing(arena, rule, &list);
                else
                    room += rule->instances.count;
            }
    }
    alert_list_sort(&list);
    return list;
}

static void check_alerts(struct run *run, const struct alert_case *test)
{
    struct alert_list expected = expected_alerts(run->arena, test);
    struct alert_list found = firing_alerts(run->arena, world_board(run->world), test);
    if (alert_list_equal(&expected, &found))
        return;
    struct buffer *out = fail(run);
    if (run->group->name.len)
        buffer_append_format(out, "    name: " SLICE_FMT ",\n", SLICE_ARG(run->group->name));
    buffer_append_format(out, "    alertname: " SLICE_FMT ", time: ", SLICE_ARG(test->alert_name));
    put_duration(test->eval_ms, out);
    buffer_append_string(out, ", \n        exp:");
    report_alerts(&expected, out);
    buffer_append_string(out, ", \n        got:");
    report_alerts(&found, out);
    buffer_append_char(out, '\n');
}

/* --- expressions --- */

static int expected_samples(struct run *run, const struct expr_case *expr, struct sample_list *out,
                            struct error *err)
{
    const struct expected_sample *expected = expr->samples.at;
    *out =
        (struct sample_list){arena_zeroed(run->arena, expr->samples.count + 1, sizeof *out->at), 0};
    for (size_t i = 0; out->at && i < expr->samples.count; i++) {
        struct described_sample *sample = &out->at[out->count++];
        struct notation_samples histogram;
        sample->value = expected[i].value;
        if (notation_labels(expected[i].labels, run->arena, &sample->labels, err) < 0)
            return error_wrap(err, "labels \"" SLICE_FMT "\"",
                              SLICE_ARG(slice_head(expected[i].labels, 200)));
        if (!expected[i].histogram.len)
            continue;
        if (notation_samples(expected[i].histogram, run->arena, &histogram, err) < 0)
            return -1;
        if (histogram.count != 1 || histogram.at[0].kind != NOTATION_HISTOGRAM)
            return error_set(err, ERROR_BAD_DATA,
                             "expected one histogram {{...}} but got \"" SLICE_FMT "\"",
                             SLICE_ARG(slice_head(expected[i].histogram, 200)));
        sample->histogram = histogram.at[0].histogram;
    }
    sample_list_sort(out);
    return 0;
}

static struct sample_list found_samples(struct arena *arena, const struct promql_result *result)
{
    struct sample_list list = {arena_zeroed(arena, result->count + 1, sizeof *list.at), 0};
    for (size_t i = 0; list.at && i < result->count; i++) {
        const struct promql_series *series = &result->series[i];
        if (series->count)
            list.at[list.count++] =
                (struct described_sample){series->labels, series->values ? series->values[0] : 0,
                                          series->values ? NULL : series->histograms[0]};
    }
    sample_list_sort(&list);
    return list;
}

static void compare_expr(struct run *run, const struct expr_case *expr,
                         const struct promql_result *result)
{
    struct error err = {0};
    struct sample_list expected, found = found_samples(run->arena, result);
    if (expected_samples(run, expr, &expected, &err) < 0) {
        fail_expr(run, expr, err.text);
    } else if (!sample_list_equal(&expected, &found, run->file->fuzzy)) {
        struct buffer *out = begin_expr_failure(run, expr);
        buffer_append_string(out, "\n        exp: ");
        report_samples(&expected, out);
        buffer_append_string(out, "\n        got: ");
        report_samples(&found, out);
        buffer_append_char(out, '\n');
    }
}

static void check_expr(struct run *run, const struct expr_case *expr)
{
    struct error err = {0};
    struct arena work;
    struct promql_result result;
    arena_init(&work, ARENA_BYTES_MAX);
    if (world_query(run->world, expr, &work, &result, &err) < 0)
        fail_expr(run, expr, err.text);
    else
        compare_expr(run, expr, &result);
    arena_release(&work);
}

/* --- one test --- */

static int64_t last_time(const struct test_group *group)
{
    int64_t last_ms = 0;
    const struct alert_case *alerts = group->alerts.at;
    const struct expr_case *exprs = group->exprs.at;
    for (size_t i = 0; i < group->alerts.count; i++)
        last_ms = alerts[i].eval_ms > last_ms ? alerts[i].eval_ms : last_ms;
    for (size_t i = 0; i < group->exprs.count; i++)
        last_ms = exprs[i].eval_ms > last_ms ? exprs[i].eval_ms : last_ms;
    return last_ms;
}

/* Whether a rule failed; each one that did is a line. */
static bool note_problems(struct run *run, int64_t now_ms)
{
    const struct alert_board *board = world_board(run->world);
    bool failed = false;
    for (size_t g = 0; g < board->count; g++)
        for (size_t i = 0; i < board->groups[g].group->count; i++) {
            const struct rule_run *rule = &board->groups[g].rules[i];
            if (!rule->problem)
                continue;
            failed = true;
            struct buffer *out = fail(run);
            buffer_append_format(out,
                                 "    rule: " SLICE_FMT ", time: ", SLICE_ARG(rule->rule->name));
            put_go_duration(now_ms, out);
            buffer_append_format(out, ", err: %s\n", rule->problem);
        }
    return failed;
}

/* The cases of [from, to), in the order of their times. */
static void check_alerts_between(struct run *run, int64_t from_ms, int64_t to_ms)
{
    const struct alert_case *cases = run->group->alerts.at;
    for (int64_t at = from_ms; at < to_ms;) {
        int64_t next = to_ms;
        for (size_t i = 0; i < run->group->alerts.count; i++) {
            if (cases[i].eval_ms == at)
                check_alerts(run, &cases[i]);
            else if (cases[i].eval_ms > at && cases[i].eval_ms < next)
                next = cases[i].eval_ms;
        }
        at = next;
    }
}

static void walk(struct run *run)
{
    struct error err = {0};
    int64_t last_ms = last_time(run->group), step_ms = run->file->evaluation_interval_ms;
    const struct expr_case *exprs = run->group->exprs.at;
    for (int64_t now_ms = 0; now_ms <= last_ms; now_ms += step_ms) {
        if (world_advance(run->world, now_ms, &err) < 0) {
            fail_plain(run, &err);
            return;
        }
        world_evaluate(run->world, now_ms);
        if (note_problems(run, now_ms))
            return;
        check_alerts_between(run, now_ms, now_ms + step_ms);
    }
    for (size_t i = 0; i < run->group->exprs.count; i++)
        check_expr(run, &exprs[i]);
}

static void run_group(struct run *run, const char *path)
{
    struct error err = {0};
    struct world_options options = {.file = run->file, .group = run->group};
    if (test_rules_load(path, run->file, &options.owned_rules, &err) < 0 ||
        world_open(&options, run->arena, &run->world, &err) < 0) {
        fail_plain(run, &err);
        return;
    }
    walk(run);
    world_close(run->world);
}

/* --- files --- */

static void run_tests(const char *path, struct failures *failures)
{
    struct error err = {0};
    struct arena arena, work;
    struct slice text;
    struct test_file file;
    arena_init(&arena, ARENA_BYTES_MAX);
    arena_init(&work, ARENA_BYTES_MAX);
    struct run run = {.file = &file, .arena = &work, .failures = failures};
    if (file_read(path, FILE_BYTES_MAX, &arena, &text, &err) < 0 ||
        test_file_read(text, path, &arena, &file, &err) < 0) {
        fail_plain(&run, &err);
    } else {
        test_rules_warn(path, &file);
        const struct test_group *groups = file.tests.at;
        for (size_t i = 0; i < file.tests.count; i++) {
            arena_reset(&work);
            run.group = &groups[i];
            run_group(&run, path);
        }
    }
    arena_release(&work);
    arena_release(&arena);
}

/* Also the empty line that promtool prints on stdout for each failure. */
static int conclude(struct failures *failures, const char *success)
{
    struct slice text = buffer_slice(&failures->text);
    bool failed = failures->count > 0;
    if (failed)
        fprintf(stderr, "  FAILED:\n" SLICE_FMT, SLICE_ARG(text));
    else
        printf("  SUCCESS%s\n", success);
    for (size_t i = 0; i <= failures->count; i++)
        putchar('\n');
    buffer_release(&failures->text);
    return fflush(stdout) == 0 && !failed ? 0 : 1;
}

/* Says which file is at hand, so that what stderr gets stands below it. */
static struct failures begin(const char *doing, const char *file)
{
    struct failures failures = {.count = 0};
    buffer_init(&failures.text, TEXT_BYTES_MAX);
    printf("%s %s\n", doing, file);
    fflush(stdout);
    return failures;
}

int rule_tests_run(char *const *files)
{
    int status = 0;
    log_set_level(LOG_ERROR);
    evaluate_open();
    for (; *files; files++) {
        struct failures failures = begin("Unit Testing: ", *files);
        run_tests(*files, &failures);
        status |= conclude(&failures, "");
    }
    return status;
}

int rule_files_check(char *const *files)
{
    int status = 0;
    log_set_level(LOG_ERROR);
    for (; *files; files++) {
        struct error err = {0};
        struct rule_set *set;
        char found[64] = "";
        struct failures failures = begin("Checking", *files);
        struct option_list one = {(const char **)(uintptr_t)files, 1};
        if (rule_set_load(&one, 60000, &set, &err) < 0) {
            failures.count++;
            buffer_append_format(&failures.text, "%s\n", err.text);
        } else {
            snprintf(found, sizeof found, ": %zu rules found", set->rule_count);
            rule_set_free(set);
        }
        status |= conclude(&failures, found);
    }
    return status;
}
