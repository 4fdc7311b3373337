/* rule: what a rule file may say, and the sentence each mistake gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/alert/rule.h"

static struct rule_set *accepts(const char *text)
{
    struct rule_set *set = rule_set_new(60000);
    struct error err = {0};
    if (rule_set_add(set, slice_of_string(text), "r.yaml", &err) < 0)
        fail_msg("%s", err.text);
    return set;
}

static void refuses(const char *text, const char *part)
{
    struct rule_set *set = rule_set_new(60000);
    struct error err = {0};
    assert_int_equal(rule_set_add(set, slice_of_string(text), "r.yaml", &err), -1);
    if (!strstr(err.text, part))
        fail_msg("\"%s\" lacks \"%s\"", err.text, part);
    rule_set_free(set);
}

#define GROUP "groups:\n- name: g\n  rules:\n"
#define ALERT GROUP "  - alert: A\n    expr: up == 0\n"

static void a_full_file_is_read(void **state)
{
    (void)state;
    struct rule_set *set = accepts("groups:\n"
                                   "- name: api\n"
                                   "  interval: 30s\n"
                                   "  limit: 5\n"
                                   "  query_offset: 10s\n"
                                   "  labels: {team: a, severity: low}\n"
                                   "  rules:\n"
                                   "  - alert: High\n"
                                   "    expr: sum(rate(api.errors[5m]))   >  1\n"
                                   "    for: 2m\n"
                                   "    keep_firing_for: 1m30s\n"
                                   "    labels: {severity: page}\n"
                                   "    annotations: {summary: \"{{ $value }}\"}\n"
                                   "  - record: job:up:sum\n"
                                   "    expr: sum by (job) (up)\n"
                                   "- name: empty\n"
                                   "  rules:\n");
    assert_int_equal(set->count, 2);
    assert_int_equal(set->rule_count, 2);
    const struct rule_group *group = &set->groups[0];
    assert_int_equal(group->interval_ms, 30000);
    assert_int_equal(group->query_offset_ms, 10000);
    assert_int_equal(group->limit, 5);
    assert_int_equal(set->groups[1].interval_ms, 60000);
    const struct rule *rule = &group->rules[0];
    assert_false(rule->recording);
    assert_true(slice_equal_string(rule->query, "sum(rate(api.errors[5m])) > 1"));
    assert_int_equal(rule->for_ms, 120000);
    assert_int_equal(rule->keep_firing_for_ms, 90000);
    assert_int_equal(rule->labels.count, 2);
    assert_true(slice_equal_string(labels_get(rule->labels, SLICE("severity")), "page"));
    assert_true(slice_equal_string(labels_get(rule->labels, SLICE("team")), "a"));
    assert_true(group->rules[1].recording);
    rule_set_free(set);
}

static void ids_survive_a_change_of_the_expression(void **state)
{
    (void)state;
    struct rule_set *a = accepts(ALERT "  - alert: A\n    expr: up == 0\n");
    struct rule_set *b = accepts(GROUP "  - alert: A\n    expr: up == 1\n    for: 5m\n");
    struct rule_set *c = accepts(ALERT "    labels: {a: b}\n");
    assert_true(a->groups[0].rules[0].id != a->groups[0].rules[1].id);
    assert_true(a->groups[0].rules[0].id == b->groups[0].rules[0].id);
    assert_true(a->groups[0].rules[0].id != c->groups[0].rules[0].id);
    rule_set_free(a);
    rule_set_free(b);
    rule_set_free(c);
}

static void mistakes_get_a_sentence(void **state)
{
    (void)state;
    refuses("groupes: []\n", "r.yaml:1:1: unknown key \"groupes\"; did you mean \"groups\"?");
    refuses("[]\n", "expected a mapping");
    refuses("groups: 5\n", "expected a list of groups");
    refuses("groups:\n- rules: []\n", "r.yaml:2:3: the group has no `name`");
    refuses("groups:\n- name: g\n- name: g\n", "of this name stands in this file already");
    refuses("groups:\n- name: g\n  intervall: 5s\n",
            "r.yaml:3:3: unknown key \"intervall\"; did you mean \"interval\"?");
    refuses("groups:\n- name: g\n  interval: fast\n", "r.yaml:3:13: expected a duration");
    refuses("groups:\n- name: g\n  interval: 0\n", "must lie between");
    refuses("groups:\n- name: g\n  limit: -1\n", "expected a whole number");
    refuses("groups:\n- name: g\n  rules: {}\n", "expected a list of rules");
    refuses(GROUP "  - expr: up\n", "r.yaml:4:5: a rule needs either");
    refuses(GROUP "  - alert: A\n    record: b\n    expr: up\n", "a rule needs either");
    refuses(GROUP "  - alert: A\n", "the rule has no `expr`");
    refuses(ALERT "    form: 5m\n", "r.yaml:6:5: unknown key \"form\"; did you mean \"for\"?");
    refuses(ALERT "    labels: {__name__: x}\n", "cannot be __name__");
    refuses(ALERT "    labels: [x]\n", "expected a mapping of names to texts");
    refuses(ALERT "    annotations: {s: \"{{ $valeu }}\"}\n",
            "r.yaml:6:22: in the template of s: only $value");
    refuses(GROUP "  - record: a b\n    expr: up\n", "cannot hold");
    refuses(GROUP "  - record: a\n    expr: up\n    for: 5m\n", "belong to alerts");
    refuses(GROUP "  - alert: A\n    expr: sum(\n", "r.yaml:5:11: in the expression of A: ");
    refuses(GROUP "  - alert: A\n    expr: up[5m]\n", "gives a range vector, but");
    refuses(GROUP "  - alert: A\n    expr: '\"x\"'\n", "gives a string, but");
}

static void files_are_found_by_globs(void **state)
{
    (void)state;
    char dir[] = "/tmp/lapwing-rules-XXXXXX", path[64];
    struct rule_set *set;
    struct error err = {0};
    assert_non_null(mkdtemp(dir));
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%d.yaml", dir, i);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(ALERT, file);
        fclose(file);
    }
    char all[64], none[64], missing[64];
    snprintf(all, sizeof all, "%s/*.yaml", dir);
    snprintf(none, sizeof none, "%s/none-*.yaml", dir);
    snprintf(missing, sizeof missing, "%s/missing.yaml", dir);
    const char *patterns[] = {all, none};
    struct option_list globs = {patterns, 2};
    assert_int_equal(rule_set_load(&globs, 1000, &set, &err), 0);
    assert_int_equal(set->count, 2);
    assert_true(set->groups[0].rules[0].id != set->groups[1].rules[0].id);
    rule_set_free(set);
    patterns[1] = missing;
    assert_int_equal(rule_set_load(&globs, 1000, &set, &err), -1);
    assert_non_null(strstr(err.text, "missing.yaml"));
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%d.yaml", dir, i);
        unlink(path);
    }
    rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_file_is_read),
        cmocka_unit_test(ids_survive_a_change_of_the_expression),
        cmocka_unit_test(mistakes_get_a_sentence),
        cmocka_unit_test(files_are_found_by_globs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
