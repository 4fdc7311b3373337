/* load: the rule files that a test file names, found beside it. */
#ifndef SERVER_RULETEST_LOAD_H
#define SERVER_RULETEST_LOAD_H

#include "server/alert/rule.h"
#include "server/ruletest/file.h"

/* Patterns start at the directory of the test file. One that matches nothing is passed over. */
MUST_USE int test_rules_load(const char *path, const struct test_file *file, struct rule_set **out,
                             struct error *err);
/* Says on stderr which patterns match nothing. */
void test_rules_warn(const char *path, const struct test_file *file);

#endif
