/* world: a store that lives as long as one test, and its rules, on a clock that the test moves.
 *
 * Samples come into the store as time passes, so that a rule never sees what is to come. The rule
 * engine is the daemon's own (server/alert), with nobody to notify.
 */
#ifndef SERVER_RULETEST_WORLD_H
#define SERVER_RULETEST_WORLD_H

#include "query/promql.h"
#include "server/alert/evaluate.h"
#include "server/ruletest/file.h"

struct world;

struct world_options {
    const struct test_file *file;
    const struct test_group *group;
    struct rule_set *owned_rules;
};

/* Reads the series and opens a store in a temporary directory. Takes the rules, also when it
 * fails. */
MUST_USE int world_open(const struct world_options *options, struct arena *arena,
                        struct world **out, struct error *err);
/* Removes the directory, too. NULL is fine. */
void world_close(struct world *world);
/* Puts in the samples up to then. */
MUST_USE int world_advance(struct world *world, int64_t now_ms, struct error *err);
/* Evaluates all groups in their order. Their outcome stands on the board. */
void world_evaluate(struct world *world, int64_t now_ms);
const struct alert_board *world_board(const struct world *world);
/* An instant query. */
MUST_USE int world_query(struct world *world, const struct expr_case *expr, struct arena *arena,
                         struct promql_result *out, struct error *err);

#endif
